"""Keys, certificates, statements and signatures, whom to trust, and the log of what was signed."""

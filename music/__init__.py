"""What a piece of music is, and how it is read, written and heard."""

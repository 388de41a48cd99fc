"""What other programs read: C2PA credentials, DDEX, CycloneDX, declared roles of AI."""

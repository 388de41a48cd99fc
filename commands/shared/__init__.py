"""What commands share: the terminal, options, and the opening of what options name."""

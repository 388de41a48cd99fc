"""The parts of a verification: its state, and what is checked of signatures."""

"""Spectrograms: windows of sound, and the adversarial network that learns them."""

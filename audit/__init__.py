"""Judges a track against a corpus; never imports torch."""

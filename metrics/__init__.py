"""Similarity metrics: pure functions on notes, tokens and arrays."""

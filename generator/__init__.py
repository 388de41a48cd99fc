"""Learns from a store and writes tracks; the only folder that imports torch."""

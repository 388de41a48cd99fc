"""Drawings of a report: piano rolls, notation, differences, timelines, the graph of provenance."""

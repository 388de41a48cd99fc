"""How much of a release the corpus holds: windows of tracks, the human baseline, the report."""

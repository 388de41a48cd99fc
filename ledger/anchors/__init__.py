"""What is put on a chain: anchors of signatures and tokens of tracks, and the checks of both."""

"""What is measured of a track beside the copy search: metrics, sound, influence, likeness."""

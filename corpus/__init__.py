"""A rights-cleared collection of music on disk."""

"""Digests of files and folders, manifests, Merkle trees, content identifiers."""

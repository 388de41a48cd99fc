"""Bytes, digests, signatures and chains; this folder knows no music."""

"""Ethereum chains: the contracts, an embedded chain, JSON-RPC nodes, accounts, evidence of blocks."""

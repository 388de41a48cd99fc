"""Merkle trees in the form of OpenZeppelin's StandardMerkleTree (@openzeppelin/merkle-tree 1.0).

A leaf is ``keccak256(keccak256(abi.encode(content, payload)))`` with both values ``bytes32``: the SHA-256
of an artefact and the SHA-256 of its signed DSSE payload. Leaves are sorted; a node is the keccak256 of its
two children in sorted order. Hashing leaves twice keeps a node from passing as a leaf (second preimage).
"""

from __future__ import annotations

from collections.abc import Sequence

import sha3

from ledger.errors import Malformed
from ledger.hashes.digest import Digest

MAX_PROOF = 64
"""Longest proof accepted: trees of 2**64 leaves."""


def keccak256(data: bytes) -> bytes:
    """Return the Keccak-256 hash (Ethereum's, not SHA3-256) of `data`."""
    return bytes(sha3.keccak_256(data).digest())


def leaf_hash(content: Digest, payload: Digest) -> bytes:
    """Return the leaf for an artefact's digest and the SHA-256 of its signed DSSE payload."""
    return keccak256(keccak256(content.value + payload.value))


class MerkleTree:
    """A tree over leaves; the order of the leaves given does not matter.

    Parameters
    ----------
    leaves : sequence of bytes
        At least one leaf of 32 bytes, from `leaf_hash`. Equal leaves are kept once.

    Raises
    ------
    Malformed
        For no leaves, or one that has not 32 bytes.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        ordered = sorted(set(leaves), reverse=True)
        if not ordered or any(len(leaf) != 32 for leaf in ordered):
            raise Malformed("a Merkle tree needs at least one leaf, and each leaf has 32 bytes")
        # A complete binary tree in an array: the children of node i are 2i + 1 and 2i + 2, leaves come last.
        count = len(ordered)
        self._nodes = [b""] * (count - 1) + ordered
        for index in range(count - 2, -1, -1):
            self._nodes[index] = _pair(self._nodes[2 * index + 1], self._nodes[2 * index + 2])
        self._index = {leaf: count - 1 + rank for rank, leaf in enumerate(ordered)}

    @property
    def root(self) -> bytes:
        """The 32 bytes to anchor."""
        return self._nodes[0]

    def proof(self, leaf: bytes) -> tuple[bytes, ...]:
        """Return the sibling hashes from `leaf` up to the root; empty in a tree of one leaf.

        Raises
        ------
        Malformed
            If `leaf` is not in the tree.
        """
        if leaf not in self._index:
            raise Malformed(f"the leaf 0x{leaf.hex()} is not in the tree")
        index, siblings = self._index[leaf], []
        while index > 0:
            siblings.append(self._nodes[index - 1 if index % 2 == 0 else index + 1])
            index = (index - 1) // 2
        return tuple(siblings)


def root_of(leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that a leaf and its proof lead to.

    Raises
    ------
    Malformed
        For more than `MAX_PROOF` hashes, or a hash that has not 32 bytes.
    """
    if len(proof) > MAX_PROOF or any(len(node) != 32 for node in (leaf, *proof)):
        raise Malformed(f"a Merkle proof has at most {MAX_PROOF} hashes of 32 bytes")
    node = leaf
    for sibling in proof:
        node = _pair(node, sibling)
    return node


def check_proof(root: bytes, leaf: bytes, proof: Sequence[bytes]) -> None:
    """Return None if `proof` leads from `leaf` to `root`, else raise `Malformed`."""
    computed = root_of(leaf, proof)
    if computed != root:
        raise Malformed(f"the Merkle proof leads to the root 0x{computed.hex()}, not to 0x{root.hex()}")


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak256(min(left, right) + max(left, right))

"""Proofs of the transparency log: inclusion and consistency (RFC 9162, section 2.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ledger.errors import LogBroken


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def check_inclusion(leaf: bytes, position: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return None if `proof` leads from a leaf hash to a root (RFC 9162, 2.1.3.2), else raise `LogBroken`."""
    if not 0 <= position < size:
        raise LogBroken(f"position {position} is not in a log of {size} entries")
    first, last, node = position, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise LogBroken("the inclusion proof is too long")
        if first % 2 or first == last:
            node = node_hash(sibling, node)
            while not first % 2 and first:
                first, last = first // 2, last // 2
        else:
            node = node_hash(node, sibling)
        first, last = first // 2, last // 2
    if last != 0 or node != root:
        raise LogBroken(f"the inclusion proof of entry {position} does not lead to the root {root.hex()[:16]}...")


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Return None if a tree only grew from an older one (RFC 9162, 2.1.4.2), else raise `LogBroken`."""
    if not 0 < old_size <= size:
        raise LogBroken(f"a log of {size} entries is not an extension of one of {old_size}")
    if old_size == size:
        if proof or old_root != root:
            raise LogBroken("two logs of one size have different roots")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise LogBroken("the consistency proof is empty")
    first, last = old_size - 1, size - 1
    while first % 2:
        first, last = first // 2, last // 2
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise LogBroken("the consistency proof is too long")
        if first % 2 or first == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not first % 2 and first:
                first, last = first // 2, last // 2
        else:
            new = node_hash(new, sibling)
        first, last = first // 2, last // 2
    if last != 0 or old != old_root or new != root:
        raise LogBroken(f"the log of {size} entries does not contain the older one of {old_size} as it was")


def split_size(count: int) -> int:
    """Return the largest power of two below `count` (RFC 9162, 2.1.1)."""
    return 1 << ((count - 1).bit_length() - 1)

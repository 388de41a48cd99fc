"""Merkle trees: by hand, against @openzeppelin/merkle-tree, and by properties."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies._internal.random import ArtificialRandom

from ledger.errors import Malformed
from ledger.hashes.digest import hash_bytes
from ledger.hashes.merkle import MAX_PROOF, MerkleTree, check_proof, keccak256, leaf_hash, root_of

VECTORS = json.loads(Path(__file__).with_name("data").joinpath("ledger_merkle_vectors.json").read_text())


def _leaves(count: int) -> list[bytes]:
    return [leaf_hash(hash_bytes(b"content %d" % i), hash_bytes(b"payload %d" % i)) for i in range(count)]


def test_keccak_of_nothing_is_that_of_ethereum_and_not_sha3() -> None:
    expected = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"").hex() == expected != hashlib.sha3_256(b"").hexdigest()


def test_one_two_and_three_leaves_by_hand() -> None:
    (one,) = _leaves(1)
    assert MerkleTree([one]).root == one
    assert MerkleTree([one]).proof(one) == ()
    low, high = sorted(_leaves(2))
    assert MerkleTree([high, low]).root == keccak256(low + high)
    assert MerkleTree([high, low]).proof(high) == (low,)
    a, b, c = sorted(_leaves(3))
    # Nodes: [root, n1, c, b, a]; c hangs directly below the root.
    inner = keccak256(a + b)
    assert MerkleTree([c, a, b]).root == keccak256(min(inner, c) + max(inner, c))
    assert MerkleTree([c, a, b]).proof(a) == (b, c)
    assert MerkleTree([c, a, b]).proof(c) == (inner,)


@pytest.mark.parametrize("vector", VECTORS["trees"], ids=lambda vector: str(vector["leaves"]))
def test_roots_and_proofs_are_those_of_openzeppelin(vector: dict[str, Any]) -> None:
    leaves = _leaves(vector["leaves"])
    tree = MerkleTree(leaves)
    assert "0x" + tree.root.hex() == vector["root"]
    for index, expected in vector["proofs"].items():
        leaf = leaves[int(index)]
        assert "0x" + leaf.hex() == expected["leaf"]
        assert ["0x" + node.hex() for node in tree.proof(leaf)] == expected["proof"]
    everything = b"".join(b"".join((leaf, *tree.proof(leaf))) for leaf in leaves)
    assert hash_bytes(everything).hex == vector["all"]


def test_100000_leaves_take_less_than_two_seconds() -> None:
    digests = [hash_bytes(b"%d" % number) for number in range(100_000)]
    start = time.process_time()
    tree = MerkleTree([leaf_hash(digest, digest) for digest in digests])
    assert time.process_time() - start < 2
    check_proof(tree.root, leaf_hash(digests[7], digests[7]), tree.proof(leaf_hash(digests[7], digests[7])))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.randoms())
def test_every_leaf_proves_itself_and_order_does_not_matter(leaves: list[bytes], random: ArtificialRandom) -> None:
    tree = MerkleTree(leaves)
    shuffled = leaves[:]
    random.shuffle(shuffled)
    assert MerkleTree(shuffled).root == tree.root
    for leaf in leaves:
        check_proof(tree.root, leaf, tree.proof(leaf))


def test_wrong_leaves_and_proofs_are_refused() -> None:
    leaves = _leaves(5)
    tree = MerkleTree(leaves)
    proof = tree.proof(leaves[0])
    for leaf, wrong in ((leaves[1], proof), (leaves[0], proof[:-1]), (leaves[0], (*proof, bytes(32)))):
        with pytest.raises(Malformed, match="leads to the root"):
            check_proof(tree.root, leaf, wrong)
    with pytest.raises(Malformed, match="at most 64"):
        root_of(leaves[0], [bytes(32)] * (MAX_PROOF + 1))
    with pytest.raises(Malformed, match="32 bytes"):
        root_of(leaves[0], [b"short"])
    with pytest.raises(Malformed, match="not in the tree"):
        tree.proof(bytes(32))
    with pytest.raises(Malformed, match="at least one leaf"):
        MerkleTree([])

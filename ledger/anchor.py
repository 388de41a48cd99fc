"""Anchoring of signed paths: one Merkle root for all of them, one transaction.

The leaf of an artefact is made of its digest and of the SHA-256 of its signed payload, so an anchor shows
that this statement about these bytes existed when the block was made. ``<path>.anchor.json`` beside each
artefact holds what is needed to check that: leaf, proof, root, and where the root is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.chain import Chain, ChainIdentity, Receipt
from ledger.digest import Digest, canonical_json, hash_bytes, parse_json, read_bytes, write_atomic
from ledger.errors import Malformed, PathRefused
from ledger.keyring import trusted_keys
from ledger.manifest import Manifest
from ledger.merkle import MAX_PROOF, MerkleTree, check_proof, leaf_hash
from ledger.provenance import beside, check_content, measure, read_signed

__all__ = ["ANCHOR_SCHEMA", "Anchor", "anchor_file", "anchor_paths", "read_anchor"]

ANCHOR_SCHEMA = "contraste-anchor/1"
FIELDS = (
    "schema",
    "content",
    "payload",
    "leaf",
    "proof",
    "root",
    "chain",
    "contract",
    "issuer",
    "transaction",
    "block",
    "time",
)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What an anchor file says.

    Parameters
    ----------
    content : Digest
        Digest of the artefact.
    payload : Digest
        SHA-256 of the payload of its DSSE envelope.
    leaf : bytes
        32 bytes, `ledger.merkle.leaf_hash` of the two.
    proof : tuple of bytes
        Siblings from the leaf to the root.
    receipt : Receipt
        Where the root is.
    """

    content: Digest
    payload: Digest
    leaf: bytes
    proof: tuple[bytes, ...]
    receipt: Receipt

    def check(self, content: Digest, payload: Digest) -> None:
        """Return None if the file is about this artefact and this signature and its proof holds.

        Raises
        ------
        Malformed
            Otherwise, with the first thing that differs.
        """
        if self.content != content:
            raise Malformed(f"it anchors the content {self.content.hex[:16]}..., and here is {content.hex[:16]}...")
        if self.payload != payload:
            raise Malformed("it anchors another signed statement than the one beside it")
        if self.leaf != leaf_hash(content, payload):
            raise Malformed("its leaf is not made of content and statement")
        check_proof(self.receipt.root, self.leaf, self.proof)

    def to_bytes(self) -> bytes:
        """Return the file: canonical JSON with a final newline."""
        receipt = self.receipt
        value = {
            "schema": ANCHOR_SCHEMA,
            "content": {"sha256": self.content.hex},
            "payload": {"sha256": self.payload.hex},
            "leaf": _hex(self.leaf),
            "proof": [_hex(node) for node in self.proof],
            "root": _hex(receipt.root),
            "chain": {
                "id": receipt.chain.chain_id,
                "genesis": receipt.chain.genesis,
                "simulated": receipt.simulated,
            },
            "contract": receipt.contract,
            "issuer": receipt.issuer,
            "transaction": receipt.transaction,
            "block": receipt.block,
            "time": receipt.time,
        }
        return canonical_json(value) + b"\n"


def anchor_file(path: Path) -> Path:
    """Return where the anchor of an artefact lies: ``<path>.anchor.json``."""
    return beside(path, ".anchor.json")


def read_anchor(path: Path) -> Anchor:
    """Read the anchor of an artefact; it is not checked yet.

    Raises
    ------
    PathRefused
        If there is none, or it cannot be read.
    Malformed
        If it does not follow ``contraste-anchor/1``.
    """
    file = anchor_file(path)
    value = parse_json(read_bytes(file), source=str(file))
    if not isinstance(value, dict) or value.get("schema") != ANCHOR_SCHEMA or set(value) != set(FIELDS):
        raise Malformed(f"{file}: not an anchor of the schema {ANCHOR_SCHEMA} with exactly its fields")
    try:
        return _parse(value)
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed(f"{file}: a field has the wrong form: {error}") from None
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None


def anchor_paths(
    paths: Sequence[Path], chain: Chain, *, keys: Mapping[str, ec.EllipticCurvePublicKey] | None = None
) -> Receipt:
    """Anchor signed artefacts under one Merkle root, and write ``<path>.anchor.json`` beside each.

    Anchoring the same artefacts again sends nothing: a run that was killed after its transaction is
    completed by running it again.

    Parameters
    ----------
    paths : sequence of Path
        Signed folders and files; at least one.
    chain : Chain
        Where to.
    keys : mapping of str to public key, optional
        Keys that may have signed; default are the trusted keys.

    Raises
    ------
    Unsigned, SignatureInvalid, ManifestMismatch, Malformed, PathRefused
        If an artefact is not signed by one of `keys` or is not as signed; nothing is anchored then.
    ChainUnreachable, ChainRefused, NotFinal, KeyUnusable, ExtraMissing
        See `ledger.chain.Chain`.
    """
    keys = trusted_keys() if keys is None else keys
    digests: dict[Path, tuple[Digest, Digest]] = {}
    for path in dict.fromkeys(paths):
        if not path.exists():
            raise PathRefused(f"{path} does not exist")
        signed = read_signed(path, keys)
        measured = measure(path)
        check_content(signed, measured)
        content = measured.root if isinstance(measured, Manifest) else measured
        digests[path] = (content, hash_bytes(signed.envelope.payload))
    if not digests:
        raise PathRefused("no paths to anchor")
    tree = MerkleTree([leaf_hash(*pair) for pair in digests.values()])
    receipt = chain.anchor(tree.root)
    for path, (content, payload) in digests.items():
        leaf = leaf_hash(content, payload)
        anchor = Anchor(content, payload, leaf, tree.proof(leaf), receipt)
        if receipt.transaction is None and _same_place(path, anchor):
            continue  # the file there knows the transaction
        write_atomic(anchor_file(path), anchor.to_bytes())
    return receipt


def _same_place(path: Path, anchor: Anchor) -> bool:
    """Return whether the anchor file that is there names the same leaf, root and contract."""
    try:
        old = read_anchor(path)
    except (Malformed, PathRefused):
        return False
    mine, theirs = anchor.receipt, old.receipt
    return (
        old.leaf,
        old.proof,
        theirs.root,
        theirs.chain,
        theirs.contract,
        theirs.issuer,
        theirs.block,
        theirs.time,
    ) == (
        anchor.leaf,
        anchor.proof,
        mine.root,
        mine.chain,
        mine.contract,
        mine.issuer,
        mine.block,
        mine.time,
    )


def _parse(value: dict[str, Any]) -> Anchor:
    chain, proof, transaction = value["chain"], value["proof"], value["transaction"]
    if set(chain) != {"id", "genesis", "simulated"} or not isinstance(chain["simulated"], bool):
        raise Malformed("chain must have exactly id, genesis and simulated")
    if not isinstance(proof, list) or len(proof) > MAX_PROOF:
        raise Malformed(f"proof must be an array of at most {MAX_PROOF} hashes")
    for name in ("block", "time"):
        _whole(value[name], name)
    receipt = Receipt(
        root=_unhex(value["root"], 32),
        chain=ChainIdentity(_whole(chain["id"], "chain id"), _hex(_unhex(chain["genesis"], 32))),
        simulated=chain["simulated"],
        contract=_address(value["contract"]),
        issuer=_address(value["issuer"]),
        transaction=None if transaction is None else _hex(_unhex(transaction, 32)),
        block=value["block"],
        time=value["time"],
    )
    return Anchor(
        content=_digest(value["content"]),
        payload=_digest(value["payload"]),
        leaf=_unhex(value["leaf"], 32),
        proof=tuple(_unhex(node, 32) for node in proof),
        receipt=receipt,
    )


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _unhex(text: object, length: int) -> bytes:
    data = bytes.fromhex(text[2:]) if isinstance(text, str) and text.startswith("0x") else b""
    if len(data) != length:
        raise Malformed(f"{text!r} is not 0x and {2 * length} hexadecimal digits")
    return data


def _address(text: object) -> str:
    _unhex(text, 20)
    return str(text)


def _digest(value: object) -> Digest:
    if not isinstance(value, dict) or set(value) != {"sha256"}:
        raise Malformed(f"{value!r} is not an object with exactly sha256")
    return Digest.from_hex(value["sha256"])


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Malformed(f"{name} {value!r} is not a whole number")
    return value

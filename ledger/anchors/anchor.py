"""Anchoring of signed paths: one Merkle root for all of them, one transaction.

The leaf of an artefact is made of its digest and of the SHA-256 of its signed payload, so an anchor shows
that this statement about these bytes existed when the block was made. ``<path>.anchor.json`` beside each
artefact holds all that is needed to check that: leaf, proof, root, where the root is, and the evidence for
that (header of the block, proof of the receipt). Only whether that block is part of the chain, and whether
the root was revoked since, has to be asked of a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ledger.anchors.sidecar import (
    address_text,
    chain_json,
    evidence_json,
    hex_text,
    moment,
    parse_chain,
    parse_evidence,
    read_sidecar,
    unhex,
    whole,
)
from ledger.chains.chain import Chain
from ledger.chains.receipts import Mined, Receipt, anchored_event
from ledger.errors import ChainRefused, Malformed, PathRefused
from ledger.hashes.digest import Digest, canonical_json, hash_bytes, write_atomic
from ledger.hashes.merkle import MAX_PROOF, MerkleTree, check_proof, leaf_hash
from ledger.paths import beside
from ledger.provenance.signed import read_as_signed
from ledger.signing.keyring import trusted_keys
from ledger.signing.log import TransparencyLog
from ledger.signing.statement import sha256_object
from ledger.signing.trust import Trust

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
    "evidence",
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
        32 bytes, `ledger.hashes.merkle.leaf_hash` of the two.
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
        """Return None if the file is about this artefact and this signature, and its proofs hold.

        Raises
        ------
        Malformed
            Otherwise, with the first thing that differs.
        ExtraMissing
            If the extra ``chain`` is not installed, which the evidence needs.
        """
        if self.content != content:
            raise Malformed(f"it anchors the content {self.content.hex[:16]}..., and here is {content.hex[:16]}...")
        if self.payload != payload:
            raise Malformed("it anchors another signed statement than the one beside it")
        if self.leaf != leaf_hash(content, payload):
            raise Malformed("its leaf is not made of content and statement")
        receipt = self.receipt
        check_proof(receipt.root, self.leaf, self.proof)
        if receipt.evidence is not None:
            event = anchored_event(receipt.contract, receipt.root, receipt.issuer)
            receipt.evidence.check(event, receipt.block, receipt.time)

    def to_bytes(self) -> bytes:
        """Return the file: canonical JSON with a final newline."""
        receipt = self.receipt
        value = {
            "schema": ANCHOR_SCHEMA,
            "content": {"sha256": self.content.hex},
            "payload": {"sha256": self.payload.hex},
            "leaf": hex_text(self.leaf),
            "proof": [hex_text(node) for node in self.proof],
            "root": hex_text(receipt.root),
            "chain": chain_json(receipt.chain, receipt.simulated),
            "contract": receipt.contract,
            "issuer": receipt.issuer,
            "transaction": receipt.transaction,
            "block": receipt.block,
            "time": receipt.time,
            "evidence": evidence_json(receipt.evidence),
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
    return read_sidecar(anchor_file(path), ANCHOR_SCHEMA, FIELDS, _parse)


def anchor_paths(
    paths: Sequence[Path], chain: Chain, *, trust: Trust | None = None, log: TransparencyLog | None = None
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
    trust : Trust
        Keys that may have signed; default are the trusted keys.
    log : TransparencyLog, optional
        Where it is noted that there is an anchor.

    Raises
    ------
    Unsigned, SignatureInvalid, ManifestMismatch, Malformed, PathRefused
        If an artefact is not signed by one of `trust` or is not as signed; nothing is anchored then.
    ChainUnreachable, ChainRefused, NotFinal, KeyUnusable, ExtraMissing
        See `ledger.chains.chain.Chain`.
    """
    trust = trusted_keys() if trust is None else trust
    digests = {path: _read_digests(path, trust) for path in dict.fromkeys(paths)}
    if not digests:
        raise PathRefused("no paths to anchor")
    tree = MerkleTree([leaf_hash(*pair) for pair in digests.values()])
    receipt = chain.anchor(tree.root)
    for path, (content, payload) in digests.items():
        leaf = leaf_hash(content, payload)
        write_atomic(anchor_file(path), Anchor(content, payload, leaf, tree.proof(leaf), receipt).to_bytes())
        if log is not None:
            log.note(payload, "anchor")
    return receipt


def anchor_again(
    paths: Sequence[Path], chain: Chain, *, trust: Trust | None = None, log: TransparencyLog | None = None
) -> tuple[Receipt, ...]:
    """Anchor the roots in the anchor files of artefacts anew, after a reorganisation or on another chain.

    The proofs stay as they are, so that a batch need not be at hand as a whole. A root that is on the chain is not
    sent; its anchor files then get the block in which it is now.

    Parameters
    ----------
    paths, chain, keys, log
        See `anchor_paths`; each path has an anchor file.

    Returns
    -------
    tuple of Receipt
        One for each root.
    """
    trust = trusted_keys() if trust is None else trust
    anchors = {}
    for path in dict.fromkeys(paths):
        anchor = anchors[path] = read_anchor(path)
        if (anchor.content, anchor.payload) != _read_digests(path, trust):
            raise Malformed(f"{anchor_file(path)} is about other content or another statement; anchor {path} itself")
        check_proof(anchor.receipt.root, anchor.leaf, anchor.proof)
    receipts = {root: chain.anchor(root) for root in dict.fromkeys(a.receipt.root for a in anchors.values())}
    for path, anchor in anchors.items():
        write_atomic(anchor_file(path), replace(anchor, receipt=receipts[anchor.receipt.root]).to_bytes())
        if log is not None:
            log.note(anchor.payload, "anchor")
    return tuple(receipts.values())


def revoke_path(
    path: Path, chain: Chain, reason: str = "", *, whole_root: bool = False, log: TransparencyLog | None = None
) -> Mined:
    """Revoke the anchor of an artefact, or of all that share its root, by the account that anchored it.

    It is noted in a `log` as well: an embedded chain can be put back as it was before.

    Raises
    ------
    PathRefused, Malformed
        If there is no anchor file, or its proof does not lead to its root.
    ChainRefused
        If the chain is another one than that of the anchor, the account is not the issuer, or it is revoked already.
    """
    anchor = read_anchor(path)
    check_proof(anchor.receipt.root, anchor.leaf, anchor.proof)
    receipt = anchor.receipt
    if chain.identity() != receipt.chain:
        raise ChainRefused(f"{path} is anchored on {receipt.chain}, and {chain.identity()} was asked")
    leaf = bytes(32) if whole_root else anchor.leaf
    mined = chain.revoke(receipt.root, leaf, reason, receipt.contract)
    if log is not None:
        log.note(anchor.payload, "revoked")
    return mined


def _read_digests(path: Path, trust: Trust) -> tuple[Digest, Digest]:
    """Return the digest of an artefact and of its signed payload, if it is signed and as signed."""
    if not path.exists():
        raise PathRefused(f"{path} does not exist")
    signed, content = read_as_signed(path, trust)
    return content, hash_bytes(signed.envelope.payload)


def _parse(value: dict[str, Any]) -> Anchor:
    (chain, simulated), proof = parse_chain(value["chain"]), value["proof"]
    if not isinstance(proof, list) or len(proof) > MAX_PROOF:
        raise Malformed(f"proof must be an array of at most {MAX_PROOF} hashes")
    receipt = Receipt(
        root=unhex(value["root"], 32),
        chain=chain,
        simulated=simulated,
        contract=address_text(value["contract"]),
        issuer=address_text(value["issuer"]),
        transaction=hex_text(unhex(value["transaction"], 32)),
        block=whole(value["block"], "block"),
        time=moment(value["time"], "time"),
        gas_used=None,
        evidence=parse_evidence(value["evidence"]),
    )
    return Anchor(
        content=sha256_object(value["content"]),
        payload=sha256_object(value["payload"]),
        leaf=unhex(value["leaf"], 32),
        proof=tuple(unhex(node, 32) for node in proof),
        receipt=receipt,
    )

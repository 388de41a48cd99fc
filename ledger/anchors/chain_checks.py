"""What a chain says of the anchor and of the token of an artefact: verdicts for `ledger.verify`.

The files beside the artefact are checked by themselves first; a chain is asked only for what they cannot show: that
a block is part of the chain and final, that nothing was revoked since, who owns a token now.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ledger.anchors.anchor import Anchor, read_anchor
from ledger.anchors.token_metadata import metadata_file, metadata_uris
from ledger.anchors.tokens import TokenFile, read_token
from ledger.chains.chain import Chain
from ledger.chains.receipts import Entry, Receipt
from ledger.errors import ChainRefused, ChainUnreachable, ContractMismatch, ExtraMissing, LedgerError
from ledger.hashes.digest import MAX_RECORD_BYTES, Digest, read_bytes
from ledger.links import Link

ChainVerdict = Literal["ok", "simulated", "pending", "unchecked", "missing", "broken"]
"""`ledger.links.LinkVerdict` says what each means."""


def judge_anchor(
    path: Path, content: Digest | None, payload: Digest, chain: Chain | None
) -> tuple[Link, Receipt | None]:
    """Check the anchor file of an artefact by itself, and against the chain; return the link, and the receipt.

    The receipt says where and when the root is on the chain: None unless the chain confirmed it for the artefact as it
    is.

    Parameters
    ----------
    path : Path
        The artefact; its anchor file exists.
    content : Digest or None
        Digest of the artefact; None if it could not be measured, and what the file says is taken.
    payload : Digest
        SHA-256 of its signed payload.
    chain : Chain or None
        Where to look the root up; None: it is not.
    """
    try:
        anchor = read_anchor(path)
        anchor.check(content or anchor.content, payload)
        if chain is None:
            root = anchor.receipt.root.hex()[:16]
            text = f"the proof leads to the root 0x{root}...; no chain was asked for it"
            return Link("anchor", str(path), "unchecked", text, "chain-not-asked"), None
        verdict, detail = _ask(anchor, chain)
    except LedgerError as error:
        return Link("anchor", str(path), _verdict(error), str(error), error.code), None
    confirmed = content is not None and verdict in ("ok", "simulated")
    link = Link("anchor", str(path), verdict, detail, _code("anchor", verdict))
    return link, anchor.receipt if confirmed else None


def _code(what: str, verdict: ChainVerdict) -> str:
    """Return the code of what a chain said of an anchor or a token."""
    said = {"broken": f"{what}-refuted", "missing": f"{what}-gone", "unchecked": "other-chain"}
    return said.get(verdict, verdict)


def _verdict(error: LedgerError) -> ChainVerdict:
    """Return what an error means: that nothing could be found out, or that something is wrong."""
    unknown = isinstance(error, (ChainUnreachable, ChainRefused, ExtraMissing))
    return "unchecked" if unknown and not isinstance(error, ContractMismatch) else "broken"


def _ask(anchor: Anchor, chain: Chain) -> tuple[ChainVerdict, str]:
    """Compare what the chain says with what the anchor file says."""
    receipt, found = anchor.receipt, chain.identity()
    root = f"root 0x{receipt.root.hex()[:16]}..."
    if found != receipt.chain:
        return _elsewhere(anchor, chain)
    moved = receipt.evidence is not None and chain.block_hash(receipt.block) != receipt.evidence.block_hash
    try:
        entry = chain.lookup(receipt.root, anchor.leaf, receipt.contract)
    except ContractMismatch:
        if not moved:
            raise
        entry = None  # the contract went with its block
    if entry is None:
        return "missing", (
            f"the {root} is not in the contract {receipt.contract} on {found}: its block was reorganised away, or it "
            "never was there; write it again with contraste anchor --again"
        )
    if moved:
        return "missing", (
            f"block {receipt.block} of the file is no part of {found}; the {root} is in block {entry.block} now; "
            "bring the file up to date with contraste anchor --again"
        )
    return _compare(anchor, entry, chain.block_of(receipt.transaction), chain.simulated)


def _elsewhere(anchor: Anchor, chain: Chain) -> tuple[ChainVerdict, str]:
    """Judge an anchor of another chain than the one asked: a wrong option, or an altered file."""
    receipt = anchor.receipt
    try:
        entry = chain.lookup(receipt.root, anchor.leaf, receipt.contract)
    except (ChainUnreachable, ChainRefused):
        entry = None
    if entry is not None and (entry.block, entry.time) == (receipt.block, receipt.time):
        return "broken", "the file names another chain than the one that holds exactly this anchor"
    return "unchecked", (
        f"anchored on {receipt.chain}, and {chain.identity()} was asked; name the right one with --rpc or --chain-dir"
    )


def _compare(anchor: Anchor, entry: Entry, block: int | None, simulated: bool) -> tuple[ChainVerdict, str]:
    """Judge an anchor whose root is on the chain; `block` is that of its transaction."""
    receipt = anchor.receipt
    stated = (receipt.issuer.lower(), receipt.time, receipt.block, receipt.block, receipt.simulated)
    if stated != (entry.issuer.lower(), entry.time, entry.block, block, simulated):
        return "broken", "issuer, time, block, transaction or simulated differ from what the chain says"
    if entry.revoked_at:
        return "broken", f"revoked by its issuer on {_date(entry.revoked_at)}"
    text = (
        f"root 0x{receipt.root.hex()[:16]}... in block {entry.block} of chain {receipt.chain.chain_id}, "
        f"{_date(entry.time)}, by {entry.issuer}"
    )
    if receipt.evidence is None:
        text += "; the file holds no evidence of the block, so the time is the node's word alone"
    if simulated:
        return "simulated", f"{text}; simulated: an embedded chain on this machine"
    if not entry.final:
        return "pending", f"{text}; that block is not finalized yet"
    return "ok", text


def judge_token(path: Path, content: Digest | None, chain: Chain | None) -> Link:
    """Check the token file of a track and its metadata by themselves, and against the chain.

    Parameters
    ----------
    path, content, chain
        See `judge_anchor`; the token file exists.
    """
    try:
        file = read_token(path)
        if not os.path.lexists(metadata_file(path)):
            return Link(
                "token",
                str(path),
                "missing",
                f"there is no {metadata_file(path)}, and the token's file names it",
                "removed",
            )
        metadata = read_bytes(metadata_file(path), MAX_RECORD_BYTES)
        file.check(content or file.content, metadata)
        if chain is None:
            text = f"token 0x{file.content.hex[:16]}... of {file.owner}; no chain was asked for it"
            return Link("token", str(path), "unchecked", text, "chain-not-asked")
        verdict, detail = _ask_token(file, metadata, chain)
    except LedgerError as error:
        return Link("token", str(path), _verdict(error), str(error), error.code)
    return Link("token", str(path), verdict, detail, _code("token", verdict))


def _ask_token(file: TokenFile, metadata: bytes, chain: Chain) -> tuple[ChainVerdict, str]:
    """Compare the token that the chain has with the token file."""
    found, token_id = chain.identity(), f"token 0x{file.content.hex[:16]}..."
    if found != file.chain:
        return (
            "unchecked",
            f"minted on {file.chain}, and {found} was asked; name the right one with --rpc or --chain-dir",
        )
    moved = (
        file.mined is not None
        and file.evidence is not None
        and chain.block_hash(file.mined.block) != file.evidence.block_hash
    )
    try:
        token = chain.token(file.content, file.contract)
    except ContractMismatch:
        if not moved:
            raise
        token = None  # the contract went with its block
    if token is None or moved:
        return "missing", (
            f"the {token_id} is not on {found} as the file says: its block was reorganised away, or it never was "
            "there; mint it again"
        )
    elsewhere = file.mined is not None and chain.block_of(file.mined.transaction) != file.mined.block
    if (token.metadata, token.locked, token.simulated) != (file.metadata, file.locked, file.simulated) or elsewhere:
        return "broken", "metadata, lock, transaction or simulated differ from what the chain says"
    if token.uri not in metadata_uris(metadata):
        return "broken", f"the chain says the metadata is at {token.uri[:80]}, which is not that beside the track"
    text = f"{token_id} of {token.owner}, {'locked, ' if token.locked else ''}contract {token.contract} on {found}"
    if chain.simulated:
        return "simulated", f"{text}; simulated: an embedded chain on this machine"
    final = file.mined is None or chain.is_final(file.mined.block)
    return ("ok", text) if final else ("pending", f"{text}; its block is not finalized yet")


def _date(time_s: int) -> str:
    if time_s >= 2**37:  # a node may say anything, and dates end in the year 9999
        return f"{time_s} s after 1970"
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

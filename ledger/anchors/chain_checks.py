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
from messages import message

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
            root = f"0x{anchor.receipt.root.hex()[:16]}..."
            text = message("the proof leads to the root {root:word}; no chain was asked for it", root=root)
            return Link("anchor", str(path), "unchecked", text, "chain-not-asked"), None
        verdict, detail = _ask(anchor, chain)
    except LedgerError as error:
        return Link("anchor", str(path), _verdict(error), str(error), error.code), None
    confirmed = content is not None and verdict in ("ok", "simulated")
    link = Link("anchor", str(path), verdict, detail, _code("anchor", verdict))
    return link, anchor.receipt if confirmed else None


def _code(what: str, verdict: ChainVerdict) -> str:
    """Return the code of what a chain said of an anchor or a token."""
    codes = {"broken": f"{what}-refuted", "missing": f"{what}-gone", "unchecked": "other-chain"}
    return codes.get(verdict, verdict)


def _verdict(error: LedgerError) -> ChainVerdict:
    """Return what an error means: that nothing could be found out, or that something is wrong."""
    unknown = isinstance(error, (ChainUnreachable, ChainRefused, ExtraMissing))
    return "unchecked" if unknown and not isinstance(error, ContractMismatch) else "broken"


def _ask(anchor: Anchor, chain: Chain) -> tuple[ChainVerdict, str]:
    """Compare what the chain says with what the anchor file says."""
    receipt, identity = anchor.receipt, chain.identity()
    root = f"0x{receipt.root.hex()[:16]}..."
    if identity != receipt.chain:
        return _elsewhere(anchor, chain)
    moved = receipt.evidence is not None and chain.block_hash(receipt.block) != receipt.evidence.block_hash
    try:
        entry = chain.lookup(receipt.root, anchor.leaf, receipt.contract)
    except ContractMismatch:
        if not moved:
            raise
        entry = None  # the contract went with its block
    if entry is None:
        return "missing", message(
            "the root {root:word} is not in the contract {contract:word} on {chain}: its block was reorganised away, "
            "or it never was there; write it again with contraste anchor --again",
            root=root,
            contract=receipt.contract,
            chain=identity,
        )
    if moved:
        return "missing", message(
            "block {block:d} of the file is no part of {chain}; the root {root:word} is in block {now:d} now; "
            "bring the file up to date with contraste anchor --again",
            block=receipt.block,
            chain=identity,
            root=root,
            now=entry.block,
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
        return "broken", message("the file names another chain than the one that holds exactly this anchor")
    return "unchecked", message(
        "anchored on {chain}, and {asked} was asked; name the right one with --rpc or --chain-dir",
        chain=receipt.chain,
        asked=chain.identity(),
    )


def _compare(anchor: Anchor, entry: Entry, block: int | None, simulated: bool) -> tuple[ChainVerdict, str]:
    """Judge an anchor whose root is on the chain; `block` is that of its transaction."""
    receipt = anchor.receipt
    stated = (receipt.issuer.lower(), receipt.time, receipt.block, receipt.block, receipt.simulated)
    if stated != (entry.issuer.lower(), entry.time, entry.block, block, simulated):
        return "broken", message("issuer, time, block, transaction or simulated differ from what the chain says")
    if entry.revoked_at:
        return "broken", message("revoked by its issuer on {time}", time=_date(entry.revoked_at))
    text = message(
        "root {root:word} in block {block:d} of chain {chain:d}, {time}, by {issuer:word}",
        root=f"0x{receipt.root.hex()[:16]}...",
        block=entry.block,
        chain=receipt.chain.chain_id,
        time=_date(entry.time),
        issuer=entry.issuer,
    )
    if receipt.evidence is None:
        text = message(
            "{what:text}; the file holds no evidence of the block, so the time is the node's word alone", what=text
        )
    if simulated:
        return "simulated", message("{what:text}; simulated: an embedded chain on this machine", what=text)
    if not entry.final:
        return "pending", message("{what:text}; that block is not finalized yet", what=text)
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
            text = message("there is no {file}, and the token's file names it", file=metadata_file(path))
            return Link("token", str(path), "missing", text, "removed")
        metadata = read_bytes(metadata_file(path), MAX_RECORD_BYTES)
        file.check(content or file.content, metadata)
        if chain is None:
            text = message(
                "token {token:word} of {owner:word}; no chain was asked for it",
                token=f"0x{file.content.hex[:16]}...",
                owner=file.owner,
            )
            return Link("token", str(path), "unchecked", text, "chain-not-asked")
        verdict, detail = _ask_token(file, metadata, chain)
    except LedgerError as error:
        return Link("token", str(path), _verdict(error), str(error), error.code)
    return Link("token", str(path), verdict, detail, _code("token", verdict))


def _ask_token(file: TokenFile, metadata: bytes, chain: Chain) -> tuple[ChainVerdict, str]:
    """Compare the token that the chain has with the token file."""
    identity, token_id = chain.identity(), f"0x{file.content.hex[:16]}..."
    if identity != file.chain:
        return (
            "unchecked",
            message(
                "minted on {chain}, and {asked} was asked; name the right one with --rpc or --chain-dir",
                chain=file.chain,
                asked=identity,
            ),
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
        return "missing", message(
            "the token {token:word} is not on {chain} as the file says: its block was reorganised away, or it never "
            "was there; mint it again",
            token=token_id,
            chain=identity,
        )
    elsewhere = file.mined is not None and chain.block_of(file.mined.transaction) != file.mined.block
    if (token.metadata, token.locked, token.simulated) != (file.metadata, file.locked, file.simulated) or elsewhere:
        return "broken", message("metadata, lock, transaction or simulated differ from what the chain says")
    if token.uri not in metadata_uris(metadata):
        return "broken", message(
            "the chain says the metadata is at {address}, which is not that beside the track", address=token.uri[:80]
        )
    text = message(
        "token {token:word} of {owner:word}, locked, contract {contract:word} on {chain}"
        if token.locked
        else "token {token:word} of {owner:word}, contract {contract:word} on {chain}",
        token=token_id,
        owner=token.owner,
        contract=token.contract,
        chain=identity,
    )
    if chain.simulated:
        return "simulated", message("{what:text}; simulated: an embedded chain on this machine", what=text)
    final = file.mined is None or chain.is_final(file.mined.block)
    return ("ok", text) if final else ("pending", message("{what:text}; its block is not finalized yet", what=text))


def _date(time_s: int) -> str:
    if time_s >= 2**37:  # a node may say anything, and dates end in the year 9999
        return f"{time_s} s after 1970"
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

"""What the ledger knows, as plain JSON values for ``contraste ledger show`` and ``contraste ledger log``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ledger.errors import Malformed, SignatureInvalid, Unsigned
from ledger.hashes.digest import hash_bytes, parse_json, read_bytes
from ledger.paths import beside
from ledger.provenance.record import SIGNATURES
from ledger.signing.envelope import Envelope
from ledger.signing.log import TransparencyLog
from ledger.signing.log_proofs import check_consistency
from ledger.signing.predicates import origin_of
from ledger.signing.statement import Statement
from ledger.signing.trust import Trust, verify_envelope


def signed_about(path: Path, trust: Trust, log: TransparencyLog) -> list[dict[str, Any]]:
    """Return the signed statements about an artefact, each with its signer and its place in the log.

    Nothing is compared with the artefact itself; `ledger.verify.verify_path` does that.

    Returns
    -------
    list of dict
        ``file``, ``signer`` (key id, and whether it is trusted), ``statement``, ``materials``, and ``log``: None, or
        ``position``, ``time``, ``size``, ``root`` and the inclusion ``proof`` (hex, from the leaf up).

    Raises
    ------
    Unsigned
        If there is none.
    Malformed, LogBroken
        If a file, or the log, is damaged.
    """
    statements = []
    for file in [beside(path, suffix) for suffix in SIGNATURES if os.path.lexists(beside(path, suffix))]:
        envelope = Envelope.from_bytes(read_bytes(file), source=str(file))
        signer = f"key {envelope.keyid}"
        try:
            verify_envelope(envelope, trust)
        except SignatureInvalid as error:
            signer += f": {error}"
        statement = Statement.from_bytes(envelope.payload, source=str(file))
        try:
            origin = origin_of(statement)
        except Malformed:
            origin = None
        statements.append(
            {
                "file": str(file),
                "signer": signer,
                "statement": parse_json(envelope.payload, source=str(file)),
                "materials": [material.to_json() for material in origin.materials] if origin else [],
                "log": _place(log, envelope, trust),
            }
        )
    if not statements:
        raise Unsigned(f"not signed: there is no {beside(path, '.sig')}")
    return statements


def _place(log: TransparencyLog, envelope: Envelope, trust: Trust) -> dict[str, Any] | None:
    entry = log.find(hash_bytes(envelope.payload))
    if entry is None:
        return None
    size, root, proof = log.proof_of(entry, trust)
    return {
        "position": entry.position,
        "time": entry.fields["time"],
        "size": size,
        "root": root.hex(),
        "proof": [node.hex() for node in proof],
    }


def log_state(log: TransparencyLog, trust: Trust, since: str | None = None) -> dict[str, Any]:
    """Return all entries of the log with size and root of its signed head, after checking it whole.

    Parameters
    ----------
    log : TransparencyLog
        This machine's.
    trust : Trust
        Who may have signed the head.
    since : str, optional
        ``SIZE:ROOT`` of an older state; it is shown to be the beginning of this one, and the ``consistency`` proof is
        given.

    Raises
    ------
    LogBroken
        If an entry was altered or taken out, or the log does not extend the older state.
    """
    if not log.exists:
        return {"size": 0, "root": None, "entries": []}
    size, root = log.verify(trust)
    entries = log.entries()
    state: dict[str, Any] = {
        "size": size,
        "root": root.hex(),
        "entries": [{"position": entry.position, **entry.fields} for entry in entries],
    }
    if since is not None:
        old_size, _, old_root = since.partition(":")
        proof = log.consistency_proof(int(old_size), size)
        check_consistency(int(old_size), bytes.fromhex(old_root), size, root, proof)
        state["consistency"] = [node.hex() for node in proof]
    return state

"""Fields that the files beside an artefact share: how they are written, and read strictly."""

from __future__ import annotations

from typing import Any

from ledger.digest import Digest
from ledger.errors import Malformed
from ledger.evidence import Evidence
from ledger.networks import ChainIdentity

__all__ = [
    "address_text",
    "chain_json",
    "digest_object",
    "evidence_json",
    "hex_text",
    "parse_chain",
    "parse_evidence",
    "unhex",
    "whole",
]


def chain_json(chain: ChainIdentity, simulated: bool) -> dict[str, Any]:
    """Return a chain as it stands in a file."""
    return {"id": chain.chain_id, "genesis": chain.genesis, "simulated": simulated}


def parse_chain(value: Any) -> tuple[ChainIdentity, bool]:
    """Return the chain in a file, and whether it is simulated; raises `Malformed`."""
    if not isinstance(value, dict) or set(value) != {"id", "genesis", "simulated"}:
        raise Malformed("chain must have exactly id, genesis and simulated")
    if not isinstance(value["simulated"], bool):
        raise Malformed(f"simulated must be true or false, not {value['simulated']!r}")
    return ChainIdentity(whole(value["id"], "chain id"), hex_text(unhex(value["genesis"], 32))), value["simulated"]


def evidence_json(evidence: Evidence | None) -> dict[str, Any] | None:
    """Return evidence as it stands in a file."""
    if evidence is None:
        return None
    return {
        "blockHash": evidence.block_hash,
        "header": hex_text(evidence.header),
        "index": evidence.index,
        "proof": [hex_text(node) for node in evidence.proof],
    }


def parse_evidence(value: Any) -> Evidence | None:
    """Return the evidence in a file; it is not checked yet, except for the hash of its header.

    Raises
    ------
    Malformed
        If it has the wrong form, or its header has another hash than it says.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"blockHash", "header", "index", "proof"}:
        raise Malformed("evidence must have exactly blockHash, header, index and proof")
    if not isinstance(value["proof"], list):
        raise Malformed("the proof of evidence must be an array")
    proof = tuple(unhex(node) for node in value["proof"])
    evidence = Evidence(unhex(value["header"]), whole(value["index"], "index"), proof)
    if value["blockHash"] != evidence.block_hash:
        raise Malformed(f"the header has the hash {evidence.block_hash}, and not {value['blockHash']!r}")
    return evidence


def hex_text(data: bytes) -> str:
    """Return bytes as ``0x`` and lower-case hexadecimal digits."""
    return "0x" + data.hex()


def unhex(text: object, length: int = 0) -> bytes:
    """Return the bytes of ``0x...``; `length` 0 stands for any but none. Raises `Malformed`."""
    try:
        data = bytes.fromhex(text[2:]) if isinstance(text, str) and text.startswith("0x") else b""
    except ValueError:
        data = b""
    if not data or (length and len(data) != length):
        digits = f"{2 * length} " if length else ""
        raise Malformed(f"{str(text)[:80]!r} is not 0x and {digits}hexadecimal digits")
    return data


def address_text(text: object) -> str:
    """Return an address as it stands there; raises `Malformed` unless it has 20 bytes."""
    unhex(text, 20)
    return str(text)


def digest_object(value: object) -> Digest:
    """Return the digest in ``{"sha256": "..."}``; raises `Malformed`."""
    if not isinstance(value, dict) or set(value) != {"sha256"}:
        raise Malformed(f"{str(value)[:80]!r} is not an object with exactly sha256")
    return Digest.from_hex(value["sha256"])


def whole(value: object, name: str) -> int:
    """Return a whole number from 0 to 2**53 - 1; raises `Malformed`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Malformed(f"{name} {str(value)[:80]} is not a whole number below 2**53")
    return value

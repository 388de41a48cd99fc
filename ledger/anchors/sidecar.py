"""Fields that the files beside an artefact share: how they are written, and read strictly."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from ledger.chains.evidence import Evidence
from ledger.chains.networks import ChainIdentity
from ledger.errors import Malformed
from ledger.hashes.digest import read_json

T = TypeVar("T")
YEAR_10000 = 253_402_300_800


def read_sidecar(file: Path, schema: str, names: Collection[str], parse: Callable[[dict[str, Any]], T]) -> T:
    """Return what `parse` makes of a file beside an artefact, a JSON object with exactly some fields.

    Raises
    ------
    PathRefused
        If there is none, or it cannot be read.
    Malformed
        If it is of another schema, has other fields, or `parse` refuses one; the message names the file.
    """
    value = read_json(file)
    if not isinstance(value, dict) or value.get("schema") != schema or set(value) != set(names):
        raise Malformed(f"{file}: not a file of the schema {schema} with exactly its fields")
    try:
        return parse(value)
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None


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


def moment(value: object, name: str) -> int:
    """Return a time in seconds after 1970 that is before the year 10000, where dates end; raises `Malformed`."""
    if (time := whole(value, name)) >= YEAR_10000:
        raise Malformed(f"{name} {time} s after 1970 is beyond the year 9999")
    return time


def whole(value: object, name: str) -> int:
    """Return a whole number from 0 to 2**53 - 1; raises `Malformed`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Malformed(f"{name} {str(value)[:80]} is not a whole number below 2**53")
    return value

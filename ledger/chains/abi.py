"""The two contracts of ``ledger/contracts``: their artefacts, and calls encoded by the contract ABI specification.

Everything here comes from the committed artefacts; no compiler is needed. What a contract refuses (a custom error)
gets its words here, the same for every chain.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ledger.errors import ChainRefused, requires_extra
from ledger.hashes.merkle import keccak256

REVERTS = {
    "AlreadyAnchored(bytes32)": "the root is anchored already",
    "AlreadyMinted(uint256)": "this track has been minted already",
    "AlreadyRevoked(bytes32,bytes32)": "it is revoked already",
    "DigestMismatch(uint256,bytes32)": "the published metadata is not what was minted",
    "ERC2981InvalidDefaultRoyalty(uint256,uint256)": "a royalty has at most 10,000 basis points",
    "ERC2981InvalidDefaultRoyaltyReceiver(address)": "the royalty's receiver may not be the zero address",
    "ERC721InvalidReceiver(address)": "the owner may not be the zero address",
    "ERC721NonexistentToken(uint256)": "there is no such token",
    "LengthMismatch(uint256,uint256)": "a batch needs one metadata digest for each track",
    "NotArtist(address)": "only the account that deployed the Track contract may do this",
    "NotIssuer(bytes32,address)": "only the account that anchored the root may revoke it",
    "TokenLocked(uint256)": "the token is locked and cannot be transferred",
    "ZeroDigest()": "a digest may not be zero",
    "ZeroRoot()": "the root may not be zero",
}


def encode(signature: str, *values: object) -> bytes:
    """Return the call data of a function such as ``anchor(bytes32)``."""
    with requires_extra():
        from eth_abi import abi
    types = signature[signature.index("(") + 1 : -1].split(",")
    return keccak256(signature.encode())[:4] + (abi.encode(types, values) if types != [""] else b"")


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Return the values in a contract's answer; raises `ChainRefused` when they are not of these types."""
    with requires_extra():
        from eth_abi import abi, exceptions
    try:
        return abi.decode(types, data)
    except (exceptions.DecodingError, UnicodeDecodeError) as error:
        raise ChainRefused(f"the contract's answer 0x{data[:64].hex()} makes no sense: {error}") from None


def topic(signature: str) -> bytes:
    """Return the first topic of an event such as ``Anchored(bytes32,address)``."""
    return keccak256(signature.encode())


def address(text: str) -> str:
    """Return an address with its EIP-55 checksum; raises `ChainRefused` for anything else."""
    with requires_extra():
        eth_utils = import_module("eth_utils")
    if not eth_utils.is_address(text):
        raise ChainRefused(f"{text!r} is not an Ethereum address, or its checksum (EIP-55) is wrong")
    return str(eth_utils.to_checksum_address(text))


def creation_code(name: str, *arguments: object) -> bytes:
    """Return what to send to deploy a contract: its bytecode and the constructor's arguments."""
    artefact = _artefact(name)
    code = bytes.fromhex(artefact["bytecode"][2:])
    constructors = (entry["inputs"] for entry in artefact["abi"] if entry["type"] == "constructor")
    types = ",".join(argument["type"] for inputs in constructors for argument in inputs)
    return code + encode(f"({types})", *arguments)[4:]


def is_ours(name: str, code: bytes) -> bool:
    """Return whether the code of an address is the contract's, its immutable values (32-byte words) aside."""
    artefact = _artefact(name)
    ours, theirs = bytearray.fromhex(artefact["deployedBytecode"][2:]), bytearray(code)
    for place in artefact["immutables"]:
        theirs[place["start"] : place["start"] + place["length"]] = bytes(place["length"])
    return len(code) == len(ours) and ours == theirs


def revert_reason(data: bytes) -> str:
    """Return what a revert of our contracts means: the name of the custom error, or the raw bytes."""
    for signature, message in REVERTS.items():
        if data[:4] == keccak256(signature.encode())[:4]:
            return f"{message} ({signature.partition('(')[0]})"
    return f"reverted with 0x{data.hex()}" if data else "reverted without a reason"


@cache
def _artefact(name: str) -> dict[str, Any]:
    """Return a committed artefact: abi, bytecode, deployedBytecode, immutables."""
    text = Path(__file__).parents[1].joinpath("contracts", f"{name}.json").read_text("utf-8")
    artefact: dict[str, Any] = json.loads(text)
    return artefact

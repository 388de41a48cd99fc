"""What a chain gives back: mined transactions, entries, receipts, tokens; and the events that they are read from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.chains.abi import topic
from ledger.chains.evidence import Event, Evidence
from ledger.chains.networks import ChainIdentity
from ledger.hashes.digest import Digest

ZERO32 = bytes(32)


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block: its hash, block, time (s, Unix), gas where known, and the contract if it made one."""

    transaction: str
    block: int
    time: int
    gas_used: int | None = None
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the anchor contract says of a root.

    Parameters
    ----------
    contract : str
        Address of the contract asked.
    issuer : str
        Address that anchored the root.
    time, block : int
        Unix time in seconds, and number, of the block.
    revoked_at : int
        Unix time at which the root or the leaf asked for was first revoked; 0 if it was not.
    final : bool
        Whether the block is finalized, so that no reorganisation removes it.
    """

    contract: str
    issuer: str
    time: int
    block: int
    revoked_at: int
    final: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """A root on a chain.

    Parameters
    ----------
    root : bytes
        The Merkle root.
    chain : ChainIdentity
        The chain.
    simulated : bool
        True on the embedded chain.
    contract, issuer : str
        Addresses of the anchor contract and of the account that sent the root.
    transaction : str
        Hash of the transaction.
    block, time : int
        Number and Unix time (s) of the block.
    gas_used : int or None
        Gas of the transaction; None if the receipt was read from a file.
    evidence : Evidence or None
        The block's header and the proof of the receipt; None where the chain's blocks have another form.
    known : bool
        Whether the root was there before it was to be anchored, so that nothing was sent.
    """

    root: bytes
    chain: ChainIdentity
    simulated: bool
    contract: str
    issuer: str
    transaction: str
    block: int
    time: int
    gas_used: int | None
    evidence: Evidence | None
    known: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Token:
    """The ERC-721 token of a track, as the chain has it.

    Parameters
    ----------
    token_id : int
        The SHA-256 of the track as a number.
    contract, owner : str
        Addresses.
    metadata : Digest
        SHA-256 of the metadata JSON, fixed at minting.
    uri : str
        What ``tokenURI`` answers.
    locked : bool
        Whether it cannot be transferred (ERC-5192).
    chain : ChainIdentity
        The chain.
    simulated : bool
        True on the embedded chain.
    minted_to : str or None
        To whom it was minted, where that was asked for.
    mined : Mined or None
        The minting transaction, where it was asked for and the chain can tell.
    evidence : Evidence or None
        Header and proof of that transaction's receipt.
    """

    token_id: int
    contract: str
    owner: str
    metadata: Digest
    uri: str
    locked: bool
    chain: ChainIdentity
    simulated: bool
    minted_to: str | None = None
    mined: Mined | None = None
    evidence: Evidence | None = None


def anchored_event(contract: str, root: bytes, issuer: str) -> Event:
    """Return the event that the anchor contract emits for a root."""
    return Event(
        address_bytes(contract), (topic("Anchored(bytes32,address)"), root, address_bytes(issuer).rjust(32, b"\0"))
    )


def minted_event(contract: str, owner: str, content: Digest) -> Event:
    """Return the event that a Track contract emits when it mints a track to an owner (EIP-721)."""
    topics = (topic("Transfer(address,address,uint256)"), ZERO32, address_bytes(owner).rjust(32, b"\0"), content.value)
    return Event(address_bytes(contract), topics)


def address_bytes(address: str) -> bytes:
    """Return the 20 bytes of an address."""
    return bytes.fromhex(address[2:])

"""Anchoring of Merkle roots, and tokens for tracks, on an Ethereum chain.

`Chain` holds what all chains share: the calls of the two contracts in ``ledger/contracts``, encoded by the
contract ABI specification. Two chains implement it:

- `ledger.embedded.EmbeddedChain`, an EVM in this process over a database on disk. Nobody else keeps a copy,
  so its anchors prove nothing to others: `simulated` is True, and they are labelled so wherever shown.
- `ledger.rpc.RpcChain`, any Ethereum node by JSON-RPC.

Departure from a usual client: a contract's address alone is never believed. Before an answer counts, the
code at the address must equal the committed artefact byte for byte.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ledger.digest import Digest
from ledger.errors import ChainRefused, ContractMismatch, ExtraMissing, Malformed
from ledger.merkle import keccak256

__all__ = [
    "Chain",
    "ChainIdentity",
    "Entry",
    "Mined",
    "Receipt",
    "Token",
    "open_chain",
    "requires_extra",
    "revert_reason",
]

ZERO32 = bytes(32)


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """What tells one chain from another.

    Parameters
    ----------
    chain_id : int
        EIP-155 chain id.
    genesis : str
        Hash of block 0, ``0x`` and 64 hexadecimal digits.
    """

    chain_id: int
    genesis: str


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block: its hash, block, time (s, Unix), gas, and the contract if it made one."""

    transaction: str
    block: int
    time: int
    gas_used: int
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
        Unix time at which the root or the leaf asked for was revoked; 0 if it was not.
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
    transaction : str or None
        Hash of the transaction; None if the root had been anchored before and the hash is not known.
    block, time : int
        Number and Unix time (s) of the block.
    gas_used : int or None
        Gas of the transaction; None if the root had been anchored before.
    """

    root: bytes
    chain: ChainIdentity
    simulated: bool
    contract: str
    issuer: str
    transaction: str | None
    block: int
    time: int
    gas_used: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """The ERC-721 token of a track.

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
    chain : ChainIdentity
        The chain.
    simulated : bool
        True on the embedded chain.
    transaction : str or None
        Hash of the minting transaction, where it was just minted.
    """

    token_id: int
    contract: str
    owner: str
    metadata: Digest
    uri: str
    chain: ChainIdentity
    simulated: bool
    transaction: str | None = None


class Chain(ABC):
    """A chain with the contracts ``Anchor`` and ``Track``, which are deployed when first needed.

    Every public method may raise `ChainUnreachable` (no answer; a lock that is not freed; a damaged
    database), `ChainRefused` (an answer that says no) and `ExtraMissing` (extra ``chain`` not installed).
    Methods that send transactions may raise `NotFinal` and `KeyUnusable` as well.
    """

    simulated: bool

    @property
    @abstractmethod
    def account(self) -> str:
        """Checksummed address that sends transactions."""

    @abstractmethod
    def identity(self) -> ChainIdentity:
        """Return chain id and genesis hash."""

    @abstractmethod
    def block_of(self, transaction: str) -> int | None:
        """Return the number of the block that holds a transaction, None if no block does."""

    @abstractmethod
    def _session(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold the chain for several calls; what one session writes is kept whole or not at all."""

    @abstractmethod
    def _transact(self, to: str | None, data: bytes) -> Mined:
        """Send a transaction (`to` None: deploy) and wait for its block."""

    @abstractmethod
    def _call(self, to: str, data: bytes) -> bytes:
        """Call without a transaction, on the latest state."""

    @abstractmethod
    def _code(self, address: str) -> bytes:
        """Return the code at an address, empty if there is none."""

    @abstractmethod
    def _is_final(self, block: int) -> bool:
        """Return whether a block is finalized."""

    @abstractmethod
    def _remembered(self, contract: str) -> str | None:
        """Return the remembered address of a contract."""

    @abstractmethod
    def _remember(self, contract: str, address: str) -> None:
        """Remember the address of a contract."""

    def anchor(self, root: bytes) -> Receipt:
        """Anchor a Merkle root, deploying the contract if there is none yet.

        A root that is there already is not sent again: the receipt then names its first issuer and block.

        Parameters
        ----------
        root : bytes
            32 bytes, not all zero.
        """
        if len(root) != 32 or root == ZERO32:
            raise Malformed(f"0x{root.hex()} cannot be anchored; a root has 32 bytes and is not zero")
        with self._session(write=True):
            contract = self._deployed("Anchor") or self._deploy("Anchor")
            entry = self._entry(contract, root, ZERO32)
            mined = None
            if entry is None:
                mined = self._transact(contract, _encode("anchor(bytes32)", root))
                entry = self._entry(contract, root, ZERO32)
            if entry is None:
                raise ChainRefused(f"the root 0x{root.hex()} was sent and is not on the chain; try again")
            return Receipt(
                root,
                self.identity(),
                self.simulated,
                contract,
                entry.issuer,
                mined.transaction if mined else None,
                entry.block,
                entry.time,
                mined.gas_used if mined else None,
            )

    def lookup(self, root: bytes, leaf: bytes = ZERO32, contract: str | None = None) -> Entry | None:
        """Return what the chain knows of a root, or None if it was not anchored.

        Parameters
        ----------
        root : bytes
            32 bytes.
        leaf : bytes
            Leaf whose revocation counts too; zeros ask for the root alone.
        contract : str, optional
            Address of the anchor contract to ask; default is the one remembered for this chain. Its code
            must be that of our contract, else `ContractMismatch` is raised.
        """
        with self._session(write=False):
            address = _address(contract.lower()) if contract else self._deployed("Anchor")
            if address is None:
                return None
            self._check_code("Anchor", address)
            return self._entry(address, root, leaf)

    def revoke(self, root: bytes, leaf: bytes = ZERO32, reason: str = "") -> Mined:
        """Revoke a leaf of a root, or the root itself; only the account that anchored it can."""
        with self._session(write=True):
            contract = self._deployed("Anchor")
            if contract is None:
                raise ChainRefused("nothing was anchored on this chain, so nothing can be revoked")
            return self._transact(contract, _encode("revoke(bytes32,bytes32,string)", root, leaf, reason))

    def mint(self, content: Digest, metadata: Digest, uri: str = "", to: str | None = None) -> Token:
        """Mint the token of a track, deploying the contract if this account has none yet.

        A track that is minted already with the same metadata is not sent again.

        Parameters
        ----------
        content : Digest
            SHA-256 of the track; its number is the token id, so the same bytes are minted once only.
        metadata : Digest
            SHA-256 of the metadata JSON.
        uri : str
            Where the metadata will be served; empty stands for ``urn:sha256:<metadata digest>``.
        to : str, optional
            Address of the owner; default is `account`.

        Raises
        ------
        ChainRefused
            If the track was minted before with other metadata, or the address is invalid.
        """
        owner = self.account if to is None else _address(to)
        with self._session(write=True):
            contract = self._deployed("Track") or self._deploy("Track")
            if self._minted(contract, content) == metadata.value:
                return self._token(contract, content, None)
            signature = "mint(address,bytes32,bytes32,string)"
            mined = self._transact(contract, _encode(signature, owner, content.value, metadata.value, uri))
            return self._token(contract, content, mined.transaction)

    def token(self, content: Digest) -> Token | None:
        """Return the token of a track, or None if it was not minted by the remembered contract."""
        with self._session(write=False):
            contract = self._deployed("Track")
            if contract is None:
                return None
            return self._token(contract, content, None) if any(self._minted(contract, content)) else None

    def _minted(self, contract: str, content: Digest) -> bytes:
        """Return the metadata digest of a token, zeros if there is no such token."""
        return self._call(contract, _encode("metadataDigest(uint256)", int(content.hex, 16)))

    def _token(self, contract: str, content: Digest, transaction: str | None) -> Token:
        token_id = int(content.hex, 16)
        owner = self._call(contract, _encode("ownerOf(uint256)", token_id))
        metadata = self._minted(contract, content)
        (uri,) = _decode(["string"], self._call(contract, _encode("tokenURI(uint256)", token_id)))
        return Token(
            token_id,
            contract,
            _checksum(owner[12:]),
            Digest("sha256", metadata),
            uri,
            self.identity(),
            self.simulated,
            transaction,
        )

    def _deploy(self, name: str) -> str:
        mined = self._transact(None, bytes.fromhex(_artefact(name)["bytecode"][2:]))
        if mined.contract is None:
            raise ChainRefused(f"the transaction {mined.transaction} made no contract {name}; try again")
        address = _address(mined.contract)
        self._remember(name, address)
        return address

    def _deployed(self, name: str) -> str | None:
        """Return the remembered address, or None if there is none or its code is gone (a reset chain)."""
        address = self._remembered(name)
        return address if address is not None and self._code(address) else None

    def _check_code(self, name: str, address: str) -> None:
        found = self._code(address)
        if found != bytes.fromhex(_artefact(name)["deployedBytecode"][2:]):
            what = "other code" if found else "no code"
            raise ContractMismatch(f"there is {what} at {address}; expected the contract {name} of this program")

    def _entry(self, contract: str, root: bytes, leaf: bytes) -> Entry | None:
        raw = self._call(contract, _encode("lookup(bytes32,bytes32)", root, leaf))
        issuer, time, block, revoked_at = _decode(["address", "uint256", "uint256", "uint256"], raw)
        if not int(issuer, 16):
            return None
        return Entry(contract, _address(issuer), time, block, revoked_at, self._is_final(block))


def open_chain(*, chain_dir: Path | None = None, rpc: str | None = None, account_key: bytes | None = None) -> Chain:
    """Return the chain that the options name.

    Parameters
    ----------
    chain_dir : Path, optional
        Folder of the embedded chain; default ``chain`` in the user's data folder.
    rpc : str, optional
        URL of a JSON-RPC node; then `chain_dir` is not used.
    account_key : bytes, optional
        Private key for transactions over `rpc`; see `ledger.rpc.load_account_key`.

    Raises
    ------
    ExtraMissing
        If the extra ``chain`` is not installed.
    """
    if rpc is not None:
        from ledger.rpc import RpcChain

        return RpcChain(rpc, account_key)
    from ledger.embedded import EmbeddedChain

    return EmbeddedChain(chain_dir)


@contextmanager
def requires_extra() -> Iterator[None]:
    """Turn an import that fails for want of the extra ``chain`` into `ExtraMissing`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"the package {error.name} is not installed; install it with: pip install 'contraste[chain]'"
        ) from None


def revert_reason(data: bytes) -> str:
    """Return what a revert of our contracts means: the name of the custom error, or the raw bytes."""
    messages = {
        "AlreadyAnchored(bytes32)": "the root is anchored already",
        "AlreadyRevoked(bytes32,bytes32)": "it is revoked already",
        "ERC721InvalidReceiver(address)": "the owner may not be the zero address",
        "ERC721InvalidSender(address)": "this track has been minted already",
        "NotIssuer(bytes32,address)": "only the account that anchored the root may revoke it",
        "OwnableUnauthorizedAccount(address)": "only the owner of the Track contract may mint",
        "ZeroDigest()": "a digest may not be zero",
        "ZeroRoot()": "the root may not be zero",
    }
    for signature, message in messages.items():
        if data[:4] == keccak256(signature.encode())[:4]:
            return f"{message} ({signature.partition('(')[0]})"
    return f"reverted with 0x{data.hex()}" if data else "reverted without a reason"


@cache
def _artefact(name: str) -> dict[str, Any]:
    """Return a committed artefact: abi, bytecode, deployedBytecode."""
    text = Path(__file__).with_name("contracts").joinpath(f"{name}.json").read_text("utf-8")
    artefact: dict[str, Any] = json.loads(text)
    return artefact


def _encode(signature: str, *values: object) -> bytes:
    """Return the call data of a function, by the contract ABI."""
    with requires_extra():
        from eth_abi import abi
    types = signature[signature.index("(") + 1 : -1].split(",")
    return keccak256(signature.encode())[:4] + abi.encode(types, values)


def _decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    with requires_extra():
        from eth_abi import abi, exceptions
    try:
        return abi.decode(types, data)
    except exceptions.DecodingError as error:
        raise ChainRefused(f"the contract's answer 0x{data[:64].hex()} makes no sense: {error}") from None


def _address(text: str) -> str:
    """Return an address with its EIP-55 checksum; raises `ChainRefused` for anything else."""
    with requires_extra():
        eth_utils = import_module("eth_utils")
    if not eth_utils.is_address(text):
        raise ChainRefused(f"{text!r} is not an Ethereum address, or its checksum (EIP-55) is wrong")
    return str(eth_utils.to_checksum_address(text))


def _checksum(raw: bytes) -> str:
    return _address("0x" + raw.hex())

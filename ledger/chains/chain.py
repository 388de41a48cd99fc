"""Anchoring of Merkle roots, and tokens for tracks, on an Ethereum chain.

`Chain` holds what all chains share: the calls of the two contracts in ``ledger/contracts``. Two chains implement it:

- `ledger.chains.embedded.EmbeddedChain`, an EVM in this process over a database on disk. Nobody else keeps a copy,
  so its anchors prove nothing to others: `simulated` is True, and they are labelled so wherever shown.
- `ledger.chains.rpc.RpcChain`, any Ethereum node by JSON-RPC.

Departure from a usual client: a contract's address alone is never believed. Before anything is sent to it and
before an answer counts, the code at the address must equal the committed artefact byte for byte.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from ledger.chains.abi import address as checksummed
from ledger.chains.abi import creation_code, decode, encode, is_ours
from ledger.chains.evidence import Block, Event, evidence_of
from ledger.chains.networks import ChainIdentity
from ledger.chains.receipts import ZERO32, Entry, Mined, Receipt, Token, anchored_event, minted_event
from ledger.errors import ChainRefused, ContractMismatch, Malformed
from ledger.hashes.digest import Digest

MINT_BATCH = 100
"""Tokens minted by one transaction: 2.7 million gas, well below the limit of 16.7 million (EIP-7825)."""


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
    def block_hash(self, number: int) -> str | None:
        """Return the hash of a block of the chain as it is now, None if there is no such block."""

    @abstractmethod
    def _session(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold the chain for several calls; one writer at a time for each account."""

    @abstractmethod
    def _transact(self, to: str | None, data: bytes, deploys: str | None = None) -> Mined:
        """Send a transaction (`to` None: deploy and remember the contract `deploys`), and wait for its block."""

    @abstractmethod
    def _call(self, to: str, data: bytes) -> bytes:
        """Call without a transaction, on the latest state."""

    @abstractmethod
    def _code(self, address: str) -> bytes:
        """Return the code at an address, empty if there is none."""

    @abstractmethod
    def _block(self, number: int) -> Block:
        """Return a block with all its receipts."""

    @abstractmethod
    def _emitted_in(self, event: Event) -> int | None:
        """Return the number of the last block in which an event was emitted, None if the chain can't tell."""

    @abstractmethod
    def is_final(self, block: int) -> bool:
        """Return whether a block is finalized."""

    @abstractmethod
    def _remembered(self, contract: str) -> str | None:
        """Return the remembered address of a contract."""

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
            known = entry is not None
            if entry is None:
                self._transact(contract, encode("anchor(bytes32)", root))
                entry = self._entry(contract, root, ZERO32)
            if entry is None:
                raise ChainRefused(f"the root 0x{root.hex()} was sent and is not on the chain; try again")
            event = anchored_event(contract, root, entry.issuer)
            transaction, gas_used, evidence = evidence_of(self._block(entry.block), event)
            return Receipt(
                root, self.identity(), self.simulated, contract, entry.issuer, transaction, entry.block, entry.time,
                gas_used, evidence, known,
            )  # fmt: skip

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
            address = self._checked("Anchor", contract) if contract else self._deployed("Anchor")
            return None if address is None else self._entry(address, root, leaf)

    def revoke(self, root: bytes, leaf: bytes = ZERO32, reason: str = "", contract: str | None = None) -> Mined:
        """Revoke a leaf of a root, or the root itself; only the account that anchored it can.

        Parameters
        ----------
        root, leaf : bytes
            32 bytes each; a leaf of zeros stands for the whole root.
        reason : str
            For people; it is published.
        contract : str, optional
            Address of the anchor contract; default is the one remembered for this chain.
        """
        with self._session(write=True):
            address = self._checked("Anchor", contract) if contract else self._deployed("Anchor")
            if address is None:
                raise ChainRefused("nothing was anchored on this chain, so nothing can be revoked")
            return self._transact(address, encode("revoke(bytes32,bytes32,string)", root, leaf, reason))

    def mint(
        self, tracks: Sequence[tuple[Digest, Digest]], *, to: str | None = None, locked: bool = False
    ) -> tuple[Token, ...]:
        """Mint the tokens of tracks, deploying the contract if this account has none yet.

        A track that is minted already with the same metadata is not sent again. To the account itself, up to
        `MINT_BATCH` tracks share a transaction.

        Parameters
        ----------
        tracks : sequence of (Digest, Digest)
            SHA-256 of a track, whose number is the token id, so that the same bytes are minted once only; and
            SHA-256 of its metadata JSON.
        to : str, optional
            Address of the owner; default is `account`.
        locked : bool
            Whether the tokens can never be transferred; they come from a contract of their own then.

        Raises
        ------
        ChainRefused
            If a track was minted before with other metadata, or the address is invalid.
        """
        owner = self.account if to is None else checksummed(to)
        name = _track_contract(locked)
        with self._session(write=True):
            contract = self._deployed(name) or self._deploy(name)
            new: list[tuple[Digest, Digest]] = []
            for content, metadata in dict(tracks).items():
                metadata_digest = self._minted(contract, content)
                if metadata_digest is None:
                    new.append((content, metadata))
                elif metadata_digest != metadata.value:
                    raise ChainRefused(f"the track {content.hex[:16]}... has been minted already with other metadata")
            numbers = self._mint_new(contract, owner, new)
            blocks: dict[int, Block] = {}
            tokens = []
            for content, _ in tracks:
                event = minted_event(contract, owner, content)
                number = numbers.get(content) or self._emitted_in(event)
                token = replace(self._token(contract, content), minted_to=owner)
                if number is not None:
                    block = blocks[number] = blocks.get(number) or self._block(number)
                    transaction, gas_used, evidence = evidence_of(block, event)
                    token = replace(token, mined=Mined(transaction, number, block.time, gas_used), evidence=evidence)
                tokens.append(token)
            return tuple(tokens)

    def minted(self, contents: Sequence[Digest], *, locked: bool = False) -> dict[Digest, Digest]:
        """Return the metadata digests of those tracks that the account has minted already."""
        with self._session(write=True):
            contract = self._deployed(_track_contract(locked))
            digests = {} if contract is None else {content: self._minted(contract, content) for content in contents}
            return {content: Digest("sha256", value) for content, value in digests.items() if value is not None}

    def publish(self, contract: str, content: Digest, json: str) -> Mined:
        """Put the metadata JSON of a token on the chain, so that ``tokenURI`` answers it as data: URI."""
        with self._session(write=True):
            address = self._checked("Track", contract)
            return self._transact(address, encode("publish(uint256,string)", int(content.hex, 16), json))

    def set_royalty(self, receiver: str, basis_points: int, *, locked: bool = False) -> None:
        """Set who gets which share (1/10,000) of a sale of the account's tokens (ERC-2981), if it is not so already."""
        name = _track_contract(locked)
        with self._session(write=True):
            contract = self._deployed(name) or self._deploy(name)
            wanted = (checksummed(receiver), basis_points)
            if self._royalty(contract, 0) != wanted:
                self._transact(contract, encode("setRoyalty(address,uint96)", *wanted))

    def token(self, content: Digest, contract: str) -> Token | None:
        """Return the token of a track in a Track contract, or None if it was not minted there.

        Raises
        ------
        ContractMismatch
            If the code at the address is not that of our contract.
        """
        with self._session(write=False):
            address = self._checked("Track", contract)
            return None if self._minted(address, content) is None else self._token(address, content)

    def _mint_new(self, contract: str, owner: str, new: Sequence[tuple[Digest, Digest]]) -> dict[Digest, int]:
        """Mint tracks that are not minted yet; return the number of the block of each."""
        numbers: dict[Digest, int] = {}
        size = MINT_BATCH if owner == self.account else 1
        for start in range(0, len(new), size):
            part = new[start : start + size]
            if len(part) == 1:
                content, metadata = part[0]
                data = encode("mint(address,bytes32,bytes32)", owner, content.value, metadata.value)
            else:
                contents, digests = ([digest.value for digest in column] for column in zip(*part, strict=True))
                data = encode("mintBatch(bytes32[],bytes32[])", contents, digests)
            block = self._transact(contract, data).block
            numbers.update((content, block) for content, _ in part)
        return numbers

    def _minted(self, contract: str, content: Digest) -> bytes | None:
        """Return the metadata digest of a token, None if there is no such token."""
        digest = self._call(contract, encode("metadataDigest(uint256)", int(content.hex, 16)))
        return digest if any(digest) else None

    def _royalty(self, contract: str, token_id: int) -> tuple[str, int]:
        answer = self._call(contract, encode("royaltyInfo(uint256,uint256)", token_id, 10_000))
        receiver, share = decode(["address", "uint256"], answer)
        return checksummed(receiver), share

    def _token(self, contract: str, content: Digest) -> Token:
        token_id = int(content.hex, 16)

        def ask(function: str, kind: str) -> object:
            return decode([kind], self._call(contract, encode(f"{function}(uint256)", token_id)))[0]

        owner = checksummed(str(ask("ownerOf", "address")))
        metadata = self._minted(contract, content) or ZERO32
        return Token(
            token_id,
            contract,
            owner,
            Digest("sha256", metadata),
            str(ask("tokenURI", "string")),
            bool(ask("locked", "bool")),
            self.identity(),
            self.simulated,
        )

    def _deploy(self, name: str) -> str:
        contract, _, kind = name.partition(" ")
        code = creation_code(contract, *([bool(kind)] if contract == "Track" else []))
        mined = self._transact(None, code, deploys=name)
        if mined.contract is None:
            raise ChainRefused(f"the transaction {mined.transaction} made no contract {contract}; try again")
        return self._checked(name, mined.contract)

    def _deployed(self, name: str) -> str | None:
        """Return the remembered address, or None if there is none or its code is gone (a reset chain)."""
        address = self._remembered(name)
        return self._checked(name, address) if address is not None and self._code(address) else None

    def _checked(self, name: str, address: str) -> str:
        """Return the address with its checksum if our contract is there; raises `ContractMismatch` if not."""
        contract = name.partition(" ")[0]
        code = self._code(checksummed(address.lower()))
        if not is_ours(contract, code):
            what = "other code" if code else "no code"
            raise ContractMismatch(f"there is {what} at {address}; expected the contract {contract} of this program")
        return checksummed(address.lower())

    def _entry(self, contract: str, root: bytes, leaf: bytes) -> Entry | None:
        raw = self._call(contract, encode("lookup(bytes32,bytes32)", root, leaf))
        issuer, time, block, revoked_at = decode(["address", "uint256", "uint256", "uint256"], raw)
        if not int(issuer, 16):
            return None
        return Entry(contract, checksummed(issuer), time, block, revoked_at, self.is_final(block))


def _track_contract(locked: bool) -> str:
    """Return the name under which the account's Track contract is remembered."""
    return "Track locked" if locked else "Track"

"""The embedded chain: py-evm over a SQLite database, shared by processes and kept between them.

One session is one SQLite transaction: it loads the head from the database, runs the EVM, and commits block,
state and contract addresses together. A killed process leaves the chain as it was, and a second writer
waits for the first. Blocks are never replayed. The first writer makes the genesis block, which funds one
throw-away account whose key lies in the database: the chain is worth nothing and marked `simulated`.

What is read under a hash is checked against that hash, so damage is found where it is met.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.chains.abi import revert_reason
from ledger.chains.chain import Chain
from ledger.chains.evidence import Block, Event, MinedReceipt
from ledger.chains.networks import ChainIdentity
from ledger.chains.receipts import Mined
from ledger.errors import ChainRefused, ChainUnreachable, LedgerError, requires_extra
from ledger.hashes.merkle import keccak256
from ledger.paths import data_folder, make_folder

if TYPE_CHECKING:
    from eth.abc import MiningChainAPI

CHAIN_ID = 9_101_112_026
"""Chain id of every embedded chain; the genesis hash tells them apart."""
GENESIS_TIME = 1_767_225_600
GAS_LIMIT = 30_000_000
TRANSACTION_GAS = 10_000_000
GWEI = 10**9
FUNDS_WEI = 10**24


class EmbeddedChain(Chain):
    """An EVM of this program's own, in a folder.

    Parameters
    ----------
    folder : Path, optional
        Folder of ``chain.sqlite``; default ``chain`` in the user's data folder. It is made, with the chain
        in it, by the first transaction; a look-up before that raises `ChainUnreachable`.
    timeout_s : float
        How long to wait for other processes that use the chain.
    """

    simulated = True

    def __init__(self, folder: Path | None = None, *, timeout_s: float = 30.0) -> None:
        self.file = (folder or data_folder() / "chain") / "chain.sqlite"
        self._timeout_s = timeout_s
        self._database: sqlite3.Connection | None = None
        self._evm: MiningChainAPI | None = None

    @property
    def account(self) -> str:
        """Checksummed address of the throw-away account; makes the chain if there is none."""
        with self._session(write=True):
            return str(_key(self._meta("key")).public_key.to_checksum_address())

    def identity(self) -> ChainIdentity:
        """Return chain id and genesis hash."""
        with self._session(write=False):
            return ChainIdentity(int(self._meta("chain_id")), self._meta("genesis"))

    def block_of(self, transaction: str) -> int | None:
        """Return the number of the block that holds a transaction, None if no block does."""
        with self._session(write=False):
            try:
                return int(self._chain.get_canonical_transaction_index(_bytes(transaction))[0])
            except _classes().transaction_not_found:
                return None

    def block_hash(self, number: int) -> str | None:
        """Return the hash of a block, None if there is no such block."""
        from eth_typing import BlockNumber

        with self._session(write=False):
            if number > self._chain.get_canonical_head().block_number:
                return None
            return "0x" + self._chain.get_canonical_block_header_by_number(BlockNumber(number)).hash.hex()

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[None]:
        if self._database is not None:  # inside another session
            yield
            return
        damage = _classes().damage
        self._prepare_file(write)
        try:
            with closing(sqlite3.connect(self.file, timeout=self._timeout_s, isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                self._database = database
                self._load(write)
                yield
                database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # Locked, full, read-only: SQLite's own words, e.g. "database is locked".
            raise ChainUnreachable(
                f"the embedded chain {self.file} cannot be used: {error}; another process may hold it "
                f"(waited up to {self._timeout_s:g} s), or the disk is full or read-only"
            ) from None
        except damage as error:
            raise ChainUnreachable(
                f"the embedded chain {self.file} is damaged ({type(error).__name__}: {str(error)[:120]}); "
                "restore it from a copy, or choose another folder with --chain-dir"
            ) from None
        finally:
            # Closing without COMMIT has rolled everything back.
            self._database = self._evm = None

    def _prepare_file(self, write: bool) -> None:
        if not write:
            if not self.file.is_file() or self.file.stat().st_size == 0:
                raise ChainUnreachable(
                    f"there is no embedded chain at {self.file.parent}; name its folder with --chain-dir"
                )
            return
        try:
            make_folder(self.file.parent, 0o755)  # a chain may be handed to others
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerError(f"cannot write the embedded chain {self.file}: {error.strerror}") from None

    def _load(self, write: bool) -> None:
        """Open the chain at its head, making the genesis block in an empty database."""
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            if not write:
                raise ChainUnreachable(f"there is no embedded chain at {self.file.parent} yet; anchor something first")
            self._connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._connection.execute("CREATE TABLE nodes (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
            self._create()
        chain = _classes()
        self._evm = chain.evm(chain.database(self._connection))

    def _create(self) -> None:
        _import_evm()
        from eth.constants import (
            BLANK_ROOT_HASH,
            POST_MERGE_DIFFICULTY,
            POST_MERGE_MIX_HASH,
            POST_MERGE_NONCE,
            ZERO_ADDRESS,
        )
        from eth_typing import BlockNumber

        secret = os.urandom(32).hex()
        address = _key(secret).public_key.to_canonical_address()
        parameters: dict[str, Any] = {
            "coinbase": ZERO_ADDRESS,
            "difficulty": POST_MERGE_DIFFICULTY,
            "extra_data": b"contraste",
            "gas_limit": GAS_LIMIT,
            "mix_hash": POST_MERGE_MIX_HASH,
            "nonce": POST_MERGE_NONCE,
            "receipt_root": BLANK_ROOT_HASH,
            "timestamp": GENESIS_TIME,
            "transaction_root": BLANK_ROOT_HASH,
        }
        funded: Any = {"balance": FUNDS_WEI, "storage": {}, "code": b"", "nonce": 0}
        chain = _classes()
        evm = chain.evm.from_genesis(chain.database(self._connection), parameters, {address: funded})
        genesis = evm.get_canonical_block_header_by_number(BlockNumber(0)).hash
        for name, value in (("key", secret), ("chain_id", str(CHAIN_ID)), ("genesis", "0x" + genesis.hex())):
            self._set_meta(name, value)

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise ChainUnreachable("the embedded chain is used outside a session")
        return self._database

    @property
    def _chain(self) -> MiningChainAPI:
        if self._evm is None:
            raise ChainUnreachable("the embedded chain is used outside a session")
        return self._evm

    def _meta(self, name: str) -> str:
        value = self._remembered(name)
        if value is None:
            raise KeyError(name)
        return value

    def _set_meta(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _remembered(self, contract: str) -> str | None:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (contract,)).fetchone()
        return None if row is None else str(row[0])

    def is_final(self, block: int) -> bool:
        """Return whether a block is finalized."""
        return True  # nobody else mines, so nothing is ever reorganised

    def _block(self, number: int) -> Block:
        from eth_typing import BlockNumber

        block = self._chain.get_canonical_block_by_number(BlockNumber(number))
        receipts, before = [], 0
        for transaction, receipt in zip(block.transactions, block.get_receipts(self._chain.chaindb), strict=True):
            events = tuple(
                Event(log.address, tuple(topic.to_bytes(32, "big") for topic in log.topics)) for log in receipt.logs
            )
            gas = receipt.gas_used - before
            receipts.append(MinedReceipt("0x" + transaction.hash.hex(), receipt.encode(), gas, events))
            before = receipt.gas_used
        header = import_module("rlp").encode(block.header)
        return Block("0x" + block.hash.hex(), block.header.timestamp, header, tuple(receipts))

    def _emitted_in(self, event: Event) -> int | None:
        numbers = range(self._chain.get_canonical_head().block_number, 0, -1)
        return next((n for n in numbers if any(event in receipt.events for receipt in self._block(n).receipts)), None)

    def _code(self, address: str) -> bytes:
        return bytes(self._chain.get_vm().state.get_code(_bytes(address)))

    def _transact(self, to: str | None, data: bytes, deploys: str | None = None) -> Mined:
        evm = self._chain
        key = _key(self._meta("key"))
        nonce = evm.get_vm().state.get_nonce(key.public_key.to_canonical_address())
        base_fee = evm.header.base_fee_per_gas or GWEI
        builder: Any = evm.get_vm().get_transaction_builder()
        unsigned = builder.new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=nonce,
            max_priority_fee_per_gas=GWEI,
            max_fee_per_gas=2 * base_fee + GWEI,
            gas=TRANSACTION_GAS,
            to=b"" if to is None else _bytes(to),
            value=0,
            data=data,
            access_list=(),
        )
        signed = unsigned.as_signed_transaction(key)
        _, receipt, computation = evm.apply_transaction(signed)
        if computation.is_error:
            raise ChainRefused(
                f"the embedded chain refused the transaction: {revert_reason(bytes(computation.output))}"
            )
        block = evm.mine_block(mix_hash=os.urandom(32), blob_gas_used=0)
        contract = None if to is not None else _add_checksum(computation.msg.storage_address)
        if deploys is not None and contract is not None:
            self._set_meta(deploys, contract)
        return Mined("0x" + signed.hash.hex(), block.number, block.header.timestamp, receipt.gas_used, contract)

    def _call(self, to: str, data: bytes) -> bytes:
        from eth.exceptions import VMError
        from eth.vm.spoof import SpoofTransaction

        evm = self._chain
        unsigned = evm.create_unsigned_transaction(
            nonce=0, gas_price=0, gas=TRANSACTION_GAS, to=_bytes(to), value=0, data=data
        )
        spoofed: Any = SpoofTransaction(unsigned, from_=bytes(20))
        try:
            return bytes(evm.get_transaction_result(spoofed, evm.get_canonical_head()))
        except VMError as error:
            reason = error.args[0] if error.args and isinstance(error.args[0], bytes) else None
            reason_text = str(error) if reason is None else revert_reason(reason)
            raise ChainRefused(f"the contract at {to} refused the call: {reason_text}") from None


def _import_evm() -> None:
    """Import py-evm, which raises the interpreter's recursion limit to 100,000, and put the limit back.

    Parsers of nested files rely on it: beyond what the stack holds, there would be no error but the end of the process.
    """
    limit = sys.getrecursionlimit()
    import eth  # noqa: F401

    sys.setrecursionlimit(limit)


class _Classes:
    """The py-evm classes made here; py-evm takes 0.7 s to import, so not before they are needed."""

    def __init__(self) -> None:
        _import_evm()
        from eth.chains.base import MiningChain
        from eth.db.backends.base import BaseAtomicDB
        from eth.exceptions import PyEVMError, TransactionNotFound
        from eth.vm.forks.prague import PragueVM
        from eth_utils.exceptions import ValidationError
        from trie.exceptions import MissingTrieNode

        class Database(BaseAtomicDB):
            """Keys and values of py-evm in the session's transaction, which makes every batch atomic."""

            def __init__(self, connection: sqlite3.Connection) -> None:
                self._connection = connection

            def __getitem__(self, key: bytes) -> bytes:
                row = self._connection.execute("SELECT value FROM nodes WHERE key = ?", (key,)).fetchone()
                if row is None:
                    raise KeyError(key)
                value = bytes(row[0])
                if len(key) == 32 and keccak256(value) != key:
                    raise KeyError(f"the value under 0x{key.hex()} has another hash")
                return value

            def __setitem__(self, key: bytes, value: bytes) -> None:
                self._connection.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?)", (key, value))

            def __delitem__(self, key: bytes) -> None:
                self._connection.execute("DELETE FROM nodes WHERE key = ?", (key,))

            def _exists(self, key: bytes) -> bool:
                row = self._connection.execute("SELECT 1 FROM nodes WHERE key = ?", (key,)).fetchone()
                return row is not None

            @contextmanager
            def atomic_batch(self) -> Iterator[Any]:
                yield self

        class Evm(MiningChain):
            """Prague rules from block 0; the gas limit never moves."""

            chain_id = CHAIN_ID
            vm_configuration: Any = ((0, PragueVM),)

            def create_header_from_parent(self, parent_header: Any, **parameters: Any) -> Any:
                return super().create_header_from_parent(
                    parent_header, **(parameters | {"gas_limit": parent_header.gas_limit})
                )

        self.database = Database
        self.evm = Evm
        self.transaction_not_found = TransactionNotFound
        self.damage: tuple[type[Exception], ...] = (
            KeyError,
            MissingTrieNode,
            PyEVMError,
            ValidationError,
            import_module("rlp.exceptions").RLPException,
            sqlite3.DatabaseError,
        )


@cache
def _classes() -> _Classes:
    limit = sys.getrecursionlimit()
    try:
        with requires_extra():
            return _Classes()
    finally:
        # py-evm raises it for calls nested 1,024 deep, at which C code elsewhere overruns its stack.
        sys.setrecursionlimit(limit)


def _key(secret: str) -> Any:
    from eth_keys.datatypes import PrivateKey

    return PrivateKey(bytes.fromhex(secret))


def _bytes(text: str) -> Any:
    return bytes.fromhex(text[2:])


def _add_checksum(raw: bytes) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(raw))

"""An Ethereum node over JSON-RPC (Ethereum JSON-RPC specification; fees by EIP-1559).

Requests go through web3's HTTP provider, transactions are signed here by eth-account, so the key never
leaves this process. What a node says is doubted: its chain id is asked again before each transaction, which
EIP-155 binds to it, and the fee has a cap of the user's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from ledger.chains.account import ACCOUNT_VARIABLE, PUBLIC_ACCOUNTS
from ledger.chains.chain import Chain
from ledger.chains.evidence import Block, Event, MinedReceipt, encode_header, encode_receipt
from ledger.chains.jsonrpc import Node
from ledger.chains.networks import ChainIdentity, chain_id_of, check_network
from ledger.chains.pending import Pending, lock_account
from ledger.chains.receipts import Mined
from ledger.errors import ChainRefused, ChainUnreachable, KeyUnusable, NotFinal, requires_extra
from ledger.hashes.digest import canonical_json, read_json, write_atomic
from ledger.paths import data_folder, make_folder

DEFAULT_MAX_FEE_GWEI = 100.0
GWEI = 10**9
MAX_GAS = 2**24
"""Most gas that a transaction may have on Ethereum (EIP-7825)."""
LOCAL_CHAINS = (1337, 31_337)


class _Reverted(ChainRefused):
    """A transaction is in a block and did nothing."""


class RpcChain(Chain):
    """A chain behind a JSON-RPC endpoint.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``. Path and query may hold an API key, so messages show the host only.
    account_key : bytes, optional
        Private key of 32 bytes, from `load_account_key`; look-ups need none.
    network : str, optional
        Name or chain id of the network that the node must be on; see `ledger.chains.networks`.
    mean_mainnet : bool
        Whether a chain where transactions cost real money is meant.
    max_fee_gwei : float
        Most that a unit of gas may cost, in 10**9 wei.
    timeout_s : float
        Limit for one whole answer.
    mining_timeout_s : float
        How long to wait for a transaction's block.

    Raises
    ------
    ChainRefused
        If the URL is of another kind, or the network is not known or was shut down.
    ExtraMissing
        If the extra ``chain`` is not installed.
    """

    simulated = False

    def __init__(
        self,
        url: str,
        account_key: bytes | None = None,
        *,
        network: str | None = None,
        mean_mainnet: bool = False,
        max_fee_gwei: float = DEFAULT_MAX_FEE_GWEI,
        timeout_s: float = 10.0,
        mining_timeout_s: float = 180.0,
    ) -> None:
        if not 0 < max_fee_gwei < 1e9:
            raise ChainRefused(f"the fee cap of {max_fee_gwei:g} gwei is not between 0 and 1e9")
        self._expected = None if network is None else chain_id_of(network)
        self._mean_mainnet = mean_mainnet
        self._max_fee_wei = int(max_fee_gwei * GWEI)
        with requires_extra():
            from eth_account import Account
        self._account = None if account_key is None else Account.from_key(account_key)
        self._node = Node(url, timeout_s)
        self._mining_timeout_s = mining_timeout_s
        self._writing = False

    @property
    def account(self) -> str:
        """Checksummed address that pays; raises `KeyUnusable` if no key was given."""
        return str(self._signer.address)

    def identity(self) -> ChainIdentity:
        """Return chain id and genesis hash; raises `ChainRefused` for chains that may not be used."""
        return self._identity

    def block_of(self, transaction: str) -> int | None:
        """Return the number of the block that holds a transaction, None if no block does."""
        receipt = self._node.request("eth_getTransactionReceipt", transaction)
        return None if receipt is None else self._node.number(receipt, "blockNumber")

    def block_hash(self, number: int) -> str | None:
        """Return the hash of a block of the chain as the node has it now, None if there is no such block."""
        block = self._node.request("eth_getBlockByNumber", hex(number), False)
        return None if block is None else self._node.text(block, "hash")

    @property
    def _signer(self) -> Any:
        if self._account is None:
            raise KeyUnusable(f"no Ethereum account; set {ACCOUNT_VARIABLE} or name a keystore file")
        return self._account

    @cached_property
    def _identity(self) -> ChainIdentity:
        identity = ChainIdentity(self._node.quantity("eth_chainId"), self._node.text(self._block_fields("0x0"), "hash"))
        check_network(identity, self._node.host, self._expected, self._mean_mainnet)
        return identity

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[None]:
        self.identity()
        if not write or self._writing:
            yield
            return
        if self.account in PUBLIC_ACCOUNTS and self.identity().chain_id not in LOCAL_CHAINS:
            raise KeyUnusable(
                f"the key of {self.account} is public, it comes with every test node; use one of your own"
            )
        with lock_account(self._folder / f"{self.account}.lock", self.account):
            self._writing = True
            try:
                self._settle()
                yield
            finally:
                self._writing = False

    def _settle(self) -> None:
        """Find out what became of a transaction whose receipt an earlier run did not see."""
        pending = Pending.read(self._pending_file)
        if pending is None:
            return
        self._check_chain_id()
        if self._is_replaced(pending):
            self._pending_file.unlink(missing_ok=True)
            return
        if self.block_of(pending.transaction) is None:
            if int(pending.max_fee_wei) < self._base_fee():  # it cannot be mined at this price: same nonce, more money
                pending = self._sign(pending.to or None, pending.data, pending.deploys, pending)
            self._broadcast(pending)
        try:
            self._wait(pending)
        except _Reverted:
            return  # nothing was done, and the command goes on

    def _transact(self, to: str | None, data: bytes, deploys: str | None = None) -> Mined:
        self._check_chain_id()
        pending = self._sign(to, "0x" + data.hex(), deploys or "", None)
        self._broadcast(pending)
        return self._wait(pending)

    def _sign(self, to: str | None, data: str, deploys: str, before: Pending | None) -> Pending:
        """Sign a transaction, or one that takes the place of another and pays at least an eighth more."""
        base_fee = self._base_fee()
        priority_fee = self._node.quantity("eth_maxPriorityFeePerGas")
        max_fee = 2 * base_fee + priority_fee
        least = base_fee + priority_fee
        if before is not None:
            priority_fee = max(priority_fee, int(before.priority_fee_wei) * 9 // 8 + 1)
            least = max(base_fee + priority_fee, int(before.max_fee_wei) * 9 // 8 + 1)
        max_fee = min(max(max_fee, least), self._max_fee_wei)
        if least > max_fee:
            raise ChainRefused(
                f"a unit of gas costs {least / GWEI:.9g} gwei on chain "
                f"{self.identity().chain_id}, and at most {self._max_fee_wei / GWEI:.9g} gwei may be paid; wait, or "
                "raise --max-fee-gwei"
            )
        fields: dict[str, Any] = {"from": self.account, "data": data} | ({"to": to} if to else {})
        gas = min(self._node.quantity("eth_estimateGas", fields) * 6 // 5, MAX_GAS)
        balance = self._node.quantity("eth_getBalance", self.account, "latest")
        if balance < gas * max_fee:
            raise ChainRefused(
                f"the account {self.account} has {balance} wei on chain {self.identity().chain_id} and the "
                f"transaction may cost {gas * max_fee} wei; send it funds (test networks have faucets)"
            )
        nonce = before.nonce if before else self._node.quantity("eth_getTransactionCount", self.account, "pending")
        del fields["from"]
        signed = self._signer.sign_transaction(
            fields
            | {
                "chainId": self.identity().chain_id,
                "nonce": nonce,
                "gas": gas,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": priority_fee,
                "value": 0,
                "type": 2,
            }
        )
        transaction, raw = ("0x" + bytes(part).hex() for part in (signed.hash, signed.raw_transaction))
        pending = Pending(transaction, nonce, to or "", data, str(max_fee), str(priority_fee), raw, deploys)
        pending.write(self._pending_file)
        return pending

    def _broadcast(self, pending: Pending) -> None:
        """Send the signed bytes; a refusal counts only if the node does not have the transaction."""
        try:
            self._node.request("eth_sendRawTransaction", pending.raw)
        except ChainRefused:
            if self._node.request("eth_getTransactionByHash", pending.transaction) is None and not self._is_replaced(
                pending
            ):
                self._pending_file.unlink(missing_ok=True)
                raise

    def _wait(self, pending: Pending) -> Mined:
        """Wait for the block of a transaction; afterwards its fate is known, and the record of it is removed."""
        limit = time.monotonic() + self._mining_timeout_s
        pause = 0.05
        while (receipt := self._node.request("eth_getTransactionReceipt", pending.transaction)) is None:
            if self._is_replaced(pending):
                self._pending_file.unlink(missing_ok=True)
                raise NotFinal(
                    f"the transaction {pending.transaction} was replaced by another one of the account "
                    f"{self.account} with the same nonce {pending.nonce}; run the command again"
                )
            if time.monotonic() > limit:
                raise NotFinal(
                    f"the transaction {pending.transaction} was sent to {self._node.host} and is in no block after "
                    f"{self._mining_timeout_s:g} s; run the command again "
                    "later: it is looked for before anything else is sent"
                )
            time.sleep(pause)
            pause = min(2 * pause, 4.0)
        mined = Mined(
            pending.transaction,
            self._node.number(receipt, "blockNumber"),
            self._node.number(self._block_fields(self._node.text(receipt, "blockNumber")), "timestamp"),
            self._node.number(receipt, "gasUsed"),
            self._node.text(receipt, "contractAddress") if pending.deploys else None,
        )
        reverted = self._node.number(receipt, "status") != 1
        if pending.deploys and mined.contract and not reverted:
            self._remember(pending.deploys, mined.contract)
        self._pending_file.unlink(missing_ok=True)
        if reverted:
            raise _Reverted(f"the transaction {pending.transaction} was reverted")
        return mined

    def _is_replaced(self, pending: Pending) -> bool:
        """Return whether another transaction with the same nonce was mined."""
        used = self._node.quantity("eth_getTransactionCount", self.account, "latest") > pending.nonce
        return used and self._node.request("eth_getTransactionReceipt", pending.transaction) is None

    def _check_chain_id(self) -> None:
        chain_id = self._node.quantity("eth_chainId")
        if chain_id != self.identity().chain_id:
            raise ChainRefused(
                f"{self._node.host} was chain {self.identity().chain_id} and now says it is {chain_id}; "
                "nothing was sent"
            )

    def _base_fee(self) -> int:
        return self._node.number(self._block_fields("latest"), "baseFeePerGas")

    def _call(self, to: str, data: bytes) -> bytes:
        return self._node.raw(self._node.request("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))

    def _code(self, address: str) -> bytes:
        return self._node.raw(self._node.request("eth_getCode", address, "latest"))

    def _block(self, number: int) -> Block:
        block = self._block_fields(hex(number))
        try:
            answers = self._node.request("eth_getBlockReceipts", hex(number))
        except ChainRefused:  # not every node has it
            answers = [
                self._node.request("eth_getTransactionReceipt", transaction) for transaction in block["transactions"]
            ]
        try:
            receipts = tuple(
                MinedReceipt(
                    answer["transactionHash"],
                    encode_receipt(answer),
                    int(answer["gasUsed"], 16),
                    tuple(
                        Event(self._node.raw(log["address"]), tuple(self._node.raw(topic) for topic in log["topics"]))
                        for log in answer["logs"]
                    ),
                )
                for answer in answers
            )
            return Block(self._node.text(block, "hash"), int(block["timestamp"], 16), encode_header(block), receipts)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ChainUnreachable(f"{self._node.host} sent a block {number} that is none of Ethereum's") from None

    def _emitted_in(self, event: Event) -> int | None:
        asked = {"address": "0x" + event.contract.hex(), "topics": ["0x" + topic.hex() for topic in event.topics]}
        try:
            logs = self._node.request("eth_getLogs", asked | {"fromBlock": "0x0", "toBlock": "latest"})
        except ChainRefused:  # some nodes search a limited number of blocks only
            return None
        return self._node.number(logs[-1], "blockNumber") if isinstance(logs, list) and logs else None

    def is_final(self, block: int) -> bool:
        """Return whether a block is finalized."""
        try:
            return self._node.number(self._block_fields("finalized"), "number") >= block
        except (ChainRefused, ChainUnreachable):  # some test nodes know no finalized block
            return False

    @property
    def _folder(self) -> Path:
        identity = self.identity()
        return data_folder() / "chains" / f"{identity.chain_id}-{identity.genesis[2:18]}"

    @property
    def _pending_file(self) -> Path:
        return self._folder / f"{self.account}.pending.json"

    def _contracts(self) -> dict[str, Any]:
        file = self._folder / "contracts.json"
        if not file.exists():
            return {}
        content = read_json(file)
        return content if isinstance(content, dict) else {}

    def _remembered(self, contract: str) -> str | None:
        address = self._contracts().get(self._memory_name(contract))
        return address if isinstance(address, str) else None

    def _remember(self, contract: str, address: str) -> None:
        make_folder(self._folder)
        # Two accounts may deploy at once, and share the file.
        with lock_account(self._folder / "contracts.lock", self.account):
            content = self._contracts() | {self._memory_name(contract): address}
            write_atomic(self._folder / "contracts.json", canonical_json(content) + b"\n")

    def _memory_name(self, contract: str) -> str:
        # Only who deployed a Track contract can mint with it; anybody can use an Anchor.
        return contract if contract == "Anchor" or self._account is None else f"{contract}:{self.account}"

    def _block_fields(self, number: str) -> Any:
        block = self._node.request("eth_getBlockByNumber", number, False)
        if not isinstance(block, dict):
            raise ChainUnreachable(f"the chain at {self._node.host} has no block {number}")
        return block

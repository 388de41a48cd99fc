"""An Ethereum node over JSON-RPC (Ethereum JSON-RPC specification; fees by EIP-1559).

Requests go through web3's HTTP provider, transactions are signed here by eth-account, so the key never
leaves this process. Mainnet is refused, and so are the test networks that were shut down.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ledger.chain import Chain, ChainIdentity, Mined, requires_extra, revert_reason
from ledger.digest import canonical_json, parse_json, read_bytes, write_atomic
from ledger.errors import ChainRefused, ChainUnreachable, KeyUnusable, LedgerError, NotFinal
from ledger.keys import data_folder

__all__ = ["ACCOUNT_VARIABLE", "RpcChain", "load_account_key"]

ACCOUNT_VARIABLE = "CONTRASTE_ETH_KEY"
REFUSED_CHAINS = {
    1: "mainnet, where transactions cost real money; use a test network such as Sepolia (11155111)",
    5: "Goerli, which was shut down; use Sepolia (11155111) or Hoodi (560048)",
    17000: "Holesky, which was shut down; use Sepolia (11155111) or Hoodi (560048)",
}
MAX_KEYSTORE_SCRYPT_N = 2**20


def load_account_key(keystore: Path | None = None, password: str | None = None) -> bytes | None:
    """Return the private key of the Ethereum account that pays.

    Parameters
    ----------
    keystore : Path, optional
        Encrypted keystore file, version 3. Without it, the environment variable ``CONTRASTE_ETH_KEY`` is
        read: 64 hexadecimal digits, with or without ``0x``.
    password : str, optional
        Password of the keystore.

    Returns
    -------
    bytes or None
        32 bytes; None if neither a keystore nor the variable is given.

    Raises
    ------
    KeyUnusable
        If the keystore is unreadable or malformed, the password is wrong or absent, or the variable is not
        a key. The message never holds the key.
    """
    if keystore is None:
        text = os.environ.get(ACCOUNT_VARIABLE, "")
        if not text:
            return None
        try:
            key = bytes.fromhex(text.strip().removeprefix("0x"))
        except ValueError:
            key = b""
        if len(key) != 32 or not any(key):
            raise KeyUnusable(f"{ACCOUNT_VARIABLE} is not a private key (64 hexadecimal digits)")
        return key
    if not password:
        raise KeyUnusable(f"the keystore {keystore} needs a password")
    with requires_extra():
        from eth_keyfile.keyfile import decode_keyfile_json
    try:
        content = parse_json(read_bytes(keystore), source=str(keystore))
        if int(content["crypto"]["kdfparams"].get("n", 0)) > MAX_KEYSTORE_SCRYPT_N:
            raise KeyUnusable(f"{keystore}: scrypt n is over {MAX_KEYSTORE_SCRYPT_N}")
        return bytes(decode_keyfile_json(content, password.encode()))
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise KeyUnusable(f"{keystore} does not open: {error}; check the password and the file") from None
    except LedgerError as error:
        raise KeyUnusable(str(error)) from None


class RpcChain(Chain):
    """A chain behind a JSON-RPC endpoint.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``. Path and query may hold an API key, so messages show the host only.
    account_key : bytes, optional
        Private key of 32 bytes, from `load_account_key`; look-ups need none.
    timeout_s : float
        Limit for one answer.
    mining_timeout_s : float
        How long to wait for a transaction's block.

    Raises
    ------
    ChainRefused
        If the URL is of another kind.
    ExtraMissing
        If the extra ``chain`` is not installed.
    """

    simulated = False

    def __init__(
        self,
        url: str,
        account_key: bytes | None = None,
        *,
        timeout_s: float = 10.0,
        mining_timeout_s: float = 180.0,
    ) -> None:
        try:
            parts = urlsplit(url)
            self._host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        except ValueError:
            raise ChainRefused("the URL of the chain is malformed; expected http(s)://host[:port]/...") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ChainRefused(f"the URL of the chain must start with http:// or https://, not {parts.scheme!r}")
        with requires_extra():
            from eth_account import Account
            from web3.providers import HTTPProvider
        # Retries would repeat eth_sendRawTransaction and triple the wait for a dead node.
        self._provider = HTTPProvider(url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=None)
        self._account = None if account_key is None else Account.from_key(account_key)
        self._mining_timeout_s = mining_timeout_s

    @property
    def account(self) -> str:
        """Checksummed address that pays; raises `KeyUnusable` if no key was given."""
        return str(self._signer.address)

    def identity(self) -> ChainIdentity:
        """Return chain id and genesis hash; raises `ChainRefused` for mainnet and dead test networks."""
        return self._identity

    def block_of(self, transaction: str) -> int | None:
        """Return the number of the block that holds a transaction, None if no block does."""
        receipt = self._request("eth_getTransactionReceipt", transaction)
        return None if receipt is None else int(self._text(receipt, "blockNumber"), 16)

    @property
    def _signer(self) -> Any:
        if self._account is None:
            raise KeyUnusable(f"no Ethereum account; set {ACCOUNT_VARIABLE} or name a keystore file")
        return self._account

    @cached_property
    def _identity(self) -> ChainIdentity:
        chain_id = self._quantity("eth_chainId")
        if chain_id in REFUSED_CHAINS:
            raise ChainRefused(f"{self._host} is chain {chain_id}: {REFUSED_CHAINS[chain_id]}")
        return ChainIdentity(chain_id, self._text(self._block("0x0"), "hash"))

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[None]:
        self.identity()
        if write:
            self.account  # noqa: B018 - raises before anything is sent
        yield

    def _transact(self, to: str | None, data: bytes) -> Mined:
        base_fee = int(self._text(self._block("latest"), "baseFeePerGas"), 16)
        priority_fee = self._quantity("eth_maxPriorityFeePerGas")
        fields: dict[str, Any] = {"from": self.account, "data": "0x" + data.hex()} | ({"to": to} if to else {})
        gas = self._quantity("eth_estimateGas", fields) * 6 // 5
        max_fee = 2 * base_fee + priority_fee
        balance = self._quantity("eth_getBalance", self.account, "latest")
        if balance < gas * max_fee:
            raise ChainRefused(
                f"the account {self.account} has {balance} wei on chain {self.identity().chain_id} and the "
                f"transaction may cost {gas * max_fee} wei; send it funds (test networks have faucets)"
            )
        del fields["from"]
        signed = self._signer.sign_transaction(
            fields
            | {
                "chainId": self.identity().chain_id,
                "nonce": self._quantity("eth_getTransactionCount", self.account, "pending"),
                "gas": gas,
                "maxFeePerGas": max_fee,
                "maxPriorityFeePerGas": priority_fee,
                "value": 0,
                "type": 2,
            }
        )
        transaction = "0x" + bytes(signed.hash).hex()
        self._request("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        return self._wait(transaction)

    def _wait(self, transaction: str) -> Mined:
        limit = time.monotonic() + self._mining_timeout_s
        pause = 0.05
        while (receipt := self._request("eth_getTransactionReceipt", transaction)) is None:
            if time.monotonic() > limit:
                raise NotFinal(
                    f"the transaction {transaction} was sent to {self._host} and is in no block after "
                    f"{self._mining_timeout_s:g} s; run the command again "
                    "later: a root that is on the chain by then is not sent twice"
                )
            time.sleep(pause)
            pause = min(2 * pause, 4.0)
        if int(self._text(receipt, "status"), 16) != 1:
            raise ChainRefused(f"the transaction {transaction} was reverted")
        block = self._text(receipt, "blockNumber")
        return Mined(
            transaction,
            int(block, 16),
            int(self._text(self._block(block), "timestamp"), 16),
            int(self._text(receipt, "gasUsed"), 16),
            receipt.get("contractAddress"),
        )

    def _call(self, to: str, data: bytes) -> bytes:
        return self._bytes(self._request("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))

    def _code(self, address: str) -> bytes:
        return self._bytes(self._request("eth_getCode", address, "latest"))

    def _is_final(self, block: int) -> bool:
        try:
            return int(self._text(self._block("finalized"), "number"), 16) >= block
        except (ChainRefused, ChainUnreachable):  # some test nodes know no finalized block
            return False

    @property
    def _memory(self) -> Path:
        identity = self.identity()
        return data_folder() / "chains" / f"{identity.chain_id}-{identity.genesis[2:18]}.json"

    def _contracts(self) -> dict[str, Any]:
        if not self._memory.exists():
            return {}
        content = parse_json(read_bytes(self._memory), source=str(self._memory))
        return content if isinstance(content, dict) else {}

    def _remembered(self, contract: str) -> str | None:
        address = self._contracts().get(self._memory_name(contract))
        return address if isinstance(address, str) else None

    def _remember(self, contract: str, address: str) -> None:
        content = self._contracts() | {self._memory_name(contract): address}
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"cannot make the folder {self._memory.parent}: {error.strerror}") from None
        write_atomic(self._memory, canonical_json(content) + b"\n")

    def _memory_name(self, contract: str) -> str:
        # Only its owner can mint with a Track contract; anybody can use an Anchor.
        return contract if contract == "Anchor" or self._account is None else f"{contract}:{self.account}"

    def _request(self, method: str, *parameters: object) -> Any:
        with requires_extra():
            from requests.exceptions import RequestException
            from web3.exceptions import Web3Exception
            from web3.types import RPCEndpoint
        try:
            answer: Any = self._provider.make_request(RPCEndpoint(method), list(parameters))
        except (RequestException, Web3Exception, ValueError) as error:
            # Only the kind of error: its text may hold the whole URL.
            raise ChainUnreachable(
                f"the chain at {self._host} did not answer {method} ({type(error).__name__}); "
                "check the URL and the network"
            ) from None
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise ChainUnreachable(f"{self._host} answered {method} with something that is not JSON-RPC")
        if answer.get("error") is not None:
            raise ChainRefused(f"the chain at {self._host} refused {method}: {_explain(answer['error'])}")
        return answer["result"]

    def _block(self, number: str) -> Any:
        block = self._request("eth_getBlockByNumber", number, False)
        if block is None:
            raise ChainUnreachable(f"the chain at {self._host} has no block {number}")
        return block

    def _quantity(self, method: str, *parameters: object) -> int:
        answer = self._request(method, *parameters)
        try:
            return int(answer, 16)
        except (TypeError, ValueError):
            raise ChainUnreachable(f"{self._host} answered {method} with {answer!r}, which is no number") from None

    def _bytes(self, answer: object) -> bytes:
        try:
            return bytes.fromhex(str(answer).removeprefix("0x"))
        except ValueError:
            raise ChainUnreachable(f"{self._host} answered {str(answer)[:80]!r}, which is not hexadecimal") from None

    def _text(self, answer: Any, field: str) -> str:
        value = answer.get(field) if isinstance(answer, dict) else None
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ChainUnreachable(f"{self._host} sent no {field}; the node is not an EIP-1559 chain or is broken")
        return value


def _explain(error: object) -> str:
    """Return what a JSON-RPC error object says; revert data of our contracts gets its name."""
    if not isinstance(error, dict):
        return str(error)[:200]
    data = error.get("data")
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        try:
            return revert_reason(bytes.fromhex(data[2:]))
        except ValueError:
            pass
    return f"{error.get('message', 'no message')} (code {error.get('code')})"[:200]

"""A chain over JSON-RPC: a small server in this process answers out of eth-tester."""

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cases.values import require

pytest.importorskip("web3")
pytest.importorskip("eth_tester")

from eth_account import Account
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed, TransactionNotFound

from ledger.chains.account import load_account_key
from ledger.chains.opening import open_chain
from ledger.chains.rpc import RpcChain
from ledger.errors import ChainRefused, ChainUnreachable, ContractMismatch, KeyUnusable, Malformed, NotFinal
from ledger.hashes.cid import cid_of_digest
from ledger.hashes.digest import hash_bytes
from ledger.hashes.merkle import keccak256


class Node:
    """The JSON-RPC methods that are needed; `answers` overrides any of them."""

    def __init__(self) -> None:
        self.tester = EthereumTester(PyEVMBackend())
        self.answers: dict[str, Any] = {"eth_chainId": "0x7a69", "eth_maxPriorityFeePerGas": hex(10**9)}
        self.calls: list[str] = []

    def answer(self, method: str, parameters: list[Any]) -> dict[str, Any]:
        self.calls.append(method)
        if method in self.answers:
            given = self.answers[method]
            if callable(given):
                given = given(*parameters)
            if isinstance(given, dict) and "error" in given:
                return given
            return {"result": given}
        try:
            return {"result": getattr(self, method)(*parameters)}
        except TransactionFailed as error:
            raw = error.args[0].args[0] if isinstance(error.args[0], Exception) else error.args[0]
            data = "0x" + raw.hex() if isinstance(raw, bytes) else str(raw)
            return {"error": {"code": 3, "message": "execution reverted", "data": data}}

    def eth_getBlockByNumber(self, number: str, _: bool) -> dict[str, Any]:  # noqa: N802
        block = self.tester.get_block_by_number(int(number, 16) if number.startswith("0x") else number)
        names = {"sha3_uncles": "sha3Uncles", "coinbase": "miner", "state_root": "stateRoot"}
        names |= {"receipts_root": "receiptsRoot", "transactions_root": "transactionsRoot", "logs_bloom": "logsBloom"}
        names |= {"parent_hash": "parentHash", "gas_limit": "gasLimit", "gas_used": "gasUsed", "mix_hash": "mixHash"}
        names |= {"extra_data": "extraData", "base_fee_per_gas": "baseFeePerGas"}
        fields = {names.get(name, name): hex(v) if isinstance(v, int) else v for name, v in block.items()}
        return fields | {"logsBloom": "0x00"}  # the hash of the header is another one then, as on some other chains

    def eth_getTransactionByHash(self, transaction: str) -> Any:  # noqa: N802
        try:
            return self.tester.get_transaction_by_hash(transaction)
        except TransactionNotFound:
            return None

    def eth_getBlockReceipts(self, number: str) -> list[dict[str, Any] | None]:  # noqa: N802
        block = self.tester.get_block_by_number(int(number, 16))
        return [self.eth_getTransactionReceipt(transaction) for transaction in block["transactions"]]

    def eth_getCode(self, address: str, _: str) -> str:  # noqa: N802
        return str(self.tester.get_code(address))

    def eth_getBalance(self, address: str, _: str) -> str:  # noqa: N802
        return hex(self.tester.get_balance(address))

    def eth_getTransactionCount(self, address: str, _: str) -> str:  # noqa: N802
        return hex(self.tester.get_nonce(address))

    def eth_estimateGas(self, fields: dict[str, str]) -> str:  # noqa: N802
        # Like a real node, and unlike eth-tester, estimate for those who could not pay, too.
        pays = self.tester.get_balance(fields["from"]) > 0
        sender = fields["from"] if pays else self.tester.get_accounts()[0]
        return hex(self.tester.estimate_gas({"from": sender, "data": fields["data"]} | _to(fields)))

    def eth_call(self, fields: dict[str, str], _: str) -> str:
        sender = self.tester.get_accounts()[0]
        return str(self.tester.call({"from": sender, "gas": 5_000_000, "data": fields["data"]} | _to(fields)))

    def eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802
        return str(self.tester.send_raw_transaction(raw))

    def eth_getTransactionReceipt(self, transaction: str) -> dict[str, Any] | None:  # noqa: N802
        try:
            receipt = self.tester.get_transaction_receipt(transaction)
        except TransactionNotFound:
            return None
        return {
            "status": hex(receipt["status"]),
            "blockNumber": hex(receipt["block_number"]),
            "transactionHash": transaction,
            "logsBloom": "0x00",
            "logs": [{name: log[name] for name in ("address", "topics", "data")} for log in receipt["logs"]],
            "cumulativeGasUsed": hex(receipt["cumulative_gas_used"]),
            "gasUsed": hex(receipt["gas_used"]),
            "contractAddress": receipt["contract_address"].lower() if receipt["contract_address"] else None,
        }


def _to(fields: dict[str, str]) -> dict[str, str]:
    return {"to": fields["to"]} if "to" in fields else {}


class NodeServer(ThreadingHTTPServer):
    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.node = Node()


@pytest.fixture(scope="module")
def server() -> Iterator[NodeServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = serving.node.answer(request["method"], request["params"])
            data = answer if isinstance(answer, bytes) else json.dumps({"jsonrpc": "2.0", "id": 1} | answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: str) -> None:
            pass

    serving = NodeServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield serving
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def node(server: NodeServer, home: Path) -> Iterator[Node]:
    before = dict(server.node.answers)
    server.node.calls.clear()
    yield server.node
    server.node.answers = before


@pytest.fixture
def url(server: NodeServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def key(node: Node) -> bytes:
    secret = secrets.token_bytes(32)
    rich = node.tester.get_accounts()[0]
    address = Account.from_key(secret).address
    node.tester.send_transaction({"from": rich, "to": address, "gas": 21_000, "value": 10**18})
    return secret


def test_anchor_lookup_revoke_and_mint(url: str, key: bytes) -> None:
    chain = open_chain(rpc=url, account_key=key)
    root = keccak256(key)
    receipt = chain.anchor(root)
    assert (receipt.simulated, receipt.chain.chain_id, receipt.issuer) == (False, 31337, chain.account)
    assert require(receipt.gas_used) < 47_600
    entry = require(RpcChain(url).lookup(root, contract=receipt.contract))  # no key, as another user
    assert (entry.issuer, entry.block, entry.time) == (chain.account, receipt.block, receipt.time)
    assert chain.block_of(receipt.transaction) == receipt.block
    assert chain.block_of("0x" + "12" * 32) is None
    assert chain.anchor(root) == receipt
    assert chain.lookup(keccak256(b"never")) is None
    chain.revoke(root, reason="test")
    assert require(chain.lookup(root)).revoked_at > 0
    metadata = hash_bytes(b"metadata")
    (token,) = chain.mint([(hash_bytes(key), metadata)])
    assert token.uri == f"ipfs://{cid_of_digest(metadata)}"
    with pytest.raises(ChainRefused, match="minted already"):
        chain.mint([(hash_bytes(key), hash_bytes(b"other"))])


def test_the_contract_is_remembered_between_runs(url: str, key: bytes) -> None:
    first = RpcChain(url, key).anchor(keccak256(b"1" + key))
    second = RpcChain(url, key).anchor(keccak256(b"2" + key))
    assert first.contract == second.contract


def test_a_contract_that_is_gone_is_deployed_anew(url: str, key: bytes, node: Node, tmp_path: Path) -> None:
    chain = RpcChain(url, key)
    first = chain.anchor(keccak256(b"3" + key))
    (memory,) = (tmp_path / "home" / "chains").glob("*/contracts.json")
    memory.write_text(json.dumps({"Anchor": "0x" + "12" * 20}))
    assert chain.anchor(keccak256(b"4" + key)).contract != first.contract


def test_finality_is_asked_of_the_node(url: str, key: bytes, node: Node) -> None:
    chain = RpcChain(url, key)
    root = keccak256(b"5" + key)
    chain.anchor(root)
    node.answers["eth_getBlockByNumber"] = {"number": "0x0", "hash": "0x" + "1" * 64}
    assert require(chain.lookup(root)).final is False
    node.answers["eth_getBlockByNumber"] = {"number": "0xffffff", "hash": "0x" + "1" * 64}
    assert require(chain.lookup(root)).final is True
    node.answers["eth_getBlockByNumber"] = {"error": {"code": -32602, "message": "unknown tag"}}
    assert require(chain.lookup(root)).final is False


def test_no_answer_is_unreachable_and_shows_no_api_key(node: Node) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(ChainUnreachable, match=f"127.0.0.1:{port} did not answer eth_chainId") as caught:
        RpcChain(f"http://127.0.0.1:{port}/v3/SECRET").lookup(keccak256(b"x"))
    assert "SECRET" not in str(caught.value)
    assert time.monotonic() - start < 3


def test_a_silent_node_is_unreachable_after_the_time_limit(node: Node) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        chain = RpcChain(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.3)
        with pytest.raises(ChainUnreachable, match="ReadTimeout"):
            chain.identity()


@pytest.mark.parametrize("junk", [b"<html>", b"[]", b"{}", b'{"result": "zz"}', b'{"result": null}', b"\xff"])
def test_what_is_not_json_rpc_is_unreachable(
    url: str, node: Node, junk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "answer", lambda *_: junk)
    with pytest.raises(ChainUnreachable, match=r"127\.0\.0\.1"):
        RpcChain(url).lookup(keccak256(b"x"))


@pytest.mark.parametrize(
    ("chain_id", "message"),
    [
        ("0x1", "Ethereum mainnet.*real money.*--i-mean-mainnet"),
        ("0x89", "Polygon.*real money"),
        ("0x5", "goerli.*shut down.*sepolia"),
        ("0x4268", "holesky.*shut down.*hoodi"),
        ("0xaa36a7", "says it is chain 11155111, but its genesis block is.*do not trust"),
    ],
)
def test_mainnet_and_dead_test_networks_are_refused(
    url: str, key: bytes, node: Node, chain_id: str, message: str
) -> None:
    node.answers["eth_chainId"] = chain_id
    with pytest.raises(ChainRefused, match=message):
        RpcChain(url, key).anchor(keccak256(b"x"))
    assert "eth_sendRawTransaction" not in node.calls


def test_mainnet_can_be_meant_but_its_genesis_block_still_counts(url: str, key: bytes, node: Node) -> None:
    node.answers["eth_chainId"] = "0x89"
    assert RpcChain(url, key, mean_mainnet=True).identity().chain_id == 137
    node.answers["eth_chainId"] = "0x1"
    with pytest.raises(ChainRefused, match="says it is chain 1, but its genesis"):
        RpcChain(url, key, mean_mainnet=True).anchor(keccak256(b"x"))
    assert "eth_sendRawTransaction" not in node.calls


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("sepolia", "is chain 31337, and the network asked for is chain 11155111"),
        ("560048", "asked for is chain 560048"),
        ("Goerli", "the test network goerli was shut down; use sepolia"),
        ("ropsten", "shut down"),
        ("rinkeby", "shut down"),
        ("kovan", "shut down"),
        ("holesky", "shut down.*hoodi"),
        ("narnia", "'narnia' is no known network"),
        ("-5", "no known network"),
        ("0", "no known network"),
        ("9" * 30, "no known network"),
    ],
)
def test_another_network_than_the_one_named_is_refused(
    url: str, key: bytes, node: Node, network: str, message: str
) -> None:
    with pytest.raises(ChainRefused, match=message):
        RpcChain(url, key, network=network).anchor(keccak256(b"x"))
    assert "eth_sendRawTransaction" not in node.calls
    with pytest.raises(ChainRefused, match=r"--rpc URL|shut down|no known"):
        open_chain(network=network)


def test_a_node_that_changes_its_chain_id_gets_no_transaction(url: str, key: bytes, node: Node) -> None:
    ids = iter(["0x7a69", "0x7a69"])
    node.answers["eth_chainId"] = lambda: next(ids, "0x1")
    chain = RpcChain(url, key, network="31337")
    with pytest.raises(ChainRefused, match="was chain 31337 and now says it is 1; nothing was sent"):
        chain.anchor(keccak256(b"x" + key))
    assert node.calls.count("eth_sendRawTransaction") == 1  # the deployment, before the node changed its mind


def test_fees_have_a_cap(url: str, key: bytes, node: Node) -> None:
    with pytest.raises(ChainRefused, match=r"costs .* gwei on chain 31337, and at most 0\.5 gwei may be paid"):
        RpcChain(url, key, max_fee_gwei=0.5).anchor(keccak256(b"x" + key))
    node.answers["eth_maxPriorityFeePerGas"] = hex(10**15)  # a greedy node
    with pytest.raises(ChainRefused, match="100 gwei may be paid"):
        RpcChain(url, key).anchor(keccak256(b"x" + key))
    assert "eth_sendRawTransaction" not in node.calls
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ChainRefused, match="fee cap"):
            RpcChain(url, key, max_fee_gwei=wrong)


def test_the_public_keys_of_test_nodes_pay_nowhere_else(url: str, node: Node) -> None:
    mnemonic_account_0 = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # a test key
    node.answers["eth_chainId"] = hex(4242)
    with pytest.raises(KeyUnusable, match="is public"):
        RpcChain(url, mnemonic_account_0).anchor(keccak256(b"x"))
    assert "eth_sendRawTransaction" not in node.calls


def test_a_dripping_answer_ends_at_the_time_limit(node: Node) -> None:
    with socket.socket() as slow:
        slow.bind(("127.0.0.1", 0))
        slow.listen()

        def drip() -> None:
            client, _ = slow.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(200):
                    client.sendall(b" ")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        chain = RpcChain(f"http://127.0.0.1:{slow.getsockname()[1]}", timeout_s=0.3)
        start = time.monotonic()
        with pytest.raises(ChainUnreachable, match="TimeoutError"):
            chain.identity()
        assert time.monotonic() - start < 3


def test_a_node_without_block_receipts_is_asked_for_each(url: str, key: bytes, node: Node) -> None:
    node.answers["eth_getBlockReceipts"] = {"error": {"code": -32601, "message": "method not found"}}
    chain = RpcChain(url, key)
    root = keccak256(b"each" + key)
    receipt = chain.anchor(root)
    assert chain.block_of(receipt.transaction) == receipt.block


def test_no_key_no_funds_and_no_eip1559_send_nothing(url: str, node: Node, key: bytes) -> None:
    with pytest.raises(KeyUnusable, match="CONTRASTE_ETH_KEY"):
        RpcChain(url).anchor(keccak256(b"x"))
    with pytest.raises(ChainRefused, match="has 0 wei"):
        RpcChain(url, secrets.token_bytes(32)).anchor(keccak256(b"x"))
    node.answers["eth_getBlockByNumber"] = {"number": "0x1", "hash": "0x" + "1" * 64}
    with pytest.raises(ChainUnreachable, match="not an EIP-1559 chain"):
        RpcChain(url, key).anchor(keccak256(b"x"))
    assert "eth_sendRawTransaction" not in node.calls


def test_an_unmined_and_a_reverted_transaction_are_told_apart(url: str, key: bytes, node: Node) -> None:
    chain = RpcChain(url, key, mining_timeout_s=0.2)
    chain.anchor(keccak256(b"5" + key))
    node.answers["eth_getTransactionReceipt"] = None
    node.answers["eth_getTransactionCount"] = lambda address, tag: hex(
        node.tester.get_nonce(address) - (tag == "latest")
    )
    with pytest.raises(NotFinal, match="in no block after"):
        chain.anchor(keccak256(b"6" + key))
    del node.answers["eth_getTransactionReceipt"], node.answers["eth_getTransactionCount"]
    sent = node.calls.count("eth_sendRawTransaction")
    chain.anchor(keccak256(b"6" + key))  # found, and not sent again
    assert node.calls.count("eth_sendRawTransaction") == sent
    good = node.eth_getTransactionReceipt
    node.answers["eth_getTransactionReceipt"] = lambda transaction: (good(transaction) or {}) | {"status": "0x0"}
    with pytest.raises(ChainRefused, match="was reverted"):
        chain.anchor(keccak256(b"7" + key))
    del node.answers["eth_getTransactionReceipt"]
    node.answers["eth_sendRawTransaction"] = {"error": {"code": -32003, "message": "nonce too low"}}
    with pytest.raises(ChainRefused, match=r"nonce too low \(code -32003\)"):
        chain.anchor(keccak256(b"8" + key))


def test_a_damaged_record_of_a_pending_transaction_is_said(url: str, key: bytes, home: Path) -> None:
    chain = RpcChain(url, key)
    chain.anchor(keccak256(b"5" + key))
    (lock,) = home.glob("chains/*/0x*.lock")
    file = lock.with_name(lock.name.replace(".lock", ".pending.json"))
    good = {"transaction": "0x1", "nonce": 1, "to": "", "data": "0x", "max_fee_wei": "1", "priority_fee_wei": "1",
            "raw": "0x", "deploys": ""}  # fmt: skip
    for text in ("{", "[]", "{}", json.dumps(good | {"nonce": "1"}), json.dumps(good | {"max_fee_wei": "1e9"})):
        file.write_text(text)
        with pytest.raises(Malformed, match=r"pending\.json"):
            chain.anchor(keccak256(b"9" + key))


def test_foreign_code_is_not_believed(url: str, key: bytes) -> None:
    chain = RpcChain(url, key)
    with pytest.raises(ContractMismatch, match="no code"):
        chain.lookup(keccak256(b"x"), contract="0x" + "12" * 20)
    track = chain.mint([(hash_bytes(b"9" + key), hash_bytes(b"m"))])[0].contract
    with pytest.raises(ContractMismatch, match="other code"):
        chain.lookup(keccak256(b"x"), contract=track)


@pytest.mark.parametrize("bad", ["ftp://x", "localhost:8545", "", "http://", "http://[::1"])
def test_other_urls_are_refused(bad: str) -> None:
    with pytest.raises(ChainRefused, match="http"):
        RpcChain(bad)


def test_the_key_comes_from_the_environment_or_a_keystore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = secrets.token_bytes(32)
    monkeypatch.delenv("CONTRASTE_ETH_KEY", raising=False)
    assert load_account_key() is None
    monkeypatch.setenv("CONTRASTE_ETH_KEY", "0x" + secret.hex())
    assert load_account_key() == secret
    for bad in ("0x12", "zz" * 32, "00" * 32):
        monkeypatch.setenv("CONTRASTE_ETH_KEY", bad)
        with pytest.raises(KeyUnusable, match="not a private key") as caught:
            load_account_key()
        assert bad not in str(caught.value)
    keystore = tmp_path / "keystore.json"
    content = Account.encrypt(secret, "pw", kdf="scrypt", iterations=2**10)
    keystore.write_text(json.dumps(content))
    keystore.chmod(0o600)
    assert load_account_key(keystore, "pw") == secret
    for password, message in (("no", "MAC mismatch"), (None, "needs a password"), ("", "needs a password")):
        with pytest.raises(KeyUnusable, match=message):
            load_account_key(keystore, password)
    greedy = json.loads(keystore.read_text())
    greedy["crypto"]["kdfparams"]["n"] = 2**30
    for text in ("{", "[]", "{}", '{"version": 3, "crypto": {"kdfparams": {}}}', json.dumps(greedy)):
        keystore.write_text(text)
        with pytest.raises(KeyUnusable, match=r"keystore\.json"):
            load_account_key(keystore, "pw")
    with pytest.raises(KeyUnusable, match="cannot read"):
        load_account_key(tmp_path / "no", "pw")


@contextlib.contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler], object]) -> Iterator[tuple[str, list[str]]]:
    """Serve `respond(handler)` to every POST, on a free loopback port; yield the URL and the requests so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            with contextlib.suppress(OSError):
                respond(self)

        def log_message(self, *_: str) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


def _headers(handler: BaseHTTPRequestHandler, code: int, **headers: str) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def test_a_node_that_hangs_is_waited_for_once() -> None:
    from ledger.chains.jsonrpc import Node

    with answering(lambda handler: time.sleep(5)) as (url, asked):
        node, start = Node(url, 0.3), time.monotonic()
        for _ in range(20):
            with pytest.raises(ChainUnreachable, match="did not answer eth_chainId"):
                node.request("eth_chainId")
        assert len(asked) == 1
        assert time.monotonic() - start < 5


def test_a_node_that_is_refused_once_is_asked_again() -> None:
    from ledger.chains.jsonrpc import Node

    with answering(lambda handler: _headers(handler, 503)) as (url, asked):
        node = Node(url, 5)
        for _ in range(2):
            with pytest.raises(ChainUnreachable):
                node.request("eth_chainId")
        assert len(asked) == 2


@pytest.mark.parametrize("length", ["told", "not told", "packed"])
def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch, length: str) -> None:
    import gzip

    from ledger.chains import jsonrpc

    monkeypatch.setattr(jsonrpc, "MAX_ANSWER", 1 << 20)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if length == "packed":
            _headers(handler, 200, Content_Encoding="gzip", Content_Type="application/json")
            handler.wfile.write(gzip.compress(b" " * (64 << 20)))
            return
        _headers(handler, 200, **({"Content_Length": str(1 << 40)} if length == "told" else {}))
        while True:
            handler.wfile.write(b" " * (1 << 16))

    with answering(respond) as (url, _), pytest.raises(ChainUnreachable, match="more than 1048576 bytes"):
        jsonrpc.Node(url, 20).request("eth_chainId")


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(code: int) -> None:
    from ledger.chains.jsonrpc import Node

    good = b'{"jsonrpc":"2.0","id":0,"result":"0x1"}'
    with answering(lambda handler: (_headers(handler, 200), handler.wfile.write(good))) as (elsewhere, asked):
        assert Node(elsewhere, 5).request("eth_chainId") == "0x1"
        sending = answering(lambda handler: _headers(handler, code, Location=elsewhere))
        with sending as (url, _), pytest.raises(ChainUnreachable, match="redirects are not followed"):
            Node(url, 5).request("eth_chainId")
        assert len(asked) == 1

"""What goes wrong on public networks, on a real node: reorganisations, lost connections, replaced transactions."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("web3")

from cryptography.hazmat.primitives.asymmetric import ec
from eth_account import Account

from ledger.anchors.anchor import anchor_again, anchor_paths, read_anchor, revoke_path
from ledger.anchors.tokens import mint_tracks
from ledger.chains.opening import open_chain
from ledger.chains.rpc import RpcChain
from ledger.errors import ChainRefused, ChainUnreachable, NotFinal
from ledger.hashes.digest import Digest
from ledger.provenance.sign import sign_path
from ledger.signing.keys import key_id
from ledger.signing.trust import Trust
from ledger.verify import verify_path

ROOT = Path(__file__).parent.parent
KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})
ANCHOR_RANGE = """
import sys
from ledger.chains.rpc import RpcChain
from ledger.signing.trust import Trust
from ledger.chains.rpc import RpcChain
chain = RpcChain(sys.argv[1], bytes.fromhex(sys.argv[2]), mining_timeout_s=60)
for number in range(int(sys.argv[3]), int(sys.argv[4])):
    print(chain.anchor(number.to_bytes(32, "big")).transaction, flush=True)
"""


@pytest.fixture
def paths(tmp_path):
    """Three signed files."""
    made = []
    for name in ("a.mid", "b.mid", "c.mid"):
        made.append(tmp_path / name)
        made[-1].write_bytes(name.encode() + os.urandom(8))
        sign_path(made[-1], KEY)
    return made


@pytest.fixture
def proxy(anvil):
    """Yield a proxy before anvil; `rules` maps a method to a function (forward) -> answer bytes, or None to hang up."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            method = json.loads(body)["method"]
            server.calls.append(method)

            def forward():
                with urlopen(Request(anvil.url, body, {"Content-Type": "application/json"}), timeout=30) as answer:
                    return answer.read()

            data = server.rules.get(method, lambda forward: forward())(forward)
            if data is None:  # the connection drops
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.rules, server.calls = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def verdicts(path, chain, name="anchor"):
    (found,) = (link for link in verify_path(path, KEYS, chain).links if link.name == name)
    return found.verdict, found.detail


def sent(node, key):
    return int(node.call("eth_getTransactionCount", Account.from_key(key).address, "latest"), 16)


def test_an_anchor_is_pending_then_final(own_anvil, home, paths):
    node = own_anvil()
    chain = open_chain(rpc=node.url, account_key=node.new_key())
    anchor_paths(paths, chain, trust=KEYS)
    assert verdicts(paths[0], chain)[0] == "pending"
    node.call("anvil_mine", hex(100))
    verdict, detail = verdicts(paths[0], chain)
    assert (verdict, "block 2 of chain 31337" in detail) == ("ok", True)


def test_after_a_reorganisation_it_is_missing_and_can_be_anchored_again(own_anvil, home, paths):
    node = own_anvil()
    chain = open_chain(rpc=node.url, account_key=node.new_key())
    anchor_paths(paths[:1], chain, trust=KEYS)
    anchor_paths(paths[1:], chain, trust=KEYS)
    node.call("anvil_reorg", 1, [])
    assert verdicts(paths[0], chain)[0] == "pending"
    for path in paths[1:]:
        verdict, detail = verdicts(path, chain)
        assert (verdict, "contraste anchor --again" in detail) == ("missing", True)
    node.call("anvil_mine", "0x1")
    # One path of the batch is enough: the root is in its file.
    before = read_anchor(paths[1])
    (receipt,) = anchor_again(paths[1:2], chain, trust=KEYS)
    assert receipt.root == before.receipt.root
    assert (read_anchor(paths[1]).proof, read_anchor(paths[1]).receipt.block) == (before.proof, receipt.block)
    assert verdicts(paths[1], chain)[0] == "pending"
    # The other's file still names the old block, and is brought up to date without another transaction.
    assert f"in block {receipt.block} now" in verdicts(paths[2], chain)[1]
    height = node.call("eth_blockNumber")
    anchor_again(paths[2:], chain, trust=KEYS)
    assert (verdicts(paths[2], chain)[0], node.call("eth_blockNumber")) == ("pending", height)


def test_a_reorganisation_that_takes_the_contract_too(own_anvil, home, paths):
    node = own_anvil()
    chain = open_chain(rpc=node.url, account_key=node.new_key())
    anchor_paths(paths, chain, trust=KEYS)
    mint_tracks(paths[:1], chain, trust=KEYS)
    node.call("anvil_reorg", 4, [])
    for name in ("anchor", "token"):
        assert verdicts(paths[0], chain, name)[0] == "missing"
    anchor_again(paths, chain, trust=KEYS)
    mint_tracks(paths[1:2], chain, trust=KEYS)
    assert verdicts(paths[0], chain)[0] == "pending"
    assert verdicts(paths[1], chain, "token")[0] == "pending"


def test_anchor_files_can_be_brought_to_another_chain(anvil, own_anvil, home, paths):
    chains = [open_chain(rpc=node.url, account_key=node.new_key()) for node in (anvil, own_anvil("--chain-id", "4242"))]
    anchor_paths(paths, chains[0], trust=KEYS)
    assert verdicts(paths[0], chains[1])[0] == "unchecked"
    anchor_again(paths, chains[1], trust=KEYS)
    assert [verdicts(paths[0], chain)[0] for chain in chains] == ["unchecked", "pending"]


def test_a_revoked_anchor_is_broken_and_only_its_chain_can_revoke_it(anvil, own_anvil, home, paths):
    chain = open_chain(rpc=anvil.url, account_key=anvil.new_key())
    anchor_paths(paths, chain, trust=KEYS)
    other = own_anvil("--chain-id", "4242")
    with pytest.raises(ChainRefused, match="is anchored on chain 31337"):
        revoke_path(paths[0], open_chain(rpc=other.url, account_key=other.new_key()))
    with pytest.raises(ChainRefused, match="only the account that anchored"):
        revoke_path(paths[0], open_chain(rpc=anvil.url, account_key=anvil.new_key()))
    revoke_path(paths[0], chain, "withdrawn")
    assert [verdicts(path, chain)[0] for path in paths] == ["broken", "pending", "pending"]
    assert "revoked by its issuer" in verdicts(paths[0], chain)[1]
    revoke_path(paths[1], chain, whole_root=True)
    assert [verdicts(path, chain)[0] for path in paths] == ["broken"] * 3


@pytest.mark.parametrize(
    ("chain_id", "network", "message"),
    [
        ("11155111", "sepolia", "says it is chain 11155111, but its genesis"),
        ("560048", None, "says it is chain 560048, but its genesis"),
        ("1", None, "real money"),
        ("17000", None, "holesky, which was shut down"),
        ("31337", "sepolia", "asked for is chain 11155111"),
    ],
)
def test_a_node_on_another_chain_gets_nothing(own_anvil, home, chain_id, network, message):
    node = own_anvil("--chain-id", chain_id)
    with pytest.raises(ChainRefused, match=message):
        open_chain(rpc=node.url, account_key=node.new_key(), network=network).anchor(os.urandom(32))
    assert node.call("eth_blockNumber") == "0x0"


def test_a_connection_that_drops_after_the_transaction_arrived(proxy, anvil, home):
    key = anvil.new_key()
    chain = RpcChain(proxy.url, key)
    chain.anchor(os.urandom(32))
    proxy.rules["eth_sendRawTransaction"] = lambda forward: forward() and None
    root, before = os.urandom(32), sent(anvil, key)
    with pytest.raises(ChainUnreachable, match="did not answer eth_sendRawTransaction"):
        chain.anchor(root)
    proxy.rules.clear()
    receipt = RpcChain(proxy.url, key).anchor(root)  # the next run
    assert sent(anvil, key) == before + 1
    assert receipt == RpcChain(anvil.url, key).anchor(root)
    assert proxy.calls.count("eth_sendRawTransaction") == 3
    assert not list(home.glob("chains/*/*.pending.json"))


def test_a_connection_that_drops_before_it_arrived(proxy, anvil, home):
    key = anvil.new_key()
    chain = RpcChain(proxy.url, key)
    chain.anchor(os.urandom(32))
    proxy.rules["eth_sendRawTransaction"] = lambda forward: None
    root, before = os.urandom(32), sent(anvil, key)
    with pytest.raises(ChainUnreachable):
        chain.anchor(root)
    (record,) = home.glob("chains/*/*.pending.json")
    assert record.stat().st_mode & 0o777 == 0o600
    signed = json.loads(record.read_text())["transaction"]
    proxy.rules.clear()
    assert RpcChain(proxy.url, key).anchor(root).transaction == signed  # the same bytes, sent once more
    assert sent(anvil, key) == before + 1


@pytest.mark.parametrize("method", ["eth_chainId", "eth_getCode", "eth_estimateGas", "eth_getTransactionReceipt"])
def test_a_connection_that_drops_anywhere_is_unreachable_and_the_next_run_goes_on(proxy, anvil, home, method):
    key, root = anvil.new_key(), os.urandom(32)
    proxy.rules[method] = lambda forward: None
    with pytest.raises(ChainUnreachable, match=f"did not answer {method}"):
        RpcChain(proxy.url, key).anchor(root)
    proxy.rules.clear()
    RpcChain(proxy.url, key).anchor(root)
    assert sent(anvil, key) == 2  # one deployment, one root


def test_a_slow_node_is_waited_for_and_a_hanging_one_is_not(proxy, anvil, home):
    def slow(forward):
        time.sleep(0.4)
        return forward()

    proxy.rules["eth_call"] = slow
    key = anvil.new_key()
    RpcChain(proxy.url, key).anchor(os.urandom(32))
    chain = RpcChain(proxy.url, key, timeout_s=0.2)
    start = time.monotonic()
    with pytest.raises(ChainUnreachable, match="did not answer eth_call"):
        chain.anchor(os.urandom(32))
    assert time.monotonic() - start < 5


def _pending(node, home, key, root):
    """Leave a transaction of the account unmined; return its record."""
    node.call("anvil_setAutomine", False)
    with pytest.raises(NotFinal, match="in no block after"):
        RpcChain(node.url, key, mining_timeout_s=0.3).anchor(root)
    (record,) = home.glob("chains/*/*.pending.json")
    return json.loads(record.read_text())


def _replace(node, key, nonce):
    """Send another transaction with the same nonce and a higher fee, as a wallet's "speed up" or "cancel" does."""
    fields = {"to": "0x" + "12" * 20, "value": 1, "gas": 30_000, "nonce": nonce, "chainId": 31337, "type": 2}
    fees = {"maxFeePerGas": 90 * 10**9, "maxPriorityFeePerGas": 50 * 10**9}
    signed = Account.from_key(key).sign_transaction(fields | fees)
    return node.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())


def test_a_transaction_that_is_mined_late_is_found(own_anvil, home):
    node, root = own_anvil(), os.urandom(32)
    key = node.new_key()
    RpcChain(node.url, key).anchor(os.urandom(32))
    record = _pending(node, home, key, root)
    with pytest.raises(NotFinal, match="looked for before anything else is sent"):
        RpcChain(node.url, key, mining_timeout_s=0.3).anchor(root)
    node.call("anvil_setAutomine", True)
    node.call("anvil_mine", "0x1")
    assert RpcChain(node.url, key).anchor(root).transaction == record["transaction"]
    assert sent(node, key) == 3


def test_a_replaced_transaction_is_noticed_and_the_root_sent_again(own_anvil, home):
    node, root = own_anvil(), os.urandom(32)
    key = node.new_key()
    RpcChain(node.url, key).anchor(os.urandom(32))
    record = _pending(node, home, key, root)
    other = _replace(node, key, record["nonce"])
    node.call("anvil_mine", "0x1")
    node.call("anvil_setAutomine", True)
    receipt = RpcChain(node.url, key).anchor(root)
    assert receipt.transaction not in (record["transaction"], other)
    assert sent(node, key) == 4  # deployment, root, the other one, root


def test_a_transaction_replaced_while_it_is_waited_for(own_anvil, home):
    node, root = own_anvil(), os.urandom(32)
    key = node.new_key()
    RpcChain(node.url, key).anchor(os.urandom(32))
    record = _pending(node, home, key, root)

    def later():
        time.sleep(0.5)
        _replace(node, key, record["nonce"])
        node.call("anvil_mine", "0x1")

    thread = threading.Thread(target=later)
    thread.start()
    with pytest.raises(NotFinal, match="was replaced by another one"):
        RpcChain(node.url, key, mining_timeout_s=20).anchor(root)
    thread.join()
    node.call("anvil_setAutomine", True)
    RpcChain(node.url, key).anchor(root)


def test_a_transaction_whose_fee_became_too_low_is_replaced_by_one_that_pays_more(own_anvil, home):
    node, root = own_anvil(), os.urandom(32)
    key = node.new_key()
    RpcChain(node.url, key).anchor(os.urandom(32))
    record = _pending(node, home, key, root)
    node.call("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
    node.call("anvil_mine", "0x1")  # too dear for ours
    node.call("anvil_setAutomine", True)
    with pytest.raises(ChainRefused, match="at most 5 gwei may be paid"):
        RpcChain(node.url, key, max_fee_gwei=5).anchor(root)
    receipt = RpcChain(node.url, key).anchor(root)
    assert receipt.transaction != record["transaction"]
    assert sent(node, key) == 3  # the same nonce


def test_killed_between_broadcast_and_receipt_the_next_run_finds_the_receipt(own_anvil, home):
    node = own_anvil()
    key = node.new_key()
    RpcChain(node.url, key).anchor(os.urandom(32))
    node.call("anvil_setAutomine", False)
    command = [sys.executable, "-c", ANCHOR_RANGE, node.url, key.hex(), "7", "8"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    for _ in range(600):
        if node.call("txpool_status")["pending"] != "0x0":
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (record,) = home.glob("chains/*/*.pending.json")
    signed = json.loads(record.read_text())["transaction"]
    node.call("anvil_mine", "0x1")
    node.call("anvil_setAutomine", True)
    assert RpcChain(node.url, key).anchor((7).to_bytes(32, "big")).transaction == signed
    assert sent(node, key) == 3
    assert not record.exists()


def test_a_root_that_somebody_else_was_quicker_to_anchor(anvil, home, paths):
    first, second = (open_chain(rpc=anvil.url, account_key=anvil.new_key()) for _ in range(2))
    receipt = anchor_paths(paths, first, trust=KEYS)
    assert anchor_paths(paths, second, trust=KEYS) == receipt
    assert receipt.issuer == first.account != second.account
    with pytest.raises(ChainRefused, match="only the account that anchored"):
        revoke_path(paths[0], second)


def test_two_processes_of_one_account_at_once(anvil, home):
    key = anvil.new_key()
    commands = [
        [sys.executable, "-c", ANCHOR_RANGE, anvil.url, key.hex(), *span] for span in (("1", "6"), ("101", "106"))
    ]
    processes = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.PIPE, text=True) for c in commands]
    said = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len({*said[0], *said[1]}) == 10
    assert sent(anvil, key) == 11  # one deployment, ten roots
    chain = RpcChain(anvil.url)
    contract = RpcChain(anvil.url, key).anchor((1).to_bytes(32, "big")).contract
    roots = [n.to_bytes(32, "big") for n in (*range(1, 6), *range(101, 106))]
    assert all(chain.lookup(root, contract=contract) is not None for root in roots)


def test_a_token_minted_by_a_run_that_died_gets_its_files(anvil, home, paths, monkeypatch):
    chain = open_chain(rpc=anvil.url, account_key=anvil.new_key())
    monkeypatch.setattr("ledger.anchors.tokens._file_of", lambda token: os.kill(os.getpid(), signal.SIGKILL))
    pid = os.fork()
    if pid == 0:
        mint_tracks(paths[:1], chain, trust=KEYS)
    os.waitpid(pid, 0)
    monkeypatch.undo()
    monkeypatch.setenv("CONTRASTE_HOME", str(home))
    nonce = anvil.call("eth_getTransactionCount", chain.account, "latest")
    (token,) = mint_tracks(paths[:1], chain, trust=KEYS)
    assert anvil.call("eth_getTransactionCount", chain.account, "latest") == nonce
    assert token.mined.block > 0
    assert verdicts(paths[0], chain, "token")[0] == "pending"


def test_a_token_that_was_sold_still_holds(anvil, home, paths):
    from ledger.chains.abi import encode

    chain = open_chain(rpc=anvil.url, account_key=anvil.new_key())
    (token,) = mint_tracks(paths[:1], chain, trust=KEYS)
    buyer = "0x" + "34" * 20
    with chain._session(write=True):
        move = encode("transferFrom(address,address,uint256)", chain.account, buyer, token.token_id)
        chain._transact(token.contract, move)
    verdict, detail = verdicts(paths[0], chain, "token")
    assert (verdict, f"of {buyer}" in detail.lower()) == ("pending", True)
    mint_tracks(paths[:1], chain, trust=KEYS)  # writes the files again, and sends nothing
    assert verdicts(paths[0], chain, "token")[0] == "pending"
    assert chain.token(Digest("sha256", token.token_id.to_bytes(32, "big")), token.contract).owner.lower() == buyer

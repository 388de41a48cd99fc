"""The embedded chain: persistence, concurrency, kills, damage."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cases.values import require

pytest.importorskip("eth")

from ledger.chains.abi import revert_reason
from ledger.chains.embedded import CHAIN_ID, EmbeddedChain
from ledger.chains.opening import open_chain
from ledger.errors import ChainRefused, ChainUnreachable, LedgerError
from ledger.hashes.merkle import keccak256

ROOT = Path(__file__).parent.parent
ANCHOR_RANGE = """
import sys
from pathlib import Path
from ledger.chains.embedded import EmbeddedChain
chain = EmbeddedChain(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    chain.anchor(number.to_bytes(32, "big"))
    print(number, flush=True)
"""
LOOK_UP = """
import json, sys
from pathlib import Path
from ledger.chains.embedded import EmbeddedChain
chain = EmbeddedChain(Path(sys.argv[1]))
entry = chain.lookup(bytes.fromhex(sys.argv[2]))
print(json.dumps([entry.block, entry.issuer, chain.identity().genesis, sys.getrecursionlimit()]))
"""


def _start(script: str, *arguments: object) -> Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedChain:
    """One chain with one root on it, for tests that add to it."""
    chain = EmbeddedChain(tmp_path_factory.mktemp("chain"))
    chain.anchor(keccak256(b"first"))
    return chain


def test_a_refused_transaction_leaves_no_block(shared: EmbeddedChain) -> None:
    height = shared.anchor(keccak256(b"before")).block
    with pytest.raises(ChainRefused, match="only the account"):
        shared.revoke(keccak256(b"never anchored"))
    assert shared.anchor(keccak256(b"after")).block == height + 1


def test_another_process_sees_what_this_one_anchored(shared: EmbeddedChain) -> None:
    root = keccak256(b"for the other process")
    receipt = shared.anchor(root)
    process = _start(LOOK_UP, shared.file.parent, root.hex())
    answer = json.loads(process.communicate(timeout=30)[0])
    # The last: py-evm raises the recursion limit on import, which makes C code overrun its stack.
    assert answer == [receipt.block, receipt.issuer, shared.identity().genesis, 1000]


def test_two_processes_at_once_on_a_new_chain(tmp_path: Path) -> None:
    processes = [_start(ANCHOR_RANGE, tmp_path, 1, 6), _start(ANCHOR_RANGE, tmp_path, 101, 106)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    chain = EmbeddedChain(tmp_path)
    entries = [chain.lookup(n.to_bytes(32, "big")) for n in (*range(1, 6), *range(101, 106))]
    # One deployment, ten anchors: ten different blocks, one contract, one account.
    assert sorted(require(entry).block for entry in entries) == list(range(2, 12))
    assert len({(require(entry).contract, require(entry).issuer) for entry in entries}) == 1


def test_killed_at_any_moment_the_chain_opens_and_goes_on(tmp_path: Path) -> None:
    anchored: list[int] = []
    for delay in (0.0, 0.013, 0.037, 0.071):
        first = 1000 * (len(anchored) + 1)
        process = _start(ANCHOR_RANGE, tmp_path, first, first + 500)
        out = require(process.stdout)
        ready, one = out.readline(), out.readline()  # which is the first anchor
        assert ready
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        said = [int(line) for line in (one, *process.communicate()[0].splitlines())]
        anchored += said
        chain = EmbeddedChain(tmp_path)
        # At most one transaction was committed and not reported; nothing after it.
        assert chain.lookup((said[-1] + 2).to_bytes(32, "big")) is None
    assert all(chain.lookup(number.to_bytes(32, "big")) is not None for number in anchored)
    height = chain.anchor(keccak256(b"goes on")).block
    assert len(anchored) + 2 <= height <= len(anchored) + 2 + 4


def test_killed_while_the_chain_is_made_there_is_none(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path)
    pid = os.fork()
    if pid == 0:
        with chain._session(write=True):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with pytest.raises(ChainUnreachable, match="no embedded chain"):
        chain.lookup(keccak256(b"x"))
    assert chain.anchor(keccak256(b"x")).block == 2


def test_a_full_disk_is_said_and_leaves_the_chain_as_it_was(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path)
    height = chain.anchor(keccak256(b"x")).block
    pid = os.fork()
    if pid == 0:  # the limit must not outlive the test
        import resource

        limit = chain.file.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            for number in range(1, 100):
                chain.anchor(number.to_bytes(32, "big"))
        except ChainUnreachable as error:
            os._exit(0 if "cannot be used" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert require(chain.lookup(keccak256(b"x"))).block == height
    assert chain.anchor(keccak256(b"y")).block > height


def test_killed_inside_a_transaction_nothing_of_it_stays(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path)
    height = chain.anchor(keccak256(b"one")).block
    pid = os.fork()
    if pid == 0:
        with chain._session(write=True):
            chain._transact(chain._remembered("Anchor"), keccak256(b"anchor(bytes32)")[:4] + keccak256(b"two"))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert chain.lookup(keccak256(b"two")) is None
    assert chain.anchor(keccak256(b"three")).block == height + 1


def test_a_locked_chain_is_unreachable_after_the_time_limit(tmp_path: Path, shared: EmbeddedChain) -> None:
    other = sqlite3.connect(shared.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        impatient = EmbeddedChain(shared.file.parent, timeout_s=0.2)
        assert impatient.lookup(keccak256(b"first")) is not None  # reading goes on
        with pytest.raises(ChainUnreachable, match=r"locked.*waited up to 0\.2 s"):
            impatient.anchor(keccak256(b"locked"))
    finally:
        other.close()


def test_absent_and_empty_chains_say_so_and_are_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(ChainUnreachable, match="no embedded chain"):
        EmbeddedChain(tmp_path / "no").lookup(keccak256(b"x"))
    assert not (tmp_path / "no").exists()
    (tmp_path / "chain.sqlite").touch()
    with pytest.raises(ChainUnreachable, match="no embedded chain"):
        EmbeddedChain(tmp_path).identity()
    sqlite3.connect(tmp_path / "chain.sqlite").execute("CREATE TABLE other (x)").connection.close()
    with pytest.raises(ChainUnreachable, match="anchor something first"):
        EmbeddedChain(tmp_path).identity()
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot make the folder"):
        EmbeddedChain(tmp_path / "file").anchor(keccak256(b"x"))


def test_damage_is_found(tmp_path: Path) -> None:
    chain = EmbeddedChain(tmp_path)
    chain.anchor(keccak256(b"x"))
    good = chain.file.read_bytes()
    chain.file.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(ChainUnreachable, match="not a database"):
        chain.lookup(keccak256(b"x"))
    chain.file.write_bytes(good)
    with sqlite3.connect(chain.file) as database:
        database.execute("UPDATE nodes SET value = CAST(value || x'00' AS BLOB) WHERE length(key) = 32")
    database.close()
    with pytest.raises(ChainUnreachable, match="damaged"):
        chain.lookup(keccak256(b"x"))
    chain.file.write_bytes(good)
    with sqlite3.connect(chain.file) as database:
        database.execute("DELETE FROM nodes WHERE length(key) = 32")
    database.close()
    with pytest.raises(ChainUnreachable, match="damaged"):
        chain.lookup(keccak256(b"x"))
    chain.file.write_bytes(good)
    assert chain.lookup(keccak256(b"x")) is not None


def test_every_chain_has_its_own_genesis_and_a_private_file(
    tmp_path: Path, shared: EmbeddedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path))
    chain = open_chain()
    assert isinstance(chain, EmbeddedChain)
    chain.anchor(keccak256(b"x"))
    assert chain.file == tmp_path / "chain" / "chain.sqlite"
    assert chain.file.stat().st_mode & 0o777 == 0o600
    assert chain.identity().chain_id == shared.identity().chain_id == CHAIN_ID
    assert chain.identity().genesis != shared.identity().genesis
    assert open_chain(chain_dir=shared.file.parent).identity() == shared.identity()


def test_committed_artefacts_have_what_is_called() -> None:
    for name, functions in (
        ("Anchor", {"anchor", "revoke", "lookup", "isAnchored"}),
        ("Track", {"mint", "mintBatch", "tokenURI", "ownerOf", "metadataDigest", "locked", "royaltyInfo", "publish"}),
    ):
        artefact = json.loads((ROOT / "ledger" / "contracts" / f"{name}.json").read_text())
        assert functions <= {entry.get("name") for entry in artefact["abi"]}
        for error in (entry for entry in artefact["abi"] if entry["type"] == "error"):
            signature = f"{error['name']}({','.join(argument['type'] for argument in error['inputs'])})"
            reason = revert_reason(keccak256(signature.encode())[:4])
            known = error["name"].startswith(("ERC721", "ERC2981", "Strings"))
            assert known or error["name"] in reason
    assert revert_reason(b"") == "reverted without a reason"
    assert revert_reason(b"\x01\x02\x03\x04") == "reverted with 0x01020304"


def test_the_chain_leaves_the_recursion_limit_as_it_was(tmp_path: Path) -> None:
    """Beyond what the stack holds, a nested file would end the process instead of being refused."""
    code = (
        "import sys; before = sys.getrecursionlimit(); from pathlib import Path; "
        "from ledger.chains.embedded import EmbeddedChain; EmbeddedChain(Path(sys.argv[1])).account; "
        "assert 'eth' in sys.modules; assert sys.getrecursionlimit() == before"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=True)

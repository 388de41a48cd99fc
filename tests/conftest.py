"""One thread for PyTorch; and a real Ethereum node for tests: anvil, from npm, on a free port of this machine."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ledger.chains.chain import Chain
from tests.cases.anvil import NODE_FOLDER, Anvil

pytest_plugins = ["tests.cases.house"]
pytest.register_assert_rewrite("tests.cases")

LIMIT = sys.getrecursionlimit()
with suppress(ImportError):  # py-evm raises the limit when a test imports it; the program puts it back, and so do tests
    import eth  # noqa: F401
sys.setrecursionlimit(LIMIT)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads wait for one another where cores are busy


@pytest.fixture(scope="session")
def node_tools() -> Path:
    """Return the folder of the development tools from npm, or skip the test, and say so."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed (development tool: anvil, solc, OpenZeppelin)")
    if not (NODE_FOLDER / "node_modules").is_dir():
        pytest.skip("the npm tools are not installed; run: make node-tools")
    return NODE_FOLDER


@pytest.fixture(scope="session")
def anvil(node_tools: Path) -> Iterator[Anvil]:
    """Yield an anvil that all tests share."""
    node = Anvil()
    yield node
    node.stop()


@pytest.fixture
def own_anvil(node_tools: Path) -> Iterator[Any]:
    """Yield a function that starts an anvil for one test, with options of its own."""
    started = []

    def start(*options: object) -> Any:
        started.append(Anvil(*options))
        return started[-1]

    yield start
    for node in started:
        node.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder of the test's own, without any Ethereum key in the environment."""
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CONTRASTE_ETH_KEY", raising=False)
    return tmp_path / "home"


@pytest.fixture(params=["embedded", "anvil"])
def chain(request: pytest.FixtureRequest, tmp_path: Path, home: Path) -> Chain:
    """Yield a chain to write to, on each backend: the same tests hold for both."""
    from ledger.chains.opening import open_chain

    if request.param == "embedded":
        return open_chain(chain_dir=tmp_path / "chain")
    node = request.getfixturevalue("anvil")
    return open_chain(rpc=node.url, account_key=node.new_key())


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the evidence in anchor files believed: chains of these tests have no blocks to prove anything by."""
    from ledger.chains.evidence import Evidence

    monkeypatch.setattr(Evidence, "check", lambda *_: None)

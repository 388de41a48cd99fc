"""Fixtures of many tests, and what holds for all of them: one thread for PyTorch, Python's own recursion limit."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ledger.chains.chain import Chain

pytest.register_assert_rewrite("tests.cases")
pytest_plugins = ["tests.cases.anvil", "tests.cases.house"]

LIMIT = sys.getrecursionlimit()
with suppress(ImportError):  # py-evm raises the limit when a test imports it; the program puts it back, and so do tests
    import eth  # noqa: F401
sys.setrecursionlimit(LIMIT)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads wait for one another where cores are busy


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

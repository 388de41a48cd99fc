"""A real Ethereum node for tests: anvil, from npm, on a free port of this machine; a pytest plugin."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NODE_FOLDER = Path(__file__).parents[1] / "contracts"


class Anvil:
    """A running anvil: its URL, and its own methods, which simulate what public networks do."""

    def __init__(self, *options: object) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [NODE_FOLDER / "node_modules" / ".bin" / "anvil", "--port", port, "--silent", *options]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.call("eth_chainId")
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        pytest.fail("anvil did not start within 10 s")

    def call(self, method: str, *parameters: object) -> Any:
        """Return the result of a JSON-RPC method."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)
        assert "error" not in found, found
        return found["result"]

    def new_key(self) -> bytes:
        """Return the private key of a new account that has 100 ETH; a key for this test only."""
        from eth_account import Account

        secret = secrets.token_bytes(32)
        self.call("anvil_setBalance", Account.from_key(secret).address, hex(10**20))
        return secret

    def stop(self) -> None:
        """End the process that this object started."""
        self.process.terminate()
        self.process.wait(timeout=10)


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
def own_anvil(node_tools: Path) -> Iterator[Callable[..., Anvil]]:
    """Yield a function that starts an anvil for one test, with options of its own."""
    started = []

    def start(*options: object) -> Anvil:
        started.append(Anvil(*options))
        return started[-1]

    yield start
    for node in started:
        node.stop()

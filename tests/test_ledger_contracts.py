"""What is committed of the contracts, trees and CIDs is what the npm tools make; skipped, and said so, without them."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

DATA = Path(__file__).with_name("data")


@pytest.fixture
def node(node_tools: Path) -> Callable[..., CompletedProcess[str]]:
    def run(*words: str) -> CompletedProcess[str]:
        command = ["node", *words]
        return subprocess.run(command, cwd=node_tools, capture_output=True, text=True, timeout=120, check=False)

    return run


def test_abi_and_bytecode_are_what_solc_makes_of_the_sources(node: Callable[..., CompletedProcess[str]]) -> None:
    ran = node("build.js", "--check")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_changed_source_is_noticed(node: Callable[..., CompletedProcess[str]]) -> None:
    other = "s.replaceAll('ZeroRoot', 'ZeroRoot2')"
    script = (
        "process.argv.push('--check'); const fs = require('fs'); const read = fs.readFileSync;"
        "fs.readFileSync = (f, e) => { const s = read(f, e); return String(f).endsWith('Anchor.sol') ? "
        f"{other} : s; }}; require('./build.js')"
    )
    ran = node("-e", script)
    assert (ran.returncode, "Anchor.json differs" in ran.stderr) == (1, True), ran


@pytest.mark.parametrize("name", ["merkle", "cid"])
def test_vectors_are_what_the_packages_make(name: str, node: Callable[..., CompletedProcess[str]]) -> None:
    ran = node(f"{name}.js")
    assert ran.stdout == (DATA / f"ledger_{name}_vectors.json").read_text(), ran.stderr

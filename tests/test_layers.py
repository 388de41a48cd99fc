"""Imports run one way: the judge never imports the judged, and only the generator knows torch."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "music": set(),
    "ledger": set(),
    "metrics": {"music"},
    "corpus": {"music", "ledger"},
    "generator": {"music", "corpus"},
    "audit": {"music", "corpus", "metrics", "ledger"},
    "reports": {"audit", "music"},
}


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module.split(".")[0])
    return found


def violations(folder: str, found: set[str]) -> set[str]:
    ours = {*ALLOWED, "cli"}
    wrong = (found & ours) - ALLOWED[folder] - {folder}
    return wrong | (found & {"torch"} if folder != "generator" else set())


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_run_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        assert not violations(folder, imports(file)), file


def test_a_wrong_import_would_be_seen(tmp_path: Path) -> None:
    planted = tmp_path / "x.py"
    planted.write_text("def f():\n    from generator.network.model import Transformer\n    import torch\n")
    assert violations("audit", imports(planted)) == {"generator", "torch"}


def test_init_files_hold_a_docstring_only() -> None:
    for folder in ALLOWED:
        body = ast.parse((ROOT / folder / "__init__.py").read_text()).body
        assert len(body) == 1, folder
        assert isinstance(body[0], ast.Expr), folder

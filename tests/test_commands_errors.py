"""Every error class that the program raises has an exit code; defects have none."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import generator.data.vocabulary  # noqa: F401  (its errors have codes only where it was imported)
from commands.shared.errors import exit_code

ROOT = Path(__file__).parent.parent
FOLDERS = ("audit", "commands", "corpus", "generator", "ledger", "metrics", "music", "reports")


def list_errors() -> set[type[Exception]]:
    """Return the public error classes of all folders."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py") if "class " in file.read_text()]
    modules = [import_module(".".join(file.relative_to(ROOT).with_suffix("").parts)) for file in files]
    classes = (value for module in modules for value in vars(module).values() if isinstance(value, type))
    return {kind for kind in classes if issubclass(kind, Exception) and kind.__module__.startswith(FOLDERS)}


def test_every_public_error_has_an_exit_code() -> None:
    errors = [error for error in list_errors() if not error.__name__.startswith("_")]
    assert len(errors) > 25
    assert [error for error in errors if exit_code(error.__new__(error)) is None] == []


def test_a_defect_has_none() -> None:
    assert exit_code(ZeroDivisionError()) is None

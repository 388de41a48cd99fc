"""Paths: what lies beside an artefact, and folders of this program's own."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import LedgerError

__all__ = ["beside", "make_folder", "named"]


def named(path: Path) -> Path:
    """Return `path` such that its last part is a name: ``.`` and ``..`` are made absolute."""
    return path if path.name not in ("", "..") else path.resolve()


def beside(path: Path, suffix: str) -> Path:
    """Return the path beside an artefact, e.g. ``store`` and ``.sig`` give ``store.sig``."""
    return named(path).with_name(named(path).name + suffix)


def make_folder(folder: Path) -> None:
    """Make a folder where there is none; raises `LedgerError` if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"cannot make the folder {folder}: {error.strerror}") from None

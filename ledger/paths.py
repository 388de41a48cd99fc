"""Paths: what lies beside an artefact, and folders of this program's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from ledger.errors import KeyUnusable, LedgerError


def give_name(path: Path) -> Path:
    """Return `path` such that its last part is a name: ``.`` and ``..`` are made absolute."""
    return path if path.name not in ("", "..") else path.resolve()


def beside(path: Path, suffix: str) -> Path:
    """Return the path beside an artefact, e.g. ``store`` and ``.sig`` give ``store.sig``."""
    return give_name(path).with_name(give_name(path).name + suffix)


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder, and those above it, where there is none; nobody else can write there, whatever the umask.

    Raises
    ------
    LedgerError
        If that is not possible.
    """
    try:
        for place in reversed([folder, *folder.parents]):
            if not place.is_dir():
                place.mkdir(mode, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"cannot make the folder {folder}: {error.strerror}") from None


def refuse_writable(*paths: Path) -> None:
    """Return None if none of some paths can be written to by every user of the machine, else raise `KeyUnusable`.

    What does not exist passes.
    """
    for path in paths:
        if path.exists() and (mode := path.stat().st_mode) & stat.S_IWOTH:
            raise KeyUnusable(
                f"everybody on this machine can write to {path} (mode {mode & 0o7777:04o}), so it can't say whom to "
                f"trust; see what is in it, then take that away: chmod o-w {path}"
            )


def data_folder() -> Path:
    """Return the user's data folder of this program (``CONTRASTE_HOME``), which may not exist yet."""
    return Path(os.environ.get("CONTRASTE_HOME") or platformdirs.user_data_dir("contraste", appauthor=False))

"""Digests of files that were hashed before, so that hashing again reads only what changed.

A digest counts while path, size, modification time, change time, inode and device are the same. The change time is
set by the system alone, so a file that was overwritten and given its old modification time is hashed again. A file
written within the last `SETTLING_NS` is not kept: clocks of file systems tick coarsely, and a second write in the
same tick would leave no trace (the "racy" entries of git's index).

One way around it is left: a process that mapped a file into its memory and wrote to it before it was hashed can go on
writing there, and the times stay as they are until the system writes the page back (on tmpfs: for ever). So the cache
is for those who know what runs on their machine: ``contraste verify`` reads every byte unless ``--cache`` is given.

The cache is a SQLite file of this user. Who can write to it can write anything of this user's. A damaged cache is
thrown away.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import LedgerError
from ledger.hashes.digest import Digest
from ledger.paths import make_folder

SETTLING_NS = 2_000_000_000
"""Two seconds, the coarsest clock of a file system in use (FAT)."""

Part = tuple[str, int, int]
"""Name below the folder (POSIX; ``.`` for a file that is hashed by itself), first byte, byte after the last."""
State = tuple[int, int, int, int, int]
"""Size, modification time and change time in ns, inode, device."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS hashes (
  base TEXT, name TEXT, start INTEGER, stop INTEGER,
  size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode TEXT, device TEXT, digest BLOB,
  PRIMARY KEY (base, name, start, stop)
) WITHOUT ROWID
"""  # inodes of some file systems need 64 bits without a sign, which SQLite's integers don't hold


def state_of(path: Path) -> State:
    """Return what must stay the same for a digest of `path` to count; raises `OSError`."""
    status = os.stat(path, follow_symlinks=False)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


@dataclass(frozen=True, slots=True)
class HashCache:
    """The cache in one SQLite file, made when something is kept.

    Parameters
    ----------
    file : Path
        Where it lies.
    """

    file: Path

    def load(self, base: Path) -> dict[Part, tuple[State, Digest]]:
        """Return what is known of the parts at or below `base`; empty if nothing is, or the file is damaged."""
        if not self.file.exists():
            return {}
        try:
            with closing(self._open()) as database:
                rows = database.execute(
                    "SELECT name, start, stop, size, mtime_ns, ctime_ns, inode, device, digest FROM hashes "
                    "WHERE base = ?",
                    (os.fspath(base),),
                ).fetchall()
            return {
                (name, start, stop): ((size, mtime, ctime, int(inode), int(device)), Digest("sha256", digest))
                for name, start, stop, size, mtime, ctime, inode, device, digest in rows
            }
        except (sqlite3.Error, ValueError):
            self.file.unlink(missing_ok=True)
            return {}

    def save(self, base: Path, digests: Mapping[Part, tuple[State, Digest]], gone: Iterable[Part]) -> None:
        """Keep the digests of parts of `base`, and forget those of files that are gone."""
        now, key = time.time_ns(), os.fspath(base)
        rows = [
            (key, *part, *state[:3], str(state[3]), str(state[4]), digest.value)
            for part, (state, digest) in digests.items()
            if now - max(state[1], state[2]) > SETTLING_NS
        ]
        try:
            make_folder(self.file.parent)
            with closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
                database.executemany(
                    "DELETE FROM hashes WHERE base = ? AND name = ? AND start = ? AND stop = ?",
                    [(key, *part) for part in gone],
                )
        except (sqlite3.Error, OSError, LedgerError):
            return  # a full or read-only disk: the digests are right all the same, and only worked out again

    def _open(self) -> sqlite3.Connection:
        fresh = not self.file.exists()
        database = sqlite3.connect(self.file, timeout=10)
        if fresh:
            os.chmod(self.file, 0o600)
        database.execute("PRAGMA synchronous = OFF")  # what is lost in a crash is hashed again
        database.execute(SCHEMA)
        return database

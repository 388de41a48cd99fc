"""Files that are replaced together: all are written first, so that a failure leaves every one of them as it was."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from ledger.errors import LedgerError
from ledger.hashes.digest import Digest, hash_bytes, hash_file, read_bytes, temporary_beside, temporary_file


class Staged:
    """New content of files, and files to remove, until `commit` puts all of it there.

    What is staged is read in the place of what is there, so that a statement can be made about files that do not lie
    there yet.
    """

    def __init__(self) -> None:
        self._files: dict[Path, tuple[bytes, int]] = {}
        self._gone: list[Path] = []

    def put(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Stage the whole content of a file."""
        self._files[path] = (data, mode)

    def remove(self, path: Path) -> None:
        """Stage the removal of a file, which need not exist."""
        self._gone.append(path)

    def content(self, path: Path) -> bytes | None:
        """Return the staged content of a file; None where none is staged."""
        staged = self._files.get(path)
        return None if staged is None else staged[0]

    def read(self, path: Path) -> bytes:
        """Return what a small file will hold; raises as `ledger.hashes.digest.read_bytes`."""
        staged = self.content(path)
        return read_bytes(path) if staged is None else staged

    def digest(self, path: Path) -> Digest:
        """Return the SHA-256 of what a file will hold; raises as `ledger.hashes.digest.hash_file`."""
        staged = self.content(path)
        return hash_file(path) if staged is None else hash_bytes(staged)

    def commit(self) -> None:
        """Write all files beside their places, and then rename them.

        Raises
        ------
        LedgerError
            If one can't be written (disk full, permission); all files are then as they were. Between the first and
            the last of the renames, some microseconds, only a crash could leave new files beside old ones.
        """
        with ExitStack() as stack:
            new = {
                path: stack.enter_context(temporary_file(path, data, mode))
                for path, (data, mode) in self._files.items()
            }
            old: dict[Path, str] = {}
            try:
                for path in (*new, *self._gone):
                    if os.path.lexists(path):
                        old[path] = temporary_beside(path)
                        os.link(path, old[path], follow_symlinks=False)
                        stack.callback(Path(old[path]).unlink, missing_ok=True)
                self._rename(new, old)
            except OSError as error:
                name = error.filename2 or error.filename or next(iter(new))
                raise LedgerError(f"cannot write {name}: {error.strerror}; nothing was changed there") from None
        self._files.clear()
        self._gone.clear()

    def _rename(self, new: dict[Path, str], old: dict[Path, str]) -> None:
        done: list[Path] = []
        try:
            for path, temporary in new.items():
                os.replace(temporary, path)
                done.append(path)
            for path in self._gone:
                path.unlink(missing_ok=True)
                done.append(path)
        except OSError:
            for path in done:
                with suppress(OSError):  # the others are put back all the same
                    if path in old:
                        os.replace(old[path], path)
                    else:
                        path.unlink(missing_ok=True)
            raise

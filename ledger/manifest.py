"""The manifest of a folder: every file below it with its digest.

The root digest is that of OpenSSF model signing 1.0 with ``method: files``: the SHA-256 over the raw
digests of the files, one after the other, in the order of their names. Names alone are not under the root
digest; the signed statement lists them, and `Manifest.diff` compares the lists.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ledger.digest import Digest, hash_file
from ledger.errors import Malformed, PathRefused

__all__ = ["Manifest", "ManifestDiff", "check_name"]


@dataclass(frozen=True, slots=True)
class ManifestDiff:
    """How a folder differs from what was expected: sorted names, each in one list only.

    Parameters
    ----------
    missing, extra, changed : tuple of str
        Expected but absent; present but not expected; present with another digest.
    """

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.missing or self.extra or self.changed)

    def __str__(self) -> str:
        """Return one line for people, at most three names of each sort."""
        groups = [
            f"{word} {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
            for word, names in (("changed", self.changed), ("missing", self.missing), ("extra", self.extra))
            if names
        ]
        return "; ".join(groups) or "no difference"


def check_name(name: object) -> str:
    """Return `name` if it is a relative POSIX path without empty, ``.`` or ``..`` parts.

    Raises
    ------
    Malformed
        Otherwise, and for NUL bytes and names that are not UTF-8.
    """
    if not isinstance(name, str) or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise Malformed(f"{name!r} is not a relative POSIX path without empty, '.' or '..' parts")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed(f"the name {name!r} is not UTF-8") from None
    return name


@dataclass(frozen=True)
class Manifest:
    """Files of a folder and their digests.

    Parameters
    ----------
    files : mapping of str to Digest
        POSIX path relative to the folder -> digest; sorted by name on construction. Not empty.

    Raises
    ------
    Malformed
        For no files, or a name that is absolute, leaves the folder, or is not UTF-8.
    """

    files: Mapping[str, Digest]

    def __post_init__(self) -> None:
        """Check the names and sort them."""
        if not self.files:
            raise Malformed("a manifest needs at least one file")
        for name in self.files:
            check_name(name)
        object.__setattr__(self, "files", dict(sorted(self.files.items())))

    @classmethod
    def of_folder(cls, folder: Path) -> Manifest:
        """Hash every file below `folder`, hidden ones included; empty folders inside leave no trace.

        Raises
        ------
        PathRefused
            If `folder` is absent, no folder or without any file, or if anything in it is unreadable, a
            symlink, a device, or has a name that is not UTF-8.
        """
        if folder.is_symlink() or not folder.is_dir():
            raise PathRefused(f"{folder} is not a folder")
        names = sorted(_walk(folder, ""))
        if not names:
            raise PathRefused(f"{folder} holds no files; there is nothing to hash")
        # hashlib releases the interpreter lock, so large files are hashed side by side.
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            digests = pool.map(lambda name: hash_file(folder / name), names)
            return cls(dict(zip(names, digests, strict=True)))

    @property
    def root(self) -> Digest:
        """SHA-256 over the concatenated raw digests in the order of the names."""
        total = hashlib.sha256()
        for digest in self.files.values():
            total.update(digest.value)
        return Digest("sha256", total.digest())

    def diff(self, actual: Manifest) -> ManifestDiff:
        """Compare this manifest, the expected one, with that of the folder as it is now."""
        expected, found = self.files, actual.files
        return ManifestDiff(
            missing=tuple(name for name in expected if name not in found),
            extra=tuple(name for name in found if name not in expected),
            changed=tuple(name for name in expected if name in found and expected[name] != found[name]),
        )


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the names of the files below `folder`, and refuse what is not a plain file or folder."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise PathRefused(f"cannot read folder {folder}: {error.strerror}") from None
    for entry in entries:
        try:
            entry.name.encode("utf-8")
        except UnicodeEncodeError:
            raise PathRefused(f"{folder}: the name {entry.name!r} is not UTF-8; rename it") from None
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield prefix + entry.name
        else:
            kind = "a symlink" if entry.is_symlink() else "neither a file nor a folder"
            raise PathRefused(f"{folder / entry.name} is {kind} and cannot be signed; remove it or copy the file")

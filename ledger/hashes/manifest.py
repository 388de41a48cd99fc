"""The manifest of a folder or a file: its files, or shards of them, each with its digest.

Names, order and root digest are those of OpenSSF model signing 1.0: a resource is a file (``a/b``) or a shard
(``a/b:0:1000``, first byte and byte after the last), and the root digest is the SHA-256 over the raw digests in the
order of the names. The order is that of the reference implementation: names are compared part by part (``a/z`` comes
before ``a.txt``), shards of a file by their first byte. A model of one file has the one resource ``.``. Names alone are
not under the root digest; the signed statement lists them, and `Manifest.diff` compares the lists.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import LedgerError, LinkRefused, Malformed, PathRefused
from ledger.hashes.digest import Digest, hash_file
from ledger.hashes.hashcache import HashCache, Part, State, state_of

DEFAULT_SHARD_BYTES = 1_000_000_000
"""Shard size of model signing where none is given."""
WORKERS = min(32, (os.cpu_count() or 1) + 4)  # some wait for the disk while others hash
SHARD_NAME = re.compile(r"(.+):(0|[1-9][0-9]*):([1-9][0-9]*)", re.DOTALL)


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


@dataclass(frozen=True, slots=True)
class Method:
    """How a folder is cut into resources (``serialization`` of model signing 1.0).

    Parameters
    ----------
    shard_bytes : int or None
        Size of the shards of a file; None: a file is one resource. An empty file has no shards, so it leaves no
        trace then.
    ignored : tuple of str
        Names below the folder that are left out, each with what is below it.

    Raises
    ------
    Malformed
        For a shard size below 1, or a name that leaves the folder.
    """

    shard_bytes: int | None = None
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check size and names."""
        if self.shard_bytes is not None and self.shard_bytes < 1:
            raise Malformed(f"shard_size {self.shard_bytes} is not a positive number of bytes")
        for name in self.ignored:
            check_name(name)

    def ignores(self, name: str) -> bool:
        """Return whether `name` is left out, itself or as part of a folder."""
        return any(name == left_out or name.startswith(f"{left_out}/") for left_out in self.ignored)

    def resource(self, part: Part) -> str:
        """Return the name of the resource that a part of a file is."""
        name, start, stop = part
        return name if self.shard_bytes is None else f"{name}:{start}:{stop}"

    def order(self, resource: str) -> tuple[list[str], int]:
        """Return what resources are sorted by: the parts of the file's name, then the first byte of the shard."""
        if self.shard_bytes is None:
            return resource.split("/"), 0
        name, start, _ = resource.rsplit(":", 2)
        return name.split("/"), int(start)

    def parts(self, name: str, size: int) -> list[Part]:
        """Return the parts of a file of `size` bytes."""
        if self.shard_bytes is None:
            return [(name, 0, -1)]
        return [(name, at, min(at + self.shard_bytes, size)) for at in range(0, size, self.shard_bytes)]


FILES = Method(ignored=(".git", ".gitattributes", ".github", ".gitignore"))
"""What this program signs folders by: every file whole, and git's own files at the top left out, as the reference
implementation does unless it is told otherwise; the statement names them (``ignore_paths``)."""


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


def root_digest(digests: Iterable[Digest]) -> Digest:
    """Return the SHA-256 over the concatenated raw digests."""
    total = hashlib.sha256()
    for digest in digests:
        total.update(digest.value)
    return Digest("sha256", total.digest())


@dataclass(frozen=True)
class Manifest:
    """Resources of a folder, or the one of a file, and their digests.

    Parameters
    ----------
    files : mapping of str to Digest
        Name of a resource -> digest; sorted by name on construction. Not empty.
    method : Method
        How the names came about.

    Raises
    ------
    Malformed
        For no resources, a name that is absolute, leaves the folder, is not UTF-8 or no shard where shards are
        expected, and for two names that are one in another Unicode form: which of the two a reader gets would
        depend on the file system.
    """

    files: Mapping[str, Digest]
    method: Method = FILES

    def __post_init__(self) -> None:
        """Check the names and sort them."""
        if not self.files:
            raise Malformed("a manifest needs at least one file")
        plain: dict[str, str] = {}
        for name in self.files:
            file = name
            if self.method.shard_bytes is not None:
                found = SHARD_NAME.fullmatch(name)
                if not found:
                    raise Malformed(f"{name!r} is not the name of a shard (file:first:last)")
                file = found[1]
            if file == "." and len(self.files) == 1:
                continue
            if file != "." or self.method.shard_bytes is None:
                check_name(file)
            if (other := plain.setdefault(unicodedata.normalize("NFC", name), name)) != name:
                raise Malformed(f"the names {other!a} and {name!a} differ only in their Unicode form")
        ordered = {name: self.files[name] for name in sorted(self.files, key=self.method.order)}
        object.__setattr__(self, "files", ordered)

    @classmethod
    def of_path(cls, path: Path, method: Method = FILES, cache: HashCache | None = None) -> Manifest:
        """Hash every file below a folder, hidden ones included, or one file; empty folders leave no trace.

        Parameters
        ----------
        path : Path
            A folder, or a regular file, whose one resource is called ``.``.
        method : Method
            How to cut it into resources, and what to leave out.
        cache : HashCache, optional
            Where digests of unchanged files are found, and new ones kept.

        Raises
        ------
        PathRefused
            If `path` is absent, a symlink or without any file, or if anything in it is unreadable, a symlink, a
            device, changes meanwhile, or has a name that is not UTF-8 or is another's in another Unicode form.
        """
        if path.is_symlink():
            raise LinkRefused(f"{path} is a symlink, and links are not hashed; name the folder or file itself")
        if not path.exists():
            raise PathRefused(f"cannot read {path}: no such file or folder")
        names = sorted(_walk(path, method)) if path.is_dir() else ["."]
        if not names:
            raise PathRefused(f"{path} holds no files; there is nothing to hash")
        base = Path(os.path.realpath(path))
        known = cache.load(base) if cache else {}
        digests: dict[Part, tuple[State, Digest]] = {}
        fresh: list[tuple[Part, State]] = []
        for name in names:
            try:
                state = state_of(base / name)
            except OSError as error:
                raise PathRefused(f"cannot read {path / name}: {error.strerror}") from None
            for part in method.parts(name, state[0]):
                if part in known and known[part][0] == state:
                    digests[part] = known[part]
                else:
                    fresh.append((part, state))

        def digest(item: tuple[Part, State]) -> Digest:
            (name, start, stop), _ = item
            return hash_file(base / name, start, None if stop < 0 else stop)

        # hashlib releases the interpreter lock, so large files are hashed side by side.
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            for (part, state), value in zip(fresh, pool.map(digest, fresh), strict=True):
                digests[part] = (state, value)
        if cache is not None and fresh:
            there = set(names)
            cache.save(
                base, {part: digests[part] for part, _ in fresh}, [part for part in known if part[0] not in there]
            )
        try:
            return cls({method.resource(part): value for part, (_, value) in digests.items()}, method)
        except Malformed as error:
            raise PathRefused(f"{path}: {error}") from None

    @property
    def root(self) -> Digest:
        """SHA-256 over the concatenated raw digests in the order of the names."""
        return root_digest(self.files.values())

    def diff(self, actual: Manifest) -> ManifestDiff:
        """Compare this manifest, the expected one, with that of the folder as it is now."""
        expected, found = self.files, actual.files
        return ManifestDiff(
            missing=tuple(name for name in expected if name not in found),
            extra=tuple(name for name in found if name not in expected),
            changed=tuple(name for name in expected if name in found and expected[name] != found[name]),
        )


def find_ignored(path: Path, ignored: Iterable[str]) -> list[str]:
    """Return those of some names that are there below a folder, sorted; none for a file."""
    return sorted(name for name in set(ignored) if os.path.lexists(path / name)) if path.is_dir() else []


def _walk(folder: Path, method: Method, prefix: str = "") -> Iterator[str]:
    """Yield the names of the files below `folder` that a method takes, and refuse what is no plain file or folder."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise PathRefused(f"cannot read folder {folder}: {error.strerror}") from None
    for entry in entries:
        try:
            entry.name.encode("utf-8")
        except UnicodeEncodeError:
            raise PathRefused(f"{folder}: the name {entry.name!r} is not UTF-8; rename it") from None
        name = prefix + entry.name
        if method.ignores(name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, method, f"{name}/")
        elif entry.is_file(follow_symlinks=False):
            yield name
        elif entry.is_symlink():
            raise LinkRefused(f"{folder / entry.name} is a symlink and cannot be signed; remove it or copy the file")
        else:
            raise PathRefused(f"{folder / entry.name} is neither a file nor a folder and cannot be signed; remove it")


class ManifestMismatch(LedgerError):  # noqa: N818 - as those of `ledger.errors`
    """Files are not what was signed.

    Parameters
    ----------
    message : str
        What was compared, for people.
    diff : ManifestDiff
        Names that are missing, extra or changed.
    """

    code = "content-changed"

    def __init__(self, message: str, diff: ManifestDiff) -> None:
        super().__init__(f"{message}: {diff}")
        self.diff = diff

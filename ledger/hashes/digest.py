"""SHA-256 digests and canonical JSON.

JSON that is hashed or signed is written in the form of RFC 8785 (JCS), so equal values have equal bytes.
JSON that is read is read strictly: one value, UTF-8, no duplicate names, no NaN, limits of size, depth and count.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import math
import os
import re
import secrets
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn

import rfc8785

from ledger.errors import LedgerError, LinkRefused, Malformed, PathRefused

MAX_JSON_BYTES = 64 * 1024 * 1024
"""Largest JSON file the ledger reads; a signed folder of 400,000 files stays below it."""
MAX_JSON_DEPTH = 100
"""Deepest nesting of arrays and objects. Not left to the interpreter: its limit can be raised by any package
(py-evm does), and then a deep text overruns the C stack in the parser."""

MAX_JSON_VALUES = 2**21
"""Most values in one file: four for each of 400,000 files. Small ones take ten times the memory of their text."""
MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Largest file beside an artefact: records, anchors, tokens, contributions, the signature of a single file."""

STRING = re.compile(rb'"[^"]*+"')
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

BUFFER_BYTES = 256 * 1024
"""Bytes read at once; larger and smaller buffers and memory maps took the same time here."""

TEMPORARY = ".contraste-tmp"
LITTER = re.compile(r"\..+\.[0-9a-f]{16}" + re.escape(TEMPORARY), re.DOTALL)
LITTER_AGE_S = 2
"""A file in use is locked, but for the moment between its making and its lock."""


@dataclass(frozen=True, slots=True)
class Digest:
    """The hash of some bytes.

    Parameters
    ----------
    algorithm : str
        Always ``"sha256"`` in this version.
    value : bytes
        The 32 raw bytes.

    Raises
    ------
    Malformed
        For another algorithm or length.
    """

    algorithm: str
    value: bytes

    def __post_init__(self) -> None:
        """Refuse other algorithms and lengths."""
        if self.algorithm != "sha256":
            raise Malformed(f"digest algorithm {self.algorithm!r} is not supported; only sha256 is")
        if len(self.value) != 32:
            raise Malformed(f"a sha256 digest has 32 bytes, not {len(self.value)}")

    @property
    def hex(self) -> str:
        """The value as 64 lower-case hexadecimal digits."""
        return self.value.hex()

    @classmethod
    def from_hex(cls, text: object) -> Digest:
        """Parse 64 lower-case hexadecimal digits (no prefix); anything else raises `Malformed`."""
        if not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{64}", text):
            raise Malformed(f"{text!r} is not a SHA-256 digest (64 lower-case hexadecimal digits)")
        return cls("sha256", bytes.fromhex(text))


def hash_bytes(data: bytes) -> Digest:
    """Return the SHA-256 digest of `data`."""
    return Digest("sha256", hashlib.sha256(data).digest())


def hash_file(path: Path, start: int = 0, end: int | None = None) -> Digest:
    """Return the SHA-256 digest of a regular file, or of its bytes from `start` to before `end`.

    Parameters
    ----------
    path : Path
        A regular file; the last component may not be a symlink.
    start, end : int
        Offsets in bytes; an `end` of None means that of the file.

    Raises
    ------
    PathRefused
        If `path` is absent, unreadable, a symlink, a folder or a device, or is written to meanwhile: the digest
        of a file that changes is that of no file.
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if os.path.islink(path):
            raise LinkRefused(f"{path} is a symlink, and links are not hashed; put the file itself there") from None
        raise PathRefused(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise PathRefused(f"cannot read {str(path)!r}: {error}") from None
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        os.close(descriptor)
        raise PathRefused(f"{path} is not a regular file; only regular files are hashed")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            digest = _hash_range(file, start, before.st_size if end is None else end)
        except OSError as error:
            raise PathRefused(f"cannot read {path}: {error.strerror}") from None
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise PathRefused(f"{path} changed while it was hashed; try again when nothing writes to it")
    return digest


def _hash_range(file: io.FileIO, start: int, end: int) -> Digest:
    total, buffer = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES))
    file.seek(start)
    while (left := end - file.tell()) > 0 and (count := file.readinto(buffer[: min(left, BUFFER_BYTES)])):
        total.update(buffer[:count])
    return Digest("sha256", total.digest())


def canonical_json(value: Any) -> bytes:
    """Return `value` as canonical JSON (RFC 8785), UTF-8, without a final newline.

    Raises
    ------
    Malformed
        For what RFC 8785 cannot carry: NaN, infinity, integers beyond 2**53 - 1, lone surrogates,
        names that are not strings, and Python types without a JSON form.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:
        raise Malformed(f"cannot be written as canonical JSON (RFC 8785): {error}") from None


def parse_json(data: bytes, *, source: str, limit: int = MAX_JSON_BYTES) -> Any:
    """Parse one JSON value strictly, in a time that is linear in its size.

    Parameters
    ----------
    data : bytes
        UTF-8 text.
    source : str
        What the bytes are, for the message, e.g. the file name.
    limit : int
        Most bytes.

    Raises
    ------
    Malformed
        For too many bytes, nesting beyond `MAX_JSON_DEPTH`, more values than `MAX_JSON_VALUES`, other encodings,
        syntax errors, duplicate names, NaN or infinity, lone surrogates, and integers of more than 4,300 digits.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant[:40]} is not JSON")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
        return members

    if len(data) > limit:
        raise Malformed(f"{source}: {len(data)} bytes is over the limit of {limit}")
    _check_size(data, source)
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
        if SURROGATE.search(data):  # a pair of them is a character, one alone is none
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise Malformed(f"{source}: not valid JSON: {error}") from None
    return value


def _check_size(data: bytes, source: str) -> None:
    """Return None if JSON text is neither too deep nor of too many values, whatever else may be wrong with it.

    Strings go first, and before them escapes, so that every quotation mark that is left begins or ends one. The
    patterns are possessive: none of them is tried again, and no place is kept to go back to.
    """
    bare = data.replace(rb"\\", b"").replace(rb"\"", b"")
    if bare.count(b'"') <= 4 * MAX_JSON_VALUES:  # a name and a value for each
        bare = STRING.sub(b"", bare)
        if sum(map(bare.count, (b",", b"[", b"{"))) <= MAX_JSON_VALUES:
            depths = accumulate(1 if byte in b"[{" else -1 for byte in bare.translate(None, NO_BRACKETS))
            if max(depths, default=0) > MAX_JSON_DEPTH:
                raise Malformed(f"{source}: nested deeper than the limit of {MAX_JSON_DEPTH}")
            return
    raise Malformed(f"{source}: holds more than {MAX_JSON_VALUES} values")


def read_bytes(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """Return the bytes of a small regular file.

    Raises
    ------
    PathRefused
        If it is absent, unreadable or not a regular file.
    Malformed
        If it is larger than `limit` bytes.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PathRefused(f"{path} is not a regular file")
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise PathRefused(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise PathRefused(f"cannot read {str(path)!r}: {error}") from None
    if len(data) > limit:
        raise Malformed(f"{path}: more than the limit of {limit} bytes")
    return data


def read_json(file: Path) -> Any:
    """Read a JSON file that lies beside an artefact, of at most `MAX_RECORD_BYTES`; as `read_bytes`, `parse_json`."""
    return parse_json(read_bytes(file, MAX_RECORD_BYTES), source=str(file))


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, overwrite: bool = True) -> None:
    """Write a file so that other processes see the old content or the new, never a part.

    The bytes go to a temporary file in the same folder, are flushed to disk, and the file is renamed.

    Parameters
    ----------
    path : Path
        Target; its folder must exist.
    data : bytes
        Whole content.
    mode : int
        Permission bits, whatever the umask says.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    LedgerError
        If it cannot be written (permission, disk full), or exists and `overwrite` is False. The old file
        stays as it was.
    """
    finish: Callable[[str, Path], None] = os.replace if overwrite else os.link
    with temporary_file(path, data, mode) as temporary:
        try:
            finish(temporary, path)
        except FileExistsError:
            raise LedgerError(f"{path} exists already and is not overwritten; choose another place") from None
        except OSError as error:
            raise LedgerError(f"cannot write {path}: {error.strerror}; nothing was changed there") from None


def temporary_beside(path: Path) -> str:
    """Return a name for a temporary file in the folder of `path` that nobody can guess.

    What runs that were killed left in that folder is removed, once in the life of a process.
    """
    _sweep(path.parent)
    return str(path.with_name(f".{path.name[:64]}.{secrets.token_hex(8)}{TEMPORARY}"))


@contextmanager
def temporary_file(path: Path, data: bytes, mode: int = 0o644) -> Iterator[str]:
    """Write the coming content of `path` to a temporary file beside it, flushed to disk, and give its name.

    It is locked, so that no sweep takes it away, and removed at the end unless it was renamed.

    Raises
    ------
    LedgerError
        If it cannot be written; nothing is left then.
    """
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot write {path}: {error.strerror}; nothing was changed there") from None
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        try:
            try:
                with suppress(OSError):  # some file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.fchmod(descriptor, mode)
                left = memoryview(data)
                while left:
                    left = left[file.write(left) :]
                os.fsync(descriptor)
            except OSError as error:
                raise LedgerError(f"cannot write {path}: {error.strerror}; nothing was changed there") from None
            yield temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of runs that were killed from a folder."""
    place = os.path.realpath(folder)
    if place in _swept:
        return
    _swept.add(place)
    try:
        names = [entry.name for entry in os.scandir(place) if LITTER.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        with suppress(OSError):  # gone meanwhile, in use, or somebody else's
            descriptor = os.open(os.path.join(place, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                old = time.time() - os.fstat(descriptor).st_ctime > LITTER_AGE_S
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if old:
                    os.unlink(os.path.join(place, name))
            finally:
                os.close(descriptor)


_swept: set[str] = set()
"""Folders that this process has looked through."""

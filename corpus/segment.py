"""A segment of a store: a folder of pieces that is written once.

::

    notes.npy        `NOTE` (m,): the notes of all pieces, one piece after another
    keys.npy         `KEYS` (n,): what pieces are looked up and grouped by
    pieces.jsonl     one line a piece: its record, parts, tempos, meters and bars
    offsets.npy      `OFFSET` (n + 1,): where the notes and the line of each piece begin
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpus.prepare import PieceRecord

NOTE = np.dtype([("onset", "<f8"), ("duration", "<f8"), ("pitch", "u1"), ("velocity", "u1"), ("part", "<u2")])
OFFSET = np.dtype([("note", "<i8"), ("line", "<i8")])
KEYS = np.dtype([("path", "<u8"), ("file", "u1", (32,)), ("content", "<u8"), ("melody", "<u8")])
PLAIN: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int)}
LINE_FIELDS = tuple(f.name for f in fields(PieceRecord) if f.name not in ("rights", "group", "split"))
FILES = {"keys.npy", "notes.npy", "offsets.npy", "pieces.jsonl"}


class StoreError(ValueError):
    """Raised when a store can't be opened, read or written; the message names file, value and rule."""


class StoreAlteredError(StoreError):
    """Raised when a store's files are not those its manifest names."""


class StoreBusyError(StoreError):
    """Raised when another process is writing to the store."""


class StoreDamagedError(StoreError):
    """Raised when a segment is missing or can't be used; `reason` says why, without the segment's name."""

    def __init__(self, folder: Path, reason: str) -> None:
        """Name the segment and what to do about it."""
        super().__init__(
            f"{folder}: the segment is damaged: {reason}; restore the folder from a copy, or search and audit "
            "without its pieces by giving --partial"
        )
        self.folder, self.reason = folder, reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments, not the message: the error may come out of a worker process."""
        return type(self), (self.folder, self.reason)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as the manifest lists it; the counts let rows keep their numbers when its folder is gone."""

    name: str
    pieces: int
    notes: int
    files: dict[str, FileEntry]

    @property
    def music(self) -> str:
        """Name of its notes: what is said about its pieces, such as their rights, may change beside them."""
        return "-".join(self.name.split("-")[:2])


def check_types(what: type[Any], line: Mapping[str, Any]) -> None:
    """Return None if what a line says of a record has the types of its fields, as far as they are plain.

    Raises
    ------
    TypeError
        Naming the first that has another, or is no finite number.
    """
    for field in fields(what):
        value = line.get(field.name)
        wanted = PLAIN.get(str(field.type))
        if field.name not in line or wanted is None:
            continue
        lone = type(value) is str and re.search("[\ud800-\udc7f\udd00-\udfff]", value)  # no bytes of any name
        if type(value) not in wanted or (type(value) is float and not math.isfinite(value)) or lone:
            raise TypeError(f"{field.name} {value!r:.80} is no {field.type}")


class Segment:
    """The files of one segment; each is opened when it is first used.

    Raises
    ------
    StoreDamagedError
        From every member, when a file is missing or is not what the manifest says.
    """

    def __init__(self, folder: Path, entry: SegmentEntry) -> None:
        """Name the folder; nothing is read."""
        self.folder, self.entry = folder, entry

    def check(self, arrays: bool) -> None:
        """Compare the sizes of the files, and with `arrays` their types too."""
        check_sizes(self.folder, self.entry.files)
        if arrays:
            _ = self.notes, self.keys, self.offsets

    @cached_property
    def notes(self) -> NDArray[Any]:
        """`NOTE` (m,), memory-mapped."""
        return self._array("notes.npy", NOTE, self.entry.notes, "r")

    @cached_property
    def keys(self) -> NDArray[Any]:
        """`KEYS` (n,)."""
        return self._array("keys.npy", KEYS, self.entry.pieces, None)

    @cached_property
    def offsets(self) -> NDArray[Any]:
        """`OFFSET` (n + 1,), rising."""
        offsets = self._array("offsets.npy", OFFSET, self.entry.pieces + 1, None)
        for column, last in (("note", self.entry.notes), ("line", self.entry.files["pieces.jsonl"].bytes)):
            places = offsets[column]
            if places[0] != 0 or places[-1] != last or (np.diff(places) < 0).any():
                raise StoreDamagedError(self.folder, f"offsets.npy: column {column} does not rise from 0 to {last}")
        return offsets

    def line(self, row: int) -> dict[str, Any]:
        """Line of the piece `row` of this segment, parsed."""
        begin, end = (int(self.offsets["line"][i]) for i in (row, row + 1))
        try:
            record = json.loads(self._lines[begin:end].tobytes())
        except (ValueError, RecursionError) as error:
            raise StoreDamagedError(self.folder, f"pieces.jsonl: line {row + 1}: {error}") from error
        if not isinstance(record, dict):
            raise StoreDamagedError(self.folder, f"pieces.jsonl: line {row + 1} is no object")
        return record

    @cached_property
    def _lines(self) -> NDArray[np.uint8]:
        try:
            return np.memmap(self.folder / "pieces.jsonl", np.uint8, "r")
        except (OSError, ValueError) as error:
            raise StoreDamagedError(self.folder, f"pieces.jsonl: {error}") from error

    def _array(self, name: str, dtype: np.dtype[Any], length: int, mode: Any) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.folder / name, mmap_mode=mode, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreDamagedError(self.folder, f"{name}: {getattr(error, 'strerror', None) or error}") from error
        if array.dtype != dtype or array.shape != (length,):
            raise StoreDamagedError(self.folder, f"{name} holds {array.dtype} {array.shape}, not {dtype} ({length},)")
        return array


def path_hash(path: str) -> int:
    """First 64 bits of the SHA-256 of a piece's path; names that are no UTF-8 have one too."""
    return int.from_bytes(hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()[:8], "little")


def write_folder(folder: Path, content: Mapping[str, NDArray[Any] | bytes]) -> dict[str, FileEntry]:
    """Write a segment's folder in one rename, synced to disk; what an interrupted writer left there goes."""
    temporary = folder.with_name(f".{folder.name}")
    for stray in (temporary, folder):
        shutil.rmtree(stray, ignore_errors=True)
    temporary.mkdir(parents=True)
    files = {}
    for name in sorted(content):
        path, data = temporary / name, content[name]
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            np.save(path, data)
        written = path.read_bytes()
        files[name] = FileEntry(len(written), hashlib.sha256(written).hexdigest())
        sync(path)
    sync(temporary)
    temporary.rename(folder)
    sync(folder.parent)
    return files


def check_sizes(folder: Path, files: Mapping[str, FileEntry]) -> None:
    """Compare the sizes of the files of a segment with what its manifest says; `StoreDamagedError` names the first."""
    for name, file in files.items():
        try:
            size = os.stat(f"{folder}/{name}").st_size
        except OSError as error:
            raise StoreDamagedError(folder, f"{name}: {error.strerror}") from error
        if size != file.bytes:
            raise StoreDamagedError(folder, f"{name} has {size} bytes, the manifest says {file.bytes}")


def verify_folder(folder: Path, files: Mapping[str, FileEntry]) -> None:
    """Hash the files of a segment and compare with what its manifest says.

    Raises
    ------
    StoreAlteredError
        Naming the first file that differs.
    StoreDamagedError
        Naming the first file that can't be read.
    """
    for name, file in files.items():
        try:
            with (folder / name).open("rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
        except OSError as error:
            raise StoreDamagedError(folder, f"{name}: {error.strerror}") from error
        if digest != file.sha256:
            raise StoreAlteredError(
                f"{folder / name}: SHA-256 is {digest}, the manifest says {file.sha256}; the store was altered"
            )


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

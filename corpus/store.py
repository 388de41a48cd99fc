"""The STORE folder: a corpus that needs nothing outside itself.

::

    STORE/manifest.json        the segments, with their sizes and digests; replaced in one rename
    STORE/segments/NAME/       up to 1,000 pieces each (`corpus.segment`); immutable once the manifest names them
    STORE/index/NAME/          fingerprints, written by the copy search
    STORE/recordings/          sound, under a manifest of its own (`corpus.recordings`)

A store changes only by the rename of its manifest, after the segments it names were synced to disk. Killed at
any moment it opens as it was before; what an interrupted run left is removed by the next one. Writers take a
lock on the folder; readers need none.

Opening reads the manifest and compares file sizes; everything else is read when it is asked for. What depends on
all pieces (duplicate groups, the split) is worked out from the keys and stored nowhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from corpus.prepare import PieceRecord, groups_of, split_of
from corpus.rights import Rights
from corpus.segment import (
    FILES,
    KEYS,
    LINE_FIELDS,
    NOTE,
    FileEntry,
    Segment,
    SegmentEntry,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    check_types,
    path_hash,
    sync,
    verify_folder,
)
from music.midi import write_atomically
from music.notes import NoteSequence, Part, Tempo, TimeSignature, build

SCHEMA = "contraste-store/3"
UMASK = os.umask(0)  # which only setting it tells
os.umask(UMASK)


class Pieces(Sequence[PieceRecord]):
    """The records of a store in the order they were added; each is read when it is asked for."""

    def __init__(self, store: Store) -> None:
        """Remember the store; nothing is read."""
        self._store = store

    def __len__(self) -> int:
        """Count the pieces, those of missing segments too."""
        return int(self._store._starts[-1])

    @overload
    def __getitem__(self, index: int) -> PieceRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[PieceRecord]: ...
    def __getitem__(self, index: int | slice) -> PieceRecord | list[PieceRecord]:
        """Read one record or several; `StoreDamagedError` where the segment is missing or damaged."""
        rows = range(len(self))[index]
        return self._store._record(rows) if isinstance(rows, int) else [self._store._record(row) for row in rows]


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. Use `Store.open` or `Store.create`; the constructor trusts its arguments.

    Attributes
    ----------
    digest : str
        SHA-256 (hex) of the manifest, which holds the digests of all other files.
    missing : tuple of (str, str)
        Names of the segments that were left out, each with the reason; () unless opened with `partial`.
    opted_out : tuple of str
        SHA-256 (hex) of files that were taken out as their rights said opt_out, so that none comes back unasked.
    """

    path: Path
    segments: tuple[SegmentEntry, ...]
    digest: str
    missing: tuple[tuple[str, str], ...] = ()
    opted_out: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: str | Path, *, partial: bool = False) -> Store:
        """Open an existing store for reading.

        Parameters
        ----------
        partial : bool
            Leave missing and damaged segments out instead of raising. Rows keep their numbers; see `missing` and
            `present`. Groups are those of the pieces that are left.

        Raises
        ------
        StoreError
            When there is no store, or its manifest is damaged or of another version.
        StoreDamagedError
            When a file of a segment is missing or has another size, unless `partial`.
        """
        path = Path(path)
        try:
            data = (path / "manifest.json").read_bytes()
        except FileNotFoundError:
            raise StoreError(
                f"{path}: no store here (no manifest.json); make one with: contraste ingest SRC --into {path}"
            ) from None
        except OSError as error:
            raise StoreError(f"{path / 'manifest.json'}: cannot be read: {error.strerror}") from error
        entries, opted_out = _read_manifest(path / "manifest.json", data)
        store = cls(path, entries, hashlib.sha256(data).hexdigest(), opted_out=opted_out)
        missing = []
        for segment in store.opened:
            try:
                segment.check(arrays=partial)
            except StoreDamagedError as error:
                if not partial:
                    raise
                missing.append((segment.entry.name, error.reason))
        return replace(store, missing=tuple(missing))

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """Open the store at `path`, or make an empty one there.

        Raises
        ------
        StoreError
            When `path` is a file, a folder with other content, or not writable; otherwise as `open`.
        """
        path = Path(path)
        try:
            if not (path / "manifest.json").exists():
                path.mkdir(parents=True, exist_ok=True)
                strangers = sorted(p.name for p in path.iterdir() if p.name not in ("segments", "index", "recordings"))
                strangers = [name for name in strangers if not name.startswith(".manifest.json.")]  # of a killed run
                with writing(path):
                    if not (path / "manifest.json").exists():  # nobody else made one in the meantime
                        if strangers:
                            raise StoreError(f"{path}: is no store and not empty ({strangers[0]}); name a new folder")
                        write_synced(path / "manifest.json", _manifest(()))
        except OSError as error:
            raise StoreError(f"{path}: a store can't be made here: {error.strerror}") from error
        return cls.open(path)

    def extend(self, entry: SegmentEntry) -> Store:
        """Name a segment, whose files are on disk, in the manifest; return the store as it is then.

        To be called under the lock (`writing`), on the store as it was opened under it.
        """
        return self.replace_segments((*self.segments, entry))

    def replace_segments(self, entries: Sequence[SegmentEntry], opted_out: Iterable[str] = ()) -> Store:
        """Name these segments, whose files are on disk, in the manifest instead of the present ones; as `extend`.

        `opted_out` are digests that join those of before.
        """
        out = tuple(sorted({*self.opted_out, *opted_out}))
        data = _manifest(entries, out)
        write_synced(self.path / "manifest.json", data)
        return Store(self.path, tuple(entries), hashlib.sha256(data).hexdigest(), opted_out=out)

    @property
    def music_digest(self) -> str:
        """SHA-256 (hex) of what names the notes of all segments; unlike `digest`, it does not change with rights."""
        return hashlib.sha256("\n".join(entry.music for entry in self.segments).encode()).hexdigest()

    def prefix(self, count: int) -> Store:
        """Return the store as it was with its first `count` segments."""
        entries = self.segments[:count]
        names = {entry.name for entry in entries}
        missing = tuple((name, reason) for name, reason in self.missing if name in names)
        data = _manifest(entries, self.opted_out)
        return Store(self.path, entries, hashlib.sha256(data).hexdigest(), missing, self.opted_out)

    @cached_property
    def pieces(self) -> Pieces:
        """The records, read one by one."""
        return Pieces(self)

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Mask (n,) of the pieces that can be read: all, unless some segments are `missing`."""
        there = [entry.name not in dict(self.missing) for entry in self.segments]
        return np.repeat(np.array(there, bool), np.diff(self._starts))

    def held(self) -> Iterator[PieceRecord]:
        """Yield the records of the pieces that can be read."""
        return (self.pieces[int(row)] for row in np.flatnonzero(self.present))

    @cached_property
    def keys(self) -> NDArray[Any]:
        """`KEYS` (n,) of all pieces; zeros where a segment is missing."""
        absent = dict(self.missing)
        return np.concatenate(
            [
                np.zeros(0, KEYS),
                *(np.zeros(s.entry.pieces, KEYS) if s.entry.name in absent else s.keys for s in self.opened),
            ]
        )

    @cached_property
    def groups(self) -> NDArray[np.int32]:
        """Row (n,) of the oldest piece of each piece's duplicate group; -1 where a segment is missing."""
        rows = np.flatnonzero(self.present).astype(np.int32)
        group = np.full(len(self.pieces), -1, np.int32)
        group[rows] = rows[groups_of(self.keys["content"][rows], self.keys["melody"][rows])]
        return group

    @property
    def works(self) -> int:
        """Count the duplicate groups."""
        return int(np.count_nonzero(self.groups == np.arange(len(self.groups))))

    def index_of(self, path: str) -> int:
        """Row of the piece called `path`; KeyError when there is none."""
        order, hashes = self._by_path
        wanted = np.uint64(path_hash(path))
        for row in order[np.searchsorted(hashes, wanted) : np.searchsorted(hashes, wanted, side="right")]:
            if self.present[row] and self._line(row)["path"] == path:
                return int(row)
        raise KeyError(path)

    def notes(self, index: int) -> NoteSequence:
        """Load the notes of piece `index` from its memory-mapped segment.

        Raises
        ------
        StoreDamagedError
            When the segment is missing or its arrays are damaged.
        """
        segment, row = self._place(range(len(self.pieces))[index])
        line, span = segment.line(row), segment.offsets["note"]
        rows = segment.notes[span[row] : span[row + 1]]
        try:
            return build(
                rows["onset"],
                rows["duration"],
                rows["pitch"],
                rows["velocity"],
                rows["part"],
                parts=[Part(*p) for p in line["parts"]],
                tempos=[Tempo(*t) for t in line["tempos"]],
                time_signatures=[TimeSignature(*t) for t in line["meters"]],
                ticks_per_quarter=line["ticks"],
                title=line["title"],
                bar_starts=line.get("bar_starts"),
                bar_numbers=line.get("bar_numbers", ()),
                remarks=line["remarks"],
                unread=line["unread"],
            )
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise StoreDamagedError(segment.folder, f"notes of piece {row}: {error}") from error

    def verify(self) -> None:
        """Hash every segment again and compare with the manifest, as `verify_folder`; missing segments are left out."""
        for segment in self.opened:
            if segment.entry.name not in dict(self.missing):
                verify_folder(segment.folder, segment.entry.files)

    @cached_property
    def opened(self) -> tuple[Segment, ...]:
        """Its segments, each of which reads its files when they are asked for."""
        return tuple(Segment(self.path / "segments" / entry.name, entry) for entry in self.segments)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(entry.pieces for entry in self.segments)], dtype=np.int64)

    @cached_property
    def _by_path(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        order = np.argsort(self.keys["path"], kind="stable")
        return order, self.keys["path"][order]

    def _place(self, index: int) -> tuple[Segment, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        segment = self.opened[number]
        if self.missing and segment.entry.name in dict(self.missing):
            raise StoreDamagedError(segment.folder, dict(self.missing)[segment.entry.name])
        return segment, index - int(self._starts[number])

    def _line(self, index: int) -> dict[str, Any]:
        segment, row = self._place(index)
        return segment.line(row)

    def _record(self, index: int) -> PieceRecord:
        segment, row = self._place(index)
        line = segment.line(row)
        oldest = int(self.groups[index])
        group = line if oldest == index else self._line(oldest)
        try:
            about = {name: line[name] for name in LINE_FIELDS}
            for what, values in ((PieceRecord, line), (PieceRecord, group), (Rights, line["rights"])):
                check_types(what, values)
            split = split_of(group["content_key"])
            return PieceRecord(**about, rights=Rights(**line["rights"]), group=group["path"], split=split)
        except (AttributeError, KeyError, TypeError) as error:
            raise StoreDamagedError(segment.folder, f"pieces.jsonl: line {row + 1}: {error!r}") from error


def _manifest(segments: Sequence[SegmentEntry], opted_out: Sequence[str] = ()) -> bytes:
    data: dict[str, Any] = {"schema": SCHEMA, "segments": [asdict(entry) for entry in segments]}
    if opted_out:
        data["opted_out"] = list(opted_out)
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _read_manifest(manifest: Path, data: bytes) -> tuple[tuple[SegmentEntry, ...], tuple[str, ...]]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{manifest}: is not valid JSON ({error}); restore the store from its source") from error
    schema = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if schema == "contraste-store/1":
        raise StoreError(
            f"{manifest}: schema {schema!r} was written by contraste 0.1; ingest its sources again into a new folder"
        )
    if schema != SCHEMA:
        raise StoreError(
            f"{manifest}: schema {schema!r}; this version reads {SCHEMA!r}; "
            "use the version that wrote it, or ingest its sources again into a new folder"
        )
    try:
        entries = tuple(
            SegmentEntry(**{**e, "files": {name: FileEntry(**file) for name, file in e["files"].items()}})
            for e in content["segments"]
        )
        for e in entries:
            counts = (e.pieces, e.notes, *(file.bytes for file in e.files.values()))
            if Path(e.name).name != e.name or e.files.keys() != FILES or not all(type(c) is int for c in counts):
                raise ValueError(f"segment {e.name!r} has a wrong name, files or counts")
            if min(counts) < 0:
                raise ValueError(f"segment {e.name!r} has a negative count")
            for file, held in (("keys.npy", e.pieces * KEYS.itemsize), ("notes.npy", e.notes * NOTE.itemsize)):
                if e.files[file].bytes < held:
                    raise ValueError(f"segment {e.name!r} has more pieces or notes than {file} has room for")
        if len({e.name for e in entries}) < len(entries):
            raise ValueError("a segment stands there twice")
        opted_out = tuple(bytes.fromhex(digest).hex() for digest in content.get("opted_out", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{manifest}: is malformed ({error}); restore the store from its source") from error
    return entries, opted_out


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the one writer's lock on the store folder at `path`.

    Raises
    ------
    StoreBusyError
        When another process is writing to the store.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreBusyError(f"{path}: another process is writing to this store; wait for it to end") from None
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one rename, synced to disk before and after."""
    write_atomically(path, data, mode=0o666 & ~UMASK, synced=True)
    sync(path.parent)

"""The STORE folder: a corpus that needs nothing outside itself.

::

    STORE/manifest.json        every piece and the digest of every segment; replaced in one rename
    STORE/segments/NAME/       notes.npy, offsets.npy, pieces.json: immutable once the manifest names them
    STORE/index/NAME/          fingerprints, written by the copy search

A store changes only by the rename of its manifest, after the segments it names were synced to disk. Killed at
any moment it opens as it was before; what an interrupted run left is removed by the next one. Writers take a
lock on the folder; readers need none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpus.prepare import PieceRecord, Prepared, Refused, grouped, prepare
from corpus.rights import Rights, RightsTable
from music.notes import NoteSequence, Part, Tempo, TimeSignature, build
from music.read import music_files

SCHEMA = "contraste-store/1"
BATCH = 1000  # pieces a segment: an interrupted run loses at most these
NOTE = np.dtype([("onset", "<f8"), ("duration", "<f8"), ("pitch", "u1"), ("velocity", "u1"), ("part", "<u2")])


class StoreError(ValueError):
    """Raised when a store can't be opened, read or written; the message names file, value and rule."""


class StoreAlteredError(StoreError):
    """Raised when a store's files are not those its manifest names."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one run added, found already there, and refused with the reason."""

    added: int
    known: int
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class Store:
    """An open store; `pieces` in the order they were added.

    Use `Store.open` or `Store.create`; the constructor trusts its arguments.
    """

    path: Path
    pieces: tuple[PieceRecord, ...]
    segments: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open an existing store for reading.

        Raises
        ------
        StoreError
            When there is no store, its manifest is damaged, or a segment it names is missing.
        """
        path = Path(path)
        manifest = path / "manifest.json"
        try:
            data = json.loads(manifest.read_bytes())
        except FileNotFoundError:
            raise StoreError(
                f"{path}: no store here (no manifest.json); make one with: contraste ingest SRC --into {path}"
            ) from None
        except OSError as error:
            raise StoreError(f"{manifest}: cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{manifest}: is not valid JSON ({error}); restore the store from its source") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise StoreError(f"{manifest}: schema {found!r}; this version reads {SCHEMA!r}")
        try:
            pieces = tuple(PieceRecord(**{**p, "rights": Rights(**p["rights"])}) for p in data["pieces"])
            segments = {str(k): dict(v) for k, v in data["segments"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{manifest}: a piece or segment is malformed ({error})") from error
        for name in segments:
            if Path(name).name != name or not (path / "segments" / name).is_dir():
                raise StoreError(f"{path}: segment {name!r} is named by the manifest and missing")
        unnamed = next((p for p in pieces if p.segment not in segments), None)
        if unnamed:
            raise StoreError(f"{manifest}: {unnamed.path!r} lies in segment {unnamed.segment!r}, which is not listed")
        return cls(path, pieces, segments)

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """Open the store at `path`, or make an empty one there.

        Raises
        ------
        StoreError
            When `path` is a file, a folder with other content, or not writable.
        """
        path = Path(path)
        if (path / "manifest.json").exists():
            return cls.open(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            strangers = sorted(p.name for p in path.iterdir() if p.name not in ("segments", "index"))
            if strangers:
                raise StoreError(f"{path}: is no store and not empty ({strangers[0]}); name a new folder")
            store = cls(path, ())
            store._write_manifest()
        except OSError as error:
            raise StoreError(f"{path}: a store can't be made here: {error.strerror}") from error
        return store

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the manifest, which holds the digests of all notes."""
        return hashlib.sha256(self._manifest_bytes()).hexdigest()

    def index_of(self, path: str) -> int:
        """Row of the piece called `path`; KeyError when there is none."""
        return self._rows[path]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {piece.path: i for i, piece in enumerate(self.pieces)}

    def notes(self, index: int) -> NoteSequence:
        """Load the notes of piece `index` from its memory-mapped segment.

        Raises
        ------
        StoreError
            When the segment's arrays are damaged.
        """
        piece = self.pieces[index]
        notes, offsets, about = self._segment(piece.segment)
        try:
            rows = notes[offsets[piece.row] : offsets[piece.row + 1]]
            meta = about[piece.row]
            return build(
                rows["onset"],
                rows["duration"],
                rows["pitch"],
                rows["velocity"],
                rows["part"],
                parts=[Part(*p) for p in meta["parts"]],
                tempos=[Tempo(*t) for t in meta["tempos"]],
                time_signatures=[TimeSignature(*t) for t in meta["meters"]],
                ticks_per_quarter=meta["ticks"],
                title=piece.title,
            )
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{self.path}: notes of {piece.path!r} in segment {piece.segment} are damaged: {error}"
            ) from error

    def verify(self) -> None:
        """Hash every segment again and compare with the manifest.

        Raises
        ------
        StoreAlteredError
            Naming the first file that differs.
        StoreError
            Naming the first file that can't be read.
        """
        for name, files in self.segments.items():
            for file, wanted in files.items():
                path = self.path / "segments" / name / file
                try:
                    found = hashlib.sha256(path.read_bytes()).hexdigest()
                except OSError as error:
                    raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
                if found != wanted:
                    raise StoreAlteredError(
                        f"{path}: SHA-256 is {found}, the manifest says {wanted}; the store was altered"
                    )

    @cached_property
    def _open_segments(self) -> dict[str, tuple[NDArray[Any], NDArray[np.int64], list[dict[str, Any]]]]:
        return {}

    def _segment(self, name: str) -> tuple[NDArray[Any], NDArray[np.int64], list[dict[str, Any]]]:
        if name not in self._open_segments:
            folder = self.path / "segments" / name
            try:
                notes = np.load(folder / "notes.npy", mmap_mode="r", allow_pickle=False)
                offsets = np.load(folder / "offsets.npy", allow_pickle=False)
                about = json.loads((folder / "pieces.json").read_bytes())
            except (OSError, ValueError, EOFError) as error:
                raise StoreError(f"{folder}: cannot be read: {error}") from error
            if notes.dtype != NOTE or offsets.dtype != np.int64 or len(offsets) != len(about) + 1:
                raise StoreError(f"{folder}: arrays have the wrong type or length; the store was altered")
            self._open_segments[name] = (notes, offsets, about)
        return self._open_segments[name]

    def _manifest_bytes(self) -> bytes:
        data = {"schema": SCHEMA, "segments": self.segments, "pieces": [asdict(p) for p in self.pieces]}
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    def _write_manifest(self) -> None:
        write_synced(self.path / "manifest.json", self._manifest_bytes())

    def _with(self, batch: Sequence[Prepared]) -> Store:
        """Write `batch` as a new segment, then the manifest that names it; return the store as it is then."""
        table = np.concatenate([_columns(p.sequence) for p in batch])
        offsets = np.concatenate([[0], np.cumsum([len(p.sequence) for p in batch])]).astype(np.int64)
        about = [_about(p.sequence) for p in batch]
        name = f"{len(self.segments):05d}-{hashlib.sha256(table.tobytes()).hexdigest()[:12]}"
        folder, temporary = self.path / "segments" / name, self.path / "segments" / f".{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.mkdir(parents=True)
        np.save(temporary / "notes.npy", table)
        np.save(temporary / "offsets.npy", offsets)
        (temporary / "pieces.json").write_text(json.dumps(about, separators=(",", ":")))
        digests = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(temporary.iterdir())}
        for file in (*temporary.iterdir(), temporary):
            _sync(file)
        temporary.rename(folder)
        _sync(folder.parent)
        new = [replace(p.record, segment=name, row=row) for row, p in enumerate(batch)]
        store = Store(self.path, tuple(grouped((*self.pieces, *new))), {**self.segments, name: digests})
        store._write_manifest()
        return store


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the one writer's lock on the store folder at `path`.

    Raises
    ------
    StoreError
        When another process is writing to the store.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError(f"{path}: another process is writing to this store; wait for it to end") from None
    finally:
        os.close(handle)


def ingest(
    sources: Sequence[str | Path],
    path: str | Path,
    *,
    rights: RightsTable | None = None,
    require_rights: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> IngestReport:
    """Add every music file at or below `sources` to the store at `path`, in batches that each are atomic.

    Parameters
    ----------
    rights : RightsTable, optional
        Looked up by the path below the source. A piece that opted out is refused.
    require_rights : bool
        Refuse pieces without a licence and a consent on file.
    workers : int, optional
        Reading processes; as many as there are CPUs by default.
    progress : callable
        Called with (files done, files in all).

    Raises
    ------
    StoreError
        When the store can't be made or written (no permission, full disk, locked); what was committed stays.
    music.notes.MusicError
        When a source does not exist.
    """
    store = Store.create(path)
    with writing(store.path):
        store = Store.open(path)
        _clean_up(store)
        todo, known, refused = _plan(store, sources, rights or RightsTable(), require_rights)
        added = 0
        try:
            for start in range(0, len(todo), BATCH):
                batch = []
                for result in _prepare_all(todo[start : start + BATCH], workers or os.cpu_count() or 1):
                    if isinstance(result, Refused):
                        refused.append(result)
                    else:
                        batch.append(result)
                    progress(added + len(batch), len(todo))
                if batch:
                    store = store._with(batch)
                added += len(batch)
        except OSError as error:
            raise StoreError(
                f"{path}: writing failed: {error.strerror or error}; "
                f"{added} pieces were added before, the store is whole"
            ) from error
    return IngestReport(added, known, tuple(refused))


Job = tuple[Path, str, Rights, str, str]  # the arguments of `prepare`


def _plan(
    store: Store, sources: Sequence[str | Path], table: RightsTable, require_rights: bool
) -> tuple[list[Job], int, list[Refused]]:
    """Sort the files of the sources into those to read, the number already there, and those refused."""
    have = {p.path: p.file_digest for p in store.pieces}
    seen: dict[str, Path] = {}
    todo: list[Job] = []
    known, refused = 0, []
    for file, name in ((f, _name(f, source)) for source in map(Path, sources) for f in music_files(source)):
        if seen.setdefault(name, file.resolve()) != file.resolve():
            refused.append(Refused(name, f"{file}: a second file of this name ({seen[name]} came first)"))
            continue
        row = table.look_up(name)
        rights = row.rights if row else Rights()
        reason = rights.refusal
        if not reason and require_rights and not rights.cleared:
            reason = "no licence and consent on file, and --require-rights was given"
        if not reason and name in have and have[name] != _file_digest(file):
            reason = f"the store holds another file under {name!r}; pieces are never overwritten"
        if reason:
            refused.append(Refused(name, f"{file}: {reason}"))
        elif name in have:
            known += 1
        else:
            todo.append((file, name, rights, row.title if row else "", row.artist if row else ""))
    return todo, known, refused


def _name(file: Path, source: Path) -> str:
    return file.relative_to(source).as_posix() if source.is_dir() else file.name


def _prepare_all(jobs: Sequence[Job], workers: int) -> Iterator[Prepared | Refused]:
    """Prepare in parallel; a file on which a reader process dies is refused, the others are read."""
    if workers == 1 or len(jobs) < 16:  # starting processes takes longer than reading
        yield from (prepare(*job) for job in jobs)
        return
    context = _quiet_context()
    done = 0
    try:
        with ProcessPoolExecutor(workers, context) as pool:
            for result in pool.map(prepare, *zip(*jobs, strict=True), chunksize=16):
                done += 1
                yield result
    except BrokenProcessPool:
        for job in jobs[done:]:
            with ProcessPoolExecutor(1, context) as single:
                try:
                    yield single.submit(prepare, *job).result()
                except BrokenProcessPool:
                    yield Refused(job[1], f"{job[0]}: the reader crashed on this file")


def _quiet_context() -> BaseContext:
    """Start the server that forks readers, deaf to Ctrl-C: this process hears it, and ends them."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    return get_context("forkserver")


def _clean_up(store: Store) -> None:
    """Remove what an interrupted writer left: segments that no manifest names, half-written files."""
    folder = store.path / "segments"
    for stray in [*folder.iterdir()] if folder.is_dir() else []:
        if stray.name not in store.segments:
            shutil.rmtree(stray, ignore_errors=True)
    for stray in store.path.glob(".manifest.json.*"):
        stray.unlink()


def _columns(sequence: NoteSequence) -> NDArray[Any]:
    table = np.zeros(len(sequence), NOTE)
    table["onset"], table["duration"] = sequence.onset_beat, sequence.duration_beat
    table["pitch"], table["velocity"], table["part"] = sequence.pitch, sequence.velocity, sequence.part
    return table


def _about(sequence: NoteSequence) -> dict[str, Any]:
    return {
        "parts": [[p.name, p.program, p.is_drum] for p in sequence.parts],
        "tempos": [[t.beat, t.bpm] for t in sequence.tempos],
        "meters": [[t.beat, t.numerator, t.denominator] for t in sequence.time_signatures],
        "ticks": sequence.ticks_per_quarter,
    }


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one rename, synced to disk before and after."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)

"""Adding music to a store: read in parallel, written in batches of which each is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpus.pool import Crashed, mapped, require_engine
from corpus.prepare import Prepared, Refused, prepare
from corpus.recordings import Heard, RecordingJob, Recordings, open_recordings, prepare_recording, with_score
from corpus.rights import Rights, RightsTable
from corpus.segment import KEYS, LINE_FIELDS, NOTE, OFFSET, SegmentEntry, path_hash, write_folder
from corpus.store import Store, StoreError, writing
from music.notes import NoteSequence, bars_of
from music.read import AUDIO_SUFFIXES, SUFFIXES, music_files

BATCH = 1000  # pieces a segment: an interrupted run loses at most these
RECORDINGS = 50  # a segment: some 70 MB of sound pictures at four minutes each
CHUNK = 64  # files a task, at most: some 100 ms of work, so that handing it over costs little
FEW = 16  # files; starting processes takes longer than reading fewer


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one run added (of it, recordings), found already there, and refused with the reason."""

    added: int
    known: int
    refused: tuple[Refused, ...]
    recordings: int = 0


Job = tuple[Path, str, Rights, str, str]  # the arguments of `prepare`


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some files, read: what goes into a segment, ready to be joined with other chunks.

    Attributes
    ----------
    notes, keys : `NOTE` (m,) and `KEYS` (n,)
    lengths : list of int
        Notes of each piece.
    lines : list of bytes
        Line of each piece.
    """

    notes: NDArray[Any]
    keys: NDArray[Any]
    lengths: list[int]
    lines: list[bytes]
    refused: list[Refused]


def ingest(
    sources: Sequence[str | Path],
    path: str | Path,
    *,
    rights: RightsTable | None = None,
    require_rights: bool = False,
    workers: int | None = None,
    engine: str = "local",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> IngestReport:
    """Add every score and recording at or below `sources` to the store at `path`, in batches that each are atomic.

    The store does not depend on `workers` and `engine`.

    Parameters
    ----------
    rights : RightsTable, optional
        Looked up by the path below the source. A piece that opted out is refused.
    require_rights : bool
        Refuse pieces without a licence and a consent on file.
    workers : int, optional
        Reading processes; as many as there are CPUs by default.
    engine : str
        "local" or "ray"; see `corpus.pool.mapped`. A few files are always read in this process.
    progress : callable
        Called with (files done, files in all).

    Raises
    ------
    StoreError
        When the store can't be made or written (no permission, full disk, locked); what was committed stays.
    corpus.pool.EngineError
        When the engine can't be used.
    music.notes.MusicError
        When a source does not exist.
    """
    require_engine(engine)
    store = Store.create(path)
    with writing(store.path):
        store = Store.open(path)
        sounds = open_recordings(store)
        _clean_up(store)
        sounds.clean_up()
        planned, known, refused = _plan(store, sounds, sources, rights or RightsTable(), require_rights)
        todo = [job for job in planned if not _is_audio(job[0])]
        heard = [RecordingJob(*job) for job in planned if _is_audio(job[0])]
        workers = workers or os.cpu_count() or 1
        if len(todo) < FEW:
            engine, workers = "local", 1
        size = max(min(CHUNK, len(todo) // (4 * workers)), 1)  # several a worker, so that all end together
        batches = [_cut(todo[start : start + BATCH], size) for start in range(0, len(todo), BATCH)]
        added = done = taken = 0
        try:
            with closing(_prepare_all([jobs for batch in batches for jobs in batch], engine, workers)) as results:
                for batch in batches:
                    chunks = []
                    for jobs in batch:
                        chunks.append(next(results))
                        done += len(jobs)
                        progress(done, len(planned))
                    refused += [r for chunk in chunks for r in chunk.refused]
                    pieces = sum(len(chunk.lines) for chunk in chunks)
                    if pieces:
                        store = store.extend(_write_segment(store, chunks))
                    added += pieces
            with_scores = (with_score(job, store) for job in heard)
            with closing(_heard_all(with_scores, engine, workers)) as recordings:
                for _ in range(0, len(heard), RECORDINGS):
                    some = []
                    for made in islice(recordings, RECORDINGS):
                        done += 1
                        progress(done, len(planned))
                        if isinstance(made, Refused):
                            refused.append(made)
                        else:
                            some.append(made)
                    if some:
                        sounds = sounds.extend(some)
                    taken += len(some)
        except OSError as error:
            raise StoreError(
                f"{path}: writing failed: {error.strerror or error}; "
                f"{added + taken} pieces were added before, the store is whole"
            ) from error
    return IngestReport(added + taken, known, tuple(refused), taken)


def _cut(jobs: list[Job], size: int) -> list[list[Job]]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def _is_audio(file: Path) -> bool:
    return file.suffix.lower() in AUDIO_SUFFIXES


def _plan(
    store: Store, sounds: Recordings, sources: Sequence[str | Path], table: RightsTable, require_rights: bool
) -> tuple[list[Job], int, list[Refused]]:
    """Sort the files of the sources into those to read, the number already there, and those refused."""
    seen: dict[str, Path] = {}
    todo: list[Job] = []
    known, refused = 0, []
    for file, name in (
        (f, _name(f, source)) for source in map(Path, sources) for f in music_files(source, SUFFIXES | AUDIO_SUFFIXES)
    ):
        first = seen.setdefault(name, file)
        if first is not file and first.resolve() != file.resolve():
            refused.append(Refused(name, f"{file}: a second file of this name ({first} came first)"))
            continue
        row = table.look_up(name)
        rights = row.rights if row else Rights()
        reason = rights.refusal
        if not reason and require_rights and not rights.cleared:
            reason = "no licence and consent on file, and --require-rights was given"
        held = None if reason else _held(store, sounds, name)
        if held is not None and held != _file_digest(file):
            reason = f"the store holds another file under {name!r}; pieces are never overwritten"
        if reason:
            refused.append(Refused(name, f"{file}: {reason}"))
        elif held is not None:
            known += 1
        elif first is file:
            todo.append((file, name, rights, row.title if row else "", row.artist if row else ""))
    return todo, known, refused


def _name(file: Path, source: Path) -> str:
    return file.relative_to(source).as_posix() if source.is_dir() else file.name


def _held(store: Store, sounds: Recordings, name: str) -> bytes | None:
    """SHA-256 of the file that the store holds under `name`, or None."""
    try:
        if _is_audio(Path(name)):
            return bytes.fromhex(sounds[sounds.index_of(name)].file_digest)
        return bytes(store.keys["file"][store.index_of(name)])
    except KeyError:
        return None


def _file_digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


def _prepare_all(chunks: Sequence[list[Job]], engine: str, workers: int) -> Generator[Chunk]:
    """Prepare in parallel; a file on which a reader process dies is refused, the others are read."""
    for jobs, made in zip(chunks, mapped(prepare_chunk, chunks, engine, workers), strict=True):
        if not isinstance(made, Crashed):
            yield made
        elif len(jobs) == 1:
            yield _chunk([Refused(jobs[0][1], f"{jobs[0][0]}: the reader crashed on this file")])
        else:
            yield _joined([*_prepare_all([[job] for job in jobs], "local", max(workers, 2))])


def _heard_all(jobs: Iterable[RecordingJob], engine: str, workers: int) -> Generator[Heard | Refused]:
    """Prepare recordings in parallel; a file on which a reader process dies is refused."""
    under_way: deque[RecordingJob] = deque()

    def started() -> Iterator[RecordingJob]:
        for job in jobs:
            under_way.append(job)
            yield job

    for made in mapped(prepare_recording, started(), engine, workers):
        job = under_way.popleft()
        yield Refused(job.name, f"{job.file}: the reader crashed on this file") if isinstance(made, Crashed) else made


def prepare_chunk(jobs: Sequence[Job]) -> Chunk:
    """Read and describe some files."""
    return _chunk([prepare(*job) for job in jobs])


def _chunk(made: Sequence[Prepared | Refused]) -> Chunk:
    pieces = [one for one in made if isinstance(one, Prepared)]
    records = [piece.record for piece in pieces]
    keys = np.zeros(len(records), KEYS)
    keys["path"] = np.array([path_hash(r.path) for r in records], np.uint64)
    files = b"".join(bytes.fromhex(r.file_digest) for r in records)
    keys["file"] = np.frombuffer(files, np.uint8).reshape(-1, 32)
    keys["content"] = np.array([int(r.content_key, 16) for r in records], np.uint64)
    keys["melody"] = np.array([int(r.melody_key or "0", 16) for r in records], np.uint64)
    return Chunk(
        np.concatenate([np.zeros(0, NOTE), *(_columns(piece.sequence) for piece in pieces)]),
        keys,
        [len(piece.sequence) for piece in pieces],
        [_line(piece) for piece in pieces],
        [one for one in made if isinstance(one, Refused)],
    )


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    return Chunk(
        np.concatenate([chunk.notes for chunk in chunks]),
        np.concatenate([chunk.keys for chunk in chunks]),
        [length for chunk in chunks for length in chunk.lengths],
        [line for chunk in chunks for line in chunk.lines],
        [refused for chunk in chunks for refused in chunk.refused],
    )


def _columns(sequence: NoteSequence) -> NDArray[Any]:
    table = np.zeros(len(sequence), NOTE)
    table["onset"], table["duration"] = sequence.onset_beat, sequence.duration_beat
    table["pitch"], table["velocity"], table["part"] = sequence.pitch, sequence.velocity, sequence.part
    return table


def _line(piece: Prepared) -> bytes:
    sequence = piece.sequence
    about = {name: getattr(piece.record, name) for name in LINE_FIELDS}
    about["rights"] = asdict(piece.record.rights)
    about["parts"] = [[p.name, p.program, p.is_drum, p.track] for p in sequence.parts]
    about["tempos"] = [[t.beat, t.bpm] for t in sequence.tempos]
    about["meters"] = [[t.beat, t.numerator, t.denominator] for t in sequence.time_signatures]
    about["ticks"] = sequence.ticks_per_quarter
    if not np.array_equal(sequence.bar_starts, bars_of(sequence.time_signatures, sequence.end_beat)):
        about["bar_starts"] = sequence.bar_starts.tolist()
    if sequence.bar_numbers:
        about["bar_numbers"] = sequence.bar_numbers
    about["remarks"], about["unread"] = sequence.remarks, sequence.unread
    return json.dumps(about, separators=(",", ":")).encode() + b"\n"


def _write_segment(store: Store, chunks: Sequence[Chunk]) -> SegmentEntry:
    """Write the chunks as a segment that no manifest names yet, synced to disk."""
    whole = _joined(chunks)
    offsets = np.zeros(len(whole.lines) + 1, OFFSET)
    offsets["note"][1:] = np.cumsum(whole.lengths)
    offsets["line"][1:] = np.cumsum([len(line) for line in whole.lines])
    name = f"{len(store.segments):05d}-{hashlib.sha256(whole.notes.tobytes()).hexdigest()[:12]}"
    content = {"notes.npy": whole.notes, "keys.npy": whole.keys, "offsets.npy": offsets}
    files = write_folder(store.path / "segments" / name, {**content, "pieces.jsonl": b"".join(whole.lines)})
    return SegmentEntry(name, len(whole.lines), len(whole.notes), files)


def _clean_up(store: Store) -> None:
    """Remove what an interrupted writer left: segments that no manifest names, half-written files."""
    folder, named = store.path / "segments", {entry.name for entry in store.segments}
    for stray in [*folder.iterdir()] if folder.is_dir() else []:
        if stray.name not in named:
            shutil.rmtree(stray, ignore_errors=True)
    for stray in store.path.glob(".manifest.json.*"):
        stray.unlink()

"""Adding music to a store: read in parallel, written in batches of which each is whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpus.plan import Job, find_held, plan_ingest
from corpus.pool import Crashed, map_jobs, require_engine
from corpus.prepare import Prepared, Refused, prepare
from corpus.recordings import Heard, RecordingJob, Recordings, open_recordings, prepare_recording, with_score
from corpus.rights import RightsRow, RightsTable, with_rights
from corpus.segment import KEYS, LINE_FIELDS, NOTE, OFFSET, SegmentEntry, StoreError, path_hash, write_folder
from corpus.store import Store, writing
from music.notes import NoteSequence, bars_of

BATCH = 1000  # pieces a segment: an interrupted run loses at most these
RECORDINGS = 50  # a segment: some 70 MB of sound pictures at four minutes each
CHUNK = 64  # files a task, at most: some 100 ms of work, so that handing it over costs little
FEW = 16  # files; starting processes takes longer than reading fewer


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one run did.

    Attributes
    ----------
    added, known, recordings : int
        Pieces and recordings added, of them recordings, and those that were there already.
    refused : tuple of Refused
        What stays outside, with the reason.
    partly : tuple of Refused
        What was taken though a part of it could not be read, with that part.
    updated, removed : tuple of str
        Paths in the store of which the rights were brought up to date, and of those taken out as they opted out.
    unmatched : tuple of str
        Rows of the rights file that match nothing, in words.
    remarks : tuple of Refused
        Files in which reading left something out or mended it, with what.
    """

    added: int
    known: int
    refused: tuple[Refused, ...]
    recordings: int = 0
    partly: tuple[Refused, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    remarks: tuple[Refused, ...] = ()


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
    partly: list[Refused]
    remarks: list[Refused]


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
        Looked up by the path below the source. A piece that opted out is refused, or taken out of the store. What the
        table says of pieces that are in the store already is brought up to date: of those among the sources, and of
        those that a row names by their path.
    require_rights : bool
        Refuse pieces without a licence and a consent on file.
    workers : int, optional
        Reading processes; as many as there are CPUs by default.
    engine : str
        "local" or "ray"; see `corpus.pool.map_jobs`. A few files are always read in this process.
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
        plan = plan_ingest(store, sounds, sources, rights or RightsTable(), require_rights)
        todo, heard, refused = plan.notes, plan.sound, plan.refused
        planned = len(todo) + len(heard)
        partly: list[Refused] = []
        remarks: list[Refused] = []
        workers = workers or os.cpu_count() or 1
        if len(todo) < FEW:
            engine, workers = "local", 1
        size = max(min(CHUNK, len(todo) // (4 * workers)), 1)  # several a worker, so that all end together
        batches = [_cut_lots(todo[start : start + BATCH], size) for start in range(0, len(todo), BATCH)]
        added = done = taken = 0
        try:
            if plan.rights:
                store, sounds = _amend(store, sounds, plan.rights)
            with closing(_prepare_all([jobs for batch in batches for jobs in batch], engine, workers)) as results:
                for batch in batches:
                    chunks = []
                    for jobs in batch:
                        chunks.append(next(results))
                        done += len(jobs)
                        progress(done, planned)
                    refused += [r for chunk in chunks for r in chunk.refused]
                    partly += [r for chunk in chunks for r in chunk.partly]
                    remarks += [r for chunk in chunks for r in chunk.remarks]
                    pieces = sum(len(chunk.lines) for chunk in chunks)
                    if pieces:
                        store = store.extend(_write_segment(store, _next_number(store), _join(chunks)))
                    added += pieces
            for lot in _hear_in_batches(heard, store, engine, workers):
                done += len(lot)
                progress(done, planned)
                refused += [made for made in lot if isinstance(made, Refused)]
                some = [made for made in lot if not isinstance(made, Refused)]
                partly += [Refused(made[0].path, reason) for made in some for reason in made[0].unread]
                sounds = sounds.extend(some) if some else sounds
                taken += len(some)
        except OSError as error:
            raise StoreError(
                f"{path}: writing failed: {error.strerror or error}; "
                f"{added + taken} pieces were added before, the store is whole"
            ) from error
    removed = tuple(sorted(name for name, row in plan.rights.items() if row.rights.refusal))
    updated = tuple(sorted(plan.rights.keys() - set(removed)))
    return IngestReport(
        added + taken, plan.known, tuple(refused), taken, tuple(partly), updated, removed, tuple(plan.unmatched),
        tuple(remarks),
    )  # fmt: skip


def _cut_lots(jobs: list[Job], size: int) -> list[list[Job]]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def _amend(store: Store, sounds: Recordings, rows: Mapping[str, RightsRow]) -> tuple[Store, Recordings]:
    """Write the segments anew whose pieces or recordings `rows` change or take out, and name them in the manifests."""
    entries = []
    for segment in store.opened:
        lines = [segment.line(row) for row in range(segment.entry.pieces)]
        if not any(line["path"] in rows for line in lines):
            entries.append(segment.entry)
            continue
        stay = [k for k, line in enumerate(lines) if not (line["path"] in rows and rows[line["path"]].rights.refusal)]
        if not stay:
            continue
        span = segment.offsets["note"]
        notes = [segment.notes[span[k] : span[k + 1]] for k in stay]
        lines_kept = [
            with_rights(lines[k], rows[lines[k]["path"]]) if lines[k]["path"] in rows else lines[k] for k in stay
        ]
        whole = Chunk(
            np.concatenate(notes),
            segment.keys[stay],
            [len(n) for n in notes],
            [_json_line(line) for line in lines_kept],
            [],
            [],
            [],
        )
        entries.append(_write_segment(store, segment.entry.name[:5], whole))
    out = [r for name, row in rows.items() if row.rights.refusal and (r := find_held(store, sounds, name))]
    store = store.replace_segments(entries, [record.file_digest for record in out])
    sounds = replace(sounds.amend(rows), store=store)
    _clean_up(store)
    sounds.clean_up()
    return store, sounds


def _prepare_all(chunks: Sequence[list[Job]], engine: str, workers: int) -> Generator[Chunk]:
    """Prepare in parallel; a file on which a reader process dies is refused, the others are read."""
    for jobs, chunk in zip(chunks, map_jobs(prepare_chunk, chunks, engine, workers), strict=True):
        if not isinstance(chunk, Crashed):
            yield chunk
        elif len(jobs) == 1:
            yield _chunk([Refused(jobs[0][1], f"{jobs[0][0]}: the reader crashed on this file")])
        else:
            yield _join([*_prepare_all([[job] for job in jobs], "local", max(workers, 2))])


def _hear_in_batches(
    jobs: Sequence[RecordingJob], store: Store, engine: str, workers: int
) -> Iterator[list[Heard | Refused]]:
    """Prepare recordings, those with a score in the store beside it; as many at a time as a segment holds."""
    with closing(_hear_all((with_score(job, store) for job in jobs), engine, workers)) as results:
        while batch := list(islice(results, RECORDINGS)):
            yield batch


def _hear_all(jobs: Iterable[RecordingJob], engine: str, workers: int) -> Generator[Heard | Refused]:
    """Prepare recordings in parallel; a file on which a reader process dies is refused."""
    under_way: deque[RecordingJob] = deque()

    def started() -> Iterator[RecordingJob]:
        for job in jobs:
            under_way.append(job)
            yield job

    for result in map_jobs(prepare_recording, started(), engine, workers):
        job = under_way.popleft()
        yield (
            Refused(job.name, f"{job.file}: the reader crashed on this file") if isinstance(result, Crashed) else result
        )


def prepare_chunk(jobs: Sequence[Job]) -> Chunk:
    """Read and describe some files."""
    return _chunk([prepare(*job) for job in jobs])


def _chunk(results: Sequence[Prepared | Refused]) -> Chunk:
    pieces = [one for one in results if isinstance(one, Prepared)]
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
        [one for one in results if isinstance(one, Refused)],
        [Refused(piece.record.path, reason) for piece in pieces for reason in piece.sequence.unread],
        [Refused(p.record.path, "; ".join(p.sequence.remarks)) for p in pieces if p.sequence.remarks],
    )


def _join(chunks: Sequence[Chunk]) -> Chunk:
    return Chunk(
        np.concatenate([chunk.notes for chunk in chunks]),
        np.concatenate([chunk.keys for chunk in chunks]),
        [length for chunk in chunks for length in chunk.lengths],
        [line for chunk in chunks for line in chunk.lines],
        [refused for chunk in chunks for refused in chunk.refused],
        [partly for chunk in chunks for partly in chunk.partly],
        [remark for chunk in chunks for remark in chunk.remarks],
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
    return _json_line(about)


def _json_line(about: dict[str, Any]) -> bytes:
    return json.dumps(about, separators=(",", ":")).encode() + b"\n"


def _write_segment(store: Store, number: str, whole: Chunk) -> SegmentEntry:
    """Write pieces as a segment that no manifest names yet, synced to disk.

    Its name is that of its notes, and with another ending where it says something else of them than one before.
    """
    offsets = np.zeros(len(whole.lines) + 1, OFFSET)
    offsets["note"][1:] = np.cumsum(whole.lengths)
    offsets["line"][1:] = np.cumsum([len(line) for line in whole.lines])
    name = f"{number}-{hashlib.sha256(whole.notes.tobytes()).hexdigest()[:12]}"
    if any(entry.music == name for entry in store.segments):
        name += f"-{hashlib.sha256(b''.join(whole.lines)).hexdigest()[:12]}"
    content = {"notes.npy": whole.notes, "keys.npy": whole.keys, "offsets.npy": offsets}
    files = write_folder(store.path / "segments" / name, {**content, "pieces.jsonl": b"".join(whole.lines)})
    return SegmentEntry(name, len(whole.lines), len(whole.notes), files)


def _next_number(store: Store) -> str:
    """Return the number of the next segment: above all others, also where one was taken out."""
    return f"{max((int(entry.name[:5]) + 1 for entry in store.segments), default=0):05d}"


def _clean_up(store: Store) -> None:
    """Remove what an interrupted writer left: segments that no manifest names, half-written files."""
    folder, named = store.path / "segments", {entry.name for entry in store.segments}
    for stray in [*folder.iterdir()] if folder.is_dir() else []:
        if stray.name not in named:
            shutil.rmtree(stray, ignore_errors=True)
    for stray in store.path.glob(".manifest.json.*"):
        stray.unlink()

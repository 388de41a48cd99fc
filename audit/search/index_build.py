"""Building of the index of a store, and of what is new in it; see `audit.search.index`."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.search.index import (
    DTYPES,
    SCHEMA,
    Index,
    IndexDamagedError,
    IndexSegment,
    newest_indexed,
    open_segment,
    read_state,
    state_folder,
)
from audit.search.lines import FIGURE, Bytes, codes_of, onsets, time_steps, voice_table
from audit.search.surprise import StyleModel, model_of, transitions
from audit.search.versions import works_of
from corpus.pool import Crashed, map_jobs
from corpus.segment import StoreError, sync
from corpus.store import UMASK, Store, write_synced
from music.notes import FloatArray, IntArray

FULL = 1 << 23  # notes of an index segment
PLACES_A_BUCKET = 8  # on average


class Columns(NamedTuple):
    """What an index segment is built from: voices one after another, and their transition counts."""

    pitch: Bytes
    step: Bytes
    lengths: NDArray[np.int64]
    piece: NDArray[np.int32]
    intervals: NDArray[np.uint32]
    ratios: NDArray[np.uint32]


@njit(cache=True, nogil=True)
def _postings(pitch: Any, voice_start: Any, bits: int) -> Any:
    """Sort the places of all figures by bucket, without those that reach across two voices; code them."""
    buckets = codes_of(pitch, bits)
    ends = np.zeros((1 << bits) + 1, np.int64)
    for v in range(len(voice_start) - 1):
        for i in range(voice_start[v], np.int64(voice_start[v + 1]) - FIGURE):
            ends[buckets[i] + 1] += 1
    ends = np.cumsum(ends)
    at = ends[:-1].copy()
    sorted_places = np.empty(ends[-1], np.uint32)
    for v in range(len(voice_start) - 1):
        for i in range(voice_start[v], np.int64(voice_start[v + 1]) - FIGURE):
            sorted_places[at[buckets[i]]] = i
            at[buckets[i]] += 1
    starts = np.zeros(len(ends), np.uint32)
    coded = np.empty(5 * (len(sorted_places) + len(starts)), np.uint8)
    k = 0
    for b in range(len(ends) - 1):
        starts[b] = k
        before = np.int64(-1)
        for i in range(ends[b] - (ends[b + 1] > ends[b]), ends[b + 1]):
            if i < ends[b]:  # the count comes first
                value = ends[b + 1] - ends[b]
            else:
                value = np.int64(sorted_places[i]) - before - 1
                before = np.int64(sorted_places[i])
            while value >= 128:
                coded[k] = (value & 127) | 128
                value >>= 7
                k += 1
            coded[k] = value
            k += 1
    starts[-1] = k
    return starts, coded[:k].copy()


def build_index(
    store: Store,
    progress: Callable[[int, int], None] = lambda done, total: None,
    engine: str = "local",
    workers: int = 1,
) -> Index:
    """Write the index of `store`, using what is there of its earlier states.

    To be called under the lock (`corpus.store.writing`).

    Raises
    ------
    StoreError
        When the store is empty or can't be written.
    StoreDamagedError
        When a segment of the store can't be read.
    """
    if not len(store.pieces):
        raise StoreError(
            f"{store.path}: the store holds no pieces; add some with: contraste ingest SRC --into {store.path}"
        )
    root = store.path / "index" / "segments"
    before = newest_indexed(store)
    segments = _usable(before) if before else []
    covered = sum(len(segment.covers) for segment in segments)
    try:
        for names, columns in _read_lots(store, covered, progress, engine, workers):
            merged: list[IndexSegment] = []
            while segments and _mergeable(
                len(segments[-1].pitch), len(columns.pitch) + sum(len(s.pitch) for s in merged)
            ):
                merged.insert(0, segments.pop())
            covers = (*(name for s in merged for name in s.covers), *names)
            segments.append(write_segment(root, covers, _join([*map(_columns_of, merged), columns])))
        state = state_folder(store)
        works = works_of(segments, store.groups)
        style = _style_of_works(segments, works)
        _write_state(state, store, segments, style, works)
        _clean_up(state, newest_indexed(store.prefix(len(store.segments) - 1)))
    except OSError as error:
        raise StoreError(f"{root.parent}: the index can't be written: {error.strerror or error}") from error
    return Index(state, tuple(segments), style, works)


def _usable(store: Store) -> list[IndexSegment]:
    """Return the segments of an earlier state up to the first damaged one."""
    segments = []
    try:
        for name in read_state(state_folder(store), store.music_digest) or ():
            segments.append(open_segment(store.path / "index" / "segments" / name))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # what can't be used is made again
    return segments


def _mergeable(last: int, new: int) -> bool:
    return last < 2 * new and last + new <= FULL


def _read_lots(
    store: Store, covered: int, progress: Callable[[int, int], None], engine: str, workers: int
) -> Iterator[tuple[tuple[str, ...], Columns]]:
    """Read the voices of the store's segments from number `covered` on, in lots of up to `FULL` notes."""
    todo = store.segments[covered:]
    names: list[str] = []
    lot: list[Columns] = []
    read = partial(read_voices, store.path)
    pieces = sum(entry.pieces for entry in todo)
    done = 0
    for entry, columns in zip(todo, map_jobs(read, [e.name for e in todo], engine, workers), strict=True):
        if isinstance(columns, Crashed):
            raise StoreError(f"{store.path}: reading the voices of segment {entry.name} crashed")
        if lot and sum(len(c.pitch) for c in lot) + len(columns.pitch) > FULL:
            yield tuple(names), _join(lot)
            names, lot = [], []
        names.append(entry.music)
        lot.append(columns)
        done += entry.pieces
        progress(done, pieces)
    if lot:
        yield tuple(names), _join(lot)


def read_voices(path: Path, name: str) -> Columns:
    """Read the voices of all pieces of the store segment `name`."""
    store = Store.open(path)
    first = 0
    for entry in store.segments:
        if entry.name == name:
            break
        first += entry.pieces
    table, owners = [], []
    for row in range(first, first + entry.pieces):
        voices = voice_table(store.notes(row))
        table += [(pitch, onset) for pitch, onset, _ in voices]
        owners += [row] * len(voices)
    pitches = np.concatenate([np.zeros(0, np.int64), *(p for p, _ in table)]).astype(np.uint8)
    steps = np.concatenate([np.zeros(0, np.uint8), *(time_steps(o) for _, o in table)])
    lengths = np.array([len(p) for p, _ in table], np.int64)
    return Columns(pitches, steps, lengths, np.array(owners, np.int32), *transitions(table))


def _columns_of(segment: IndexSegment) -> Columns:
    lengths = np.diff(segment.voice_start).astype(np.int64)
    return Columns(segment.pitch, segment.step, lengths, segment.voice_piece, segment.intervals, segment.ratios)


def _join(lot: Sequence[Columns]) -> Columns:
    pitch, step, lengths, piece = (np.concatenate([c[k] for c in lot]) for k in range(4))
    intervals, ratios = np.sum([c.intervals for c in lot], axis=0), np.sum([c.ratios for c in lot], axis=0)
    return Columns(pitch, step, lengths, piece, intervals.astype(np.uint32), ratios.astype(np.uint32))


def write_segment(root: Path, covers: tuple[str, ...], columns: Columns) -> IndexSegment:
    """Write and open the segment that covers those segments of the store; one that is whole is taken as it is."""
    folder = root / hashlib.sha256("\n".join((SCHEMA, *covers)).encode()).hexdigest()[:16]
    try:
        return open_segment(folder)
    except IndexDamagedError:
        shutil.rmtree(folder, ignore_errors=True)
    voice_start = np.concatenate([[0], np.cumsum(columns.lengths)]).astype(np.uint32)
    bits = int(np.clip(np.ceil(np.log2(max(len(columns.pitch), 1) / PLACES_A_BUCKET)), 8, 24))
    code: Any = _postings
    starts, places = code(columns.pitch, voice_start, bits)
    arrays = (
        columns.pitch, columns.step, voice_start, columns.piece, starts, places, columns.intervals, columns.ratios
    )  # fmt: skip
    _write_folder(folder, dict(zip(DTYPES, arrays, strict=True)), "segment.json", {"covers": covers})
    return open_segment(folder)


def _style_of_works(segments: Sequence[IndexSegment], works: NDArray[np.int32]) -> StyleModel:
    """Estimate the style of the oldest version of each work: a song in a dozen versions is not what everybody plays."""
    again: list[tuple[IntArray, FloatArray]] = []
    for segment in segments:
        for v in np.flatnonzero(works[segment.voice_piece] != segment.voice_piece):
            part = slice(int(segment.voice_start[v]), int(segment.voice_start[v + 1]))
            again.append((segment.pitch[part].astype(np.int64), onsets(segment.step[part])))
    twice = transitions(again)
    intervals, ratios = (
        # The index keeps times to 2 %, so that a few ratios are counted beside those that are to be taken off.
        np.maximum(np.sum(counts, axis=0, dtype=np.int64) - taken, 0)
        for counts, taken in zip(([s.intervals for s in segments], [s.ratios for s in segments]), twice, strict=True)
    )
    return model_of([intervals], [ratios])


def _write_state(
    folder: Path, store: Store, segments: Sequence[IndexSegment], style: StyleModel, works: NDArray[np.int32]
) -> None:
    about = {"store": store.music_digest, "segments": [s.name for s in segments]}
    arrays = {"intervals": style.interval, "ratios": style.ratio, "works": works}
    _write_folder(folder, arrays, "index.json", about)


def _write_folder(folder: Path, arrays: dict[str, Any], name: str, about: dict[str, Any]) -> None:
    """Write arrays and a description that holds their sizes and digests; the folder gets its name last."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # no name that a link could have
    temporary.chmod(0o777 & ~UMASK)
    try:
        files = {}
        for array_name, array in arrays.items():
            path = temporary / f"{array_name}.npy"
            np.save(path, array)
            sync(path)
            data = path.read_bytes()
            files[path.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        write_synced(temporary / name, json.dumps({"schema": SCHEMA, **about, "files": files}).encode())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _clean_up(state: Path, before: Store | None) -> None:
    """Remove all states but this one and the one before it, and the segments that neither names."""
    root = state.parent
    keep = {state, *([state_folder(before)] if before else [])}
    used = set()
    for folder in keep:
        try:
            used |= set(json.loads((folder / "index.json").read_bytes())["segments"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            keep = keep - {folder}
    for folder in root.iterdir():
        if folder not in keep and folder.name != "segments":
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (root / "segments").iterdir():
        if folder.name not in used:
            shutil.rmtree(folder, ignore_errors=True)

"""The fingerprint index of a store: every voice, every figure, and the corpus' style.

::

    STORE/index/segments/NAME/   voices and postings of some of the store's segments: immutable
    STORE/index/DIGEST/          what belongs to one state of the store: its index segments, style, calibration

An index *segment* holds up to `FULL` notes, so that the counters of a search stay in the processor's cache. New music
gets a new segment; while the last one but one is less than twice as long as the last, the two are merged, as in a
search engine: there are never more than a few small ones. The name of a segment is the digest of the store segments
that it covers, so one that is found can be used. Everything is written whole before it gets its name, and the state
before the present one is kept for the processes that still read it.

A voice is stored in two bytes a note: MIDI pitch, and the time to the next note on a logarithmic scale
(`STEPS_AN_OCTAVE`), which makes a change of tempo a constant. A *figure* is five successive intervals of one voice:
the same in every key and at every tempo. Figures are hashed to buckets; a bucket lists its places as a count and
differences in the variable-length bytes of search engines (Scholer et al., SIGIR 2002).
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.search.surprise import StyleModel, model_of, transitions
from audit.search.versions import works_of
from corpus.pool import Crashed, mapped
from corpus.segment import StoreDamagedError, StoreError, sync
from corpus.store import UMASK, Store, write_synced
from music.notes import FloatArray, IntArray, NoteSequence
from music.voices import heard, voices

FIGURE = 5  # intervals; compared with other lengths and kinds in docs/design/search.md
REACH = 15  # wider leaps count as this one in a figure; alignments see them as they are
FULL = 1 << 23  # notes of an index segment
PLACES_A_BUCKET = 8  # on average
STEPS_AN_OCTAVE = 20  # of the time to the next note: 3.5 % a step, a fifth of what the alignment tolerates
SHORTEST = 1 / 64  # quarters; step 0
SCHEMA = "contraste-index/3"
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_DTYPES = {
    "pitch": np.uint8,
    "step": np.uint8,
    "voice_start": np.uint32,
    "voice_piece": np.int32,
    "starts": np.uint32,
    "places": np.uint8,
    "intervals": np.uint32,
    "ratios": np.uint32,
}
Bytes = NDArray[np.uint8]


class IndexDamagedError(StoreDamagedError):
    """Raised when a part of an index can't be used; the store's own segments may be whole."""

    def __init__(self, folder: Path, reason: str) -> None:
        """Name the folder, or the file, and what to do about it."""
        leave_out = "search and audit without its pieces by giving --partial"
        StoreError.__init__(
            self,
            f"{folder}: the index is damaged: {reason}; contraste ingest into this store makes it again, also where "
            f"nothing is added{f', or {leave_out}' if folder.parent.name == 'segments' else ''}",
        )
        self.folder, self.reason = folder, reason


@dataclass(frozen=True, eq=False)
class IndexSegment:
    """Voices and postings of n notes in v voices; all arrays but the counts are memory-mapped.

    Attributes
    ----------
    covers : tuple of str
        Names of the store's segments whose pieces are in it.
    pitch, step : uint8 (n,)
        MIDI pitch of each note, one voice after another, and the time to the next one (`time_steps`).
    voice_start : uint32 (v+1,); voice_piece : int32 (v,)
        First note of each voice, and the row of its piece in the store.
    starts : uint32 (2**k + 1,); places : uint8 (p,)
        Where each bucket of figures begins in `places`: a count, then the places (positions in `pitch`).
    intervals, ratios : uint32
        Transition counts for the style model.
    """

    name: str
    covers: tuple[str, ...]
    pitch: Bytes
    step: Bytes
    voice_start: NDArray[np.uint32]
    voice_piece: NDArray[np.int32]
    starts: NDArray[np.uint32]
    places: Bytes
    intervals: NDArray[np.uint32]
    ratios: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Index:
    """The opened index of one state of a store.

    Attributes
    ----------
    path : Path
        Folder of the state.
    segments : tuple of IndexSegment
    style : StyleModel
        Of the works: what lies in the store in several versions counts once.
    works : int32 (n,)
        Row of the oldest piece that each piece of the store is nearly the same tune as (`audit.search.versions`).
    missing : tuple of (str, str)
        Segments that were left out, each with the reason.
    whole : bool
        Whether nothing of the index and of its store is missing.
    unsaved : dict
        Names that `write` could not keep, each with the reason.
    borrowed : dict
        What `audit.search.significance.borrowed` found for pieces, which several levels are measured on.
    """

    path: Path
    segments: tuple[IndexSegment, ...]
    style: StyleModel
    works: NDArray[np.int32]
    missing: tuple[tuple[str, str], ...] = ()
    whole: bool = True
    unsaved: dict[str, str] = field(default_factory=dict)
    borrowed: dict[int, Any] = field(default_factory=dict)

    @cached_property
    def notes(self) -> int:
        """Count the notes of all voices."""
        return sum(len(s.pitch) for s in self.segments)

    def read(self, name: str) -> Any:
        """Read the JSON file `name` beside the index; None when there is none, `StoreError` when it is damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_bytes()) if path.exists() else None
        except (OSError, ValueError, RecursionError) as error:
            raise self.damaged(name, error) from error

    def write(self, name: str, value: Any) -> None:
        """Write `value` as the JSON file `name` beside the index; `StoreError` when it can't be.

        In a folder that may only be read, and where a part is missing, it is not written, which `unsaved` then says.
        """
        if not self.whole:
            self.unsaved[name] = "a part of the corpus is missing"
            return
        try:
            write_synced(self.path / name, json.dumps(value).encode())
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise StoreError(f"{self.path / name}: can't be written: {error.strerror}") from error
            self.unsaved[name] = str(error.strerror)

    def damaged(self, name: str, error: Exception) -> IndexDamagedError:
        """Return the error that says that the file `name` beside the index can't be used."""
        return IndexDamagedError(self.path / name, str(error))


class Columns(NamedTuple):
    """What an index segment is built from: voices one after another, and their transition counts."""

    pitch: Bytes
    step: Bytes
    lengths: NDArray[np.int64]
    piece: NDArray[np.int32]
    intervals: NDArray[np.uint32]
    ratios: NDArray[np.uint32]


def voice_table(sequence: NoteSequence) -> list[tuple[IntArray, FloatArray, IntArray]]:
    """(pitch, onset in quarters, row) of every voice of a sequence."""
    return [(sequence.pitch[v.index], sequence.onset_beat[v.index], v.index) for v in voices(sequence)]


@lru_cache(maxsize=8)  # the same track is asked for by its search, its significance and each of its findings
def query_table(sequence: NoteSequence) -> tuple[tuple[IntArray, FloatArray, IntArray], ...]:
    """`voice_table` of a query, and behind it the lines that are heard across its parts: all that is searched."""
    apart = voices(sequence)
    lines = (*apart, *heard(sequence, apart))
    return tuple((sequence.pitch[v.index], sequence.onset_beat[v.index], v.index) for v in lines)


def time_steps(onset: FloatArray) -> Bytes:
    """Code the time from each note to the next, shape (n,); the last note's is 0.

    ``round(20 log2(64 quarters))``, held within 0-255: a 64th of a quarter to 107 quarters.
    """
    steps = np.zeros(len(onset), np.uint8)
    quarters = np.maximum(np.diff(onset), SHORTEST)
    steps[:-1] = np.minimum(np.round(STEPS_AN_OCTAVE * np.log2(quarters / SHORTEST)), 255)
    return steps


_QUARTERS = SHORTEST * 2.0 ** (np.arange(256) / STEPS_AN_OCTAVE)


@njit(cache=True, nogil=True)
def onsets(step: Any) -> Any:
    """Onsets in quarters, float32 from 0, that `time_steps` describes; within 1.8 % of each time between notes."""
    onset = np.zeros(len(step), np.float32)
    now = 0.0
    for i in range(1, len(step)):
        now += _QUARTERS[step[i - 1]]
        onset[i] = now
    return onset


def figures(pitch: Bytes, bits: int) -> NDArray[np.uint32]:
    """Bucket, below 2**bits, of the `FIGURE` intervals that begin at each note, shape (max(n - FIGURE, 0),)."""
    code: Any = _figures
    return np.asarray(code(pitch, bits))


@njit(cache=True, nogil=True)
def _figures(pitch: Any, bits: int) -> Any:
    n = max(len(pitch) - FIGURE, 0)
    out = np.empty(n, np.uint32)
    for i in range(n):
        code = np.uint64(0)
        for k in range(i, i + FIGURE):
            leap: Any = min(max(np.int64(pitch[k + 1]) - np.int64(pitch[k]) + REACH, 0), 2 * REACH)
            code = code * np.uint64(2 * REACH + 1) + np.uint64(leap)
        # Fibonacci hashing (Knuth, The Art of Computer Programming 3, section 6.4)
        out[i] = (code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)
    return out


@njit(cache=True, nogil=True)
def _postings(pitch: Any, voice_start: Any, bits: int) -> Any:
    """Sort the places of all figures by bucket, without those that reach across two voices; code them."""
    buckets = _figures(pitch, bits)
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


def state_folder(store: Store) -> Path:
    """Where the index of the store as it is now belongs."""
    return store.path / "index" / store.music_digest[:16]


def open_index(store: Store, *, partial: bool = False) -> Index | None:
    """Open the index that belongs to `store`, or return None when there is none, or one of another version.

    Parameters
    ----------
    partial : bool
        Leave missing and damaged index segments out instead of raising.

    Raises
    ------
    IndexDamagedError
        When it is there and damaged.
    """
    folder = state_folder(store)
    try:
        names = _state(folder, store.music_digest)
        if names is None:
            return None
        style = StyleModel(np.load(folder / "intervals.npy", mmap_mode="r"), np.load(folder / "ratios.npy"))
        works = np.load(folder / "works.npy")
        if works.dtype != np.int32 or works.shape != (len(store.pieces),):
            raise ValueError(f"works.npy holds {works.dtype} {works.shape}, and the store {len(store.pieces)} pieces")
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
        raise IndexDamagedError(folder, str(error)) from error
    segments, missing = [], []
    for name in names:
        try:
            segments.append(_open_segment(store.path / "index" / "segments" / name))
        except IndexDamagedError as error:
            if not partial:
                raise
            missing.append((name, error.reason))
    return Index(folder, tuple(segments), style, works, tuple(missing), whole=not (missing or store.missing))


def newest_indexed(store: Store) -> Store | None:
    """Return the store as it was when an index was last made for it; None when there never was one.

    What a reader uses while another process is adding to the store.
    """
    for count in range(len(store.segments), 0, -1):
        state = store.prefix(count)
        try:
            if _state(state_folder(state), state.music_digest) is not None:
                return state
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return None


def left_out(store: Store, index: Index) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Count the pieces that a search of `index` can't find, and name the missing segments, each with the reason."""
    covered, missing = {name for segment in index.segments for name in segment.covers}, dict(store.missing)
    pieces = sum(e.pieces for e in store.segments if e.music not in covered or e.name in missing)
    return pieces, (*store.missing, *index.missing)


def _state(folder: Path, digest: str) -> list[str] | None:
    """Return the names of a state's index segments; None where there is no state, or one of another version."""
    if not folder.is_dir():
        return None
    about = json.loads((folder / "index.json").read_bytes())
    if about["schema"] != SCHEMA:
        return None
    if about["store"] != digest:
        raise ValueError(f"index.json is of store {about['store'][:16]!r}, not {digest[:16]!r}")
    return [str(name) for name in about["segments"]]


def _open_segment(folder: Path) -> IndexSegment:
    try:
        about = json.loads((folder / "segment.json").read_bytes())
        arrays: dict[str, Any] = {}
        for name, dtype in _DTYPES.items():
            path = folder / f"{name}.npy"
            if path.stat().st_size != about["files"][path.name]["bytes"]:
                raise ValueError(f"{path.name} has {path.stat().st_size} bytes, segment.json says otherwise")
            # numba takes plain arrays; the memory stays mapped
            arrays[name] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            if arrays[name].dtype != dtype:
                raise ValueError(f"{path.name} is {arrays[name].dtype}, not {np.dtype(dtype)}")
        segment = IndexSegment(folder.name, tuple(about["covers"]), **arrays)
        _check_segment(segment)
        return segment
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
        raise IndexDamagedError(folder, str(error)) from error


def _check_segment(segment: IndexSegment) -> None:
    """Raise `ValueError` where an array would lead compiled code, which checks nothing, out of another one."""
    ends = {"voice_start": len(segment.pitch), "starts": len(segment.places)}
    for name, end in ends.items():
        array = getattr(segment, name)
        if not len(array) or array[0] != 0 or array[-1] != end or (array[1:] < array[:-1]).any():
            raise ValueError(f"{name}.npy does not rise from 0 to {end}")
    if len(segment.places) and segment.places[-1] >= 128:
        raise ValueError("places.npy ends within a number")
    if len(segment.starts).bit_count() != 2 or not len(segment.starts) % 2:
        raise ValueError(f"starts.npy has {len(segment.starts)} entries, which are not 2**k + 1")
    if (len(segment.step), len(segment.voice_piece)) != (len(segment.pitch), len(segment.voice_start) - 1):
        raise ValueError("its arrays do not fit together")
    owners = segment.voice_piece
    if len(owners) and (owners[0] < 0 or (owners[1:] < owners[:-1]).any()):
        raise ValueError("voice_piece.npy does not rise")


def verify_index(index: Index) -> None:
    """Hash every file of an index again, but those of its missing segments.

    Raises
    ------
    IndexDamagedError
        Naming the first folder with a file that differs.
    """
    segments = [(index.path.parent / "segments" / segment.name, "segment.json") for segment in index.segments]
    for folder, about in ((index.path, "index.json"), *segments):
        try:
            for name, wanted in json.loads((folder / about).read_bytes())["files"].items():
                if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted["sha256"]:
                    raise ValueError(f"{name} has another SHA-256 than {about} says")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise IndexDamagedError(folder, str(error)) from error


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
    kept = _usable(before) if before else []
    covered = sum(len(segment.covers) for segment in kept)
    try:
        for names, columns in _grouped(store, covered, progress, engine, workers):
            merged: list[IndexSegment] = []
            while kept and _mergeable(len(kept[-1].pitch), len(columns.pitch) + sum(len(s.pitch) for s in merged)):
                merged.insert(0, kept.pop())
            covers = (*(name for s in merged for name in s.covers), *names)
            kept.append(write_segment(root, covers, _joined([*map(_columns, merged), columns])))
        state = state_folder(store)
        works = works_of(kept, store.groups)
        style = _style_of_works(kept, works)
        _write_state(state, store, kept, style, works)
        _clean_up(state, newest_indexed(store.prefix(len(store.segments) - 1)))
    except OSError as error:
        raise StoreError(f"{root.parent}: the index can't be written: {error.strerror or error}") from error
    return Index(state, tuple(kept), style, works)


def _usable(store: Store) -> list[IndexSegment]:
    """Return the segments of an earlier state up to the first damaged one."""
    kept = []
    try:
        for name in _state(state_folder(store), store.music_digest) or ():
            kept.append(_open_segment(store.path / "index" / "segments" / name))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # what can't be used is made again
    return kept


def _mergeable(last: int, new: int) -> bool:
    return last < 2 * new and last + new <= FULL


def _grouped(
    store: Store, covered: int, progress: Callable[[int, int], None], engine: str, workers: int
) -> Iterator[tuple[tuple[str, ...], Columns]]:
    """Read the voices of the store's segments from number `covered` on, in lots of up to `FULL` notes."""
    todo = store.segments[covered:]
    names: list[str] = []
    lot: list[Columns] = []
    read = partial(read_voices, store.path)
    pieces = sum(entry.pieces for entry in todo)
    done = 0
    for entry, columns in zip(todo, mapped(read, [e.name for e in todo], engine, workers), strict=True):
        if isinstance(columns, Crashed):
            raise StoreError(f"{store.path}: reading the voices of segment {entry.name} crashed")
        if lot and sum(len(c.pitch) for c in lot) + len(columns.pitch) > FULL:
            yield tuple(names), _joined(lot)
            names, lot = [], []
        names.append(entry.music)
        lot.append(columns)
        done += entry.pieces
        progress(done, pieces)
    if lot:
        yield tuple(names), _joined(lot)


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
        found = voice_table(store.notes(row))
        table += [(pitch, onset) for pitch, onset, _ in found]
        owners += [row] * len(found)
    pitches = np.concatenate([np.zeros(0, np.int64), *(p for p, _ in table)]).astype(np.uint8)
    steps = np.concatenate([np.zeros(0, np.uint8), *(time_steps(o) for _, o in table)])
    lengths = np.array([len(p) for p, _ in table], np.int64)
    return Columns(pitches, steps, lengths, np.array(owners, np.int32), *transitions(table))


def _columns(segment: IndexSegment) -> Columns:
    lengths = np.diff(segment.voice_start).astype(np.int64)
    return Columns(segment.pitch, segment.step, lengths, segment.voice_piece, segment.intervals, segment.ratios)


def _joined(lot: Sequence[Columns]) -> Columns:
    pitch, step, lengths, piece = (np.concatenate([c[k] for c in lot]) for k in range(4))
    intervals, ratios = np.sum([c.intervals for c in lot], axis=0), np.sum([c.ratios for c in lot], axis=0)
    return Columns(pitch, step, lengths, piece, intervals.astype(np.uint32), ratios.astype(np.uint32))


def write_segment(root: Path, covers: tuple[str, ...], columns: Columns) -> IndexSegment:
    """Write and open the segment that covers those segments of the store; one that is whole is taken as it is."""
    folder = root / hashlib.sha256("\n".join((SCHEMA, *covers)).encode()).hexdigest()[:16]
    try:
        return _open_segment(folder)
    except IndexDamagedError:
        shutil.rmtree(folder, ignore_errors=True)
    voice_start = np.concatenate([[0], np.cumsum(columns.lengths)]).astype(np.uint32)
    bits = int(np.clip(np.ceil(np.log2(max(len(columns.pitch), 1) / PLACES_A_BUCKET)), 8, 24))
    code: Any = _postings
    starts, places = code(columns.pitch, voice_start, bits)
    arrays = (
        columns.pitch, columns.step, voice_start, columns.piece, starts, places, columns.intervals, columns.ratios
    )  # fmt: skip
    _write_folder(folder, dict(zip(_DTYPES, arrays, strict=True)), "segment.json", {"covers": covers})
    return _open_segment(folder)


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

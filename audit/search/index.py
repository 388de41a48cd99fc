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
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.search.lines import Bytes
from audit.search.surprise import StyleModel
from corpus.segment import StoreDamagedError, StoreError
from corpus.store import Store, write_synced

SCHEMA = "contraste-index/3"
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
DTYPES = {
    "pitch": np.uint8,
    "step": np.uint8,
    "voice_start": np.uint32,
    "voice_piece": np.int32,
    "starts": np.uint32,
    "places": np.uint8,
    "intervals": np.uint32,
    "ratios": np.uint32,
}


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
        What `audit.search.significance.find_borrowed` found for pieces, which several levels are measured on.
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
            raise self.damage_error(name, error) from error

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

    def damage_error(self, name: str, error: Exception) -> IndexDamagedError:
        """Return the error that says that the file `name` beside the index can't be used."""
        return IndexDamagedError(self.path / name, str(error))


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
        names = read_state(folder, store.music_digest)
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
            segments.append(open_segment(store.path / "index" / "segments" / name))
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
            if read_state(state_folder(state), state.music_digest) is not None:
                return state
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return None


def read_state(folder: Path, digest: str) -> list[str] | None:
    """Return the names of a state's index segments; None where there is no state, or one of another version."""
    if not folder.is_dir():
        return None
    about = json.loads((folder / "index.json").read_bytes())
    if about["schema"] != SCHEMA:
        return None
    if about["store"] != digest:
        raise ValueError(f"index.json is of store {about['store'][:16]!r}, not {digest[:16]!r}")
    return [str(name) for name in about["segments"]]


def open_segment(folder: Path) -> IndexSegment:
    """Open an index segment; raises `IndexDamagedError` when it can't be used."""
    try:
        about = json.loads((folder / "segment.json").read_bytes())
        arrays: dict[str, Any] = {}
        for name, dtype in DTYPES.items():
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

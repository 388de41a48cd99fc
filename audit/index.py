"""The fingerprint index of a store: every voice, every 5-interval figure, and the corpus' style.

The arrays are plain ``.npy`` files, opened memory-mapped, so that any number of processes share one copy. A
figure is five successive intervals of one voice: the same in every key and at every tempo. Postings are
compressed-sparse-row: `figures` sorted, `starts` into `places`.

The index lies in ``STORE/index/<first 16 digits of the store's digest>/`` and is made whole before it gets that
name, so an index that is found belongs to the store as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.style import INTERVALS, RATIOS, StyleModel, interval_symbols, learn, ratio_symbols
from corpus.store import Store, StoreError, write_synced
from music.notes import FloatArray, IntArray, NoteSequence
from music.voices import voices

FIGURE = 5  # intervals; the best single contiguous seed measured (docs/design/search.md)
REACH = 31  # intervals are stored in 6 bits; a wider leap counts as 31
SCHEMA = "contraste-index/1"
_ARRAYS = (
    "pitch",
    "onset",
    "row",
    "voice_of",
    "voice_start",
    "voice_piece",
    "figures",
    "starts",
    "places",
    "rarity",
)


@dataclass(frozen=True, eq=False)
class Index:
    """An opened index; n notes in v voices of the store's pieces.

    Attributes
    ----------
    pitch : int16 (n,), onset : float32 (n,), row : int32 (n,)
        The notes of all voices, one voice after another: MIDI pitch, onset in quarters, row in its piece.
    voice_of : int32 (n,); voice_start : int64 (v+1,); voice_piece : int32 (v,)
        Voice of each note, first note of each voice, piece of each voice.
    figures : uint32 (f,); starts : int64 (f+1,); places : int32 (p,)
        Sorted figures and where they begin (positions in `pitch`).
    rarity : float32 (f,)
        log2(pieces / pieces that hold the figure).
    """

    path: Path
    style: StyleModel
    pitch: NDArray[np.int16]
    onset: NDArray[np.float32]
    row: NDArray[np.int32]
    voice_of: NDArray[np.int32]
    voice_start: NDArray[np.int64]
    voice_piece: NDArray[np.int32]
    figures: NDArray[np.uint32]
    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    rarity: NDArray[np.float32]

    def read(self, name: str) -> Any:
        """Read the JSON file `name` beside the index; None when there is none, `StoreError` when it is damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_bytes()) if path.exists() else None
        except (OSError, ValueError, RecursionError) as error:
            raise self.damaged(name, error) from error

    def write(self, name: str, value: Any) -> None:
        """Write `value` as the JSON file `name` beside the index; `StoreError` when it can't be."""
        try:
            write_synced(self.path / name, json.dumps(value).encode())
        except OSError as error:
            raise StoreError(f"{self.path / name}: can't be written: {error.strerror}") from error

    def damaged(self, name: str, error: Exception) -> StoreError:
        """Return the error that says that the file `name` beside the index can't be used."""
        return StoreError(f"{self.path / name}: is damaged ({error}); delete {self.path} and it is made again")


def figures(pitch: IntArray) -> NDArray[np.uint32]:
    """Code of the `FIGURE` intervals that begin at each note, shape (max(n - FIGURE, 0),)."""
    steps = (np.clip(np.diff(pitch.astype(np.int64)), -REACH, REACH) + REACH).astype(np.uint32)
    n = max(len(steps) - FIGURE + 1, 0)
    code = np.zeros(n, np.uint32)
    for k in range(FIGURE):
        code = code << np.uint32(6) | steps[k : k + n]
    return code


def voice_table(sequence: NoteSequence) -> list[tuple[IntArray, FloatArray, IntArray]]:
    """(pitch, onset in quarters, row) of every voice of a sequence."""
    return [(sequence.pitch[v.index], sequence.onset_beat[v.index], v.index) for v in voices(sequence)]


def folder_of(store: Store) -> Path:
    """Where the index of the store as it is now belongs."""
    return store.path / "index" / store.digest[:16]


def open_index(store: Store) -> Index | None:
    """Open the index that belongs to `store`, or return None when there is none.

    Raises
    ------
    StoreError
        When it is there and damaged.
    """
    folder = folder_of(store)
    if not folder.is_dir():
        return None
    try:
        about = json.loads((folder / "index.json").read_bytes())
        if about["schema"] != SCHEMA or about["store"] != store.digest:
            raise ValueError(f"it says {about['schema']!r} for store {about['store'][:16]!r}")
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
        for name, length in about["lengths"].items():
            if len(arrays[name]) != length:
                raise ValueError(f"{name} has {len(arrays[name])} rows, {length} were written")
        style = StyleModel(
            *(np.load(folder / f"style_{n}.npy", mmap_mode="r", allow_pickle=False) for n in ("interval", "ratio"))
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise StoreError(
            f"{folder}: the index is damaged ({error}); delete that folder and it is built again"
        ) from error
    return Index(folder, style, **arrays)


def build_index(store: Store, progress: Callable[[int, int], None] = lambda done, total: None) -> Index:
    """Build and write the index of `store`; the index of an earlier state is removed.

    Raises
    ------
    StoreError
        When the store is empty or can't be written.
    """
    if not store.pieces:
        raise StoreError(
            f"{store.path}: the store holds no pieces; add some with: contraste ingest SRC --into {store.path}"
        )
    columns: list[tuple[IntArray, FloatArray, IntArray]] = []
    owners: list[int] = []
    for piece in range(len(store.pieces)):
        table = voice_table(store.notes(piece))
        columns += table
        owners += [piece] * len(table)
        progress(piece + 1, len(store.pieces))
    arrays = _arrays(columns, owners, len(store.pieces))
    style = _style(columns)
    folder = folder_of(store)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        np.save(temporary / "style_interval.npy", style.interval)
        np.save(temporary / "style_ratio.npy", style.ratio)
        about = {"schema": SCHEMA, "store": store.digest, "lengths": {k: len(a) for k, a in arrays.items()}}
        (temporary / "index.json").write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StoreError(f"{folder}: the index can't be written: {error.strerror or error}") from error
    for old in folder.parent.iterdir():
        if old.name != folder.name:
            shutil.rmtree(old, ignore_errors=True)
    return Index(folder, style, **arrays)


def _arrays(columns: list[tuple[IntArray, FloatArray, IntArray]], owners: list[int], pieces: int) -> dict[str, Any]:
    lengths = np.array([len(c[0]) for c in columns], np.int64)
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pitch, onset, row = (np.concatenate([c[k] for c in columns] or [np.zeros(0)]) for k in range(3))
    owner = np.array(owners, np.int32)
    voice_of = np.repeat(np.arange(len(columns), dtype=np.int32), lengths)
    codes = [figures(c[0]) for c in columns]
    code = np.concatenate(codes or [np.zeros(0, np.uint32)])
    place = np.concatenate([s + np.arange(len(c)) for s, c in zip(start, codes, strict=False)] or [np.zeros(0)]).astype(
        np.int32
    )
    order = np.argsort(code, kind="stable")
    code, place = code[order], place[order]
    unique, first = np.unique(code, return_index=True)
    holders = np.unique(
        np.stack([np.repeat(np.arange(len(unique)), np.diff(np.append(first, len(code)))), owner[voice_of[place]]]),
        axis=1,
    )
    spread = np.bincount(holders[0].astype(np.int64), minlength=len(unique))
    return {
        "pitch": pitch.astype(np.int16),
        "onset": onset.astype(np.float32),
        "row": row.astype(np.int32),
        "voice_of": voice_of,
        "voice_start": start,
        "voice_piece": owner,
        "figures": unique,
        "starts": np.append(first, len(code)).astype(np.int64),
        "places": place,
        "rarity": np.log2(pieces / np.maximum(spread, 1)).astype(np.float32),
    }


def _style(columns: list[tuple[IntArray, FloatArray, IntArray]]) -> StyleModel:
    def chain(symbols: list[IntArray], size: int, order: int) -> NDArray[np.float32]:
        flat = np.concatenate(symbols or [np.zeros(0, np.int64)]).astype(np.int64)
        breaks = np.zeros(len(flat), bool)
        breaks[np.cumsum([0, *(len(s) for s in symbols)])[:-1].clip(max=max(len(flat) - 1, 0))] = True
        return learn(flat, breaks, size, order)

    return StyleModel(
        chain([interval_symbols(c[0]) for c in columns], INTERVALS, 3),
        chain([ratio_symbols(c[1]) for c in columns], RATIOS, 2),
    )

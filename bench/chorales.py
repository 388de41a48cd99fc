"""Bach's chorales on a grid of 16ths: the four voices of music21's scores, in the canonical split.

The split is that of Boulanger-Lewandowski, Bengio and Vincent (ICML 2012): 229 / 76 / 77 chorales, published as sets of
pitches a quarter without names. `SPLIT` names the scores of the music21 package in which those pieces were found
again (361 of the 382: at least three in ten of their runs of four bass-relative chords, one to one). Repeats are
not played, voices are soprano, alto, tenor and bass, and every 16th of every voice is one number: the MIDI pitch that
sounds, -1 where none does; whether it was struck or held is not said, as in the published 16th-note version of
the set (``Jsb16thSeparated.json``), which `read_grids` reads as well.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpus.chorales import scores
from music.notes import NoteSequence
from music.scores.musicxml import _unpack, parse_musicxml

IntArray = NDArray[np.int64]
SPLIT = Path(__file__).with_name("chorales.csv")
TUNE = 8
VOICES = ("soprano", "alto", "tenor", "bass")


def make_grids() -> dict[str, list[IntArray]]:
    """Read the scores of `SPLIT`; return for each split its pieces, (16ths, 4) pitches."""
    grids: dict[str, list[IntArray]] = {}
    for name, split in read_split():
        path = scores() / "bach" / name
        xml = re.sub(rb"<repeat [^>]*/>", b"", _unpack(path.read_bytes(), name))
        grids.setdefault(split, []).append(grid_of(parse_musicxml(xml, name)))
    return grids


def read_split() -> Iterator[tuple[str, str]]:
    """Yield (file, split) of every chorale."""
    with SPLIT.open(newline="") as file:
        yield from ((row["file"], row["split"]) for row in csv.DictReader(file))


def grid_of(piece: NoteSequence) -> IntArray:
    """Return the pitches (16ths, 4) of the four voices, which are the parts so named, or all where there are four."""
    named = [i for i, part in enumerate(piece.parts) if part.name.lower().startswith(VOICES)]
    chosen = range(4) if len(piece.parts) == 4 else [i for i in named if "2" not in piece.parts[i].name.split()[1:2]]
    if len(list(chosen)) != 4:
        raise ValueError(f"{piece.title}: parts {[part.name for part in piece.parts]} are not four voices")
    first = np.rint(piece.onset_beat * 4).astype(int)
    last = np.rint((piece.onset_beat + piece.duration_beat) * 4).astype(int)
    grid = np.full((int(last.max()), 4), -1)
    for voice, part in enumerate(chosen):
        for note in np.flatnonzero(piece.part == part):
            grid[first[note] : last[note], voice] = piece.pitch[note]
    return grid


def read_grids(path: Path) -> dict[str, list[IntArray]]:
    """Read ``{"train": [[[S, A, T, B], ...], ...], "valid": ..., "test": ...}``."""
    content = json.loads(path.read_bytes())
    return {split: [np.array(piece, dtype=np.int64) for piece in pieces] for split, pieces in content.items()}


def grouped_by_tune(grids: dict[str, list[IntArray]], seed: int) -> dict[str, list[IntArray]]:
    """Split the pieces anew, in as many each or a few more, so that none shares a tune with one of another split.

    Two pieces share a tune where their sopranos have `TUNE` intervals, with the lengths of the notes, in common;
    what shares with one of them shares with both. Groups are drawn in an order that `seed` decides.
    """
    pieces = [piece for split in ("valid", "test", "train") for piece in grids[split]]
    first = list(range(len(pieces)))  # of the group of each piece, the first met on the way to it
    seen: dict[tuple[tuple[int, int], ...], int] = {}

    def group(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    for i, piece in enumerate(pieces):
        struck = np.flatnonzero(np.diff(piece[:, 0], prepend=-2))
        line = list(zip(np.diff(piece[struck, 0]).tolist(), np.diff(struck).tolist(), strict=True))
        for start in range(len(line) - TUNE + 1):
            first[group(i)] = group(seen.setdefault(tuple(line[start : start + TUNE]), i))
    groups: dict[int, list[IntArray]] = {}
    for i, piece in enumerate(pieces):
        groups.setdefault(group(i), []).append(piece)
    found: dict[str, list[IntArray]] = {split: [] for split in grids}
    for i in np.random.default_rng(seed).permutation(list(groups)):
        short = (split for split in ("valid", "test") if len(found[split]) < len(grids[split]))
        found[next(short, "train")] += groups[int(i)]
    return found

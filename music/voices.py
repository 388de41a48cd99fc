"""Monophonic lines out of any piece: what a listener follows, and what a copy search compares.

A part that plays one note at a time is its own voice. A part with chords is read in several ways at once,
since none of them is right for all music:

- *skyline*: the highest note of each onset (Uitdenbogerd and Zobel 1998);
- *sounding skyline*: the same, leaving out notes that begin below a note that still sounds, which keeps a
  tune apart from the figures played under its long notes (a merged piano part);
- *bass*: the lowest note of each onset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music.notes import FloatArray, IntArray, NoteSequence

ONSET_TOLERANCE_BEATS = 1 / 16  # notes that begin within a 64th of one another are one chord
MIN_NOTES = 6  # a shorter line has no 5-interval figure in it
POLYPHONIC_SHARE = 0.1  # a part with more chord notes than this is read as chords
HELD_SHARE = 0.75  # a note hides the notes below it until this share of it has passed (players release early and late)


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One line of a piece: strictly rising onsets, one note at a time.

    Attributes
    ----------
    index : int64 (m,)
        Row of each note in the sequence it was taken from.
    part : int
        The part it belongs to.
    kind : str
        "line", "skyline", "sounding" or "bass".
    """

    index: IntArray
    part: int
    kind: str


def voices(sequence: NoteSequence) -> list[Voice]:
    """Read every pitched part as one or more voices of at least `MIN_NOTES` notes, in order of parts."""
    found: list[Voice] = []
    for part, info in enumerate(sequence.parts):
        if info.is_drum:
            continue
        rows = np.flatnonzero(sequence.part == part)
        if len(rows) < MIN_NOTES:
            continue
        onset, pitch = sequence.onset_beat[rows], sequence.pitch[rows]
        chord = _chords(onset)
        top = _extreme(chord, pitch)
        found.append(Voice(rows[top], part, "line"))
        if len(top) >= (1 - POLYPHONIC_SHARE) * len(rows):
            continue
        found[-1] = Voice(rows[top], part, "skyline")
        sounding = top[_uncovered(onset[top], sequence.duration_beat[rows][top], pitch[top])]
        if len(sounding) < len(top):
            found.append(Voice(rows[sounding], part, "sounding"))
        found.append(Voice(rows[_extreme(chord, -pitch)], part, "bass"))
    return [v for v in found if len(v.index) >= MIN_NOTES]


def melody(sequence: NoteSequence) -> NoteSequence:
    """Return the line that most likely carries the tune (`melody_rows`) as a sequence."""
    return sequence.select(melody_rows(sequence))


def melody_rows(sequence: NoteSequence) -> IntArray:
    """Rows (m,), rising, of the line that most likely carries the tune.

    A part called melody, vocal, voice, lead or soprano wins; otherwise the part that plays mostly one note at
    a time and lies highest (mean pitch). A part of chords gives its sounding skyline. Empty when there are no
    pitched notes.
    """
    best, best_top, best_rank = None, np.zeros(0, np.int64), (-1.0, 0.0)
    for part, info in enumerate(sequence.parts):
        rows = np.flatnonzero(sequence.part == part)
        if info.is_drum or not len(rows):
            continue
        top = _extreme(_chords(sequence.onset_beat[rows]), sequence.pitch[rows])
        named = any(word in info.name.lower() for word in ("melod", "vocal", "voice", "lead", "sopran"))
        single = len(top) > 0.9 * len(rows) and len(top) >= 16
        rank = (2.0 * named + single, float(np.mean(sequence.pitch[rows])))
        if rank > best_rank:
            best, best_top, best_rank = rows, top, rank
    if best is None:
        return best_top
    rows = best[best_top]
    if len(rows) < (1 - POLYPHONIC_SHARE) * len(best):
        rows = rows[_uncovered(sequence.onset_beat[rows], sequence.duration_beat[rows], sequence.pitch[rows])]
    return np.sort(rows)


def _chords(onset: FloatArray) -> IntArray:
    """Give each note the number of its chord; notes within the tolerance of the chord's first note share a number."""
    gaps = np.flatnonzero(np.diff(onset) > 0) + 1
    begins = np.zeros(len(onset), np.int64)
    first = float(onset[0]) if len(onset) else 0.0
    for at, here in zip(gaps.tolist(), onset[gaps].tolist(), strict=True):
        if here - first > ONSET_TOLERANCE_BEATS:
            begins[at] = 1
            first = here
    return np.cumsum(begins)


def _extreme(chord: IntArray, height: IntArray) -> IntArray:
    """Return the row of the highest note of each chord, in order of chords."""
    order = np.lexsort((height, chord))
    last = np.append(np.flatnonzero(np.diff(chord[order])), len(order) - 1) if len(order) else np.zeros(0, np.int64)
    return np.asarray(order[last], dtype=np.int64)


def _uncovered(onset: FloatArray, duration: FloatArray, pitch: IntArray) -> NDArray[np.bool_]:
    """Mask of the notes that do not begin under a higher note that still sounds."""
    keep = np.ones(len(onset), bool)
    held_until, held_pitch = -1.0, -1
    held = (onset + HELD_SHARE * duration).tolist()
    for i, (begin, until, height) in enumerate(zip(onset.tolist(), held, pitch.tolist(), strict=True)):
        if height >= held_pitch or begin >= held_until:
            held_until, held_pitch = until, height
        else:
            keep[i] = False
    return keep

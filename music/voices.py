"""Monophonic lines out of any piece: what a listener follows, and what a copy search compares.

A part that plays one note at a time is its own voice. A part with chords is read in several ways at once,
since none of them is right for all music:

- *skyline*: the highest note of each onset (Uitdenbogerd and Zobel 1998);
- *sounding skyline*: the same, leaving out notes that begin below a note that still sounds, which keeps a
  tune apart from the figures played under its long notes (a merged piano part);
- *bass*: the lowest note of each onset.

Which part a note is filed under says little of which line it belongs to: `heard_lines` reads the lines that a listener
follows across parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from music.notes import FloatArray, IntArray, NoteSequence

ONSET_TOLERANCE_BEATS = 1 / 16  # notes that begin within a 64th of one another are one chord
MIN_NOTES = 6  # a shorter line has no 5-interval figure in it
POLYPHONIC_SHARE = 0.1  # a part with more chord notes than this is read as chords
HEARD_NOTES = 12  # a shorter stretch of a line that no part plays is as good as none
STRETCH = 24  # notes; as many as the search looks at together
HELD_BY_ONE = 0.75  # of a stretch: what one voice holds so much of is searched with that voice
MOST_PARTS = 32
STREAMS = 8
LEAP = 16.0  # semitones, silence included
GAP = 1.0  # semitones that a quarter of silence counts as
HELD_SHARE = 0.75  # a note hides the notes below it until this share of it has passed (players release early and late)


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """One line of a piece: strictly rising onsets, one note at a time.

    Attributes
    ----------
    index : int64 (m,)
        Row of each note in the sequence it was taken from.
    part : int
        The part it belongs to; -1 where it goes from part to part.
    kind : str
        "line", "skyline", "sounding", "bass" or "heard".
    """

    index: IntArray
    part: int
    kind: str


def voices(sequence: NoteSequence) -> list[Voice]:
    """Read every pitched part as one or more voices of at least `MIN_NOTES` notes, in order of parts.

    Parts that were filed in one track and together play one note at a time (a channel for each string of a guitar, or
    for each note, or a program for each phrase) are one more voice, behind those of all parts.
    """
    voices: list[Voice] = []
    for part, info in enumerate(sequence.parts):
        if not info.is_drum:
            voices += _read_part(sequence, np.flatnonzero(sequence.part == part), part)
    for rows in _tracks(sequence):
        top = _extreme(_chords(sequence.onset_beat[rows]), sequence.pitch[rows])
        if len(top) >= max((1 - POLYPHONIC_SHARE) * len(rows), MIN_NOTES):
            voices.append(Voice(rows[top], -1, "line"))
    return voices


def heard_lines(sequence: NoteSequence, apart: list[Voice]) -> list[Voice]:
    """Read lines that go from part to part, as a listener follows them: what `apart`, its `voices`, leaves out.

    One line may be dealt out to several players, by turns or note by note. So the notes of parts filed in one track,
    of parts that leave time to one another (`turns`), and of all parts are read like those of one part; and `streams`
    follows what lies near in pitch and time. Of these lines only those stretches of `HEARD_NOTES` or more are kept of
    which no part, and no line before, holds `HELD_BY_ONE` of `STRETCH` notes in a row.
    """
    pitched = np.flatnonzero(~sequence.is_drum)
    if len(np.unique(sequence.part[pitched])) < 2:
        return []
    lines: list[IntArray] = []
    layers = [(sequence.part == part).astype(np.int64) for part in np.unique(sequence.part[pitched])]
    layers += [_layer(sequence, v.index) for v in apart if v.part < 0]
    together = (*_tracks(sequence), *turns(sequence, pitched), pitched)
    for line in [v.index for rows in together for v in _read_part(sequence, rows, -1)]:
        new = _apart(line, layers)
        lines += new
        layers.append(_layer(sequence, np.concatenate([line[:0], *new])))
    for line in streams(sequence, pitched):  # which share no note
        lines += _apart(line, layers)
    return [Voice(stretch, -1, "heard") for stretch in lines]


def _read_part(sequence: NoteSequence, rows: IntArray, part: int) -> list[Voice]:
    """Read some notes as the voices of one part."""
    if len(rows) < MIN_NOTES:
        return []
    onset, pitch = sequence.onset_beat[rows], sequence.pitch[rows]
    chord = _chords(onset)
    top = _extreme(chord, pitch)
    if len(top) >= (1 - POLYPHONIC_SHARE) * len(rows):
        lines = [Voice(rows[top], part, "line")]
    else:
        lines = [Voice(rows[top], part, "skyline")]
        sounding = top[_is_uncovered(onset[top], sequence.duration_beat[rows][top], pitch[top])]
        if len(sounding) < len(top):
            lines.append(Voice(rows[sounding], part, "sounding"))
        lines.append(Voice(rows[_extreme(chord, -pitch)], part, "bass"))
    return [v for v in lines if len(v.index) >= MIN_NOTES]


def _tracks(sequence: NoteSequence) -> list[IntArray]:
    """Rows of the pitched notes of each track that holds several parts."""
    of_part = np.array([-1 if p.is_drum else p.track for p in sequence.parts], dtype=np.int64)
    tracks, parts = np.unique(of_part[of_part >= 0], return_counts=True)
    of_note = of_part[sequence.part]
    return [np.flatnonzero(of_note == track) for track in tracks[parts > 1]]


def turns(sequence: NoteSequence, rows: IntArray) -> list[IntArray]:
    """Find parts that play by turns: the notes (rows) of each set of parts that hardly ever sound at once.

    From every part, of the `MOST_PARTS` with most notes, a set grows by the parts nearest to it in pitch. Of the notes
    of two that may join, no more than `POLYPHONIC_SHARE` of the fewer begin while the other sounds.
    """
    counts = np.bincount(sequence.part[rows], minlength=len(sequence.parts))
    parts = [int(p) for p in np.argsort(-counts, kind="stable")[:MOST_PARTS] if counts[p]]
    notes = {p: rows[sequence.part[rows] == p] for p in parts}
    mean = {p: float(sequence.pitch[notes[p]].mean()) for p in parts}
    fits = {(p, q): _by_turns(sequence, notes[p], notes[q]) for p, q in combinations(sorted(parts), 2)}
    turns: set[frozenset[int]] = set()
    for seed in parts:
        group = [seed]
        for other in sorted(parts, key=lambda p: abs(mean[p] - mean[seed])):
            if other not in group and all(fits[min(p, other), max(p, other)] for p in group):
                group.append(other)
        turns.add(frozenset(group))
    return [np.sort(np.concatenate([notes[p] for p in group])) for group in sorted(turns, key=sorted) if len(group) > 1]


def _by_turns(sequence: NoteSequence, a: IntArray, b: IntArray) -> bool:
    """Whether two parts, by the rows of their notes, hardly ever sound at once."""
    both = 0
    for mine, other in ((a, b), (b, a)):
        busy = np.maximum.accumulate(sequence.onset_beat[other] + HELD_SHARE * sequence.duration_beat[other])
        before = np.searchsorted(sequence.onset_beat[other], sequence.onset_beat[mine], side="right")
        both += int((np.append(busy, -1.0)[before - 1] > sequence.onset_beat[mine]).sum())
    return both <= POLYPHONIC_SHARE * min(len(a), len(b))


def streams(sequence: NoteSequence, rows: IntArray) -> list[IntArray]:
    """Follow lines through some notes (rows, by onset) by nearness in pitch and time; of at least `MIN_NOTES` notes.

    Every note joins the stream whose last note lies nearest, of those that are free by then; a quarter of silence
    counts as `GAP` semitones, and a leap of more than `LEAP` begins a stream. At most `STREAMS` are followed at once.
    """
    onset, pitch = sequence.onset_beat[rows].tolist(), sequence.pitch[rows].tolist()
    free = (sequence.onset_beat[rows] + HELD_SHARE * sequence.duration_beat[rows]).tolist()
    until = (sequence.onset_beat[rows] + sequence.duration_beat[rows]).tolist()
    streams: list[list[int]] = []
    live: list[list[int]] = []
    for i in np.lexsort((-sequence.pitch[rows], _chords(sequence.onset_beat[rows]))).tolist():
        best, nearest = None, LEAP
        for stream in live:
            last = stream[-1]
            if free[last] <= onset[i] and onset[i] - onset[last] > ONSET_TOLERANCE_BEATS:
                distance = abs(pitch[last] - pitch[i]) + GAP * max(onset[i] - until[last], 0.0)
                if distance < nearest:
                    best, nearest = stream, distance
        if best is None:
            best = []
            streams.append(best)
            live.append(best)
            if len(live) > STREAMS:  # the one that has been silent for longest ends
                live.remove(min(live[:-1], key=lambda stream: until[stream[-1]]))
        best.append(i)
    return [rows[stream] for stream in streams if len(stream) >= MIN_NOTES]


def _layer(sequence: NoteSequence, rows: IntArray) -> IntArray:
    layer = np.zeros(len(sequence), np.int64)
    layer[rows] = 1
    return layer


def _apart(line: IntArray, layers: list[IntArray]) -> list[IntArray]:
    """Cut out the stretches of a line (rows) of which no layer (1 at the notes it holds) has much of what is near."""
    n = len(line)
    width = min(STRETCH, n)
    new = np.ones(n - width + 1, bool)
    for layer in layers:
        held = np.concatenate([[0], np.cumsum(layer[line])])
        new &= held[width:] - held[:-width] < HELD_BY_ONE * width
    covered = np.convolve(new, np.ones(width)) > 0.5  # notes of any window that is new
    edges = np.flatnonzero(np.diff(np.concatenate([[False], covered, [False]]).astype(np.int8)))
    return [line[a:b] for a, b in edges.reshape(-1, 2) if b - a >= HEARD_NOTES]


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
        rows = rows[_is_uncovered(sequence.onset_beat[rows], sequence.duration_beat[rows], sequence.pitch[rows])]
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


def _is_uncovered(onset: FloatArray, duration: FloatArray, pitch: IntArray) -> NDArray[np.bool_]:
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

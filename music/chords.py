"""Chord labels from notes.

The pitched notes are cut into beats; each beat's chroma (sounding time of the 12 pitch classes, compressed by
a power so that one long note does not decide alone) is compared with templates of the 24 major and minor
triads; the lowest note adds to the chords in which it is the root, the third or the fifth; a Viterbi path
makes changing the chord cost something. A beat without notes speaks for "no chord". Then each chord found is
looked at as a whole for a seventh or a lowered fifth.

Beats are quarters of the tempo map, moved to where the notes begin: many files are exported with a grid that
starts between beats. The constants were set on every second song of a set of 303 pop songs and measured on
the others (bench/chords.py, docs/design/music.md).

Labels use the syntax of Harte et al. (ISMIR 2005): ``C:maj``, ``F#:min7``, ``N``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from music.notes import FloatArray, IntArray, NoteSequence

ROOT_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
NO_CHORD = "N"

MAX_FRAMES = 20_000  # a longer piece is read in steps of several beats

_POWER = 0.4
_ROOT, _THIRD, _FIFTH, _OTHER, _CLASHING_SEVENTH = 1.0, 0.86, 1.15, -0.8, -0.2
_BASS_IS_ROOT, _BASS_IS_THIRD, _BASS_IS_FIFTH = 0.345, 0.1, 0.05
_CHANGE_COST = 0.27
_SILENCE, _SOUND_AS_SILENCE = 0.2, -1.0
_BASS_SHARE = 0.2  # of the beat that a note must sound to count as its bass
_PHASE_BINS = 48
_SEVENTH, _LOWERED_FIFTH, _ABSENT = 0.16, 2.0, 0.03  # shares of sounding time, and a ratio


@dataclass(frozen=True, slots=True)
class ChordSpan:
    """One chord from `start` to `end` (exclusive), in seconds and in quarters.

    Attributes
    ----------
    root : int or None
        Pitch class 0-11 (0 = C); None for no chord.
    quality : str
        "maj", "min", "7", "maj7", "min7", "dim" or, without a root, "".
    """

    start_s: float
    end_s: float
    start_beat: float
    end_beat: float
    root: int | None
    quality: str

    @property
    def label(self) -> str:
        """The chord in Harte syntax, ``C:maj``; ``N`` for no chord."""
        return NO_CHORD if self.root is None else f"{ROOT_NAMES[self.root]}:{self.quality}"

    @property
    def triad(self) -> str:
        """The quality without its seventh: "maj", "min", "dim" or ""."""
        return {"7": "maj", "maj7": "maj", "min7": "min"}.get(self.quality, self.quality)


def chord_labels(sequence: NoteSequence) -> list[ChordSpan]:
    """Label the chords of all pitched notes, from the beat of the first note to the end of the last one.

    Returns
    -------
    list of ChordSpan
        In order, without gaps; [] when there are no pitched notes. A span ends where the chord changes, to
        the beat.
    """
    pitched = ~sequence.is_drum
    if not pitched.any():
        return []
    onset, pitch = sequence.onset_beat[pitched], sequence.pitch[pitched]
    end = onset + sequence.duration_beat[pitched]
    first = beat_phase(sequence)
    first += float(np.floor(onset.min() - first + 1e-6))
    step = max(1.0, float(np.ceil((end.max() - first) / MAX_FRAMES)))
    edges = np.arange(int(np.ceil((end.max() - first) / step)) + 1, dtype=np.float64) * step + first
    chroma, bass = _frames(onset, end, pitch, edges)
    path = _viterbi(_scores(chroma, bass))
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(path)) + 1, [len(path)]])
    beats = np.clip(edges[cuts], 0.0, float(end.max()))
    seconds = sequence.seconds_at(beats)
    spans: list[ChordSpan] = []
    for i, state in enumerate(path[cuts[:-1]].tolist()):
        root, quality = None, ""
        if state < 24:
            root, quality = _name_chord(chroma[cuts[i] : cuts[i + 1]].sum(axis=0), state % 12, state >= 12)
        place = (float(seconds[i]), float(seconds[i + 1]), float(beats[i]), float(beats[i + 1]))
        if place[3] > place[2]:
            spans.append(ChordSpan(*place, root, quality))
    return spans


def beat_phase(sequence: NoteSequence) -> float:
    """Where beats fall between the quarters of the tempo map: 0 <= phase < 1 quarter.

    The phase at which most note length begins, low notes counting more. It is 0 unless another place is
    clearly better, so that a score keeps its beats in a syncopated piece.
    """
    pitched = ~sequence.is_drum
    if not pitched.any():
        return 0.0
    place = sequence.onset_beat[pitched] % 1.0
    weight = np.minimum(sequence.duration_beat[pitched], 2.0) + 2.0 * (sequence.pitch[pitched] < 52)
    bins = np.round(place * _PHASE_BINS).astype(np.int64) % _PHASE_BINS
    histogram = np.bincount(bins, weight, minlength=_PHASE_BINS)
    kernel = ((-2, 0.3), (-1, 0.7), (0, 1.0), (1, 0.7), (2, 0.3))
    smooth = np.sum([share * np.roll(histogram, shift) for shift, share in kernel], axis=0)
    best = int(np.argmax(smooth))
    if smooth[0] >= 0.8 * smooth[best]:
        return 0.0
    off = (place - best / _PHASE_BINS + 0.5) % 1.0 - 0.5
    near = np.abs(off) < 2.5 / _PHASE_BINS
    return float((best / _PHASE_BINS + np.average(off[near], weights=weight[near])) % 1.0)


def _frames(onset: FloatArray, end: FloatArray, pitch: IntArray, edges: FloatArray) -> tuple[FloatArray, IntArray]:
    """Chroma (frames, 12) in beats sounded; pitch class of each frame's lowest note, -1 without one."""
    count = len(edges) - 1
    begins = np.clip(np.searchsorted(edges, onset, side="right") - 1, 0, count - 1)
    until = np.clip(np.searchsorted(edges, end, side="left"), begins + 1, count)
    spanned = until - begins
    note = np.repeat(np.arange(len(onset)), spanned)
    frame = begins[note] + np.arange(spanned.sum()) - np.repeat(np.cumsum(spanned) - spanned, spanned)
    held = np.maximum(np.minimum(end[note], edges[frame + 1]) - np.maximum(onset[note], edges[frame]), 0.0)
    chroma = np.bincount(frame * 12 + pitch[note] % 12, held, minlength=count * 12).reshape(count, 12)
    lowest = np.full(count, 128)
    long = held >= _BASS_SHARE * (edges[1] - edges[0])
    np.minimum.at(lowest, frame[long], pitch[note[long]])
    return chroma.astype(np.float64), np.where(lowest < 128, lowest % 12, -1).astype(np.int64)


def _templates() -> FloatArray:
    """Weights (24, 12) of the pitch classes for the major triads on 0-11, then the minor ones."""
    major, minor = np.full(12, _OTHER), np.full(12, _OTHER)
    major[[0, 4, 7]] = minor[[0, 3, 7]] = _ROOT, _THIRD, _FIFTH
    major[[10, 11]] = minor[10] = _CLASHING_SEVENTH
    return np.stack([np.roll(t, root) for t in (major, minor) for root in range(12)])


def _scores(chroma: FloatArray, bass: IntArray) -> FloatArray:
    """Fit (frames, 25) of each chord to each frame; the last column is no chord."""
    shape = (chroma / np.maximum(chroma.sum(axis=1, keepdims=True), 1e-9)) ** _POWER
    shape /= np.maximum(shape.sum(axis=1, keepdims=True), 1e-9)
    silent = chroma.sum(axis=1) < 1e-6
    scores = np.column_stack([shape @ _templates().T, np.where(silent, _SILENCE, _SOUND_AS_SILENCE)])
    known = np.flatnonzero(bass >= 0)
    for first, third in ((0, 4), (12, 3)):
        for interval, bonus in ((0, _BASS_IS_ROOT), (third, _BASS_IS_THIRD), (7, _BASS_IS_FIFTH)):
            scores[known, first + (bass[known] - interval) % 12] += bonus
    scores[silent, :24] = 0.0
    return scores


def _viterbi(scores: FloatArray) -> IntArray:
    """Best path (frames,) when every change of state costs the same."""
    frames, states = scores.shape
    stay = np.arange(states)
    came_from = np.empty((frames, states), np.int64)
    best = scores[0].copy()
    for t in range(1, frames):
        leader = int(np.argmax(best))
        change = best[leader] - _CHANGE_COST
        came_from[t] = np.where(best >= change, stay, leader)
        best = np.maximum(best, change) + scores[t]
    path = np.empty(frames, np.int64)
    path[-1] = int(np.argmax(best))
    for t in range(frames - 1, 0, -1):
        path[t - 1] = came_from[t, path[t]]
    return path


def _name_chord(chroma: FloatArray, root: int, minor: bool) -> tuple[int, str]:
    """Name root and quality of a whole span: the triad, its seventh, or a diminished triad."""
    share = np.roll(chroma, -root) / max(float(chroma.sum()), 1e-9)
    lowered, raised = share[10] > _SEVENTH, share[11] > _SEVENTH
    if minor and share[6] > _LOWERED_FIFTH * share[7]:
        return root, "dim"
    if minor:
        return root, "min7" if lowered else "min"
    if lowered and share[0] < _ABSENT and share[4] > _SEVENTH:
        return (root + 4) % 12, "dim"  # a dominant seventh without its root
    if raised and share[11] > share[10]:
        return root, "maj7"
    return root, "7" if lowered else "maj"

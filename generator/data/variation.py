"""Thematic variation, for more music to learn from than there is: displacement, ornament, inversion.

Each function takes a sequence and gives another of the same meters, tempos and parts; drums stay as they are. What it
leaves alone is what a listener knows the theme by: displacement keeps pitches and rhythm, and moves them against the
bar line; ornament keeps the notes, and plays around some of them; inversion keeps the rhythm, and turns steps up into
steps down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from music.key import NAMES, estimate_key
from music.notes import FloatArray, IntArray, NoteSequence, build

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
DISPLACEMENTS = (0.5, 1.0)
"""Quarters."""
ORNAMENTED = 0.15
"""Share of the notes of a quarter and longer that get an ornament."""


def displace(sequence: NoteSequence, random: np.random.Generator) -> NoteSequence:
    """Let all pitched notes begin half a quarter or a quarter later."""
    later = random.choice(DISPLACEMENTS)
    return _replace_notes(sequence, onset=sequence.onset_beat + later * ~sequence.is_drum)


def ornament(sequence: NoteSequence, random: np.random.Generator) -> NoteSequence:
    """Turn some long notes into the note, its neighbour in the scale above or below, and the note again.

    The first takes half of the time, the others a quarter each; 15 % of the pitched notes of at least a quarter are
    drawn. A neighbour lies one or two semitones away, one for a note beside the scale.
    """
    long = (sequence.duration_beat >= 1.0 - 1e-9) & ~sequence.is_drum
    rows = np.flatnonzero(long & (random.random(len(sequence)) < ORNAMENTED))
    step = random.choice((-1, 1), size=len(rows))
    degree, bent = _degrees(sequence, sequence.pitch[rows])
    neighbour = np.where(bent != 0, sequence.pitch[rows] + step, _pitches(sequence, degree + step))
    kept = (neighbour >= 0) & (neighbour <= 127)
    rows, neighbour = rows[kept], neighbour[kept]
    onset, duration = sequence.onset_beat, sequence.duration_beat.copy()
    quarter = duration[rows] / 4
    duration[rows] /= 2
    return build(
        np.concatenate([onset, onset[rows] + 2 * quarter, onset[rows] + 3 * quarter]),
        np.concatenate([duration, quarter, quarter]),
        np.concatenate([sequence.pitch, neighbour, sequence.pitch[rows]]),
        np.concatenate([sequence.velocity, sequence.velocity[rows], sequence.velocity[rows]]),
        np.concatenate([sequence.part, sequence.part[rows], sequence.part[rows]]),
        parts=sequence.parts,
        tempos=sequence.tempos,
        time_signatures=sequence.time_signatures,
        title=sequence.title,
    )


def invert(sequence: NoteSequence, random: np.random.Generator) -> NoteSequence:
    """Mirror the pitches in the scale of the piece's key, about the degree of it nearest to their mean.

    A note beside the scale comes to lie as far on the other side of its mirrored degree. A sequence whose mirrored
    pitches would leave 0-127 stays as it is.
    """
    pitched = ~sequence.is_drum
    if not pitched.any():
        return sequence
    degree, bent = _degrees(sequence, sequence.pitch)
    axis = round(float(degree[pitched].mean()))
    mirrored = np.where(pitched, _pitches(sequence, 2 * axis - degree) - bent, sequence.pitch)
    return sequence if mirrored.min() < 0 or mirrored.max() > 127 else _replace_notes(sequence, pitch=mirrored)


VARIATIONS: dict[str, Callable[[NoteSequence, np.random.Generator], NoteSequence]] = {
    "displace": displace,
    "ornament": ornament,
    "invert": invert,
}
"""By name; each draws what it leaves to chance from the generator given."""


def _replace_notes(
    sequence: NoteSequence, onset: FloatArray | None = None, pitch: IntArray | None = None
) -> NoteSequence:
    return build(
        sequence.onset_beat if onset is None else onset,
        sequence.duration_beat,
        sequence.pitch if pitch is None else pitch,
        sequence.velocity,
        sequence.part,
        parts=sequence.parts,
        tempos=sequence.tempos,
        time_signatures=sequence.time_signatures,
        title=sequence.title,
    )


def _scale(sequence: NoteSequence) -> tuple[int, IntArray]:
    tonic, mode = (estimate_key(sequence) or "C major").split()
    return NAMES.index(tonic), np.array(SCALES[mode])


def _degrees(sequence: NoteSequence, pitch: IntArray) -> tuple[IntArray, IntArray]:
    """Return the number of each pitch's scale degree, 7 an octave, and the semitones it lies above it (0 or 1)."""
    tonic, scale = _scale(sequence)
    octave, tone = np.divmod(pitch - tonic, 12)
    place = np.searchsorted(scale, tone, side="right") - 1
    return 7 * octave + place, tone - scale[place]


def _pitches(sequence: NoteSequence, degree: IntArray) -> IntArray:
    """Return the pitch of each degree."""
    tonic, scale = _scale(sequence)
    octave, place = np.divmod(degree, 7)
    return np.asarray(12 * octave + scale[place] + tonic, dtype=np.int64)

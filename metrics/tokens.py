"""A melody as tokens: (interval, inter-onset class).

Token i says how note i + 1 follows note i: the interval in semitones, and the time between the two onsets
in sixteenths of a whole note, rounded to the nearest and held within 1..16. Neither changes when a piece is
transposed or played faster, so what is counted on tokens finds a copy in any key. Both come from the beats of
the file: a performance recorded without a beat has intervals worth comparing, but no such times.
"""

from __future__ import annotations

import numpy as np

from music.notes import NoteSequence
from music.voices import melody

CLASSES_PER_BEAT = 4
MAX_CLASS = 16

Token = tuple[int, int]


class MetricError(ValueError):
    """Raised when a metric is asked for input on which it is not defined; the message says which and why."""


def melody_tokens(sequence: NoteSequence) -> list[Token]:
    """Tokens of the melody that `music.voices.melody` finds; [] when it has fewer than two notes."""
    return tokens(melody(sequence))


def tokens(line: NoteSequence) -> list[Token]:
    """Tokens of a line: pairs (semitones, onset class 1..16), one fewer than notes, [] below two notes."""
    steps = np.diff(line.pitch)
    gaps = np.floor(np.diff(line.onset_beat) * CLASSES_PER_BEAT + 0.5).astype(np.int64)
    return list(zip(steps.tolist(), np.clip(gaps, 1, MAX_CLASS).tolist(), strict=True))

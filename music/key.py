"""The key of a piece, estimated from how long each pitch class sounds.

References
----------
Krumhansl and Kessler, Psychological Review 89 (1982): the probe-tone profiles.
Temperley, Music Perception 17 (1999): correlation with a duration-weighted histogram.
"""

from __future__ import annotations

import numpy as np

from music.notes import FloatArray, NoteSequence

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
_KEYS = [f"{name} {mode}" for mode in ("major", "minor") for name in NAMES]
_PROFILES = np.stack([np.roll(p - p.mean(), tonic) / np.std(p) for p in (_MAJOR, _MINOR) for tonic in range(12)])


def pitch_class_histogram(sequence: NoteSequence) -> FloatArray:
    """Share of sounding time of each pitch class, shape (12,), sum 1; zeros without pitched notes."""
    pitched = ~sequence.is_drum
    held = np.bincount(sequence.pitch[pitched] % 12, sequence.duration_beat[pitched], minlength=12)
    total = held.sum()
    return np.asarray(held / total if total else held, dtype=np.float64)


def estimate_key(sequence: NoteSequence) -> str:
    """Name the best of the 24 keys, like "C major" or "F# minor"; "" without pitched notes."""
    return key_of_histogram(pitch_class_histogram(sequence))


def key_profile(key: str) -> FloatArray:
    """Return the probe-tone ratings (12,) of a key by pitch class, 0 is C; ValueError for a key that is none."""
    mode, tonic = divmod(_KEYS.index(key), 12)
    return np.roll((_MAJOR, _MINOR)[mode], tonic)


def key_of_histogram(histogram: FloatArray) -> str:
    """Name the best key of sounding times (12,) by pitch class, in any unit; "" where they are all the same."""
    if not histogram.any() or np.ptp(histogram) == 0:
        return ""
    scores = _PROFILES @ ((histogram - histogram.mean()) / histogram.std()) / 12
    return max(zip(scores.round(12).tolist(), _KEYS, strict=True))[1]  # rounded: keys that tie do so on every machine

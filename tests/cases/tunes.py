"""Tunes for tests: the same seed gives the same notes."""

import numpy as np

from music.notes import NoteSequence, Part, build

SCALE = np.array([0, 2, 4, 5, 7, 9, 11])


def melody(seed: int, notes: int = 64) -> NoteSequence:
    """Make a diatonic melody by random walk, in quavers and quarters."""
    rng = np.random.default_rng(seed)
    degree = 14 + np.abs(np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3, 4, -4], notes)) % 20 - 10)
    gaps = rng.choice([0.5, 0.5, 0.5, 1.0, 1.5], notes)
    return build(np.cumsum(gaps) - gaps, gaps, 36 + 12 * (degree // 7) + SCALE[degree % 7])


def duet(start: int, length: int = 24, step: int = 1) -> NoteSequence:
    """Make two voices in contrary motion on a C major scale, in quarters, the lower one on a bass."""
    walk = np.append(SCALE, 12)[(np.arange(length) * step + start) % 8]
    return build(
        np.tile(np.arange(length), 2),
        np.ones(2 * length),
        np.concatenate([60 + walk, 60 - walk]),
        part=np.repeat([0, 1], length),
        parts=[Part(), Part(program=32)],
    )

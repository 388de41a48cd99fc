"""Tunes for tests: the same seed gives the same notes."""

import numpy as np

from music.notes import NoteSequence, Part, Tempo, build

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


def walk(number: int, steps: tuple[int, int] = (1, 2), length: int = 24) -> NoteSequence:
    """Make a walk by one of `steps`, up or down, on even quarters."""
    random = np.random.default_rng(number)
    pitch = np.clip(60 + np.cumsum(random.choice(steps, length) * random.choice((-1, 1), length)), 30, 90)
    return build(np.arange(length), np.ones(length), pitch)


def phrases(seed: int, bars: int = 16) -> NoteSequence:
    """Make a diatonic melody of four-bar phrases, each bar one of three rhythms, that ends them on long notes."""
    rng = np.random.default_rng(seed)
    rhythms = ([1.0, 1.0, 1.0, 1.0], [1.5, 0.5, 1.0, 1.0], [0.5, 0.5, 1.0, 2.0])
    gaps = np.concatenate([[2.0, 2.0] if b % 4 == 3 else rhythms[rng.integers(3)] for b in range(bars)])
    degree = 14 + np.abs(np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4], len(gaps))) % 20 - 10)
    return build(np.cumsum(gaps) - gaps, gaps, 36 + 12 * (degree // 7) + SCALE[degree % 7])


def chromatic_melody(seed: int, notes: int = 60) -> NoteSequence:
    rng = np.random.default_rng(seed)
    pitch = np.clip(65 + np.cumsum(rng.choice([-4, -2, -1, 0, 1, 2, 4, 5, -5], notes)), 40, 90)
    gaps = rng.choice([0.25, 0.5, 1.0], notes)
    onset = np.concatenate([[0], np.cumsum(gaps)[:-1]])
    return build(onset, gaps, pitch, tempos=[Tempo(0, 100)])


def chorale(seed: int) -> NoteSequence:
    """Four voices of 8 s that move as chorales do, step by step over held chords."""
    rng = np.random.default_rng(seed)
    beats = np.arange(16)
    roots = rng.integers(0, 7, 16)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 21, 23])
    voices = [48 + scale[roots], 55 + scale[roots + 2] - 12, 60 + scale[roots + 4] - 12, 60 + scale[roots]]
    return build(
        np.tile(beats, 4), np.ones(64), np.concatenate(voices), part=np.repeat(range(4), 16), parts=[Part()] * 4
    )


def random_line(seed: int, notes: int, step: float, low: int, high: int, bpm: float = 120.0) -> NoteSequence:
    """Make notes of any pitches from `low` to below `high`, one each `step` beats."""
    pitch = np.random.default_rng(seed).integers(low, high, notes)
    return build(np.arange(notes) * step, np.full(notes, 0.9 * step), pitch, tempos=(Tempo(0.0, bpm),))

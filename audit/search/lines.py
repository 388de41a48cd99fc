"""Lines as the search sees them: voices of a piece or a track, two bytes per note, and their figures.

A note of a line is its MIDI pitch and the time to the next note on a logarithmic scale (`STEPS_AN_OCTAVE`), which makes
a change of tempo a constant. A *figure* is five successive intervals of one line: the same in every key and at every
tempo.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from music.notes import FloatArray, IntArray, NoteSequence
from music.voices import heard_lines, voices

FIGURE = 5  # intervals; compared with other lengths and kinds in docs/design/search.md
REACH = 15  # wider leaps count as this one in a figure; alignments see them as they are
STEPS_AN_OCTAVE = 20  # of the time to the next note: 3.5 % a step, a fifth of what the alignment tolerates
SHORTEST = 1 / 64  # quarters; step 0
Bytes = NDArray[np.uint8]


def voice_table(sequence: NoteSequence) -> list[tuple[IntArray, FloatArray, IntArray]]:
    """(pitch, onset in quarters, row) of every voice of a sequence."""
    return [(sequence.pitch[v.index], sequence.onset_beat[v.index], v.index) for v in voices(sequence)]


@lru_cache(maxsize=8)  # the same track is asked for by its search, its significance and each of its findings
def query_table(sequence: NoteSequence) -> tuple[tuple[IntArray, FloatArray, IntArray], ...]:
    """`voice_table` of a query, and behind it the lines that are heard across its parts: all that is searched."""
    apart = voices(sequence)
    lines = (*apart, *heard_lines(sequence, apart))
    return tuple((sequence.pitch[v.index], sequence.onset_beat[v.index], v.index) for v in lines)


def time_steps(onset: FloatArray) -> Bytes:
    """Code the time from each note to the next, shape (n,); the last note's is 0.

    ``round(20 log2(64 quarters))``, held within 0-255: a 64th of a quarter to 107 quarters.
    """
    steps = np.zeros(len(onset), np.uint8)
    quarters = np.maximum(np.diff(onset), SHORTEST)
    steps[:-1] = np.minimum(np.round(STEPS_AN_OCTAVE * np.log2(quarters / SHORTEST)), 255)
    return steps


_QUARTERS = SHORTEST * 2.0 ** (np.arange(256) / STEPS_AN_OCTAVE)


@njit(cache=True, nogil=True)
def onsets(step: Any) -> Any:
    """Onsets in quarters, float32 from 0, that `time_steps` describes; within 1.8 % of each time between notes."""
    onset = np.zeros(len(step), np.float32)
    now = 0.0
    for i in range(1, len(step)):
        now += _QUARTERS[step[i - 1]]
        onset[i] = now
    return onset


def hash_figures(pitch: Bytes, bits: int) -> NDArray[np.uint32]:
    """Bucket, below 2**bits, of the `FIGURE` intervals that begin at each note, shape (max(n - FIGURE, 0),)."""
    code: Any = codes_of
    return np.asarray(code(pitch, bits))


@njit(cache=True, nogil=True)
def codes_of(pitch: Any, bits: int) -> Any:
    """Return what `hash_figures` returns, from compiled code."""
    n = max(len(pitch) - FIGURE, 0)
    out = np.empty(n, np.uint32)
    for i in range(n):
        code = np.uint64(0)
        for k in range(i, i + FIGURE):
            leap: Any = min(max(np.int64(pitch[k + 1]) - np.int64(pitch[k]) + REACH, 0), 2 * REACH)
            code = code * np.uint64(2 * REACH + 1) + np.uint64(leap)
        # Fibonacci hashing (Knuth, The Art of Computer Programming 3, section 6.4)
        out[i] = (code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)
    return out

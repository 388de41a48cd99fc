"""How much a note surprises: the bits that two passages share beyond style.

A figure that everybody plays, and an accompaniment that repeats itself, say nothing about copying. So each note
of a query is given its surprise in bits, ``-log2 P``, where P is the *larger* of

- a long-term model: interpolated Markov chains over the voices of the whole corpus (intervals: order 0-3;
  ratios of neighbouring inter-onset intervals: order 0-2), and
- a short-term model: the same over what this very voice has played so far (order 0-4),

the pair that IDyOM uses for melodic expectation. Taking the larger one (IDyOM weighs them by entropy) can only lower
the surprise, hence the score of a match: an alarm is never louder for it.

References
----------
Pearce, "The Construction and Evaluation of Statistical Models of Melodic Structure" (2005).
Conklin and Witten, J. New Music Research 24 (1995): viewpoints, long- and short-term models.
Witten and Bell, IEEE Trans. Information Theory 37 (1991): the escape method C used for interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from music.notes import FloatArray, IntArray

Floats = NDArray[np.float32]

LEAP = 13  # intervals beyond an octave share one symbol each way
INTERVALS = 2 * LEAP + 1
RATIO_STEPS = 2  # rhythm symbols an octave of ratio: 1.5 and 2, 3 and 4 are told apart, 1.9 and 2 are not
RATIO_LIMIT = 6
RATIOS = 2 * RATIO_LIMIT + 1
INTERVAL_ORDER, RATIO_ORDER = 3, 2  # symbols before that the long-term model looks at
SHORT_ORDERS = 4
SHORT_MEMORY = 2000  # notes that the short-term model looks back; bounds its time on hostile input


def interval_symbols(pitch: IntArray) -> IntArray:
    """Symbols 0..INTERVALS-1 of the steps between neighbours, shape (n-1,)."""
    return np.clip(np.diff(pitch), -LEAP, LEAP) + LEAP


def ratio_symbols(onset: FloatArray) -> IntArray:
    """Symbols 0..RATIOS-1 of the ratios of neighbouring inter-onset intervals, shape (n-2,)."""
    steps = np.log2(np.maximum(np.diff(onset), 1e-6))
    return (np.clip(np.round(RATIO_STEPS * np.diff(steps)), -RATIO_LIMIT, RATIO_LIMIT) + RATIO_LIMIT).astype(np.int64)


@dataclass(frozen=True, eq=False)
class StyleModel:
    """Long-term probabilities of a corpus.

    Attributes
    ----------
    interval : float32 (INTERVALS,) * 4
        P(symbol | three symbols before), the last axis sums to 1.
    ratio : float32 (RATIOS,) * 3
        P(symbol | two symbols before).
    """

    interval: Floats
    ratio: Floats

    @cached_property
    def lower(self) -> dict[int, list[Floats]]:
        """Means of each table, by its dimensions, over the contexts that a voice's first notes do not have."""
        return {
            t.ndim: [t.mean(axis=tuple(range(k))) for k in range(t.ndim - 1, 0, -1)]
            for t in (self.interval, self.ratio)
        }


def transitions(voices: Sequence[tuple[IntArray, FloatArray]]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Count what follows what in some voices, each (pitch, onset).

    Returns
    -------
    intervals : uint32 (INTERVALS,) * 4
        How often each run of four steps occurs; no run reaches across two voices.
    ratios : uint32 (RATIOS,) * 3
        The same of three ratios of neighbouring inter-onset intervals.
    """
    return (
        _runs([interval_symbols(pitch) for pitch, _ in voices], INTERVALS, INTERVAL_ORDER + 1),
        _runs([ratio_symbols(onset) for _, onset in voices], RATIOS, RATIO_ORDER + 1),
    )


def _runs(symbols: list[IntArray], size: int, length: int) -> NDArray[np.uint32]:
    codes = [np.zeros(0, np.int64)]
    for line in symbols:
        count = max(len(line) - length + 1, 0)
        code = np.zeros(count, np.int64)
        for k in range(length):
            code = code * size + line[k : k + count]
        codes.append(code)
    return np.bincount(np.concatenate(codes), minlength=size**length).astype(np.uint32).reshape((size,) * length)


def model_of(intervals: Sequence[NDArray[Any]], ratios: Sequence[NDArray[Any]]) -> StyleModel:
    """Estimate the style of a corpus from the transition counts (`transitions`) of its parts, added up."""
    return StyleModel(_smooth(intervals), _smooth(ratios))


def _smooth(parts: Sequence[NDArray[Any]]) -> Floats:
    """Smooth: ``P_k(x|c) = (N(c,x) + T(c) P_{k-1}(x|c')) / (N(c) + T(c))``, P_{-1} uniform.

    c are the k symbols before x, c' the last k - 1 of them, and T(c) is the number of different symbols seen after c.
    """
    counts = np.sum(parts, axis=0, dtype=np.int64)
    size = counts.shape[0]
    model = np.full(size, 1.0 / size)
    for k in range(counts.ndim):
        seen = counts.sum(axis=tuple(range(counts.ndim - 1 - k))).astype(np.float64)
        total = seen.sum(axis=-1, keepdims=True)
        kinds = (seen > 0).sum(axis=-1, keepdims=True)
        model = np.where(total > 0, (seen + kinds * model) / np.maximum(total + kinds, 1), model)
    return model.astype(np.float32)


def surprise(model: StyleModel, pitch: IntArray, onset: FloatArray) -> tuple[Floats, Floats]:
    """Bits that each note of a voice carries under the long-term and the short-term model together.

    Parameters
    ----------
    pitch, onset : (n,)
        A voice: one note at a time, onsets rising.

    Returns
    -------
    pitch_bits, rhythm_bits : float32 (n,)
        ``-log2 max(P_long, P_short)`` of the step into each note, and of its inter-onset ratio; 0 for the notes
        without one (the first; the first two).
    """
    pitch_bits, rhythm_bits = np.zeros(len(pitch), np.float32), np.zeros(len(pitch), np.float32)
    for bits, symbols, table, first in (
        (pitch_bits, interval_symbols(pitch), model.interval, 1),
        (rhythm_bits, ratio_symbols(onset), model.ratio, 2),
    ):
        if len(symbols):
            likely = np.maximum(
                _long_term(symbols, table, model.lower[table.ndim]), _short_term(symbols, table.shape[0])
            )
            bits[first:] = -np.log2(likely)
    return pitch_bits, rhythm_bits


def _long_term(symbols: IntArray, table: Floats, lower: Sequence[Floats]) -> Floats:
    order, size = table.ndim - 1, table.shape[0]
    # A context that reaches before the first note is averaged over, which is close to the lower order.
    flat = table.reshape(-1)
    chance = np.empty(len(symbols), np.float32)
    code = np.zeros(max(len(symbols) - order, 0), np.int64)
    for back in range(order, -1, -1):
        code = code * size + symbols[order - back : len(symbols) - back]
    chance[order:] = flat[code]
    for i in range(min(order, len(symbols))):
        chance[i] = lower[i][tuple(symbols[: i + 1])]
    return chance


@njit(cache=True)
def _short_term(symbols: Any, size: int) -> Any:
    """P(symbol | what came before in this voice), interpolated over contexts of 0..SHORT_ORDERS symbols."""
    n = len(symbols)
    out = np.empty(n, np.float32)
    total = np.zeros(SHORT_ORDERS + 1)
    hits = np.zeros(SHORT_ORDERS + 1)
    kinds = np.zeros(SHORT_ORDERS + 1)
    seen = np.zeros((SHORT_ORDERS + 1, size), np.int64)
    for i in range(n):
        total[:] = 0
        hits[:] = 0
        kinds[:] = 0
        for j in range(max(0, i - SHORT_MEMORY), i):
            order = 0
            while True:
                total[order] += 1
                hits[order] += symbols[j] == symbols[i]
                if seen[order, symbols[j]] != i + 1:
                    seen[order, symbols[j]] = i + 1
                    kinds[order] += 1
                order += 1
                if order > SHORT_ORDERS or j < order or symbols[j - order] != symbols[i - order]:
                    break
        p = 1.0 / size
        for order in range(SHORT_ORDERS + 1):
            if total[order] > 0:
                p = (hits[order] + kinds[order] * p) / (total[order] + kinds[order])
        out[i] = p
    return out

"""What relatedness compares of the notes of a line: pitch, metre, turns, place and length of phrases."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.search.index import Index
from audit.search.lines import STEPS_AN_OCTAVE, Bytes
from audit.search.surprise import Floats

METRIC, TURN, PHRASE, PLACE = 1.0, 0.5, 0.75, 0.5  # cost of a difference of 1 in each
GRID, REACH, LONGEST_REST = 12, 32, 16  # ticks a unit; units between the onsets of a local meter; units a note counts
PHRASE_NOTES, PHRASE_SPREAD, PHRASE_LONG, PHRASE_MOST = 9.0, 0.35, 1.5, 30
PITCH_ROW, METRIC_ROW, TURN_ROW, PHRASE_ROW, PLACE_ROW, INTO_ROW, SHARE_ROW = range(7)


def _ticks() -> NDArray[np.int64]:
    """Ticks of a note that is -255..255 steps longer than the unit: the likeliest simple ratio."""
    ticks = np.arange(1, LONGEST_REST * GRID + 1)
    steps = STEPS_AN_OCTAVE * np.log2(ticks / GRID)
    simple = np.log2(GRID // np.gcd(ticks, GRID)) / 2
    return np.array([np.argmin(np.abs(steps - k) + simple) + 1 for k in range(-255, 256)], np.int64)


_TICKS = _ticks()


def line_features(pitch: Bytes, step: Bytes) -> Floats:
    """Describe a line of n >= 2 notes, as `audit.search.index.IndexSegment` holds it, shape (7, n).

    Rows: MIDI pitch; inner metric weight (0-1); log2 of how much longer the note is than the one before it, 0 where
    one of them has no length; place in the phrase and in the line (0-1); semitones from the note before it (99 for
    the first note); share of the line's time.
    """
    length = step / STEPS_AN_OCTAVE
    length[-1] = length[:-1].mean() + 1  # a last note has none; it is mostly a long one
    out = np.zeros((7, len(pitch)), np.float32)
    out[PITCH_ROW] = pitch
    out[METRIC_ROW] = inner_metric(_grid(step, unit_step(step), _TICKS))
    out[TURN_ROW, 1:-1] = np.diff(length[:-1])
    out[PHRASE_ROW] = phrase_places(length)
    out[PLACE_ROW] = np.linspace(0, 1, len(pitch))
    out[INTO_ROW] = np.append(99, np.diff(pitch.astype(np.int64)))
    share = 2.0**length
    out[SHARE_ROW] = np.minimum(share / share.mean(), 3) / len(pitch)
    return out


def unit_step(step: Bytes) -> int:
    """Return the commonest time between notes of a line, as a step; neighbouring steps count half."""
    count = np.bincount(step[:-1], minlength=256)
    return int(np.argmax(np.convolve(count, [1, 2, 1], "same")))


@njit(cache=True, nogil=True)
def _grid(step: Any, unit: int, ticks: Any) -> Any:
    onset = np.zeros(len(step), np.int64)
    for i in range(len(step) - 1):
        onset[i + 1] = onset[i] + ticks[np.int64(step[i]) - unit + 255]
    return onset


@njit(cache=True, nogil=True)
def inner_metric(onset: Any) -> Any:  # noqa: PLR0912
    """Inner metric weight of notes at rising int64 ticks from 0: float64 (n,), scaled to a maximum of 1.

    Every local meter, a longest chain of k+1 >= 3 onsets d apart, gives k**2 to each of its notes.
    """
    n, size = len(onset), onset[-1] + 1
    at = np.full(size, -1, np.int64)
    for i in range(n):
        at[onset[i]] = i
    weight = np.zeros(n)
    for i in range(n):
        for j in range(i + 1, n):
            d, end = onset[j] - onset[i], onset[j]
            if d > REACH * GRID:
                break
            if onset[i] >= d and at[onset[i] - d] >= 0:
                continue  # the chain began earlier
            k = 1
            while end + d < size and at[end + d] >= 0:
                end += d
                k += 1
            if k < 2:
                continue
            inside = False
            for finer in (2, 3, 4, 6):
                if d % finer == 0 and not inside:
                    inside = True
                    for tick in range(onset[i], end, d // finer):
                        if at[tick] < 0:
                            inside = False
                            break
            if not inside:
                for tick in range(onset[i], end + 1, d):
                    weight[at[tick]] += k * k
    return weight / max(weight.max(), 1.0)


@njit(cache=True, nogil=True)
def phrase_places(length: Any) -> Any:
    """Place of each note in its phrase: float64 (n,), 0 for the first note of a phrase and 1 for the last.

    Parameters
    ----------
    length : float64 (n,)
        log2 of the time to the next note. Phrases are the segmentation that scores best: each earns `PHRASE_LONG`
        times how much longer its last note is than its eight neighbours, and costs by its number of notes (log-normal
        around `PHRASE_NOTES`, `PHRASE_SPREAD`).
    """
    n = len(length)
    cost = np.zeros(PHRASE_MOST + 1)
    for k in range(1, PHRASE_MOST + 1):
        cost[k] = (np.log(k / PHRASE_NOTES) / PHRASE_SPREAD) ** 2 / 2
    best, back = np.full(n + 1, -np.inf), np.zeros(n + 1, np.int64)
    best[0] = 0
    for end in range(1, n + 1):
        long = length[end - 1] - length[max(0, end - 4) : min(n, end + 4)].mean() if end < n else 1.0
        for begin in range(max(0, end - PHRASE_MOST), end):
            value = best[begin] + PHRASE_LONG * long - cost[end - begin]
            if value > best[end]:
                best[end], back[end] = value, begin
    place, end = np.zeros(n), n
    while end > 0:
        begin = back[end]
        for k in range(begin, end):
            place[k] = (k - begin) / max(end - begin - 1, 1)
        end = begin
    return place


def features_at(index: Index, segment: int, number: int) -> Floats:
    """Return the features of a voice of an index segment."""
    here = index.segments[segment]
    part = slice(int(here.voice_start[number]), int(here.voice_start[number + 1]))
    return line_features(here.pitch[part], here.step[part])

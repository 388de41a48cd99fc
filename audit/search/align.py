"""Local alignment of two voices, scored in bits of shared surprise.

At a fixed transposition and tempo ratio, two notes are *equal* when their pitches are. An equal pair earns the
surprise of the query's note; when it also keeps time with the pair before it, the surprise of its rhythm on top. A
substituted note and every gap cost bits. What remains of the best path is the information that two passages share
beyond style (docs/design/search.md).

Departure from Smith and Waterman (J. Molecular Biology 147, 1981) with affine gaps (Gotoh, J. Molecular Biology
162, 1982): each state also carries the time offset of its last pair, so that rhythm can be compared across gaps.
The path found is then not proven to be the optimal one; its score is exact for the path that is reported.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SUBSTITUTION = 5.0  # bits; a wrong note in an otherwise equal passage
NEAR, NEAR_SEMITONES = 3.0, 2  # the same for a neighbouring note, which keeps the contour
GAP_OPEN = 4.0
GAP_EXTEND = 1.5
RHYTHM_MISS = 3.0  # an equal note that comes early or late: 76 % of clean songs' best matches have some, copies few
OTHER_RHYTHM = 10.0  # bits; what a passage pays once for being compared by its pitches alone
TIME_TOLERANCE = 0.17  # of the inter-onset interval: below the 1/4 that turns a dotted rhythm into an even one
REENTRY_BITS = 3.0  # after a break an equal pitch may be luck in the key: it earns no more than log2 of a scale

MIN_PAIRS = 6  # notes; fewer are no passage

_START, _EQUAL, _OTHER, _SKIP_QUERY, _SKIP_PIECE = 0, 1, 2, 3, 4


class Alignment(NamedTuple):
    """A local alignment.

    Attributes
    ----------
    bits : float
        Score.
    pairs : int64 (k, 2)
        Equal notes: (position in the query voice, position in the piece voice), rising.
    in_time : bool (k,)
        Whether the pair keeps time with the pair before it.
    """

    bits: float
    pairs: NDArray[np.int64]
    in_time: NDArray[np.bool_]


@njit(cache=True, nogil=True)
def _fill(  # noqa: PLR0912, PLR0915
    q_pitch: Any, q_onset: Any, q_pitch_bits: Any, q_rhythm_bits: Any, p_pitch: Any, p_onset: Any,
    shift: int, ratio: float, low: int, width: int, late: float,
) -> Any:  # fmt: skip
    """Fill the band of diagonals low..low+width-1 (piece - query position); return the best score and its pairs."""
    n, m = len(q_pitch), len(p_pitch)
    equal = np.full((n, width), -1e9, np.float32)  # best score of a path that ends with an equal pair here
    other = np.full((n, width), -1e9, np.float32)  # ... with a substitution
    skip_q = np.full((n, width), -1e9, np.float32)  # ... with a query note that the piece lacks
    skip_p = np.full((n, width), -1e9, np.float32)
    offset = np.zeros((4, n, width), np.float32)  # time offset of the last pair on the path that ends in each state
    came = np.zeros((4, n, width), np.uint8)  # state before
    best, best_i, best_d = np.float32(0.0), -1, -1
    for i in range(n):
        for d in range(width):
            j = i + low + d
            if j < 0 or j >= m:
                continue
            here = q_onset[i] - ratio * p_onset[j]
            pitch_bits = q_pitch_bits[i]
            gap_q = q_onset[i] - q_onset[i - 1] if i else 0.0
            tolerance = TIME_TOLERANCE * max(gap_q, 0.05)
            if q_pitch[i] + shift == p_pitch[j]:
                score, state = np.float32(0.0), _START
                if i and j:  # all states before a pair lie on the same diagonal
                    a = equal[i - 1, d]
                    if a >= 0:
                        s = a + pitch_bits
                        s += q_rhythm_bits[i] if abs(here - offset[0, i - 1, d]) <= tolerance else -late
                        if s > score:
                            score, state = s, _EQUAL
                    again = min(pitch_bits, REENTRY_BITS)
                    b = other[i - 1, d]
                    if b > 0:
                        s = b + again
                        s += q_rhythm_bits[i] if abs(here - offset[1, i - 1, d]) <= tolerance else -late
                        if s > score:
                            score, state = s, _OTHER
                    b = skip_q[i - 1, d]
                    if b > 0:
                        s = b + again
                        s += q_rhythm_bits[i] if abs(here - offset[2, i - 1, d]) <= tolerance else -late
                        if s > score:
                            score, state = s, _SKIP_QUERY
                    b = skip_p[i - 1, d]
                    if b > 0:
                        s = b + again
                        s += q_rhythm_bits[i] if abs(here - offset[3, i - 1, d]) <= tolerance else -late
                        if s > score:
                            score, state = s, _SKIP_PIECE
                equal[i, d] = score
                came[0, i, d] = state
                offset[0, i, d] = here
                if score > best:
                    best, best_i, best_d = score, i, d
            elif i and j:
                a, state = equal[i - 1, d], _EQUAL
                for k in range(3):
                    b = other[i - 1, d] if k == 0 else (skip_q[i - 1, d] if k == 1 else skip_p[i - 1, d])
                    if b > a:
                        a, state = b, _OTHER + k
                cost = NEAR if abs(q_pitch[i] + shift - p_pitch[j]) <= NEAR_SEMITONES else SUBSTITUTION
                if a > cost:
                    other[i, d] = a - cost
                    came[1, i, d] = state
                    # A substitute that comes on time keeps the clock; else the last equal pair does.
                    last = offset[state - 1, i - 1, d]
                    offset[1, i, d] = here if abs(here - last) <= tolerance else last
            if i and d + 1 < width:  # skip query note i: from (i-1, j), one diagonal up
                a, state = equal[i - 1, d + 1] - GAP_OPEN, _EQUAL
                b = other[i - 1, d + 1] - GAP_OPEN
                if b > a:
                    a, state = b, _OTHER
                b = skip_q[i - 1, d + 1] - GAP_EXTEND
                if b > a:
                    a, state = b, _SKIP_QUERY
                if a > 0:
                    skip_q[i, d] = a
                    came[2, i, d] = state
                    offset[2, i, d] = offset[state - 1, i - 1, d + 1]
            if d > 0:  # skip piece note j: from (i, j-1)
                a, state = equal[i, d - 1] - GAP_OPEN, _EQUAL
                b = other[i, d - 1] - GAP_OPEN
                if b > a:
                    a, state = b, _OTHER
                b = skip_p[i, d - 1] - GAP_EXTEND
                if b > a:
                    a, state = b, _SKIP_PIECE
                if a > 0:
                    skip_p[i, d] = a
                    came[3, i, d] = state
                    offset[3, i, d] = offset[state - 1, i, d - 1]
    # Walk back from the best cell.
    pairs = np.empty((n, 2), np.int64)
    clock = np.empty(n, np.bool_)
    count, i, d, state = 0, best_i, best_d, _EQUAL
    while i >= 0 and state != _START:
        before = came[state - 1, i, d]
        if state == _EQUAL:
            pairs[count, 0], pairs[count, 1] = i, i + low + d
            clock[count] = True
            if before != _START:
                gap_q = q_onset[i] - q_onset[i - 1]
                here = q_onset[i] - ratio * p_onset[i + low + d]
                clock[count] = abs(here - offset[before - 1, i - 1, d]) <= TIME_TOLERANCE * max(gap_q, 0.05)
            count += 1
            i -= 1
        elif state == _OTHER:
            i -= 1
        elif state == _SKIP_QUERY:
            i, d = i - 1, d + 1
        else:
            d -= 1
        state = before
    return best, pairs[:count][::-1].copy(), clock[:count][::-1].copy()


@njit(cache=True, nogil=True)
def _align_at_ratio(
    q_pitch: Any, q_onset: Any, q_pitch_bits: Any, q_rhythm_bits: Any, p_pitch: Any, p_onset: Any,
    shift: int, ratio: float, low: int, width: int, promised: float,
) -> Any:  # fmt: skip
    """Fill the band; again at the tempo of the pairs, and without rhythm where that is `promised` to be better."""
    query = (q_pitch, q_onset, q_pitch_bits, q_rhythm_bits)
    bits, pairs, in_time = _fill(*query, p_pitch, p_onset, shift, ratio, low, width, RHYTHM_MISS)
    if len(pairs) >= MIN_PAIRS:
        between = np.empty(len(pairs) - 1, np.float64)  # the median is not moved by a few ornaments
        for k in range(len(between)):
            there = p_onset[pairs[k + 1, 1]] - p_onset[pairs[k, 1]]
            between[k] = (q_onset[pairs[k + 1, 0]] - q_onset[pairs[k, 0]]) / max(there, 1e-3)
        refined = np.median(between)
        if abs(np.log2(refined / ratio)) > 0.02:
            again, other, clock = _fill(*query, p_pitch, p_onset, shift, refined, low, width, RHYTHM_MISS)
            if again > bits:
                bits, pairs, in_time, ratio = again, other, clock, refined
    if promised > bits + OTHER_RHYTHM:
        untimed = np.zeros_like(q_rhythm_bits)
        free, other, clock = _fill(
            q_pitch, q_onset, q_pitch_bits, untimed, p_pitch, p_onset, shift, ratio, low, width, 0.0
        )
        if free - OTHER_RHYTHM > bits:
            bits, pairs, in_time = np.float32(free - OTHER_RHYTHM), other, clock
    return bits, pairs, in_time, ratio


def align_at_ratio(
    query: Any, piece: Any, shift: int, ratio: float, low: int, high: int, promised: float = 0.0
) -> tuple[Alignment, float]:
    """Align as `align` does, at `ratio` or at the tempo that the pairs found there say; return that ratio, too.

    Parameters
    ----------
    query, piece, shift, ratio, low, high
        As for `align`.
    promised : float
        Bits that the figures alone, which have no rhythm, promise. Where they promise much more than is found in time,
        the pitches are aligned without the rhythm: a tune may be copied in another metre.
    """
    find: Any = _align_at_ratio
    bits, pairs, in_time, ratio = find(*query, *piece, shift, ratio, low, high - low + 1, promised)
    return Alignment(float(bits), pairs, in_time), float(ratio)


def align(
    query: Any, piece: Any, shift: int, ratio: float, low: int, high: int, late: float = RHYTHM_MISS
) -> Alignment:
    """Find the best local alignment in a band of diagonals.

    Parameters
    ----------
    query : tuple
        pitch int16 (n,), onset float32 (n,) in quarters, pitch bits float32 (n,), rhythm bits float32 (n,).
    piece : tuple
        pitch int16 (m,), onset float32 (m,).
    shift : int
        Semitones from the query up to the piece.
    ratio : float
        Query duration / piece duration.
    low, high : int
        Diagonals (piece position - query position) to look at, inclusive.
    late : float
        Bits that an equal note out of time costs.
    """
    fill: Any = _fill
    bits, pairs, in_time = fill(*query, *piece, shift, ratio, low, high - low + 1, late)
    return Alignment(float(bits), pairs, in_time)

"""Levenshtein similarity of two melodies, whole and in the best window.

Insertions, deletions and substitutions of one token cost 1. The whole-melody figure misses a borrowed phrase;
the window finds it: the most alike passage of the reference for any `length` tokens in a row of the
candidate. Neither says anything about style (Bach against pop scores higher than pop against pop).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.tokens import MetricError

WINDOW_TOKENS = 16
MAX_WINDOW = 62  # one machine word holds a column of the alignment


@dataclass(frozen=True, slots=True)
class Window:
    """The best window: similarity 0..1, where it starts in the candidate, where it ends in the reference.

    Attributes
    ----------
    similarity : float
        1 - edits / `length`.
    candidate_start : int
        First token of the window; it has `length` tokens.
    reference_end : int
        One past the last token of the passage; the passage may be longer or shorter than the window.
    length : int
    """

    similarity: float
    candidate_start: int
    reference_end: int
    length: int


def edit_similarity(reference: Sequence[Hashable], candidate: Sequence[Hashable]) -> float:
    """1 - distance / longer length, in 0..1; symmetric; 1 only for equal sequences.

    Raises
    ------
    MetricError
        When both are empty.
    """
    import Levenshtein

    longer = max(len(reference), len(candidate))
    if not longer:
        raise MetricError("both sequences are empty; their similarity is not defined")
    return 1.0 - Levenshtein.distance(list(reference), list(candidate)) / longer


def best_window(reference: Sequence[Hashable], candidate: Sequence[Hashable], length: int = WINDOW_TOKENS) -> Window:
    """Find the `length` tokens of the candidate that some passage of the reference resembles most.

    For every window w of the candidate, d(w) is the least edit distance to any substring of the reference
    (Sellers 1980); the result is the window of least d, the first of equals. A candidate shorter than
    `length` is one window. Computed with the bit vectors of Myers (JACM 46, 1999), all windows at a time.

    Raises
    ------
    MetricError
        When either is empty or `length` is not in 1..62.
    """
    length = min(length, len(candidate))
    if not len(reference) or not 1 <= length <= MAX_WINDOW:
        raise MetricError(
            f"reference of {len(reference)}, candidate of {len(candidate)} tokens, window of {length}; "
            f"both need a token, the window 1..{MAX_WINDOW}"
        )
    numbers: dict[Hashable, int] = {}
    theirs = [numbers.setdefault(token, len(numbers)) for token in reference]
    ours = np.array([numbers.get(token, -1) for token in candidate])
    windows = np.lib.stride_tricks.sliding_window_view(ours, length)
    bits = 1 << np.arange(length, dtype=np.int64)
    equal = {number: (windows == number) @ bits for number in set(theirs)}  # bit i: token i of the window
    up = np.full(len(windows), -1, np.int64)  # vertical differences +1 and -1; bits from `length` on are idle
    down = np.zeros(len(windows), np.int64)
    score = np.full(len(windows), length, np.int64)
    best, best_end = score.copy(), np.zeros(len(windows), np.int64)
    for end, number in enumerate(theirs, start=1):
        match = equal[number]
        diagonal = (((match & up) + up) ^ up) | match | down
        rise = down | ~(diagonal | up)
        fall = up & diagonal
        score += (rise >> (length - 1)) & 1
        score -= (fall >> (length - 1)) & 1
        rise <<= 1  # no 1 is shifted in: a passage may begin anywhere
        fall <<= 1
        up = fall | ~(diagonal | rise)
        down = rise & diagonal
        better = score < best
        if better.any():
            best[better], best_end[better] = score[better], end
    at = int(np.argmin(best))
    return Window(1.0 - int(best[at]) / length, at, int(best_end[at]), length)

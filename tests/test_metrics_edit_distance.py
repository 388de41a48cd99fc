"""Edit similarity against rapidfuzz, the best window against the textbook alignment."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from metrics.edit_distance import best_window, edit_similarity
from metrics.tokens import MetricError

LINE = st.lists(st.integers(0, 4), max_size=40)


@given(LINE, LINE)
def test_agrees_with_rapidfuzz(reference: list[int], candidate: list[int]) -> None:
    if reference or candidate:
        oracle = Levenshtein.normalized_similarity(reference, candidate)
        assert edit_similarity(reference, candidate) == pytest.approx(oracle)
        assert edit_similarity(reference, candidate) == edit_similarity(candidate, reference)


def test_by_hand() -> None:
    assert edit_similarity([(2, 4), (0, 4), (1, 2)], [(2, 4), (1, 2)]) == pytest.approx(2 / 3)
    assert edit_similarity([1], [1]) == 1.0
    assert edit_similarity([1, 2], []) == 0.0


def sellers(reference: list[int], candidate: list[int], length: int) -> tuple[int, int, int]:
    """Find (edits, window start, passage end) by the plain recurrence."""
    best = (length + 1, 0, 0)
    for start in range(len(candidate) - length + 1):
        window = candidate[start : start + length]
        column = list(range(length + 1))
        least = (length, 0)
        for end, token in enumerate(reference, start=1):
            following = [0]
            for k, mine in enumerate(window, start=1):
                following.append(min(column[k - 1] + (mine != token), column[k] + 1, following[k - 1] + 1))
            column = following
            if column[length] < least[0]:
                least = (column[length], end)
        if least[0] < best[0]:
            best = (least[0], start, least[1])
    return best


@pytest.mark.parametrize("seed", range(60))
def test_window_agrees_with_the_plain_recurrence(seed: int) -> None:
    rng = random.Random(seed)
    reference = [rng.randrange(4) for _ in range(rng.randrange(1, 40))]
    candidate = [rng.randrange(5) for _ in range(rng.randrange(1, 40))]
    length = min(rng.choice([1, 3, 8, 16, 62]), len(candidate))
    edits, start, end = sellers(reference, candidate, length)
    found = best_window(reference, candidate, length)
    assert found.similarity == pytest.approx(1 - edits / length)
    assert (found.candidate_start, found.reference_end, found.length) == (start, end, length)


def test_window_finds_a_planted_phrase() -> None:
    rng = random.Random(1)
    reference = [rng.randrange(50) for _ in range(300)]
    candidate = [rng.randrange(50, 99) for _ in range(300)]
    candidate[120:140] = reference[200:220]
    found = best_window(reference, candidate)
    assert (found.similarity, found.candidate_start, found.reference_end) == (1.0, 120, 216)
    del candidate[128]  # one note left out: the window takes the notes on both sides of the gap
    assert best_window(reference, candidate).similarity == pytest.approx(1 - 1 / 16)


def test_undefined_cases() -> None:
    with pytest.raises(MetricError, match="both sequences are empty"):
        edit_similarity([], [])
    with pytest.raises(MetricError, match="candidate of 0 tokens"):
        best_window([1], [])
    with pytest.raises(MetricError, match=r"window of 63"):
        best_window([1], list(range(80)), 63)

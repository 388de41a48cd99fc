import math
from collections import Counter

import numpy as np
import pytest

from generator.data.ngram import NGram
from generator.data.vocabulary import PAD, VOCABULARY


def witten_bell(training: list[list[int]], order: int, history: list[int], word: int) -> float:
    """Count by dictionary, straight from the formula."""
    chance = 1 / len(VOCABULARY)
    for k in range(order):
        seen: Counter[int] = Counter()
        for line in training:
            padded = [PAD] * order + line
            for i in range(order + 1, len(padded)):
                if padded[i - k : i] == ([PAD] * order + history)[order + len(history) - k :]:
                    seen[padded[i]] += 1
        if seen:
            chance = (seen[word] + len(seen) * chance) / (seen.total() + len(seen))
    return chance


def test_two_tokens_worked_out_by_hand() -> None:
    # After the given 1: 2, 2, 3. Unigrams: c(2) = 2, c(3) = 1, N = 2, total 3.
    model = NGram([np.array([1, 2, 2, 3])], order=1)
    v = 1 / len(VOCABULARY)
    expected = [-math.log((2 + 2 * v) / 5), -math.log((1 + 2 * v) / 5), -math.log((0 + 2 * v) / 5)]
    np.testing.assert_allclose(model.nats([np.array([1, 2, 3, 4])])[0], expected)


def test_agrees_with_counting_by_dictionary() -> None:
    random = np.random.default_rng(5)
    training = [random.integers(1, 5, size=30).tolist() for _ in range(3)]
    tested = [random.integers(1, 6, size=12).tolist() for _ in range(2)]
    nats = NGram([np.array(t) for t in training], order=4).nats([np.array(t) for t in tested])
    expected = [
        [-math.log(witten_bell(training, order, t[:i], t[i])) for t in tested for i in range(1, len(t))]
        for order in (1, 2, 3, 4)
    ]
    np.testing.assert_allclose(nats, expected)


@pytest.mark.parametrize("history", [[1], [1, 2], [1, 2, 2], [1, 4, 4]])
def test_chances_sum_to_one(history: list[int]) -> None:
    model = NGram([np.array([1, 2, 2, 3, 2, 2, 3])], order=3)
    last = [model.nats([np.array([*history, w])])[:, -1] for w in range(len(VOCABULARY))]
    np.testing.assert_allclose(np.exp(-np.array(last)).sum(axis=0), 1.0)

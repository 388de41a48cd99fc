"""A count model over tokens, the baseline that a trained network has to beat.

Interpolated n-grams with Witten-Bell smoothing (Bell, Cleary and Witten 1990)::

    p_0(w) = 1 / V
    p_k(w | h) = (c(h w) + N(h) p_{k-1}(w | h')) / (c(h) + N(h))

where h is the k - 1 tokens before w, h' is h without its oldest token, c counts and N(h) is the number of
different tokens seen after h. Contexts are kept as 64-bit hashes; a clash has a chance of about
n^2 / 2^65, 5e-7 for four million tokens, and could only change a count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generator.data.vocabulary import PAD, VOCABULARY

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
HashArray = NDArray[np.uint64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def _contexts(sequences: Sequence[IntArray], longest: int) -> list[HashArray]:
    """Return for k = 0 .. `longest` a hash of the k tokens before each token but the first of each sequence.

    Before a sequence begins there are ``PAD`` tokens.
    """
    padding = np.full(longest, PAD, dtype=np.int64)
    line = np.concatenate([np.concatenate([padding, s[:-1]]) for s in sequences]).astype(np.uint64)
    real = np.concatenate([np.arange(longest + len(s) - 1) >= longest for s in sequences])
    running = np.zeros(len(line), dtype=np.uint64)
    hashes = [running[real]]
    for back in range(longest):
        running = (running ^ (np.roll(line, back) + np.uint64(1))) * _FACTOR
        running ^= running >> np.uint64(29)
        hashes.append(running[real])
    return hashes


class NGram:
    """Counts of all n-grams up to `order` of the sequences it is made from.

    Parameters
    ----------
    sequences : sequence of int64 arrays
        The first token of each is given, never predicted.
    order : int
        Longest n-gram, >= 1.
    vocabulary : int
        Number of different tokens, V.
    """

    def __init__(self, sequences: Sequence[IntArray], order: int, vocabulary: int = len(VOCABULARY)) -> None:
        """Count."""
        self.order = order
        self.vocabulary = vocabulary
        contexts = _contexts(sequences, order - 1)
        words = np.concatenate([s[1:] for s in sequences]).astype(np.uint64)
        self._pairs: list[tuple[HashArray, IntArray]] = []
        self._histories: list[tuple[HashArray, IntArray, IntArray]] = []
        for context in contexts:
            pairs, first, counts = np.unique(_join(context, words), return_index=True, return_counts=True)
            histories, which = np.unique(context[first], return_inverse=True)
            totals = np.bincount(which, weights=counts).astype(np.int64)
            self._pairs.append((pairs, counts))
            self._histories.append((histories, totals, np.bincount(which)))

    def nats(self, sequences: Sequence[IntArray]) -> FloatArray:
        """Negative log likelihood in nats, (order, tokens): row k - 1 for the model of n-grams up to k."""
        contexts = _contexts(sequences, self.order - 1)
        words = np.concatenate([s[1:] for s in sequences]).astype(np.uint64)
        chance = np.full(len(words), 1.0 / self.vocabulary)
        rows = []
        for context, (pairs, counts), (histories, totals, types) in zip(
            contexts, self._pairs, self._histories, strict=True
        ):
            count = _look_up(pairs, counts, _join(context, words))
            total = _look_up(histories, totals, context)
            kinds = _look_up(histories, types, context)
            chance = np.where(total > 0, (count + kinds * chance) / np.maximum(total + kinds, 1), chance)
            rows.append(-np.log(chance))
        return np.stack(rows)


def _join(context: HashArray, word: HashArray) -> HashArray:
    mixed = (context ^ ((word + np.uint64(1)) * _FACTOR)) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def _look_up(keys: HashArray, values: IntArray, wanted: HashArray) -> IntArray:
    i = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[i] == wanted, values[i], 0)

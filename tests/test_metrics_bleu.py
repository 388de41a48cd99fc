"""BLEU against hand-worked cases and against sacrebleu."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from metrics.bleu import bleu, corpus_bleu, nearest_bleu, self_bleu
from metrics.tokens import MetricError, Token, melody_tokens, tokens
from music.notes import Part, Tempo, build

A: list[Token] = [(2, 4), (2, 4), (-4, 8), (5, 4), (0, 4), (-1, 2), (-2, 2), (3, 16)]


def random_tokens(seed: int, n: int) -> list[Token]:
    rng = np.random.default_rng(seed)
    return list(zip(rng.integers(-2, 3, n).tolist(), rng.choice([2, 4], n).tolist(), strict=True))


def words(line: list[Token]) -> str:
    return " ".join(f"t{a}_{b}".replace("-", "m") for a, b in line)


def test_tokens_by_hand() -> None:
    line = build([0, 1, 1.5, 4.0, 12.0], [1] * 5, [60, 64, 64, 59, 71])
    assert tokens(line) == [(4, 4), (0, 2), (-5, 10), (12, 16)]
    assert tokens(build([0], [1], [60])) == []
    assert tokens(build([], [], [])) == []


def test_tokens_ignore_key_and_tempo() -> None:
    rng = np.random.default_rng(0)
    line = build(np.arange(30), np.full(30, 0.9), rng.integers(50, 70, 30), parts=(Part("melody"),))
    faster = build(line.onset_beat, line.duration_beat, line.pitch + 5, tempos=[Tempo(0, 200)])
    assert melody_tokens(line) == melody_tokens(faster)
    assert len(melody_tokens(line)) == 29


def test_identity_is_one() -> None:
    assert bleu([A], A) == pytest.approx(1.0)


def test_by_hand() -> None:
    # reference abcde, candidate abcx: matches 3/4, 2/3, 1/2 and 0.1/1 (method1); it is shorter: exp(1 - 5/4)
    a, b, c, d, e, x = ((i, 4) for i in range(6))
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 0.1) ** 0.25 * math.exp(1 - 5 / 4)
    assert bleu([[a, b, c, d, e]], [a, b, c, x]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_sacrebleu(seed: int) -> None:
    references = [random_tokens(100 + seed, 60), random_tokens(200 + seed, 45)]
    candidate = references[0][5:30] + random_tokens(300 + seed, 20)
    # smoothing touches only orders without a match; this candidate has matches in all
    oracle = BLEU(tokenize="none", smooth_method="none").corpus_score(
        [words(candidate)], [[words(r)] for r in references]
    )
    assert bleu(references, candidate) == pytest.approx(oracle.score / 100, abs=1e-9)


def test_corpus_agrees_with_sacrebleu() -> None:
    references = [random_tokens(i, 40) for i in range(6)]
    candidates = [r[:20] + random_tokens(50 + i, 15) for i, r in enumerate(references)]
    oracle = BLEU(tokenize="none", smooth_method="none").corpus_score(
        [words(c) for c in candidates], [[words(r) for r in references]]
    )
    assert corpus_bleu([[r] for r in references], candidates) == pytest.approx(oracle.score / 100, abs=1e-9)


def test_nearest_names_the_piece() -> None:
    references = [random_tokens(1, 50), [], random_tokens(2, 50), random_tokens(2, 50)]
    value, index = nearest_bleu(references, references[2])
    assert value == pytest.approx(1.0)
    assert index == 2


def test_self_bleu_is_one_for_copies_and_low_for_strangers() -> None:
    assert self_bleu([A, A, A]) == pytest.approx(1.0)
    assert self_bleu([[(i, 4)] * 8 for i in range(4)]) < 0.05


def test_undefined_cases() -> None:
    with pytest.raises(MetricError, match="candidate of 3 tokens"):
        bleu([A], A[:3])
    with pytest.raises(MetricError, match="longest reference of 0"):
        bleu([], A)
    with pytest.raises(MetricError, match="none of 1 references"):
        nearest_bleu([A[:2]], A)
    with pytest.raises(MetricError, match="at least two"):
        self_bleu([A])
    with pytest.raises(MetricError, match="0 sets of references for 1 candidates"):
        corpus_bleu([], [A])

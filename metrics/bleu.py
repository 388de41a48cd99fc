"""BLEU on melody tokens: which share of the candidate's short figures the references hold.

Papineni et al., ACL 2002; n-grams of 1 to 4 tokens with equal weights, brevity penalty against the reference
of the nearest length; computed by nltk with its smoothing ``method1`` (Chen and Cherry, WMT 2014: an n-gram
order without a match counts 0.1 instead of 0, so that a short track is not 0 at once). Without smoothing most
unrelated pairs are exactly 0; nltk's ``method7`` exceeds 1 for identical input, so it is not offered.

All values are in 0..1. References come before the candidate. BLEU of a track against a whole corpus rises
with the size of the corpus; `nearest_bleu`, against one piece at a time, is the one to read for copies.
"""

from __future__ import annotations

from collections.abc import Sequence

from messages import message
from metrics.tokens import MetricError, Token

MAX_ORDER = 4


def bleu(references: Sequence[Sequence[Token]], candidate: Sequence[Token]) -> float:
    """BLEU-4 of one candidate; an n-gram counts when any of the references holds it.

    Raises
    ------
    MetricError
        When there is no reference, or the candidate or every reference has fewer than 4 tokens.
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if len(candidate) < MAX_ORDER or max((len(r) for r in references), default=0) < MAX_ORDER:
        longest = max((len(r) for r in references), default=0)
        raise MetricError(
            message(
                "candidate of {candidate:d} tokens, longest reference of {longest:d}; BLEU needs {least:d}",
                candidate=len(candidate),
                longest=longest,
                least=MAX_ORDER,
            )
        )
    value = sentence_bleu(list(references), list(candidate), smoothing_function=SmoothingFunction().method1)
    return float(value)


def corpus_bleu(references: Sequence[Sequence[Sequence[Token]]], candidates: Sequence[Sequence[Token]]) -> float:
    """BLEU-4 of a set: counts are summed over all candidates before precisions are taken.

    Parameters
    ----------
    references : for each candidate its references
    candidates : at least one

    Raises
    ------
    MetricError
        When the two differ in length or are empty, or a candidate has no reference.
    """
    from nltk.translate.bleu_score import SmoothingFunction
    from nltk.translate.bleu_score import corpus_bleu as nltk_corpus_bleu

    if not candidates or len(references) != len(candidates) or not all(references):
        raise MetricError(f"{len(references)} sets of references for {len(candidates)} candidates; one each, not empty")
    value = nltk_corpus_bleu(
        [list(r) for r in references], list(candidates), smoothing_function=SmoothingFunction().method1
    )
    return float(value)


def nearest_bleu(references: Sequence[Sequence[Token]], candidate: Sequence[Token]) -> tuple[float, int]:
    """Highest BLEU-4 that any single reference gives, and that reference's index; ties go to the first.

    References of fewer than 4 tokens are left out.

    Raises
    ------
    MetricError
        As `bleu`.
    """
    fit = [i for i, reference in enumerate(references) if len(reference) >= MAX_ORDER]
    if not fit:
        raise MetricError(f"none of {len(references)} references has {MAX_ORDER} tokens")
    value, index = max((bleu([references[i]], candidate), -i) for i in fit)
    return value, -index


def self_bleu(candidates: Sequence[Sequence[Token]]) -> float:
    """Mean BLEU-4 of each candidate against all others (Zhu et al., SIGIR 2018): 1 when all are alike.

    Raises
    ------
    MetricError
        When there are fewer than two candidates, or as `bleu`.
    """
    if len(candidates) < 2:
        raise MetricError(f"{len(candidates)} candidate(s); self-BLEU compares at least two")
    values = [bleu([*candidates[:i], *candidates[i + 1 :]], c) for i, c in enumerate(candidates)]
    return sum(values) / len(values)

"""How far two pieces agree in their chords.

A chord here is (root, triad): sevenths are folded into their triads, so that thin and thick arrangements of
one harmony agree. *Absolute* compares the roots as they sound; *relative* compares them as degrees of each
piece's own key (the tonic that `music.key` estimates), so that transposition does not matter. Two pieces are
compared

- by aligned time: beat for beat from the first chord on, F1 of the beats on which both have the same chord;
- by order: longest common subsequence (LCS) of the two sequences of chord changes, as an F1 score.

Unrelated songs of one style share a third of their chords, as there are few of them: read the values beside
their chance level. `weighted_scores` is for annotations, and uses mir_eval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from messages import message
from metrics.tokens import MetricError
from music.chords import ROOT_NAMES, ChordSpan

Chord = tuple[int, str]

MIR_EVAL_NAMES = ("root", "thirds", "triads", "majmin", "sevenths", "mirex")


def tonic(key: str) -> int | None:
    """Pitch class of a key's tonic ("Eb minor" -> 3); None for "" (no key).

    Raises
    ------
    MetricError
        When the name is not one of `music.chords.ROOT_NAMES` and a mode.
    """
    if not key:
        return None
    name = key.partition(" ")[0]
    if name not in ROOT_NAMES:
        raise MetricError(f"key {key!r}: a key begins with one of {', '.join(ROOT_NAMES)}")
    return ROOT_NAMES.index(name)


def chord_f1_time(
    reference: Sequence[ChordSpan], candidate: Sequence[ChordSpan], reference_tonic: int = 0, candidate_tonic: int = 0
) -> float:
    """F1 of the beats on which both have the same chord, both counted from their first chord on.

    ``2 * agreeing / (reference + candidate)`` beats with a chord, in 0..1. Give both tonics (pitch classes)
    for the key-relative score, neither for the absolute one.

    Raises
    ------
    MetricError
        When either has no chord.
    """
    columns = []
    for spans, key in ((reference, reference_tonic), (candidate, candidate_tonic)):
        named = _name_spans(spans)
        origin = named[0].start_beat
        columns.append(
            (
                np.array([s.start_beat - origin for s in named]),
                np.array([s.end_beat - origin for s in named]),
                [_chord(s, key) for s in named],
            )
        )
    (start_r, end_r, chords_r), (start_c, end_c, chords_c) = columns
    agreeing = 0.0
    for chord in set(chords_r) & set(chords_c):
        r = [i for i, other in enumerate(chords_r) if other == chord]
        c = [i for i, other in enumerate(chords_c) if other == chord]
        together = np.minimum.outer(end_r[r], end_c[c]) - np.maximum.outer(start_r[r], start_c[c])
        agreeing += float(np.maximum(together, 0.0).sum())
    return 2.0 * agreeing / float((end_r - start_r).sum() + (end_c - start_c).sum())


def chord_f1_lcs(
    reference: Sequence[ChordSpan], candidate: Sequence[ChordSpan], reference_tonic: int = 0, candidate_tonic: int = 0
) -> float:
    """F1 of the longest common subsequence of chord changes: ``2 * LCS / (n + m)``, in 0..1.

    A chord that is repeated, or that comes back after silence, is one change. Tonics as in `chord_f1_time`.

    Raises
    ------
    MetricError
        When either has no chord.
    """
    ours = _changes([_chord(s, reference_tonic) for s in _name_spans(reference)])
    theirs = _changes([_chord(s, candidate_tonic) for s in _name_spans(candidate)])
    return 2.0 * lcs_length(ours, theirs) / (len(ours) + len(theirs))


def lcs_length(reference: Sequence[Chord], candidate: Sequence[Chord]) -> int:
    """Length of the longest common subsequence, by the bit-vector method of Hyyrö (2004)."""
    where: dict[Chord, int] = {}
    for i, item in enumerate(reference):
        where[item] = where.get(item, 0) | 1 << i
    full = (1 << len(reference)) - 1
    row = full  # a 0 bit marks where the length grows
    for item in candidate:
        match = row & where.get(item, 0)
        row = (row + match | row - match) & full
    return len(reference) - row.bit_count()


def weighted_scores(reference: Sequence[tuple[float, float, str]], candidate: Sequence[ChordSpan]) -> dict[str, float]:
    """Duration-weighted scores of mir_eval.chord against an annotation: weighted recall in 0..1, no F1.

    Parameters
    ----------
    reference : sequence of (start_s, end_s, label)
        The annotation, labels in Harte syntax.
    candidate : sequence of ChordSpan

    Returns
    -------
    dict
        `MIR_EVAL_NAMES` to their scores.

    Raises
    ------
    MetricError
        When either is empty or a label or an interval of the annotation is not valid.
    """
    import mir_eval

    if not reference or not candidate:
        raise MetricError(f"{len(reference)} annotated and {len(candidate)} found chords; both need at least one")
    try:
        scores = mir_eval.chord.evaluate(
            np.array([[start, end] for start, end, _ in reference]),
            [label for _, _, label in reference],
            np.array([[s.start_s, s.end_s] for s in candidate]),
            [s.label for s in candidate],
        )
    except (mir_eval.chord.InvalidChordException, ValueError) as error:
        raise MetricError(f"the annotation cannot be used: {error}") from error
    return {name: float(scores[name]) for name in MIR_EVAL_NAMES}


def _name_spans(spans: Sequence[ChordSpan]) -> list[ChordSpan]:
    named = [s for s in spans if s.root is not None]
    if not named:
        raise MetricError(
            message("none of {count:d} spans has a chord; chord scores are not defined", count=len(spans))
        )
    return named


def _chord(span: ChordSpan, key: int) -> Chord:
    return ((span.root or 0) - key) % 12, span.triad


def _changes(chords: list[Chord]) -> list[Chord]:
    return [c for i, c in enumerate(chords) if not i or c != chords[i - 1]]

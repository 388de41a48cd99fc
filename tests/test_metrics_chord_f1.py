"""Chord agreement by hand, and the weighted scores against mir_eval itself."""

from __future__ import annotations

from collections.abc import Callable

import mir_eval
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.chord_f1 import chord_f1_lcs, chord_f1_time, lcs_length, tonic, weighted_scores
from metrics.tokens import MetricError
from music.chords import ROOT_NAMES, ChordSpan


def spans(*chords: tuple[float, str], start: float = 0.0, tempo: float = 0.5) -> list[ChordSpan]:
    """(beats, "C:maj" or "N") one after the other."""
    made, at = [], start
    for beats, label in chords:
        name, _, quality = label.partition(":")
        root = None if label == "N" else ROOT_NAMES.index(name)
        made.append(ChordSpan(at * tempo, (at + beats) * tempo, at, at + beats, root, quality))
        at += beats
    return made


REFERENCE = spans((4, "C:maj"), (4, "F:maj"), (4, "G:7"), (4, "C:maj"))


def test_time_by_hand() -> None:
    # beats 0-4 C and 4-6 F agree, 6-8 differ, 8-12 G agrees (seventh folded): 10 of 16 and of 12
    candidate = spans((4, "C:maj"), (2, "F:maj"), (2, "D:min"), (4, "G:maj"))
    assert chord_f1_time(REFERENCE, candidate) == pytest.approx(2 * 10 / (16 + 12))


def test_lcs_by_hand() -> None:
    # C F G C and C D F C: longest common subsequence C F C
    candidate = spans((1, "C:maj"), (1, "D:min"), (9, "F:maj"), (2, "C:maj7"))
    assert chord_f1_lcs(REFERENCE, candidate) == pytest.approx(2 * 3 / (4 + 4))


def test_repeats_and_rests_are_no_changes() -> None:
    candidate = spans((2, "C:maj"), (2, "C:maj7"), (1, "N"), (4, "C:maj"), (4, "F:maj"), (4, "G:maj"), (1, "C:maj"))
    assert chord_f1_lcs(REFERENCE, candidate) == 1.0


@pytest.mark.parametrize("score", [chord_f1_time, chord_f1_lcs])
def test_identity_symmetry_and_start(score: Callable[..., float]) -> None:
    assert score(REFERENCE, REFERENCE) == 1.0
    other = spans((3, "A:min"), (5, "F:maj"), (1, "E:7"))
    assert score(REFERENCE, other) == score(other, REFERENCE)
    late = spans((7, "N"), *[(s.end_beat - s.start_beat, s.label) for s in REFERENCE], tempo=0.3)
    assert score(REFERENCE, late) == 1.0


@pytest.mark.parametrize("score", [chord_f1_time, chord_f1_lcs])
@pytest.mark.parametrize("semitones", range(1, 12))
def test_relative_ignores_transposition(score: Callable[..., float], semitones: int) -> None:
    moved = [
        ChordSpan(s.start_s, s.end_s, s.start_beat, s.end_beat, ((s.root or 0) + semitones) % 12, s.quality)
        for s in REFERENCE
    ]
    assert score(REFERENCE, moved) < 1.0
    assert score(REFERENCE, moved, 0, semitones) == 1.0


def test_nothing_to_compare() -> None:
    with pytest.raises(MetricError, match="none of 1 spans has a chord"):
        chord_f1_time(REFERENCE, spans((4, "N")))
    with pytest.raises(MetricError, match="none of 0 spans has a chord"):
        chord_f1_lcs([], REFERENCE)


CHORDS = st.lists(st.tuples(st.integers(0, 3), st.just("maj")), max_size=30)


@given(CHORDS, CHORDS)
def test_lcs_agrees_with_the_table(a: list[tuple[int, str]], b: list[tuple[int, str]]) -> None:
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    assert lcs_length(a, b) == table[-1, -1]


def test_weighted_scores_agree_with_mir_eval() -> None:
    truth = [(0.0, 2.0, "C:maj"), (2.0, 4.0, "A:min7"), (4.0, 8.0, "G:7")]
    found = spans((4, "C:maj"), (4, "A:min"), (4, "G:maj"), (4, "C:maj"))
    scores = weighted_scores(truth, found)
    expected = mir_eval.chord.evaluate(
        np.array([t[:2] for t in truth]),
        [t[2] for t in truth],
        np.array([[s.start_s, s.end_s] for s in found]),
        [s.label for s in found],
    )
    assert scores == {name: expected[name] for name in scores}
    assert scores["root"] == pytest.approx(0.75)  # the last two of eight seconds are wrong
    assert scores["sevenths"] < scores["majmin"]


def test_weighted_scores_refuse_bad_annotations() -> None:
    with pytest.raises(MetricError, match="0 annotated"):
        weighted_scores([], REFERENCE)
    with pytest.raises(MetricError, match="annotation cannot be used"):
        weighted_scores([(0.0, 2.0, "H:major")], REFERENCE)


def test_tonic() -> None:
    assert (tonic("Eb minor"), tonic("C major"), tonic("")) == (3, 0, None)
    with pytest.raises(MetricError, match="key 'H dur'"):
        tonic("H dur")

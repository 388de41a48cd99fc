"""Figures in words: exact, and never stronger than the figure."""

import dataclasses
import math

import pytest

from audit.findings import Finding, MetricResult, StyleRange
from reports.language.translation import ENGLISH, languages
from reports.language.words import clean, is_beyond_chance

words = ENGLISH.words

FINDING = Finding(
    piece="a.mid",
    title="Air",
    artist="",
    split="train",
    rights={},
    id="0123456789abcdef",
    verdict="fail",
    query_span_s=(0.0, 4.0),
    piece_span_s=(0.0, 4.0),
    query_bars=(3, 6),
    piece_bars=(9, 12),
    transposition=-7,
    tempo_ratio=1.25,
    matched=14,
    notes=16,
    in_time=12,
    bits=50.0,
    evalue=1e-9,
    percentile=0.9,
)


def test_bars_are_named_as_they_are_printed() -> None:
    printed = dataclasses.replace(FINDING, query_printed=("2", "5"), piece_printed=("8", "X1"))
    assert words.finding_words(printed).startswith("Bars 2\u20135 of the track match bars 8\u2013X1 of")
    assert words.finding_words(FINDING).startswith("Bars 3\u20136 of the track match bars 9\u201312 of")
    assert (printed.first_bar, FINDING.first_bar) == (2, 3)
    assert dataclasses.replace(FINDING, query_printed=("X1", "2")).first_bar == 3


@pytest.mark.parametrize(
    ("evalue", "wanted"),
    [
        (2.5e-5, "About 1 in 40,000 searches of this size with unrelated music would find"),
        (1e-7, "About 1 in 10 million searches"),
        (0.1, "About 1 in 11 searches"),  # 1 / (1 - exp(-0.1)) = 10.5: not the 10 that 1/E would give
        (1e-30, "Fewer than 1 in a trillion searches"),
        (0.0, "Fewer than 1 in a trillion searches"),
        (1.2, "Chance alone is expected to give about 1 passage this strong"),
        (43.7, "Chance alone is expected to give about 44 passages this strong"),
        (math.nan, "could not be worked out"),
    ],
)
def test_evalue_in_words(evalue: float, wanted: str) -> None:
    assert wanted in words.evalue_words(evalue)


def test_odds_follow_the_probability_of_at_least_one_passage() -> None:
    for evalue in (0.9, 0.5, 0.02, 1e-4):
        said = float(words.evalue_words(evalue).split("1 in ")[1].split(" ")[0].replace(",", ""))
        assert said == pytest.approx(1 / (1 - math.exp(-evalue)), rel=0.05)


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.0, "0"), (0.419999, "41"), (0.9899, "98"), (0.9999999, "99.9"), (0.991, "99.1")]
)
def test_percentiles_are_never_rounded_up(share: float, wanted: str) -> None:
    assert words.percent(share) == f"{wanted}\u202f%"


def test_percentile_in_words() -> None:
    assert "98\u202f% of the 150 human pieces" in words.percentile_words(0.984, 150)
    assert words.percentile_words(0.0) == "Each of the human pieces sampled borrows as much or more from another work."


@pytest.mark.parametrize(
    ("semitones", "wanted"),
    [
        (0, "at the same pitch"),
        (1, "1 semitone higher"),
        (5, "5 semitones higher (perfect fourth)"),
        (-12, "12 semitones lower (1 octave)"),
        (19, "19 semitones higher (1 octave and perfect fifth)"),
    ],
)
def test_transposition_in_words(semitones: int, wanted: str) -> None:
    assert words.transposition_words(semitones) == wanted


def test_tempo_in_words() -> None:
    assert words.tempo_words(1.005) == "at the same tempo"
    assert words.tempo_words(0.5) == "at 2\u202f\u00d7 the speed"
    assert words.tempo_words(1.25) == "at 0.8\u202f\u00d7 the speed"
    assert "cannot" in words.tempo_words(math.nan)


def test_times_and_figures() -> None:
    assert words.clock(59.97) == "1:00.0"
    assert words.span((24.699, 40.08)) == "0:24.7\u20130:40.1"
    assert words.bars((7, 7)) == "bar 7"
    assert words.figure(1.1113e-37) == "1.11\u202f\u00d7\u202f10\u207b\u00b3\u2077"
    assert words.figure(1234567) == "1,230,000"
    assert words.figure(-0.25) == "\u22120.25"
    assert words.figure(0.0) == "0"


def test_finding_in_one_sentence() -> None:
    assert words.finding_words(FINDING) == (
        "Bars 3\u20136 of the track match bars 9\u201312 of \u201cAir\u201d: 14 of 16 notes agree in pitch, "
        "12 of them in the same rhythm; the track sounds 7 semitones lower (perfect fifth) and runs "
        "at 0.8\u202f\u00d7 the speed."
    )
    whole = dataclasses.replace(FINDING, matched=16, query_bars=(3, 3), artist="Bach")
    assert words.finding_words(whole).startswith(
        "Bar 3 of the track matches bars 9\u201312 of \u201cAir\u201d by Bach: all 16 notes agree"
    )


def test_metric_sides() -> None:
    high = MetricResult("bleu", "", 0.5, 0.1, 0.2, "higher", "a")
    low = MetricResult("phash", "", 30.0, 24.0, 18.0, "lower", "a")
    assert words.metric_words(high) == "more alike than chance"
    assert words.metric_words(low) == "within chance"
    assert words.metric_words(dataclasses.replace(low, value=10.0)) == "more alike than chance"
    assert words.metric_words(dataclasses.replace(low, chance_p95=math.nan)) == "not comparable"
    assert (is_beyond_chance(high), is_beyond_chance(low)) == (True, False)


@pytest.mark.parametrize(
    ("better", "value", "said"),
    [
        ("higher", 0.5, "nearer to"),
        ("higher", 0.1, "farther from"),
        ("lower", 0.1, "nearer to"),
        ("lower", 0.5, "farther from"),
        ("lower", 0.2, "as near to"),
        ("higher", math.nan, ""),
    ],
)
def test_metric_beside_human_pieces(better: str, value: float, said: str) -> None:
    metric = MetricResult("m", "", value, 0.1, 0.2, better, "a", style=StyleRange(0.2, 0.3, 0.4, 40))
    assert words.style_words(metric).startswith(said)
    assert {bool(say.words.style_words(metric)) for say in languages().values()} == {bool(said)}
    assert words.style_words(dataclasses.replace(metric, style=None)) == ""


def test_characters_that_no_page_may_hold_are_replaced() -> None:
    assert clean("a\x00b\x1b[31m\u202egnp.exe\ud800\nok\u00e9") == "a\ufffdb\ufffd[31m\ufffdgnp.exe\ufffd\nok\u00e9"

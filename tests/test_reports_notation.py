"""Notation of two passages: bars, ties, keys, kinds of notes; and the list of what differs."""

import dataclasses
import re
from typing import Any

import pytest

from audit.findings import Finding, PassageNote
from reports.drawings.differences import Difference, differences
from reports.drawings.notation import BARS, notation, together
from tests.cases.pages import finding

Line = list[tuple[float, float, int, int | None, bool]]


def voice(line: Line, start: float = 0.0) -> tuple[PassageNote, ...]:
    """Make notes of (beat, beats, pitch, pair, in time)."""
    return tuple(PassageNote(start + b / 2, d / 2, p, 0, pair, ok, True, b, d) for b, d, p, pair, ok in line)


def passage(track: Line, piece: Line, **changes: Any) -> Finding:
    made = finding(1, query_notes=voice(track), piece_notes=voice(piece), transposition=0, query_bars=(5, 6))
    return dataclasses.replace(made, **changes)


TRACK: Line = [
    (1, 1, 60, 0, True),
    (2, 1, 62, None, False),
    (3, 2, 64, 1, False),
    (5, 1, 65, None, False),
    (6, 2, 67, 2, True),
]
PIECE: Line = [
    (9, 1, 60, 0, True),
    (10, 1, 63, None, False),
    (11, 2, 64, 1, False),
    (14, 2, 67, 2, True),
    (15, 1, 60, None, False),
]


def test_both_voices_are_engraved_in_one_drawing() -> None:
    score = notation(passage(TRACK, PIECE), "C major")
    assert score is not None
    assert score.whole
    kinds = re.findall(r'class="m-(\w+)"', score.svg)
    assert (kinds.count("both"), kinds.count("pitch"), kinds.count("alone")) == (
        4,
        4,
        4,
    )  # the third note is held over the bar line
    used = set(re.findall(r'href="#(\w+)"', score.svg))
    assert used <= set(score.glyphs)
    assert not re.search(r"<style|style=| id=|<script|xlink", str(score.svg) + "".join(score.glyphs.values()))


def test_the_same_finding_gives_the_same_drawing() -> None:
    assert notation(passage(TRACK, PIECE), "Eb minor") == notation(passage(TRACK, PIECE), "Eb minor")


def test_a_long_passage_is_written_in_part_and_says_so() -> None:
    long: Line = [(float(k), 1, 60 + k % 5, k, True) for k in range(4 * BARS + 8)]
    score = notation(passage(long, long), "")
    assert score is not None
    assert not score.whole
    assert len(re.findall(r'class="m-both"', score.svg)) == 8 * BARS


@pytest.mark.parametrize("key", ["", "B major", "F# minor", "G# minor", "C# major", "Bb minor", "nonsense"])
def test_every_key_is_engraved(key: str) -> None:
    chromatic: Line = [(k / 2, 0.5, 55 + k, k, True) for k in range(16)]
    assert notation(passage(chromatic, chromatic, query_bar_beats=1.5), key) is not None


def test_the_piece_is_moved_to_the_key_bars_and_pace_of_the_track() -> None:
    slow: Line = [(b * 2 + 3, d * 2, p - 5, pair, ok) for b, d, p, pair, ok in TRACK]
    track, piece = together(passage(TRACK, slow, transposition=5))
    assert [(n.onset_beat, n.pitch) for n in track] == [(n.onset_beat, n.pitch) for n in piece]


def test_without_a_voice_there_is_nothing_to_write() -> None:
    assert notation(finding(1), "C major") is None
    assert differences(finding(1)) == []


def test_differences_are_named_bar_by_bar() -> None:
    assert differences(passage(TRACK, PIECE)) == [
        Difference(5, "pitch", "D4", "D\u266f4"),
        Difference(5, "rhythm", "E4", "E4"),
        Difference(6, "added", "F4", ""),
        Difference(6, "left out", "", "C4"),
    ]
    assert differences(passage(TRACK[:1] + TRACK[4:], TRACK[:1] + TRACK[4:])) == []

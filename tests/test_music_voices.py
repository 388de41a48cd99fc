"""Voices: single lines, chords, a tune over figures, drums."""

import time

import numpy as np
import pytest

from music.notes import NoteSequence, Part, build
from music.voices import heard_lines, melody, voices


def test_a_single_line_is_one_voice() -> None:
    piece = build(np.arange(20), np.ones(20), 60 + np.arange(20) % 7)
    (voice,) = voices(piece)
    assert voice.kind == "line"
    assert voice.index.tolist() == list(range(20))


def test_drums_and_short_parts_are_no_voices() -> None:
    onset = np.concatenate([np.arange(20), np.arange(3)])
    part = np.repeat([0, 1], [20, 3])
    piece = build(onset, np.ones(23), np.full(23, 60), part=part, parts=[Part(is_drum=True), Part()])
    assert voices(piece) == []
    assert len(melody(piece)) == 3


def test_a_tune_is_kept_apart_from_the_figures_under_it() -> None:
    # A half-note tune from 72 up over quavers between 48 and 60, merged into one part.
    tune_on, tune = np.arange(0, 32, 2.0), 72 + np.arange(16) % 5
    figure_on, figure = np.arange(0, 32, 0.5), 48 + 4 * (np.arange(64) % 4)
    piece = build(
        np.concatenate([tune_on, figure_on]),
        np.concatenate([np.full(16, 2.0), np.full(64, 0.5)]),
        np.concatenate([tune, figure]),
    )
    by_kind = {v.kind: piece.pitch[v.index] for v in voices(piece)}
    assert set(by_kind) == {"skyline", "sounding", "bass"}
    top = by_kind["sounding"]
    assert np.array_equal(top[top >= 72], tune)
    assert len(top) < len(by_kind["skyline"])
    assert by_kind["bass"].max() < 72
    assert np.array_equal(melody(piece).pitch[melody(piece).pitch >= 72], tune)


def test_the_named_part_is_the_melody() -> None:
    onset = np.tile(np.arange(20), 2)
    piece = build(
        onset, np.ones(40), np.repeat([50, 80], 20), part=np.repeat([0, 1], 20), parts=[Part("MELODY"), Part("flute")]
    )
    assert set(melody(piece).pitch.tolist()) == {50}


def test_chords_with_spread_onsets_stay_together() -> None:
    onset = np.concatenate([np.arange(12), np.arange(12) + 0.03, np.arange(12) + 0.05])
    piece = build(onset, np.full(36, 0.9), np.repeat([60, 64, 67], 12))
    skyline = next(v for v in voices(piece) if v.kind == "skyline")
    assert piece.pitch[skyline.index].tolist() == [67] * 12


TUNE = [75, 74, 72, 72, 70, 74, 77, 72, 72, 72, 67, 70, 69, 67, 74, 77, 74, 74, 74, 74, 75, 74, 72, 72, 70]


def dealt(owner: list[int], parts: list[Part], under: bool = False) -> NoteSequence:
    """File the tune's notes, a quarter each, under these parts; the last may have chords around them."""
    n = len(TUNE)
    onset, pitch, part = list(range(n)), list(TUNE), list(owner)
    if under:
        for beat in range(n):
            for step in (48, 55, 64, 76):  # also above the tune, so that the highest notes are not it
                onset.append(beat)
                pitch.append(step)
                part.append(len(parts) - 1)
    return build(onset, [0.9] * len(onset), pitch, part=part, parts=parts)


def read_as_heard(sequence: NoteSequence) -> list[list[int]]:
    apart = voices(sequence)
    return [sequence.pitch[v.index].tolist() for v in (*apart, *heard_lines(sequence, apart))]


N = len(TUNE)


@pytest.mark.parametrize(
    ("owner", "parts"),
    [
        ([p % 4 for p in TUNE], [Part("", 0, False, 0, c) for c in range(4)]),  # a channel for each string
        ([i % 15 for i in range(N)], [Part("", 0, False, 0, c) for c in range(15)]),  # a channel for each note
        ([i // 4 % 3 for i in range(N)], [Part("", p, False, 0, 0) for p in range(3)]),  # a program for each phrase
        ([i // 5 % 2 for i in range(N)], [Part("", 0, False, t) for t in range(2)]),  # call and response
        ([i % 2 for i in range(N)], [Part("", 0, False, t) for t in range(2)]),  # a hocket
        ([i % 3 for i in range(N)], [Part() for t in range(3)]),  # of three, of which nothing is known
    ],
)
def test_a_line_is_heard_however_it_is_filed(owner: list[int], parts: list[Part]) -> None:
    assert TUNE in read_as_heard(dealt(owner, parts))
    # once: lines that hold the same notes are not read twice
    assert read_as_heard(dealt(owner, parts)).count(TUNE) == 1
    # under and above it another part plays chords
    assert TUNE in read_as_heard(dealt(owner, [*parts, Part("chords", 0, False, 99)], under=True))


def test_what_one_part_plays_is_not_heard_again() -> None:
    rng = np.random.default_rng(1)
    n = 200
    pitch = np.concatenate([rng.integers(70, 80, n), rng.integers(40, 50, n)])
    two = build(np.tile(np.arange(n), 2), np.ones(2 * n), pitch, part=np.repeat([0, 1], n), parts=[Part(), Part()])
    assert len(voices(two)) == 2
    assert heard_lines(two, voices(two)) == []
    assert heard_lines(build(np.arange(n), np.ones(n), pitch[:n]), []) == []


def test_drums_are_not_heard() -> None:
    kit = dealt([i % 2 for i in range(N)], [Part("", 0, True, 0, 9), Part("", 0, True, 1, 9)])
    assert read_as_heard(kit) == []
    mixed = dealt([i % 2 for i in range(N)], [Part("", 0, True, 0, 9), Part("", 0, False, 1)])
    assert read_as_heard(mixed) == [TUNE[1::2]]


def test_lines_of_many_notes_take_linear_time() -> None:
    n = 20_000
    rng = np.random.default_rng(2)
    crowd = build(
        np.sort(rng.integers(0, n, n)) / 8, np.full(n, 0.5), rng.integers(30, 90, n), part=rng.integers(0, 60, n),
        parts=[Part("", 0, False, t // 2) for t in range(60)],
    )  # fmt: skip
    start = time.monotonic()
    heard_lines(crowd, voices(crowd))
    assert time.monotonic() - start < 30

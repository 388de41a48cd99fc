"""Voices: single lines, chords, a tune over figures, drums."""

import numpy as np

from music.notes import Part, build
from music.voices import melody, voices


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
        onset,
        np.ones(40),
        np.repeat([50, 80], 20),
        part=np.repeat([0, 1], 20),
        parts=[Part("MELODY"), Part("flute")],
    )
    assert set(melody(piece).pitch.tolist()) == {50}


def test_chords_with_spread_onsets_stay_together() -> None:
    onset = np.concatenate([np.arange(12), np.arange(12) + 0.03, np.arange(12) + 0.05])
    piece = build(onset, np.full(36, 0.9), np.repeat([60, 64, 67], 12))
    skyline = next(v for v in voices(piece) if v.kind == "skyline")
    assert piece.pitch[skyline.index].tolist() == [67] * 12

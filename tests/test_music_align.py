"""Time warping of renderings whose tempo is known, and beats of a click."""

from __future__ import annotations

import numpy as np
import pytest

from music.align import align, track_beats
from music.notes import MusicError, NoteSequence, Part, Tempo, build
from music.render import render

RATE = 22_050


def piece(seed: int, tempos: tuple[Tempo, ...] = (), beats: int = 32) -> NoteSequence:
    """Return a tune over long bass notes."""
    rng = np.random.default_rng(seed)
    tune = 60 + np.cumsum(rng.choice([-4, -2, -1, 1, 2, 3, 5], beats)) % 24
    onset = np.concatenate([np.arange(beats), np.arange(0, beats, 4)])
    pitch = np.concatenate([tune, rng.integers(36, 48, beats // 4)])
    length = np.concatenate([np.full(beats, 0.95), np.full(beats // 4, 3.9)])
    return build(onset, length, pitch, parts=(Part("Piano", 0),), tempos=tempos)


def sound(sequence: NoteSequence) -> np.ndarray:
    samples, _ = render(sequence, sample_rate=RATE)
    return np.asarray(samples.mean(axis=1), np.float32)


WAVERING = tuple(
    Tempo(float(beat), bpm) for beat, bpm in zip(range(0, 32, 4), (90, 130, 75, 120, 160, 80, 110, 60), strict=True)
)


@pytest.mark.parametrize(
    ("tempos", "median_ms", "worst_ms"),
    [((), 1, 24), ((Tempo(0, 90),), 12, 60), (WAVERING, 15, 80)],
    ids=["same", "slower", "wavering"],
)
def test_beats_are_found_in_a_rendering_of_known_tempo(
    tempos: tuple[Tempo, ...], median_ms: float, worst_ms: float
) -> None:
    score, played = piece(1), piece(1, tempos)
    found = align(sound(played), RATE, score)
    beats = np.arange(32)
    error = np.abs(found.seconds_at(beats) - played.seconds_at(beats)) * 1000
    assert np.median(error) <= median_ms
    assert error.max() <= worst_ms
    assert found.cost < 0.06
    assert (np.diff(found.second) >= 0).all()


def test_silence_before_the_music_is_skipped_and_strangers_cost_more() -> None:
    score = piece(1)
    later = np.concatenate([np.zeros(RATE, np.float32), sound(score)])
    assert align(later, RATE, score).seconds_at([8.0])[0] == pytest.approx(1 + score.seconds_at([8.0])[0], abs=0.06)
    assert align(sound(piece(2)), RATE, score).cost > 0.1


def test_blocks_are_joined_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    score, played = piece(1), piece(1, WAVERING)
    samples = sound(played)
    monkeypatch.setattr("music.align.BLOCK_SECONDS", 3.0)
    beats = np.arange(32)
    error = np.abs(align(samples, RATE, score).seconds_at(beats) - played.seconds_at(beats))
    assert error.max() < 0.12


def test_what_cannot_be_aligned_is_refused() -> None:
    score = piece(1)
    rng = np.random.default_rng(0)
    for samples, rule in (
        (np.zeros(3 * RATE, np.float32), "is silent"),
        (np.zeros(100, np.float32), "0.0 s of sound"),
        (rng.normal(size=2 * RATE).astype(np.float32), r"0\.1. times as long"),
    ):
        with pytest.raises(MusicError, match=rule):
            align(samples, RATE, score)
    with pytest.raises(MusicError, match="nothing sounds"):
        align(rng.normal(size=2 * RATE).astype(np.float32), RATE, build([], [], []))


def test_beats_of_a_click() -> None:
    click = np.zeros(10 * RATE, np.float32)
    for beat in range(20):
        click[beat * RATE // 2 : beat * RATE // 2 + 400] = np.sin(np.arange(400) / 5) * 0.5
    beats = track_beats(click, RATE)
    assert len(beats) >= 15
    assert np.median(np.diff(beats)) == pytest.approx(0.5, abs=0.025)
    assert len(track_beats(np.zeros(3 * RATE, np.float32), RATE)) == 0

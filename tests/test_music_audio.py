"""Decoding, loudness, filters and mel spectrograms on signals whose values are known."""

from __future__ import annotations

import math
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from music.audio import (
    MEL_BANDS,
    Samples,
    band_pass,
    decode,
    grey_mel,
    loudness,
    mel_db,
    mel_grey,
    mel_to_samples,
    resample,
    true_peak,
)
from music.notes import MusicError

RATE = 22_050


def sine(hz: float, seconds: float = 2.0, rate: int = RATE, peak: float = 0.5) -> Samples:
    return (peak * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_decode_averages_channels(tmp_path: Path) -> None:
    path = tmp_path / "two.flac"
    soundfile.write(path, np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1), 8000)
    decoded = decode(path)
    samples, rate = decoded.samples, decoded.rate
    assert rate == 8000
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, 0.125, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [("a.wav", b"RIFF\0\0\0\0WAVE", "cannot be decoded"), ("b.ogg", b"<html>", "cannot be decoded")],
)
def test_decode_refuses_what_is_no_audio(tmp_path: Path, name: str, content: bytes, rule: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MusicError, match=f"{name}: {rule}"):
        decode(tmp_path / name)


def test_decode_refuses_missing_empty_and_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match="no such file"):
        decode(tmp_path / "none.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(MusicError, match="holds no samples"):
        decode(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(MusicError, match="sample 1 is not a finite number"):
        decode(tmp_path / "nan.wav")


def test_loudness_of_the_standards_reference_tone() -> None:
    # BS.1770-4: a 997 Hz sine of full scale in one channel measures -3.01 LKFS
    assert loudness(sine(997, 5.0, 48_000, 1.0), 48_000) == pytest.approx(-3.01, abs=0.1)


def test_loudness_of_short_clips_and_silence() -> None:
    long, short = sine(441, 3.0), sine(441, 0.1)
    assert loudness(short, RATE) == pytest.approx(loudness(long, RATE), abs=0.2)
    assert loudness(np.zeros(RATE, np.float32), RATE) == -math.inf
    with pytest.raises(MusicError, match="no samples"):
        loudness(np.zeros(0, np.float32), RATE)


def test_gain_moves_loudness_by_its_decibels() -> None:
    tone = sine(500, 2.0)
    assert loudness(tone, RATE) - loudness(tone / np.float32(2), RATE) == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_band_pass_keeps_the_band_only() -> None:
    mixed = sine(100) + sine(1000)
    kept = band_pass(mixed, RATE, 500.0, 2000.0)
    inner = slice(RATE // 2, -RATE // 2)
    np.testing.assert_allclose(kept[inner], sine(1000)[inner], atol=0.01)  # zero phase: not delayed
    with pytest.raises(MusicError, match="is not inside"):
        band_pass(mixed, RATE, 500.0, 20_000.0)


def test_resample_keeps_duration_and_pitch() -> None:
    tone = resample(sine(1000, 1.0, 48_000), 48_000, RATE)
    assert len(tone) == RATE
    assert int(np.argmax(np.abs(np.fft.rfft(tone)))) == 1000
    assert resample(tone, RATE, RATE) is tone


def test_mel_is_relative_to_the_clips_maximum() -> None:
    tone = sine(1000, 1.0)
    mel = mel_db(tone, RATE)
    assert mel.shape == (MEL_BANDS, 1 + RATE // 512)
    assert mel.max() == 0.0
    assert mel.min() >= -80.0
    np.testing.assert_allclose(mel_db(tone * np.float32(0.25), RATE), mel, atol=0.01)
    # Slaney's scale: 1000 Hz is mel 15 of the 49.9 up to 11,025 Hz, in 129 steps: 15 / 49.9 * 129 - 1
    assert int(np.argmax(mel.mean(axis=1))) == 38
    assert mel_db(np.zeros(100, np.float32), RATE).shape[0] == MEL_BANDS
    with pytest.raises(MusicError, match="no samples"):
        mel_db(np.zeros(0, np.float32), RATE)


def test_a_long_mel_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(size=2 * RATE + 77).astype(np.float32)
    whole = mel_db(noise, RATE)
    monkeypatch.setattr("music.audio.MEL_BLOCK", 13)
    np.testing.assert_allclose(mel_db(noise, RATE), whole, atol=1e-4)


def test_grey_is_what_the_hash_sees_and_comes_back() -> None:
    steps = np.arange(256, dtype=np.uint8)[:, None]
    np.testing.assert_array_equal(mel_grey(grey_mel(steps)), steps)
    assert mel_grey(np.array([[-200.0, -80.0, -40.0, 0.0]])).ravel().tolist() == [0, 0, 127, 255]


def test_griffin_lim_gives_the_mel_back() -> None:
    chord = sine(220) + sine(330) / 2 + sine(554) / 3 + sine(2217) / 20
    chord *= np.exp(-np.arange(len(chord)) % (RATE // 2) / RATE * 3)  # four decaying strokes
    wanted = mel_db(chord.astype(np.float32), RATE)

    def convergence(samples: np.ndarray) -> float:
        a, b = (10 ** (mel[:, : wanted.shape[1]] / 20) for mel in (wanted, mel_db(samples, RATE)))
        gain = float((a * b).sum() / (b * b).sum())
        return float(np.linalg.norm(a - gain * b) / np.linalg.norm(a))

    heard = mel_to_samples(wanted)
    assert heard.dtype == np.float32
    assert convergence(heard) < 0.36
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("music.audio.GRIFFIN_LIM_ROUNDS", 0)
        assert convergence(mel_to_samples(wanted)) > 0.4  # random phases
    np.testing.assert_array_equal(mel_to_samples(wanted, seed=0), heard)
    with pytest.raises(MusicError, match=r"shape \(128, 0\)"):
        mel_to_samples(wanted[:, :0])


def test_decode_counts_what_comes_whatever_the_header_says(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.flac", np.zeros(30_000), 8000)
    with pytest.raises(MusicError, match=r"long\.flac: is longer than 3 s"):
        decode(tmp_path / "long.flac", 3.0)
    soundfile.write(tmp_path / "many.wav", np.zeros((10, 40)), 8000)
    with pytest.raises(MusicError, match="40 channels"):
        decode(tmp_path / "many.wav")
    soundfile.write(tmp_path / "slow.wav", np.zeros(10), 10)
    with pytest.raises(MusicError, match="10 Hz"):
        decode(tmp_path / "slow.wav")


def write_m4a(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    """Encode samples (channels, n) as AAC in an MPEG-4 file."""
    with av.open(path, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo" if len(samples) == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), "fltp", stream.layout.name)
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])


def test_m4a_is_decoded(tmp_path: Path) -> None:
    left, right = sine(440.0, 3.0), sine(660.0, 3.0, peak=0.25)
    write_m4a(tmp_path / "two.m4a", np.stack([left, right]))
    decoded = decode(tmp_path / "two.m4a", mono=False)
    samples, rate = decoded.samples, decoded.rate
    assert rate == RATE
    assert samples.shape[1] == 2
    assert abs(len(samples) / RATE - 3) < 0.1
    middle = samples[RATE : 2 * RATE]
    assert np.abs(middle).max(axis=0) == pytest.approx([0.5, 0.25], abs=0.03)
    spectra = np.abs(np.fft.rfft(middle, axis=0))
    assert spectra.argmax(axis=0).tolist() == [440, 660]
    assert decode(tmp_path / "two.m4a").samples.ndim == 1


def test_a_cut_m4a_is_refused_by_name(tmp_path: Path) -> None:
    write_m4a(tmp_path / "whole.m4a", sine(440.0)[None])
    (tmp_path / "cut.m4a").write_bytes((tmp_path / "whole.m4a").read_bytes()[:900])
    with pytest.raises(MusicError, match=r"cut\.m4a: cannot be decoded"):
        decode(tmp_path / "cut.m4a")


def test_true_peak_sees_between_the_samples() -> None:
    quarter = 0.5 * np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)  # sampled beside its crests
    assert np.abs(quarter).max() == pytest.approx(0.3536, abs=1e-3)
    assert true_peak(quarter, RATE) == pytest.approx(-6.02, abs=0.15)
    assert true_peak(np.stack([0.1 * quarter, quarter], axis=1), RATE) == true_peak(quarter, RATE)
    assert true_peak(np.zeros(RATE, np.float32), RATE) == -math.inf


def test_true_peak_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 3 * 2**18).astype(np.float32)
    whole = 20 * math.log10(float(np.abs(resample(noise, RATE, 4 * RATE)).max()))
    assert true_peak(noise, RATE) == pytest.approx(whole, abs=1e-3)

"""Perceptual hashes: the algorithm against an own cosine transform, and what the distance survives."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from PIL import Image

from metrics.phash import (
    FRAMES_PER_SECOND,
    WINDOW_FRAMES,
    mel_hash,
    nearest_hash,
    opening_mel,
    phash_distance,
    window_hashes,
)
from metrics.tokens import MetricError
from music.notes import NoteSequence, Part, build


def song(seed: int) -> NoteSequence:
    rng = np.random.default_rng(seed)
    n = 40
    return build(np.arange(n) * 0.75, np.full(n, 0.7), rng.integers(45, 85, n), parts=(Part("Piano", 0),))


@pytest.fixture(scope="module")
def mels() -> list[np.ndarray]:
    return [opening_mel(song(seed)) for seed in range(4)]


@pytest.mark.parametrize(("bits", "side"), [(64, 8), (256, 16)])
def test_hash_is_the_sign_of_the_lowest_cosines(mels: list[np.ndarray], bits: int, side: int) -> None:
    grey = Image.fromarray(((mels[0] + 80) / 80 * 255).astype(np.uint8)).resize(
        (4 * side, 4 * side), Image.Resampling.LANCZOS
    )
    low = scipy.fft.dctn(np.asarray(grey, float), type=2)[:side, :side]
    np.testing.assert_array_equal(mel_hash(mels[0], bits), (low > np.median(low)).ravel())


@pytest.mark.parametrize("bits", [64, 256])
def test_distances(mels: list[np.ndarray], bits: int) -> None:
    assert phash_distance(mels[0], mels[0], bits) == 0
    assert phash_distance(mels[0], mels[1], bits) == phash_distance(mels[1], mels[0], bits)
    strangers = [phash_distance(mels[i], mels[j], bits) for i in range(4) for j in range(i)]
    assert min(strangers) > bits / 6
    later = mels[0][:, 16:]  # 0.37 s: one of the shifts
    assert phash_distance(mels[0], later, bits) <= bits / 20
    assert phash_distance(later, mels[0], bits) <= bits / 20
    noisy = np.clip(mels[0] + np.random.default_rng(0).normal(0, 2, mels[0].shape), -80, 0)
    assert phash_distance(mels[0], noisy, bits) < min(strangers)


def test_undefined_cases(mels: list[np.ndarray]) -> None:
    with pytest.raises(MetricError, match="needs one second"):
        phash_distance(mels[0], mels[0][:, :20])
    with pytest.raises(MetricError, match="128 bits"):
        mel_hash(mels[0], 128)
    with pytest.raises(MetricError, match=r"shape \(128, 0\)"):
        mel_hash(mels[0][:, :0])


@pytest.mark.parametrize("seconds", [6, 7, 10, 12])
@pytest.mark.parametrize("level", [-80.0, -31.5])
def test_a_window_with_a_half_in_which_nothing_happens_has_no_hash(
    mels: list[np.ndarray], seconds: float, level: float
) -> None:
    frames = int(seconds * FRAMES_PER_SECOND) + 2
    for before in (False, True):
        mel = np.resize(mels[0].T, (WINDOW_FRAMES, mels[0].shape[0])).T.copy()
        assert window_hashes(mel, 1.0)[1].tolist() == [True]
        mel[:, slice(frames) if before else slice(-frames, None)] = level
        hashes, eventful = window_hashes(mel, 1.0)
        assert eventful.tolist() == [False]
    assert not hashes.any()


def test_a_second_and_a_half_is_enough(mels: list[np.ndarray]) -> None:
    assert phash_distance(mels[0][:, :50], mels[0][:, :50]) == 0


def test_the_nearest_hash_by_hand() -> None:
    reference = np.array([[0, 0, 0, 0], [1, 1, 1, 0]], bool)
    hashes = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]], bool)
    assert nearest_hash(hashes, reference).tolist() == [1, 1, 0]
    with pytest.raises(MetricError, match="wanted some"):
        nearest_hash(hashes, reference[:0])

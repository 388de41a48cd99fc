"""Sound as arrays: decoding, loudness, band-pass and mel spectrograms.

Samples are float32, full scale 1.0, mono of shape (n,) or (n, channels). Loudness is the integrated loudness
of ITU-R BS.1770-4, measured by pyloudnorm (LUFS). Mel spectrograms are librosa's at 22,050 Hz.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from music.notes import FloatArray, MusicError

MEL_RATE = 22_050
MEL_BANDS = 128
MEL_HOP = 512  # samples at MEL_RATE: 43.07 frames a second
MAX_SECONDS = 3 * 3600.0
MAX_CHANNELS = 32
BLOCK_SECONDS = 0.4  # gating block of BS.1770-4; nothing shorter can be measured

Samples = NDArray[np.float32]


def decode(path: str | Path) -> tuple[Samples, int]:
    """Read an audio file that libsndfile knows (WAV, FLAC, Ogg, MP3, AIFF) as mono.

    Returns
    -------
    samples : float32 (n,)
        Mean of the channels; n > 0.
    sample_rate : int
        Hz, as in the file.

    Raises
    ------
    MusicError
        When the file can't be read or decoded, has no samples, more than 32 channels or 3 hours, or holds
        values that are not numbers.
    """
    import soundfile

    if not Path(path).is_file():
        raise MusicError(f"{path}: no such file, or not a regular one")
    try:
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            if seconds > MAX_SECONDS or file.channels > MAX_CHANNELS:
                raise MusicError(
                    f"{path}: {seconds:.0f} s in {file.channels} channels; "
                    f"the limits are {MAX_SECONDS:.0f} s and {MAX_CHANNELS} channels"
                )
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
            rate = int(file.samplerate)
    except (soundfile.LibsndfileError, OSError) as error:
        raise MusicError(f"{path}: cannot be decoded as audio: {error}") from error
    if not len(samples):
        raise MusicError(f"{path}: holds no samples")
    if not np.isfinite(samples).all():
        raise MusicError(f"{path}: sample {int(np.argmin(np.isfinite(samples)))} is not a finite number")
    return np.asarray(samples, np.float32), rate


def loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS; ``-inf`` for silence.

    Parameters
    ----------
    samples : float32 (n,) or (n, channels)
        A clip shorter than the 0.4 s that the standard's gate needs is measured as if it were repeated.

    Raises
    ------
    MusicError
        When there are no samples.
    """
    import pyloudnorm

    if not len(samples):
        raise MusicError("no samples: loudness needs at least one")
    block = math.ceil(BLOCK_SECONDS * sample_rate) + 1
    signal = np.asarray(samples, np.float64)
    if len(signal) < block:
        signal = np.concatenate([signal] * math.ceil(block / len(signal)))
    if not signal.any():
        return -math.inf
    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(sample_rate).integrated_loudness(signal))


def band_pass(samples: Samples, sample_rate: int, low_hz: float, high_hz: float, order: int = 4) -> Samples:
    """Keep low_hz..high_hz of a mono signal: Butterworth of `order` run forwards and backwards (zero phase).

    Raises
    ------
    MusicError
        When not 0 < low_hz < high_hz < sample_rate / 2.
    """
    from scipy.signal import butter, sosfiltfilt

    if not 0 < low_hz < high_hz < sample_rate / 2:
        raise MusicError(f"band {low_hz}..{high_hz} Hz is not inside 0..{sample_rate / 2} Hz")
    sections = butter(order, (low_hz, high_hz), btype="bandpass", fs=sample_rate, output="sos")
    pad = min(3 * (2 * len(sections) + 1), max(len(samples) - 1, 0))
    return np.asarray(sosfiltfilt(sections, samples, padlen=pad), np.float32)


def resample(samples: Samples, sample_rate: int, wanted_rate: int) -> Samples:
    """Change the sample rate of (n,) or (n, channels); unchanged when the rates are equal."""
    if sample_rate == wanted_rate:
        return samples
    import soxr

    return np.asarray(soxr.resample(samples, sample_rate, wanted_rate), np.float32)


def mel_db(samples: Samples, sample_rate: int) -> FloatArray:
    """Mel spectrogram in decibels below the clip's own maximum.

    Mono `samples` are brought to 22,050 Hz; 128 bands, window 2048, hop 512; power in dB with ``ref=max``, so
    that gain does not matter, cut off 80 dB below.

    Returns
    -------
    float64 (128, frames)
        -80..0; all 0 for silence.

    Raises
    ------
    MusicError
        When there are no samples.
    """
    import librosa

    if not len(samples):
        raise MusicError("no samples: a mel spectrogram needs at least one")
    signal = resample(samples, sample_rate, MEL_RATE)
    if len(signal) < 2048:  # one window; librosa warns below
        signal = np.pad(signal, (0, 2048 - len(signal)))
    power = librosa.feature.melspectrogram(y=signal, sr=MEL_RATE, n_mels=MEL_BANDS, hop_length=MEL_HOP)
    return np.asarray(librosa.power_to_db(power, ref=np.max, top_db=80.0), np.float64)

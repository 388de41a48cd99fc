"""Sound as arrays: decoding, loudness, band-pass and mel spectrograms.

Samples are float32, full scale 1.0, mono of shape (n,) or (n, channels). Loudness is the integrated loudness
of ITU-R BS.1770-4, measured by pyloudnorm (LUFS). Mel spectrograms are librosa's at 22,050 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from music.notes import FloatArray, MusicError

MEL_RATE = 22_050
MEL_BANDS = 128
MEL_HOP = 512  # samples at MEL_RATE: 43.07 frames a second
MEL_WINDOW = 2048
MEL_BLOCK = 4096  # frames
FLOOR_DB = -80.0
GRIFFIN_LIM_ROUNDS = 32
PEAK_OVERSAMPLING = 4
MAX_SECONDS = 3 * 3600.0
MAX_CHANNELS = 32
MIN_RATE, MAX_RATE = 1_000, 768_000
BLOCK_SECONDS = 0.4  # gating block of BS.1770-4; nothing shorter can be measured

Samples = NDArray[np.float32]


def decode(path: str | Path, max_seconds: float = MAX_SECONDS, *, mono: bool = True) -> tuple[Samples, int]:
    """Read an audio file: WAV, FLAC, Ogg, MP3, AIFF by libsndfile, M4A (MPEG-4 audio) by FFmpeg.

    Read in blocks, so that a small file of many channels does not fill the memory.

    Parameters
    ----------
    mono : bool
        Give the mean of the channels.

    Returns
    -------
    samples : float32 (n,), or (n, channels) where not `mono`
        n > 0.
    sample_rate : int
        Hz, as in the file; 1,000 to 768,000.

    Raises
    ------
    MusicError
        When the file can't be read or decoded, has no samples, more than 32 channels or `max_seconds` (or as many
        samples as those are at 96 kHz), or holds values that are not numbers.
    """
    if not Path(path).is_file():
        raise MusicError(f"{path}: no such file, or not a regular one")
    blocks: list[Samples] = []
    rate = length = 0
    try:
        with open(path, "rb") as file:
            mpeg4 = file.read(8)[4:] == b"ftyp"
        for rate, block in _ffmpeg_blocks(path) if mpeg4 else _sndfile_blocks(path):
            if not MIN_RATE <= rate <= MAX_RATE or block.shape[1] > MAX_CHANNELS:
                raise MusicError(
                    f"{path}: {rate} Hz in {block.shape[1]} channels; "
                    f"{MIN_RATE} to {MAX_RATE} Hz and {MAX_CHANNELS} channels can be read"
                )
            blocks.append(block.mean(axis=1) if mono else block)
            length += len(block)
            most = round(max_seconds * min(rate, 96_000))
            if length > most:  # counted, as headers may promise less
                raise MusicError(f"{path}: is longer than {most / rate:.0f} s, the limit")
    except OSError as error:
        raise MusicError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not length:
        raise MusicError(f"{path}: holds no samples")
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise MusicError(f"{path}: sample {int(np.argmin(np.isfinite(samples)))} is not a finite number")
    return np.asarray(samples, np.float32), rate


def _sndfile_blocks(path: str | Path) -> Iterator[tuple[int, Samples]]:
    """Yield the sample rate and blocks (n, channels)."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            while len(block := file.read(2**18, dtype="float32", always_2d=True)):
                yield int(file.samplerate), block
    except soundfile.LibsndfileError as error:
        raise MusicError(f"{path}: cannot be decoded as audio: {error}") from error


def _ffmpeg_blocks(path: str | Path) -> Iterator[tuple[int, Samples]]:
    """Yield the sample rate and blocks (n, channels) of the first sound in an MPEG-4 file.

    FFmpeg is held to that one container, so that a file can't make it open others.
    """
    import av

    try:
        with open(path, "rb") as file, av.open(file, "r", format="mov") as container:
            if not container.streams.audio:
                raise MusicError(f"{path}: holds no sound, only other streams")
            flat = av.AudioResampler(format="flt")
            for frame in container.decode(container.streams.audio[0]):
                for block in flat.resample(frame):
                    interleaved = np.asarray(block.to_ndarray(), np.float32)  # (1, n * channels)
                    yield block.sample_rate, interleaved.reshape(-1, block.layout.nb_channels)
    except av.FFmpegError as error:
        raise MusicError(f"{path}: cannot be decoded as audio: {error.strerror}") from error


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


def true_peak(samples: Samples, sample_rate: int) -> float:
    """Highest level between and at the samples, in dBTP; ``-inf`` for silence.

    After ITU-R BS.1770-4, Annex 2: the signal of each channel is oversampled four times, here by soxr, in blocks that
    overlap.

    Parameters
    ----------
    samples : float32 (n,) or (n, channels)
    """
    peak, step, overlap = 0.0, 2**18, 2**10
    for start in range(0, len(samples), step):
        before = min(start, overlap)  # beyond its own samples a block rings where it was cut
        fine = resample(samples[start - before : start + step + overlap], sample_rate, PEAK_OVERSAMPLING * sample_rate)
        peak = max(peak, float(np.abs(fine[PEAK_OVERSAMPLING * before :][: PEAK_OVERSAMPLING * step]).max()))
    return 20 * math.log10(peak) if peak else -math.inf


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
    that gain does not matter, cut off 80 dB below. Worked out in blocks, so that memory does not grow with the
    spectra of a long clip.

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
    signal = np.pad(resample(samples, sample_rate, MEL_RATE), MEL_WINDOW // 2)
    if len(signal) < 2 * MEL_WINDOW:  # one window and its padding
        signal = np.pad(signal, (0, 2 * MEL_WINDOW - len(signal)))
    frames = 1 + (len(signal) - MEL_WINDOW) // MEL_HOP
    power = np.concatenate(
        [
            librosa.feature.melspectrogram(
                y=signal[start * MEL_HOP : (start + MEL_BLOCK - 1) * MEL_HOP + MEL_WINDOW],
                sr=MEL_RATE,
                n_fft=MEL_WINDOW,
                n_mels=MEL_BANDS,
                hop_length=MEL_HOP,
                center=False,
            )
            for start in range(0, frames, MEL_BLOCK)
        ],
        axis=1,
    )
    return np.asarray(librosa.power_to_db(power, ref=np.max, top_db=-FLOOR_DB), np.float64)


def mel_grey(mel: FloatArray) -> NDArray[np.uint8]:
    """Picture of a mel spectrogram: decibels (bands, frames) to grey (frames, bands), 0 for -80 dB, 255 for 0 dB."""
    return np.ascontiguousarray(np.clip((mel - FLOOR_DB) / -FLOOR_DB * 255.0, 0.0, 255.0).astype(np.uint8).T)


def grey_mel(grey: NDArray[np.uint8]) -> FloatArray:
    """Decibels (bands, frames) in the middle of each step of grey; `mel_grey` of it gives `grey` again."""
    return np.asarray(np.minimum((grey.T + 0.5) / 255.0, 1.0) * -FLOOR_DB + FLOOR_DB, np.float64)


def mel_to_samples(mel: FloatArray, seed: int = 0) -> Samples:
    """Make sound from a mel spectrogram of `mel_db`: 32 rounds of fast Griffin-Lim.

    The magnitudes of 1025 frequencies are those least squares that give the 128 bands; the phases start at random
    and become those of a signal (Perraudin, Balazs, Sondergaard, WASPAA 2013).

    Parameters
    ----------
    mel : float64 (128, frames)
        Decibels.
    seed : int
        Of the phases.

    Returns
    -------
    float32 (n,)
        At 22,050 Hz; the level is not that of the clip, which `mel_db` leaves out.

    Raises
    ------
    MusicError
        When there are no frames.
    """
    import librosa

    if mel.ndim != 2 or len(mel) != MEL_BANDS or not mel.shape[1]:
        raise MusicError(f"mel of shape {mel.shape}; wanted ({MEL_BANDS}, frames > 0)")
    power = librosa.db_to_power(mel)
    magnitude = librosa.feature.inverse.mel_to_stft(power, sr=MEL_RATE, n_fft=MEL_WINDOW)
    signal = librosa.griffinlim(
        magnitude, n_iter=GRIFFIN_LIM_ROUNDS, hop_length=MEL_HOP, n_fft=MEL_WINDOW, random_state=seed
    )
    return np.asarray(signal, np.float32)

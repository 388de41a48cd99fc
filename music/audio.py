"""Sound as arrays: decoding, loudness, band-pass and mel spectrograms.

Samples are float32, full scale 1.0, mono of shape (n,) or (n, channels). Loudness is the integrated loudness
of ITU-R BS.1770-4, measured by pyloudnorm (LUFS). Mel spectrograms are librosa's at 22,050 Hz.
"""

from __future__ import annotations

import io
import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from music.containers import frame_length, streams
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
FFMPEG = frozenset(
    {"aac", "flac", "mov", "mp3", "ogg"}
)  # kinds of `music.containers.sniff`; the names are FFmpeg's own
SHORT_SECONDS = 0.1  # less than it promises, and a lossy file counts as cut off; encoders pad by some 50 ms
SURROUND = 1.41  # BS.1770-4, table 3: the weight of channels beside and behind
CHANNELS = {  # weights by number of channels, in the order of WAV; 0 for the low-frequency one, which is not measured
    1: (1.0,), 2: (1.0, 1.0), 3: (1.0, 1.0, 1.0), 4: (1.0, 1.0, SURROUND, SURROUND),
    5: (1.0, 1.0, 1.0, SURROUND, SURROUND), 6: (1.0, 1.0, 1.0, 0.0, SURROUND, SURROUND),
}  # fmt: skip
CANCELLED = 0.1  # of the channels' mean power: a mean of channels with less is no likeness of them
BLOCK_SECONDS = 0.4  # gating block of BS.1770-4; nothing shorter can be measured

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A sound file.

    Attributes
    ----------
    samples : float32 (n,) for one that was mixed to mono, else (n, channels)
        n > 0.
    rate : int
        Hz, of the file's first stream; 1,000 to 768,000.
    unread : tuple of str
        What of the file is not among the samples: missing, damaged or left over; () for a file that was read whole.
    """

    samples: Samples
    rate: int
    unread: tuple[str, ...] = ()


def decode(path: str | Path, max_seconds: float = MAX_SECONDS, *, mono: bool = True) -> Decoded:
    """Read all of an audio file: WAV, AIFF, AU, CAF and W64 by libsndfile; MP3, FLAC, Ogg, AAC and M4A by FFmpeg.

    Files that were joined to one are read one after another; what could not be read is said (`music.containers`). Read
    in blocks, so that a small file of many channels does not fill the memory.

    Parameters
    ----------
    mono : bool
        Give the mean of the channels; the first one where they cancel one another.

    Raises
    ------
    MusicError
        When the file can't be read or decoded, has no samples, more than 32 channels or `max_seconds` (or as many
        samples as those are at 96 kHz), or holds values that are not numbers.
    """
    if not Path(path).is_file():
        raise MusicError(f"{path}: no such file, or not a regular one")
    unread: list[str] = []
    blocks: list[Samples] = []
    first: list[Samples] = []
    rate, length, power = 0, 0, 0.0
    try:
        for stream, raw in _blocks(path, unread):
            if not MIN_RATE <= stream <= MAX_RATE or raw.shape[1] > MAX_CHANNELS:
                raise MusicError(
                    f"{path}: {stream} Hz in {raw.shape[1]} channels; "
                    f"{MIN_RATE} to {MAX_RATE} Hz and {MAX_CHANNELS} channels can be read"
                )
            rate = rate or stream
            block = resample(raw, stream, rate)
            length += len(block)
            if mono:
                blocks.append(block.mean(axis=1))
                first.append(block[:, 0].copy())
                power += float((block.astype(np.float64) ** 2).mean(axis=1).sum())
            else:
                blocks.append(_like(block, blocks[0].shape[1] if blocks else block.shape[1]))
            most = round(max_seconds * min(rate, 96_000))
            if length > most:  # counted, as headers may promise less
                raise MusicError(f"{path}: is longer than {most / rate:.0f} s, the limit")
    except OSError as error:
        raise MusicError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not length:
        raise MusicError(f"{path}: holds no samples{''.join(f'; {reason}' for reason in unread)}")
    samples = np.concatenate(blocks)
    if mono and float((samples.astype(np.float64) ** 2).sum()) < CANCELLED * power:
        samples = np.concatenate(first)
    if not np.isfinite(samples).all():
        raise MusicError(f"{path}: sample {int(np.argmin(np.isfinite(samples)))} is not a finite number")
    return Decoded(np.asarray(samples, np.float32), rate, tuple(unread))


def _like(block: Samples, channels: int) -> Samples:
    """Bring a block (n, any) to as many channels as the first one has: a stream that was joined may have others."""
    return block if block.shape[1] == channels else np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)


def _blocks(path: str | Path, unread: list[str]) -> Iterator[tuple[int, Samples]]:
    """Yield the sample rate and blocks (n, channels) of all streams of a file; add to `unread` what is not in them."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            parts, left_over = streams(cast(bytes, data))
            if not parts:
                raise MusicError(f"{path}: cannot be decoded as audio: its content is of no kind that is known")
            unread += left_over
            for stream in parts:
                alone = (stream.start, stream.end) == (0, len(data))
                source = file if alone else io.BytesIO(data[stream.start : stream.end])
                source.seek(0)
                seconds = 0.0
                read = _ffmpeg_blocks if stream.kind in FFMPEG else _sndfile_blocks
                for rate, block in read(path, source, stream.kind, unread):
                    seconds += len(block) / rate
                    yield rate, block
                least = (stream.promised_s or 0.0) - (1e-3 if stream.kind == "flac" else SHORT_SECONDS)
                if stream.promised_s is not None and seconds < least:
                    unread.append(f"its header promises {stream.promised_s:.1f} s, of which {seconds:.1f} were read")


def _sndfile_blocks(path: str | Path, source: BinaryIO, kind: str, unread: list[str]) -> Iterator[tuple[int, Samples]]:
    import soundfile

    try:
        with soundfile.SoundFile(source) as file:
            while len(block := file.read(2**18, dtype="float32", always_2d=True)):
                yield int(file.samplerate), block
    except soundfile.LibsndfileError as error:
        if kind == "riff":  # libsndfile refuses some orders of chunks that the format allows
            source.seek(0)
            yield from _ffmpeg_blocks(path, source, "wav", unread)
            return
        raise MusicError(f"{path}: cannot be decoded as audio: {error.error_string}") from error


def _ffmpeg_blocks(path: str | Path, source: BinaryIO, kind: str, unread: list[str]) -> Iterator[tuple[int, Samples]]:
    """Decode the first stream of sound. FFmpeg is held to the one container, so that a file can't make it open others.

    A packet that can't be decoded is counted and left out, as a player does.
    """
    import av

    lost = read = 0
    last = b""
    try:
        with av.open(source, "r", format=kind) as container:
            if not container.streams.audio:
                raise MusicError(f"{path}: holds no sound, only other streams")
            stream = container.streams.audio[0]
            if len(container.streams.audio) > 1:
                unread.append(f"it holds {len(container.streams.audio)} streams of sound, of which one is read")
            flat: Any = None
            layout: tuple[Any, ...] = ()
            seconds = 0.0
            for packet in container.demux(stream):
                last = bytes(packet) or last
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    lost += 1
                    continue
                for frame in frames:
                    if layout != (frame.format.name, frame.layout.name, frame.sample_rate):
                        layout = frame.format.name, frame.layout.name, frame.sample_rate
                        flat = av.AudioResampler(format="flt")
                    for block in flat.resample(frame):
                        interleaved = np.asarray(block.to_ndarray(), np.float32)  # (1, n * channels)
                        samples = interleaved.reshape(-1, block.layout.nb_channels)
                        read += 1
                        seconds += len(samples) / block.sample_rate
                        yield block.sample_rate, samples
            promised = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    except (av.FFmpegError, ValueError) as error:
        if not read:
            raise MusicError(f"{path}: cannot be decoded as audio: {getattr(error, 'strerror', error)}") from error
        lost, promised, seconds = lost + 1, 0.0, 0.0
    if lost:
        unread.append(f"{lost} of its packets can't be decoded")
    if kind in ("mp3", "aac") and len(last) < frame_length(last):
        unread.append("it is cut off within its last frame")
    if kind == "mov" and seconds < promised - SHORT_SECONDS:
        unread.append(f"its header promises {promised:.1f} s, of which {seconds:.1f} were read")


def loudness(samples: Samples, sample_rate: int) -> float:
    """Integrated loudness in LUFS; ``-inf`` for silence.

    Parameters
    ----------
    samples : float32 (n,) or (n, channels)
        Channels in the order of WAV, weighted as `CHANNELS` says. A clip shorter than the 0.4 s that the standard's
        gate needs is measured as if it were repeated.

    Raises
    ------
    MusicError
        When there are no samples, or more than six channels, whose places are not known.
    """
    import pyloudnorm

    if not len(samples):
        raise MusicError("no samples: loudness needs at least one")
    block = math.ceil(BLOCK_SECONDS * sample_rate) + 1
    signal = np.asarray(samples, np.float64).reshape(len(samples), -1)
    if signal.shape[1] not in CHANNELS:
        raise MusicError(f"{signal.shape[1]} channels: loudness is measured of up to {max(CHANNELS)}")
    # pyloudnorm's five channels are left, right, centre and two surrounds.
    weights = CHANNELS[signal.shape[1]]
    front, surround = ([c for c, w in enumerate(weights) if w == weight] for weight in (1.0, SURROUND))
    if surround:
        front += [-1] * (3 - len(front))
        signal = np.concatenate([signal, np.zeros((len(signal), 1))], axis=1)[:, front + surround]
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
    bands = librosa.filters.mel(sr=MEL_RATE, n_fft=MEL_WINDOW, n_mels=MEL_BANDS)
    power = np.concatenate(
        [
            # as librosa.feature.melspectrogram, whose einsum takes four times as long as this product
            bands @ np.abs(_spectrum(signal[start * MEL_HOP : (start + MEL_BLOCK - 1) * MEL_HOP + MEL_WINDOW])) ** 2
            for start in range(0, frames, MEL_BLOCK)
        ],
        axis=1,
    )
    return np.asarray(librosa.power_to_db(power, ref=np.max, top_db=-FLOOR_DB), np.float64)


def _spectrum(signal: Samples) -> NDArray[np.complex64]:
    import librosa

    spectrum: NDArray[np.complex64] = librosa.stft(signal, n_fft=MEL_WINDOW, hop_length=MEL_HOP, center=False)
    return spectrum


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

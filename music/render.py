"""Notes to sound: FluidSynth where it is installed, midirenderer (a wheel, no system libraries) otherwise.

Both are given the same soundfont: the one named, else TimGM6mb, which pretty_midi ships. Levels differ
fivefold between the two and FluidSynth lets notes ring for seconds, so every rendering ends where it has
faded to -60 dB of its peak and is brought to -16 LUFS (less where a peak would pass -1 dBFS). The same input
gives the same bytes on one machine; across machines compare with a tolerance, and keep `renderer_info` with
the file.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import math
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from messages import message
from music.audio import Samples, loudness, resample
from music.midi import midi_bytes, write_atomically
from music.notes import MusicError, NoteSequence, Tempo, build

SAMPLE_RATE = 44_100
LOUDNESS_LUFS = -16.0
PEAK = 10 ** (-1 / 20)  # -1 dBFS leaves room for peaks between the samples
FADED = 10 ** (-60 / 20)
RING_SECONDS = 3.0  # time that the last notes get to fade
MAX_SECONDS = 30 * 60.0
FLUIDSYNTH_SECONDS = 600.0
PASSAGE_TPQ = 960


def render(
    sequence: NoteSequence, *, sample_rate: int = SAMPLE_RATE, soundfont: str | Path | None = None
) -> tuple[Samples, int]:
    """Render in stereo, from the start of the sequence to where its last notes have faded.

    Parameters
    ----------
    sequence : NoteSequence
        At least one note, at most 30 minutes.
    sample_rate : int
        Hz, 8,000-96,000.
    soundfont : path, optional
        An ``.sf2`` file; TimGM6mb where not given.

    Returns
    -------
    samples : float32 (n, 2)
        At -16 LUFS, or below it where the peak would pass -1 dBFS.
    sample_rate : int

    Raises
    ------
    MusicError
        When there are no notes or more than 30 minutes, for a rate out of range, and when the soundfont is
        missing or the renderer refuses it.
    """
    return normalise_loudness(_play(sequence, sample_rate, soundfont), sample_rate), sample_rate


def _play(sequence: NoteSequence, sample_rate: int, soundfont: str | Path | None, ring: bool = True) -> Samples:
    """Do what `render` does, (n, 2), at whatever level it comes."""
    if not len(sequence):
        raise MusicError(message("nothing to render: the sequence has no notes"))
    if sequence.end_s > MAX_SECONDS:
        raise MusicError(
            message(
                "{seconds:.0f} s are too long to render; the limit is {most:.0f} s",
                seconds=sequence.end_s,
                most=MAX_SECONDS,
            )
        )
    if not 8_000 <= sample_rate <= 96_000:
        raise MusicError(f"sample rate {sample_rate} Hz; 8000..96000 are rendered")
    font = _soundfont(soundfont)
    program = shutil.which("fluidsynth")
    midi = midi_bytes(_with_ring(sequence) if ring else sequence)
    return _trim(_fluidsynth(program, font, midi, sample_rate) if program else _midirenderer(font, midi, sample_rate))


def render_wav(
    sequence: NoteSequence, path: str | Path, *, sample_rate: int = SAMPLE_RATE, soundfont: str | Path | None = None
) -> None:
    """Render to a 16-bit PCM WAV file, which appears whole or not at all.

    Raises
    ------
    MusicError
        As `render`.
    OSError
        When the file can't be written.
    """
    samples, rate = render(sequence, sample_rate=sample_rate, soundfont=soundfont)
    write_wav(samples, rate, path)


def write_wav(samples: Samples, sample_rate: int, path: str | Path) -> None:
    """Write samples, (n,) or (n, channels), as 16-bit PCM WAV; the file appears whole or not at all."""
    write_atomically(path, wav_bytes(samples, sample_rate))


def wav_bytes(samples: Samples, sample_rate: int) -> bytes:
    """Encode samples, (n,) or (n, channels), as a 16-bit PCM WAV file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def render_passage(
    sequence: NoteSequence,
    start_s: float,
    end_s: float,
    *,
    pad_s: float = 0.0,
    slower: float = 1.0,
    sample_rate: int = SAMPLE_RATE,
    soundfont: str | Path | None = None,
    level: bool = True,
    ring: bool = True,
) -> tuple[Samples, int]:
    """Render only what sounds in [start_s - pad_s, end_s + pad_s), in mono; much faster than rendering all.

    Notes that are held across an edge are cut there. What is heard takes `slower` times as long as it is written.
    Without `level` the samples come as loud as the renderer makes them; without `ring` they end with the
    passage, which is faster.

    Returns
    -------
    samples : float32 (n,)
        Sample 0 is second ``max(0, start_s - pad_s)`` of the sequence.
    sample_rate : int

    Raises
    ------
    MusicError
        When nothing sounds there, and as `render`.
    """
    low, high = max(0.0, start_s - pad_s), end_s + pad_s
    start = np.maximum(sequence.onset_s, low) - low
    end = np.minimum(sequence.onset_s + sequence.duration_s, high) - low
    heard = end - start > 1e-3
    if not heard.any():
        raise MusicError(
            message(
                "nothing sounds in {low:word}..{high:word} s; the sequence ends at {end:word} s",
                low=low,
                high=high,
                end=sequence.end_s,
            )
        )
    beats = 2.0 * slower  # a beat is half a second at the default tempo; seconds are exact to 0.5 ms then
    passage = build(
        start[heard] * beats,
        (end - start)[heard] * beats,
        sequence.pitch[heard],
        sequence.velocity[heard],
        sequence.part[heard],
        parts=sequence.parts,
        ticks_per_quarter=PASSAGE_TPQ,
    )
    samples = np.asarray(_play(passage, sample_rate, soundfont, ring).mean(axis=1), np.float32)
    return normalise_loudness(samples, sample_rate) if level else samples, sample_rate


def renderer_info(*, sample_rate: int = SAMPLE_RATE, soundfont: str | Path | None = None) -> dict[str, str | int]:
    """Say what renders here, for provenance: renderer, version, soundfont, its SHA-256, sample rate.

    Raises
    ------
    MusicError
        When the soundfont can't be read.
    """
    program = shutil.which("fluidsynth")
    if program:
        ran = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
        version = next((w for w in ran.stdout.split() if w[:1].isdigit()), "unknown")
    else:
        version = importlib.metadata.version("midirenderer")
    font = _soundfont(soundfont)
    return {
        "renderer": "fluidsynth" if program else "midirenderer",
        "version": version,
        "soundfont": font.name,
        "soundfont_sha256": hashlib.sha256(_font_bytes(font)).hexdigest(),
        "sample_rate": sample_rate,
    }


def _soundfont(soundfont: str | Path | None) -> Path:
    if soundfont is not None:
        font = Path(soundfont)
    else:  # found without importing pretty_midi, which takes 0.5 s
        spec = importlib.util.find_spec("pretty_midi")
        if spec is None or spec.origin is None:
            raise MusicError(message("no soundfont: pretty_midi, which ships TimGM6mb.sf2, is not installed; name one"))
        font = Path(spec.origin).with_name("TimGM6mb.sf2")
    if not font.is_file():
        raise MusicError(message("{font}: no such soundfont; name an .sf2 file", font=font))
    return font


@functools.lru_cache(maxsize=1)
def _font_bytes(font: Path) -> bytes:
    try:
        return font.read_bytes()
    except OSError as error:
        raise MusicError(f"{font}: cannot be read: {error.strerror}") from error


def _with_ring(sequence: NoteSequence) -> NoteSequence:
    """Add a tempo event after the end: midirenderer stops at the last event, amid the last chord."""
    last = sequence.tempos[-1]
    until = max(sequence.end_beat, last.beat) + RING_SECONDS * last.bpm / 60
    return replace(sequence, tempos=(*sequence.tempos, Tempo(until, last.bpm)))


def _midirenderer(font: Path, midi: bytes, sample_rate: int) -> Samples:
    import soundfile

    try:
        import midirenderer
    except ImportError as error:
        raise MusicError(
            message("no renderer: neither FluidSynth nor the package midirenderer is installed")
        ) from error
    try:
        wav = midirenderer.render_wave_from(_font_bytes(font), midi)
    except (ValueError, RuntimeError) as error:
        raise MusicError(
            message("midirenderer cannot render this with {font}: {error}", font=font, error=error)
        ) from error
    samples, native = soundfile.read(io.BytesIO(wav), dtype="float32", always_2d=True)
    return resample(samples, native, sample_rate)


def _fluidsynth(program: str, font: Path, midi: bytes, sample_rate: int) -> Samples:
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        score, wav = Path(folder, "score.mid"), Path(folder, "sound.wav")
        score.write_bytes(midi)
        command = [program, "-ni", "-O", "float", "-T", "wav", "-r", str(sample_rate), "-F", str(wav)]
        try:
            ran = subprocess.run(
                [*command, str(font), str(score)], capture_output=True, timeout=FLUIDSYNTH_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise MusicError(
                message("fluidsynth took longer than {seconds:.0f} s", seconds=FLUIDSYNTH_SECONDS)
            ) from error
        if ran.returncode or not wav.is_file():
            reason = ran.stderr.decode(errors="replace").strip()[-200:]
            raise MusicError(
                message(
                    "fluidsynth ended with code {code:d} and {font}: {error}",
                    code=ran.returncode,
                    font=font,
                    error=reason,
                )
            )
        samples, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    return np.asarray(samples, np.float32)


def _trim(samples: Samples) -> Samples:
    """Cut where the sound has faded for good."""
    level = np.abs(samples).max(axis=1)
    loud = np.flatnonzero(level > level.max(initial=0.0) * FADED)
    return samples[: loud[-1] + 1] if len(loud) else samples


def normalise_loudness(samples: Samples, sample_rate: int) -> Samples:
    """Bring to -16 LUFS, or as near to it as a peak of -1 dBFS allows; silence stays silence."""
    measured = loudness(samples, sample_rate)
    if not math.isfinite(measured):
        return samples
    gain = min(10 ** ((LOUDNESS_LUFS - measured) / 20), PEAK / float(np.abs(samples).max()))
    return np.asarray(samples * np.float32(gain), np.float32)

"""Renderings have the right length, level and pitch, whichever renderer is found."""

from __future__ import annotations

import hashlib
import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from music import render as rendering
from music.audio import loudness
from music.notes import MusicError, NoteSequence, Part, Tempo, build
from music.render import render, render_passage, render_wav, renderer_info, wav_bytes


@pytest.fixture(autouse=True)
def _no_fluidsynth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


def scale(notes: int = 8, bpm: float = 120.0) -> NoteSequence:
    steps = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    pitch = 60 + steps[np.arange(notes) % 8]
    return build(np.arange(notes), np.full(notes, 0.9), pitch, parts=(Part("Organ", 19),), tempos=[Tempo(0, bpm)])


def test_level_length_and_rate() -> None:
    samples, rate = render(scale(), sample_rate=22_050)
    assert rate == 22_050
    assert samples.shape[1] == 2
    assert samples.dtype == np.float32
    assert 4.0 - 0.1 < len(samples) / rate < 4.0 + rendering.RING_SECONDS  # the last note ends at 3.95 s and rings
    assert np.abs(samples).max() <= rendering.PEAK + 1e-6
    assert loudness(samples, rate) == pytest.approx(rendering.LOUDNESS_LUFS, abs=0.5)


def test_last_note_is_not_cut_off() -> None:
    piano = build([0.0], [1.0], [60], parts=(Part("Piano", 0),))
    samples, rate = render(piano)
    assert len(samples) / rate > 0.55  # the release goes on after the note's half second


def test_pitch_is_what_was_written() -> None:
    a4 = build([0.0], [4.0], [69], parts=(Part("Organ", 19),))
    samples, rate = render_passage(a4, 0.0, 2.0)
    spectrum = np.abs(np.fft.rfft(samples[: 2 * rate]))
    peaks = np.flatnonzero(spectrum > 0.2 * spectrum.max()) / 2.0
    assert np.min(np.abs(peaks - 440.0)) < 3.0


def test_same_input_same_bytes() -> None:
    assert wav_bytes(*render(scale(3))) == wav_bytes(*render(scale(3)))


def test_short_clip_is_levelled() -> None:
    samples, rate = render(build([0.0], [0.1], [100], parts=(Part("Woodblock", 115),)))
    assert 0 < np.abs(samples).max() <= rendering.PEAK + 1e-6
    assert loudness(samples, rate) <= rendering.LOUDNESS_LUFS + 0.5


def test_passage_starts_where_it_says() -> None:
    piece = scale(8, bpm=60.0)
    passage, rate = render_passage(piece, 4.0, 6.0)
    whole, _ = render(piece)
    assert passage.ndim == 1
    assert 1.8 < len(passage) / rate < 2.0 + rendering.RING_SECONDS
    begin, end = whole[4 * rate : 5 * rate].mean(axis=1), passage[:rate]
    strongest = [int(np.argmax(np.abs(np.fft.rfft(x)))) for x in (begin, end)]
    assert abs(strongest[0] - strongest[1]) <= 2
    padded, _ = render_passage(piece, 4.0, 6.0, pad_s=1.0)
    assert len(padded) > len(passage) + 1.5 * rate


def test_passage_cuts_held_notes() -> None:
    drone = build([0.0], [40.0], [48], parts=(Part("Organ", 19),))
    samples, rate = render_passage(drone, 5.0, 6.0)
    assert 0.9 < len(samples) / rate < 1.0 + rendering.RING_SECONDS
    with pytest.raises(MusicError, match=r"nothing sounds in 50.0..60.0 s"):
        render_passage(drone, 50.0, 60.0)


def test_wav_file_is_16_bit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scale.wav"
    render_wav(scale(2), path)
    info = soundfile.info(path)
    assert (info.subtype, info.samplerate, info.channels) == ("PCM_16", 44_100, 2)
    assert [p.name for p in path.parent.iterdir()] == ["scale.wav"]


def test_what_cannot_be_rendered(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match="no notes"):
        render(build([], [], []))
    with pytest.raises(MusicError, match="too long to render"):
        render(build([0.0], [7200.0], [60]))
    with pytest.raises(MusicError, match="sample rate 100 Hz"):
        render(scale(), sample_rate=100)
    with pytest.raises(MusicError, match=r"none.sf2: no such soundfont"):
        render(scale(), soundfont=tmp_path / "none.sf2")
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF")
    with pytest.raises(MusicError, match="midirenderer cannot render"):
        render(scale(), soundfont=broken)


def test_info_names_the_soundfont() -> None:
    info = renderer_info()
    assert info["renderer"] == "midirenderer"
    digest = hashlib.sha256(rendering._soundfont(None).read_bytes()).hexdigest()
    assert (info["soundfont"], info["soundfont_sha256"]) == ("TimGM6mb.sf2", digest)


FAKE = """#!{python}
import sys, wave
if "--version" in sys.argv:
    print("FluidSynth runtime version 2.3.1")
    sys.exit()
if {fails}:
    sys.exit("no soundfont")
with wave.open(sys.argv[sys.argv.index("-F") + 1], "wb") as out:
    out.setparams((2, 2, int(sys.argv[sys.argv.index("-r") + 1]), 0, "NONE", ""))
    out.writeframes(b"\\0\\1\\0\\2" * 22050 + bytes(4 * 22050))
"""


@pytest.mark.parametrize("fails", [False, True])
def test_fluidsynth_is_used_where_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    program = tmp_path / "fluidsynth"
    program.write_text(FAKE.format(python=sys.executable, fails=fails))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(shutil, "which", lambda _: str(program))
    assert renderer_info()["version"] == "2.3.1"
    if fails:
        with pytest.raises(MusicError, match=r"fluidsynth ended with code 1 .*no soundfont"):
            render(scale(), sample_rate=44_100)
    else:
        samples, rate = render(scale(), sample_rate=44_100)
        assert (len(samples), rate) == (22_050, 44_100)  # the silent half is trimmed

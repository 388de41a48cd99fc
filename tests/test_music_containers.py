"""Sound files as they come: joined, cut off, damaged, misnamed; all of each is read, or what was not is said."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from music.audio import Decoded, Samples, decode, loudness
from music.containers import sniff, streams
from music.notes import MusicError
from music.read import AUDIO_SUFFIXES
from tests.cases.credentials import FILES

RATE = 22_050
KINDS = {
    "wav": "WAV",
    "aiff": "AIFF",
    "caf": "CAF",
    "w64": "W64",
    "au": "AU",
    "flac": "FLAC",
    "ogg": "OGG",
    "mp3": "MP3",
}
LOSSY = 0.1  # seconds that an encoder may add


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> Samples:
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), np.float32)


def encoded(kind: str, samples: Samples, rate: int = RATE) -> bytes:
    made = io.BytesIO()
    soundfile.write(made, samples, rate, format=KINDS[kind])
    return made.getvalue()


def mpeg4(samples: Samples, form: str = "ipod") -> bytes:
    made = io.BytesIO()
    with av.open(made, "w", format=form) as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return made.getvalue()


def read(folder: Path, data: bytes, name: str = "x.bin") -> Decoded:
    (folder / name).write_bytes(data)
    return decode(folder / name)


def seconds(decoded: Decoded) -> float:
    return len(decoded.samples) / decoded.rate


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_read_without_a_remark_whatever_it_is_called(kind: str, tmp_path: Path) -> None:
    found = read(tmp_path, encoded(kind, tone(3.0)), "x.mp3" if kind != "mp3" else "x.wav")
    assert abs(seconds(found) - 3.0) < LOSSY
    assert found.unread == ()


@pytest.mark.parametrize("name", [name for name in FILES if f".{name}" in AUDIO_SUFFIXES])
def test_every_kind_that_is_read_is_recognised_and_walked(name: str) -> None:
    found, unread = streams(FILES[name]())
    assert (len(found), unread) == (1, [])
    assert found[0].kind == sniff(FILES[name]())


@pytest.mark.parametrize("form", ["ipod", "adts"])
def test_aac_is_read_in_both_wrappings(form: str, tmp_path: Path) -> None:
    found = read(tmp_path, mpeg4(tone(3.0), form))
    assert abs(seconds(found) - 3.0) < LOSSY
    assert found.unread == ()


@pytest.mark.parametrize("kind", ["wav", "aiff", "caf", "w64", "flac", "ogg", "mp3", "m4a"])
def test_files_that_were_joined_are_all_read(kind: str, tmp_path: Path) -> None:
    low, high = tone(2.0, 440.0), tone(3.0, 880.0)
    data = mpeg4(low) + mpeg4(high) if kind == "m4a" else encoded(kind, low) + encoded(kind, high)
    found = read(tmp_path, data)
    assert abs(seconds(found) - 5.0) < 2 * LOSSY
    behind = found.samples[round(3.0 * RATE) : round(4.0 * RATE)]
    assert abs(int(np.abs(np.fft.rfft(behind)).argmax()) - 880) <= 2
    assert found.unread == ()


def test_files_of_several_kinds_rates_and_channels_are_joined_at_the_first_one_s_rate(tmp_path: Path) -> None:
    stereo = np.stack([tone(2.0, rate=44_100)] * 2, axis=1)
    found = read(tmp_path, encoded("wav", tone(2.0)) + encoded("flac", stereo, 44_100))
    assert (found.rate, abs(seconds(found) - 4.0) < 0.01, found.unread) == (RATE, True, ())


@pytest.mark.parametrize("kind", ["wav", "aiff", "caf", "w64", "au", "flac", "ogg", "mp3", "m4a"])
def test_a_file_that_is_cut_off_says_so(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    data = mpeg4(noise) if kind == "m4a" else encoded(kind, noise)
    if kind in ("m4a", "caf"):  # a cut takes the table of contents away; libsndfile refuses a CAF that lacks something
        with pytest.raises(MusicError, match="cannot be decoded"):
            read(tmp_path, data[: len(data) // 2])
        return
    found = read(tmp_path, data[: len(data) // 2])
    assert any("cut off" in reason or "promises" in reason for reason in found.unread)


def test_a_hole_in_the_middle_is_said(tmp_path: Path) -> None:
    for kind in ("flac", "ogg", "mp3"):
        data = bytearray(encoded(kind, np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)))
        middle = len(data) // 2
        data[middle : middle + 9000] = bytes(9000)
        assert read(tmp_path, bytes(data)).unread, kind


def test_what_stands_behind_the_sound_is_said_unless_it_is_a_tag(tmp_path: Path) -> None:
    for kind in ("wav", "flac", "mp3"):
        data = encoded(kind, tone(2.0))
        assert read(tmp_path, data + b"TAG" + bytes(125)).unread == (), kind
    assert "300 bytes" in read(tmp_path, encoded("wav", tone(2.0)) + b"\x01\x02\x03" * 100).unread[0]


def test_a_header_that_says_less_than_is_there_hides_nothing(tmp_path: Path) -> None:
    data = encoded("wav", tone(4.0))
    at = data.index(b"data")
    short = data[: at + 4] + struct.pack("<I", 2 * RATE) + data[at + 8 :]  # one second of four
    found = read(tmp_path, short)
    assert seconds(found) >= 4.0 or found.unread


def test_sizes_that_a_stream_leaves_open_are_read_to_the_end(tmp_path: Path) -> None:
    data = encoded("wav", tone(2.0))
    at = data.index(b"data")
    streamed = data[:4] + b"\xff" * 4 + data[8 : at + 4] + b"\xff" * 4 + data[at + 8 :]
    found = read(tmp_path, streamed)
    assert (round(seconds(found), 2), found.unread) == (2.0, ())


def test_chunks_in_any_order_are_read(tmp_path: Path) -> None:
    data = encoded("wav", tone(1.0))
    notes = b"LIST" + struct.pack("<I", 9) + b"INFOINAM\0" + b"\0"
    found = read(tmp_path, data[:4] + struct.pack("<I", len(data) - 8 + len(notes)) + data[8:12] + notes + data[12:])
    assert round(seconds(found), 2) == 1.0


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 100, b"OggS", b"fLaC", b"RIFF\0\0\0\0WAVE", b"ID3\4\0\0\x7f\x7f\x7f\x7f", b"\xff\xfb"]
)
def test_bytes_that_are_no_sound_are_refused_by_name(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(MusicError, match=r"x\.bin"):
        read(tmp_path, data)


@pytest.mark.parametrize("seed", range(40))
def test_no_bytes_make_the_walk_fail_or_run_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[seed % len(KINDS)]
    data = bytearray(encoded(kind, tone(0.2)))
    for place in rng.integers(0, min(len(data), 400), 20):
        data[place] = rng.integers(256)
    found, _ = streams(bytes(data))
    assert all(0 <= stream.start < stream.end <= len(data) for stream in found)
    assert sniff(bytes(data[:64])) is not None


def test_channels_that_cancel_are_not_mixed(tmp_path: Path) -> None:
    left = tone(1.0)
    soundfile.write(tmp_path / "x.wav", np.stack([left, -left], axis=1), RATE)
    assert np.abs(decode(tmp_path / "x.wav").samples).max() > 0.4


def test_surround_is_weighted_as_the_standard_says() -> None:
    """EBU Tech 3341, case 6: left and right -28, centre -24, surrounds -30 dBFS at 1 kHz are -23 LUFS."""
    times = np.arange(20 * 48_000) / 48_000

    def channel(level: float, hertz: float = 1000.0) -> Samples:
        return np.asarray(10 ** (level / 20) * np.sin(2 * np.pi * hertz * times), np.float32)

    five = [channel(-28), channel(-28), channel(-24), channel(-30), channel(-30)]
    assert loudness(np.stack(five, axis=1), 48_000) == pytest.approx(-23.0, abs=0.1)
    low = [*five[:3], channel(-6, 50.0), *five[3:]]  # the low-frequency channel does not count
    assert loudness(np.stack(low, axis=1), 48_000) == pytest.approx(-23.0, abs=0.1)
    four = [channel(-28), channel(-28), channel(-30), channel(-30)]
    front, behind = 10**-2.8, 1.41 * 10**-3.0
    expected = -23.0 + 10 * np.log10((2 * front + 2 * behind) / (2 * front + 10**-2.4 + 2 * behind))
    assert loudness(np.stack(four, axis=1), 48_000) == pytest.approx(expected, abs=0.1)
    with pytest.raises(MusicError, match="8 channels"):
        loudness(np.zeros((48_000, 8), np.float32), 48_000)

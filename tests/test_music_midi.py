"""MIDI: what is written reads back as the same notes, and hostile bytes are refused in time."""

import random
import struct
import time
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music.midi import check_midi, midi_bytes, parse_midi, read_midi, write_midi
from music.notes import MusicError, NoteSequence, Part, Tempo, TimeSignature, build


def chunk(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack(">I", len(body)) + body


def header(kind: int = 1, tracks: int = 1, division: int = 480) -> bytes:
    return chunk(b"MThd", struct.pack(">HHH", kind, tracks, division & 0xFFFF))


NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40"  # a quarter of middle C at 480 ticks
END = b"\x00\xff\x2f\x00"


def song() -> NoteSequence:
    rng = np.random.default_rng(3)
    n = 200
    return build(
        np.arange(n) / 4,
        np.full(n, 0.25),
        rng.integers(40, 90, n),
        rng.integers(1, 128, n),
        rng.integers(0, 3, n),
        parts=[Part("lead", 73), Part("bass", 32), Part("kit", 0, True)],
        tempos=[Tempo(0, 96), Tempo(16, 132)],
        time_signatures=[TimeSignature(0, 4, 4), TimeSignature(16, 6, 8)],
    )


def same(a: NoteSequence, b: NoteSequence) -> bool:
    return all(
        np.array_equal(getattr(a, c), getattr(b, c))
        for c in ("onset_beat", "duration_beat", "pitch", "velocity", "part")
    )


def test_reading_back_gives_the_same_notes(tmp_path: Path) -> None:
    piece = song()
    write_midi(piece, tmp_path / "x.mid")
    again = read_midi(tmp_path / "x.mid")
    assert same(again, piece)
    assert [p.name for p in again.parts] == ["lead", "bass", "kit"]
    assert [p.is_drum for p in again.parts] == [False, False, True]
    assert [p.program for p in again.parts][:2] == [73, 32]
    assert again.time_signatures == piece.time_signatures
    np.testing.assert_allclose(again.onset_s, piece.onset_s, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, 48), st.integers(0, 127), st.integers(1, 127)),
        min_size=1,
        max_size=60,
        unique_by=lambda n: n[2],  # one note a pitch: nothing overlaps
    ),
    st.sampled_from([24, 96, 480, 960]),
)
def test_any_notes_on_the_grid_survive(notes: list[tuple[int, int, int, int]], ticks: int) -> None:
    onset, duration, pitch, velocity = (np.array(c) for c in zip(*notes, strict=True))
    piece = build(onset / ticks, duration / ticks, pitch, velocity, ticks_per_quarter=ticks)
    assert same(parse_midi(midi_bytes(piece), "x"), piece)


def test_an_independent_reader_agrees(tmp_path: Path) -> None:
    piece = song()
    write_midi(piece, tmp_path / "x.mid")
    read = mido.MidiFile(tmp_path / "x.mid")
    notes = sorted(m.note for t in read.tracks for m in t if m.type == "note_on" and m.velocity)
    assert notes == sorted(piece.pitch.tolist())
    assert read.length == pytest.approx(piece.end_s, abs=1e-3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html><body>not found", "begins as HTML"),
        (b"RIFF\x10\x00\x00\x00RMID", "begins as a RIFF file"),
        (b"MThd\x00\x00", "the header of a MIDI file alone has 14"),
        (header(kind=2) + chunk(b"MTrk", END), "format 2"),
        (header(division=0) + chunk(b"MTrk", END), "division 0"),
        (header(division=0xE728) + chunk(b"MTrk", END), "SMPTE"),
        (header(tracks=65535) + chunk(b"MTrk", END), "65535 tracks"),
        (header(tracks=2) + chunk(b"MTrk", END), "the file ends after 1"),
        (header() + b"MTrk\x7f\xff\xff\xff" + END, "says 2147483647 bytes"),
        (header() + chunk(b"MTrk", b"\x00\xff\x51\x03\x00\x00\x00" + END), "tempo 000000"),
        (header() + chunk(b"MTrk", b"\x00\xff\x58\x04\x00\x02\x18\x08" + END), "meter 00"),
        (header() + chunk(b"MTrk", b"\x00\x3c\x40"), "follows no status byte"),
        (header() + chunk(b"MTrk", b"\x00\x90\x3c"), "wants 2 data bytes"),
        (header() + chunk(b"MTrk", b"\x00\x90\x3c\xff"), "wants 2 data bytes"),
        (header() + chunk(b"MTrk", b"\xff\xff\xff\xff\x7f"), "at most 4 bytes"),
        (header() + chunk(b"MTrk", b"\x00\xf4"), "not allowed in a file"),
        (header() + chunk(b"MTrk", b"\x00\xff\x01\x7f"), "says 127 bytes"),
        (header() + chunk(b"MTrk", b"\x00\x90\x3c\x40\xff\xff\xff\x7f\x80\x3c\x40" + END), "lasts"),
        (header() + chunk(b"MTrk", b"\x00\x90\x3c\x40" * 500_001 + END), "more than 500000 events"),
    ],
)
def test_hostile_files_are_refused_with_the_rule(data: bytes, message: str) -> None:
    with pytest.raises(MusicError, match=message) as caught:
        parse_midi(data, "evil.mid")
    assert str(caught.value).startswith("evil.mid: ")


def test_mutated_files_are_read_or_refused_quickly() -> None:
    rng, good = random.Random(5), midi_bytes(song())
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = bytes(data[: rng.randrange(len(data))]) if rng.random() < 0.3 else bytes(data)
        start = time.monotonic()
        try:
            parse_midi(cut, "x")
        except MusicError as error:
            assert "x: " in str(error)  # noqa: PT017
        assert time.monotonic() - start < 2


def test_a_crowd_on_one_tick_is_read() -> None:
    body = b"".join(b"\x00\x90" + bytes([i % 128, 64]) for i in range(100_000))
    body += b"\x60\x80\x00\x00" + b"".join(b"\x00\x80" + bytes([i % 128, 0]) for i in range(1, 100_000))
    start = time.monotonic()
    assert len(parse_midi(header() + chunk(b"MTrk", body + END), "x")) == 100_000
    assert time.monotonic() - start < 2


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match="no such file"):
        read_midi(tmp_path / "none.mid")
    (tmp_path / "empty.mid").touch()
    with pytest.raises(MusicError, match="the file is empty"):
        read_midi(tmp_path / "empty.mid")
    with pytest.raises(MusicError, match="not a regular file"):
        read_midi(tmp_path)


def test_alien_chunks_between_tracks_are_passed_over() -> None:
    check_midi(header() + chunk(b"XFIH", b"abc") + chunk(b"MTrk", NOTE + END), "x")

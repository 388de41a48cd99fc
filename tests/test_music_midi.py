"""MIDI: what is written reads back as the same notes, and hostile bytes are refused in time."""

import random
import struct
import time
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music.midi import MAX_AT_ONCE, midi_bytes, parse_midi, read_midi, write_midi
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
        (header(tracks=2), "announces 2 tracks, the file ends after 0"),
        (header() + chunk(b"MTrk", b"\x00\xff\x51\x03\x00\x00\x00" + END), "tempo 000000"),
        (header() + chunk(b"MTrk", b"\x00\xff\x58\x04\x00\x02\x18\x08" + END), "meter 00"),
        (header() + chunk(b"MTrk", b"\x00\x3c\x40"), "follows no status byte"),
        (header() + chunk(b"MTrk", b"\x00\x90\x3c"), "ends at byte 25, within an event"),
        (header() + chunk(b"MTrk", b"\x00\x90\x3c\xff"), "wants data bytes below 0x80"),
        (header() + chunk(b"MTrk", b"\xff\xff\xff\xff\x7f"), "at most 4 bytes"),
        (header() + chunk(b"MTrk", b"\x00\xf4"), "not allowed in a file"),
        (header() + chunk(b"MTrk", b"\x00\xff\x01\x7f"), "ends at byte 26, within an event"),
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


def test_a_crowd_on_one_tick_is_refused_at_once() -> None:
    body = b"".join(b"\x00\x90" + bytes([i % 128, 64]) for i in range(100_000))
    body += b"\x60\x80\x00\x00" + b"".join(b"\x00\x80" + bytes([i % 128, 0]) for i in range(1, 100_000))
    start = time.monotonic()
    with pytest.raises(MusicError, match="x: 100000 notes sound at once; the limit is 1024"):
        parse_midi(header() + chunk(b"MTrk", body + END), "x")
    assert time.monotonic() - start < 2


def test_as_many_notes_as_may_sound_at_once_are_read() -> None:
    def held(notes: int) -> bytes:
        tracks = [
            b"".join(b"\x00\x90" + bytes([i, 64]) for i in range(count))
            + b"\x60\x80\x00\x00"
            + b"".join(b"\x00\x80" + bytes([i, 0]) for i in range(1, count))
            for count in [128] * (notes // 128) + [notes % 128] * (notes % 128 > 0)
        ]
        return header(tracks=len(tracks)) + b"".join(chunk(b"MTrk", track + END) for track in tracks)

    assert len(parse_midi(held(MAX_AT_ONCE), "x")) == MAX_AT_ONCE
    with pytest.raises(MusicError, match="1025 notes sound at once"):
        parse_midi(held(MAX_AT_ONCE + 1), "x")
    # one after another there may be any number
    body = b"".join(b"\x00\x90\x3c\x40\x01\x80\x3c\x00" for _ in range(3000))
    assert len(parse_midi(header() + chunk(b"MTrk", body + END), "x")) == 3000


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match="no such file"):
        read_midi(tmp_path / "none.mid")
    (tmp_path / "empty.mid").touch()
    with pytest.raises(MusicError, match="the file is empty"):
        read_midi(tmp_path / "empty.mid")
    with pytest.raises(MusicError, match="not a regular file"):
        read_midi(tmp_path)


def test_alien_chunks_between_tracks_are_passed_over() -> None:
    read = parse_midi(header() + chunk(b"XFIH", b"abc") + chunk(b"MTrk", NOTE + END), "x")
    assert (len(read), read.remarks, read.unread) == (1, (), ())


def one_track(*events: bytes) -> bytes:
    return header() + chunk(b"MTrk", b"".join(events) + END)


ON, OFF = b"\x90\x3c\x40", b"\x80\x3c\x40"


def test_a_note_struck_again_ends_and_begins() -> None:
    # three strikes a quarter apart, one end a quarter later
    quarter = b"\x83\x60"
    data = one_track(b"\x00" + ON, quarter + ON, quarter + ON, quarter + OFF)
    read = parse_midi(data, "x")
    assert read.onset_beat.tolist() == [0.0, 1.0, 2.0]
    assert read.duration_beat.tolist() == [1.0, 1.0, 1.0]
    # the other way of ending: velocity 0; two channels that strike one pitch do not end one another
    data = one_track(b"\x00" + ON, b"\x00\x91\x3c\x40", quarter + ON, quarter + b"\x90\x3c\x00", b"\x00\x81\x3c\x00")
    read = parse_midi(data, "x")
    assert sorted(zip(read.onset_beat.tolist(), read.duration_beat.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 1)]


def test_an_end_at_the_tick_of_a_new_strike_belongs_to_the_old_note() -> None:
    quarter = b"\x83\x60"
    data = one_track(b"\x00" + ON, quarter + ON, b"\x00" + OFF, quarter + OFF)
    assert parse_midi(data, "x").duration_beat.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("repeats", [2, 5])
def test_pretty_midi_counts_the_same_strikes(tmp_path: Path, repeats: int) -> None:
    rng = np.random.default_rng(repeats)
    events = [b"\x30\x90" + bytes([60 + int(rng.integers(0, 5)), 64]) for _ in range(40 * repeats)]
    data = one_track(*events, *(b"\x30\x80" + bytes([60 + i, 0]) for i in range(5)))
    (tmp_path / "x.mid").write_bytes(data)
    theirs = pretty_midi.PrettyMIDI(str(tmp_path / "x.mid")).instruments[0].notes
    mine = parse_midi(data, "x")
    assert len(mine) == len(theirs) == 40 * repeats
    starts = sorted((round(n.start, 6), n.pitch) for n in theirs)
    assert starts == sorted(zip(mine.onset_s.round(6).tolist(), mine.pitch.tolist(), strict=True))


def test_what_reading_mends_is_counted() -> None:
    read = parse_midi(one_track(b"\x00" + ON, b"\x00\x90\x3e\x40", b"\x60" + OFF), "x")
    assert sorted(zip(read.pitch.tolist(), read.duration_beat.tolist(), strict=True)) == [(60, 0.2), (62, 0.2)]
    assert read.remarks == ("notes without an end, held to the end of their track: 1",)
    read = parse_midi(one_track(b"\x00" + ON, b"\x00" + OFF), "x")
    assert read.duration_beat.tolist() == [1 / 480]
    assert read.remarks == ("notes of no length, given one tick: 1",)
    assert read.unread == ()


@pytest.mark.parametrize("between", [b"\x00\xff\x01\x03abc", b"\x00\xf0\x03\x7e\x09\xf7"])
def test_running_status_goes_on_across_other_events(between: bytes) -> None:
    data = one_track(b"\x00\x90\x3c\x40", b"\x60\x3c\x00", between, b"\x00\x3e\x40", b"\x60\x3e\x00")
    assert parse_midi(data, "x").pitch.tolist() == [60, 62]


def test_a_file_cut_short_is_read_up_to_the_cut_and_says_so() -> None:
    whole = midi_bytes(song())
    cut = parse_midi(whole[: len(whole) // 2], "x")
    assert 0 < len(cut) < len(song())
    assert len(cut.unread) == 2
    assert "bytes are there" not in cut.unread[0]
    assert "bytes, " in cut.unread[0]
    assert "the header announces 3 tracks, the file ends after" in cut.unread[1]
    assert parse_midi(whole, "x").unread == ()
    assert cut.select(cut.pitch > 0).unread == cut.unread  # what is derived from it knows, too


def test_tracks_missing_at_the_end_and_tracks_too_many() -> None:
    track = chunk(b"MTrk", NOTE + END)
    assert parse_midi(header(tracks=2) + track, "x").unread == ("the header announces 2 tracks, the file ends after 1",)
    more = parse_midi(header(tracks=1) + 2 * track, "x")
    assert (len(more), more.unread) == (2, ())
    assert more.remarks == ("the header announces 1 tracks, 2 are there and were read",)


def test_a_second_file_behind_the_first_is_not_passed_over() -> None:
    file = header() + chunk(b"MTrk", NOTE + END)
    assert parse_midi(2 * file, "x").unread == (
        f"a second MIDI file begins at byte {len(file)}; only the first was read",
    )
    assert parse_midi(file + b"\0\0", "x").remarks == ("2 bytes at the end are no chunk of a MIDI file",)


def test_parts_know_the_track_they_were_filed_in() -> None:
    first = b"".join(b"\x00" + bytes([0x90 | c, 60 + c, 64]) + b"\x60" + bytes([0x80 | c, 60 + c, 0]) for c in range(3))
    data = header(tracks=2) + chunk(b"MTrk", first + END) + chunk(b"MTrk", NOTE + END)
    assert [p.track for p in parse_midi(data, "x").parts] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("meters", "bars"),
    [
        ([(0, 4, 4), (480, 4, 4)], [0, 1, 5, 9]),  # a pickup of one quarter, the meter said anew
        ([(0, 4, 4), (480 * 6, 3, 4)], [0, 4, 6, 9]),  # a meter in the middle of a bar begins one
        (
            [(0, 4, 4), (480 * 4 + 2, 3, 4)],
            [0, 4 + 2 / 480, 7 + 2 / 480, 10 + 2 / 480],
        ),  # two ticks late: no bar of two
        ([(2, 3, 4)], [0, 3 + 2 / 480, 6 + 2 / 480, 9 + 2 / 480]),
    ],
)
def test_every_meter_begins_a_bar(meters: list[tuple[int, int, int]], bars: list[float]) -> None:
    events, before = b"", 0
    for tick, n, d in meters:
        wait = tick - before
        events += bytes([0x80 | wait >> 7, wait & 127]) + b"\xff\x58\x04" + bytes([n, {4: 2, 8: 3}[d], 24, 8])
        before = tick
    notes = b"".join(b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x00" for _ in range(12))
    data = header(tracks=2) + chunk(b"MTrk", events + END) + chunk(b"MTrk", notes + END)
    read = parse_midi(data, "x")
    assert read.bar_starts.tolist()[: len(bars)] == pytest.approx(bars)
    assert [int(read.bar_at(start + 1e-6)) for start in bars] == list(range(1, len(bars) + 1))


def test_printed_bars_survive_a_midi_file() -> None:
    n = 16
    piece = build(
        np.arange(n), np.ones(n), np.full(n, 60), time_signatures=[TimeSignature(0, 4, 4)], bar_starts=[0, 1, 5, 8, 13]
    )
    assert parse_midi(midi_bytes(piece), "x").bar_starts.tolist()[:5] == [0, 1, 5, 8, 13]

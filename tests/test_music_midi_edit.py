"""Bars of a MIDI file get other notes, and nothing else in it changes."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from music.midi import parse_midi
from music.midi_edit import NewNote, rewritten
from music.midi_events import read_events


def file(*tracks: bytes, announced: int = 0) -> bytes:
    chunks = b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)
    return b"MThd" + struct.pack(">IHHH", 6, 1, announced or len(tracks), 96) + chunks


END = b"\x00\xff\x2f\x00"


def others(data: bytes, span: tuple[int, int]) -> list[list[tuple[object, ...]]]:
    """List what is no note of the span, with ticks: other events, and notes as (tick, ticks, pitch, velocity, part)."""
    found: list[list[tuple[object, ...]]] = []
    for track in read_events(data, "x").tracks:
        left = [event for event in track.events if event[1] & 0xF0 not in (0x80, 0x90)]
        found.append([event for event in left if event[1:3] != (0xFF, 0x2F)])  # the end may move
    read = parse_midi(data, "x")
    columns = (read.onset_beat * 96, read.duration_beat * 96, read.pitch, read.velocity, read.part)
    notes = zip(*(np.rint(c).astype(int).tolist() for c in columns), strict=True)
    found.append([(*note[:4], read.parts[note[4]]) for note in notes if not span[0] <= note[0] < span[1]])
    return found


LEAD = (
    b"\x00\xff\x03\x04lead\x00\xc0\x49\x00\xb0\x07\x64"  # name, program, volume
    b"\x00\x90\x3c\x40\x60\x3c\x00"  # running status
    b"\x00\xff\x05\x02la\x00\xe0\x00\x50\x00\x90\x3e\x40\x60\x80\x3e\x11"  # lyric, bend; an end with a velocity
    b"\x00\xf0\x03\x7e\x09\xf7\x00\x90\x40\x40\x81\x40\x40\x00\x00\xb0\x40\x00" + END  # sysex, pedal
)
BASS = b"\x00\xc1\x20\x00\x91\x24\x50\x60\x26\x50\x00\x24\x00\x83\x00\x26\x00" + END


def test_all_else_stays_and_untouched_tracks_stay_byte_for_byte() -> None:
    alien = b"XFIH" + struct.pack(">I", 3) + b"abc"
    data = file(b"\x00\xff\x51\x03\x07\xa1\x20" + END, LEAD, BASS) + alien
    new = [NewNote(1, 0, 100, 20, 70, 99), NewNote(1, 0, 150, 500, 71, 98)]
    made = rewritten(data, "x", (96, 192), new)
    assert others(data, (96, 192)) == others(made, (96, 192))
    read = parse_midi(made, "x")
    inside = [
        (round(o * 96), round(d * 96), int(p))
        for o, d, p in zip(read.onset_beat, read.duration_beat, read.pitch, strict=True)
        if 96 <= round(o * 96) < 192
    ]
    assert sorted(inside) == [(100, 20, 70), (150, 500, 71)]  # the bass note of the span went, too
    assert made.startswith(data[: 14 + 8 + 11])
    assert made.endswith(alien)
    # where nothing is taken out or put in, not a byte changes
    assert rewritten(data, "x", (10_000, 20_000), []) == data


def test_a_note_that_sounds_on_into_the_bars_keeps_its_end() -> None:
    held = b"\x00\x90\x3c\x40" + b"\x60\x90\x3c\x50" + b"\x60\x80\x3c\x00" + END  # struck again within the span
    made = rewritten(file(held), "x", (96, 192), [])
    assert others(made, (96, 192)) == others(file(held), (96, 192))
    assert parse_midi(made, "x").duration_beat.tolist() == [1.0]
    # a new note gives way to one that sounds, and ends where a later one is struck
    long = b"\x00\x90\x3c\x40\x81\x00\x80\x3c\x00\x40\x90\x3c\x41\x20\x80\x3c\x00" + END
    made = rewritten(file(long), "x", (96, 150), [NewNote(0, 0, 100, 9, 60, 9), NewNote(0, 0, 130, 900, 60, 9)])
    read = parse_midi(made, "x")
    assert (read.onset_beat * 96).round().astype(int).tolist() == [0, 130, 192]
    assert (read.duration_beat * 96).round().astype(int).tolist() == [128, 62, 32]


@pytest.mark.parametrize("seed", range(30))
def test_any_file_keeps_what_is_outside(seed: int) -> None:
    rng = random.Random(seed)
    tracks = []
    for _ in range(rng.randint(1, 3)):
        body = b""
        for _ in range(rng.randint(5, 60)):
            body += bytes([rng.choice((0, 0, 10, 48, 96))])
            kind = rng.random()
            pitch, channel = 60 + rng.randrange(4), rng.randrange(2)
            if kind < 0.45:
                body += bytes([0x90 | channel, pitch, rng.randint(1, 127)])
            elif kind < 0.85:
                body += bytes([0x80 | channel, pitch, 64])
            else:
                body += rng.choice(
                    (bytes([0xB0 | channel, 7, rng.randrange(128)]), b"\xff\x01\x02hi", b"\xf0\x02\x41\xf7")
                )
        tracks.append(body + b"\x40\xff\x2f\x00")
    data = file(*tracks)
    start = rng.randrange(0, 1000)
    span = (start, start + rng.choice((48, 96, 384)))
    new = [
        NewNote(
            rng.randrange(len(tracks)),
            rng.randrange(2),
            rng.randrange(*span),
            rng.randint(1, 300),
            60 + rng.randrange(5),
            7,
        )
        for _ in range(rng.randrange(8))
    ]
    before, after = others(data, span), others(rewritten(data, "x", span, new), span)
    assert [sorted(map(str, part)) for part in before] == [sorted(map(str, part)) for part in after]

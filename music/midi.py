"""Guarded reading and exact writing of Standard MIDI Files.

`music.midi_events` walks every byte; here its events become notes. (symusic, the fastest reader, drops notes that are
struck again without an end, and believes a tempo of 0 and notes of days.)

Writing goes through symusic: it stores ticks, where pretty_midi stores seconds and rounds them back, so notes that lie
on the file's grid come back exactly as they were (docs/design/music.md).
"""

from __future__ import annotations

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from symusic import Note, Score, Track
from symusic import Tempo as ScoreTempo
from symusic import TimeSignature as ScoreTimeSignature

from messages import message
from music.midi_events import META, METER, NAME, TEMPO, Event, read_events
from music.notes import (
    BAR_SLACK,
    DEFAULT_BPM,
    FloatArray,
    IntArray,
    MusicError,
    NoteSequence,
    Part,
    Tempo,
    TimeSignature,
    bars_of,
    beats_to_seconds,
    build,
)

MAX_BYTES = 16 * 2**20
MAX_AT_ONCE = 1024  # notes; the largest orchestra has some 200
DRUMS = 9  # channel 10
MAX_SECONDS = 3 * 3600.0
MENDED = {
    "endless": "notes without an end, held to the end of their track: {count:d}",
    "instant": "notes of no length, given one tick: {count:d}",
}
MIN_BPM, MAX_BPM = 1.0, 6000.0  # the three bytes of a tempo event reach from 3.6 bpm up


def read_bytes(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises
    ------
    MusicError
        When the file is missing, no regular file, not readable, empty or too large.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise MusicError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise MusicError(f"{path}: cannot be read: {error.strerror}") from error
    if not data:
        raise MusicError(f"{path}: the file is empty")
    if len(data) > limit:
        raise MusicError(f"{path}: more than {limit} bytes; the limit for this kind of file is {limit}")
    return data


def parse_midi(data: bytes, name: str) -> NoteSequence:
    """Read MIDI bytes.

    A part is what one track plays on one channel with one program; drum parts (channel 10) are marked. A note that is
    struck again before its end ends there, and another begins. A note without an end is held to the end of its track;
    one of no length is given a tick, so that every note sounds. `remarks` counts what was mended so.

    Raises
    ------
    MusicError
        As `music.midi_events.read_events`, and for a piece that lasts longer than `MAX_SECONDS` or has more than
        `MAX_AT_ONCE` notes at once.
    """
    file = read_events(data, name)
    tpq, reading = file.ticks_per_quarter, _Reading()
    for number, track in enumerate(file.tracks):
        reading.read(number, track.events)
    notes = np.array(reading.notes, dtype=np.int64).reshape(-1, 5)
    tempos = [
        Tempo(tick / tpq, min(max(60e6 / microseconds, MIN_BPM), MAX_BPM))
        for tick, microseconds in sorted(reading.tempos.items())
    ]
    end = float(beats_to_seconds((notes[:, 0] + notes[:, 1]) / tpq, _from_start(tempos)).max()) if len(notes) else 0.0
    if end > MAX_SECONDS:
        raise MusicError(f"{name}: lasts {end:.0f} s; the limit is {MAX_SECONDS:.0f} s")
    check_crowd(notes[:, 0], notes[:, 0] + notes[:, 1], name)
    places = sorted(reading.parts)  # every part has a note
    owners = np.argsort([reading.parts[place] for place in places])[notes[:, 4]]
    try:
        return build(
            notes[:, 0] / tpq,
            notes[:, 1] / tpq,
            notes[:, 2],
            notes[:, 3],
            owners,
            parts=[
                Part(reading.names.get(track, ""), program, channel == DRUMS, track, channel)
                for track, channel, program in places
            ]
            or (Part(),),
            tempos=tempos,
            time_signatures=[TimeSignature(tick / tpq, n, d) for tick, (n, d) in sorted(reading.meters.items())],
            ticks_per_quarter=tpq,
            remarks=[*file.remarks, *reading.remarks()],
            unread=file.unread,
        )
    except MusicError as error:
        raise MusicError(f"{name}: {error}") from error


def _from_start(tempos: list[Tempo]) -> list[Tempo]:
    return tempos if tempos and tempos[0].beat == 0 else [Tempo(0.0, DEFAULT_BPM), *tempos]


def check_crowd(start: IntArray | FloatArray, end: IntArray | FloatArray, name: str) -> None:
    """Refuse music with more than `MAX_AT_ONCE` notes sounding at once, given where (n,) notes start and end.

    Chords are compared note by note further on; 100,000 notes at one tick would take hours.

    Raises
    ------
    MusicError
        Naming the number.
    """
    crowd = np.arange(1, len(start) + 1) - np.searchsorted(np.sort(end), np.sort(start), side="right")
    most = int(crowd.max(initial=0))
    if most > MAX_AT_ONCE:
        raise MusicError(f"{name}: {most} notes sound at once; the limit is {MAX_AT_ONCE}")


class _Reading:
    """What the tracks of a file have played so far."""

    def __init__(self) -> None:
        self.notes: list[tuple[int, int, int, int, int]] = []  # tick, ticks, pitch, velocity, part
        self.parts: dict[tuple[int, int, int], int] = {}  # (track, channel, program) -> part
        self.names: dict[int, str] = {}
        self.tempos: dict[int, int] = {}
        self.meters: dict[int, tuple[int, int]] = {}
        self.instant = self.endless = 0

    def read(self, number: int, events: list[Event]) -> None:
        """Take the events of track `number`."""
        programs = [0] * 16
        held: dict[int, list[tuple[int, int, int]]] = {}  # channel and pitch -> tick, velocity, part of what sounds
        struck: dict[int, int] = {}  # -> tick at which a note that sounded was struck again
        for tick, status, first, second, body in events:
            kind = status & 0xF0
            if kind in (0x80, 0x90):
                key = (status & 0x0F) << 7 | first
                sounding = held.get(key)
                if kind == 0x90 and second:
                    if sounding and sounding[0][0] < tick:
                        self._end(sounding, tick, first)
                        struck[key] = tick
                    place = (number, status & 0x0F, programs[status & 0x0F])
                    part = self.parts.setdefault(place, len(self.parts))
                    held.setdefault(key, []).append((tick, second, part))
                elif sounding and struck.get(key) != tick:  # an end at the tick of a new strike is the old note's
                    self._end(sounding, tick, first)
            elif kind == 0xC0:
                programs[status & 0x0F] = first
            elif status == META:
                if first == NAME:
                    self.names.setdefault(number, _clean(_decode(body)))
                elif first == TEMPO:
                    self.tempos[tick] = int.from_bytes(body, "big")
                elif first == METER:
                    self.meters[tick] = (body[0], 1 << body[1])
        for key, sounding in held.items():
            self.endless += len(sounding)
            self._end(sounding, events[-1][0], key & 0x7F)

    def _end(self, sounding: list[tuple[int, int, int]], tick: int, pitch: int) -> None:
        for start, velocity, part in sounding:
            self.instant += tick == start
            self.notes.append((start, max(tick - start, 1), pitch, velocity, part))
        sounding.clear()

    def remarks(self) -> list[str]:
        """Say what was mended."""
        counts = {"endless": self.endless, "instant": self.instant}
        return [message(MENDED[what], count=count) for what, count in counts.items() if count]


def _decode(text: bytes) -> str:
    """Text of a meta event, whose encoding no standard says: UTF-8 where it is that."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _clean(text: str) -> str:
    """Printable, one line, at most 80 characters: names from files end up in reports."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:80]


def read_midi(path: str | Path) -> NoteSequence:
    """Read a MIDI file (format 0 or 1, ticks per quarter note).

    Raises
    ------
    MusicError
        When it can't be read; the message names file, value and rule.
    """
    return parse_midi(read_bytes(path), str(path))


def midi_bytes(sequence: NoteSequence) -> bytes:
    """Encode a sequence as a format 1 file at its own resolution.

    Onsets and durations are rounded to ticks; `parse_midi` gives the same notes back when they lie on that
    grid and no two notes of one part overlap at one pitch (a MIDI channel cannot say which of them ends). Bars that do
    not follow from the meters are said by a meter where each begins, so they come back too.
    """
    tpq = sequence.ticks_per_quarter
    score: Any = Score(tpq)
    score.tempos.extend([ScoreTempo(round(t.beat * tpq), t.bpm) for t in sequence.tempos])
    score.time_signatures.extend(
        [ScoreTimeSignature(round(t.beat * tpq), t.numerator, t.denominator) for t in _meters_to_write(sequence)]
    )
    start = np.round(sequence.onset_beat * tpq).astype(int)
    ticks = np.maximum(1, np.round((sequence.onset_beat + sequence.duration_beat) * tpq).astype(int) - start)
    for index, part in enumerate(sequence.parts):
        mine = np.flatnonzero(sequence.part == index)
        if not len(mine):
            continue
        track: Any = Track(part.name, part.program, part.is_drum)
        for i in mine:
            track.notes.append(Note(int(start[i]), int(ticks[i]), int(sequence.pitch[i]), int(sequence.velocity[i])))
        score.tracks.append(track)
    return bytes(score.dumps_midi())


def _meters_to_write(sequence: NoteSequence) -> tuple[TimeSignature, ...]:
    """Return the meters from which the bars of a sequence follow, as a MIDI file has to say them."""
    meters, starts = sequence.time_signatures, sequence.bar_starts
    if np.array_equal(bars_of(meters, float(starts[-1])), starts):
        return meters
    said: list[TimeSignature] = []
    ends = np.append(starts[1:], starts[-1] + sequence.bar_line(float(starts[-1]))[1])
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        meter = next(t for t in reversed(meters) if t.beat <= start + 1e-9)
        n, d = meter.numerator, meter.denominator
        if end - start > meter.bar_beats + BAR_SLACK:  # a longer bar needs a meter of its own
            exact = Fraction(end - start).limit_denominator(64) / 4
            d = max(d, exact.denominator)
            n = min(round(exact * d), 255)
        before = said[-1] if said else TimeSignature(start, n, d)
        bars = (start - before.beat) / before.bar_beats
        if not said or (before.numerator, before.denominator) != (n, d) or abs(bars - round(bars)) > 1e-6:
            said.append(TimeSignature(start, n, d))
    return tuple(said)


def write_midi(sequence: NoteSequence, path: str | Path) -> None:
    """Write `midi_bytes` to `path`; the file appears whole or not at all."""
    write_atomically(path, midi_bytes(sequence))


def write_atomically(path: str | Path, data: bytes, *, mode: int = 0o644, synced: bool = False) -> None:
    """Write `data` beside `path` and rename it into place, so that no reader sees half a file.

    `mode` are the permission bits; `synced`: whether the content is on the disk before it gets its name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # no name that anybody could guess
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            if synced:
                file.flush()
                os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""Guarded reading and exact writing of Standard MIDI Files.

`symusic` reads a file in a tenth of a millisecond but trusts what the file says: it accepts a division of 0,
a tempo of 0 and notes that last for days. So every byte is walked first by `check_midi`, a small scanner that
knows the format (Standard MIDI File 1.0, RP-001) and the limits below, and only what passes reaches the parser.

Writing goes through symusic too: it stores ticks, where pretty_midi stores seconds and rounds them back, so
notes that lie on the file's grid come back exactly as they were (docs/design/music.md).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from symusic import Note, Score, Track
from symusic import Tempo as ScoreTempo
from symusic import TimeSignature as ScoreTimeSignature

from music.notes import MusicError, NoteSequence, Part, Tempo, TimeSignature, build

MAX_BYTES = 16 * 2**20
MAX_TRACKS = 256
MAX_EVENTS = 500_000
MAX_SECONDS = 3 * 3600.0
MIN_BPM, MAX_BPM = 1.0, 6000.0  # the three bytes of a tempo event reach from 3.6 bpm up

T = TypeVar("T")

_DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


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


def check_midi(data: bytes, name: str) -> None:
    """Walk every byte of a MIDI file and refuse what no player should be given.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        How error messages call it.

    Raises
    ------
    MusicError
        For a wrong header, SMPTE or zero division, format 2, a chunk that runs past the end, an event that is no
        MIDI, tempo 0, a meter of zero, or more than `MAX_TRACKS` tracks or `MAX_EVENTS` events.
    """
    if data[:4] != b"MThd":
        found_kind = {b"RIFF": "a RIFF file", b"<htm": "HTML", b"<!DO": "HTML", b"<?xm": "XML"}.get(
            data[:4], f"{data[:4]!r}"
        )
        raise MusicError(f"{name}: begins as {found_kind}; a MIDI file begins with b'MThd'")
    if len(data) < 14:
        raise MusicError(f"{name}: {len(data)} bytes; the header of a MIDI file alone has 14")
    header = int.from_bytes(data[4:8], "big")
    kind, tracks, division = (int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12))
    if header < 6:
        raise MusicError(f"{name}: header length {header}; it is at least 6")
    if kind not in (0, 1):
        raise MusicError(f"{name}: format {kind}; formats 0 and 1 are read (2 holds separate pieces)")
    if division & 0x8000:
        raise MusicError(f"{name}: SMPTE time division {division:#06x}; only ticks per quarter note are read")
    if division == 0:
        raise MusicError(f"{name}: division 0; ticks per quarter note must be at least 1")
    if not 1 <= tracks <= MAX_TRACKS:
        raise MusicError(f"{name}: header announces {tracks} tracks; 1..{MAX_TRACKS} are read")
    at, found, events = 8 + header, 0, 0
    while found < tracks:
        if at + 8 > len(data):
            raise MusicError(f"{name}: header announces {tracks} tracks, the file ends after {found}")
        tag, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if at + 8 + length > len(data):
            raise MusicError(f"{name}: chunk {tag!r} at byte {at} says {length} bytes, {len(data) - at - 8} are left")
        if tag == b"MTrk":
            found += 1
            events = _check_track(data, at + 8, at + 8 + length, f"{name}: track {found}", events)
        elif not tag.isalnum():
            raise MusicError(
                f"{name}: no chunk begins at byte {at} ({tag!r}); track {found + 1} of {tracks} is missing"
            )
        at += 8 + length


def _check_track(data: bytes, at: int, end: int, name: str, events: int) -> int:  # noqa: PLR0912
    """Walk one track's events in data[at:end]; return the running count of events."""
    running = 0
    while at < end:
        for width in range(5):  # delta time: 1-4 bytes of 7 bits
            if width == 4 or at >= end:
                raise MusicError(f"{name}: delta time at byte {at} has no end; it has at most 4 bytes")
            at += 1
            if data[at - 1] < 0x80:
                break
        if at >= end:
            raise MusicError(f"{name}: a delta time without an event ends the track at byte {at}")
        events += 1
        if events > MAX_EVENTS:
            raise MusicError(f"{name}: more than {MAX_EVENTS} events; that is the limit")
        status = data[at]
        if status < 0x80:
            if not running:
                raise MusicError(f"{name}: data byte {status:#04x} at byte {at} follows no status byte")
            status = running
        else:
            at += 1
        if status < 0xF0:
            running = status
            count = _DATA_BYTES[status >> 4]
            body = data[at : at + count]
            if at + count > end or not body.isascii():
                raise MusicError(f"{name}: event {status:#04x} at byte {at} wants {count} data bytes below 0x80")
            at += count
            continue
        running = 0
        if status not in (0xF0, 0xF7, 0xFF):
            raise MusicError(f"{name}: status {status:#04x} at byte {at - 1} is not allowed in a file")
        kind = 0
        if status == 0xFF:
            kind = data[at] if at < end else 0xFF
            at += 1
        length = 0
        for width in range(5):
            if width == 4 or at >= end:
                raise MusicError(f"{name}: length at byte {at} has no end; it has at most 4 bytes")
            length = length << 7 | data[at] & 0x7F
            at += 1
            if data[at - 1] < 0x80:
                break
        if at + length > end:
            raise MusicError(f"{name}: event at byte {at} says {length} bytes, {end - at} are left in the track")
        if status == 0xFF:
            _check_meta(data, at, kind, length, name)
            if kind == 0x2F:
                break
        at += length
    return events


def _check_meta(data: bytes, at: int, kind: int, length: int, name: str) -> None:
    if kind == 0x51 and (length != 3 or not any(data[at : at + 3])):
        raise MusicError(
            f"{name}: tempo {data[at : at + length].hex() or 'empty'} at byte {at}; it is 3 bytes and not 0"
        )
    if kind == 0x58 and (length < 2 or data[at] == 0 or data[at + 1] > 6):
        raise MusicError(f"{name}: meter {data[at : at + length].hex()} at byte {at}; it is n/2^k, n > 0, k <= 6")


def parse_midi(data: bytes, name: str) -> NoteSequence:
    """Read MIDI bytes after `check_midi`.

    Notes without an end are dropped by the parser and notes of no length are given one tick, so that every
    note sounds; drum parts (channel 10) are marked.

    Raises
    ------
    MusicError
        As `check_midi`, and for a piece that lasts longer than `MAX_SECONDS`.
    """
    check_midi(data, name)
    try:
        score: Any = Score.from_midi(data)  # symusic's own annotations lose the class behind its factory
    except (RuntimeError, ValueError) as error:
        raise MusicError(f"{name}: {error}") from error
    tpq = score.ticks_per_quarter
    columns, parts = [], []
    for track in score.tracks:
        if not len(track.notes):
            continue
        notes = track.notes.numpy()
        columns.append(np.stack([notes["time"], np.maximum(notes["duration"], 1), notes["pitch"], notes["velocity"]]))
        parts.append(Part(_clean(track.name), int(track.program), bool(track.is_drum)))
    table = np.concatenate(columns, axis=1).astype(np.int64) if columns else np.zeros((4, 0), np.int64)
    owners = np.repeat(np.arange(len(parts)), [c.shape[1] for c in columns])
    tempos = _latest({t.time / tpq: float(t.qpm) for t in score.tempos})
    meters = _latest({t.time / tpq: (int(t.numerator), int(t.denominator)) for t in score.time_signatures})
    sequence = build(
        table[0] / tpq,
        table[1] / tpq,
        np.clip(table[2], 0, 127),
        np.clip(table[3], 1, 127),
        owners,
        parts=tuple(parts) or (Part(),),
        tempos=[Tempo(beat, min(max(bpm, MIN_BPM), MAX_BPM)) for beat, bpm in tempos.items()],
        time_signatures=[TimeSignature(beat, n, d) for beat, (n, d) in meters.items() if n and d],
        ticks_per_quarter=tpq,
    )
    if sequence.end_s > MAX_SECONDS:
        raise MusicError(f"{name}: lasts {sequence.end_s:.0f} s; the limit is {MAX_SECONDS:.0f} s")
    return sequence


def _latest(changes: dict[float, T]) -> dict[float, T]:
    return dict(sorted(changes.items()))


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
    grid and no two notes of one part overlap at one pitch (a MIDI channel cannot say which of them ends).
    """
    tpq = sequence.ticks_per_quarter
    score: Any = Score(tpq)
    score.tempos.extend([ScoreTempo(round(t.beat * tpq), t.bpm) for t in sequence.tempos])
    score.time_signatures.extend(
        [ScoreTimeSignature(round(t.beat * tpq), t.numerator, t.denominator) for t in sequence.time_signatures]
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


def write_midi(sequence: NoteSequence, path: str | Path) -> None:
    """Write `midi_bytes` to `path`; the file appears whole or not at all."""
    write_atomically(path, midi_bytes(sequence))


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it into place, so that no reader sees half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""The events of a Standard MIDI File (SMF 1.0, RP-001), every byte of it walked and bounded.

Files are read as players read them, where the specification is stricter than what people have: running status goes on
across meta and system exclusive events, tracks beyond those announced are read too, and a file that was cut short is
read up to the cut, which `MidiFile.unread` then says. What no player should be given is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from messages import message
from music.notes import MusicError

MAX_TRACKS = 256
MAX_EVENTS = 500_000
META, TEMPO, METER, NAME, END = 0xFF, 0x51, 0x58, 0x03, 0x2F

_KINDS = {b"RIFF": "a RIFF file", b"<htm": "HTML", b"<!DO": "HTML", b"<?xm": "XML"}


Event = tuple[int, int, int, int, bytes]
"""Tick; status; a channel event's data bytes (the second 0 where it has one), or a meta event's kind and 0; the content
of a meta or system event, or nothing."""


@dataclass(frozen=True, slots=True)
class MidiTrack:
    """Events in order, and where in the file its chunk begins and ends."""

    events: list[Event]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class MidiFile:
    """A file's tracks; `remarks` and `unread` as in `music.notes.NoteSequence`."""

    ticks_per_quarter: int
    tracks: list[MidiTrack]
    remarks: list[str]
    unread: list[str]


def read_events(data: bytes, name: str) -> MidiFile:
    """Walk every byte of a MIDI file.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        How error messages call it.

    Raises
    ------
    MusicError
        For a wrong header, SMPTE or zero division, format 2, no track at all, an event that is no MIDI, tempo 0, a
        meter of zero, or more than `MAX_TRACKS` tracks or `MAX_EVENTS` events.
    """
    tracks, division = _header(data, name)
    file = MidiFile(division, [], [], [])
    at, room = 8 + int.from_bytes(data[4:8], "big"), MAX_EVENTS
    while at < len(data):
        tag, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if tag == b"MThd":
            file.unread.append(message("a second MIDI file begins at byte {at:d}; only the first was read", at=at))
            break
        if len(tag) < 4 or not tag.isalnum() or at + 8 > len(data):
            if len(file.tracks) < tracks and at + 8 <= len(data):
                missing = f"track {len(file.tracks) + 1} of {tracks} is missing"
                raise MusicError(f"{name}: no chunk begins at byte {at} ({tag!r}); {missing}")
            file.remarks.append(message("{count:d} bytes at the end are no chunk of a MIDI file", count=len(data) - at))
            break
        end = at + 8 + length
        if end > len(data):
            file.unread.append(
                message(
                    "chunk {tag:word} at byte {at:d} says {length:d} bytes, {there:d} are there",
                    tag=repr(tag.decode("latin-1")),
                    at=at,
                    length=length,
                    there=len(data) - at - 8,
                )
            )
        if tag == b"MTrk":
            if len(file.tracks) == MAX_TRACKS:
                raise MusicError(f"{name}: more than {MAX_TRACKS} tracks; that is the limit")
            number = len(file.tracks) + 1
            events, past = _walk(data[at + 8 : end], at + 8, f"{name}: track {number}", room, end > len(data))
            file.tracks.append(MidiTrack(events, at, min(end, len(data))))
            room -= len(events)
            if past:
                file.remarks.append(
                    message("track {number:d}: {count:d} bytes stand behind its end", number=number, count=past)
                )
        at = end
    if not file.tracks:
        raise MusicError(f"{name}: header announces {tracks} tracks, the file ends after 0")
    if len(file.tracks) < tracks:
        file.unread.append(
            message(
                "the header announces {tracks:d} tracks, the file ends after {count:d}",
                tracks=tracks,
                count=len(file.tracks),
            )
        )
    elif len(file.tracks) > tracks:
        file.remarks.append(
            message(
                "the header announces {tracks:d} tracks, {count:d} are there and were read",
                tracks=tracks,
                count=len(file.tracks),
            )
        )
    return file


def _header(data: bytes, name: str) -> tuple[int, int]:
    """Return the number of tracks announced and the ticks a quarter."""
    if data[:4] != b"MThd":
        raise MusicError(f"{name}: begins as {_KINDS.get(data[:4], f'{data[:4]!r}')}; a MIDI file begins with b'MThd'")
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
    return tracks, division


def _walk(chunk: bytes, base: int, name: str, room: int, cut: bool) -> tuple[list[Event], int]:
    """Read one track; return its events and the number of bytes behind its end.

    `base` is the file's byte at which the chunk begins, `room` how many more events may come, `cut` whether the file
    ends within the chunk.
    """
    events: list[Event] = []
    append, end = events.append, len(chunk)
    at = tick = running = 0
    try:
        while at < end:
            delta, at = _number(chunk, at, base, name)
            tick += delta
            if len(events) >= room:
                raise MusicError(f"{name}: more than {MAX_EVENTS} events; that is the limit")
            status = chunk[at]
            if status < 0x80:
                if not running:
                    raise MusicError(f"{name}: data byte {status:#04x} at byte {base + at} follows no status byte")
                status = running
            else:
                at += 1
            if status < 0xF0:
                running = status
                first = chunk[at]
                at += 1
                second = 0
                if status < 0xC0 or status >= 0xE0:
                    second = chunk[at]
                    at += 1
                if first >= 0x80 or second >= 0x80:
                    raise MusicError(
                        f"{name}: event {status:#04x} before byte {base + at} wants data bytes below 0x80, "
                        f"not {first:#04x} {second:#04x}"
                    )
                append((tick, status, first, second, b""))
                continue
            kind, body, at = _system(chunk, at, status, base, name)
            append((tick, status, kind, 0, body))
            if status == META and kind == END:
                return events, end - at
    except IndexError:
        if not cut:
            raise MusicError(f"{name}: the track ends at byte {base + end}, within an event") from None
    return events, 0


def _system(chunk: bytes, at: int, status: int, base: int, name: str) -> tuple[int, bytes, int]:
    """Read what follows the status of a meta or system event: its kind, its content, and where the next event is."""
    if status not in (0xF0, 0xF7, META):
        raise MusicError(f"{name}: status {status:#04x} at byte {base + at - 1} is not allowed in a file")
    kind = 0
    if status == META:
        kind = chunk[at]
        at += 1
    length, at = _number(chunk, at, base, name)
    body = chunk[at : at + length]
    if len(body) < length:
        raise IndexError
    if status == META:
        _check_meta(kind, body, f"{name}: {{}} at byte {base + at}")
    return kind, body, at + length


def _number(chunk: bytes, at: int, base: int, name: str) -> tuple[int, int]:
    """Read a number of variable length, up to four bytes of seven bits; return it and where the next byte is."""
    byte = chunk[at]
    if byte < 0x80:
        return byte, at + 1
    value = 0
    for width in range(4):
        byte = chunk[at + width]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + width + 1
    raise MusicError(f"{name}: delta time or length at byte {base + at} has no end; it has at most 4 bytes")


def _check_meta(kind: int, body: bytes, where: str) -> None:
    """Refuse a tempo or a meter of zero; `where` has a place for what it is about."""
    if kind == TEMPO and (len(body) != 3 or not any(body)):
        raise MusicError(f"{where.format('tempo ' + (body.hex() or 'empty'))}; it is 3 bytes and not 0")
    if kind == METER and (len(body) < 2 or body[0] == 0 or body[1] > 6):
        raise MusicError(f"{where.format('meter ' + body.hex())}; it is n/2^k, n > 0, k <= 6")

"""Other notes in some bars of a MIDI file, while every other event stays as it is, tick for tick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from music.midi_events import END, META, Event, read_events


class NewNote(NamedTuple):
    """A note to be written: track, from 0, channel 0-15, tick, ticks, pitch and velocity."""

    track: int
    channel: int
    tick: int
    ticks: int
    pitch: int
    velocity: int


def rewritten(data: bytes, name: str, span: tuple[int, int], notes: Sequence[NewNote]) -> bytes:
    """Return the file with the notes that begin at ticks span[0] to span[1], exclusive, replaced by `notes`.

    All else stays: notes that begin elsewhere with their ends, controllers, texts and tempos; tracks in which no note
    is taken out or put in, and what is no track, byte for byte. A new note ends where a note that stays is struck at
    its pitch, and gives way where one sounds.

    Raises
    ------
    MusicError
        As `music.midi_events.read_events`.
    """
    chunks, copied = [], 0
    for number, track in enumerate(read_events(data, name).tracks):
        new = [note for note in notes if note.track == number]
        events = _edit_track(track.events, span, new)
        if events != track.events:
            body = _encode(events)
            chunks += [data[copied : track.begin], b"MTrk", len(body).to_bytes(4, "big"), body]
            copied = track.end
    return b"".join([*chunks, data[copied:]])


def _edit_track(events: list[Event], span: tuple[int, int], notes: list[NewNote]) -> list[Event]:  # noqa: PLR0912
    """Return the events of a track without the notes of the span, and with the new ones."""
    dropped: set[int] = set()  # of `events`
    ends: list[Event] = []  # of notes that stay, where a strike that goes ended them
    sounding: dict[int, list[int]] = defaultdict(list)  # channel and pitch -> the strikes that sound
    kept: dict[int, list[tuple[int, int]]] = defaultdict(list)  # -> from and to which tick a note that stays sounds
    struck: dict[int, int] = {}
    for i, (tick, status, first, second, _) in enumerate(events):
        if status & 0xF0 not in (0x80, 0x90):
            continue
        key = (status & 0x0F) << 7 | first
        before = sounding[key]
        inside = span[0] <= tick < span[1]
        stays = [k for k in before if k not in dropped]
        if status & 0xF0 == 0x90 and second:
            if before and events[before[0]][0] < tick:
                if inside and stays:
                    ends.append((tick, 0x80 | status & 0x0F, first, 0, b""))
                kept[key] += [(events[k][0], tick) for k in stays]
                before.clear()
                struck[key] = tick
            before.append(i)
            if inside:
                dropped.add(i)
        elif before and struck.get(key) != tick:
            if not stays:
                dropped.add(i)
            kept[key] += [(events[k][0], tick) for k in stays]
            before.clear()
        elif inside:  # ends nothing, and might end a new note
            dropped.add(i)
    end = events[-1][0] if events else 0
    for key, before in sounding.items():
        if stays := [k for k in before if k not in dropped]:  # held to the end of the track, which may move
            kept[key] += [(events[k][0], end) for k in stays]
            ends.append((end, 0x80 | key >> 7, key & 0x7F, 0, b""))
    begun, ended = _place_notes(notes, kept)
    if not (dropped or begun):
        return events
    stay = [event for i, event in enumerate(events) if i not in dropped]
    ranked = [(event[0], rank, event) for rank, some in enumerate(([*ends, *ended], stay, begun)) for event in some]
    merged = [event for _, _, event in sorted(ranked, key=lambda one: one[:2])]
    if stay and stay[-1][1:3] == (META, END):  # stays last, later where a new note sounds longer
        merged.remove(stay[-1])
        merged.append((max(stay[-1][0], merged[-1][0] if merged else 0), *stay[-1][1:]))
    return merged


def _place_notes(notes: list[NewNote], kept: dict[int, list[tuple[int, int]]]) -> tuple[list[Event], list[Event]]:
    """Return strikes and ends of new notes beside the spans, by channel and pitch, in which notes that stay sound."""
    begun: list[Event] = []
    ended: list[Event] = []
    for note in sorted(notes, key=lambda n: (n.tick, n.pitch)):
        spans = kept[note.channel << 7 | note.pitch]
        if any(a <= note.tick < b for a, b in spans):
            continue
        until = min([note.tick + note.ticks, *(a for a, _ in spans if a > note.tick)])
        spans.append((note.tick, until))
        begun.append((note.tick, 0x90 | note.channel, note.pitch, note.velocity, b""))
        ended.append((until, 0x80 | note.channel, note.pitch, 0, b""))
    return begun, ended


def _encode(events: list[Event]) -> bytes:
    """Write the content of a track chunk, every event with its status."""
    out, before = bytearray(), 0
    for tick, status, first, second, body in events:
        out += _number(tick - before)
        before = tick
        if status < 0xF0:
            out += bytes([status, first, second] if status < 0xC0 or status >= 0xE0 else [status, first])
        else:
            out += bytes([status, first] if status == META else [status]) + _number(len(body)) + body
    return bytes(out)


def _number(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))

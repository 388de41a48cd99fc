"""What is worked out for each piece on its way into a store: digests, description, duplicate keys, split.

Two pieces are duplicates when they hold the same notes up to transposition and tempo (`content_key`), or the
same melody, interval for interval (`melody_key`). Groups are closed under both, and a group is never parted by
the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from corpus.rights import Rights
from music.key import estimate_key
from music.midi import read_bytes
from music.notes import MusicError, NoteSequence
from music.read import read_music
from music.voices import melody

SPLITS = (("train", 0.80), ("valid", 0.15), ("test", 0.05))
MELODY_KEY_NOTES = 24  # a shorter identical melody is no proof of an identical work
MELODY_KEY_INTERVALS = 4  # nor is one of a few different intervals


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """One piece of a store, as its manifest lists it.

    Attributes
    ----------
    path : str
        POSIX path below the ingested source; unique in the store.
    file_digest, notes_digest : str
        SHA-256, hex: of the file's bytes, and of its notes (`notes_digest`).
    content_key, melody_key : str
        Keys that duplicates share; `melody_key` is "" for short or plain melodies.
    group : str
        Name of the duplicate group: the path of its oldest piece.
    split : str
        "train", "valid" or "test".
    segment, row : str, int
        Where the notes lie.
    """

    path: str
    title: str
    artist: str
    key: str
    tempo_bpm: float
    meter: str
    duration_s: float
    bars: int
    notes: int
    file_digest: str
    notes_digest: str
    content_key: str
    melody_key: str
    rights: Rights
    group: str = ""
    split: str = ""
    segment: str = ""
    row: int = -1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A piece that was read, with its record and notes."""

    record: PieceRecord
    sequence: NoteSequence


@dataclass(frozen=True, slots=True)
class Refused:
    """A piece that stays outside, and why."""

    path: str
    reason: str


def notes_digest(sequence: NoteSequence) -> str:
    """SHA-256 (hex) of the notes: onset and duration in 1/960 quarters, pitch, velocity, part; little-endian int64."""
    table = np.stack(
        [
            np.round(sequence.onset_beat * 960),
            np.round(sequence.duration_beat * 960),
            sequence.pitch,
            sequence.velocity,
            sequence.part,
        ]
    ).astype("<i8")
    return hashlib.sha256(table.tobytes()).hexdigest()


def content_key(sequence: NoteSequence) -> str:
    """Key that a piece shares with its transposed and stretched copies, whatever its parts are called."""
    pitched = ~sequence.is_drum
    onset, pitch = sequence.onset_beat[pitched], sequence.pitch[pitched]
    if len(onset) < 2 or np.ptp(onset) == 0:
        return hashlib.sha256(sequence.pitch.astype("<i8").tobytes()).hexdigest()[:16]
    place = np.round((onset - onset[0]) / np.ptp(onset) * 2**16)
    table = np.unique(np.stack([place, pitch - pitch.min()], axis=1), axis=0)
    return hashlib.sha256(table.astype("<i8").tobytes()).hexdigest()[:16]


def melody_key(sequence: NoteSequence) -> str:
    """Key that pieces with the same melody share, interval for interval; "" when that would prove nothing."""
    intervals = np.diff(melody(sequence).pitch)
    if len(intervals) < MELODY_KEY_NOTES - 1 or len(np.unique(intervals)) < MELODY_KEY_INTERVALS:
        return ""
    return hashlib.sha256(intervals.astype("<i8").tobytes()).hexdigest()[:16]


def prepare(path: Path, name: str, rights: Rights, title: str, artist: str) -> Prepared | Refused:
    """Read one file and describe it; `name` is its path in the store."""
    try:
        file_digest = hashlib.sha256(read_bytes(path)).hexdigest()
        sequence = read_music(path)
    except MusicError as error:
        return Refused(name, str(error))
    if not title and not artist and path.suffix.lower() not in (".mid", ".midi"):
        from music.musicxml import score_credits

        title, artist = score_credits(path)
    if title == path.name:  # some editions carry their file's name as title
        title = path.stem
    meter = max(sequence.time_signatures, key=lambda t: _length_under(sequence, t.beat))
    tempo = max(sequence.tempos, key=lambda t: _tempo_length(sequence, t.beat))
    record = PieceRecord(
        path=name,
        title=title or path.stem,
        artist=artist,
        key=estimate_key(sequence),
        tempo_bpm=round(tempo.bpm, 3),
        meter=f"{meter.numerator}/{meter.denominator}",
        duration_s=round(sequence.end_s, 3),
        bars=int(np.ceil(sequence.bar_at(sequence.end_beat) - 1 - 1e-6)),
        notes=len(sequence),
        file_digest=file_digest,
        notes_digest=notes_digest(sequence),
        content_key=content_key(sequence),
        melody_key=melody_key(sequence),
        rights=rights,
    )
    return Prepared(record, sequence)


def _length_under(sequence: NoteSequence, beat: float) -> float:
    starts = [t.beat for t in sequence.time_signatures] + [max(sequence.end_beat, beat)]
    return min((s for s in starts if s > beat), default=beat) - beat


def _tempo_length(sequence: NoteSequence, beat: float) -> float:
    starts = [t.beat for t in sequence.tempos] + [max(sequence.end_beat, beat)]
    return min((s for s in starts if s > beat), default=beat) - beat


def grouped(records: Iterable[PieceRecord]) -> list[PieceRecord]:
    """Give every record its duplicate group and split, older records first.

    A new piece joins the group of any piece that shares a key, and takes its split; where it joins two groups,
    the older one's name and split hold for both. The split of a new group is drawn from the digest of its first
    piece, so it depends neither on order nor on chance: 80 % train, 15 % valid, 5 % test.
    """
    records = list(records)
    parent = list(range(len(records)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, record in enumerate(records):
        for key in (f"c{record.content_key}", f"m{record.melody_key}" if record.melody_key else ""):
            if key:
                a, b = sorted((root(first.setdefault(key, i)), root(i)))
                parent[b] = a
    out = []
    for i, record in enumerate(records):
        oldest = records[root(i)]
        out.append(replace(record, group=oldest.path, split=oldest.split or _split(oldest.content_key)))
    return out


def _split(key: str) -> str:
    place = int(hashlib.sha256(f"split:{key}".encode()).hexdigest()[:12], 16) / 16**12
    for name, share in SPLITS:
        if place < share:
            return name
        place -= share
    return SPLITS[-1][0]

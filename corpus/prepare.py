"""What is worked out for each piece on its way into a store: digests, description, duplicate keys, split.

Two pieces are duplicates when they hold the same notes up to transposition and tempo (`content_key`), or the
same melody, interval for interval (`melody_key`). Groups are closed under both, and a group is never parted by
the split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpus.rights import Rights
from music.key import estimate_key
from music.midi import read_bytes
from music.notes import MusicError, NoteSequence, Tempo, TimeSignature
from music.read import read_music
from music.voices import melody_rows

SPLITS = (("train", 0.80), ("valid", 0.15), ("test", 0.05))
MELODY_KEY_NOTES = 24  # a shorter identical melody is no proof of an identical work
MELODY_KEY_INTERVALS = 4  # nor is one of a few different intervals


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """One piece of a store.

    Attributes
    ----------
    path : str
        POSIX path below the ingested source; unique in the store.
    file_digest, notes_digest : str
        SHA-256, hex: of the file's bytes, and of its notes (`notes_digest`).
    content_key, melody_key : str
        Keys that duplicates share; `melody_key` is "" for short or plain melodies.
    group : str
        Name of the duplicate group: the path of its oldest piece; "" until the piece is in a store.
    split : str
        "train", "valid" or "test"; "" until then.
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
    place = np.round((onset - onset[0]) / np.ptp(onset) * 2**16).astype(np.int64)
    table = np.stack(np.divmod(np.unique(place * 128 + pitch - pitch.min()), 128), axis=1)
    return hashlib.sha256(table.astype("<i8").tobytes()).hexdigest()[:16]


def melody_key(sequence: NoteSequence) -> str:
    """Key that pieces with the same melody share, interval for interval; "" when that would prove nothing."""
    intervals = np.diff(sequence.pitch[melody_rows(sequence)])
    if len(intervals) < MELODY_KEY_NOTES - 1 or len(np.unique(intervals)) < MELODY_KEY_INTERVALS:
        return ""
    return hashlib.sha256(intervals.astype("<i8").tobytes()).hexdigest()[:16]


def prepare(path: Path, name: str, rights: Rights, title: str, artist: str) -> Prepared | Refused:
    """Read one file and describe it; `name` is its path in the store."""
    try:
        return _prepare(path, name, rights, title, artist)
    except MusicError as error:
        return Refused(name, str(error))
    except Exception as error:  # whatever one file does to a reader, the others are read
        return Refused(name, f"{path}: it can't be dealt with: {type(error).__name__}: {error}")


def _prepare(path: Path, name: str, rights: Rights, title: str, artist: str) -> Prepared:
    file_digest = hashlib.sha256(read_bytes(path)).hexdigest()
    sequence = read_music(path)
    if not title and not artist and path.suffix.lower() not in (".mid", ".midi"):
        from music.scores.musicxml import score_credits

        title, artist = score_credits(path)
    if title == path.name:  # some editions carry their file's name as title
        title = path.stem
    meter = sequence.time_signatures[_longest(sequence.time_signatures, sequence.end_beat)]
    tempo = sequence.tempos[_longest(sequence.tempos, sequence.end_beat)]
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


def _longest(changes: Sequence[Tempo] | Sequence[TimeSignature], end: float) -> int:
    """Index of the change that holds for the most quarters, up to the next one or to `end`."""
    starts = np.array([change.beat for change in changes])
    following = np.append(starts, np.inf)[np.searchsorted(starts, starts, side="right")]
    following = np.where(end > starts, np.minimum(following, end), following)
    return int(np.argmax(np.where(np.isinf(following), 0.0, following - starts)))


def groups_of(content: NDArray[np.uint64], melody: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Row of the oldest piece of each piece's duplicate group.

    Pieces that share a key are in one group, and so is whatever they are linked to by further keys.

    Parameters
    ----------
    content, melody : uint64 (n,)
        The keys of the pieces as numbers, oldest piece first; a melody key of 0 is none.

    Returns
    -------
    int32 (n,)
        ``result[i] <= i``; the oldest piece of a group has its own row.
    """
    tuneful = np.flatnonzero(melody)
    works, work = np.unique(content, return_inverse=True)
    tunes, tune = np.unique(melody[tuneful], return_inverse=True)
    piece = np.concatenate([np.arange(len(content)), tuneful])
    key = np.concatenate([work, len(works) + tune])
    shared = np.bincount(key)[key] > 1
    piece, key = piece[shared], key[shared]
    oldest = np.arange(len(content))
    while True:  # union by hooking and jumping: 19 rounds for a chain of 200,000, and no second of importing scipy
        least = np.full(len(works) + len(tunes), len(content))
        np.minimum.at(least, key, oldest[piece])
        linked = oldest.copy()
        np.minimum.at(linked, oldest[piece], least[key])
        linked = linked[linked]
        if np.array_equal(linked, oldest):
            return oldest.astype(np.int32)
        oldest = linked


def split_of(content_key: str) -> str:
    """Split of the group whose oldest piece has this key: 80 % train, 15 % valid, 5 % test.

    Drawn from the key's digest, so it depends neither on order nor on chance. Where a new piece joins two groups,
    the split of the older one's first piece holds for both.
    """
    place = int(hashlib.sha256(f"split:{content_key}".encode()).hexdigest()[:12], 16) / 16**12
    for name, share in SPLITS:
        if place < share:
            return name
        place -= share
    return SPLITS[-1][0]

"""Queries that copy from pieces in known ways, and music that copies nothing: what bench/scale.py searches for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from music.notes import MusicError, NoteSequence, Part, build
from music.read import read_music
from music.voices import melody, melody_rows

OTHERS = ("monteverdi", "mozart", "haydn", "beethoven", "handel", "joplin", "trecento")
SEED = 1


class Query(NamedTuple):
    """A query and its truth: the piece it copies, the copied intervals, and where they lie (None: all of it)."""

    notes: NoteSequence
    source: str | None
    copied: bytes
    span_s: tuple[float, float] | None


def intervals(pitch: Any) -> bytes:
    return bytes(np.diff(pitch).astype(np.int8).tobytes())


def shifted(piece: NoteSequence, rng: np.random.Generator) -> NoteSequence:
    return piece.transpose(int(rng.choice([-7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7])))


def stretched(piece: NoteSequence, rng: np.random.Generator) -> NoteSequence:
    by = float(rng.choice([0.5, 0.6, 0.75, 0.8, 1.25, 4 / 3, 1.5, 1.7, 2.0]))
    onset, length = piece.onset_beat * by, piece.duration_beat * by
    return build(onset, length, piece.pitch, piece.velocity, piece.part, parts=piece.parts)


def ornamented(line: NoteSequence, rng: np.random.Generator, share: float) -> NoteSequence:
    """Edit that share of the notes: substitute, drop, split in two, or shorten."""
    notes: list[tuple[float, float, int]] = []
    for onset, length, pitch in zip(line.onset_beat, line.duration_beat, line.pitch, strict=True):
        edit = int(rng.integers(4)) if rng.random() < share else None
        near = int(np.clip(pitch + rng.choice([-2, -1, 1, 2]), 0, 127))
        if edit is None:
            notes.append((onset, length, pitch))
        elif edit == 0:
            notes.append((onset, length, near))
        elif edit == 1:
            notes += [(onset, length / 2, pitch), (onset + length / 2, length / 2, near)]
        elif edit == 2:
            notes.append((onset, length * rng.choice([0.5, 0.75]), pitch))
    return build(*np.array(notes).T)


def reharmonised(piece: NoteSequence, host: NoteSequence) -> NoteSequence:
    """Set the melody over the parts of other music."""
    line = melody(piece)
    under = host.select(np.setdiff1d(np.flatnonzero(host.onset_beat < line.end_beat), melody_rows(host)))
    return build(
        np.concatenate([line.onset_beat, under.onset_beat]),
        np.concatenate([line.duration_beat, under.duration_beat]),
        np.concatenate([line.pitch, np.maximum(under.pitch - 12, 0)]),
        part=np.concatenate([np.zeros(len(line), int), 1 + under.part]),
        parts=(Part("lead"), *(Part(f"under {i}") for i in range(len(under.parts)))),
    )


def reduced(piece: NoteSequence) -> NoteSequence:
    """Put all parts into one, as a piano reduction does."""
    pitched = piece.select(~piece.is_drum)
    _, first = np.unique(np.stack([pitched.onset_beat, pitched.pitch]), axis=1, return_index=True)
    return build(pitched.onset_beat[first], pitched.duration_beat[first], pitched.pitch[first])


def fragment(piece: NoteSequence, bars: int, rng: np.random.Generator) -> tuple[NoteSequence, float] | None:
    """Cut some bars out of the melody, with 2.5 notes a bar and four pitches at least; None where there are none."""
    line, length = melody(piece), bars * piece.time_signatures[0].bar_beats
    for start in rng.permutation(line.onset_beat[line.onset_beat <= line.end_beat - length])[:20]:
        cut = line.select((line.onset_beat >= start - 1e-6) & (line.onset_beat < start + length - 1e-6))
        if len(cut) >= 2.5 * bars and len(np.unique(cut.pitch)) >= 4:
            return build(cut.onset_beat - start, cut.duration_beat, cut.pitch), length
    return None


def embedded(
    piece: NoteSequence, host: NoteSequence, bars: int, rng: np.random.Generator, share: float = 0.0
) -> tuple[NoteSequence, bytes, tuple[float, float]] | None:
    """Put some bars of the melody, transposed and ornamented, into the melody of other music."""
    found = fragment(piece, bars, rng)
    if found is None:
        return None
    cut, length = found
    placed = ornamented(shifted(cut, rng), rng, share)
    if not len(placed):
        return None
    around = melody(host)
    at = round(float(rng.uniform(0.2, 0.6)) * around.end_beat)
    near = int(around.pitch[np.argmin(np.abs(around.onset_beat - at))])
    octave = 12 * round((near - float(placed.pitch.mean())) / 12)
    later = around.onset_beat >= at
    query = build(
        np.concatenate([around.onset_beat + np.where(later, length, 0.0), placed.onset_beat + at]),
        np.concatenate([around.duration_beat, placed.duration_beat]),
        np.clip(np.concatenate([around.pitch, placed.pitch + octave]), 0, 127),
    )
    start, end = query.seconds_at([at, at + length])
    return query, intervals(cut.pitch), (float(start), float(end))


Change = Callable[[NoteSequence, NoteSequence, np.random.Generator], NoteSequence]
WHOLE: dict[str, Change] = {
    "exact": lambda piece, host, rng: piece,
    "transposed": lambda piece, host, rng: shifted(piece, rng),
    "stretched": lambda piece, host, rng: stretched(piece, rng),
    "ornament 20 %": lambda piece, host, rng: shifted(ornamented(melody(piece), rng, 0.2), rng),
    "ornament 30 %": lambda piece, host, rng: shifted(ornamented(melody(piece), rng, 0.3), rng),
    "ornament 40 %": lambda piece, host, rng: shifted(ornamented(melody(piece), rng, 0.4), rng),
    "melody alone": lambda piece, host, rng: shifted(melody(piece), rng),
    "reharmonised": lambda piece, host, rng: reharmonised(shifted(piece, rng), host),
    "piano reduction": lambda piece, host, rng: reduced(piece),
}
EMBEDDED = {
    "8 bars embedded": (8, 0.0),
    "8 bars ornamented": (8, 0.2),
    "4 bars embedded": (4, 0.0),
    "2 bars embedded": (2, 0.0),
}
NEGATIVES = "other music"
CASES = (*WHOLE, *EMBEDDED, NEGATIVES)


@cache
def music(path: Path) -> NoteSequence | None:
    """Read a file; None for what can't be read or has hardly a melody."""
    try:
        sequence = read_music(path)
    except MusicError:
        return None
    return sequence if len(melody_rows(sequence)) >= 24 else None


def make_queries(
    case: str, sources: Sequence[tuple[Path, str]], hosts: Sequence[Path], negatives: Sequence[Path], n: int
) -> list[Query]:
    """Up to n queries of a case, from sources (path, name in the store) in a seeded order."""
    rng = np.random.default_rng([SEED, CASES.index(case)])
    if case == NEGATIVES:
        return [Query(m, None, b"", None) for m in map(music, shuffled(negatives, rng)) if m is not None][:n]
    made: list[Query] = []
    around = [m for m in map(music, hosts) if m is not None]
    for i in rng.permutation(len(sources)):
        piece, host = music(sources[i][0]), around[int(rng.integers(len(around)))]
        if piece is None or len(made) == n:
            continue
        if case in WHOLE:
            changed = WHOLE[case](piece, host, rng)
            made.append(Query(changed, sources[i][1], intervals(melody(piece).pitch), None))
        elif (cut := embedded(piece, host, *EMBEDDED[case][:1], rng, EMBEDDED[case][1])) is not None:
            made.append(Query(cut[0], sources[i][1], cut[1], cut[2]))
    return made


def shuffled(files: Sequence[Path], rng: np.random.Generator) -> list[Path]:
    return [files[i] for i in rng.permutation(len(files))]


def share(k: int, n: int) -> list[float]:
    """Share k / n with its 95 % Wilson interval."""
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(method="wilson")
    return [k / n, float(interval.low), float(interval.high)]

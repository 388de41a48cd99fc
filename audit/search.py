"""Copy search: a query's voices against every voice of a store.

Figures name candidate places (`audit.seeds`), alignment scores them in bits (`audit.align`), and each piece
keeps its passages that do not overlap in the query. Pieces are ranked by their best passage. The segments of the
index are searched by threads side by side; the compiled code runs without the interpreter's lock.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.align import OTHER_RHYTHM, Alignment, align
from audit.figures import commonplace
from audit.index import FIGURE, Index, IndexDamagedError, IndexSegment, onsets, query_table, time_steps
from audit.seeds import CANDIDATE, Line, candidates, counters
from audit.style import surprise
from music.notes import NoteSequence

MARGIN = 24  # diagonals around the hits, and notes before and after them, that an alignment may reach
ALIGNMENTS = 500  # a query, the best by bits, and as many by votes
MIN_PAIRS = 6  # notes; fewer are no passage
THREADS = os.cpu_count() or 1


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """Music that a query and a piece share.

    Attributes
    ----------
    piece : int
        Row of the piece in the store.
    bits : float
        Shared surprise: what is ranked and judged.
    query_rows : int64 (k,)
        Aligned equal notes: rows of the query.
    voice, positions : int, int64 (k,)
        The same in the piece: number of the voice among the piece's `audit.index.voice_table`, and positions in it.
    in_time : bool (k,)
        Whether each pair keeps time with the one before it.
    notes : int
        Notes of the query's voice between the first and the last aligned one, inclusive.
    voice_notes : int
        Notes of the shorter of the two voices.
    transposition : int
        Semitones from the piece up to the query.
    tempo_ratio : float
        Query duration over piece duration, in quarters.
    commonplace : str
        Name of the common figure that the passage is mostly made of, or "" (`audit.figures`).
    """

    piece: int
    bits: float
    query_rows: NDArray[np.int64]
    voice: int
    positions: NDArray[np.int64]
    in_time: NDArray[np.bool_]
    notes: int
    voice_notes: int
    transposition: int
    tempo_ratio: float
    commonplace: str


def lines(index: Index, query: NoteSequence) -> list[Line]:
    """Return the voices of a query and the lines heard across its parts, with the surprise of their notes."""
    found = []
    for pitch, onset, rows in query_table(query):
        bits = surprise(index.style, pitch, onset)
        found.append(Line(pitch.astype(np.uint8), time_steps(onset), onset.astype(np.float32), *bits, rows))
    return found


def search(
    index: Index, query: NoteSequence | list[Line], top: int = 10, among: NDArray[np.bool_] | None = None
) -> list[Passage]:
    """Find the passages of `query` that the store also holds, strongest piece first.

    Parameters
    ----------
    query : NoteSequence or list of Line
        The music, or its `lines`.
    top : int
        Pieces to return; each with its passages that do not overlap in the query.
    among : bool, one for each piece of the store, optional
        The pieces to look at; all by default.

    Raises
    ------
    audit.index.IndexDamagedError
        When the places of a segment are damaged.
    """
    voices = lines(index, query) if isinstance(query, NoteSequence) else query
    searched = sum(len(line.pitch) for line in voices)

    def look(number: int) -> NDArray[Any]:
        segment = index.segments[number]
        memory = counters(segment)
        found = [np.zeros(0, CANDIDATE)]
        for i, line in enumerate(voices):
            try:
                places = candidates(segment, line, index.notes, memory, searched)
            except ValueError as error:
                raise IndexDamagedError(index.path.parent / "segments" / segment.name, str(error)) from error
            if among is not None:
                places = places[among[segment.voice_piece[places["voice"]]]]
            places["segment"], places["line"] = number, i
            found.append(places)
        return _strongest(np.concatenate(found))

    with ThreadPoolExecutor(THREADS) as pool:
        places = _strongest(np.concatenate([np.zeros(0, CANDIDATE), *pool.map(look, range(len(index.segments)))]))
        passages = pool.map(
            lambda part: [_passage(voices[p["line"]], index.segments[p["segment"]], p) for p in part],
            [places[k::THREADS] for k in range(THREADS)],
        )
        best: dict[int, list[Passage]] = {}
        for passage in (p for part in passages for p in part if p is not None):
            best.setdefault(passage.piece, []).append(passage)
    ranked = sorted(best.items(), key=lambda item: (-max(p.bits for p in item[1]), item[0]))[:top]
    return [passage for _, found in ranked for passage in _apart(found)]


def _strongest(places: NDArray[Any]) -> NDArray[Any]:
    """Keep the `ALIGNMENTS` best places by bits and by votes; those that would align the same notes become one."""
    strong = [np.argsort(-places[name], kind="stable")[:ALIGNMENTS] for name in ("bits", "votes")]
    places = places[np.unique(np.concatenate(strong))]
    diagonal = (places["hit_p"] - places["hit_q"]) // MARGIN
    names = ("line", "segment", "voice", "shift")
    key = np.stack([*(places[name] for name in names), diagonal, places["hit_q"] // (4 * MARGIN)], axis=1)
    order = np.lexsort((-places["bits"], *key.T))
    places, key = places[order], key[order]
    first = np.flatnonzero(np.append(True, (key[1:] != key[:-1]).any(axis=1))[: len(places)])
    kept = places[first]
    if len(kept):
        for name, bound in (("low", np.minimum), ("high", np.maximum), ("first", np.minimum), ("last", np.maximum)):
            kept[name] = bound.reduceat(places[name], first)
    return kept


def _passage(line: Line, segment: IndexSegment, place: Any) -> Passage | None:
    """Align one line with one place of a segment."""
    number, q, p = (int(place[name]) for name in ("voice", "hit_q", "hit_p"))
    onset = onsets(segment.step[int(segment.voice_start[number]) : int(segment.voice_start[number + 1])])
    ratio = float((line.onset[q + FIGURE] - line.onset[q]) / max(onset[p + FIGURE] - onset[p], 1e-3))
    first, last = (
        max(int(place["first"]) - MARGIN, 0),
        min(int(place["last"]) + MARGIN, len(line.pitch) - 1),
    )
    band = int(place["low"]) - MARGIN, int(place["high"]) + MARGIN
    return aligned(
        line, segment, number, int(place["shift"]), ratio, (first, last), band, promised=float(place["votes"])
    )


def aligned(
    line: Line, segment: IndexSegment, number: int, shift: int, ratio: float, reach: tuple[int, int],
    band: tuple[int, int], least: int = MIN_PAIRS, promised: float = 0.0,
) -> Passage | None:  # fmt: skip
    """Return the best passage of a line and a voice of a segment, or None when it has fewer than `least` pairs.

    Parameters
    ----------
    number : int
        The voice.
    shift : int
        Semitones from the line up to the voice.
    ratio : float
        Duration in the line over duration in the voice; refined where the passage says otherwise.
    reach : tuple of int
        First and last position in the line to look at, inclusive.
    band : tuple of int
        Lowest and highest diagonal (position in the voice - position in the line), inclusive.
    promised : float
        Bits that the figures alone, which have no rhythm, promise. Where they promise much more than is found in time,
        the pitches are aligned without the rhythm: a tune may be copied in another metre.
    """
    start, end = int(segment.voice_start[number]), int(segment.voice_start[number + 1])
    pitch, onset = segment.pitch[start:end].astype(np.int16), onsets(segment.step[start:end])
    part = slice(reach[0], reach[1] + 1)
    low, high = band[0] + reach[0], band[1] + reach[0]
    query = (line.pitch[part].astype(np.int16), line.onset[part], line.pitch_bits[part], line.rhythm_bits[part])
    found = align(query, (pitch, onset), shift, ratio, low, high)
    if len(found.pairs) >= MIN_PAIRS:
        refined = _tempo(query[1], onset, found)
        if abs(np.log2(refined / ratio)) > 0.02:
            again = align(query, (pitch, onset), shift, refined, low, high)
            if again.bits > found.bits:
                found, ratio = again, refined
    if promised > found.bits + OTHER_RHYTHM:
        untimed = (*query[:3], np.zeros_like(query[3]))
        free = align(untimed, (pitch, onset), shift, ratio, low, high, late=0.0)
        if free.bits - OTHER_RHYTHM > found.bits:
            found = free._replace(bits=free.bits - OTHER_RHYTHM)
    if len(found.pairs) < least:
        return None
    where, there = found.pairs[:, 0] + reach[0], found.pairs[:, 1]
    piece = int(segment.voice_piece[number])
    return Passage(
        piece=piece,
        bits=found.bits,
        query_rows=line.rows[where],
        voice=number - int(np.searchsorted(segment.voice_piece, piece)),
        positions=there,
        in_time=found.in_time,
        notes=int(where[-1] - where[0]) + 1,
        voice_notes=min(len(line.pitch), end - start),
        transposition=-shift,
        tempo_ratio=ratio,
        commonplace=commonplace(line.pitch[where].astype(np.int64)),
    )


def _tempo(q_onset: NDArray[np.float32], p_onset: NDArray[np.float32], found: Alignment) -> float:
    """Median ratio of the time between aligned notes, which a few ornaments do not move."""
    q, p = np.diff(q_onset[found.pairs[:, 0]]), np.diff(p_onset[found.pairs[:, 1]])
    return float(np.median(q / np.maximum(p, 1e-3)))


def _apart(passages: list[Passage]) -> list[Passage]:
    """Return the strongest passages of one piece that do not share query notes' time."""
    kept: list[Passage] = []
    for passage in sorted(passages, key=lambda p: -p.bits):
        span = (passage.query_rows[0], passage.query_rows[-1])
        if all(span[1] < k.query_rows[0] or span[0] > k.query_rows[-1] for k in kept):
            kept.append(passage)
    return kept

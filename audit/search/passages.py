"""Copy search: a query's voices against every voice of a store.

Figures name candidate places (`audit.search.seeds`), alignment scores them in bits (`audit.search.align`), and each
piece keeps its passages that do not overlap in the query. Pieces are ranked by their best passage. The segments of the
index are searched by threads side by side; the compiled code runs without the interpreter's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.search.align import MIN_PAIRS, Alignment, _align_at_ratio, align_at_ratio
from audit.search.commonplace import commonplace
from audit.search.index import Index, IndexDamagedError, IndexSegment
from audit.search.lines import FIGURE, onsets, query_table, time_steps
from audit.search.seeds import CANDIDATE, Line, counters, find_candidates
from audit.search.surprise import surprise
from music.notes import NoteSequence

MARGIN = 24  # diagonals around the hits, and notes before and after them, that an alignment may reach
ALIGNMENTS = 500  # a query, the best by bits, and as many by votes
THREADS = os.cpu_count() or 1
TOGETHER = 64  # places that a thread scores in one call
_SCORE = np.dtype([("bits", "<f4"), ("pairs", "<i4"), ("first", "<i4"), ("last", "<i4")])


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
        The same in the piece: number of the voice among the piece's `audit.search.lines.voice_table`, and positions in
        it.
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
        Name of the common figure that the passage is mostly made of, or "" (`audit.search.commonplace`).
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


def lines_of(index: Index, query: NoteSequence) -> list[Line]:
    """Return the voices of a query and the lines heard across its parts, with the surprise of their notes."""
    lines = []
    for pitch, onset, rows in query_table(query):
        bits = surprise(index.style, pitch, onset)
        lines.append(Line(pitch.astype(np.uint8), time_steps(onset), onset.astype(np.float32), *bits, rows))
    return lines


def search(
    index: Index,
    query: NoteSequence | list[Line],
    top: int = 10,
    among: NDArray[np.bool_] | None = None,
    threads: int = THREADS,
) -> list[Passage]:
    """Find the passages of `query` that the store also holds, strongest piece first.

    Parameters
    ----------
    query : NoteSequence or list of Line
        The music, or its `lines_of`.
    top : int
        Pieces to return; each with its passages that do not overlap in the query.
    among : bool, one for each piece of the store, optional
        The pieces to look at; all by default.
    threads : int
        One for a caller that searches for several queries side by side.

    Raises
    ------
    audit.search.index.IndexDamagedError
        When the places of a segment are damaged.
    """
    voices = lines_of(index, query) if isinstance(query, NoteSequence) else query
    searched = sum(len(line.pitch) for line in voices)

    def look(number: int) -> NDArray[Any]:
        segment = index.segments[number]
        memory = counters(segment)
        candidates = [np.zeros(0, CANDIDATE)]
        for i, line in enumerate(voices):
            try:
                places = find_candidates(segment, line, index.notes, memory, searched)
            except ValueError as error:
                raise IndexDamagedError(index.path.parent / "segments" / segment.name, str(error)) from error
            if among is not None:
                places = places[among[segment.voice_piece[places["voice"]]]]
            places["segment"], places["line"] = number, i
            candidates.append(places)
        return _strongest(np.concatenate(candidates))

    with _pool(threads) as mapped:
        places = _strongest(np.concatenate([np.zeros(0, CANDIDATE), *mapped(look, range(len(index.segments)))]))
        places = places[np.lexsort((places["line"], places["segment"]))]
        scores = np.concatenate(
            [np.zeros(0, _SCORE), *mapped(lambda part: _score_places(index, voices, part), _lots(places))]
        )
    best: dict[int, list[int]] = {}
    for k in np.flatnonzero(scores["pairs"] >= MIN_PAIRS).tolist():
        best.setdefault(_piece(index, places[k]), []).append(k)
    strength = scores["bits"].tolist()
    ranked = sorted(best.items(), key=lambda item: (-max(strength[k] for k in item[1]), item[0]))[:top]
    return [
        _passage(voices[places[k]["line"]], index.segments[places[k]["segment"]], places[k])
        for _, candidates in ranked
        for k in _apart(candidates, places, scores, voices)
    ]


@contextmanager
def _pool(threads: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield `map`, or that of a pool of so many threads."""
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


def _piece(index: Index, place: Any) -> int:
    return int(index.segments[place["segment"]].voice_piece[place["voice"]])


def _lots(places: NDArray[Any]) -> list[NDArray[Any]]:
    """Cut places, sorted by segment and line, into lots of up to `TOGETHER` of one segment and line."""
    borders = np.flatnonzero(np.diff(places["segment"]) | np.diff(places["line"])) + 1
    return [
        part[start : start + TOGETHER] for part in np.split(places, borders) for start in range(0, len(part), TOGETHER)
    ]


def _score_places(index: Index, voices: list[Line], lot: NDArray[Any]) -> NDArray[Any]:
    """Align one line with its places in one segment: bits, pairs, and the positions of the first and last one."""
    scores = np.zeros(len(lot), _SCORE)
    if len(lot):
        score: Any = _score
        score(*_arrays(voices[lot[0]["line"]], index.segments[lot[0]["segment"]]), lot, scores)
    return scores


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


def _arrays(line: Line, segment: IndexSegment) -> tuple[Any, ...]:
    """Say what compiled code needs of a line and a segment."""
    return *_notes_of(line), segment.pitch, segment.step, segment.voice_start


def _notes_of(line: Line) -> tuple[Any, ...]:
    return line.pitch, line.onset, line.pitch_bits, line.rhythm_bits


@njit(cache=True, nogil=True)
def _at(
    q_pitch: Any, q_onset: Any, pitch_bits: Any, rhythm_bits: Any, pitch: Any, step: Any, voice_start: Any, place: Any
) -> Any:
    """Align a line with one place; the pairs are positions in the line and in the voice."""
    start, end = np.int64(voice_start[place.voice]), np.int64(voice_start[place.voice + 1])
    onset = onsets(step[start:end])
    q, p = place.hit_q, place.hit_p
    ratio = (q_onset[q + FIGURE] - q_onset[q]) / max(onset[p + FIGURE] - onset[p], 1e-3)
    first = max(place.first - MARGIN, 0)
    last = min(place.last + MARGIN, len(q_pitch) - 1)
    part = slice(first, last + 1)
    bits, pairs, in_time, ratio = _align_at_ratio(
        q_pitch[part], q_onset[part], pitch_bits[part], rhythm_bits[part], pitch[start:end], onset, place.shift, ratio,
        place.low - MARGIN + first, place.high - place.low + 2 * MARGIN + 1, place.votes,
    )  # fmt: skip
    for k in range(len(pairs)):
        pairs[k, 0] += first
    return bits, pairs, in_time, ratio


@njit(cache=True, nogil=True)
def _score(
    q_pitch: Any, q_onset: Any, pitch_bits: Any, rhythm_bits: Any, pitch: Any, step: Any, voice_start: Any,
    places: Any, scores: Any,
) -> None:  # fmt: skip
    for k in range(len(places)):
        bits, pairs, _, _ = _at(q_pitch, q_onset, pitch_bits, rhythm_bits, pitch, step, voice_start, places[k])
        scores[k].bits = bits
        scores[k].pairs = len(pairs)
        if len(pairs):
            scores[k].first = pairs[0, 0]
            scores[k].last = pairs[-1, 0]


def _passage(line: Line, segment: IndexSegment, place: Any) -> Passage:
    """Describe the alignment of one line with one place of a segment."""
    find: Any = _at
    bits, pairs, in_time, ratio = find(*_arrays(line, segment), place)
    alignment = Alignment(float(bits), pairs, in_time)
    return _describe(line, segment, int(place["voice"]), int(place["shift"]), float(ratio), alignment)


def align_line(
    line: Line, segment: IndexSegment, number: int, shift: int, ratio: float, band: tuple[int, int]
) -> Passage | None:
    """Return the best passage of a whole line and a voice of a segment, or None when they have no pair.

    Parameters
    ----------
    number : int
        The voice.
    shift : int
        Semitones from the line up to the voice.
    ratio : float
        Duration in the line over duration in the voice; refined where the passage says otherwise.
    band : tuple of int
        Lowest and highest diagonal (position in the voice - position in the line), inclusive.
    """
    start, end = int(segment.voice_start[number]), int(segment.voice_start[number + 1])
    piece = segment.pitch[start:end], onsets(segment.step[start:end])
    alignment, ratio = align_at_ratio(_notes_of(line), piece, shift, ratio, *band)
    return _describe(line, segment, number, shift, ratio, alignment) if len(alignment.pairs) else None


def _describe(
    line: Line, segment: IndexSegment, number: int, shift: int, ratio: float, alignment: Alignment
) -> Passage:
    where, piece = alignment.pairs[:, 0], int(segment.voice_piece[number])
    return Passage(
        piece=piece,
        bits=alignment.bits,
        query_rows=line.rows[where],
        voice=number - int(np.searchsorted(segment.voice_piece, piece)),
        positions=alignment.pairs[:, 1],
        in_time=alignment.in_time,
        notes=int(where[-1] - where[0]) + 1,
        voice_notes=min(len(line.pitch), int(segment.voice_start[number + 1]) - int(segment.voice_start[number])),
        transposition=-shift,
        tempo_ratio=ratio,
        commonplace=commonplace(line.pitch[where]),
    )


def _apart(order: list[int], places: NDArray[Any], scores: NDArray[Any], voices: list[Line]) -> list[int]:
    """Return the strongest places of one piece that do not share query notes' time."""
    kept: dict[int, tuple[int, int]] = {}
    for k in sorted(order, key=lambda k: -scores[k]["bits"]):
        rows = voices[places[k]["line"]].rows
        first, last = int(rows[scores[k]["first"]]), int(rows[scores[k]["last"]])
        if all(last < low or first > high for low, high in kept.values()):
            kept[k] = first, last
    return list(kept)

"""Copy search: a query's voices against every voice of a store.

Figures name candidate places (`audit.seeds`), alignment scores them in bits (`audit.align`), and each piece
keeps its best passages that do not overlap in the query. Pieces are ranked by their best passage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.align import Alignment, align
from audit.index import FIGURE, Index, voice_table
from audit.seeds import candidates
from audit.style import surprise
from music.notes import NoteSequence

MARGIN = 24  # diagonals around the hits, and notes before and after them, that an alignment may reach
MAX_ALIGNMENTS = 600  # a query; the best voted are taken
PASSAGES = 4  # of one piece
MIN_PAIRS = 6  # notes; fewer are no passage


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """Music that a query and a piece share.

    Attributes
    ----------
    piece : int
        Row of the piece in the store.
    bits : float
        Shared surprise: what is ranked and judged.
    query_rows, piece_rows : int64 (k,)
        Aligned equal notes: rows of the two sequences.
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
    """

    piece: int
    bits: float
    query_rows: NDArray[np.int64]
    piece_rows: NDArray[np.int64]
    in_time: NDArray[np.bool_]
    notes: int
    voice_notes: int
    transposition: int
    tempo_ratio: float


def search(index: Index, query: NoteSequence, top: int = 10, skip: frozenset[int] = frozenset()) -> list[Passage]:
    """Find the passages of `query` that the store also holds, strongest piece first.

    Parameters
    ----------
    top : int
        Pieces to return; each with up to `PASSAGES` passages that do not overlap in the query.
    skip : frozenset of int
        Pieces that are not looked at (a piece's own duplicates, for the human baseline).
    """
    jobs = []
    for pitch, onset, rows in voice_table(query):
        bits = surprise(index.style, pitch, onset)
        voice = (pitch.astype(np.int16), onset.astype(np.float32), *bits)
        jobs += [(float(c["votes"]), voice, rows, c) for c in candidates(index, pitch)]
    jobs.sort(key=lambda job: -job[0])
    best: dict[int, list[Passage]] = {}
    count = 0
    for _, voice, rows, candidate in jobs:
        piece = int(index.voice_piece[candidate["voice"]])
        if piece in skip:
            continue
        if count == MAX_ALIGNMENTS:
            break
        count += 1
        passage = _passage(index, voice, rows, candidate, piece)
        if passage is not None:
            best.setdefault(piece, []).append(passage)
    ranked = sorted(best.items(), key=lambda item: -max(p.bits for p in item[1]))[:top]
    return [passage for _, passages in ranked for passage in _apart(passages)]


def _passage(index: Index, voice: Any, rows: NDArray[np.int64], candidate: Any, piece: int) -> Passage | None:
    pitch, onset, pitch_bits, rhythm_bits = voice
    number = int(candidate["voice"])
    start, end = index.voice_start[number], index.voice_start[number + 1]
    p_pitch, p_onset = np.asarray(index.pitch[start:end]), np.asarray(index.onset[start:end])
    q, p = int(candidate["hit_q"]), int(candidate["hit_p"])
    ratio = float((onset[q + FIGURE] - onset[q]) / max(p_onset[p + FIGURE] - p_onset[p], 1e-3))
    first, last = (
        max(int(candidate["first"]) - MARGIN, 0),
        min(int(candidate["last"]) + FIGURE + MARGIN, len(pitch) - 1),
    )
    part = slice(first, last + 1)
    low, high = int(candidate["low"]) - MARGIN + first, int(candidate["high"]) + MARGIN + first
    shift = int(candidate["shift"])
    query = (pitch[part], onset[part], pitch_bits[part], rhythm_bits[part])
    found = align(query, (p_pitch, p_onset), shift, ratio, low, high)
    if len(found.pairs) >= MIN_PAIRS:
        refined = _tempo(query[1], p_onset, found)
        if abs(np.log2(refined / ratio)) > 0.02:
            again = align(query, (p_pitch, p_onset), shift, refined, low, high)
            if again.bits > found.bits:
                found, ratio = again, refined
    if len(found.pairs) < MIN_PAIRS:
        return None
    where, there = found.pairs[:, 0] + first, found.pairs[:, 1]
    return Passage(
        piece=piece,
        bits=found.bits,
        query_rows=rows[where],
        piece_rows=np.asarray(index.row[start:end])[there].astype(np.int64),
        in_time=found.in_time,
        notes=int(where[-1] - where[0]) + 1,
        voice_notes=min(len(pitch), int(end - start)),
        transposition=-shift,
        tempo_ratio=ratio,
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
        if len(kept) < PASSAGES and all(span[1] < k.query_rows[0] or span[0] > k.query_rows[-1] for k in kept):
            kept.append(passage)
    return kept

"""How closely two whole lines are related: what orders the pieces that share no passage beyond chance.

A tune that was passed on by ear keeps its outline, its metre and its phrases, and often no six notes in a row. So two
lines are aligned as van Kranenburg does for tune families: locally, with affine gaps, a pair of notes earning credit
for its pitch (graded, at the better of a few transpositions), its inner metric weight (Volk 2008), the turn of its
rhythm, and its places in the phrase and in the line. Every term is free of key and tempo, and taken from what the
index holds: pitch, and the time to the next note. Scores are divided by the geometric mean of the two lengths; where
every line of a small index can be compared, the mean of each line against a sample of the others is taken off, since
plain tunes resemble everything.

Departures: the inner metric weight counts the local meters of up to `REACH` units that no twice, three, four or six
times finer one contains, at their squared length, and is scaled to a maximum of 1; phrases are estimated (a
segmentation by length and long notes), where van Kranenburg takes those of the editors. Constants were set on tune
families of the Meertens Tune Collections, where most of them may move by a third without effect.

References
----------
van Kranenburg, Volk and Wiering, J. New Music Research 42 (2013): alignment of folk song melodies.
Volk, Musicae Scientiae 12 (2008): inner metric analysis.
Gotoh, J. Molecular Biology 162 (1982): affine gaps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.search.index import Index
from audit.search.lines import STEPS_AN_OCTAVE
from audit.search.passages import Passage, align_line
from audit.search.seeds import Line
from audit.search.surprise import Floats
from audit.search.tune_features import (
    INTO_ROW,
    METRIC,
    METRIC_ROW,
    PHRASE,
    PHRASE_ROW,
    PITCH_ROW,
    PLACE,
    PLACE_ROW,
    SHARE_ROW,
    TURN,
    TURN_ROW,
    features_at,
    line_features,
    unit_step,
)

MATCH, SECOND, THIRD, MISS = 1.0, -0.3, -0.5, -0.8  # semitones apart: 0; 1 or 2; 3; more
INTERVAL = 0.3  # on top where the steps into both notes are equal
TURN_CAP = 2.0  # octaves of tempo
FREE = 0.925  # credit of a pair without any difference in those four
GAP_OPEN, GAP_EXTEND = 1.0, 0.4
SHIFTS = 2  # transpositions tried: from overlapping pitches, and as many from equal pairs of intervals
LONGEST = 600  # notes; a longer line is no tune
CELLS = 40_000_000  # pairs of notes a query, about 0.3 s on one processor: what makes an index a small one
NAMED_CELLS = 4_000_000  # the same where only the pieces that a search named are compared
COHORT = 24  # lines that each line is compared with
COHORT_LEAST = 8  # fewer say nothing about a line
USUAL = 0.2  # what unrelated lines score, where no cohort tells
SEED = 20260802
USUALLY = "relatedness.json"
THREADS = os.cpu_count() or 1


@dataclass(frozen=True, slots=True, eq=False)
class Tunes:
    """All lines of a small index, n notes in v lines, ready to be compared.

    Attributes
    ----------
    features : float32 (7, n)
        From `line_features`, one line after another.
    start : int64 (v+1,)
    segment, number, piece : int64 (v,)
        Where each line lies in the index, and the row of its piece.
    usual : float32 (v,)
        Mean relatedness to a sample of the other pieces' lines; 0 where there are too few.
    """

    features: Floats
    start: NDArray[np.int64]
    segment: NDArray[np.int64]
    number: NDArray[np.int64]
    piece: NDArray[np.int64]
    usual: Floats


class Relative(NamedTuple):
    """The most related line of a piece.

    Attributes
    ----------
    degree : float
        Relatedness above what is usual for that line; unrelated lines lie around 0, equal ones around 2.
    line : int
        Number of the query's line.
    segment, number : int
        Where the piece's line lies in the index.
    shift : int
        Semitones from the query up to the piece.
    """

    degree: float
    line: int
    segment: int
    number: int
    shift: int


@njit(cache=True, nogil=True)
def _shifts(a: Any, b: Any, shifts: Any) -> int:
    """Write the likeliest shifts from `a` up to `b` into `shifts`; return how many."""
    n, m = a.shape[1], b.shape[1]
    share_a, share_b = np.zeros(128), np.zeros(128)
    for i in range(n):
        share_a[int(a[PITCH_ROW, i])] += a[SHARE_ROW, i]
    for j in range(m):
        share_b[int(b[PITCH_ROW, j])] += b[SHARE_ROW, j]
    share_a, share_b = np.sqrt(share_a), np.sqrt(share_b)
    votes = np.zeros(257)
    for p in range(128):
        if share_a[p] > 0:
            for q in range(128):
                votes[q - p + 128] += share_a[p] * share_b[q]
    count = _likeliest(votes, shifts, 0)
    votes[:] = 0
    for i in range(2, n):
        into, before = a[INTO_ROW, i], a[INTO_ROW, i - 1]
        for j in range(2, m):
            if into == b[INTO_ROW, j] and before == b[INTO_ROW, j - 1]:
                votes[int(b[PITCH_ROW, j] - a[PITCH_ROW, i]) + 128] += 1
    return _likeliest(votes, shifts, count)


@njit(cache=True, nogil=True)
def _likeliest(votes: Any, shifts: Any, count: int) -> int:
    for _ in range(SHIFTS):
        best = np.argmax(votes)
        if votes[best] > 0 and not np.any(shifts[:count] == best - 128):
            shifts[count] = best - 128
            count += 1
        votes[best] = 0
    return count


@njit(cache=True, nogil=True, fastmath=True)
def _credits(a: Any, b: Any, credit: Any) -> None:
    """Fill `credit` (n, m) with all that a pair of notes earns but that of its pitches."""
    single = np.float32
    for i in range(a.shape[1]):
        row, metric, turn, phrase, place, into = (
            credit[i],
            a[METRIC_ROW, i],
            a[TURN_ROW, i],
            a[PHRASE_ROW, i],
            a[PLACE_ROW, i],
            a[INTO_ROW, i],
        )
        for j in range(b.shape[1]):
            c = (
                single(FREE)
                - single(METRIC) * abs(metric - b[METRIC_ROW, j])
                - single(PHRASE) * abs(phrase - b[PHRASE_ROW, j])
            )
            c -= single(PLACE) * abs(place - b[PLACE_ROW, j])
            c -= single(TURN) * min(abs(turn - b[TURN_ROW, j]), single(TURN_CAP))
            row[j] = c + (single(INTERVAL) if into == b[INTO_ROW, j] else single(0))


@njit(cache=True, nogil=True, fastmath=True)
def _align(a: Any, b: Any, shift: int, credit: Any, row: Any, cells: Any, gaps: Any) -> Any:
    """Score the best local alignment at one shift; the last three are memory for m, m+1 and m+1 cells."""
    single = np.float32
    gap_open, gap_extend, none = single(GAP_OPEN), single(GAP_EXTEND), single(-1e9)
    cells[:] = 0
    gaps[:] = none
    best = single(0)
    m = b.shape[1]
    for i in range(a.shape[1]):
        pitch = a[PITCH_ROW, i] + single(shift)
        for j in range(m):  # apart from the recursion below, so that it runs on vectors
            d = abs(pitch - b[PITCH_ROW, j])
            near = single(MATCH) if d == 0 else (single(SECOND) if d < 3 else single(MISS))
            row[j] = credit[i, j] + (single(THIRD) if d == 3 else near)
        diagonal, side = single(0), none
        for j in range(m):
            here = max(diagonal + row[j], single(0))
            diagonal = cells[j + 1]
            up = max(diagonal - gap_open, gaps[j + 1] - gap_extend)
            side = max(cells[j] - gap_open, side - gap_extend)
            gaps[j + 1] = up
            here = max(here, up, side)
            cells[j + 1] = here
            best = max(best, here)
    return best


@njit(cache=True, nogil=True)
def _compare(a: Any, b: Any, only: int) -> Any:
    """Return relatedness and shift, the best of the likeliest shifts or at `only` where that is below 128."""
    n, m = a.shape[1], b.shape[1]
    credit, row = np.empty((n, m), np.float32), np.empty(m, np.float32)
    cells, gaps = np.empty(m + 1, np.float32), np.empty(m + 1, np.float32)
    shifts = np.full(2 * SHIFTS, only, np.int64)
    count = _shifts(a, b, shifts) if only >= 128 else 1
    _credits(a, b, credit)
    best, best_shift = np.float32(0), shifts[0]
    for k in range(count):
        score = _align(a, b, shifts[k], credit, row, cells, gaps)
        if score > best:
            best, best_shift = score, shifts[k]
    return best / np.sqrt(n * m), best_shift


@njit(cache=True, nogil=True)
def _compare_all(a: Any, features: Any, start: Any, first: int, degree: Any, shift: Any) -> None:
    for k in range(len(degree)):
        b = np.ascontiguousarray(features[:, start[first + k] : start[first + k + 1]])
        degree[k], shift[k] = _compare(a, b, 128)


def relatedness(a: Floats, b: Floats, shift: int | None = None) -> tuple[float, int]:
    """Say how closely two lines are related.

    Parameters
    ----------
    a, b : float32 (7, n), (7, m)
        From `line_features`.
    shift : int, optional
        Semitones from `a` up to `b`; the best of a few likely ones by default.

    Returns
    -------
    degree : float
        Score of the best local alignment over sqrt(n m), >= 0: about 0.2 for unrelated tunes, at most 2.225.
    shift : int
        Semitones from `a` up to `b`.
    """
    compare: Any = _compare
    degree, at = compare(a, b, 128 if shift is None else shift)
    return float(degree), int(at)


def tunes_of(index: Index) -> Tunes | None:
    """Prepare the lines of a small index; None where an average query could not be compared with all of them in time.

    Nothing is usual yet: `open_usual` and `measure_usual` say what is.
    """
    lengths = [np.diff(segment.voice_start.astype(np.int64)) for segment in index.segments]
    short = [np.flatnonzero(length <= LONGEST) for length in lengths]
    start = np.cumsum(np.concatenate([[0], *(length[k] for length, k in zip(lengths, short, strict=True))]))
    piece = np.concatenate([np.zeros(0), *(s.voice_piece[k] for s, k in zip(index.segments, short, strict=True))])
    if len(piece) == 0 or start[-1] ** 2 / len(np.unique(piece)) > CELLS:
        return None
    segment = np.repeat(np.arange(len(short)), [len(k) for k in short])
    number = np.concatenate(short)
    features = [features_at(index, int(s), int(k)) for s, k in zip(segment, number, strict=True)]
    usual = np.full(len(piece), USUAL, np.float32)
    return Tunes(np.concatenate(features, axis=1), start, segment, number, piece.astype(np.int64), usual)


def open_usual(index: Index, tunes: Tunes) -> Tunes | None:
    """Read what is usual for each line from beside the index, or return None when it is not there.

    Raises
    ------
    StoreError
        When it is there and damaged.
    """
    data = index.read(USUALLY)
    if data is None or (index.missing and len(data) != len(tunes.piece)):
        return None
    try:
        usual = np.array(data, np.float32)
        if usual.shape != tunes.piece.shape:
            raise ValueError(f"it describes {len(usual)} lines, and the index has {len(tunes.piece)}")
    except (TypeError, ValueError) as error:
        raise index.damage_error(USUALLY, error) from error
    return replace(tunes, usual=usual)


def measure_usual(index: Index, tunes: Tunes, progress: Callable[[int, int], None] = lambda done, total: None) -> Tunes:
    """Compare every line with a sample of the others, and write the means beside the index.

    Raises
    ------
    StoreError
        When the result can't be written.
    """
    sample = np.random.default_rng(SEED).permutation(len(tunes.piece))[:COHORT]
    table = np.empty((len(sample), len(tunes.piece)), np.float32)
    for done, k in enumerate(sample):
        table[done], _ = _with_all(tunes, tunes.features[:, tunes.start[k] : tunes.start[k + 1]])
        progress(done + 1, len(sample))
    others = tunes.piece[sample][:, None] != tunes.piece
    means = np.where(others, table, 0).sum(axis=0) / np.maximum(others.sum(axis=0), 1)
    usual = np.where(others.sum(axis=0) >= COHORT_LEAST, means, USUAL).astype(np.float32).round(4)
    index.write(USUALLY, [round(float(u), 4) for u in usual])
    return replace(tunes, usual=usual)


def compares_all(tunes: Tunes | None, voices: Sequence[Line]) -> bool:
    """Say whether `find_relatives` compares a query's voices with every piece."""
    notes = sum(len(v.pitch) for v in voices if len(v.pitch) <= LONGEST)
    return tunes is not None and notes * int(tunes.start[-1]) <= CELLS


def find_relatives(
    index: Index, tunes: Tunes | None, voices: Sequence[Line], passages: Sequence[Passage]
) -> dict[int, Relative]:
    """Give each piece of the index its line that is most related to one of a query's.

    All pieces of a small index are compared; where there are too many, only those with a passage, at the lines and
    the transposition of the strongest one. Pieces without lines of at most `LONGEST` notes are left out.

    Parameters
    ----------
    tunes : Tunes or None
        From `tunes_of`.
    voices : sequence of Line
        The query's, from `audit.search.passages.lines_of`.
    passages : sequence of Passage
        What `audit.search.passages.search` found, a piece's strongest first.
    """
    own = {i: line_features(v.pitch, v.step) for i, v in enumerate(voices) if len(v.pitch) <= LONGEST}
    if not own:
        return {}
    if tunes is None or not compares_all(tunes, voices):
        return _compare_named(index, voices, own, passages)
    degrees = [_with_all(tunes, features) for features in own.values()]
    degree, shift = (np.stack(columns) for columns in zip(*degrees, strict=True))
    line = degree.argmax(axis=0)
    best = np.take_along_axis(degree, line[None], axis=0)[0] - tunes.usual
    order = np.argsort(best, kind="stable")  # a piece's best line comes last
    numbers = list(own)
    return {
        int(tunes.piece[k]): Relative(
            float(best[k]), numbers[line[k]], int(tunes.segment[k]), int(tunes.number[k]), int(shift[line[k], k])
        )
        for k in order
    }


def passage_of(index: Index, voices: Sequence[Line], relative: Relative) -> Passage | None:
    """Align the two lines of a relative: their best passage, be it two notes; None where no two in a row agree."""
    line, segment = voices[relative.line], index.segments[relative.segment]
    step = segment.step[segment.voice_start[relative.number] : segment.voice_start[relative.number + 1]]
    ratio = 2.0 ** ((unit_step(line.step) - unit_step(step)) / STEPS_AN_OCTAVE)
    n, m = len(line.pitch), len(step)
    return align_line(line, segment, relative.number, relative.shift, ratio, (1 - n, m - 1))


def _with_all(tunes: Tunes, features: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Relatedness of one line to every line of `tunes`, and the shifts: (v,), (v,)."""
    compare: Any = _compare_all
    a = np.ascontiguousarray(features)
    degree, shift = np.empty(len(tunes.piece), np.float32), np.empty(len(tunes.piece), np.int64)
    ends = np.linspace(0, len(degree), 4 * THREADS + 1).astype(int)
    with ThreadPoolExecutor(THREADS) as pool:
        list(
            pool.map(
                lambda k: compare(
                    a, tunes.features, tunes.start, ends[k], degree[ends[k] : ends[k + 1]], shift[ends[k] : ends[k + 1]]
                ),
                range(4 * THREADS),
            )
        )
    return degree, shift


def _compare_named(
    index: Index, voices: Sequence[Line], own: dict[int, Floats], passages: Sequence[Passage]
) -> dict[int, Relative]:
    left = NAMED_CELLS
    relatives: dict[int, Relative] = {}
    for passage in passages:
        line = next((i for i in own if np.isin(passage.query_rows, voices[i].rows).all()), None)
        if line is None or passage.piece in relatives or left < 0:
            continue
        for s, segment in enumerate(index.segments):
            number = int(np.searchsorted(segment.voice_piece, passage.piece)) + passage.voice
            if number >= len(segment.voice_piece) or segment.voice_piece[number] != passage.piece:
                continue
            notes = int(segment.voice_start[number + 1]) - int(segment.voice_start[number])
            left -= notes * own[line].shape[1]
            if notes <= LONGEST and left >= 0:
                degree, shift = relatedness(own[line], features_at(index, s, number), -passage.transposition)
                relatives[passage.piece] = Relative(degree - USUAL, line, s, number, shift)
    return relatives

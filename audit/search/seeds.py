"""Where to look: the places of an index segment that one line of a query should be aligned with.

The figures of the line hit places of the segment. A copy makes hits on neighbouring diagonals (place - position in the
line), so hits are counted per band of diagonals, weighted by their rarity (log2 of notes over places), in windows of
the line: short ones, so that neither the rest of a track nor its own relatives hide a copied fragment; and long ones,
where the few hits that are left of a heavily ornamented tune add up. The best bands of every window are looked at
closely: each run of hits is extended note by note, as BLAST does (Altschul et al., J. Molecular Biology 215, 1990),
and scored in bits. A window names its best pieces by the bits of their best run, and by their votes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.search.index import IndexSegment
from audit.search.lines import FIGURE, hash_figures

SHORT, SHORT_HOP, SHORT_BAND, SHORT_BANDS = 24, 12, 4, 600  # notes, notes, log2 of diagonals, bands looked at closely
LONG, LONG_HOP, LONG_BAND, LONG_BANDS = 192, 96, 6, 200
PIECES = 20  # that a window names by bits, and as many by votes
HITS_A_NOTE = 3000  # in the whole index; the commonest figures of a window are left out where there would be more
HITS = 30_000_000  # of a whole query, which bounds the time that hostile input takes
RUN_MISS, RUN_DROP, RUN_LATE = 4.0, 8.0, 2.5  # bits: a wrong note, when a run ends, a note out of time
LEVELS = 1024  # of votes, in bits, that are told apart
STEP_TOLERANCE = 4  # steps of `index.time_steps`: 15 %, below the 1/4 that turns a dotted rhythm into an even one

CANDIDATE = np.dtype(
    [("bits", "<f4"), ("votes", "<f4"), ("voice", "<i4"), ("shift", "<i4"), ("low", "<i4"), ("high", "<i4"),
     ("first", "<i4"), ("last", "<i4"), ("hit_q", "<i4"), ("hit_p", "<i4"), ("segment", "<i4"), ("line", "<i4")]
)  # fmt: skip


class Line(NamedTuple):
    """One voice of a query, n notes.

    Attributes
    ----------
    pitch, step : uint8 (n,)
        As `audit.search.index.IndexSegment` holds them.
    onset : float32 (n,)
        Quarters.
    pitch_bits, rhythm_bits : float32 (n,)
        From `audit.search.surprise.surprise`.
    rows : int64 (n,)
        Rows of the notes in the query.
    """

    pitch: NDArray[np.uint8]
    step: NDArray[np.uint8]
    onset: NDArray[np.float32]
    pitch_bits: NDArray[np.float32]
    rhythm_bits: NDArray[np.float32]
    rows: NDArray[np.int64]


def counters(segment: IndexSegment) -> NDArray[np.uint32]:
    """Zeroed memory for `find_candidates`, to be used again for the next line; not by two threads at once."""
    return np.zeros((len(segment.pitch) + LONG >> SHORT_BAND) + 4, np.uint32)


def find_candidates(
    segment: IndexSegment, line: Line, notes: int, memory: NDArray[np.uint32], searched: int = 0
) -> NDArray[Any]:
    """Name the places of a segment to align one line with.

    Parameters
    ----------
    notes : int
        Notes of the whole index: what rarity is measured against.
    memory : uint32
        From `counters`; all zeros, and left so.
    searched : int
        Notes of all lines of the query, where there are more.

    Returns
    -------
    structured array `CANDIDATE`
        bits (of the best run), votes (bits of rarity), voice (in the segment), shift (semitones up from the query),
        low..high (diagonals of the hits, in the voice), first..last (positions in the line of what was found), hit_q
        and hit_p (a figure's positions in the line and in the voice). segment and line are for the caller to fill.

    Raises
    ------
    ValueError
        When the places of the segment are damaged; `memory` can't be used again then.
    """
    buckets = hash_figures(line.pitch, int(np.log2(len(segment.starts) - 1)))
    if not len(buckets):
        return np.zeros(0, CANDIDATE)
    share = len(segment.pitch) / max(notes, 1)
    budget = max(int(share * min(HITS_A_NOTE, HITS / max(searched, len(buckets))) * SHORT), SHORT)
    find: Any = _find_candidates
    rows = find(
        buckets, line.pitch, line.step, line.pitch_bits, line.rhythm_bits,
        segment.pitch, segment.step, segment.voice_start, segment.voice_piece, segment.starts, segment.places,
        float(notes), budget, memory,
    )  # fmt: skip
    table = np.zeros(len(rows), CANDIDATE)
    for name, column in zip(CANDIDATE.names or (), rows.T, strict=False):
        table[name] = column
    return table


@njit(cache=True, nogil=True)
def _varint(coded: Any, k: int) -> Any:
    """Read the number at coded[k]; return it and where the next one begins."""
    value, shift = np.int64(0), 0
    while True:
        byte = np.int64(coded[k])
        k += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, k


@njit(cache=True, nogil=True)
def _find_candidates(  # noqa: PLR0912
    buckets: Any, q_pitch: Any, q_step: Any, pitch_bits: Any, rhythm_bits: Any,
    pitch: Any, step: Any, voice_start: Any, voice_piece: Any, starts: Any, coded: Any,
    notes: float, budget: int, memory: Any,
) -> Any:  # fmt: skip
    n = len(buckets)
    count = np.zeros(n, np.int64)
    weight = np.zeros(n, np.int64)  # 16ths of a bit
    for q in range(n):
        size = np.int64(starts[buckets[q] + 1]) - np.int64(starts[buckets[q]])
        if size > 0:
            count[q], _ = _varint(coded, starts[buckets[q]])
            if not 0 < count[q] < size:  # a place takes a byte or more
                raise ValueError("places.npy: a bucket does not hold as many places as it says")
            weight[q] = np.int64(16 * max(np.log2(notes / count[q]), 1.0))
    for a in range(0, n, SHORT):  # the rarest figures first, as far as the budget goes
        part = count[a : a + SHORT]
        left = budget
        for q in np.argsort(part):
            left -= part[q]
            if left < 0:
                part[q] = 0
    out = np.empty((256, 10))
    found = 0
    at = np.zeros(LONG + 1, np.int64)
    longest = 0
    for a in range(0, n, LONG_HOP):
        longest = max(longest, count[a : a + LONG].sum())
    hits = np.empty(longest, np.uint32)
    touched = np.empty(longest, np.uint32)
    for a in range(0, n, LONG_HOP):
        end = min(a + LONG, n)
        for q in range(a, end):
            at[q - a + 1] = at[q - a] + count[q]
            if count[q]:
                _, k = _varint(coded, starts[buckets[q]])
                place = np.int64(-1)
                for j in range(at[q - a], at[q - a + 1]):
                    if k >= starts[buckets[q] + 1]:
                        raise ValueError("places.npy: a bucket ends before its last place")
                    gap, k = _varint(coded, k)
                    place += gap + 1
                    if not 0 <= place < len(pitch):
                        raise ValueError("places.npy: a place lies beyond the last note")
                    hits[j] = place
        last = end == n
        for b in range(a, n if last else a + LONG_HOP, SHORT_HOP):
            if b > a and b + SHORT - SHORT_HOP >= n and last:
                break  # the window before reached the end
            out, found = _window(
                b, min(b + SHORT, n), a, at, hits, touched, weight, SHORT_BAND, SHORT_BANDS,
                q_pitch, q_step, pitch_bits, rhythm_bits, pitch, step, voice_start, voice_piece, memory, out, found,
            )  # fmt: skip
        out, found = _window(
            a, end, a, at, hits, touched, weight, LONG_BAND, LONG_BANDS,
            q_pitch, q_step, pitch_bits, rhythm_bits, pitch, step, voice_start, voice_piece, memory, out, found,
        )  # fmt: skip
        if last:
            break
    return out[:found]


@njit(cache=True, nogil=True)
def _window(  # noqa: PLR0912
    first: int, end: int, a: int, at: Any, hits: Any, touched: Any, weight: Any, band: int, bands: int,
    q_pitch: Any, q_step: Any, pitch_bits: Any, rhythm_bits: Any,
    pitch: Any, step: Any, voice_start: Any, voice_piece: Any, memory: Any, out: Any, found: int,
) -> Any:  # fmt: skip
    """Append the candidates of the window first..end-1 to `out`; at[q - a] is where the hits of position q begin."""
    # A counter holds (position of its last hit in the window + 1) << 16 | votes. Figures that overlap share notes:
    # a hit brings what its notes since the last one bring.
    seen = 0
    for q in range(first, end):
        for j in range(at[q - a], at[q - a + 1]):
            b = (np.int64(hits[j]) - q + end) >> band
            entry = np.int64(memory[b])
            votes = weight[q]
            if entry == 0:
                touched[seen] = b
                seen += 1
            else:
                votes = (entry & 0xFFFF) + votes * min(q - first + 1 - (entry >> 16), FIGURE) // FIGURE
            memory[b] = (q - first + 1) << 16 | min(votes, 0xFFFF)
    if seen == 0:
        return out, found
    tally = np.zeros(LEVELS, np.int64)
    for i in range(seen):
        tally[_level(memory, touched[i])] += 1
    least, wanted = LEVELS, bands
    while least > 0 and tally[least - 1] <= wanted:
        least -= 1
        wanted -= tally[least]
    chosen = np.empty(bands, np.int64)
    slots = 0
    for i in range(seen):
        if _level(memory, touched[i]) >= least:
            chosen[slots] = touched[i]
            slots += 1
    for i in range(seen):
        memory[touched[i]] = 0
    for s in range(slots):
        memory[chosen[s]] = s + 1
    # The hits of each chosen band, in order of position.
    size = np.zeros(slots + 2, np.int64)
    for q in range(first, end):
        for j in range(at[q - a], at[q - a + 1]):
            b = (np.int64(hits[j]) - q + end) >> band
            size[memory[b] + 1] += memory[b] > 0
            if b:
                size[memory[b - 1] + 1] += memory[b - 1] > 0
    fill = np.cumsum(size)
    begin = fill.copy()
    where = np.empty(fill[-1], np.int64)
    place = np.empty(fill[-1], np.int64)
    for q in range(first, end):
        for j in range(at[q - a], at[q - a + 1]):
            b = (np.int64(hits[j]) - q + end) >> band
            for back in range(2 if b else 1):
                s = memory[b - back]
                if s:
                    where[fill[s]], place[fill[s]] = q, hits[j]
                    fill[s] += 1
    for s in range(slots):
        memory[chosen[s]] = 0
    rows = np.empty((slots, 10))
    kept = 0
    for s in range(1, slots + 1):
        kept += _look(
            where[begin[s] : fill[s]], place[begin[s] : fill[s]], weight,
            q_pitch, q_step, pitch_bits, rhythm_bits, pitch, step, voice_start, rows[kept],
        )  # fmt: skip
    return _best(rows[:kept], voice_piece, out, found)


@njit(cache=True, nogil=True)
def _level(memory: Any, b: Any) -> Any:
    """Bits of votes of a band together with its upper neighbour, so that no border of bands parts a copy."""
    return min(((np.int64(memory[b]) & 0xFFFF) + (np.int64(memory[b + 1]) & 0xFFFF)) >> 4, LEVELS - 1)


@njit(cache=True, nogil=True)
def _look(
    where: Any, place: Any, weight: Any, q_pitch: Any, q_step: Any, pitch_bits: Any, rhythm_bits: Any,
    pitch: Any, step: Any, voice_start: Any, row: Any,
) -> int:  # fmt: skip
    """Write the candidate of one band into `row`: its best run, and the hits that agree with it; return 0 for none."""
    best, best_i, best_voice, best_first, best_last = 0.0, -1, 0, 0, 0
    for i in range(len(where)):
        q, p = where[i], place[i]
        inside: Any = False  # of a run that an earlier hit began, one that shares more than its bucket
        k = i - 1
        while k >= 0 and where[k] >= q - 1 and not inside:
            if where[k] == q - 1 and place[k] == p - 1:
                step_up = np.int64(pitch[p]) - np.int64(pitch[p - 1])
                inside = step_up == np.int64(q_pitch[q]) - np.int64(q_pitch[q - 1])
            k -= 1
        if inside:
            continue
        voice = np.searchsorted(voice_start, p, side="right") - 1
        bits, first, last = _run(
            q, p, np.int64(voice_start[voice]), np.int64(voice_start[voice + 1]),
            q_pitch, q_step, pitch_bits, rhythm_bits, pitch, step,
        )  # fmt: skip
        if bits > best:
            best, best_i, best_voice, best_first, best_last = bits, i, voice, first, last
    if best_i < 0:
        return 0
    start, end = np.int64(voice_start[best_voice]), np.int64(voice_start[best_voice + 1])
    shift = np.int64(pitch[place[best_i]]) - np.int64(q_pitch[where[best_i]])
    votes, before = 0.0, -FIGURE
    low = high = place[best_i] - where[best_i]
    for i in range(len(where)):
        q, p = where[i], place[i]
        if q > before and start <= p < end and np.int64(pitch[p]) - np.int64(q_pitch[q]) == shift:
            votes += weight[q] * min(q - before, FIGURE) / (16.0 * FIGURE)
            before = q
            low, high = min(low, p - q), max(high, p - q)
            best_first, best_last = min(best_first, q), max(best_last, q + FIGURE)
    row[0], row[1], row[2], row[3] = best, votes, best_voice, shift
    row[4], row[5], row[6], row[7] = low - start, high - start, best_first, best_last
    row[8], row[9] = where[best_i], place[best_i] - start
    return 1


@njit(cache=True, nogil=True)
def _run(
    q: Any, p: Any, start: Any, end: Any, q_pitch: Any, q_step: Any, pitch_bits: Any, rhythm_bits: Any,
    pitch: Any, step: Any,
) -> Any:  # fmt: skip
    """Extend the figure at (q, p) along its diagonal, both ways; return bits, first and last position in the line.

    0 bits where the figures differ and share but their bucket.
    """
    shift = np.int64(pitch[p]) - np.int64(q_pitch[q])
    tempo = np.empty(FIGURE, np.int64)
    for k in range(FIGURE):
        if np.int64(pitch[p + k + 1]) - np.int64(q_pitch[q + k + 1]) != shift:
            return 0.0, q, q
        tempo[k] = np.int64(q_step[q + k]) - np.int64(step[p + k])
    tempo.sort()
    ratio = tempo[FIGURE // 2]
    now = 0.0
    for k in range(1, FIGURE + 1):
        now += pitch_bits[q + k]
        if k > 1:
            late = abs(np.int64(q_step[q + k - 1]) - np.int64(step[p + k - 1]) - ratio) > STEP_TOLERANCE
            now += -RUN_LATE if late else rhythm_bits[q + k]
    best, first, last = now, q, q + FIGURE
    i, j = q + FIGURE + 1, p + FIGURE + 1
    while i < len(q_pitch) and j < end and now >= best - RUN_DROP:
        if np.int64(pitch[j]) - np.int64(q_pitch[i]) == shift:
            late = abs(np.int64(q_step[i - 1]) - np.int64(step[j - 1]) - ratio) > STEP_TOLERANCE
            now += pitch_bits[i] + (-RUN_LATE if late else rhythm_bits[i])
        else:
            now -= RUN_MISS
        if now > best:
            best, last = now, i
        i, j = i + 1, j + 1
    now = best
    i, j = q - 1, p - 1
    while i >= 0 and j >= start and now >= best - RUN_DROP:
        if np.int64(pitch[j]) - np.int64(q_pitch[i]) == shift:
            late = abs(np.int64(q_step[i]) - np.int64(step[j]) - ratio) > STEP_TOLERANCE
            now += pitch_bits[i + 1] + (-RUN_LATE if late else rhythm_bits[i + 1])
        else:
            now -= RUN_MISS
        if now > best:
            best, first = now, i
        i, j = i - 1, j - 1
    return best, first, last


@njit(cache=True, nogil=True)
def _best(rows: Any, voice_piece: Any, out: Any, found: int) -> Any:
    """Append the rows of the `PIECES` best pieces by bits, and by votes, to `out`; each row once."""
    taken = np.zeros(len(rows), np.bool_)
    pieces = np.empty(PIECES, np.int64)
    for column in range(2):
        order = np.argsort(-rows[:, column])
        count = 0
        for i in order:
            piece = voice_piece[np.int64(rows[i, 2])]
            fresh = True
            for k in range(count):
                fresh = fresh and pieces[k] != piece
            if not fresh:
                continue
            pieces[count] = piece
            count += 1
            if not taken[i]:
                taken[i] = True
                if found == len(out):
                    wider = np.empty((2 * len(out), 10))
                    wider[:found] = out
                    out = wider
                out[found] = rows[i]
                found += 1
            if count == PIECES:
                break
    return out, found

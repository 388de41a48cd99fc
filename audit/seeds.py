"""Where to look: places of the corpus whose figures recur in a query, voted per window of the query.

Each figure of the query votes for the (voice, transposition, band of diagonals) where the index holds it, with its
rarity (log2 of pieces over pieces that hold it). Votes are counted in windows of `WINDOW` notes, and every window
names its own candidates, so that neither the rest of the track nor its own relatives hide a copied fragment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from audit.index import FIGURE, Index, figures
from music.notes import IntArray

WINDOW = 24  # notes
HOP = 12
BAND_BITS = 4  # diagonals are counted in bands of 16
CANDIDATES = 20  # a window
MIN_VOTES = 4.0  # bits of rarity: a lone common figure is no candidate
MAX_PLACES = 3000  # figures that stand in more places are left out: they say nothing and cost the most time
MAX_HITS = 2_000_000  # a voice; beyond it the commonest figures are left out, which bounds memory on hostile input

CANDIDATE = np.dtype(
    [("voice", "<i4"), ("shift", "<i4"), ("low", "<i4"), ("high", "<i4"), ("first", "<i4"), ("last", "<i4"),
     ("votes", "<f4"), ("window", "<i4"), ("hit_q", "<i4"), ("hit_p", "<i4")]
)  # fmt: skip


def candidates(index: Index, pitch: IntArray) -> NDArray[Any]:
    """Name the places of the corpus to align one query voice with.

    Returns
    -------
    structured array `CANDIDATE`
        voice, shift (semitones up from the query), low..high (diagonals hit), first..last (query positions of the
        hits), votes (best window), hit_q and hit_p (one pair of positions that belong together, in the voice).
    """
    codes = figures(pitch)
    if not len(codes):
        return np.zeros(0, CANDIDATE)
    slot = np.searchsorted(index.figures, codes)
    slot[slot == len(index.figures)] = 0
    known = index.figures[slot] == codes
    start, end = index.starts[slot], index.starts[slot + 1]
    count = np.where(known & (end - start <= MAX_PLACES), end - start, 0)
    if count.sum() > MAX_HITS:
        order = np.argsort(count, kind="stable")
        count[order[np.cumsum(count[order]) > MAX_HITS]] = 0
    where = np.repeat(np.arange(len(codes)), count)
    place = np.asarray(index.places)[
        np.repeat(start, count) + np.arange(len(where)) - np.repeat(np.cumsum(count) - count, count)
    ]
    voice = np.asarray(index.voice_of)[place].astype(np.int64)
    diagonal = place - index.voice_start[voice] - where
    shift = index.pitch[place].astype(np.int64) - pitch[where]
    # voice 22 bits, shift 8, band 15, note 18: midi.MAX_EVENTS allows no voice of more than 2**18 notes.
    key = voice << 41 | (shift + 128) << 33 | ((diagonal >> BAND_BITS) + 16384) << 18 | where
    order = np.argsort(key)
    key = key[order]
    found = _vote(key >> 18, where[order], diagonal[order], index.rarity[slot].astype(np.float32))
    table = np.zeros(len(found[0]), CANDIDATE)
    names = ("window", "votes", "first", "last", "low", "high", "hit_q", "hit_p")
    for name, column in zip(names, found[1], strict=True):
        table[name] = column
    group = key[found[0]] >> 18
    table["voice"], table["shift"] = group >> 23, (group >> 15 & 0xFF) - 128
    return _best_per_window(table, index)


@njit(cache=True)
def _vote(group: Any, where: Any, diagonal: Any, rarity: Any) -> Any:
    """Sum rarity per group and window; hits come sorted by group, then query position."""
    n = len(group)
    out_at = np.empty(n, np.int64)
    out = np.empty((8, n), np.float64)
    rows = 0
    i = 0
    while i < n:
        j = i
        low = high = diagonal[i]
        while j < n and group[j] == group[i]:
            low, high = min(low, diagonal[j]), max(high, diagonal[j])
            j += 1
        # Two-pointer windows of WINDOW notes, one result per HOP.
        left, total, covered, window, best, hit = i, 0.0, -1, -1, 0.0, i
        for right in range(i, j + 1):
            at = where[right] // HOP if right < j else -1
            if at != window:
                if best >= MIN_VOTES:
                    out_at[rows] = i
                    out[0, rows], out[1, rows] = window, best
                    out[2, rows], out[3, rows] = where[i], where[j - 1]
                    out[4, rows], out[5, rows] = low, high
                    out[6, rows], out[7, rows] = where[hit], where[hit] + diagonal[hit]
                    rows += 1
                window, best = at, 0.0
            if right == j:
                break
            # Votes of overlapping figures are shared: each brings what its new notes bring.
            fresh = min(where[right] - covered, FIGURE) / FIGURE if covered >= 0 else 1.0
            covered = where[right]
            total += rarity[where[right]] * fresh
            while where[right] - where[left] >= WINDOW:
                step = min(where[left + 1] - where[left], FIGURE) / FIGURE
                total -= rarity[where[left]] * step
                left += 1
            if total > best:
                best, hit = total, right
        i = j
    return out_at[:rows], out[:, :rows]


def _best_per_window(table: NDArray[Any], index: Index) -> NDArray[Any]:
    """Keep, of every window, the best place in each of the `CANDIDATES` best pieces; each place once."""
    order = np.lexsort((-table["votes"], table["window"]))
    table = table[order]
    piece = np.asarray(index.voice_piece)[table["voice"]].astype(np.int64)
    keep = _pick(table["window"].astype(np.int64), piece)
    table = table[keep]
    place = np.stack([table[n] for n in ("voice", "shift", "low", "high", "first")])
    _, first = np.unique(place[:, np.argsort(-table["votes"], kind="stable")], axis=1, return_index=True)
    return table[np.argsort(-table["votes"], kind="stable")[np.sort(first)]]


@njit(cache=True)
def _pick(window: Any, piece: Any) -> Any:
    keep = np.zeros(len(window), np.bool_)
    i = 0
    taken = np.empty(CANDIDATES, np.int64)
    while i < len(window):
        j, count = i, 0
        while j < len(window) and window[j] == window[i]:
            if count < CANDIDATES:
                fresh = True
                for k in range(count):
                    fresh = fresh and taken[k] != piece[j]
                if fresh:
                    taken[count] = piece[j]
                    count += 1
                    keep[j] = True
            j += 1
        i = j
    return keep

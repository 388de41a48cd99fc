"""From a store to what the network reads: encoded splits, training windows, windows that score a piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from corpus.store import Store
from generator.tokens import (
    PAD,
    PITCH,
    BoolArray,
    GeneratorError,
    IntArray,
    bar_starts,
    encode,
    movable,
    window,
)

WHOLE_PIECE_CHANCE = 0.25  # windows that begin at the beginning, so that openings are learned


def read_split(store: Store, split: str, artist: str = "") -> tuple[list[IntArray], list[tuple[str, str]]]:
    """Encode a split of a store; return the pieces with notes, and (path, reason) for those that can't be.

    Where an `artist` is named, only pieces under that name in the rights are read.
    """
    pieces: list[IntArray] = []
    skipped: list[tuple[str, str]] = []
    for i, record in enumerate(store.pieces):
        if record.split != split or (artist and record.artist != artist):
            continue
        sequence = store.notes(i)
        try:
            if not len(sequence):
                raise GeneratorError("has no notes")
            pieces.append(np.array(encode(sequence), dtype=np.int64))
        except GeneratorError as error:
            skipped.append((record.path, str(error)))
    return pieces, skipped


class Windows:
    """Random training windows of one split, the same for the same seed, step and row.

    Parameters
    ----------
    pieces : list of int64 arrays
        Encoded pieces.
    context : int
        Tokens a window.
    transpose : int
        Largest transposition in semitones, up or down, never beyond the pitch range of `pieces`.
    """

    def __init__(self, pieces: Sequence[IntArray], context: int, transpose: int) -> None:
        """Find where windows may start: where they are full, and where the first reaches the end."""
        self.pieces = pieces
        self.context = context
        self.movable = [movable(p) for p in pieces]
        self.shifts = shifts(pieces, self.movable, transpose)
        self.starts: list[IntArray] = []
        for piece in pieces:
            bars = bar_starts(piece)
            full = int(np.searchsorted(bars, len(piece) - context + int(bars[0])))
            self.starts.append(bars[: full + 1])
        weights = np.array([len(p) for p in pieces], dtype=np.float64)
        self.weights = weights / weights.sum()

    def rows(self, count: int, key: Sequence[int], moved: float = 1.0) -> IntArray:
        """Draw `count` windows with the random state `key`: (count, <= context + 1), padded with ``PAD``.

        A window is transposed with the chance `moved`.
        """
        random = np.random.default_rng(key)
        cuts = []
        for i in random.choice(len(self.pieces), size=count, p=self.weights):
            starts = self.starts[i]
            start = starts[0] if random.random() < WHOLE_PIECE_CHANCE else random.choice(starts)
            shift = random.choice(self.shifts[i]) if random.random() < moved else 0
            cuts.append(window(self.pieces[i] + shift * self.movable[i], int(start), self.context + 1)[0])
        return padded(cuts)


def shifts(pieces: Sequence[IntArray], moves: Sequence[BoolArray], transpose: int) -> list[IntArray]:
    """Return the transpositions of each piece, at most `transpose`, that stay in the pitch range of all."""
    spans = [
        (int(p[m].min()), int(p[m].max())) if m.any() else (PITCH, PITCH) for p, m in zip(pieces, moves, strict=True)
    ]
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    return [np.arange(max(-transpose, low - a), min(transpose, high - b) + 1) for a, b in spans]


def padded(cuts: Sequence[IntArray]) -> IntArray:
    """Stack sequences as rows, filled up with ``PAD`` at the end."""
    rows = np.full((len(cuts), max(len(c) for c in cuts)), PAD, dtype=np.int64)
    for row, cut in zip(rows, cuts, strict=True):
        row[: len(cut)] = cut
    return rows


def scored_windows(piece: IntArray, context: int) -> Iterator[tuple[IntArray, int]]:
    """Yield windows (<= context + 1,) over a whole piece and how many first tokens of each don't count."""
    bars = bar_starts(piece)
    start, done = int(bars[0]), 1
    while True:
        cut, header = window(piece, start, context + 1)
        reached = start + len(cut) - header
        yield cut, done - start + header if start > bars[0] else 1
        if reached >= len(piece):
            return
        done = reached
        later = bars[(bars > start) & (bars <= start + context // 2)]
        following = bars[(bars > start) & (bars < reached)]
        start = int(later[-1] if len(later) else following[0] if len(following) else reached)

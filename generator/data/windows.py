"""From a store to what the network reads: encoded splits, training windows, windows that score a piece.

Half the training windows are plain, as scoring reads them. The others may be headed by what they are like
(`generator.data.attributes`): their artist, key, density and polyphony, each with a chance of 1/2, so that the network
learns to go without any of them too (Ho and Salimans 2022 drop conditions for the same reason); and half of those are
cut out of the planned line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from corpus.store import Store
from generator.data.attributes import bar_figures, classes, key_of, plan_of
from generator.data.tokens import bar_starts, decode, encode, movable, quantise, transpose_tokens, window
from generator.data.variation import VARIATIONS
from generator.data.vocabulary import (
    ARTIST,
    ARTISTS,
    BAR,
    BPM_COUNT,
    BPM_FIRST,
    BPM_STEP,
    DENSITY,
    PAD,
    PITCH,
    POLYPHONY,
    POSITION,
    PROGRAM,
    TEMPO,
    BoolArray,
    GeneratorError,
    IntArray,
    key_token,
)
from music.notes import FloatArray

WHOLE_PIECE_CHANCE = 0.25  # windows that begin at the beginning, so that openings are learned
CONTROL_CHANCE = 0.5
PLAN_CHANCE = 0.5
PLAIN_CHANCE = 0.5
VARIED_CHANCE = 0.5  # windows of a varied piece, where there are variations at all
TEMPO_RANGE = 1.2  # largest factor, up or down
AUGMENTATIONS = ("transpose", "tempo", *VARIATIONS)
KEPT_VERSIONS = 4096


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


def read_artists(
    store: Store, split: str, artist: str, absent: Collection[str], before: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], list[int]]:
    """Return the names a model may know, and the place among them of each piece that `read_split` returned.

    A name counts by its pieces that have a licence and a consent (`corpus.rights.Rights.cleared`); the 64 with most
    such pieces are kept, after those that the model knew `before`. The place of a piece without such a name is -1.
    """
    records = [
        record
        for record in store.pieces
        if record.split == split and record.path not in absent and artist in ("", record.artist)
    ]
    names = [record.artist if record.rights.cleared else "" for record in records]
    met = (name for name, _ in Counter(sorted(filter(None, names))).most_common() if name not in before)
    known = (*before, *met)[:ARTISTS]
    return known, [known.index(name) if name in known else -1 for name in names]


@dataclass(frozen=True, slots=True)
class _Version:
    """A piece as it is or varied: its plain and its planned line, its `bar_figures`, and how far it may move."""

    lines: tuple[IntArray, IntArray]
    figures: FloatArray
    shifts: IntArray


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
    conditions : bool
        Whether windows are headed by controls and planned lines are read.
    artists : list of int, optional
        Place of each piece's artist in the model's table; -1 for none.
    augment : collection of str
        Of `AUGMENTATIONS`; "transpose" says nothing here, `transpose` does.
    """

    def __init__(
        self,
        pieces: Sequence[IntArray],
        context: int,
        transpose: int,
        *,
        conditions: bool = False,
        artists: Sequence[int] | None = None,
        augment: Collection[str] = (),
    ) -> None:
        """Find where windows may start: where they are full, and where the first reaches the end."""
        self.pieces = pieces
        self.context = context
        self.conditions = conditions
        self.artists = artists or [-1] * len(pieces)
        self.tempo = "tempo" in augment
        self.variations = ["", *(name for name in VARIATIONS if name in augment)]
        self.transpose = transpose
        spans = [p[movable(p)] for p in pieces]
        self.lowest = min((int(s.min()) for s in spans if len(s)), default=PITCH)
        self.highest = max((int(s.max()) for s in spans if len(s)), default=PITCH)
        self.version = lru_cache(KEPT_VERSIONS)(self._version)
        self.starts: list[IntArray] = []
        for piece in pieces:
            bars = bar_starts(piece)
            full = int(np.searchsorted(bars, len(piece) - context + int(bars[0])))
            self.starts.append(bars[: full + 1])
        weights = np.array([len(p) for p in pieces], dtype=np.float64)
        self.weights = weights / weights.sum()

    def rows(self, count: int, key: Sequence[int]) -> IntArray:
        """Draw `count` windows with the random state `key`: (count, <= context + 1), padded with ``PAD``."""
        random = np.random.default_rng(key)
        pieces = random.choice(len(self.pieces), size=count, p=self.weights)
        return pad_rows([self._cut(int(i), random) for i in pieces])

    def _cut(self, i: int, random: np.random.Generator) -> IntArray:
        starts = self.starts[i]
        bar = 0 if random.random() < WHOLE_PIECE_CHANCE else int(random.integers(len(starts)))
        varied = len(self.variations) > 1 and random.random() < VARIED_CHANCE
        version = self.version(i, str(random.choice(self.variations[1:])) if varied else "")
        headed = self.conditions and random.random() >= PLAIN_CHANCE
        planned = int(headed and random.random() < PLAN_CHANCE)
        line = version.lines[planned]
        shift = int(random.choice(version.shifts))
        first = int(bar_starts(line)[bar])
        cut, _ = window(line, first, self.context + 1)
        if headed:
            length = int(((cut >= BAR) & (cut < POSITION)).sum())
            controls = self._controls(i, version.figures[bar : bar + length], random)
            cut = np.insert(cut, 1, controls)[: self.context + 1]
        if self.tempo:
            cut = scale_tempo(cut, TEMPO_RANGE ** random.uniform(-1, 1))
        return transpose_tokens(cut, movable(cut), shift)

    def _controls(self, i: int, figures: FloatArray, random: np.random.Generator) -> list[int]:
        density, polyphony = classes(figures)
        key = key_of(figures)
        controls = [
            ARTIST + self.artists[i] if self.artists[i] >= 0 else None,
            key_token(key) if key else None,
            DENSITY + density,
            POLYPHONY + polyphony,
        ]
        drawn = random.random(len(controls)) < CONTROL_CHANCE
        return [token for token, given in zip(controls, drawn, strict=True) if given and token is not None]

    def _version(self, i: int, variation: str) -> _Version:
        """Work out a version of a piece; the same whenever it is asked for."""
        line = self.pieces[i]
        planned, figures = line, np.zeros((0, 16))
        if variation or self.conditions:
            sequence = decode(line)
            if variation:
                sequence = quantise(VARIATIONS[variation](sequence, np.random.default_rng([i])))
                line = np.array(encode(sequence), dtype=np.int64)
            if self.conditions:
                figures = bar_figures(sequence)
                planned = np.array(encode(sequence, plan=plan_of(sequence, figures)), dtype=np.int64)
        moves = line[movable(line)]
        low, high = (int(moves.min()), int(moves.max())) if len(moves) else (self.lowest, self.highest)
        shifts_ = np.arange(max(-self.transpose, self.lowest - low), min(self.transpose, self.highest - high) + 1)
        return _Version((line, planned), figures, shifts_ if 0 in shifts_ else np.zeros(1, dtype=np.int64))


def scale_tempo(tokens: IntArray, factor: float) -> IntArray:
    """Multiply all tempos by `factor`, within the range of the vocabulary."""
    says = (tokens >= TEMPO) & (tokens < PROGRAM)
    bpm = BPM_FIRST + BPM_STEP * (tokens - TEMPO)
    steps = np.clip(np.rint((bpm * factor - BPM_FIRST) / BPM_STEP), 0, BPM_COUNT - 1).astype(np.int64)
    return np.where(says, TEMPO + steps, tokens)


def shifts(pieces: Sequence[IntArray], moves: Sequence[BoolArray], transpose: int) -> list[IntArray]:
    """Return the transpositions of each piece, at most `transpose`, that stay in the pitch range of all."""
    spans = [
        (int(p[m].min()), int(p[m].max())) if m.any() else (PITCH, PITCH) for p, m in zip(pieces, moves, strict=True)
    ]
    low, high = min(s[0] for s in spans), max(s[1] for s in spans)
    return [np.arange(max(-transpose, low - a), min(transpose, high - b) + 1) for a, b in spans]


def pad_rows(cuts: Sequence[IntArray]) -> IntArray:
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

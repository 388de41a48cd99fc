"""How surprising a match is: against chance, and against what human pieces share with one another.

Chance
------
Of a query with m places for a passage against n corpus notes, the number of unrelated passages that score S bits or
more is taken as ``E = K m n 2**(-lambda S)`` (Karlin and Altschul, PNAS 87, 1990). K and lambda are fitted on melodies
of a Markov chain over the corpus' own music, searched in the corpus like any query. The chain goes from note to note
by step and change of pace together: drawn apart, as the style model has them, they never meet in the turns that a
tradition makes of them, and clean music by people then seemed to share five to ten times more than chance.

Custom
------
Borrowing is normal, so a fit on random music alone would accuse tradition. The second leg is the percentile among
what pieces of the corpus share with pieces of *other* works: each of a sample of pieces is searched without its
duplicate group, and without versions of itself: pieces that share most of a whole voice, as settings of one hymn tune
do.

Passages that are a commonplace figure (`audit.search.commonplace`) count in neither leg.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from audit.search.align import MIN_PAIRS
from audit.search.index import Index
from audit.search.lines import STEPS_AN_OCTAVE
from audit.search.passages import THREADS, Passage, lines_of, search
from audit.search.seeds import Line
from corpus.store import Store
from music.notes import FloatArray, NoteSequence, build

CALIBRATION = "calibration.json"
CHANCE_QUERIES = 400
HUMAN_QUERIES = 150
CHANCE_NOTES = (60, 400)  # notes of a random melody, drawn evenly
CHAIN_VOICES = 4000  # that the chain is learnt from
SUPPORT = 20  # works; with 5, settings of one tune were quoted: 7 rare notes of them, and 45 bits for chance
PACES_AN_OCTAVE = 4  # changes of pace that are told apart; finer ones, as players make, would follow one piece
MOST_STEP, MOVES_A_STEP = 24, 128  # larger leaps count as two octaves; 128 holds all changes of `time_steps`
# Of the shorter voice, and at least so many notes: then it is the same tune.
VERSION_SHARE, VERSION_NOTES = 0.4, 16
TOP = 20  # pieces of a search for a random melody that are looked through for one that is no commonplace
SEED = 20260802
FITTED_FROM = 0.3  # quantile
SLOPES = (0.1, 3.0)  # a fit outside is none: 0.45 to 0.6 were measured
FALLBACK = (0.5, 0.0)  # for a store too small to fit: K = 1 is a thousand times and more what was measured, so cautious


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted chance model and human baseline of one index.

    Attributes
    ----------
    slope, log2_k : float
        lambda and log2 K of ``E = K m n 2**(-lambda S)``.
    notes : int
        n, the notes of all voices in the index.
    human_bits : tuple of float
        Sorted: the strongest passage that each sampled piece shares with another work; 0.0 for none.
    """

    slope: float
    log2_k: float
    notes: int
    human_bits: tuple[float, ...]

    def evalue(self, bits: float, query_notes: int) -> float:
        """Return the number of unrelated passages expected to score `bits` or more; > 0."""
        exponent = self.log2_k + np.log2(count_places(query_notes)) + np.log2(self.notes) - self.slope * bits
        return float(2.0 ** min(max(exponent, -1000.0), 1000.0))

    def percentile(self, bits: float) -> float:
        """Return the share of human pieces whose strongest borrowing is below `bits`, in [0, 1].

        1 is "stronger than any of them", also where a tiny store gives nothing to compare with.
        """
        below = float(np.searchsorted(self.human_bits, bits, side="left"))
        return below / len(self.human_bits) if self.human_bits else 1.0


def count_places(notes: int) -> int:
    """Return the places of a query of so many notes at which a passage, which has `MIN_PAIRS` of them, can begin.

    The edge of a short query matters: of random melodies of 12 to 17 notes, .018 have p <= .05 with all notes counted.
    """
    return max(notes - MIN_PAIRS + 1, 1)


def query_notes(query: NoteSequence) -> int:
    """M of the chance model: the pitched notes of a query.

    Lines that are heard across its parts hold the same notes again. Of 70 queries of three random parts each, 1.8 times
    as many notes are searched; with the notes counted once .057 have p <= .1 and .014 have p <= .05, with all of them
    .014 have p <= .1.
    """
    return int((~query.is_drum).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A first-order chain over the moves of some voices: the step into a note, with the change of pace it is made at.

    Attributes
    ----------
    step, pace : int64 (s,)
        Semitones of each move; ``PACES_AN_OCTAVE`` times log2 of the time before the note over the time before that.
    after : int64 (k,)
        The moves that followed, one for each time that they did: all that followed move x at bounds[x]:bounds[x + 1].
    bounds : int64 (s + 1,)
    known : bool (s,)
        Whether `SUPPORT` pieces make the move. What follows a rarer one is drawn from all moves: to go on as its few
        pieces do would be to quote them.
    """

    step: NDArray[np.int64]
    pace: NDArray[np.int64]
    after: NDArray[np.int64]
    bounds: NDArray[np.int64]
    known: NDArray[np.bool_]


def chain_of(index: Index, rng: np.random.Generator) -> Chain:
    """Learn a chain from up to `CHAIN_VOICES` voices of an index that has any, one version of each work, by `rng`."""
    voices = [
        (segment, v)
        for segment in index.segments
        for v, piece in enumerate(segment.voice_piece.tolist())
        if index.works[piece] == piece
    ]
    before, then, makers = [], [], []
    for segment, v in (voices[k] for k in rng.permutation(len(voices))[:CHAIN_VOICES]):
        part = slice(int(segment.voice_start[v]), int(segment.voice_start[v + 1]))
        step = np.clip(np.diff(segment.pitch[part].astype(np.int64)), -MOST_STEP, MOST_STEP)[1:]
        pace = np.diff(segment.step[part][:-1].astype(np.int64)) * PACES_AN_OCTAVE / STEPS_AN_OCTAVE
        moves = (step + MOST_STEP) * MOVES_A_STEP + np.round(pace).astype(np.int64) + MOVES_A_STEP // 2
        before.append(moves[:-1])
        then.append(moves[1:])
        makers.append(np.stack([moves, np.full(len(moves), index.works[segment.voice_piece[v]])]))
    first, second = np.concatenate(before), np.concatenate(then)
    codes, ids = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = ids[: len(first)], ids[len(first) :]
    order = np.argsort(first, kind="stable")
    pieces = np.unique(np.concatenate(makers, axis=1), axis=1)[0]  # a move, once for each work that makes it
    return Chain(
        step=codes // MOVES_A_STEP - MOST_STEP,
        pace=codes % MOVES_A_STEP - MOVES_A_STEP // 2,
        after=second[order],
        bounds=np.searchsorted(first[order], np.arange(len(codes) + 1)),
        known=np.searchsorted(pieces, codes, side="right") - np.searchsorted(pieces, codes) >= SUPPORT,
    )


def random_melody(chain: Chain, notes: int, rng: np.random.Generator) -> NoteSequence:
    """Draw a melody of `notes` notes, kept within MIDI pitches 40-90 and a 16th of a quarter to 8 quarters a note."""
    pitch, gap, move = 65, 0.5, -1
    pitches, beats = [pitch], [0.0]
    while len(pitches) < notes:
        pool = chain.after[chain.bounds[move] : chain.bounds[move + 1]] if move >= 0 and chain.known[move] else None
        pool = chain.after if pool is None or not len(pool) else pool
        move = int(pool[rng.integers(len(pool))])
        pitch += int(chain.step[move])
        pitch -= 12 * math.ceil(max(pitch - 90, 0) / 12) - 12 * math.ceil(max(40 - pitch, 0) / 12)
        gap = min(max(gap * 2.0 ** (float(chain.pace[move]) / PACES_AN_OCTAVE), 1 / 16), 8.0)
        pitches.append(pitch)
        beats.append(beats[-1] + gap)
    return build(beats, np.diff([*beats, beats[-1] + gap]), pitches)


def calibrate(
    store: Store, index: Index, progress: Callable[[int, int], None] = lambda done, total: None
) -> Calibration:
    """Fit the chance model and measure the human baseline; write both beside the index.

    Raises
    ------
    StoreError
        When the result can't be written.
    """
    rng = np.random.default_rng(SEED)
    sample = human_sample(store)
    lengths = rng.integers(*CHANCE_NOTES, size=CHANCE_QUERIES)
    chain = chain_of(index, rng) if index.notes else None
    melodies = [random_melody(chain, int(notes), rng) for notes in lengths] if chain else []
    total = len(melodies) + len(sample)
    chance = np.zeros(CHANCE_QUERIES)
    with ThreadPoolExecutor(THREADS) as pool:  # the compiled code runs without the interpreter's lock
        for i, bits in enumerate(pool.map(lambda m: strongest(search(index, m, top=TOP, threads=1)), melodies)):
            chance[i] = bits
            progress(i + 1, total)
        human = []
        for i, borrowed in enumerate(pool.map(lambda row: find_borrowed(store, index, row, 1), sample)):
            human.append(strongest(borrowed.passages))
            progress(len(melodies) + i + 1, total)
    scored = chance > 0  # a melody that hangs on one note names no candidate
    if scored.sum() < CHANCE_QUERIES // 4:
        slope, log2_k = FALLBACK
    else:
        slope, log2_k = fit(
            chance[scored], np.array([count_places(int(m)) * float(index.notes) for m in lengths[scored]])
        )
    calibration = Calibration(slope, log2_k, index.notes, tuple(sorted(human)))
    index.write(CALIBRATION, asdict(calibration))
    return calibration


def fit(bits: FloatArray, space: FloatArray) -> tuple[float, float]:
    """Fit lambda and log2 K to the best scores of chance queries.

    Parameters
    ----------
    bits : (k,)
        Best score of each query.
    space : (k,)
        m n of each.

    Returns
    -------
    slope, log2_k : float
        The maximum of a query is Gumbel distributed with scale 1/(lambda ln 2) around log2(K m n)/lambda. The
        scale depends on lambda through the correction for length, so the two are solved in turn, by least squares over
        the upper quantiles: what matters is the tail, and the lowest scores are cut off by the search. `FALLBACK` where
        no such curve fits, as with scores that are all alike.
    """
    rank = (np.arange(len(bits)) + 0.5) / len(bits)
    upper = rank >= FITTED_FROM
    reduced = -np.log(-np.log(rank[upper]))
    slope, place = 1.0, 0.0
    for _ in range(20):
        scores = np.sort(bits - np.log2(space) / slope)[upper]
        scale = float(np.mean((reduced - reduced.mean()) * scores) / max(reduced.var(), 1e-12))
        place = float(scores.mean() - scale * reduced.mean())
        slope = 1.0 / max(scale * np.log(2.0), 1e-6)
        if not SLOPES[0] <= slope <= SLOPES[1]:
            return FALLBACK
    return float(slope), float(place * slope)


def open_calibration(index: Index) -> Calibration | None:
    """Read the calibration of an index, or None when there is none.

    Raises
    ------
    StoreError
        When it is there and damaged.
    """
    data = index.read(CALIBRATION)
    if data is None:
        return None
    try:
        return Calibration(
            float(data["slope"]), float(data["log2_k"]), int(data["notes"]), tuple(float(x) for x in data["human_bits"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise index.damage_error(CALIBRATION, error) from error


def _is_version(passage: Passage) -> bool:
    """Whether a passage is so much of a voice that its piece is taken for a version of the query."""
    return len(passage.query_rows) >= max(VERSION_NOTES, VERSION_SHARE * passage.voice_notes)


class Borrowed(NamedTuple):
    """The notes of a piece, what it shares with other works, the mask of the pieces of these, and its lines."""

    own: NoteSequence
    passages: list[Passage]
    others: NDArray[np.bool_]
    lines: list[Line]


def human_sample(store: Store) -> list[int]:
    """Draw up to `HUMAN_QUERIES` pieces: what people's music of this corpus is measured on, always the same ones."""
    rows = np.random.default_rng(SEED).permutation(np.flatnonzero(store.present))[:HUMAN_QUERIES]
    return [int(row) for row in rows]


def find_borrowed(store: Store, index: Index, row: int, threads: int = THREADS) -> Borrowed:
    """Search the store for piece `row` among other works; kept in ``index.borrowed``."""
    if row not in index.borrowed:
        own, others = store.notes(row), store.present & (index.works != index.works[row])
        here = lines_of(index, own)
        passages = search(index, here, len(store.pieces), others, threads)
        others[[p.piece for p in passages if _is_version(p)]] = False
        index.borrowed[row] = Borrowed(own, [p for p in passages if others[p.piece]], others, here)
    return cast(Borrowed, index.borrowed[row])


def strongest(passages: Sequence[Passage]) -> float:
    """Bits of the strongest passage that is no commonplace figure; 0.0 without one."""
    return max((p.bits for p in passages if not p.commonplace), default=0.0)

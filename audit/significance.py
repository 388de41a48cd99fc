"""How surprising a match is: against chance, and against what human pieces share with one another.

Chance
------
Of a query with m notes against n corpus notes, the number of unrelated passages that score S bits or more is
taken as ``E = K m n 2**(-lambda S)`` (Karlin and Altschul, PNAS 87, 1990). K and lambda are fitted on melodies
drawn from the corpus' own style model, searched in the corpus like any query.

Custom
------
Borrowing is normal, so a fit on random music alone would accuse tradition. The second leg is the percentile among
what pieces of the corpus share with pieces of *other* works: each of a sample of pieces is searched without its
duplicate group, and without versions of itself: pieces that share most of a whole voice, as settings of one hymn tune
do.

Passages that are a commonplace figure (`audit.figures`) count in neither leg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from audit.index import Index
from audit.search import Passage, search
from audit.style import LEAP, RATIO_LIMIT, RATIO_STEPS, StyleModel
from corpus.store import Store
from music.notes import FloatArray, NoteSequence, build

CALIBRATION = "calibration.json"
CHANCE_QUERIES = 200
HUMAN_QUERIES = 150
CHANCE_NOTES = (60, 400)  # notes of a random melody, drawn evenly
VERSION_SHARE, VERSION_NOTES = (
    0.4,
    16,
)  # of the shorter voice, and at least so many notes: then it is the same tune
TOP = 20  # pieces of a search that are looked through for one that is no version and no commonplace
SEED = 20260802
FITTED_FROM = 0.3  # quantile
SLOPES = (0.1, 3.0)  # a fit outside is none: 0.55 to 0.9 were measured
FALLBACK = (0.5, 0.0)  # for a store too small to fit: fewer bits a unit of E than any measured, so cautious


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
        exponent = self.log2_k + np.log2(max(query_notes, 1)) + np.log2(self.notes) - self.slope * bits
        return float(2.0 ** min(max(exponent, -1000.0), 1000.0))

    def percentile(self, bits: float) -> float:
        """Return the share of human pieces whose strongest borrowing is below `bits`, in [0, 1].

        1 is "stronger than any of them", also where a tiny store gives nothing to compare with.
        """
        below = float(np.searchsorted(self.human_bits, bits, side="left"))
        return below / len(self.human_bits) if self.human_bits else 1.0


def query_notes(query: NoteSequence) -> int:
    """M of the chance model: the pitched notes of a query."""
    return int((~query.is_drum).sum())


def random_melody(style: StyleModel, notes: int, rng: np.random.Generator) -> NoteSequence:
    """Draw a melody of `notes` notes from the long-term model, kept within MIDI pitches 40-90."""
    pitch, beats = 65, [0.0]
    steps, ratios, pitches = [LEAP] * 3, [RATIO_LIMIT] * 2, [65]
    gap = 0.5
    while len(pitches) < notes:
        step = int(rng.choice(2 * LEAP + 1, p=_normal(style.interval[tuple(steps[-3:])])))
        ratio = int(rng.choice(2 * RATIO_LIMIT + 1, p=_normal(style.ratio[tuple(ratios[-2:])])))
        pitch += step - LEAP
        if not 40 <= pitch <= 90:
            pitch = pitch - 12 if pitch > 90 else pitch + 12
        gap = float(np.clip(gap * 2.0 ** ((ratio - RATIO_LIMIT) / RATIO_STEPS), 0.125, 4.0))
        pitches.append(pitch)
        beats.append(beats[-1] + gap)
        steps.append(step)
        ratios.append(ratio)
    return build(beats, np.diff([*beats, beats[-1] + gap]), pitches)


def _normal(row: FloatArray) -> FloatArray:
    wide = np.asarray(row, dtype=np.float64)
    return np.asarray(wide / wide.sum(), dtype=np.float64)


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
    sample = rng.permutation(np.flatnonzero(store.present))[:HUMAN_QUERIES]
    total = CHANCE_QUERIES + len(sample)
    lengths = rng.integers(*CHANCE_NOTES, size=CHANCE_QUERIES)
    chance = np.empty(CHANCE_QUERIES)
    for i, notes in enumerate(lengths):
        chance[i] = strongest(search(index, random_melody(index.style, int(notes), rng), top=TOP))
        progress(i + 1, total)
    human = []
    for i, row in enumerate(sample):
        human.append(strongest(borrowed(store, index, int(row), TOP)[1]))
        progress(CHANCE_QUERIES + i + 1, total)
    scored = chance > 0  # a melody that hangs on one note names no candidate
    if scored.sum() < CHANCE_QUERIES // 4:
        slope, log2_k = FALLBACK
    else:
        slope, log2_k = fit(chance[scored], np.asarray(lengths[scored] * float(index.notes), np.float64))
    made = Calibration(slope, log2_k, index.notes, tuple(sorted(human)))
    index.write(CALIBRATION, asdict(made))
    return made


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
            float(data["slope"]),
            float(data["log2_k"]),
            int(data["notes"]),
            tuple(float(x) for x in data["human_bits"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise index.damaged(CALIBRATION, error) from error


def _is_version(passage: Passage) -> bool:
    """Whether a passage is so much of a voice that its piece is taken for a version of the query."""
    return len(passage.query_rows) >= max(VERSION_NOTES, VERSION_SHARE * passage.voice_notes)


def borrowed(store: Store, index: Index, row: int, top: int) -> tuple[NoteSequence, list[Passage]]:
    """Return the notes of piece `row`, and what it shares with other works: its duplicate group and versions left out.

    `top` pieces are looked through, versions among them.
    """
    own = store.notes(row)
    found = search(index, own, top=top, among=store.present & (store.groups != store.groups[row]))
    versions = {p.piece for p in found if _is_version(p)}
    return own, [p for p in found if p.piece not in versions]


def strongest(passages: Sequence[Passage]) -> float:
    """Bits of the strongest passage that is no commonplace figure; 0.0 without one."""
    return max((p.bits for p in passages if not p.commonplace), default=0.0)

"""Two sets of pieces beside each other: whether one is as varied as the other, and whether it sounds like it.

- Self-BLEU (`metrics.bleu.self_bleu`) of each set: how much its pieces repeat one another.
- The overlapped area of Yang and Lerch (`metrics.distributions.overlap_area`) of pitch classes, intervals and onset
  times.
- A classifier, artist against others: logistic regression with a ridge penalty on the three histograms and on how dense
  and how high the music is (`describe_piece`). It learns from training pieces; how far it can be believed is its area
  under the ROC curve (AUC) on held-out pieces, 0.5 for chance. What it makes of new tracks is the share of them that
  it gives to the artist, beside the same share of held-out pieces of the artist and of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from audit.originality.baseline import Estimate, human_baseline
from audit.originality.report import measure_originality, originality_report
from audit.originality.windows import Setting
from audit.report import Skipped
from audit.search.corpus import SearchCorpus
from metrics.bleu import MAX_ORDER, self_bleu
from metrics.chord_f1 import tonic
from metrics.distributions import intervals, onset_times, overlap_area, pitch_classes
from metrics.tokens import MetricError, melody_tokens
from music.key import estimate_key
from music.notes import FloatArray, NoteSequence

COMPARED = 32  # pieces of a set that self-BLEU looks at; its time grows with their square
MIN_CLASS = 5  # pieces of each side that a classifier learns from, and that it is tried on
RIDGE = 1.0
FIGURES = 56
T = TypeVar("T")


def describe_piece(piece: NoteSequence) -> FloatArray:
    """Describe a piece in 56 numbers, of which a transposition changes the last alone.

    Shares of pitch classes above the tonic (12), of intervals (25) and onset classes (16) of the melody; ln of notes
    and of onsets a quarter; mean pitch in octaves.
    """
    tokens = melody_tokens(piece)
    beats = max(float(piece.end_beat), 1.0)
    onsets = len(np.unique(piece.onset_beat))
    height = float(piece.pitch.mean()) / 12 if len(piece) else 0.0
    counts = [np.log(max(len(piece), 1) / beats), np.log(max(onsets, 1) / beats), height]
    key = tonic(estimate_key(piece)) or 0
    return np.concatenate([pitch_classes(piece, key), intervals(tokens), onset_times(tokens), counts])


def variety(pieces: Sequence[NoteSequence]) -> float:
    """Self-BLEU of at most `COMPARED` pieces.

    Raises
    ------
    metrics.tokens.MetricError
        With fewer than two pieces that have a melody of 5 notes.
    """
    tokens = [found for found in map(melody_tokens, pieces[:COMPARED]) if len(found) >= MAX_ORDER]
    return self_bleu(tokens)


def overlaps(reference: Sequence[NoteSequence], candidates: Sequence[NoteSequence]) -> dict[str, float | None]:
    """Overlapped area of each kind of histogram; None where it has none."""
    tables = [
        np.array([describe_piece(piece) for piece in pieces]).reshape(len(pieces), -1)
        for pieces in (reference, candidates)
    ]
    areas: dict[str, float | None] = {}
    for name, columns in (
        ("pitch_classes", slice(0, 12)),
        ("intervals", slice(12, 37)),
        ("onset_times", slice(37, 53)),
    ):
        try:
            areas[name] = overlap_area(tables[0][:, columns], tables[1][:, columns])
        except MetricError:
            areas[name] = None
    return areas


class Sides(NamedTuple):
    """Pieces of others, and of the artist."""

    others: Sequence[NoteSequence]
    artist: Sequence[NoteSequence]


@dataclass(frozen=True, slots=True)
class StyleScores:
    """How a classifier tells an artist from others.

    Attributes
    ----------
    auc : float
        On held-out pieces.
    share, share_artist, share_others : float
        Share given to the artist of the tracks, and of the held-out pieces of both sides.
    auc_tracks : float
        Of tracks against held-out others.
    learned, held_out : (int, int)
        Pieces of others and of the artist.
    """

    auc: float
    share: float
    share_artist: float
    share_others: float
    auc_tracks: float
    learned: tuple[int, int]
    held_out: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SetOriginality:
    """Originality of a model's tracks beside that of human pieces; None where it could not be measured.

    `low` tracks of those `measured` are less original than all but a few human pieces; the curves say how that goes on
    over the course of a track.
    """

    tracks: Estimate | None
    human: Estimate | None
    low: int | None
    measured: int
    curve: tuple[Estimate, ...]
    human_curve: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Likeness:
    """A model's tracks beside real music; None where that could not be measured, and `skipped` says why."""

    self_bleu: dict[str, float] | None
    overlap: dict[str, float | None] | None
    style: StyleScores | None
    originality: SetOriginality
    skipped: tuple[Skipped, ...]


def model_likeness(
    corpus: SearchCorpus,
    real: Sequence[NoteSequence],
    tracks: Sequence[NoteSequence],
    sides: tuple[Sides, Sides] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Likeness:
    """Compare a model's tracks with real music: variety, overlap, style, originality.

    Parameters
    ----------
    corpus : SearchCorpus
        For the originality.
    real : sequence of NoteSequence
        Held-out excerpts as long as the tracks.
    sides : (Sides, Sides), optional
        Pieces to learn a `style` from, and held-out ones to try it on; None where no artist is named.
    """
    skipped = []

    def tried(name: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except MetricError as error:
            skipped.append(Skipped(name, str(error)))
            return None

    alike = real[: len(tracks)]  # as many, since self-BLEU rises with their number
    self_bleu = tried("self-BLEU", lambda: {"real": variety(alike), "tracks": variety(tracks[: len(alike)])})
    scores = tried("style", lambda: style(*sides, tracks)) if sides else None
    if not sides:
        skipped.append(Skipped("style", "no artist is named, and the model was tuned to none"))
    setting = Setting(24, "notes")
    baseline = human_baseline(corpus.store, corpus.index, setting, progress)
    results = [
        measure_originality(corpus.store, corpus.index, f"track {i}", track, setting)
        for i, track in enumerate(tracks, 1)
    ]
    report = originality_report(corpus, setting, results, baseline)
    own, human = report.group, report.baseline.group if report.baseline else None
    originality = SetOriginality(
        tracks=own.originality if own else None,
        human=human.originality if human else None,
        low=sum(t.mean < baseline.piece_edge for t in report.tracks) if baseline else None,
        measured=len(report.tracks),
        curve=own.curve if own else (),
        human_curve=human.curve if human else (),
    )
    skipped += [Skipped(f"originality of {s.check}", s.reason) for s in report.skipped]
    return Likeness(self_bleu, overlaps(real, tracks) if real else None, scores, originality, tuple(skipped))


def auc(negatives: FloatArray, positives: FloatArray) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counting half."""
    above = (positives[:, None] > negatives[None]).mean()
    return float(above + (positives[:, None] == negatives[None]).mean() / 2)


def style(learned: Sides, held_out: Sides, tracks: Sequence[NoteSequence]) -> StyleScores:
    """Train the classifier on `learned`, and try it on held-out pieces and at least one track.

    Raises
    ------
    metrics.tokens.MetricError
        With fewer than `MIN_CLASS` pieces on a side.
    """
    counts = [len(side) for pair in (learned, held_out) for side in pair]
    if min(counts) < MIN_CLASS:
        raise MetricError(
            f"{counts} pieces of others and artist, to learn from and held out; {MIN_CLASS} of each are needed"
        )
    others, own = (np.array([describe_piece(piece) for piece in side]) for side in learned)
    middle, spread = np.mean(np.concatenate([others, own]), axis=0), np.std(np.concatenate([others, own]), axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    weights = _logistic((others - middle) / spread, (own - middle) / spread)

    def scores(pieces: Sequence[NoteSequence]) -> FloatArray:
        table = (np.array([describe_piece(piece) for piece in pieces]) - middle) / spread
        return np.asarray(table @ weights[1:] + weights[0])

    other, artist, new = scores(held_out[0]), scores(held_out[1]), scores(tracks)
    return StyleScores(
        auc=auc(other, artist),
        share=float((new > 0).mean()),
        share_artist=float((artist > 0).mean()),
        share_others=float((other > 0).mean()),
        auc_tracks=auc(other, new),
        learned=(counts[0], counts[1]),
        held_out=(counts[2], counts[3]),
    )


def _logistic(negatives: FloatArray, positives: FloatArray) -> FloatArray:
    """Weights (1 + d,), bias first, of a logistic regression in which both sides count the same."""
    from scipy.optimize import minimize

    table = np.concatenate([negatives, positives])
    sign = np.repeat([-1.0, 1.0], [len(negatives), len(positives)])
    share = np.repeat([0.5 / len(negatives), 0.5 / len(positives)], [len(negatives), len(positives)]) * len(table)

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (table @ w[1:] + w[0])
        pull = -share * sign / (1 + np.exp(np.minimum(margin, 500)))
        value = float((share * np.logaddexp(0, -margin)).sum() + RIDGE / 2 * (w[1:] ** 2).sum())
        return value, np.concatenate([[pull.sum()], table.T @ pull + RIDGE * w[1:]])

    return np.asarray(minimize(loss, np.zeros(table.shape[1] + 1), jac=True, method="L-BFGS-B").x)

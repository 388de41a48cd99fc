"""Every metric of this folder on one pair of pieces, by name.

What is needed of a piece (`Features`) is computed once, as corpora are compared piece by piece. `SPECS` is
the list of metrics in the order of every table; a metric that cannot be measured on a pair gives a
`MetricSkipped` with the reason, never a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from messages import message
from metrics import bleu, chord_f1, distributions, edit_distance, phash
from metrics.tokens import MetricError, Token, melody_tokens
from music.chords import ChordSpan, chord_labels
from music.key import estimate_key
from music.notes import FloatArray, NoteSequence

MIN_TOKENS = 8  # below that a melody is alike or unlike by accident


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the metrics need of one piece.

    Attributes
    ----------
    tokens : list of (interval, onset class)
        Of the melody.
    chords : list of ChordSpan
    tonic : int or None
        Pitch class of the estimated key.
    pitch_classes : float64 (12,)
        Shares of sounding time, relative to the tonic.
    mel : float64 (128, frames) or None
        Mel spectrogram of the opening (`metrics.phash.opening_mel`), None when it was not rendered.
    hashes : dict
        Those of its windows that were needed so far.
    """

    tokens: list[Token]
    chords: list[ChordSpan]
    tonic: int | None
    pitch_classes: FloatArray
    mel: FloatArray | None = None
    hashes: phash.Known = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricSkipped:
    """A metric that was not measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric: name, computation, unit, range, the direction that means more alike, what it says."""

    name: str
    measure: Callable[[Features, Features], float]
    unit: str
    low: float
    high: float
    better: str
    note: str


def features(sequence: NoteSequence, mel: FloatArray | None = None) -> Features:
    """Compute what the metrics need of `sequence`; `mel` is its opening if the caller rendered it."""
    key = chord_f1.tonic(estimate_key(sequence))
    return Features(
        melody_tokens(sequence), chord_labels(sequence), key, distributions.pitch_classes(sequence, key or 0), mel
    )


def measure(reference: Features, candidate: Features) -> dict[str, float | MetricSkipped]:
    """Measure every metric of `SPECS` on one pair, in that order; nothing is rounded."""
    results: dict[str, float | MetricSkipped] = {}
    for spec in SPECS:
        try:
            results[spec.name] = spec.measure(reference, candidate)
        except MetricError as error:
            results[spec.name] = MetricSkipped(spec.name, str(error))
    return results


def _melodies(reference: Features, candidate: Features) -> tuple[list[Token], list[Token]]:
    ours, theirs = reference.tokens, candidate.tokens
    if min(len(ours), len(theirs)) < MIN_TOKENS:
        raise MetricError(
            message(
                "melody too short: {reference:d} notes in the reference, {candidate:d} in the candidate; "
                "{least:d} are needed",
                reference=len(ours) + 1,
                candidate=len(theirs) + 1,
                least=MIN_TOKENS + 1,
            )
        )
    return ours, theirs


def _bleu(reference: Features, candidate: Features) -> float:
    ours, theirs = _melodies(reference, candidate)
    return bleu.bleu([ours], theirs)


def _edit(reference: Features, candidate: Features) -> float:
    return edit_distance.edit_similarity(*_melodies(reference, candidate))


def _window(reference: Features, candidate: Features) -> float:
    return edit_distance.best_window(*_melodies(reference, candidate)).similarity


def _chords(
    score: Callable[[list[ChordSpan], list[ChordSpan], int, int], float],
    relative: bool,
    reference: Features,
    candidate: Features,
) -> float:
    if not relative:
        return score(reference.chords, candidate.chords, 0, 0)
    if reference.tonic is None or candidate.tonic is None:
        raise MetricError(message("no key can be estimated, so no chord has a degree"))
    return score(reference.chords, candidate.chords, reference.tonic, candidate.tonic)


def _pitch_classes(reference: Features, candidate: Features) -> float:
    return distributions.overlap(reference.pitch_classes, candidate.pitch_classes)


def _token_overlap(histogram: Callable[[list[Token]], FloatArray], reference: Features, candidate: Features) -> float:
    ours, theirs = _melodies(reference, candidate)
    return distributions.overlap(histogram(ours), histogram(theirs))


def _phash(bits: int, reference: Features, candidate: Features) -> float:
    if reference.mel is None or candidate.mel is None:
        raise MetricError(message("not rendered: the hash compares sound"))
    return phash.phash_distance(reference.mel, candidate.mel, bits, (reference.hashes, candidate.hashes))


def _share(name: str, call: Callable[[Features, Features], float], note: str) -> Spec:
    return Spec(name, call, "share", 0.0, 1.0, "higher", note)


SPECS = (
    _share("bleu", _bleu, "figures of 1-4 melody notes that the reference holds too"),
    _share("edit_similarity", _edit, "whole melodies: 1 - edits / notes"),
    _share("edit_window", _window, "most alike 16 melody notes in a row"),
    _share("chord_f1_time", partial(_chords, chord_f1.chord_f1_time, False), "same chord on the same beat"),
    _share(
        "chord_f1_time_relative",
        partial(_chords, chord_f1.chord_f1_time, True),
        "same degree of the key on the same beat",
    ),
    _share("chord_f1_lcs", partial(_chords, chord_f1.chord_f1_lcs, False), "same chords in the same order"),
    _share(
        "chord_f1_lcs_relative",
        partial(_chords, chord_f1.chord_f1_lcs, True),
        "same degrees of the key in the same order",
    ),
    _share("overlap_pitch_class", _pitch_classes, "shared area of pitch classes above the tonic"),
    _share("overlap_interval", partial(_token_overlap, distributions.intervals), "shared area of melody intervals"),
    _share(
        "overlap_onset_time",
        partial(_token_overlap, distributions.onset_times),
        "shared area of times between melody notes",
    ),
    Spec("phash_64", partial(_phash, 64), "bits", 0, 64, "lower", "nearly equal sound of the first 12 s"),
    Spec("phash_256", partial(_phash, 256), "bits", 0, 256, "lower", "nearly equal sound of the first 12 s"),
)

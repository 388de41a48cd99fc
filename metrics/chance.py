"""Chance levels: what unrelated pieces score, without which no metric value can be read.

Two songs that have nothing to do with one another share a third of their chords and a good part of their
intervals. So every value is shown beside the mean over unrelated pairs, and beside the value that only one
unrelated pair in twenty passes. With a store, the pairs come from the store's own pieces, never two of one
duplicate group; without one, from `shipped_chance`, made by bench/chance.py.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrics.measure import SPECS, Features, features, measure
from metrics.tokens import MetricError
from music.notes import NoteSequence

SHIPPED = Path(__file__).with_name("chance.json")
PAIRS = 500


@dataclass(frozen=True, slots=True)
class Chance:
    """How one metric is distributed over unrelated pairs.

    Attributes
    ----------
    mean, sd : float
        In the metric's own unit; the standard deviation is the population's.
    p95 : float
        What 95 % of unrelated pairs do not reach in the direction of likeness: the 95th percentile, or the
        5th where lower means more alike.
    pairs : int
        Pairs on which the metric could be measured.
    """

    mean: float
    sd: float
    p95: float
    pairs: int


def chance_levels(
    pieces: Sequence[NoteSequence | Features],
    groups: Sequence[Hashable] | None = None,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
) -> dict[str, Chance]:
    """Measure every metric on random pairs of unrelated pieces.

    Parameters
    ----------
    pieces : sequence
        Notes, or the features computed from them; pHash levels need features that hold a mel spectrogram.
    groups : sequence, optional
        Duplicate group of each piece; pieces of one group are never paired. Each its own where not given.
    pairs : int
        How many ordered pairs to draw, without repetition; all there are when there are fewer.
    seed : int
        The same seed, pieces and groups give the same levels.

    Returns
    -------
    dict
        Name of the metric to its `Chance`, in the order of `metrics.measure.SPECS`; a metric that could be
        measured on no pair is left out.

    Raises
    ------
    MetricError
        When there are not at least two pieces of different groups, or `groups` has another length.
    """
    labels = list(range(len(pieces))) if groups is None else list(groups)
    if len(labels) != len(pieces):
        raise MetricError(f"{len(labels)} groups for {len(pieces)} pieces; wanted one each")
    drawn = unrelated_pairs(labels, pairs, seed)
    if not drawn:
        raise MetricError(f"{len(set(labels))} groups in {len(pieces)} pieces; chance needs two unrelated pieces")
    known = {
        i: piece if isinstance(piece := pieces[i], Features) else features(piece)
        for i in sorted({i for pair in drawn for i in pair})
    }
    scores: dict[str, list[float]] = {spec.name: [] for spec in SPECS}
    for reference, candidate in drawn:
        for name, value in measure(known[reference], known[candidate]).items():
            if isinstance(value, float | int):
                scores[name].append(float(value))
    levels = {}
    for spec in SPECS:
        values = np.array(scores[spec.name])
        if len(values):
            extreme = np.percentile(values, 95 if spec.better == "higher" else 5)
            levels[spec.name] = Chance(float(values.mean()), float(values.std()), float(extreme), len(values))
    return levels


def unrelated_pairs(groups: Sequence[Hashable], pairs: int, seed: int = 0) -> list[tuple[int, int]]:
    """Draw ordered pairs (reference, candidate) of indices with different `groups`, none twice.

    At most `pairs`; all there are when there are fewer (or when 20 draws for each have not found more); in a
    random order that depends on the arguments only.
    """
    random = np.random.default_rng(seed)
    n = len(groups)
    if n * (n - 1) <= 4 * pairs:
        every = [(i, j) for i in range(n) for j in range(n) if groups[i] != groups[j]]
        return [every[k] for k in random.permutation(len(every))[:pairs]]
    drawn: dict[tuple[int, int], None] = {}
    for i, j in random.integers(0, n, (20 * pairs, 2)).tolist():
        if groups[i] != groups[j]:
            drawn[i, j] = None
        if len(drawn) == pairs:
            break
    return list(drawn)


@functools.cache
def shipped_chance() -> Mapping[str, Chance]:
    """Chance levels that come with the program; chance.json says from which pieces they were made.

    Raises
    ------
    MetricError
        When the file is missing or damaged (the installation is).
    """
    try:
        levels = json.loads(SHIPPED.read_text("utf-8"))["levels"]
        return {name: Chance(**level) for name, level in levels.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MetricError(f"{SHIPPED}: cannot be read ({error}); install contraste again") from error

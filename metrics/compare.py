"""Two pieces side by side: every metric with its chance level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metrics.chance import Chance, shipped_chance
from metrics.measure import SPECS, Features, MetricSkipped, features, measure
from music.notes import NoteSequence


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A measured value and what it has to be read beside.

    Attributes
    ----------
    name : str
    value : float
        Not rounded.
    unit : str
        "share" or "bits".
    low, high : float
        The range of the metric.
    better : str
        "higher" or "lower": the direction that means more alike.
    chance_mean, chance_p95 : float or None
        Mean over unrelated pieces, and what 95 % of them do not reach in the direction of likeness; None when
        no chance level is known.
    note : str
        What the metric says, in half a line.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    better: str
    chance_mean: float | None
    chance_p95: float | None
    note: str

    @property
    def beyond_chance(self) -> bool | None:
        """Whether the two are more alike than 95 % of unrelated pieces; None without a chance level."""
        if self.chance_p95 is None:
            return None
        return self.value > self.chance_p95 if self.better == "higher" else self.value < self.chance_p95


def compare(
    reference: NoteSequence | Features, candidate: NoteSequence | Features, chance: Mapping[str, Chance] | None = None
) -> list[MetricValue | MetricSkipped]:
    """Measure all metrics on two pieces.

    Parameters
    ----------
    reference, candidate : NoteSequence or Features
        Features that hold a mel spectrogram (``features(sequence, opening_mel(sequence))``) give the pHash
        distances too; without one these are skipped, and said to be.
    chance : mapping, optional
        Levels from `metrics.chance.chance_levels`; the shipped ones where not given.

    Returns
    -------
    list of MetricValue and MetricSkipped
        One for each of `metrics.measure.SPECS`, in that order.
    """
    levels = shipped_chance() if chance is None else chance
    ours, theirs = (p if isinstance(p, Features) else features(p) for p in (reference, candidate))
    results = measure(ours, theirs)
    rows: list[MetricValue | MetricSkipped] = []
    for spec in SPECS:
        value, level = results[spec.name], levels.get(spec.name)
        if isinstance(value, MetricSkipped):
            rows.append(value)
            continue
        mean, p95 = (level.mean, level.p95) if level else (None, None)
        rows.append(MetricValue(spec.name, value, spec.unit, spec.low, spec.high, spec.better, mean, p95, spec.note))
    return rows

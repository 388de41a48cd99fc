"""Histograms by hand; overlaps against an independent integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from metrics.distributions import intervals, onset_times, overlap, overlap_area, pitch_classes
from metrics.tokens import MetricError
from music.notes import Part, build


def test_histograms_by_hand() -> None:
    tokens = [(2, 4), (-1, 4), (2, 16), (30, 1)]
    steps = intervals(tokens)
    assert steps.shape == (25,)
    assert (steps[12 + 2], steps[12 - 1], steps[24], steps.sum()) == (0.5, 0.25, 0.25, 1.0)
    times = onset_times(tokens)
    assert times.shape == (16,)
    assert (times[3], times[15], times[0]) == (0.5, 0.25, 0.25)
    assert intervals([]).sum() == onset_times([]).sum() == 0.0


def test_pitch_classes_count_time_above_the_tonic() -> None:
    drums, organ = Part("Kit", 0, True), Part("Organ", 19)
    line = build([0, 1, 1], [3, 1, 5], [62, 69, 40], part=[1, 1, 0], parts=(drums, organ))
    shares = pitch_classes(line, tonic=2)
    assert (shares[0], shares[7], shares.sum()) == (0.75, 0.25, 1.0)


def test_overlap_by_hand() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert overlap(p, q) == overlap(q, p) == 0.5
    assert overlap(p, p) == 1.0
    assert overlap(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0.0
    with pytest.raises(MetricError, match=r"sums \(0.0, 1.0\)"):
        overlap(np.zeros(3), q)
    with pytest.raises(MetricError, match="shapes"):
        overlap(p, np.array([1.0]))


def density(distances: np.ndarray, at: float) -> float:
    width = np.std(distances, ddof=1) * len(distances) ** -0.2  # Scott's rule in one dimension
    return float(norm.pdf(at, distances, width).mean())


def test_overlap_area_agrees_with_quadrature() -> None:
    rng = np.random.default_rng(0)
    reference, candidate = rng.normal(0, 1, (12, 3)), rng.normal(0.8, 1, (9, 3))
    inside = np.array([np.linalg.norm(reference[i] - reference[j]) for i in range(12) for j in range(i)])
    between = np.array([np.linalg.norm(r - c) for r in reference for c in candidate])
    expected, _ = quad(lambda x: min(density(inside, x), density(between, x)), -3, 12, limit=400)
    assert overlap_area(reference, candidate) == pytest.approx(expected, abs=1e-3)


def test_overlap_area_orders_sets() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(0, 1, (40, 4))
    same, far = (overlap_area(reference, rng.normal(0, 1, (40, 4))), overlap_area(reference, rng.normal(9, 1, (40, 4))))
    assert same > 0.9
    assert far < 0.01


def test_overlap_area_undefined() -> None:
    with pytest.raises(MetricError, match="at least 3 and 2"):
        overlap_area(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(MetricError, match="all distances are equal"):
        overlap_area(np.zeros((4, 3)), np.zeros((4, 3)))
    with pytest.raises(MetricError, match="feature tables"):
        overlap_area(np.zeros((4, 3)), np.zeros((4, 2)))

"""Distributions of pitch classes, intervals and inter-onset times, and how far two of them overlap.

Two tools, not to be mixed up. `overlap` compares two pieces: the area that their two histograms share.
`overlap_area` is the OA of Yang and Lerch (Neural Computing and Applications 32, 2020) and compares two
*sets* of pieces: distances of histograms inside the reference set against distances between the sets, each
smoothed to a density with a Gaussian kernel (Scott's rule), and the area that the densities share. Both are
in 0..1. Departure from the authors' code (mgeval): distances are taken over each pair once, not with the zero
distance of a piece to itself, which would raise OA for small sets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from messages import message
from metrics.tokens import MAX_CLASS, MetricError, Token
from music.key import pitch_class_histogram
from music.notes import FloatArray, NoteSequence

MAX_INTERVAL = 12
GRID = 1000


def pitch_classes(sequence: NoteSequence, tonic: int = 0) -> FloatArray:
    """Share (12,) of sounding time of each pitch class above `tonic`; zeros without pitched notes."""
    return np.roll(pitch_class_histogram(sequence), -tonic)


def intervals(tokens: Sequence[Token]) -> FloatArray:
    """Share (25,) of the intervals -12..12 semitones; wider ones count as 12. Zeros without tokens."""
    steps = np.clip([t[0] for t in tokens], -MAX_INTERVAL, MAX_INTERVAL).astype(np.int64) + MAX_INTERVAL
    return _share(np.bincount(steps, minlength=2 * MAX_INTERVAL + 1))


def onset_times(tokens: Sequence[Token]) -> FloatArray:
    """Share (16,) of the inter-onset classes 1..16 (sixteenths of a whole note). Zeros without tokens."""
    return _share(np.bincount(np.array([t[1] for t in tokens], np.int64) - 1, minlength=MAX_CLASS))


def overlap(reference: FloatArray, candidate: FloatArray) -> float:
    """Area that two histograms share: sum of the smaller of the two shares, 1 for equal ones, 0 for disjoint.

    Raises
    ------
    MetricError
        When shapes differ or one of them does not sum to 1 (as without notes).
    """
    sums = float(np.sum(reference)), float(np.sum(candidate))
    if reference.shape != candidate.shape or not np.allclose(sums, 1.0):
        raise MetricError(
            message(
                "histograms of shapes {reference} and {candidate} with sums {sums}; wanted are equal shapes and sums "
                "of 1",
                reference=reference.shape,
                candidate=candidate.shape,
                sums=sums,
            )
        )
    return float(np.minimum(reference, candidate).sum())


def overlap_area(reference: FloatArray, candidate: FloatArray) -> float:
    """Overlapped area (OA) of Yang and Lerch between two sets of pieces.

    Parameters
    ----------
    reference : float64 (n, d)
        One histogram (or other feature vector) for each piece; n >= 3.
    candidate : float64 (m, d)
        m >= 2.

    Returns
    -------
    float
        0..1; near 1 when candidates differ from the references as these do from one another.

    Raises
    ------
    MetricError
        For sets too small or of different width, or when all distances of a kind are equal (no density).
    """
    from scipy.spatial.distance import cdist, pdist
    from scipy.stats import gaussian_kde

    if reference.ndim != 2 or candidate.ndim != 2 or reference.shape[1] != candidate.shape[1]:
        raise MetricError(f"feature tables of shapes {reference.shape} and {candidate.shape}; wanted (n, d), (m, d)")
    if len(reference) < 3 or len(candidate) < 2:
        raise MetricError(f"{len(reference)} references and {len(candidate)} candidates; at least 3 and 2")
    inside, between = pdist(reference), cdist(reference, candidate).ravel()
    if np.ptp(inside) == 0 or np.ptp(between) == 0:
        raise MetricError("all distances are equal: they have no density, and so no overlapped area")
    kernels = gaussian_kde(inside), gaussian_kde(between)
    margin = 4 * max(float(np.sqrt(k.covariance[0, 0])) for k in kernels)
    at = np.linspace(min(inside.min(), between.min()) - margin, max(inside.max(), between.max()) + margin, GRID)
    return min(1.0, float(np.trapezoid(np.minimum(kernels[0](at), kernels[1](at)), at)))


def _share(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
    total = counts.sum()
    return np.asarray(counts / total if total else counts, np.float64)

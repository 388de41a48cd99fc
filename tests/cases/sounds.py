"""Sound for tests, made without a renderer."""

from __future__ import annotations

import numpy as np

from music.audio import Samples

RATE = 22_050


def band(seed: int, seconds: float = 30.0) -> Samples:
    """Overtones that come and go: sound with a shape in time and height, without a renderer."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    total = np.zeros_like(times)
    for start in np.arange(0, seconds, 0.25):
        inside = (times >= start) & (times < start + rng.uniform(0.2, 1.5))
        fading = np.exp(-(times[inside] - start) * rng.uniform(1, 6))
        total[inside] += fading * np.sin(2 * np.pi * 55 * 2 ** rng.uniform(0, 6) * times[inside])
    return np.asarray(0.5 * total / np.abs(total).max(), np.float32)

"""Settings of training on spectrograms, with their rules, and the report of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generator.data.vocabulary import SettingError, check_settings

WIDTHS = {"tiny": 16, "base": 64}
"""Channels of the widest picture; 64 is the paper's (19 M parameters, for a GPU)."""


@dataclass(frozen=True, slots=True)
class SpectrogramSettings:
    """What decides a training run, beside the store; see `train_spectrogram`."""

    size: str = "tiny"
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 16
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        rules = {
            "size": self.size in WIDTHS,
            "minutes": self.minutes is None or self.minutes > 0,
            "steps": self.steps is None or self.steps > 0,
            "seed": 0 <= self.seed < 2**32,
            "batch": 1 <= self.batch <= 4096,
            "threads": self.threads is None or self.threads > 0,
        }
        check_settings("training", self, rules)
        if self.minutes is None and self.steps is None:
            raise SettingError("training needs an end: give minutes, steps or both")


@dataclass(frozen=True, slots=True)
class SpectrogramReport:
    """What ``training.json`` holds.

    Attributes
    ----------
    settings : dict
        As given, with `device` and `threads` as chosen.
    kind : str
        "recordings" or "renders": what the windows were cut from.
    windows : dict
        Number of windows, by split.
    skipped : list of (path, reason)
    steps, seconds, steps_per_s : numbers
        Steps of the generator, each with five of the critic; over all resumed runs.
    curve : list of (step, distance, gradient norm)
        The critic's estimate of the Wasserstein distance, and the mean norm of its gradient at interpolates.
    gradient_norm : dict
        ``mean`` and ``deviation`` at the end, at interpolates of windows held out (of training ones where none are)
        and samples; the penalty wants 1.
    variety : float
        Mean distance of two samples over the mean distance of two real windows: 0 is collapse, 1 as varied as real.
    interrupted : bool
    versions : dict
    """

    settings: dict[str, Any]
    store_digest: str
    kind: str
    windows: dict[str, int]
    skipped: list[tuple[str, str]]
    steps: int
    seconds: float
    steps_per_s: float
    curve: list[tuple[int, float, float]]
    gradient_norm: dict[str, float]
    variety: float
    interrupted: bool
    versions: dict[str, str]

"""Settings of a training run, with the rules that they obey, and the report of one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch

from generator.data.vocabulary import check_settings
from generator.data.windows import AUGMENTATIONS
from generator.network.model import SIZES

EPOCHS = 100.0
BATCH_CPU, BATCH_GPU = 4, 32


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a training run, beside the store.

    Attributes
    ----------
    size : str
        A key of `generator.network.model.SIZES`; a model that is tuned keeps its own.
    latent : int
        Numbers of the style latent of a bar, 0 to 1024; 0: no style encoder.
    dropout : float
        In [0, 1); a model that is tuned keeps its own.
    minutes, steps, epochs : number, optional
        The budget, whichever ends first; over all runs when resumed. Scoring takes extra time. An epoch is as many
        tokens as the training split has. Without any of them, `EPOCHS`.
    patience : int
        The run ends after so many scorings in a row that were no better than the best; 0: it does not.
    checkpoint_minutes : float
        How often the "valid" split is scored and the state written.
    seed : int
        0 to 2**32 - 1.
    batch : int, optional
        Windows a step, over all processes; `BATCH_CPU` or `BATCH_GPU` where not given.
    transpose : int
        Windows move by up to so many semitones, 0 to 11.
    rate_first, rate_last : float
        Learning rates.
    artist : str
        Learn from the pieces of this artist only; empty: from all.
    lora : int
        Rank of low-rank adapters, the only weights that learn then; 0: all weights do.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    precision : str
        "float32", "bfloat16" (autocast) or "auto": the faster of one step each.
    workers : int, optional
        Threads on a CPU; all cores, at most `batch`, where not given. One in a process that ``torchrun`` started.
    half : bool
        Write the weights as float16.
    sharded : bool
        Spread weights and optimiser over the processes (FSDP).
    augment : tuple of str
        Of `generator.data.windows.AUGMENTATIONS`, what is done to windows beside reading them as they are.
    conditions : bool
        Whether windows are headed by what they are like, so that `generator.writing.sample.generate` can be told; and
        whether bars are planned.
    canaries : int
        Melodies of `generator.training.canaries` that are learned among the pieces, each as often as a piece of its
        length; 0 to 256, drawn with `seed`.

    Raises
    ------
    SettingError
        For a value out of its range.
    """

    size: str = "tiny"
    latent: int = 0
    dropout: float = 0.2
    minutes: float | None = None
    steps: int | None = None
    epochs: float | None = None
    patience: int = 6
    checkpoint_minutes: float = 5.0
    seed: int = 0
    batch: int | None = None
    transpose: int = 5
    rate_first: float = 1e-3
    rate_last: float = 1e-4
    artist: str = ""
    lora: int = 0
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    half: bool = False
    sharded: bool = False
    augment: tuple[str, ...] = ("transpose",)
    conditions: bool = True
    canaries: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        rules = {
            "size": self.size in SIZES,
            "latent": 0 <= self.latent <= 1024,
            "dropout": 0 <= self.dropout < 1,
            "minutes": self.minutes is None or self.minutes > 0,
            "steps": self.steps is None or self.steps > 0,
            "epochs": self.epochs is None or self.epochs > 0,
            "patience": self.patience >= 0,
            "checkpoint_minutes": self.checkpoint_minutes > 0,
            "seed": 0 <= self.seed < 2**32,
            "batch": self.batch is None or self.batch > 0,
            "transpose": 0 <= self.transpose <= 11,
            "rate_last": 0 < self.rate_last <= self.rate_first,
            "lora": 0 <= self.lora <= 256,
            "precision": self.precision in ("auto", "float32", "bfloat16"),
            "workers": self.workers is None or self.workers > 0,
            "canaries": 0 <= self.canaries <= 256,
            "augment": set(self.augment) <= set(AUGMENTATIONS),
        }
        check_settings("training", self, rules)

    def chosen(self, device: torch.device, precision: str, processes: int) -> Settings:
        """Return the settings with nothing left open."""
        batch = self.batch or (BATCH_CPU if device.type == "cpu" else BATCH_GPU)
        cores = len(os.sched_getaffinity(0)) if device.type == "cpu" and processes == 1 else 1
        endless = self.minutes is None and self.steps is None and self.epochs is None
        return replace(
            self,
            batch=batch,
            epochs=EPOCHS if endless else self.epochs,
            device=str(device),
            precision=precision,
            workers=min(self.workers or cores, batch) if cores > 1 else 1,
        )


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What ``training.json`` holds.

    Attributes
    ----------
    settings : dict
        As given, with `device`, `precision` and `workers` as chosen.
    store_digest, vocabulary_digest : str
        Hex SHA-256.
    pieces : dict
        Number of pieces used, by split.
    skipped : list of (path, reason)
        Pieces the vocabulary can't write.
    steps, tokens, seconds, tokens_per_s : numbers
        Of training alone, over all resumed runs; padding is not counted.
    curve : list of dict
        ``step`` and the means of `generator.training.objective.Losses` since the entry before.
    active : int or None
        Latent numbers that say something: whose mean varies over the bars of "valid" by more than 0.01 (Burda et al.
        2016); None without a style encoder.
    validation, baseline : dict or None
        `Likelihood` of the network and of the count model on the "valid" split; None without such pieces or
        after an interruption. With a style encoder the network's has `styled_bits_per_note` too, each bar decoded with
        its own latent. The baseline also says its `order`.
    ended : str
        "budget", "patience" (early stop) or "interrupted"; then `train(..., resume=True)` goes on.
    limits : dict
        `generator.network.limits.Limits` of the training pieces.
    versions : dict
        Of Python and torch.
    """

    settings: dict[str, Any]
    store_digest: str
    vocabulary_digest: str
    pieces: dict[str, int]
    skipped: list[tuple[str, str]]
    steps: int
    tokens: int
    seconds: float
    tokens_per_s: float
    curve: list[dict[str, float]]
    active: int | None
    validation: dict[str, Any] | None
    baseline: dict[str, Any] | None
    ended: str
    limits: dict[str, Any]
    versions: dict[str, str]

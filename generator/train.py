"""Training of a `Transformer` on a store, and the figures that say what it learned.

Protocol of the figures
-----------------------
Every token of every piece of a split is predicted once, ``BOS`` apart, ``EOS`` included. The network reads a
piece in windows of its context that start at a bar and advance by about half; a token counts in the first
window that reaches it. *Perplexity* is exp of the mean nats a token, so it holds for this vocabulary only (its
digest stands beside it); *bits per note* is the nats of all tokens over ln 2 and the number of notes, and can
be compared across vocabularies. The count model of `generator.ngram`, with the order that does best on the same
split (which flatters it), is scored on the same tokens; it learns from the training split in all the
transpositions the network may see.
"""

from __future__ import annotations

import copy
import math
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional

from corpus.store import Store
from generator.checkpoint import (
    CONFIG,
    TRAINING,
    WEIGHTS,
    Description,
    load_state,
    pick_device,
    read_description,
    save_model,
    save_state,
    state_tensors,
    write_description,
    write_json,
)
from generator.logs import interruptible
from generator.model import SIZES, Transformer, one_thread
from generator.ngram import NGram
from generator.tokens import PAD, PITCH, GeneratorError, IntArray, SettingError, movable
from generator.windows import Windows, padded, read_split, scored_windows, shifts

WARM_UP_STEPS = 20
CLIP = 1.0
PLAIN_PASSES = 4
"""So often the corpus is read as it is; over as many passes again, transposed windows come in. In a short
run they only slow learning (chorales, 450 steps: 6.17 bits a note with them from the start, 5.87 without)."""
NGRAM_ORDER = 6
NGRAM_TOKENS = 4_000_000  # transpositions are left out of the baseline beyond this size
VALIDATE_MINUTES = 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a training run, beside the store; see `train`."""

    size: str = "tiny"
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 4
    transpose: int = 5
    rate_first: float = 1e-3
    rate_last: float = 1e-4
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        rules = {
            "size": self.size in SIZES,
            "minutes": self.minutes is None or self.minutes > 0,
            "steps": self.steps is None or self.steps > 0,
            "seed": 0 <= self.seed < 2**32,
            "batch": self.batch > 0,
            "transpose": 0 <= self.transpose <= 11,
            "rate_last": 0 < self.rate_last <= self.rate_first,
            "precision": self.precision in ("auto", "float32", "bfloat16"),
            "workers": self.workers is None or self.workers > 0,
        }
        for name, holds in rules.items():
            if not holds:
                raise SettingError(f"training setting {name} = {getattr(self, name)!r} is out of range; see the help")
        if self.minutes is None and self.steps is None:
            raise SettingError("training needs an end: give minutes, steps or both")


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How well a model foretells a split; the protocol is the module's.

    `tokens` and `notes` are counts, `perplexity` is per token (1 is certain), `bits_per_note` is in bits.
    """

    tokens: int
    notes: int
    perplexity: float
    bits_per_note: float

    @classmethod
    def of(cls, nats: float, tokens: int, notes: int) -> Likelihood:
        """Make the figures from the summed nats."""
        return cls(tokens, notes, math.exp(nats / tokens), nats / math.log(2) / max(notes, 1))


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
    curve : list of (step, nats a token)
        Training loss, averaged between entries.
    validation, baseline : dict or None
        `Likelihood` of the network and of the count model on the "valid" split; None without such pieces or
        after an interruption. The baseline also says its `order`.
    interrupted : bool
        Whether the run was stopped before its end; then `train(..., resume=True)` goes on.
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
    curve: list[tuple[int, float]]
    validation: dict[str, Any] | None
    baseline: dict[str, Any] | None
    interrupted: bool
    versions: dict[str, str]


class Team:
    """Copies of a model on threads of one core each, sharing weights and adding up gradients.

    One thread a copy is steady where PyTorch's own threads are not: on two virtual cores they were measured
    between 0.15 and 1.8 times the speed of one. On a GPU, and for runs that must repeat bit by bit, there is
    one member.
    """

    def __init__(self, model: Transformer, members: int, precision: str) -> None:
        """Make the copies."""
        self.model = model
        self.device = next(model.parameters()).device
        self.precision = precision
        self.copies = [model] + [copy.deepcopy(model) for _ in range(members - 1)]
        for twin in self.copies[1:]:
            for own, shared in zip(twin.parameters(), model.parameters(), strict=True):
                own.data = shared.data
        self.pool = ThreadPoolExecutor(members, initializer=torch.set_num_threads, initargs=(1,))

    def _nats(self, model: Transformer, rows: Tensor, reduction: str) -> Tensor:
        rows = rows.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits = model(rows[:, :-1])  # (B, T, V)
        return functional.cross_entropy(
            logits.float().flatten(0, 1), rows[:, 1:].flatten(), ignore_index=PAD, reduction=reduction
        )

    def gradients(self, rows: Tensor) -> tuple[float, int]:
        """Set the model's gradients for a batch (B, T); return the summed nats and the number of tokens."""
        tokens = int((rows[:, 1:] != PAD).sum())

        def work(member: tuple[Transformer, Tensor]) -> float:
            model, mine = member
            model.train()
            model.zero_grad()
            nats = self._nats(model, mine, "sum")
            (nats / tokens).backward()  # type: ignore[no-untyped-call]
            return float(nats.detach())

        nats = sum(self.pool.map(work, zip(self.copies, rows.tensor_split(len(self.copies)), strict=True)))
        for twin in self.copies[1:]:
            for own, other in zip(self.model.parameters(), twin.parameters(), strict=True):
                if own.grad is not None and other.grad is not None:
                    own.grad += other.grad
        return nats, tokens

    def likelihood(self, pieces: Sequence[IntArray]) -> Likelihood:
        """Score whole pieces by the module's protocol."""
        self.model.eval()
        cuts = [cut for piece in pieces for cut in scored_windows(piece, self.model.config.context)]
        cuts.sort(key=lambda cut: len(cut[0]))
        batches = [cuts[i : i + 8] for i in range(0, len(cuts), 8)]

        def work(batch: list[tuple[IntArray, int]]) -> float:
            rows = torch.from_numpy(padded([cut for cut, _ in batch]))
            with torch.inference_mode():
                nats = self._nats(self.model, rows, "none").view(len(rows), -1).double().cpu()  # (B, T)
            return sum(float(row[known - 1 :].sum()) for row, (_, known) in zip(nats, batch, strict=True))

        tokens = sum(len(piece) - 1 for piece in pieces)
        notes = sum(int((piece >= PITCH).sum()) for piece in pieces)
        return Likelihood.of(sum(self.pool.map(work, batches)), tokens, notes)


def baseline(train_pieces: Sequence[IntArray], valid_pieces: Sequence[IntArray], transpose: int) -> dict[str, Any]:
    """Score the count model; return the fields of a `Likelihood` and the best `order`."""
    moves = [movable(p) for p in train_pieces]
    if sum(len(p) for p in train_pieces) * (2 * transpose + 1) > NGRAM_TOKENS:
        transpose = 0
    moved = [
        piece + shift * move
        for piece, move, allowed in zip(train_pieces, moves, shifts(train_pieces, moves, transpose), strict=True)
        for shift in allowed
    ]
    nats = NGram(moved, NGRAM_ORDER).nats(valid_pieces).sum(axis=1)
    best = int(nats.argmin())
    notes = sum(int((piece >= PITCH).sum()) for piece in valid_pieces)
    tokens = sum(len(piece) - 1 for piece in valid_pieces)
    return {"order": best + 1, **asdict(Likelihood.of(float(nats[best]), tokens, notes))}


def _fastest_precision(model: Transformer) -> str:
    """Time one training step of each precision on this device and name the faster."""
    rows = torch.randint(1, model.config.vocabulary, (1, model.config.context))
    seconds = {}
    for precision in ("float32", "bfloat16"):
        team = Team(model, 1, precision)
        team.gradients(rows)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            team.gradients(rows)
            times.append(time.perf_counter() - start)
        seconds[precision] = min(times)
        team.pool.shutdown()
    model.zero_grad()
    return min(seconds, key=lambda name: seconds[name])


def train(
    store: Store,
    out_dir: str | Path,
    *,
    size: str = "tiny",
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch: int = 4,
    transpose: int = 5,
    rate_first: float = 1e-3,
    rate_last: float = 1e-4,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    resume: bool = False,
) -> TrainingReport:
    """Train on the "train" split of `store` and write a model folder (`generator.checkpoint`).

    AdamW (0.9, 0.95; weight decay 0.1) with a cosine from `rate_first` to `rate_last` over the budget,
    gradients clipped at norm 1. Every five minutes and at the end the "valid" split is scored, and the best
    weights so far are kept. Progress goes to stderr where that is a terminal. Ctrl-C or SIGTERM ends the run
    early and in order. With one worker on a CPU, the same `precision` and `steps`, the same seed gives the
    same weights, also across a resumption.

    Parameters
    ----------
    size : str
        A key of `generator.model.SIZES`.
    minutes, steps : number, optional
        The budget, whichever ends first; over all runs when resumed. Scoring takes extra time.
    seed : int
        0 to 2**32 - 1.
    batch : int
        Windows a step.
    transpose : int
        Windows move by up to so many semitones, 0 to 11, once the corpus was read a few times.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    precision : str
        "float32", "bfloat16" (autocast) or "auto": the faster of one step each.
    workers : int, optional
        Threads on a CPU; all cores, at most `batch`, where not given.
    resume : bool
        Go on from the state in `out_dir`; otherwise `out_dir` must hold no model.

    Raises
    ------
    GeneratorError
        For a setting out of range, a store without training pieces, an `out_dir` that holds a model, or
        nothing to resume or another store's or size's.
    """
    settings = Settings(size, minutes, steps, seed, batch, transpose, rate_first, rate_last, device, precision, workers)
    folder = Path(out_dir)
    if not resume and (folder / WEIGHTS).exists():
        raise SettingError(f"{folder}: holds a model already; resume it, or name another folder")
    pieces, skipped = read_split(store, "train")
    if not pieces:
        raise GeneratorError(f"{store.path}: has no pieces to train on; its manifest lists none in split 'train'")
    valid, valid_skipped = read_split(store, "valid")
    with one_thread():  # the team has its own; PyTorch's would only wait for each other between its steps
        run = _Run(settings, Description(SIZES[size], store.digest), folder, pieces, valid)
        if resume:
            run.resume()
        else:
            write_description(folder, run.description)
        return run.go([*skipped, *valid_skipped])


class _Run:
    """One training run: the model, its optimiser and how far they are."""

    def __init__(
        self,
        settings: Settings,
        description: Description,
        folder: Path,
        pieces: list[IntArray],
        valid: list[IntArray],
    ) -> None:
        device = pick_device(settings.device)
        torch.manual_seed(settings.seed)
        self.model = Transformer(description.model).to(device)
        precision = _fastest_precision(self.model) if settings.precision == "auto" else settings.precision
        cores = len(os.sched_getaffinity(0)) if device.type == "cpu" else 1
        members = min(settings.workers or cores, settings.batch) if device.type == "cpu" else 1
        self.settings = settings
        self.chosen = {**asdict(settings), "device": str(device), "precision": precision, "workers": members}
        self.description = description
        self.folder = folder
        self.pieces = pieces
        self.valid = valid
        self.windows = Windows(pieces, description.model.context, settings.transpose)
        self.team = Team(self.model, members, precision)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=settings.rate_first, betas=(0.9, 0.95), weight_decay=0.1
        )
        self.step = self.tokens = 0
        self.seconds = 0.0
        self.curve: list[tuple[int, float]] = []
        self.best: dict[str, Any] | None = None

    def resume(self) -> None:
        """Load the state of the folder."""
        if read_description(self.folder) != self.description:
            raise GeneratorError(f"{self.folder / CONFIG}: names other sizes or another store; resume with the same")
        state = load_state(self.folder)
        try:
            self.model.load_state_dict(state["weights"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.tokens = int(state["step"]), int(state["tokens"])
            self.seconds, self.best = float(state["seconds"]), state["best"]
            self.curve = [(int(s), float(v)) for s, v in state["curve"]]
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise GeneratorError(f"{self.folder}: its state is not of this model: {error}") from error

    def done(self) -> float:
        """Share of the budget that is used, 1 and more at its end."""
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        by_step = self.step / self.settings.steps if self.settings.steps else 0.0
        return max(by_time, by_step)

    def advance(self) -> float:
        """Take one step; return its loss in nats a token."""
        start = time.perf_counter()
        settings = self.settings
        cosine = (1 + math.cos(math.pi * min(self.done(), 1.0))) / 2
        rate = settings.rate_last + (settings.rate_first - settings.rate_last) * cosine
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / WARM_UP_STEPS)
        torch.manual_seed(settings.seed * 1_000_003 + self.step)  # dropout, the same after a resumption
        passes = self.tokens / sum(len(piece) for piece in self.pieces)
        moved = min(max((passes - PLAIN_PASSES) / PLAIN_PASSES, 0.0), 1.0)
        rows = self.windows.rows(settings.batch, [settings.seed, self.step], moved)
        nats, tokens = self.team.gradients(torch.from_numpy(rows))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        self.step += 1
        self.tokens += tokens
        self.seconds += time.perf_counter() - start
        return nats / tokens

    def go(self, skipped: list[tuple[str, str]]) -> TrainingReport:
        """Train to the end of the budget or to an interruption, then score and write everything."""
        console = Console(stderr=True)
        columns = (
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        recent: list[float] = []
        saved_at = self.seconds
        with (
            interruptible() as interrupted,
            Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        ):
            task = progress.add_task("", total=1.0)
            while self.done() < 1 and not interrupted():
                recent.append(self.advance())
                if len(recent) == 10 or self.done() >= 1:
                    self.curve.append((self.step, round(float(np.mean(recent)), 4)))
                    recent = []
                    speed = self.tokens / self.seconds
                    said = f"step {self.step}  loss {self.curve[-1][1]:.3f}  {speed:,.0f} tok/s"
                    progress.update(task, completed=min(self.done(), 1.0), description=said)
                if self.seconds - saved_at > 60 * VALIDATE_MINUTES and self.done() < 1:
                    self.save(self.score())
                    saved_at = self.seconds
            stopped = interrupted() and self.done() < 1
            self.save(None if stopped else self.score())
        self.team.pool.shutdown()
        return self.report(skipped, stopped)

    def score(self) -> Likelihood | None:
        """Score the "valid" split."""
        return self.team.likelihood(self.valid) if self.valid else None

    def save(self, score: Likelihood | None) -> None:
        """Write the state, and the weights if they score best or none were ever scored."""
        if self.best is None or (score is not None and score.bits_per_note <= self.best["bits_per_note"]):
            self.best = None if score is None else asdict(score)
            save_model(self.model, self.folder)
        state = {"weights": state_tensors(self.model), "optimiser": self.optimiser.state_dict()}
        fields = ("step", "tokens", "seconds", "curve", "best")
        save_state(self.folder, state | {name: getattr(self, name) for name in fields})

    def report(self, skipped: list[tuple[str, str]], interrupted: bool) -> TrainingReport:
        """Write and return ``training.json``."""
        scored = bool(self.valid) and not interrupted
        report = TrainingReport(
            settings=self.chosen,
            store_digest=self.description.store_digest,
            vocabulary_digest=self.description.vocabulary_digest,
            pieces={"train": len(self.pieces), "valid": len(self.valid)},
            skipped=skipped,
            steps=self.step,
            tokens=self.tokens,
            seconds=round(self.seconds, 3),
            tokens_per_s=round(self.tokens / self.seconds, 1) if self.seconds else 0.0,
            curve=self.curve,
            validation=self.best if scored else None,
            baseline=baseline(self.pieces, self.valid, self.settings.transpose) if scored else None,
            interrupted=interrupted,
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        write_json(self.folder / TRAINING, asdict(report))
        return report

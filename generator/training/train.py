"""Training of a `Transformer` on a store, from nothing or from a model that is there already.

AdamW (0.9, 0.95; weight decay 0.5, on matrices alone) with a cosine from `rate_first` to `rate_last` over the budget,
gradients clipped at norm 1. Scored and written is a running mean of the weights, not the last of them (Polyak and
Juditsky 1992). Started by ``torchrun``, every process takes its share of each batch (`generator.training.processes`).
What is lowered, and the figures that say what was learned, are those of `generator.training.objective`.
"""

from __future__ import annotations

import itertools
import math
import platform
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from corpus.store import Store
from generator.data.vocabulary import GeneratorError, IntArray, SettingError
from generator.data.windows import Windows, read_artists, read_split
from generator.network.checkpoint import (
    CONFIG,
    TRAINING,
    WEIGHTS,
    Description,
    load_model,
    load_state,
    pick_device,
    read_description,
    save_model,
    save_state,
    write_description,
    write_json,
)
from generator.network.limits import limits_of
from generator.network.lora import add_adapters, merged_weights
from generator.network.model import SIZES, Transformer
from generator.network.stack import threads
from generator.training.canaries import canaries, write_canaries
from generator.training.logs import Log, board, interruptible, training_bar
from generator.training.objective import KL_WARM_UP, KL_WEIGHT, Losses, Team, active_latents, baseline
from generator.training.processes import Fleet, fleet, leads
from generator.training.settings import Settings, TrainingReport
from generator.writing.text_encoder import train_text

WARM_UP_STEPS = 20
CLIP = 1.0
WEIGHT_DECAY = 0.5
AVERAGE = 0.998
"""Decay of the running mean of the weights; less in the first steps, (1 + step) / (10 + step)."""


def _fastest_precision(model: Transformer) -> str:
    """Name the faster precision: on a CPU by the time of one training step of each."""
    if model.embedding.weight.device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
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
    store: Store, out_dir: str | Path, settings: Settings, *, base: str | Path | None = None, resume: bool = False
) -> TrainingReport:
    """Train on the "train" split of `store` and write a model folder (`generator.network.checkpoint`).

    From time to time and at the end the "valid" split is scored, and the best weights so far are kept. Progress goes
    to stderr where that is a terminal, and to TensorBoard files. Ctrl-C or SIGTERM ends the run early and in order.
    With one worker on a CPU, the same `precision` and `steps`, the same seed gives the same weights, also
    across a resumption.

    Parameters
    ----------
    settings : Settings
    base : path, optional
        Model folder whose weights the run begins with (transfer); `settings.size` and `latent` are its.
    resume : bool
        Go on from the state in `out_dir`; otherwise `out_dir` must hold no model.

    Raises
    ------
    GeneratorError
        For a store without training pieces (of the artist), an `out_dir` that holds a model, or nothing to resume or
        another store's or size's; when memory runs out, with the setting to lower.
    """
    folder = Path(out_dir)
    if not resume and (folder / WEIGHTS).exists():
        raise SettingError(f"{folder}: holds a model already; resume it, or name another folder")
    pieces, skipped = read_split(store, "train", settings.artist)
    if not pieces:
        of_artist = f" and by {settings.artist!r}" if settings.artist else ""
        raise GeneratorError(
            f"{store.path}: has no pieces to train on; its manifest lists none in split 'train'{of_artist}"
        )
    valid, valid_skipped = read_split(store, "valid", settings.artist)
    if base is None:
        new = replace(SIZES[settings.size], latent=settings.latent, dropout=settings.dropout)
        description = Description(new, store.digest)
    else:
        description = replace(read_description(base), store_digest=store.digest)
        own = description.model
        sizes = (name for name, size in SIZES.items() if (size.width, size.layers) == (own.width, own.layers))
        settings = replace(settings, size=next(sizes, settings.size), latent=own.latent, dropout=own.dropout)
    places = [-1] * len(pieces)
    if settings.conditions:
        absent = {path for path, _ in skipped}
        artists, places = read_artists(store, "train", settings.artist, absent, description.artists)
        description = replace(description, artists=artists)
    # The team has its own threads; PyTorch's would only wait for each other between its steps.
    with threads(1), fleet(pick_device(settings.device), settings.sharded) as processes:
        try:
            run = _Run(settings, description, folder, (pieces, places), valid, processes, base)
            if resume:
                run.resume()
            elif leads():
                write_description(folder, description)
                if settings.canaries:
                    write_canaries(folder, settings.seed, settings.canaries)
            return run.go([*skipped, *valid_skipped])
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise SettingError(
                f"out of memory on {processes.device}; lower --batch, take a smaller --size, or "
                "spread the weights over several GPUs with torchrun and --sharded"
            ) from error


class _Run:
    """One training run: the model, its optimiser and how far they are."""

    def __init__(
        self,
        settings: Settings,
        description: Description,
        folder: Path,
        pieces: tuple[list[IntArray], list[int]],
        valid: list[IntArray],
        processes: Fleet,
        base: str | Path | None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.model = (Transformer(description.model) if base is None else load_model(base, "cpu")).to(processes.device)
        precision = _fastest_precision(self.model) if settings.precision == "auto" else settings.precision
        precision = ("float32", "bfloat16")[round(processes.agree([precision == "bfloat16"])[0])]
        if settings.lora:
            add_adapters(self.model, settings.lora)
        self.settings = settings.chosen(processes.device, precision, processes.size)
        self.description = description
        self.folder = folder
        self.pieces, places = pieces
        self.valid = valid
        self.fleet = processes
        planted = canaries(settings.seed, settings.canaries)
        self.windows = Windows(
            [*self.pieces, *planted],
            description.model.context,
            settings.transpose if "transpose" in settings.augment else 0,
            conditions=settings.conditions,
            artists=[*places, *[-1] * len(planted)],
            augment=settings.augment,
        )
        self.team = Team(self.model, self.settings.workers or 1, precision, processes)
        self.learned: list[Tensor] = [weight for weight in self.model.parameters() if weight.requires_grad]
        groups = [
            {"params": [w for w in self.learned if w.dim() >= 2], "weight_decay": WEIGHT_DECAY},
            {"params": [w for w in self.learned if w.dim() < 2], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            [group for group in groups if group["params"]], lr=settings.rate_first, betas=(0.9, 0.95), fused=True
        )
        self.mean = [weight.detach().clone() for weight in self.learned]
        self.step = self.tokens = self.since_best = 0
        self.seconds = 0.0
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Any] | None = None

    def resume(self) -> None:
        """Load the state of the folder."""
        if read_description(self.folder) != self.description:
            raise GeneratorError(f"{self.folder / CONFIG}: names other sizes or another store; resume with the same")
        state = load_state(self.folder)
        try:
            self.fleet.put_back(self.model, self.optimiser, state["mean"], state["optimiser"])
            self.mean = [weight.detach().clone() for weight in self.learned]
            self.fleet.put_back(self.model, self.optimiser, state["weights"], state["optimiser"])
            self.step, self.tokens, self.since_best = (int(state[name]) for name in ("step", "tokens", "since_best"))
            self.seconds, self.best = float(state["seconds"]), state["best"]
            self.curve = [{name: float(value) for name, value in entry.items()} for entry in state["curve"]]
        except (AttributeError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise GeneratorError(f"{self.folder}: its state is not of this model: {error}") from error

    def done(self) -> float:
        """Share of the budget that is used, 1 and more at its end."""
        settings = self.settings
        by_time = self.seconds / (60 * settings.minutes) if settings.minutes else 0.0
        by_step = self.step / settings.steps if settings.steps else 0.0
        by_epoch = self.passes() / settings.epochs if settings.epochs else 0.0
        return max(by_time, by_step, by_epoch)

    @contextmanager
    def use_average(self) -> Iterator[None]:
        """Give the model the running mean of its weights for a while."""
        last = [weight.detach().clone() for weight in self.learned]
        self._take(self.mean)
        try:
            yield
        finally:
            self._take(last)

    @torch.no_grad()
    def _take(self, weights: Sequence[Tensor]) -> None:
        for own, given in zip(self.learned, weights, strict=True):
            own.copy_(given)

    def passes(self) -> float:
        """How often the training split was read."""
        return self.tokens / sum(len(piece) for piece in self.pieces)

    def draw_windows(self) -> Generator[IntArray]:
        """Yield the windows of this step and of those after it; while one is learned from, the next is drawn."""

        def draw(step: int) -> IntArray:
            return self.windows.rows(self.settings.batch or 1, [self.settings.seed, step])

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(draw, self.step)
            for step in itertools.count(self.step + 1):
                rows = coming.result()
                coming = pool.submit(draw, step)
                yield rows

    def advance(self, rows: IntArray, done: float) -> Losses:
        """Take one step with windows `rows` at `done` of the budget; return its losses."""
        start = time.perf_counter()
        settings = self.settings
        cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        rate = settings.rate_last + (settings.rate_first - settings.rate_last) * cosine
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / WARM_UP_STEPS)
        torch.manual_seed(settings.seed * 1_000_003 + self.step)  # dropout, the same after a resumption
        losses = self.team.gradients(torch.from_numpy(rows), KL_WEIGHT * min(done / KL_WARM_UP, 1.0))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        kept = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.mean, self.learned, 1 - kept)
        self.step += 1
        self.tokens += losses.tokens
        self.seconds += time.perf_counter() - start
        return losses

    def go(self, skipped: list[tuple[str, str]]) -> TrainingReport:
        """Train to the end of the budget or to an interruption, then score and write everything."""
        recent: list[Losses] = []
        saved_at, ended = self.seconds, "budget"
        with (
            interruptible() as interrupted,
            board(self.folder) if leads() else nullcontext(lambda step, figures: None) as log,
            training_bar(leads()) as show,
            closing(self.draw_windows()) as drawn,
        ):
            while True:
                done, asked, seconds = self.fleet.agree([self.done(), interrupted(), self.seconds])
                if recent and (len(recent) == 10 or done >= 1 or asked):
                    self.note(recent, log)
                    recent = []
                    status = f"step {self.step}  loss {self.curve[-1]['cross_entropy']:.3f}  {self.speed():,.0f} tok/s"
                    show(done, status)
                if asked and done < 1:
                    ended = "interrupted"
                if done >= 1 or asked:
                    break
                if seconds - saved_at > 60 * self.settings.checkpoint_minutes:
                    self.save(log)
                    saved_at = seconds
                    if self.settings.patience and self.since_best >= self.settings.patience:
                        ended = "patience"
                        break
                recent.append(self.advance(next(drawn), done))
            self.save(None if ended == "interrupted" else log)
        self.team.pool.shutdown()
        return self.report(skipped, ended)

    def speed(self) -> float:
        """Tokens a second in training."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def note(self, recent: list[Losses], log: Log) -> None:
        """Add the means of some steps to the curve and to the TensorBoard file."""
        names = ["cross_entropy", *(["kl", "mse"] if self.description.model.latent else [])]
        means = {name: round(float(np.mean([getattr(losses, name) for losses in recent])), 5) for name in names}
        self.curve.append({"step": self.step, **means})
        figures = {f"train/{name}": value for name, value in means.items()}
        log(self.step, {**figures, "rate": self.optimiser.param_groups[0]["lr"], "tokens_per_s": self.speed()})

    def score(self, log: Log) -> dict[str, Any] | None:
        """Score the "valid" split; with a style encoder also what its bars cost with their latents."""
        if not self.valid:
            return None
        score = asdict(self.team.likelihood(self.valid))
        if self.description.model.latent:
            score["styled_bits_per_note"] = self.team.likelihood(self.valid, styled=True).bits_per_note
        log(self.step, {f"valid/{name}": score[name] for name in score if name not in ("tokens", "notes")})
        return score

    def save(self, log: Log | None) -> None:
        """Write the state; with a `log` score the running mean, and write it if it scores best or none ever was."""
        with self.use_average():
            score = self.score(log) if log else None
            mean, _ = self.fleet.state(self.model, self.optimiser)
        bits = None if score is None else self.fleet.agree([_to_lower(score)])[0]
        better = self.best is None or (bits is not None and bits <= _to_lower(self.best))
        self.since_best = 0 if better else self.since_best + (bits is not None)
        weights, optimiser = self.fleet.state(self.model, self.optimiser)
        if better:
            self.best = score
        if not leads():
            return
        if better:
            save_model(merged_weights(mean), self.folder, self.settings.half)
        fields = ("step", "tokens", "seconds", "curve", "best", "since_best")
        state = {"weights": weights, "mean": mean, "optimiser": optimiser}
        save_state(self.folder, state | {name: getattr(self, name) for name in fields})

    def active(self) -> int:
        """Count the latent numbers that say something."""
        with self.use_average():
            return active_latents(self.model, self.valid)

    def report(self, skipped: list[tuple[str, str]], ended: str) -> TrainingReport:
        """Write and return ``training.json``."""
        scored = bool(self.valid) and ended != "interrupted" and leads()
        report = TrainingReport(
            settings=asdict(self.settings),
            store_digest=self.description.store_digest,
            vocabulary_digest=self.description.vocabulary_digest,
            pieces={"train": len(self.pieces), "valid": len(self.valid)},
            skipped=skipped,
            steps=self.step,
            tokens=self.tokens,
            seconds=round(self.seconds, 3),
            tokens_per_s=round(self.speed(), 1),
            curve=self.curve,
            active=self.active() if self.description.model.latent and scored else None,
            validation=self.best if scored else None,
            baseline=baseline(self.pieces, self.valid, self.settings.transpose) if scored else None,
            ended=ended,
            limits=asdict(limits_of(self.pieces)),
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        if leads():
            write_json(self.folder / TRAINING, asdict(report))
        return report


def train_model(
    store: Store, out_dir: str | Path, settings: Settings, *, base: str | Path | None = None, resume: bool = False
) -> tuple[TrainingReport, dict[str, dict[str, float]]]:
    """Train all that a model folder holds: the network, and the encoders of words where it learns conditions.

    Parameters and errors are those of `train`.

    Returns
    -------
    (TrainingReport, dict)
        Of the network; and of the encoders, see `generator.writing.text_encoder.train_text`.
    """
    report = train(store, out_dir, settings, base=base, resume=resume)
    wanted = settings.conditions and report.ended != "interrupted" and leads()
    return report, train_text(store, out_dir, settings.seed) if wanted else {}


def _to_lower(score: dict[str, Any]) -> float:
    """Return what the best weights have least of: bits a note, with a style encoder the mean of without and with it."""
    bits = float(score["bits_per_note"])
    return (bits + float(score.get("styled_bits_per_note", bits))) / 2

"""SpecGAN: a generator of short mel spectrograms, trained as a Wasserstein GAN with a gradient penalty.

Donahue, McAuley, Puckette, "Adversarial Audio Synthesis", ICLR 2019 (networks, normalisation), and Gulrajani et
al., "Improved Training of Wasserstein GANs", NIPS 2017, algorithm 1 (loss, penalty 10, five critic steps for one of the
generator, Adam 1e-4 (.5, .9), no batch normalisation). Departures from SpecGAN: mel bands instead of linear ones, which
costs the pitch of high partials and gives 3 s instead of 1; latents and windows follow the corpus, 43 frames a second.

::

    MODEL/config.json            format, width, what it learned from, digest of the store
    MODEL/model.safetensors      the generator, and mean and deviation of each mel band
    MODEL/windows.safetensors    a hash of each window, learned from or held out, to find what is repeated
    MODEL/training.json          how it was trained and what it reached (`SpectrogramReport`)
    MODEL.state.safetensors      both networks and their optimisers, to go on from; not needed to generate

Nothing is unpickled. Files appear whole or not at all; the state is the last to be written.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from corpus.store import Store
from generator.data.vocabulary import GeneratorError, SettingError
from generator.network.checkpoint import CONFIG, SPECTROGRAMS, TRAINING, WEIGHTS, beside, pick_device, write_json
from generator.network.stack import threads as torch_threads
from generator.sound.networks import LATENT, Critic, Generator, Spectrum
from generator.sound.sampling import STATE, WINDOWS, check_sizes
from generator.sound.settings import WIDTHS, SpectrogramReport, SpectrogramSettings
from generator.sound.windows import SoundWindows, read_sounds, require_windows, sound_of
from generator.training.logs import board, interruptible, training_bar
from music.audio import grey_mel
from music.midi import write_atomically
from music.notes import FloatArray

CRITIC_STEPS = 5
PENALTY = 10.0
RATE, BETAS = 1e-4, (0.5, 0.9)
CHECKPOINT_MINUTES = 5.0
FIGURE_WINDOWS = 128  # real windows and samples that the final figures rest on
REAL_WINDOWS = 4096  # that mean and deviation of the bands are taken from
Hasher = Callable[[FloatArray], NDArray[np.bool_]]
"""Hashes a mel spectrogram (128, frames) in decibels to bits; given by the caller, as metrics are no part of this."""


def gradient_norms(critic: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Norm (B,) of the critic's gradient at ``mix * real + (1 - mix) * fake``; can be differentiated again.

    Parameters
    ----------
    real, fake : Tensor (B, 1, 128, 128)
    mix : Tensor (B,)
        0..1.
    """
    weight = mix.view(-1, 1, 1, 1)
    between = (weight * real + (1 - weight) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    norms: Tensor = gradient.flatten(1).norm(dim=1)
    return norms


def mean_distance(pictures: Tensor) -> float:
    """Mean Euclidean distance of two different pictures (n, ...) divided by the square root of their size; n >= 2."""
    flat = pictures.flatten(1)
    return float(functional.pdist(flat).mean()) / math.sqrt(flat.shape[1])


def train_spectrogram(
    store: Store,
    out_dir: str | Path,
    *,
    size: str = "tiny",
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch: int = 16,
    device: str = "auto",
    threads: int | None = None,
    resume: bool = False,
    hasher: Hasher | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SpectrogramReport:
    """Train on the "train" split of `store` and write a model folder.

    Every five minutes and at the end the weights and the state are written. Ctrl-C or SIGTERM ends the run early and
    in order. With one thread on a CPU and `steps`, the same seed gives the same weights, also across a resumption.
    The networks work in bfloat16 on CUDA, apart from the penalty; on a CPU that was measured to gain nothing.

    Parameters
    ----------
    size : str
        A key of `WIDTHS`.
    minutes, steps : number, optional
        The budget, whichever ends first; over all runs when resumed. A step is one of the generator.
    seed : int
        0 to 2**32 - 1.
    batch : int
        Windows a step, 1 to 4096.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    threads : int, optional
        Of PyTorch on a CPU; all cores where not given.
    resume : bool
        Go on from the state beside `out_dir`; otherwise `out_dir` must hold no model.
    hasher : callable, optional
        Hashes windows, so that samples can be compared with what was learned from (`metrics.phash.mel_hash`).
    progress : callable
        Called with (sounds read or rendered, sounds in all) before the training.

    Raises
    ------
    GeneratorError
        For a setting out of range, a store without 3 s of sound to train on, an `out_dir` that holds a model, or
        nothing to resume or another store's or size's.
    """
    settings = SpectrogramSettings(size, minutes, steps, seed, batch, device, threads)
    folder = Path(out_dir)
    if not resume and (folder / WEIGHTS).exists():
        raise SettingError(f"{folder}: holds a model already; resume it, or name another folder")
    picked = pick_device(device)
    kind, digest = sound_of(store)
    windows, skipped = read_sounds(store, "train", progress)
    require_windows(windows, store, "train")
    valid, valid_skipped = read_sounds(store, "valid", progress)
    config = {"format": SPECTROGRAMS, "width": WIDTHS[size], "kind": kind, "store_digest": digest}
    cores = len(os.sched_getaffinity(0))
    with torch_threads((threads or cores) if picked.type == "cpu" else torch.get_num_threads()):
        run = _Run(settings, config, folder, windows, valid, picked)
        if resume:
            run.resume()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / CONFIG, config)
        return run.go([*skipped, *valid_skipped], hasher)


class _Run:
    """One training run: both networks, their optimisers and how far they are."""

    def __init__(
        self,
        settings: SpectrogramSettings,
        config: dict[str, Any],
        folder: Path,
        windows: SoundWindows,
        valid: SoundWindows,
        device: torch.device,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.config, self.folder, self.device = settings, config, folder, device
        self.windows, self.valid = windows, valid
        self.spectrum = Spectrum.of(windows.spread(REAL_WINDOWS))
        self.generator = Generator(config["width"]).to(device)
        self.critic = Critic(config["width"]).to(device)
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS)
            for name, network in (("generator", self.generator), ("critic", self.critic))
        }
        self.step = 0
        self.seconds = 0.0
        self.curve: list[tuple[int, float, float]] = []

    def done(self) -> float:
        """Share of the budget that is used, 1 and more at its end."""
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        by_step = self.step / self.settings.steps if self.settings.steps else 0.0
        return max(by_time, by_step)

    def autocast(self) -> torch.autocast:
        """Return the precision of what is not the penalty."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def real(self, which: NDArray[np.int64], windows: SoundWindows) -> Tensor:
        """Cut windows out as pictures on the device."""
        return self.spectrum.pictures(windows.rows(which)).to(self.device)

    def advance(self) -> tuple[float, float]:
        """Take five steps of the critic and one of the generator; return distance and gradient norm (means)."""
        start = time.perf_counter()
        size = self.settings.batch
        draws = np.random.default_rng([self.settings.seed, self.step])  # the same after a resumption, on every device
        random = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)

        def latents() -> Tensor:
            return (2 * torch.rand(size, LATENT, generator=random) - 1).to(self.device)

        distance = norm = 0.0
        for _ in range(CRITIC_STEPS):
            real = self.real(draws.integers(0, len(self.windows), size), self.windows)
            with torch.no_grad(), self.autocast():
                fake = self.generator(latents()).float()
            with self.autocast():
                gap = self.critic(real).float().mean() - self.critic(fake).float().mean()
            norms = gradient_norms(self.critic, real, fake, torch.rand(size, generator=random).to(self.device))
            self._descend("critic", -gap + PENALTY * ((norms - 1) ** 2).mean())
            distance += float(gap.detach()) / CRITIC_STEPS
            norm += float(norms.detach().mean()) / CRITIC_STEPS
        with self.autocast():
            score = self.critic(self.generator(latents())).float().mean()
        self._descend("generator", -score)
        self.step += 1
        self.seconds += time.perf_counter() - start
        return distance, norm

    def _descend(self, name: str, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise GeneratorError(
                f"{self.folder}: the {name}'s loss is {float(loss)} in step {self.step + 1}; the last checkpoint stays"
            )
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def go(self, skipped: list[tuple[str, str]], hasher: Hasher | None) -> SpectrogramReport:
        """Train to the end of the budget or to an interruption, then measure and write everything."""
        recent: list[tuple[float, float]] = []
        saved_at = self.seconds
        if hasher is not None:
            groups = {"learned": self.windows, "held_out": self.valid}
            packed = {name: torch.from_numpy(_pack_hashes(windows, hasher)) for name, windows in groups.items()}
            write_atomically(self.folder / WINDOWS, save(packed, {"format": SPECTROGRAMS}))
        with interruptible() as interrupted, board(self.folder) as log, training_bar() as show:
            while self.done() < 1 and not interrupted():
                recent.append(self.advance())
                if len(recent) == 10 or self.done() >= 1:
                    distance, norm = np.mean(recent, axis=0).round(4).tolist()
                    self.curve.append((self.step, distance, norm))
                    log(self.step, {"critic/distance": distance, "critic/gradient_norm": norm})
                    recent = []
                speed = self.step / self.seconds
                show(self.done(), f"step {self.step}  {speed:.2f} steps/s")
                if self.seconds - saved_at > 60 * CHECKPOINT_MINUTES:
                    self.save()
                    saved_at = self.seconds
            stopped = interrupted() and self.done() < 1
            self.save()
        return self.report(skipped, stopped)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes in training, by name; the tensors are the run's own."""
        tensors = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        tensors |= {f"critic.{k}": v for k, v in self.critic.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for number, state in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.adam.{number}.{k}": v for k, v in state.items()}
        return tensors

    def save(self) -> None:
        """Write the model's weights and then the state."""
        weights = {f"generator.{k}": _plain(v) for k, v in self.generator.state_dict().items()}
        weights |= {"mean": self.spectrum.mean, "deviation": self.spectrum.deviation}
        write_atomically(self.folder / WEIGHTS, save(weights, {"format": SPECTROGRAMS}))
        progress = {"step": self.step, "seconds": self.seconds, "curve": self.curve}
        state = {name: _plain(value) for name, value in self.tensors().items()}
        write_atomically(
            beside(self.folder, STATE),
            save(state, {"config": _canonical(self.config), **_canonical_progress(progress)}),
        )

    def resume(self) -> None:
        """Load the state that lies beside the folder."""
        path = beside(self.folder, STATE)
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise GeneratorError(f"{path}: there is nothing to resume; train without --resume") from error
        except (OSError, SafetensorError) as error:
            raise GeneratorError(f"{path}: is no whole safetensors file ({error}); train anew") from error
        if about.get("config") != _canonical(self.config):
            raise GeneratorError(f"{path}: is of another size or store; resume with the same")
        try:
            progress = json.loads(about["progress"])
            self.step, self.seconds = int(progress["step"]), float(progress["seconds"])
            self.curve = [(int(step), float(distance), float(norm)) for step, distance, norm in progress["curve"]]
            self.generator.load_state_dict(check_sizes("generator.", tensors, "adam."))
            self.critic.load_state_dict(check_sizes("critic.", tensors, "adam."))
            for name, optimiser in self.optimisers.items():
                shapes = {i: p.shape for i, p in enumerate(optimiser.param_groups[0]["params"])}
                state: dict[int, dict[str, Tensor]] = {i: {} for i in shapes}
                for key, value in check_sizes(f"{name}.adam.", tensors).items():
                    number, _, field = key.partition(".")
                    state[int(number)][field] = value
                for i, fields in state.items() if self.step else ():  # there are no moments before the first step
                    if fields["step"].shape or {fields["exp_avg"].shape, fields["exp_avg_sq"].shape} != {shapes[i]}:
                        raise ValueError(f"moments of {name} weight {i} have other shapes")
                optimiser.load_state_dict({**optimiser.state_dict(), "state": state if self.step else {}})
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise GeneratorError(f"{path}: is not the state of this model: {error}") from error

    def report(self, skipped: list[tuple[str, str]], interrupted: bool) -> SpectrogramReport:
        """Measure the figures; write and return ``training.json``."""
        random = torch.Generator().manual_seed(self.settings.seed)
        held_out = self.valid if len(self.valid) else self.windows
        real = self.spectrum.pictures(held_out.spread(FIGURE_WINDOWS)).to(self.device)
        with torch.no_grad():
            latent = 2 * torch.rand(max(len(real), 2), LATENT, generator=random) - 1
            fake = self.generator(latent.to(self.device))
        mix = torch.rand(len(real), generator=random).to(self.device)
        norms = gradient_norms(self.critic, real, fake[: len(real)], mix).detach()
        apart = mean_distance(real) if len(real) > 1 else 0.0
        report = SpectrogramReport(
            settings={**asdict(self.settings), "device": str(self.device), "threads": torch.get_num_threads()},
            store_digest=self.config["store_digest"],
            kind=self.config["kind"],
            windows={"train": len(self.windows), "valid": len(self.valid)},
            skipped=skipped,
            steps=self.step,
            seconds=round(self.seconds, 3),
            steps_per_s=round(self.step / self.seconds, 4) if self.seconds else 0.0,
            curve=self.curve,
            gradient_norm={"mean": float(norms.mean()), "deviation": float(norms.std(unbiased=False))},
            variety=mean_distance(fake) / apart if apart else 0.0,
            interrupted=interrupted,
            versions={"python": platform.python_version(), "torch": torch.__version__},
        )
        write_json(self.folder / TRAINING, asdict(report))
        return report


def _pack_hashes(windows: SoundWindows, hasher: Hasher) -> NDArray[np.uint8]:
    """Hash every window: uint8 (n, bits / 8)."""
    hashes = [np.packbits(hasher(grey_mel(windows.rows(np.array([i]))[0].T))) for i in range(len(windows))]
    return np.stack(hashes) if hashes else np.zeros((0, 1), np.uint8)


def _plain(value: Tensor) -> Tensor:
    return value.detach().float().cpu().contiguous()


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)


def _canonical_progress(progress: dict[str, Any]) -> dict[str, str]:
    return {"progress": _canonical(progress)}

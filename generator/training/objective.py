"""What training lowers, and the likelihood that says what was learned.

Objective --------- Of a batch of windows: the cross-entropy of every token (nats, summed, over the number of tokens),
and for a model with a style encoder the divergence of the bars' latents from a standard normal and the squared error
of `generator.network.model.count_in_bars` foretold from them. Half the windows, drawn anew each step, are decoded
without their latents, so that the model also writes without. A latent number costs nothing until its mean divergence
in the batch exceeds `FREE_NATS` (free bits; Kingma et al. 2016), and the weight of the divergence rises from 0 over
the first `KL_WARM_UP` of the run (Bowman et al. 2016); both keep the latents from being ignored.

Protocol of the figures
-----------------------
Every token of every piece of a split is predicted once, ``BOS`` apart,
``EOS`` included. The network reads a piece in windows of its context that start at a bar and advance by about half; a
token counts in the first window that reaches it. The split is scored plain: no latents, no controls and no plans
(`generator.data.tokens`); in training controls are given and never foretold, so they are no part of the loss; plans
are. *Perplexity* is exp of the mean nats a token, so it holds for this vocabulary only (its digest stands beside it);
*bits per note* is the nats of all tokens over ln 2 and the number of notes, and can be compared across vocabularies.
The count model of `generator.data.ngram`, with the order that does best on the same split (which flatters it), is
scored on the same tokens; it learns from the training split in all the transpositions the network may see.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.data.ngram import NGram
from generator.data.tokens import movable
from generator.data.vocabulary import ARTIST, PAD, PITCH, TEMPO, IntArray
from generator.data.windows import pad_rows, scored_windows, shifts
from generator.network.model import Transformer, bars_of, count_in_bars, members
from generator.training.processes import Fleet

KL_WEIGHT, FIGURES_WEIGHT = 0.03, 1.0
KL_WARM_UP = 0.2
FREE_NATS = 0.25
NGRAM_ORDER = 6
NGRAM_TOKENS = 4_000_000  # transpositions are left out of the baseline beyond this size


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
class Losses:
    """Means of a batch: nats a token, divergence in nats a bar, squared error of the bar figures."""

    tokens: int
    cross_entropy: float
    kl: float = 0.0
    mse: float = 0.0


class Objective(nn.Module):
    """A model and what is asked of it: one call, so that distributed wrappers see all its weights at work."""

    def __init__(self, model: Transformer, precision: str) -> None:
        """Wrap `model`, to run in `precision`."""
        super().__init__()
        self.model = model
        self.precision = precision

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which the model runs."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def forward(self, rows: Tensor) -> Tensor:
        """Sum over a batch of windows (B, T + 1): cross-entropy, divergence that counts, divergence, squared error."""
        tokens = rows[:, :-1]
        with self.autocast(rows.device):
            if not self.model.config.latent:
                nats = cross_entropy(self.model(tokens), rows, "sum")
                return torch.stack([nats, nats * 0, nats * 0, nats * 0])
            bars = bars_of(tokens)  # (B, T)
            mu, log_variance = self.model.encode_style(tokens)  # (B, N, Z)
            z = mu + torch.randn_like(mu) * (log_variance / 2).exp() if self.training else mu
            with_style = torch.rand(len(rows), 1, device=rows.device) < 0.5
            latents = latents_at(z, bars.masked_fill(~with_style, -1))  # (B, T, Z)
            nats = cross_entropy(self.model(tokens, latents=latents), rows, "sum")
        there = members(bars).amax(dim=-1, keepdim=True)  # (B, N, 1)
        kl = (mu.square() + log_variance.exp() - 1 - log_variance) / 2 * there  # (B, N, Z)
        error = (self.model.style.figures(z) - count_in_bars(tokens, bars)).square() * there  # (B, N, F)
        counted = (kl.sum(dim=(0, 1)) / there.sum()).clamp(min=FREE_NATS).sum() * there.sum()
        return torch.stack([nats, counted, kl.sum(), error.sum()])


def cross_entropy(logits: Tensor, rows: Tensor, reduction: str) -> Tensor:
    """Return nats of the tokens rows[:, 1:] under `logits` (B, T, V); what is no target counts nothing."""
    return functional.cross_entropy(
        logits.float().flatten(0, 1), targets(rows).flatten(), ignore_index=PAD, reduction=reduction
    )


def targets(rows: Tensor) -> Tensor:
    """Return what is to be foretold of rows (B, T + 1): (B, T), ``PAD`` for padding and for controls."""
    targets_of = rows[:, 1:]
    return targets_of.masked_fill((targets_of >= ARTIST) & (targets_of < TEMPO), PAD)


def latents_at(z: Tensor, bars: Tensor) -> Tensor:
    """Return for each token (B, T, Z) the latent of its bar from `z` (B, N, Z); 0 where `bars` (B, T) is -1."""
    latents = z.gather(1, bars.clamp(min=0)[..., None].expand(-1, -1, z.shape[-1]))  # (B, T, Z)
    return latents * (bars >= 0)[..., None]


class Team:
    """Copies of a model on threads of one core each, sharing weights and adding up gradients.

    One thread a copy is steady where PyTorch's own threads are not: on two virtual cores they were measured
    between 0.15 and 1.8 times the speed of one. On a GPU, in a `Fleet` of processes, and for runs that must repeat
    bit by bit, there is one member.

    On a GPU the blocks are compiled when they first learn, which takes some ten seconds (``TORCH_COMPILE_DISABLE=1``
    leaves them as they are); scoring, whose windows have all lengths, runs them as they are.
    """

    def __init__(self, model: Transformer, members: int, precision: str, fleet: Fleet | None = None) -> None:
        """Make the copies."""
        self.model = model
        self.device = next(model.parameters()).device
        self.fleet = fleet or Fleet(0, 1, self.device)
        lead = Objective(model, precision)
        self.copies = [lead] + [copy.deepcopy(lead) for _ in range(members - 1)]
        for twin in self.copies[1:]:
            for own, shared in zip(twin.parameters(), model.parameters(), strict=True):
                own.data = shared.data
        self.compiled = self.device.type == "cuda" and not self.fleet.sharded
        if self.compiled:
            for block in model.stack.blocks:
                block.compile()
        self.workers = [self.fleet.share(lead, model), *self.copies[1:]]

        def begin() -> None:  # both hold for a thread alone
            torch.set_num_threads(1)
            if self.compiled:  # without a C compiler blocks run as they are, with a warning
                torch._dynamo.config.suppress_errors = True

        self.pool = ThreadPoolExecutor(members, initializer=begin)

    def gradients(self, rows: Tensor, kl_weight: float = KL_WEIGHT) -> Losses:
        """Set the model's gradients for a batch (B, T + 1), which is that of the whole fleet; return its losses."""
        tokens = int((targets(rows) != PAD).sum())
        bars = max(int((bars_of(rows[:, :-1]).amax(dim=-1) + 1).sum()), 1)
        mine = rows.tensor_split(self.fleet.size)[self.fleet.rank]
        weights = torch.tensor([1 / tokens, kl_weight / tokens, 0.0, FIGURES_WEIGHT / bars], device=self.device)
        weights *= self.fleet.size  # of the fleet's gradients the mean is taken

        def work(member: tuple[nn.Module, Tensor]) -> Tensor:
            worker, part = member
            worker.train()
            worker.zero_grad()
            sums = worker(part.to(self.device))
            (sums * weights).sum().backward()
            return cast(Tensor, sums.detach().double().cpu())

        parts = mine.tensor_split(len(self.workers))
        sums = torch.stack(list(self.pool.map(work, zip(self.workers, parts, strict=True)))).sum(dim=0)
        for twin in self.copies[1:]:
            for own, other in zip(self.model.parameters(), twin.parameters(), strict=True):
                if own.grad is not None and other.grad is not None:
                    own.grad += other.grad
        nats, _, kl, error = self.fleet.total(sums.tolist())
        return Losses(tokens, nats / tokens, kl / bars, error / bars)

    def likelihood(self, pieces: Sequence[IntArray], styled: bool = False) -> Likelihood:
        """Score whole pieces by the module's protocol, or (`styled`) each bar decoded with its own latent."""
        self.model.eval()
        cuts = [cut for piece in pieces for cut in scored_windows(piece, self.model.config.context)]
        cuts.sort(key=lambda cut: len(cut[0]))
        batches = [cuts[i : i + 8] for i in range(0, len(cuts), 8)]

        def work(batch: list[tuple[IntArray, int]]) -> float:
            rows = torch.from_numpy(pad_rows([cut for cut, _ in batch])).to(self.device)
            tokens = rows[:, :-1]
            with torch.inference_mode(), self.copies[0].autocast(self.device):
                latents = latents_at(self.model.encode_style(tokens)[0], bars_of(tokens)) if styled else None
                nats = cross_entropy(self.model(tokens, latents=latents), rows, "none").view(len(rows), -1)  # (B, T)
            nats = nats.double().cpu()
            return sum(float(row[known - 1 :].sum()) for row, (_, known) in zip(nats, batch, strict=True))

        tokens = sum(len(piece) - 1 for piece in pieces)
        notes = sum(int((piece >= PITCH).sum()) for piece in pieces)
        # One stance for all threads, around their work: each would put back what another had set.
        with torch.compiler.set_stance("force_eager") if self.compiled else nullcontext():
            nats = sum(map(work, batches) if self.fleet.size > 1 else self.pool.map(work, batches))
        return Likelihood.of(nats, tokens, notes)


def orders(train_pieces: Sequence[IntArray], pieces: Sequence[IntArray], transpose: int) -> list[Likelihood]:
    """Score the count models of orders 1 to `NGRAM_ORDER`."""
    moves = [movable(p) for p in train_pieces]
    if sum(len(p) for p in train_pieces) * (2 * transpose + 1) > NGRAM_TOKENS:
        transpose = 0
    moved = [
        piece + shift * move
        for piece, move, allowed in zip(train_pieces, moves, shifts(train_pieces, moves, transpose), strict=True)
        for shift in allowed
    ]
    notes = sum(int((piece >= PITCH).sum()) for piece in pieces)
    tokens = sum(len(piece) - 1 for piece in pieces)
    nats = NGram(moved, NGRAM_ORDER).nats(pieces).sum(axis=1)
    return [Likelihood.of(float(total), tokens, notes) for total in nats]


def baseline(train_pieces: Sequence[IntArray], valid_pieces: Sequence[IntArray], transpose: int) -> dict[str, Any]:
    """Score the count model; return the fields of a `Likelihood` and the best `order`."""
    scores = orders(train_pieces, valid_pieces, transpose)
    best = min(range(len(scores)), key=lambda i: scores[i].perplexity)
    return {"order": best + 1, **asdict(scores[best])}


def active_latents(model: Transformer, pieces: Sequence[IntArray]) -> int:
    """Count the latent numbers whose mean varies over the first bars of `pieces` by more than 0.01."""
    model.eval()
    rows = torch.from_numpy(pad_rows([piece[: model.config.context] for piece in pieces[:32]]))
    with torch.inference_mode():
        rows = rows.to(next(model.parameters()).device)
        there = members(bars_of(rows)).amax(dim=-1) > 0  # (B, N)
        means = model.encode_style(rows)[0][there]  # (bars, Z)
    return int((means.var(dim=0) > 0.01).sum())

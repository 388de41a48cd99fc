"""A decoder-only Transformer over music tokens.

Pre-norm blocks with RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021, pairs split in
halves), multi-head attention through PyTorch's fused kernel, a squared-ReLU feed-forward (So et al. 2021),
one matrix for the embedding and the output, in which the pitches of one class share a part (chorales:
validation perplexity 4.9 after 450 steps with it, 5.0 after 515 without). Dropout falls on the embedding, the
residual branches and the feed-forward, never inside the attention: there it makes the fused CPU kernel fall back to a
path about three times slower.

Shapes in comments: B sequences, T tokens, S keys, D width, H heads, K = D / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.data.vocabulary import (
    BAR,
    CHORD,
    KEY,
    MAX_BAR_TICKS,
    MAX_PARTS,
    PAD,
    PART,
    PITCH,
    POSITION,
    QUALITIES,
    VELOCITY,
    VOCABULARY,
    GeneratorError,
)
from generator.network.kernels import ROWS, WEIGHTS, Compiled, Floats, read_token, run_stack, score
from generator.network.stack import HOLDS, Block, Cache, ModelConfig, Stack, drop_out, initialise

SIZES = {
    "tiny": ModelConfig(width=256, layers=4, heads=8),
    "base": ModelConfig(width=512, layers=9, heads=8),
    "large": ModelConfig(width=1024, layers=16, heads=16),
}
"""Named sizes: "tiny" (4 M parameters) learns chorales on two cores, "base" (29 M) and "large" (203 M) want a GPU."""
PLACE, IN_PART, LAST_PITCH, IN_KEY, ON_CHORD = (
    HOLDS.index(kinds) for kinds in (("Bar", "Position"), ("Bar", "Position", "Part"), ("Pitch",), ("Key",), ("Chord",))
)
DISTANCES = 255
"""From 127 semitones below to 127 above."""
STYLE_LAYERS = 1
BAR_FIGURES = 3
SLOT = 12
"""Ticks of a bar that share their signs in `Style`, half a quarter."""
SLOTS = 1 + MAX_BAR_TICKS // SLOT
LINES = 8
"""Parts with signs of their own; the parts behind them have those of the last one."""


class Style(nn.Module):
    """A variational encoder of bars, whose latents enter every layer of the decoder.

    In-attention after Wu and Yang (MuseMorphose, TASLP 2023): each token is decoded with the latent of its bar added,
    through a matrix, to what every block reads. Departures: what a token gives to the latent is multiplied by the
    signs of its place in the bar (`SLOT`) and of its part (`keys`), and the latent is multiplied by them again where a
    token of that place and part is decoded and added through a second matrix (binding; Plate 1995, Gayler 2003), so
    that the notes of a beat can be read off the latent of the bar without a search; one stack reads the whole window
    and attends within each bar only; a linear head foretells what can be counted in the bar (`count_in_bars`) from
    its latent, which lays those figures along lines of the latent space; and the zero latent means "no style", so the
    same weights also write without one.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Make the weights."""
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(STYLE_LAYERS))
        self.norm = nn.RMSNorm(config.width)
        self.moments = nn.Linear(config.width, 2 * config.latent)
        self.bind = nn.Linear(config.width, config.latent, bias=False)
        self.unbind = nn.Linear(config.latent, config.width, bias=False)
        signs = torch.randn(SLOTS + LINES, config.latent, generator=torch.Generator().manual_seed(0)).sign()
        self.register_buffer("signs", signs, persistent=False)  # the same in every model
        self.figures = nn.Linear(config.latent, BAR_FIGURES)
        self.into = nn.Linear(config.latent, config.width, bias=False)

    def keys(self, slots: Tensor, lines: Tensor) -> Tensor:
        """Return the signs (B, T, Z) by which places and parts (B, T) are told apart."""
        signs = cast(Tensor, self.signs)
        return signs[slots] * signs[SLOTS + lines.clamp(max=LINES - 1)]

    def forward(self, x: Tensor, bars: Tensor, turns: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, (B, N, Z) each for N bars, from embedded tokens `x` (B, T, D).

        `bars` (B, T) is the bar of each token, -1 before the first; `places` (2, B, T) are its slot and part.
        """
        mask = (bars[:, :, None] == bars[:, None, :])[:, None]  # (B, 1, T, T)
        for block in self.blocks:
            x = block(x, turns, None, mask, 0)  # (B, T, D)
        member = members(bars)  # (B, N, T)
        count = member.sum(dim=-1, keepdim=True).clamp(min=1)  # (B, N, 1)
        x = self.norm(x)
        mu, log_variance = self.moments(member @ x.float() / count).float().chunk(2, dim=-1)  # (B, N, Z) each
        mu = mu + member @ (self.bind(x) * self.keys(*places)).float() / count.sqrt()
        return mu, log_variance.clamp(-12, 6)

    def added(self, latents: Tensor, slots: Tensor, lines: Tensor) -> Tensor:
        """Return what blocks read besides (B, T, D): latents (B, T, Z), each in slot and part (B, T) of its token."""
        return cast(Tensor, self.into(latents) + self.unbind(latents * self.keys(slots, lines)))


def bars_of(tokens: Tensor) -> Tensor:
    """Return the bar (B, T) of each token (B, T), counted from 0; -1 before the first and for padding at the end."""
    bars = ((tokens >= BAR) & (tokens < POSITION)).long().cumsum(dim=-1) - 1
    return bars.masked_fill(tokens == PAD, -1)


def members(bars: Tensor) -> Tensor:
    """Return (B, N, T) which tokens each bar has, 1 or 0."""
    count = max(int(bars.max()) + 1, 1)
    return (bars[:, None, :] == torch.arange(count, device=bars.device)[:, None]).float()


def count_in_bars(tokens: Tensor, bars: Tensor) -> Tensor:
    """Count in bars: ln(1 + notes), ln(1 + positions), mean pitch in octaves from 60; (B, N, 3)."""
    member = members(bars)
    note = tokens >= PITCH
    position = (tokens >= POSITION) & (tokens < VELOCITY)
    height = torch.where(note, tokens - PITCH - 60, 0) / 12
    notes, positions, heights = (torch.einsum("bnt,bt->bn", member, x.float()) for x in (note, position, height))
    return torch.stack([notes.log1p(), positions.log1p(), heights / notes.clamp(min=1)], dim=-1)


def _look_up(tables: Sequence[Tensor], numbers: Sequence[Tensor]) -> Tensor:
    """Add up rows of `tables` (rows, D), those that `numbers` (any, B, T) each say: (B, T, D).

    Never in memory one by one, which on a GPU took about a sixth of a training step.
    """
    firsts = accumulate((len(table) for table in tables), initial=0)
    where = torch.cat([number + first for number, first in zip(numbers, firsts, strict=False)])  # (all, B, T)
    rows = functional.embedding_bag(where.flatten(1).T, torch.cat([*tables]), mode="sum")  # (B T, D)
    return rows.view(*where.shape[1:], -1)


def _array(weight: Tensor) -> Floats:
    return np.ascontiguousarray(weight.detach().float().numpy())


class Transformer(nn.Module):
    """Tokens in, logits of the next token out."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the weights from torch's present random state."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)  # (V, D), also the output matrix
        self.pitch_class = nn.Embedding(13, config.width)  # added to every pitch; 12 is "no pitch"
        classes = torch.full((config.vocabulary,), 12)
        classes[PITCH : PITCH + 128] = torch.arange(128) % 12
        self.register_buffer("classes", classes, persistent=False)  # (V,)
        self.said = nn.Embedding(config.vocabulary, config.width)  # added for the tokens that hold, see HOLDS
        kinds = [name.split()[0] for name in VOCABULARY]
        says = torch.tensor([[kind in hold for kind in kinds] for hold in HOLDS])
        self.register_buffer("says", says, persistent=False)  # (holds, V)
        parts = torch.zeros(config.vocabulary, dtype=torch.long)
        parts[PART + 1 : PART + MAX_PARTS] = torch.arange(1, MAX_PARTS)
        self.register_buffer("parts", parts, persistent=False)  # (V,), the part that a token says; 0 for the others
        slots = torch.zeros(config.vocabulary, dtype=torch.long)
        slots[POSITION:VELOCITY] = 1 + torch.arange(MAX_BAR_TICKS) // SLOT
        self.register_buffer("slots", slots, persistent=False)  # (V,), place in the bar, for `Style`
        self.line = nn.Embedding(128 + 1, config.width)  # added for the last pitch of the part; 128 is "none"
        self.gap = nn.Embedding(DISTANCES + 1, config.width)  # for its distance from the last of all; DISTANCES: none
        self.step = nn.Embedding(2 * 13, config.width)  # for its class above the tonic, and above the chord's root
        self.distance = nn.Linear(config.width, 2 * DISTANCES, bias=False)
        self.degree = nn.Linear(config.width, 2 * 12, bias=False)
        roots = torch.full((config.vocabulary,), -1)
        roots[KEY : KEY + 24] = torch.arange(24) % 12
        roots[CHORD + 1 : CHORD + 1 + 12 * len(QUALITIES)] = torch.arange(12 * len(QUALITIES)) % 12
        self.register_buffer("roots", roots, persistent=False)  # (V,), the pitch class that a key or chord stands on
        self.stack = Stack(config)
        if config.latent:
            self.style = Style(config)
        initialise(self, config.layers)

    def forward(self, tokens: Tensor, cache: Cache | None = None, latents: Tensor | None = None) -> Tensor:
        """Logits of what follows each token.

        Parameters
        ----------
        tokens : long (B, T)
        cache : Cache, optional
            What was read before; `tokens` are added to it. The whole must fit in the context.
        latents : Tensor (B, T, Z), optional
            Style of the bar of each token, 0 for none; `ModelConfig.latent` must not be 0.

        Returns
        -------
        Tensor (B, T, V)
            With a cache just the last column, (B, 1, V).

        Raises
        ------
        GeneratorError
            When the sequence is longer than the context.
        """
        table = self._table(cache)  # (V, D)
        if cache is not None and tokens.shape[1] == 1 and self._compiles(tokens):
            if cache.length >= self.config.context:
                raise GeneratorError(f"{cache.length + 1} tokens; the model's context is {self.config.context}")
            cache.compiled = cache.compiled or self._compiled(table)
            return self._step(cache.compiled, tokens, latents, cache)
        x, references, places = self._read(tokens, table, cache)  # (B, T, D), (4, B, T), (2, B, T)
        style = None if latents is None else self.style.added(latents, *places)  # (B, T, D)
        x = self.stack(x, cache, style)  # (B, T or 1, D)
        logits = functional.linear(x, table)  # (B, T, V)
        references = references[..., -x.shape[1] :]
        pitches = self._distances(x, references[:2])  # (B, T, 128)
        if self.training or bool(references[2:].any()):
            pitches = pitches + self._degrees(x, references[2:])
        return torch.cat([logits[..., :PITCH], logits[..., PITCH:] + pitches], dim=-1)

    def _compiles(self, tokens: Tensor) -> bool:
        """Whether `generator.network.kernels` is for these tokens (B, 1)."""
        plain = not (torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"))
        weight = self.embedding.weight
        return plain and weight.device.type == "cpu" and weight.dtype == torch.float32 and len(tokens) <= ROWS

    def _compiled(self, table: Tensor) -> Compiled:
        """Return the weights for `generator.network.kernels`; `table` (V, D) is the embedding."""
        kinds = [[cast(Any, block).get_submodule(name).weight for block in self.stack.blocks] for name in WEIGHTS]
        kinds[-1] = [weight.t() for weight in kinds[-1]]  # `kernels._times_few` reads it so
        stack = tuple(_array(torch.stack(kind)) for kind in [*kinds, [self.stack.norm.weight]])
        layers = (self.said, self.line, self.gap, self.step, self.distance, self.degree)
        ends = tuple(_array(weight) for weight in (table, *(layer.weight for layer in layers)))
        numbers = tuple(cast(Tensor, each).numpy() for each in (self.says, self.parts, self.slots, self.roots))
        return Compiled(stack, ends, numbers, (PLACE, IN_PART, LAST_PITCH, IN_KEY, ON_CHORD))

    def _step(self, compiled: Compiled, tokens: Tensor, latents: Tensor | None, cache: Cache) -> Tensor:
        """Return the logits (B, 1, V) of what follows one token of each line (B, 1); the cache is extended by it.

        `latents` (B, 1, Z) are those of `Style`.
        """
        rows = len(tokens)
        hidden = np.empty((rows, self.config.width), np.float32)  # (B, D)
        references, places = np.empty((4, rows), np.int64), np.empty((2, rows), np.int64)
        given = tokens[:, 0].numpy(), cache.held.numpy(), cache.lines.numpy()
        read_token(*given, compiled.ends, compiled.numbers, compiled.holds, hidden, references, places)
        added = np.zeros_like(hidden)
        if latents is not None:
            slots, parts = torch.from_numpy(places)[..., None]
            added = self.style.added(latents, slots, parts)[:, 0].numpy()
        turns = cast(Tensor, self.stack.turns)[:, cache.length].numpy()  # (2, K)
        run_stack(hidden, added, compiled.stack, cache.memory.numpy(), turns, cache.pad.numpy(), cache.length)
        cache.length += 1
        logits = np.empty((rows, self.config.vocabulary), np.float32)
        score(hidden, compiled.ends, compiled.numbers[-1], references, logits)
        return torch.from_numpy(logits)[:, None]

    def encode_style(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents of the bars of `tokens` (B, T <= context), (B, N, Z) each.

        Bar n of a row is its n-th ``Bar`` token and what follows it; a row with fewer bars than another has
        values without meaning at its end.
        """
        table = self._table()  # (V, D)
        turns = cast(Tensor, self.stack.turns)[:, : tokens.shape[1]]  # (2, T, K)
        x, _, places = self._read(tokens, table, None)  # (B, T, D)
        return cast(tuple[Tensor, Tensor], self.style(x, bars_of(tokens), turns, places))

    def _table(self, cache: Cache | None = None) -> Tensor:
        """Return the embedding of every token (V, D), which is the output matrix too."""
        if cache is not None and cache.table is not None:
            return cache.table
        table = self.embedding.weight + self.pitch_class(self.classes)  # (V, D)
        if cache is not None:
            cache.table = table
        return cast(Tensor, table)

    def _read(self, tokens: Tensor, table: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the inputs (B, T, D), each token with those that hold, what pitches are measured from, and the places.

        Pitches are measured from tokens (4, B, T): the last pitch of the part and of all, the key and the chord;
        ``PAD`` for none. Places (2, B, T) are the slot of the bar and the part.
        """
        held = self._held(tokens, cache)  # (holds, B, T)
        part = cast(Tensor, self.parts)[held[IN_PART]]  # (B, T)
        places = torch.stack([cast(Tensor, self.slots)[held[PLACE]], part])
        line = self._line(tokens, part, cache)  # (B, T)
        references = torch.stack([line, held[LAST_PITCH], held[IN_KEY], held[ON_CHORD]])
        there = (line > 0) & (references[1:] > 0)  # (3, B, T)
        gap = torch.where(there[0], line - references[1] + DISTANCES // 2, DISTANCES)  # (B, T)
        classes = torch.where(
            there[1:], (line - PITCH - cast(Tensor, self.roots)[references[2:]]) % 12, 12
        )  # (2, B, T)
        classes[1] += 13
        lines = torch.where(line > 0, line - PITCH, 128)  # (B, T)
        tables = [table, *(said.weight for said in (self.said, self.line, self.gap, self.step))]
        x = _look_up(tables, [tokens[None], held, lines[None], gap[None], classes])  # (B, T, D)
        return drop_out(x, self.config.dropout if self.training else 0.0), references, places

    def _distances(self, x: Tensor, references: Tensor) -> Tensor:
        """Score the pitches (B, T, 128) by how far they are from the last of their part and from the last of all.

        What holds in one key then holds in all, so a small corpus teaches more. `references` (2, B, T) are ``Pitch``
        tokens, ``PAD`` where there is none, which scores nothing.
        """
        scores = self.distance(x).unflatten(-1, (2, DISTANCES)).movedim(-2, 0)  # (2, B, T, distances)
        pitches = torch.arange(128, device=x.device)  # (128,)
        there = references > 0
        where = pitches - torch.where(there, references - PITCH, 0)[..., None] + 127  # (2, B, T, 128)
        return cast(Tensor, (scores.gather(-1, where) * there[..., None]).sum(dim=0))

    def _degrees(self, x: Tensor, references: Tensor) -> Tensor:
        """Score the pitches (B, T, 128) by their class above the tonic of the key and above the root of the chord.

        `references` (2, B, T) are ``Key`` and ``Chord`` tokens; where there is none, nothing is scored.
        """
        scores = self.degree(x).unflatten(-1, (2, 12)).movedim(-2, 0)  # (2, B, T, 12)
        roots = cast(Tensor, self.roots)[references][..., None]  # (2, B, T, 1)
        where = (torch.arange(12, device=x.device) - roots) % 12  # (2, B, T, 12)
        classes = (scores.gather(-1, where) * (roots >= 0)).sum(dim=0)  # (B, T, 12)
        return cast(Tensor, classes.repeat(1, 1, 11)[..., :128])

    def _line(self, tokens: Tensor, part: Tensor, cache: Cache | None) -> Tensor:
        """Return at each place the last pitch of the part (B, T) that is being written, ``PAD`` before there is one."""
        if cache is not None and tokens.shape[1] == 1:
            pitch = torch.where(tokens >= PITCH, tokens, cache.lines.gather(-1, part))  # (B, 1)
            cache.lines.scatter_(-1, part, pitch)
            return pitch
        numbers = torch.arange(MAX_PARTS, device=tokens.device)[:, None, None]  # (P, 1, 1)
        times = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
        last = torch.where((part == numbers) & (tokens >= PITCH), times, -1).cummax(dim=-1).values  # (P, B, T)
        before = torch.zeros_like(part) if cache is None else cache.lines.gather(-1, part)  # (B, T)
        place = last.gather(0, part[None])[0]  # (B, T)
        if cache is not None:
            last_pitches = tokens.gather(-1, last[..., -1].T.clamp(min=0))  # (B, P)
            cache.lines = torch.where(last[..., -1].T >= 0, last_pitches, cache.lines)
        return torch.where(place >= 0, tokens.gather(-1, place.clamp(min=0)), before)

    def _held(self, tokens: Tensor, cache: Cache | None) -> Tensor:
        """Return the token of each hold that holds at each place, ``PAD`` before there is one."""
        says = cast(Tensor, self.says)[:, tokens]  # (holds, B, T)
        if cache is not None and tokens.shape[1] == 1:
            cache.held = torch.where(says, tokens, cache.held)  # (holds, B, 1)
            return cache.held
        places = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
        last = torch.where(says, places, -1).cummax(dim=-1).values  # (holds, B, T)
        found = tokens.expand(len(HOLDS), -1, -1).gather(-1, last.clamp(min=0))  # (holds, B, T)
        held = torch.where(last >= 0, found, PAD if cache is None else cache.held)  # (holds, B, T)
        if cache is not None:
            cache.held = held[..., -1:]
        return held

"""A decoder-only Transformer over music tokens, whole in one file.

Pre-norm blocks with RMSNorm (Zhang and Sennrich 2019), rotary positions (Su et al. 2021, pairs split in
halves), multi-head attention through PyTorch's fused kernel, a squared-ReLU feed-forward (So et al. 2021),
one matrix for the embedding and the output, in which the pitches of one class share a part (chorales:
validation perplexity 4.9 after 450 steps with it, 5.0 after 515 without). Dropout falls on the embedding, the
residual branches and the feed-forward, never inside the attention: there it makes the fused CPU kernel fall back to a
path about three times slower.

Shapes in comments: B sequences, T tokens, S keys, D width, H heads, K = D / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.data.tokens import (
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
from generator.network.kernels import ROWS, Compiled, step

MOST = {"width": 8192, "layers": 128, "heads": 128, "context": 8192, "vocabulary": 65_536, "latent": 4096}
"""Upper limits of sizes."""
MAX_HELD = 2**24
"""Most numbers that a sequence may keep in each half of the `Cache`; twice those of the size "large"."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of a `Transformer`.

    Attributes
    ----------
    width : int
        Of the embedding, at least 128 and a multiple of 2 * `heads`.
    layers, heads : int
    context : int
        Longest sequence in tokens.
    dropout : float
        On embedding, residual branches and feed-forward, in [0, 1).
    vocabulary : int
    latent : int
        Numbers that describe the style of a bar, see `Style`; 0: the model has no style encoder.

    Raises
    ------
    GeneratorError
        When a size is out of range, or over the limits of `MOST` and `MAX_HELD`.
    """

    width: int
    layers: int
    heads: int
    context: int = 512
    dropout: float = 0.2
    vocabulary: int = len(VOCABULARY)
    latent: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.width < 128 or self.heads < 1 or self.width % (2 * self.heads):
            raise GeneratorError(f"width {self.width} must be >= 128 and a multiple of 2 * heads = {2 * self.heads}")
        if min(self.layers, self.context, self.vocabulary) < 1 or not 0 <= self.dropout < 1 or self.latent < 0:
            raise GeneratorError(f"{self}: layers, context and vocabulary are >= 1, latent >= 0; dropout is in [0, 1)")
        for name, most in MOST.items():  # of the memory that reading would set aside, only the weights' is in the file
            if getattr(self, name) > most:
                raise GeneratorError(f"{name} {getattr(self, name)}; the limit is {most}")
        if (held := self.layers * self.width * self.context) > MAX_HELD:
            raise GeneratorError(f"layers * width * context = {held}; the limit is {MAX_HELD}")


SIZES = {
    "tiny": ModelConfig(width=256, layers=4, heads=8),
    "base": ModelConfig(width=512, layers=9, heads=8),
    "large": ModelConfig(width=1024, layers=16, heads=16),
}
"""Named sizes: "tiny" (4 M parameters) learns chorales on two cores, "base" (29 M) and "large" (203 M) want a GPU."""


HOLDS = (
    ("Bar",), ("Bar", "Position"), ("Bar", "Position", "Part"), ("Bar", "Duration"),
    ("Pitch",), ("Artist",), ("Key",), ("Density", "BarDensity"), ("Polyphony", "BarPolyphony"), ("Chord",),
)  # fmt: skip
"""Kinds of which the last token still holds: the meter, the place in the bar, the part, the duration; the last pitch;
and the controls and plans. Each token is read with these added to it; after 450 steps on the chorales validation
perplexity was 4.1 with the first four and 4.5 without."""


PLACE, IN_PART, LAST_PITCH, IN_KEY, ON_CHORD = (
    HOLDS.index(kinds) for kinds in (("Bar", "Position"), ("Bar", "Position", "Part"), ("Pitch",), ("Key",), ("Chord",))
)

DISTANCES = 255
"""From 127 semitones below to 127 above."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Keep PyTorch to `count` threads in this Python thread for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Cache:
    """Keys and values of the tokens already read, in memory set aside once.

    `pad` (B,) counts the leading columns of each row that hold no token, so that prompts of different lengths
    end in the same column.
    """

    def __init__(self, config: ModelConfig, rows: int, device: torch.device) -> None:
        """Set aside room for `rows` sequences of the model's context."""
        shape = (config.layers, 2, rows, config.heads, config.context, config.width // config.heads)
        self.memory = torch.zeros(shape, device=device)  # (layers, key and value, B, H, context, K)
        self.pad = torch.zeros(rows, dtype=torch.long, device=device)  # (B,)
        self.held = torch.zeros((len(HOLDS), rows, 1), dtype=torch.long, device=device)  # (holds, B, 1)
        self.lines = torch.zeros((rows, MAX_PARTS), dtype=torch.long, device=device)  # (B, P), last pitch of each part
        self.table: Tensor | None = None  # (V, D), the model's embedding matrix, worked out once
        self.compiled: Compiled | None = None  # the weights once more, for `generator.network.kernels`
        self.length = 0

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from what was row `rows[i]`; there may be fewer or more rows than before."""
        self.memory = self.memory[:, :, rows].contiguous()  # (layers, key and value, B, H, context, K)
        self.pad, self.held, self.lines = self.pad[rows], self.held[:, rows], self.lines[rows]


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (x[i], x[i + K/2]) of (..., T, K) by angles whose cosine and sine are `turns` (2, T, K).

    The sine is negative in the first half.
    """
    a, b = x.chunk(2, dim=-1)  # (..., T, K/2) each
    return torch.addcmul(x * turns[0], torch.cat([b, a], dim=-1), turns[1])  # (..., T, K)


def _dropped(x: Tensor, dropout: float) -> Tensor:
    """Return `x` with dropout."""
    if not dropout:
        return x
    if x.device.type == "cpu":
        return cast(Tensor, _Dropout.apply(x, dropout))  # type: ignore[no-untyped-call]
    return functional.dropout(x, dropout)


def _squared_relu(x: Tensor, dropout: float) -> Tensor:
    """Return the squared ReLU of `x` with dropout."""
    if x.device.type == "cpu":
        return cast(Tensor, _SquaredReLU.apply(x, dropout))  # type: ignore[no-untyped-call]
    return functional.dropout(functional.relu(x).square(), dropout)  # which a compiler makes one kernel of


def _kept(x: Tensor, dropout: float) -> tuple[Tensor, float]:
    """Draw which numbers of `x` are kept, 1 or 0, and say what they are multiplied by.

    A random byte a number is enough, and on a CPU much quicker than PyTorch's own dropout, which draws a float.
    """
    dropped = min(round(256 * dropout), 255)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    return (words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped).to(x.dtype), 256 / (256 - dropped)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:
        kept, scale = _kept(x, dropout)
        ctx.save_for_backward(kept.mul_(scale))
        return x * kept

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return slope * kept, None


class _SquaredReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:
        hidden, ctx.scale = x.clamp(min=0), 1.0
        if dropout:
            kept, ctx.scale = _kept(x, dropout)
            hidden.mul_(kept)
        ctx.save_for_backward(hidden)
        return hidden.square().mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (hidden,) = ctx.saved_tensors
        return (slope * hidden).mul_(2 * ctx.scale), None


class Block(nn.Module):
    """Attention, then feed-forward, each on the normed input and added to it."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the weights."""
        super().__init__()
        self.heads = config.heads
        self.norm_attention = nn.RMSNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.norm_feed = nn.RMSNorm(config.width)
        self.up = nn.Linear(config.width, 4 * config.width, bias=False)
        self.down = nn.Linear(4 * config.width, config.width, bias=False)
        self.dropout = config.dropout

    def forward(self, x: Tensor, turns: Tensor, memory: Tensor | None, mask: Tensor | None, past: int) -> Tensor:
        """Return (B, T, D); with `memory` (2, B, H, context, K) read and extend what came before."""
        rows, length, width = x.shape  # (B, T, D)
        qkv = self.qkv(self.norm_attention(x)).view(rows, length, 3, self.heads, width // self.heads)
        qk, v = qkv.permute(2, 0, 3, 1, 4).split([2, 1])  # (2, B, H, T, K), (1, B, H, T, K)
        q, k = _rotate(qk, turns.to(qk.dtype))  # (B, H, T, K) each
        v = v[0]  # (B, H, T, K)
        if memory is not None:
            memory[0, :, :, past : past + length] = k
            memory[1, :, :, past : past + length] = v
            k, v = memory[:, :, :, : past + length].to(q.dtype)  # (B, H, S, K) each
        causal = mask is None and length > 1
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)  # (B, H, T, K)
        dropout = self.dropout if self.training else 0.0
        x = x + _dropped(self.out(y.transpose(1, 2).reshape(rows, length, width)), dropout)  # (B, T, D)
        hidden = _squared_relu(self.up(self.norm_feed(x)), dropout)  # (B, T, 4 D)
        return x + _dropped(self.down(hidden), dropout)  # (B, T, D)


class Stack(nn.Module):
    """Blocks and a last norm: hidden states in, hidden states out, each seeing itself and what came before."""

    def __init__(self, config: ModelConfig) -> None:
        """Make the weights."""
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        half = config.width // config.heads // 2
        speed = 10_000.0 ** (-torch.arange(half) / half)  # (K/2,)
        angles = torch.outer(torch.arange(config.context), speed)  # (context, K/2)
        cos, sin = angles.cos(), angles.sin()
        turns = torch.stack([torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)])  # (2, context, K)
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, x: Tensor, cache: Cache | None = None, style: Tensor | None = None) -> Tensor:
        """Return the hidden states (B, T, D) of the inputs `x` (B, T, D); with a cache of the last alone, (B, 1, D).

        `style` (B, T, D) is added to what every block reads.

        Raises
        ------
        GeneratorError
            When the sequence is longer than the context.
        """
        past = 0 if cache is None else cache.length
        length = x.shape[1]
        if past + length > self.config.context:
            raise GeneratorError(f"{past + length} tokens; the model's context is {self.config.context}")
        turns = cast(Tensor, self.turns)[:, past : past + length]  # (2, T, K)
        mask = None
        if cache is not None and ((past and length > 1) or bool(cache.pad.any())):
            row = torch.arange(past, past + length, device=x.device)[:, None]  # (T, 1)
            column = torch.arange(past + length, device=x.device)  # (S,)
            mask = (column <= row) & ((column >= cache.pad[:, None, None]) | (column == row))  # (B, T, S)
            mask = mask[:, None]  # (B, 1, T, S); a pad column sees itself, so that no row is empty
        for i, block in enumerate(self.blocks):
            x = x if style is None else x + style
            x = block(x, turns, None if cache is None else cache.memory[i], mask, past)  # (B, T, D)
        if cache is not None:
            cache.length += length
            x = x[:, -1:]  # (B, 1, D)
        return cast(Tensor, self.norm(x))


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
    and attends within each bar only; a linear head foretells what can be counted in the bar (`counted_in_bars`) from
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


def counted_in_bars(tokens: Tensor, bars: Tensor) -> Tensor:
    """Count in bars: ln(1 + notes), ln(1 + positions), mean pitch in octaves from 60; (B, N, 3)."""
    member = members(bars)
    note = tokens >= PITCH
    position = (tokens >= POSITION) & (tokens < VELOCITY)
    height = torch.where(note, tokens - PITCH - 60, 0) / 12
    notes, positions, heights = (torch.einsum("bnt,bt->bn", member, x.float()) for x in (note, position, height))
    return torch.stack([notes.log1p(), positions.log1p(), heights / notes.clamp(min=1)], dim=-1)


def initialise(model: nn.Module, layers: int) -> None:
    """Draw all matrices of `model` small, those that end a residual branch smaller the more layers there are."""
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            scale = 0.02 / (2 * layers) ** 0.5 if name.endswith(("out.weight", "down.weight")) else 0.02
            nn.init.normal_(weight, std=scale)


def _looked_up(tables: Sequence[Tensor], numbers: Sequence[Tensor]) -> Tensor:
    """Add up rows of `tables` (rows, D), those that `numbers` (any, B, T) each say: (B, T, D).

    Never in memory one by one, which on a GPU took about a sixth of a training step.
    """
    firsts = accumulate((len(table) for table in tables), initial=0)
    where = torch.cat([number + first for number, first in zip(numbers, firsts, strict=False)])  # (all, B, T)
    found = functional.embedding_bag(where.flatten(1).T, torch.cat([*tables]), mode="sum")  # (B T, D)
    return found.view(*where.shape[1:], -1)


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
            cache.compiled = cache.compiled or Compiled(self, table, (PLACE, IN_PART, LAST_PITCH, IN_KEY, ON_CHORD))
            return step(self, cache.compiled, tokens, latents, cache)
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
        x = _looked_up(tables, [tokens[None], held, lines[None], gap[None], classes])  # (B, T, D)
        return _dropped(x, self.config.dropout if self.training else 0.0), references, places

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
            found = tokens.gather(-1, last[..., -1].T.clamp(min=0))  # (B, P)
            cache.lines = torch.where(last[..., -1].T >= 0, found, cache.lines)
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

"""The blocks of a Transformer: attention and feed-forward, dropout, and the cache of past tokens.

Shapes in comments: B sequences, T tokens, S keys, D width, H heads, K = D / H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.data.vocabulary import MAX_PARTS, VOCABULARY, GeneratorError
from generator.network.kernels import Compiled

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


HOLDS = (
    ("Bar",), ("Bar", "Position"), ("Bar", "Position", "Part"), ("Bar", "Duration"),
    ("Pitch",), ("Artist",), ("Key",), ("Density", "BarDensity"), ("Polyphony", "BarPolyphony"), ("Chord",),
)  # fmt: skip
"""Kinds of which the last token still holds: the meter, the place in the bar, the part, the duration; the last pitch;
and the controls and plans. Each token is read with these added to it; after 450 steps on the chorales validation
perplexity was 4.1 with the first four and 4.5 without."""


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


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (x[i], x[i + K/2]) of (..., T, K) by angles whose cosine and sine are `turns` (2, T, K).

    The sine is negative in the first half.
    """
    a, b = x.chunk(2, dim=-1)  # (..., T, K/2) each
    return torch.addcmul(x * turns[0], torch.cat([b, a], dim=-1), turns[1])  # (..., T, K)


def drop_out(x: Tensor, dropout: float) -> Tensor:
    """Return `x` with dropout."""
    if not dropout:
        return x
    if x.device.type == "cpu":
        return cast(Tensor, _Dropout.apply(x, dropout))  # type: ignore[no-untyped-call]
    return functional.dropout(x, dropout)


def _square_relu(x: Tensor, dropout: float) -> Tensor:
    """Return the squared ReLU of `x` with dropout."""
    if x.device.type == "cpu":
        return cast(Tensor, _SquaredReLU.apply(x, dropout))  # type: ignore[no-untyped-call]
    return functional.dropout(functional.relu(x).square(), dropout)  # which a compiler makes one kernel of


def _draw_mask(x: Tensor, dropout: float) -> tuple[Tensor, float]:
    """Draw which numbers of `x` are kept, 1 or 0, and say what they are multiplied by.

    A random byte a number is enough, and on a CPU much quicker than PyTorch's own dropout, which draws a float.
    """
    dropped = min(round(256 * dropout), 255)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    return (words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped).to(x.dtype), 256 / (256 - dropped)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:
        kept, scale = _draw_mask(x, dropout)
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
            kept, ctx.scale = _draw_mask(x, dropout)
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
        q, k = rotate(qk, turns.to(qk.dtype))  # (B, H, T, K) each
        v = v[0]  # (B, H, T, K)
        if memory is not None:
            memory[0, :, :, past : past + length] = k
            memory[1, :, :, past : past + length] = v
            k, v = memory[:, :, :, : past + length].to(q.dtype)  # (B, H, S, K) each
        causal = mask is None and length > 1
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)  # (B, H, T, K)
        dropout = self.dropout if self.training else 0.0
        x = x + drop_out(self.out(y.transpose(1, 2).reshape(rows, length, width)), dropout)  # (B, T, D)
        hidden = _square_relu(self.up(self.norm_feed(x)), dropout)  # (B, T, 4 D)
        return x + drop_out(self.down(hidden), dropout)  # (B, T, D)


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


def initialise(model: nn.Module, layers: int) -> None:
    """Draw all matrices of `model` small, those that end a residual branch smaller the more layers there are."""
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            scale = 0.02 / (2 * layers) ** 0.5 if name.endswith(("out.weight", "down.weight")) else 0.02
            nn.init.normal_(weight, std=scale)

"""One new token for each of a few lines through `generator.model.Stack`, compiled for the CPU.

A step through PyTorch's kernels waits on their calls more than on the arithmetic: for one line of size "tiny" 1.29 ms
of processor time, and .50 ms here; for 16 lines both take the same. The sums are taken in another order than
PyTorch's, so results agree to rounding (about 5e-7) and not bit by bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from generator.model import Cache, Stack

__all__ = ["ROWS", "step", "weights_of"]

Floats = NDArray[np.float32]
Weights = tuple[Floats, ...]

ROWS = 8
"""For more lines than this PyTorch's kernels are faster."""
WEIGHTS = ("norm_attention", "qkv", "out", "norm_feed", "up", "down")
EPSILON = np.float32(torch.finfo(torch.float32).eps)  # RMSNorm's


def weights_of(stack: Stack) -> Weights:
    """Return the weights of the blocks, each kind stacked over the layers, and of the last norm."""
    kinds = [[cast(Any, block).get_submodule(name).weight for block in stack.blocks] for name in WEIGHTS]
    kinds[-1] = [weight.t() for weight in kinds[-1]]  # see `_times_few`
    return tuple(torch.stack(kind).detach().float().numpy() for kind in [*kinds, [stack.norm.weight]])


def step(x: Tensor, style: Tensor | None, weights: Weights, turns: Tensor, cache: Cache) -> Tensor:
    """Return what the stack makes of one input of each line (B, 1, D); the cache is extended by it.

    `style` (B, 1, D) is added to what every block reads; `turns` (2, 1, K) are the angles of the place.
    """
    hidden = x[:, 0].numpy().copy()  # (B, D)
    added = np.zeros_like(hidden) if style is None else style[:, 0].numpy().copy()
    angles = turns[:, 0].numpy().copy()  # (2, K)
    _stack(hidden, added, weights, cache.memory.numpy(), angles, cache.pad.numpy(), cache.length)
    cache.length += 1
    return torch.from_numpy(hidden)[:, None]


@njit(cache=True, nogil=True, fastmath=True)
def _times(matrix: Floats, x: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` (B, N) to `x` (B, M) times the transpose of `matrix` (N, M)."""
    for i in range(matrix.shape[0]):
        row = matrix[i]
        for b in range(x.shape[0]):
            total = np.float32(0)
            for j in range(matrix.shape[1]):
                total += row[j] * x[b, j]
            out[b, i] = total


@njit(cache=True, nogil=True, fastmath=True)
def _times_few(matrix: Floats, x: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` (B, N) to `x` (B, M), of which many are 0, times `matrix` (M, N), reading no more of it than counts."""
    out[:] = 0
    for j in range(matrix.shape[0]):
        row = matrix[j]
        for b in range(x.shape[0]):
            if x[b, j]:
                for i in range(matrix.shape[1]):
                    out[b, i] += x[b, j] * row[i]


@njit(cache=True, nogil=True, fastmath=True)
def _normed(x: Floats, weight: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` to the RMSNorm of `x`, (B, D) each."""
    for b in range(x.shape[0]):
        total = np.float32(0)
        for j in range(x.shape[1]):
            total += x[b, j] * x[b, j]
        scale = np.float32(1) / np.sqrt(total / np.float32(x.shape[1]) + EPSILON)
        for j in range(x.shape[1]):
            out[b, j] = x[b, j] * scale * weight[j]


@njit(cache=True, nogil=True, fastmath=True)
def _turned(pairs: Floats, turns: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` (K,) to `pairs` (K,) turned by the angles of its place, as `model._rotate` does."""
    half = len(pairs) // 2
    for j in range(half):
        a, b = pairs[j], pairs[j + half]
        out[j] = a * turns[0, j] + b * turns[1, j]
        out[j + half] = b * turns[0, j + half] + a * turns[1, j + half]


@njit(cache=True, nogil=True, fastmath=True)
def _attended(q: Floats, keys: Floats, values: Floats, scores: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` (K,) to the mean of `values` (S, K) by the softmax of how `q` (K,) goes with `keys` (S, K)."""
    scale, top = np.float32(1) / np.sqrt(np.float32(len(q))), np.float32(-np.inf)
    for s in range(len(keys)):
        score = np.float32(0)
        for j in range(len(q)):
            score += q[j] * keys[s, j]
        scores[s] = score * scale
        top = max(top, scores[s])
    total = np.float32(0)
    for s in range(len(keys)):
        scores[s] = np.exp(scores[s] - top)
        total += scores[s]
    out[:] = 0
    for s in range(len(keys)):
        share = scores[s] / total
        for j in range(len(q)):
            out[j] += share * values[s, j]


@njit(cache=True, nogil=True, fastmath=True)
def _stack(
    x: Floats,
    style: Floats,
    weights: Weights,
    memory: Floats,
    turns: Floats,
    pad: NDArray[np.int64],
    past: int,
) -> None:  # pragma: no cover
    """Set `x` (B, D) to what the stack makes of it; shapes as in `generator.model`."""
    norm_attention, qkv, out, norm_feed, up, down, norm = weights
    rows, width = x.shape
    heads, size = memory.shape[3], memory.shape[5]
    normed, read, added = np.empty_like(x), np.empty((rows, 3 * width), np.float32), np.empty_like(x)
    hidden, scores = np.empty((rows, up.shape[1]), np.float32), np.empty(past + 1, np.float32)
    q = np.empty_like(turns[0])
    for layer in range(len(qkv)):
        x += style
        _normed(x, norm_attention[layer], normed)
        _times(qkv[layer], normed, read)
        for b in range(rows):
            for head in range(heads):
                keys, values = memory[layer, 0, b, head], memory[layer, 1, b, head]
                first, last = head * size, (head + 1) * size
                _turned(read[b, first:last], turns, q)
                _turned(read[b, width + first : width + last], turns, keys[past])
                values[past] = read[b, 2 * width + first : 2 * width + last]
                seen = slice(pad[b], past + 1)
                _attended(q, keys[seen], values[seen], scores, normed[b, first:last])
        _times(out[layer], normed, added)
        x += added
        _normed(x, norm_feed[layer], normed)
        _times(up[layer], normed, hidden)
        for b in range(rows):
            for j in range(hidden.shape[1]):
                hidden[b, j] = max(hidden[b, j], np.float32(0)) ** 2
        _times_few(down[layer], hidden, added)
        x += added
    _normed(x, norm[0], x)

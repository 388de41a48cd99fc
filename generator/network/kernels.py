"""One new token for each of a few lines through `generator.network.model.Transformer`, compiled for the CPU.

A step through PyTorch's kernels waits on their calls more than on the arithmetic: for one line of size "tiny" a step
of the stack takes 1.29 ms of processor time, and .50 ms here; for 16 lines both take the same. The sums are taken in
another order than PyTorch's, so results agree to rounding (about 5e-7) and not bit by bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from generator.data.vocabulary import PITCH

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Weights = tuple[Floats, ...]

ROWS = 8
"""For more lines than this PyTorch's kernels are faster."""
WEIGHTS = ("norm_attention", "qkv", "out", "norm_feed", "up", "down")
EPSILON = np.float32(torch.finfo(torch.float32).eps)  # RMSNorm's


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a step needs of a model, as arrays.

    Attributes
    ----------
    stack : tuple of float32 arrays
        Weights of the blocks, each kind of `WEIGHTS` stacked over the layers, and of the last norm.
    ends : tuple of float32 arrays
        Weights before and behind the stack: those of `read_token` and `score`.
    numbers : tuple of int64 arrays
        Tables of the tokens: what they set, their parts, slots and roots.
    holds : tuple of int
        Places in `generator.network.stack.HOLDS` that `read_token` uses.
    """

    stack: Weights
    ends: Weights
    numbers: tuple[Integers, ...]
    holds: tuple[int, ...]


@njit(cache=True, nogil=True, fastmath=True)
def read_token(
    tokens: Integers,
    held: Integers,
    lines: Integers,
    ends: Weights,
    numbers: tuple[Integers, ...],
    holds: tuple[int, ...],
    x: Floats,
    references: Integers,
    places: Integers,
) -> None:  # pragma: no cover
    """Do what `Transformer._read` does, for one token of each line; `held` and `lines` are brought up to date."""
    table, held_weights, line, gap, degree, _, _ = ends
    says, parts, slots, roots = numbers
    for b in range(len(tokens)):
        token = tokens[b]
        for hold in range(len(held)):
            if says[hold, token]:
                held[hold, b, 0] = token
        part = parts[held[holds[1], b, 0]]
        if token >= PITCH:
            lines[b, part] = token
        last = lines[b, part]
        places[0, b], places[1, b] = slots[held[holds[0], b, 0]], part
        references[0, b] = last
        for k in range(1, 4):
            references[k, b] = held[holds[1 + k], b, 0]
        x[b] = table[token]
        for hold in range(len(held)):
            x[b] += held_weights[held[hold, b, 0]]
        x[b] += line[last - PITCH if last > 0 else len(line) - 1]
        far = last - references[1, b] + (len(gap) - 1) // 2
        x[b] += gap[far if last > 0 and references[1, b] > 0 else len(gap) - 1]
        for k in range(2):
            reference = references[2 + k, b]
            x[b] += degree[13 * k + ((last - PITCH - roots[reference]) % 12 if last > 0 and reference > 0 else 12)]


@njit(cache=True, nogil=True, fastmath=True)
def score(x: Floats, ends: Weights, roots: Integers, references: Integers, logits: Floats) -> None:  # pragma: no cover
    """Set `logits` (B, V) to what `Transformer.forward` makes of the hidden states `x` (B, D)."""
    table, _, _, _, _, distance, degree = ends
    _times(table, x, logits)
    far = len(distance) // 2
    degrees, scores = np.empty((1, 12), np.float32), np.empty((1, 128), np.float32)
    for b in range(len(x)):
        for k in range(2):
            if references[k, b] > 0:
                first = k * far + far // 2 - (references[k, b] - PITCH)
                _times(distance[first : first + 128], x[b : b + 1], scores)
                logits[b, PITCH:] += scores[0]
        for k in range(2):
            root = roots[references[2 + k, b]]
            if root >= 0:
                _times(degree[12 * k : 12 * (k + 1)], x[b : b + 1], degrees)
                for pitch in range(128):
                    logits[b, PITCH + pitch] += degrees[0, (pitch - root) % 12]


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
def _normalise(x: Floats, weight: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` to the RMSNorm of `x`, (B, D) each."""
    for b in range(x.shape[0]):
        total = np.float32(0)
        for j in range(x.shape[1]):
            total += x[b, j] * x[b, j]
        scale = np.float32(1) / np.sqrt(total / np.float32(x.shape[1]) + EPSILON)
        for j in range(x.shape[1]):
            out[b, j] = x[b, j] * scale * weight[j]


@njit(cache=True, nogil=True, fastmath=True)
def _rotate(pairs: Floats, turns: Floats, out: Floats) -> None:  # pragma: no cover
    """Set `out` (K,) to `pairs` (K,) turned by the angles of its place, as `model._rotate` does."""
    half = len(pairs) // 2
    for j in range(half):
        a, b = pairs[j], pairs[j + half]
        out[j] = a * turns[0, j] + b * turns[1, j]
        out[j + half] = b * turns[0, j + half] + a * turns[1, j + half]


@njit(cache=True, nogil=True, fastmath=True)
def _attend(q: Floats, keys: Floats, values: Floats, scores: Floats, out: Floats) -> None:  # pragma: no cover
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
def run_stack(
    x: Floats, style: Floats, weights: Weights, memory: Floats, turns: Floats, pad: NDArray[np.int64], past: int
) -> None:  # pragma: no cover
    """Set `x` (B, D) to what the stack makes of it; shapes as in `generator.network.model`."""
    norm_attention, qkv, out, norm_feed, up, down, norm = weights
    rows, width = x.shape
    heads, size = memory.shape[3], memory.shape[5]
    normed, read, added = np.empty_like(x), np.empty((rows, 3 * width), np.float32), np.empty_like(x)
    hidden, scores = np.empty((rows, up.shape[1]), np.float32), np.empty(past + 1, np.float32)
    q = np.empty_like(turns[0])
    for layer in range(len(qkv)):
        x += style
        _normalise(x, norm_attention[layer], normed)
        _times(qkv[layer], normed, read)
        for b in range(rows):
            for head in range(heads):
                keys, values = memory[layer, 0, b, head], memory[layer, 1, b, head]
                first, last = head * size, (head + 1) * size
                _rotate(read[b, first:last], turns, q)
                _rotate(read[b, width + first : width + last], turns, keys[past])
                values[past] = read[b, 2 * width + first : 2 * width + last]
                seen = slice(pad[b], past + 1)
                _attend(q, keys[seen], values[seen], scores, normed[b, first:last])
        _times(out[layer], normed, added)
        x += added
        _normalise(x, norm_feed[layer], normed)
        _times(up[layer], normed, hidden)
        for b in range(rows):
            for j in range(hidden.shape[1]):
                hidden[b, j] = max(hidden[b, j], np.float32(0)) ** 2
        _times_few(down[layer], hidden, added)
        x += added
    _normalise(x, norm[0], x)

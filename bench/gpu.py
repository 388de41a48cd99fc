"""Training and sampling on one GPU, beside what the card itself can do in the same run.

    PYTHONPATH=. python bench/gpu.py STORE [--sizes base large] [--batches 32 128] [--rows 1 64 256] [--seconds 8]

First the card's limits: the rate of one bfloat16 product of two 8,192 x 8,192 matrices, and the bandwidth of a copy of
2 GiB, read and written; medians of ten, random numbers. Then for each size random weights learn from windows of the
store's training split (512 tokens, bfloat16, dropout, clipping, AdamW): tokens a second without padding, the share of
the matrix rate that this is (6 operations a weight and token, and the attention's; embeddings that are looked up don't
count), and the share of the time in which windows were drawn. Last, sampling with that size: so many lines grow side by
side to 256 tokens, with their grammar and nucleus; beside it the steps a second that the bandwidth would allow if a
step read all weights and the whole cache once, and nothing else took time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from bench.sampling import grow
from corpus.store import Store
from generator.data.windows import Windows, read_split
from generator.network.model import SIZES, Transformer
from generator.training.objective import Team
from generator.training.train import CLIP

TOKENS = 256


def timed(work: Callable[[], object], repeats: int = 10) -> float:
    """Return the median seconds of `work` on the device."""
    times = []
    for _ in range(repeats + 3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return median(times[3:])


def limits() -> tuple[float, float]:
    """Return operations and bytes a second."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    matrix = 2 * 8192**3 / timed(lambda: a @ b)
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / timed(lambda: target.copy_(source))
    return matrix, copied


def weights_used(model: Transformer) -> int:
    """Count the weights that every token is multiplied by."""
    looked_up = sum(table.weight.numel() for table in (model.said, model.line, model.gap, model.step))
    return sum(weight.numel() for weight in model.parameters()) - looked_up


def training(model: Transformer, windows: Windows, batch: int, seconds: float) -> tuple[float, float]:
    """Return tokens a second, and the share of the time that went into drawing windows."""
    team = Team(model, 1, "bfloat16")
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens, drawing, step, start = 0, 0.0, 0, time.perf_counter()
    while True:
        if step == 5:
            torch.cuda.synchronize()
            tokens, drawing, start = 0, 0.0, time.perf_counter()
        begun = time.perf_counter()
        rows = torch.from_numpy(windows.rows(batch, [1, step]))
        drawing += time.perf_counter() - begun
        tokens += team.gradients(rows).tokens
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        step += 1
        if step > 5 and time.perf_counter() - start > seconds:
            torch.cuda.synchronize()
            spent = time.perf_counter() - start
            team.pool.shutdown()
            return tokens / spent, drawing / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--sizes", choices=sorted(SIZES), nargs="+", default=["base", "large"])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    torch.manual_seed(0)
    matrix, copied = limits()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"matrix rate {matrix / 1e12:.0f} TFLOP/s, copy {copied / 1e12:.2f} TB/s", flush=True)
    pieces, _ = read_split(Store.open(given.store), "train")
    for size in given.sizes:
        model = Transformer(SIZES[size]).cuda()
        config = model.config
        windows = Windows(pieces, config.context, 5)
        # 6 for each weight; the attention multiplies with keys and values, of which the causal mask leaves half
        operations = 6 * weights_used(model) + 6 * config.layers * config.width * config.context
        for batch in given.batches:
            rate, drawing = training(model, windows, batch, given.seconds)
            share = rate * operations / matrix
            print(
                f"{size:6} trains, batch {batch:4}  {rate:12,.0f} tokens/s  {share:5.1%} of the matrix rate"
                f"  {drawing:4.0%} drawing windows  {torch.cuda.max_memory_allocated() / 2**30:5.1f} GiB",
                flush=True,
            )
        with torch.inference_mode():
            model = Transformer(config).cuda().eval()  # whose blocks are not compiled, as those of a model from a file
            grow(model, 1, 16, 0)
            for rows in given.rows:
                start = time.perf_counter()
                tokens = grow(model, rows, TOKENS, 0)
                spent = time.perf_counter() - start
                cache = rows * config.layers * 2 * config.width * TOKENS / 2 * 4
                allowed = copied / (4 * weights_used(model) + cache)
                print(
                    f"{size:6} samples, {rows:4} lines {tokens / spent:10,.0f} tokens/s  {TOKENS / spent:6.0f} steps/s"
                    f"  (bandwidth alone: {allowed:,.0f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""Time sampling: tokens a second of processor time, one thread, with the shipped model.

    PYTHONPATH=. python bench/sampling.py [--model MODEL] [--size SIZE] [--tokens 256] [--repeats 5] [--rows 1 4]

With `--size`, random weights of that size sample; they are slower, as fewer of their hidden units are 0.

Each row of the table is a batch of lines that grow side by side to about `--tokens` tokens each, behind nothing; the
best of `--repeats` counts, since a busy machine only ever takes longer. Last comes what the machine does with one
matrix of 256 x 1024 and one vector, the product that sampling mostly waits for.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from generator.data.vocabulary import BOS
from generator.network.checkpoint import load_model
from generator.network.model import SIZES, Transformer
from generator.network.stack import threads
from generator.shipped import SHIPPED
from generator.writing.decoding import Line, SamplingSettings, sample_lines


def grow(model: Transformer, rows: int, tokens: int, seed: int) -> int:
    settings = SamplingSettings(seed, 1.0, 0.97, None, 1024)
    lines = [Line([BOS], settings.bars) for _ in range(rows)]
    randoms = [np.random.default_rng([seed, i]) for i in range(rows)]
    sample_lines(model, lines, randoms, settings, until=lambda line: len(line.tokens) >= tokens)
    return sum(len(line.tokens) for line in lines)


def quickest(work: Callable[[], int], repeats: int) -> float:
    """Return what `work` counts a second of processor time, at best."""
    rates = []
    for _ in range(repeats):
        start = time.process_time()
        count = work()
        rates.append(count / (time.process_time() - start))
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--size", choices=sorted(SIZES))
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    torch.manual_seed(0)
    model = Transformer(SIZES[options.size]).eval() if options.size else load_model(options.model, "cpu")
    with torch.inference_mode(), threads(1):
        grow(model, 1, 16, 0)
        for rows in options.rows:
            speed = quickest(partial(grow, model, rows, options.tokens, 0), options.repeats)
            print(f"{rows} line(s)  {speed:8.0f} tokens/cpu-s")
        matrix, vector = torch.randn(1024, 256), torch.randn(1, 256)

        def products() -> int:
            for _ in range(1000):
                torch.nn.functional.linear(vector, matrix)
            return 1000

        print(f"matrix     {quickest(products, options.repeats):8.0f} products/cpu-s")


if __name__ == "__main__":
    main()

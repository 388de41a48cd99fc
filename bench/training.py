"""Train on a store for some minutes and print what was learned and how each way of decoding fares.

    PYTHONPATH=. python bench/training.py STORE [--minutes 2] [--size tiny] [--seed 1] [-n 4]

Prints tokens a second, perplexity and bits per note on the "valid" split beside the count model, and a table
of `generator.writing.sample.statistics`: human pieces (64 quarters of the valid split) first, then each decoding.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from corpus.store import Store
from generator.data.tokens import quantise
from generator.network.model import SIZES
from generator.training.settings import Settings
from generator.training.train import train
from generator.writing.sample import generate, statistics

DECODINGS: dict[str, dict[str, Any]] = {
    "nucleus p=.97": {},
    "nucleus p=.95": {"top_p": 0.95},
    "nucleus p=.9 T=.9": {"top_p": 0.9, "temperature": 0.9},
    "greedy": {"top_p": 1e-9},
    "beam 5": {"beam": 5},
}
COLUMNS = (
    "perplexity",
    "notes",
    "bars",
    "empty_bars",
    "full_bars",
    "distinct_pitches",
    "distinct_chords",
    "longest_hold",
    "repeated_windows",
    "in_key",
)


def row(name: str, tracks: list[dict[str, Any]], speed: float) -> str:
    means = (np.mean([track.get(column) or 0.0 for track in tracks]) for column in COLUMNS)
    return f"{name:20}" + "".join(f"{mean:>17.2f}" for mean in means) + f"{speed:>9.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-n", type=int, default=4)
    options = parser.parse_args()
    store = Store.open(options.store)
    with tempfile.TemporaryDirectory() as folder:
        report = train(store, folder, Settings(minutes=options.minutes, size=options.size, seed=options.seed))
        print(f"{report.steps} steps, {report.tokens_per_s:,.0f} tok/s, {report.settings}")
        print(f"network    {report.validation}\ncount model {report.baseline}\n")
        human = [store.notes(i) for i, piece in enumerate(store.pieces) if piece.split == "valid"]
        opened = [quantise(piece.select(piece.onset_beat < 64)) for piece in human]
        print(" " * 20 + "".join(f"{column:>17}" for column in COLUMNS) + f"{'tok/s':>9}")
        print(row("human", [statistics(piece) for piece in opened if piece.end_beat > 56], 0))
        for name, decoding in DECODINGS.items():
            start = time.perf_counter()
            tracks = generate(folder, options.n, seed=options.seed, **decoding)
            speed = sum(len(track.tokens) for track in tracks) / (time.perf_counter() - start)
            print(row(name, [track.statistics for track in tracks], speed), flush=True)


if __name__ == "__main__":
    main()

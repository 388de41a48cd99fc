"""Ask a model for tracks of many keys, meters, densities and instruments, and count how many are what was asked for.

    PYTHONPATH=. python bench/control.py MODEL [-n 10] [--each 4] [--bars 16] [--tries 8] [--seed 1]

Protocol
--------
Request i, for `--each` tracks, asks for one value of each line of `ASKED`, drawn with (seed, i), all
at once. What a track is gets worked out from its notes alone (`generator.data.attributes`): the key by correlation
with key profiles, the class of density from notes and quarters, the programs of the parts that have notes; the meter
is what its MIDI file says. A track that misses something is drawn again, up to `--tries` times in all, and the one
that misses least counts; the first row is what the first draw alone reaches. "all four" are key, meter, density and
instruments together.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.writing.condition_words import parse_conditions
from generator.writing.sample import Generated, generate

ASKED: dict[str, Sequence[Any]] = {
    "key": ["C major", "G major", "D major", "F major", "Bb major", "A minor", "E minor", "D minor", "G minor"],
    "meter": ["4/4", "3/4", "2/4", "6/8"],
    "tempo": ["slow", "medium", "fast"],
    "density": ["sparse", "medium", "dense"],
    "instruments": ["piano", "piano,piano", "guitar,bass", "piano,piano,piano,piano", "flute,piano"],
}
FOUR = ("key", "meter", "density", "instruments")


def report(name: str, tracks: list[Generated], asked: Sequence[str]) -> None:
    missed = [set(track.drawn.missed or ()) for track in tracks]
    hits = {what: sum(what not in m for m in missed) for what in asked}
    hits["all four"] = sum(not m & set(FOUR) for m in missed)
    tries = np.mean([track.drawn.tries or 0 for track in tracks])
    print(f"{name:14}" + "".join(f"{hit / len(tracks):>13.0%}" for hit in hits.values()) + f"{tries:>8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-n", type=int, default=10)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--tries", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    first, best = [], []
    for i in range(options.n):
        random = np.random.default_rng([options.seed, i])
        wishes: dict[str, Any] = {name: str(random.choice(values)) for name, values in ASKED.items()}
        asked = parse_conditions(**wishes)
        how: dict[str, Any] = {"seed": options.seed * 10_000 + i, "bars": options.bars, "conditions": asked}
        drawn = generate(options.model, options.each, tries=1, **how)
        redraw = options.tries > 1 and any(track.drawn.missed for track in drawn)
        first += drawn
        best += generate(options.model, options.each, tries=options.tries, **how) if redraw else drawn
        print(asked.as_settings(), [track.drawn.missed for track in best[-options.each :]], file=sys.stderr)
    print(f"{len(first)} tracks of {options.bars} bars, {time.perf_counter() - start:.0f} s")
    print(" " * 14 + "".join(f"{name:>13}" for name in (*ASKED, "all four")) + f"{'draws':>8}")
    report("first draw", first, tuple(ASKED))
    report(f"best of {options.tries}", best, tuple(ASKED))


if __name__ == "__main__":
    main()

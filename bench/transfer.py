"""Tune a broad model to one artist with 100, 200 and 500 tracks, and print what was gained and what was forgotten.

    PYTHONPATH=. python bench/transfer.py BASE_STORE ARTIST_STORE [--minutes 30] [--tune-minutes 5]
        [--tracks 100 200 500] [--lora 16] [--lora-rate 5e-4] [--seed 1] [--artist NAME] [--steps N] [--size tiny]
        [--base MODEL]

For each number of tracks: bits a note on the artist's held-out pieces of the base, of a model that learned from these
tracks alone, of the base tuned with all weights and with low-rank adapters; and for the tuned ones the rise on the
base's own held-out pieces. A number above what the artist's training split has counts as all of it, once. Only
minutes, or --steps, decide how long each model learns; the three that learn from the tracks have the same budget. The
lower the rate of the adapters, the less is learned and the less forgotten. `--base` takes a model that is there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus.store import Store
from generator.data.vocabulary import IntArray
from generator.data.windows import read_split
from generator.evaluate import SPLITS, forgetting
from generator.network.checkpoint import load_model
from generator.network.model import SIZES
from generator.network.stack import threads
from generator.training.objective import Team
from generator.training.settings import Settings
from generator.training.train import train
from music.notes import NoteSequence


@dataclass
class Part:
    """A store with only some of its training pieces."""

    store: Store
    kept: Sequence[int]

    def __post_init__(self) -> None:
        self.path, self.digest = self.store.path, self.store.digest
        self.pieces = [self.store.pieces[i] for i in self.kept]

    def notes(self, row: int) -> NoteSequence:
        return self.store.notes(self.kept[row])


def part(store: Store, artist: str, tracks: int, seed: int) -> Part:
    """Keep `tracks` training pieces of the artist, and all held-out ones."""
    own = [i for i, piece in enumerate(store.pieces) if not artist or piece.artist == artist]
    learned = [i for i in own if store.pieces[i].split == "train"]
    drawn = np.random.default_rng(seed).permutation(learned)[:tracks].tolist()
    return Part(store, sorted([*drawn, *(i for i in own if store.pieces[i].split != "train")]))


def bits(folder: Path, pieces: Sequence[IntArray]) -> float:
    """Bits a note of a model on pieces."""
    with threads(1):
        team = Team(load_model(folder), 1, "float32")
        found = team.likelihood(pieces)
        team.pool.shutdown()
    return found.bits_per_note


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_store", type=Path)
    parser.add_argument("artist_store", type=Path)
    parser.add_argument("--artist", default="")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--tune-minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, help="Of every model, instead of minutes.")
    parser.add_argument("--tracks", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--lora", type=int, default=16)
    parser.add_argument("--lora-rate", type=float, default=5e-4)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    broad, narrow = Store.open(options.base_store), Store.open(options.artist_store)

    def settings(minutes: float, **changes: Any) -> Settings:
        budget = {"steps": options.steps} if options.steps else {"minutes": minutes}
        return Settings(size=options.size, seed=options.seed, conditions=False, patience=0, **budget, **changes)

    with tempfile.TemporaryDirectory() as place:
        base = options.base or Path(place) / "base"
        if not options.base:
            train(broad, base, settings(options.minutes))
        print(f"{'tracks':>8}{'base':>8}{'alone':>8}{'tuned':>8}{'LoRA':>8}{'forgotten':>11}{'by LoRA':>9}")
        for tracks in options.tracks:
            kept: Any = part(narrow, options.artist, tracks, options.seed)
            count = sum(piece.split == "train" for piece in kept.pieces)
            found = {name: Path(place) / f"{name}-{tracks}" for name in ("alone", "tuned", "lora")}
            rates, gentle = ({"rate_first": rate, "rate_last": rate / 10} for rate in (5e-4, options.lora_rate))
            train(kept, found["alone"], settings(options.tune_minutes))
            train(kept, found["tuned"], settings(options.tune_minutes, **rates), base=base)
            train(kept, found["lora"], settings(options.tune_minutes, lora=options.lora, **gentle), base=base)
            held_out = [piece for split in SPLITS for piece in read_split(kept, split)[0]]
            scores = [bits(folder, held_out) for folder in (base, *found.values())]
            rises = []
            for name in ("tuned", "lora"):
                with threads(1):
                    team = Team(load_model(found[name]), 1, "float32")
                    rises.append(forgetting(team, (base, broad))["rise"])
                    team.pool.shutdown()
            print(
                f"{count:>8}" + "".join(f"{x:>8.2f}" for x in scores) + f"{rises[0]:>11.1%}{rises[1]:>9.1%}", flush=True
            )
            if count < tracks:
                break


if __name__ == "__main__":
    main()

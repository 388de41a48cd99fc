"""How well style latents hold bars, and whether walks between pieces are even.

    python bench/style.py MODEL STORE [-n 12] [--steps 7] [--bars 8]

Of pieces of the "valid" split, their first bars: written again from their own latents, the share of notes (position,
pitch and part) that come back, and of the written notes that were there; the latent numbers in use; and for walks
between pairs of them, the share of steps in which notes a beat, onsets a beat and mean pitch move the way from the
first to the second (for each, where the ends differ at all).
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from corpus.store import Store
from generator.data.tokens import quantise
from generator.data.windows import read_split
from generator.network.checkpoint import load_model
from generator.training.objective import active_latents
from generator.writing.interpolate import describe_pace, interpolate
from music.notes import NoteSequence


def opening(piece: NoteSequence, bars: int) -> NoteSequence:
    beats = sum(sorted(piece.time_signatures, key=lambda s: s.beat)[0].bar_beats for _ in range(bars))
    return piece.select(piece.onset_beat < beats - 1e-6)


def notes(piece: NoteSequence, end: float) -> set[tuple[int, int, int]]:
    kept = piece.onset_beat < end - 1e-6
    ticks = np.rint(piece.onset_beat[kept] * 24).astype(int)
    return set(zip(ticks.tolist(), piece.pitch[kept].tolist(), piece.part[kept].tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("-n", type=int, default=12)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--bars", type=int, default=8)
    given = parser.parse_args()
    store = Store.open(given.store)
    valid = [store.notes(i) for i, piece in enumerate(store.pieces) if piece.split == "valid"][: given.n]
    pieces = [opening(quantise(piece), given.bars) for piece in valid]
    model = load_model(given.model)
    print(f"{active_latents(model, read_split(store, 'valid')[0])} of {model.config.latent} latent numbers in use")
    recall, precision, good, moves = [], [], 0, 0
    for a, b in pairwise([*pieces, pieces[0]]):
        walk = [track.sequence for track in interpolate(given.model, a, b, given.steps)]
        for end, written in ((a, walk[0]), (b, walk[-1])):
            beats = min(float(end.end_beat), float(written.end_beat))
            there, made = notes(end, beats), notes(written, beats)
            recall.append(len(there & made) / max(len(there), 1))
            precision.append(len(there & made) / max(len(made), 1))
        for line in zip(*map(describe_pace, walk), strict=True):
            way = np.sign(line[-1] - line[0])
            if way:
                good += sum(way * (y - x) >= 0 for x, y in pairwise(line))
                moves += len(line) - 1
    print(f"notes that come back {np.mean(recall):.3f}, written notes that were there {np.mean(precision):.3f}")
    print(f"steps that go the way of the walk {good / max(moves, 1):.3f} of {moves}")


if __name__ == "__main__":
    main()

"""What a model can be asked for, and what no music is: the meters it has learned, and how dense its music gets.

A network that was never shown a meter still has a token for it, and what it writes behind that token is noise: dozens
of notes a quarter, a hundred at once. So a meter is refused that training never met, and a track is degenerate that is
half as dense again, or half as thick, as the densest and the thickest piece that the model learned from, and beyond
what nearly all music has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from generator.data.tokens import decode
from generator.data.vocabulary import BAR, METERS, POSITION, IntArray, SettingError
from generator.network.checkpoint import read_training
from generator.network.model import Transformer
from music.notes import NoteSequence

BEYOND = 1.5
SAMPLED = 1000  # pieces at most, decoded at the end of a training
LEAST_BARS = 8  # of a meter in training, for it to be learned
DENSEST, THICKEST = 12.0, 16  # what is within these is never degenerate; the top octile of 360 pieces is 11.5 a quarter


@dataclass(frozen=True, slots=True)
class Limits:
    """The densest and the thickest music that a model learned from.

    Attributes
    ----------
    densest : float
        Notes a quarter of a whole piece.
    thickest : int
        Notes that sound at once.
    meters : tuple of str
        Those of at least `LEAST_BARS` bars, like "3/4"; () where training did not write them down.
    """

    densest: float = DENSEST
    thickest: int = THICKEST
    meters: tuple[str, ...] = ()

    def degenerate(self, sequence: NoteSequence) -> tuple[str, ...]:
        """Say in what a track is no music of the kind that was learned; () for one that may be."""
        density, thickness = density_of(sequence), most_at_once(sequence)
        reasons = []
        if density > max(BEYOND * self.densest, DENSEST):
            reasons.append(
                f"{density:.0f} notes a quarter, and the densest music that was learned has {self.densest:.3g}"
            )
        if thickness > max(BEYOND * self.thickest, THICKEST):
            reasons.append(f"{thickness} notes at once, and the thickest music that was learned has {self.thickest}")
        if not len(sequence):
            reasons.append("no notes")
        return tuple(reasons)


def limits_of(pieces: Sequence[IntArray]) -> Limits:
    """Measure the encoded pieces that a model learns from: all their bars, and every so many of them as they sound."""
    played = [decode(piece) for piece in pieces[:: len(pieces) // SAMPLED + 1]]
    bars = sum((np.bincount(p[(p >= BAR) & (p < POSITION)] - BAR, minlength=len(METERS)) for p in pieces), np.zeros(1))
    return Limits(
        max(map(density_of, played), default=DENSEST),
        max(map(most_at_once, played), default=THICKEST),
        tuple("{}/{}".format(*METERS[k]) for k in np.flatnonzero(bars >= LEAST_BARS)),
    )


def read_limits(folder: str | Path) -> Limits:
    """Read what training wrote down; the defaults where it wrote nothing, or nothing that can be used."""
    limits = read_training(folder).get("limits")
    try:
        return (
            Limits(float(limits["densest"]), int(limits["thickest"]), tuple(map(str, limits["meters"])))
            if limits
            else Limits()
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return Limits()


def density_of(sequence: NoteSequence) -> float:
    """Return the notes a quarter, from the first onset to the last end; 0 without notes."""
    if not len(sequence):
        return 0.0
    length = float((sequence.onset_beat + sequence.duration_beat).max() - sequence.onset_beat.min())
    return len(sequence) / max(length, 1.0)


def most_at_once(sequence: NoteSequence) -> int:
    """Return the most notes that sound at one moment, drums included."""
    if not len(sequence):
        return 0
    times = np.concatenate([sequence.onset_beat, sequence.onset_beat + sequence.duration_beat])
    steps = np.repeat([1, -1], len(sequence))
    return int(np.cumsum(steps[np.lexsort((steps, times))]).max())  # what ends makes room for what begins


def require_learned(model: Transformer, limits: Limits, meter: tuple[int, int] | None) -> None:
    """Refuse a meter of which training never met a bar, neither this model's nor that of the one it was tuned from.

    Raises
    ------
    SettingError
        Naming the meters that were learned.
    """
    learned = {f"{n}/{d}": (n, d) for n, d in METERS if f"{n}/{d}" in {*limits.meters, *_name_learned_meters(model)}}
    if meter is not None and learned and meter not in learned.values():
        known = ", ".join(sorted(learned, key=lambda name: (learned[name][1], learned[name][0])))
        raise SettingError(f"meter {meter[0]}/{meter[1]}: this model has not learned it; it knows {known}")


def _name_learned_meters(model: Transformer) -> list[str]:
    """Name the meters whose bars training met, by the weights.

    A bar's token is also looked up in the table `said`, of which the rows of most other tokens are never used: these
    are as they were drawn, but for decay, and so are the rows of meters that no piece had.
    """
    lengths = model.said.weight.detach().float().norm(dim=1).cpu()
    says: torch.Tensor = model.says  # type: ignore[assignment]
    idle = lengths[~says.any(dim=0).cpu()]
    far = 6.0 * idle.std() / idle.mean()
    changed = (lengths[BAR:POSITION] / idle.mean() - 1).abs() > far
    return ["{}/{}".format(*METERS[k]) for k in torch.nonzero(changed).flatten().tolist()]

"""Canaries: random melodies planted among the training pieces, to see later how well a model learned them by heart.

A canary is `NOTES` quarters of one part in 4/4, each pitch drawn evenly from `PITCHES`; nobody could guess it, so what
the model finds likely in it was learned from it. Its *exposure* (Carlini et al., The Secret Sharer, USENIX Security
2019) is::

    log2(M + 1) - log2(rank)

where rank, from 1, is its place by likelihood among M other melodies drawn in the same way that were not planted. By
chance the exposure is 1.44 in the mean, for large M; log2(M + 1) is the most there can be, for a canary likelier than
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.data.tokens import encode
from generator.data.vocabulary import GeneratorError, IntArray
from generator.network.checkpoint import read_object, write_json
from music.notes import build

CANARIES = "canaries.json"
NOTES = 32
PITCHES = range(60, 80)
OTHERS = 511
_PLANTED, _OTHER = 1, 2


def canaries(seed: int, count: int) -> list[IntArray]:
    """Return the tokens of `count` canaries; the same `seed` gives the same."""
    return [_melody([seed, _PLANTED, i]) for i in range(count)]


def _melody(key: Sequence[int]) -> IntArray:
    pitch = np.random.default_rng(key).integers(PITCHES.start, PITCHES.stop, NOTES)
    return np.array(encode(build(np.arange(NOTES), np.ones(NOTES), pitch)), dtype=np.int64)


def write_canaries(folder: Path, seed: int, count: int) -> None:
    """Write into the model folder what `canaries` needs to make them again."""
    write_json(folder / CANARIES, {"seed": seed, "count": count, "notes": NOTES})


def read_canaries(folder: str | Path) -> list[IntArray]:
    """Return the canaries that a model learned from; [] for a model without any.

    Raises
    ------
    GeneratorError
        When the file can't be read.
    """
    path = Path(folder) / CANARIES
    try:
        content = read_object(path)
        seed, count = int(content["seed"]), int(content["count"])
        if content["notes"] != NOTES or seed < 0 or not 0 < count <= 256:
            raise ValueError(f"seed {seed}, count {count}, notes {content['notes']}")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise GeneratorError(f"{path}: says no canaries that this version plants ({error})") from error
    return canaries(seed, count)


def exposures(nats: Callable[[Sequence[IntArray]], list[float]], planted: Sequence[IntArray]) -> dict[str, Any]:
    """Rank each planted melody among `OTHERS` that were not.

    Parameters
    ----------
    nats : callable
        Gives what each of some pieces costs the model, in nats.
    planted : sequence of int64 arrays
        At least one.

    Returns
    -------
    dict
        ``count``, ``others``, ``exposure`` of each in bits, ``mean``, ``most`` (the largest there can be), and
        ``chance``, the mean of one that was not planted.
    """
    others = np.sort(nats([_melody([_OTHER, i]) for i in range(OTHERS)]))
    ranks = 1 + np.searchsorted(others, nats(planted))
    exposure = np.log2(OTHERS + 1) - np.log2(ranks)
    return {
        "count": len(planted),
        "others": OTHERS,
        "exposure": exposure.tolist(),
        "mean": float(exposure.mean()),
        "most": float(np.log2(OTHERS + 1)),
        "chance": float(np.mean(np.log2(OTHERS + 1) - np.log2(np.arange(1, OTHERS + 2)))),
    }

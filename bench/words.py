"""Train the text encoders on a store, and ask what they find: a caption's own piece, and music for other words.

    PYTHONPATH=. python bench/words.py STORE MODEL [--seed 1] [--draws 20]

Protocol -------- `generator.writing.text_encoder.train_text` writes the encoders into the folder MODEL, that with
MiniLM where the extra `minilm` is installed. R@1 and R@10 are means over `--draws` drawings of captions, the same ones
for both encoders, of up to 64 pieces of the split "valid"; once more with tempo, density and voices in `OTHER` words
than in training. Then each encoder orders all pieces of the store by their likeness to each of `PROMPTS`, whose words
no caption has, and the twenty nearest are described, below the whole store: mean tempo in quarters a minute, notes a
quarter, pitch and polyphony, and how many are in minor and have brass.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file

import generator.data.attributes
from corpus.store import Store
from generator.data.attributes import Attributes
from generator.writing.text_encoder import Encoders, describe_pieces, features, minilm, retrieval, train_text
from music.notes import FloatArray

OTHER = {
    "_TEMPO_SAYINGS": {
        "slow": ("lento", "leisurely"),
        "medium": ("neither hurried nor drawn out",),
        "fast": ("presto",),
    },
    "_DENSITY_SAYINGS": {"sparse": ("bare",), "medium": ("neither bare nor crowded",), "dense": ("crowded", "full")},
    "_VOICE_SAYINGS": {0: (), 1: ("unaccompanied",), 2: ("for a pair",), 3: ("a trio",), 4: ("a quartet",)},
}
PROMPTS = (
    "a melancholic lullaby",
    "energetic march for brass",
    "drowsy, calm and peaceful",
    "hurried and frantic",
    "gloomy and sad",
    "trumpets and trombones",
    "a lonely unaccompanied melody",
)


def line(name: str, pieces: Sequence[Attributes]) -> None:
    means = np.nanmean([(p.tempo_bpm, p.density, p.pitch, p.polyphony) for p in pieces], axis=0)
    minor = np.mean([p.key.endswith("minor") for p in pieces])
    brass = np.mean(["brass" in p.families for p in pieces])
    print(f"  {name:32}{means[0]:6.0f}{means[1]:7.2f}{means[2]:7.1f}{means[3]:7.2f}{minor:7.0%}{brass:7.0%}")


def score(name: str, model: Encoders, pieces: list[tuple[Attributes, FloatArray]], seed: int, draws: int) -> None:
    found = [retrieval(model, pieces, np.random.default_rng([seed, i])) for i in range(draws)]
    first, ten = ([each[rank] for each in found] for rank in ("r_at_1", "r_at_10"))
    print(f"  {name:18} R@1 {np.mean(first):.1%} (sd {np.std(first):.1%}), R@10 {np.mean(ten):.1%} ({np.std(ten):.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    store = Store.open(options.store)
    options.model.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    train_text(store, options.model, options.seed)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    held_out = describe_pieces(store, "valid")[:64]
    pieces = [piece for split in ("train", "valid", "test") for piece in describe_pieces(store, split)]
    rows = np.stack([features(*piece) for piece in pieces])
    for sentences in dict.fromkeys((None, minilm())):
        model = Encoders(sentences)
        model.load_state_dict(load_file(options.model / model.file))
        print(f"{model.file}, {len(held_out)} pieces")
        score("words of training", model, held_out, options.seed, options.draws)
        with patch.multiple(generator.data.attributes, **OTHER):
            score("other words", model, held_out, options.seed, options.draws)
        print(f"  {'nearest 20 of ' + str(len(pieces)):32}{'bpm':>6}{'notes':>7}{'pitch':>7}{'voices':>7}", end="")
        print(f"{'minor':>7}{'brass':>7}")
        line("(all)", [piece for piece, _ in pieces])
        with torch.inference_mode():
            near = (model.read_text(PROMPTS) @ model.read_music(rows).T).argsort(dim=1, descending=True)[:, :20]
        for prompt, nearest in zip(PROMPTS, near.tolist(), strict=True):
            line(prompt, [pieces[i][0] for i in nearest])


if __name__ == "__main__":
    main()

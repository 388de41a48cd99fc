"""A song with chords, songs as a store, and a model of notes that learned nothing: what prompts and captions need."""

from pathlib import Path

import numpy as np
import torch

from corpus.rights import Rights
from generator.data.tokens import quantise
from generator.network.checkpoint import Description, save_model, write_description
from generator.network.model import Transformer
from generator.network.stack import ModelConfig
from music.notes import NoteSequence, Part, TimeSignature, build
from tests.cases.stores import FakeStore, piece

BACH = "Johann Sebastian Bach"
SONG = quantise(
    build(
        [0, 0, 0, 3, 3, 3],
        [3, 3, 3, 3, 3, 3],
        [57, 60, 64, 53, 57, 60],
        parts=[Part(program=24)],
        time_signatures=[TimeSignature(0, 3, 4)],
    )
)


def song(number: int) -> NoteSequence:
    random = np.random.default_rng(number)
    voices, step = 1 + number % 4, (0.25, 0.5, 1.0)[number % 3]
    onset = np.tile(np.arange(int(8 / step)) * step, voices)
    pitch = 48 + random.choice([0, 2, 4, 5, 7, 9, 11], size=len(onset)) + 12 * np.arange(len(onset)) // len(onset)
    return build(onset, np.full(len(onset), step), pitch, parts=[Part(program=int(random.integers(128)))])


def store_of_songs(count: int) -> FakeStore:
    rights = Rights("CC0", "", "granted")
    pieces = [piece("x", "valid" if i % 3 == 0 else "train", "Ann", rights) for i in range(count)]
    return FakeStore(map(song, range(count)), pieces)


def untrained_model(folder: Path) -> Path:
    config = ModelConfig(width=128, layers=1, heads=4, context=128)
    torch.manual_seed(0)
    write_description(folder, Description(config, "d" * 64, (BACH,)))
    save_model(Transformer(config).state_dict(), folder)
    return folder

"""The vocabulary: what each token means, and where each kind of token begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from music.chords import ROOT_NAMES

GRID = 24
"""Ticks a quarter."""
LONG = 96
"""Ticks that one ``Long`` token adds to the duration that follows it: a whole note."""
MAX_LONGS = 15
"""Longest note: 15 ``Long`` and a ``Duration`` of 96, that is 64 quarters; longer ones are cut."""
MAX_PARTS = 32
MAX_BARS = 4096
MAX_BAR_TICKS = 192
"""Longest bar, 8 quarters."""
VELOCITIES = (16, 32, 48, 64, 80, 96, 112, 127)
DEFAULT_VELOCITY_STEP = 4
BPM_FIRST, BPM_STEP, BPM_COUNT = 24, 3, 93
METERS: tuple[tuple[int, int], ...] = tuple(
    (n, d) for d in (4, 8, 2, 16, 32, 1) for n in range(1, 17) if n * 4 * GRID // d <= MAX_BAR_TICKS
)
"""Meters with a token, the plainest denominators first; a bar of any other is written as one or several of these."""
CLASSES = 8
"""Classes of density and polyphony, 0 to 7."""
ARTISTS = 64
"""Artists a model can tell apart; their names are in its config."""
MODES = ("major", "minor")
QUALITIES = ("maj", "min", "dim", "7", "maj7", "min7")
"""Of chords, as `music.chords` names them."""
_NAMES = (
    ["PAD", "BOS", "MID", "EOS"]
    + [f"BarDensity {i}" for i in range(CLASSES)]
    + [f"BarPolyphony {i}" for i in range(CLASSES)]
    + ["Chord N"]
    + [f"Chord {root}:{quality}" for quality in QUALITIES for root in ROOT_NAMES]
    + [f"Artist {i}" for i in range(ARTISTS)]
    + [f"Key {tonic} {mode}" for mode in MODES for tonic in ROOT_NAMES]
    + [f"Density {i}" for i in range(CLASSES)]
    + [f"Polyphony {i}" for i in range(CLASSES)]
    + ["Plan"]
    + [f"Tempo {BPM_FIRST + BPM_STEP * i}" for i in range(BPM_COUNT)]
    + [f"Program {i}" for i in range(128)]
    + ["Program drums"]
    + [f"Part {i}" for i in range(1, MAX_PARTS)]
    + [f"Bar {n}/{d}" for n, d in METERS]
    + [f"Position {i}" for i in range(MAX_BAR_TICKS)]
    + [f"Velocity {v}" for v in VELOCITIES]
    + ["Long"]
    + [f"Duration {i}" for i in range(1, LONG + 1)]
    + [f"Pitch {i}" for i in range(128)]
)
VOCABULARY: tuple[str, ...] = tuple(_NAMES)
"""The name of every token; its index is the token."""
VOCABULARY_DIGEST = hashlib.sha256(json.dumps(["contraste tokens 2", GRID, *VOCABULARY]).encode()).hexdigest()
"""Hex SHA-256 of version, grid and names: two models with the same digest read tokens alike."""
PAD, BOS, MID, EOS = range(4)
BAR_DENSITY = VOCABULARY.index("BarDensity 0")
BAR_POLYPHONY = VOCABULARY.index("BarPolyphony 0")
CHORD = VOCABULARY.index("Chord N")
ARTIST = VOCABULARY.index("Artist 0")
KEY = VOCABULARY.index("Key C major")
DENSITY = VOCABULARY.index("Density 0")
POLYPHONY = VOCABULARY.index("Polyphony 0")
PLAN = VOCABULARY.index("Plan")
TEMPO = VOCABULARY.index(f"Tempo {BPM_FIRST}")
PROGRAM = VOCABULARY.index("Program 0")
DRUMS = VOCABULARY.index("Program drums")
PART = VOCABULARY.index("Part 1") - 1
BAR = VOCABULARY.index("Bar 1/4")
POSITION = VOCABULARY.index("Position 0")
VELOCITY = VOCABULARY.index("Velocity 16")
LONG_TOKEN = VOCABULARY.index("Long")
DURATION = VOCABULARY.index("Duration 1") - 1
PITCH = VOCABULARY.index("Pitch 0")
KIND = tuple(name.split()[0] for name in VOCABULARY)
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class GeneratorError(ValueError):
    """Raised when music, a model folder or a setting can't be used; the message names it and the rule."""


class SettingError(GeneratorError):
    """Raised when the caller has to ask for something else: a setting out of range, a folder that is in use."""


def check_settings(what: str, settings: object, rules: Mapping[str, bool]) -> None:
    """Raise `SettingError` for the first attribute of `settings` whose rule does not hold."""
    for name, holds in rules.items():
        if not holds:
            raise SettingError(f"{what} setting {name} = {getattr(settings, name)!r} is out of range; see the help")


def meter_ticks(meter: tuple[int, int]) -> int:
    """Length in ticks of one bar of `meter` (numerator, denominator)."""
    return meter[0] * 4 * GRID // meter[1]


def chord_token(root: int | None, quality: str) -> int:
    """Return the token of a chord: pitch class and one of `QUALITIES`, or None for no chord."""
    return CHORD if root is None else CHORD + 1 + 12 * QUALITIES.index(quality) + root


def key_token(key: str) -> int:
    """Return the token of a key named like "A minor"."""
    tonic, mode = key.split()
    return KEY + 12 * MODES.index(mode) + ROOT_NAMES.index(tonic)

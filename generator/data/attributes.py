"""What a piece is like, worked out from its notes: key, meter, tempo, density, polyphony, register, instruments.

Everything is counted by the bar first (`bar_figures`), so that the attributes of a whole piece, of a training window
and of one bar are the same sums over more or fewer bars.

Classes
-------
*Density* is notes a quarter, drums included, between `DENSITY_BOUNDS`. Of 360 pieces, 60 each of folk tunes with
chords, chorales, songs with piano, pop for piano, and rock and game music for many instruments, the octiles are 3.0,
3.6, 3.9, 4.8, 6.0, 7.5 and 11.5; the lower bounds lie below them, so that tunes for one voice (1.7 to 2.1) are told
apart too.
*Polyphony* is how many pitched notes sound on average where any sounds, rounded, at most 7: a class says a number.
*Tempo* and *register* are coarse words, for people: slow ends and fast begins where Andante and Allegro commonly do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from generator.data.tokens import Plan, bar_lines
from generator.data.vocabulary import CLASSES, GRID, chord_token
from music.chords import chord_labels
from music.key import key_of_histogram
from music.notes import FloatArray, NoteSequence

DENSITY_BOUNDS = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0)
DENSITIES = {"sparse": (0, 2), "medium": (3, 4), "dense": (5, 7)}
"""Words for density, with their first and last class."""
TEMPOS = {"slow": (24.0, 84.0), "medium": (84.0, 120.0), "fast": (120.0, 300.0)}
"""Words for tempo: quarters a minute, the first inclusive, the second exclusive (for "fast" inclusive)."""
REGISTERS = {"low": (0.0, 54.0), "middle": (54.0, 68.0), "high": (68.0, 128.0)}
"""Words for the mean pitch."""
DRUMS_PROGRAM = 128
"""Stands for a drum part where programs are listed."""
FAMILIES = (
    "piano", "chromatic percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed", "pipe",
    "synth lead", "synth pad", "synth effects", "world", "percussive", "sound effects", "drums",
)  # fmt: skip
"""Families of General MIDI, eight programs each, and the drums."""

T = TypeVar("T")
_NOTES, _QUARTERS, _HELD, _SOUNDING = range(12, 16)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What was worked out; the module says how.

    Attributes
    ----------
    key : str
        Like "A minor"; "" without pitched notes.
    meter : tuple of int
        The one that holds longest.
    tempo_bpm : float
        The one that holds longest, in quarters a minute.
    density, polyphony : float
        Notes a quarter; pitched notes sounding.
    density_class, polyphony_class : int
        0 to 7.
    pitch : float
        Mean MIDI pitch; nan without pitched notes.
    programs : tuple of int
        Of the parts that have notes, in order, each once; drums are `DRUMS_PROGRAM`.
    """

    key: str
    meter: tuple[int, int]
    tempo_bpm: float
    density: float
    polyphony: float
    density_class: int
    polyphony_class: int
    pitch: float
    programs: tuple[int, ...]

    @property
    def tempo(self) -> str:
        """The word for the tempo."""
        return next((word for word, (low, high) in TEMPOS.items() if low <= self.tempo_bpm < high), "fast")

    @property
    def thickness(self) -> str:
        """The word for the density."""
        return next(word for word, (low, high) in DENSITIES.items() if low <= self.density_class <= high)

    @property
    def register(self) -> str:
        """The word for the mean pitch."""
        return next((word for word, (low, high) in REGISTERS.items() if low <= self.pitch < high), "")

    @property
    def families(self) -> tuple[str, ...]:
        """Families of the programs, each once."""
        return tuple(dict.fromkeys(FAMILIES[program // 8] for program in self.programs))


@cache
def _density_class(density: float) -> int:
    return int(np.searchsorted(DENSITY_BOUNDS, density, side="right"))


def density_range(first: int, last: int) -> tuple[float, float]:
    """Return the notes a quarter, the first inclusive, the second exclusive, of classes of density."""
    ends = (0.0, *DENSITY_BOUNDS, 1e6)
    return ends[first], ends[last + 1]


def classes(figures: FloatArray) -> tuple[int, int]:
    """Return the classes of density and polyphony of one bar or several, (16,) or (bars, 16)."""
    total = figures.reshape(-1, 16).sum(axis=0)
    density = _density_class(float(total[_NOTES] / total[_QUARTERS]))
    polyphony = total[_HELD] / total[_SOUNDING] if total[_SOUNDING] else 0.0
    return density, min(round(float(polyphony)), CLASSES - 1)


def key_of(figures: FloatArray) -> str:
    """Return the key of some bars, (bars, 16); "" without pitched notes."""
    return key_of_histogram(figures[:, :12].sum(axis=0))


def bar_figures(sequence: NoteSequence) -> FloatArray:
    """Count what the attributes are made of, bar by bar.

    Parameters
    ----------
    sequence : NoteSequence
        On the grid, as `generator.data.tokens.quantise` and `decode` give it.

    Returns
    -------
    float64 (bars, 16)
        Quarters that each pitch class sounds (12 columns); notes; length in quarters; quarters that pitched notes
        sound, added up; quarters in which any of them does.
    """
    lines = bar_lines(sequence) / GRID
    pitched = ~sequence.is_drum
    onset, end = sequence.onset_beat, sequence.onset_beat + sequence.duration_beat
    columns = [
        _until(lines, onset[of], end[of]) for of in (pitched & (sequence.pitch % 12 == tone) for tone in range(12))
    ]
    columns += [
        np.searchsorted(onset, lines - 1e-9).astype(np.float64),
        lines,
        np.sum(columns, axis=0),
        _until(lines, onset[pitched], end[pitched], at_most=1),
    ]
    return np.diff(np.stack(columns, axis=1), axis=0)


def _until(lines: FloatArray, onset: FloatArray, end: FloatArray, at_most: float = np.inf) -> FloatArray:
    """Quarters sounded from the start to each of `lines`; notes beyond `at_most` at a time don't count."""
    edge = np.concatenate([[0.0], onset, end])
    change = np.concatenate([[0], np.ones(len(onset)), -np.ones(len(end))])
    order = np.argsort(edge, kind="stable")
    edge = edge[order]
    sounding = np.minimum(np.cumsum(change[order]), at_most)
    area = np.concatenate([[0.0], np.cumsum(sounding[:-1] * np.diff(edge))])
    return np.asarray(np.interp(lines, edge, area), dtype=np.float64)


def plan_of(sequence: NoteSequence, figures: FloatArray) -> Plan:
    """Work out what a planned line says of a sequence on the grid with these `bar_figures`."""
    chords = {round(c.start_beat * GRID): chord_token(c.root, c.quality) for c in chord_labels(sequence)}
    return Plan(tuple(classes(bar) for bar in figures), tuple(sorted(chords.items())))


def attributes(sequence: NoteSequence) -> Attributes:
    """Work out the attributes of a whole sequence on the grid."""
    figures = bar_figures(sequence)
    end = float(figures[:, _QUARTERS].sum())
    meter = _longest([(s.beat, (s.numerator, s.denominator)) for s in sequence.time_signatures], end)
    tempo = _longest([(t.beat, t.bpm) for t in sequence.tempos], end)
    used = [sequence.parts[i] for i in np.unique(sequence.part)]
    density, polyphony = classes(figures)
    pitched = sequence.pitch[~sequence.is_drum]
    return Attributes(
        key_of(figures),
        meter,
        tempo,
        len(sequence) / end,
        float(figures[:, _HELD].sum() / max(figures[:, _SOUNDING].sum(), 1e-9)),
        density,
        polyphony,
        float(pitched.mean()) if len(pitched) else float("nan"),
        tuple(dict.fromkeys(DRUMS_PROGRAM if p.is_drum else p.program for p in used)),
    )


def caption(traits: Attributes, random: np.random.Generator, chance: float = 1.0) -> str:
    """Say in English what a piece is like: "a sparse piece in A minor, 3/4, slow, for guitar and bass".

    Each attribute is said with the given `chance`, in one of several wordings and in any order.
    """
    article = str(random.choice(("a piece", "a track", "music", "a tune", "something")))
    names = [name.replace("drums", str(random.choice(("drums", "percussion")))) for name in traits.families]
    register = {"low": ("low", "deep"), "high": ("high", "in a high register")}.get(traits.register, ())
    sayings: list[tuple[str, ...]] = [
        (f"in {traits.key}", f"key of {traits.key}", f"{traits.key}") if traits.key else (),
        (f"{traits.meter[0]}/{traits.meter[1]}", f"in {traits.meter[0]}/{traits.meter[1]} time"),
        _TEMPO_SAYINGS[traits.tempo] + (f"at {round(traits.tempo_bpm)} bpm",),
        _DENSITY_SAYINGS[traits.thickness],
        _VOICE_SAYINGS.get(traits.polyphony_class, (f"{traits.polyphony_class} voices",)),
        (f"for {' and '.join(names)}", f"with {', '.join(names)}", f"played by {', '.join(names)}") if names else (),
        register,
    ]
    phrases = [str(random.choice(wordings)) for wordings in sayings if wordings and random.random() < chance]
    return ", ".join([article, *(phrases[i] for i in random.permutation(len(phrases)))])


_TEMPO_SAYINGS = {
    "slow": ("slow", "at a slow tempo", "adagio", "unhurried"),
    "medium": ("medium tempo", "moderate", "at a walking pace", "andante"),
    "fast": ("fast", "quick", "allegro", "at a lively tempo"),
}
_DENSITY_SAYINGS = {
    "sparse": ("sparse", "with few notes", "thin texture", "minimal"),
    "medium": ("of medium density", "moderately full"),
    "dense": ("dense", "busy", "with many notes", "thick texture"),
}
_VOICE_SAYINGS = {
    0: (), 1: ("one voice", "monophonic", "a single line"), 2: ("two voices", "a duet texture"),
    3: ("three voices", "in three parts"), 4: ("four voices", "four-part", "in four parts"),
}  # fmt: skip


def _longest(changes: list[tuple[float, T]], end: float) -> T:
    """Return the value that holds for most quarters, added up over all the places where it does."""
    held: dict[T, float] = {}
    for (start, value), (until, _) in zip(changes, [*changes[1:], (end, None)], strict=True):
        held[value] = held.get(value, 0.0) + max(min(until, end) - start, 0.0)
    return max(held, key=lambda value: held[value])

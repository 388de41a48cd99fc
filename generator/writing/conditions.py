"""What a new track is asked to be like: read as written, told to the network, kept in sampling, checked afterwards.

Meter, tempo and instruments can be forced: the grammar has tokens for them, and all others are masked out. Density is
forced as well: a line may write notes only as fast, and go on only as slowly, as asked for (`Conditions._pace`). Key,
polyphony and chords are told to the network, in the line's header or in the plan of each bar, and pitches lean to the
key asked for (`Conditions.tilt`); whether the music follows is worked out from its notes (`Conditions.find_missed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from generator.data.attributes import DRUMS_PROGRAM, TEMPOS, Attributes, attributes, density_range
from generator.data.grammar import Grammar
from generator.data.tokens import bar_lines
from generator.data.vocabulary import (
    ARTIST,
    BAR,
    BAR_DENSITY,
    BAR_POLYPHONY,
    BPM_COUNT,
    BPM_FIRST,
    BPM_STEP,
    CHORD,
    CLASSES,
    DENSITY,
    DRUMS,
    EOS,
    GRID,
    METERS,
    PART,
    POLYPHONY,
    POSITION,
    PROGRAM,
    TEMPO,
    VELOCITY,
    VOCABULARY,
    BoolArray,
    IntArray,
    SettingError,
    chord_token,
    key_token,
    meter_ticks,
)
from music.chords import chord_labels
from music.key import key_profile
from music.notes import FloatArray, NoteSequence

BPM = BPM_FIRST + BPM_STEP * np.arange(BPM_COUNT)
CHORDS_MATCH = 0.5
"""Share of the time in which the chord asked for must sound, root and third, for a track to count as following."""
PACE_LOW, PACE_HIGH = 1.02, 0.98
"""A line keeps so far inside the range of density asked for, as bars are rounded."""
LEANING = 1.0
"""How much a pitch's rating in the key asked for counts beside the network."""
_PROGRAM_WORDS: dict[str, Sequence[int]] = {
    "piano": range(6), "grand piano": range(2), "electric piano": (4, 5), "harpsichord": (6,), "clavinet": (7,),
    "celesta": (8,), "glockenspiel": (9,), "music box": (10,), "vibraphone": (11,), "marimba": (12,),
    "xylophone": (13,), "bells": (14,), "organ": range(16, 21), "church organ": (19,), "accordion": (21, 23),
    "harmonica": (22,), "guitar": range(24, 32), "acoustic guitar": (24, 25), "nylon guitar": (24,),
    "steel guitar": (25,), "electric guitar": range(26, 31), "jazz guitar": (26,), "clean guitar": (27,),
    "muted guitar": (28,), "overdriven guitar": (29,), "distorted guitar": (30,), "distortion guitar": (30,),
    "bass": range(32, 40), "acoustic bass": (32,), "bass guitar": range(33, 36), "electric bass": range(33, 36),
    "fretless bass": (35,), "slap bass": (36, 37), "synth bass": (38, 39), "violin": (40,), "fiddle": (40, 110),
    "viola": (41,), "cello": (42,), "contrabass": (43,), "double bass": (32, 43), "harp": (46,), "timpani": (47,),
    "strings": range(40, 52), "string ensemble": range(48, 52), "choir": range(52, 55), "voice": range(52, 55),
    "brass": range(56, 64), "trumpet": (56, 59), "trombone": (57,), "tuba": (58,), "horn": (60,),
    "french horn": (60,), "saxophone": range(64, 68), "sax": range(64, 68), "soprano sax": (64,), "alto sax": (65,),
    "tenor sax": (66,), "baritone sax": (67,), "oboe": (68,), "english horn": (69,), "bassoon": (70,),
    "clarinet": (71,), "woodwinds": range(68, 80), "piccolo": (72,), "flute": (73,), "recorder": (74,),
    "pan flute": (75,), "whistle": (78,), "ocarina": (79,), "synth lead": range(80, 88), "lead": range(80, 88),
    "synth pad": range(88, 96), "pad": range(88, 96), "synth": range(80, 104), "synthesizer": range(80, 104),
    "sitar": (104,), "banjo": (105,), "koto": (107,), "kalimba": (108,), "bagpipe": (109,), "steel drums": (114,),
    "drums": (DRUMS_PROGRAM,), "drum": (DRUMS_PROGRAM,), "drum kit": (DRUMS_PROGRAM,), "percussion": (DRUMS_PROGRAM,),
}  # fmt: skip
PROGRAMS: dict[str, tuple[int, ...]] = {word: tuple(programs) for word, programs in _PROGRAM_WORDS.items()}
"""Instruments by name, with the General MIDI programs that are one; 128 is a drum part."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is asked for; what is None or empty is left to the network.

    Attributes
    ----------
    key : str
        Like "A minor", tonics named as in `music.key`.
    meter : tuple of int, optional
        One of `generator.data.vocabulary.METERS`; every bar has it.
    tempo : tuple of float, optional
        Lowest and highest quarters a minute.
    density, polyphony : tuple of int, optional
        First and last class (`generator.data.attributes`).
    instruments : tuple of str
        Names in `PROGRAMS`, a part for each, in this order.
    chords : tuple of int
        Tokens, one a bar, over and over.
    artist : str
        A name that the model knows.
    without : tuple of str
        Names in `PROGRAMS` that no part may be.
    """

    key: str = ""
    meter: tuple[int, int] | None = None
    tempo: tuple[float, float] | None = None
    density: tuple[int, int] | None = None
    polyphony: tuple[int, int] | None = None
    instruments: tuple[str, ...] = ()
    chords: tuple[int, ...] = ()
    artist: str = ""
    without: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != ANYTHING

    @property
    def planned(self) -> bool:
        """Whether the bars are to be planned."""
        return bool(self.chords or self.density or self.polyphony)

    def checkable(self) -> list[str]:
        """Name what is asked for, as far as `find_missed` can tell whether a track follows."""
        return [f.name for f in fields(self) if getattr(self, f.name) and f.name != "artist"]

    def join(self, other: Conditions) -> Conditions:
        """Return these conditions, and of `other` what these leave open."""
        return Conditions(**{f.name: getattr(self, f.name) or getattr(other, f.name) for f in fields(self)})

    def as_settings(self) -> dict[str, object]:
        """Return what is asked for, as plain values for a record."""
        settings = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        if self.chords:
            settings["chords"] = [VOCABULARY[token].removeprefix("Chord ") for token in self.chords]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}

    def controls(self, artists: Sequence[str], attempt: int = 0) -> list[int]:
        """Return the tokens that head a line of a model that knows `artists`.

        Of several classes one is named, with each attempt another.

        Raises
        ------
        SettingError
            When the artist is none of them.
        """
        tokens = []
        if self.artist:
            known = [name.casefold() for name in artists]
            if self.artist.casefold() not in known:
                raise refuse_artist(self.artist, artists)
            tokens.append(ARTIST + known.index(self.artist.casefold()))
        if self.key:
            tokens.append(key_token(self.key))
        for first, asked in ((DENSITY, self.density), (POLYPHONY, self.polyphony)):
            if asked:
                middle_out = sorted(range(asked[0], asked[1] + 1), key=lambda c: abs(c - (CLASSES - 1) / 2))
                tokens.append(first + middle_out[attempt % len(middle_out)])
        return tokens

    def keep(self, state: Grammar, mask: BoolArray) -> None:
        """Take out of `mask` (vocabulary,) what may not follow `state` under these conditions."""
        if self.tempo:
            fits = (self.tempo[0] <= BPM) & (self.tempo[1] >= BPM) & (state.bars == 0)
            mask[TEMPO:PROGRAM] &= fits
        if self.instruments and state.bars == 0:
            wanted = np.zeros(DRUMS + 1 - PROGRAM, dtype=bool)
            if state.parts < len(self.instruments):
                wanted[list(PROGRAMS[self.instruments[state.parts]])] = True
                mask[BAR:POSITION] = False
            mask[PROGRAM : DRUMS + 1] &= wanted
        for name in self.without:
            mask[PROGRAM + np.array(PROGRAMS[name])] = False
        if self.meter:
            mask[BAR:POSITION] &= np.array([meter == self.meter for meter in METERS])
        if self.chords:
            wanted = np.zeros(ARTIST - CHORD, dtype=bool)
            if state.position < 0:
                wanted[self.chords[(state.bars - 1) % len(self.chords)] - CHORD] = True
            mask[CHORD:ARTIST] &= wanted
        if self.density and state.bars:
            self._pace(self.density, state, mask)
        for first, asked in ((BAR_DENSITY, self.density), (BAR_POLYPHONY, self.polyphony)):
            if asked:
                mask[first : first + asked[0]] = mask[first + asked[1] + 1 : first + CLASSES] = False

    @staticmethod
    def _pace(density: tuple[int, int], state: Grammar, mask: BoolArray) -> None:
        """Take out of `mask` what would make the bar too dense or too thin.

        By any place, the bar has no more notes than the densest music asked for has a quarter later, and no fewer than
        the thinnest has a quarter before. Nothing is taken out where nothing would be left.
        """
        least, most = _paces(density, meter_ticks(state.meter), state.begun)
        paced = mask.copy()
        paced[POSITION : POSITION + len(most)] &= (state.notes < most) & (state.notes >= least[:-1])
        if state.position >= 0 and state.notes >= most[state.position]:
            paced[PART + 1 : BAR] = paced[VELOCITY:] = False
        if state.notes < min(least[-1], most[-1]):
            paced[BAR:POSITION] = paced[EOS] = False
        if paced.any():
            mask[:] = paced

    def tilt(self) -> FloatArray | None:
        """Return what to add to the logits of the pitches (128,), so that the music leans to the key asked for.

        A pitch's chance is multiplied by the rating of its class in the key, to the power of `LEANING`.
        """
        if not self.key:
            return None
        return LEANING * np.log(key_profile(self.key)[np.arange(128) % 12])

    def find_missed(self, sequence: NoteSequence) -> tuple[str, ...]:
        """Name what a track on the grid is not, of what was asked for; an artist can't be checked."""
        traits = attributes(sequence)
        holds = {
            "key": not self.key or traits.key == self.key,
            "meter": not self.meter or {(s.numerator, s.denominator) for s in sequence.time_signatures} == {self.meter},
            "tempo": not self.tempo or self.tempo[0] - BPM_STEP / 2 <= traits.tempo_bpm <= self.tempo[1] + BPM_STEP / 2,
            "density": not self.density or self.density[0] <= traits.density_class <= self.density[1],
            "polyphony": not self.polyphony or self.polyphony[0] <= traits.polyphony_class <= self.polyphony[1],
            "instruments": not self.instruments or self._plays(traits),
            "without": not set(traits.programs) & {p for name in self.without for p in PROGRAMS[name]},
            "chords": not self.chords or self.chords_share(sequence) >= CHORDS_MATCH,
        }
        return tuple(name for name, hit in holds.items() if not hit)

    def _plays(self, traits: Attributes) -> bool:
        asked = [PROGRAMS[name] for name in self.instruments]
        return all(set(programs) & set(traits.programs) for programs in asked) and all(
            any(program in programs for programs in asked) for program in traits.programs
        )

    def chords_share(self, sequence: NoteSequence) -> float:
        """Share of the time in which the chord that `music.chords` hears has root and third of the one asked for."""
        lines = bar_lines(sequence) / GRID
        agreed = 0.0
        for span in chord_labels(sequence):
            for bar in range(len(lines) - 1):
                length = min(span.end_beat, lines[bar + 1]) - max(span.start_beat, lines[bar])
                asked = self.chords[bar % len(self.chords)]
                heard = chord_token(span.root, span.quality)
                agreed += length * (length > 0 and _triad(heard) == _triad(asked))
        return agreed / float(lines[-1])


def refuse_artist(name: str, artists: Sequence[str]) -> SettingError:
    """Return the error for a name that is none of a model's `artists`."""
    names = f"it knows {', '.join(artists)}" if artists else "it knows none"
    return SettingError(
        f"artist {name!r} is refused: a model follows only artists from whose pieces it learned with a licence and a "
        f"consent on file, and {names}"
    )


ANYTHING = Conditions()
"""Nothing is asked for."""


@lru_cache
def _paces(density: tuple[int, int], ticks: int, start: int) -> tuple[IntArray, IntArray]:
    """Return for a bar at tick `start` the least notes by each place (ticks,) and by its end; the most by each place.

    Rounding is carried from bar to bar.
    """
    low, high = density_range(*density)

    def notes(rate: float, tick: IntArray) -> IntArray:
        return np.asarray(np.floor(rate * (start + tick) / GRID) - np.floor(rate * start / GRID), dtype=np.int64)

    places = np.arange(ticks)
    least = notes(low * PACE_LOW, np.append(places - GRID, ticks))
    return least, notes(high * PACE_HIGH, np.minimum(places + GRID, ticks))


def _triad(chord: int) -> tuple[int, bool] | None:
    """Root and whether the third is minor, of a chord's token; None for no chord."""
    if chord == CHORD:
        return None
    quality, root = divmod(chord - CHORD - 1, 12)
    return root, quality in (1, 2, 5)


def tempo_range(word: str) -> tuple[float, float]:
    """Return the lowest and the highest tempo with a token that a word stands for."""
    low, high = TEMPOS[word]
    fits = BPM[(low <= BPM) & ((high > BPM) | (high == BPM[-1]))]
    return float(fits[0]), float(fits[-1])

"""The grammar of tokens: which token may follow, so that whatever is drawn can be decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from generator.data.vocabulary import (
    ARTIST,
    BAR,
    BAR_DENSITY,
    BAR_POLYPHONY,
    BOS,
    CHORD,
    DEFAULT_VELOCITY_STEP,
    DENSITY,
    DRUMS,
    DURATION,
    EOS,
    KEY,
    KIND,
    LONG,
    LONG_TOKEN,
    MAX_LONGS,
    MAX_PARTS,
    METERS,
    MID,
    PAD,
    PART,
    PITCH,
    PLAN,
    POLYPHONY,
    POSITION,
    PROGRAM,
    TEMPO,
    VELOCITY,
    VOCABULARY,
    BoolArray,
    GeneratorError,
    meter_ticks,
)

_AFTER_CONTROL = {
    "BOS": ARTIST, "MID": ARTIST, "Artist": KEY, "Key": DENSITY, "Density": POLYPHONY, "Polyphony": PLAN, "Plan": TEMPO,
}  # fmt: skip
"""First of the tokens that may follow each kind of control; they end with the tempos."""
_IN_PLAN = {
    "Bar": (BAR_DENSITY, BAR_POLYPHONY), "BarDensity": (BAR_POLYPHONY, CHORD), "BarPolyphony": (CHORD, ARTIST),
}  # fmt: skip
"""What must follow in a planned line, first and end."""


@dataclass(slots=True)
class Grammar:
    """Where a token sequence stands, and which tokens may follow.

    Every sequence made by `encode` obeys it, and every sequence that obeys it decodes without a loss. Parts
    at one position follow in rising order and so do the pitches of one part, hence each set of notes has one
    spelling.

    Attributes
    ----------
    last : int
        The token before; ``PAD`` at the very start.
    parts, bars : int
        Declared parts, and bars begun.
    meter : tuple of int
        Of the present bar.
    position : int
        Ticks from the bar's start, -1 before the first ``Position`` of a bar.
    part, pitch : int
        Of the note before at this position; pitch -1 where there is none in this part.
    longs, duration, velocity : int
        ``Long`` tokens waiting for their ``Duration``; ticks (0: no note in this bar yet); step in `VELOCITIES`.
    planned : bool
        Whether the line said ``Plan``.
    chord : int
        Token of the chord in force in a planned line.
    begun, notes : int
        Ticks before the present bar; notes in it.
    """

    last: int = PAD
    parts: int = 0
    bars: int = 0
    meter: tuple[int, int] = (4, 4)
    position: int = -1
    part: int = 0
    pitch: int = -1
    longs: int = 0
    duration: int = 0
    velocity: int = DEFAULT_VELOCITY_STEP
    planned: bool = False
    chord: int = PAD
    begun: int = 0
    notes: int = 0

    def allowed_mask(self) -> BoolArray:
        """Mask (vocabulary,) of the tokens that may come next; all False after ``EOS``."""
        mask = np.zeros(len(VOCABULARY), dtype=bool)
        kind = KIND[self.last]
        if kind == "PAD":
            mask[[BOS, MID]] = True
        elif kind in _AFTER_CONTROL:
            mask[_AFTER_CONTROL[kind] : PROGRAM] = True
        elif self.bars == 0:
            mask[PROGRAM : DRUMS + 1] = self.parts < MAX_PARTS
            mask[BAR:POSITION] = self.parts > 0
        elif kind == "Long":
            mask[LONG_TOKEN] = self.longs < MAX_LONGS
            mask[DURATION + 1 : PITCH] = True
        elif self.planned and kind in _IN_PLAN:
            mask[slice(*_IN_PLAN[kind])] = True
        elif kind != "EOS":
            if kind == "Chord" and self.position < 0:
                kind = "Bar"
            if kind in ("Bar", "Chord", "Tempo", "Pitch"):
                mask[POSITION + self.position + 1 : POSITION + meter_ticks(self.meter)] = True
                mask[BAR:POSITION] = True
                mask[EOS] = True
            if kind == "Position" and self.planned:
                mask[CHORD:ARTIST] = True
                mask[self.chord] = False
            if kind in ("Position", "Chord"):
                mask[TEMPO:PROGRAM] = True
            if kind in ("Position", "Chord", "Tempo", "Pitch"):
                mask[PART + self.part + 1 : PART + self.parts] = True
            if kind != "Bar" and self.pitch < 127:
                mask[PITCH + self.pitch + 1 :] = self.duration > 0
                mask[LONG_TOKEN:PITCH] = kind != "Duration"
                mask[VELOCITY:LONG_TOKEN] = kind not in ("Duration", "Velocity")
        return mask

    def push(self, token: int) -> None:
        """Move on by `token`, which `allowed` must permit.

        Raises
        ------
        GeneratorError
            When the token may not stand here.
        """
        if not 0 <= token < len(VOCABULARY) or not self.allowed_mask()[token]:
            raise GeneratorError(f"token {token} may not follow {VOCABULARY[self.last]!r}; see Grammar.allowed")
        self.advance(token)

    def advance(self, token: int) -> None:
        """Move on by `token`, which is known to be allowed."""
        self.last = token
        match KIND[token]:
            case "Plan":
                self.planned = True
            case "Chord":
                self.chord = token
            case "Program":
                self.parts += 1
            case "Bar":
                self.begun += meter_ticks(self.meter) if self.bars else 0
                self.meter, self.position, self.bars = METERS[token - BAR], -1, self.bars + 1
                self.notes = 0
                self.duration, self.velocity = 0, DEFAULT_VELOCITY_STEP
            case "Position":
                self.position, self.part, self.pitch = token - POSITION, 0, -1
            case "Part":
                self.part, self.pitch = token - PART, -1
            case "Velocity":
                self.velocity = token - VELOCITY
            case "Long":
                self.longs += 1
            case "Duration":
                self.duration, self.longs = LONG * self.longs + token - DURATION, 0
            case "Pitch":
                self.pitch = token - PITCH
                self.notes += 1

    def copy(self) -> Grammar:
        """Return an independent state."""
        return replace(self)

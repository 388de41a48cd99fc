"""Conditions as people write them: keys, chords, tempi, instruments."""

from __future__ import annotations

import re

import numpy as np

from generator.data.attributes import DENSITIES, TEMPOS
from generator.data.vocabulary import CHORD, CLASSES, METERS, SettingError, chord_token
from generator.writing.conditions import BPM, PROGRAMS, Conditions, tempo_range
from music.chords import ROOT_NAMES

_TONIC = r"([A-G])\s*(#|b|♯|♭|[- ]?sharp|[- ]?flat)?"
_KEY = re.compile(_TONIC + r"\s*(major|minor|maj|min|m)?", re.IGNORECASE)
_CHORD = re.compile(r"([A-G])(#|b|♯|♭)?:?(maj7|min7|m7|maj|min|dim|m|M7|7|°)?(/[A-G][#b]?)?")
_QUALITY = {None: "maj", "maj": "maj", "m": "min", "min": "min", "m7": "min7", "M7": "maj7", "°": "dim"}


def _tonic(letter: str, accidental: str | None) -> int:
    sign = (accidental or "").strip(" -").lower()
    return ("C.D.EF.G.A.B".index(letter.upper()) + (sign in ("#", "♯", "sharp")) - (sign in ("b", "♭", "flat"))) % 12


def parse_key(text: str) -> str:
    """Read a key: "A minor", "F# major", "Bb", "ebm".

    Raises
    ------
    SettingError
        When it is none.
    """
    match = _KEY.fullmatch(text.strip())
    if not match:
        raise SettingError(f"key {text!r} can't be read; it is like 'A minor', 'F# major' or 'Bb'")
    minor = (match[3] or "").lower() in ("m", "min", "minor")
    return f"{ROOT_NAMES[_tonic(match[1], match[2])]} {'minor' if minor else 'major'}"


def parse_chords(text: str) -> tuple[int, ...]:
    """Read a progression, one chord a bar: "Am F C G7", "C:maj G:min7 | N"; `SettingError` for what is none."""
    chords = []
    for word in text.replace("|", " ").replace(",", " ").split():
        match = _CHORD.fullmatch(word)
        if match:
            quality = _QUALITY.get(match[3], match[3])
            chords.append(chord_token(_tonic(match[1], match[2]), str(quality)))
        elif word in ("N", "N.C.", "NC"):
            chords.append(CHORD)
        else:
            raise SettingError(f"chord {word!r} can't be read; it is like C, Am, F#m7, Bbmaj7, G7, Bdim, or N for none")
    if not chords:
        raise SettingError("no chords were given; name one a bar, like 'Am F C G'")
    return tuple(chords)


def parse_conditions(
    *,
    key: str | None = None,
    meter: str | None = None,
    tempo: str | None = None,
    density: str | None = None,
    polyphony: int | None = None,
    instruments: str | None = None,
    chords: str | None = None,
    artist: str | None = None,
) -> Conditions:
    """Read conditions as they are written on the command line; None leaves one open.

    Parameters
    ----------
    meter : str
        "3/4".
    tempo : str
        Quarters a minute, or a word of `generator.data.attributes.TEMPOS`.
    density : str
        A class, 0 to 7, or a word of `generator.data.attributes.DENSITIES`.
    polyphony : int
        1 to 7.
    instruments : str
        Names in `PROGRAMS`, separated by commas.

    Raises
    ------
    SettingError
        Naming the value and what is known.
    """
    return Conditions(
        key=parse_key(key) if key is not None else "",
        meter=_meter(meter) if meter is not None else None,
        tempo=_tempo(tempo) if tempo is not None else None,
        density=_density(density) if density is not None else None,
        polyphony=_polyphony(polyphony) if polyphony is not None else None,
        instruments=tuple(_instrument(name) for name in instruments.split(",")) if instruments is not None else (),
        chords=parse_chords(chords) if chords is not None else (),
        artist=artist or "",
    )


def _meter(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text.strip())
    meter = (int(match[1]), int(match[2])) if match else (0, 0)
    if meter not in METERS:
        raise SettingError(f"meter {text!r} can't be written; it is like 4/4, 3/4 or 6/8, at most 8 quarters long")
    return meter


def _tempo(text: str) -> tuple[float, float]:
    if text.strip().lower() in TEMPOS:
        return tempo_range(text.strip().lower())
    try:
        bpm = float(text)
    except ValueError:
        raise SettingError(
            f"tempo {text!r} is no number of quarters a minute, and none of {', '.join(TEMPOS)}"
        ) from None
    if not BPM[0] <= bpm <= BPM[-1]:
        raise SettingError(f"tempo {text} is out of range: {BPM[0]} to {BPM[-1]} quarters a minute")
    nearest = float(BPM[np.abs(BPM - bpm).argmin()])
    return nearest, nearest


def _density(text: str) -> tuple[int, int]:
    word = text.strip().lower()
    if word in DENSITIES:
        return DENSITIES[word]
    if not re.fullmatch(r"[0-7]", word):
        raise SettingError(f"density {text!r} is no class from 0 to 7, and none of {', '.join(DENSITIES)}")
    return int(word), int(word)


def _polyphony(value: int) -> tuple[int, int]:
    if not 1 <= value < CLASSES:
        raise SettingError(f"polyphony {value} is out of range: 1 to {CLASSES - 1} notes at a time")
    return value, value


def _instrument(name: str) -> str:
    word = name.strip().lower()
    if word not in PROGRAMS:
        raise SettingError(f"instrument {name.strip()!r} is not known; known are {', '.join(PROGRAMS)}")
    return word

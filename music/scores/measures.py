"""Measures of a MusicXML score, by instrument, and the values that stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import NamedTuple, TypeVar
from xml.etree.ElementTree import Element

from music.notes import DEFAULT_BPM, DEFAULT_TICKS, MusicError
from music.scores.repeats import Signs

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
UNITS: dict[str, float] = {
    **{"maxima": 32.0, "long": 16.0, "breve": 8.0, "whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5},
    **{f"{2**k}{'nd' if k == 5 else 'th'}": 4 / 2**k for k in range(4, 11)},
}
MAX_TICKS = 32767  # a quarter, in a MIDI file
T = TypeVar("T")


class Sound(NamedTuple):
    """A note of a printed bar: ticks from the bar's start, ticks, and whether ties join it to its neighbours."""

    start: float
    ticks: float
    pitch: int
    velocity: int
    part: int
    tied_from: bool
    tied_on: bool
    passes: frozenset[int]


@dataclass(slots=True)
class Bar:
    """A printed bar, of all parts."""

    number: str
    implicit: bool
    sounds: list[Sound] = field(default_factory=list)
    ticks: float = 0.0
    rest_ticks: float = 0.0  # of rests that fill a bar, whatever its length
    tempos: list[tuple[float, float]] = field(default_factory=list)  # ticks from its start, bpm
    meters: list[tuple[float, int, int]] = field(default_factory=list)  # ticks from its start, numerator, denominator
    signs: Signs = field(default_factory=Signs)


class Measure(NamedTuple):
    """The part of one bar that one instrument plays."""

    number: str
    implicit: bool
    elements: Element


def ticks_of(root: Element) -> int:
    """Ticks a quarter, `DEFAULT_TICKS` or more, that hold every ``divisions`` of a score; of too many, some."""
    ticks = 1
    for element in root.iter("divisions"):
        value = read_number(element.text, "divisions")
        if value > 0 and value == int(value):
            ticks = lcm(ticks, int(value))
            if ticks > MAX_TICKS:
                return DEFAULT_TICKS
    return ticks * -(-DEFAULT_TICKS // ticks) if ticks < DEFAULT_TICKS else ticks


def read_parts(root: Element) -> dict[str, list[Measure]]:
    """Measures of each part, in order; a score may hold parts of measures or measures of parts."""
    parts: dict[str, list[Measure]] = {}
    if root.tag == "score-partwise":
        for part in root.findall("part"):
            for measure in part.findall("measure"):
                parts.setdefault(part.get("id", ""), []).append(_measure(measure, measure))
        return parts
    for bar, measure in enumerate(root.findall("measure")):
        for part in measure.findall("part"):
            mine = parts.setdefault(part.get("id", ""), [])
            mine += [Measure(measure.get("number", ""), False, Element("part"))] * (bar - len(mine))
            mine.append(_measure(measure, part))
    return parts


def _measure(about: Element, elements: Element) -> Measure:
    return Measure(printable_line(about.get("number", ""))[:16], about.get("implicit") == "yes", elements)


def marks_in_force(bars: list[Bar]) -> Iterator[tuple[float, tuple[int, int]]]:
    """Tempo and meter at the start of each printed bar."""
    tempo, meter = DEFAULT_BPM, (4, 4)
    for bar in bars:
        if bar.meters and bar.meters[0][0] == 0:
            meter = bar.meters[0][1:]
        yield tempo, meter
        tempo = bar.tempos[-1][1] if bar.tempos else tempo
        meter = bar.meters[-1][1:] if bar.meters else meter


def keep_changes(marks: list[tuple[float, T]]) -> list[tuple[float, T]]:
    """Leave out what is in force already; of several at one place the last holds."""
    changes: list[tuple[float, T]] = []
    for at, value in dict(marks).items():
        if not changes or changes[-1][1] != value:
            changes.append((at, value))
    return changes


def read_meter(time: Element) -> tuple[int, int] | None:
    """Numerator and denominator, of several added up; None where there are none (senza misura)."""
    total, denominator = Fraction(0), 1
    for beats, kind in zip(time.findall("beats"), time.findall("beat-type"), strict=False):
        numbers = re.findall(r"\d{1,4}", beats.text or "")
        unit = int(read_number(kind.text, "beat-type"))
        if not numbers or not 1 <= unit <= 1024:
            return None
        total += Fraction(sum(map(int, numbers)), unit)
        denominator = max(denominator, unit)
    if total <= 0:
        return None
    exact = max(denominator, total.denominator)
    return round(total * exact), exact


def quarters_of_bar(meter: tuple[float, int, int]) -> float:
    """Return the length of a bar in quarters; `meter` is (beat, numerator, denominator)."""
    return 4.0 * meter[1] / meter[2]


def read_metronome(metronome: Element) -> float | None:
    """Quarters a minute of a drawn tempo; None where it gives no number."""
    number = re.search(r"\d{1,4}(\.\d{1,4})?", metronome.findtext("per-minute") or "")
    unit = UNITS.get((metronome.findtext("beat-unit") or "").strip())
    if not number or not unit:
        return None
    dots = len(metronome.findall("beat-unit-dot"))
    return float(number[0]) * unit * (2 - 0.5**dots)


def read_number(text: str | None, what: str) -> float:
    """Return the number in a text, below 1e9; raises `MusicError` naming `what`."""
    try:
        value = float((text or "").strip()[:32])
    except ValueError:
        raise MusicError(f"{what} {(text or '').strip()[:32]!r} is no number") from None
    if not abs(value) < 1e9:
        raise MusicError(f"{what} {value} is out of range")
    return value


def printable_line(text: str) -> str:
    """One printable line of at most 80 characters: names end up in reports."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:80]

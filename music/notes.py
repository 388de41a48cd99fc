"""The one type that every layer passes on: `NoteSequence`.

Conventions
-----------
Time is counted in quarter notes ("beats", columns ``*_beat``) and in seconds (``*_s``); the tempo map
links the two. Notes are sorted by (onset, pitch, part). Parts keep the order of the file. Drum notes stay
in the sequence, marked by their part; every melodic or harmonic feature leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_BPM = 120.0  # Standard MIDI File 1.0: without a tempo event the tempo is 120 beats a minute
DEFAULT_TICKS = 480

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class MusicError(ValueError):
    """Raised when a file can't be read as music; the message names file, value and rule."""


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument's line: name, General MIDI program 0-127, and whether it is the drum channel."""

    name: str = ""
    program: int = 0
    is_drum: bool = False


@dataclass(frozen=True, slots=True)
class Tempo:
    """`bpm` quarter notes a minute from `beat` (quarters from the start) on."""

    beat: float
    bpm: float


@dataclass(frozen=True, slots=True)
class TimeSignature:
    """`numerator`/`denominator` from `beat` (quarters from the start) on."""

    beat: float
    numerator: int
    denominator: int

    @property
    def bar_beats(self) -> float:
        """Length of one bar in quarters."""
        return self.numerator * 4.0 / self.denominator


@dataclass(frozen=True, slots=True, eq=False)
class NoteSequence:
    """A piece or a track as columns of equal length n, sorted by (onset_beat, pitch, part).

    Attributes
    ----------
    onset_beat, duration_beat : float64 (n,)
        Quarters from the start, >= 0; durations > 0.
    onset_s, duration_s : float64 (n,)
        The same in seconds, through the tempo map.
    pitch, velocity : int64 (n,)
        MIDI pitch 0-127 (60 = middle C) and velocity 1-127.
    part : int64 (n,)
        Index into `parts`.
    parts : tuple of Part
    tempos : tuple of Tempo
        Sorted, the first at beat 0.
    time_signatures : tuple of TimeSignature
        Sorted, the first at beat 0.
    ticks_per_quarter : int
        Resolution of the file it came from, so that writing it back is exact.
    title : str
    """

    onset_beat: FloatArray
    duration_beat: FloatArray
    onset_s: FloatArray
    duration_s: FloatArray
    pitch: IntArray
    velocity: IntArray
    part: IntArray
    parts: tuple[Part, ...]
    tempos: tuple[Tempo, ...]
    time_signatures: tuple[TimeSignature, ...]
    ticks_per_quarter: int = DEFAULT_TICKS
    title: str = ""

    def __len__(self) -> int:
        """Count the notes."""
        return len(self.pitch)

    @property
    def end_s(self) -> float:
        """Second at which the last note ends; 0.0 without notes."""
        return float(np.max(self.onset_s + self.duration_s)) if len(self) else 0.0

    @property
    def end_beat(self) -> float:
        """Quarter at which the last note ends; 0.0 without notes."""
        return float(np.max(self.onset_beat + self.duration_beat)) if len(self) else 0.0

    @property
    def is_drum(self) -> NDArray[np.bool_]:
        """Mask (n,): True where the note belongs to a drum part."""
        drums = np.array([p.is_drum for p in self.parts], dtype=bool)
        return drums[self.part]

    def select(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> NoteSequence:
        """Return the notes that `mask` (boolean) or index array keeps; parts and maps stay."""
        return build(
            self.onset_beat[mask],
            self.duration_beat[mask],
            self.pitch[mask],
            self.velocity[mask],
            self.part[mask],
            parts=self.parts,
            tempos=self.tempos,
            time_signatures=self.time_signatures,
            ticks_per_quarter=self.ticks_per_quarter,
            title=self.title,
        )

    def clip(self, start_s: float, end_s: float) -> NoteSequence:
        """Return the notes that start in [start_s, end_s), kept at their places."""
        return self.select((self.onset_s >= start_s - 1e-9) & (self.onset_s < end_s - 1e-9))

    def transpose(self, semitones: int) -> NoteSequence:
        """Shift every pitched note by `semitones`; notes that would leave 0-127 move by octaves back in."""
        moved = self.pitch + np.where(self.is_drum, 0, semitones)
        moved = np.where(moved > 127, moved - 12 * ((moved - 116) // 12), moved)
        moved = np.where(moved < 0, moved + 12 * ((11 - moved) // 12), moved)
        return build(
            self.onset_beat,
            self.duration_beat,
            moved,
            self.velocity,
            self.part,
            parts=self.parts,
            tempos=self.tempos,
            time_signatures=self.time_signatures,
            ticks_per_quarter=self.ticks_per_quarter,
            title=self.title,
        )

    def bar_at(self, beat: float) -> float:
        """Bar number at `beat`, 1-based; the fraction tells how far into the bar."""
        bars = 1.0
        for here, later in zip(self.time_signatures, (*self.time_signatures[1:], None), strict=True):
            end = beat if later is None else min(beat, later.beat)
            bars += max(0.0, end - here.beat) / here.bar_beats
            if later is None or beat < later.beat:
                break
        return bars

    def onset_bars(self) -> FloatArray:
        """Bar number of each note's onset (notes,), as `bar_at`."""
        return np.array([self.bar_at(float(beat)) for beat in self.onset_beat], dtype=np.float64)

    def seconds_at(self, beats: ArrayLike) -> FloatArray:
        """Seconds at quarters `beats` (any shape)."""
        return beats_to_seconds(np.asarray(beats, dtype=np.float64), self.tempos)

    def beats_at(self, seconds: ArrayLike) -> FloatArray:
        """Quarters at `seconds` (any shape)."""
        wanted = np.asarray(seconds, dtype=np.float64)
        starts, spb = _tempo_columns(self.tempos)
        at = np.concatenate([[0.0], np.cumsum(np.diff(starts) * spb[:-1])])
        i = np.clip(np.searchsorted(at, wanted, side="right") - 1, 0, len(starts) - 1)
        return np.asarray(starts[i] + (wanted - at[i]) / spb[i], dtype=np.float64)


def _tempo_columns(tempos: Sequence[Tempo]) -> tuple[FloatArray, FloatArray]:
    starts = np.array([t.beat for t in tempos], dtype=np.float64)
    seconds_per_beat = np.array([60.0 / t.bpm for t in tempos], dtype=np.float64)
    return starts, seconds_per_beat


def beats_to_seconds(beats: FloatArray, tempos: Sequence[Tempo]) -> FloatArray:
    """Seconds at quarters `beats` under the piecewise constant `tempos`."""
    starts, spb = _tempo_columns(tempos)
    at = np.concatenate([[0.0], np.cumsum(np.diff(starts) * spb[:-1])])
    i = np.clip(np.searchsorted(starts, beats, side="right") - 1, 0, len(starts) - 1)
    return np.asarray(at[i] + (beats - starts[i]) * spb[i], dtype=np.float64)


def build(
    onset_beat: ArrayLike,
    duration_beat: ArrayLike,
    pitch: ArrayLike,
    velocity: ArrayLike | None = None,
    part: ArrayLike | None = None,
    *,
    parts: Sequence[Part] = (Part(),),
    tempos: Sequence[Tempo] = (),
    time_signatures: Sequence[TimeSignature] = (),
    ticks_per_quarter: int = DEFAULT_TICKS,
    title: str = "",
) -> NoteSequence:
    """Make a `NoteSequence` from columns in quarters; the only place where one is validated.

    Parameters
    ----------
    onset_beat, duration_beat : array_like (n,)
        Quarters; onsets >= 0 and finite, durations > 0 and finite.
    pitch : array_like (n,)
        0-127.
    velocity : array_like (n,), optional
        1-127, 80 where not given.
    part : array_like (n,), optional
        Index into `parts`, 0 where not given.
    tempos, time_signatures : sequences, optional
        Sorted by beat; 120 bpm and 4/4 at beat 0 are put in front when nothing is said there.

    Raises
    ------
    MusicError
        When a column has another length or a value out of range.
    """
    onset = np.asarray(onset_beat, dtype=np.float64).reshape(-1)
    n = len(onset)
    duration = np.asarray(duration_beat, dtype=np.float64).reshape(-1)
    pitches = np.asarray(pitch, dtype=np.int64).reshape(-1)
    velocities = np.full(n, 80) if velocity is None else np.asarray(velocity, dtype=np.int64).reshape(-1)
    owners = np.zeros(n, np.int64) if part is None else np.asarray(part, dtype=np.int64).reshape(-1)
    for name, column in (
        ("duration", duration),
        ("pitch", pitches),
        ("velocity", velocities),
        ("part", owners),
    ):
        if len(column) != n:
            raise MusicError(f"column {name} has {len(column)} values where onset has {n}")
    if n:
        _check("onset", onset, 0.0, np.inf)
        _check("duration", duration, 0.0, np.inf)
        _check("pitch", pitches, 0, 127)
        _check("velocity", velocities, 1, 127)
        _check("part", owners, 0, len(parts) - 1)
        if not (duration > 0).all():
            raise MusicError("a note has duration 0; durations are > 0")
    bpm = sorted(tempos, key=lambda t: t.beat)
    if not bpm or bpm[0].beat > 0:
        bpm.insert(0, Tempo(0.0, DEFAULT_BPM))
    meters = sorted(time_signatures, key=lambda t: t.beat)
    if not meters or meters[0].beat > 0:
        meters.insert(0, TimeSignature(0.0, 4, 4))
    order = np.lexsort((owners, pitches, onset))
    onset, duration = onset[order], duration[order]
    onset_s = beats_to_seconds(onset, bpm)
    end_s = beats_to_seconds(onset + duration, bpm)
    columns = (
        onset,
        duration,
        onset_s,
        end_s - onset_s,
        pitches[order],
        velocities[order].astype(np.int64),
        owners[order],
    )
    for column in columns:
        column.flags.writeable = False
    return NoteSequence(*columns, tuple(parts), tuple(bpm), tuple(meters), ticks_per_quarter, title)


def _check(name: str, column: FloatArray | IntArray, low: float, high: float) -> None:
    bad = ~((column >= low) & (column <= high) & np.isfinite(column))
    if bad.any():
        raise MusicError(f"note {int(np.argmax(bad))}: {name} {column[np.argmax(bad)]} is outside {low}..{high}")

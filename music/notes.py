"""The one type that every layer passes on: `NoteSequence`.

Conventions
-----------
Time is counted in quarter notes ("beats", columns ``*_beat``) and in seconds (``*_s``); the tempo map
links the two. Notes are sorted by (onset, pitch, part). Parts keep the order of the file. Drum notes stay
in the sequence, marked by their part; every melodic or harmonic feature leaves them out.

Bars count from 1 at the first one, as they are played. A score's bars are those it prints (a pickup is bar 1, the two
halves of a split bar are one); elsewhere they follow from the meters, each of which begins a bar wherever it stands.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_BPM = 120.0  # Standard MIDI File 1.0: without a tempo event the tempo is 120 beats a minute
DEFAULT_TICKS = 480
MAX_BARS = 1_000_000
BAR_SLACK = 1 / 16  # quarters: a meter that misses a bar line by less moves it, and makes no bar of its own

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class MusicError(ValueError):
    """Raised when a file can't be read as music; the message names file, value and rule."""


@dataclass(frozen=True, slots=True)
class Part:
    """One instrument's line: name, General MIDI program 0-127, and whether it is the drum channel.

    Parts with the same `track`, 0 or more, were filed together: as channels or programs of one MIDI track, or as staves
    of one part of a score. `channel` is that of a MIDI file, 0-15. -1: nothing is known.
    """

    name: str = ""
    program: int = 0
    is_drum: bool = False
    track: int = -1
    channel: int = -1


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
    bar_starts : float64 (b,)
        Quarters at which bars begin, rising from 0; the last meter goes on behind them.
    bar_numbers : tuple of str
        What a score prints at each of its bars; () elsewhere.
    remarks : tuple of str
        What reading left out or mended, with counts.
    unread : tuple of str
        What of the file was not read, as where it was cut short. The notes are then not the whole music.
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
    ticks_per_quarter: int
    title: str
    bar_starts: FloatArray
    bar_numbers: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

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

    def with_notes(
        self,
        onset_beat: ArrayLike,
        duration_beat: ArrayLike,
        pitch: ArrayLike,
        velocity: ArrayLike | None = None,
        part: ArrayLike | None = None,
    ) -> NoteSequence:
        """Return other notes, as `build` takes them, under the same parts, tempos, meters and bars."""
        return build(
            onset_beat,
            duration_beat,
            pitch,
            velocity,
            part,
            parts=self.parts,
            tempos=self.tempos,
            time_signatures=self.time_signatures,
            ticks_per_quarter=self.ticks_per_quarter,
            title=self.title,
            bar_starts=self.bar_starts,
            bar_numbers=self.bar_numbers,
            remarks=self.remarks,
            unread=self.unread,
        )

    def select(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> NoteSequence:
        """Return the notes that `mask` (boolean) or index array keeps; parts and maps stay."""
        return self.with_notes(
            self.onset_beat[mask], self.duration_beat[mask], self.pitch[mask], self.velocity[mask], self.part[mask]
        )

    def clip(self, start_s: float, end_s: float) -> NoteSequence:
        """Return the notes that start in [start_s, end_s), kept at their places."""
        return self.select((self.onset_s >= start_s - 1e-9) & (self.onset_s < end_s - 1e-9))

    def transpose(self, semitones: int) -> NoteSequence:
        """Shift every pitched note by `semitones`; notes that would leave 0-127 move by octaves back in."""
        moved = self.pitch + np.where(self.is_drum, 0, semitones)
        moved = np.where(moved > 127, moved - 12 * ((moved - 116) // 12), moved)
        moved = np.where(moved < 0, moved + 12 * ((11 - moved) // 12), moved)
        return self.with_notes(self.onset_beat, self.duration_beat, moved, self.velocity, self.part)

    def bars_at(self, beats: ArrayLike) -> FloatArray:
        """Bar numbers at quarters `beats` (any shape), 1-based; the fraction tells how far into the bar."""
        wanted = np.asarray(beats, dtype=np.float64)
        number = np.maximum(np.searchsorted(self.bar_starts, wanted, side="right") - 1, 0)
        lengths = np.append(np.diff(self.bar_starts), self._last_bar)
        return np.asarray(1.0 + number + (wanted - self.bar_starts[number]) / lengths[number], dtype=np.float64)

    def bar_at(self, beat: float) -> float:
        """Bar number at `beat`, 1-based; the fraction tells how far into the bar."""
        return float(self.bars_at(beat))

    def onset_bars(self) -> FloatArray:
        """Bar number of each note's onset (notes,), as `bar_at`."""
        return self.bars_at(self.onset_beat)

    def bar_line(self, beat: float) -> tuple[float, float]:
        """Quarter of the last bar line up to `beat`, and the length in quarters of the bar that it begins."""
        number = int(self.bar_at(beat))
        start, end = self.bar_span(number)
        return start, end - start

    def bar_span(self, number: int) -> tuple[float, float]:
        """Quarters at which bar `number`, 1-based, begins and ends."""
        past = number - len(self.bar_starts)
        if past < 0:
            return float(self.bar_starts[number - 1]), float(self.bar_starts[number])
        start = float(self.bar_starts[-1]) + past * self._last_bar
        return start, start + self._last_bar

    def printed_bar(self, beat: float) -> str:
        """Return the number that the score prints at the bar of `beat`; where there is none, that of `bar_at`."""
        number = int(self.bar_at(beat))
        return self.bar_numbers[number - 1] if number <= len(self.bar_numbers) else str(number)

    @property
    def _last_bar(self) -> float:
        starts = [t.beat for t in self.time_signatures]
        return self.time_signatures[max(bisect_right(starts, float(self.bar_starts[-1])) - 1, 0)].bar_beats

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
    bar_starts: ArrayLike | None = None,
    bar_numbers: Sequence[str] = (),
    remarks: Sequence[str] = (),
    unread: Sequence[str] = (),
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
    bar_starts : array_like (b,), optional
        Where bars begin, rising from 0; from the meters (`bars_of`) where not given.
    bar_numbers : sequence of str, optional
        One for each of `bar_starts`, or none.

    Raises
    ------
    MusicError
        When a column has another length or a value out of range, a tempo or meter is none, or with more than
        `MAX_BARS` bars.
    """
    onset = np.asarray(onset_beat, dtype=np.float64).reshape(-1)
    n = len(onset)
    duration = np.asarray(duration_beat, dtype=np.float64).reshape(-1)
    pitches = np.asarray(pitch, dtype=np.int64).reshape(-1)
    velocities = np.full(n, 80) if velocity is None else np.asarray(velocity, dtype=np.int64).reshape(-1)
    owners = np.zeros(n, np.int64) if part is None else np.asarray(part, dtype=np.int64).reshape(-1)
    for name, column in (("duration", duration), ("pitch", pitches), ("velocity", velocities), ("part", owners)):
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
    _check_times(bpm, meters, ticks_per_quarter)
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
    if bar_starts is None:
        bars = bars_of(meters, float((onset + duration).max()) if n else 0.0)
    else:
        bars = np.array(bar_starts, dtype=np.float64).reshape(-1)
        if not len(bars) or bars[0] != 0 or not np.isfinite(bars).all() or (np.diff(bars) <= 0).any():
            raise MusicError("bars do not begin at quarter 0 and rise from there")
        if bar_numbers and len(bar_numbers) != len(bars):
            raise MusicError(f"{len(bar_numbers)} bar numbers for {len(bars)} bars")
    for column in (*columns, bars):
        column.flags.writeable = False
    return NoteSequence(
        *columns, tuple(parts), tuple(bpm), tuple(meters), ticks_per_quarter, title,
        bars, tuple(bar_numbers), tuple(remarks), tuple(unread),
    )  # fmt: skip


def bars_of(meters: Sequence[TimeSignature], end: float) -> FloatArray:
    """Quarters at which bars begin, up to quarter `end`, where only meters (sorted, the first at 0) are known.

    Every meter begins a bar, also in the middle of one: so MIDI files say that a bar is short.
    """
    starts, bars = [], 0
    for here, later in zip(meters, (*(t.beat for t in meters[1:]), None), strict=True):
        reach = max(end, here.beat + here.bar_beats) if later is None else later
        count = max(int(np.ceil((reach - here.beat - BAR_SLACK) / here.bar_beats)), 0)
        bars += count
        if bars > MAX_BARS:
            raise MusicError(f"more than {MAX_BARS} bars; that is the limit")
        starts.append(here.beat + here.bar_beats * np.arange(count))
    beats = np.concatenate(starts)
    beats[0] = 0.0
    return beats


def _check_times(tempos: Sequence[Tempo], meters: Sequence[TimeSignature], ticks_per_quarter: int) -> None:
    for tempo in tempos:
        if not (0 < tempo.bpm < np.inf and np.isfinite(tempo.beat)):
            raise MusicError(f"tempo {tempo.bpm} at quarter {tempo.beat}; tempos are finite and > 0")
    for meter in meters:
        if not (meter.numerator > 0 < meter.denominator and 0 < meter.bar_beats < np.inf and np.isfinite(meter.beat)):
            raise MusicError(f"meter {meter.numerator}/{meter.denominator} at quarter {meter.beat}")
    if ticks_per_quarter < 1:
        raise MusicError(f"{ticks_per_quarter} ticks a quarter; there is at least one")


def _check(name: str, column: FloatArray | IntArray, low: float, high: float) -> None:
    bad = ~((column >= low) & (column <= high) & np.isfinite(column))
    if bad.any():
        raise MusicError(f"note {int(np.argmax(bad))}: {name} {column[np.argmax(bad)]} is outside {low}..{high}")

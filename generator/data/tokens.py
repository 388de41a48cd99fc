"""Music as a line of integers: an own REMI-like vocabulary, its grammar, and the way back.

Conventions
-----------
A piece reads ``BOS Tempo Program+ (Bar (Position event*)*)* EOS``, an event being ``[Tempo] [Part] [Velocity]
[Long* Duration] Pitch``. The i-th ``Program`` declares part i; a window that starts inside a piece says
``MID`` in place of ``BOS``. The idea of bars and positions is REMI's (Huang and Yang, ACM MM 2020).

Between ``BOS`` and ``Tempo`` there may be *controls*, which say what the music is like: ``[Artist] [Key] [Density]
[Polyphony] [Plan]``. A line that says ``Plan`` writes down its bars before it fills them: every ``Bar`` is followed by
``BarDensity BarPolyphony Chord``, and a ``Position`` at which the chord changes by another ``Chord``. A line without it
has none of these tokens, so it is as short as if they did not exist. What the classes mean stands in
`generator.data.attributes`. None of this changes the notes: ``decode`` reads them alike in both modes.

Departures from REMI, all to make sequences shorter:

* ``Bar`` carries its meter, so no separate meter token is needed.
* ``Part`` is left out for part 0: every ``Position`` starts there, and parts follow in rising order.
* ``Duration`` and ``Velocity`` hold until said anew or until the next ``Bar`` (which forgets the duration and
  goes back to velocity 80), so a window may start at any bar and a chord of equal notes costs one duration.

The grid has 24 ticks a quarter, the coarsest that holds 32nds (3 ticks) and triplets of 16ths (4 ticks). What
a sequence keeps on its way through the tokens is exactly `quantise` of it: ``decode(encode(s)) ==
quantise(s)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from generator.data.grammar import Grammar
from generator.data.vocabulary import (
    ARTIST,
    BAR,
    BAR_DENSITY,
    BAR_POLYPHONY,
    BOS,
    BPM_COUNT,
    BPM_FIRST,
    BPM_STEP,
    CHORD,
    DEFAULT_VELOCITY_STEP,
    DRUMS,
    DURATION,
    EOS,
    GRID,
    KEY,
    KIND,
    LONG,
    LONG_TOKEN,
    MAX_BAR_TICKS,
    MAX_BARS,
    MAX_LONGS,
    MAX_PARTS,
    METERS,
    MID,
    PART,
    PITCH,
    PLAN,
    POSITION,
    PROGRAM,
    QUALITIES,
    TEMPO,
    VELOCITIES,
    VELOCITY,
    VOCABULARY,
    BoolArray,
    GeneratorError,
    IntArray,
    meter_ticks,
)
from music.notes import NoteSequence, Part, Tempo, TimeSignature, build

_METER_OF_TICKS = {meter_ticks(meter): meter for meter in reversed(METERS)}
_LENGTHS = sorted(_METER_OF_TICKS, reverse=True)
CLOSE = 2  # ticks by which a bar line may miss the grid's


@dataclass(frozen=True, slots=True)
class _Layout:
    """A sequence on the grid: ticks, bars as (start, meter), tempos as (tick, step), notes as written."""

    onset: IntArray
    duration: IntArray
    pitch: IntArray
    velocity: IntArray  # step
    part: IntArray
    parts: tuple[Part, ...]
    bars: tuple[tuple[int, tuple[int, int]], ...]
    tempos: tuple[tuple[int, int], ...]


def _lay_out(sequence: NoteSequence) -> _Layout:
    onset = np.rint(sequence.onset_beat * GRID).astype(np.int64)
    duration = np.clip(np.rint(sequence.duration_beat * GRID), 1, LONG * (MAX_LONGS + 1)).astype(np.int64)
    velocity = np.abs(sequence.velocity[:, None] - np.array(VELOCITIES)).argmin(axis=1)
    used, part = np.unique(sequence.part, return_inverse=True)
    if len(used) > MAX_PARTS:
        raise GeneratorError(f"{sequence.title!r}: {len(used)} parts with notes; the vocabulary has {MAX_PARTS}")
    if len(onset) and onset.max() >= MAX_BARS * MAX_BAR_TICKS:
        raise GeneratorError(
            f"{sequence.title!r}: a note at quarter {onset.max() // GRID}; "
            f"the limit is {MAX_BARS * MAX_BAR_TICKS // GRID}"
        )
    # One note for each (part, onset, pitch), the longest; and it ends where the next of its pitch begins.
    order = np.lexsort((-duration, onset, sequence.pitch, part))
    onset, duration, velocity, part = onset[order], duration[order], velocity[order], part[order]
    pitch = sequence.pitch[order]
    same_line = (np.diff(part) == 0) & (np.diff(pitch) == 0)
    keep = np.concatenate([[True], ~(same_line & (np.diff(onset) == 0))])[: len(onset)]
    onset, duration, velocity, part, pitch = (c[keep] for c in (onset, duration, velocity, part, pitch))
    same_line = (np.diff(part) == 0) & (np.diff(pitch) == 0)
    duration[:-1] = np.where(same_line, np.minimum(duration[:-1], np.diff(onset)), duration[:-1])
    order = np.lexsort((pitch, part, onset))
    parts = tuple(
        Part(program=0 if p.is_drum else p.program, is_drum=p.is_drum) for p in (sequence.parts[i] for i in used)
    )
    last = int(onset.max()) if len(onset) else 0
    bars = _bars(sequence, last)
    return _Layout(
        onset[order],
        duration[order],
        pitch[order],
        velocity[order],
        part[order],
        parts or (Part(),),
        bars,
        _tempos(sequence.tempos, bars[-1][0] + meter_ticks(bars[-1][1])),
    )


def _bars(sequence: NoteSequence, last: int) -> tuple[tuple[int, tuple[int, int]], ...]:
    """Bars of a sequence from tick 0 to the one that holds tick `last`.

    A bar has the meter in force there where that is as long as the bar is, and otherwise one of its length (a pickup of
    one quarter is a bar of 1/4). One that is longer than any meter, or of a length that none has, is written as
    several; what remains of less than the shortest meter goes to the next bar.
    """
    starts = np.rint(sequence.bar_starts * GRID).astype(np.int64).tolist()
    follow = round(sequence.bar_line(float(sequence.bar_starts[-1]))[1] * GRID)
    while follow > 0 and starts[-1] <= last:
        starts.append(starts[-1] + follow)
    meters = [(round(s.beat * GRID), (s.numerator, s.denominator)) for s in sequence.time_signatures]
    bars: list[tuple[int, tuple[int, int]]] = []
    tick, i = 0, 0
    for start, end in pairwise(starts):
        while i + 1 < len(meters) and meters[i + 1][0] <= start + CLOSE:
            i += 1
        said = meters[i][1]
        while end - tick >= _LENGTHS[-1] and tick <= last:
            meter = said
            if said not in METERS or abs(meter_ticks(said) - (end - tick)) > CLOSE:
                length = next(ticks for ticks in _LENGTHS if ticks <= end - tick)
                meter = _METER_OF_TICKS[length]
            bars.append((tick, meter))
            tick += meter_ticks(meter)
    while tick <= last:  # in bars shorter than any meter has
        bars.append((tick, (4, 4)))
        tick += meter_ticks((4, 4))
    return tuple(bars)


def _tempos(tempos: Sequence[Tempo], end: int) -> tuple[tuple[int, int], ...]:
    """Return changes of tempo before tick `end` as (tick, step)."""
    steps: dict[int, int] = {}
    for tempo in tempos:
        step = round((tempo.bpm - BPM_FIRST) / BPM_STEP)
        steps[round(tempo.beat * GRID)] = min(max(step, 0), BPM_COUNT - 1)
    changes: list[tuple[int, int]] = []
    for tick, step in sorted(steps.items()):
        if tick < end and (not changes or changes[-1][1] != step):
            changes.append((tick, step))
    return tuple(changes)


def _sequence(layout: _Layout, title: str = "") -> NoteSequence:
    meters = [
        bar for before, bar in zip((None, *layout.bars), layout.bars, strict=False) if not before or before[1] != bar[1]
    ]
    return build(
        layout.onset / GRID,
        layout.duration / GRID,
        layout.pitch,
        np.array(VELOCITIES)[layout.velocity],
        layout.part,
        parts=layout.parts,
        tempos=[Tempo(tick / GRID, BPM_FIRST + BPM_STEP * step) for tick, step in layout.tempos],
        time_signatures=[TimeSignature(tick / GRID, *meter) for tick, meter in meters],
        title=title,
    )


def quantise(sequence: NoteSequence) -> NoteSequence:
    """Return what the tokens keep of `sequence`.

    Onsets and durations to 1/24 quarter (durations 1 tick to 64 quarters), velocities to the nearest of
    `VELOCITIES`, tempos to the nearest of 24, 27 .. 300 bpm; bars begin where they do, with a meter of their length.
    Parts without notes and the names of parts go; so do double notes (one part, one onset, one pitch: the
    longest stays), and a note ends where its part strikes the same pitch again.

    Raises
    ------
    GeneratorError
        With more than 32 parts, or a note later than 32,768 quarters.
    """
    return _sequence(_lay_out(sequence), sequence.title)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planned line writes down of its bars.

    Attributes
    ----------
    bars : tuple of (int, int)
        Classes of density and polyphony of each bar; as many as the music has bars.
    chords : tuple of (int, int)
        Tick and token (``CHORD`` and up) of each change of chord, in order; ``Chord N`` holds before the first. A
        change to the chord in force is left out, and so is one behind the last bar.
    """

    bars: tuple[tuple[int, int], ...]
    chords: tuple[tuple[int, int], ...] = ()


def bar_lines(sequence: NoteSequence) -> IntArray:
    """Ticks (bars + 1,) at which the bars of a `quantise`-d sequence begin, and the end of the last."""
    bars = _lay_out(sequence).bars
    return np.array([start for start, _ in bars] + [bars[-1][0] + meter_ticks(bars[-1][1])], dtype=np.int64)


def encode(sequence: NoteSequence, controls: Sequence[int] = (), plan: Plan | None = None) -> list[int]:
    """Write a sequence as tokens, ``BOS`` to ``EOS``; the module has the grammar, `quantise` the loss.

    A sequence without notes gives one part and one empty bar.

    Parameters
    ----------
    controls : sequence of int
        Tokens ``Artist``, ``Key``, ``Density``, ``Polyphony``, in this order, each at most once.
    plan : Plan, optional
        Makes a planned line.

    Raises
    ------
    GeneratorError
        As `quantise`; or for a plan with another number of bars.
    """
    layout = _lay_out(sequence)
    tokens = [BOS, *controls, *([PLAN] if plan else []), TEMPO + layout.tempos[0][1]]
    tokens += [DRUMS if part.is_drum else PROGRAM + part.program for part in layout.parts]
    tempos = dict(layout.tempos[1:])
    chord, chords = CHORD, dict(plan.chords if plan else ())
    if plan and len(plan.bars) != len(layout.bars):
        raise GeneratorError(f"{sequence.title!r}: a plan of {len(plan.bars)} bars; the music has {len(layout.bars)}")
    last = layout.bars[-1][0] + meter_ticks(layout.bars[-1][1])
    changes = [tick for tick in [*tempos, *chords] if tick < last]
    ticks = np.union1d(layout.onset, np.array(changes, dtype=np.int64))
    first_note = np.searchsorted(layout.onset, [*ticks, np.iinfo(np.int64).max])
    columns = [c.tolist() for c in (layout.part, layout.pitch, layout.duration, layout.velocity)]
    bar_ends = [start for start, _ in layout.bars[1:]] + [np.iinfo(np.int64).max]
    i = 0
    for bar, ((start, meter), end) in enumerate(zip(layout.bars, bar_ends, strict=True)):
        tokens.append(BAR + METERS.index(meter))
        if plan:
            chord = chords.pop(start, chord)
            tokens += [BAR_DENSITY + plan.bars[bar][0], BAR_POLYPHONY + plan.bars[bar][1], chord]
        duration, velocity = 0, DEFAULT_VELOCITY_STEP
        while i < len(ticks) and ticks[i] < end:
            tick = int(ticks[i])
            place = [POSITION + tick - start]
            if chords.get(tick, chord) != chord:
                chord = chords[tick]
                place.append(chord)
            if tick in tempos:
                place.append(TEMPO + tempos[tick])
            if len(place) > 1 or first_note[i] < first_note[i + 1]:
                tokens += place
            part = 0
            for j in range(first_note[i], first_note[i + 1]):
                note_part, pitch, note_duration, note_velocity = (column[j] for column in columns)
                if note_part != part:
                    part = note_part
                    tokens.append(PART + part)
                if note_velocity != velocity:
                    velocity = note_velocity
                    tokens.append(VELOCITY + velocity)
                if note_duration != duration:
                    duration = note_duration
                    longs = (duration - 1) // LONG
                    tokens += [LONG_TOKEN] * longs + [DURATION + duration - LONG * longs]
                tokens.append(PITCH + pitch)
            i += 1
    tokens.append(EOS)
    return tokens


def decode_counted(tokens: Iterable[int]) -> tuple[NoteSequence, int]:
    """Read tokens; also count those that were left out because the grammar forbids them where they stood."""
    state = Grammar()
    parts: list[Part] = []
    bars: list[tuple[int, tuple[int, int]]] = []
    tempos: list[Tempo] = []
    notes: list[tuple[int, int, int, int, int]] = []
    dropped = 0
    bar_start = bar_end = 0
    for token in tokens:
        if not 0 <= token < len(VOCABULARY) or not state.allowed_mask()[token]:
            dropped += 1
            continue
        state.push(token)
        tick = bar_start + max(state.position, 0)
        match KIND[token]:
            case "Tempo":
                tempos.append(Tempo(tick / GRID, BPM_FIRST + BPM_STEP * (token - TEMPO)))
            case "Program":
                parts.append(Part(program=0 if token == DRUMS else token - PROGRAM, is_drum=token == DRUMS))
            case "Bar":
                bar_start = bar_end
                bar_end += meter_ticks(state.meter)
                bars.append((bar_start, state.meter))
            case "Pitch":
                notes.append((tick, state.duration, state.pitch, VELOCITIES[state.velocity], state.part))
    onset, duration, pitch, velocity, part = np.array(notes, dtype=np.int64).reshape(-1, 5).T
    sequence = build(
        onset / GRID,
        duration / GRID,
        pitch,
        velocity,
        part,
        parts=parts or (Part(),),
        tempos=tempos,
        time_signatures=[TimeSignature(start / GRID, *meter) for start, meter in bars],
    )
    return quantise(sequence), dropped


def decode(tokens: Iterable[int]) -> NoteSequence:
    """Read tokens back as music; any list of integers gives a sequence, see `decode_counted`."""
    return decode_counted(tokens)[0]


def bar_starts(tokens: IntArray) -> IntArray:
    """Index of every ``Bar`` token."""
    return np.flatnonzero((tokens >= BAR) & (tokens < POSITION))


def window(tokens: IntArray, start: int, length: int) -> tuple[IntArray, int]:
    """Cut `length` tokens that start with the bar at index `start`, headed so that they can be read alone.

    Returns
    -------
    cut : int64 (<= length,)
        ``BOS`` (first bar) or ``MID``, the controls, the tempo in force, the programs, then the music.
    header : int
        How many tokens of `cut` are header.
    """
    first_bar = int(bar_starts(tokens[: start + 1])[0])
    before = tokens[:start]
    header = tokens[:first_bar].copy()
    header[(header >= TEMPO) & (header < PROGRAM)] = before[(before >= TEMPO) & (before < PROGRAM)][-1]
    header[0] = tokens[0] if start == first_bar else MID
    return np.concatenate([header, tokens[start : start + length - len(header)]]), len(header)


def movable(tokens: IntArray) -> BoolArray:
    """Mask of the ``Pitch`` tokens that a transposition moves: all but those of drum parts."""
    header = tokens[: int(bar_starts(tokens)[0])]
    drums = header[(header >= PROGRAM) & (header <= DRUMS)] == DRUMS
    says_part = (tokens > PART) & (tokens < BAR) | (tokens >= POSITION) & (tokens < VELOCITY)
    part_at = np.maximum.accumulate(np.where(says_part, np.arange(len(tokens)), 0))
    part = np.where((tokens[part_at] > PART) & (tokens[part_at] < BAR), tokens[part_at] - PART, 0)
    return np.asarray((tokens >= PITCH) & ~drums[part], dtype=bool)


def controls_of(tokens: IntArray) -> BoolArray:
    """Mask of the controls: given, never foretold, so no part of a loss or a likelihood."""
    return np.asarray((tokens >= ARTIST) & (tokens < TEMPO), dtype=bool)


def transpose_tokens(tokens: IntArray, move: BoolArray, semitones: int) -> IntArray:
    """Shift the pitches that `move` (`movable`) marks by `semitones`, and with them key and chords."""
    moved = tokens + semitones * move
    for first, count in ((CHORD + 1, 12 * len(QUALITIES)), (KEY, 24)):
        of = (tokens >= first) & (tokens < first + count)
        place = tokens[of] - first
        moved[of] = first + place - place % 12 + (place + semitones) % 12
    return moved

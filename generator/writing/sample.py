"""Writing new tracks with a trained model: what `contraste generate` does.

How lines grow is `generator.writing.decoding`. Here tracks are drawn until they are as asked for, the most typical of
several is kept, and a line that runs into music of somebody else's is taken back.

The guard
---------
While a line grows, a function given by the caller looks at it every `GUARD_BARS` bars and says whether it holds
music that it must not. If so, these bars are thrown away and drawn again from the next random numbers, from the third
time on at a temperature `GUARD_HEAT` times as high as before; after `GUARD_DRAWS` times the whole line is begun anew,
at most `GUARD_LINES` times. A line that even then does not pass stays as it is and says so (`GuardReport`).
What was given as a prime is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generator.data.attributes import bar_figures, plan_of
from generator.data.tokens import bar_lines, decode, encode, quantise
from generator.data.vocabulary import BOS, GRID, PLAN, SettingError
from generator.network.checkpoint import held_out_nats, load_model, read_description
from generator.network.limits import read_limits, require_learned
from generator.network.model import Transformer
from generator.network.stack import threads
from generator.writing.conditions import ANYTHING, Conditions
from generator.writing.decoding import TEMPERATURE, Line, SamplingSettings, Style, beam_search, has_begun, sample_lines
from music.key import NAMES, estimate_key
from music.notes import NoteSequence, build

Guard = Callable[[NoteSequence], bool]
"""Says whether music holds a passage that must not be in it."""
GUARD_BARS = 4
GUARD_DRAWS = 6
GUARD_HEAT = 1.15
GUARD_LINES = 4


@dataclass(slots=True)
class GuardReport:
    """What a guard threw away of a track: `redrawn` times so many `bars` in all, and `restarts` of the whole line.

    `flagged`: whether the track holds what it must not all the same.
    """

    redrawn: int = 0
    bars: int = 0
    restarts: int = 0
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a track was drawn: what a record says of it. What does not apply is None.

    Attributes
    ----------
    sampling : SamplingSettings
    index, count : int
        Of the tracks of the run.
    conditions, tries, missed : dict, int, tuple of str
        What was asked for, in which of the tries the track was drawn, and what it missed.
    guard : GuardReport
    best_of, typical_nats : int, float
        Draws, and the mean cost of a token that was aimed at.
    degenerate : tuple of str
        In what the track is no music that was learned.
    infilled, candidates : (int, int), int
        The bars that were written anew, and the draws of which this is the best.
    draw, draws : int
        Which of the draws of a step between two pieces it is.
    """

    sampling: SamplingSettings
    index: int
    count: int
    conditions: dict[str, Any] | None = None
    tries: int | None = None
    missed: tuple[str, ...] | None = None
    guard: GuardReport | None = None
    best_of: int | None = None
    typical_nats: float | None = None
    degenerate: tuple[str, ...] | None = None
    infilled: tuple[int, int] | None = None
    candidates: int | None = None
    draw: int | None = None
    draws: int | None = None

    def as_settings(self) -> dict[str, Any]:
        """Return what the record of the track holds."""
        others = {name: value for name, value in asdict(self).items() if name != "sampling" and value is not None}
        return {**asdict(self.sampling), **{n: list(v) if isinstance(v, tuple) else v for n, v in others.items()}}


@dataclass(frozen=True, slots=True)
class Generated:
    """One new track.

    Attributes
    ----------
    sequence : NoteSequence
        Ends at a bar line; the prime, where there is one, is its beginning.
    tokens : tuple of int
        What the model wrote, ``BOS`` to ``EOS``.
    seed : int
        Of the run; with `drawn`, the model's digest and the prime it makes the track again.
    drawn : Drawn
    statistics : dict
        `statistics` of the sequence, and `perplexity` of the new tokens under the model (temperature 1).
    midi : bytes, optional
        The file to write, where it holds more than the sequence; `music.midi.midi_bytes` of that by default.
    """

    sequence: NoteSequence
    tokens: tuple[int, ...]
    seed: int
    drawn: Drawn
    statistics: dict[str, Any]
    midi: bytes | None = None

    @property
    def poor(self) -> float:
        """How many conditions it missed; infinite where it is degenerate."""
        return math.inf if self.drawn.degenerate else len(self.drawn.missed or ())


def generate(
    model_dir: str | Path,
    n: int,
    *,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    top_p: float = 0.97,
    beam: int | None = None,
    bars: int = 16,
    top_k: int | None = None,
    best_of: int = 1,
    guard: Guard | None = None,
    prime: NoteSequence | None = None,
    conditions: Conditions = ANYTHING,
    tries: int = 8,
    rank: Callable[[NoteSequence], float] | None = None,
    device: str = "auto",
) -> list[Generated]:
    """Write `n` tracks.

    On a CPU one thread is used, and the same model, prime, `n` and settings give the same tokens on the same
    machine and version of torch.

    Parameters
    ----------
    model_dir : path
        A folder written by `generator.training.train.train`.
    n : int
        How many, 1 to 4096.
    seed : int
        0 to 2**32 - 1; track i draws from its own stream (seed, i).
    temperature, top_p : float
        > 0, 1 is as learned; and in (0, 1].
    beam : int, optional
        Search width. Each track's first new bar is then sampled, so that tracks differ, and beam search
        writes the rest.
    bars : int
        Least number of new bars; a line is closed at the latest `EXTRA_BARS` later.
    top_k : int, optional
        Draw from so many of the likeliest tokens at most.
    best_of : int
        Draws of each track, 1 to 64. Kept is the one whose tokens cost, in the mean, most nearly what held-out music
        costs the model (``training.json``; without such a figure, most nearly the entropy of what the model expected).
        Human music is neither as likely nor as unlikely as can be (Meister et al., TACL 2023).
    guard : callable, optional
        See the module; it goes with drawing, not with beam search, which would write the same again.
    prime : NoteSequence, optional
        Music to go on from, whole bars of it.
    conditions : Conditions, optional
        What the tracks are to be like. With a `prime` neither tempo nor instruments can be asked for, since it has
        both.
    tries : int
        A track that misses a condition, or is degenerate (`generator.network.limits`), is drawn again, so often in
        all, 1 to 64; the one that misses least is kept.
    rank : callable, optional
        Tells how well a sequence fits. Then every track is drawn so often, and of those that miss least the one with
        the highest rank is kept.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".

    Raises
    ------
    GeneratorError
        When the model can't be loaded or a setting is out of range.
    """
    settings = SamplingSettings(seed, temperature, top_p, beam, bars, top_k)
    for what, number, most in (("tracks", n, 4096), ("tries", tries, 64), ("draws", best_of, 64)):
        if not 1 <= number <= most:
            raise SettingError(f"{number} {what} asked for; 1 to {most} can be had")
    if guard and beam is not None:
        raise SettingError("a guard draws again what it throws away, and beam search would write the same; use one")
    if prime is not None and (conditions.tempo or conditions.instruments):
        raise SettingError("tempo and instruments are those of the prime; ask for neither")
    model, limits = load_model(model_dir, device), read_limits(model_dir)
    require_learned(model, limits, conditions.meter)
    artists = read_description(model_dir).artists
    typical = held_out_nats(model_dir) if best_of > 1 else None
    tracks: dict[int, Generated] = {}
    fits: dict[int, tuple[float, float, float]] = {}
    with torch.inference_mode(), threads(1):
        for attempt in range(max(tries, best_of)):
            short = [i for i in range(n) if rank or attempt < best_of or tracks[i].poor]
            if not short:
                break
            opening = _opening(prime, conditions, conditions.controls(artists, attempt))
            lines = [Line(opening, bars, conditions) for _ in short]
            randoms = [np.random.default_rng([seed, i, attempt] if attempt else [seed, i]) for i in short]
            lines, reports = _grow(model, lines, randoms, settings, guard)
            for i, line, report in zip(short, lines, reports, strict=True):
                track, unlike = finish_track(line, settings, i, n, attempt + 1), 0.0
                degenerate = tuple(limits.degenerate(track.sequence)) or None
                drawn = replace(track.drawn, guard=report, degenerate=degenerate)
                if best_of > 1:
                    aim = line.mean(line.entropy) if typical is None else typical
                    unlike = abs(line.mean(-line.log_likelihood) - aim)
                    drawn = replace(drawn, best_of=best_of, typical_nats=aim)
                track = replace(track, drawn=drawn)
                fit = (-track.poor, rank(track.sequence) if rank else 0.0, -unlike)
                if i not in tracks or fit > fits[i]:
                    tracks[i], fits[i] = track, fit
    return [tracks[i] for i in range(n)]


def _grow(
    model: Transformer,
    lines: list[Line],
    randoms: Sequence[np.random.Generator],
    settings: SamplingSettings,
    guard: Guard | None,
) -> tuple[list[Line], Sequence[GuardReport | None]]:
    """Let lines grow to their ends in the way asked for; return them, and what a guard threw away of each."""
    if guard:
        return _grow_guarded(model, lines, randoms, settings, guard)
    if settings.beam is None:
        sample_lines(model, lines, randoms, settings)
    else:
        for line, random in zip(lines, randoms, strict=True):
            sample_lines(model, [line], [random], settings, has_begun(line.state.bars + 2))
        lines = [beam_search(model, line, settings.beam) for line in lines]
    return lines, [None] * len(lines)


def _grow_guarded(
    model: Transformer,
    lines: Sequence[Line],
    randoms: Sequence[np.random.Generator],
    settings: SamplingSettings,
    guard: Guard,
) -> tuple[list[Line], list[GuardReport]]:
    """Let lines grow to their ends under a guard; return them, and what was thrown away of each."""
    grown, reports = [], []
    for given, random in zip(lines, randoms, strict=True):
        start = decode(given.tokens).end_beat if given.state.bars else 0.0
        report = GuardReport()
        kept, line, draws = given.copy(), given.copy(), 0
        while not line.done:
            heated = min(settings.temperature * GUARD_HEAT ** max(draws - 1, 0), 10.0)
            to = kept.state.bars + GUARD_BARS + (not kept.state.bars)  # a bar is whole when the next has begun
            sample_lines(model, [line], [random], replace(settings, temperature=heated), has_begun(to))
            if not guard(_behind(decode(line.tokens), start)):
                kept, draws = line.copy(), 0
                continue
            draws += 1
            if draws >= GUARD_DRAWS:
                if report.restarts == GUARD_LINES:
                    report.flagged = True
                    sample_lines(model, [line], [random], settings)
                    break
                report.restarts += 1
                report.bars += kept.state.bars - given.state.bars
                kept, draws = given.copy(), 0
            report.redrawn += 1
            report.bars += GUARD_BARS
            line = kept.copy()
        grown.append(line)
        reports.append(report)
    return grown, reports


def _behind(sequence: NoteSequence, beat: float) -> NoteSequence:
    """Return the notes that begin at or after `beat`."""
    return sequence.select(sequence.onset_beat >= beat - 1e-9) if beat else sequence


def _opening(prime: NoteSequence | None, conditions: Conditions, controls: list[int]) -> list[int]:
    """Return what a line is given: its controls, and the prime in the way it is to be gone on with."""
    if prime is None:
        return [BOS, *controls, *([PLAN] if conditions.planned else [])]
    on_grid = quantise(prime)
    plan = plan_of(on_grid, bar_figures(on_grid)) if conditions.planned else None
    return encode(on_grid, controls, plan)[:-1]


def write_styled(
    model: Transformer, lines: Sequence[tuple[list[int], Style]], settings: SamplingSettings
) -> list[Generated]:
    """Write one piece for each header and `Style`; each draws from its own stream (seed, number)."""
    grown = [Line(header, len(style.meters), style=style) for header, style in lines]
    sample_lines(model, grown, [np.random.default_rng([settings.seed, i]) for i in range(len(grown))], settings)
    return [finish_track(line, settings, i, len(grown), 1) for i, line in enumerate(grown)]


def finish_track(line: Line, settings: SamplingSettings, index: int, count: int, tries: int) -> Generated:
    """Make the track of a line that has ended."""
    sequence = _ending_on_a_bar(decode(line.tokens))
    figures = {"perplexity": float(np.exp(line.mean(-line.log_likelihood))), **statistics(sequence)}
    drawn = Drawn(settings, index, count)
    if line.conditions:
        asked, missed = line.conditions.as_settings(), tuple(line.conditions.find_missed(sequence))
        drawn = replace(drawn, conditions=asked, tries=tries, missed=missed)
    return Generated(sequence, tuple(line.tokens), settings.seed, drawn, figures)


def _ending_on_a_bar(sequence: NoteSequence) -> NoteSequence:
    """Cut what sounds beyond the bar of the last onset."""
    end = bar_lines(sequence)[-1] / GRID
    return build(
        sequence.onset_beat,
        np.minimum(sequence.duration_beat, end - sequence.onset_beat),
        sequence.pitch,
        sequence.velocity,
        sequence.part,
        parts=sequence.parts,
        tempos=sequence.tempos,
        time_signatures=sequence.time_signatures,
    )


def statistics(sequence: NoteSequence) -> dict[str, Any]:
    """Tell whether a track on the grid degenerates; compare with the same figures of human pieces.

    Returns
    -------
    dict
        ``notes``, ``bars``, ``empty_bars`` (nothing sounds), ``full_bars`` (share of bars in which every part
        sounds), ``distinct_pitches``, ``distinct_chords`` (sets of pitches sounding at an onset),
        ``longest_hold`` (most quarters without an onset), ``repeated_windows`` (share of the windows of 4
        chords at successive onsets that came before), ``in_key`` (share of notes in the scale of the
        estimated key, minor with both forms of its sixth and seventh; None without pitched notes).
    """
    onset, end = sequence.onset_beat, sequence.onset_beat + sequence.duration_beat
    lines = bar_lines(sequence) / GRID
    sounding = [set(sequence.part[(onset < b - 1e-9) & (end > a + 1e-9)].tolist()) for a, b in pairwise(lines)]
    onsets = np.unique(onset)
    chords = [tuple(np.unique(sequence.pitch[(onset <= t) & (end > t + 1e-9)]).tolist()) for t in onsets]
    windows = [tuple(chords[i : i + 4]) for i in range(len(chords) - 3)]
    gaps = np.diff([0.0, *onsets, lines[-1]])
    return {
        "notes": len(sequence),
        "bars": len(sounding),
        "empty_bars": sum(not parts for parts in sounding),
        "full_bars": float(np.mean([len(parts) == len(sequence.parts) for parts in sounding])) if sounding else 0.0,
        "distinct_pitches": len(np.unique(sequence.pitch)),
        "distinct_chords": len(set(chords)),
        "longest_hold": float(gaps.max()),
        "repeated_windows": 1 - len(set(windows)) / len(windows) if windows else 0.0,
        "in_key": _in_key(sequence),
    }


_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 9, 10, 11)}


def _in_key(sequence: NoteSequence) -> float | None:
    key = estimate_key(sequence)
    if not key:
        return None
    tonic, mode = key.split()
    pitches = sequence.pitch[~sequence.is_drum]
    return float(np.isin((pitches - NAMES.index(tonic)) % 12, _SCALES[mode]).mean())

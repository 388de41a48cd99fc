"""Writing new tracks with a trained model: nucleus sampling and beam search, always inside the grammar.

Nucleus sampling (Holtzman et al. 2020) is the default. Beam search finds likelier lines, and likely music is
dull: unguarded, it holds or repeats one chord. Two guards keep it moving, and every way of decoding has the
first:

* an empty bar, a note longer than `MAX_HOLD` and an end before the asked number of bars are masked out;
* a beam that closes a run of `RUN` onsets equal to an earlier run of its line is dropped.

Beyond the model's context the last bars, about half of it, are read again behind a new header.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from generator.attributes import bar_figures, plan_of
from generator.checkpoint import load_model, read_description
from generator.conditions import ANYTHING, Conditions
from generator.model import Cache, Transformer, one_thread
from generator.tokens import (
    ARTIST,
    BAR,
    BOS,
    DURATION,
    EOS,
    LONG,
    LONG_TOKEN,
    PAD,
    PART,
    PITCH,
    PLAN,
    POSITION,
    TEMPO,
    VELOCITY,
    BoolArray,
    Grammar,
    SettingError,
    bar_starts,
    decode,
    encode,
    quantise,
    window,
)
from music.key import NAMES, estimate_key
from music.notes import NoteSequence, build

MAX_HOLD = 2 * LONG
"""Longest note in ticks that is written, 8 quarters."""
RUN = 3
"""Beam search writes no run of this many onsets (their parts and pitches, whatever the rhythm) twice."""
EXTRA_BARS = 4
"""How many bars past the asked number a line may look for its own end before it is closed."""
TOKENS_A_BAR = 160
"""A line with more tokens than this for each bar allowed is closed at its last full bar."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """What decides a generation run, beside the model and the prime; see `generate`."""

    seed: int
    temperature: float
    top_p: float
    beam: int | None
    bars: int
    top_k: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        rules = {
            "seed": 0 <= self.seed < 2**32,
            "temperature": 0 < self.temperature <= 10,
            "top_p": 0 < self.top_p <= 1,
            "beam": self.beam is None or 1 <= self.beam <= 64,
            "bars": 1 <= self.bars <= 1024,
            "top_k": self.top_k is None or self.top_k >= 1,
        }
        for name, holds in rules.items():
            if not holds:
                raise SettingError(f"sampling setting {name} = {getattr(self, name)!r} is out of range; see the help")


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
        Of the run; with `settings`, the model's digest and the prime it makes the track again.
    settings : dict
        `SamplingSettings` and the track's `index` of `count`; with conditions also what was asked for (`conditions`),
        in which of the `tries` the track was drawn, and what it `missed`.
    statistics : dict
        `statistics` of the sequence, and `perplexity` of the new tokens under the model (temperature 1).
    """

    sequence: NoteSequence
    tokens: tuple[int, ...]
    seed: int
    settings: dict[str, Any]
    statistics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Style:
    """Bars that a line is to be like: latents (bars, Z) of `generator.model.Style`, and meters as tokens."""

    latents: FloatArray
    meters: tuple[int, ...]

    def keep(self, state: Grammar, mask: BoolArray) -> None:
        """Leave in `mask` the meter of the next bar, and the end only after the last."""
        more = state.bars < len(self.meters)
        bars = mask[BAR:POSITION].copy()
        mask[BAR:POSITION] = False
        if more:
            mask[EOS] = False
            mask[self.meters[state.bars]] = bars[self.meters[state.bars] - BAR]

    def at(self, bar: int) -> FloatArray:
        """Return the latent (Z,) of a bar; 0 outside."""
        return self.latents[bar] if 0 <= bar < len(self.latents) else np.zeros_like(self.latents[0])


class _Line:
    """A growing token line with its place in the grammar and its log likelihood."""

    def __init__(
        self, tokens: Sequence[int], bars: int, conditions: Conditions = ANYTHING, style: Style | None = None
    ) -> None:
        self.conditions = conditions
        self.style = style
        self.tokens: list[int] = []
        self.state = Grammar()
        for token in tokens:
            self.state.push(token)
            self.tokens.append(token)
        self.given = len(self.tokens)
        self.least = self.state.bars + bars
        self.log_likelihood = 0.0
        self.onsets: list[tuple[int, ...]] = []  # kept by `repeats`
        self.onset_at = self.given

    @property
    def done(self) -> bool:
        return self.state.last == EOS

    def allowed(self) -> BoolArray:
        mask = self.state.allowed()
        bars = self.state.bars
        mask[ARTIST:TEMPO] = False  # controls are given, never written
        if self.style is not None:
            self.style.keep(self.state, mask)
            return mask
        if bars and not self.state.duration:  # no empty bar
            mask[BAR:POSITION] = mask[EOS] = False
        if bars < self.least:
            mask[EOS] = False
        elif bars >= self.least + EXTRA_BARS and mask[EOS]:
            mask[BAR:POSITION] = False
        left = MAX_HOLD - LONG * self.state.longs
        mask[LONG_TOKEN] &= left > LONG
        mask[DURATION + left + 1 : DURATION + LONG + 1] = False
        self.conditions.keep(self.state, mask)
        return mask

    def push(self, token: int, log_chance: float) -> None:
        self.state.advance(token)
        self.tokens.append(token)
        self.log_likelihood += log_chance
        if not self.done and len(self.tokens) - self.given > TOKENS_A_BAR * (self.least + EXTRA_BARS):
            self.close()

    def close(self) -> None:
        """Cut back to the last full bar and end there."""
        tokens = self.tokens
        self.tokens = [*tokens[: int(bar_starts(np.array(tokens))[-1])], EOS]
        self.state.last = EOS

    def repeats(self) -> bool:
        """Whether the last token closed a run of `RUN` onsets that the line has had before."""
        last = self.state.last
        if not (BAR <= last < VELOCITY or last == EOS):
            return False
        said = self.tokens[self.onset_at : -1]
        onset = tuple(token for token in said if token >= PITCH or PART < token < BAR)
        self.onset_at = len(self.tokens)
        if not onset:  # a position right behind a bar line
            return False
        onsets = self.onsets = [*self.onsets, onset]
        run = onsets[-RUN:]
        return any(onsets[i : i + RUN] == run for i in range(len(onsets) - RUN))

    def copy(self) -> _Line:
        twin = _Line.__new__(_Line)
        twin.__dict__.update(self.__dict__)
        twin.tokens, twin.state = list(self.tokens), self.state.copy()
        return twin


class _Reader:
    """Reads lines that grow by one token at a time, with the keys and values of what it has read."""

    def __init__(self, model: Transformer) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.cache: Cache | None = None

    def reorder(self, rows: Sequence[int]) -> None:
        if self.cache is not None and list(rows) != list(range(len(self.cache.pad))):
            self.cache.reorder(torch.tensor(rows, dtype=torch.long, device=self.device))

    def log_chances(self, lines: Sequence[_Line]) -> FloatArray:
        """Log likelihoods (lines, vocabulary) of the tokens each line allows next; -inf for the others."""
        context = self.model.config.context
        if self.cache is None or self.cache.length == context:
            prompts = [_prompt(line.tokens, context) for line in lines]
            longest = max(len(p) for p in prompts)
            self.cache = Cache(self.model.config, len(lines), self.device)
            self.cache.pad[:] = torch.tensor([longest - len(p) for p in prompts])
            new = [[PAD] * (longest - len(p)) + p for p in prompts]
        else:
            new = [[line.tokens[-1]] for line in lines]
        latents = None
        if any(line.style for line in lines):
            read = [_styles(line, row) for line, row in zip(lines, new, strict=True)]
            latents = torch.tensor(np.array(read), dtype=torch.float32, device=self.device)  # (B, T, Z)
        logits = self.model(torch.tensor(new, device=self.device), self.cache, latents)[:, 0].double().cpu().numpy()
        masks = np.stack([line.allowed() for line in lines])
        masks[[line.done for line in lines], PAD] = True  # so that no row is empty
        logits = np.where(masks, logits, -np.inf)
        top = logits.max(axis=1, keepdims=True)
        return np.asarray(logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))


def _styles(line: _Line, last: Sequence[int]) -> FloatArray:
    """Return the latents (T, Z) of the line's `last` tokens, in which leading padding may stand."""
    if line.style is None:
        raise SettingError("lines with and without a style can't be written together")
    begun = np.cumsum([BAR <= token < POSITION for token in last])
    first = line.state.bars - int(begun[-1]) - 1
    started = begun > 0 if first < 0 else np.ones(len(last), dtype=bool)
    return np.stack([line.style.at(first + int(n) if there else -1) for n, there in zip(begun, started, strict=True)])


def _prompt(tokens: list[int], context: int) -> list[int]:
    """Return the line, or where it is long its last bars behind a header, about half the context."""
    if len(tokens) <= context // 2:
        return tokens
    line = np.array(tokens)
    bars = bar_starts(line)
    fitting = bars[bars >= len(line) - context // 2]
    start = int(fitting[0] if len(fitting) else bars[-1])
    cut, header = window(line, start, len(line))
    return [*cut[:header].tolist(), *cut[header:].tolist()[-(context - header - 1) :]]


def _drawn(log_chances: FloatArray, settings: SamplingSettings, random: np.random.Generator) -> int:
    """Draw from the likeliest tokens (vocabulary,), at most `settings.top_k`, that together reach `top_p`."""
    open_ = np.flatnonzero(log_chances > -np.inf)
    order = open_[np.argsort(-log_chances[open_], kind="stable")][: settings.top_k]
    chances = np.exp((log_chances[order] - log_chances[order[0]]) / settings.temperature)
    total = np.cumsum(chances / chances.sum())
    kept = min(int(np.searchsorted(total, settings.top_p)) + 1, len(order))
    return int(order[min(int(np.searchsorted(total, random.random() * total[kept - 1])), kept - 1)])


def _sample(
    model: Transformer,
    lines: Sequence[_Line],
    randoms: Sequence[np.random.Generator],
    settings: SamplingSettings,
    until_bars: float = np.inf,
) -> None:
    """Let all lines grow to their ends, or until each has begun `until_bars` bars."""
    reader = _Reader(model)
    while not all(line.done or line.state.bars >= until_bars for line in lines):
        log_chances = reader.log_chances(lines)
        for line, row, random in zip(lines, log_chances, randoms, strict=True):
            if not line.done:
                token = _drawn(row, settings, random)
                line.push(token, float(row[token]))


def _beam_search(model: Transformer, line: _Line, width: int, *, block_repeats: bool = True) -> _Line:
    """Grow a line to its end along the `width` likeliest continuations; the best mean log likelihood wins."""
    reader = _Reader(model)
    alive = [line]
    ended: list[_Line] = []
    while alive and len(ended) < width:
        log_chances = reader.log_chances(alive)
        scores = log_chances + np.array([beam.log_likelihood for beam in alive])[:, None]
        ranked = np.argsort(-scores, axis=None, kind="stable")[: 4 * width]
        candidates = [divmod(int(i), scores.shape[1]) for i in ranked if np.isfinite(scores.flat[i])]
        chosen: list[tuple[int, _Line]] = []
        spare: list[tuple[int, _Line]] = []
        for row, token in candidates:
            beam = alive[row].copy()
            beam.push(token, float(log_chances[row, token]))
            (spare if block_repeats and beam.repeats() else chosen).append((row, beam))
            if len(chosen) == width:
                break
        chosen = chosen or spare[:1]  # nothing but repetition: take the best of it
        ended += [beam for _, beam in chosen if beam.done]
        going_on = [(row, beam) for row, beam in chosen if not beam.done]
        reader.reorder([row for row, _ in going_on])
        alive = [beam for _, beam in going_on]
    return max(ended, key=lambda beam: beam.log_likelihood / max(1, len(beam.tokens) - beam.given))


def generate(
    model_dir: str | Path,
    n: int,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 0.97,
    beam: int | None = None,
    bars: int = 16,
    prime: NoteSequence | None = None,
    conditions: Conditions = ANYTHING,
    tries: int = 4,
    rank: Callable[[NoteSequence], float] | None = None,
    device: str = "auto",
) -> list[Generated]:
    """Write `n` tracks.

    On a CPU one thread is used, and the same model, prime, `n` and settings give the same tokens on the same
    machine and version of torch.

    Parameters
    ----------
    model_dir : path
        A folder written by `generator.train.train`.
    n : int
        How many, 1 to 4096.
    seed : int
        0 to 2**32 - 1; track i draws from its own stream (seed, i).
    temperature, top_p : float
        > 0, and in (0, 1].
    beam : int, optional
        Search width. Each track's first new bar is then sampled, so that tracks differ, and beam search
        writes the rest.
    bars : int
        Least number of new bars; a line is closed at the latest `EXTRA_BARS` later.
    prime : NoteSequence, optional
        Music to go on from, whole bars of it.
    conditions : Conditions, optional
        What the tracks are to be like. With a `prime` neither tempo nor instruments can be asked for, since it has
        both.
    tries : int
        A track that misses a condition is drawn again, so often in all, 1 to 64; the one that misses least is kept.
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
    settings = SamplingSettings(seed, temperature, top_p, beam, bars)
    if not 1 <= tries <= 64:
        raise SettingError(f"{tries} tries asked for; 1 to 64 can be had")
    if prime is not None and (conditions.tempo or conditions.instruments):
        raise SettingError("tempo and instruments are those of the prime; ask for neither")
    if not 1 <= n <= 4096:
        raise SettingError(f"{n} tracks asked for; 1 to 4096 can be made at once")
    model = load_model(model_dir, device)
    artists = read_description(model_dir).artists
    made: dict[int, Generated] = {}
    fits: dict[int, tuple[int, float]] = {}
    with torch.inference_mode(), one_thread():
        for attempt in range(tries):
            short = [i for i in range(n) if rank or i not in made or made[i].settings.get("missed")]
            if not short:
                break
            opening = _opening(prime, conditions, conditions.controls(artists, attempt))
            lines = [_Line(opening, bars, conditions) for _ in short]
            randoms = [np.random.default_rng([seed, i, attempt] if attempt else [seed, i]) for i in short]
            if beam is None:
                _sample(model, lines, randoms, settings)
            else:
                for line, random in zip(lines, randoms, strict=True):
                    _sample(model, [line], [random], settings, until_bars=line.state.bars + 2)
                lines = [_beam_search(model, line, beam) for line in lines]
            for i, line in zip(short, lines, strict=True):
                track = _finished(line, settings, i, n, attempt + 1)
                fit = (-len(track.settings.get("missed", ())), rank(track.sequence) if rank else 0.0)
                if i not in made or fit > fits[i]:
                    made[i], fits[i] = track, fit
    return [made[i] for i in range(n)]


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
    grown = [_Line(header, len(style.meters), style=style) for header, style in lines]
    _sample(model, grown, [np.random.default_rng([settings.seed, i]) for i in range(len(grown))], settings)
    return [_finished(line, settings, i, len(grown), 1) for i, line in enumerate(grown)]


def _finished(line: _Line, settings: SamplingSettings, index: int, count: int, tries: int) -> Generated:
    sequence = _ending_on_a_bar(decode(line.tokens))
    new = max(1, len(line.tokens) - line.given)
    figures = {"perplexity": float(np.exp(-line.log_likelihood / new)), **statistics(sequence)}
    about = {**asdict(settings), "index": index, "count": count}
    if line.conditions:
        asked, missed = line.conditions.as_settings(), list(line.conditions.missed(sequence))
        about |= {"conditions": asked, "tries": tries, "missed": missed}
    return Generated(sequence, tuple(line.tokens), settings.seed, about, figures)


def _bar_lines(sequence: NoteSequence) -> list[float]:
    """Return the beats at which bars begin, and the end of the bar of the last onset."""
    last = float(sequence.onset_beat.max()) if len(sequence) else 0.0
    lines, signatures = [0.0], list(sequence.time_signatures)
    while lines[-1] <= last:
        here = [s for s in signatures if s.beat <= lines[-1]][-1]
        lines.append(lines[-1] + here.bar_beats)
    return lines


def _ending_on_a_bar(sequence: NoteSequence) -> NoteSequence:
    """Cut what sounds beyond the bar of the last onset."""
    end = _bar_lines(sequence)[-1]
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
    """Tell whether a track degenerates; compare with the same figures of human pieces.

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
    lines = _bar_lines(sequence)
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

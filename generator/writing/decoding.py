"""Growing lines of tokens with a model, always inside the grammar: drawing from the nucleus, and beam search.

Nucleus sampling (Holtzman et al. 2020) is the default; top-k (Fan et al. 2018) can cut it further. Beam search finds
likelier lines, and likely music is dull: unguarded, it holds or repeats one chord. Two guards keep it moving, and every
way of decoding has the first:

* an empty bar, a note longer than `MAX_HOLD` and an end before the asked number of bars are masked out;
* a beam that closes a run of `RUN` onsets equal to an earlier run of its line is dropped, when more than `REPEATS` of
  its onsets have closed one: real music repeats itself as well.

Beyond the model's context the last bars, about half of it, are read again behind a new header.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from generator.data.grammar import Grammar
from generator.data.tokens import bar_starts, window
from generator.data.vocabulary import (
    ARTIST,
    BAR,
    DURATION,
    EOS,
    LONG,
    LONG_TOKEN,
    PAD,
    PART,
    PITCH,
    POSITION,
    PROGRAM,
    TEMPO,
    VELOCITY,
    BoolArray,
    SettingError,
    check_settings,
)
from generator.network.model import Transformer
from generator.network.stack import Cache
from generator.writing.conditions import ANYTHING, Conditions

MAX_HOLD = 2 * LONG
"""Longest note in ticks that is written, 8 quarters."""
TEMPERATURE = 1.05
"""By default: a model that has read its pieces often is surer than it should be. Held-out pieces cost the shipped one
least at 1.4 or more; its guarded tracks are as original as human pieces at 1.05 and 1.1, less at 1, more at 1.2."""
RUN, REPEATS = 3, 0.25
"""Beam search repeats a run of so many onsets (their parts and pitches, whatever the rhythm) at no more than this share
of the onsets of a line. Of the windows of four chords .10 to .15 then came before with the shipped model, .09 at a
share of .2 and .20 at .3; of those in its held-out pieces .18."""
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
        check_settings("sampling", self, rules)


@dataclass(frozen=True, slots=True)
class Style:
    """Bars that a line is to be like: latents (bars, Z) of `generator.network.model.Style`, and meters as tokens."""

    latents: FloatArray
    meters: tuple[int, ...]

    def at(self, bar: int) -> FloatArray:
        """Return the latent (Z,) of a bar; 0 outside."""
        return self.latents[bar] if 0 <= bar < len(self.latents) else np.zeros_like(self.latents[0])


class Line:
    """A growing token line with its place in the grammar and its log likelihood.

    Parameters
    ----------
    tokens : sequence of int
        What is given, from ``BOS`` on.
    bars : int
        Least number of new bars.
    conditions : Conditions
    style : Style, optional
        What the bars are to be like; the line then has their number and their meters.
    meters : tuple of int, optional
        Tokens of all bars, for a line without a style whose bars are laid down; tempos then are given too, and none
        is written.
    """

    def __init__(
        self,
        tokens: Sequence[int],
        bars: int,
        conditions: Conditions = ANYTHING,
        style: Style | None = None,
        meters: tuple[int, ...] = (),
    ) -> None:
        """Read what is given."""
        self.conditions = conditions
        self.tilt = conditions.tilt()
        self.style = style
        self.meters = style.meters if style else meters
        self.tokens: list[int] = []
        self.state = Grammar()
        for token in tokens:
            self.state.push(token)
            self.tokens.append(token)
        self.given = len(self.tokens)
        self.least = self.state.bars + bars
        self.log_likelihood = 0.0
        self.entropy = 0.0
        self.onsets: list[tuple[int, ...]] = []  # kept by `repeats`
        self.onset_at = self.given
        self.repeated = 0

    @property
    def done(self) -> bool:
        """Whether the line has ended."""
        return self.state.last == EOS

    def allowed_mask(self) -> BoolArray:
        """Mask (vocabulary,) of the tokens that may come next."""
        mask = self.state.allowed_mask()
        bars = self.state.bars
        mask[ARTIST:TEMPO] = False  # controls are given, never written
        if self.meters:
            self._keep_meters(mask)
        if self.style is not None:
            return mask
        if bars and not self.state.duration:  # no empty bar
            mask[BAR:POSITION] = mask[EOS] = False
        if self.meters:
            mask[TEMPO:PROGRAM] = False
        elif bars < self.least:
            mask[EOS] = False
        elif bars >= self.least + EXTRA_BARS and mask[EOS]:
            mask[BAR:POSITION] = False
        left = MAX_HOLD - LONG * self.state.longs
        mask[LONG_TOKEN] &= left > LONG
        mask[DURATION + left + 1 : DURATION + LONG + 1] = False
        self.conditions.keep(self.state, mask)
        return mask

    def _keep_meters(self, mask: BoolArray) -> None:
        """Leave in `mask` the meter of the next bar, nothing else at the header, and the end only after the last."""
        bars = mask[BAR:POSITION].copy()
        if not self.state.bars:
            mask[:] = False
        mask[BAR:POSITION] = False
        if self.state.bars < len(self.meters):
            mask[EOS] = False
            mask[self.meters[self.state.bars]] = bars[self.meters[self.state.bars] - BAR]

    def push(self, token: int, log_chance: float) -> None:
        """Go on with `token`, which is allowed."""
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
        """Whether the last token closed a run of `RUN` onsets that the line has had before, and once too often."""
        last = self.state.last
        if not (BAR <= last < VELOCITY or last == EOS):
            return False
        tokens = self.tokens[self.onset_at : -1]
        onset = tuple(token for token in tokens if token >= PITCH or PART < token < BAR)
        self.onset_at = len(self.tokens)
        if not onset:  # a position right behind a bar line
            return False
        onsets = self.onsets = [*self.onsets, onset]
        run = onsets[-RUN:]
        self.repeated += any(onsets[i : i + RUN] == run for i in range(len(onsets) - RUN))
        return self.repeated > REPEATS * len(onsets)

    def mean(self, total: float) -> float:
        """Share out what was added up over the new tokens."""
        return total / max(1, len(self.tokens) - self.given)

    def copy(self) -> Line:
        """Return an independent line."""
        twin = Line.__new__(Line)
        twin.__dict__.update(self.__dict__)
        twin.tokens, twin.state = list(self.tokens), self.state.copy()
        return twin


class Reader:
    """Reads lines that grow by one token at a time, with the keys and values of what it has read."""

    def __init__(self, model: Transformer) -> None:
        """Begin with nothing read."""
        self.model = model
        self.device = next(model.parameters()).device
        self.cache: Cache | None = None

    def reorder(self, rows: Sequence[int]) -> None:
        """Let line i go on from what was line `rows[i]`."""
        if self.cache is not None and list(rows) != list(range(len(self.cache.pad))):
            self.cache.reorder(torch.tensor(rows, dtype=torch.long, device=self.device))

    def log_chances(self, lines: Sequence[Line]) -> FloatArray:
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
        for row, line in zip(logits, lines, strict=True):
            if line.tilt is not None:
                row[PITCH : PITCH + 128] += line.tilt
        masks = np.stack([line.allowed_mask() for line in lines])
        masks[[line.done for line in lines], PAD] = True  # so that no row is empty
        logits = np.where(masks, logits, -np.inf)
        top = logits.max(axis=1, keepdims=True)
        return np.asarray(logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True)))


def _styles(line: Line, last: Sequence[int]) -> FloatArray:
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


def _draw(log_chances: FloatArray, settings: SamplingSettings, random: np.random.Generator) -> int:
    """Draw from the likeliest tokens (vocabulary,), at most `settings.top_k`, that together reach `top_p`."""
    open_ = np.flatnonzero(log_chances > -np.inf)
    order = open_[np.argsort(-log_chances[open_], kind="stable")][: settings.top_k]
    chances = np.exp((log_chances[order] - log_chances[order[0]]) / settings.temperature)
    total = np.cumsum(chances / chances.sum())
    likeliest = min(int(np.searchsorted(total, settings.top_p)) + 1, len(order))
    return int(order[min(int(np.searchsorted(total, random.random() * total[likeliest - 1])), likeliest - 1)])


def has_begun(bars: int) -> Callable[[Line], bool]:
    """Return what tells whether a line has begun so many bars: the one before is whole then."""
    return lambda line: line.state.bars >= bars


def sample_lines(
    model: Transformer,
    lines: Sequence[Line],
    randoms: Sequence[np.random.Generator],
    settings: SamplingSettings,
    until: Callable[[Line], bool] = lambda line: False,
) -> None:
    """Let each line grow to its end, or to where `until` says so."""
    reader = Reader(model)
    growing = [not (line.done or until(line)) for line in lines]
    while any(growing):
        log_chances = reader.log_chances(lines)
        for i, (line, row, random) in enumerate(zip(lines, log_chances, randoms, strict=True)):
            if growing[i]:
                token = _draw(row, settings, random)
                line.entropy -= float(np.sum(np.exp(row) * np.maximum(row, -1e9)))
                line.push(token, float(row[token]))
                growing[i] = not (line.done or until(line))


def beam_search(model: Transformer, line: Line, width: int, *, block_repeats: bool = True) -> Line:
    """Grow a line to its end along the `width` likeliest continuations; the best mean log likelihood wins."""
    reader = Reader(model)
    alive = [line]
    ended: list[Line] = []
    while alive and len(ended) < width:
        log_chances = reader.log_chances(alive)
        scores = log_chances + np.array([beam.log_likelihood for beam in alive])[:, None]
        ranked = np.argsort(-scores, axis=None, kind="stable")[: 4 * width]
        candidates = [divmod(int(i), scores.shape[1]) for i in ranked if np.isfinite(scores.flat[i])]
        chosen: list[tuple[int, Line]] = []
        spare: list[tuple[int, Line]] = []
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
    return max(ended, key=lambda beam: beam.mean(beam.log_likelihood))

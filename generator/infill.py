"""Writing some bars of a piece anew, while what stands before and after them stays.

The model reads from left to right, so it can't see what follows while it writes. Instead it writes `CANDIDATES`
versions of the bars behind what stands before them, and the one is kept under which the bars that follow are likeliest:
of draws from p(bars | before), the one with the highest p(after | before, bars), as in sampling with importance
resampling (Rubin 1988) where the best draw takes all. Donahue, Lee and Liang (2020) train a model to infill instead;
that can write bars which lead on better, and needs a model of its own.

Bars keep their meters, and tempos stay as they are. A note that began before the bars sounds on into them.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from generator.checkpoint import load_model
from generator.decoding import Line, SamplingSettings, begun, sample_lines
from generator.model import Transformer, threads
from generator.sample import Generated, statistics
from generator.tokens import (
    GRID,
    GeneratorError,
    IntArray,
    SettingError,
    bar_lines,
    bar_starts,
    decode,
    encode,
    quantise,
    window,
)
from music.notes import NoteSequence, build

CANDIDATES = 16
LOOK_AHEAD = 4
"""So many of the bars that follow are scored, as far as half the model's context holds them."""


def infill(
    model_dir: str | Path,
    piece: NoteSequence,
    bars: tuple[int, int],
    n: int = 1,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    top_p: float = 0.97,
    candidates: int = CANDIDATES,
    device: str = "auto",
) -> list[Generated]:
    """Write bars of a piece anew, `n` times; how, and how good that can be, says the module.

    Parameters
    ----------
    model_dir : path
        A folder written by `generator.train.train`.
    piece : NoteSequence
        Read as `generator.tokens.quantise` does.
    bars : (int, int)
        First and last bar, counted from 1, both written.
    n : int
        Versions, 1 to 64; version i draws from its own stream (seed, i).
    candidates : int
        Draws of each version, 1 to 256.

    Returns
    -------
    list of Generated
        `sequence` is the whole piece; `tokens` what the model wrote of it, behind what stands before. The statistics
        have ``following_nats``, what a token of the bars that follow costs behind the kept draw, and
        ``following_nats_mean``, behind all draws; both None where nothing follows.

    Raises
    ------
    GeneratorError
        When the model can't be loaded, the piece has no such bars, a setting is out of range, or no draw came to an
        end.
    """
    settings = SamplingSettings(seed, temperature, top_p, None, max(bars[1] - bars[0] + 1, 1))
    for what, number, most in (("versions", n, 64), ("candidates", candidates, 256)):
        if not 1 <= number <= most:
            raise SettingError(f"{number} {what} asked for; 1 to {most} can be had")
    on_grid = quantise(piece)
    tokens = np.array(encode(on_grid), dtype=np.int64)
    starts = bar_starts(tokens)
    if not 1 <= bars[0] <= bars[1] <= len(starts):
        raise SettingError(f"bars {bars[0]}-{bars[1]} asked for; the piece has bars 1 to {len(starts)}")
    model = load_model(model_dir, device)
    meters = tuple(tokens[starts].tolist())
    given = tokens[: starts[bars[0] - 1] + 1].tolist()
    ends = np.append(starts, len(tokens) - 1)
    behind = tokens[ends[bars[1]] : ends[min(bars[1] + LOOK_AHEAD, len(starts))]][: model.config.context // 2]
    made = []
    with torch.inference_mode(), threads(1):
        for number in range(n):
            lines = [Line(given, settings.bars, meters=meters) for _ in range(candidates)]
            randoms = [np.random.default_rng([seed, number, i]) for i in range(candidates)]
            sample_lines(model, lines, randoms, settings, begun(bars[1] + 1))
            whole = [line for line in lines if line.state.bars == min(bars[1] + 1, len(starts))]
            if not whole:
                raise GeneratorError(
                    f"{model_dir}: no draw of bars {bars[0]}-{bars[1]} came to an end; train it longer"
                )
            written = [np.array(line.tokens[:-1], dtype=np.int64) for line in whole]
            costs = [following_nats(model, line, behind) if len(behind) else 0.0 for line in written]
            best = int(np.argmin(costs))
            sequence = _spliced(on_grid, decode(written[best]), bars)
            figures = {
                "following_nats": costs[best] if len(behind) else None,
                "following_nats_mean": float(np.mean(costs)) if len(behind) else None,
                **statistics(sequence),
            }
            about = {**asdict(settings), "infilled": list(bars), "candidates": candidates, "index": number, "count": n}
            made.append(Generated(sequence, tuple(written[best].tolist()), seed, about, figures))
    return made


def following_nats(model: Transformer, tokens: IntArray, behind: IntArray) -> float:
    """Nats a token that `behind` (at least one, from a ``Bar`` on) costs the model after `tokens`, which end a bar."""
    line = np.concatenate([tokens, behind])
    starts = bar_starts(line)
    header = window(line, int(starts[0]), len(line))[1]
    start = int(starts[starts >= len(line) + header - model.config.context][0])
    cut, _ = window(line, start, len(line))
    rows = torch.from_numpy(cut).to(next(model.parameters()).device)
    logits = model(rows[None, :-1])[0, -len(behind) :].float()
    return float(torch.nn.functional.cross_entropy(logits, rows[-len(behind) :]))


def _spliced(piece: NoteSequence, written: NoteSequence, bars: tuple[int, int]) -> NoteSequence:
    """Return the piece with the notes that begin in `bars` taken from `written`; what follows cuts them short."""
    lines = bar_lines(piece) / GRID
    first, end = lines[bars[0] - 1], lines[bars[1]]
    inside = [(s.onset_beat >= first - 1e-9) & (s.onset_beat < end - 1e-9) for s in (piece, written)]
    kept, new = piece.select(~inside[0]), written.select(inside[1])
    columns = ("onset_beat", "duration_beat", "pitch", "velocity", "part")
    onset, duration, pitch, velocity, part = (
        np.concatenate([getattr(kept, name), getattr(new, name)]) for name in columns
    )
    return quantise(
        build(
            onset, duration, pitch, velocity, part, parts=piece.parts, tempos=piece.tempos,
            time_signatures=piece.time_signatures, title=piece.title,
        )
    )  # fmt: skip

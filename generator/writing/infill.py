"""Writing some bars of a piece anew, while what stands before and after them stays.

The model reads from left to right, so it can't see what follows while it writes. Instead it writes `CANDIDATES`
versions of the bars behind what stands before them, and the one is kept under which the bars that follow are likeliest:
of draws from p(bars | before), the one with the highest p(after | before, bars), as in sampling with importance
resampling (Rubin 1988) where the best draw takes all. Donahue, Lee and Liang (2020) train a model to infill instead;
that can write bars which lead on better, and needs a model of its own.

Bars are those of the piece, as printed or as its meters say. They keep their meters, and all that is no note of theirs
stays tick for tick: the new notes are put into the piece's own MIDI file (`music.midi_edit`). A note that began before
the bars sounds on into them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from generator.data.tokens import CLOSE, bar_lines, bar_starts, decode, encode, quantise, window
from generator.data.vocabulary import GRID, GeneratorError, IntArray, SettingError
from generator.network.checkpoint import load_model
from generator.network.model import Transformer
from generator.network.stack import threads
from generator.writing.decoding import Line, SamplingSettings, has_begun, sample_lines
from generator.writing.sample import Drawn, Generated, statistics
from music.midi import midi_bytes, parse_midi
from music.midi_edit import NewNote, rewritten
from music.notes import NoteSequence

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
    midi: bytes | None = None,
) -> list[Generated]:
    """Write bars of a piece anew, `n` times; how, and how good that can be, says the module.

    Parameters
    ----------
    model_dir : path
        A folder written by `generator.training.train.train`.
    piece : NoteSequence
        What the model sees of it, says `generator.data.tokens.quantise`.
    bars : (int, int)
        First and last bar, as `NoteSequence.bar_at` counts them, both written.
    n : int
        Versions, 1 to 64; version i draws from its own stream (seed, i).
    candidates : int
        Draws of each version, 1 to 256.
    midi : bytes, optional
        The MIDI file that the piece was read from; by default one is written of it first.

    Returns
    -------
    list of Generated
        `sequence` is the whole piece, and `midi` the file that holds it; `tokens` what the model wrote of it, behind
        what stands before. The statistics have ``following_nats``, what a token of the bars that follow costs behind
        the kept draw, and ``following_nats_mean``, behind all draws; both None where nothing follows.

    Raises
    ------
    GeneratorError
        When the model can't be loaded, the piece has no such bars, a setting is out of range, or no draw came to an
        end.
    """
    file = midi_bytes(piece) if midi is None else midi
    piece = parse_midi(file, piece.title)  # whose parts know their tracks
    number_of_bars = int(piece.bar_at(float(piece.onset_beat[-1]) + 1e-6)) if len(piece) else 1
    if not 1 <= bars[0] <= bars[1] <= number_of_bars:
        raise SettingError(f"bars {bars[0]}-{bars[1]} asked for; the piece has bars 1 to {number_of_bars}")
    on_grid = quantise(piece)
    tokens = np.array(encode(on_grid), dtype=np.int64)
    starts = bar_starts(tokens)
    span = piece.bar_span(bars[0])[0], piece.bar_span(bars[1])[1]
    # The vocabulary's bars that hold them: several for a long bar, others where the grid has none of their length.
    lines = bar_lines(on_grid) / GRID
    first = int(np.searchsorted(lines, span[0] + CLOSE / GRID, side="right")) - 1
    last = min(max(int(np.searchsorted(lines, span[1] - CLOSE / GRID)) - 1, first), len(starts) - 1)
    settings = SamplingSettings(seed, temperature, top_p, None, last - first + 1)
    for what, number, most in (("versions", n, 64), ("candidates", candidates, 256)):
        if not 1 <= number <= most:
            raise SettingError(f"{number} {what} asked for; 1 to {most} can be had")
    model = load_model(model_dir, device)
    meters = tuple(tokens[starts].tolist())
    given = tokens[: starts[first] + 1].tolist()
    ends = np.append(starts, len(tokens) - 1)
    behind = tokens[ends[last + 1] : ends[min(last + 1 + LOOK_AHEAD, len(starts))]][: model.config.context // 2]
    versions = []
    with torch.inference_mode(), threads(1):
        for number in range(n):
            drawn = [Line(given, settings.bars, meters=meters) for _ in range(candidates)]
            randoms = [np.random.default_rng([seed, number, i]) for i in range(candidates)]
            sample_lines(model, drawn, randoms, settings, has_begun(last + 2))
            whole = [line for line in drawn if line.state.bars == min(last + 2, len(starts))]
            if not whole:
                raise GeneratorError(
                    f"{model_dir}: no draw of bars {bars[0]}-{bars[1]} came to an end; train it longer"
                )
            written = [np.array(line.tokens[:-1], dtype=np.int64) for line in whole]
            costs = [following_nats(model, line, behind) if len(behind) else 0.0 for line in written]
            best = int(np.argmin(costs))
            new = rewritten(file, piece.title, *_place_notes(piece, decode(written[best]), span))
            sequence = parse_midi(new, piece.title)
            figures = {
                "following_nats": costs[best] if len(behind) else None,
                "following_nats_mean": float(np.mean(costs)) if len(behind) else None,
                **statistics(quantise(sequence)),
            }
            drawn_from = Drawn(settings, number, n, infilled=bars, candidates=candidates)
            versions.append(Generated(sequence, tuple(written[best].tolist()), seed, drawn_from, figures, new))
    return versions


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


def _place_notes(
    piece: NoteSequence, written: NoteSequence, span: tuple[float, float]
) -> tuple[tuple[int, int], list[NewNote]]:
    """Return the ticks of a span of quarters, and the notes of `written` that begin in it, with their places."""
    ticks = piece.ticks_per_quarter
    edges = round(span[0] * ticks), round(span[1] * ticks)
    used = np.unique(piece.part)  # the model knows those parts alone
    tracks = [(part.track, part.channel) for part in piece.parts]
    notes = []
    for onset, length, pitch, velocity, part in zip(
        written.onset_beat, written.duration_beat, written.pitch, written.velocity, written.part, strict=True
    ):
        at = round(float(onset) * ticks)
        if edges[0] <= at < edges[1]:
            place = tracks[int(used[part])]
            notes.append(NewNote(*place, at, max(round(float(length) * ticks), 1), int(pitch), int(velocity)))
    return edges, notes

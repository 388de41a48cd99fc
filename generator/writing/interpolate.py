"""Walks between two pieces through the style latents of their bars.

Bar k of the first piece goes over into bar k of the second along a straight line of the latent space, along which what
is counted in a bar changes evenly (`generator.network.model.Style`). The walk has as many bars as the shorter piece;
tempo, instruments and meters are those of the nearer end. Each step is drawn several times, and that draw is kept
whose `describe_pace` are nearest to the line between those of the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from generator.data.tokens import bar_starts, decode, encode, window
from generator.data.vocabulary import GeneratorError, IntArray, SettingError
from generator.network.checkpoint import load_model
from generator.network.model import Transformer
from generator.network.stack import threads
from generator.writing.decoding import SamplingSettings, Style
from generator.writing.sample import Generated, write_styled
from music.notes import FloatArray, NoteSequence

MAX_BARS = 64
ENDS_TOP_P = 0.5
"""Ends are not to be varied, but to come back."""


def style_of(model: Transformer, tokens: IntArray, bars: int) -> Style:
    """Return the mean latents and the meters of the first `bars` bars of a piece, read in windows of whole bars."""
    starts = np.append(bar_starts(tokens)[:bars], len(tokens))
    if bars < len(bar_starts(tokens)):
        starts[-1] = bar_starts(tokens)[bars]
    latents: list[FloatArray] = []
    room = model.config.context
    at = 0
    while at < len(starts) - 1:
        header = window(tokens, int(starts[at]), room)[1]
        upto = max(int(np.searchsorted(starts, starts[at] + room - header, side="right")) - 1, at + 1)
        cut, _ = window(tokens, int(starts[at]), min(header + int(starts[upto] - starts[at]), room))
        with torch.inference_mode():
            mean, _ = model.encode_style(torch.from_numpy(cut)[None].to(next(model.parameters()).device))
        latents.extend(mean[0].double().cpu().numpy())
        at = upto
    return Style(np.array(latents), tuple(int(token) for token in tokens[starts[:-1]]))


def describe_pace(piece: NoteSequence) -> FloatArray:
    """Return ln notes and ln onsets a beat, and the mean pitch in octaves: what is to change evenly on a walk, (3,)."""
    length = max(float(piece.end_beat), 1.0)
    onsets = len(np.unique(np.round(piece.onset_beat, 4)))
    height = float(piece.pitch.mean()) / 12 if len(piece) else 0.0
    return np.array([np.log(max(len(piece), 1) / length), np.log(max(onsets, 1) / length), height])


def interpolate(
    model_dir: str | Path,
    first: NoteSequence,
    second: NoteSequence,
    steps: int,
    *,
    seed: int = 0,
    top_p: float = 0.9,
    draws: int = 8,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Generated]:
    """Write `steps` pieces on the way from `first` to `second`, both ends among them, as the model hears them.

    Parameters
    ----------
    model_dir : path
        A model with a style encoder (`contraste train --latent`), as the shipped one is.
    steps : int
        2 to 64.
    seed, top_p : number
        As for `generator.writing.sample.generate`; the ends are drawn with `ENDS_TOP_P` at most.
    draws : int
        Of each step, 1 to 64.

    Raises
    ------
    GeneratorError
        For a model without a style encoder, a piece without bars, or a setting out of range.
    """
    for what, number, least in (("steps", steps, 2), ("draws", draws, 1)):
        if not least <= number <= 64:
            raise SettingError(f"{what} {number} is out of range: {least} to 64")
    model = load_model(model_dir, device)
    if not model.config.latent:
        raise GeneratorError(f"{model_dir}: has no style encoder; train a model with --latent 256")
    pieces = [np.array(encode(piece), dtype=np.int64) for piece in (first, second)]
    bars = min(MAX_BARS, *(len(bar_starts(tokens)) for tokens in pieces))
    headers = [tokens[: bar_starts(tokens)[0]].tolist() for tokens in pieces]
    walk = []
    with torch.inference_mode(), threads(1):
        ends = [style_of(model, tokens, bars) for tokens in pieces]
        sought = [describe_pace(decode(tokens[: [*bar_starts(tokens), len(tokens)][bars]])) for tokens in pieces]
        for step, share in enumerate(np.linspace(0, 1, steps)):
            near = round(float(share))
            style = Style((1 - share) * ends[0].latents + share * ends[1].latents, ends[near].meters)
            p = top_p if 0 < share < 1 else min(top_p, ENDS_TOP_P)
            settings = SamplingSettings(seed=seed, temperature=1.0, top_p=p, beam=None, bars=bars)
            drafts = write_styled(model, [(headers[near], style)] * draws, settings)
            aim = (1 - share) * sought[0] + share * sought[1]
            nearest = min(drafts, key=lambda track: float(np.square(describe_pace(track.sequence) - aim).sum()))
            drawn = replace(nearest.drawn, draw=nearest.drawn.index, draws=draws, index=step, count=steps)
            walk.append(replace(nearest, drawn=drawn))
            progress(len(walk), steps)
    return walk

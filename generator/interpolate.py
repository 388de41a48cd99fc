"""Walks between two pieces through the style latents of their bars.

Bar k of the first piece goes over into bar k of the second along a straight line of the latent space, along which what
is counted in a bar changes evenly (`generator.model.Style`). The walk has as many bars as the shorter piece; tempo,
instruments and meters are those of the nearer end.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from generator.checkpoint import load_model
from generator.decoding import SamplingSettings, Style
from generator.model import Transformer, threads
from generator.sample import Generated, write_styled
from generator.tokens import GeneratorError, IntArray, SettingError, bar_starts, encode, window
from music.notes import FloatArray, NoteSequence

__all__ = ["interpolate", "style_of"]

MAX_BARS = 64


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


def interpolate(
    model_dir: str | Path,
    first: NoteSequence,
    second: NoteSequence,
    steps: int,
    *,
    seed: int = 0,
    top_p: float = 0.5,
    device: str = "auto",
) -> list[Generated]:
    """Write `steps` pieces on the way from `first` to `second`, both ends among them, as the model hears them.

    Parameters
    ----------
    model_dir : path
        A model with a style encoder (`contraste train --latent`).
    steps : int
        2 to 64.
    seed, top_p : number
        As for `generator.sample.generate`.

    Raises
    ------
    GeneratorError
        For a model without a style encoder, a piece without bars, or a setting out of range.
    """
    if not 2 <= steps <= 64:
        raise SettingError(f"steps {steps} is out of range: 2 to 64")
    model = load_model(model_dir, device)
    if not model.config.latent:
        raise GeneratorError(f"{model_dir}: has no style encoder; train a model with --latent 64")
    pieces = [np.array(encode(piece), dtype=np.int64) for piece in (first, second)]
    bars = min(MAX_BARS, *(len(bar_starts(tokens)) for tokens in pieces))
    settings = SamplingSettings(seed=seed, temperature=1.0, top_p=top_p, beam=None, bars=bars)
    with torch.inference_mode(), threads(1):
        ends = [style_of(model, tokens, bars) for tokens in pieces]
        headers = [tokens[: bar_starts(tokens)[0]].tolist() for tokens in pieces]
        walk = []
        for share in np.linspace(0, 1, steps):
            near = round(float(share))
            latents = (1 - share) * ends[0].latents + share * ends[1].latents
            walk.append((headers[near], Style(latents, ends[near].meters)))
        return write_styled(model, walk, settings)

"""Likelihood of Bach's chorales on a grid of 16ths under the generator's Transformer, with a count model beside it.

    python bench/jsb.py --cpu-minutes 10 [--split tunes] [--data Jsb16thSeparated.json] [--out FILE]

Protocol
--------
One token is one voice at one 16th: soprano, alto, tenor, bass, then the next 16th; its value is the pitch that sounds
(or none). Every token of every piece counts, held notes too, each predicted from the tokens before it alone, and the
figure is the mean negative log likelihood in nats of all tokens of all "valid" pieces. The split is the canonical
one; with ``--split tunes`` pieces that share a tune (`chorales.grouped_by_tune`) stand on one side of it.

The network is `generator.network.stack.Stack` (width 256, 4 layers, 8 heads). Besides the token it reads what can be
read off the tokens before: voice, place in a bar of 16, for each voice its last pitch, how long that has been held and
whether it is of this 16th, and how far the voice's last pitch is from those of the others. Its output adds a score for
the pitch and scores for its distance from the last pitch of each voice, so that what holds in one key holds in all.

Against learning 200 pieces by heart, training windows are moved within the range of the training set; in three of
four the voices of every 16th come in an order drawn for the window, which makes 24 tasks of one (scored is soprano to
bass alone); each thing that is read is left out by chance, besides dropout; and weights decay. The weights scored are
a running mean of those trained. Pieces are scored in windows of the context that advance by half; a token counts in
the first that reaches it.

The count model: counts given (voice, 16th in the beat, its last pitch, which voices above moved), smoothed after
Witten and Bell with those given (voice, its last pitch) and (voice).

Time is CPU time of one thread, training only. Nothing is chosen on "test"; the "valid" curve is printed as it is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.chorales import IntArray, grouped_by_tune, make_grids, read_grids
from generator.network.stack import ModelConfig, Stack, initialise

PITCHES = 129  # 128: no pitch
LONGEST = 33  # 16ths for which a pitch was held, as far as they are told apart
BEAT, BAR = 4, 16
FEATURES = (4, 4, BAR, 16, *[PITCHES] * 4, *[LONGEST] * 4, *[128] * 4)
ALWAYS = 4  # so many features, the first, are never left out
REFERENCES = 4
DOWN = (0, 1, 2, 3)
ORDERS = tuple(itertools.permutations(DOWN))


def steps_of(grid: IntArray) -> IntArray:
    """Return a piece's tokens, (16ths, 4)."""
    return np.where(grid < 0, PITCHES - 1, grid)


def features_of(steps: IntArray, order: Sequence[int] = DOWN) -> IntArray:
    """Return what each token is predicted from besides the tokens themselves, (tokens, features), and its references.

    The first columns are inputs, sizes `FEATURES`; the last `REFERENCES` are the pitches from which the output
    measures: the last of the voice, and of the others. Voices come in `order`.
    """
    before = np.concatenate([np.full((1, 4), PITCHES - 1), steps[:-1]])
    place = np.arange(len(steps))
    same = np.zeros(steps.shape, dtype=bool)
    same[2:] = before[2:] == before[1:-1]
    struck = np.maximum.accumulate(np.where(same, 0, place[:, None]), axis=0)
    held = np.minimum(place[:, None] - struck, LONGEST - 1)
    rows = []
    for k, voice in enumerate(order):
        done, others = list(order[:k]), [v for v in DOWN if v != voice]
        last, since = before.copy(), held.copy()
        last[:, done] = steps[:, done]
        moved = steps[:, done] != before[:, done]
        since[:, done] = np.where(moved, 0, np.minimum(held[:, done] + 1, LONGEST - 1))
        own = before[:, voice]
        gaps = [own - last[:, other] for other in others] + [last[:, 0] - last[:, 3]]
        fixed = [np.full(len(steps), number) for number in (voice, order[k - 1], sum(1 << v for v in done))]
        inputs = [*fixed[:2], place % BAR, fixed[2], *last.T, *since.T, *(np.clip(gap, -64, 63) + 64 for gap in gaps)]
        rows.append(np.stack([*inputs, own, *last[:, others].T], axis=1))
    return np.stack(rows, axis=1).reshape(steps.size, -1)


class Chorales(nn.Module):
    """The Transformer over voices and 16ths."""

    def __init__(self, config: ModelConfig, left_out: float) -> None:
        super().__init__()
        self.config, self.left_out = config, left_out
        self.offsets: Tensor
        self.token = nn.Embedding(PITCHES + 1, config.width)
        offsets = torch.tensor(np.concatenate([[0], np.cumsum(FEATURES)[:-1]]))
        self.register_buffer("offsets", offsets, persistent=False)
        self.read = nn.Embedding(sum(FEATURES), config.width)
        self.drop = nn.Dropout(config.dropout)
        self.stack = Stack(config)
        self.score = nn.Linear(config.width, PITCHES)
        self.distance = nn.Linear(config.width, REFERENCES * 255, bias=False)
        initialise(self, config.layers)

    def forward(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Logits (B, T, pitches) of the tokens that follow `tokens` (B, T), from their features (B, T, F + R)."""
        inputs, references = features[..., : len(FEATURES)], features[..., len(FEATURES) :]
        x = torch.cat([self.token(tokens)[:, :, None], self.read(inputs + self.offsets)], dim=2)  # (B, T, 1 + F, D)
        if self.training:
            kept = (torch.rand(x.shape[:3]) >= self.left_out) / (1 - self.left_out)  # (B, T, 1 + F)
            kept[..., 1 : 1 + ALWAYS] = 1.0
            x = x * kept[..., None]
        x = self.stack(self.drop(x.sum(dim=2)))  # (B, T, D)
        logits = self.score(x)  # (B, T, P)
        far = self.distance(x).unflatten(-1, (REFERENCES, 255))  # (B, T, R, 255)
        pitches = torch.arange(PITCHES - 1, device=x.device)
        where = pitches - references[..., None].clamp(max=PITCHES - 2) + 127  # (B, T, R, P - 1)
        distances = far.gather(-1, where).sum(dim=2)  # (B, T, P - 1)
        return cast(Tensor, logits + functional.pad(distances, (0, 1)))


def batch(
    pieces: Sequence[IntArray], context: int, rows: int, random: np.random.Generator, spans: IntArray, shuffled: float
) -> tuple[Tensor, Tensor]:
    """Draw windows (rows, <= context + 1) that start at a 16th, each moved within the range of the set.

    In a share `shuffled` of them the voices come in an order drawn for the window.
    """
    sizes = np.array([len(piece) for piece in pieces])
    cuts = []
    for i in random.choice(len(pieces), rows, p=sizes / sizes.sum()):
        piece = pieces[i]
        start = int(random.integers(0, max(1, len(piece) - context // 4 + 1)))
        shift = int(random.integers(spans[i, 0], spans[i, 1] + 1))
        moved = np.where(piece == PITCHES - 1, piece, piece + shift)
        order = ORDERS[random.integers(len(ORDERS))] if random.random() < shuffled else DOWN
        cuts.append(cut(moved, 4 * start, context, order))
    return collate(cuts)


def cut(piece: IntArray, start: int, context: int, order: Sequence[int] = DOWN) -> tuple[IntArray, IntArray]:
    line = np.concatenate([[PITCHES], piece[:, order].ravel()])[start : start + context + 1]
    return line, features_of(piece, order)[start : start + len(line) - 1]


def collate(cuts: Sequence[tuple[IntArray, IntArray]]) -> tuple[Tensor, Tensor]:
    longest = max(len(line) for line, _ in cuts)
    lines = np.full((len(cuts), longest), -100)
    features = np.zeros((len(cuts), longest - 1, len(FEATURES) + REFERENCES), dtype=np.int64)
    for row, (line, about) in enumerate(cuts):
        lines[row, : len(line)] = line
        features[row, : len(about)] = about
    return torch.from_numpy(lines), torch.from_numpy(features)


def nats(model: Chorales, lines: Tensor, features: Tensor, bf16: bool) -> Tensor:
    """Return the nats of each token, (B, T); 0 beyond a line's end."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(lines[:, :-1].clamp(min=0), features)
    return functional.cross_entropy(logits.float().transpose(1, 2), lines[:, 1:], reduction="none")


@torch.inference_mode()
def evaluate(model: Chorales, pieces: Sequence[IntArray], bf16: bool) -> float:
    """Mean nats a token by the module's protocol."""
    model.eval()
    context, total = model.config.context, 0.0
    for piece in pieces:
        start = done = 0
        while done < piece.size:
            row = nats(model, *collate([cut(piece, start, context)]), bf16)[0].double()
            total += float(row[done - start :].sum())
            done = min(start + context, piece.size)
            start += context // 2
    model.train()
    return float(total / sum(piece.size for piece in pieces))


def count_model(train: Sequence[IntArray], valid: Sequence[IntArray]) -> float:
    """Mean nats a token of the count model."""

    def contexts(steps: IntArray) -> list[list[tuple[int, ...]]]:
        out = []
        for t in range(len(steps)):
            before = steps[t - 1] if t else np.full(4, PITCHES - 1)
            for voice in range(4):
                moved = tuple(int(x) for x in steps[t, :voice] != before[:voice])
                out.append([(voice, t % BEAT, int(before[voice]), *moved), (voice, int(before[voice])), (voice,)])
        return out

    counts: dict[tuple[int, tuple[int, ...]], Counter[int]] = defaultdict(Counter)
    for piece in train:
        for keys, token in zip(contexts(piece), piece.ravel().tolist(), strict=True):
            for level, key in enumerate(keys):
                counts[level, key][token] += 1
    total = 0.0
    for piece in valid:
        for keys, token in zip(contexts(piece), piece.ravel().tolist(), strict=True):
            chance = 1 / PITCHES
            for level in (2, 1, 0):  # Witten-Bell
                seen = counts.get((level, keys[level]))
                if seen:
                    n, kinds = seen.total(), len(seen)
                    chance = (seen[token] + kinds * chance) / (n + kinds)
            total -= math.log(chance)
    return float(total / sum(piece.size for piece in valid))


def spans_of(pieces: Sequence[IntArray]) -> IntArray:
    """Least and greatest transposition of each piece within the range of all, at most 6 semitones either way."""
    ends = np.array([(piece[piece < PITCHES - 1].min(), piece[piece < PITCHES - 1].max()) for piece in pieces])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    return np.stack([np.maximum(-6, low - ends[:, 0]), np.minimum(6, high - ends[:, 1])], axis=1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cpu-minutes", type=float, default=10.0)
    arguments.add_argument("--data", type=Path, help="the set as JSON; default: the scores of the music21 package")
    arguments.add_argument("--split", choices=["canonical", "tunes"], default="canonical")
    arguments.add_argument("--rows", type=int, default=2, help="windows a step")
    arguments.add_argument("--context", type=int, default=512)
    arguments.add_argument("--dropout", type=float, default=0.2)
    arguments.add_argument("--left-out", type=float, default=0.15, help="chance of each feature, in training")
    arguments.add_argument("--shuffled", type=float, default=0.75, help="share of windows with another order of voices")
    arguments.add_argument("--decay", type=float, default=0.5, help="of the weights")
    arguments.add_argument("--average", type=float, default=0.998, help="decay of the running mean of the weights")
    arguments.add_argument("--width", type=int, default=256)
    arguments.add_argument("--layers", type=int, default=4)
    arguments.add_argument("--rate", type=float, default=1e-3)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--bfloat16", action="store_true", help="faster where the CPU has AMX")
    arguments.add_argument("--checks", type=int, default=8, help="how often the valid split is scored")
    arguments.add_argument("--out", type=Path, help="JSON of the figures")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    grids = read_grids(given.data) if given.data else make_grids()
    if given.split == "tunes":
        grids = grouped_by_tune(grids, given.seed)
    pieces = {split: [steps_of(grid) for grid in grids[split]] for split in grids}
    counted = count_model(pieces["train"], pieces["valid"])
    print(
        f"tokens { ({split: sum(x.size for x in p) for split, p in pieces.items()}) }; count model {counted:.3f}",
        flush=True,
    )
    config = ModelConfig(given.width, given.layers, 8, given.context, given.dropout)
    model = Chorales(config, given.left_out)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    curve = fit(model, pieces, given)
    if given.out:
        given.out.write_text(json.dumps({"count_model": counted, "curve": curve, "given": str(vars(given))}, indent=1))


def fit(model: Chorales, pieces: dict[str, list[IntArray]], given: argparse.Namespace) -> list[dict[str, float]]:
    budget, used, step, seen, checked = 60 * given.cpu_minutes, 0.0, 0, 0, 0
    spans, random = spans_of(pieces["train"]), np.random.default_rng(given.seed)
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": decayed, "weight_decay": given.decay}, {"params": others, "weight_decay": 0.0}]
    smooth = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(given.average))  # type: ignore[no-untyped-call]  # torch gives it no types
    optimiser = torch.optim.AdamW(groups, lr=given.rate, betas=(0.9, 0.99), fused=True)
    curve: list[dict[str, float]] = []
    while used < budget:
        start = time.process_time()
        share = used / budget
        rate = given.rate * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimiser.param_groups:
            group["lr"] = rate
        lines, features = batch(pieces["train"], given.context, given.rows, random, spans, given.shuffled)
        loss = nats(model, lines, features, given.bfloat16).sum() / (lines[:, 1:] >= 0).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        smooth.update_parameters(model)
        step, seen = step + 1, seen + int((lines[:, 1:] >= 0).sum())
        used += time.process_time() - start
        if used >= budget * (checked + 1) / given.checks:
            checked += 1
            entry = {
                "cpu_s": round(used),
                "tokens": seen,
                "valid": evaluate(cast(Chorales, smooth.module), pieces["valid"], given.bfloat16),
            }
            curve.append(entry)
            about = f"{seen / used:6.0f} tok/s  train {float(loss.detach()):.3f}  valid {entry['valid']:.4f}"
            print(f"{used:7.0f} s {step:7} steps {about}", flush=True)
    return curve


if __name__ == "__main__":
    main()

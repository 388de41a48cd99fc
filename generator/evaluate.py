"""What a model has learned, and whether it learned pieces by heart: what `contraste evaluate` works out with the model.

Measures that need no model (likeness of sets, style, originality) are `audit.measures.likeness`' and
`audit.originality.report`'s, and the command line puts both together.

Memorisation probe
------------------
A model is given the first `PROMPT_NOTES` notes of a piece and goes on greedily, inside the grammar. The piece counts as
*completed* when the next `COMPLETED_NOTES` notes are exactly the piece's, with their times, durations, velocities and
parts. Extraction by a prompt is the measure of Carlini et al., Quantifying Memorization Across Neural Language Models
(ICLR 2023); since music repeats itself, the same is done with pieces of the held-out splits. The verdict is

- ``memorised`` when training pieces are completed more often than held-out ones, by Fisher's exact test (one-sided,
  p < `ALPHA`);
- ``not shown`` otherwise: it shows that nothing was found, not that nothing is there;
- ``too few`` when not even all training pieces and no held-out one could give such a p.

Departure: greedy continuation is not sampled but read off: it is exact until the first token that is not the likeliest,
so one pass over the piece says whether there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus.store import Store
from generator.data.grammar import Grammar
from generator.data.tokens import quantise
from generator.data.vocabulary import ARTIST, PITCH, TEMPO, GeneratorError, IntArray
from generator.data.windows import pad_rows, read_split
from generator.network.checkpoint import load_model, read_description, read_training
from generator.network.model import Transformer
from generator.network.stack import threads
from generator.training.canaries import exposures, read_canaries
from generator.training.objective import Likelihood, Team, cross_entropy, orders
from generator.writing.sample import Generated, generate, statistics
from music.notes import NoteSequence

PROMPT_NOTES, COMPLETED_NOTES = 32, 16
PROBED = 200
ALPHA = 0.01
BEAM_TRACKS = 4
SPLITS = ("valid", "test")


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What was measured of a model with the model; each by name, as the evaluation prints it.

    Attributes
    ----------
    learned_here : bool
        Whether the store is the one it learned from.
    canaries, forgetting : dict or None
        None where none were planted, and where no base was named.
    skipped : list of dict
        ``check`` and ``reason`` of what could not be measured.
    """

    learned_here: bool
    vocabulary_digest: str
    likelihood: dict[str, Any]
    memorisation: dict[str, Any]
    canaries: dict[str, Any] | None
    forgetting: dict[str, Any] | None
    decoding: dict[str, Any]
    skipped: list[dict[str, str]]


def evaluate_model(
    model_dir: str | Path,
    store: Store,
    n: int = 16,
    *,
    seed: int = 0,
    bars: int = 16,
    base: tuple[str | Path, Store] | None = None,
    device: str = "auto",
) -> tuple[ModelFigures, list[Generated]]:
    """Measure a model on a store.

    Parameters
    ----------
    model_dir : path
    store : Store
        Usually the one it learned from; the result says whether it is.
    n : int
        Tracks to write by nucleus sampling, 2 to 4096; beam search of width 5 writes `BEAM_TRACKS` of them at most.
    bars : int
        Least length of each.
    base : (path, Store), optional
        The model that this one was tuned from, and the store of that.

    Returns
    -------
    (ModelFigures, list of Generated)
        The figures, and the tracks of nucleus sampling.

    Raises
    ------
    GeneratorError
        When the model can't be loaded, or the store has no piece outside the training split to measure on.
    """
    model = load_model(model_dir, device)
    description = read_description(model_dir)
    splits = {split: read_split(store, split)[0] for split in ("train", *SPLITS)}
    held_out = [piece for split in SPLITS for piece in splits[split]]
    if not held_out:
        raise GeneratorError(f"{store.path}: has no pieces in its splits 'valid' and 'test', so nothing to measure on")
    skipped: list[dict[str, str]] = []
    transpose = read_training(model_dir).get("settings", {}).get("transpose")
    with threads(1), torch.inference_mode():
        team = Team(model, 1, "float32")
        likelihood = _likelihoods(team, splits, transpose if transpose in range(12) else 5)
        rates = memorisation(model, splits["train"], held_out, seed)
        planted = read_canaries(model_dir)
        if not planted:
            skipped.append({"check": "canaries", "reason": "none were planted; train with --canaries"})
        exposed = exposures(partial(_nats, model), planted) if planted else None
        forgotten = forgetting(team, base) if base else None
        team.pool.shutdown()
    tracks = generate(model_dir, n, seed=seed, bars=bars, device=device)
    beams = generate(model_dir, min(n, BEAM_TRACKS), seed=seed, bars=bars, beam=5, device=device)
    real = excerpts(store, bars)
    if not real:
        skipped.append({"check": "real music", "reason": f"no held-out piece has {bars} bars"})
    decoding = {
        name: table(rows)
        for name, rows in (
            ("real", [statistics(piece) for piece in real]),
            ("nucleus", [track.statistics for track in tracks]),
            ("beam 5", [track.statistics for track in beams]),
        )
        if rows
    }
    figures = ModelFigures(
        learned_here=description.store_digest == store.digest,
        vocabulary_digest=description.vocabulary_digest,
        likelihood=likelihood,
        memorisation=rates,
        canaries=exposed,
        forgetting=forgotten,
        decoding=decoding,
        skipped=skipped,
    )
    return figures, tracks


def _likelihoods(team: Team, splits: dict[str, list[IntArray]], transpose: int) -> dict[str, Any]:
    """Likelihood of each held-out split under the model and under n-grams of each order."""
    likelihoods: dict[str, Any] = {}
    for split in SPLITS:
        if splits[split]:
            counted = orders(splits["train"], splits[split], transpose) if splits["train"] else []
            likelihoods[split] = {
                "pieces": len(splits[split]),
                "model": asdict(team.likelihood(splits[split])),
                "ngram": [{"order": order, **asdict(score)} for order, score in enumerate(counted, 1)],
            }
    return likelihoods


def _nats(model: Transformer, pieces: Sequence[IntArray]) -> list[float]:
    """Nats that each of some pieces, none longer than the context, costs the model."""
    values: list[float] = []
    for first in range(0, len(pieces), 16):
        rows = torch.from_numpy(pad_rows(pieces[first : first + 16])).to(next(model.parameters()).device)
        nats = cross_entropy(model(rows[:, :-1]), rows, "none")
        values += nats.view(len(rows), -1).double().sum(dim=1).tolist()
    return values


def forgetting(team: Team, base: tuple[str | Path, Store]) -> dict[str, Any]:
    """Bits a note on the held-out splits of the base's own store, of the base and of the model tuned from it.

    Returns
    -------
    dict
        ``base`` and ``model`` in bits a note, and ``rise``, the share by which tuning raised them; negative is better.

    Raises
    ------
    GeneratorError
        When the base can't be loaded or its store has no held-out pieces.
    """
    folder, store = base
    pieces = [piece for split in SPLITS for piece in read_split(store, split)[0]]
    if not pieces:
        raise GeneratorError(f"{store.path}: has no pieces in its splits 'valid' and 'test', so nothing to measure on")
    before = Team(load_model(folder, str(team.device)), 1, "float32")
    likelihoods: list[Likelihood] = [before.likelihood(pieces), team.likelihood(pieces)]
    before.pool.shutdown()
    bits = [score.bits_per_note for score in likelihoods]
    return {"pieces": len(pieces), "base": bits[0], "model": bits[1], "rise": bits[1] / bits[0] - 1}


def table(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean of each figure of `generator.writing.sample.statistics` over tracks, and their number, ``tracks``."""
    names = {name: None for one in rows for name in one}
    means = {name: [one[name] for one in rows if one.get(name) is not None] for name in names}
    return {"tracks": len(rows), **{name: float(np.mean(values)) for name, values in means.items() if values}}


def excerpts(
    store: Store, bars: int, splits: Sequence[str] = SPLITS, artist: Callable[[str], bool] = lambda name: True
) -> list[NoteSequence]:
    """First `bars` bars, on the grid, of the pieces of some splits and artists that have so many."""
    pieces = []
    for i, record in enumerate(store.pieces):
        if record.split in splits and artist(record.artist):
            piece = store.notes(i)
            if len(piece) and piece.bar_at(float(piece.end_beat)) >= bars:
                cut = piece.select(piece.onset_bars() < bars + 1 - 1e-6)
                try:
                    pieces.append(quantise(cut))
                except GeneratorError:
                    continue
    return pieces


def memorisation(
    model: Transformer, train: Sequence[IntArray], held_out: Sequence[IntArray], seed: int = 0
) -> dict[str, Any]:
    """Probe a model by the module's protocol.

    Returns
    -------
    dict
        ``verdict``, ``p``, the protocol's numbers, and for ``train`` and ``held_out``: ``pieces`` that were long enough
        (at most `PROBED`, drawn with `seed`), ``completed``, ``rate``, and its 95 % interval ``low``, ``high`` (Wilson
        1927). Where there are no pieces, rate and interval are None.
    """
    from scipy.stats import fisher_exact

    rates = {}
    for name, pieces in (("train", train), ("held_out", held_out)):
        spans = [(piece, span) for piece in pieces if (span := _span(piece, model.config.context))]
        drawn = np.random.default_rng(seed).permutation(len(spans))[:PROBED]
        rates[name] = _rate(len(drawn), sum(completes(model, *spans[i]) for i in drawn))
    counts = [(rates[name]["completed"], rates[name]["pieces"]) for name in ("train", "held_out")]
    (hits, tried), (control_hits, controls) = counts

    def p_value(a: int, b: int) -> float:
        return float(fisher_exact([[a, tried - a], [b, controls - b]], alternative="greater").pvalue)

    p = p_value(hits, control_hits) if tried and controls else 1.0
    possible = bool(tried and controls) and p_value(tried, 0) < ALPHA
    return {
        "verdict": "memorised" if p < ALPHA else "not shown" if possible else "too few",
        "p": p,
        "prompt_notes": PROMPT_NOTES,
        "completed_notes": COMPLETED_NOTES,
        **rates,
    }


def _span(piece: IntArray, context: int) -> tuple[int, int] | None:
    """Index of the first token to complete, and of the one behind the last; None for a piece too short or too dense."""
    notes = np.flatnonzero(piece >= PITCH)
    if len(notes) < PROMPT_NOTES + COMPLETED_NOTES:
        return None
    first, end = int(notes[PROMPT_NOTES - 1]) + 1, int(notes[PROMPT_NOTES + COMPLETED_NOTES - 1]) + 1
    return (first, end) if end <= context else None


def completes(model: Transformer, piece: IntArray, span: tuple[int, int]) -> bool:
    """Whether greedy continuation of what stands before `span` gives `span` exactly."""
    first, end = span
    rows = torch.from_numpy(piece[: end - 1])[None].to(next(model.parameters()).device)
    with torch.inference_mode():
        logits = model(rows)[0, first - 1 :].float().cpu().numpy()
    state = Grammar()
    for token in piece[:first]:
        state.advance(int(token))
    for token, row in zip(piece[first:end].tolist(), logits, strict=True):
        mask = state.allowed_mask()
        mask[ARTIST:TEMPO] = False
        if token != int(np.argmax(np.where(mask, row, -np.inf))):
            return False
        state.advance(token)
    return True


def _rate(pieces: int, completed: int) -> dict[str, Any]:
    """Return a share with its Wilson interval."""
    from scipy.stats import binomtest

    if not pieces:
        return {"pieces": 0, "completed": 0, "rate": None, "low": None, "high": None}
    low, high = binomtest(completed, pieces).proportion_ci(method="wilson")
    return {
        "pieces": pieces,
        "completed": completed,
        "rate": completed / pieces,
        "low": float(low),
        "high": float(high),
    }

"""The metrics of an audit: the track against the piece it resembles most, beside the store's own chance levels.

Chance levels are measured once for each state of a store, on pairs of unrelated pieces, and lie beside its index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from audit.findings import Finding, MetricResult, Skipped
from audit.index import Index
from audit.run import Corpus
from corpus.store import Store
from metrics.bleu import MAX_ORDER, nearest_bleu
from metrics.chance import Chance, chance_levels
from metrics.measure import SPECS, Features, MetricSkipped, features, measure
from metrics.phash import opening_mel
from metrics.tokens import MetricError, melody_tokens
from music.notes import MusicError, NoteSequence

CHANCE = "chance.json"
SAMPLE = 40  # pieces; their 12 opening seconds are rendered, which takes most of the time
PAIRS = 300
SEED = 20260802
FALLBACK_PIECES, FALLBACK_TOKENS = 300, 500


def rendered(sequence: NoteSequence) -> Features:
    """Features with the mel spectrogram of the opening, or without one where it can't be rendered."""
    try:
        return features(sequence, opening_mel(sequence))
    except (MusicError, MetricError):
        return features(sequence)


def measure_chance(
    store: Store, index: Index, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Chance]:
    """Measure what unrelated pieces of the store score, and write it beside the index.

    Returns
    -------
    dict
        Metric to `Chance`; {} for a store without two unrelated pieces.

    Raises
    ------
    StoreError
        When the result can't be written.
    """
    sample = np.random.default_rng(SEED).permutation(np.flatnonzero(store.present))[:SAMPLE]
    known = []
    for done, row in enumerate(sample):
        known.append(rendered(store.notes(int(row))))
        progress(done + 1, len(sample))
    try:
        levels = chance_levels(known, [store.pieces[row].group for row in sample], pairs=PAIRS, seed=SEED)
    except MetricError:
        levels = {}
    index.write(CHANCE, {name: asdict(level) for name, level in levels.items()})
    return levels


def open_chance(index: Index) -> dict[str, Chance] | None:
    """Read the chance levels beside an index, or None when there are none.

    Raises
    ------
    StoreError
        When they are there and damaged.
    """
    data = index.read(CHANCE)
    if data is None:
        return None
    try:
        return {name: Chance(**level) for name, level in data.items()}
    except (TypeError, AttributeError) as error:
        raise index.damaged(CHANCE, error) from error


def closest_piece(corpus: Corpus, track: NoteSequence, findings: list[Finding]) -> int:
    """Row of the piece that the metrics compare with: the copy search's best, or else the best of a sample by BLEU."""
    if findings:
        return corpus.store.index_of(findings[0].piece)
    rows = np.random.default_rng(SEED).permutation(np.flatnonzero(corpus.store.present))[:FALLBACK_PIECES]
    references = [melody_tokens(corpus.store.notes(int(row))) for row in rows]
    usable = [i for i, reference in enumerate(references) if len(reference) >= MAX_ORDER]
    own = melody_tokens(track)[:FALLBACK_TOKENS]
    if not usable or len(own) < MAX_ORDER:  # too short for BLEU
        return int(rows[0])
    return int(rows[usable[nearest_bleu([references[i] for i in usable], own)[1]]])


def measure_track(
    reference: NoteSequence, name: str, track: NoteSequence, levels: dict[str, Chance]
) -> tuple[MetricResult | Skipped, ...]:
    """Measure every metric on `track` against the piece `reference`, which is called `name`.

    A metric that has no value, or no chance level in this store, is skipped: a value never stands alone.
    """
    found = measure(rendered(reference), rendered(track))
    rows: list[MetricResult | Skipped] = []
    for spec in SPECS:
        value, level = found[spec.name], levels.get(spec.name)
        if isinstance(value, MetricSkipped):
            rows.append(Skipped(f"metrics:{spec.name}", value.reason))
        elif level is None:
            rows.append(Skipped(f"metrics:{spec.name}", "the store has too few unrelated pieces for a chance level"))
        else:
            rows.append(MetricResult(spec.name, spec.note, float(value), level.mean, level.p95, spec.better, name))
    return tuple(rows)

"""The metrics of an audit: the track against the piece it resembles most, beside the store's own chance levels.

Chance levels are measured once for each state of a store, on pairs of unrelated pieces, and lie beside its index.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from audit.findings import MetricResult, Skipped
from audit.index import Index
from corpus.store import Store, StoreError, write_synced
from metrics.chance import Chance, chance_levels
from metrics.measure import SPECS, Features, MetricSkipped, features, measure
from metrics.phash import opening_mel
from metrics.tokens import MetricError
from music.notes import MusicError, NoteSequence

SAMPLE = 40  # pieces; their 12 opening seconds are rendered, which takes most of the time
PAIRS = 300
SEED = 20260802


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
    sample = np.random.default_rng(SEED).permutation(len(store.pieces))[:SAMPLE]
    known = []
    for done, row in enumerate(sample):
        known.append(rendered(store.notes(int(row))))
        progress(done + 1, len(sample))
    try:
        levels = chance_levels(known, [store.pieces[row].group for row in sample], pairs=PAIRS, seed=SEED)
    except MetricError:
        levels = {}
    try:
        write_synced(
            index.path / "chance.json", json.dumps({name: asdict(level) for name, level in levels.items()}).encode()
        )
    except OSError as error:
        raise StoreError(f"{index.path}: the chance levels can't be written: {error.strerror}") from error
    return levels


def open_chance(index: Index) -> dict[str, Chance] | None:
    """Read the chance levels beside an index, or None when there are none.

    Raises
    ------
    StoreError
        When they are there and damaged.
    """
    path = index.path / "chance.json"
    if not path.exists():
        return None
    try:
        return {name: Chance(**level) for name, level in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged ({error}); delete {index.path} and it is made again") from error


def measure_track(
    reference: NoteSequence, name: str, track: NoteSequence, levels: dict[str, Chance]
) -> tuple[MetricResult | Skipped, ...]:
    """Measure every metric on `track` against the piece `reference`, called `name`; a metric without a value is skipped.

    A metric for which the store gives no chance level is skipped too: a value never stands alone.
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

"""The metrics of an audit: the track against the piece it resembles most, beside the store's own chance levels.

Chance levels are measured once for each state of a store, on pairs of unrelated pieces, and lie beside its index.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import numpy as np

from audit.findings import ChordBlock, Finding, Harmony, MetricResult, Skipped, SoundWindows
from audit.index import Index
from audit.run import Corpus
from corpus.store import Store
from metrics.bleu import MAX_ORDER, nearest_bleu
from metrics.chance import Chance, chance_levels
from metrics.measure import SPECS, Features, MetricSkipped, features, measure
from metrics.phash import FLOOR_DB, FRAMES_PER_SECOND, closest_windows, mel_hash, opening_mel
from metrics.tokens import MetricError, melody_tokens
from music.notes import FloatArray, MusicError, NoteSequence

CHANCE = "chance.json"
SAMPLE = 40  # pieces; their 12 opening seconds are rendered, which takes most of the time
PAIRS = 300
SEED = 20260802
BANDS = 64  # of the pictures of sound
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
    reference: Features, name: str, track: Features, levels: dict[str, Chance]
) -> tuple[MetricResult | Skipped, ...]:
    """Measure every metric on `track` against the piece `reference`, which is called `name`; both from `rendered`.

    A metric that has no value, or no chance level in this store, is skipped: a value never stands alone.
    """
    found = measure(reference, track)
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


def chords_beside(reference: Features, name: str, track: Features) -> Harmony | None:
    """Set the chords of both beside one another, from the first chord of each on; None where either has none."""
    ours, theirs = (_blocks(features) for features in (track, reference))
    if not ours or not theirs:
        return None
    agreeing = [
        (max(a.start_beat, b.start_beat), min(a.end_beat, b.end_beat))
        for (a, triad), (b, other) in _overlapping(ours, theirs)
        if (a.degree, triad) == (b.degree, other)
    ]
    return Harmony(name, tuple(a for a, _ in ours), tuple(b for b, _ in theirs), tuple(agreeing))


Block = tuple[ChordBlock, str]


def _blocks(features: Features) -> list[Block]:
    """Each chord with its triad."""
    spans = [span for span in features.chords if span.root is not None]
    if not spans:
        return []
    origin, tonic = spans[0].start_beat, features.tonic or 0
    return [
        (ChordBlock(s.start_beat - origin, s.end_beat - origin, s.label, ((s.root or 0) - tonic) % 12), s.triad)
        for s in spans
    ]


def _overlapping(ours: Sequence[Block], theirs: Sequence[Block]) -> Iterator[tuple[Block, Block]]:
    i = j = 0
    while i < len(ours) and j < len(theirs):
        a, b = ours[i][0], theirs[j][0]
        if min(a.end_beat, b.end_beat) > max(a.start_beat, b.start_beat):
            yield ours[i], theirs[j]
        if a.end_beat <= b.end_beat:
            i += 1
        else:
            j += 1


def sound_beside(reference: Features, name: str, track: Features) -> SoundWindows | None:
    """Picture the windows of sound whose hashes are nearest; None where either was not rendered or is too short."""
    if reference.mel is None or track.mel is None:
        return None
    try:
        _, theirs, ours, shift = closest_windows(reference.mel, track.mel)
    except MetricError:
        return None
    (width, height), ours_picture = _picture(ours)
    return SoundWindows(
        reference=name,
        seconds=theirs.shape[1] / FRAMES_PER_SECOND,
        shift_s=shift,
        track_hash=np.packbits(mel_hash(ours)).tobytes().hex(),
        piece_hash=np.packbits(mel_hash(theirs)).tobytes().hex(),
        width=width,
        height=height,
        track_picture=ours_picture,
        piece_picture=_picture(theirs)[1],
    )


def _picture(mel: FloatArray) -> tuple[tuple[int, int], str]:
    """Means of `BANDS` bands and of about 1/10 s, as bytes."""
    step = max(round(FRAMES_PER_SECOND / 10), 1)
    frames = mel.shape[1] // step
    small = mel[:, : frames * step].reshape(BANDS, -1, frames, step).mean(axis=(1, 3))[::-1]
    grey = np.clip((small - FLOOR_DB) / -FLOOR_DB * 255.0, 0.0, 255.0).round().astype(np.uint8)
    return (frames, BANDS), base64.b64encode(grey.tobytes()).decode("ascii")

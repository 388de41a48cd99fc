"""The metrics of an audit: the track against the piece it resembles most, beside the store's own levels.

Two levels are measured once for each state of a store and lie beside its index. Chance is what pairs of unrelated
pieces score, drawn at random. Style is what human pieces of the store score as if each were the track: against the
piece that the copy search names among all other works. A track may be well beyond chance, and yet as near to its
closest piece as people's music of that style is.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from audit.find import JudgedPassage, judge
from audit.findings import MetricResult, StyleRange
from audit.policy import read_policy
from audit.report import ChordBlock, Harmony, Skipped, SoundWindows
from audit.search.corpus import SearchCorpus
from audit.search.index import Index
from audit.search.significance import find_borrowed, human_sample
from messages import message
from metrics.bleu import MAX_ORDER, nearest_bleu
from metrics.chance import Chance, chance_levels
from metrics.measure import SPECS, Features, MetricSkipped, features, measure
from metrics.phash import FLOOR_DB, FRAMES_PER_SECOND, closest_windows, mel_hash, opening_mel
from metrics.tokens import MetricError, melody_tokens
from music.notes import FloatArray, MusicError, NoteSequence

CHANCE, STYLE = "chance.json", "style.json"
SAMPLE = 32  # pieces; their 12 opening seconds are rendered, which takes most of the time
PAIRS = 300
STYLE_PIECES = 10  # at least, for a range
SEED = 20260802
BANDS = 64  # of the pictures of sound
FALLBACK_PIECES, FALLBACK_TOKENS = 300, 500
NO_LEVELS = message("the store has too few unrelated pieces for a chance level")
NO_LEVEL = message(
    "the store has no chance level of it: its index is older than the metric, or no piece could be measured"
)
T = TypeVar("T")


def render_features(sequence: NoteSequence) -> Features:
    """Features with the mel spectrogram of the opening, or without one where it can't be rendered."""
    try:
        return features(sequence, opening_mel(sequence))
    except (MusicError, MetricError):
        return features(sequence)


Levels = tuple[dict[str, Chance], dict[str, StyleRange]]


def measure_levels(corpus: SearchCorpus, progress: Callable[[int, int], None] = lambda done, total: None) -> Levels:
    """Measure chance and style on a sample of the store's pieces, and write both beside the index.

    Returns
    -------
    chance, style : dict
        Metric to `Chance`; {} for a store without two unrelated pieces. Metric to `StyleRange`; without those that
        fewer than `STYLE_PIECES` pieces could be measured on, such as all of a store of fewer works.

    Raises
    ------
    StoreError
        When the result can't be written.
    """
    store = corpus.store
    sample = human_sample(store)[:SAMPLE]
    known = {}
    for done, row in enumerate(sample):
        known[row] = render_features(store.notes(row))
        progress(done + 1, 2 * len(sample))
    try:
        groups = [store.pieces[row].group for row in sample]
        chance = chance_levels(list(known.values()), groups, pairs=PAIRS, seed=SEED)
    except MetricError:
        chance = {}
    scores: dict[str, list[float]] = {spec.name: [] for spec in SPECS}
    for done, row in enumerate(sample if store.works >= STYLE_PIECES else ()):
        piece = _closest_other(corpus, row)
        if piece not in known:
            known[piece] = render_features(store.notes(piece))
        for name, value in measure(known[piece], known[row]).items():
            if not isinstance(value, MetricSkipped):
                scores[name].append(float(value))
        progress(len(sample) + done + 1, 2 * len(sample))
    style = {name: _range(values) for name, values in scores.items() if len(values) >= STYLE_PIECES}
    corpus.index.write(CHANCE, {name: asdict(level) for name, level in chance.items()})
    corpus.index.write(STYLE, {name: asdict(level) for name, level in style.items()})
    return chance, style


def _closest_other(corpus: SearchCorpus, row: int) -> int:
    """Row of the piece that `row` would be compared with if it were a track and not in the store."""
    own, passages, others, here = find_borrowed(corpus.store, corpus.index, row)
    return closest_piece(corpus, own, judge(corpus, own, here, passages, read_policy(), 1, others), others)


def _range(values: list[float]) -> StyleRange:
    low, median, high = (float(value) for value in np.percentile(values, [5, 50, 95]))
    return StyleRange(low, median, high, len(values))


def open_levels(index: Index) -> Levels | None:
    """Read what `measure_levels` wrote, or None when it is not there.

    Raises
    ------
    StoreError
        When it is there and damaged.
    """
    chance, style = _read_levels(index, CHANCE, Chance), _read_levels(index, STYLE, StyleRange)
    return None if chance is None or style is None else (chance, style)


def _read_levels(index: Index, file: str, kind: Callable[..., T]) -> dict[str, T] | None:
    data = index.read(file)
    try:
        return None if data is None else {name: kind(**level) for name, level in data.items()}
    except (TypeError, AttributeError) as error:
        raise index.damage_error(file, error) from error


def closest_piece(
    corpus: SearchCorpus, track: NoteSequence, judged: Sequence[JudgedPassage], among: NDArray[np.bool_] | None = None
) -> int:
    """Row of the piece that the metrics compare with: the copy search's best, or else the best of a sample by BLEU.

    `among` is a mask of the pieces that are looked at, all by default.
    """
    if judged:
        return judged[0].passage.piece
    there = corpus.store.present if among is None else among
    rows = np.random.default_rng(SEED).permutation(np.flatnonzero(there))[:FALLBACK_PIECES]
    references = [melody_tokens(corpus.store.notes(int(row))) for row in rows]
    usable = [i for i, reference in enumerate(references) if len(reference) >= MAX_ORDER]
    own = melody_tokens(track)[:FALLBACK_TOKENS]
    if not usable or len(own) < MAX_ORDER:  # too short for BLEU
        return int(rows[0])
    return int(rows[usable[nearest_bleu([references[i] for i in usable], own)[1]]])


def measure_track(
    reference: Features, name: str, track: Features, levels: Mapping[str, Chance], style: Mapping[str, StyleRange]
) -> tuple[MetricResult | Skipped, ...]:
    """Measure every metric on `track` against the piece `reference`, called `name`; both from `render_features`.

    A metric that has no value, or no chance level in this store, is skipped: a value never stands alone.
    """
    results = measure(reference, track)
    rows: list[MetricResult | Skipped] = []
    for spec in SPECS:
        value, level = results[spec.name], levels.get(spec.name)
        if isinstance(value, MetricSkipped):
            rows.append(Skipped(f"metrics:{spec.name}", value.reason))
        elif level is None:
            rows.append(Skipped(f"metrics:{spec.name}", NO_LEVEL if levels else NO_LEVELS))
        else:
            rows.append(
                MetricResult(
                    name=spec.name,
                    about=spec.note,
                    value=float(value),
                    chance_mean=level.mean,
                    chance_p95=level.p95,
                    better=spec.better,
                    reference=name,
                    style=style.get(spec.name),
                )
            )
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

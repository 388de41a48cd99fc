"""Recorded sound against the sound of a corpus: near-duplicates, found by perceptual hashes of windows.

A track is cut into windows of 12 s every quarter of a second, the recordings of the corpus every 3 s, so each window of
theirs has one of ours that begins within an eighth. Windows in which nothing happens (`metrics.phash.plain`) match
nothing. Of a track, the mean of its channels is heard and each channel that differs from it (`_signals`). Windows are
hashed to 256 bits (`metrics.phash`) and every one is
compared with every one. The cells of one recording that lie near its closest, on one line of equal offset, are a
`SoundMatch`. The openings of pieces of the corpus, as this program renders them, are compared in the same way.

Significance
------------
Distances of unrelated windows are close to normal: of seven recordings, mean 126 and standard deviation 8.4 bits, the
least of 150,000 at 84. The same recording came at 10 to 18 from another place, mostly at 12 to 44 as a poor MP3, with
noise at -20 dB, through a filter or a 33rd slower (bench/sound.py). So chance is a normal tail: mean and deviation are
those of the track's own distances to all windows, by median and quartiles, which few copies can't move; the E-value is
the tail's share times the number of distances. It says nothing of music that is played anew: another soundfont for the
same notes already lies two thirds of the way to unrelated music.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.findings import SoundMatch, finding_id
from audit.policy import Policy
from corpus.prepare import PieceRecord
from corpus.recordings import MAX_COST, Recording, Recordings, open_recordings
from corpus.store import Store, write_synced
from ledger.paths import data_folder
from messages import message
from metrics.phash import FRAMES_PER_SECOND, WINDOW_SECONDS, hash_distances, opening_mel, window_hashes, window_starts
from metrics.tokens import MetricError
from music.align import align
from music.audio import CHANNELS, Samples, decode, grey_mel, loudness, mel_db, true_peak
from music.notes import FloatArray, MusicError, NoteSequence
from music.render import RING_SECONDS

BITS = 256
HOP_SECONDS = 0.25
CORPUS_HOP_SECONDS = 3.0
MAX_SECONDS = 1800.0
SAME_SIGNAL = 0.97  # correlation of signals of which one is heard: what they do not share is 12 dB softer
AUDIBLE = 1e-5  # of the loudest channel's power: 50 dB below it
SAME_OFFSET_SECONDS = 0.5
MATCH_DISTANCE = 64
"""A quarter of the bits; unrelated windows were never closer than 84. The normal tail is a little too thin so far out,
so this bound stands beside it."""
RENDERED_PIECES = 200
SEED = 20260802

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sound:
    """A track's sound: what is said of it, and its windows.

    Attributes
    ----------
    about : dict
        ``duration_s``, ``sample_rate_hz``, ``channels``, ``loudness_lufs`` (None for silence, and where the places of
        the channels are not known), ``true_peak_dbtp``, ``windows`` and ``plain_windows``, in which nothing happens.
    starts_s, hashes : float64 (n,), bool (n, 256)
        Of the windows in which something happens, of each signal (`_signals`).
    unread : tuple of str
        What of the file was not heard.
    """

    about: dict[str, float | int | None]
    starts_s: FloatArray
    hashes: Bits
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SoundCorpus:
    """The windows of a corpus: of its recordings one after another, and of renders of its pieces."""

    store: Store
    recordings: Recordings
    owners: NDArray[np.int64]  # (m,), the recording of each window
    starts_s: FloatArray
    hashes: Bits
    pieces: NDArray[np.int64]  # (k,), the pieces of which the opening was rendered
    renders: Bits

    @property
    def compared(self) -> str:
        """What a track is compared with, for people."""
        return message(
            "{count:d} {count:recording|recordings} and the rendered openings of {some:d} of {all:d} pieces",
            count=len(self.recordings),
            some=len(self.pieces),
            all=len(self.store.pieces),
        )


def hear(path: Path) -> Sound:
    """Decode a file, measure its level and hash its windows.

    Raises
    ------
    MusicError
        When it can't be decoded, or is longer than half an hour.
    """
    heard = decode(path, MAX_SECONDS, mono=False)
    samples, rate = heard.samples, heard.rate
    level = loudness(samples, rate) if samples.shape[1] in CHANNELS else -np.inf
    peak = true_peak(samples, rate)
    hashes, starts, windows = [np.zeros((0, BITS), bool)], [np.zeros(0)], 0
    for signal in _signals(samples):
        mel = mel_db(signal, rate)
        found, eventful = window_hashes(mel, HOP_SECONDS, BITS)
        hashes.append(found[eventful])
        starts.append(window_starts(mel.shape[1], HOP_SECONDS)[eventful] / FRAMES_PER_SECOND)
        windows += len(eventful)
    about: dict[str, float | int | None] = {
        "duration_s": len(samples) / rate,
        "sample_rate_hz": rate,
        "channels": samples.shape[1],
        "loudness_lufs": level if np.isfinite(level) else None,
        "true_peak_dbtp": peak if np.isfinite(peak) else None,
        "windows": windows,
        "plain_windows": windows - sum(map(len, starts)),
    }
    return Sound(about, np.concatenate(starts), np.concatenate(hashes), heard.unread)


def is_sound_of(path: Path, notes: NoteSequence) -> bool:
    """Whether a sound file, all of it, is the sound of `notes`, so that what is said of them holds for it.

    Every 20 s of it have to fit, and it has to be as long as they are: a passage of other music between, before or
    behind them is no sound of theirs.

    Raises
    ------
    MusicError
        When it can't be decoded or aligned.
    """
    heard = decode(path, MAX_SECONDS)
    seconds = len(heard.samples) / heard.rate
    if heard.unread or not -1.0 <= seconds - notes.end_s <= RING_SECONDS:
        return False
    return align(heard.samples, heard.rate, notes).worst <= MAX_COST


def _signals(samples: Samples) -> Iterator[Samples]:
    """Yield the signals of (n, channels) in which a copy may lie: the mean, each channel, and what two do not share.

    A copy in one channel is covered by the other in their mean, and one out of phase cancels there. A signal that
    is nearly one of those before it is left out, and so is one that is silent beside them; the first is always there.
    """
    count = samples.shape[1]
    signals = [np.full(count, 1.0 / count), *np.eye(count)]
    if count == 2:
        signals.append(np.array([0.5, -0.5]))
    # Likeness of mixtures follows from the likeness of the channels, so nothing but these sums looks at the samples.
    likeness = np.zeros((count, count))
    for start in range(0, len(samples), 2**20):
        part = samples[start : start + 2**20].astype(np.float64)
        likeness += part.T @ part
    loudest = likeness.diagonal().max()
    taken: list[NDArray[np.float64]] = []
    for mix in signals:
        power = float(mix @ likeness @ mix)
        if taken and power <= AUDIBLE * loudest:
            continue
        alike = (
            float(mix @ likeness @ other) ** 2 >= SAME_SIGNAL**2 * power * float(other @ likeness @ other)
            for other in taken
            if float(other @ likeness @ other) > 0
        )
        if not any(alike):
            taken.append(mix)
            yield np.asarray(samples @ mix.astype(np.float32), np.float32)


def open_sounds(store: Store, progress: Callable[[int, int], None] = lambda done, total: None) -> SoundCorpus:
    """Open the windows of a corpus; they are made the first time."""
    recordings = open_recordings(store)
    rows = np.sort(np.random.default_rng(SEED).permutation(np.flatnonzero(store.present))[:RENDERED_PIECES])
    total = len(recordings) + len(rows)
    times = [window_starts(recording.frames, CORPUS_HOP_SECONDS) / FRAMES_PER_SECOND for recording in recordings]
    starts = np.concatenate([np.zeros(0), *times])

    def recorded() -> Iterator[Bits]:
        for row in range(len(recordings)):
            progress(row, total)
            yield window_hashes(grey_mel(np.asarray(recordings.mel(row))), CORPUS_HOP_SECONDS, BITS)[0]

    def rendered() -> Iterator[Bits]:
        for done, row in enumerate(rows):
            progress(len(recordings) + done, total)
            yield _opening(store, int(row))

    hashes = _keep_hashes(f"recordings2-{recordings.digest[:32]}", len(starts), recorded)
    renders = _keep_hashes(f"renders2-{store.digest[:32]}-{len(rows)}", len(rows), rendered)
    heard, there = hashes.any(axis=1), renders.any(axis=1)  # a window in which nothing happens has no bit set
    owners = np.repeat(np.arange(len(times)), [len(t) for t in times])
    return SoundCorpus(store, recordings, owners[heard], starts[heard], hashes[heard], rows[there], renders[there])


def _opening(store: Store, row: int) -> Bits:
    """Hash a piece's opening as rendered here (1, bits); zeros for one that can't be, or is shorter than a window."""
    try:
        hashes, _ = window_hashes(opening_mel(store.notes(row)), WINDOW_SECONDS, BITS)
    except (MusicError, MetricError):
        hashes = np.zeros((0, BITS), bool)
    return hashes[:1] if len(hashes) else np.zeros((1, BITS), bool)


def _keep_hashes(name: str, count: int, make: Callable[[], Iterable[Bits]]) -> Bits:
    """Return `count` hashes, and keep them in the user's folder: a signed store must stay as it was signed."""
    file = data_folder() / "sounds" / f"{name}.npy"
    try:
        packed = np.load(file)
        if packed.shape == (count, BITS // 8) and packed.dtype == np.uint8:
            return np.unpackbits(packed, axis=1).astype(bool)
    except (OSError, ValueError, EOFError):
        pass  # not there, or cut off: they are made again
    hashes = np.concatenate([np.zeros((0, BITS), bool), *make()])
    buffer = io.BytesIO()
    np.save(buffer, np.packbits(hashes, axis=1))
    with suppress(OSError):  # in a folder that can't be written they are made each time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_synced(file, buffer.getvalue())
    return hashes


def find_sounds(corpus: SoundCorpus, sound: Sound, policy: Policy) -> list[SoundMatch]:
    """Find the recordings and renders of the corpus of which the track holds near-duplicates, strongest first.

    One match for each, its best: the windows near the closest one on its line of equal offset.
    """
    windows = np.concatenate([corpus.hashes, corpus.renders])
    if not len(sound.hashes) or not len(windows):
        return []
    distances = hash_distances(sound.hashes, windows)  # (ours, theirs)
    evalue = _evalues(distances)
    matches = []
    for columns in _columns(corpus):
        part = distances[:, columns]
        here, there = np.unravel_index(int(part.argmin()), part.shape)
        if part[here, there] > MATCH_DISTANCE:
            continue
        theirs = corpus.starts_s[columns] if columns[0] < len(corpus.hashes) else np.zeros(1)
        offsets = sound.starts_s[:, None] - theirs
        near = (np.abs(offsets - offsets[here, there]) <= SAME_OFFSET_SECONDS) & (part <= MATCH_DISTANCE)
        ours = sound.starts_s[near.any(axis=1)]
        hit = theirs[near.any(axis=0)]
        matches.append(
            _match(
                corpus,
                int(columns[0]),
                (float(ours.min()), float(ours.max()) + WINDOW_SECONDS),
                (float(hit.min()), float(hit.max()) + WINDOW_SECONDS),
                (int(near.any(axis=0).sum()), int(part[here, there])),
                evalue(int(part[here, there])),
                policy,
            )
        )
    return sorted(matches, key=lambda match: (match.distance, match.piece))


def _evalues(distances: NDArray[np.int64]) -> Callable[[int], float]:
    """Return the E-value of a distance: how many of so many unrelated windows would be as close."""
    from scipy.stats import norm

    low, middle, high = np.quantile(distances, [0.25, 0.5, 0.75])
    spread = max(float(high - low) / (2 * norm.ppf(0.75)), 1.0)
    return lambda distance: float(distances.size * norm.cdf((distance + 0.5 - middle) / spread))


def _columns(corpus: SoundCorpus) -> Iterable[NDArray[np.int64]]:
    """Yield which windows belong together: of each recording, then each render."""
    edges = np.flatnonzero(np.diff(corpus.owners)) + 1
    if len(corpus.owners):
        yield from np.split(np.arange(len(corpus.owners)), edges)
    yield from (np.array([len(corpus.hashes) + k]) for k in range(len(corpus.pieces)))


def _match(
    corpus: SoundCorpus,
    column: int,
    track_span: tuple[float, float],
    span: tuple[float, float],
    counted: tuple[int, int],
    evalue: float,
    policy: Policy,
) -> SoundMatch:
    recorded = column < len(corpus.hashes)
    source: Recording | PieceRecord
    if recorded:
        source = corpus.recordings[int(corpus.owners[column])]
    else:
        row = int(corpus.pieces[column - len(corpus.hashes)])
        source = corpus.store.pieces[row]
        first = float(corpus.store.notes(row).onset_s[0])
        span = (first, first + WINDOW_SECONDS)
    names = (source.path, source.score) if isinstance(source, Recording) else (source.path,)
    verdict = policy.sound.judge(evalue)
    allowed = "" if verdict == "clear" else policy.copy.allow.rule_for(names, source.artist, source.rights.licence)
    seconds = (round(track_span[0]), round(track_span[1])), (round(span[0]), round(span[1]))
    return SoundMatch(
        kind="recording" if recorded else "render",
        piece=source.path,
        title=source.title,
        artist=source.artist,
        rights={name: getattr(source.rights, name) for name in source.rights.__slots__},
        id=finding_id(source.path, *seconds, 0),
        verdict="clear" if allowed else verdict,
        query_span_s=track_span,
        piece_span_s=span,
        windows=counted[0],
        distance=counted[1],
        bits=BITS,
        evalue=evalue,
        allowed=allowed,
    )

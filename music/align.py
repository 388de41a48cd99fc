"""Where a recording is in its score: beats tracked without one, or dynamic time warping to it.

The score is rendered, so that both sides are sound; both become chroma and its rises, frame by frame, and the
cheapest monotone path joins them (Dixon & Widmer, MATCH, ISMIR 2005; rises after Ewert, Mueller, Grosche, ICASSP
2009). A first pass over long frames finds the way, a second one in overlapping blocks makes it exact, so that memory
does not grow with the square of the length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from music.audio import MEL_HOP, MEL_RATE, Samples, band_pass, mel_db, resample
from music.notes import FloatArray, MusicError, NoteSequence

HOP = MEL_HOP  # samples at MEL_RATE: 23 ms
COARSE = 16  # fine frames in a coarse one: 0.37 s
MAX_SECONDS = 1800.0
MIN_SECONDS = 1.0
BAND_HZ = (60.0, 5000.0)  # rumble and hiss have no chroma
BLOCK_SECONDS, MARGIN_SECONDS = 20.0, 4.0
MAX_STRETCH = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Beats of a score and the seconds of a recording at which they sound.

    Attributes
    ----------
    beat, second : float64 (n,)
        Quarters and seconds, both rising; n >= 2.
    cost : float
        Mean of half the squared distance of the frames that were joined, 0..1; 0 for equal sound. Unrelated music is
        joined as well, and only this tells.
    worst : float
        The same of the 20 s in which it is highest.
    """

    beat: FloatArray
    second: FloatArray
    cost: float
    worst: float

    def seconds_at(self, beats: ArrayLike) -> FloatArray:
        """Seconds at which `beats` sound, linear between the known ones; the ends hold beyond them."""
        return np.asarray(np.interp(np.asarray(beats, np.float64), self.beat, self.second), np.float64)


def align(samples: Samples, sample_rate: int, score: NoteSequence) -> Alignment:
    """Find each beat of `score` in a recording of the whole of it.

    Parameters
    ----------
    samples : float32 (n,)
        Mono, 1 to 1800 s.
    score : NoteSequence
        At least one note. Its tempo need not be that of the recording; the order of what is played must.

    Raises
    ------
    MusicError
        When the recording is too short, too long or silent, or over four times as long or short as the score, and
        as `music.render.render`.
    """
    from music.render import render_passage

    start = float(score.onset_s[0]) if len(score) else 0.0
    if len(score) and score.end_s - start > MAX_SECONDS:
        raise MusicError(f"a score of {score.end_s:.0f} s can't be aligned; the limit is {MAX_SECONDS:.0f} s")
    rendered, rate = render_passage(score, start, score.end_s, sample_rate=MEL_RATE)
    ours, theirs = _features(rendered, rate), _features(samples, sample_rate)
    stretch = theirs.shape[1] / ours.shape[1]
    if not 1 / MAX_STRETCH <= stretch <= MAX_STRETCH:
        raise MusicError(f"the recording is {stretch:.2f} times as long as the score; 0.25 to 4 can be aligned")
    score_frame, frame, costs = _path(ours, theirs)
    seconds = np.interp(np.arange(ours.shape[1]), score_frame, frame) * (HOP / MEL_RATE)
    beats = score.beats_at(start + np.arange(ours.shape[1]) * (HOP / MEL_RATE))
    return Alignment(beats, np.maximum.accumulate(seconds), float(np.mean(costs)), max(costs))


def track_beats(samples: Samples, sample_rate: int) -> FloatArray:
    """Seconds of the beats of a mono signal, as librosa tracks them (Ellis 2007); () where none are heard.

    Raises
    ------
    MusicError
        When there are no samples.
    """
    import librosa

    mel = mel_db(samples, sample_rate)
    strength = librosa.onset.onset_strength(S=mel, sr=MEL_RATE, hop_length=MEL_HOP)
    _, frames = librosa.beat.beat_track(onset_envelope=strength, sr=MEL_RATE, hop_length=MEL_HOP)
    return np.asarray(frames, np.float64) * (MEL_HOP / MEL_RATE)


def _features(samples: Samples, sample_rate: int) -> FloatArray:
    """Chroma and the rises of chroma, (24, frames), each of norm 1 where there is sound."""
    import librosa

    if not MIN_SECONDS <= len(samples) / sample_rate <= MAX_SECONDS:
        raise MusicError(
            f"{len(samples) / sample_rate:.1f} s of sound; {MIN_SECONDS:.0f} to {MAX_SECONDS:.0f} s can be aligned"
        )
    signal = resample(samples, sample_rate, MEL_RATE)
    if not signal.any():
        raise MusicError("is silent: there is nothing to align")
    signal = band_pass(signal, MEL_RATE, *BAND_HZ)
    chroma = librosa.feature.chroma_stft(y=signal, sr=MEL_RATE, n_fft=4096, hop_length=HOP, norm=None, tuning=0.0)
    loud = np.log1p(100.0 * chroma / max(float(chroma.max()), 1e-12))
    rises = np.maximum(np.diff(loud, axis=1, prepend=0.0), 0.0)
    for lag in range(1, 6):  # a rise is felt for five frames, less and less
        rises[:, lag:] = np.maximum(rises[:, lag:], rises[:, :-lag] * 0.8)
    return np.concatenate([_unit(loud), _unit(rises)])


def _unit(columns: FloatArray) -> FloatArray:
    length = np.linalg.norm(columns, axis=0)
    return np.asarray(columns / np.maximum(length, 0.05 * max(float(length.max()), 1e-12)), np.float64)


def _path(ours: FloatArray, theirs: FloatArray) -> tuple[FloatArray, FloatArray, list[float]]:
    """Frames of the score, rising by one, those of the recording that belong to them, and the cost of each block."""
    rough = _warp(_thin(ours), _thin(theirs))[0]
    knots = (rough + 0.5) * COARSE
    size, margin = (round(s * MEL_RATE / HOP) for s in (BLOCK_SECONDS, MARGIN_SECONDS))
    score_frames: list[FloatArray] = []
    frames: list[FloatArray] = []
    costs = []
    n, m = ours.shape[1], theirs.shape[1]
    for begin in range(0, n, size):
        low, high = max(0, begin - margin), min(n, begin + size + margin)
        ends = np.interp([low, high], knots[:, 0], knots[:, 1])
        left, right = 0 if low == 0 else int(ends[0]), m if high == n else int(ends[1]) + 1
        left, right = min(left, m - 1), max(right, min(left, m - 1) + 1)
        path, cost = _warp(ours[:, low:high], theirs[:, left:right])
        inside = (path[:, 0] + low >= begin) & (path[:, 0] + low < begin + size)
        own, first, count = np.unique(path[inside, 0], return_index=True, return_counts=True)
        score_frames.append(own + float(low))
        frames.append(np.add.reduceat(path[inside, 1], first) / count + left)
        costs.append(cost)
    return np.concatenate(score_frames), np.concatenate(frames), costs


def _thin(features: FloatArray) -> FloatArray:
    frames = features.shape[1]
    starts = np.arange(0, frames, COARSE)
    means = np.add.reduceat(features, starts, axis=1) / np.diff(np.append(starts, frames))
    return np.asarray(means, np.float64)


def _warp(ours: FloatArray, theirs: FloatArray) -> tuple[FloatArray, float]:
    """Cheapest path (k, 2) from the first frames to the last, and its mean cost."""
    import librosa

    cost = ((ours**2).sum(axis=0)[:, None] + (theirs**2).sum(axis=0) - 2.0 * ours.T @ theirs) / 4.0
    steps = np.array([[1, 1], [1, 0], [0, 1]])
    _, path = librosa.sequence.dtw(C=cost, step_sizes_sigma=steps, weights_mul=np.array([1.5, 1.0, 1.0]))
    path = path[::-1]
    return path.astype(np.float64), float(cost[path[:, 0], path[:, 1]].mean())

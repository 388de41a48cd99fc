"""Perceptual hashes of mel spectrograms, to tell renderings that are nearly the same.

A window of 12 s of a mel spectrogram (`music.audio.mel_db`) becomes a grey picture, and imagehash's `phash`
of it, 64 or 256 bits: the signs of its lowest cosine coefficients against their median. The distance is the
number of bits that differ (Hamming), least over windows that start up to half a second apart. Near 0: the
same rendering; half the bits: unrelated.

This finds renderings that are nearly the same. It is no measure of musical likeness: another soundfont for
the same notes already lies two thirds of the way to unrelated music, and a tenth more tempo a third.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from messages import message
from metrics.tokens import MetricError
from music.audio import MEL_HOP, MEL_RATE, mel_db
from music.notes import FloatArray, NoteSequence

FRAMES_PER_SECOND = MEL_RATE / MEL_HOP
WINDOW_SECONDS = 12.0
WINDOW_FRAMES = round(WINDOW_SECONDS * FRAMES_PER_SECOND)
SHIFT_SECONDS = (0.0, -0.125, 0.125, -0.25, 0.25, -0.375, 0.375, -0.5, 0.5)
MIN_FRAMES = 43  # a second
FLOOR_DB = -80.0
SIDES = {64: 8, 256: 16}

PLAIN_FRAMES, PLAIN_DB = round(FRAMES_PER_SECOND / 4), 3.5

Hash = np.ndarray[tuple[int], np.dtype[np.bool_]]
Known = dict[tuple[int, int, int], Hash | None]
"""Hashes of windows by first frame, frames and bits."""


def mel_hash(mel: FloatArray, bits: int = 64) -> Hash:
    """Hash a mel spectrogram.

    Parameters
    ----------
    mel : float64 (bands, frames)
        Decibels, -80..0.
    bits : int
        64 or 256.

    Returns
    -------
    bool (bits,)

    Raises
    ------
    MetricError
        When there are no frames, or for another number of bits.
    """
    import imagehash
    from PIL import Image

    if bits not in SIDES or mel.ndim != 2 or not mel.size:
        raise MetricError(f"mel of shape {mel.shape}, {bits} bits; wanted (bands, frames > 0) and 64 or 256 bits")
    grey = np.clip((mel - FLOOR_DB) / -FLOOR_DB * 255.0, 0.0, 255.0).astype(np.uint8)
    return np.asarray(imagehash.phash(Image.fromarray(grey), hash_size=SIDES[bits]).hash, bool).reshape(-1)


def phash_distance(
    reference_mel: FloatArray, candidate_mel: FloatArray, bits: int = 64, known: tuple[Known, Known] | None = None
) -> int:
    """Hamming distance of two mel spectrograms that start at the same place of the music, least over shifts.

    The first 12 s are compared, or as much as the shorter one holds; each of the two is moved against the
    other by 0, 1/8, ... 1/2 s where what is left is still a second or more. Symmetric.

    Parameters
    ----------
    known : tuple of dict, optional
        Where hashes of the windows of each of the two are kept, for a spectrogram that is compared with many.

    Returns
    -------
    int
        0..bits; about bits / 2 for unrelated sounds.

    Raises
    ------
    MetricError
        When either is shorter than a second or has nothing in it (`plain`), and as `mel_hash`.
    """
    return closest_windows(reference_mel, candidate_mel, bits, known)[0]


def closest_windows(
    reference_mel: FloatArray, candidate_mel: FloatArray, bits: int = 64, known: tuple[Known, Known] | None = None
) -> tuple[int, FloatArray, FloatArray, float]:
    """Return the least distance as `phash_distance`, both windows, and the seconds between their starts.

    Raises
    ------
    MetricError
        As `phash_distance`.
    """
    shortest = min(reference_mel.shape[1], candidate_mel.shape[1])
    if shortest < MIN_FRAMES:
        seconds = shortest / FRAMES_PER_SECOND
        raise MetricError(message("{seconds:.2f} s of sound; the hash needs one second on both sides", seconds=seconds))
    ours, theirs = known or ({}, {})
    shifts = {round(s * FRAMES_PER_SECOND) for s in SHIFT_SECONDS}
    windows = []
    for shift in sorted(shifts, key=abs):
        starts = max(0, shift), max(0, -shift)
        frames = min(reference_mel.shape[1] - starts[0], candidate_mel.shape[1] - starts[1], WINDOW_FRAMES)
        if frames < MIN_FRAMES:
            continue
        pair = (
            _hash_window(reference_mel, starts[0], frames, bits, ours),
            _hash_window(candidate_mel, starts[1], frames, bits, theirs),
        )
        if pair[0] is not None and pair[1] is not None:
            windows.append((int((pair[0] != pair[1]).sum()), starts, frames, shift / FRAMES_PER_SECOND))
    if not windows:
        raise MetricError(
            message("nothing changes in the sound (silence, noise or a held tone), and nothing is no likeness")
        )
    distance, (here, there), frames, seconds = min(windows, key=lambda one: one[0])
    return distance, reference_mel[:, here : here + frames], candidate_mel[:, there : there + frames], seconds


def _hash_window(mel: FloatArray, start: int, frames: int, bits: int, known: Known) -> Hash | None:
    """Hash one window, or look it up; None where it is `plain`."""
    key = start, frames, bits
    if key not in known:
        window = mel[:, start : start + frames]
        known[key] = None if plain(window) else mel_hash(window, bits)
    return known[key]


def plain(mel: FloatArray) -> bool:
    """Say whether nothing happens in a window: silence, digital zero, a noise floor, a held tone.

    The hash of such a picture is that of its spectrum, or of nothing, and any other plain window may have it too: to
    have it in common is no evidence. A window is plain where the level of no band, in means of a quarter of a second,
    changes by more than `PLAIN_DB` (standard deviation, mean of the quarter of the bands that change most).

    Parameters
    ----------
    mel : float64 (bands, frames)
        Decibels.
    """
    step = max(min(PLAIN_FRAMES, mel.shape[1] // 2), 1)
    steps = mel.shape[1] // step
    means = mel[:, : steps * step].reshape(len(mel), steps, step).mean(axis=2)
    changes = np.sort(means.std(axis=1))[-max(len(mel) // 4, 1) :]
    return bool(changes.mean() < PLAIN_DB)


def window_starts(frames: int, hop_seconds: float) -> NDArray[np.int64]:
    """First frames (n,) of the windows of 12 s that begin every `hop_seconds`; none where there is less than one."""
    hop = hop_seconds * FRAMES_PER_SECOND
    count = max(0, math.floor((frames - WINDOW_FRAMES) / hop) + 1)
    return np.asarray(np.rint(np.arange(count) * hop), np.int64)


def window_hashes(mel: FloatArray, hop_seconds: float, bits: int = 256) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Hash the windows of a mel spectrogram (bands, frames) that begin at `window_starts`.

    Returns
    -------
    hashes : bool (n, bits)
    eventful : bool (n,)
        Whether something happens in both halves of the window: the hash of one that is `plain` says nothing, that of
        one with a `plain` half little more than when the nothing ended. Such hashes are all False.
    """
    windows = [mel[:, start : start + WINDOW_FRAMES] for start in window_starts(mel.shape[1], hop_seconds)]
    half = WINDOW_FRAMES // 2
    eventful = np.array([not any(map(plain, (w, w[:, :half], w[:, half:]))) for w in windows], bool)
    hashes = np.zeros((len(windows), bits), bool)
    for k in np.flatnonzero(eventful):
        hashes[k] = mel_hash(windows[k], bits)
    return hashes, eventful


def hash_distances(hashes: NDArray[np.bool_], reference: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Bits in which each of `hashes` (n, bits) differs from each of `reference` (m, bits): (n, m)."""
    ours, theirs = hashes.astype(np.float32), reference.astype(np.float32)
    same = ours @ theirs.T + (1 - ours) @ (1 - theirs).T
    return np.asarray(hashes.shape[1] - same, np.int64)


def nearest_hash(hashes: NDArray[np.bool_], reference: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Fewest bits in which each hash differs from any of `reference`, window against window, without shifts.

    Parameters
    ----------
    hashes, reference : bool (n, bits), (m, bits)
        Hashes of windows of one length.

    Returns
    -------
    int64 (n,)
        0..bits.

    Raises
    ------
    MetricError
        When `reference` is empty or its hashes are of another length.
    """
    if not len(reference) or hashes.shape[1:] != reference.shape[1:]:
        raise MetricError(f"hashes {hashes.shape} and {reference.shape}; wanted some, of one length")
    return np.asarray(hash_distances(hashes, reference).min(axis=1), np.int64)


def opening_mel(sequence: NoteSequence) -> FloatArray:
    """Render the first 12 s of music (and the half second that shifts need) and take its mel spectrogram.

    Raises
    ------
    MusicError
        When there are no notes, or the renderer fails.
    """
    from music.render import render_passage

    start = float(sequence.onset_s[0]) if len(sequence) else 0.0
    end = start + WINDOW_SECONDS + max(SHIFT_SECONDS)
    samples, rate = render_passage(sequence, start, end, sample_rate=MEL_RATE, level=False, ring=False)
    return mel_db(samples, rate)

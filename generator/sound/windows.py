"""The sound of a store as mel pictures, and the windows a spectrogram model learns from.

A store's recordings are used where it has any in the split, otherwise the openings of its pieces are rendered.
A picture is `music.audio.mel_grey`: uint8 (frames, 128), 43.07 frames a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpus.prepare import PieceRecord
from corpus.recordings import Recording, Recordings, open_recordings
from corpus.store import Store
from generator.data.vocabulary import GeneratorError
from music.audio import MEL_BANDS, MEL_HOP, MEL_RATE, mel_db, mel_grey
from music.notes import FloatArray, MusicError, NoteSequence

WINDOW = 128  # frames: 2.97 s
RENDER_SECONDS = 24.0
RENDER_PIECES = 400  # a split; about 0.5 s of processor time each

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One recording or rendering.

    Attributes
    ----------
    path : str
        Of the recording or the piece.
    mel : uint8 (frames, 128)
    starts : int64 (n,)
        Frames at which a window of `WINDOW` frames may begin: beats, or every half window where none are known.
    """

    path: str
    mel: Grey
    starts: NDArray[np.int64]


class SoundWindows:
    """All windows of some sounds, cut when they are asked for.

    Parameters
    ----------
    sounds : sequence of Sound
        At least one window together.
    """

    def __init__(self, sounds: Sequence[Sound]) -> None:
        """Count the windows of each sound."""
        self.sounds = sounds
        self._ends = np.cumsum([len(sound.starts) for sound in sounds])

    def __len__(self) -> int:
        """Count the windows."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def rows(self, which: NDArray[np.int64]) -> Grey:
        """Cut windows out: uint8 (len(which), 128 bands, `WINDOW` frames)."""
        owners = np.searchsorted(self._ends, which, side="right")
        cut = np.empty((len(which), MEL_BANDS, WINDOW), np.uint8)
        for row, (window, owner) in enumerate(zip(which, owners, strict=True)):
            sound = self.sounds[owner]
            start = sound.starts[window - self._ends[owner]]  # counted from the end of the sound's windows
            cut[row] = sound.mel[start : start + WINDOW].T
        return cut

    def spread(self, count: int) -> Grey:
        """Cut `count` windows out, or all where there are fewer, evenly spread over the sounds."""
        return self.rows(spread(len(self), count))


def window_starts(frames: int, beat_s: FloatArray) -> NDArray[np.int64]:
    """Frames at which whole windows begin: those nearest to the beats (seconds), or every half window without any."""
    if len(beat_s):
        starts = np.unique(np.round(beat_s * (MEL_RATE / MEL_HOP)).astype(np.int64))
    else:
        starts = np.arange(0, frames, WINDOW // 2)
    return starts[(starts >= 0) & (starts + WINDOW <= frames)]


def sound_of(store: Store) -> tuple[str, str]:
    """Kind of a store's sound, "recordings" where it has any, else "renders", and the SHA-256 (hex) of its source."""
    recordings = open_recordings(store)
    return ("recordings", recordings.digest) if len(recordings) else ("renders", store.digest)


def read_sounds(
    store: Store, split: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[SoundWindows, list[tuple[str, str]]]:
    """Read or render the sound of a split.

    Parameters
    ----------
    split : str
        "train", "valid" or "test".
    progress : callable
        Called with (sounds done, sounds in all).

    Returns
    -------
    windows : SoundWindows
    skipped : list of (path, reason)
        What gives no window.
    """
    recordings = open_recordings(store)
    known: Sequence[Recording | PieceRecord] = recordings if len(recordings) else store.pieces
    rows = [row for row, one in enumerate(known) if one.split == split]
    if not len(recordings):
        rows = [rows[i] for i in spread(len(rows), RENDER_PIECES)]
    sounds, skipped = [], []
    for done, row in enumerate(rows):
        path = known[row].path
        try:
            sound = _read_recording(recordings, row) if len(recordings) else _render(store.notes(row), path)
            if not len(sound.starts):
                raise MusicError(f"{len(sound.mel)} frames of sound; a window has {WINDOW}")
            sounds.append(sound)
        except MusicError as error:
            skipped.append((path, str(error)))
        progress(done + 1, len(rows))
    return SoundWindows(sounds), skipped


def spread(length: int, count: int) -> NDArray[np.int64]:
    """At most `count` indices of `length` things, evenly spread."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64))


def _read_recording(recordings: Recordings, row: int) -> Sound:
    mel = recordings.mel(row)
    return Sound(recordings[row].path, mel, window_starts(len(mel), np.array(recordings[row].beat_s)))


def _render(sequence: NoteSequence, path: str) -> Sound:
    from music.render import render_passage

    start = float(sequence.onset_s[0]) if len(sequence) else 0.0
    samples, rate = render_passage(sequence, start, start + RENDER_SECONDS, sample_rate=MEL_RATE)
    mel = mel_grey(mel_db(samples, rate))
    beats = np.arange(math.ceil(float(sequence.beats_at(start))), sequence.end_beat)
    return Sound(path, mel, window_starts(len(mel), sequence.seconds_at(beats) - start))


def require_windows(windows: SoundWindows, store: Store, split: str) -> None:
    """Raise `GeneratorError` where a split has nothing to learn from."""
    if not len(windows):
        raise GeneratorError(
            f"{store.path}: split {split!r} gives no {WINDOW * MEL_HOP / MEL_RATE:.1f} s of sound to learn from"
        )

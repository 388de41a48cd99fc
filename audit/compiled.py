"""Compiling ahead of time what numba compiles when it is first called, so that no first command has to wait for it.

numba keeps compiled code beside the source files, or in the user's cache folder where these can't be written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from audit.find import find
from audit.opening import open_audit_corpus
from audit.policy import read_policy
from corpus.ingest import ingest
from corpus.store import Store
from music.align import track_beats
from music.audio import MEL_RATE
from music.midi import write_midi
from music.notes import NoteSequence, build


def compile_search() -> None:
    """Call all compiled code of the search once, on a few made-up melodies, and that of librosa's beats on noise.

    Processes that compile librosa's side by side, as an ingest of recordings on a fresh machine would, can crash.
    """
    rng = np.random.default_rng(0)
    tunes = [_melody(rng) for _ in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        for number, tune in enumerate(tunes):
            write_midi(tune, Path(folder, "pieces", f"{number}.mid"))
        ingest([Path(folder, "pieces")], Path(folder, "store"), workers=1)
        corpus = open_audit_corpus(Store.open(Path(folder, "store")), hide_progress)
        find(corpus, tunes[0].transpose(2), read_policy())
    track_beats(rng.normal(0, 0.1, 5 * MEL_RATE).astype(np.float32), MEL_RATE)


def _melody(rng: np.random.Generator) -> NoteSequence:
    notes = 80
    return build(np.arange(notes) / 2, np.full(notes, 0.5), 60 + np.cumsum(rng.integers(-4, 5, notes)) % 24)


def hide_progress(step: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Show nothing of the progress of a step."""
    return nullcontext(lambda done, total: None)

"""Both passages of the strongest findings as small MP3 files, for the play buttons of report.html."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

from audit.findings import AuditReport
from music.notes import NoteSequence
from music.render import render_passage

SAMPLE_RATE = 24_000  # Hz; of MPEG-2, so a frame is half as long and small files stay small
MAX_SECONDS = 12.0
FADE_SECONDS = 0.4
COMPRESSION = 0.85  # of libsndfile's 0-1


def passage_sounds(
    report: AuditReport,
    track: NoteSequence,
    load_piece: Callable[[str], NoteSequence],
    limit: int = 3,
) -> dict[int, tuple[bytes, bytes]]:
    """Render both passages of the first flagged findings, each in its own key and tempo.

    Parameters
    ----------
    track : NoteSequence
        The audited track.
    load_piece : callable
        Gives the notes of a piece by its path in the store.
    limit : int
        Findings to render at most; clear ones are never rendered.

    Returns
    -------
    dict
        (track passage, piece passage) as MP3, mono, 24 kHz, at most 12 s each, by the finding's number: its
        place in `report.findings`, from 1.

    Raises
    ------
    music.notes.MusicError
        When a passage holds no notes or can't be rendered.
    """
    flagged = [(number, f) for number, f in enumerate(report.findings, 1) if f.verdict != "clear"]
    return {
        number: (_mp3(track, f.query_span_s), _mp3(load_piece(f.piece), f.piece_span_s))
        for number, f in flagged[:limit]
    }


def _mp3(sequence: NoteSequence, span_s: tuple[float, float]) -> bytes:
    import soundfile

    start, end = span_s
    samples, rate = render_passage(sequence, start, min(end, start + MAX_SECONDS), sample_rate=SAMPLE_RATE)
    samples = samples[: round(MAX_SECONDS * rate)]
    fade = min(round(FADE_SECONDS * rate), len(samples))
    levels = np.ones(len(samples), np.float32)
    levels[len(samples) - fade :] = np.linspace(1.0, 0.0, fade, dtype=np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples * levels, rate, format="MP3", compression_level=COMPRESSION)
    return buffer.getvalue()

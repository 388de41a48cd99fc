"""Both passages of the strongest findings as small MP3 files, for the play buttons of report.html."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np

from audit.report import AuditReport
from music.notes import MusicError, NoteSequence
from music.render import render_passage

SAMPLE_RATE = 16_000  # Hz; of MPEG-2, so a frame is half as long: small files stay small
MAX_SECONDS, ALL_SECONDS = 12.0, 80.0  # of one passage, and of all of them
LIMIT = 10  # findings
FADE_SECONDS = 0.4
COMPRESSION = 0.85  # of libsndfile's 0-1


def passage_sounds(
    report: AuditReport, track: NoteSequence, load_piece: Callable[[str], NoteSequence], limit: int | None = LIMIT
) -> tuple[dict[int, tuple[bytes, bytes]], str]:
    """Render both passages of the first flagged findings, the piece in the key and at the tempo of the track.

    Both begin with the first note that they share, so that they can be played together.

    Parameters
    ----------
    track : NoteSequence
        The audited track.
    load_piece : callable
        Gives the notes of a piece by its path in the store.
    limit : int
        Findings to render at most, None for all of them; clear ones are never rendered.

    Returns
    -------
    sounds : dict
        (track passage, piece passage) as MP3, mono, 16 kHz, at most 12 s each, by the finding's number: its
        place in `report.findings`, from 1.
    missing : str
        Why a passage could not be rendered, of the first of them; "" where all were.
    """
    flagged = [(number, f) for number, f in enumerate(report.findings, 1) if f.verdict != "clear"]
    sounds, missing = {}, ""
    seconds = MAX_SECONDS if limit is None else min(MAX_SECONDS, ALL_SECONDS / max(len(flagged[:limit]), 1))
    for number, f in flagged[:limit]:
        ratio = f.tempo_ratio if 0 < f.tempo_ratio < math.inf else 1.0
        try:
            piece = load_piece(f.piece).transpose(f.transposition)
            sounds[number] = (_mp3(track, f.query_span_s, 1.0, seconds), _mp3(piece, f.piece_span_s, ratio, seconds))
        except MusicError as error:
            missing = missing or str(error)
    return sounds, missing


def _mp3(sequence: NoteSequence, span_s: tuple[float, float], slower: float, seconds: float) -> bytes:
    import soundfile

    start, end = span_s[0], min(span_s[1], span_s[0] + seconds / slower)
    samples, rate = render_passage(sequence, start, end, slower=slower, sample_rate=SAMPLE_RATE)
    samples = samples[: round(seconds * rate)]
    fade = min(round(FADE_SECONDS * rate), len(samples))
    levels = np.ones(len(samples), np.float32)
    levels[len(samples) - fade :] = np.linspace(1.0, 0.0, fade, dtype=np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples * levels, rate, format="MP3", compression_level=COMPRESSION)
    return buffer.getvalue()

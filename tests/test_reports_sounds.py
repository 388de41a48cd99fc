"""Passages as sound: the right span, short, small, only for what was flagged."""

import dataclasses
import io
import sys

import numpy as np
import pytest
import soundfile

from audit.findings import Finding
from audit.report import AuditReport
from music.notes import NoteSequence, build
from reports.pages.sounds import MAX_SECONDS, SAMPLE_RATE, passage_sounds

BASE = Finding(
    piece="a.mid",
    title="A",
    artist="",
    split="train",
    rights={},
    id="0123456789abcdef",
    verdict="fail",
    query_span_s=(1.0, 3.0),
    piece_span_s=(0.0, 20.0),
    query_bars=(1, 2),
    piece_bars=(1, 10),
    transposition=0,
    tempo_ratio=0.1,
    matched=8,
    notes=8,
    in_time=8,
    bits=30.0,
    evalue=1e-9,
    percentile=0.99,
)


def report(*findings: Finding) -> AuditReport:
    return AuditReport("fail", "", (), {}, {}, {}, {}, findings=findings)


def scale(notes: int, pitch: int = 72) -> NoteSequence:
    return build(np.arange(notes), np.full(notes, 0.9), pitch + np.arange(notes) % 8)


def test_flagged_findings_sound_and_clear_ones_do_not() -> None:
    loaded: list[str] = []

    def load(piece: str) -> NoteSequence:
        loaded.append(piece)
        return scale(40, 60)

    clear = dataclasses.replace(BASE, verdict="clear", piece="clear.mid")
    review = dataclasses.replace(BASE, verdict="review", piece="b.mid")
    sounds, missing = passage_sounds(report(BASE, clear, review, BASE), scale(12), load, limit=2)
    assert missing == ""
    assert list(sounds) == [1, 3]
    assert loaded == ["a.mid", "b.mid"]
    for track, piece in sounds.values():
        heard, rate = soundfile.read(io.BytesIO(track))
        assert rate == SAMPLE_RATE
        assert heard.ndim == 1
        assert 1.9 <= len(heard) / rate <= 5.2  # the passage and the ring of its last note
        long, _ = soundfile.read(io.BytesIO(piece))
        assert len(long) / rate <= MAX_SECONDS + 0.1
        assert np.abs(long).max() > 0.1
        assert np.abs(long[-50:]).max() < 0.02
        assert len(track) + len(piece) < 120_000


def test_pitch_is_that_of_the_passage() -> None:
    # One held A4 between other notes; the strongest frequency of its passage is 440 Hz or an octave of it.
    track = build([0.0, 2.0, 6.0], [2.0, 4.0, 2.0], [48, 69, 50])
    only = dataclasses.replace(BASE, query_span_s=(1.0, 3.0), piece_span_s=(1.0, 3.0))
    heard, rate = soundfile.read(io.BytesIO(passage_sounds(report(only), track, lambda _: track)[0][1][0]))
    spectrum = np.abs(np.fft.rfft(heard[: 2 * rate]))
    peak = np.fft.rfftfreq(2 * rate, 1 / rate)[int(np.argmax(spectrum))]
    assert min(abs(peak - 440 * k) for k in (1, 2, 4)) < 5


def test_nothing_flagged_renders_nothing() -> None:
    clear = dataclasses.replace(BASE, verdict="clear")
    assert passage_sounds(report(clear), scale(4), lambda _: scale(4)) == ({}, "")


def test_a_passage_that_cannot_be_rendered_is_named_and_the_others_sound() -> None:
    late = dataclasses.replace(BASE, query_span_s=(100.0, 101.0))
    sounds, missing = passage_sounds(report(late, BASE), scale(4), lambda _: scale(40))
    assert list(sounds) == [2]
    assert "nothing sounds in" in missing


def test_the_piece_is_heard_in_the_key_and_at_the_tempo_of_the_track() -> None:
    # The piece holds a low A for four seconds, the track an octave above it for two.
    track, piece = build([0.0], [4.0], [69]), build([0.0], [8.0], [57])
    same = dataclasses.replace(
        BASE, query_span_s=(0.0, 2.0), piece_span_s=(0.0, 4.0), transposition=12, tempo_ratio=0.5
    )
    sounds, _ = passage_sounds(report(same), track, lambda _: piece)
    heard = [soundfile.read(io.BytesIO(sound))[0] for sound in sounds[1]]
    assert abs(len(heard[0]) - len(heard[1])) < 0.1 * SAMPLE_RATE
    peaks = [int(np.argmax(np.abs(np.fft.rfft(one[:SAMPLE_RATE])))) for one in heard]
    assert abs(peaks[0] - peaks[1]) < 5


def test_without_a_renderer_there_is_no_sound_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("music.render.shutil.which", lambda _: None)
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    sounds, missing = passage_sounds(report(BASE), scale(12), lambda _: scale(40))
    assert sounds == {}
    assert missing == "no renderer: neither FluidSynth nor the package midirenderer is installed"

"""NoteSequence: tempo map, bars, transposition, validation."""

import numpy as np
import pytest

from music.notes import MusicError, Part, Tempo, TimeSignature, build


def test_seconds_follow_the_tempo_map() -> None:
    # One quarter at 60 bpm is 1 s; from beat 1 on, 120 bpm makes it 0.5 s.
    piece = build([0, 1, 2], [1, 1, 1], [60, 62, 64], tempos=[Tempo(0, 60), Tempo(1, 120)])
    assert piece.onset_s.tolist() == [0.0, 1.0, 1.5]
    assert piece.duration_s.tolist() == [1.0, 0.5, 0.5]
    assert piece.beats_at([0.5, 1.25]).tolist() == [0.5, 1.5]
    assert piece.end_s == 2.0


def test_bars_count_through_changes_of_meter() -> None:
    # Two bars of 3/4 (beats 0-6), then 4/4: beat 10 begins bar 4.
    piece = build([0], [1], [60], time_signatures=[TimeSignature(0, 3, 4), TimeSignature(6, 4, 4)])
    assert [piece.bar_at(b) for b in (0, 3, 6, 10, 12)] == [1.0, 2.0, 3.0, 4.0, 4.5]


def test_notes_are_sorted_and_read_only() -> None:
    piece = build([1, 0, 0], [1, 1, 1], [60, 64, 60])
    assert piece.pitch.tolist() == [60, 64, 60]
    with pytest.raises(ValueError, match="read-only"):
        piece.pitch[0] = 1


def test_transposition_stays_in_range_and_leaves_drums() -> None:
    piece = build([0, 0, 0], [1, 1, 1], [120, 3, 36], part=[0, 0, 1], parts=[Part(), Part(is_drum=True)])
    up, down = piece.transpose(10), piece.transpose(-5)
    assert sorted(up.pitch.tolist()) == [13, 36, 118]
    assert sorted(down.pitch.tolist()) == [10, 36, 115]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0.0], [1.0], [128]), "pitch 128 is outside 0..127"),
        (([-1.0], [1.0], [60]), "onset -1.0 is outside"),
        (([0.0], [0.0], [60]), "duration 0"),
        (([np.nan], [1.0], [60]), "onset nan"),
        (([0.0, 1.0], [1.0], [60, 61]), "column duration has 1 values"),
    ],
)
def test_bad_columns_are_refused(columns: tuple[list[float], list[float], list[int]], message: str) -> None:
    with pytest.raises(MusicError, match=message):
        build(*columns)


def test_no_notes() -> None:
    empty = build([], [], [])
    assert len(empty) == 0
    assert empty.end_s == 0.0
    assert len(empty.clip(0, 1)) == 0

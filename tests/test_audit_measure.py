"""What the metrics saw, for the report: chords beside chords, sound beside sound."""

import base64

import numpy as np

from audit.measure import BANDS, chords_beside, sound_beside
from metrics.measure import Features
from metrics.phash import phash_distance
from music.chords import ChordSpan


def features(*chords: tuple[float, float, int | None, str], tonic: int = 0, mel: np.ndarray | None = None) -> Features:
    spans = [ChordSpan(a / 2, b / 2, a, b, root, quality) for a, b, root, quality in chords]
    return Features([], spans, tonic, np.zeros(12), mel)


def noise(seed: int, frames: int = 500) -> np.ndarray:
    return np.repeat(-80 * np.random.default_rng(seed).random((16, frames)), 8, axis=0)


def test_chords_agree_by_degree_from_each_first_chord_on() -> None:
    ours = features((0, 4, None, ""), (4, 8, 0, "maj"), (8, 12, 7, "7"))
    theirs = features((0, 2, 2, "maj"), (2, 8, 9, "maj"), (8, 12, 2, "min"), tonic=2)
    beside = chords_beside(theirs, "a.mid", ours)
    assert beside is not None
    chords = [(c.start_beat, c.end_beat, c.label, c.degree) for c in beside.track]
    assert chords == [(0, 4, "C:maj", 0), (4, 8, "G:7", 7)]
    assert beside.agreeing == ((0, 2), (4, 8))  # the triad counts, not the seventh
    assert chords_beside(theirs, "a.mid", features((0, 4, None, ""))) is None


def test_the_windows_are_those_of_the_distance() -> None:
    mel = noise(1)
    late = np.concatenate([noise(2, 11), mel], axis=1)  # a quarter of a second
    beside = sound_beside(features(mel=late), "a.mid", features(mel=mel))
    assert beside is not None
    assert abs(beside.shift_s - 0.25) < 0.02
    differ = (int(beside.track_hash, 16) ^ int(beside.piece_hash, 16)).bit_count()
    assert differ == phash_distance(late, mel) == 0
    assert beside.track_picture == beside.piece_picture
    assert len(base64.b64decode(beside.track_picture)) == beside.width * beside.height
    assert beside.height == BANDS
    assert sound_beside(features(), "a.mid", features(mel=mel)) is None
    assert sound_beside(features(mel=noise(1, 20)), "a.mid", features(mel=mel)) is None

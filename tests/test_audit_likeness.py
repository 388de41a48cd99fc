import numpy as np
import pytest

from audit.measures.likeness import FIGURES, Sides, auc, describe_piece, overlaps, style, variety
from metrics.tokens import MetricError
from music.notes import build


def tune(number, steps=(1, 2), length=24):
    """Make a walk by one of `steps`, up or down, on even quarters."""
    random = np.random.default_rng(number)
    pitch = np.clip(60 + np.cumsum(random.choice(steps, length) * random.choice((-1, 1), length)), 30, 90)
    return build(np.arange(length), np.ones(length), pitch)


WALKS, LEAPS = [tune(i) for i in range(20)], [tune(i, (5, 7)) for i in range(20)]


def test_figures_know_a_tune_in_any_key():
    piece = tune(1)
    moved = build(piece.onset_beat, piece.duration_beat, piece.pitch + 3)
    assert describe_piece(piece).shape == (FIGURES,)
    np.testing.assert_allclose(describe_piece(moved)[:-1], describe_piece(piece)[:-1])
    assert describe_piece(moved)[-1] - describe_piece(piece)[-1] == pytest.approx(3 / 12)


def test_auc_by_hand():
    assert auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1
    assert auc(np.array([0.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx((1 + 0 + 1 + 0.5) / 4)


def test_the_classifier_tells_walks_from_leaps():
    found = style(
        Sides(WALKS[:12], LEAPS[:12]), Sides(WALKS[12:], LEAPS[12:]), [tune(50 + i, (5, 7)) for i in range(4)]
    )
    assert found.auc > 0.95
    assert found.share == found.share_artist == 1
    assert found.share_others == 0
    assert found.learned == (12, 12)
    same = style(Sides(WALKS[:12], LEAPS[:12]), Sides(WALKS[12:], LEAPS[12:]), WALKS[12:])
    assert same.share == 0
    assert same.auc_tracks == pytest.approx(0.5)


def test_too_few_pieces_are_refused():
    with pytest.raises(MetricError, match="5 of each are needed"):
        style(Sides(WALKS[:4], LEAPS[:12]), Sides(WALKS[12:], LEAPS[12:]), WALKS)


def test_like_music_overlaps_more():
    near, far = overlaps(WALKS[:10], WALKS[10:]), overlaps(WALKS[:10], LEAPS[10:])
    assert near["intervals"] > far["intervals"]
    assert near["onset_times"] is None  # all the same: no density
    assert variety([WALKS[0]] * 3) == pytest.approx(1)
    assert variety(WALKS) < 1

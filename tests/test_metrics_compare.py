"""Every metric on pairs of pieces, beside its chance level."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metrics import chance as chance_module
from metrics.chance import Chance, chance_levels, shipped_chance, unrelated_pairs
from metrics.compare import MetricValue, compare
from metrics.measure import SPECS, MetricSkipped, features, measure
from metrics.phash import opening_mel
from metrics.tokens import MetricError
from music.notes import NoteSequence, Part, build

PARTS = (Part("Melody", 73), Part("Piano", 0), Part("Kit", 0, True))
SYMBOLIC = [spec.name for spec in SPECS if not spec.name.startswith("phash")]


def song(seed: int, notes: int = 64) -> NoteSequence:
    """Make a tune over chords and drums, in a key of its own."""
    rng = np.random.default_rng(seed)
    key = int(rng.integers(0, 12))
    scale = key + np.array([0, 2, 4, 5, 7, 9, 11])
    tune_at = np.cumsum(rng.choice([0.5, 1.0], notes))
    roots = rng.integers(0, 6, notes // 4)
    rows = [(t, 0.5, 60 + int(scale[rng.integers(0, 7)]), 0) for t in tune_at]
    for bar, root in enumerate(roots.tolist()):
        rows += [(3.0 * bar, 3.0, 36 + int(scale[(root + step) % 7]), 1) for step in (0, 2, 4)]
        rows += [(3.0 * bar, 0.25, 38, 2)]
    onset, duration, pitch, part = zip(*rows, strict=True)
    return build(onset, duration, pitch, part=part, parts=PARTS)


def values(rows: list[MetricValue | MetricSkipped]) -> dict[str, float]:
    return {row.name: row.value for row in rows if isinstance(row, MetricValue)}


def test_a_piece_is_all_like_itself() -> None:
    mel = opening_mel(song(1))
    itself = features(song(1), mel)
    for row in compare(itself, itself):
        assert isinstance(row, MetricValue)
        assert row.value == pytest.approx(row.high if row.better == "higher" else row.low)
        assert row.beyond_chance


def test_a_transposed_copy_is_found_by_what_should_find_it() -> None:
    found = values(compare(song(1), song(1).transpose(5)))
    for name in ("bleu", "edit_similarity", "edit_window", "chord_f1_time_relative", "chord_f1_lcs_relative"):
        assert found[name] == pytest.approx(1.0), name
    for name in ("overlap_pitch_class", "overlap_interval", "overlap_onset_time"):
        assert found[name] == pytest.approx(1.0), name
    assert found["chord_f1_time"] < 0.8


def test_strangers_are_at_chance() -> None:
    levels = chance_levels([song(i) for i in range(12)], pairs=60)
    found = values(compare(song(100), song(101), levels))
    assert found["bleu"] < 0.3
    for row in compare(song(100), song(101), levels):
        if isinstance(row, MetricValue):
            level = levels[row.name]
            assert (row.chance_mean, row.chance_p95) == (level.mean, level.p95)
            assert abs(row.value - level.mean) < 6 * level.sd


def test_what_cannot_be_measured_is_skipped_with_a_reason() -> None:
    short = build([0, 1, 2], [1, 1, 1], [60, 62, 64])
    drums = build([0.0, 1.0], [1.0, 1.0], [36, 38], parts=(Part("Kit", 0, True),))
    rows = {row.name: row for row in compare(song(1), short)}
    assert list(rows) == [spec.name for spec in SPECS]
    assert rows["bleu"] == MetricSkipped(
        "bleu", "melody too short: 64 notes in the reference, 3 in the candidate; 9 are needed"
    )
    assert rows["phash_64"] == MetricSkipped("phash_64", "not rendered: the hash compares sound")
    assert all(isinstance(row, MetricSkipped) for row in compare(song(1), drums))


def test_reference_and_candidate_are_not_mixed_up() -> None:
    long, part = features(song(1)), features(song(1).clip(0.0, 15.0))
    assert measure(long, part)["bleu"] != measure(part, long)["bleu"]
    assert measure(long, part)["edit_window"] == 1.0


def test_symbolic_metrics_are_quick() -> None:
    a, b = features(song(1, 200)), features(song(2, 200))
    measure(a, b)  # the first call imports nltk
    started = time.perf_counter()
    for _ in range(5):
        measure(a, b)
    assert (time.perf_counter() - started) / 5 < 0.1  # measured: 4 ms


def test_chance_is_seeded_and_hand_countable() -> None:
    pieces = [song(i, 24) for i in range(5)]
    levels = chance_levels(pieces, pairs=8, seed=3)
    assert levels == chance_levels([features(p) for p in pieces], pairs=8, seed=3)
    assert list(levels) == SYMBOLIC
    drawn = unrelated_pairs(range(5), 8, 3)
    by_hand: list[Any] = [measure(features(pieces[i]), features(pieces[j]))["edit_similarity"] for i, j in drawn]
    level = levels["edit_similarity"]
    assert level.mean == pytest.approx(np.mean(by_hand))
    assert level.sd == pytest.approx(np.std(by_hand))
    assert level.p95 == pytest.approx(np.percentile(by_hand, 95))
    assert level.pairs == 8


def test_lower_is_nearer_for_hashes() -> None:
    mel = np.random.default_rng(0).uniform(-80, 0, (3, 128, 60))
    levels = chance_levels([features(song(i, 24), mel[i]) for i in range(3)])
    assert levels["phash_64"].p95 < levels["phash_64"].mean


@pytest.mark.parametrize("n", [6, 60])
def test_pairs_are_never_related_and_never_drawn_twice(n: int) -> None:
    groups = [i // 3 for i in range(n)]
    drawn = unrelated_pairs(groups, 200, 1)
    assert len(drawn) == len(set(drawn)) == min(200, n * (n - 3))
    assert all(groups[i] != groups[j] for i, j in drawn)
    assert drawn == unrelated_pairs(groups, 200, 1)


def test_chance_needs_unrelated_pieces() -> None:
    with pytest.raises(MetricError, match="1 groups in 2 pieces"):
        chance_levels([song(1), song(2)], ["a", "a"])
    with pytest.raises(MetricError, match="1 groups for 2 pieces"):
        chance_levels([song(1), song(2)], ["a"])


def test_shipped_levels_cover_every_metric() -> None:
    levels = shipped_chance()
    assert list(levels) == [spec.name for spec in SPECS]
    for spec in SPECS:
        level = levels[spec.name]
        assert spec.low <= level.mean <= spec.high
        assert (level.p95 > level.mean) == (spec.better == "higher")
        assert level.pairs >= 1000


def test_damaged_levels_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "chance.json"
    monkeypatch.setattr(chance_module, "SHIPPED", broken)
    for content in ("", "[]", json.dumps({"levels": {"bleu": {"mean": 1}}})):
        broken.write_text(content)
        shipped_chance.cache_clear()
        with pytest.raises(MetricError, match=r"chance.json: cannot be read"):
            shipped_chance()
    monkeypatch.undo()
    shipped_chance.cache_clear()


def test_no_chance_level_is_said() -> None:
    rows = compare(song(1), song(2), {"bleu": Chance(0.1, 0.1, 0.2, 10)})
    known = {row.name: row.beyond_chance for row in rows if isinstance(row, MetricValue)}
    assert known.pop("bleu") is not None
    assert set(known.values()) == {None}

"""What was not learned is refused, and what is no music is not taken for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from generator.data.tokens import encode, quantise
from generator.data.vocabulary import SettingError
from generator.network.checkpoint import load_model
from generator.network.limits import Limits, density_of, limits_of, most_at_once, read_limits, require_learned
from generator.shipped import SHIPPED
from generator.writing.condition_words import parse_conditions
from generator.writing.sample import generate
from music.notes import TimeSignature, build

CLUSTER = build(np.zeros(60), np.ones(60), np.arange(30, 90))


def test_density_and_thickness_by_hand() -> None:
    chord = build([0, 0, 0, 1, 2], [1, 1, 1, 1, 2], [60, 64, 67, 72, 60])
    assert (density_of(chord), most_at_once(chord)) == (5 / 4, 3)
    assert (density_of(build([], [], [])), most_at_once(build([], [], []))) == (0.0, 0)
    touching = build([0, 1, 2], [1, 1, 1], [60, 60, 60])
    assert most_at_once(touching) == 1


def test_what_is_far_beyond_the_learned_is_degenerate() -> None:
    limits = Limits(densest=9.0, thickest=4)
    assert limits.degenerate(build(np.arange(20) / 5, np.full(20, 0.2), np.full(20, 60))) == ()
    assert "15 notes a quarter" in limits.degenerate(build(np.arange(60) / 15, np.full(60, 0.05), np.full(60, 60)))[0]
    assert "60 notes at once" in Limits().degenerate(CLUSTER)[1]
    assert limits.degenerate(build([], [], [])) == ("no notes",)


def test_limits_are_those_of_the_pieces_and_read_back(tmp_path: Path) -> None:
    waltz = build(np.arange(60), np.ones(60), np.full(60, 60), time_signatures=(TimeSignature(0.0, 3, 4),))
    found = limits_of([np.array(encode(quantise(waltz)))])
    assert (found.densest, found.thickest, found.meters) == (1.0, 1, ("3/4",))
    (tmp_path / "training.json").write_text(json.dumps({"limits": {"densest": 1.0, "thickest": 1, "meters": ["3/4"]}}))
    assert read_limits(tmp_path) == found
    for wrong in ({"densest": "x"}, {"densest": 1}, [1], {"densest": 1e999, "thickest": 1e999, "meters": []}):
        (tmp_path / "training.json").write_text(json.dumps({"limits": wrong}))
        assert read_limits(tmp_path) == Limits()


@pytest.mark.parametrize("meter", ["5/4", "7/8", "13/16", "11/8"])
def test_meters_that_the_shipped_model_never_met_are_refused(meter: str) -> None:
    with pytest.raises(SettingError, match=f"meter {meter}: this model has not learned it; it knows 2/2, "):
        generate(SHIPPED, 1, bars=1, conditions=parse_conditions(meter=meter))


def test_meters_that_it_learned_are_not() -> None:
    model = load_model(SHIPPED, "cpu")
    for meter in ((4, 4), (3, 4), (2, 2), (6, 8)):
        require_learned(model, Limits(), meter)
    require_learned(model, Limits(meters=("7/8",)), (7, 8))  # written down by a training on such music


def test_a_track_that_is_no_music_is_drawn_again_and_marked() -> None:
    made = generate(SHIPPED, 1, bars=2, seed=3, tries=2, conditions=parse_conditions(meter="5/8"))[0]
    if made.drawn.degenerate:  # it has seen such bars as pick-ups only
        assert made.drawn.tries == 2 or made.poor == float("inf")
    plain = generate(SHIPPED, 1, bars=2, seed=3)[0]
    assert plain.drawn.degenerate is None

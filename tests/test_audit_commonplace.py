"""Commonplace figures, worked by hand: which share of the steps makes which name."""

import numpy as np
import pytest

from audit.search.commonplace import commonplace

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)  # C major: seven steps of 1 or 2 semitones


@pytest.mark.parametrize(
    ("pitch", "name"),
    [
        # Steps 0 0 0 2: three of four stay. 0 0 0 2 2: three of five.
        ((60, 60, 60, 60, 62), "repeated notes"),
        ((60, 60, 60, 60, 62, 64), ""),
        ((60, 60), "repeated notes"),
        # All steps are thirds, fourths or wider, up or down, also from chord to chord.
        ((60, 64, 67, 72, 67, 64, 60), "broken chords"),
        ((48, 55, 64, 57, 50, 65, 77, 53), "broken chords"),
        # 4 3 5 2: three of four leap. 4 3 2 2: two of four.
        ((60, 64, 67, 72, 74), "broken chords"),
        ((60, 64, 67, 69, 71), ""),
        ((60, 63), "broken chords"),
        (SCALE, "scale"),
        (SCALE[::-1], "scale"),
        (SCALE[:5] + SCALE[3::-1], "scale"),  # four steps up, four down
        (tuple(range(60, 73)), "scale"),  # chromatic
        # Six steps in one direction and two leaps: six of eight. With a third leap: six of nine.
        ((*SCALE[:7], 67, 72), "scale"),
        ((*SCALE[:7], 67, 72, 67), ""),
        # Runs of three are ornaments: 2 2 1 -1 -2 -2, and a repeated note parts 2 2 0 1 2.
        ((60, 62, 64, 65, 64, 62, 60), ""),
        ((60, 62, 64, 64, 65, 67), ""),
        # Whole tones make a scale, and a minor third none.
        ((60, 62, 64, 66, 68), "scale"),
        ((60, 62, 64, 67, 69), ""),
        # Frere Jacques (4 leaps of 13 steps) and the Ode to Joy (5 of 14 stay, 4 in a run).
        ((60, 62, 64, 60, 60, 62, 64, 60, 64, 65, 67, 64, 65, 67), ""),
        ((64, 64, 65, 67, 67, 65, 64, 62, 60, 60, 62, 64, 64, 62, 62), ""),
        ((), ""),
        ((60,), ""),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])  # of uint8 a step down must not wrap
def test_figures_by_hand(pitch: tuple[int, ...], name: str, dtype: type) -> None:
    assert commonplace(np.array(pitch, dtype)) == name


def test_a_figure_is_the_same_in_every_key_and_upside_down() -> None:
    for pitch in (np.array(SCALE), np.array([60, 64, 67, 72, 67]), np.array([60, 60, 60, 60, 61])):
        assert commonplace(pitch) == commonplace(pitch + 7) == commonplace(120 - pitch) != ""

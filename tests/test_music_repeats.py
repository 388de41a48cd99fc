"""The order of bars, against what a player does with the signs."""

from __future__ import annotations

import pytest

from music.notes import MusicError
from music.scores.repeats import Signs, unfold_bars


def order(signs: list[Signs]) -> list[int]:
    return [i + 1 for i, _ in unfold_bars(signs, "x")]


def bars(count: int, **where: dict[int, object]) -> list[Signs]:
    """``forward={2: True}``: bar 2, from 1, has the sign."""
    made = [Signs() for _ in range(count)]
    for name, places in where.items():
        for bar, value in places.items():
            setattr(made[bar - 1], name, value)
    return made


def test_repeats_begin_at_their_sign_or_behind_the_one_before() -> None:
    assert order(bars(3, backward={2: True})) == [1, 2, 1, 2, 3]
    assert order(bars(4, forward={2: True}, backward={3: True})) == [1, 2, 3, 2, 3, 4]
    assert order(bars(4, backward={2: True, 4: True})) == [1, 2, 1, 2, 3, 4, 3, 4]
    assert order(bars(2, backward={1: True}, times={1: 4})) == [1, 1, 1, 1, 2]


def test_endings_are_chosen_by_the_pass() -> None:
    first, second, third = (frozenset({i}) for i in (1, 2, 3))
    assert order(bars(4, ending={2: first, 3: second}, backward={2: True})) == [1, 2, 1, 3, 4]
    assert order(bars(4, ending={2: first}, backward={2: True})) == [1, 2, 1, 3, 4]
    assert order(bars(5, ending={2: first | second, 3: third}, backward={2: True})) == [1, 2, 1, 2, 1, 3, 4, 5]
    # endings of two bars, and a second section that has its own
    assert order(bars(8, ending={2: first, 3: first, 4: second, 6: first, 7: second}, backward={3: True, 6: True})) == [
        1,
        2,
        3,
        1,
        4,
        5,
        6,
        5,
        7,
        8,
    ]
    # a repeat sign at the last ending, too
    assert order(bars(4, ending={2: first, 3: second}, backward={2: True, 3: True})) == [1, 2, 1, 3, 4]
    # a repeat whose beginning stands behind an ending
    assert order(bars(6, ending={2: first, 3: second}, backward={2: True, 5: True}, forward={1: True, 4: True})) == [
        1,
        2,
        1,
        3,
        4,
        5,
        4,
        5,
        6,
    ]


def test_jumps_back_take_no_repeats_and_end_at_the_fine() -> None:
    assert order(bars(4, da_capo={4: True}, fine={2: True})) == [1, 2, 3, 4, 1, 2]
    assert order(bars(4, da_capo={4: True}, fine={2: True}, backward={2: True, 4: True})) == [
        1, 2, 1, 2, 3, 4, 3, 4, 1, 2,
    ]  # fmt: skip
    assert order(bars(4, segno={2: {"s"}}, dal_segno={4: {"s"}}, fine={3: True})) == [1, 2, 3, 4, 2, 3]
    coda = bars(6, segno={2: {"s"}}, dal_segno={4: {"s"}}, to_coda={3: {"c"}}, coda={6: {"c"}})
    assert order(coda) == [1, 2, 3, 4, 2, 3, 6]
    first, second = frozenset({1}), frozenset({2})
    assert order(bars(4, ending={2: first, 3: second}, backward={2: True}, da_capo={4: True})) == [
        1, 2, 1, 3, 4, 1, 3, 4,
    ]  # fmt: skip
    # places that are nowhere are passed over
    assert order(bars(2, dal_segno={2: {"s"}})) == [1, 2]


def test_order_is_bounded() -> None:
    with pytest.raises(MusicError, match="x: its repeats make more than 100000 bars"):
        unfold_bars(bars(2, backward={1: True}, times={1: 10**6}), "x")

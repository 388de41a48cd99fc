"""The order in which the bars of a score are played: repeats, endings, da capo, dal segno, coda and fine.

What sounds decides: barlines' ``repeat`` and ``ending``, and the attributes of ``sound``; words and signs that are only
drawn are passed over. A repeat without a beginning begins behind the one before it. After a jump back (da capo, dal
segno) repeats are not taken again, and of endings the last one is played.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from music.notes import MusicError

MAX_PLAYED = 100_000  # bars


@dataclass(slots=True)
class Signs:
    """What stands at one printed bar, of all parts together.

    Attributes
    ----------
    forward, backward : bool
        A repeat begins, ends here.
    times : int
        How often the repeat that ends here is played in all; 2 where nothing is said.
    ending : frozenset of int
        The passes in which this bar is played; empty where it stands under no ending.
    segno, coda, dal_segno, to_coda : set of str
        Names of the places, and of those to jump to behind this bar.
    da_capo, fine : bool
    """

    forward: bool = False
    backward: bool = False
    times: int = 2
    ending: frozenset[int] = frozenset()
    segno: set[str] = field(default_factory=set)
    coda: set[str] = field(default_factory=set)
    dal_segno: set[str] = field(default_factory=set)
    to_coda: set[str] = field(default_factory=set)
    da_capo: bool = False
    fine: bool = False


def unfold_bars(signs: list[Signs], name: str) -> list[tuple[int, int]]:
    """Return the bars as they are played, each with its pass, from 1.

    Raises
    ------
    MusicError
        When more than `MAX_PLAYED` bars would be played.
    """
    order: list[tuple[int, int]] = []
    here = start = 0
    turn, back, repeated = 1, False, False
    while here < len(signs):
        bar = signs[here]
        if not repeated and start != here and (bar.forward or (not bar.ending and here and signs[here - 1].ending)):
            start, turn = here, 1  # a section begins, with a sign or behind the last ending
        repeated = False
        if bar.ending and not _is_entered(signs, here, turn, back):
            here += 1
            continue
        order.append((here, turn))
        if len(order) > MAX_PLAYED:
            raise MusicError(f"{name}: its repeats make more than {MAX_PLAYED} bars; that is the limit")
        if back and bar.fine:
            break
        target = _jump(signs, here, back)
        if bar.backward and not back and turn < _passes(signs, here):
            here, turn, repeated = start, turn + 1, True
        elif target is not None:
            here, back = target, True
            start, turn = here, 1
        else:
            if bar.backward:
                start, turn = here + 1, (turn if bar.ending else 1)
            here += 1
    return order


def _is_entered(signs: list[Signs], here: int, turn: int, back: bool) -> bool:
    """Whether the bar, which stands under an ending, is played in this pass."""
    if back:
        return max(signs[here].ending) == max(_group(signs, here))
    return turn in signs[here].ending


def _group(signs: list[Signs], here: int) -> set[int]:
    """Return the passes of all endings that follow one another around a bar."""
    first = last = here
    while first and signs[first - 1].ending:
        first -= 1
    while last + 1 < len(signs) and signs[last + 1].ending:
        last += 1
    return {number for bar in signs[first : last + 1] for number in bar.ending}


def _passes(signs: list[Signs], here: int) -> int:
    if not signs[here].ending:
        return signs[here].times
    numbers = _group(signs, here)
    alone = numbers == signs[here].ending  # without another ending behind it
    return max(*numbers, signs[here].times if alone else 0)


def _jump(signs: list[Signs], here: int, back: bool) -> int | None:
    """Return the bar to go on at where a sign behind this one says so."""
    bar = signs[here]
    if back:
        return next((i for i, other in enumerate(signs) if other.coda & bar.to_coda), None)
    if bar.dal_segno:
        return next((i for i, other in enumerate(signs) if other.segno & bar.dal_segno), None)
    return 0 if bar.da_capo else None

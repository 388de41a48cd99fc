"""Commonplace figures: what every piece of a tradition may hold without having it from another one.

Scales, broken chords and repeated notes are the material of music, and an accompaniment is made of little else. The
style model gives them few bits a note, but a long one still adds up, so a passage that is mostly one of them is named,
and has to be less likely than others to be reported (`audit.policy`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from messages import message

SHARE = 0.75  # of a passage's steps, for it to be called by the figure's name
STEP, LEAP = 2, 3  # semitones: a scale goes by up to a whole tone, a broken chord by a third or more
SCALE_STEPS = 4  # in one direction; shorter runs are ornaments and ordinary melody


def commonplace(pitch: NDArray[Any]) -> str:
    """Name the figure that makes up at least `SHARE` of a passage.

    Parameters
    ----------
    pitch : (n,)
        Its aligned notes.

    Returns
    -------
    str
        "repeated notes", "broken chords", "scale", or "" for none of them.
    """
    shares: Any = _shares
    repeated, leaping, running = shares(pitch)
    if repeated >= SHARE:
        return message("repeated notes")
    if leaping >= SHARE:
        return message("broken chords")
    return message("scale") if running >= SHARE else ""


@njit(cache=True, nogil=True)
def _shares(pitch: Any) -> Any:
    """Shares of the steps that repeat a note, that leap, and that are in a run of `SCALE_STEPS` or more one way."""
    steps = max(len(pitch) - 1, 1)
    repeated = leaping = running = run = 0
    way: Any = 0
    for i in range(1, len(pitch) + 1):
        step = np.int64(pitch[i]) - np.int64(pitch[i - 1]) if i < len(pitch) else np.int64(0)
        small: Any = np.sign(step) if abs(step) <= STEP else 0
        if small != way or i == len(pitch):
            running += run if way and run >= SCALE_STEPS else 0
            run, way = 0, small
        run += 1
        if i < len(pitch):
            repeated += 1 if step == 0 else 0
            leaping += 1 if abs(step) >= LEAP else 0
    return repeated / steps, leaping / steps, running / steps

"""Commonplace figures: what every piece of a tradition may hold without having it from another one.

Scales, broken chords and repeated notes are the material of music, and an accompaniment is made of little else. The
style model gives them few bits a note, but a long one still adds up, so a passage that is mostly one of them is named,
and has to be less likely than others to be reported (`audit.policy`).
"""

from __future__ import annotations

import numpy as np

from music.notes import IntArray

SHARE = 0.75  # of a passage's steps, for it to be called by the figure's name
STEP, LEAP = 2, 3  # semitones: a scale goes by up to a whole tone, a broken chord by a third or more
SCALE_STEPS = 4  # in one direction; shorter runs are ornaments and ordinary melody


def commonplace(pitch: IntArray) -> str:
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
    steps = np.asarray(np.diff(pitch.astype(np.int64)), np.int64)
    if not len(steps):
        return ""
    if (steps == 0).mean() >= SHARE:
        return "repeated notes"
    if (np.abs(steps) >= LEAP).mean() >= SHARE:
        return "broken chords"
    return "scale" if _in_runs(steps) >= SHARE else ""


def _in_runs(steps: IntArray) -> float:
    """Share of the steps that belong to a run of `SCALE_STEPS` or more small steps in one direction."""
    direction = np.where(np.abs(steps) <= STEP, np.sign(steps), 0)
    borders = np.flatnonzero(np.diff(direction, prepend=9, append=9))
    lengths = np.diff(borders)
    held = lengths[(direction[borders[:-1]] != 0) & (lengths >= SCALE_STEPS)]
    return float(held.sum() / len(steps))

"""What of the evidence a page has room for: strongest findings first, each with less the farther down it stands.

All findings that a page lists have their sentence, their id and a form for a review. The first of them have piano
rolls and tables too, and the first of those notation and sound, which are most of a page. A page of ten findings of a
few bars has room for everything; two hours of music with hundreds of findings have not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from audit.findings import Finding
from reports.drawings.notation import Score
from reports.drawings.svg import Drawing

PAGE_BYTES = 2_000_000  # of report.html
FIXED, ROW, SHELL = 150_000, 6_000, 9_000  # bytes of a page without findings, of one that is listed, of its tables
LISTED, DRAWN = 0.4, 0.6  # of what is left at most go to findings without rolls, and to those without sound
LEAST = 10  # findings that are listed, whatever their bytes
Sounds = Mapping[int, tuple[bytes, bytes]]
"""Files (track passage, piece passage) by the number of their finding, from 1."""
NO_SOUNDS: Sounds = {}


@dataclass(frozen=True, slots=True)
class Kept:
    """What a page holds.

    Attributes
    ----------
    listed, drawn : int
        How many findings are on it, and how many of these with piano rolls and tables, from the first on.
    scores, sounds : mapping
        By number.
    short : frozenset of int
        Findings past a threshold that are drawn, and whose notation and sound were left out.
    unspent : float
        Bytes of the room that nothing fitted into.
    """

    listed: int
    drawn: int
    scores: Mapping[int, Score]
    sounds: Sounds
    short: frozenset[int] = field(default_factory=frozenset)
    unspent: float = 0.0

    @property
    def everything(self) -> bool:
        """Whether nothing was left out of what is listed."""
        return self.drawn == self.listed and not self.short


def choose_evidence(
    findings: tuple[Finding, ...],
    sounds: Sounds,
    drawing: Callable[[int], Drawing],
    engraved: Callable[[int], Score | None],
    notes: Callable[[Finding], Any],
    room: float,
) -> Kept:
    """Choose what goes on a page of at most about `room` bytes.

    Parameters
    ----------
    findings : tuple of Finding
        Strongest first.
    drawing : callable
        Gives the piano rolls of a finding by its number.
    engraved : callable
        Gives the notation of a finding by its number, None where there is none.
    notes : callable
        Gives what the page's script needs to sound a finding without a file.
    """
    left = max(room - FIXED, 0.0)
    listed = min(len(findings), max(int(LISTED * left / ROW), LEAST))
    left -= listed * ROW
    share, drawn = DRAWN * left, 0
    for number, finding in enumerate(findings[:listed], 1):
        cost = SHELL + len(drawing(number).inside) + (0 if number in sounds else len(json.dumps(notes(finding))))
        if cost > share and drawn:
            break
        share, left, drawn = share - cost, left - cost, number
    scores: dict[int, Score] = {}
    heard: dict[int, tuple[bytes, bytes]] = {}
    flagged = [n for n in range(1, drawn + 1) if findings[n - 1].verdict != "clear"]
    for place, number in enumerate(flagged):
        score, sound = engraved(number), sounds.get(number)
        cost = (len(score.svg) if score else 0) + (4 * sum(map(len, sound)) // 3 if sound else 0)
        if cost > left:
            return Kept(listed, drawn, scores, heard, frozenset(flagged[place:]), max(left, 0.0))
        left -= cost
        scores |= {number: score} if score else {}
        heard |= {number: sound} if sound else {}
    return Kept(listed, drawn, scores, heard, frozenset(), max(left, 0.0))

"""What two passages do not share: a list, bar by bar, of the notes of the aligned voice."""

from __future__ import annotations

from dataclasses import dataclass

from audit.findings import Finding, PassageNote
from reports.drawings.notation import together
from reports.drawings.svg import pitch_name


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes
    ----------
    bar : int
        Of the track.
    kind : str
        "rhythm" (same pitch at another time), "pitch" (another pitch in its place), "added" (in the track alone) or
        "left out" (in the piece alone).
    track, piece : str
        Names of the pitches, the piece's in the track's key; "" where there is none.
    """

    bar: int
    kind: str
    track: str
    piece: str


def differences(finding: Finding) -> list[Difference]:
    """List them in the order of the track; between two matched notes, unmatched ones are compared one by one."""
    track, piece = together(finding)
    there = {n.pair: k for k, n in enumerate(piece) if n.pair is not None}
    differences: list[Difference] = []
    alone: list[PassageNote] = []
    seen = 0  # notes of the piece that were dealt with

    def told(note: PassageNote, kind: str, here: PassageNote | None, other: PassageNote | None) -> Difference:
        bar = finding.first_bar + int((note.onset_beat + 1e-6) // finding.query_bar_beats)
        return Difference(bar, kind, *(pitch_name(n.pitch) if n else "" for n in (here, other)))

    def beside(rest: list[PassageNote]) -> list[Difference]:
        both = min(len(alone), len(rest))
        pairs = zip(alone, rest, strict=False)
        return [
            *(told(a, "rhythm" if a.pitch == b.pitch else "pitch", a, b) for a, b in pairs),
            *(told(a, "added", a, None) for a in alone[both:]),
            *(told(b, "left out", None, b) for b in rest[both:]),
        ]

    for note in track:
        place = there.get(note.pair) if note.pair is not None else None
        if place is None:
            alone.append(note)
            continue
        differences += beside(piece[seen:place])
        alone, seen = [], max(seen, place + 1)
        if not note.in_time:
            differences.append(told(note, "rhythm", note, piece[place]))
    return differences + beside(piece[seen:])

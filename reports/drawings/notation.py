"""Both passages of a finding in staff notation, one above the other, in the track's key and at its bar lines.

Verovio engraves them, in the process that also reads scores (`music.scores.verovio_process`). Only the aligned voice is
written, the piece moved by the transposition and stretched so that its first and last matched notes stand below those
of the track; rhythms are rounded to sixteenths, or to thirty-seconds where that keeps notes apart. What verovio adds
for pages of its own is taken out: style sheets, which the page's policy would refuse, identifiers, which would clash,
and the shapes of its signs, which all findings share.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from markupsafe import Markup

from audit.findings import Finding, PassageNote
from music.notes import MusicError
from music.scores.verovio_process import mei_to_svg

BARS = 12  # of the track that are written; the piano roll has the rest
SHARP = ("c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b")
FLAT = ("c", "df", "d", "ef", "e", "f", "gf", "g", "af", "a", "bf", "b")
SIGNATURES = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F#": 6, "F": -1, "Bb": -2, "Eb": -3, "Ab": -4, "C#": -5}
LENGTHS = (
    (32, 1, 0),
    (24, 2, 1),
    (16, 2, 0),
    (12, 4, 1),
    (8, 4, 0),
    (6, 8, 1),
    (4, 8, 0),
    (3, 16, 1),
    (2, 16, 0),
    (1, 32, 0),
)
_GLYPH = re.compile(r'<g id="(E[0-9A-F]{3,4})-\w+">(.*?)</g>', re.DOTALL)
_KEPT = ("both", "pitch", "alone")


@dataclass(frozen=True, slots=True)
class Score:
    """A drawing, the shapes of the signs that it uses by their name, and whether it is all of the passage."""

    svg: Markup
    width: int
    height: int
    glyphs: dict[str, Markup]
    whole: bool


@dataclass(frozen=True, slots=True)
class _Event:
    """Notes that begin together: at `start`, for `length` units of 1/8 quarter."""

    start: int
    length: int
    notes: tuple[PassageNote, ...]


def notation(finding: Finding, key: str) -> Score | None:
    """Engrave a finding; None where it has no notes of an aligned voice.

    Parameters
    ----------
    key : str
        Of the track, e.g. "Eb minor"; "" writes accidentals alone.

    Raises
    ------
    MusicError
        When verovio does not do it.
    """
    track, piece = together(finding)
    if not track or not piece:
        return None
    bar = max(round(finding.query_bar_beats * 8), 1)
    last = max(n.onset_beat for n in track)
    count = min(int(last * 8) // bar + 1, BARS)
    until = count * bar
    signature = _signature(key)
    staves = [_events([n for n in notes if 0 <= n.onset_beat * 8 < until], until) for notes in (track, piece)]
    svg = mei_to_svg(_mei(staves, bar, count, finding.first_bar, signature), "notation")
    width, height, drawn, glyphs = _tidy(svg)
    return Score(Markup(drawn), width, height, glyphs, count * bar > last * 8)


def together(finding: Finding) -> tuple[list[PassageNote], list[PassageNote]]:
    """Return the aligned voices of track and piece, the piece in the track's key, bars and pace."""
    track, piece = ([n for n in notes if n.in_voice] for notes in (finding.query_notes, finding.piece_notes))
    here = {n.pair: n.onset_beat for n in track if n.pair is not None}
    both = [(here[n.pair], n.onset_beat) for n in piece if n.pair in here]
    if not both:
        return [], []
    (q0, p0), (q1, p1) = both[0], both[-1]
    pace = (q1 - q0) / (p1 - p0) if p1 > p0 and q1 > q0 else 1.0
    near = min((0.25, 0.5, 2 / 3, 0.75, 1.0, 4 / 3, 1.5, 2.0, 4.0), key=lambda ratio: abs(ratio / pace - 1))
    pace = near if abs(near / pace - 1) < 0.03 else pace
    moved = [
        replace(
            n,
            onset_beat=(n.onset_beat - p0) * pace + q0,
            duration_beat=n.duration_beat * pace,
            pitch=min(max(n.pitch + finding.transposition, 0), 127),
        )
        for n in piece
    ]
    return track, moved


def _events(notes: Sequence[PassageNote], until: int) -> list[_Event]:
    """Round to the coarsest grid that keeps onsets apart, and end each note where the next one begins."""
    onsets = {n.onset_beat for n in notes}
    step = next((s for s in (2, 1) if len({round(o * 8 / s) for o in onsets}) == len(onsets)), 1)
    at: dict[int, list[PassageNote]] = {}
    for note in notes:
        at.setdefault(min(round(note.onset_beat * 8 / step) * step, until - step), []).append(note)
    starts = sorted(at)
    events = []
    for k, start in enumerate(starts):
        after = starts[k + 1] if k + 1 < len(starts) else until
        length = max(round(max(n.duration_beat for n in at[start]) * 8 / step) * step, step)
        gap = after - start - length
        events.append(_Event(start, after - start if gap < 2 * step else length, tuple(at[start])))
    return events


def _signature(key: str) -> int:
    """Sharps of a key, flats below 0; of a minor key those of its relative major."""
    name, _, mode = key.partition(" ")
    if name not in SIGNATURES:
        return 0
    fifths = SIGNATURES[name] - (3 if mode == "minor" else 0)
    return fifths + 12 if fifths < -6 else fifths


def _mei(staves: Sequence[Sequence[_Event]], bar: int, count: int, first: int, signature: int) -> str:
    flats = signature < 0
    meter = (
        f'meter.count="{bar // 8}" meter.unit="4"'
        if bar % 8 == 0
        else f'meter.count="{max(bar // 4, 1)}" meter.unit="8"'
    )
    keysig = f"{abs(signature)}{'f' if flats else 's'}" if signature else "0"
    defs = "".join(
        f'<staffDef n="{n}" lines="5" {_clef(events)}><label>{"AB"[n - 1]}</label></staffDef>'
        for n, events in enumerate(staves, 1)
    )
    measures = []
    for number in range(count):
        layers = "".join(
            f'<staff n="{n}"><layer n="1">{_bar(events, number * bar, bar, signature)}</layer></staff>'
            for n, events in enumerate(staves, 1)
        )
        measures.append(f'<measure n="{first + number}">{layers}</measure>')
    return (
        '<mei xmlns="http://www.music-encoding.org/ns/mei" meiversion="5.0"><meiHead/><music><body><mdiv><score>'
        f'<scoreDef keysig="{keysig}" {meter}><staffGrp bar.thru="true" symbol="bracket">{defs}</staffGrp></scoreDef>'
        f"<section>{''.join(measures)}</section></score></mdiv></body></music></mei>"
    )


def _clef(events: Sequence[_Event]) -> str:
    pitches = [n.pitch for event in events for n in event.notes]
    low = bool(pitches) and sum(pitches) / len(pitches) < 57
    return 'clef.shape="F" clef.line="4"' if low else 'clef.shape="G" clef.line="2"'


def _bar(events: Sequence[_Event], start: int, length: int, signature: int) -> str:
    """Write one bar: what is held over its lines is tied, what is empty is a rest, short notes of a beat are beamed."""
    out: list[tuple[int, bool, str]] = []  # beat, whether it has a beam, and how it is written
    at, end = start, start + length

    def rest(until: int) -> None:
        for _, dur, dots in _split(until - at):
            out.append((-1, False, f'<rest dur="{dur}"{_dots(dots)}/>'))

    for event in events:
        low, high = max(event.start, start), min(event.start + event.length, end)
        if high <= low:
            continue
        rest(low)
        parts = _split(high - low)
        at = low
        for k, (units, dur, dots) in enumerate(parts):
            before = k > 0 or event.start < low
            after = k + 1 < len(parts) or event.start + event.length > high
            tie = {(True, True): "m", (True, False): "t", (False, True): "i"}.get((before, after), "")
            out.append(((at - start) // 8, dur >= 8, _write_note(event.notes, dur, dots, tie, signature)))
            at += units
    rest(end)
    return _beam(out) if any("<rest" not in written for _, _, written in out) else "<mRest/>"


def _beam(items: Sequence[tuple[int, bool, str]]) -> str:
    groups = (list(group) for _, group in groupby(items, key=lambda item: item[:2]))
    return "".join(
        f"<beam>{''.join(w for _, _, w in group)}</beam>"
        if group[0][1] and len(group) > 1
        else "".join(w for _, _, w in group)
        for group in groups
    )


def _split(units: int) -> list[tuple[int, int, int]]:
    """Divide a time into lengths that notes have, longest first."""
    parts = []
    while units > 0:
        part = next(one for one in LENGTHS if one[0] <= units)
        parts.append(part)
        units -= part[0]
    return parts


def _dots(dots: int) -> str:
    return f' dots="{dots}"' if dots else ""


def _write_note(notes: Sequence[PassageNote], dur: int, dots: int, tie: str, signature: int) -> str:
    time = f'dur="{dur}"{_dots(dots)}'
    heads = []
    for note in {n.pitch: n for n in notes}.values():
        name = (FLAT if signature < 0 else SHARP)[note.pitch % 12]
        kind = "alone" if note.pair is None else "both" if note.in_time else "pitch"
        # Signs of the key are only sounded, others are written.
        sign = (f' accid.ges="{name[1]}"' if _in_key(name, signature) else f' accid="{name[1]}"') if name[1:] else ""
        if not name[1:] and _is_altered(name, signature):
            sign = ' accid="n"'
        joined = f' tie="{tie}"' if tie else ""
        shape = {"pitch": ' head.mod="paren"', "alone": ' head.shape="diamond"'}.get(kind, "")
        heads.append(f'type="{kind}" pname="{name[0]}" oct="{note.pitch // 12 - 1}"{shape}{sign}{joined}')
    if len(heads) == 1:
        return f"<note {time} {heads[0]}/>"
    return f"<chord {time}>{''.join(f'<note {head}/>' for head in heads)}</chord>"


def _is_altered(letter: str, signature: int) -> bool:
    order = "fcgdaeb" if signature > 0 else "beadgcf"
    return letter in order[: abs(signature)]


def _in_key(name: str, signature: int) -> bool:
    return _is_altered(name[0], signature) and (name[1] == "s") == (signature > 0)


def _tidy(svg: str) -> tuple[int, int, str, dict[str, Markup]]:
    """Return width, height and content of verovio's drawing, with our classes alone, and the shapes of its signs."""
    view = re.search(r'class="definition-scale"[^>]*viewBox="0 0 (\d+) (\d+)"', svg)
    if view is None:
        raise MusicError("notation: verovio's drawing has no frame")
    glyphs = {name: Markup(re.sub(r"\s+", " ", shape).strip()) for name, shape in _GLYPH.findall(svg)}
    body = svg[svg.index("</style>") + 8 : svg.rindex("</svg>", 0, svg.rindex("</svg>"))]
    body = body[body.index(">", body.index("definition-scale")) + 1 :]
    body = re.sub(r'<use href="#(E[0-9A-F]{3,4})-\w+"', r'<use href="#\1"', body)
    body = re.sub(r'<g [^>]*class="[^"]*placeholder[^"]*">.*?</g>', "", body, flags=re.DOTALL)
    body = re.sub(r' id="[^"]*"', "", body)
    body = re.sub(r' class="([^"]*)"', lambda m: _class_attribute(m[1]), body)
    body = re.sub(r">\s+<", "><", body)
    for _ in range(3):
        body = re.sub(r"<g( class=\"[\w-]*\")?\s*/>|<g( class=\"[\w-]*\")?></g>", "", body)
    return int(view[1]), int(view[2]), body.strip(), glyphs


def _class_attribute(names: str) -> str:
    ours = [f"m-{name}" for name in names.split() if name in _KEPT]
    return f' class="{ours[0]}"' if ours and names.startswith("note") else ""

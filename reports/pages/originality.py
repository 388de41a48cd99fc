"""The originality of a folder of tracks, for people and for programs: one page, and canonical JSON.

The page shows the mean curve of the tracks beside that of human pieces, each with its 95 % confidence band, and then
every track, least original first. It is one file that fetches nothing (`reports.pages.page`); drawings carry classes
only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from audit.originality.baseline import EDGE, MIN_PIECES, RESAMPLES, Baseline, Estimate, Group
from audit.originality.report import OriginalityReport
from audit.originality.windows import GRID, Measured, Window
from reports.drawings.svg import number
from reports.json_report import canonical
from reports.language.translation import ENGLISH, Language
from reports.language.words import clean
from reports.pages.page import page

WIDTH, LEFT, RIGHT = 1064.0, 46.0, 1042.0
TOP, HEIGHT, STRIP = 12.0, 250.0, 22.0
SMALL_WIDTH, SMALL_HEIGHT = 190.0, 40.0
LEVELS = {
    "below": "In the mean, these {n:,} {n:track|tracks} are less original than human music of this corpus: {own}, "
    "where {m:,} {m:piece|pieces} of it have {human} against other works.",
    "within": "In the mean, these {n:,} {n:track|tracks} are as original as human music of this corpus: {own}, "
    "where {m:,} {m:piece|pieces} of it have {human} against other works.",
    "above": "In the mean, these {n:,} {n:track|tracks} are more original than human music of this corpus: {own}, "
    "where {m:,} {m:piece|pieces} of it have {human} against other works.",
}


def originality_json(report: OriginalityReport) -> bytes:
    """Return originality.json; docs/commands/search.md describes its fields."""
    return canonical(report.to_dict())


def originality_html(report: OriginalityReport, say: Language = ENGLISH) -> str:
    """Return the page in a language."""
    return page(
        "originality.html.j2",
        "index.js",
        _=say,
        words=say.words,
        lang=say.code,
        report=report,
        setting=say.render(str(report.setting)),
        edge=EDGE,
        resamples=RESAMPLES,
        sentence=originality_sentence(report, say),
        curves=draw_curves(report.group, report.baseline, say) if report.group else "",
        strip=_strip(report.tracks, report.baseline, say) if report.tracks else "",
        facts=_facts(report, say),
        rows=[_row(track, report.baseline, say) for track in report.tracks],
    )


def originality_lines(report: OriginalityReport) -> list[str]:
    """Return one line a track for the terminal, least original first."""
    base = report.baseline
    lines = []
    for track in report.tracks:
        low = f"  {track.low_windows(base.window_edge):3d}/{len(track.windows)} windows low" if base else ""
        percentile = f"  p{100 * base.less_original(track.mean):02.0f}" if base else ""
        least = min(track.windows, key=lambda w: w.originality)
        where = f"  {_window_words(least, ENGLISH)} in {least.piece}" if least.piece else ""
        lines.append(clean(f"{track.mean:.3f}{percentile}{low}  {track.name}{where}"))
    return lines


def originality_sentence(report: OriginalityReport, say: Language = ENGLISH) -> str:
    """Say in plain words how the tracks stand to human music."""
    if report.group is None:
        return say.fill("None of the tracks could be measured.")
    own, many, base = report.group.originality, len(report.tracks), report.baseline
    if base is None:
        return say.fill(
            "This track has {own:.2f}; there is no human baseline."
            if many == 1
            else "In the mean, these {n:,} {n:track|tracks} have {own:.2f}; there is no human baseline.",
            n=many,
            own=own.mean,
        )
    human, members = _estimate(base.group.originality, say), base.group.members
    if many < MIN_PIECES:  # too few to resample
        return say.fill(
            "This track has {own:.2f}, beside human music of this corpus: {m:,} {m:piece|pieces} of it have {human} "
            "against other works. {low:d} of {n:,} {low:is|are} below {edge:d} % of those pieces."
            if many == 1
            else "In the mean, these {n:,} {n:track|tracks} have {own:.2f}, beside human music of this corpus: {m:,} "
            "{m:piece|pieces} of it have {human} against other works. {low:d} of {n:,} {low:is|are} below {edge:d} % "
            "of those pieces.",
            n=many,
            own=own.mean,
            m=members,
            human=human,
            low=sum(track.mean < base.piece_edge for track in report.tracks),
            edge=100 - EDGE,
        )
    level = "below" if own.high < base.group.originality.low else "within"
    level = "above" if own.low > base.group.originality.high else level
    return say.fill(LEVELS[level], n=many, own=_estimate(own, say), m=members, human=human)


def _estimate(value: Estimate, say: Language) -> str:
    return f"{say.words.number(value.mean, '.2f')} ({_range(value, say)})"


def _facts(report: OriginalityReport, say: Language) -> list[tuple[str, str, str]]:
    """Name, value and detail of the figures below the sentence."""
    group, base, number = report.group, report.baseline, say.words.number
    if group is None:
        return []
    interval = ""
    if group.members >= MIN_PIECES:
        interval = say.fill("95 % interval {range}", range=_range(group.originality, say))
    facts = [(say.fill("Originality"), number(group.originality.mean, ".2f"), interval)]
    if base is None:
        return facts
    low = sum(track.mean < base.piece_edge for track in report.tracks)
    windows = sum(track.low_windows(base.window_edge) for track in report.tracks)
    human, share = base.group.originality, base.group.found_share
    return [
        *facts,
        (
            say.fill("Human music"),
            number(human.mean, ".2f"),
            say.fill("95 % interval {range}, {n:d} {n:piece|pieces}", range=_range(human, say), n=base.group.members),
        ),
        (
            say.fill("Notes found in the corpus"),
            f"{100 * group.found_share.mean:.0f} %",
            say.fill("human music: {share:.0f} %", share=100 * share.mean),
        ),
        (
            say.fill("Tracks of low originality"),
            say.fill("{k} of {n}", k=low, n=len(report.tracks)),
            say.fill("below {level:.2f}, as {edge:d} % of the human pieces are", level=base.piece_edge, edge=EDGE),
        ),
        (
            say.fill("Windows of low originality"),
            f"{number(100 * windows / group.windows, '.1f')} %",
            say.fill("below {level:.2f}, as {edge:d} % of the human windows are", level=base.window_edge, edge=EDGE),
        ),
    ]


def _range(value: Estimate, say: Language) -> str:
    return f"{say.words.number(value.low, '.2f')}\u2013{say.words.number(value.high, '.2f')}"


def _row(track: Measured, base: Baseline | None, say: Language) -> dict[str, object]:
    least = min(track.windows, key=lambda w: w.originality)
    return {
        "it": track,
        "low": base is not None and track.mean < base.piece_edge,
        "share": base.less_original(track.mean) if base else None,
        "windows": track.low_windows(base.window_edge) if base else None,
        "picture": _small(track, base, say),
        "least": least,
        "least_words": _window_words(least, say),
    }


def _window_words(window: Window, say: Language) -> str:
    if not window.piece:
        return say.fill("nothing found")
    return say.fill(
        "{bars} of {part}: {k:d} of {notes}" if window.part.strip() else "{bars}: {k:d} of {notes}",
        bars=say.words.bars(window.bars),
        part=window.part,
        k=window.found,
        notes=say.words.count_noun(window.notes, "note"),
    )


def _path(xs: Sequence[float], ys: Sequence[float]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in zip(xs, ys, strict=True))


def _band(xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    return _path([*xs, *reversed(xs)], [*low, *reversed(high)]) + "z"


def _panel(height: float) -> str:
    width = number(RIGHT - LEFT)
    return f'<rect class="panel" x="{number(LEFT)}" y="{number(TOP)}" width="{width}" height="{number(height)}"/>'


def draw_curves(group: Group, base: Baseline | None, say: Language = ENGLISH) -> Markup:
    """Draw the mean curves over the course of a track, each with its confidence band."""
    both = [("o-human", base.group), ("o-track", group)] if base else [("o-track", group)]
    values = [v for _, one in both for point in one.curve for v in (point.low, point.high)]
    low, high = np.floor(min(values) * 10 - 0.3) / 10, min(np.ceil(max(values) * 10 + 0.3) / 10, 1.0)
    low = max(low, 0.0)
    xs = [LEFT + float(share) * (RIGHT - LEFT) for share in GRID]

    def y(value: float) -> float:
        return TOP + float((high - value) / (high - low)) * HEIGHT

    levels = np.arange(round(low * 10), round(high * 10) + 1) / 10
    rules = "".join(f"M{number(LEFT)} {number(y(v))}H{number(RIGHT)}" for v in levels)
    names = "".join(f'<text x="{number(LEFT - 8)}" y="{number(y(v) + 4)}">{v:.1f}</text>' for v in levels)
    shares = "".join(
        f'<text x="{number(LEFT + k / 4 * (RIGHT - LEFT))}" y="{number(TOP + HEIGHT + 18)}">{25 * k} %</text>'
        for k in range(5)
    )
    drawn = ""
    for name, one in both:
        edges = ([y(p.low) for p in one.curve], [y(p.high) for p in one.curve])
        drawn += f'<path class="{name} area" d="{_band(xs, *edges)}"/>'
        drawn += f'<path class="{name} line" d="{_path(xs, [y(p.mean) for p in one.curve])}"/>'
    label = say("Mean originality over the course of {tracks}", tracks=say.words.count_noun(group.members, "track"))
    if base:
        label += say(", beside {pieces}", pieces=say.words.count_noun(base.group.members, "human piece"))
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(WIDTH), number(TOP + HEIGHT + 26))
    ground = _panel(HEIGHT)
    inside = (
        f'{ground}<path class="grid" d="{rules}"/><g class="tick end">{names}</g><g class="tick">{shares}</g>{drawn}'
    )
    return Markup('<svg class="timeline" role="img" aria-label="{}" {}>{}</svg>').format(label, size, Markup(inside))


def _strip(tracks: Sequence[Measured], base: Baseline | None, say: Language) -> Markup:
    """Draw every piece and every track at its originality, on one scale from 0 to 1."""

    def marks(values: Sequence[float], top: float) -> str:
        return "".join(f"M{number(LEFT + v * (RIGHT - LEFT))} {number(top)}v{number(STRIP - 6)}" for v in values)

    rows = [("o-human", say("human"), base.piece_means)] if base else []
    rows.append(("o-track", say("tracks"), tuple(track.mean for track in tracks)))
    bottom = TOP + STRIP * len(rows)
    drawn = _panel(STRIP * len(rows))
    for k, (name, word, values) in enumerate(rows):
        top = TOP + STRIP * k + 3
        drawn += f'<path class="{name} marks" d="{marks(values, top)}"/>'
        drawn += f'<g class="tick end"><text x="{number(LEFT - 8)}" y="{number(top + 12)}">{word}</text></g>'
    if base:
        edge = LEFT + base.piece_edge * (RIGHT - LEFT)
        drawn += f'<path class="edge" d="M{number(edge)} {number(TOP - 3)}V{number(bottom + 3)}"/>'
    ticks = "".join(
        f'<text x="{number(LEFT + k / 5 * (RIGHT - LEFT))}" y="{number(bottom + 18)}">{k / 5:.1f}</text>'
        for k in range(6)
    )
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(WIDTH), number(bottom + 26))
    return Markup('<svg class="timeline" role="img" aria-label="{}" {}>{}<g class="tick">{}</g></svg>').format(
        say("Mean originality of each piece and each track, from 0 to 1"), size, Markup(drawn), Markup(ticks)
    )


def _small(track: Measured, base: Baseline | None, say: Language) -> Markup:
    """Draw one track's windows and its curve from 0 to 1, over the range of the middle 90 % of human pieces."""

    def x(share: float) -> float:
        return 4 + float(share) * (SMALL_WIDTH - 8)

    def y(value: float) -> float:
        return 3 + (1 - float(value)) * (SMALL_HEIGHT - 6)

    ground = f'<rect class="panel" x="4" y="3" width="{number(SMALL_WIDTH - 8)}" height="{number(SMALL_HEIGHT - 6)}"/>'
    if base:
        top, bottom = (y(float(np.percentile(base.piece_means, p))) for p in (100 - EDGE, EDGE))
        ground += (
            f'<rect class="band" x="4" y="{number(top)}" width="{number(SMALL_WIDTH - 8)}"'
            f' height="{number(max(bottom - top, 0.5))}"/>'
        )
    spans = [(x(w.span_s[0] / track.duration_s), x(w.span_s[1] / track.duration_s), w) for w in track.windows]
    ground += (
        f'<path class="o-track marks" d="'
        f'{"".join(f"M{number(a)} {number(y(w.originality))}H{number(b)}" for a, b, w in spans)}"/>'
    )
    line = f'<path class="o-track line" d="{_path([x(share) for share in GRID], [y(v) for v in track.curve])}"/>'
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(SMALL_WIDTH), number(SMALL_HEIGHT))
    label = say(
        "Originality of {track} over its course, {least:.2f} at least", track=track.name, least=track.curve.min()
    )
    return Markup('<svg class="chance" role="img" aria-label="{}" {}>{}</svg>').format(
        label, size, Markup(ground + line)
    )

"""Own SVG: the timeline of a track, two passages as stacked piano rolls, a value on its line of chance.

Drawings carry no colours, only classes: the page's style sheet knows light, dark and print. Kinds of notes
differ by shape as well as by colour: filled (pitch and rhythm agree), hatched (pitch agrees), hollow (the
same part, not matched), faint and thin (other parts). Coordinates are rounded to a tenth of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from audit.findings import Finding, MetricResult, PassageNote
from audit.report import Course
from reports.language.translation import ENGLISH, Language
from reports.language.words import clock, is_beyond_chance

LEFT, RIGHT = 46.0, 14.0
MIN_WIDTH, MAX_WIDTH, PIXELS_A_SECOND = 960.0, 6000.0, 42.0
GUTTER, CAPTION = 34.0, 20.0
ROW, ROLL_HEIGHTS = 6.0, (84.0, 190.0)
TICK_PIXELS = 70.0
DRAWN_SECONDS = 60.0  # of a passage, in the track's time
LANE, MARK_WIDTH, LANE_GAP = 26.0, 22.0, 3.0
NAMES = ("C", "C\u266f", "D", "D\u266f", "E", "F", "F\u266f", "G", "G\u266f", "A", "A\u266f", "B")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A panel: where it lies in the drawing (pixels), and which seconds and pitches it shows."""

    left: float
    right: float
    top: float
    height: float
    start_s: float
    end_s: float
    scale: float  # pixels a second
    row: float = 1.0  # pixels a semitone
    high: int = 0  # pitch of the upmost row

    def x(self, second: float) -> float:
        return self.left + (second - self.start_s) * self.scale

    def y(self, pitch: int) -> float:
        return self.top + (self.high - pitch) * self.row

    def ground(self) -> str:
        return (
            f'<rect class="panel" x="{number(self.left)}" y="{number(self.top)}"'
            f' width="{number(self.right - self.left)}" height="{number(self.height)}"/>'
        )

    def seconds(self, text_y: float) -> str:
        """Draw ticks in minutes and seconds of the file, at least 70 pixels apart."""
        step = _step(TICK_PIXELS / self.scale)
        ticks = range(math.ceil(self.start_s / step - 1e-6), math.floor(self.end_s / step + 1e-6) + 1)
        lines = "".join(f"M{number(self.x(k * step))} {number(self.top)}v{number(self.height)}" for k in ticks)
        names = "".join(
            f'<text x="{number(self.x(k * step))}" y="{number(text_y)}">{_tick(k * step, step)}</text>' for k in ticks
        )
        return f'<path class="grid" d="{lines}"/><g class="tick">{names}</g>' if names else ""

    def octaves(self) -> str:
        """Draw a line and a name at every C, or in the middle where there is none."""
        low = self.high - round(self.height / self.row) + 1
        marks = [p for p in range(low, self.high + 1) if p % 12 == 0] or [(low + self.high) // 2]
        heights = [self.y(p) + self.row / 2 for p in marks]
        lines = "".join(f"M{number(self.left)} {number(y)}H{number(self.right)}" for y in heights)
        names = "".join(
            f'<text x="{number(self.left - 6)}" y="{number(y + 3.5)}">{pitch_name(p)}</text>'
            for p, y in zip(marks, heights, strict=True)
        )
        return f'<path class="grid" d="{lines}"/><g class="tick end">{names}</g>'


def number(value: float) -> str:
    """Write a coordinate: tenths, without a trailing zero."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def pitch_name(pitch: int) -> str:
    """Return the scientific name of a MIDI pitch, 60 = C4."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing that is the same in every language but for its alternative text: attributes, and what is inside."""

    attributes: Markup
    inside: Markup

    def labelled(self, label: str) -> Markup:
        """Return the element."""
        return Markup('<svg role="img" aria-label="{}" {}>{}</svg>').format(label, self.attributes, self.inside)


def rolls(finding: Finding) -> Drawing:
    """Draw both passages: track above, piece below, on one time scale and at one height of pitch.

    The piece is stretched by the tempo ratio and moved by the transposition, so what agrees stands one above
    the other. Of a long passage the first `DRAWN_SECONDS` are drawn.
    """
    ratio = finding.tempo_ratio if 0 < finding.tempo_ratio < math.inf else 1.0
    (q0, q1), (p0, p1) = finding.query_span_s, finding.piece_span_s
    q1, p1 = min(q1, q0 + DRAWN_SECONDS), min(p1, p0 + DRAWN_SECONDS / ratio)
    length = max(q1 - q0, (p1 - p0) * ratio, 1e-3)
    width = min(max(MIN_WIDTH, length * PIXELS_A_SECOND), MAX_WIDTH)
    right = width - RIGHT
    scale = (right - LEFT) / length
    shift = finding.transposition
    pitches = [n.pitch for n in finding.query_notes] + [n.pitch + shift for n in finding.piece_notes] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    panel = min(max(ROLL_HEIGHTS[0], (high - low + 1) * ROW), ROLL_HEIGHTS[1])
    row = panel / (high - low + 1)
    below = CAPTION + panel + GUTTER
    height = below + panel + CAPTION
    track = _Frame(LEFT, right, CAPTION, panel, q0, q1, scale, row, high)
    piece = _Frame(LEFT, right, below, panel, p0, p1, scale * ratio, row, high - shift)
    inside = "".join(
        [
            *(frame.ground() + frame.octaves() for frame in (track, piece)),
            track.seconds(CAPTION - 6) + piece.seconds(height - 7),
            _strands(finding, track, piece),
            _notes(finding.query_notes, track),
            _notes(finding.piece_notes, piece),
            f'<line class="playhead" x1="{number(LEFT)}" x2="{number(LEFT)}" y1="{number(CAPTION)}"'
            f' y2="{number(below + panel)}"/>',
        ]
    )
    attributes = 'class="rolls" viewBox="0 0 {0} {1}" width="{0}" height="{1}" data-left="{2}" data-scale="{3:.4g}"'
    return Drawing(Markup(attributes).format(number(width), number(height), number(LEFT), scale), Markup(inside))


def _notes(notes: Sequence[PassageNote], frame: _Frame) -> str:
    """Draw a passage's notes, one path for each kind, what matters most on top.

    Filled kinds are thick lines, which takes half the bytes; kinds with an outline are boxes.
    """
    voices = {n.part for n in notes if n.pair is not None}
    shapes: dict[str, list[str]] = {kind: [] for kind in ("other", "alone", "pitch", "both")}
    thick = max(frame.row - 0.6, 1.2)
    for note in notes:
        if note.onset_s >= frame.end_s:
            continue
        if note.pair is not None:
            kind = "both" if note.in_time else "pitch"
        else:
            kind = "alone" if note.part in voices else "other"
        x, y = frame.x(note.onset_s), frame.y(note.pitch) + frame.row / 2
        w = number(max(min(note.duration_s * frame.scale - 0.8, frame.right - x), 1.5))
        if kind in ("both", "other"):
            shapes[kind].append(f"M{number(x)} {number(y)}h{w}")
        else:
            shapes[kind].append(f"M{number(x)} {number(y - thick / 2)}h{w}v{number(thick)}h-{w}z")
    widths = {"both": f' stroke-width="{number(thick)}"', "other": f' stroke-width="{number(thick / 2)}"'}
    return "".join(
        f'<path class="n-{kind}"{widths.get(kind, "")} d="{"".join(d)}"/>' for kind, d in shapes.items() if d
    )


def _strands(finding: Finding, track: _Frame, piece: _Frame) -> str:
    """Join each matched note with its pair: down to the gap between the rolls, across it, down again."""
    there = {n.pair: n for n in finding.piece_notes if n.pair is not None}
    paths: dict[str, list[str]] = {"both": [], "pitch": []}
    for note in finding.query_notes:
        other = there.get(note.pair) if note.pair is not None else None
        if note.pair is None or other is None or note.onset_s >= track.end_s or other.onset_s >= piece.end_s:
            continue
        above = f"M{number(track.x(note.onset_s))} {number(track.y(note.pitch) + track.row / 2)}"
        across = f"V{number(track.top + track.height)}L{number(piece.x(other.onset_s))} {number(piece.top)}"
        down = f"V{number(piece.y(other.pitch) + piece.row / 2)}"
        paths["both" if note.in_time else "pitch"].append(above + across + down)
    return "".join(f'<path class="s-{kind}" d="{"".join(d)}"/>' for kind, d in paths.items() if d)


def _step(least: float) -> float:
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600):
        if step >= least:
            return float(step)
    return 60.0 * math.ceil(least / 60)


def _tick(seconds: float, step: float) -> str:
    return clock(seconds) if step < 1 else clock(seconds).removesuffix(".0")


def timeline(findings: Sequence[tuple[int, Finding]], duration_s: float, say: Language = ENGLISH) -> Markup:
    """Draw the track with every numbered finding where it lies, in as few lanes as it takes.

    Parameters
    ----------
    findings : sequence of (int, Finding)
        Number and finding, strongest first; each mark links to ``#finding-<number>``.
    duration_s : float
        Seconds of the track.
    """
    width, left, right = 1064.0, 18.0, 1046.0
    scale = (right - left) / max(duration_s, 1e-3)
    lanes: list[list[tuple[float, float]]] = []
    marks = []
    for index, finding in findings:
        w = min(max((finding.query_span_s[1] - finding.query_span_s[0]) * scale, MARK_WIDTH), right - left)
        x = max(min(left + finding.query_span_s[0] * scale, right - w), left)
        free = (i for i, taken in enumerate(lanes) if all(x + w + LANE_GAP <= a or b + LANE_GAP <= x for a, b in taken))
        place = next(free, len(lanes))
        if place == len(lanes):
            lanes.append([])
        lanes[place].append((x, x + w))
        y = 31 + LANE * place
        title = finding.title or finding.piece
        words = say(
            "Finding {n}, {verdict}: {bars}, {title}",
            n=index,
            verdict=say(finding.verdict),
            bars=say.words.bars(finding.query_shown),
            title=title,
        )
        box = f'x="{number(x)}" y="{number(y)}" width="{number(w)}" height="20" rx="3"'
        text = f'x="{number(x + w / 2)}" y="{number(y + 14.5)}"'
        marks.append(
            Markup(
                '<a href="#finding-{0}" data-mark="{0}" aria-label="{1}"><title>{1}</title><rect class="mark {2}" {3}/>'
                '<text class="mark-text {2}" {4}>{0}</text></a>'
            ).format(index, words, finding.verdict, Markup(box), Markup(text))
        )
    bottom = 34 + LANE * max(len(lanes), 1)
    frame = _Frame(left, right, 26.0, bottom - 26, 0.0, duration_s, scale)
    return Markup(
        '<svg class="timeline" role="group" aria-label="{4}"'
        ' viewBox="0 0 {0} {1}" width="{0}" height="{1}">{2}{3}</svg>'
    ).format(
        number(width),
        number(bottom + 4),
        Markup(frame.ground() + frame.seconds(18)),
        Markup("").join(marks),
        say("Timeline of the track, with its findings"),
    )


COURSE_HEIGHT, COURSE_STEPS, COURSE_MARKS = 120.0, 240, 1000


def course_picture(course: Course, duration_s: float, say: Language = ENGLISH) -> Markup:
    """Draw how much of the track the corpus holds over its course, below the timeline and on its scale of time.

    The line is the window that is most alike at each moment, thin marks are the windows, of many the most alike; the
    dashes are the mean of human pieces, and the upper line is passed by 5 % of their windows.
    """
    width, left, right, top = 1064.0, 18.0, 1046.0, 8.0
    scale = (right - left) / max(duration_s, 1e-3)
    frame = _Frame(left, right, top, COURSE_HEIGHT, 0.0, duration_s, scale)

    def y(share: float) -> float:
        return top + (1 - min(max(share, 0.0), 1.0)) * COURSE_HEIGHT

    marks = "".join(
        f"M{number(frame.x(w.span_s[0]))} {number(y(w.likeness))}H{number(frame.x(w.span_s[1]))}"
        for w in sorted(course.windows, key=lambda w: -w.likeness)[:COURSE_MARKS]
    )
    moments = [duration_s * k / COURSE_STEPS for k in range(COURSE_STEPS + 1)]
    most = [max((w.likeness for w in course.windows if w.span_s[0] <= m <= w.span_s[1]), default=0.0) for m in moments]
    line = "L".join(f"{number(frame.x(m))} {number(y(v))}" for m, v in zip(moments, most, strict=True))
    human = "L".join(
        f"{number(left + k * (right - left) / max(len(course.human) - 1, 1))} {number(y(v))}"
        for k, v in enumerate(course.human)
    )
    edge = (
        ""
        if course.human_edge is None
        else f'<path class="edge" d="M{number(left)} {number(y(course.human_edge))}H{number(right)}"/>'
    )
    grid = "".join(f"M{number(left)} {number(y(v))}H{number(right)}" for v in (0.25, 0.5, 0.75))
    floor = number(y(0))
    inside = (
        f'{frame.ground()}<path class="grid" d="{grid}"/>'
        f'<path class="o-track area" d="M{number(left)} {floor}L{line}V{floor}z"/>'
        f'<path class="o-track marks" d="{marks}"/><path class="o-track line" d="M{line}"/>{edge}'
        + (f'<path class="o-human line" d="M{human}"/>' if human else "")
        + f'<g class="tick inside"><text x="{number(left + 4)}" y="{number(top + 11)}">100 %</text>'
        f'<text x="{number(left + 4)}" y="{number(y(0) - 4)}">0 %</text></g>'
    )
    label = say(
        "Likeness over the course of the track: at most {most}, human pieces in the mean {human}",
        most=say.words.percent(max(most, default=0.0)),
        human=say.words.percent(sum(course.human) / len(course.human)) if course.human else "\u2013",
    )
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(
        number(width), number(top + COURSE_HEIGHT + 6)
    )
    return Markup('<svg class="timeline" role="img" aria-label="{}" {}>{}</svg>').format(label, size, Markup(inside))


def chance_line(metric: MetricResult, say: Language = ENGLISH) -> Markup:
    """Draw a metric's value against chance and style.

    Chance is a band up to its 95 % point, with a tick at its mean; style a bar below it, from 5 % to 95 % of the human
    pieces, with a tick at their median. The value is a diamond beyond the band, a circle within it.
    """
    values = [metric.value, metric.chance_mean, metric.chance_p95]
    if not all(map(math.isfinite, values)):
        return Markup('<span class="quiet">{}</span>').format(say("not drawn: a value is missing"))
    said = say.words.style_words(metric)
    style = [metric.style.low, metric.style.median, metric.style.high] if metric.style and said else []
    width, left, right, y = 220.0, 8.0, 212.0, 16.0
    low, high = min(0.0, *values, *style), max(0.0, *values, *style)
    high = 1.0 if low >= 0 and high <= 1 else high + 0.08 * (high - low)
    value, mean, edge, *human = (left + (v - low) / (high - low) * (right - left) for v in (*values, *style))
    band = (left, edge) if metric.better == "higher" else (edge, right)
    figure = say.words.figure
    words = say(
        "{name}: {value}, chance mean {mean}, 95 % point {edge}: {said}",
        name=metric.name,
        value=figure(metric.value),
        mean=figure(metric.chance_mean),
        edge=figure(metric.chance_p95),
        said=say.words.metric_words(metric),
    )
    if style:
        low_text, median, high_text = map(figure, style)
        words += say(
            "; human pieces {low} to {high}, half below {median}: {said}",
            low=low_text,
            high=high_text,
            median=median,
            said=said,
        )
    diamond = f'<path class="value beyond" d="M{number(value)} 9.5l6.5 6.5l-6.5 6.5l-6.5-6.5z"/>'
    circle = f'<circle class="value within" cx="{number(value)}" cy="{number(y)}" r="4.8"/>'
    below = [number(x) for x in human]
    whisker = '<path class="style" d="M{0} 28v8M{0} 32H{2}M{2} 28v8M{1} 29v6"/>'.format(*below) if below else ""
    inside = (
        f'<rect class="band" x="{number(band[0])}" y="10" width="{number(max(band[1] - band[0], 0))}"'
        f' height="12"/><path class="axis" d="M{number(left)} {number(y)}H{number(right)}"/>'
        f'<path class="mean" d="M{number(mean)} 10v12"/><path class="edge" d="M{number(edge)} 7v18"/>{whisker}'
        + (diamond if is_beyond_chance(metric) else circle)
    )
    height = 40 if below else 32
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(width), height)
    return Markup('<svg class="chance" role="img" aria-label="{}" {}>{}</svg>').format(words, size, Markup(inside))

"""A model's evaluation for people: rows for the terminal, and one page with pictures, from the JSON's own dictionary.

The page fetches nothing (`reports.pages.page`). Figures are rounded here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from reports.drawings.svg import number
from reports.pages.page import page

WIDTH, LEFT, RIGHT, TOP, ROW, HEIGHT = 1064.0, 190.0, 1000.0, 12.0, 30.0, 220.0
VERDICTS = {
    "memorised": "training pieces are completed more often than held-out ones: the model knows pieces by heart",
    "not shown": "training pieces are completed no more often than held-out ones",
    "too few": "too few pieces to tell",
}
DECODING = {
    "distinct_chords": "distinct chords",
    "longest_hold": "longest time without an onset, quarters",
    "repeated_windows": "repeated windows of 4 chords, share",
    "in_key": "notes in the key, share",
}
Row = tuple[str, str, str]


def _format_value(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def evaluation_rows(data: dict[str, Any]) -> list[Row]:
    """Return (what, value of the model, what to hold it against) for all that was measured."""
    rows: list[Row] = []
    for split, likelihood in data["likelihood"].items():
        best = min(likelihood["ngram"], key=lambda one: one["bits_per_note"], default=None)
        for name, words in (("bits_per_note", "bits a note"), ("perplexity", "perplexity a token")):
            beside = f"best n-gram (order {best['order']}) {_format_value(best[name])}" if best else "no n-gram"
            rows.append(
                (f"{words}, {split} ({likelihood['pieces']} pieces)", _format_value(likelihood["model"][name]), beside)
            )
    forgotten = data["forgetting"]
    if forgotten:
        beside = f"base {_format_value(forgotten['base'])}, rise {_share(forgotten['rise'])}"
        rows.append(("bits a note on the base's store", _format_value(forgotten["model"]), beside))
    memory = data["memorisation"]
    held = memory["held_out"]
    what = f"completes {memory['completed_notes']} notes after {memory['prompt_notes']}, training pieces"
    beside = f"held-out {_interval(held)}; {memory['verdict']}, p {memory['p']:.2g}"
    rows.append((what, _interval(memory["train"]), beside))
    if data["canaries"]:
        one = data["canaries"]
        beside = f"chance {_format_value(one['chance'])}, most {_format_value(one['most'])}"
        rows.append((f"exposure of {one['count']} canaries, bits", _format_value(one["mean"]), beside))
    decoding = data["decoding"]
    for name, words in DECODING.items():
        real = decoding.get("real", {}).get(name)
        beside = f"beam 5 {_format_value(decoding['beam 5'].get(name))}, real {_format_value(real)}"
        rows.append((words, _format_value(decoding["nucleus"].get(name)), beside))
    if data["self_bleu"]:
        rows.append(
            (
                "self-BLEU",
                _format_value(data["self_bleu"]["tracks"], 3),
                f"real {_format_value(data['self_bleu']['real'], 3)}",
            )
        )
    for name, value in (data["overlap"] or {}).items():
        rows.append((f"overlap with real music, {name.replace('_', ' ')}", _format_value(value), "1 is as real music"))
    if data["style"]:
        one = data["style"]
        shares = f"artist {_share(one['share_artist'])}, others {_share(one['share_others'])}"
        beside = f"held-out pieces: {shares}; classifier's AUC {_format_value(one['auc'])}"
        rows.append((f"tracks given to {data['settings']['artist']}", _share(one["share"]), beside))
    first = data["originality"]
    if first["tracks"]:
        human = first["human"]
        beside = (
            f"human {_format_value(human['mean'])} ({_format_value(human['low'])} to {_format_value(human['high'])})"
            if human
            else ""
        )
        rows.append(("originality", _format_value(first["tracks"]["mean"]), beside))
    return rows


def _interval(rate: dict[str, Any]) -> str:
    return f"{rate['completed']} of {rate['pieces']}"


def evaluation_html(data: dict[str, Any]) -> str:
    """Return the page."""
    first = data["originality"]
    return page(
        "evaluation.html.j2",
        "index.js",
        data=data,
        rows=evaluation_rows(data),
        verdict=VERDICTS[data["memorisation"]["verdict"]],
        likelihoods=[(split, _bars(found)) for split, found in data["likelihood"].items()],
        memory=_rates(data["memorisation"]),
        originality=_curve(first["curve"], first["human_curve"]) if first["curve"] else "",
    )


def _picture(height: float, label: str, inside: str) -> Markup:
    size = Markup('viewBox="0 0 {0} {1}" width="{0}" height="{1}"').format(number(WIDTH), number(height))
    return Markup('<svg class="timeline" role="img" aria-label="{}" {}>{}</svg>').format(label, size, Markup(inside))


def _bars(figures: dict[str, Any]) -> Markup:
    """Draw bits a note of the model and of the n-grams."""
    bars = [("model", figures["model"]["bits_per_note"], "o-track")]
    bars += [(f"n-gram, order {one['order']}", one["bits_per_note"], "o-human") for one in figures["ngram"]]
    longest = max(value for _, value, _ in bars)
    drawn = ""
    for i, (name, value, kind) in enumerate(bars):
        y, end = TOP + ROW * i, LEFT + (RIGHT - LEFT) * value / longest
        drawn += (
            f'<g class="tick end"><text x="{number(LEFT - 8)}" y="{number(y + 15)}">{name}</text></g>'
            f'<path class="{kind} line" d="M{number(LEFT)} {number(y + 11)}H{number(end)}"/>'
            f'<g class="tick"><text x="{number(end + 26)}" y="{number(y + 15)}">{_format_value(value)}</text></g>'
        )
    return _picture(2 * TOP + ROW * len(bars), "Bits a note of the model and of n-grams", drawn)


def _rates(memory: dict[str, Any]) -> Markup:
    """Draw the shares of completed pieces with their intervals, from 0 to 1."""
    drawn = ""
    for i, (name, words) in enumerate((("train", "training pieces"), ("held_out", "held-out pieces"))):
        y, one = TOP + ROW * i + 11, memory[name]
        drawn += f'<g class="tick end"><text x="{number(LEFT - 8)}" y="{number(y + 4)}">{words}</text></g>'
        if one["rate"] is not None:
            x, low, high = (LEFT + (RIGHT - LEFT) * one[key] for key in ("rate", "low", "high"))
            kind = "o-track" if name == "train" else "o-human"
            drawn += (
                f'<path class="{kind} line" d="M{number(low)} {number(y)}H{number(high)}'
                f'M{number(x)} {number(y - 7)}V{number(y + 7)}"/>'
            )
    y = TOP + 2 * ROW
    marks = "".join(
        f'<text x="{number(LEFT + (RIGHT - LEFT) * k / 4)}" y="{number(y + 14)}">{25 * k} %</text>' for k in range(5)
    )
    frame = f'<path class="grid" d="M{number(LEFT)} {number(y)}H{number(RIGHT)}"/><g class="tick">{marks}</g>'
    return _picture(y + 24, "Share of pieces completed, with 95 % intervals", frame + drawn)


def _curve(tracks: Sequence[dict[str, float]], human: Sequence[dict[str, float]]) -> Markup:
    """Draw mean originality over the course of a track, from 0 to 1."""
    drawn = ""
    for kind, curve in (("o-human", human), ("o-track", tracks)):
        for name, keys in (("area", ("low", "high")), ("line", ("mean",))):
            if curve:
                xs = [LEFT + (RIGHT - LEFT) * i / (len(curve) - 1) for i in range(len(curve))]
                points = [(x, point[keys[0]]) for x, point in zip(xs, curve, strict=True)]
                points += [(x, p[key]) for key in keys[1:] for x, p in reversed(list(zip(xs, curve, strict=True)))]
                path = "L".join(f"{number(x)} {number(TOP + (1 - value) * HEIGHT)}" for x, value in points)
                drawn += f'<path class="{kind} {name}" d="M{path}"/>'
    levels = "".join(
        f'<text x="{number(LEFT - 8)}" y="{number(TOP + (1 - k / 4) * HEIGHT + 4)}">{k / 4:.2f}</text>'
        for k in range(5)
    )
    rules = "".join(f"M{number(LEFT)} {number(TOP + k / 4 * HEIGHT)}H{number(RIGHT)}" for k in range(5))
    frame = f'<path class="grid" d="{rules}"/><g class="tick end">{levels}</g>'
    return _picture(TOP + HEIGHT + 12, "Originality over the course of a track, beside human music", frame + drawn)

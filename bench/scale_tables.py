"""Tables and the picture of what bench/scale.py measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

TABLE = ("n", "R@1", "R@10", "flagged", "failed", "IoU")


def spread(milliseconds: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return float(np.median(milliseconds)), float(np.percentile(milliseconds, 95))


def all_ms(result: dict[str, Any]) -> list[float]:
    return [ms for case in result["cases"].values() for ms in case["ms"]]


def tables(results: dict[int, dict[str, Any]]) -> Iterator[str]:
    """Markdown: cost by size, then what was found in each store."""
    cost = ("pieces", "notes", "ms a query: median / p95", "Levenshtein scan, ms", "first answer, s", "memory, MiB")
    yield _row(*cost, "index, bytes a note", "ms a file: read + indexed")
    yield "|---" * 8 + "|"
    for size, r in results.items():
        median, late = spread(all_ms(r))
        store = r["store"]
        yield _row(
            f"{size:,}",
            f"{store['notes']:,}",
            f"{median:.0f} / {late:.0f}",
            f"{spread(r['levenshtein']['ms'])[0]:.0f}",
            f"{r['start']['first_answer_s']:.1f}",
            f"{r['memory_mib']['most']:.0f}",
            f"{store['index_bytes_a_note']:.1f}",
            f"{store['filler_ms'] or store['corpus_ms']:.1f} + {store['index_ms']:.1f}",
        )
    for size, r in results.items():
        yield f"\n{size:,} pieces:\n"
        yield _row("query", *TABLE, "ms: median / p95", "Levenshtein R@1")
        yield "|---" * (len(TABLE) + 3) + "|"
        for case, row in r["cases"].items():
            median, late = spread(row["ms"])
            scanned = _cell(r["levenshtein"]["R@1"].get(case))
            yield _row(case, *(_cell(row.get(name)) for name in TABLE), f"{median:.0f} / {late:.0f}", scanned)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"{value[0]:.2f} ({value[1]:.2f}\u2013{value[2]:.2f})"
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def picture(results: dict[int, dict[str, Any]]) -> str:
    """Draw the cost of a query against the number of pieces, both logarithmic, as one SVG file."""
    width, height, left, right, top, bottom = 760, 420, 74, 560, 24, 366
    lines = {
        "Levenshtein scan": ("scan", [(n, *spread(r["levenshtein"]["ms"])) for n, r in results.items()]),
        "contraste": ("own", [(n, *spread(all_ms(r))) for n, r in results.items()]),
    }
    sizes, costs = list(results), [ms for _, points in lines.values() for point in points for ms in point[1:]]
    x0, x1 = np.floor(np.log10(min(sizes))), max(np.ceil(np.log10(max(sizes))), np.floor(np.log10(min(sizes))) + 1)
    y0, y1 = np.floor(np.log10(min(costs))), max(np.ceil(np.log10(max(costs))), np.floor(np.log10(min(costs))) + 1)

    def x(pieces: float) -> float:
        return round(left + float((np.log10(pieces) - x0) / (x1 - x0)) * (right - left), 1)

    def y(ms: float) -> float:
        return round(bottom - float((np.log10(ms) - y0) / (y1 - y0)) * (bottom - top), 1)

    def power(exponent: int) -> str:
        ms = 10.0**exponent
        return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"

    drawn = [f'<rect class="panel" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>']
    for k in range(int(y0), int(y1) + 1):
        drawn.append(f'<path class="grid" d="M{left} {y(10.0**k)}H{right}"/>')
        drawn.append(f'<text class="end" x="{left - 8}" y="{y(10.0**k) + 4}">{power(k)}</text>')
    for k in range(int(x0), int(x1) + 1):
        drawn.append(f'<path class="grid" d="M{x(10.0**k)} {top}V{bottom}"/>')
        drawn.append(f'<text class="mid" x="{x(10.0**k)}" y="{bottom + 18}">{10**k:,}</text>')
    for name, (style, points) in lines.items():
        path = "L".join(f"{x(n)} {y(ms)}" for n, ms, _ in points)
        drawn.append(f'<path class="{style}" d="M{path}"/>')
        for n, ms, late in points:
            drawn.append(f'<path class="{style}" d="M{x(n)} {y(ms)}V{y(late)}m-4 0h8"/>')
            drawn.append(f'<circle class="{style}" cx="{x(n)}" cy="{y(ms)}" r="4.5"/>')
        n, ms, _ = points[-1]
        shown = f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"
        at = min(x(n) + 12, right + 10)
        drawn.append(f'<text class="name" x="{at}" y="{y(ms) + 4}">{name}: {shown}</text>')
    drawn.append(f'<text class="mid" x="{(left + right) / 2}" y="{bottom + 42}">pieces in the store</text>')
    drawn.append(f'<text x="{left}" y="{top - 9}">time a query: median, and bar to the 95th percentile</text>')
    style = (
        "text{font:12px system-ui,sans-serif;fill:#566070}.end{text-anchor:end}.mid{text-anchor:middle}"
        ".name{font-weight:600}.panel{fill:#f4f2ec}.grid{stroke:#dcdad3;fill:none}"
        "path.own,path.scan{fill:none;stroke-width:2}path.own{stroke:#1f62ad}path.scan{stroke:#c05f00;"
        "stroke-dasharray:6 3}circle.own{fill:#1f62ad}circle.scan{fill:#c05f00}"
        "@media (prefers-color-scheme:dark){text{fill:#a2abb8}.panel{fill:#12161b}.grid{stroke:#343c47}"
        "path.own{stroke:#69a9f0}path.scan{stroke:#f0a04b}circle.own{fill:#69a9f0}circle.scan{fill:#f0a04b}}"
    )
    label = "Time a query against the number of pieces, of contraste and of a Levenshtein scan; both axes logarithmic"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{label}"><style>{style}</style>{"".join(drawn)}</svg>\n'
    )

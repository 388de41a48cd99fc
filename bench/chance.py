"""Make the chance levels that are shipped, metrics/chance.json, from music that the music21 package ships.

Usage: python bench/chance.py [--pairs N] [--seed N] [--out FILE]

Two styles in equal shares: Bach's chorales, and madrigals, string quartets and 14th-century songs (all public
domain; only the MusicXML files). Pairs are drawn inside each style, never across, as it is the likeness
*inside* a style that a copy has to exceed. Pieces that share a melodic figure of 12 intervals count as
related and are not paired: many chorales set the same tune, and movements share themes. Needs the music21
package; takes minutes.
"""

import argparse
import importlib.metadata
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from metrics.chance import SHIPPED, Chance, chance_levels
from metrics.measure import SPECS, Features, features
from metrics.phash import opening_mel
from music.notes import MusicError
from music.render import renderer_info
from music.scores.musicxml import read_musicxml

STYLES = {
    "chorales": ("bach",),
    "madrigals, quartets, songs": ("monteverdi", "haydn", "mozart", "beethoven", "trecento"),
}
FIGURE = 12
SUFFIXES = frozenset({".mxl", ".musicxml", ".xml"})
MAX_SECONDS = 600.0


def corpus_folder() -> Path:
    """Find music21's corpus without importing music21, which takes seconds."""
    spec = importlib.util.find_spec("music21")
    if spec is None or spec.origin is None:
        raise SystemExit("music21 is not installed; pip install music21")
    return Path(spec.origin).parent / "corpus"


def related(pieces: list[Features]) -> list[int]:
    """Give each piece the number of its group: pieces whose melodies share `FIGURE` intervals in a row."""
    group = list(range(len(pieces)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    owner: dict[tuple[int, ...], int] = {}
    for i, piece in enumerate(pieces):
        steps = [t[0] for t in piece.tokens]
        for at in range(len(steps) - FIGURE + 1):
            other = owner.setdefault(tuple(steps[at : at + FIGURE]), i)
            group[root(i)] = root(other)
    return [root(i) for i in range(len(pieces))]


def collect(folder: Path, composers: tuple[str, ...]) -> list[Features]:
    """Read and render what can be read, in order of paths."""
    pieces = []
    for path in sorted(p for c in composers for p in (folder / c).rglob("*") if p.suffix in SUFFIXES):
        try:
            sequence = read_musicxml(path)
            if len(sequence) and sequence.end_s <= MAX_SECONDS:
                pieces.append(features(sequence, opening_mel(sequence)))
        except MusicError as error:
            print(f"left out: {error}")
    return pieces


def pooled(levels: list[dict[str, Chance]]) -> dict[str, Chance]:
    """Mean over styles of means and of percentiles; the variance between styles is part of the spread."""
    result = {}
    for spec in SPECS:
        rows = [style[spec.name] for style in levels]
        means = np.array([r.mean for r in rows])
        variance = np.mean([r.sd**2 for r in rows]) + means.var()
        result[spec.name] = Chance(
            float(means.mean()),
            float(np.sqrt(variance)),
            float(np.mean([r.p95 for r in rows])),
            sum(r.pairs for r in rows),
        )
    return result


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="pairs for each style")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    folder, levels, made = corpus_folder(), [], {}
    for style, composers in STYLES.items():
        pieces = collect(folder, composers)
        groups = related(pieces)
        levels.append(chance_levels(pieces, groups, pairs=options.pairs, seed=options.seed))
        made[style] = {"folders": list(composers), "pieces": len(pieces), "groups": len(set(groups))}
        for name, level in levels[-1].items():
            figures = f"{level.mean:9.3f}{level.sd:9.3f}{level.p95:9.3f}{level.pairs:7}"
            print(f"{style:28}{name:24}{figures}")
    document = {
        "made_by": "bench/chance.py",
        "from": f"music21 {importlib.metadata.version('music21')} corpus",
        "styles": made,
        "pairs_per_style": options.pairs,
        "seed": options.seed,
        "renderer": renderer_info(),
        "by_style": {
            style: {n: asdict(c) for n, c in level.items()} for style, level in zip(STYLES, levels, strict=True)
        },
        "levels": {name: asdict(level) for name, level in pooled(levels).items()},
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

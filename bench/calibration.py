"""Are E-values what they say? p-values of clean queries against the corpus, with a quantile plot.

    python bench/calibration.py [--corpus FOLDER --clean FOLDER ...] [--store STORE] [-n 200] [--svg FILE]

Of queries that share nothing with the corpus but its style, a share p should find a passage with a p-value of at
most p = 1 - exp(-E). Random melodies (drawn anew, not those of the fit) show whether the fit holds; music by people
shows what tradition adds. Passages that are a commonplace figure are left out, as a verdict does. Without folders:
the Bach chorales of the music21 package, each against the chorales of other works.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit.opening import open_audit_corpus
from audit.search.corpus import SearchCorpus
from audit.search.passages import Passage, search
from audit.search.significance import CHANCE_NOTES, chain_of, find_borrowed, query_notes, random_melody, strongest
from commands.shared.terminal import progress
from corpus.chorales import copy_chorales
from corpus.ingest import ingest
from corpus.store import Store
from music.notes import MusicError, NoteSequence
from music.read import listing, read_music

LEVELS = (0.001, 0.01, 0.05, 0.1, 0.5)
SEED = 7


def p_value(corpus: SearchCorpus, query: NoteSequence, passages: Sequence[Passage]) -> float:
    """P-value of the strongest passage that is no commonplace figure; 1.0 without one."""
    return float(-np.expm1(-corpus.calibration.evalue(strongest(passages), query_notes(query))))


def random_values(corpus: SearchCorpus, count: int) -> list[float]:
    """P-values of random melodies."""
    rng = np.random.default_rng(SEED)
    chain, values = chain_of(corpus.index, rng), []
    for notes in rng.integers(*CHANCE_NOTES, size=count):
        melody = random_melody(chain, int(notes), rng)
        values.append(p_value(corpus, melody, search(corpus.index, melody, top=20)))
    return values


def clean_values(corpus: SearchCorpus, folder: Path, count: int) -> list[float]:
    """P-values of the music in `folder`, which the corpus is taken not to hold."""
    values = []
    for file in np.random.default_rng(SEED).permutation(np.array(listing(folder).notes))[:count]:
        try:
            query = read_music(file)
        except MusicError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        values.append(p_value(corpus, query, search(corpus.index, query, top=20)))
    return values


def own_values(corpus: SearchCorpus, count: int) -> list[float]:
    """P-values of the corpus' own pieces against those of other works, versions left out."""
    store, values = corpus.store, []
    for row in np.random.default_rng(SEED).permutation(len(store.pieces))[:count]:
        values.append(p_value(corpus, *find_borrowed(store, corpus.index, int(row))[:2]))
    return values


def table(name: str, values: Sequence[float]) -> str:
    """One line: the share of p-values at or below each of `LEVELS`, with its 95 % interval (Wilson)."""
    cells = []
    for level in LEVELS:
        hits = int(np.sum(np.array(values) <= level))
        low, high = binomtest(hits, len(values)).proportion_ci(method="wilson")
        cells.append(f"{hits / len(values):.3f} [{low:.3f}, {high:.3f}]")
    return f"{name:32s} {len(values):4d} " + " ".join(f"{cell:>22s}" for cell in cells)


def plot(curves: dict[str, Sequence[float]]) -> str:
    """Draw observed against expected p-values, both logarithmic, as SVG; the diagonal is what E-values promise."""
    size, edge, low = 420, 60, 1e-4
    inks = ("#1f5fa8", "#b5431f", "#4a7a1e", "#7a3f8f")

    def at(p: float) -> float:
        return (np.log10(max(p, low)) - np.log10(low)) / -np.log10(low) * size

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size + 2 * edge + 340} {size + 2 * edge}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<line x1="{edge}" y1="{edge + size}" x2="{edge + size}" y2="{edge}" stroke="#888" stroke-dasharray="5 4"/>',
    ]
    for p in (1e-4, 1e-3, 1e-2, 1e-1, 1):
        x, y = edge + at(p), edge + size - at(p)
        parts.append(f'<line x1="{x:.1f}" y1="{edge}" x2="{x:.1f}" y2="{edge + size}" stroke="#e4e4e4"/>')
        parts.append(f'<line x1="{edge}" y1="{y:.1f}" x2="{edge + size}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{x:.1f}" y="{edge + size + 20}" text-anchor="middle">{p:g}</text>')
        parts.append(f'<text x="{edge - 8}" y="{y + 4:.1f}" text-anchor="end">{p:g}</text>')
    for k, (name, values) in enumerate(curves.items()):
        ranked = sorted(values)
        expected = (np.arange(len(ranked)) + 0.5) / len(ranked)
        points = " ".join(
            f"{edge + at(e):.1f},{edge + size - at(p):.1f}" for e, p in zip(expected, ranked, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{inks[k % len(inks)]}" stroke-width="2"/>')
        y = edge + 20 * k + 10
        parts.append(
            f'<line x1="{edge + size + 20}" y1="{y}" x2="{edge + size + 45}" y2="{y}" '
            f'stroke="{inks[k % len(inks)]}" stroke-width="3"/>'
        )
        parts.append(f'<text x="{edge + size + 52}" y="{y + 4}">{name} ({len(ranked)})</text>')
    parts.append(
        f'<text x="{edge + size / 2}" y="{edge + size + 44}" text-anchor="middle">share of clean queries</text>'
    )
    parts.append(
        f'<text transform="translate(16 {edge + size / 2}) rotate(-90)" text-anchor="middle">p-value they get</text>'
    )
    return "\n".join((*parts, "</svg>", ""))


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="Folder of music to search in.")
    parser.add_argument("--store", type=Path, help="A store to search in; made from the corpus when it is not there.")
    parser.add_argument("--clean", type=Path, action="append", default=[], help="Folder of music that is not in it.")
    parser.add_argument("-n", type=int, default=200, help="Queries of each kind.")
    parser.add_argument("--svg", type=Path, help="Write the quantile plot here.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = arguments.store or Path(scratch) / "store"
        source = arguments.corpus or Path(scratch) / "chorales"
        if not store.exists():
            if not arguments.corpus:
                copy_chorales(source)
            with progress("read") as show:
                ingest([source], store, progress=show)
        corpus = open_audit_corpus(Store.open(store), progress)
        curves = {"random melodies": random_values(corpus, arguments.n)}
        for folder in arguments.clean:
            curves[f"{folder.parent.name}/{folder.name}"] = clean_values(corpus, folder, arguments.n)
        curves["own pieces, other works"] = own_values(corpus, arguments.n)
    print(f"{'queries':32s} {'n':>4s} " + " ".join(f"{f'p <= {level:g}':>22s}" for level in LEVELS))
    for name, values in curves.items():
        print(table(name, values))
    if arguments.svg:
        arguments.svg.write_text(plot(curves))


if __name__ == "__main__":
    main()

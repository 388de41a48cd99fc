"""How well the copy search finds what was copied from Bach's chorales, and how often it accuses other music.

    python bench/search.py [STORE] [-n 60]

Without a STORE one is made of the chorales that the music21 package ships. Queries are drawn from it and changed in
known ways; hosts and negatives are Monteverdi's madrigals and other works of the same package. Printed for each kind
of query: how often the source is the first piece named (R@1) or among ten (R@10), the share flagged (review or fail)
and failed, and the seconds a query.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from audit.findings import worst
from audit.policy import read_policy
from audit.run import Corpus, find
from audit.track import open_corpus
from cli import progress
from corpus.demo import copy_chorales, scores
from corpus.ingest import ingest
from corpus.store import Store
from music.notes import MusicError, NoteSequence, build
from music.read import read_music
from music.voices import melody

OTHERS = ("monteverdi", "mozart", "haydn", "corelli", "handel", "schubert", "joplin")


def store_at(path: Path | None) -> Store:
    """Open the store, or make one of the chorales in a temporary folder."""
    if path is None:
        path = Path(tempfile.mkdtemp(prefix="contraste-bench-"))
        copy_chorales(path / "chorales")
        ingest([path / "chorales"], path / "store")
        path /= "store"
    return Store.open(path)


def others() -> Iterator[NoteSequence]:
    """Read music by other composers."""
    for name in OTHERS:
        for file in sorted((scores() / name).rglob("*.mxl")):
            try:
                yield read_music(file)
            except MusicError:
                continue  # a score that verovio can't play is no use here


def ornamented(piece: NoteSequence, rng: np.random.Generator, share: float) -> NoteSequence:
    """Substitute or drop notes of the melody: half of `share` each."""
    line = melody(piece)
    moved = line.pitch + np.where(rng.random(len(line)) < share / 2, rng.choice([-2, -1, 1, 2], len(line)), 0)
    keep = rng.random(len(line)) > share / 2
    return build(line.onset_beat[keep], line.duration_beat[keep], np.clip(moved, 0, 127)[keep])


def embedded(piece: NoteSequence, host: NoteSequence, rng: np.random.Generator, bars: int) -> NoteSequence:
    """Put `bars` bars of the melody into the middle of the host's melody."""
    line, around = melody(piece), melody(host)
    length = bars * piece.time_signatures[0].bar_beats
    start = rng.uniform(0, max(line.end_beat - length, 0.0))
    cut = line.select((line.onset_beat >= start) & (line.onset_beat < start + length))
    at = around.end_beat * rng.uniform(0.2, 0.6)
    later = around.onset_beat >= at
    return build(
        np.concatenate([around.onset_beat + np.where(later, length, 0.0), cut.onset_beat - start + at]),
        np.concatenate([around.duration_beat, cut.duration_beat]),
        np.concatenate([around.pitch, cut.pitch]),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?", type=Path)
    parser.add_argument("-n", type=int, default=60)
    arguments = parser.parse_args()
    corpus = open_corpus(store_at(arguments.store), progress)
    rng = np.random.default_rng(1)
    sources = [int(i) for i in rng.permutation(len(corpus.store.pieces))[: arguments.n]]
    hosts = [piece for piece, _ in zip(others(), range(arguments.n), strict=False)]

    def host() -> NoteSequence:
        return hosts[int(rng.integers(len(hosts)))]

    def moved(piece: NoteSequence) -> NoteSequence:
        return piece.transpose(int(rng.choice([-5, -3, -1, 2, 4, 7])))

    cases: dict[str, Callable[[NoteSequence], NoteSequence]] = {
        "exact": lambda piece: piece,
        "transposed": moved,
        "melody, 20 % edited": lambda piece: moved(ornamented(piece, rng, 0.2)),
        "melody, 40 % edited": lambda piece: moved(ornamented(piece, rng, 0.4)),
        "8 bars in a host": lambda piece: embedded(moved(piece), host(), rng, 8),
        "4 bars in a host": lambda piece: embedded(moved(piece), host(), rng, 4),
    }
    print(f"{'query':22s} {'n':>4s} {'R@1':>6s} {'R@10':>6s} {'flagged':>8s} {'failed':>7s} {'s/query':>8s}")
    for name, change in cases.items():
        report(name, corpus, [(change(corpus.store.notes(i)), corpus.store.pieces[i].group) for i in sources])
    report("other music", corpus, [(piece, None) for piece in hosts])


def report(name: str, corpus: Corpus, queries: list[tuple[NoteSequence, str | None]]) -> None:
    """Search and print one line; the source counts with its duplicates."""
    group = {piece.path: piece.group for piece in corpus.store.pieces}
    ranks, verdicts = [], []
    start = time.perf_counter()
    for query, source in queries:
        findings = find(corpus, query, read_policy())
        named = [group[path] for path in dict.fromkeys(f.piece for f in findings)]
        ranks.append(named.index(source) if source in named else 99)
        verdicts.append(worst([f.verdict for f in findings]))
    seconds = (time.perf_counter() - start) / len(queries)
    first, ten = (np.mean([rank < k for rank in ranks]) for k in (1, 10))
    shown = f"{first:6.3f} {ten:6.3f}" if queries[0][1] is not None else f"{'-':>6s} {'-':>6s}"
    flagged, failed = np.mean([v != "clear" for v in verdicts]), np.mean([v == "fail" for v in verdicts])
    print(f"{name:22s} {len(queries):4d} {shown} {flagged:8.3f} {failed:7.3f} {seconds:8.3f}", flush=True)


if __name__ == "__main__":
    main()

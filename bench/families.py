"""How well the search ranks the relatives of a piece: variants of a folk tune, versions of a song.

    python bench/families.py FOLDER LABELS.csv
    python bench/families.py CORPUS PAIRS.csv --pairs QUERIES

The folder is ingested into a temporary store. In the first form every labelled file of it queries all others; the first
two columns of LABELS.csv are a file's name and its family, and one without a family is a distractor. Printed: MAP and
P@1 over the files that have a relative. In the second form the music in QUERIES is searched in CORPUS; the first two
columns of PAIRS.csv are a query's name and the name of the piece that it is a version of. Printed: R@1 and R@10.
Folders in the names of a CSV don't count; its first line is a heading. A file that can't be read finds nothing.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from audit.find import find
from audit.opening import open_audit_corpus
from audit.policy import read_policy
from audit.search.corpus import SearchCorpus
from commands.shared.terminal import progress
from corpus.ingest import ingest
from corpus.store import Store
from music.notes import MusicError
from music.read import listing, read_music

TOP = 1000


def named(corpus: SearchCorpus, file: Path) -> list[str]:
    """Name the pieces that a search lists, best first, the query's own file left out."""
    try:
        findings = find(corpus, read_music(file), read_policy(), TOP)
    except MusicError:
        return []
    return [name for name in dict.fromkeys(Path(f.piece).name for f in findings) if name != file.name]


def average_precision(relevant: list[bool], total: int) -> float:
    """Mean, over `total` relevant pieces, of the precision at the place of each; 0 for one that is not listed."""
    places = np.flatnonzero(relevant)
    return float(np.sum(np.arange(1, len(places) + 1) / (places + 1)) / total)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--pairs", type=Path, metavar="QUERIES", help="Search this folder; LABELS.csv holds pairs.")
    arguments = parser.parse_args()
    with arguments.labels.open(newline="", encoding="utf-8") as lines:
        label = {Path(row[0]).name: row[1] for row in list(csv.reader(lines))[1:] if len(row) > 1}
    size = Counter(label.values())
    files = [f for f in listing(arguments.pairs or arguments.folder).notes if label.get(f.name)]
    if not arguments.pairs:
        files = [f for f in files if size[label[f.name]] > 1]
    if not files:
        parser.error(f"{arguments.labels}: names no file of {arguments.pairs or arguments.folder} that has a relative")
    with tempfile.TemporaryDirectory(prefix="contraste-bench-") as folder:
        store = Path(folder) / "store"
        ingest([arguments.folder], store)
        corpus = open_audit_corpus(Store.open(store), progress)
        scores = []
        start = time.perf_counter()
        with progress("search") as show:
            for done, file in enumerate(files):
                names = named(corpus, file)
                if arguments.pairs:
                    true = Path(label[file.name]).name
                    scores.append((float(names[:1] == [true]), float(true in names[:10])))
                else:
                    relevant = [label.get(name) == label[file.name] for name in names]
                    scores.append((average_precision(relevant, size[label[file.name]] - 1), float(any(relevant[:1]))))
                show(done + 1, len(files))
        seconds = (time.perf_counter() - start) / len(files)
    (first, second), (a, b) = ("R@1", "R@10") if arguments.pairs else ("MAP", "P@1"), np.mean(scores, axis=0)
    print(
        f"{len(files)} queries in {len(corpus.store.pieces)} pieces: {first} {a:.3f}, {second} {b:.3f}, {seconds:.3f} s"
    )


if __name__ == "__main__":
    main()

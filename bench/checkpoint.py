"""Make the shipped checkpoint again: a store of public-domain scores of the music21 package, and a model trained on it.

    python bench/checkpoint.py WORK [--minutes 60]

Writes WORK/scores, WORK/rights.csv, WORK/store and WORK/chorales, by the commands that it prints.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

from corpus.demo import scores

COMPOSERS = {
    "bach": "Johann Sebastian Bach",
    "monteverdi": "Claudio Monteverdi",
    "haydn": "Joseph Haydn",
    "mozart": "Wolfgang Amadeus Mozart",
    "beethoven": "Ludwig van Beethoven",
}
CONTRASTE = Path(sys.executable).with_name("contraste")


def call(*words: str | Path) -> None:
    print("$ contraste", *words, flush=True)
    subprocess.run([CONTRASTE, *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", default="60")
    given = parser.parse_args()
    work: Path = given.work
    (work / "scores").mkdir(parents=True, exist_ok=True)
    with (work / "rights.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "artist", "licence", "source", "consent"])
        for folder, composer in COMPOSERS.items():
            rows.writerow([f"{folder}/*", composer, "public domain", "music21 corpus", "not_required"])
            for score in (scores() / folder).rglob("*.mxl"):
                (work / "scores" / folder).mkdir(exist_ok=True)
                shutil.copyfile(score, work / "scores" / folder / score.name)
    call("ingest", work / "scores", "--into", work / "store", "--rights", work / "rights.csv", "--require-rights")
    call(
        "train", "--store", work / "store", "--out", work / "chorales", "--minutes", given.minutes, "--batch", "2",
        "--patience", "0", "--seed", "1", "--half",
    )  # fmt: skip


if __name__ == "__main__":
    main()

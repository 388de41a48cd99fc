"""Make the shipped checkpoint again: a store of public-domain scores of the music21 package, and a model trained on it.

    python bench/checkpoint.py WORK [--minutes 6.4]

Writes WORK/scores, WORK/rights.csv, WORK/store and WORK/chorales, by the commands that it prints. The recipe is for a
GPU; a CPU would need half a day for as many windows. There take `--batch 2 --latent 0 --dropout 0.2 --minutes 50`,
which reached 4.46 bits a note where the GPU's reached 3.98.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

from corpus.chorales import scores

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
    recipe = {"minutes": "6.4", "batch": "32", "latent": "256", "dropout": "0.3"}
    for name, value in recipe.items():
        parser.add_argument(f"--{name}", default=value)
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
    chosen = [word for name in recipe for word in (f"--{name}", getattr(given, name))]
    call(
        "train", "--store", work / "store", "--out", work / "chorales", *chosen, "--checkpoint-minutes", "1.2",
        "--patience", "0", "--seed", "1", "--half",
    )  # fmt: skip


if __name__ == "__main__":
    main()

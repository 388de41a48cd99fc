"""Measure `music.chords.chord_labels` against annotated chords with mir_eval.

Usage: python bench/chords.py CORPUS_DIR [--limit N]

CORPUS_DIR holds midi/NNN.mid and annotations/NNN/chord_midi.txt (start s, end s, chord; POP909's layout). The
constants of music/chords.py were set on the even-numbered songs in sorted order (0, 2, ...); the odd ones are
held out. Labels are timed by the file's own tempo map; nothing is taken from the annotations but the truth.
"""

import argparse
import time
import warnings
from pathlib import Path

import mir_eval
import numpy as np

from music.chords import chord_labels
from music.midi import read_midi

METRICS = ("root", "majmin", "thirds", "mirex", "sevenths")


def scores(corpus: Path, song: Path) -> tuple[list[float], float]:
    """Return the five weighted scores of one song, and the milliseconds that labelling took."""
    sequence = read_midi(song)
    started = time.perf_counter()
    spans = chord_labels(sequence)
    took = (time.perf_counter() - started) * 1000
    rows = [line.split() for line in (corpus / "annotations" / song.stem / "chord_midi.txt").open()]
    truth = np.array([[float(a), float(b)] for a, b, _ in rows])
    found = np.array([[s.start_s, s.end_s] for s in spans])
    result = mir_eval.chord.evaluate(truth, [r[2] for r in rows], found, [s.label for s in spans])
    return [float(result[m]) for m in METRICS], took


def main() -> None:
    """Print the means over both halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="mir_eval")
    songs = sorted((options.corpus / "midi").glob("*.mid"))[: options.limit]
    results = [scores(options.corpus, song) for song in songs]
    print(f"{'':10}{'songs':>6}" + "".join(f"{m:>10}" for m in METRICS) + f"{'ms/song':>10}")
    for name, half in (("tuned on", results[0::2]), ("held out", results[1::2]), ("all", results)):
        if half:
            means = np.mean([r[0] for r in half], axis=0)
            print(
                f"{name:10}{len(half):6}"
                + "".join(f"{m:10.3f}" for m in means)
                + f"{np.mean([r[1] for r in half]):10.1f}"
            )


if __name__ == "__main__":
    main()

"""How far windows of sound lie from one another: of other recordings, and of the same one after it was changed.

    PYTHONPATH=. python bench/sound.py FOLDER [--seed 1]

Recordings of at least 20 s at or below FOLDER are hashed as `audit.measures.sound` hashes them. "unrelated" are the
distances of all windows of two recordings, by quantile; files whose names begin alike are taken for the same
recording. Each change is made to a recording that begins 2.3 s later, and its distance is that of the closest window,
over the windows of the original (median and greatest, without the first and last, which the cut touches).
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

from audit.measures.sound import BITS, CORPUS_HOP_SECONDS, HOP_SECONDS, MATCH_DISTANCE
from metrics.phash import hash_distances, window_hashes
from music.audio import Samples, decode, mel_db, resample
from music.read import listing

LATER_SECONDS = 2.3
ALIKE = 12  # letters


def mp3(samples: Samples, rate: int) -> Samples:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="MP3", compression_level=0.99)
    buffer.seek(0)
    return np.asarray(soundfile.read(buffer, dtype="float32")[0])


def changes(samples: Samples, rate: int, random: np.random.Generator) -> Iterator[tuple[str, Samples]]:
    yield "cut", samples
    yield "a fifth as loud", 0.2 * samples
    yield "MP3, lowest quality", mp3(samples, rate)
    yield "noise at -20 dB", samples + random.normal(0, samples.std() / 10, len(samples)).astype(np.float32)
    yield "treble only", np.asarray(lfilter([1, -0.9], [1], samples), np.float32)
    yield "bass only", np.asarray(lfilter([0.1], [1, -0.9], samples), np.float32)
    for percent in (1, 3, 6):
        yield f"{percent} % slower", resample(samples, rate, round(rate * (1 + percent / 100)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    heard = {file.name: decode(file) for file in listing(given.folder).sound}
    sounds = {name: (h.samples, h.rate) for name, h in heard.items() if len(h.samples) >= 20 * h.rate}
    there = {name: window_hashes(mel_db(*sound), CORPUS_HOP_SECONDS, BITS)[0] for name, sound in sounds.items()}
    here = {name: window_hashes(mel_db(*sound), HOP_SECONDS, BITS)[0] for name, sound in sounds.items()}
    unrelated = [
        hash_distances(here[a], there[b]).ravel() for a in sounds for b in sounds if a[:ALIKE] != b[:ALIKE]
    ]  # fmt: skip
    far = np.concatenate(unrelated)
    print(
        f"{len(sounds)} recordings; unrelated: {len(far)} distances, mean {far.mean():.1f}, deviation {far.std():.1f}"
    )
    print("  " + "  ".join(f"{q:g}: {np.quantile(far, q):.0f}" for q in (0, 1e-4, 1e-3, 1e-2, 0.5)))
    found: dict[str, list[int]] = defaultdict(list)
    for name, (samples, rate) in sounds.items():
        for change, changed in changes(samples, rate, random):
            hashes = window_hashes(mel_db(changed[round(LATER_SECONDS * rate) :], rate), HOP_SECONDS, BITS)[0]
            found[change] += hash_distances(hashes, there[name]).min(axis=0)[1:-1].tolist()
    print(f"{'change':22s}{'windows':>8s}{'median':>8s}{'greatest':>10s}  share within {MATCH_DISTANCE}")
    for change, least in found.items():
        near = np.mean(np.array(least) <= MATCH_DISTANCE)
        print(f"{change:22s}{len(least):8d}{np.median(least):8.0f}{max(least):10d}  {near:.0%}")


if __name__ == "__main__":
    main()

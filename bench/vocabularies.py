"""Score the count model of a store under our vocabulary and under MidiTok's: bits a note compare, perplexities don't.

    PYTHONPATH=. python bench/vocabularies.py STORE [--order 6]      (needs the extra `miditok`)

The model learns from "train" and is scored on "valid", untransposed, with the order that does best there. MidiTok
merges the parts of one program and has a coarser grid, so it has less to foretell; notes are counted in each one's own
lines.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from corpus.store import Store
from generator.data.miditok_adapter import KINDS, MidiTokVocabulary
from generator.data.ngram import NGram
from generator.data.vocabulary import PITCH, VOCABULARY, VOCABULARY_DIGEST, IntArray
from generator.data.windows import read_split


def row(name: str, size: int, digest: str, train: list[IntArray], valid: list[IntArray], notes: int, order: int) -> str:
    nats = NGram(train, order, size).nats(valid).sum(axis=1)
    best, tokens = int(nats.argmin()), sum(len(line) - 1 for line in valid)
    bits, perplexity = nats[best] / math.log(2) / notes, math.exp(nats[best] / tokens)
    figures = f"{size:>7}{tokens / notes:>13.2f}{best + 1:>7}{perplexity:>12.3f}{bits:>12.3f}"
    return f"{name:10}{figures}  {digest[:16]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--order", type=int, default=6)
    options = parser.parse_args()
    store = Store.open(options.store)
    print(f"{'':10}{'tokens':>7}{'a note':>13}{'order':>7}{'perplexity':>12}{'bits a note':>12}  digest")
    train, valid = (read_split(store, split)[0] for split in ("train", "valid"))
    notes = sum(int(np.sum(line >= PITCH)) for line in valid)
    print(row("contraste", len(VOCABULARY), VOCABULARY_DIGEST, train, valid, notes, options.order), flush=True)
    for kind in KINDS:
        words = MidiTokVocabulary(kind)
        train, valid = (
            words.lines(store.notes(i) for i, piece in enumerate(store.pieces) if piece.split == split)
            for split in ("train", "valid")
        )
        notes = sum(words.notes(line.tolist()) for line in valid)
        print(row(kind, len(words), words.digest, train, valid, notes, options.order), flush=True)


if __name__ == "__main__":
    main()

"""Which figures find copies, and at what cost: kinds of seeds compared in the first stage of the search.

    python bench/seeds.py [--pieces 10000] [-n 60] [--corpus FOLDER --hosts FOLDER] [--work FOLDER]

A kind of figure is looked up for every note of a query, the rarest of each 24 notes first, up to the search's own
budget of places. A hit votes with its rarity for its diagonal, 16 places wide, and its transposition; the 20 pieces
with the strongest diagonals of each window are named. Alignment comes after, and is the same for all kinds, so it is
left out. Printed for each kind: figures that the corpus holds a note, places looked up a note of the query, and for
each case the share of queries of which the source (or a duplicate of it) is named, and in brackets on one diagonal of
which it has two hits or more; with one, a ranking needs luck. Queries, stores and fillers are those of bench/scale.py.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platformdirs import user_cache_path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import scale

from audit.search.lines import voice_table
from audit.search.seeds import HITS_A_NOTE, PIECES, SHORT, SHORT_HOP
from bench.scale_queries import OTHERS, SEED, make_queries
from corpus.chorales import scores
from corpus.ingest import ingest
from corpus.store import Store
from music.notes import NoteSequence
from music.read import listing

CASES = ("ornament 40 %", "reharmonised", "piano reduction", "8 bars ornamented", "4 bars embedded", "2 bars embedded")
BAND = 4  # log2 of the diagonals that are one
PACE = 2  # ratios of times that are told apart an octave
LEAP = 24


class Line(NamedTuple):
    """Notes that figures are taken from: pitch (n,), onset in quarters (n,)."""

    pitch: Any
    onset: Any


Kind = Callable[[Line], Iterator[tuple[Any, Any]]]
"""Gives (positions, codes) of the figures of a line."""


def _code(line: Line, notes: Sequence[Any], paces: int) -> Any:
    """Code the intervals between notes, arrays of positions, and the first `paces` ratios of the times between them."""
    code = np.zeros(len(notes[0]), np.uint64)
    for a, b in pairwise(notes):
        step = np.clip(line.pitch[b] - line.pitch[a], -LEAP, LEAP) + LEAP
        code = code * np.uint64(2 * LEAP + 1) + step.astype(np.uint64)
    times = [np.maximum(line.onset[b] - line.onset[a], 1 / 64) for a, b in pairwise(notes)]
    for before, after in list(pairwise(times))[:paces]:
        ratio = np.clip(np.round(PACE * np.log2(after / before)), -7, 7) + 7
        code = code * np.uint64(16) + ratio.astype(np.uint64)
    return code * np.uint64(0x9E3779B97F4A7C15)


def figure(*offsets: int, paces: int = 0) -> Kind:
    """Take the notes at these offsets from each note."""

    def kind(line: Line) -> Iterator[tuple[Any, Any]]:
        at = np.arange(max(len(line.pitch) - offsets[-1], 0))
        yield at, _code(line, [at + k for k in offsets], paces) + np.uint64(hash(offsets) & 0xFFFF)

    return kind


def both(*kinds: Kind) -> Kind:
    """Take the figures of several kinds."""

    def kind(line: Line) -> Iterator[tuple[Any, Any]]:
        for one in kinds:
            yield from one(line)

    return kind


TRIPLES = both(*(figure(0, a, b, paces=1) for b in range(2, 5) for a in range(1, b)))
KINDS: dict[str, tuple[Kind, bool]] = {  # and whether they are taken from whole parts, not from voices
    "4 intervals": (figure(0, 1, 2, 3, 4), False),
    "5 intervals": (figure(0, 1, 2, 3, 4, 5), False),
    "6 intervals": (figure(0, 1, 2, 3, 4, 5, 6), False),
    "5 intervals around a skipped note": (figure(0, 1, 2, 4, 5, 6), False),
    "5 intervals, and around a skipped note": (both(figure(0, 1, 2, 3, 4, 5), figure(0, 1, 2, 4, 5, 6)), False),
    "4 intervals with rhythm": (figure(0, 1, 2, 3, 4, paces=3), False),
    "note triples of whole parts": (TRIPLES, True),
}


def lines(notes: NoteSequence, whole: bool) -> list[Line]:
    """Take the voices of a piece, or its parts with all their notes."""
    if not whole:
        return [Line(pitch, onset) for pitch, onset, _ in voice_table(notes)]
    parts = (notes.select((notes.part == k) & ~notes.is_drum) for k in range(len(notes.parts)))
    return [Line(part.pitch, part.onset_beat) for part in parts if len(part)]


class Places(NamedTuple):
    """All figures of a corpus by code; their places among its notes; pitch and piece of each note."""

    code: Any
    place: Any
    pitch: Any
    piece: Any


def places_of(store: Store, kind: Kind, whole: bool) -> Places:
    codes, places, pitches, pieces, start = [], [], [], [], 0
    for row in range(len(store.pieces)):
        for line in lines(store.notes(row), whole):
            for at, code in kind(line):
                codes.append(code)
                places.append(at + start)
            pitches.append(line.pitch)
            pieces.append(np.full(len(line.pitch), row))
            start += len(line.pitch)
    code = np.concatenate(codes)
    order = np.argsort(code, kind="stable")
    place = np.concatenate(places)[order]
    return Places(code[order], place, np.concatenate(pitches).astype(np.int64), np.concatenate(pieces))


def named(index: Places, kind: Kind, line: Line, source: Any) -> tuple[bool, bool, int]:
    """Say whether a piece of `source` (bool, one a piece) is named, whether it has two hits, and the places read."""
    found = list(kind(line))
    at, codes = (np.concatenate(column) for column in zip(*found, strict=True))
    first, last = np.searchsorted(index.code, codes, "left"), np.searchsorted(index.code, codes, "right")
    is_named = is_hit = False
    read = 0
    for a in range(0, max(len(line.pitch) - SHORT_HOP, 1), SHORT_HOP):
        own = np.flatnonzero((at >= a) & (at < a + SHORT))
        own = own[np.argsort(last[own] - first[own], kind="stable")]
        counts = last[own] - first[own]
        own = own[(np.cumsum(counts) <= HITS_A_NOTE * SHORT) & (counts > 0)]
        counts = last[own] - first[own]
        if not len(own):
            continue
        read += int(counts.sum())
        place = index.place[np.concatenate([np.arange(first[k], last[k]) for k in own])]
        q = np.repeat(at[own], counts)
        votes = np.repeat(np.log2(len(index.pitch) / counts), counts)
        diagonal = (place - q + len(line.pitch)) >> BAND
        key = (index.piece[place] << 40) + (diagonal << 8) + index.pitch[place] - line.pitch[q] + 128
        pair = np.unique(np.stack([key, q]), axis=1, return_index=True)[1]  # one hit a note and diagonal
        keys, inverse = np.unique(key[pair], return_inverse=True)
        strength, hits = np.bincount(inverse, votes[pair]), np.bincount(inverse)
        pieces = keys >> 40
        is_hit |= bool((source[pieces] & (hits >= 2)).any())
        ranked = list(dict.fromkeys(pieces[np.argsort(-strength, kind="stable")].tolist()))
        is_named |= bool(source[ranked[:PIECES]].any())
    return is_named, is_hit, read


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=10_000)
    parser.add_argument("-n", type=int, default=60, help="queries a case")
    parser.add_argument("--corpus", type=Path, help="folder of the music that is copied")
    parser.add_argument("--hosts", type=Path, help="folder of the music that copies are put into")
    parser.add_argument("--work", type=Path, default=user_cache_path("contraste") / "bench-seeds")
    return parser.parse_args()


def main() -> None:
    """Print a table in Markdown."""
    options = arguments()
    found = listing(options.corpus).notes if options.corpus else sorted((scores() / "bach").glob("*.mxl"))
    others = [f for name in OTHERS for f in sorted((scores() / name).rglob("*.mxl"))]
    order = list({file.name: file for file in found}.values())
    random.Random(SEED).shuffle(order)
    order = order[: options.pieces]
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / f"store-{options.pieces}"
    if not path.exists():
        ingest([*order, *scale.fillers(options.work / "fill", options.pieces - len(order), order)], path)
    store = Store.open(path)
    hosts = (listing(options.hosts).notes if options.hosts else others)[:300]
    sources = [(file, file.name) for file in order]
    asked = {case: make_queries(case, sources, hosts, (), options.n) for case in CASES}
    print("| figure | a note of the corpus | places a note |", " | ".join(CASES), "|")
    print("|---" * (3 + len(CASES)) + "|")
    for name, (kind, whole) in KINDS.items():
        index = places_of(store, kind, whole)
        cells, read, notes = [], 0, 0
        for queries in asked.values():
            score = np.zeros(2)
            for query in queries:
                group = store.groups == store.groups[store.index_of(str(query.source))]
                own = lines(query.notes, whole)
                answers = [named(index, kind, line, group) for line in own if len(line.pitch) > 6]
                score += np.any([answer[:2] for answer in answers], axis=0)
                read += sum(answer[2] for answer in answers)
                notes += sum(len(line.pitch) for line in own)
            cells.append("{:.2f} ({:.2f})".format(*(score / max(len(queries), 1))))
        figures = f"{len(index.code) / len(index.pitch):.1f}"
        print("|", " | ".join([name, figures, f"{read / max(notes, 1):,.0f}", *cells]), "|", flush=True)


if __name__ == "__main__":
    main()

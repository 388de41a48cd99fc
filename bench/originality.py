"""Originality beside human pieces by training epoch, and whether a model over-trained on purpose is caught.

    PYTHONPATH=. python bench/originality.py STORE stages [--pieces 0] [--steps 100 300 900 2700] [-n 8]
    PYTHONPATH=. python bench/originality.py STORE overtrained [--pieces 20] [--steps 900] [--each 3]

both with [--bars 16] [--size tiny] [--batch 2] [--seed 1] [--keep FOLDER].

Protocol
--------
Models learn from `--pieces` pieces of the "train" split, drawn with the seed (0: all). No "valid" split stops them or
picks their weights: what is measured is the last step, not the best one.

stages: one training with the defaults of ``contraste train``, resumed at each number of `--steps`; each time the rate
falls to its end. After each, `-n` tracks are drawn as ``contraste generate`` does, without and with ``--guard STORE``,
from the same seed. *passes* is how often the pieces were read, *bits* a note are those of the whole "valid" split.
Originality is that of ``contraste originality`` (windows of 24 notes), as the mean of the tracks with its 95 %
interval; the human baseline and its interval are those of the same command. *flagged*: tracks written without the guard
that the audit flags, *still*: with it; *thrown away*: bars that the guard threw away, of all that were drawn under it.

overtrained: no dropout, no transposition, no conditions. The model is *caught by the probe* when `memorisation` says
"memorised"; how many of its pieces, and of held-out ones, it completes stands beside it. A track is *caught by the
audit* when `audit.run.find`, under the default policy and against the whole store, flags a passage of the right work:
of the piece that the track goes on from, or for tracks written from nothing of any of the pieces learned (a duplicate
is the same work); *first*: that passage is the first finding. What is drawn may leave the pieces learned, so a track
*copies* when `COPIED_BARS` bars in a row, none empty, are token by token those of a right work, which needs no search.
Of tracks that go on from the first `PRIME_BARS` bars of a piece, `--each` of each piece, only what stands behind these
bars is audited. As a control, held-out pieces are gone on from in the same way. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from transfer import Part

from audit.originality import Baseline, Group, Measured, Setting, group_of, human_baseline, measure_originality
from audit.policy import read_policy
from audit.run import Corpus, find, flagged
from audit.track import open_corpus
from corpus.store import Store
from generator.checkpoint import load_model
from generator.evaluate import SPLITS, memorisation
from generator.model import SIZES, threads
from generator.objective import Team
from generator.sample import Generated, generate
from generator.tokens import PITCH, bar_starts, encode, quantise
from generator.train import Settings, TrainingReport, train
from generator.windows import read_split
from music.notes import NoteSequence

WINDOW = Setting(24, "notes")
PRIME_BARS = 4
COPIED_BARS = 4
Judged = tuple[bool, bool, bool]
"""Whether a track copies a right work, whether the audit flags one, and whether its first finding is one."""


@contextmanager
def quiet(name: str) -> Any:
    yield lambda done, total: None


def drawn(store: Store, split: Sequence[str], pieces: int, seed: int) -> list[int]:
    """Rows of so many pieces of some splits; of all for 0."""
    rows = [i for i, piece in enumerate(store.pieces) if piece.split in split]
    return sorted(np.random.default_rng(seed).permutation(rows)[: pieces or None].tolist())


def measured(corpus: Corpus, tracks: Sequence[Generated]) -> Group | None:
    found = [measure_originality(corpus.store, corpus.index, "", track.sequence, WINDOW) for track in tracks]
    return group_of([one for one in found if isinstance(one, Measured)])


def placed(group: Group | None, human: Baseline) -> str:
    """Mean and interval of a set of tracks, and where its mean lies beside the interval of human pieces."""
    if group is None:
        return "none"
    mean, low, high = group.originality.mean, human.group.originality.low, human.group.originality.high
    where = "below" if mean < low else "above" if mean > high else "inside"
    return f"{mean:.3f} ({group.originality.low:.3f}-{group.originality.high:.3f}) {where}"


def share(hits: Sequence[bool]) -> str:
    if not hits:
        return "none"
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return f"{sum(hits)} of {len(hits)} ({interval.low:.1%}-{interval.high:.1%})"


def stages(corpus: Corpus, kept: Any, options: argparse.Namespace, place: Path) -> None:
    store, policy = corpus.store, read_policy()
    human = human_baseline(store, corpus.index, WINDOW)
    if human is None:
        raise SystemExit(f"{store.path}: too few works for a human baseline")
    of = human.group.originality
    print(f"human pieces: {of.mean:.3f} ({of.low:.3f}-{of.high:.3f}), {human.group.members} of them")
    print(
        f"{'steps':>6}{'passes':>8}{'bits':>7}{'without guard':>30}{'flagged':>9}{'with guard':>30}{'thrown away':>15}"
    )
    valid = read_split(store, "valid")[0]
    size = sum(len(piece) for piece in read_split(kept, "train")[0])
    for done, steps in enumerate(options.steps):
        settings = Settings(size=options.size, seed=options.seed, batch=options.batch, steps=steps, patience=0)
        report = train(kept, place, settings, resume=done > 0)
        with threads(1):
            team = Team(load_model(place), 1, "float32")
            bits = team.likelihood(valid).bits_per_note
            team.pool.shutdown()
        how: dict[str, Any] = {"seed": options.seed, "bars": options.bars}
        free = generate(place, options.n, **how)
        guarded = generate(place, options.n, guard=lambda music: flagged(corpus, music, policy), **how)
        caught, still = (sum(flagged(corpus, t.sequence, policy) for t in tracks) for tracks in (free, guarded))
        thrown = sum(track.settings["guard"]["bars"] for track in guarded)
        written = thrown + sum(track.statistics["bars"] for track in guarded)
        print(
            f"{report.steps:>6}{report.tokens / size:>8.1f}{bits:>7.2f}"
            f"{placed(measured(corpus, free), human):>30}{caught:>9}"
            f"{placed(measured(corpus, guarded), human):>30}{still:>7}{f'{thrown} of {written}':>15}",
            flush=True,
        )


def continued(corpus: Corpus, model: Path, rows: Sequence[int], options: argparse.Namespace) -> list[Judged]:
    """Go on from the beginnings of pieces, and judge what is new."""
    found = []
    for row in rows:
        prime = first_bars(corpus.store.notes(row))
        for track in generate(model, options.each, seed=options.seed, bars=options.bars, prime=prime):
            new = track.sequence.select(in_bars(track.sequence) >= PRIME_BARS + 1 - 1e-6)
            found.append(judged(corpus, new, [row]))
    return found


def first_bars(piece: NoteSequence) -> NoteSequence:
    on_grid = quantise(piece)
    return on_grid.select(in_bars(on_grid) < PRIME_BARS + 1 - 1e-6)


def in_bars(piece: NoteSequence) -> Any:
    return np.array([piece.bar_at(float(beat)) for beat in piece.onset_beat])


def judged(corpus: Corpus, track: NoteSequence, rows: Sequence[int]) -> Judged:
    """Judge a track that might hold one of the works of `rows`."""
    store = corpus.store
    works = {store.groups[row] for row in rows}
    right = [i for i, work in enumerate(store.groups) if work in works]
    paths = {store.pieces[i].path for i in right}
    copies = not runs(track).isdisjoint(run for i in right for run in runs(store.notes(i)))
    found = [finding.piece in paths for finding in find(corpus, track, read_policy()) if finding.verdict != "clear"]
    return copies, any(found), found[:1] == [True]


def runs(piece: NoteSequence) -> set[tuple[tuple[int, ...], ...]]:
    """All runs of `COPIED_BARS` bars that have notes, as tokens."""
    tokens = np.array(encode(quantise(piece)))
    bars = [tuple(tokens[a:b].tolist()) for a, b in pairwise([*bar_starts(tokens), len(tokens) - 1])]
    cuts = (tuple(bars[i : i + COPIED_BARS]) for i in range(len(bars) - COPIED_BARS + 1))
    return {cut for cut in cuts if all(max(bar) >= PITCH for bar in cut)}


def overtrained(corpus: Corpus, kept: Any, options: argparse.Namespace, place: Path) -> None:
    store = corpus.store
    settings = Settings(
        size=options.size, seed=options.seed, batch=options.batch, steps=options.steps[-1], patience=0,
        dropout=0.0, transpose=0, augment=(), conditions=False,
    )  # fmt: skip
    report: TrainingReport = train(kept, place, settings)
    learned = read_split(kept, "train")[0]
    passes, loss = report.tokens / sum(map(len, learned)), report.curve[-1]["cross_entropy"]
    print(f"{len(learned)} pieces, {report.steps} steps, {passes:.0f} passes, loss {loss:.3f} nats a token", flush=True)
    with threads(1):
        held_out = [piece for split in SPLITS for piece in read_split(store, split)[0]]
        probe = memorisation(load_model(place), learned, held_out, options.seed)
    print(f"probe: {probe['verdict']}, p = {probe['p']:.1e}")
    for name in ("train", "held_out"):
        one = probe[name]
        said = f"{one['completed']} of {one['pieces']} ({one['low']:.1%}-{one['high']:.1%})"
        print(f"  {name + ' pieces completed':30}{said:>25}", flush=True)
    heads = (f"copies {COPIED_BARS} bars", "right work flagged", "and first", "of the copies flagged")
    print(f"{'audit of tracks':32}" + "".join(f"{head:>25}" for head in heads))
    others = drawn(store, SPLITS, len(kept.kept), options.seed)
    count = options.each * len(kept.kept)
    free = generate(place, count, seed=options.seed, bars=options.bars)
    for name, found in (
        (f"go on from {len(kept.kept)} pieces learned", continued(corpus, place, kept.kept, options)),
        ("from nothing", [judged(corpus, track.sequence, kept.kept) for track in free]),
        (f"go on from {len(others)} held-out pieces", continued(corpus, place, others, options)),
    ):
        columns = [*zip(*found, strict=True), [flags for copies, flags, _ in found if copies]]
        print(f"  {name:30}" + "".join(f"{share(hits):>25}" for hits in columns), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("part", choices=("stages", "overtrained"))
    parser.add_argument("--pieces", type=int, help="That are learned from; 0: all.")
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="New folder for the model.")
    options = parser.parse_args()
    over = options.part == "overtrained"
    options.steps = options.steps or ([900] if over else [100, 300, 900, 2700])
    pieces = options.pieces if options.pieces is not None else 20 if over else 0
    start = time.process_time()
    corpus = open_corpus(Store.open(options.store), quiet)
    kept = Part(corpus.store, drawn(corpus.store, ("train",), pieces, options.seed))
    with tempfile.TemporaryDirectory() as place:
        (overtrained if over else stages)(corpus, kept, options, options.keep or Path(place) / "model")
    print(f"{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()

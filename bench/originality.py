"""Originality beside human pieces by training epoch, and whether a model over-trained on purpose is caught.

    PYTHONPATH=. python bench/originality.py STORE stages [--pieces 0] [--steps 100 300 900 2700] [-n 8]
    PYTHONPATH=. python bench/originality.py STORE stages --models MODEL ... [-n 8]
    PYTHONPATH=. python bench/originality.py STORE overtrained [--sets 3] [--pieces 20] [--steps 900] [--each 1]

all with [--bars 16] [--size tiny] [--batch 2] [--seed 1] [--keep FOLDER].

Protocol
--------
Models learn from `--pieces` pieces of the "train" split, drawn with the seed (0: all). No "valid" split stops them or
picks their weights: what is measured is the last step, not the best one.

stages: one training with the defaults of ``contraste train``, resumed at each number of `--steps`; each time the rate
falls to its end. With `--models` nothing is trained: the last weights of trainings of these pieces are read from the
states beside these folders, as ``contraste train`` leaves them (copied while it trains, those are stages too). Of each
stage `-n` tracks are drawn as ``contraste generate`` does, without and with ``--guard STORE``, from the same seed.
*passes* is how often the pieces were read, *bits* a note are those of the whole "valid" split. Originality is that of
``contraste originality`` (windows of 24 notes), as the mean of the tracks with its 95 % interval; the human baseline
and its interval are those of the same command. *flagged*: tracks written without the guard that the audit flags,
*still*: with it; *thrown away*: bars that the guard threw away, of all that were drawn under it.

overtrained: `--sets` models, each of other pieces, without dropout, transposition and conditions. A model is *caught by
the probe* when `memorisation` says "memorised". A track is *caught by the audit* when `audit.find.find`, under the
default policy and against the whole store, flags a passage of the right work: of the piece that the track goes on from,
or for tracks written from nothing of any of the pieces learned (a duplicate is the same work); *first*: that passage is
the first finding. What is drawn may leave the pieces learned, so a track *copies* when `COPIED_BARS` bars in a row,
none empty, are token by token those of a right work, which needs no search. Wanted are all models caught by the probe,
and of the tracks that copy 95 % by the audit. Of tracks that go on from the first `PRIME_BARS` bars of a piece (more
where a part comes in later, which would be no part of the prime), `--each` of each piece, only what stands behind these
bars is audited. As a control, held-out pieces are gone on from in the same way. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from transfer import Part, bits

from audit.find import find, is_flagged
from audit.opening import open_audit_corpus
from audit.originality.baseline import Baseline, Group, group_of, human_baseline
from audit.originality.report import measure_originality
from audit.originality.windows import Measured, Setting
from audit.policy import read_policy
from audit.search.corpus import SearchCorpus
from corpus.store import Store
from generator.data.tokens import bar_starts, encode, quantise
from generator.data.vocabulary import PITCH
from generator.data.windows import read_split
from generator.evaluate import SPLITS, memorisation
from generator.network.checkpoint import (
    TRAINING,
    load_model,
    load_state,
    read_description,
    read_training,
    save_model,
    write_description,
)
from generator.network.lora import merged_weights
from generator.network.model import SIZES
from generator.network.stack import threads
from generator.training.settings import Settings
from generator.training.train import train
from generator.writing.sample import Generated, generate
from music.notes import NoteSequence

WINDOW = Setting(24, "notes")
PRIME_BARS = 4
COPIED_BARS = 4
Judged = tuple[bool, bool, bool]
"""Whether a track copies a right work, whether the audit flags one, and whether its first finding is one."""


@contextmanager
def quiet(name: str) -> Any:
    yield lambda done, total: None


def drawn(store: Store, split: Sequence[str], pieces: int, seed: int, number: int = 0) -> list[int]:
    """Rows of the set `number` of so many pieces of some splits; of all for 0 pieces."""
    rows = [i for i, piece in enumerate(store.pieces) if piece.split in split]
    mixed = np.random.default_rng(seed).permutation(rows)[number * pieces :]
    return sorted(mixed[: pieces or None].tolist())


def measured(corpus: SearchCorpus, tracks: Sequence[Generated]) -> Group | None:
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


def trained(corpus: SearchCorpus, options: argparse.Namespace, place: Path) -> Iterator[tuple[int, float, Path]]:
    """Train, or read the last weights of trainings; yield steps, passes and the model of each stage."""
    store = corpus.store
    kept: Any = Part(store, drawn(store, ("train",), options.pieces, options.seed))
    size = sum(len(piece) for piece in read_split(kept, "train")[0])
    for number, folder in enumerate(options.models):
        state, model = load_state(folder), place / str(number)
        write_description(model, read_description(folder))
        save_model(merged_weights(state["weights"]), model)
        yield state["step"], state["tokens"] / size, model
    for done, steps in enumerate(() if options.models else options.steps):
        settings = Settings(size=options.size, seed=options.seed, batch=options.batch, steps=steps, patience=0)
        report = train(kept, place / "model", settings, resume=done > 0)
        yield report.steps, report.tokens / size, place / "model"


def stages(corpus: SearchCorpus, options: argparse.Namespace, place: Path) -> None:
    store, policy = corpus.store, read_policy()
    human = human_baseline(store, corpus.index, WINDOW)
    if human is None:
        raise SystemExit(f"{store.path}: too few works for a human baseline")
    of = human.group.originality
    print(f"human pieces: {of.mean:.3f} ({of.low:.3f}-{of.high:.3f}), {human.group.members} of them")
    print(
        f"{'steps':>6}{'passes':>8}{'bits':>7}{'without guard':>30}{'flagged':>9}{'with guard':>30}{'still':>7}"
        f"{'thrown away':>15}",
        flush=True,
    )
    valid = read_split(store, "valid")[0]
    for steps, passes, model in trained(corpus, options, place):
        how: dict[str, Any] = {"seed": options.seed, "bars": options.bars}
        free = generate(model, options.n, **how)
        guarded = generate(model, options.n, guard=lambda music: is_flagged(corpus, music, policy), **how)
        caught, still = (sum(is_flagged(corpus, t.sequence, policy) for t in tracks) for tracks in (free, guarded))
        thrown = sum(track.drawn.guard.bars for track in guarded if track.drawn.guard)
        written = thrown + sum(track.statistics["bars"] for track in guarded)
        print(
            f"{steps:>6}{passes:>8.1f}{bits(model, valid):>7.2f}{placed(measured(corpus, free), human):>30}{caught:>9}"
            f"{placed(measured(corpus, guarded), human):>30}{still:>7}{f'{thrown} of {written}':>15}",
            flush=True,
        )


def continued(corpus: SearchCorpus, model: Path, rows: Sequence[int], options: argparse.Namespace) -> list[Judged]:
    """Go on from the beginnings of pieces, and judge what is new."""
    found = []
    for row in rows:
        piece = quantise(corpus.store.notes(row))
        bars = prime_bars(piece)
        prime = piece.select(piece.onset_bars() < bars + 1 - 1e-6)
        for track in generate(model, options.each, seed=options.seed, bars=options.bars, prime=prime):
            new = track.sequence.select(track.sequence.onset_bars() >= bars + 1 - 1e-6)
            found.append(judged(corpus, new, [row]))
    return found


def prime_bars(piece: NoteSequence) -> int:
    """Bars of a beginning in which every part plays: without the others, it would be spelled as another piece's."""
    entries = [piece.onset_bars()[piece.part == part].min() for part in np.unique(piece.part)]
    return max(PRIME_BARS, int(max(entries) + 1e-6))


def judged(corpus: SearchCorpus, track: NoteSequence, rows: Sequence[int]) -> Judged:
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


def overtrained(corpus: SearchCorpus, options: argparse.Namespace, place: Path) -> None:
    store, found, verdicts = corpus.store, defaultdict[str, list[Judged]](list), []
    held_out = [piece for split in SPLITS for piece in read_split(store, split)[0]]
    settings = Settings(
        size=options.size, seed=options.seed, batch=options.batch, steps=options.steps[-1], patience=0,
        dropout=0.0, transpose=0, augment=(), conditions=False, rate_last=1e-5, precision="float32",
    )  # fmt: skip
    how: dict[str, Any] = {"seed": options.seed, "bars": options.bars}
    for number in range(options.sets):
        rows, others = (drawn(store, split, options.pieces, options.seed, number) for split in (("train",), SPLITS))
        kept: Any = Part(store, rows)
        model = place / str(number)
        if not (model / TRAINING).exists():
            train(kept, model, settings)
        learned, report = read_split(kept, "train")[0], read_training(model)
        passes, loss = report["tokens"] / sum(map(len, learned)), report["curve"][-1]["cross_entropy"]
        with threads(1):
            probe = memorisation(load_model(model), learned, held_out, options.seed)
        verdicts.append(probe["verdict"] == "memorised")
        print(f"set {number}: {len(learned)} pieces, {passes:.0f} passes, loss {loss:.3f} nats a token")
        print(f"  probe: {probe['verdict']} (p = {probe['p']:.0e}), completes", end=" ")
        print(*(f"{probe[name]['completed']} of {probe[name]['pieces']} {name}" for name in ("train", "held_out")))
        free = generate(model, options.each * len(rows), **how)
        for name, tracks in (
            ("go on from pieces learned", continued(corpus, model, rows, options)),
            ("from nothing", [judged(corpus, track.sequence, rows) for track in free]),
            ("go on from held-out pieces", continued(corpus, model, others, options)),
        ):
            found[name] += tracks
            print(f"  {name}: {len(tracks)} tracks;", *(sum(hits) for hits in zip(*tracks, strict=True)), flush=True)
    print(f"models caught by the probe: {share(verdicts)}")
    heads = (f"copies {COPIED_BARS} bars", "right work flagged", "and first", "of the copies flagged")
    print(f"{'tracks':28}" + "".join(f"{head:>25}" for head in heads))
    for name, tracks in found.items():
        columns = [*zip(*tracks, strict=True), [flags for copies, flags, _ in tracks if copies]]
        print(f"{name:28}" + "".join(f"{share(hits):>25}" for hits in columns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("part", choices=("stages", "overtrained"))
    parser.add_argument("--pieces", type=int, help="That are learned from; 0: all.")
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("-n", type=int, default=8)
    parser.add_argument("--models", type=Path, nargs="+", default=[], help="With their states.")
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--each", type=int, default=1)
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, help="Folder for the models; one that overtrained finds there is not trained."
    )
    options = parser.parse_args()
    over = options.part == "overtrained"
    options.steps = options.steps or ([900] if over else [100, 300, 900, 2700])
    options.pieces = options.pieces if options.pieces is not None else 20 if over else 0
    start = time.process_time()
    corpus = open_audit_corpus(Store.open(options.store), quiet)
    with tempfile.TemporaryDirectory() as place:
        (overtrained if over else stages)(corpus, options, options.keep or Path(place))
    print(f"{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()

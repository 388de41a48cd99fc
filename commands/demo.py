"""The commands demo and setup: chorales and a control, a planted copy, and every command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from commands.shared.terminal import FAILED, OK, say, stop
from corpus.chorales import DemoError, copy_chorales, scores
from corpus.store import Store
from generator.shipped import MODELS, SHIPPED
from ledger.provenance.record import material_of, write_record
from music.midi import read_midi, write_midi
from music.notes import NoteSequence, TimeSignature, build
from music.read import read_music
from music.render import render_wav

CONTROL = "monteverdi/madrigal.3.6.mxl"
PLANT_BARS, PLANT_FROM, PLANT_AT, PLANT_SHIFT = 8, 5, 7, 3  # bars copied, from and to bar, semitones up


def setup() -> None:
    """Compile the search and the sampler once after installing; otherwise the first command compiles them."""
    from audit.compiled import compile_search

    compile_search()
    if find_spec("torch"):
        from generator.writing.sample import generate

        generate(SHIPPED, 1, bars=1, tries=1)


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder to make; an earlier demo in it is replaced.")],
) -> None:
    """Do the whole job on Bach's chorales: ingest, train, generate, sign, anchor, audit, verify."""
    program: Any = ctx.find_root().command

    def run(*words: object, expect: int = OK) -> None:
        """Run one command of this program, and show it as a person would type it."""
        arguments = [str(word) for word in words]
        say("", f"$ contraste {shlex.join(arguments)}")
        code = program.main(arguments, standalone_mode=False) or OK
        if code != expect:
            stop(f"'contraste {arguments[0]}' ended with {code} instead of {expect}", int(code))

    # The demo's key has a public password, so it is trusted inside the demo's own folder only.
    os.environ.update(CONTRASTE_HOME=str(out / "home"), CONTRASTE_PASSWORD="demo")
    wrong = run_demo(out, run, say)
    say("", f"open {(out / 'reports' / 'index.html').resolve()}")
    if wrong:
        stop("not as it should be: " + "; ".join(wrong), FAILED)


def plant(host: NoteSequence, source: NoteSequence, first_bar: int, at_bar: int, semitones: int) -> NoteSequence:
    """Put `PLANT_BARS` bars of `source` into `host`, transposed: what a model that memorised would do.

    Parameters
    ----------
    host, source : NoteSequence
        Notes of the host from `at_bar` on move back; parts are joined by number.
    first_bar : int
        First copied bar of the source, 1-based.
    at_bar : int
        Bar of the host at which they begin, 1-based.
    semitones : int
        Upward.
    """
    start, end = (float(source.bar_starts[first_bar - 1 + bars]) for bars in (0, PLANT_BARS))
    length, at = end - start, float(host.bar_starts[at_bar - 1])
    cut = source.select((source.onset_beat >= start - 1e-9) & (source.onset_beat < end - 1e-9))
    cut = cut.transpose(semitones)
    moved = np.where(host.onset_beat >= at - 1e-9, host.onset_beat + length, host.onset_beat)
    crossing = (host.onset_beat < at - 1e-9) & (host.onset_beat + host.duration_beat > at)
    held = np.where(crossing, at - host.onset_beat, host.duration_beat)
    parts = host.parts if len(host.parts) >= len(cut.parts) else cut.parts
    return build(
        np.concatenate([moved, cut.onset_beat - start + at]),
        np.concatenate([held, cut.duration_beat]),
        np.concatenate([host.pitch, cut.pitch]),
        np.concatenate([host.velocity, cut.velocity]),
        np.concatenate([host.part, cut.part]),
        parts=parts,
        tempos=host.tempos[:1],
        time_signatures=_joined_meters(host, source, (start, at, length)),
        ticks_per_quarter=max(host.ticks_per_quarter, cut.ticks_per_quarter),
    )


def _joined_meters(host: NoteSequence, source: NoteSequence, where: tuple[float, float, float]) -> list[TimeSignature]:
    """Return the host's meters with those of the source in between, from beat `at` on for `length` beats."""
    start, at, length = where

    def held(sequence: NoteSequence, beat: float) -> TimeSignature:
        return next(t for t in reversed(sequence.time_signatures) if t.beat <= beat + 1e-9)

    before = [t for t in host.time_signatures if t.beat < at - 1e-9]
    inside = [t for t in source.time_signatures if start < t.beat < start + length - 1e-9]
    behind = [t for t in host.time_signatures if t.beat > at + 1e-9]
    return [
        *before,
        replace(held(source, start), beat=at),
        *(replace(t, beat=t.beat - start + at) for t in inside),
        replace(held(host, at), beat=at + length),
        *(replace(t, beat=t.beat + length) for t in behind),
    ]


def choose_source(store: Store) -> int:
    """Choose the chorale to plant: the first in 4/4, of four parts, without duplicates, of 2 * `PLANT_BARS` bars."""
    groups = [piece.group for piece in store.pieces]
    for row, piece in enumerate(store.pieces):
        fits = piece.meter == "4/4" and piece.bars >= 2 * PLANT_BARS and groups.count(piece.group) == 1
        if fits and len(store.notes(row).parts) == 4 and piece.split == "train":
            return row
    raise DemoError(f"{store.path}: no chorale in it is long enough to be planted")


def run_demo(out: Path, step: Callable[..., None], say: Callable[[str], None]) -> list[str]:
    """Do the whole job in the folder `out`; return what did not come out as it should.

    Parameters
    ----------
    out : Path
        New or empty, or an earlier demo, which is replaced.
    step : callable
        Runs one command of the program, given its words, and fails unless it ends with ``expect`` (0 by default).
    say : callable
        Tells people something.

    Raises
    ------
    DemoError
        When `out` holds other things, or the music is not installed.
    """
    marker = out / ".contraste-demo"
    if out.exists() and not marker.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DemoError(f"{out}: holds other things; name a folder that the demo may make")
    scores()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    marker.write_text("made by: contraste demo\n")
    store, model, tracks, reports, key = (out / name for name in ("store", "model", "tracks", "reports", "keys"))
    say(f"{copy_chorales(out / 'chorales')} chorales by Bach copied from the music21 package")
    step("keys", "new", key)
    step("ingest", out / "chorales", "--into", store, "--rights", out / "rights.csv", "--require-rights")
    step("sign", store, "--key", key)
    step("keys", "trust", MODELS / "public.pem")
    step("finetune", "--store", store, "--out", model, "--minutes", 1, "--seed", 1)
    step("sign", model, "--key", key)
    settings = ("-n", 4, "--seed", 7, "--top-p", 0.9, "--temperature", 0.9)
    step("generate", "--model", model, "--out", tracks, *settings)
    corpus = Store.open(store)
    source = choose_source(corpus)
    first = sorted(tracks.glob("*.mid"))[0]
    _write_planted(corpus.notes(source), first, model)
    control = read_music(scores() / CONTROL)
    write_midi(control, tracks / "control.mid")
    render_wav(control, tracks / "control.wav")
    say(f"planted: {PLANT_BARS} bars of {corpus.pieces[source].path} inside {first.name}; control: {CONTROL}")
    files = sorted(tracks.glob("*.mid"))
    step("sign", *files, "--key", key)
    step("anchor", store, model, *files)
    step("audit", *files, "--store", store, "--model", model, "--out", reports, expect=1)
    pages = [reports / file.stem / "report.json" for file in files]
    step("sign", *pages, "--key", key)
    step("anchor", *pages)
    step("mint", first, "--report", reports / first.stem / "report.json")
    step("verify", "--short", store, model, *files, *pages)
    return _table(files, pages, corpus.pieces[source].path)


def _write_planted(source: NoteSequence, host: Path, model: Path) -> None:
    """Write planted.mid and .wav beside the track `host`, recorded as made by `model`."""
    planted = plant(read_midi(host), source, PLANT_FROM, PLANT_AT, PLANT_SHIFT)
    path = host.with_name("planted.mid")
    write_midi(planted, path)
    render_wav(planted, path.with_suffix(".wav"))
    write_record(path, "track", materials=[material_of("model", model, artefact=path)], also=["planted.wav"])


def _table(files: list[Path], pages: list[Path], source: str) -> list[str]:
    """Print what came out of each track; return what is not as it should be."""
    wrong = []
    table = Table("track", "verdict", "closest match", "bars", "provenance", "anchor")
    for file, page in zip(files, pages, strict=True):
        report = json.loads(page.read_bytes())
        best = max(report["findings"], key=lambda f: f["bits"], default=None)
        (a, b), (c, d) = (best["query_bars"], best["piece_bars"]) if best else ((0, 0), (0, 0))
        links = {link["name"]: link["verdict"] for link in report["provenance"]}
        whole = not {"broken", "missing"} & set(links.values())
        match = f"{best['piece']} ({best['matched']}/{best['notes']} notes, {best['verdict']})" if best else "-"
        provenance, anchor = "whole" if whole else "broken", links.get("anchor", "-")
        bars = f"{a}-{b} = {c}-{d}" if best else ""
        table.add_row(file.name, report["outcome"], match, bars, provenance, anchor)
        if not whole or report["outcome"] == "incomplete":
            wrong.append(f"{file.name}: {report['sentence']}")
        if file.stem == "control" and report["outcome"] != "pass":
            wrong.append("the control, which copies nothing, was flagged")
        if file.stem == "planted":
            ends = (PLANT_AT, PLANT_AT + PLANT_BARS - 1)
            copied = best and best["piece"] == source and best["verdict"] == "fail"
            if not copied or max(abs(a - ends[0]), abs(b - ends[1])) > 1:
                wrong.append(f"the planted copy of {source} (bars {ends[0]}-{ends[1]}) was not found as such")
    Console(width=150).print(table)
    return wrong

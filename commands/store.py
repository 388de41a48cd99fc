"""Commands on a store: ingest, export, and setup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from audit.findings import count_noun
from commands.shared.inputs import open_store
from commands.shared.options import Shares, split_shares
from commands.shared.terminal import UNREADABLE, progress, say, stop
from corpus.croissant import describe
from corpus.ingest import ingest as run_ingest
from corpus.recordings import open_recordings
from corpus.rights import read_rights
from corpus.store import Store
from ledger.exchange.cyclonedx import model_bom
from ledger.exchange.ddex import disclosure_xml
from ledger.provenance.record import write_record
from music.midi import write_atomically


def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Files or folders of MIDI, MusicXML and sound.")],
    into: Annotated[Path, typer.Option("--into", help="The store; it is created if it does not exist.")],
    rights: Annotated[
        Path | None, typer.Option(help="CSV with path, licence, source, consent, isrc, iswc, title, artist.")
    ] = None,
    require_rights: Annotated[
        bool, typer.Option("--require-rights", help="Refuse pieces that have no licence or no consent on file.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Number of reading processes; by default one per CPU.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help='"local": processes of this machine; "ray": a Ray cluster, RAY_ADDRESS or a local one.')
    ] = "local",
) -> None:
    """Read scores and recordings into a store and build its index; pieces that it holds already stay as they are."""
    from audit.opening import open_audit_corpus

    table = read_rights(rights) if rights else None
    workers = workers or os.cpu_count() or 1
    with progress("read") as show:
        report = run_ingest(
            sources, into, rights=table, require_rights=require_rights, workers=workers, engine=engine, progress=show
        )
    for refused in report.refused:
        say(f"refused {refused.path}: {refused.reason}")
    for partly in report.partly:
        say(f"read in part {partly.path}: {partly.reason}")
    if report.remarks:
        first = report.remarks[0]
        say(f"remarks on reading {count_noun(len(report.remarks), 'file')}, as on {first.path}: {first.reason}")
    for path in report.removed:
        say(f"taken out {path}: its rights say opt_out")
    for reason in report.unmatched:
        say(f"{rights}: {reason}")
    store = Store.open(into)
    sounds = open_recordings(store)
    recordings = f" and {count_noun(len(sounds), 'recording')}" if len(sounds) else ""
    changes = [f"{len(report.updated)} with new rights"] if report.updated else []
    changes += [f"{len(report.removed)} taken out"] if report.removed else []
    say(
        f"{into}: {', '.join([f'{report.added} added', f'{report.known} already there', *changes])}, "
        f"{len(report.refused)} refused; {count_noun(len(store.pieces), 'piece')}{recordings} in all"
    )
    if not store.pieces and not len(sounds):
        stop(f"{into}: the store is empty; no file could be added", UNREADABLE)
    if store.pieces:
        open_audit_corpus(store, progress, engine, workers, repair=True)
    held = {"pieces": len(store.pieces), "manifest_sha256": store.digest}
    if len(sounds):
        held |= {"recordings": len(sounds), "recordings_sha256": sounds.digest}
    write_record(into, "dataset", parameters=held)


def export(
    path: Annotated[Path, typer.Argument(help="A store for croissant, a model for cyclonedx, a track for ddex.")],
    format: Annotated[Literal["croissant", "cyclonedx", "ddex"], typer.Option(help="The format to write.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    ai: Shares = None,
) -> None:
    """Describe a store, a model or a track for other programs."""
    if ai and format != "ddex":
        raise typer.BadParameter(f"{format} says nothing of the sort; only ddex does", param_hint="--ai")
    if format == "croissant":
        content = describe(open_store(path, partial=False), out)
    elif format == "cyclonedx":
        content = model_bom(path)
    else:
        if not path.is_file():
            stop(f"{path}: no such file; ddex is about a track", UNREADABLE)
        content = disclosure_xml(path, split_shares(ai))
    write_atomically(out, content)

"""The command evaluate: a model measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from commands.shared.inputs import open_search, open_store
from commands.shared.options import Device, Seed
from commands.shared.terminal import USAGE, needing_extra, progress, say, stop, tell
from corpus.store import Store
from ledger.provenance.record import digest_of
from music.midi import write_atomically
from reports.pages.evaluation import evaluation_html, evaluation_rows


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder made by 'contraste train' or 'finetune'.")],
    store: Annotated[Path, typer.Option("--store", help="The corpus to measure on: the one the model learned from.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the figures as JSON to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with charts to this file.")] = None,
    base: Annotated[Path | None, typer.Option("--base", help="The model that this one was tuned from.")] = None,
    base_store: Annotated[Path | None, typer.Option("--base-store", help="The corpus of that model.")] = None,
    artist: Annotated[
        str, typer.Option(help="Artist whose style to look for; by default the one the model was tuned to.")
    ] = "",
    n: Annotated[int, typer.Option("-n", min=2, max=4096, help="Number of tracks to write and measure.")] = 16,
    bars: Annotated[int, typer.Option(min=4, max=1024, help="Minimum number of bars per track.")] = 16,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure a model: likelihood, variety, style, originality, and whether it has memorised pieces."""
    from audit.measures.likeness import Sides, model_likeness

    with needing_extra("generator"):
        from generator.evaluate import evaluate_model, excerpts
        from generator.network.checkpoint import read_training

    if (base is None) != (base_store is None):
        stop("--base and --base-store belong together: the base is measured on its own store", USAGE)
    opened = open_store(store, partial=False)
    broad = Store.open(base_store) if base_store else opened
    artist = artist or str(read_training(model).get("settings", {}).get("artist", ""))
    say(f"{model}: measured on {store}; this takes minutes")
    figures, drafts = evaluate_model(
        model, opened, n, seed=seed, bars=bars, base=(base, broad) if base else None, device=device
    )
    corpus = open_search(opened, partial=False)
    tracks = [track.sequence for track in drafts]

    def sides(*splits: str) -> Sides:
        others = excerpts(broad, bars, splits, lambda name: name != artist)
        return Sides(others, excerpts(opened, bars, splits, lambda name: name == artist))

    learned_and_held_out = (sides("train"), sides("valid", "test")) if artist else None
    with progress("originality") as show:
        likeness = model_likeness(corpus, excerpts(opened, bars), tracks, learned_and_held_out, show)
    measured, compared = asdict(figures), asdict(likeness)
    skipped = [*measured["skipped"], *({"check": s.check, "reason": s.reason} for s in likeness.skipped)]
    data = {
        "schema": "contraste-evaluation/1",
        "model": {"name": model.name, "digest": digest_of(model).hex},
        "store": {"name": store.name, "digest": opened.digest},
        "settings": {"n": n, "bars": bars, "seed": seed, "artist": artist},
        **measured,
        **compared,
        "skipped": skipped,
    }
    if out:
        write_atomically(out, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
    if html:
        write_atomically(html, evaluation_html(data).encode())
    for row in evaluation_rows(data):
        tell(f"{row[0]:44s} {row[1]:>12s}  {row[2]}".rstrip())
    for gap in skipped:
        say(f"skipped {gap['check']}: {gap['reason']}")

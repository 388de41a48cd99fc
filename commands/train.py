"""Commands that train and measure models: train, finetune, evaluate."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.shared.environment import describe_run
from commands.shared.inputs import open_search, open_store
from commands.shared.options import Device, Resume, Seed, TrainingOptions, grouped
from commands.shared.terminal import INTERRUPTED, OK, USAGE, needing_extra, progress, say, stop, tell
from corpus.store import Store
from generator.shipped import SHIPPED
from ledger.provenance.record import digest_of, material_of, write_record
from metrics.phash import mel_hash
from music.midi import write_atomically
from reports.pages.evaluation import evaluation_html, evaluation_rows

if TYPE_CHECKING:
    from generator.training.settings import Settings


@grouped
def train(
    store: Annotated[Path, typer.Option("--store", help="The corpus to learn from.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    training: TrainingOptions,
    size: Annotated[str, typer.Option(help="tiny, base or large.")] = "tiny",
    latent: Annotated[int, typer.Option(min=0, help="Size of a bar's style latent; 0: no style encoder.")] = 0,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Dropout outside the attention.")] = 0.2,
    spectrogram: Annotated[
        bool, typer.Option("--spectrogram", help="Learn sound, from the store's recordings or from renders of it.")
    ] = False,
    canaries: Annotated[int, typer.Option(min=0, max=256, help="Random melodies to plant, for 'evaluate'.")] = 0,
    resume: Resume = False,
) -> None:
    """Train a model on a store's training split; under torchrun, with all its processes."""
    if spectrogram:
        if training.precision != "auto":
            stop("--precision is not for spectrograms: they use bfloat16 on CUDA and float32 on a CPU", USAGE)
        minutes = 10.0 if training.minutes is None and training.steps is None else training.minutes
        return _train_spectrogram(
            store, out, size=size, minutes=minutes, steps=training.steps, batch=training.batch or 16,
            seed=training.seed, device=training.device, resume=resume,
        )  # fmt: skip
    with needing_extra("generator"):
        settings = training.settings(size=size, latent=latent, dropout=dropout, canaries=canaries)
    _train(store, out, settings, resume=resume)


@grouped
def finetune(
    store: Annotated[Path, typer.Option("--store", help="The corpus with the artist's pieces.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tuned model.")],
    training: TrainingOptions,
    model: Annotated[
        Path | None, typer.Option("--model", help="The model to begin with; the shipped one by default.")
    ] = None,
    artist: Annotated[
        str, typer.Option(help="Learn only from this artist's pieces, by the name in the rights file.")
    ] = "",
    lora: Annotated[int, typer.Option(min=0, help="Rank of low-rank adapters; 0: all weights learn.")] = 0,
    rate: Annotated[
        float, typer.Option(min=1e-6, max=0.1, help="Learning rate at the start; a tenth of it at the end.")
    ] = 5e-4,
    resume: Resume = False,
) -> None:
    """Tune a model to one artist, or to another store."""
    with needing_extra("generator"):
        settings = training.settings(rate_first=rate, rate_last=rate / 10, artist=artist, lora=lora)
    _train(store, out, settings, base=model or SHIPPED, resume=resume)


def _train(store: Path, out: Path, settings: Settings, *, base: Path | None = None, resume: bool) -> None:
    """Run `generator.training.train.train_model`, write the record of it, and say what was reached."""
    from generator.training.processes import leads
    from generator.training.train import train_model
    from generator.writing.text_encoder import MINILM

    report, encoders = train_model(Store.open(store), out, settings, base=base, resume=resume)
    if not leads():
        raise typer.Exit(OK)
    used = {"dataset": store, "model": base}
    write_record(
        out, "model", materials=[material_of(kind, path, artefact=out) for kind, path in used.items() if path],
        parameters=report.settings, environment=describe_run(str(report.settings["device"])),
    )  # fmt: skip
    ended = {"patience": "; stopped early, no improvement", "interrupted": "; interrupted, go on with --resume"}
    say(f"{out}: {report.steps} steps, {report.tokens_per_s:.0f} tokens/s{ended.get(report.ended, '')}")
    for name, scored in (("model", report.validation), ("count n-gram", report.baseline)):
        if scored:
            bits = f"{scored['bits_per_note']:.3f} bits per note (validation)"
            say(f"  {name:13s} perplexity {scored['perplexity']:.3f}, {bits}")
    for file, scored in encoders.items():
        name = "captions, MiniLM" if file == MINILM else "captions"
        first, ten = scored["r_at_1"], scored["r_at_10"]
        say(
            f"  {name:13s} own piece ranked first for {first:.0%} of {scored['candidates']} validation pieces, "
            f"among the first ten for {ten:.0%}"
        )
    if report.ended == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _train_spectrogram(store: Path, out: Path, **settings: Any) -> None:
    """Train on sound, with hashes of the windows kept beside the model."""
    from generator.sound.specgan import train_spectrogram

    with progress("sound") as show:
        report = train_spectrogram(
            Store.open(store), out, hasher=functools.partial(mel_hash, bits=256), progress=show, **settings
        )  # fmt: skip
    write_record(
        out, "model", materials=[material_of("dataset", store, artefact=out)], parameters=report.settings,
        environment=describe_run(str(report.settings["device"])),
    )  # fmt: skip
    ended = "; interrupted, go on with --resume" if report.interrupted else ""
    say(f"{out}: {report.steps} steps on {report.windows['train']} windows of {report.kind}{ended}")
    say(
        f"  critic's gradient norm {report.gradient_norm['mean']:.2f} (target 1); samples differ by "
        f"{report.variety:.2f} of what real windows do"
    )
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)


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

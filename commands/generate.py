"""Commands that write music: generate, infill, interpolate."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from audit.policy import read_policy
from commands.shared.environment import describe_run
from commands.shared.inputs import open_search, open_store
from commands.shared.options import Device, Model, SamplingOptions, Seed, TopP, grouped
from commands.shared.terminal import FAILED, OK, USAGE, needing_extra, progress, say, stop, tell
from corpus.store import Store
from generator.shipped import SHIPPED
from ledger.provenance.record import digest_of, material_of, write_record
from metrics.phash import mel_hash, nearest_hash
from music.audio import MEL_RATE, mel_to_samples
from music.midi import midi_bytes, read_bytes, write_atomically
from music.read import read_music
from music.render import normalise_loudness, render_wav, renderer_info, write_wav

if TYPE_CHECKING:
    from generator.writing.sample import Generated
    from music.notes import NoteSequence

LIVELY = SamplingOptions(temperature=1.05)


@grouped
def generate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the tracks.")],
    model: Model = None,
    n: Annotated[int, typer.Option("-n", min=1, max=4096, help="How many tracks.")] = 8,
    bars: Annotated[int, typer.Option(min=1, max=1024, help="Minimum number of bars.")] = 16,
    sampling: SamplingOptions = LIVELY,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Draw from at most this many of the likeliest tokens.")
    ] = None,
    best_of: Annotated[
        int, typer.Option("--best-of", min=1, max=64, help="Drafts per track; the most typical is kept.")
    ] = 1,
    guard: Annotated[
        Path | None,
        typer.Option(help="Store to guard against: bars that the copy search flags are discarded and drawn again."),
    ] = None,
    beam: Annotated[
        int | None, typer.Option(min=1, max=64, help="Beam search of this width, without sampling.")
    ] = None,
    prime: Annotated[Path | None, typer.Option(help="Music to continue.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Description of the tracks, in English.")] = None,
    key: Annotated[str | None, typer.Option(help="Like 'A minor'.")] = None,
    meter: Annotated[str | None, typer.Option(help="Like 3/4.")] = None,
    tempo: Annotated[str | None, typer.Option(help="Quarter notes per minute; or slow, medium or fast.")] = None,
    density: Annotated[str | None, typer.Option(help="sparse, medium or dense; or 0 to 7.")] = None,
    polyphony: Annotated[int | None, typer.Option(help="Notes that sound at the same time, 1 to 7.")] = None,
    instruments: Annotated[str | None, typer.Option(help="Comma-separated; one part each, like guitar,bass.")] = None,
    chords: Annotated[str | None, typer.Option(help="One per bar, repeated, like 'Am F C G'.")] = None,
    artist: Annotated[str | None, typer.Option(help="An artist the model learned from with consent.")] = None,
    tries: Annotated[int, typer.Option(min=1, max=64, help="Attempts per track until all conditions are met.")] = 8,
) -> None:
    """Write new tracks, as MIDI and WAV, each with a record of how it was made."""
    with needing_extra("generator"):
        from generator.network.checkpoint import is_spectrogram, read_description
        from generator.writing import condition_words, sample, text_encoder
        from generator.writing.prompt import parse_prompt, understood_or_refused

    model = model or SHIPPED
    if is_spectrogram(model):
        if prime or beam or prompt:
            stop("--prime, --beam and --prompt are for models of notes; this model writes spectrograms", USAGE)
        return _generate_spectrograms(model, out, n, sampling.seed, sampling.device)
    asked = condition_words.parse_conditions(
        key=key, meter=meter, tempo=tempo, density=density, polyphony=polyphony, instruments=instruments, chords=chords,
        artist=artist,
    )  # fmt: skip
    rank, notes = None, {}
    if prompt is not None:
        notes["prompt"] = prompt
        understood = parse_prompt(prompt, read_description(model).artists)
        say(understood.sentence())
        asked = asked.join(understood_or_refused(understood))
        encoders = text_encoder.load_text(model) if understood.left else None
        if encoders:
            rank = functools.partial(encoders.similarity, prompt)
            notes["text_encoder"] = encoders.file  # which one ranks depends on the extras installed here
    opening = read_music(prime) if prime else None
    primed = {"prime_sha256": digest_of(prime).hex} if prime else {}
    tracks = sample.generate(
        model, n, **asdict(sampling), beam=beam, bars=bars, top_k=top_k, best_of=best_of,
        guard=_guard(guard) if guard else None, prime=opening, conditions=asked, tries=tries, rank=rank,
    )  # fmt: skip
    if asked:
        fallen = [list(asked.checkable()) if track.drawn.degenerate else track.drawn.missed or () for track in tracks]
        missed = [name for names in fallen for name in names]
        counts = ", ".join(f"{name} {n - missed.count(name)} of {n}" for name in asked.checkable())
        say(f"as asked for: {counts or 'nothing that could be checked'}")
    if guard:
        notes |= _guarded(guard, tracks)
    _write_tracks(tracks, out, f"track-{sampling.seed}", model, {**primed, **notes}, sampling.device)
    degenerate = [(number, track.drawn.degenerate) for number, track in enumerate(tracks, 1) if track.drawn.degenerate]
    for number, reasons in degenerate:
        say(f"track {number} is not music of the kind that the model learned: {'; '.join(reasons)}")
    raise typer.Exit(FAILED if degenerate and asked else OK)


def _guard(store: Path) -> Callable[[NoteSequence], bool]:
    """Return what says whether the copy search flags music in a store."""
    from audit.find import is_flagged

    corpus, rules = open_search(open_store(store)), read_policy()
    return lambda music: is_flagged(corpus, music, rules)


def _guarded(store: Path, tracks: Sequence[Generated]) -> dict[str, str]:
    """Say what a guard threw away; return what the record says of its store."""
    reports = [track.drawn.guard for track in tracks if track.drawn.guard]
    redrawn, bars, restarts = (sum(getattr(r, name) for r in reports) for name in ("redrawn", "bars", "restarts"))
    say(
        f"guard {store}: {redrawn} times thrown away, {bars} bars in all; {restarts} lines begun anew; "
        f"{sum(r.flagged for r in reports)} of {len(tracks)} tracks are flagged still"
    )
    return {"guard_store_digest": Store.open(store).digest}


@grouped
def infill(
    track: Annotated[Path, typer.Argument(help="The piece.")],
    bars: Annotated[str, typer.Option(help="Bars to write anew, counted from 1, like 5-8.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the versions.")],
    sampling: SamplingOptions,
    model: Model = None,
    n: Annotated[int, typer.Option("-n", min=1, max=64, help="How many versions.")] = 1,
    candidates: Annotated[
        int,
        typer.Option(min=1, max=256, help="Candidates per version; the one that leads best into the next bar is kept."),
    ] = 16,
) -> None:
    """Write some bars of a piece anew; the bars before and after them stay."""
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", bars.strip())
    if not match:
        stop(f"--bars {bars}: name a bar or a range of them, like 5-8", USAGE)
    with needing_extra("generator"):
        from generator.writing.infill import infill

    model, data = model or SHIPPED, read_bytes(track)
    versions = infill(
        model, read_music(track), (int(match[1]), int(match[2] or match[1])), n, **asdict(sampling),
        candidates=candidates, midi=data if data[:4] == b"MThd" else None,
    )  # fmt: skip
    parameters = {"track_sha256": digest_of(track).hex}
    _write_tracks(versions, out, f"{track.stem}-infilled-{sampling.seed}", model, parameters, sampling.device)


def interpolate(
    first: Annotated[Path, typer.Argument(help="Music at one end.")],
    second: Annotated[Path, typer.Argument(help="Music at the other end.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tracks.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder made by 'contraste train --latent N'; the shipped model by default."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=64, help="How many tracks, including both ends.")] = 7,
    seed: Seed = 0,
    top_p: TopP = 0.9,
    draws: Annotated[int, typer.Option(min=1, max=64, help="Drafts of each step; the most even one is kept.")] = 8,
    device: Device = "auto",
) -> None:
    """Write tracks on the way from one piece to another, by interpolating the style of each bar."""
    with needing_extra("generator"):
        from generator.writing.interpolate import interpolate

    model = model or SHIPPED
    ends = {"first_sha256": digest_of(first).hex, "second_sha256": digest_of(second).hex}
    with progress("steps") as show:
        tracks = interpolate(
            model, read_music(first), read_music(second), steps,
            seed=seed, top_p=top_p, draws=draws, device=device, progress=show,
        )  # fmt: skip
    _write_tracks(tracks, out, f"walk-{seed}", model, ends, device)


def _write_tracks(
    tracks: Sequence[Generated], out: Path, name: str, model: Path, parameters: dict[str, Any], device: str
) -> None:
    """Write tracks as MIDI and WAV, each with its record, and name them on stdout."""
    from generator.network.checkpoint import pick_device

    digest = digest_of(model)
    with progress("render") as show:
        for number, track in enumerate(tracks, 1):
            path = out / f"{name}-{number:0{len(str(len(tracks)))}d}.mid"
            render_wav(track.sequence, path.with_suffix(".wav"))  # first, since it refuses what is too long
            write_atomically(path, track.midi or midi_bytes(track.sequence))
            about = {"renderer": renderer_info(), "statistics": track.statistics}
            settings = {**track.drawn.as_settings(), **parameters, **about}
            write_record(
                path, "track", materials=[material_of("model", model, artefact=path, digest=digest)],
                parameters=settings,
                environment=describe_run(str(pick_device(device))), also=[path.with_suffix(".wav").name],
            )  # fmt: skip
            tell(path)
            show(number, len(tracks))


def _generate_spectrograms(model: Path, out: Path, n: int, seed: int, device: str) -> None:
    """Write sounds of 3 s as WAV, each with its record and the distance of the nearest window learned from."""
    from generator.network.checkpoint import pick_device
    from generator.sound.sampling import generate_spectrograms, load_hashes

    samples = generate_spectrograms(model, n, seed=seed, device=device)
    hashes = load_hashes(model)
    usual = nearest_hash(hashes[1], hashes[0]) if hashes and len(hashes[1]) else None
    digest = digest_of(model)
    with progress("sound") as show:
        for number, sample in enumerate(samples, 1):
            path = out / f"track-{seed}-{number:0{len(str(n))}d}.wav"
            write_wav(normalise_loudness(mel_to_samples(sample.mel, seed), MEL_RATE), MEL_RATE, path)
            distances: dict[str, int] = {}
            if hashes:
                bits = hashes[0].shape[1]
                distances = {
                    "phash_bits": bits,
                    "phash_nearest": int(nearest_hash(mel_hash(sample.mel, bits)[None], hashes[0])[0]),
                }
            if usual is not None:
                distances["phash_nearest_held_out_p05"] = int(np.quantile(usual, 0.05))
            write_record(
                path, "track", materials=[material_of("model", model, artefact=path, digest=digest)],
                parameters={**sample.settings, **distances}, environment=describe_run(str(pick_device(device))),
            )  # fmt: skip
            tell(f"{path}  {_nearness(distances)}".rstrip())
            show(number, n)


def _nearness(distances: dict[str, int]) -> str:
    """Say how near the nearest window is, beside what 19 of 20 windows of other pieces keep."""
    if "phash_nearest" not in distances:
        return ""
    usual = distances.get("phash_nearest_held_out_p05")
    beside = "" if usual is None else f" (held-out music: 95 % from {usual} up)"
    warning = "" if usual is None or distances["phash_nearest"] >= usual else "  nearer than music usually is"
    nearest = f"{distances['phash_nearest']} of {distances['phash_bits']} bits from the nearest window learned from"
    return f"{nearest}{beside}{warning}"

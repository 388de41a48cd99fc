"""The command line: parse, call, turn errors into exit codes.

Exit codes: 0 pass; 1 the gate or a verification failed; 2 wrong usage or configuration; 3 input that can't be
read; 4 could not be checked. Data goes to stdout or to the file named, everything else to stderr. Heavy modules are
imported inside the commands, so that ``contraste --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from audit.run import Corpus
    from corpus.store import Store

OK, FAILED, USAGE, UNREADABLE, UNCHECKED = range(5)

app = typer.Typer(
    name="contraste",
    help="Tests and certifies AI-generated music: copy search, metrics, signed provenance, release gate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def say(message: str) -> None:
    """Tell people something, on stderr."""
    typer.echo(message, err=True)


def stop(message: str, code: int) -> NoReturn:
    """End the command with a message on stderr."""
    say(f"contraste: {message}")
    raise typer.Exit(code)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while it is a terminal; yields a function of (done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def open_corpus(store: Store) -> Corpus:
    """Open a store's index and calibration; build what is missing."""
    from audit.index import build_index, open_index
    from audit.measure import measure_chance, open_chance
    from audit.run import Corpus
    from audit.significance import calibrate, open_calibration

    index = open_index(store)
    if index is None:
        with progress("index") as show:
            index = build_index(store, show)
    calibration = open_calibration(index)
    if calibration is None:
        with progress("calibrate") as show:
            calibration = calibrate(store, index, show)
    chance = open_chance(index)
    if chance is None:
        with progress("chance levels") as show:
            chance = measure_chance(store, index, show)
    return Corpus(store, index, calibration, chance)


@app.command()
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Files or folders of MIDI and MusicXML.")],
    into: Annotated[Path, typer.Option("--into", help="The store; made when it is not there.")],
    rights: Annotated[Path | None, typer.Option(help="CSV with path, licence, source, consent, isrc, iswc, title, artist.")] = None,
    require_rights: Annotated[bool, typer.Option("--require-rights", help="Refuse pieces without a licence and a consent.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Reading processes; one a CPU by default.")] = None,
) -> None:
    """Read music into a store and build its index; what is there already is left alone."""
    from corpus.rights import read_rights
    from corpus.store import Store
    from corpus.store import ingest as run_ingest

    table = read_rights(rights) if rights else None
    with progress("read") as show:
        report = run_ingest(sources, into, rights=table, require_rights=require_rights, workers=workers, progress=show)
    for refused in report.refused:
        say(f"refused {refused.path}: {refused.reason}")
    store = Store.open(into)
    say(f"{into}: {report.added} added, {report.known} already there, {len(report.refused)} refused; {len(store.pieces)} pieces in all")
    if not store.pieces:
        stop(f"{into}: the store is empty; none of the files could be taken", UNREADABLE)
    open_corpus(store)
    from ledger.provenance import write_record

    write_record(into, "dataset", parameters={"pieces": len(store.pieces), "manifest_sha256": store.digest})


@app.command()
def search(
    store: Annotated[Path, typer.Argument(help="The store to search.")],
    queries: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="Pieces to list for each query.")] = 10,
    jsonl: Annotated[Path | None, typer.Option(help="Write one JSON object a line for each query.")] = None,
    policy: Annotated[Path | None, typer.Option(help="TOML file with the thresholds.")] = None,
) -> None:
    """Find what each query shares with the store, and say how surprising it is."""
    import json

    from audit.findings import worst
    from audit.policy import read_policy
    from audit.run import find
    from corpus.store import Store
    from music.midi import write_atomically
    from music.notes import MusicError
    from music.read import music_files, read_music
    from reports.json_report import search_record, unreadable_record

    rules = read_policy(policy)
    corpus = open_corpus(Store.open(store))
    files = [file for query in queries for file in music_files(query)]
    if not files:
        stop(f"{queries[0]}: holds no MIDI or MusicXML files", UNREADABLE)
    records, verdicts = [], []
    with progress("search") as show:
        for done, file in enumerate(files):
            try:
                findings = find(corpus, read_music(file), rules, top)
            except MusicError as error:
                records.append(unreadable_record(str(file), str(error)))
                verdicts.append("unreadable")
            else:
                verdicts.append(worst([f.verdict for f in findings]))
                records.append(search_record(str(file), verdicts[-1], findings))
            show(done + 1, len(files))
    if jsonl:
        write_atomically(jsonl, b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records))
    else:
        for record in records:
            _print_search(record)
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("fail", "review", "clear", "unreadable") if v in verdicts)
    say(f"{len(files)} searched in {len(corpus.store.pieces)} pieces: {counts}")
    raise typer.Exit(FAILED if "fail" in verdicts else UNREADABLE if "unreadable" in verdicts else OK)


def _print_search(record: dict[str, Any]) -> None:
    typer.echo(f"{record['query']}: {record['verdict']} {record.get('reason', '')}".rstrip())
    for f in record.get("findings", ()):
        (a, b), (c, d) = f["query_span_s"], f["piece_span_s"]
        typer.echo(
            f"  {f['verdict']:6s} {f['piece']}  {a:.1f}-{b:.1f} s = {c:.1f}-{d:.1f} s  {f['transposition']:+d} st  "
            f"x{f['tempo_ratio']:.2f}  {f['matched']}/{f['notes']} notes  E={f['evalue']:.1e}  p{100 * f['percentile']:.0f}"
        )


def _exit_code(error: Exception) -> int | None:
    """Exit code of an error that the program knows, or None for a defect."""
    from audit.policy import PolicyError
    from corpus.rights import RightsError
    from corpus.store import StoreError
    from music.notes import MusicError

    if isinstance(error, MusicError | StoreError):
        return UNREADABLE
    if isinstance(error, PolicyError | RightsError):
        return USAGE
    return None


def main() -> None:
    """Run the command line; no error of ours or of the system's ends in a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        say("contraste: interrupted; what was finished is kept")
        sys.exit(130)
    except OSError as error:
        say(f"contraste: {error.filename or 'system'}: {error.strerror or error}")
        sys.exit(USAGE)
    except Exception as error:  # our error classes are imported only when one of them may have been raised
        code = _exit_code(error)
        if code is None:
            raise
        say(f"contraste: {error}")
        sys.exit(code)


if __name__ == "__main__":
    main()

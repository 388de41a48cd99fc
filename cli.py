"""The command line: parse, call, turn errors into exit codes.

Exit codes: 0 pass; 1 the gate or a verification failed; 2 wrong usage or configuration; 3 input that can't be
read; 4 could not be checked. Data goes to stdout or to the file named, everything else to stderr. Heavy modules are
imported inside the commands, so that ``contraste --help`` answers at once.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from audit.corpus import AuditCorpus
    from audit.disclosure import Disclosure
    from audit.findings import AuditReport
    from audit.gate.waivers import Waivers
    from audit.measures.sound import Sound, SoundCorpus
    from audit.originality.windows import Measured
    from audit.policy import Policy
    from audit.search.corpus import SearchCorpus
    from corpus.store import Store
    from generator.training.settings import Settings
    from generator.writing.sample import Generated
    from ledger.chains.chain import Chain
    from ledger.hashes.hashcache import HashCache
    from ledger.links import Link, Verification
    from ledger.provenance.digests import Digests
    from ledger.signing.log import TransparencyLog
    from ledger.signing.memory import Memory
    from ledger.signing.signer import Signer
    from ledger.signing.trust import Trust
    from music.notes import NoteSequence
    from music.read import LeftOut
    from reports.pages.index import IndexRow
    from reports.search_result import SearchResult
    from reports.verify import Found

SHIPPED = Path(__file__).parent / "generator" / "pretrained"  # models that came with the program, and their key
FEW_TRACKS = 8  # reports of fewer are made in this process: others take seconds to start
OK, FAILED, USAGE, UNREADABLE, UNCHECKED = range(5)
INTERRUPTED = 130  # as a shell reports it

USAGE_ERROR: Any = typer.BadParameter.__base__  # that of click, of which typer has a copy of its own or not


class Commands(TyperGroup):
    """Commands whose complaints show what was typed as text: a shell that expands ``*`` types what others named."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read what stands before the command."""
        with _as_text():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own arguments, and run it."""
        with _as_text():
            return super().invoke(ctx)


@contextmanager
def _as_text() -> Iterator[None]:
    try:
        yield
    except USAGE_ERROR as error:
        from music.read import printable

        error.message = printable(error.message)
        raise


app = typer.Typer(
    name="contraste",
    cls=Commands,
    help="Tests and certifies AI-generated music: copy search, metrics, signed provenance, release gate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(name="keys", help="Make, trust, change and revoke signing keys.", no_args_is_help=True)
contribution_app = typer.Typer(name="contribution", help="Note what people did to an artefact.", no_args_is_help=True)
ledger_app = typer.Typer(name="ledger", help="Look at statements and the log of what was signed.", no_args_is_help=True)
policy_app = typer.Typer(name="policy", help="Check and explain the rules of the gate.", no_args_is_help=True)
report_app = typer.Typer(name="report", help="Compare and verify audit reports.", no_args_is_help=True)
for part in (keys_app, contribution_app, ledger_app, policy_app, report_app):
    app.add_typer(part)

Tracks = Annotated[list[Path], typer.Argument(help="Files or folders.")]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="The gate's rules: default, distributor, label-release, research, or a TOML file."),
]
SigningKeyOption = Annotated[
    str,
    typer.Option("--key", help="Folder made by 'contraste keys new', a PKCS#12 or PKCS#8 file, or a pkcs11: URI."),
]
PasswordFd = Annotated[
    int | None, typer.Option("--password-fd", min=0, help="File descriptor from which the password is read.")
]
AllowUnsigned = Annotated[
    bool,
    typer.Option("--allow-unsigned", help="Let pass what has no signature at all; what is signed must be as signed."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Hash every file again, also what is unchanged.")]
Trusted = Annotated[
    list[Path] | None,
    typer.Option("--key", help="Public key, or authority's certificate, trusted besides those of this machine."),
]
ChainDir = Annotated[
    Path | None,
    typer.Option("--chain-dir", help="Folder of the embedded chain, whose anchors are simulated."),
]
Rpc = Annotated[str | None, typer.Option("--rpc", help="URL of an Ethereum JSON-RPC node.")]
Account = Annotated[
    Path | None,
    typer.Option("--account", help="Ethereum keystore that pays for --rpc; else CONTRASTE_ETH_KEY."),
]
Network = Annotated[
    str | None, typer.Option("--network", help='Network the node must be on: "sepolia", "hoodi" or a chain id.')
]
MeanMainnet = Annotated[
    bool, typer.Option("--i-mean-mainnet", help="Send to a chain on which transactions cost real money.")
]
MaxFee = Annotated[
    float | None, typer.Option("--max-fee-gwei", help="Most that a unit of gas may cost; 100 by default.")
]
Shares = Annotated[
    list[str] | None,
    typer.Option(
        help="ROLE=SHARE of AI, beside what the record says: composition, lyrics, vocals, instrumentation or "
        "post-production = none, partly or all."
    ),
]
Partial = Annotated[bool, typer.Option("--partial", help="Leave damaged segments of the store out, and say so.")]
Device = Annotated[str, typer.Option(help='"auto", "cpu", "cuda" or "cuda:N".')]


def tell(*lines: object) -> None:
    """Print lines of data on stdout, names and foreign texts in them as text that can't steer the terminal."""
    _print(lines, err=False)


def say(*lines: object) -> None:
    """Tell people something, on stderr, a line each; as `tell`."""
    _print(lines, err=True)


def _print(lines: Sequence[object], err: bool) -> None:
    from music.read import printable

    for line in lines:
        typer.echo(printable(str(line)), err=err)


def tell_json(value: Any) -> None:
    """Print JSON on stdout; what is no printable character stands there by its code."""
    import json

    text = json.dumps(value, indent=1, ensure_ascii=False)
    typer.echo(
        "".join(c if c.isprintable() or c == "\n" else "\\u007f" if c == "\x7f" else json.dumps(c)[1:-1] for c in text)
    )


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


@app.command()
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="Files or folders of MIDI, MusicXML and sound.")],
    into: Annotated[Path, typer.Option("--into", help="The store; made when it is not there.")],
    rights: Annotated[
        Path | None, typer.Option(help="CSV with path, licence, source, consent, isrc, iswc, title, artist.")
    ] = None,
    require_rights: Annotated[
        bool, typer.Option("--require-rights", help="Refuse pieces without a licence and a consent.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Reading processes; one a CPU by default.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help='"local": processes of this machine; "ray": a Ray cluster, RAY_ADDRESS or a local one.')
    ] = "local",
) -> None:
    """Read scores and recordings into a store and build its index; what is there already is left alone."""
    import os

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its products are small, and its threads wait by spinning

    from audit.findings import many
    from audit.opening import open_audit_corpus
    from corpus.ingest import ingest as run_ingest
    from corpus.recordings import open_recordings
    from corpus.rights import read_rights
    from corpus.store import Store
    from ledger.provenance.record import write_record

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
        say(f"remarks on reading {many(len(report.remarks), 'file')}, as on {first.path}: {first.reason}")
    for path in report.removed:
        say(f"taken out {path}: its rights say opt_out")
    for reason in report.unmatched:
        say(f"{rights}: {reason}")
    store = Store.open(into)
    sounds = open_recordings(store)
    recordings = f" and {many(len(sounds), 'recording')}" if len(sounds) else ""
    changes = [f"{len(report.updated)} with new rights"] if report.updated else []
    changes += [f"{len(report.removed)} taken out"] if report.removed else []
    say(
        f"{into}: {', '.join([f'{report.added} added', f'{report.known} already there', *changes])}, "
        f"{len(report.refused)} refused; {many(len(store.pieces), 'piece')}{recordings} in all"
    )
    if not store.pieces and not len(sounds):
        stop(f"{into}: the store is empty; none of the files could be taken", UNREADABLE)
    if store.pieces:
        open_audit_corpus(store, progress, engine, workers, repair=True)
    held = {"pieces": len(store.pieces), "manifest_sha256": store.digest}
    if len(sounds):
        held |= {"recordings": len(sounds), "recordings_sha256": sounds.digest}
    write_record(into, "dataset", parameters=held)


@app.command()
def search(
    store: Annotated[Path, typer.Argument(help="The store to search.")],
    queries: Annotated[list[Path], typer.Argument(help="Files or folders.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="Pieces to list for each query.")] = 10,
    jsonl: Annotated[Path | None, typer.Option(help="Write one JSON object a line for each query.")] = None,
    policy: PolicyFile = None,
    partial: Partial = False,
) -> None:
    """Find what each query shares with the store, and say how surprising it is."""
    import json

    from audit.find import judge, match, search_best, unsearchable
    from audit.findings import many
    from audit.policy import read_policy
    from audit.search.passages import lines
    from music.midi import write_atomically
    from music.read import read_music
    from reports.search_result import SearchResult

    rules = read_policy(policy)
    corpus = _search_corpus(_store(store, partial), partial)
    _name_unmatched(rules, corpus.store)
    files, left_out_files = _music(queries)
    records: list[bytes] = []
    verdicts: list[str] = ["unreadable" if one.weight == "unreadable" else "incomplete" for one in left_out_files]
    with progress("search") as show:
        for done, file in enumerate(files):
            try:
                query = read_music(file)
                here = lines(corpus.index, query)
                judged = judge(corpus, query, here, search_best(corpus, here, top), rules, top)
                gaps = tuple(skipped.reason for skipped in unsearchable(query))
                result = SearchResult(
                    str(file), tuple(match(corpus, query, judged)), corpus.left_out, gaps, tuple(query.remarks)
                )
            except Exception as error:  # whatever one file does, the others are searched
                result = SearchResult(str(file), unreadable=_reason(file, error))
            verdicts.append(result.verdict)
            if jsonl:  # kept as bytes: a thousand findings for each of a thousand queries are gigabytes as objects
                records.append(json.dumps(result.to_json(), ensure_ascii=False).encode() + b"\n")
            else:
                _print_search(result)
            show(done + 1, len(files))
    if jsonl:
        write_atomically(jsonl, b"".join(records))
    kinds = ("fail", "review", "clear", "incomplete", "unreadable")
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in kinds if v in verdicts)
    say(f"{len(files)} searched in {many(len(corpus.store.pieces) - corpus.left_out.pieces, 'piece')}: {counts}")
    raise typer.Exit(_gate({*verdicts}, "unreadable" in verdicts, False))


def _reason(file: Path, error: Exception) -> str:
    """Say why one file could not be dealt with; errors that are no fault of it are raised again."""
    from audit.policy import PolicyError
    from corpus.segment import StoreError
    from ledger.errors import LedgerError
    from music.notes import MusicError

    ours = isinstance(error, StoreError | PolicyError | typer.Exit)
    if ours or (isinstance(error, LedgerError) and str(file) not in str(error)):
        raise error
    if isinstance(error, MusicError | LedgerError):
        return str(error)
    return f"{file}: it can't be dealt with: {type(error).__name__}: {error}"


def _store(path: Path, partial: bool) -> Store:
    """Open a store; with `partial`, say which of its segments are left out."""
    from corpus.store import Store

    store = Store.open(path, partial=partial)
    for name, reason in store.missing:
        say(f"{path}: segment {name} is left out: {reason}")
    if store.missing:
        say(f"{path}: {int((~store.present).sum())} of {len(store.pieces)} pieces are not searched")
        if not store.present.any():
            stop(f"{path}: no piece of the store can be read", UNCHECKED)
    return store


def _search_corpus(store: Store, partial: bool = False) -> SearchCorpus:
    """Open what a search needs; say what is left out and what can't be kept."""
    from audit.opening import open_search_corpus

    corpus = open_search_corpus(store, progress, partial=partial)
    _name_gaps(corpus)
    return corpus


def _audit_corpus(store: Store, partial: bool) -> AuditCorpus:
    """Open what an audit needs; say what is left out and what can't be kept."""
    from audit.opening import open_audit_corpus

    corpus = open_audit_corpus(store, progress, partial=partial)
    _name_gaps(corpus)
    return corpus


def _name_gaps(corpus: SearchCorpus) -> None:
    """Say what a corpus leaves out and can't keep; end the command where nothing is left."""
    store = corpus.store
    for name, reason in corpus.index.missing:
        say(f"{store.path}: index segment {name} is left out: {reason}")
    if corpus.index.missing:
        pieces = corpus.left_out.pieces
        say(f"{store.path}: {pieces} of {len(store.pieces)} pieces are not searched")
        if pieces == len(store.pieces):
            stop(f"{store.path}: no piece of the store can be searched", UNCHECKED)
    for name, reason in corpus.index.unsaved.items():
        say(f"{store.path}: {name} can't be kept ({reason}), so it is worked out anew each time")


def _music(paths: list[Path], sound: bool = False) -> tuple[list[Path], list[LeftOut]]:
    """List notes at or below the paths, and sound where asked; name what is left out, and return what of that weighs.

    Ends the command where there are none.
    """
    from audit.findings import many
    from music.read import LeftOut, listing

    found = listing(*paths)
    left_out = list(found.left_out)
    files = [*found.notes, *(found.sound if sound else ())]
    if not sound:
        notes = {file.with_suffix("") for file in found.notes}
        reason = "sound, and notes are searched here; contraste audit hears it"
        left_out += [
            LeftOut(file, reason, "none" if file.with_suffix("") in notes else "unchecked") for file in found.sound
        ]
    weighing = [one for one in left_out if one.weight != "none"]
    for one in weighing:
        say(f"left out {one.path}: {one.reason}")
    rest = len(left_out) - len(weighing)
    if rest:
        say(f"{many(rest, 'other file')}: no music{'' if sound else ', or sound that has notes of its name beside it'}")
    if not files:
        stop(f"{paths[0]}: holds no MIDI or MusicXML files{' and no sound' if sound else ''}", UNREADABLE)
    order = {path: k for k, path in enumerate(paths)}
    return sorted(
        files, key=lambda file: (min((order[p] for p in (file, *file.parents) if p in order), default=0), file)
    ), weighing


def _is_notes(file: Path) -> bool:
    from music.read import listing

    return not listing(file).sound


def _print_search(result: SearchResult) -> None:
    tell(f"{result.query}: {result.verdict} {result.unreadable}".rstrip())
    for gap in result.not_searched:
        tell(f"  not searched: {gap}")
    for remark in result.remarks:
        tell(f"  in reading: {remark}")
    for m in result.matches:
        (a, b), (c, d) = m.query_span_s, m.piece_span_s
        tell(
            f"  {m.verdict:6s} {m.piece}  {a:.1f}-{b:.1f} s = {c:.1f}-{d:.1f} s  {m.transposition:+d} st  "
            f"x{m.tempo_ratio:.2f}  {m.matched}/{m.notes} notes  E={m.evalue:.1e}  p{100 * m.percentile:.0f}"
        )


@app.command()
def originality(
    store: Annotated[Path, typer.Argument(help="The store to compare with.")],
    tracks: Tracks,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for originality.html and .json.")] = None,
    window: Annotated[str, typer.Option(help="Length of a window: '24 notes', '8 bars'.")] = "24 notes",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
    partial: Partial = False,
) -> None:
    """Say how much of a folder of tracks the store holds, beside what human pieces share with one another."""
    import os

    from audit.originality.baseline import human_baseline
    from audit.originality.report import measure_originality, originality_report
    from audit.originality.windows import Setting
    from music.midi import write_atomically
    from music.read import read_music
    from reports.pages.originality import originality_html, originality_json, originality_lines, originality_sentence

    try:
        setting = Setting.parse(window)
    except ValueError as error:
        stop(f"--window {error}", USAGE)
    corpus = _search_corpus(_store(store, partial), partial)
    files, left_out_files = _music(tracks)
    above = os.path.commonpath([file.parent for file in files])  # reports name no folders of this machine
    names = [file.relative_to(above).as_posix() for file in files]
    with progress("human baseline") as show:
        baseline = human_baseline(corpus.store, corpus.index, setting, show)
    results = []
    unreadable: list[tuple[str, str]] = []
    with progress("originality") as show:
        for done, (file, name) in enumerate(zip(files, names, strict=True)):
            try:
                results.append(measure_originality(corpus.store, corpus.index, name, read_music(file), setting))
            except Exception as error:  # whatever one file does, the others are measured
                reason = _reason(file, error)
                say(f"unreadable {file}: {reason}")
                unreadable.append((name, reason.removeprefix(f"{file}: ")))
            show(done + 1, len(files))
    report = originality_report(corpus, setting, results, baseline, unreadable)
    for path in ([json_file] if json_file else []) + ([out / "originality.json"] if out else []):
        write_atomically(path, originality_json(report))
    if out:
        write_atomically(out / "originality.html", originality_html(report).encode())
    tell(*originality_lines(report))
    for skipped in report.skipped:
        say(f"skipped {skipped.check}: {skipped.reason}")
    say(originality_sentence(report), *([f"report: {out / 'originality.html'}"] if out else []))
    lost = unreadable or any(one.weight == "unreadable" for one in left_out_files)
    raise typer.Exit(UNREADABLE if lost else OK if report.tracks and not left_out_files else UNCHECKED)


@app.command()
def compare(
    reference: Annotated[Path, typer.Argument(help="The piece to compare with.")],
    candidate: Annotated[Path, typer.Argument(help="The track.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every similarity metric of two pieces, each beside what unrelated pieces score."""
    from audit.measures.metrics import rendered
    from metrics.compare import MetricValue, compare
    from music.read import read_music
    from reports.json_report import plain

    rows = compare(rendered(read_music(reference)), rendered(read_music(candidate)))
    if as_json:
        from dataclasses import asdict

        tell_json([plain(asdict(row)) for row in rows])
        return
    tell(f"{'metric':24s} {'value':>8s} {'chance':>8s} {'5 % pass':>9s}")
    for row in rows:
        if isinstance(row, MetricValue):
            mark = {True: "more alike than chance", False: "", None: "no chance level"}[row.beyond_chance]
            chance = (f"{x:.3g}" if x is not None else "-" for x in (row.chance_mean, row.chance_p95))
            tell(f"{row.name:24s} {row.value:8.3g} {next(chance):>8s} {next(chance):>9s}  {mark}".rstrip())
        else:
            tell(f"{row.name:24s} skipped: {row.reason}")


Lang = Annotated[
    Literal["en", "es"],
    typer.Option("--lang", help="Language of the pages; a button in report.html leads to the other."),
]


@app.command()
def audit(
    tracks: Tracks,
    store: Annotated[Path, typer.Option("--store", help="The corpus to check against.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the reports.")],
    model: Annotated[Path | None, typer.Option("--model", help="The model that wrote the tracks.")] = None,
    policy: PolicyFile = None,
    waivers: Annotated[
        Path | None, typer.Option("--waivers", help="TOML file of findings that people let pass.")
    ] = None,
    today: Annotated[
        str | None,
        typer.Option(help="Day that expiry of waivers is compared with, e.g. 2027-01-31; the present one, UTC."),
    ] = None,
    partial: Partial = False,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of html, pdf, json (always), sarif, junit, md, influence and disclosure, separated by commas.",
        ),
    ] = "html,json",
    sign_key: Annotated[
        str | None, typer.Option("--sign-key", help="Sign each report by this key; as --key of 'contraste sign'.")
    ] = None,
    password_fd: PasswordFd = None,
    lang: Lang = "en",
    whole_page: Annotated[
        bool,
        typer.Option("--whole-page", help="Leave nothing out of report.html, also where that takes many megabytes."),
    ] = False,
    key: Trusted = None,
    chain_dir: ChainDir = None,
    rpc: Rpc = None,
) -> None:
    """Judge tracks by a policy: copy search, metrics, provenance; write a report for each."""
    from audit.disclosure import disclose
    from audit.policy import read_policy
    from audit.track import AuditRun, audit_track
    from ledger.provenance.digests import Digests
    from ledger.signing.memory import Memory
    from reports.formats import unknown_or_unavailable
    from reports.language.translation import language
    from reports.pages.index import index_row

    wanted = {*formats.split(","), "json"}
    if reason := unknown_or_unavailable(formats.split(",")):
        stop(f"--format {formats}: {reason}", USAGE)
    signer = _signer(sign_key, password_fd) if sign_key else None
    rules, given = read_policy(policy), _waivers(waivers, today)
    corpus = _checked_corpus(store, partial, rules)
    files, left_out = _music(tracks, sound=True)
    files = _without_their_sound(files, tracks)
    digests, trusted = Digests(), _trusted(key)
    for made_from in (store, model) if model else (store,):
        digests.of(made_from)  # before the first track: what the tracks are judged by is as it is now
    run = AuditRun(
        corpus, rules, trusted, _chain(chain_dir, rpc), model, given, _sounds(corpus, files),
        Memory(_log(), trusted), SHIPPED, digests,
    )  # fmt: skip
    reports: list[AuditReport] = []
    rows = []
    unread: list[tuple[str, str]] = []
    beside = [(one.name, one.reason) for one in left_out]
    windows: dict[str, Measured] = {}
    listed: dict[str, str] = {}
    several = "html" in wanted and len(files) + len(beside) > 1

    def audit_one(file: Path, name: str, music: NoteSequence | Sound) -> tuple[AuditReport, Disclosure | None]:
        report = audit_track(run, file, music, functools.partial(windows.setdefault, name))
        return report, disclose(file, corpus, trusted, model, digests) if "disclosure" in wanted else None

    forms = functools.partial(_report_files, store.resolve(), wanted, lang, whole_page)
    with progress("audit") as show:
        for file, name, report, written in _audited(files, audit_one, forms, show, unread):
            materials = {"track": file, "dataset": store, **({"model": model} if model else {})}
            listed[f"{name}/report.json"] = _keep_report(
                report, out / name, written, rules.text.encode(), signer, digests, index=several, **materials
            )
            reports.append(report)
            rows.append(index_row(report, name, language(lang)))
            tell(f"{report.outcome:10s} {file}: {report.sentence}")
    unused = bool(waivers and given and _name_unused(waivers, given, reports, [file.name for file in files]))
    if several:
        _record_index(_index_of(out, rows, corpus, windows, [*unread, *beside], lang), listed, signer)
    say(f"reports: {out / 'index.html' if several else out}")
    outcomes = {*(report.outcome for report in reports), *("incomplete" for _ in beside)}
    outcomes |= {"fail"} if unused and rules.gate.entries_must_match else set()
    lost = bool(unread) or any(one.weight == "unreadable" for one in left_out)
    raise typer.Exit(_gate(outcomes, lost, rules.gate.review_blocks))


def _checked_corpus(store: Path, partial: bool, rules: Policy) -> AuditCorpus:
    """Open a store to judge by: every byte of it is compared with its manifests, and the policy's entries with it."""
    from audit.search.index import verify_index

    opened = _store(store, partial)
    opened.verify()
    corpus = _audit_corpus(opened, partial)
    verify_index(corpus.index)
    _name_unmatched(rules, opened)
    return corpus


def _without_their_sound(files: list[Path], named: list[Path]) -> list[Path]:
    """Leave out the sound files of a folder that are the sound of notes of their name; others are judged as tracks."""
    from audit.measures.sound import is_sound_of
    from music.read import read_music

    notes = {file.with_suffix(""): file for file in files if _is_notes(file)}
    pairs = {f: notes[f.with_suffix("")] for f in files if f.with_suffix("") in notes and f not in notes.values()}
    pairs = {file: score for file, score in pairs.items() if file not in named}
    left = set()
    with progress("sound beside notes") as show:
        for done, (file, score) in enumerate(pairs.items()):
            with suppress(Exception):  # what can't be read is said when it is judged
                if is_sound_of(file, read_music(score)):
                    left.add(file)
            show(done + 1, len(pairs))
    if left:
        of = "that of notes of the same name" if len(left) == 1 else "those of notes of the same name"
        say(f"{len(left)} sound file{'s' * (len(left) > 1)}: {of}, which are audited")
    for file in pairs:
        if file not in left:
            say(f"{file}: is not the sound of {pairs[file].name}, and is judged as a track of its own")
    return [file for file in files if file not in left]


def _audited(
    files: list[Path],
    audit_one: Callable[[Path, str, NoteSequence | Sound], tuple[AuditReport, Disclosure | None]],
    forms: Callable[[tuple[AuditReport, NoteSequence | Sound, Disclosure | None]], dict[str, bytes]],
    show: Callable[[int, int], None],
    unread: list[tuple[str, str]],
) -> Iterator[tuple[Path, str, AuditReport, dict[str, bytes]]]:
    """Audit files in order, with the forms of each report; those that can't be read are named, and added to `unread`.

    `show` is told how many files are done, those that can't be read among them. Of more than a few, forms are made in
    other processes, while the next track is searched in this one.
    """
    from audit.measures.sound import hear
    from corpus.pool import Crashed, mapped
    from music.read import read_music

    under_way: deque[tuple[Path, str, AuditReport]] = deque()
    done = itertools.count(1)

    def jobs() -> Iterator[tuple[AuditReport, NoteSequence | Sound, Disclosure | None]]:
        for file, name in zip(files, _report_names(files), strict=True):
            try:
                music = read_music(file) if _is_notes(file) else hear(file)
                report, disclosure = audit_one(file, name, music)
            except Exception as error:  # whatever one file does, the others are judged
                reason = _reason(file, error)
                say(f"unreadable {file}: {reason}")
                unread.append((file.name, reason.replace(str(file), file.name)))
                show(next(done), len(files))
                continue
            under_way.append((file, name, report))
            yield report, music, disclosure

    for written in mapped(forms, jobs(), workers=1 if len(files) < FEW_TRACKS else 2):
        file, name, report = under_way.popleft()
        if isinstance(written, Crashed):
            stop(f"{file}: a process died on its report", UNCHECKED)
        yield file, name, report, written
        show(next(done), len(files))


def _index_of(
    out: Path,
    rows: list[IndexRow],
    corpus: AuditCorpus,
    windows: dict[str, Measured],
    unread: list[tuple[str, str]],
    lang: str,
) -> Path:
    """Write the index page of several reports, with the originality of the tracks that have windows."""
    from dataclasses import replace

    from audit.corpus import WINDOW
    from audit.originality.report import originality_report
    from music.midi import write_atomically
    from reports.language.translation import language
    from reports.pages.index import index_html

    named = [replace(measured, name=name) for name, measured in windows.items()]
    release = originality_report(corpus, WINDOW, named, corpus.human if named else None)
    write_atomically(out / "index.html", index_html(rows, release, unread, language(lang)).encode())
    return out / "index.html"


def _sounds(corpus: AuditCorpus, files: list[Path]) -> SoundCorpus | None:
    """Open the sound of the corpus, where one of the files is sound."""
    from audit.measures.sound import open_sounds

    if all(map(_is_notes, files)):
        return None
    with progress("sound of the corpus") as show:
        return open_sounds(corpus.store, show)


def _waivers(file: Path | None, today: str | None) -> Waivers | None:
    """Read a file of waivers as of a day."""
    from datetime import UTC, datetime

    from audit.gate.waivers import parse_day, read_waivers

    if file is None:
        if today is not None:
            stop("--today is what the expiry of waivers is compared with; name them with --waivers", USAGE)
        return None
    try:
        day = parse_day(today) if today is not None else datetime.now(UTC).date()
    except ValueError as error:
        stop(f"--today {today}: {error}", USAGE)
    return read_waivers(file, day)


def _name_unmatched(rules: Policy, store: Store) -> None:
    """Name the entries of a policy that match nothing in the store; end the command where they may not stand there."""
    from corpus.census import sources

    lost = rules.unmatched(sources(store, recordings=True))
    for one in lost:
        say(f"policy {rules.name}: {one}")
    if any(one.meant for one in lost) or (lost and rules.gate.entries_must_match):
        stop(f"policy {rules.name}: {lost[0].key}: write entries as the store has them, or take them out", USAGE)


def _name_unused(file: Path, given: Waivers, reports: Sequence[AuditReport], tracks: Sequence[str]) -> bool:
    """Name the waivers that have expired, or match nothing in any of the tracks; say whether there are any."""
    from corpus.rights import loose

    used = {waiver.line for report in reports for waiver in report.waivers if waiver.state == "applied"}
    unused = [waiver for waiver in given.entries if waiver.state == "expired" or waiver.line not in used]
    for waiver in unused:
        where = f"{file}: line {waiver.line}: the waiver of {waiver.finding}"
        meant = next((name for name in tracks if loose(name) == loose(waiver.track) and name != waiver.track), "")
        hint = f"; perhaps {meant!r} is meant" if meant else ""
        if waiver.state == "expired":
            say(f"{where} expired on {waiver.expires}")
        else:
            say(f"{where} for {waiver.track} matches nothing here{hint}")
    return bool(unused)


def _gate(outcomes: set[str], unread: bool, review_blocks: bool) -> int:
    """Exit code of an audit: the gravest thing that happened to any track."""
    if "fail" in outcomes or ("review" in outcomes and review_blocks):
        return FAILED
    if unread:
        return UNREADABLE
    return UNCHECKED if "incomplete" in outcomes else OK


@policy_app.command("check")
def policy_check(files: Annotated[list[Path], typer.Argument(help="Policies, and files of waivers.")]) -> None:
    """Say whether policies and files of waivers are valid, and name what is wrong, by line."""
    from datetime import UTC, datetime

    from audit.checked_toml import TomlError
    from audit.findings import many
    from audit.gate.waivers import holds_waivers, read_waivers
    from audit.policy import PROFILES, read_policy

    wrong = False
    for file in files:
        try:
            if str(file) not in PROFILES and holds_waivers(file):
                waivers = read_waivers(file, datetime.now(UTC).date())
                late = sum(waiver.state == "expired" for waiver in waivers.entries)
                expired = f", {late} of them expired" if late else ""
                tell(f"{file}: valid, {many(len(waivers.entries), 'waiver')}{expired}")
            else:
                policy = read_policy(file)
                tell(f"{file}: valid, policy {policy.name}, digest {policy.digest[:16]}...")
        except TomlError as error:
            wrong = True
            for problem in error.problems:
                say(f"{file}: {problem}")
    raise typer.Exit(USAGE if wrong else OK)


@policy_app.command("explain")
def policy_explain(
    policy: Annotated[str, typer.Argument(help="A profile's name, or a TOML file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say every value that a policy has in effect, where it comes from, and what it does."""
    import json

    from audit.policy import explained, read_policy

    rules = read_policy(policy)
    entries = [
        {"key": ".".join(map(str, path)), "value": value, "from": origin, "about": about}
        for path, value, origin, about in explained(rules)
    ]
    if as_json:
        tell_json({"name": rules.name, "digest": rules.digest, "values": entries})
        return
    for entry in entries:
        tell(f"{entry['key']} = {json.dumps(entry['value'], ensure_ascii=False)}  [{entry['from']}]")
        tell(f"    {entry['about']}")


@functools.cache
def _opened_again(path: Path) -> Store:
    """Open a store that was checked already, in a process that makes reports."""
    from corpus.store import Store

    return Store.open(path, partial=True)


def _report_files(
    store: Path,
    wanted: set[str],
    lang: str,
    whole: bool,
    job: tuple[AuditReport, NoteSequence | Sound, Disclosure | None],
) -> dict[str, bytes]:
    """Return the files of a report by name."""
    from reports.formats import report_files

    def load_piece(path: str) -> NoteSequence:
        corpus = _opened_again(store)
        return corpus.notes(corpus.index_of(path))

    report, track, disclosure = job
    return report_files(
        report, wanted, track=track, load_piece=load_piece, disclosure=disclosure, lang=lang, whole=whole
    )


def _keep_report(
    report: AuditReport,
    folder: Path,
    files: dict[str, bytes],
    policy: bytes,
    signer: Signer | None,
    digests: Digests,
    *,
    index: bool,
    **made_from: Path,
) -> str:
    """Write the files of a report and their record, and sign them where there is a `signer`; return its digest."""
    from ledger.hashes.digest import hash_bytes
    from music.midi import write_atomically

    files = {"policy.toml": policy, **files}
    for name, content in files.items():
        write_atomically(folder / name, content)
    _record_report(report, folder / "report.json", files, digests, index, **made_from)
    if signer:
        _sign_report(signer, folder / "report.json")
    return hash_bytes(files["report.json"]).hex


def _record_index(index: Path, reports: dict[str, str], signer: Signer | None) -> None:
    """Write the record of the page of several reports, which names them by digest, and sign it."""
    from ledger.hashes.digest import hash_file
    from ledger.provenance.environment import environment
    from ledger.provenance.record import write_record

    said = {"files": {index.name: hash_file(index).hex}, "reports": reports}
    write_record(index, "report", parameters=said, environment=environment())
    if signer:
        _sign_report(signer, index)


def _signer(key: str, password_fd: int | None, certificate: Path | None = None) -> Signer:
    from ledger.signing.signer import load_signer

    return load_signer(key, lambda: _password(password_fd), certificate)


def _sign_report(signer: Signer, file: Path) -> None:
    """Sign report.json, or the index of several, with its record, which holds the digests of what belongs to it."""
    from ledger.provenance.record import sign_path

    sign_path(file, signer.key, signer.certificates, log=_log())


def _record_report(
    report: AuditReport, file: Path, files: dict[str, bytes], digests: Digests, index: bool, **made_from: Path
) -> None:
    """Write the provenance record of a report: what it judged, by what, the outcome, its folder, the files' digests."""
    from ledger.hashes.digest import hash_bytes
    from ledger.provenance.environment import environment
    from ledger.provenance.record import material_of, write_record

    used = {**made_from, "policy": file.with_name("policy.toml")}
    materials = [material_of(kind, path, artefact=file, digest=digests.of(path)) for kind, path in used.items()]
    named = {name: hash_bytes(content).hex for name, content in sorted(files.items())}
    said = {
        "outcome": report.outcome, "sentence": report.sentence, "files": named,
        "folder": file.resolve().parent.name, "index": index,
    }  # fmt: skip
    write_record(file, "report", materials=materials, parameters=said, environment=environment())


def _report_names(files: list[Path]) -> list[str]:
    """Folder of each report: the track's name without its suffix; with it, and a number, where several share it."""
    scores = Counter(file.stem for file in files if _is_notes(file))
    stems = Counter(file.stem for file in files)
    names: list[str] = []
    for file in files:
        alone = stems[file.stem] == 1 or (scores[file.stem] == 1 and _is_notes(file))
        name = file.stem if alone else file.name
        number = next(n for n in itertools.count(1) if (name if n == 1 else f"{name}-{n}") not in names)
        names.append(name if number == 1 else f"{name}-{number}")
    return names


@report_app.command("diff")
def report_diff(
    old: Annotated[Path, typer.Argument(help="report.json, or a folder of reports.")],
    new: Annotated[Path, typer.Argument(help="The later one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is new, fixed and unchanged between two reports; 1 where something new is not clear."""
    from reports.diff import compare_paths, diff_json, diff_lines

    diffs = compare_paths(old, new)
    found = diff_json(diffs)
    if as_json:
        tell_json(found)
    else:
        tell(*diff_lines(diffs))
    say(", ".join(f"{number} {kind}" for kind, number in found["counts"].items()))
    raise typer.Exit(FAILED if any(diff.worse for diff in diffs) else OK)


@report_app.command("verify")
def report_verify(
    path: Annotated[Path, typer.Argument(help="report.json, or a folder of reports.")],
    key: Trusted = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Check that reports and the files beside them are as the audit wrote and a trusted key signed them."""
    from dataclasses import asdict

    from ledger.signing.memory import Memory
    from reports.diff import report_files
    from reports.verify import beside_index

    trusted = _trusted(key)
    verdicts, printed, memory = [], [], Memory(_log(), trusted)
    results = [(file, _verify_report(file, trusted, memory, allow_unsigned)) for file in report_files(path)]
    results += beside_index(path, results, allow_unsigned)
    for file, found in results:
        verdicts += [one.verdict for one in found]
        printed.append({"report": str(file), "files": [asdict(one) for one in found]})
        if not as_json:
            tell(f"{file}: {_headline(found)}")
            for one in found:
                tell(f"  {one.verdict:10s} {one.file}: {one.detail}")
    if as_json:
        tell_json(printed)
    raise typer.Exit(FAILED if "broken" in verdicts else UNCHECKED if {"unchecked", "missing"} & {*verdicts} else OK)


def _headline(found: Sequence[Found]) -> str:
    """Say in a few words what was found about a report: the gravest of it, or ok."""
    for verdicts, word in ((("broken",), "broken"), (("missing", "unchecked"), "incomplete")):
        for one in found:
            if one.verdict in verdicts:
                return f"{word} at {one.file}"
    return "ok"


def _verify_report(file: Path, trusted: Trust, memory: Memory, allow_unsigned: bool) -> list[Found]:
    """Check a report by its record, its signature and itself, and the index page that it belongs to."""
    from ledger import errors
    from ledger.provenance.record import read_record
    from ledger.verify import verify_path
    from reports.verify import Found, verify_files

    try:
        record = read_record(file)
        digests = record.origin.parameters.get("files") if record else None
        found = verify_files(file, digests if isinstance(digests, dict) else {})
    except errors.LedgerError as error:
        return [Found(f"{file.name}.provenance.json", "broken", str(error))]
    links = verify_path(file, trusted, log=memory, allow_unsigned=allow_unsigned).links
    return [*found, *_own_links(file, links)]


def _own_links(file: Path, links: Sequence[Link]) -> Iterator[Found]:
    """Yield what was found about a report itself and the index page that it belongs to.

    Materials and chains are left to ``contraste verify``, and that a signer is not known here is unchecked.
    """
    import os

    from reports.verify import INDEX, Found

    names = {str(file): f"{file.name}.sig", os.path.normpath(file.parent / ".." / INDEX): INDEX}
    for link in links:
        if link.subject in names and link.code not in ("chain-not-asked", "not-anchored", "not-logged"):
            known: dict[str, Any] = {"simulated": "ok", "pending": "ok"}
            verdict: Any = "unchecked" if link.code == "signer-unknown" else known.get(link.verdict, link.verdict)
            yield Found(names[link.subject], verdict, link.detail)


Minutes = Annotated[float | None, typer.Option(min=0.05, help="Time budget.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Step budget.")]
Epochs = Annotated[float | None, typer.Option(min=0.01, help="Budget in passes; 100 where no budget is given.")]
Patience = Annotated[int, typer.Option(min=0, help="Stop after so many scorings without a better one; 0: never.")]
Every = Annotated[float, typer.Option(min=0.05, help="Minutes between scorings, with a checkpoint each.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Windows a step, over all processes; 4 on a CPU, 32 on a GPU.")]
Precision = Annotated[str, typer.Option(help="float32, bfloat16 or auto.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from where the folder's run ended.")]
ModelOption = Annotated[
    Path | None, typer.Option("--model", help="A folder made by 'contraste train'; or the shipped one.")
]
Half = Annotated[bool, typer.Option("--half", help="Write the weights as float16: half the size.")]
Augment = Annotated[
    str, typer.Option(help="Of transpose, tempo, displace, ornament, invert, separated by commas; '' for none.")
]
Conditioned = Annotated[bool, typer.Option(help="Head windows by what they are like, so that generate can be told.")]
Temperature = Annotated[float, typer.Option(help="> 0; 1 is as learned.")]
TopP = Annotated[float, typer.Option(help="Share of the likeliest tokens to draw from.")]
Sharded = Annotated[bool, typer.Option("--sharded", help="Under torchrun: spread weights over the processes (FSDP).")]


@app.command()
def train(
    store: Annotated[Path, typer.Option("--store", help="The corpus to learn from.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    minutes: Minutes = None,
    steps: Steps = None,
    epochs: Epochs = None,
    patience: Patience = 6,
    checkpoint_minutes: Every = 5.0,
    size: Annotated[str, typer.Option(help="tiny, base or large.")] = "tiny",
    latent: Annotated[int, typer.Option(min=0, help="Numbers of a bar's style latent; 0: no style encoder.")] = 0,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Outside the attention.")] = 0.2,
    batch: Batch = None,
    spectrogram: Annotated[
        bool, typer.Option("--spectrogram", help="Learn sound, from the store's recordings or else renders of it.")
    ] = False,
    canaries: Annotated[int, typer.Option(min=0, max=256, help="Random melodies to plant, for 'evaluate'.")] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    augment: Augment = "transpose",
    conditions: Conditioned = True,
    half: Half = False,
    sharded: Sharded = False,
    resume: Resume = False,
) -> None:
    """Train a model on a store's training split; under torchrun, with all its processes."""
    with _extra("generator"):
        from generator.training.settings import Settings

    if spectrogram:
        if precision != "auto":
            stop("--precision: is not chosen for spectrograms: bfloat16 on CUDA, float32 on a CPU", USAGE)
        return _train_spectrogram(
            store, out, size=size, minutes=10.0 if minutes is None and steps is None else minutes, steps=steps,
            batch=batch or 16, seed=seed, device=device, resume=resume,
        )  # fmt: skip
    settings = Settings(
        size=size, latent=latent, dropout=dropout, minutes=minutes, steps=steps, epochs=epochs, patience=patience,
        checkpoint_minutes=checkpoint_minutes, seed=seed, batch=batch, device=device, precision=precision,
        half=half, sharded=sharded, augment=_names(augment), conditions=conditions, canaries=canaries,
    )  # fmt: skip
    _train(store, out, settings, resume=resume)


@app.command()
def finetune(
    store: Annotated[Path, typer.Option("--store", help="The corpus with the artist's pieces.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tuned model.")],
    model: Annotated[Path | None, typer.Option("--model", help="The model to begin with; or the shipped one.")] = None,
    artist: Annotated[str, typer.Option(help="Learn from this artist's pieces alone, as named in the rights.")] = "",
    lora: Annotated[int, typer.Option(min=0, help="Rank of low-rank adapters; 0: all weights learn.")] = 0,
    minutes: Minutes = None,
    steps: Steps = None,
    epochs: Epochs = None,
    patience: Patience = 6,
    checkpoint_minutes: Every = 5.0,
    rate: Annotated[float, typer.Option(min=1e-6, max=0.1, help="Learning rate at first; a tenth at last.")] = 5e-4,
    batch: Batch = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    augment: Augment = "transpose",
    conditions: Conditioned = True,
    half: Half = False,
    sharded: Sharded = False,
    resume: Resume = False,
) -> None:
    """Tune a model to one artist, or to another store."""
    with _extra("generator"):
        from generator.network.checkpoint import SHIPPED
        from generator.training.settings import Settings

    settings = Settings(
        minutes=minutes, steps=steps, epochs=epochs, patience=patience, checkpoint_minutes=checkpoint_minutes,
        seed=seed, batch=batch, rate_first=rate, rate_last=rate / 10, artist=artist, lora=lora, device=device,
        precision=precision, half=half, sharded=sharded, augment=_names(augment), conditions=conditions,
    )  # fmt: skip
    _train(store, out, settings, base=model or SHIPPED, resume=resume)


def _names(text: str) -> tuple[str, ...]:
    """Names out of a list with commas."""
    return tuple(sorted(filter(None, (name.strip() for name in text.split(",")))))


def _train(store: Path, out: Path, settings: Settings, *, base: Path | None = None, resume: bool) -> None:
    """Run `generator.training.train.train`, write the record of it, and say what was reached."""
    from corpus.store import Store
    from generator.training.processes import leads
    from generator.training.train import train
    from generator.writing.text_encoder import MINILM, train_text
    from ledger.provenance.record import material_of, write_record

    opened = Store.open(store)
    report = train(opened, out, settings, base=base, resume=resume)
    if not leads():
        raise typer.Exit(OK)
    found = train_text(opened, out, settings.seed) if settings.conditions and report.ended != "interrupted" else {}
    used = {"dataset": store, "model": base}
    write_record(
        out, "model", materials=[material_of(kind, path, artefact=out) for kind, path in used.items() if path],
        parameters=report.settings, environment=_environment(str(report.settings["device"])),
    )  # fmt: skip
    ended = {"patience": "; no better for a while", "interrupted": "; interrupted, go on with --resume"}
    say(f"{out}: {report.steps} steps, {report.tokens_per_s:.0f} tokens/s{ended.get(report.ended, '')}")
    for name, scored in (("model", report.validation), ("count n-gram", report.baseline)):
        if scored:
            say(
                f"  {name:13s} perplexity {scored['perplexity']:.3f}, {scored['bits_per_note']:.3f} bits a note (valid)"
            )
    for file, scored in found.items():
        name = "words, MiniLM" if file == MINILM else "words"
        share = f"{scored['r_at_1']:.0%} first, {scored['r_at_10']:.0%} among ten"
        say(f"  {name:13s} of {scored['candidates']} pieces (valid) a caption finds its own: {share}")
    if report.ended == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _train_spectrogram(store: Path, out: Path, **settings: Any) -> None:
    """Train on sound, with hashes of the windows kept beside the model."""
    from corpus.store import Store
    from generator.sound.specgan import train_spectrogram
    from ledger.provenance.record import material_of, write_record
    from metrics.phash import mel_hash

    with progress("sound") as show:
        report = train_spectrogram(
            Store.open(store), out, hasher=functools.partial(mel_hash, bits=256), progress=show, **settings
        )  # fmt: skip
    write_record(
        out, "model", materials=[material_of("dataset", store, artefact=out)], parameters=report.settings,
        environment=_environment(str(report.settings["device"])),
    )  # fmt: skip
    ended = "; interrupted, go on with --resume" if report.interrupted else ""
    say(f"{out}: {report.steps} steps on {report.windows['train']} windows of {report.kind}{ended}")
    say(
        f"  critic's gradient norm {report.gradient_norm['mean']:.2f}, wanted 1; samples differ by "
        f"{report.variety:.2f} of what real windows do"
    )
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def generate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the tracks.")],
    model: ModelOption = None,
    n: Annotated[int, typer.Option("-n", min=1, max=4096, help="How many tracks.")] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    bars: Annotated[int, typer.Option(min=1, max=1024, help="Bars, at least.")] = 16,
    temperature: Temperature = 1.05,
    top_p: TopP = 0.97,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from so many of the likeliest tokens at most.")] = None,
    best_of: Annotated[
        int, typer.Option("--best-of", min=1, max=64, help="Draws of a track; the most typical is kept.")
    ] = 1,
    guard: Annotated[
        Path | None, typer.Option(help="Store: bars that the copy search flags in it are thrown away and drawn again.")
    ] = None,
    beam: Annotated[int | None, typer.Option(min=1, max=64, help="Beam search of this width instead.")] = None,
    prime: Annotated[Path | None, typer.Option(help="Music to go on from.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What the tracks are to be like, in English.")] = None,
    key: Annotated[str | None, typer.Option(help="Like 'A minor'.")] = None,
    meter: Annotated[str | None, typer.Option(help="Like 3/4.")] = None,
    tempo: Annotated[str | None, typer.Option(help="Quarters a minute; or slow, medium or fast.")] = None,
    density: Annotated[str | None, typer.Option(help="sparse, medium or dense; or 0 to 7.")] = None,
    polyphony: Annotated[int | None, typer.Option(help="Notes that sound at a time, 1 to 7.")] = None,
    instruments: Annotated[str | None, typer.Option(help="A part for each, like guitar,bass.")] = None,
    chords: Annotated[str | None, typer.Option(help="One a bar, over and over, like 'Am F C G'.")] = None,
    artist: Annotated[str | None, typer.Option(help="One of those the model may name.")] = None,
    tries: Annotated[int, typer.Option(min=1, max=64, help="Draws of a track that misses what was asked for.")] = 8,
    device: Device = "auto",
) -> None:
    """Write new tracks, as MIDI and WAV, each with the record of how it was made."""
    from ledger.provenance.record import digest_of
    from music.read import read_music

    with _extra("generator"):
        from generator.network.checkpoint import SHIPPED, is_spectrogram, read_description
        from generator.writing.condition_words import parse_conditions
        from generator.writing.prompt import parse_prompt, understood_or_refused
        from generator.writing.sample import generate
        from generator.writing.text_encoder import load_text

    model = model or SHIPPED
    if is_spectrogram(model):
        if prime or beam or prompt:
            stop("--prime, --beam, --prompt: are for models of notes; this one is of spectrograms", USAGE)
        return _generate_spectrograms(model, out, n, seed, device)
    asked = parse_conditions(
        key=key, meter=meter, tempo=tempo, density=density, polyphony=polyphony, instruments=instruments, chords=chords,
        artist=artist,
    )  # fmt: skip
    rank, said = None, {}
    if prompt is not None:
        said["prompt"] = prompt
        understood = parse_prompt(prompt, read_description(model).artists)
        say(understood.sentence())
        asked = asked.joined(understood_or_refused(understood))
        encoders = load_text(model) if understood.left else None
        if encoders:
            rank = functools.partial(encoders.similarity, prompt)
            said["text_encoder"] = encoders.file  # which one ranks depends on the extras installed here
    opening = read_music(prime) if prime else None
    primed = {"prime_sha256": digest_of(prime).hex} if prime else {}
    made = generate(
        model,
        n,
        seed=seed,
        temperature=temperature,
        top_p=top_p,
        beam=beam,
        bars=bars,
        top_k=top_k,
        best_of=best_of,
        guard=_guard(guard) if guard else None,
        prime=opening,
        conditions=asked,
        tries=tries,
        rank=rank,
        device=device,
    )
    if asked:
        fallen = [
            list(asked.checked()) if track.settings.get("degenerate") else track.settings["missed"] for track in made
        ]
        missed = [name for names in fallen for name in names]
        counts = ", ".join(f"{name} {n - missed.count(name)} of {n}" for name in asked.checked())
        say(f"as asked for: {counts or 'nothing that could be checked'}")
    if guard:
        said |= _guarded(guard, made)
    _write_tracks(made, out, f"track-{seed}", model, {**primed, **said}, device)
    degenerate = [
        (number, track.settings["degenerate"]) for number, track in enumerate(made, 1) if "degenerate" in track.settings
    ]
    for number, reasons in degenerate:
        say(f"track {number} is no music of the kind that was learned: {'; '.join(reasons)}")
    raise typer.Exit(FAILED if degenerate and asked else OK)


def _guard(store: Path) -> Callable[[NoteSequence], bool]:
    """Return what says whether the copy search flags music in a store."""
    from audit.find import is_flagged
    from audit.policy import read_policy

    corpus, rules = _search_corpus(_store(store, partial=False)), read_policy()
    return lambda music: is_flagged(corpus, music, rules)


def _guarded(store: Path, made: Sequence[Generated]) -> dict[str, str]:
    """Say what a guard threw away; return what the record says of its store."""
    from corpus.store import Store

    reports = [track.settings["guard"] for track in made]
    totals = {name: sum(report[name] for report in reports) for name in ("redrawn", "bars", "restarts", "flagged")}
    say(
        f"guard {store}: {totals['redrawn']} times thrown away, {totals['bars']} bars in all; {totals['restarts']} "
        f"lines begun anew; {totals['flagged']} of {len(made)} tracks are flagged still"
    )
    return {"guard_store_digest": Store.open(store).digest}


@app.command()
def infill(
    track: Annotated[Path, typer.Argument(help="The piece.")],
    bars: Annotated[str, typer.Option(help="Which to write anew, from 1, like 5-8.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the versions.")],
    model: ModelOption = None,
    n: Annotated[int, typer.Option("-n", min=1, max=64, help="How many versions.")] = 1,
    candidates: Annotated[
        int, typer.Option(min=1, max=256, help="Draws of a version; kept is the one that what follows fits best.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    temperature: Temperature = 1.0,
    top_p: TopP = 0.97,
    device: Device = "auto",
) -> None:
    """Write some bars of a piece anew; what stands before and after them stays."""
    import re

    from ledger.provenance.record import digest_of
    from music.midi import read_bytes
    from music.read import read_music

    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", bars.strip())
    if not found:
        stop(f"--bars {bars}: name a bar or a range of them, like 5-8", USAGE)
    with _extra("generator"):
        from generator.network.checkpoint import SHIPPED
        from generator.writing.infill import infill

    model, data = model or SHIPPED, read_bytes(track)
    made = infill(
        model, read_music(track), (int(found[1]), int(found[2] or found[1])), n, seed=seed, temperature=temperature,
        top_p=top_p, candidates=candidates, device=device, midi=data if data[:4] == b"MThd" else None,
    )  # fmt: skip
    _write_tracks(made, out, f"{track.stem}-infilled-{seed}", model, {"track_sha256": digest_of(track).hex}, device)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder made by 'contraste train' or 'finetune'.")],
    store: Annotated[Path, typer.Option("--store", help="The corpus to measure on; the one it learned from.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the figures as JSON.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with pictures.")] = None,
    base: Annotated[Path | None, typer.Option("--base", help="The model that it was tuned from.")] = None,
    base_store: Annotated[Path | None, typer.Option("--base-store", help="The corpus of that model.")] = None,
    artist: Annotated[str, typer.Option(help="Whose style to look for; the one that it was tuned to.")] = "",
    n: Annotated[int, typer.Option("-n", min=2, max=4096, help="Tracks to write and look at.")] = 16,
    bars: Annotated[int, typer.Option(min=4, max=1024, help="Bars of each, at least.")] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Device = "auto",
) -> None:
    """Measure a model: likelihood, variety, style, originality, and whether it knows pieces by heart."""
    import json

    from audit.measures.likeness import model_likeness
    from corpus.store import Store
    from ledger.provenance.record import digest_of
    from music.midi import write_atomically
    from reports.pages.evaluation import evaluation_html, evaluation_rows

    with _extra("generator"):
        from generator.evaluate import evaluate_model, excerpts
        from generator.network.checkpoint import read_training

    if (base is None) != (base_store is None):
        stop("--base and --base-store: the base is measured on its own store, so name both or none", USAGE)
    opened = _store(store, partial=False)
    broad = Store.open(base_store) if base_store else opened
    artist = artist or str(read_training(model).get("settings", {}).get("artist", ""))
    say(f"{model}: measured on {store}; this takes minutes")
    figures, made = evaluate_model(
        model, opened, n, seed=seed, bars=bars, base=(base, broad) if base else None, device=device
    )
    corpus = _search_corpus(opened)
    tracks = [track.sequence for track in made]
    sides: dict[tuple[str, bool], list[NoteSequence]] = {}
    for split, splits in (("train", ("train",)), ("held_out", ("valid", "test"))):
        for own in (False, True) if artist else ():
            kept = (lambda name: name == artist) if own else (lambda name: name != artist)
            sides[split, own] = excerpts(opened if own else broad, bars, splits, kept)
    with progress("originality") as show:
        likeness = model_likeness(corpus, excerpts(opened, bars), tracks, sides, show)
    figures["skipped"] += likeness.pop("skipped")
    data = {
        "schema": "contraste-evaluation/1",
        "model": {"name": model.name, "digest": digest_of(model).hex},
        "store": {"name": store.name, "digest": opened.digest},
        "settings": {"n": n, "bars": bars, "seed": seed, "artist": artist},
        **figures,
        **likeness,
    }
    if out:
        write_atomically(out, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
    if html:
        write_atomically(html, evaluation_html(data).encode())
    for row in evaluation_rows(data):
        tell(f"{row[0]:44s} {row[1]:>12s}  {row[2]}".rstrip())
    for skipped in data["skipped"]:
        say(f"skipped {skipped['check']}: {skipped['reason']}")


@app.command()
def interpolate(
    first: Annotated[Path, typer.Argument(help="Music at one end.")],
    second: Annotated[Path, typer.Argument(help="Music at the other.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tracks.")],
    model: Annotated[
        Path | None,
        typer.Option("--model", help="A folder made by 'contraste train --latent N'; or the shipped model."),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=64, help="How many tracks, both ends among them.")] = 7,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    top_p: TopP = 0.9,
    draws: Annotated[int, typer.Option(min=1, max=64, help="Draws of each step; the most even is kept.")] = 8,
    device: Device = "auto",
) -> None:
    """Write the tracks on the way from one piece to another, bar by bar through their styles."""
    from ledger.provenance.record import digest_of
    from music.read import read_music

    with _extra("generator"):
        from generator.network.checkpoint import SHIPPED
        from generator.writing.interpolate import interpolate

    model = model or SHIPPED
    ends = {"first_sha256": digest_of(first).hex, "second_sha256": digest_of(second).hex}
    with progress("steps") as show:
        made = interpolate(
            model, read_music(first), read_music(second), steps,
            seed=seed, top_p=top_p, draws=draws, device=device, progress=show,
        )  # fmt: skip
    _write_tracks(made, out, f"walk-{seed}", model, ends, device)


def _write_tracks(
    made: Sequence[Generated], out: Path, name: str, model: Path, parameters: dict[str, Any], device: str
) -> None:
    """Write tracks as MIDI and WAV, each with its record, and name them on stdout."""
    from generator.network.checkpoint import pick_device
    from ledger.provenance.record import digest_of, material_of, write_record
    from music.midi import midi_bytes, write_atomically
    from music.render import render_wav, renderer_info

    digest = digest_of(model)
    with progress("render") as show:
        for number, track in enumerate(made, 1):
            path = out / f"{name}-{number:0{len(str(len(made)))}d}.mid"
            render_wav(track.sequence, path.with_suffix(".wav"))  # first, since it refuses what is too long
            write_atomically(path, track.midi or midi_bytes(track.sequence))
            said = {**track.settings, **parameters, "renderer": renderer_info(), "statistics": track.statistics}
            write_record(
                path, "track", materials=[material_of("model", model, artefact=path, digest=digest)], parameters=said,
                environment=_environment(str(pick_device(device))), also=[path.with_suffix(".wav").name],
            )  # fmt: skip
            tell(path)
            show(number, len(made))


def _generate_spectrograms(model: Path, out: Path, n: int, seed: int, device: str) -> None:
    """Write sounds of 3 s as WAV, each with its record and the distance of the nearest window learned from."""
    import numpy as np

    from generator.network.checkpoint import pick_device
    from generator.sound.sampling import generate_spectrograms, load_hashes
    from ledger.provenance.record import digest_of, material_of, write_record
    from metrics.phash import mel_hash, nearest_hash
    from music.audio import MEL_RATE, mel_to_samples
    from music.render import levelled, write_wav

    made = generate_spectrograms(model, n, seed=seed, device=device)
    hashes = load_hashes(model)
    usual = nearest_hash(hashes[1], hashes[0]) if hashes and len(hashes[1]) else None
    digest = digest_of(model)
    with progress("sound") as show:
        for number, sample in enumerate(made, 1):
            path = out / f"track-{seed}-{number:0{len(str(n))}d}.wav"
            write_wav(levelled(mel_to_samples(sample.mel, seed), MEL_RATE), MEL_RATE, path)
            said: dict[str, int] = {}
            if hashes:
                bits = hashes[0].shape[1]
                said = {
                    "phash_bits": bits,
                    "phash_nearest": int(nearest_hash(mel_hash(sample.mel, bits)[None], hashes[0])[0]),
                }
            if usual is not None:
                said["phash_nearest_held_out_p05"] = int(np.quantile(usual, 0.05))
            write_record(
                path, "track", materials=[material_of("model", model, artefact=path, digest=digest)],
                parameters={**sample.settings, **said}, environment=_environment(str(pick_device(device))),
            )  # fmt: skip
            tell(f"{path}  {_nearness(said)}".rstrip())
            show(number, n)


def _nearness(said: dict[str, int]) -> str:
    """Say how near the nearest window is, beside what 19 of 20 windows of other pieces keep."""
    if "phash_nearest" not in said:
        return ""
    usual = said.get("phash_nearest_held_out_p05")
    beside = "" if usual is None else f" (held-out music: 95 % from {usual} up)"
    warning = "" if usual is None or said["phash_nearest"] >= usual else "  nearer than music usually is"
    return f"{said['phash_nearest']} of {said['phash_bits']} bits from the nearest window learned from{beside}{warning}"


def _environment(device: str) -> dict[str, Any]:
    """Describe the code and the hardware of a run on `device`, a CUDA device by its name."""
    from ledger.provenance.environment import environment

    if device.startswith("cuda"):
        from torch.cuda import get_device_name

        device = f"{device} ({get_device_name(device)})"
    return environment(device)


@keys_app.command("new")
def keys_new(
    folder: Annotated[Path, typer.Argument(help="Folder for private.p12, public.pem, certificate.pem and ca.pem.")],
    curve: Annotated[str, typer.Option(help="P-256, P-384 or P-521.")] = "P-256",
    account: Annotated[bool, typer.Option("--account", help="Make an Ethereum account too (account.json).")] = False,
    password_fd: PasswordFd = None,
) -> None:
    """Make a key pair, encrypted with a password, with a certificate; trust it on this machine."""
    password = _password(password_fd, confirm=True)
    tell(_new_key(folder, password, curve))
    if account:
        from ledger.chains.account import create_account

        tell(create_account(folder / "account.json", password))


def _new_key(folder: Path, password: str, curve: str = "P-256") -> str:
    """Make a key pair with its certificate, trust it, and return its key id."""
    from ledger.signing.certificates import create_certificates
    from ledger.signing.keyring import trust_key
    from ledger.signing.signer import create_keys

    public = create_keys(folder, password, curve)
    create_certificates(folder, public)
    return trust_key(public)


@keys_app.command("trust")
def keys_trust(
    file: Annotated[
        Path, typer.Argument(help="Public key, its folder, certificate authority, or a statement about keys (.sig).")
    ],
) -> None:
    """Trust a key or an authority, or take in a rotation, a revocation list or the account of a key."""
    from ledger.signing.keyring import import_trusted

    tell(import_trusted(file))


@keys_app.command("list")
def keys_list() -> None:
    """List the keys trusted on this machine, with what is known of them."""
    from ledger.signing.keyring import trusted_keys
    from ledger.signing.trust import format_time

    trust = trusted_keys()
    for identity in trust:
        revoked, account = trust.revoked.get(identity), trust.accounts.get(identity)
        notes = f"  revoked since {format_time(revoked.since)}: {revoked.reason}" if revoked else ""
        tell(f"{identity}{notes}{f'  account {account}' if account else ''}")
    for root in trust.roots:
        tell(f"authority {root.subject.rfc4514_string()}")


@keys_app.command("rotate")
def keys_rotate(
    folder: Annotated[Path, typer.Argument(help="Folder for the new key.")],
    key: SigningKeyOption,
    password_fd: PasswordFd = None,
) -> None:
    """Make a new key that the old one names as its successor (rotation.sig); it has the same password."""
    from ledger.hashes.digest import write_atomic
    from ledger.signing.keyring import rotate
    from ledger.signing.keys import load_public
    from ledger.signing.signer import load_signer

    password = _password(password_fd)
    old = load_signer(key, lambda: password)
    tell(_new_key(folder, password))
    write_atomic(folder / "rotation.sig", rotate(old, load_public(folder)).to_bytes())
    say(f"give {folder / 'rotation.sig'} to those who trust the old key: contraste keys trust rotation.sig")


@keys_app.command("revoke")
def keys_revoke(
    key: SigningKeyOption,
    revoked: Annotated[str | None, typer.Argument(help="Key id; the signing key itself where it is left out.")] = None,
    since: Annotated[str | None, typer.Option(help="From when on, like 2026-05-01T12:00:00Z; now by default.")] = None,
    reason: Annotated[str, typer.Option(help="For people.")] = "unspecified",
    out: Annotated[Path, typer.Option("--out", help="Where the list goes, to be given to others.")] = Path(
        "revocations.sig"
    ),
    password_fd: PasswordFd = None,
) -> None:
    """Put a key on the revocation list of the signing key: the key itself, or the one it succeeds."""
    from datetime import UTC, datetime

    from ledger.hashes.digest import Digest, read_bytes, write_atomic
    from ledger.signing.envelope import Envelope
    from ledger.signing.keyring import revoke
    from ledger.signing.keys import key_id
    from ledger.signing.signer import load_signer
    from ledger.signing.trust import parse_time

    signer = load_signer(key, lambda: _password(password_fd))
    with _argument("--since"):
        moment = parse_time(since) if since else datetime.now(UTC)
    own = key_id(signer.key.public_key())
    with _argument("key id"):
        Digest.from_hex(revoked or own)
    named = Path(key) / "rotation.sig"
    rotation = Envelope.from_bytes(read_bytes(named), source=str(named)) if revoked and named.is_file() else None
    envelope = revoke(signer, revoked or own, since=moment, reason=reason, rotation=rotation)
    write_atomic(out, envelope.to_bytes())
    tell(out)


@keys_app.command("bind")
def keys_bind(
    key: SigningKeyOption,
    account: Annotated[Path, typer.Option("--account", help="Ethereum keystore (version 3).")],
    out: Annotated[Path, typer.Option("--out", help="Where the statement goes, to be given to others.")] = Path(
        "account.sig"
    ),
    password_fd: PasswordFd = None,
) -> None:
    """Bind a signing key and an Ethereum account by a statement that both sign; one password opens both."""
    from ledger.chains.account import load_keystore
    from ledger.hashes.digest import write_atomic
    from ledger.signing.keyring import bind_account
    from ledger.signing.signer import load_signer

    password = _password(password_fd)
    envelope = bind_account(load_signer(key, lambda: password), load_keystore(account, password))
    write_atomic(out, envelope.to_bytes())
    tell(out)


@contribution_app.command("add")
def contribution_add(
    path: Annotated[Path, typer.Argument(help="A track, a model, a data set, a report.")],
    kind: Annotated[str, typer.Option(help="prompt, edit or selection.")],
    text: Annotated[str, typer.Option(help="What was done.")],
    author: Annotated[str, typer.Option(help="Who did it.")] = "",
) -> None:
    """Add to the log of what people did; 'contraste sign' signs it with the artefact."""
    from ledger.provenance.contributions import add_contribution, contributions_file, read_contributions
    from ledger.provenance.record import digest_of

    read_contributions(path)  # what is wrong with the file is no fault of the options
    content = digest_of(path)
    with _argument("--kind, --text, --author"):
        entries = add_contribution(path, kind, text, content, author=author)
    tell(contributions_file(path))
    say(f"{len(entries)} {'entries' if len(entries) > 1 else 'entry'}; sign {path} again to cover all of them")


@contribution_app.command("list")
def contribution_list(path: Annotated[Path, typer.Argument(help="An artefact.")]) -> None:
    """List what people did."""
    from ledger.provenance.contributions import read_contributions

    entries = read_contributions(path)
    if not entries and not path.exists():
        stop(f"cannot read {path}: no such file or folder", UNREADABLE)
    for entry in entries:
        tell(f"{entry['time']}  {entry['kind']:9s}  {entry['author'] or '-'}: {entry['text']}")
    if not entries:
        say(f"no contributions to {path} are noted")


@app.command()
def sign(
    paths: Annotated[list[Path], typer.Argument(help="Stores, models, tracks, reports.")],
    key: SigningKeyOption,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", help="PEM chain of the key, leaf first, to sign by certificate; also for credentials."
        ),
    ] = None,
    source_type: Annotated[
        Literal["trained", "composite"] | None,
        typer.Option(help="How tracks came about: all by a model, or human work with parts by one. From the record."),
    ] = None,
    mining: Annotated[
        Literal["allowed", "notAllowed"], typer.Option(help="Whether others may learn from the tracks.")
    ] = "notAllowed",
    report: Annotated[Path | None, typer.Option(help="Audit report of the one track, to be named in it.")] = None,
    tsa: Annotated[str | None, typer.Option(help="URL of an RFC 3161 time stamping authority.")] = None,
    credential: Annotated[bool, typer.Option(help="Give tracks C2PA credentials.")] = True,
    shard_size: Annotated[
        int | None,
        typer.Option("--shard-size", min=1, help="Cut files of folders and models into shards of so many bytes."),
    ] = None,
    no_cache: NoCache = False,
    password_fd: PasswordFd = None,
) -> None:
    """Sign artefacts and what they were made from; writes PATH.sig beside each, and C2PA credentials into tracks."""
    from ledger.exchange.credential import is_music
    from ledger.hashes.manifest import FILES, Method, check_name
    from ledger.paths import named
    from ledger.provenance.record import owner_of, sign_path
    from ledger.signing.signer import load_signer
    from ledger.signing.timestamp import time_stamp
    from ledger.staging import Staged

    signer = load_signer(key, lambda: _password(password_fd), certificate)
    for path in paths:
        check_name(named(path).name)
    paths = _with_indexes(list(dict.fromkeys(owner_of(path) for path in paths)))
    tracks = [path for path in paths if credential and is_music(path)]
    if report and len(tracks) != 1:
        raise typer.BadParameter(f"{len(tracks)} tracks; a report is about one", param_hint="--report")
    if report:
        from ledger.provenance.record import check_about
        from ledger.signing.keys import key_id
        from ledger.signing.trust import Trust

        public = signer.key.public_key()
        check_about(report, tracks[0], Trust({**_trusted(None), key_id(public): public}))
    issuer = None
    if tracks:
        from ledger.exchange.credential_issue import Issuer, chain_of

        issuer = Issuer(signer.key, chain_of(signer, key), source_type, mining, tsa)
    method = Method(shard_size, FILES.ignored) if shard_size else FILES
    for path in paths:
        staged = Staged()  # the statement is about the file with its credential, and both are put there together
        holders = issuer.issue(path, report, staged) if issuer and path in tracks else {}
        signature = sign_path(
            path, signer.key, signer.certificates, method=method, cache=_cache(no_cache), log=_log(), staged=staged,
            stamp=functools.partial(time_stamp, url=tsa) if tsa else None,
        )  # fmt: skip
        for holder, lost in holders.items():
            reason = f", beside the file, which stays as it was: inside, it would not keep {lost}" if lost else ""
            say(f"{holder}: C2PA credential{reason}")
        tell(signature)


def _with_indexes(paths: list[Path]) -> list[Path]:
    """Add the index of each report that one lists: it is signed with the reports."""
    from ledger.provenance.record import index_of

    found = (index_of(path) for path in paths)
    return list(dict.fromkeys([*paths, *(index for index in found if index is not None)]))


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(help="Stores, models, tracks, reports.")],
    key: Trusted = None,
    chain_dir: ChainDir = None,
    rpc: Rpc = None,
    search: Annotated[list[Path] | None, typer.Option(help="Folder in which to look for what a path names.")] = None,
    short: Annotated[bool, typer.Option("--short", help="One line a path, without its links.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no chain, and say which links need one.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse signatures that leave files out.")] = False,
    signature: Annotated[Path | None, typer.Option(help="Signature of the one path, if not PATH.sig.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Name below the path that an old signature left out.")
    ] = None,
    allow_unsigned: AllowUnsigned = False,
    require_anchor: Annotated[
        bool, typer.Option("--require-anchor", help="Each path must be anchored on the chain.")
    ] = False,
    track: Annotated[Path | None, typer.Option(help="The track that the one report must be about.")] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Believe digests of files that look unchanged; see docs/cli.md.")
    ] = False,
) -> None:
    """Walk from each path back to the data set and the anchor; say what is assured, and at which link it breaks."""
    from ledger.hashes.manifest import Method
    from ledger.provenance.digests import Digests
    from ledger.signing.memory import Memory
    from ledger.verify import verify_path

    if offline and (rpc or chain_dir):
        stop("--offline asks no chain, so it does not go with --rpc or --chain-dir", USAGE)
    if (signature or ignore or track) and len(paths) > 1:
        stop("--signature, --ignore and --track are about one path", USAGE)
    with _argument("--ignore"):
        Method(None, tuple(ignore or ()))
    trusted, chain = _trusted(key), None if offline else _chain(chain_dir, rpc)
    verdicts: list[str] = []
    printed, memory, digests = [], Memory(_log(), trusted), Digests(_cache(not cache))
    for path in paths:
        found = verify_path(
            path, trusted, chain, search or (), require_anchor=require_anchor, signature=signature,
            ignored=ignore or (), strict=strict, allow_unsigned=allow_unsigned, digests=digests, log=memory,
            shipped=SHIPPED, about=track,
        )  # fmt: skip
        if not as_json:
            _print_links(found, short)
        verdicts += [found.verdict, store := _verify_store(path, quiet=as_json)]
        printed.append(found.to_json() | {"store": store})
    if as_json:
        tell_json(printed)
    raise typer.Exit(FAILED if "broken" in verdicts else UNCHECKED if "incomplete" in verdicts else OK)


def _print_links(found: Verification, short: bool) -> None:
    """Print the verdict of a path and, unless `short`, the table of its links."""
    fault = f" at {found.fault.name}: {found.fault.detail}" if found.fault else ""
    tell(f"{found.path}: {found.verdict}{fault}")
    if short:
        return
    if found.assurance and found.verdict != "broken":
        tell(f"  assured    {found.assurance}")
    width = max(10, *(len(link.name) for link in found.links))
    for link in found.links:
        tell(f"  {link.verdict:10s} {link.name:{width}s} {link.subject}: {link.detail}")
    if found.needs_chain:
        names = ", ".join(f"{link.name} of {Path(link.subject).name}" for link in found.needs_chain)
        tell(f"  only a chain can tell: {names}; name it with --rpc or --chain-dir")


@ledger_app.command("show")
def ledger_show(
    path: Annotated[Path, typer.Argument(help="A signed artefact.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the statements and their proofs as JSON.")] = False,
) -> None:
    """Show the statements about an artefact, who signed them, and where they stand in this machine's log."""
    from ledger.show import signed_about

    found = signed_about(path, _trusted(None), _log())
    if as_json:
        tell_json(found)
        return
    for item in found:
        statement, entry = item["statement"], item["log"]
        tell(f"{item['file']}: {statement['predicateType']}")
        tell(f"  signer   {item['signer']}")
        for subject in statement["subject"]:
            tell(f"  subject  {subject['name']} {subject['digest']['sha256']}")
        for material in item["materials"]:
            tell(f"  from     {material['kind']} {material['name']} {material['digest']['sha256']}")
        where = "not in this machine's log"
        if entry:
            proof = f"{len(entry['proof'])} hashes to {entry['root']}"
            where = f"entry {entry['position'] + 1} of {entry['size']}, {entry['time']}, {proof}"
        tell(f"  log      {where}")


@ledger_app.command("log")
def ledger_log(
    since: Annotated[
        str | None, typer.Option(help="SIZE:ROOT of an older state, to be shown to be the beginning of this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what was signed on this machine, after checking every entry against the signed head."""
    from ledger.show import log_state

    if since is not None and not _is_state(since):
        stop(f"--since {since}: SIZE:ROOT is a number, a colon and 64 hexadecimal digits", USAGE)
    state = log_state(_log(), _trusted(None), since)
    if as_json:
        tell_json(state)
        return
    for entry in state["entries"]:
        names = ", ".join(entry["subject"])
        tell(f"{entry['position'] + 1:6d}  {entry['time']}  {entry['key'][:16]}  {entry['predicateType']}  {names}")
    if state["entries"]:
        tell(f"{state['size']}:{state['root']}")
    say(f"{state['size']} entries, as signed" + ("; they begin with the older ones" if since else ""))


def _is_state(text: str) -> bool:
    import re

    return re.fullmatch(r"[1-9][0-9]{0,15}:[0-9a-f]{64}", text) is not None


def _cache(no_cache: bool) -> HashCache | None:
    from ledger.hashes.hashcache import HashCache
    from ledger.paths import data_folder

    return None if no_cache else HashCache(data_folder() / "hashes.sqlite")


def _log() -> TransparencyLog:
    from ledger.paths import data_folder
    from ledger.signing.log import TransparencyLog

    return TransparencyLog(data_folder() / "log.sqlite")


def _verify_store(path: Path, quiet: bool = False) -> str:
    """Hash what a store names itself, signed or not; say what is wrong and return its verdict, "ok" for no store."""
    if not (path / "manifest.json").is_file() or not (path / "segments").is_dir():
        return "ok"
    from audit.search.index import open_index, verify_index  # slow to import, and most paths are no stores
    from corpus.segment import StoreAlteredError, StoreError
    from corpus.store import Store

    try:
        store = Store.open(path)
        store.verify()
        index = open_index(store)
        if index is not None:
            verify_index(index)
    except StoreError as error:
        verdict = "broken" if isinstance(error, StoreAlteredError) else "incomplete"
        if not quiet:
            tell(f"  {verdict:10s} {'store':10s} {error}")
        return verdict
    return "ok"


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A store for croissant, a model for cyclonedx, a track for ddex.")],
    format: Annotated[Literal["croissant", "cyclonedx", "ddex"], typer.Option(help="What it is written as.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    ai: Shares = None,
) -> None:
    """Describe a store, a model or a track for other people's tools."""
    from ledger.exchange.cyclonedx import model_bom
    from ledger.exchange.ddex import disclosure_xml
    from music.midi import write_atomically

    if ai and format != "ddex":
        raise typer.BadParameter(f"{format} says nothing of the sort; only ddex does", param_hint="--ai")
    if format == "croissant":
        from corpus.croissant import describe

        content = describe(_store(path, partial=False), out)
    elif format == "cyclonedx":
        content = model_bom(path)
    else:
        if not path.is_file():
            stop(f"{path}: no such file; ddex is about a track", UNREADABLE)
        content = disclosure_xml(path, _shares(ai))
    write_atomically(out, content)


@app.command()
def anchor(
    paths: Annotated[list[Path], typer.Argument(help="Signed stores, models, tracks, reports.")],
    again: Annotated[
        bool, typer.Option("--again", help="Write the roots in the anchor files once more, after a reorganisation.")
    ] = False,
    key: Trusted = None,
    chain_dir: ChainDir = None,
    rpc: Rpc = None,
    account: Account = None,
    password_fd: PasswordFd = None,
    network: Network = None,
    mean_mainnet: MeanMainnet = False,
    max_fee_gwei: MaxFee = None,
) -> None:
    """Write one Merkle root for all paths to a chain, and its proof beside each."""
    from audit.findings import many
    from ledger.anchors.anchor import anchor_again, anchor_paths

    chain = _writable_chain(chain_dir, rpc, account, password_fd, network, mean_mainnet, max_fee_gwei)
    trusted = _trusted(key)
    made = anchor_again if again else anchor_paths
    receipts = made(paths, chain, trust=trusted, log=_log())
    for receipt in receipts if isinstance(receipts, tuple) else (receipts,):
        tell(f"0x{receipt.root.hex()}")
        state = "simulated" if receipt.simulated else f"chain {receipt.chain.chain_id}, pending until it is finalized"
        say(f"{many(len(paths), 'path')} anchored in block {receipt.block}, {state}")
        if receipt.known:
            say("the root was there already, and nothing was sent; contraste verify says if it was revoked since")
        if receipt.issuer != chain.account:
            say(f"the root was anchored before by {receipt.issuer}, who alone can revoke it")
        if receipt.evidence is None:
            say("the blocks of this chain are not Ethereum's: the files hold no evidence of the block")


@app.command()
def revoke(
    paths: Annotated[list[Path], typer.Argument(help="Anchored paths.")],
    whole_root: Annotated[
        bool, typer.Option("--root", help="Revoke the whole root, and with it all paths that were anchored together.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is published.")] = "",
    chain_dir: ChainDir = None,
    rpc: Rpc = None,
    account: Account = None,
    password_fd: PasswordFd = None,
    network: Network = None,
    mean_mainnet: MeanMainnet = False,
    max_fee_gwei: MaxFee = None,
) -> None:
    """Revoke anchors on their chain; only the account that anchored them can."""
    from ledger.anchors.anchor import revoke_path

    chain = _writable_chain(chain_dir, rpc, account, password_fd, network, mean_mainnet, max_fee_gwei)
    for path in paths:
        mined = revoke_path(path, chain, reason, whole_root=whole_root, log=_log())
        tell(mined.transaction)
        say(f"{path}: {'root' if whole_root else 'anchor'} revoked in block {mined.block}")


@app.command()
def mint(
    tracks: Annotated[list[Path], typer.Argument(help="Signed tracks.")],
    report: Annotated[
        Path | None, typer.Option(help="The track's signed report.json, or the folder of 'contraste audit'.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the token; the file's by default.")] = "",
    description: Annotated[str, typer.Option()] = "",
    licence: Annotated[str, typer.Option(help="SPDX identifier or URL.")] = "",
    ai: Shares = None,
    media: Annotated[Path | None, typer.Option(help="Audio to play; that of the same name by default.")] = None,
    image: Annotated[str, typer.Option(help="Cover: a file or a URI.")] = "",
    external_url: Annotated[str, typer.Option(help="Page about the track.")] = "",
    to: Annotated[str | None, typer.Option(help="Address of the owner; the paying account by default.")] = None,
    locked: Annotated[bool, typer.Option("--locked", help="The tokens can never be transferred (ERC-5192).")] = False,
    royalty: Annotated[
        int | None, typer.Option(min=0, max=10_000, help="Share of every sale in 1/10,000, to the paying account.")
    ] = None,
    on_chain: Annotated[
        bool, typer.Option("--on-chain", help="Store the metadata on the chain too; its URI is a data: URI then.")
    ] = False,
    key: Trusted = None,
    chain_dir: ChainDir = None,
    rpc: Rpc = None,
    account: Account = None,
    password_fd: PasswordFd = None,
    network: Network = None,
    mean_mainnet: MeanMainnet = False,
    max_fee_gwei: MaxFee = None,
) -> None:
    """Mint ERC-721 tokens; writes TRACK.nft.json, the metadata, and TRACK.token.json, where the token is."""
    from ledger.anchors.token_metadata import Listing, metadata_file
    from ledger.anchors.tokens import mint_tracks

    listing = Listing(name, description, licence, external_url, image, _shares(ai))
    chain = _writable_chain(chain_dir, rpc, account, password_fd, network, mean_mainnet, max_fee_gwei)
    options: dict[str, Any] = {"report": report, "media": media, "to": to, "locked": locked, "keys": _trusted(key)}
    tokens = mint_tracks(tracks, chain, listing, on_chain=on_chain, royalty=royalty, log=_log(), **options)
    for track, token in zip(dict.fromkeys(tracks), tokens, strict=True):
        tell(metadata_file(track))
        state = ", simulated" if token.simulated else f" on chain {token.chain.chain_id}"
        say(f"token {token.token_id:#x} of {token.owner}{state}{', locked' if token.locked else ''}")


def _shares(ai: list[str] | None) -> dict[str, str]:
    """Split each ROLE=SHARE."""
    parts = (text.lower().partition("=") for text in ai or ())
    return {role.strip(): share.strip() for role, _, share in parts}


@app.command()
def setup() -> None:
    """Compile what search and sampling need, once after installing; without it, the first command does."""
    from importlib.util import find_spec

    from audit.compiled import compile_search

    compile_search()
    if find_spec("torch"):
        from generator.network.checkpoint import SHIPPED
        from generator.writing.sample import generate

        generate(SHIPPED, 1, bars=1, tries=1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to make; an earlier demo in it is replaced.")],
) -> None:
    """Do the whole job on Bach's chorales: ingest, train, generate, sign, anchor, audit, verify."""
    import os

    from corpus.demo import run_demo

    # The demo's key has a public password, so it is trusted inside the demo's own folder only.
    os.environ.update(CONTRASTE_HOME=str(out / "home"), CONTRASTE_PASSWORD="demo")
    wrong = run_demo(out, _step, say)
    say("", f"open {(out / 'reports' / 'index.html').resolve()}")
    if wrong:
        stop("not as it should be: " + "; ".join(wrong), FAILED)


def _step(*words: object, expect: int = OK) -> None:
    """Run one command of this program, shown as a person would type it."""
    import shlex

    arguments = [str(word) for word in words]
    say("", f"$ contraste {shlex.join(arguments)}")
    code = app(arguments, standalone_mode=False) or OK
    if code != expect:
        stop(f"'contraste {arguments[0]}' ended with {code} instead of {expect}", int(code))


def _password(descriptor: int | None = None, confirm: bool = False) -> str:
    """Return the password: the first line of a file descriptor, the environment's, or what is typed."""
    import os

    if descriptor is not None:
        try:
            with open(descriptor, closefd=False, encoding="utf-8") as file:
                return file.readline().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            stop(f"--password-fd {descriptor}: no password can be read there: {error}", USAGE)
    given = os.environ.get("CONTRASTE_PASSWORD")
    if given is not None:
        return given
    if not _has_terminal():
        stop("a password is needed, and there is no terminal to ask at; set CONTRASTE_PASSWORD or --password-fd", USAGE)
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))


def _has_terminal() -> bool:
    """Whether a person can be asked: getpass asks at the process's terminal, whatever standard input is."""
    try:
        with open("/dev/tty"):
            return True
    except OSError:
        return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _trusted(extra: list[Path] | None) -> Trust:
    """Return what this machine trusts, and the public keys and authorities of the options."""
    from ledger.signing.keyring import trusted_keys, with_files

    return with_files(trusted_keys(), extra or [])


def _chain(chain_dir: Path | None, rpc: str | None) -> Chain | None:
    """Open a chain to read; None when it is the default embedded one and was never written to."""
    from ledger.paths import data_folder

    if rpc is None and not (chain_dir or data_folder() / "chain").exists():
        return None
    from ledger.chains.opening import open_chain

    return open_chain(chain_dir=chain_dir, rpc=rpc, mean_mainnet=True)  # reading costs nothing


def _writable_chain(
    chain_dir: Path | None,
    rpc: str | None,
    account: Path | None,
    password_fd: int | None,
    network: str | None,
    mean_mainnet: bool,
    max_fee_gwei: float | None,
) -> Chain:
    """Open the chain that the options of a writing command name."""
    from ledger.chains.account import load_account_key
    from ledger.chains.opening import open_chain

    if account is not None and rpc is None:
        stop("--account pays for --rpc; the embedded chain has an account of its own", USAGE)
    account_key = None
    if rpc is not None:
        account_key = load_account_key(account, _password(password_fd) if account else None)
    return open_chain(
        chain_dir=chain_dir,
        rpc=rpc,
        account_key=account_key,
        network=network,
        mean_mainnet=mean_mainnet,
        max_fee_gwei=max_fee_gwei,
    )


@contextmanager
def _argument(name: str) -> Iterator[None]:
    """Say that an option is at fault when its value breaks a format."""
    from ledger.errors import Malformed

    try:
        yield
    except Malformed as error:
        stop(f"{name}: {error}", USAGE)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say which extra is missing when an import fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        stop(f"{error.name} is not installed; install it with: pip install 'contraste[{name}]'", USAGE)


def _exit_code(error: Exception) -> int | None:
    """Exit code of an error that the program knows, or None for a defect."""
    from audit.checked_toml import TomlError
    from corpus.demo import DemoError
    from corpus.pool import EngineError
    from corpus.rights import RightsError
    from corpus.segment import StoreAlteredError, StoreDamagedError, StoreError
    from ledger import errors
    from ledger.hashes.manifest import ManifestMismatch
    from metrics.tokens import MetricError
    from music.notes import MusicError
    from reports.json_report import ReportError

    codes: list[tuple[int, tuple[type[Exception], ...]]] = [  # the first that fits: subclasses before their base
        (FAILED, (errors.SignatureInvalid, ManifestMismatch, errors.LogBroken, StoreAlteredError)),
        (UNCHECKED, (StoreDamagedError,)),
        (USAGE, (TomlError, RightsError, DemoError, EngineError)),
        (USAGE, (errors.KeyUnusable, errors.ChainRefused, errors.ExtraMissing)),
        (UNREADABLE, (MusicError, StoreError, MetricError, ReportError, errors.PathRefused, errors.Malformed)),
        (UNCHECKED, (errors.Unsigned, errors.ChainUnreachable, errors.NotFinal, errors.TimeStampUnavailable)),
        (USAGE, (errors.LedgerError,)),  # the rest: a place that can't be written to, as for an OSError
    ]
    if "generator.data.tokens" in sys.modules:  # raised only where it was imported
        tokens = sys.modules["generator.data.tokens"]
        codes += [(USAGE, (tokens.SettingError,)), (UNREADABLE, (tokens.GeneratorError,))]
    return next((code for code, kinds in codes if isinstance(error, kinds)), None)


def _keep_compiled_code() -> None:
    """Name a temporary folder for numba where neither the installation nor the home folder can be written to.

    The search is compiled again by every command then; `NUMBA_CACHE_DIR` can name a better place.
    """
    import atexit
    import os
    import shutil
    import tempfile

    usual = (Path(__file__).parent, Path.home())
    if "NUMBA_CACHE_DIR" not in os.environ and not any(os.access(folder, os.W_OK) for folder in usual):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="contraste-")
        atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)


def main() -> None:
    """Run the command line; no error of ours or of the system's ends in a traceback."""
    _keep_compiled_code()
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as end:  # typer turns Ctrl-C into the exit code 130
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        say("contraste: interrupted; what was finished is kept")
        sys.exit(INTERRUPTED)
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

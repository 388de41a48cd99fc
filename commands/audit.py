"""The command audit: tracks judged by a policy, a report for each."""

from __future__ import annotations

import functools
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.gate.waivers import parse_day, read_waivers
from audit.measures.sound import hear, is_sound_of, open_sounds
from audit.policy import read_policy
from commands.shared.inputs import (
    explain_error,
    gate_exit_code,
    is_notes,
    list_music,
    name_gaps,
    name_unmatched,
    open_store,
)
from commands.shared.opening import open_chain_to_read, open_log, open_signer, open_trust
from commands.shared.options import ChainToRead, Lang, Partial, PasswordFd, PolicyFile, Tracks, Trusted, grouped
from commands.shared.terminal import UNCHECKED, USAGE, progress, say, stop, tell
from corpus.pool import Crashed, map_jobs
from corpus.rights import loose
from corpus.store import Store
from generator.shipped import MODELS
from ledger.hashes.digest import hash_bytes, hash_file
from ledger.provenance.digests import Digests
from ledger.provenance.environment import describe_environment
from ledger.provenance.record import material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing.memory import Memory
from music.midi import write_atomically
from music.notes import NoteSequence
from music.read import read_music
from reports.formats import FORMS, Source, report_files, unknown_or_unavailable
from reports.language.translation import language

if TYPE_CHECKING:
    from audit.corpus import AuditCorpus
    from audit.disclosure import Disclosure
    from audit.gate.waivers import Waivers
    from audit.measures.sound import Sound, SoundCorpus
    from audit.originality.windows import Measured
    from audit.policy import Policy
    from audit.report import AuditReport
    from ledger.signing.signer import Signer
    from reports.pages.index import IndexRow

FEW_TRACKS = 8  # reports of fewer are made in this process: others take seconds to start


@grouped
def audit(
    tracks: Tracks,
    source: ChainToRead,
    store: Annotated[Path, typer.Option("--store", help="The corpus to check against.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the reports.")],
    model: Annotated[Path | None, typer.Option("--model", help="The model that wrote the tracks.")] = None,
    policy: PolicyFile = None,
    waivers: Annotated[
        Path | None, typer.Option("--waivers", help="TOML file of waivers: findings that a person has accepted.")
    ] = None,
    today: Annotated[
        str | None,
        typer.Option(help="Day on which waivers must still be valid, e.g. 2027-01-31; by default today (UTC)."),
    ] = None,
    partial: Partial = False,
    formats: Annotated[
        str, typer.Option("--format", help=f"Comma-separated: {', '.join(FORMS)}; json is always written.")
    ] = "html,json",
    sign_key: Annotated[
        str | None, typer.Option("--sign-key", help="Sign each report with this key; see --key of 'contraste sign'.")
    ] = None,
    password_fd: PasswordFd = None,
    lang: Lang = "en",
    whole_page: Annotated[
        bool, typer.Option("--whole-page", help="Leave nothing out of report.html, even if it takes many megabytes.")
    ] = False,
    key: Trusted = None,
) -> None:
    """Judge tracks by a policy: copy search, metrics, provenance; write a report for each."""
    from audit.disclosure import disclose
    from audit.track import AuditRun, audit_track
    from reports.pages.index import index_row

    wanted = {*formats.split(","), "json"}
    if reason := unknown_or_unavailable(formats.split(",")):
        stop(f"--format {formats}: {reason}", USAGE)
    signer = open_signer(sign_key, password_fd) if sign_key else None
    rules, given = read_policy(policy), _waivers(waivers, today)
    corpus = _checked_corpus(store, partial, rules)
    files, left_out = list_music(tracks, sound=True)
    files = _without_their_sound(files, tracks)
    digests, trusted = Digests(), open_trust(key)
    for made_from in (store, model) if model else (store,):
        digests.of(made_from)  # before the first track: what the tracks are judged by is as it is now
    run = AuditRun(
        corpus, rules, trusted, open_chain_to_read(source), model, given, _sounds(corpus, files),
        Memory(open_log(), trusted), MODELS, digests,
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
    raise typer.Exit(gate_exit_code(outcomes, lost, rules.gate.review_blocks))


def _checked_corpus(store: Path, partial: bool, rules: Policy) -> AuditCorpus:
    """Open a store to judge by: every byte of it is compared with its manifests, and the policy's entries with it."""
    from audit.opening import open_audit_corpus
    from audit.search.index import verify_index

    opened = open_store(store, partial)
    opened.verify()
    corpus = open_audit_corpus(opened, progress, partial=partial)
    name_gaps(corpus)
    verify_index(corpus.index)
    name_unmatched(rules, opened)
    return corpus


def _without_their_sound(files: list[Path], named: list[Path]) -> list[Path]:
    """Leave out the sound files of a folder that are the sound of notes of their name; others are judged as tracks."""
    notes = {file.with_suffix(""): file for file in files if is_notes(file)}
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
    under_way: deque[tuple[Path, str, AuditReport]] = deque()
    done = itertools.count(1)

    def jobs() -> Iterator[tuple[AuditReport, NoteSequence | Sound, Disclosure | None]]:
        for file, name in zip(files, _report_names(files), strict=True):
            try:
                music = read_music(file) if is_notes(file) else hear(file)
                report, disclosure = audit_one(file, name, music)
            except Exception as error:  # whatever one file does, the others are judged
                reason = explain_error(file, error)
                say(f"unreadable {file}: {reason}")
                unread.append((file.name, reason.replace(str(file), file.name)))
                show(next(done), len(files))
                continue
            under_way.append((file, name, report))
            yield report, music, disclosure

    for files_of_report in map_jobs(forms, jobs(), workers=1 if len(files) < FEW_TRACKS else 2):
        file, name, report = under_way.popleft()
        if isinstance(files_of_report, Crashed):
            stop(f"{file}: a process died on its report", UNCHECKED)
        yield file, name, report, files_of_report
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
    from audit.corpus import WINDOW
    from audit.originality.report import originality_report
    from reports.pages.index import index_html

    named = [replace(measured, name=name) for name, measured in windows.items()]
    release = originality_report(corpus, WINDOW, named, corpus.human if named else None)
    write_atomically(out / "index.html", index_html(rows, release, unread, language(lang)).encode())
    return out / "index.html"


def _sounds(corpus: AuditCorpus, files: list[Path]) -> SoundCorpus | None:
    """Open the sound of the corpus, where one of the files is sound."""
    if all(map(is_notes, files)):
        return None
    with progress("sound of the corpus") as show:
        return open_sounds(corpus.store, show)


def _waivers(file: Path | None, today: str | None) -> Waivers | None:
    """Read a file of waivers as of a day."""
    if file is None:
        if today is not None:
            stop("--today is the day on which waivers must be valid; name their file with --waivers", USAGE)
        return None
    try:
        day = parse_day(today) if today is not None else datetime.now(UTC).date()
    except ValueError as error:
        stop(f"--today {today}: {error}", USAGE)
    return read_waivers(file, day)


def _name_unused(file: Path, given: Waivers, reports: Sequence[AuditReport], tracks: Sequence[str]) -> bool:
    """Name the waivers that have expired, or match nothing in any of the tracks; say whether there are any."""
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


@functools.cache
def _opened_again(path: Path) -> Store:
    """Open a store that was checked already, in a process that makes reports."""
    return Store.open(path, partial=True)


def _report_files(
    store: Path,
    wanted: set[str],
    lang: str,
    whole: bool,
    job: tuple[AuditReport, NoteSequence | Sound, Disclosure | None],
) -> dict[str, bytes]:
    """Return the files of a report by name."""

    def load_piece(path: str) -> NoteSequence:
        corpus = _opened_again(store)
        return corpus.notes(corpus.index_of(path))

    report, track, disclosure = job
    return report_files(Source(report, None, track, load_piece, disclosure, lang, whole), wanted)


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
    files = {"policy.toml": policy, **files}
    for name, content in files.items():
        write_atomically(folder / name, content)
    _record_report(report, folder / "report.json", files, digests, index, **made_from)
    if signer:
        sign_report(signer, folder / "report.json")
    return hash_bytes(files["report.json"]).hex


def _record_index(index: Path, reports: dict[str, str], signer: Signer | None) -> None:
    """Write the record of the page of several reports, which names them by digest, and sign it."""
    parameters = {"files": {index.name: hash_file(index).hex}, "reports": reports}
    write_record(index, "report", parameters=parameters, environment=describe_environment())
    if signer:
        sign_report(signer, index)


def sign_report(signer: Signer, file: Path) -> None:
    """Sign report.json, or the index of several, with its record, which holds the digests of what belongs to it."""
    sign_path(file, signer.key, signer.certificates, log=open_log())


def _record_report(
    report: AuditReport, file: Path, files: dict[str, bytes], digests: Digests, index: bool, **made_from: Path
) -> None:
    """Write the provenance record of a report: what it judged, by what, the outcome, its folder, the files' digests."""
    used = {**made_from, "policy": file.with_name("policy.toml")}
    materials = [material_of(kind, path, artefact=file, digest=digests.of(path)) for kind, path in used.items()]
    named = {name: hash_bytes(content).hex for name, content in sorted(files.items())}
    parameters = {
        "outcome": report.outcome, "sentence": report.sentence, "files": named,
        "folder": file.resolve().parent.name, "index": index,
    }  # fmt: skip
    write_record(file, "report", materials=materials, parameters=parameters, environment=describe_environment())


def _report_names(files: list[Path]) -> list[str]:
    """Folder of each report: the track's name without its suffix; with it, and a number, where several share it."""
    scores = Counter(file.stem for file in files if is_notes(file))
    stems = Counter(file.stem for file in files)
    names: list[str] = []
    for file in files:
        alone = stems[file.stem] == 1 or (scores[file.stem] == 1 and is_notes(file))
        name = file.stem if alone else file.name
        number = next(n for n in itertools.count(1) if (name if n == 1 else f"{name}-{n}") not in names)
        names.append(name if number == 1 else f"{name}-{number}")
    return names

"""Commands on reports: diff, verify."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.shared.opening import open_log, open_trust
from commands.shared.options import AllowUnsigned, Json, Trusted
from commands.shared.terminal import FAILED, OK, UNCHECKED, say, tell, tell_json
from ledger import errors
from ledger.provenance.record import read_record
from ledger.signing.memory import Memory
from ledger.verify import verify_path
from reports.diff import compare_paths, diff_json, diff_lines, report_files
from reports.verify import INDEX, Found, beside_index, verify_files

if TYPE_CHECKING:
    from ledger.links import Link
    from ledger.signing.trust import Trust

report = typer.Typer(help="Compare and verify audit reports.", no_args_is_help=True, add_completion=False)


@report.command("diff")
def report_diff(
    old: Annotated[Path, typer.Argument(help="report.json, or a folder of reports.")],
    new: Annotated[Path, typer.Argument(help="The later report or folder.")],
    as_json: Json = False,
) -> None:
    """Print what is new, fixed and unchanged between two reports; exit with 1 if something new is not clear."""
    diffs = compare_paths(old, new)
    summary = diff_json(diffs)
    if as_json:
        tell_json(summary)
    else:
        tell(*diff_lines(diffs))
    say(", ".join(f"{number} {kind}" for kind, number in summary["counts"].items()))
    raise typer.Exit(FAILED if any(diff.worse for diff in diffs) else OK)


@report.command("verify")
def report_verify(
    path: Annotated[Path, typer.Argument(help="report.json, or a folder of reports.")],
    key: Trusted = None,
    as_json: Json = False,
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Check that reports and their files are as the audit wrote them and as a trusted key signed them."""
    trusted = open_trust(key)
    verdicts, printed, memory = [], [], Memory(open_log(), trusted)
    results = [(file, _verify_report(file, trusted, memory, allow_unsigned)) for file in report_files(path)]
    results += beside_index(path, results, allow_unsigned)
    for file, results_of_file in results:
        verdicts += [one.verdict for one in results_of_file]
        printed.append({"report": str(file), "files": [asdict(one) for one in results_of_file]})
        if not as_json:
            tell(f"{file}: {_headline(results_of_file)}")
            for one in results_of_file:
                tell(f"  {one.verdict:10s} {one.file}: {one.detail}")
    if as_json:
        tell_json(printed)
    raise typer.Exit(FAILED if "broken" in verdicts else UNCHECKED if {"unchecked", "missing"} & {*verdicts} else OK)


def _headline(results: Sequence[Found]) -> str:
    """Say in a few words what was found about a report: the gravest of it, or ok."""
    for verdicts, word in ((("broken",), "broken"), (("missing", "unchecked"), "incomplete")):
        for one in results:
            if one.verdict in verdicts:
                return f"{word} at {one.file}"
    return "ok"


def _verify_report(file: Path, trusted: Trust, memory: Memory, allow_unsigned: bool) -> list[Found]:
    """Check a report by its record, its signature and itself, and the index page that it belongs to."""
    try:
        record = read_record(file)
        digests = record.origin.parameters.get("files") if record else None
        results = verify_files(file, digests if isinstance(digests, dict) else {})
    except errors.LedgerError as error:
        return [Found(f"{file.name}.provenance.json", "broken", str(error))]
    links = verify_path(file, trusted, log=memory, allow_unsigned=allow_unsigned).links
    return [*results, *_own_links(file, links)]


def _own_links(file: Path, links: Sequence[Link]) -> Iterator[Found]:
    """Yield what was found about a report itself and the index page that it belongs to.

    Materials and chains are left to ``contraste verify``, and that a signer is not known here is unchecked.
    """
    names = {str(file): f"{file.name}.sig", os.path.normpath(file.parent / ".." / INDEX): INDEX}
    for link in links:
        if link.subject in names and link.code not in ("chain-not-asked", "not-anchored", "not-logged"):
            known: dict[str, Any] = {"simulated": "ok", "pending": "ok"}
            verdict: Any = "unchecked" if link.code == "signer-unknown" else known.get(link.verdict, link.verdict)
            yield Found(names[link.subject], verdict, link.detail)

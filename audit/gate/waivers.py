"""Waivers: who lets a finding, or what a rule says, pass, why, until when, and on what evidence.

A TOML file, checked against ``policies/waivers.schema.json``::

    schema = "contraste-waivers/1"

    [[waiver]]
    finding = "0123456789abcdef"        # the id of a finding, or of a rule such as "disclosure.credential"
    track = "song.mid"                  # name, notes_sha256 or pattern; left out: every track
    reason = "licensed"
    who = "A. Person, legal"
    why = "The publisher licensed the melody for this release."
    expires = 2027-01-31                # the last day on which it counts
    evidence = "contracts/2026-017.pdf"

What is waived stays in the report with its own verdict, and only no longer counts for the outcome. A waiver that has
expired fails every track that it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from audit.checked_toml import TomlError, format_problem, read_toml, schema_problems, toml_lines
from audit.findings import Finding, SoundMatch, Waiver, WaiverState
from audit.gate.rules import can_be_waived
from audit.policy import POLICIES
from audit.policy_tables import RULES
from audit.report import RuleResult
from corpus.rights import normal
from ledger.hashes.digest import hash_bytes
from messages import message

REASONS = ("licensed", "public_domain", "common_idiom", "own_catalogue", "sample_cleared", "reviewed")
SCHEMA_FILE = POLICIES / "waivers.schema.json"
Waivable = TypeVar("Waivable", Finding, SoundMatch, RuleResult)


class WaiverError(TomlError):
    """Raised when a file of waivers can't be used; the message names file, line, key, value and rule."""


@dataclass(frozen=True, slots=True)
class Waivers:
    """A checked file of waivers, and the day that their expiry is compared with.

    Attributes
    ----------
    name, sha256 : str
        Of the file.
    today : str
        E.g. ``2026-11-26``.
    entries : tuple of Waiver
        In the order of the file, those that have expired marked so.
    """

    name: str
    sha256: str
    today: str
    entries: tuple[Waiver, ...]

    def of(self, name: str, notes_sha256: str) -> tuple[Waiver, ...]:
        """Return the waivers that concern a track."""
        return tuple(w for w in self.entries if w.track == notes_sha256 or fnmatchcase(normal(name), normal(w.track)))


def parse_day(text: str) -> date:
    """Parse ``2027-01-31``; ValueError for anything else."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise ValueError(f"{text!r} is no date like 2027-01-31")
    return date.fromisoformat(text)


def holds_waivers(file: Path) -> bool:
    """Whether a TOML file says that it holds waivers; raises `TomlError` where it can't be read."""
    return str(read_toml(file, "a file of waivers")[0].get("schema", "")).startswith("contraste-waivers/")


def read_waivers(file: Path, today: date) -> Waivers:
    """Read a file of waivers.

    Raises
    ------
    WaiverError
        When the file can't be read, is no TOML, breaks the schema, or names what can't be waived.
    """
    try:
        values, text = read_toml(file, "a file of waivers")
    except TomlError as error:
        raise WaiverError(str(file), error.problems) from error
    lines = toml_lines(text)
    given = values.get("waiver")
    entries: list[dict[str, Any]] = [e for e in given if isinstance(e, dict)] if isinstance(given, list) else []
    for entry in entries:
        expires = entry.get("expires")
        if isinstance(expires, date) and not isinstance(expires, datetime):
            entry["expires"] = expires.isoformat()
    problems = schema_problems(values, SCHEMA_FILE, lines)
    if not problems:
        problems = [
            format_problem(("waiver", number, key), lines, message)
            for number, entry in enumerate(entries)
            for key, message in _wrong(entry)
        ]
    if problems:
        raise WaiverError(str(file), problems)
    waivers = []
    for number, entry in enumerate(entries):
        line = lines.get(("waiver", number), lines.get(("waiver",), 1))
        state: WaiverState = "expired" if today > parse_day(entry["expires"]) else "unmatched"
        waivers.append(Waiver(**{"track": "*", **entry}, line=line, state=state))
    return Waivers(file.name, hash_bytes(text.encode()).hex, today.isoformat(), tuple(waivers))


def _wrong(entry: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Say what the schema can't: days that there are not, and rules that are not or can't be waived."""
    try:
        parse_day(entry["expires"])
    except ValueError:
        yield "expires", f"{entry['expires']} is no day of the calendar"
    rule = entry["finding"]
    if re.fullmatch("[0-9a-f]{16}", rule):
        return
    if rule not in RULES and not rule.startswith("metrics."):
        yield "finding", f"{rule!r} is neither the id of a finding (16 hexadecimal digits) nor of a rule"
    elif not can_be_waived(rule):
        yield "finding", f"the rule {rule} can't be waived{'; waive its findings one by one' if rule == 'copy' else ''}"


def attach_waivers(items: Iterable[Waivable], waivers: Iterable[Waiver]) -> tuple[Waivable, ...]:
    """Put its waiver to what is against the track: the first that counts, or else an expired one."""
    by_id: dict[str, Waiver] = {}
    for waiver in waivers:
        held = by_id.get(waiver.finding)
        if held is None or (held.state == "expired" and waiver.state != "expired"):
            by_id[waiver.finding] = waiver
    marked = []
    for item in items:
        match = by_id.get(item.id) if item.verdict in ("review", "fail") else None
        if match is not None and match.state == "unmatched":
            match = replace(match, state="applied")
        marked.append(item if match is None else replace(item, waiver=match))
    return tuple(marked)


def mark_used(waivers: Iterable[Waiver], items: Iterable[Finding | SoundMatch | RuleResult]) -> tuple[Waiver, ...]:
    """Mark the waivers of a track that count for one of `items`."""
    used = {item.waiver.finding for item in items if item.waiver is not None and item.waived}
    return tuple(replace(w, state="applied") if w.state == "unmatched" and w.finding in used else w for w in waivers)


def judge_expiry(waivers: Sequence[Waiver], name: str) -> tuple[RuleResult, ...]:
    """Judge the rule that no waiver of a track may have expired; () where none was given. `name` is their file."""
    if not waivers:
        return ()
    late = [
        message(
            "{file}: line {line:d}: of {finding:word}, expired on {day:word}",
            file=name,
            line=w.line,
            finding=w.finding,
            day=w.expires,
        )
        for w in waivers
        if w.state == "expired"
    ]
    detail = message("{count:d} in force", count=len(waivers))
    if late:
        detail = reduce(lambda rest, first: message("{first:text}; {rest:text}", first=first, rest=rest), late[::-1])
    return (RuleResult("waivers", RULES["waivers"].title, "fail" if late else "pass", detail),)

"""report.md: the report as Markdown (CommonMark with GitHub's tables), for merge requests and wikis.

Text from outside is escaped sign by sign, on one line and cut where it is overlong, so that a title makes no heading,
link, picture, table cell or HTML.
"""

from __future__ import annotations

import html
import re

from audit.findings import Finding
from audit.report import AuditReport
from reports.checks import Check, checks, short, waiver_words
from reports.language.translation import ENGLISH, Language

OUTCOMES = {"pass": "Pass", "review": "Review", "fail": "Fail", "incomplete": "Incomplete"}
STATES = {"pass": "pass", "review": "review", "fail": "fail", "open": "not made", "skipped": "not made"}
_SIGNS = re.compile(r"([\\`*_{}\[\]#|~$!()])")
_LINKS = re.compile(r"(?i)(?<=www)\.|(?<=[a-z]):(?=//)|@")
_LISTS = re.compile(r"^(\d+)(\.)(?!\S)|^()([-+=])")


def escape_text(text: str, longest: int = 300) -> str:
    """Return a text from outside as Markdown that shows just that text."""
    signs = _SIGNS.sub(r"\\\1", html.escape(short(text, longest), quote=False))
    signs = _LISTS.sub(lambda sign: f"{sign[1] or ''}\\{sign[2] or sign[4]}", signs)
    return _LINKS.sub(lambda sign: f"\\{sign[0]}", signs)


def report_markdown(report: AuditReport, say: Language = ENGLISH) -> bytes:
    """Return report.md in a language, UTF-8."""
    every = checks(report, say)
    lines = [
        f"# {say.fill(OUTCOMES[report.outcome])}: {escape_text(str(report.track.get('name', 'track')))}",
        "",
        escape_text(say.render(report.sentence), 1000),
        "",
        *(f"- {escape_text(say.render(reason), 1000)}" for reason in report.reasons),
        *([""] if report.reasons else []),
        *_findings([f for f in report.findings if f.verdict != "clear"], say),
        f"## {say.fill('Checks')}",
        "",
        f"| {say.fill('check')} | {say.fill('result')} | {say.fill('what was found')} |",
        "| --- | --- | --- |",
        *(_row(check, say) for check in every if check.state != "skipped"),
        "",
        *_list(say.fill("Not checked"), [f"{c.rule}: {c.text}" for c in every if c.state in ("open", "skipped")]),
        *_list(say.fill("Waivers"), [f"{w.finding}: {waiver_words(w, say)}" for w in report.waivers]),
        *_list(
            say.fill("Remarks on reading the file"),
            [say.render(str(remark)) for remark in report.track.get("remarks", ())],
        ),
        *_list(say.fill("Limits"), [say.render(limit) for limit in report.limits]),
        f"## {say.fill('To reproduce')}",
        "",
        *(f"- {say.fill(name)}: {value}" for name, value in _list_versions(report)),
        "",
    ]
    return "\n".join(lines).encode("utf-8")


def _findings(findings: list[Finding], say: Language) -> list[str]:
    lines = [] if not findings else [f"## {say.fill('Shared passages')}", ""]
    words = say.words
    for number, finding in enumerate(findings, 1):
        rights = ", ".join(f"{key} {value}" for key, value in sorted(finding.rights.items()) if value)
        lines += [
            f"{number}. **{say.fill(finding.verdict)}** `{finding.id}` "
            f"{escape_text(words.finding_words(finding), 1000)}",
            f"   {escape_text(words.evalue_words(finding.evalue), 1000)} "
            f"{escape_text(words.percentile_words(finding.percentile), 1000)} "
            f"{escape_text(words.prior_art_words(finding.other_works))}",
            "   "
            + say.fill(
                "Rights of {piece}: {rights}.",
                piece=escape_text(finding.piece),
                rights=escape_text(rights) or say.fill("nothing on file"),
            ),
        ]
        if finding.waiver:
            waiver = escape_text(waiver_words(finding.waiver, say), 1000)
            lines.append("   " + say.fill("Waiver: {waiver}.", waiver=waiver))
        lines.append("")
    return lines


def _row(check: Check, say: Language) -> str:
    text, state = check.text, say.fill(STATES[check.state])
    if check.waiver and check.waived:
        text = say.fill("{text} waived: {waiver}", text=text, waiver=waiver_words(check.waiver, say))
    state = state if check.state in ("pass", "skipped") else f"**{state}**"
    return f"| {escape_text(check.rule)} | {state} | {escape_text(text, 1000)} |"


def _list(title: str, texts: list[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {escape_text(text, 1000)}" for text in texts), ""] if texts else []


def _list_versions(report: AuditReport) -> list[tuple[str, str]]:
    store, policy = report.store, report.policy
    return [
        ("track", f"SHA-256 {escape_text(str(report.track.get('sha256', 'unknown')))}"),
        ("store", f"{escape_text(str(store.get('name', '')))} {escape_text(str(store.get('digest', 'unknown')))}"),
        ("policy", f"{escape_text(str(policy.get('name', '')))} {escape_text(str(policy.get('digest', 'unknown')))}"),
        ("tool", f"{escape_text(str(report.tool.get('name', '')))} {escape_text(str(report.tool.get('version', '')))}"),
    ]

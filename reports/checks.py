"""The checks of a report in one list: what SARIF, JUnit, Markdown and the comparison of two reports are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audit.findings import AuditReport, Finding, MetricResult, Verdict, Waiver
from reports import words

State = Literal["pass", "review", "fail", "open", "skipped"]
LINKS: dict[str, State] = {"broken": "fail", "missing": "review", "unchecked": "review"}
JUDGED: dict[Verdict, State] = {"clear": "pass", "review": "review", "fail": "fail"}
LONGEST = 1000  # characters of a text from outside, in forms that people read line by line


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the audit looked at.

    Attributes
    ----------
    rule : str
        What was checked: "copy", "metrics:<name>", "provenance:<link>", or the id of a rule of the policy.
    title : str
        The same in a few words.
    state : State
        "open" where the policy requires a check that was not made, "skipped" where it does not.
    text : str
        What was found, in plain words, cleaned and not longer than `LONGEST`.
    key : str
        With `rule`, what stays the same in another report on the same track.
    finding : Finding, optional
    waiver : Waiver, optional
    """

    rule: str
    title: str
    state: State
    text: str
    key: str = ""
    finding: Finding | None = None
    waiver: Waiver | None = None

    @property
    def waived(self) -> bool:
        """Whether a waiver that counts was given for it."""
        return self.waiver is not None and self.waiver.state == "applied"

    @property
    def clear(self) -> bool:
        """Whether nothing speaks against a release."""
        return self.state in ("pass", "skipped") or self.waived


def checks(report: AuditReport) -> list[Check]:
    """List every check: passages, metrics, provenance, rules of the policy, what was skipped."""
    flagged = [f for f in report.findings if f.verdict != "clear"]
    found = [_passage(f) for f in flagged]
    skipped = [
        Check(s.check, "Not checked", "open" if s.required else "skipped", short(s.reason)) for s in report.skipped
    ]
    if not flagged and not any(s.rule == "copy" for s in skipped):
        found.append(Check("copy", TITLES["copy"], "pass", "No passage is past the policy's thresholds."))
    found += [_metric(m) for m in report.metrics]
    found += [
        Check(
            f"provenance:{link.name}",
            short(f"Provenance: {link.name}"),
            LINKS.get(link.verdict, "pass"),
            short(f"{link.subject}: {link.verdict}: {link.detail}"),
            link.subject,
        )
        for link in report.provenance
    ]
    found += [
        Check(
            rule.id,
            short(rule.title),
            rule.verdict if rule.verdict != "skipped" or not rule.required else "open",
            short(rule.detail or rule.title),
            waiver=rule.waiver,
        )
        for rule in report.rules
    ]
    return found + skipped


TITLES = {"copy": "Passage shared with the corpus"}


def short(text: str, longest: int = LONGEST) -> str:
    """Clean a text from outside, on one line; an overlong one is cut and ends with an ellipsis."""
    line = " ".join(words.clean(text[: longest + 1]).split())
    return line if len(text) <= longest else f"{line[: longest - 1]}\u2026"


def waiver_words(waiver: Waiver) -> str:
    """Say who waived what, why and until when."""
    return short(
        f"{waiver.reason}: {waiver.why} ({waiver.who}, until {waiver.expires}, evidence {waiver.evidence}; "
        f"{waiver.state})"
    )


def _passage(finding: Finding) -> Check:
    text = short(f"{words.finding_words(finding)} {words.evalue_words(finding.evalue)}", 2 * LONGEST)
    return Check("copy", TITLES["copy"], JUDGED[finding.verdict], text, finding.id, finding, finding.waiver)


def _metric(metric: MetricResult) -> Check:
    text = (
        f"{words.figure(metric.value)} against {metric.reference}: {words.metric_words(metric)} "
        f"(chance {words.figure(metric.chance_mean)}, 5 % pass {words.figure(metric.chance_p95)})"
    )
    return Check(f"metrics:{metric.name}", short(metric.about), JUDGED[metric.verdict], short(text))

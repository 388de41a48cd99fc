"""The checks of a report in one list: what SARIF, JUnit, Markdown and the comparison of two reports are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audit.findings import CanBeWaived, Finding, Link, MetricResult, SoundMatch, Verdict, Waiver
from audit.report import AuditReport, RuleResult
from reports.language.translation import ENGLISH, Language
from reports.language.words import clean

State = Literal["pass", "review", "fail", "open", "skipped"]
LINKS: dict[str, State] = {"broken": "fail", "missing": "skipped", "unchecked": "skipped"}
JUDGED: dict[Verdict, State] = {"clear": "pass", "review": "review", "fail": "fail"}
LONGEST = 1000  # characters of a text from outside, in forms that people read line by line


@dataclass(frozen=True, slots=True)
class Check(CanBeWaived):
    """One thing that the audit looked at.

    Attributes
    ----------
    rule : str
        What was checked: "copy", "metrics.<name>", "provenance.link.<name>", or the id of a rule of the policy.
    title : str
        The same in a few words.
    state : State
        "open" where the policy requires a check that was not made, "skipped" where it does not.
    text : str
        What was found, in plain words, cleaned and not longer than `LONGEST`.
    key : str
        With `rule`, what stays the same in another report on the same track.
    finding : Finding or SoundMatch, optional
    waiver : Waiver, optional
    """

    rule: str
    title: str
    state: State
    text: str
    key: str = ""
    finding: Finding | SoundMatch | None = None
    waiver: Waiver | None = None

    @property
    def clear(self) -> bool:
        """Whether nothing speaks against a release."""
        return self.state in ("pass", "skipped") or self.waived


def checks(report: AuditReport, say: Language = ENGLISH) -> list[Check]:
    """List every check: passages, metrics, links of provenance, rules of the policy, what was skipped.

    The rule on one metric is said with its value, and what a skipped check and its rule both say is said once. Titles
    and texts are in the language `say`.
    """
    rules = {rule.id: rule for rule in report.rules}
    results = [_passage(f, say) for f in report.findings if f.verdict != "clear"]
    heard = [_sound(match, say) for match in report.sound_matches if match.verdict != "clear"]
    if heard and rules.get("sound") and rules["sound"].verdict != "skipped":
        del rules["sound"]
    results += heard
    results += [_metric(m, rules.pop(f"metrics.{m.name}", None), say) for m in report.metrics]
    results += [_link(link, say) for link in report.provenance]
    if results and results[0].rule == "copy" and rules.get("copy") and rules["copy"].verdict != "skipped":
        del rules["copy"]  # it sums up the passages
    results += [_rule(rule, say) for rule in rules.values()]
    for gap in report.skipped:
        name = gap.check.replace(":", ".", 1)
        if name not in rules or rules[name].verdict != "skipped":
            state: State = "open" if gap.required else "skipped"
            results.append(Check(name, say.fill("Not checked"), state, short(say.render(gap.reason))))
    if not any(check.rule in ("copy", "sound") for check in results):
        text = say.fill("No passage is past the policy's thresholds.")
        results.insert(0, Check("copy", say.fill(COPY), "pass", text))
    return results


COPY = "Passage shared with the corpus"
SOUND = "Sound shared with the corpus"


def short(text: str, longest: int = LONGEST) -> str:
    """Clean a text from outside, on one line; an overlong one is cut and ends with an ellipsis."""
    line = " ".join(clean(text[: longest + 1]).split())
    return line if len(text) <= longest else f"{line[: longest - 1]}\u2026"


def waiver_words(waiver: Waiver, say: Language = ENGLISH) -> str:
    """Say who waived what, why and until when."""
    return short(
        say.fill(
            "{reason}: {why} ({who}, until {day}, evidence {evidence}; {state})",
            reason=waiver.reason,
            why=waiver.why,
            who=waiver.who,
            day=waiver.expires,
            evidence=waiver.evidence,
            state=say.fill(waiver.state),
        )
    )


def _passage(finding: Finding, say: Language) -> Check:
    text = short(f"{say.words.finding_words(finding)} {say.words.evalue_words(finding.evalue)}", 2 * LONGEST)
    return Check("copy", say.fill(COPY), JUDGED[finding.verdict], text, finding.id, finding, finding.waiver)


def _sound(match: SoundMatch, say: Language) -> Check:
    text = short(f"{say.words.sound_words(match)} {say.words.evalue_words(match.evalue)}", 2 * LONGEST)
    return Check("sound", say.fill(SOUND), JUDGED[match.verdict], text, match.id, match, match.waiver)


def _metric(metric: MetricResult, rule: RuleResult | None, say: Language) -> Check:
    words, figure = say.words, say.words.figure
    text = say.fill(
        "{value} against {piece}: {words} (chance {mean}, 5 % pass {edge})",
        value=figure(metric.value),
        piece=metric.reference,
        words=words.metric_words(metric),
        mean=figure(metric.chance_mean),
        edge=figure(metric.chance_p95),
    )
    if (style := metric.style) and (said := words.style_words(metric)):
        text += say.fill("; {words} ({low} to {high})", words=said, low=figure(style.low), high=figure(style.high))
    state = _state(rule) if rule else JUDGED[metric.verdict]
    waiver = rule.waiver if rule else None
    return Check(f"metrics.{metric.name}", short(say.render(metric.about)), state, short(text), waiver=waiver)


def _link(link: Link, say: Language) -> Check:
    """Only a broken link speaks against a release by itself; what else must be there, the policy's rules say."""
    text = say.fill(
        "{subject}: {verdict}: {detail}",
        subject=link.subject,
        verdict=say.render(link.verdict),
        detail=say.render(link.detail),
    )
    name = short(link.name, 60)
    state = LINKS.get(link.verdict, "pass")
    title = say.fill("Provenance: {link}", link=say.render(name))
    return Check(f"provenance.link.{name}", title, state, short(text), link.subject)


def _rule(rule: RuleResult, say: Language) -> Check:
    text = short(say.render(rule.detail or rule.title))
    return Check(rule.id, short(say.render(rule.title)), _state(rule), text, waiver=rule.waiver)


def _state(rule: RuleResult) -> State:
    return rule.verdict if rule.verdict != "skipped" or not rule.required else "open"

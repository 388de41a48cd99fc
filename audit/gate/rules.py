"""The rules of a policy, one by one: what each says about a track.

Rules on findings, metrics and links of provenance are judged here; those on the corpus and on what lies beside the
track are in `audit.gate.context_rules`, which looks. A rule that could not be checked is "skipped", and required where
the policy names its table in ``gate.required`` or where the rule fails tracks: what might have failed is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.findings import Finding, Link, MetricResult, SoundMatch, strongest_verdict
from audit.policy import Policy
from audit.policy_tables import RULES
from audit.report import RuleResult, RuleVerdict, Skipped
from corpus.rights import CONSENTED
from messages import message

ABOUT_SIGNATURE = ("track", "file", "folder", "credential", "key", "log")
"""Links about a track that say whether it is signed; none of them may be in doubt."""
RIGHTS = ("opt_out", "licence_missing", "consent_missing")
LACKS = {
    "opt_out": "{count:d} of {total:d} opted out",
    "licence_missing": "{count:d} of {total:d} without a licence on file",
    "consent_missing": "{count:d} of {total:d} without a consent on file",
}


def can_be_waived(rule: str) -> bool:
    """Whether a rule of this id exists and may be waived."""
    return RULES[rule].waivable if rule in RULES else rule.startswith("metrics.")


def judge_rule(policy: Policy, rule: str, holds: bool | None, detail: str) -> RuleResult:
    """Judge a rule that holds, does not hold, or could not be checked (None), by the policy's level for it."""
    level = policy.level(rule)
    verdict: RuleVerdict = "pass" if holds else "skipped" if holds is None or level == "ignore" else level
    return RuleResult(rule, RULES[rule].title, verdict, detail, policy.requires(rule) or level == "fail")


def judge_rules(
    policy: Policy,
    findings: Sequence[Finding],
    metrics: Sequence[MetricResult],
    links: Sequence[Link],
    skipped: Sequence[Skipped],
    signer: str = "",
    sounds: Sequence[SoundMatch] | None = None,
) -> Iterator[RuleResult]:
    """Yield the rules on findings, metrics and provenance, in the policy's order.

    Parameters
    ----------
    findings : sequence of Finding
        With their waivers.
    metrics : sequence of MetricResult
        Judged.
    links : sequence of Link
        The first is about the track itself.
    skipped : sequence of Skipped
        What was not measured, with `Skipped.required`.
    signer : str
        Id of the trusted key that signed the track, or "".
    sounds : sequence of SoundMatch, optional
        With their waivers; None for a track that is notes.
    """
    yield _judge_copy(policy, findings, skipped)
    if sounds is not None or policy.requires("sound"):
        yield _judge_sound(policy, sounds or (), skipped)
    yield from _judge_metrics(policy, metrics, skipped)
    yield from _judge_rights(policy, (*findings, *(sounds or ())))
    yield from _judge_provenance(policy, links, skipped, signer)


def _missing(check: str, skipped: Sequence[Skipped]) -> Skipped | None:
    """Return why a check was not made, required ones first; None where it was."""
    gaps = [s for s in skipped if s.check == check]
    return next((s for s in gaps if s.required), gaps[0] if gaps else None)


def _judge_copy(policy: Policy, findings: Sequence[Finding], skipped: Sequence[Skipped]) -> RuleResult:
    flagged = [f for f in findings if f.verdict != "clear"]
    against = strongest_verdict([f.verdict for f in flagged if not f.waived])
    waived = sum(f.waived for f in flagged)
    detail = message(
        "{flagged:d} of {count:d} {count:finding|findings} {flagged:is|are} not clear",
        flagged=len(flagged),
        count=len(findings),
    )
    if waived:
        detail = message("{detail:text}, {waived:d} of them waived", detail=detail, waived=waived)
    gap = _missing("copy", skipped)
    if gap and against != "fail":
        return RuleResult("copy", RULES["copy"].title, "skipped", gap.reason, gap.required)
    verdict: RuleVerdict = "pass" if against == "clear" else against
    return RuleResult("copy", RULES["copy"].title, verdict, detail, policy.requires("copy"))


def _judge_sound(policy: Policy, sounds: Sequence[SoundMatch], skipped: Sequence[Skipped]) -> RuleResult:
    gap = _missing("sound", skipped)
    if gap:
        return RuleResult("sound", RULES["sound"].title, "skipped", gap.reason, gap.required)
    flagged = [s for s in sounds if s.verdict != "clear"]
    against = strongest_verdict([s.verdict for s in flagged if not s.waived])
    detail = message("{count:d} {count:near-duplicate|near-duplicates} not clear", count=len(flagged))
    detail = name_some(detail, [s.piece for s in flagged])
    verdict: RuleVerdict = "pass" if against == "clear" else against
    return RuleResult("sound", RULES["sound"].title, verdict, detail, policy.requires("sound"))


def _judge_metrics(policy: Policy, metrics: Sequence[MetricResult], skipped: Sequence[Skipped]) -> Iterator[RuleResult]:
    if policy.requires("metrics"):
        gap = next((s for s in skipped if s.required and s.check.partition(":")[0] == "metrics"), None)
        detail = gap.reason if gap else message("{count:d} metrics are measured", count=len(metrics))
        yield RuleResult("metrics", RULES["metrics"].title, "skipped" if gap else "pass", detail, True)
    by_name = {metric.name: metric for metric in metrics}
    reasons = {s.check: s.reason for s in skipped}
    for name, bounds in policy.metrics.items():
        title = message("{metric:word} within its bounds", metric=name)
        if name in by_name:
            verdict, value, piece = by_name[name].verdict, by_name[name].value, by_name[name].reference
            detail = message("{value:.4g} against {piece}; {bounds}", value=value, piece=piece, bounds=str(bounds))
            yield RuleResult(f"metrics.{name}", title, "pass" if verdict == "clear" else verdict, detail)
        else:
            why = reasons.get(f"metrics:{name}") or reasons.get("metrics") or message("not measured")
            detail = message("{why:text}; {bounds}", why=why, bounds=str(bounds))
            yield RuleResult(f"metrics.{name}", title, "skipped", detail, bounds.can_fail)


def is_lacking(policy: Policy, about: str, piece: dict[str, str]) -> bool:
    """Whether a piece (see `Policy.opted_out`, and ``licence``) lacks what one of `RIGHTS` asks for."""
    if about == "opt_out":
        return policy.opted_out(piece)
    return not piece["licence"] if about == "licence_missing" else piece["consent"] not in CONSENTED


def _judge_rights(policy: Policy, findings: Sequence[Finding | SoundMatch]) -> Iterator[RuleResult]:
    """Judge the sources of passages: not clear, or clear since allowed.

    A waiver of the finding answers for licence and consent; a refusal by the holder it does not touch.
    """
    shared = [f for f in findings if f.verdict != "clear" or f.allowed]
    for about in RIGHTS:
        rule = f"rights.findings.{about}"
        if policy.level(rule) == "ignore":
            continue
        asked = shared if about == "opt_out" else [f for f in shared if not f.waived]
        pieces = {
            f.piece: {"licence": "", "consent": "", **f.rights, "piece": f.piece, "artist": f.artist} for f in asked
        }
        names = [name for name, piece in pieces.items() if is_lacking(policy, about, piece)]
        detail = name_some(message(LACKS[about], count=len(names), total=len(pieces)), names)
        yield judge_rule(policy, rule, not names, detail)


def name_some(what: str, names: Sequence[str]) -> str:
    """Return a message with the first three of the names that it is about."""
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return message("{what:text}: {names}", what=what, names=some) if names else what


def describe_state(link: Link) -> str:
    """Say how a link stands."""
    return message(
        "{link:text} ({subject}) is {verdict:text}", link=link.name, subject=link.subject, verdict=link.verdict
    )


def _judge_provenance(
    policy: Policy, links: Sequence[Link], skipped: Sequence[Skipped], signer: str
) -> Iterator[RuleResult]:
    gap = _missing("provenance", skipped)
    if policy.requires("provenance"):
        open_links = [k for k in links if k.verdict in ("missing", "unchecked")]
        why = gap.reason if gap else describe_state(open_links[0]) if open_links else ""
        detail = why or message("{count:d} {count:link|links} checked", count=len(links))
        yield RuleResult("provenance", RULES["provenance"].title, "skipped" if why else "pass", detail, True)
    if links:
        broken = [f"{link.name} ({link.subject})" for link in links if link.verdict == "broken"]
        detail = name_some(message("broken"), broken) if broken else message("no link is broken")
        yield RuleResult("provenance.intact", RULES["provenance.intact"].title, "fail" if broken else "pass", detail)
    own = [link for link in links if link.subject == links[0].subject]
    asked = policy.provenance
    if asked.require_signature:
        signed = [link for link in own if link.verdict == "ok" and (link is links[0] or link.name == "credential")]
        doubts = [k for k in own if k.name in ABOUT_SIGNATURE and k.verdict in ("broken", "missing", "unchecked")]
        against = doubts or signed or links[:1]
        detail = against[0].detail if against else gap.reason if gap else message("not signed")
        holds = bool(signed) if not doubts else None if {k.verdict for k in doubts} == {"unchecked"} else False
        yield judge_rule(policy, "provenance.require_signature", holds, detail)
    if asked.signed_by:
        detail = message("no trusted key signed the track")
        if signer:
            detail = message("signed by the key {key:word}...", key=signer[:16])
        yield judge_rule(policy, "provenance.signed_by", signer in asked.signed_by, detail)
    if asked.require_anchor or asked.require_final:
        anchor = next((link for link in own if link.name == "anchor"), None)
        verdict = anchor.verdict if anchor else "absent"
        detail = message("not anchored")
        if anchor:
            detail = message("{verdict:text}: {detail:text}", verdict=verdict, detail=anchor.detail)
        for rule, enough in (("require_anchor", ("ok", "simulated", "pending")), ("require_final", ("ok",))):
            if getattr(asked, rule):
                yield judge_rule(
                    policy, f"provenance.{rule}", None if verdict == "unchecked" else verdict in enough, detail
                )

"""What a report concludes: the outcome, what led to it, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from audit.findings import Finding, Link, MetricResult, SoundMatch, Waiver, strongest_verdict
from audit.report import Outcome, RuleResult, Skipped
from messages import message

COPIED = {
    "fail": "This track holds a copied passage",
    "review": "This track holds a passage that people should look at",
}
HEARD = {
    "fail": "This track holds sound of the corpus",
    "review": "This track holds sound that people should listen to",
}
GATE = {"fail": "The gate says fail: {reason:text}.", "review": "The gate says review: {reason:text}."}
PAST = {
    "fail": "{metric:word} is {value:.4g} against {piece}: past the policy's fail threshold",
    "review": "{metric:word} is {value:.4g} against {piece}: past the policy's review threshold",
}


def decide_outcome(
    findings: Sequence[Finding],
    rules: Sequence[RuleResult],
    metrics: Sequence[MetricResult],
    links: Sequence[Link],
    skipped: Sequence[Skipped],
    sounds: Sequence[SoundMatch] = (),
) -> tuple[Outcome, tuple[str, ...]]:
    """Return the outcome, and what led to it: what counts against the track first, then what was waived."""
    values = {f"metrics.{metric.name}": metric for metric in metrics}
    against = [(f.verdict, _copy_reason(f)) for f in findings if f.verdict != "clear" and not f.waived]
    against += [(s.verdict, _sound_reason(s)) for s in sounds if s.verdict != "clear" and not s.waived]
    for rule in rules:
        if rule.verdict not in ("review", "fail") or rule.waived or rule.id in ("copy", "sound"):
            continue
        if rule.id in values:
            said = [_metric_reason(values[rule.id])]
        elif rule.id == "provenance.intact":
            broken = [link for link in links if link.verdict == "broken"]
            said = [
                message(
                    "provenance breaks at {link:text} ({subject}): {detail:text}",
                    link=link.name,
                    subject=link.subject,
                    detail=link.detail,
                )
                for link in broken
            ]
        else:
            said = [
                message(
                    "rule {id:word} ({title:text}) does not hold: {detail:text}",
                    id=rule.id,
                    title=rule.title[0].lower() + rule.title[1:],
                    detail=rule.detail,
                )
            ]
        against += [(rule.verdict, text) for text in said]
    against.sort(key=lambda reason: reason[0] != "fail")  # stable: strongest first among equals
    reasons = [text for _, text in against]
    outcome: Outcome = {"clear": "pass", "review": "review", "fail": "fail"}[strongest_verdict([v for v, _ in against])]  # type: ignore[assignment]
    missing = [s for s in skipped if s.required]
    if missing and outcome != "fail":
        outcome = "incomplete"
        first = missing[0]
        gap = message(
            "the policy requires {check:word}, which the corpus does not meet: {reason:text}"
            if first.check.startswith("store.")
            else "the policy requires {check:word}, which was not checked: {reason:text}",
            check=first.check,
            reason=first.reason,
        )
        reasons.insert(0, gap)
    reasons += [_waived(_copy_reason(f), f.waiver) for f in findings if f.waiver and f.waived]
    reasons += [_waived(_sound_reason(s), s.waiver) for s in sounds if s.waiver and s.waived]
    reasons += [
        _waived(message("rule {id:word}: {detail:text}", id=rule.id, detail=rule.detail), rule.waiver)
        for rule in rules
        if rule.waiver and rule.waived
    ]
    return outcome, tuple(reasons)


def _waived(reason: str, waiver: Waiver) -> str:
    return message(
        "waived: {reason:text} ({why:word}; {who}, until {day:word})",
        reason=reason,
        why=waiver.reason,
        who=waiver.who,
        day=waiver.expires,
    )


def _metric_reason(metric: MetricResult) -> str:
    return message(PAST[metric.verdict], metric=metric.name, value=metric.value, piece=metric.reference)


def _copy_reason(finding: Finding) -> str:
    first, last = finding.query_shown
    there, end = finding.piece_shown
    return message(
        "bars {first:word}\u2013{last:word} match bars {there:word}\u2013{end:word} of {piece} "
        "({matched:d} of {notes:d} notes, {shift:+d} semitones, E = {evalue:.1e})",
        first=first,
        last=last,
        there=there,
        end=end,
        piece=finding.piece,
        matched=finding.matched,
        notes=finding.notes,
        shift=finding.transposition,
        evalue=finding.evalue,
    )


def _sound_reason(match: SoundMatch) -> str:
    (start, end), (there, last) = match.query_span_s, match.piece_span_s
    return message(
        "its sound from {start:.0f} to {end:.0f} s is that of {piece} from {there:.0f} to {last:.0f} s "
        "({distance:d} of {bits:d} bits differ, E = {evalue:.1e})",
        start=start,
        end=end,
        piece=match.piece,
        there=there,
        last=last,
        distance=match.distance,
        bits=match.bits,
        evalue=match.evalue,
    )


def _name_piece(finding: Finding) -> str:
    """Title and path of a piece; the path alone where the title is only the file's name."""
    plain = finding.title == PurePosixPath(finding.piece).stem
    return finding.piece if plain else f"\u201c{finding.title}\u201d ({finding.piece})"


def state_outcome(
    outcome: Outcome,
    findings: Sequence[Finding],
    reasons: Sequence[str],
    pieces: int,
    unsearched: int = 0,
    compared_with: str = "",
    sounds: Sequence[SoundMatch] = (),
) -> str:
    """Say the verdict in one plain sentence; the corpus has so many `pieces`, of which some are `unsearched`.

    `compared_with` says what a track that is sound was compared with, and `sounds` what was found in it.
    """
    flagged = [f for f in findings if f.verdict != "clear" and not f.waived]
    passed = sum(f.waived for f in findings)
    if outcome == "pass" and compared_with:
        return message(
            "No sound of this track is that of any of {compared:text} of the corpus; its notes were not compared.",
            compared=compared_with,
        )
    if outcome == "pass":
        searched = message("the {count:d} {count:piece|pieces}", count=pieces)
        if unsearched:
            searched = message("the {count:d} searched pieces (of {total:d})", count=pieces - unsearched, total=pieces)
        return message(
            "No passage of this track matches any of {searched:text} of the corpus beyond what style and chance "
            "explain, but for {count:d} that {count:was|were} waived."
            if passed
            else "No passage of this track matches any of {searched:text} of the corpus beyond what style and chance "
            "explain.",
            searched=searched,
            count=passed,
        )
    if outcome == "incomplete":
        return message("The audit is incomplete: {reason:text}.", reason=reasons[0])
    if flagged and outcome == strongest_verdict([f.verdict for f in flagged]):
        strongest = flagged[0]
        first, last = strongest.query_shown
        there, end = strongest.piece_shown
        return message(
            "{what:text}: its bars {first:word}\u2013{last:word} match bars {there:word}\u2013{end:word} of {piece}, "
            "{matched:d} of {notes:d} notes of one line.",
            what=message(COPIED[outcome]),
            first=first,
            last=last,
            there=there,
            end=end,
            piece=_name_piece(strongest),
            matched=strongest.matched,
            notes=strongest.notes,
        )
    heard = [s for s in sounds if s.verdict != "clear" and not s.waived]
    if heard and outcome == strongest_verdict([s.verdict for s in heard]):  # then it is the first of the reasons
        return message("{what:text}: {reason:text}.", what=message(HEARD[outcome]), reason=reasons[0])
    return message(GATE[outcome], reason=reasons[0])

"""What a report concludes: the outcome, what led to it, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from audit.findings import (
    Finding,
    Link,
    MetricResult,
    Outcome,
    RuleResult,
    Skipped,
    SoundMatch,
    Waiver,
    many,
    worst,
)


def weighed(
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
            said = [f"provenance breaks at {k.name} ({k.subject}): {k.detail}" for k in broken]
        else:
            said = [f"rule {rule.id} ({rule.title[0].lower()}{rule.title[1:]}) does not hold: {rule.detail}"]
        against += [(rule.verdict, text) for text in said]
    against.sort(key=lambda reason: reason[0] != "fail")  # stable: strongest first among equals
    reasons = [text for _, text in against]
    outcome: Outcome = {"clear": "pass", "review": "review", "fail": "fail"}[worst([v for v, _ in against])]  # type: ignore[assignment]
    missing = [s for s in skipped if s.required]
    if missing and outcome != "fail":
        outcome = "incomplete"
        first = missing[0]
        lacks = "which the corpus does not meet" if first.check.startswith("store.") else "which was not checked"
        reasons.insert(0, f"the policy requires {first.check}, {lacks}: {first.reason}")
    reasons += [f"waived: {_copy_reason(f)} {_waiver_words(f.waiver)}" for f in findings if f.waiver and f.waived]
    reasons += [f"waived: {_sound_reason(s)} {_waiver_words(s.waiver)}" for s in sounds if s.waiver and s.waived]
    reasons += [f"waived: rule {r.id}: {r.detail} {_waiver_words(r.waiver)}" for r in rules if r.waiver and r.waived]
    return outcome, tuple(reasons)


def _waiver_words(waiver: Waiver) -> str:
    return f"({waiver.reason}; {waiver.who}, until {waiver.expires})"


def _metric_reason(metric: MetricResult) -> str:
    return (
        f"{metric.name} is {metric.value:.4g} against {metric.reference}: past the policy's {metric.verdict} threshold"
    )


def _copy_reason(finding: Finding) -> str:
    first, last = finding.query_shown
    there, end = finding.piece_shown
    return (
        f"bars {first}\u2013{last} match bars {there}\u2013{end} of {finding.piece} "
        f"({finding.matched} of {finding.notes} notes, {finding.transposition:+d} semitones, E = {finding.evalue:.1e})"
    )


def _sound_reason(match: SoundMatch) -> str:
    (start, end), (there, last) = match.query_span_s, match.piece_span_s
    return (
        f"its sound from {start:.0f} to {end:.0f} s is that of {match.piece} from {there:.0f} to {last:.0f} s "
        f"({match.distance} of {match.bits} bits differ, E = {match.evalue:.1e})"
    )


def _named(finding: Finding) -> str:
    """Title and path of a piece; the path alone where the title is only the file's name."""
    plain = finding.title == PurePosixPath(finding.piece).stem
    return finding.piece if plain else f"\u201c{finding.title}\u201d ({finding.piece})"


def sentence(
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
        return f"No sound of this track is that of any of {compared_with} of the corpus; its notes were not compared."
    if outcome == "pass":
        searched = (
            f"the {pieces - unsearched} searched pieces (of {pieces})" if unsearched else f"the {many(pieces, 'piece')}"
        )
        but = f", but for {passed} that {'was' if passed == 1 else 'were'} waived" if passed else ""
        what = f"No passage of this track matches any of {searched} of the corpus"
        return f"{what} beyond what style and chance explain{but}."
    if outcome == "incomplete":
        return f"The audit is incomplete: {reasons[0]}."
    if flagged and outcome == worst([f.verdict for f in flagged]):
        strongest = flagged[0]
        first, last = strongest.query_shown
        there, end = strongest.piece_shown
        what = "holds a copied passage" if outcome == "fail" else "holds a passage that people should look at"
        return (
            f"This track {what}: its bars {first}\u2013{last} match bars {there}\u2013{end} of "
            f"{_named(strongest)}, {strongest.matched} of {strongest.notes} notes of one line."
        )
    heard = [s for s in sounds if s.verdict != "clear" and not s.waived]
    if heard and outcome == worst([s.verdict for s in heard]):  # then it is the first of the reasons
        what = "holds sound of the corpus" if outcome == "fail" else "holds sound that people should listen to"
        return f"This track {what}: {reasons[0]}."
    return f"The gate says {outcome}: {reasons[0]}."

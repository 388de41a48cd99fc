"""Figures in plain words, exact about what they mean, for people who read no statistics.

The words are part of the evidence: an E-value is a number of passages, not a probability, so it is turned
into one (1 - exp(-E); Karlin and Altschul, PNAS 87, 1990) before odds are named; a percentile is rounded
down, never up to 100 %.
"""

from __future__ import annotations

import math
import re

from audit.findings import Finding, MetricResult, SoundMatch

INTERVALS = (
    *("unison", "semitone", "whole tone", "minor third", "major third", "perfect fourth", "tritone"),
    *("perfect fifth", "minor sixth", "major sixth", "minor seventh", "major seventh"),
)
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
LONGEST = 1000  # characters of one text of a page
LONG_ODDS = 1e12  # a fitted tail says nothing beyond this
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Replace what no page may hold by U+FFFD: control characters, lone surrogates, direction overrides.

    What is longer than `LONGEST` is cut, and says so: names come from strangers' files, and report.json has them whole.
    """
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}\u2026 (+{len(text) - LONGEST:,})"
    return _UNPRINTABLE.sub("\ufffd", text)


def clock(seconds: float) -> str:
    """Write minutes and seconds, e.g. ``1:04.3``."""
    tenths = round(max(seconds, 0.0) * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def span(seconds: tuple[float, float]) -> str:
    """Write a span of time, e.g. ``0:24.7\u20130:40.1``."""
    return f"{clock(seconds[0])}\u2013{clock(seconds[1])}"


def bars(numbers: tuple[int, int] | tuple[str, str]) -> str:
    """Name bars, e.g. ``bars 17\u201327`` or ``bar 7``."""
    first, last = numbers
    return f"bar {first}" if first == last else f"bars {first}\u2013{last}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, e.g. ``1 note``, ``1,204 notes``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def figure(value: float, digits: int = 3) -> str:
    """Write a number at `digits` significant digits: powers of ten far from 1, a dash for NaN."""
    if not math.isfinite(value):
        return "\u2013"
    if value and not 1e-4 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        power = str(int(exponent)).translate(SUPERSCRIPT)
        return f"{mantissa}\u202f\u00d7\u202f10{power}".replace("-", "\u2212")
    shown = float(f"{value:.{digits}g}")
    text = f"{shown:,.0f}" if abs(shown) >= 10 ** (digits - 1) else f"{shown:.{digits}g}"
    return text.replace("-", "\u2212")


def odds(chances: float) -> str:
    """Write ``1 in N`` for N = `chances` >= 1 at two significant digits, e.g. ``1 in 2.3 million``."""
    shown = float(f"{chances:.2g}")
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if shown >= size:
            return f"1 in {shown / size:,.3g} {word}"
    return f"1 in {shown:,.2g}" if shown < 10 else f"1 in {shown:,.0f}"


def evalue_words(evalue: float) -> str:
    """Say what an E-value means: odds below 1, a number of passages above."""
    if not math.isfinite(evalue):
        return "How often chance alone gives a passage this strong could not be worked out."
    if evalue >= 0.95:
        number = figure(evalue, 2) if evalue >= 10 else f"{evalue:.0f}"
        what = "passage" if number == "1" else "passages"
        return f"Chance alone is expected to give about {number} {what} this strong in a search of this size."
    chances = 1.0 / -math.expm1(-evalue) if evalue > 0 else math.inf
    share = "Fewer than 1 in a trillion" if chances > LONG_ODDS else f"About {odds(chances)}"
    return f"{share} searches of this size with unrelated music would find a passage this strong, by the chance model."


def percentile_words(percentile: float, human_pieces: int | None = None) -> str:
    """Say what a percentile means, rounded down."""
    sample = f"the {'' if human_pieces is None else f'{human_pieces:,} '}human pieces sampled"
    if not 0 < percentile < math.inf:
        return f"Each of {sample} borrows as much or more from another work."
    return f"Stronger than the strongest borrowing from another work in {percent(percentile)} of {sample}."


def percent(share: float) -> str:
    """Write a share in per cent, rounded down: whole ones, tenths from 99 % on, at most 99.9 %."""
    if not math.isfinite(share):
        return "\u2013"
    tenths = min(math.floor(share * 1000 + 1e-9), 999)
    return f"{tenths / 10:.1f}\u202f%" if tenths >= 990 else f"{tenths // 10}\u202f%"


def transposition_words(semitones: int) -> str:
    """Say where the track lies against the piece, e.g. ``5 semitones higher (perfect fourth)``."""
    if not semitones:
        return "at the same pitch"
    octaves, rest = divmod(abs(semitones), 12)
    names = [counted(octaves, "octave")] if octaves else []
    names += [INTERVALS[rest]] if rest else []
    side = "higher" if semitones > 0 else "lower"
    named = f" ({' and '.join(names)})" if abs(semitones) > 1 else ""
    return f"{counted(abs(semitones), 'semitone')} {side}{named}"


def tempo_words(ratio: float) -> str:
    """Say how fast the track runs against the piece; `ratio` is its seconds over those of the piece."""
    if not 0 < ratio < math.inf:
        return "at a tempo that cannot be compared"
    if abs(ratio - 1) < 0.015:
        return "at the same tempo"
    return f"at {figure(1 / ratio)}\u202f\u00d7 the speed"


def finding_words(finding: Finding) -> str:
    """Say the finding in one plain sentence."""
    if finding.matched < finding.notes:
        notes = f"{finding.matched:,} of {counted(finding.notes, 'note')} agree in pitch"
    else:
        notes = f"all {counted(finding.notes, 'note')} agree in pitch"
    others = ""
    if finding.all_notes > finding.notes:
        sounding = counted(finding.all_notes, "note")
        others = f" With the other parts, {finding.all_matched:,} of the {sounding} that sound there agree."
    here, there = bars(finding.query_shown), bars(finding.piece_shown)
    verb = "matches" if here.startswith("bar ") else "match"
    title = f"\u201c{finding.title or finding.piece}\u201d{f' by {finding.artist}' if finding.artist else ''}"
    return (
        f"{here.capitalize()} of the track {verb} {there} of {clean(title)}: {notes}, "
        f"{finding.in_time:,} of them in the same rhythm; the track sounds "
        f"{transposition_words(finding.transposition)} and runs {tempo_words(finding.tempo_ratio)}.{others}"
    )


COMMONPLACE = "The passage is mostly this figure, which much music shares, so it needs stronger evidence."


def prior_art_words(other_works: int) -> str:
    """Say how many other works share the passage, and what follows."""
    if not other_works:
        return "No other work of the corpus, of those searched, shares this part of the track."
    share = "shares" if other_works == 1 else "share"
    return (
        f"{counted(other_works, 'other work')} of the corpus {share} this part of the track: the more there "
        "are, the more likely it is common property."
    )


def sound_words(match: SoundMatch) -> str:
    """Say in one sentence what sound was found where."""
    what = "a rendering of the opening of" if match.kind == "render" else "the recording"
    return (
        f"The sound of the track at {span(match.query_span_s)} is that of {what} "
        f"{clean(match.title or match.piece)} at {span(match.piece_span_s)}: "
        f"{match.distance} of {match.bits} bits of the closest window differ."
    )


def metric_words(metric: MetricResult) -> str:
    """Say on which side of chance a metric lies."""
    value, edge = metric.value, metric.chance_p95
    if not (math.isfinite(value) and math.isfinite(edge)):
        return "not comparable"
    alike = value > edge if metric.better == "higher" else value < edge
    return "more alike than chance" if alike else "within chance"


def style_words(metric: MetricResult) -> str:
    """Say where a metric lies among human pieces; "" without a range of them."""
    style, value = metric.style, metric.value
    if style is None or not all(map(math.isfinite, (value, style.low, style.high))):
        return ""
    if style.low <= value <= style.high:
        return "as near to its closest piece as human pieces are"
    nearer = (value > style.high) == (metric.better == "higher")
    return f"{'nearer to' if nearer else 'farther from'} its closest piece than 95 % of human pieces"

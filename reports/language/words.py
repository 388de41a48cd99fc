"""Figures in plain words, exact about what they mean, for people who read no statistics.

The words are part of the evidence: an E-value is a number of passages, not a probability, so it is turned
into one (1 - exp(-E); Karlin and Altschul, PNAS 87, 1990) before odds are named; a percentile is rounded
down, never up to 100 %.
"""

from __future__ import annotations

import math
import re
from typing import Protocol

from audit.findings import Finding, MetricResult, SoundMatch

INTERVALS = (
    *("unison", "semitone", "whole tone", "minor third", "major third", "perfect fourth", "tritone"),
    *("perfect fifth", "minor sixth", "major sixth", "minor seventh", "major seventh"),
)
COUNTED = {
    "note": "{n:,} {n:note|notes}",
    "piece": "{n:,} {n:piece|pieces}",
    "passage": "{n:,} {n:passage|passages}",
    "link": "{n:,} {n:link|links}",
    "other work": "{n:,} {n:other work|other works}",
    "octave": "{n:,} {n:octave|octaves}",
    "work": "{n:,} {n:work|works}",
    "track": "{n:,} {n:track|tracks}",
    "human piece": "{n:,} {n:human piece|human pieces}",
}
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


def is_beyond_chance(metric: MetricResult) -> bool | None:
    """Whether a metric finds two pieces more alike than chance; None where that can't be said."""
    value, edge = metric.value, metric.chance_p95
    if not (math.isfinite(value) and math.isfinite(edge)):
        return None
    return value > edge if metric.better == "higher" else value < edge


class Grammar(Protocol):
    """What words need of a language; `reports.language.translation.Language` is one."""

    def fill(self, template: str, /, **values: object) -> str:
        """Return a template in this language, filled."""

    def numerals(self, text: str) -> str:
        """Write a number as this language does, that was written in English."""


class Words:
    """Figures in the words of one language.

    Parameters
    ----------
    say : Grammar
        Whose catalogue holds the templates that are used here.
    """

    def __init__(self, say: Grammar) -> None:
        self.say = say

    def number(self, value: float, form: str) -> str:
        """Write a number in one of Python's formats, with the signs of the language."""
        return self.say.numerals(format(value, form))

    def clock(self, seconds: float) -> str:
        """Write minutes and seconds."""
        return self.say.numerals(clock(seconds))

    def span(self, seconds: tuple[float, float]) -> str:
        """Write a span of time, e.g. ``0:24.7\u20130:40.1``."""
        return f"{self.clock(seconds[0])}\u2013{self.clock(seconds[1])}"

    def bars(self, numbers: tuple[int, int] | tuple[str, str]) -> str:
        """Name bars, e.g. ``bars 17\u201327`` or ``bar 7``."""
        return self.say.fill("{n:bar|bars} {bars}", n=_many(numbers), bars=_range(numbers))

    def count_noun(self, number: int, noun: str) -> str:
        """Write a number with its noun, one of `COUNTED`, e.g. ``1 note``, ``1,204 notes``."""
        return self.say.fill(COUNTED[noun], n=number)

    def figure(self, value: float, digits: int = 3) -> str:
        """Write a number at `digits` significant digits: powers of ten far from 1, a dash for NaN."""
        if not math.isfinite(value):
            return "\u2013"
        if value and not 1e-4 <= abs(value) < 1e7:
            mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
            power = str(int(exponent)).translate(SUPERSCRIPT)
            text = f"{mantissa}\u202f\u00d7\u202f10{power}"
        else:
            shown = float(f"{value:.{digits}g}")
            text = f"{shown:,.0f}" if abs(shown) >= 10 ** (digits - 1) else f"{shown:.{digits}g}"
        return self.say.numerals(text).replace("-", "\u2212")

    def percent(self, share: float) -> str:
        """Write a share in per cent, rounded down: whole ones, tenths from 99 % on, at most 99.9 %."""
        if not math.isfinite(share):
            return "\u2013"
        tenths = min(math.floor(share * 1000 + 1e-9), 999)
        return f"{self.number(tenths / 10, '.1f') if tenths >= 990 else tenths // 10}\u202f%"

    def large(self, value: float) -> str:
        """Write a number >= 1 at two significant digits, e.g. ``2.3 million``."""
        shown = float(f"{value:.2g}")
        if shown >= 1e9:
            return self.say.fill("{n:,.3g} billion", n=shown / 1e9)
        if shown >= 1e6:
            return self.say.fill("{n:,.3g} million", n=shown / 1e6)
        return self.number(shown, ",.2g" if shown < 10 else ",.0f")

    def evalue_words(self, evalue: float) -> str:
        """Say what an E-value means: odds below 1, a number of passages above."""
        if not math.isfinite(evalue):
            return self.say.fill("How often chance alone gives a passage this strong could not be worked out.")
        if evalue >= 0.95:
            return self.say.fill(
                "Chance alone is expected to give about {number} {n:passage|passages} this strong in a search of this "
                "size.",
                number=self.figure(evalue, 2) if evalue >= 10 else f"{evalue:.0f}",
                n=round(evalue),
            )
        chances = 1.0 / -math.expm1(-evalue) if evalue > 0 else math.inf
        if chances > LONG_ODDS:
            return self.say.fill(
                "Fewer than 1 in a trillion searches of this size with unrelated music would find a passage this "
                "strong, by the chance model."
            )
        return self.say.fill(
            "About 1 in {number} searches of this size with unrelated music would find a passage this strong, by the "
            "chance model.",
            number=self.large(chances),
        )

    def percentile_words(self, percentile: float, human_pieces: int | None = None) -> str:
        """Say what a percentile means, rounded down."""
        sample = self.say.fill(
            "human pieces sampled" if human_pieces is None else "{n:,} human pieces sampled", n=human_pieces
        )
        if not 0 < percentile < math.inf:
            return self.say.fill("Each of the {sample} borrows as much or more from another work.", sample=sample)
        return self.say.fill(
            "Stronger than the strongest borrowing from another work in {share} of the {sample}.",
            share=self.percent(percentile),
            sample=sample,
        )

    def transposition_words(self, semitones: int) -> str:
        """Say where the track lies against the piece, e.g. ``5 semitones higher (perfect fourth)``."""
        if not semitones:
            return self.say.fill("at the same pitch")
        steps = self.say.fill(
            "{n:d} {n:semitone|semitones} higher" if semitones > 0 else "{n:d} {n:semitone|semitones} lower",
            n=abs(semitones),
        )
        octaves, rest = divmod(abs(semitones), 12)
        octave, interval = self.count_noun(octaves, "octave"), self.say.fill(INTERVALS[rest])
        if octaves and rest:
            interval = self.say.fill("{octaves} and {interval}", octaves=octave, interval=interval)
        return steps if abs(semitones) == 1 else f"{steps} ({interval if rest else octave})"

    def tempo_words(self, ratio: float) -> str:
        """Say how fast the track runs against the piece; `ratio` is its seconds over those of the piece."""
        if not 0 < ratio < math.inf:
            return self.say.fill("at a tempo that cannot be compared")
        if abs(ratio - 1) < 0.015:
            return self.say.fill("at the same tempo")
        return self.say.fill("at {ratio}\u202f\u00d7 the speed", ratio=self.figure(1 / ratio))

    def finding_words(self, finding: Finding) -> str:
        """Say the finding in one plain sentence, or in two where other parts sound with it."""
        notes = self.say.fill(
            "{k:,} of {n:,} {n:note|notes} agree in pitch"
            if finding.matched < finding.notes
            else "all {n:,} {n:note|notes} agree in pitch",
            k=finding.matched,
            n=finding.notes,
        )
        title = self.say.fill(
            "\u201c{title}\u201d by {artist}" if finding.artist else "\u201c{title}\u201d",
            title=finding.title or finding.piece,
            artist=finding.artist,
        )
        sentence = self.say.fill(
            "{n:Bar|Bars} {bars} of the track {n:matches|match} {others:bar|bars} {there} of {title}: {notes}, "
            "{k:,} of them in the same rhythm; the track sounds {where} and runs {how}.",
            n=_many(finding.query_shown),
            bars=_range(finding.query_shown),
            others=_many(finding.piece_shown),
            there=_range(finding.piece_shown),
            title=clean(title),
            notes=notes,
            k=finding.in_time,
            where=self.transposition_words(finding.transposition),
            how=self.tempo_words(finding.tempo_ratio),
        )
        if finding.all_notes <= finding.notes:
            return sentence
        sounding = self.say.fill(
            "With the other parts, {k:,} of the {n:,} {n:note|notes} that sound there agree.",
            k=finding.all_matched,
            n=finding.all_notes,
        )
        return f"{sentence} {sounding}"

    def prior_art_words(self, other_works: int) -> str:
        """Say how many other works share the passage, and what follows."""
        if not other_works:
            return self.say.fill("No other work of the corpus, of those searched, shares this part of the track.")
        return self.say.fill(
            "{n:,} {n:other work|other works} of the corpus {n:shares|share} this part of the track: the more there "
            "are, the more likely it is common property.",
            n=other_works,
        )

    def sound_words(self, match: SoundMatch) -> str:
        """Say in one sentence what sound was found where."""
        return self.say.fill(
            "The sound of the track at {here} is that of a rendering of the opening of {piece} at {there}: {k:d} of "
            "{n:d} bits of the closest window differ."
            if match.kind == "render"
            else "The sound of the track at {here} is that of the recording {piece} at {there}: {k:d} of {n:d} bits of "
            "the closest window differ.",
            here=self.span(match.query_span_s),
            piece=clean(match.title or match.piece),
            there=self.span(match.piece_span_s),
            k=match.distance,
            n=match.bits,
        )

    def metric_words(self, metric: MetricResult) -> str:
        """Say on which side of chance a metric lies."""
        beyond = is_beyond_chance(metric)
        if beyond is None:
            return self.say.fill("not comparable")
        return self.say.fill("more alike than chance" if beyond else "within chance")

    def style_words(self, metric: MetricResult) -> str:
        """Say where a metric lies among human pieces; "" without a range of them."""
        style, value = metric.style, metric.value
        if style is None or not all(map(math.isfinite, (value, style.low, style.high))):
            return ""
        if style.low <= value <= style.high:
            return self.say.fill("as near to its closest piece as human pieces are")
        return self.say.fill(
            "nearer to its closest piece than 95 % of human pieces"
            if (value > style.high) == (metric.better == "higher")
            else "farther from its closest piece than 95 % of human pieces"
        )


def _many(numbers: tuple[object, object]) -> int:
    """Return a number for the plural of bars: 1 for one bar, 2 for several."""
    return 1 if numbers[0] == numbers[1] else 2


def _range(numbers: tuple[object, object]) -> str:
    first, last = numbers
    return f"{first}" if first == last else f"{first}\u2013{last}"

"""What an audit says: frozen, without a clock, in the order it is reported.

Spans are seconds from the start of the file; bars are 1-based and inclusive; nothing is rounded here. What could
not be measured is a `Skipped`, never a 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from corpus.rights import CONSENTED
from ledger.hashes.digest import canonical_json, hash_bytes
from ledger.links import Link as Link  # noqa: PLC0414 - the reports read it here

Verdict = Literal["clear", "review", "fail"]
WaiverState = Literal["applied", "expired", "unmatched"]


@dataclass(frozen=True, slots=True)
class PassageNote:
    """One note of a passage.

    Onset and duration in seconds, pitch, part, the number of its aligned pair (None: not matched), whether that
    pair keeps time, whether the note is of the aligned voice, and onset and duration in quarters, the onset from the
    bar line before the passage's first aligned note.
    """

    onset_s: float
    duration_s: float
    pitch: int
    part: int
    pair: int | None
    in_time: bool = False
    in_voice: bool = False
    onset_beat: float = 0.0
    duration_beat: float = 0.0


@dataclass(frozen=True, slots=True)
class Waiver:
    """Somebody's word that a finding, or what a rule says, does not stop the release.

    Attributes
    ----------
    finding : str
        `Finding.id`, or `RuleResult.id`.
    track : str
        Name or ``notes_sha256`` of the track, or a pattern.
    reason : str
        One of `audit.gate.waivers.REASONS`.
    who, why, evidence : str
        Who says so, why, and the link, path or digest that shows it.
    expires : str
        Last day on which it counts, e.g. ``2027-01-31``.
    line : int
        Where the entry begins in its file.
    state : "applied", "expired" or "unmatched"
        In this report: it counts; it does not any more, which fails the track; nothing here is what it names.
    """

    finding: str
    track: str
    reason: str
    who: str
    why: str
    expires: str
    evidence: str
    line: int
    state: WaiverState = "unmatched"


class CanBeWaived:
    """What a waiver can be given for."""

    __slots__ = ()
    waiver: Waiver | None

    @property
    def waived(self) -> bool:
        """Whether a waiver that counts was given for it."""
        return self.waiver is not None and self.waiver.state == "applied"


@dataclass(frozen=True, slots=True)
class Match:
    """Where a track and a piece of the corpus share music, and how it was judged.

    Attributes
    ----------
    piece : str
        Path of the piece in the store.
    query_span_s, piece_span_s : (float, float)
        From the first aligned note's onset to the last one's end.
    query_bars, piece_bars : (int, int)
        Counted from 1.
    query_printed, piece_printed : (str, str)
        The same bars as the score prints them, where pickups, split bars and repeats make that another number; else "".
    transposition : int
        Semitones from the piece up to the track.
    tempo_ratio : float
        Seconds of the track over seconds of the piece.
    matched, notes : int
        Aligned equal notes, of the notes in the track's passage (one voice).
    in_time : int
        How many of them keep the rhythm too.
    bits : float
        Information shared beyond style.
    evalue : float
        Passages this strong expected from unrelated music in a search of this size.
    percentile : float
        Share of human pieces whose strongest borrowing is weaker, in [0, 1].
    other_works : int
        Other works of the corpus that share this part of the track (prior art), among the pieces searched.
    commonplace : str
        Name of the common figure that the passage is mostly made of, or "" (`audit.search.commonplace`).
    allowed : str
        The rule of the policy that allows this piece to be used, or ""; an allowed match is clear.
    """

    piece: str
    verdict: Verdict
    query_span_s: tuple[float, float]
    piece_span_s: tuple[float, float]
    query_bars: tuple[int, int]
    piece_bars: tuple[int, int]
    transposition: int
    tempo_ratio: float
    matched: int
    notes: int
    in_time: int
    bits: float
    evalue: float
    percentile: float
    other_works: int = 0
    commonplace: str = ""
    allowed: str = ""
    query_printed: tuple[str, str] = ("", "")
    piece_printed: tuple[str, str] = ("", "")

    @property
    def query_shown(self) -> tuple[str, str]:
        """First and last bar of the track for people: as printed, or counted."""
        return _bars_as_printed(self.query_bars, self.query_printed)

    @property
    def piece_shown(self) -> tuple[str, str]:
        """First and last bar of the piece for people: as printed, or counted."""
        return _bars_as_printed(self.piece_bars, self.piece_printed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Match, CanBeWaived):
    """A match with all its evidence, as a report shows it.

    Attributes
    ----------
    id : str
        16 hex digits that stay the same as long as the same bars of the same piece are found in the same place
        (`finding_id`): by it waivers, comparisons of reports and other programs know a finding again.
    title, artist, split : str
        The piece as the store lists it.
    rights : dict
        licence, source, consent, isrc, iswc.
    all_matched, all_notes : int
        `matched` and `notes` over every part that sounds in the track's passage: notes that also have an equal note of
        the piece at the same moment, of all pitched notes.
    query_part, piece_part : str
        Names of the parts.
    query_bar_beats : float
        Quarters in a bar of the track where the passage begins.
    query_notes, piece_notes : tuple of PassageNote
        All pitched notes within the spans, for drawing and hearing.
    waiver : Waiver, optional
        What was said about it. The finding keeps its verdict; where the waiver is "applied", it does not count for the
        outcome.
    """

    title: str
    artist: str
    split: str
    rights: dict[str, str]
    id: str
    all_matched: int = 0
    all_notes: int = 0
    query_part: str = ""
    piece_part: str = ""
    query_bar_beats: float = 4.0
    query_notes: tuple[PassageNote, ...] = ()
    piece_notes: tuple[PassageNote, ...] = ()
    waiver: Waiver | None = None

    @property
    def licensed(self) -> bool:
        """Whether the policy allows the piece, or a consent that allows its use is on file."""
        return bool(self.allowed) or self.rights.get("consent") in CONSENTED

    @property
    def first_bar(self) -> int:
        """Number of the track's first bar, to count on from: as printed, where that is a number."""
        first = self.query_shown[0]
        return int(first) if first.isdecimal() else self.query_bars[0]


def _bars_as_printed(counted: tuple[int, int], printed: tuple[str, str]) -> tuple[str, str]:
    first, last = (name or str(number) for number, name in zip(counted, printed, strict=True))
    return first, last


@dataclass(frozen=True, slots=True)
class SoundMatch(CanBeWaived):
    """Sound of a track that is a near-duplicate of sound of the corpus (`audit.measures.sound`).

    Attributes
    ----------
    kind : "recording" or "render"
        Whether it is a recording of the corpus, or a piece's opening as this program renders it.
    piece, title, artist, rights
        Of the recording, or of the piece; as in `Finding`.
    id : str
        As `Finding.id`, by whole seconds in place of bars.
    query_span_s, piece_span_s : (float, float)
        Seconds of the track and of the recording, from the first matched window to the end of the last.
    windows : int
        Windows of the corpus that were found in the track.
    distance, bits : int
        Bits in which the closest window differs, of so many.
    evalue : float
        Windows this close expected from unrelated sound in a search of this size.
    allowed, waiver
        As in `Finding`.
    """

    kind: Literal["recording", "render"]
    piece: str
    title: str
    artist: str
    rights: dict[str, str]
    id: str
    verdict: Verdict
    query_span_s: tuple[float, float]
    piece_span_s: tuple[float, float]
    windows: int
    distance: int
    bits: int
    evalue: float
    allowed: str = ""
    waiver: Waiver | None = None


def finding_id(piece: str, query_bars: tuple[int, int], piece_bars: tuple[int, int], transposition: int) -> str:
    """Return `Finding.id`: the head of the SHA-256 of the canonical JSON of what names the place of a finding."""
    return hash_bytes(canonical_json([piece, list(query_bars), list(piece_bars), transposition])).hex[:16]


@dataclass(frozen=True, slots=True)
class StyleRange:
    """What human pieces of the corpus score against the closest other work, chosen as for a track.

    Attributes
    ----------
    low, median, high : float
        5 %, half and 95 % of the pieces score less.
    pieces : int
        On which the metric could be measured.
    """

    low: float
    median: float
    high: float
    pieces: int


@dataclass(frozen=True, slots=True)
class MetricResult:
    """A metric beside its chance level and the range of its style.

    Attributes
    ----------
    name, about : str
        Key and a sentence for people.
    value : float
    chance_mean, chance_p95 : float
        What unrelated pieces of the corpus score: mean, and the value that 5 % of them pass in the direction of
        likeness.
    better : "higher" or "lower"
        The direction in which two pieces are more alike.
    reference : str
        The piece it was measured against.
    verdict : Verdict
        By the policy's thresholds; "clear" where it has none.
    style : StyleRange, optional
        None for a corpus of too few works.
    """

    name: str
    about: str
    value: float
    chance_mean: float
    chance_p95: float
    better: str
    reference: str
    verdict: Verdict = "clear"
    style: StyleRange | None = None


class Unsearched(NamedTuple):
    """How many pieces a search can't find, and the missing segments of store and index, each with the reason."""

    pieces: int
    segments: tuple[tuple[str, str], ...]


EVERYTHING = Unsearched(0, ())  # was searched


def count_noun(number: int, noun: str) -> str:
    """Write a number with its noun, e.g. ``1 link``, ``3 links``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def strongest_verdict(verdicts: list[Verdict]) -> Verdict:
    """Return the strongest of several verdicts; "clear" for none."""
    for verdict in ("fail", "review"):
        if verdict in verdicts:
            return verdict
    return "clear"

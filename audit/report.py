"""What an audit says of one track as a whole: rules, course, harmony, sound windows, the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from audit.findings import CanBeWaived, Finding, MetricResult, SoundMatch, Waiver
from ledger.errors import Malformed
from ledger.hashes.digest import parse_json
from ledger.links import Link as Link  # noqa: PLC0414 - the reports read it here

Outcome = Literal["pass", "review", "fail", "incomplete"]
RuleVerdict = Literal["pass", "review", "fail", "skipped"]
SCHEMA = "contraste-report/1"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A check that was not made, and why; `required` when the policy wants it."""

    check: str
    reason: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class RuleResult(CanBeWaived):
    """What one rule of the policy says about the track.

    Attributes
    ----------
    id : str
        E.g. ``rights.findings.opt_out``: table and key of the policy.
    title : str
        The rule in a few words.
    verdict : RuleVerdict
        Of the rule itself; see `waived`.
    detail : str
        Why, in one line for people.
    required : bool
        Whether the audit is incomplete where the rule was "skipped".
    waiver : Waiver, optional
        As `Finding.waiver`.
    """

    id: str
    title: str
    verdict: RuleVerdict
    detail: str
    required: bool = False
    waiver: Waiver | None = None


@dataclass(frozen=True, slots=True)
class CourseWindow:
    """Some notes of one line of the track, and the share of them that one passage of the corpus has, in [0, 1]."""

    span_s: tuple[float, float]
    part: str
    likeness: float
    piece: str


@dataclass(frozen=True, slots=True)
class Course:
    """How much of the track the corpus holds over its course (`audit.originality.report`), beside human pieces.

    Attributes
    ----------
    setting : str
        How long a window is, e.g. ``24 notes``.
    windows : tuple of CourseWindow
        By line, then by time.
    human : tuple of float
        Mean likeness of human pieces of the corpus at equal steps of their duration, each against other works; () for
        a corpus of too few works.
    human_edge : float or None
        5 % of the human windows are more alike.
    """

    setting: str
    windows: tuple[CourseWindow, ...]
    human: tuple[float, ...] = ()
    human_edge: float | None = None


@dataclass(frozen=True, slots=True)
class ChordBlock:
    """A chord, in quarters from its side's first chord: its label (Harte), its root in semitones above the tonic."""

    start_beat: float
    end_beat: float
    label: str
    degree: int


@dataclass(frozen=True, slots=True)
class Harmony:
    """The chords of the track beside those of the piece that it was measured against.

    Attributes
    ----------
    reference : str
        The piece.
    track, piece : tuple of ChordBlock
    agreeing : tuple of (float, float)
        Quarters in which both have the same triad on the same degree: what ``chord_f1_time_relative`` counts.
    """

    reference: str
    track: tuple[ChordBlock, ...]
    piece: tuple[ChordBlock, ...]
    agreeing: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class SoundWindows:
    """The two windows of sound whose perceptual hashes were compared (`metrics.phash`).

    Attributes
    ----------
    reference : str
        The piece.
    seconds, shift_s : float
        Length of the windows; by how much later the piece's begins, negative: the track's.
    track_hash, piece_hash : str
        64 bits each, hex.
    width, height : int
        Of the pictures: time by mel bands, from low to high.
    track_picture, piece_picture : str
        Base64 of one byte a point, row by row from the highest band: 0 is -80 dB, 255 the loudest.
    """

    reference: str
    seconds: float
    shift_s: float
    track_hash: str
    piece_hash: str
    width: int
    height: int
    track_picture: str
    piece_picture: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The whole audit of one track; the same input gives the same report.

    Attributes
    ----------
    outcome : Outcome
        "incomplete" when a required check was skipped and nothing failed.
    sentence : str
        The verdict in one plain sentence.
    reasons : tuple of str
        What led to it, strongest first.
    track, store, policy, tool : dict
        Descriptions with digests. Where waivers were given, ``policy["waivers"]`` names their file, its digest and the
        date that their expiry was compared with.
    sound_matches : tuple of SoundMatch
        Of a track that is sound, strongest first.
    rules : tuple of RuleResult
        Every rule that the policy sets, in its order.
    waivers : tuple of Waiver
        All that concern this track, in the order of their file, also those that are expired or match nothing.
    course : Course, optional
        None where no line of the track has a window.
    harmony : Harmony, optional
        None where either side has no chord.
    sound : SoundWindows, optional
        None where no passage is flagged, or either side could not be rendered.
    """

    outcome: Outcome
    sentence: str
    reasons: tuple[str, ...]
    track: dict[str, Any]
    store: dict[str, Any]
    policy: dict[str, Any]
    tool: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    metrics: tuple[MetricResult, ...] = ()
    provenance: tuple[Link, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    limits: tuple[str, ...] = ()
    sound_matches: tuple[SoundMatch, ...] = ()
    rules: tuple[RuleResult, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    course: Course | None = None
    harmony: Harmony | None = None
    sound: SoundWindows | None = None
    schema: str = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, as `json` takes them."""
        return asdict(self)


def strict_json(data: bytes, name: str) -> Any:
    """Parse a report as strictly as the ledger parses what it signs (`ledger.hashes.digest.parse_json`).

    Raises
    ------
    ValueError
        When it is not one JSON value, too big, too deep, or holds a name twice or NaN; `name` is its file's.
    """
    try:
        return parse_json(data, source=name)
    except Malformed as error:
        raise ValueError(str(error)) from None

"""The tables of a policy as types, with the values that hold where a policy says nothing, and the rules they set.

What a table decides by its own values alone, it decides here: whether a passage is a common figure, what a passage, a
sound or a value is judged to be, and which sources may be used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from math import inf
from operator import attrgetter
from typing import Literal, NamedTuple

from audit.findings import Verdict
from corpus.rights import normal

CUSTOM_ALONE = 10  # the percentile speaks alone only where E is within so many times the review threshold
Level = Literal["fail", "review", "ignore"]
LEVELS: tuple[Level, ...] = ("fail", "review", "ignore")


class Rule(NamedTuple):
    """A rule of the gate: its id (table and key of the policy), what it says, and whether a waiver reaches it.

    `levels` is what a broken rule can mean: the policy names one of them, or its key is on or off, and there is one.
    "skipped" makes the audit incomplete. `key` is false for rules that hold under every policy.
    """

    id: str
    title: str
    levels: tuple[str, ...] = ("fail",)
    waivable: bool = True
    key: bool = True


THRESHOLDS = ("fail", "review")
RULES = {
    rule.id: rule
    for rule in (
        # Findings are waived one by one, and nobody can waive what is broken or unknown.
        Rule("copy", "No passage is shared beyond what style and chance explain", THRESHOLDS, waivable=False),
        Rule("sound", "No sound of the corpus is in the track", THRESHOLDS, waivable=False),
        Rule("metrics", "The track is compared with the piece that it resembles most", ("skipped",), waivable=False),
        Rule("rights.findings.opt_out", "No passage is shared with a piece whose holder opted out", LEVELS),
        Rule("rights.findings.licence_missing", "Pieces that passages are shared with have a licence", LEVELS),
        Rule("rights.findings.consent_missing", "Pieces that passages are shared with have a consent", LEVELS),
        Rule("rights.corpus.opt_out", "No piece of the corpus is opted out", LEVELS),
        Rule("rights.corpus.licence_missing", "Every piece of the corpus has a licence", LEVELS),
        Rule("rights.corpus.consent_missing", "Every piece of the corpus has a consent", LEVELS),
        Rule("provenance", "Every link from the track back is checked", ("skipped",), waivable=False),
        Rule("provenance.intact", "What is signed is as it was signed", waivable=False, key=False),
        Rule("provenance.require_signature", "A trusted key signed the track"),
        Rule("provenance.signed_by", "A key that the policy names signed the track"),
        Rule("provenance.require_anchor", "The signature is anchored on a chain"),
        Rule("provenance.require_final", "The anchor is final"),
        Rule("disclosure.credential", "The track has a C2PA credential by a trusted signer", LEVELS),
        Rule("disclosure.roles", "The track says what AI did in each role", LEVELS),
        Rule("style", "The track is neither too near the corpus nor too far from it", THRESHOLDS),
        Rule("store.min_pieces", "The index holds as many pieces as asked for", ("skipped",), waivable=False),
        Rule("store.min_index", "The index has the format asked for", ("skipped",), waivable=False),
        Rule("store.complete", "The index holds every piece of the store", ("skipped",), waivable=False),
        Rule("waivers", "No waiver has expired", waivable=False, key=False),
    )
}
"""Every rule by its id, in the order of reports; each bounded metric sets one more, ``metrics.NAME``."""


@dataclass(frozen=True, slots=True)
class Gate:
    """``[gate]``: what stops a release; checks that must have been made, and whether "review" and idle entries do."""

    required: tuple[str, ...] = ("copy", "metrics")
    review_blocks: bool = False
    entries_must_match: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """``[copy.allow]``: sources that may be used."""

    licences: tuple[str, ...] = ()
    artists: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()

    def rule_for(self, paths: Sequence[str], artist: str, licence: str) -> str:
        """Say which entry lets a piece be used, or return ""; `paths` are its own and that of its oldest duplicate."""
        for kind, value, entries in (("licence", licence, self.licences), ("artist", artist, self.artists)):
            if value and is_listed(value, entries):
                return f"{kind} {value}"
        return next((f"pieces {p}" for p in self.pieces if any(matches(path, p) for path in paths)), "")


@dataclass(frozen=True, slots=True)
class CopyRules:
    """``[copy]``: when a shared passage is called copied."""

    fail_evalue: float
    fail_percentile: float
    review_evalue: float
    review_percentile: float = 1.0
    min_notes: int = 6
    min_bars: float = 0
    common_works: int = 10
    common_factor: float = 1e3
    allow: Allowed = field(default_factory=Allowed)

    def is_common(self, commonplace: str, other_works: int) -> bool:
        """Whether a passage is a common figure: by its shape (`audit.search.commonplace`), or as many works hold it."""
        return bool(commonplace) or other_works >= self.common_works

    def count_evalue(self, evalue: float, common: bool) -> float:
        """Return E as it counts: that of a common figure `common_factor` times."""
        return evalue * (self.common_factor if common else 1)

    def judge(self, evalue: float, percentile: float, matched: int, bars: float = inf, common: bool = False) -> Verdict:
        """Judge one passage: "fail" when chance and custom both speak, "review" when one does.

        Parameters
        ----------
        evalue, percentile : float
            See `audit.findings.Finding`.
        matched, bars : int, float
            Aligned notes, and length in bars of the track; shorter passages than `min_notes` or `min_bars` are always
            clear.
        common : bool
            Whether the passage is a common figure (`is_common`): the percentile does not speak alone then.
        """
        if matched < self.min_notes or bars < self.min_bars:
            return "clear"
        evalue = self.count_evalue(evalue, common)
        unusual = not common and percentile >= self.review_percentile
        if evalue <= self.fail_evalue and percentile >= self.fail_percentile:
            return "fail"
        return "review" if evalue <= self.review_evalue * (CUSTOM_ALONE if unusual else 1) else "clear"


@dataclass(frozen=True, slots=True)
class SoundRules:
    """``[sound]``: when sound of the track is called that of the corpus."""

    fail_evalue: float = 1e-6
    review_evalue: float = 1e-2

    def judge(self, evalue: float) -> Verdict:
        """Judge a near-duplicate by its E-value (`audit.findings.SoundMatch`)."""
        if evalue <= self.fail_evalue:
            return "fail"
        return "review" if evalue <= self.review_evalue else "clear"


@dataclass(frozen=True, slots=True)
class Bounds:
    """``[metrics.NAME]``: bounds of a value, each inclusive, in the order of the values that they cut off."""

    fail_below: float | None = None
    review_below: float | None = None
    review_above: float | None = None
    fail_above: float | None = None

    def list_given(self) -> list[tuple[str, float]]:
        """Return the bounds that the policy sets, by name."""
        values = ((bound.name, getattr(self, bound.name)) for bound in fields(Bounds))
        return [(name, value) for name, value in values if value is not None]

    @property
    def can_fail(self) -> bool:
        """Whether a value past one of the bounds fails the track."""
        return self.fail_below is not None or self.fail_above is not None

    def __str__(self) -> str:
        """Say what is asked for."""
        return ", ".join(f"{name} {value:g}" for name, value in self.list_given())

    def judge(self, value: float) -> Verdict:
        """Judge a value; "clear" where there are no bounds."""
        sides: tuple[tuple[Verdict, float | None, float | None], ...] = (
            ("fail", self.fail_below, self.fail_above),
            ("review", self.review_below, self.review_above),
        )
        for verdict, below, above in sides:
            if (above is not None and value >= above) or (below is not None and value <= below):
                return verdict
        return "clear"


@dataclass(frozen=True, slots=True)
class Style(Bounds):
    """``[style]``: bounds of the track's place among the pieces of one artist, or of all ("")."""

    artist: str = ""


@dataclass(frozen=True, slots=True)
class RightsLevels:
    """``[rights.findings]`` and ``[rights.corpus]``: what missing rights of a piece mean."""

    opt_out: Level = "ignore"
    licence_missing: Level = "ignore"
    consent_missing: Level = "ignore"


@dataclass(frozen=True, slots=True)
class OptedOut:
    """``[rights.opted_out]``: refusals that came after the corpus was made."""

    artists: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    isrcs: tuple[str, ...] = ()
    iswcs: tuple[str, ...] = ()

    def names(self, piece: Mapping[str, str]) -> bool:
        """Whether an entry names a piece, which has ``piece`` (its path), ``artist``, ``isrc`` and ``iswc``."""
        return (
            bool(piece["artist"] and is_listed(piece["artist"], self.artists))
            or any(matches(piece["piece"], pattern) for pattern in self.pieces)
            or bool(piece.get("isrc") and is_listed(piece["isrc"], self.isrcs))
            or bool(piece.get("iswc") and is_listed(piece["iswc"], self.iswcs))
        )


@dataclass(frozen=True, slots=True)
class RightsRules:
    """``[rights]``."""

    findings: RightsLevels = field(default_factory=RightsLevels)
    corpus: RightsLevels = field(default_factory=RightsLevels)
    opted_out: OptedOut = field(default_factory=OptedOut)


@dataclass(frozen=True, slots=True)
class ProvenanceRules:
    """``[provenance]``: what must be signed and anchored, and by which keys."""

    require_signature: bool = False
    signed_by: tuple[str, ...] = ()
    require_anchor: bool = False
    require_final: bool = False


@dataclass(frozen=True, slots=True)
class DisclosureRules:
    """``[disclosure]``: what must be said of AI."""

    credential: Level = "ignore"
    roles: Level = "ignore"
    role_names: tuple[str, ...] = ("composition", "instrumentation")


@dataclass(frozen=True, slots=True)
class StoreRules:
    """``[store]``: what the corpus must be like to be searched."""

    min_pieces: int = 0
    min_index: int = 0
    complete: bool = False


@dataclass(frozen=True, eq=False)
class Tables:
    """Every table of a policy, in the order in which reports print them."""

    gate: Gate
    copy: CopyRules
    sound: SoundRules
    metrics: Mapping[str, Bounds]
    rights: RightsRules
    provenance: ProvenanceRules
    disclosure: DisclosureRules
    style: Style
    store: StoreRules

    def asks(self, table: str) -> bool:
        """Whether a rule of a table asks for anything: it has a level or a bound, or is on."""
        if table == "style":
            return bool(self.style.list_given())
        rules = (rule.id for rule in RULES.values() if rule.key and rule.id.startswith(f"{table}."))
        return any(self.level(rule) != "ignore" for rule in rules)

    def level(self, rule: str) -> Level:
        """Say what it means where a rule does not hold; rules that are only on or off fail the track."""
        value = attrgetter(rule)(self)
        return value if value in LEVELS else "fail" if value else "ignore"


def is_listed(value: str, names: Sequence[str]) -> bool:
    """Whether a name is among the entries, both in Unicode's normal form C."""
    return normal(value) in map(normal, names)


def matches(path: str, pattern: str) -> bool:
    """Whether a path fits a pattern, both in Unicode's normal form C."""
    return fnmatchcase(normal(path), normal(pattern))

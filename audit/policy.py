"""Thresholds and rules of the gate: TOML, checked against ``policies/policy.schema.json``.

A policy is a file, or one of the shipped `PROFILES` by its name, and may extend one of them: what it does not say is
said by that profile, and else by `DEFAULTS`. Bounds that can never or must always be passed are refused, as are numbers
that contradict one another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Literal, NamedTuple

from audit.checked_toml import KeyPath, TomlError, named, read_toml, schema_problems, toml_lines
from audit.findings import Verdict
from corpus.rights import loose, normal
from ledger.hashes.digest import canonical_json, hash_bytes

POLICIES = Path(__file__).parent / "policies"
SCHEMA_FILE = POLICIES / "policy.schema.json"
PROFILES = ("default", "distributor", "label-release", "research")
BUILT_IN = "built in"
CUSTOM_ALONE = 10  # the percentile speaks alone only where E is within so many times the review threshold
Level = Literal["fail", "review", "ignore"]
_UNASKED = {"opt_out": "ignore", "licence_missing": "ignore", "consent_missing": "ignore"}
DEFAULTS: dict[str, Any] = {
    "description": "",
    "gate": {"required": ["copy", "metrics"], "review_blocks": False, "entries_must_match": False},
    "copy": {
        **{"review_percentile": 1.0, "min_notes": 6, "min_bars": 0, "common_works": 10, "common_factor": 1e3},
        "allow": {"licences": [], "artists": [], "pieces": []},
    },
    "sound": {"fail_evalue": 1e-6, "review_evalue": 1e-2},
    "metrics": {},
    "rights": {
        **{"findings": _UNASKED, "corpus": _UNASKED},
        "opted_out": {"artists": [], "pieces": [], "isrcs": [], "iswcs": []},
    },
    "provenance": {"require_signature": False, "signed_by": [], "require_anchor": False, "require_final": False},
    "disclosure": {"credential": "ignore", "roles": "ignore", "role_names": ["composition", "instrumentation"]},
    "style": {"artist": ""},
    "store": {"min_pieces": 0, "min_index": 0, "complete": False},
}


class Unmatched(NamedTuple):
    """An entry of a list of the policy that names nothing in the store, and what it was perhaps meant for, or ""."""

    key: str
    entry: str
    meant: str

    def __str__(self) -> str:
        """Say it in a sentence."""
        hint = f"; {self.meant!r} differs from it in case, spaces or slashes alone" if self.meant else ""
        return f"{self.key}: {self.entry!r} matches nothing in the store{hint}"


class PolicyError(TomlError):
    """Raised when a policy can't be used; the message names file, line, key, value and rule."""


@dataclass(frozen=True, eq=False)
class Policy:
    """A checked policy; `values` holds every effective value, as the report prints it.

    Attributes
    ----------
    digest : str
        SHA-256 (hex) of the canonical JSON of `values`.
    origins : mapping
        Where each value comes from, by its path: the name of a profile, the file, or `BUILT_IN`.
    """

    name: str
    values: dict[str, Any]
    digest: str
    origins: Mapping[KeyPath, str] = field(default_factory=dict)

    @property
    def required(self) -> tuple[str, ...]:
        """Checks that must have been made."""
        return tuple(self.values["gate"]["required"])

    @property
    def review_blocks(self) -> bool:
        """Whether "review" stops the release."""
        return bool(self.values["gate"]["review_blocks"])

    @property
    def entries_must_match(self) -> bool:
        """Whether entries that name nothing stop the run."""
        return bool(self.values["gate"]["entries_must_match"])

    def level(self, rule: str) -> Level:
        """Say what it means where a rule does not hold; rules that are only on or off fail the track."""
        value: Any = self.values
        for name in rule.split("."):
            value = value[name]
        if value in ("fail", "review", "ignore"):
            return value  # type: ignore[no-any-return]
        return "fail" if value else "ignore"

    def requires(self, rule: str) -> bool:
        """Whether the audit is incomplete where this rule could not be checked."""
        return rule.partition(".")[0] in self.required

    @property
    def has_style_window(self) -> bool:
        """Whether the track's distance from the corpus is judged."""
        return len(self.values["style"]) > 1

    def judge_copy(
        self, evalue: float, percentile: float, matched: int, bars: float = inf, common: bool = False
    ) -> Verdict:
        """Judge one passage: "fail" when chance and custom both speak, "review" when one does.

        Parameters
        ----------
        evalue, percentile : float
            See `audit.findings.Finding`.
        matched, bars : int, float
            Aligned notes, and length in bars of the track; shorter passages than ``copy.min_notes`` or
            ``copy.min_bars`` are always clear.
        common : bool
            Whether the passage is a common figure: its E-value counts ``copy.common_factor`` times, and the
            percentile does not speak alone.
        """
        copy = self.values["copy"]
        if matched < copy["min_notes"] or bars < copy["min_bars"]:
            return "clear"
        evalue *= copy["common_factor"] if common else 1
        unusual = not common and percentile >= copy["review_percentile"]
        if evalue <= copy["fail_evalue"] and percentile >= copy["fail_percentile"]:
            return "fail"
        return "review" if evalue <= copy["review_evalue"] * (CUSTOM_ALONE if unusual else 1) else "clear"

    def judge_sound(self, evalue: float) -> Verdict:
        """Judge a near-duplicate by its E-value (`audit.findings.SoundMatch`)."""
        sound = self.values["sound"]
        if evalue <= sound["fail_evalue"]:
            return "fail"
        return "review" if evalue <= sound["review_evalue"] else "clear"

    def is_common(self, commonplace: str, other_works: int) -> bool:
        """Whether a passage is a common figure: by its shape (`audit.search.commonplace`), or as many works hold it."""
        return bool(commonplace) or other_works >= self.values["copy"]["common_works"]

    def allowance(self, paths: Sequence[str], artist: str, licence: str) -> str:
        """Say which rule of ``copy.allow`` lets a piece be used, or return "".

        Parameters
        ----------
        paths : sequence of str
            Of the piece, and of the oldest piece of its duplicate group.
        artist, licence : str
            As the store lists them.
        """
        allow = self.values["copy"]["allow"]
        for kind, value in (("licence", licence), ("artist", artist)):
            if value and _listed(value, allow[f"{kind}s"]):
                return f"{kind} {value}"
        return next((f"pieces {p}" for p in allow["pieces"] if any(_matches(path, p) for path in paths)), "")

    def opted_out(self, piece: Mapping[str, str]) -> bool:
        """Whether a piece was refused: by its rights, or by ``rights.opted_out``.

        `piece` has ``piece`` (its path), ``artist``, ``consent``, ``isrc`` and ``iswc``.
        """
        out = self.values["rights"]["opted_out"]
        return (
            piece.get("consent") == "opt_out"
            or bool(piece["artist"] and _listed(piece["artist"], out["artists"]))
            or any(_matches(piece["piece"], pattern) for pattern in out["pieces"])
            or any(piece.get(name) and _listed(piece[name], out[f"{name}s"]) for name in ("isrc", "iswc"))
        )

    def unmatched(self, records: Iterable[Mapping[str, str]]) -> list[Unmatched]:
        """Entries of ``copy.allow`` and ``rights.opted_out`` that name nothing of what a store holds.

        Parameters
        ----------
        records : iterable of mapping
            ``piece`` (the path), ``artist``, ``licence``, ``isrc`` and ``iswc`` of each piece and recording.
        """
        tables = {"copy.allow": self.values["copy"]["allow"], "rights.opted_out": self.values["rights"]["opted_out"]}
        asked = [
            (f"{name}.{key}", key[:-1], entries) for name, table in tables.items() for key, entries in table.items()
        ]
        if not any(entries for _, _, entries in asked):
            return []
        known: dict[str, set[str]] = {kind: set() for kind in ("piece", "artist", "licence", "isrc", "iswc")}
        for record in records:
            for kind, values in known.items():
                values.add(normal(record.get(kind, "")))
        return [
            Unmatched(key, entry, next((v for v in sorted(known[kind]) if v and loose(v) == loose(entry)), ""))
            for key, kind, entries in asked
            for entry in entries
            if not any(_matches(value, entry) if kind == "piece" else _listed(value, [entry]) for value in known[kind])
        ]

    def judge_metric(self, name: str, value: float) -> Verdict:
        """Judge one metric by its thresholds, inclusive; "clear" where the policy has none."""
        return _judge(self.values["metrics"].get(name, {}), value)

    def judge_style(self, share: float) -> Verdict:
        """Judge the track's place in the style window, inclusive."""
        return _judge(self.values["style"], share)


def _listed(value: str, entries: Sequence[str]) -> bool:
    """Whether a name is among the entries, both in Unicode's normal form C."""
    return normal(value) in map(normal, entries)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(normal(path), normal(pattern))


def _judge(bounds: Mapping[str, Any], value: float) -> Verdict:
    verdicts: tuple[Verdict, ...] = ("fail", "review")
    for verdict in verdicts:
        above, below = bounds.get(f"{verdict}_above"), bounds.get(f"{verdict}_below")
        if (above is not None and value >= above) or (below is not None and value <= below):
            return verdict
    return "clear"


def policy_file(policy: str | Path | None) -> Path:
    """Return the file of a profile, by its name, or the path itself; the default profile for None."""
    name = str(policy or "default")
    return POLICIES / f"{name}.toml" if name in PROFILES else Path(name)


def read_policy(policy: str | Path | None = None) -> Policy:
    """Read the policy of a profile's name or a path; the default one for None.

    Raises
    ------
    PolicyError
        When the file can't be read, is no TOML, or breaks the schema.
    """
    file = policy_file(policy)
    try:
        values, text = read_toml(file, "a policy")
    except TomlError as error:
        hint = [] if file.exists() else [f"the profiles are {', '.join(PROFILES)}"]
        raise PolicyError(str(file), [*error.problems, *hint]) from error
    return check_policy(values, str(file), text)


def check_policy(values: dict[str, Any], name: str, text: str = "") -> Policy:
    """Check policy values against the schema and fill in what they leave out.

    Parameters
    ----------
    values : dict
        As read from TOML.
    name : str
        The file, for messages.
    text : str, optional
        The TOML, for the lines in messages.

    Raises
    ------
    PolicyError
        Naming the line, the key, the value and the rule that it breaks.
    """
    layers = _layers(values)
    said: dict[str, Any] = {}
    for _, layer in layers:
        said = _merged(said, layer)
    lines = toml_lines(text) if text else {}
    problems = schema_problems(said, SCHEMA_FILE, lines)
    problems = problems or [named(path, lines, message) for path, message in _contradictions(_filled(said))]
    if problems:
        raise PolicyError(name, problems)
    effective = _filled(said)
    origins = dict.fromkeys(_leaves(effective), BUILT_IN)
    for origin, layer in layers:
        origins |= dict.fromkeys((path for path in _leaves(layer) if path in origins), origin)
    return Policy(effective["name"], effective, hash_bytes(canonical_json(effective)).hex, origins)


def _layers(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the profiles that a policy extends, the outermost first, then itself; each with its name."""
    base = values.get("extends")
    own = (
        str(values.get("name", "")),
        {key: value for key, value in values.items() if key != "extends" or base is None},
    )
    if not isinstance(base, str) or base not in PROFILES:
        return [(own[0], values)]
    below, _ = read_toml(POLICIES / f"{base}.toml", "a policy")
    return [*_layers(below), own]


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay tables over one another; whatever is no table replaces what was there."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _filled(said: dict[str, Any]) -> dict[str, Any]:
    """Return every effective value: that of the policy, or the default."""
    order = ("schema", "name", *DEFAULTS)
    filled = _merged(DEFAULTS, said)
    return {key: filled[key] for key in order if key in filled}


def _leaves(values: dict[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _contradictions(values: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield what the schema can't say: thresholds that contradict one another, and rules that can't hold."""
    from metrics.measure import SPECS

    required = values["gate"]["required"]
    for table in ("copy", "sound"):
        fail, review = values[table]["fail_evalue"], values[table]["review_evalue"]
        if fail > review:
            yield (table, "fail_evalue"), f"fail_evalue {fail} is above review_evalue {review}; failing asks for more"
    specs = {spec.name: spec for spec in SPECS}
    for name, bounds in values["metrics"].items():
        low, high = specs[name].low, specs[name].high
        for key, value in bounds.items():
            if not low <= value <= high:
                yield ("metrics", name, key), f"{value} can't be reached; {name} is from {low:g} to {high:g}"
        yield from _crossed(("metrics", name), bounds)
    yield from _crossed(("style",), values["style"])
    rights, disclosure = values["rights"], values["disclosure"]
    asked = {
        "rights": any(rights[where][key] != "ignore" for where in ("findings", "corpus") for key in _UNASKED),
        "disclosure": any(disclosure[key] != "ignore" for key in ("credential", "roles")),
        "style": len(values["style"]) > 1,
        "store": any(values["store"].values()),
    }
    for name in required:
        if not asked.get(name, True):
            yield ("gate", "required"), f"{name} is required, and no rule of the table {name} asks for anything"


def _crossed(path: KeyPath, bounds: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield bounds in the wrong order: what fails must lie beyond what is for review, and a window needs room."""
    order = [
        (key, bounds[key]) for key in ("fail_below", "review_below", "review_above", "fail_above") if key in bounds
    ]
    for (first, low), (second, high) in pairwise(order):
        if low > high or (low == high and first[-6:] != second[-6:]):
            yield (*path, first), f"{first} {low} and {second} {high} leave no value between them"


def explained(policy: Policy) -> Iterator[tuple[KeyPath, Any, str, str]]:
    """Yield every effective value: its path, value, origin, and what it does, in the schema's words."""
    schema = json.loads(SCHEMA_FILE.read_bytes())
    for path in _leaves(policy.values):
        about: Any = schema
        value: Any = policy.values
        for key in path:
            properties = about.get("properties", {})
            about, value = properties.get(key, about.get("additionalProperties")), value[key]
        yield path, value, policy.origins[path], str(about["description"])

"""The gate's policy: thresholds and rules in TOML, checked against ``policies/policy.schema.json``.

A policy is a file, or one of the shipped `PROFILES` by its name, and may extend one of them: what it does not say is
said by that profile, and else by the defaults of `audit.policy_tables`. Bounds that can never or must always be passed
are refused, as are numbers that contradict one another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from audit.checked_toml import KeyPath, TomlError, format_problem, read_toml, schema_problems, toml_lines
from audit.findings import Verdict
from audit.policy_tables import Bounds, CopyRules, Tables, is_listed, matches
from corpus.rights import loose, normal
from ledger.hashes.digest import canonical_json, hash_bytes

POLICIES = Path(__file__).parent / "policies"
SCHEMA_FILE = POLICIES / "policy.schema.json"
PROFILES = ("default", "distributor", "label-release", "research")
BUILT_IN = "built in"


def _defaults(kind: Any) -> dict[str, Any]:
    """Return the values of a table that a policy may leave out, those of tables in it among them."""
    hints, values = get_type_hints(kind), dict[str, Any]()
    for key in fields(kind):
        if is_dataclass(hints[key.name]) or get_origin(hints[key.name]) is Mapping:
            values[key.name] = _defaults(hints[key.name]) if is_dataclass(hints[key.name]) else {}
        elif key.default is not MISSING and key.default is not None:
            values[key.name] = list(key.default) if isinstance(key.default, tuple) else key.default
    return values


DEFAULTS: dict[str, Any] = {"description": "", **_defaults(Tables)}


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Policy(Tables):
    """A checked policy.

    Attributes
    ----------
    values : dict
        Every effective value, as the report prints it.
    digest : str
        SHA-256 (hex) of the canonical JSON of `values`.
    text : str
        The file as it was read: what is kept beside a report is what the track was judged by.
    origins : mapping
        Where each value comes from, by its path: the name of a profile, the file, or `BUILT_IN`.
    """

    name: str
    values: dict[str, Any]
    digest: str
    text: str = ""
    origins: Mapping[KeyPath, str] = field(default_factory=dict)

    def requires(self, rule: str) -> bool:
        """Whether the audit is incomplete where this rule could not be checked."""
        return rule.partition(".")[0] in self.gate.required

    def opted_out(self, piece: Mapping[str, str]) -> bool:
        """Whether a piece was refused: by its rights, or by ``rights.opted_out`` (see there; also ``consent``)."""
        return piece.get("consent") == "opt_out" or self.rights.opted_out.names(piece)

    def find_unmatched(self, records: Iterable[Mapping[str, str]]) -> list[Unmatched]:
        """Entries of ``copy.allow`` and ``rights.opted_out`` that name nothing of what a store holds.

        Parameters
        ----------
        records : iterable of mapping
            ``piece`` (the path), ``artist``, ``licence``, ``isrc`` and ``iswc`` of each piece and recording.
        """
        asked = [
            (f"{key}.{kind.name}", kind.name[:-1], getattr(table, kind.name))
            for key, table in (("copy.allow", self.copy.allow), ("rights.opted_out", self.rights.opted_out))
            for kind in fields(table)
        ]
        if not any(names for _, _, names in asked):
            return []
        known: dict[str, set[str]] = {kind: set() for kind in ("piece", "artist", "licence", "isrc", "iswc")}
        for record in records:
            for kind, values in known.items():
                values.add(normal(record.get(kind, "")))
        return [
            Unmatched(key, entry, next((v for v in sorted(known[kind]) if v and loose(v) == loose(entry)), ""))
            for key, kind, names in asked
            for entry in names
            if not any(matches(value, entry) if kind == "piece" else is_listed(value, [entry]) for value in known[kind])
        ]

    def judge_metric(self, name: str, value: float) -> Verdict:
        """Judge one metric by its thresholds, inclusive; "clear" where the policy has none."""
        return self.metrics[name].judge(value) if name in self.metrics else "clear"


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
        said = _merge(said, layer)
    lines = toml_lines(text) if text else {}
    problems = schema_problems(said, SCHEMA_FILE, lines)
    if problems:
        raise PolicyError(name, problems)
    effective = _fill_in(said)
    origins = dict.fromkeys(_leaves(effective), BUILT_IN)
    for origin, layer in layers:
        origins |= dict.fromkeys((path for path in _leaves(layer) if path in origins), origin)
    policy = Policy(
        **_build_table(Tables, effective),
        name=effective["name"],
        values=effective,
        digest=hash_bytes(canonical_json(effective)).hex,
        text=text,
        origins=origins,
    )
    problems = [format_problem(path, lines, message) for path, message in _contradictions(policy)]
    if problems:
        raise PolicyError(name, problems)
    return policy


def _build_table(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a table's type: tables in it built, lists as tuples."""

    def built(hint: Any, value: Any) -> Any:
        if get_origin(hint) is Mapping:
            return {name: built(get_args(hint)[1], entry) for name, entry in value.items()}
        if is_dataclass(hint):
            return hint(**_build_table(hint, value))  # type: ignore[operator]
        return tuple(value) if isinstance(value, list) else value

    hints = get_type_hints(kind)
    return {key.name: built(hints[key.name], values[key.name]) for key in fields(kind) if key.name in values}


def copy_rules(values: Mapping[str, Any]) -> CopyRules:
    """Return the rules on passages that stand in a report, as ``policy.values``."""
    return CopyRules(**_build_table(CopyRules, values["copy"]))


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


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay tables over one another; whatever is no table replaces what was there."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _fill_in(values: dict[str, Any]) -> dict[str, Any]:
    """Return every effective value: that of the policy, or the default."""
    order = ("schema", "name", *DEFAULTS)
    filled = _merge(DEFAULTS, values)
    return {key: filled[key] for key in order if key in filled}


def _leaves(values: dict[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def _contradictions(policy: Policy) -> Iterator[tuple[KeyPath, str]]:
    """Yield what the schema can't say: thresholds that contradict one another, and rules that can't hold."""
    from metrics.measure import SPECS

    for table, fail, review in (
        ("copy", policy.copy.fail_evalue, policy.copy.review_evalue),
        ("sound", policy.sound.fail_evalue, policy.sound.review_evalue),
    ):
        if fail > review:
            yield (table, "fail_evalue"), f"fail_evalue {fail} is above review_evalue {review}; failing asks for more"
    specs = {spec.name: spec for spec in SPECS}
    for name, bounds in policy.metrics.items():
        low, high = specs[name].low, specs[name].high
        for key, value in bounds.list_given():
            if not low <= value <= high:
                yield ("metrics", name, key), f"{value} can't be reached; {name} is from {low:g} to {high:g}"
        yield from _find_crossed(("metrics", name), bounds)
    yield from _find_crossed(("style",), policy.style)
    for name in policy.gate.required:
        if name in ("rights", "disclosure", "store", "style") and not policy.asks(name):
            yield ("gate", "required"), f"{name} is required, and no rule of the table {name} asks for anything"


def _find_crossed(path: KeyPath, bounds: Bounds) -> Iterator[tuple[KeyPath, str]]:
    """Yield bounds in the wrong order: what fails must lie beyond what is for review, and a window needs room."""
    for (first, low), (second, high) in pairwise(bounds.list_given()):
        if low > high or (low == high and first[-6:] != second[-6:]):
            yield (*path, first), f"{first} {low} and {second} {high} leave no value between them"


def explain_policy(policy: Policy) -> Iterator[tuple[KeyPath, Any, str, str]]:
    """Yield every effective value: its path, value, origin, and what it does, in the schema's words."""
    schema = json.loads(SCHEMA_FILE.read_bytes())
    for path in _leaves(policy.values):
        about: Any = schema
        value: Any = policy.values
        for key in path:
            properties = about.get("properties", {})
            about, value = properties.get(key, about.get("additionalProperties")), value[key]
        yield path, value, policy.origins[path], str(about["description"])

"""Reports for programs: report.json.

Conventions
-----------
report.json is canonical JSON (RFC 8785, JCS): equal reports have equal bytes, so its digest can be signed.
It obeys ``report.schema.json`` (JSON Schema draft 2020-12). Numbers are rounded here, to 6 significant
digits, and nowhere before. What has no JSON form is replaced: NaN and infinities by null, lone surrogates
(from titles in damaged files) by U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import rfc8785

from audit.findings import Finding, Link, MetricResult, PassageNote, SoundMatch, StyleRange, Waiver
from audit.report import (
    AuditReport,
    ChordBlock,
    Course,
    CourseWindow,
    Harmony,
    RuleResult,
    Skipped,
    SoundWindows,
    strict_json,
)

SIGNIFICANT = 6
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")
_SURROGATE = re.compile("[\ud800-\udfff]")


class ReportError(ValueError):
    """Raised when a report can't be written or read; the message names the value and the rule."""


def round_digits(value: float, digits: int = SIGNIFICANT) -> float | None:
    """Round to `digits` significant digits; None for NaN and infinities, 0.0 for -0.0."""
    if not math.isfinite(value):
        return None
    return float(f"{float(value):.{digits}g}") + 0.0


def plain(value: Any) -> Any:
    """Turn `value` into what canonical JSON carries, numbers rounded.

    Parameters
    ----------
    value : object
        Dictionaries with string keys, sequences, strings, numbers (NumPy's too), booleans, None.

    Raises
    ------
    ReportError
        For any other type.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return round_digits(float(value))
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(entry) for entry in value]
    raise ReportError(f"{value!r} is a {type(value).__name__}; reports hold text, numbers, lists and objects")


def canonical(value: Any) -> bytes:
    """Return `value` as canonical JSON (RFC 8785), UTF-8, without a final newline, after `plain`.

    Raises
    ------
    ReportError
        As `plain`, and for integers beyond 2**53 - 1.
    """
    try:
        return rfc8785.dumps(plain(value))
    except rfc8785.CanonicalizationError as error:
        raise ReportError(f"the report can't be written as canonical JSON (RFC 8785): {error}") from None


def report_json(report: AuditReport) -> bytes:
    """Return report.json.

    Raises
    ------
    ReportError
        When the report's dictionaries hold what JSON cannot carry.
    """
    return canonical(report.to_dict())


def read_report(data: bytes, name: str = "report.json") -> AuditReport:
    """Return the report that `data` holds, its numbers as they were rounded.

    ``report_json(read_report(data)) == data``: whatever is written from it, is written from report.json alone.

    Raises
    ------
    ReportError
        When it is no canonical JSON (RFC 8785), or breaks the schema.
    """
    from jsonschema import Draft202012Validator

    try:
        value = strict_json(data, name)
    except ValueError as refused:
        raise ReportError(str(refused)) from None
    schema = json.loads(SCHEMA_FILE.read_bytes())
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "the file"
        text = error.message if len(error.message) <= 200 else f"...{error.message[-200:]}"
        raise ReportError(f"{name}: {place}: {text} (report.schema.json)")
    if canonical(value) != data:
        raise ReportError(f"{name} is not the canonical JSON (RFC 8785) that contraste writes: it was altered by hand")
    return _restore(value)


def read_back(data: bytes) -> AuditReport:
    """Return the report of a report.json that was made here: what `read_report` gives, without its checks."""
    return _restore(json.loads(data))


def _restore(value: dict[str, Any]) -> AuditReport:
    kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
        "findings": _finding,
        "sound_matches": _sound,
        "metrics": _metric,
        "provenance": lambda entry: Link(**{"code": "", **entry}),
        "skipped": lambda entry: Skipped(**entry),
        "rules": lambda entry: RuleResult(**{**entry, "waiver": _waiver(entry["waiver"])}),
        "waivers": _waiver,
    }
    found = value["course"]
    course = found and Course(
        **{**found, "windows": tuple(map(_window, found["windows"])), "human": tuple(found["human"])}
    )
    lists = {key: tuple(read(entry) for entry in value[key]) for key, read in kinds.items()}
    texts = {key: tuple(value[key]) for key in ("reasons", "limits")}
    sound = value["sound"] and SoundWindows(**value["sound"])
    made = {"course": course, "harmony": _harmony(value["harmony"]), "sound": sound}
    return AuditReport(**{**value, **texts, **lists, **made})


def _numbers(entry: dict[str, Any], *names: str) -> dict[str, Any]:
    """Put NaN where a number is null."""
    return {**entry, **{name: math.nan for name in names if entry[name] is None}}


def _waiver(entry: dict[str, Any] | None) -> Waiver | None:
    return None if entry is None else Waiver(**entry)


def _harmony(entry: dict[str, Any] | None) -> Harmony | None:
    if entry is None:
        return None
    track, piece = (tuple(ChordBlock(**block) for block in entry[side]) for side in ("track", "piece"))
    return Harmony(entry["reference"], track, piece, tuple((start, end) for start, end in entry["agreeing"]))


def _window(entry: dict[str, Any]) -> CourseWindow:
    return CourseWindow(**{**entry, "span_s": tuple(entry["span_s"])})


def _sound(entry: dict[str, Any]) -> SoundMatch:
    spans = {name: tuple(entry[name]) for name in ("query_span_s", "piece_span_s")}
    return SoundMatch(**{**_numbers(entry, "evalue"), **spans, "waiver": _waiver(entry["waiver"])})


def _metric(entry: dict[str, Any]) -> MetricResult:
    style = entry["style"] and StyleRange(**_numbers(entry["style"], "low", "median", "high"))
    return MetricResult(**{**_numbers(entry, "value", "chance_mean", "chance_p95"), "style": style})


def _finding(entry: dict[str, Any]) -> Finding:
    spans = ("query_span_s", "piece_span_s")
    notes = ("query_notes", "piece_notes")
    return Finding(
        **{
            **_numbers(entry, "tempo_ratio", "bits", "evalue", "percentile"),
            **{name: tuple(math.nan if s is None else s for s in entry[name]) for name in spans},
            **{n: tuple(entry[n]) for n in ("query_bars", "piece_bars", "query_printed", "piece_printed")},
            **{n: tuple(PassageNote(**_numbers(note, "onset_s", "duration_s")) for note in entry[n]) for n in notes},
            "waiver": _waiver(entry["waiver"]),
        }
    )

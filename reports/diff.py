"""Two states of a report compared: what is new, what is fixed, what stayed; for one track or a folder of them.

A passage is known again by its `Finding.id`, any other check by its name (`reports.checks`), a track by the folder of
its report. "New" is what is not clear now and was clear, or not there, before; "fixed" the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.report import AuditReport
from reports.checks import Check, checks, short
from reports.json_report import ReportError, read_report

FILE = "report.json"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one check.

    Attributes
    ----------
    kind : "new", "fixed" or "unchanged"
    check : Check
        As it is now; as it was, where it is fixed and gone.
    before : str
        Its state in the old report, "" where it was not there.
    """

    kind: str
    check: Check
    before: str


@dataclass(frozen=True, slots=True)
class TrackDiff:
    """One track: its outcomes ("" where a side has no report), and what became of its checks that are not clear."""

    track: str
    before: str
    after: str
    changes: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Whether something new is not clear."""
        return any(change.kind == "new" for change in self.changes)


def compare_reports(track: str, old: AuditReport | None, new: AuditReport | None) -> TrackDiff:
    """Compare two reports on a track; None for the side that has none."""
    was, now = (_by_key(report) for report in (old, new))
    changes = []
    for key in sorted({*was, *now}):
        before, after = was.get(key), now.get(key)
        bad_before, bad_after = before is not None and not before.clear, after is not None and not after.clear
        state = _state(before) if before else ""
        if bad_after and after is not None:
            changes.append(Change("unchanged" if bad_before else "new", after, state))
        elif bad_before and before is not None and new is not None:
            changes.append(Change("fixed", after or before, state))
    order = {"new": 0, "fixed": 1, "unchanged": 2}
    changes.sort(key=lambda change: order[change.kind])
    return TrackDiff(track, old.outcome if old else "", new.outcome if new else "", tuple(changes))


def _by_key(report: AuditReport | None) -> dict[tuple[str, str], Check]:
    """Return the checks by name and key; the gravest of several of one name, as of skipped parts of one check."""
    by_key: dict[tuple[str, str], Check] = {}
    for check in checks(report) if report else ():
        place = (check.rule, check.key)
        if place not in by_key or (by_key[place].clear and not check.clear):
            by_key[place] = check
    return by_key


def _state(check: Check) -> str:
    return "waived" if check.waived else check.state


def compare_paths(old: Path, new: Path) -> list[TrackDiff]:
    """Compare two report.json, or two folders of reports.

    Raises
    ------
    ReportError
        When a report can't be read, a folder holds none, or a file is compared with a folder.
    """
    if old.is_file() and new.is_file():
        before, after = read_report(_bytes(old), str(old)), read_report(_bytes(new), str(new))
        return [compare_reports(str(after.track.get("name", new.name)), before, after)]
    left, right = reports_in(old), reports_in(new)
    return [compare_reports(name, left.get(name), right.get(name)) for name in sorted({*left, *right})]


def reports_in(folder: Path) -> dict[str, AuditReport]:
    """Read every report.json at or below a folder, by the place of its folder."""
    return {
        file.parent.relative_to(folder).as_posix(): read_report(_bytes(file), str(file))
        for file in report_files(folder)
    }


def report_files(path: Path) -> list[Path]:
    """Return `path` itself where it is a file, else every report.json at or below it; `ReportError` for none."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise ReportError(f"{path}: no such file or folder")
    files = sorted(path.rglob(FILE))
    if not files:
        raise ReportError(f"{path}: holds no {FILE}; make one with: contraste audit")
    return files


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ReportError(f"{file}: cannot be read: {error.strerror}") from None


def diff_lines(diffs: list[TrackDiff]) -> list[str]:
    """Return the comparison for the terminal: a line a track, and below it one for each change."""
    lines = []
    for diff in diffs:
        outcome = diff.after if diff.before == diff.after else f"{diff.before or 'not there'} -> {diff.after or 'gone'}"
        lines.append(f"{short(diff.track, 200)}: {outcome}")
        for change in diff.changes:
            check = change.check
            lines.append(
                f"  {change.kind:9s} {_state(check):6s} {check.rule} {short(check.key, 60)}  {short(check.text, 200)}"
            )
    return lines


def diff_json(diffs: list[TrackDiff]) -> dict[str, Any]:
    """Return the comparison for programs."""
    counts = {kind: sum(c.kind == kind for d in diffs for c in d.changes) for kind in ("new", "fixed", "unchanged")}
    return {"schema": "contraste-diff/1", "counts": counts, "tracks": [_plain(diff) for diff in diffs]}


def _plain(diff: TrackDiff) -> Mapping[str, Any]:
    return {
        "track": diff.track,
        "before": diff.before or None,
        "after": diff.after or None,
        "changes": [
            {
                "kind": change.kind,
                "rule": change.check.rule,
                "key": change.check.key,
                "before": change.before or None,
                "after": _state(change.check) if change.kind != "fixed" or change.check.clear else None,
                "text": change.check.text,
            }
            for change in diff.changes
        ],
    }

"""Two states of a report: new, fixed, unchanged, and the same for folders."""

import dataclasses
from pathlib import Path

import pytest

from audit.findings import MetricResult
from audit.report import RuleResult
from reports.diff import compare_paths, compare_reports, diff_json, diff_lines
from reports.json_report import ReportError, report_json
from tests.report_cases import clean_report, finding, report, waiver


def kinds(old, new) -> list[tuple[str, str, str]]:
    return [(c.kind, c.check.rule, c.check.key) for c in compare_reports("x", old, new).changes]


def test_a_passage_is_known_again_by_its_id() -> None:
    old = clean_report(findings=(finding(1), finding(2)))
    new = clean_report(findings=(finding(3), finding(2, evalue=1e-9)))
    found = compare_reports("x", old, new)
    assert [(c.kind, c.check.key[-1]) for c in found.changes] == [("new", "3"), ("fixed", "1"), ("unchanged", "2")]
    assert found.worse
    assert not compare_reports("x", old, old).worse
    assert compare_reports("x", old, clean_report()).changes[0].kind == "fixed"


def test_a_check_that_gets_worse_is_new_and_one_that_gets_better_is_fixed() -> None:
    def with_metric(verdict, rule="pass"):
        return clean_report(
            metrics=(MetricResult("bleu", "Runs.", 0.4, 0.03, 0.09, "higher", "a.mid", verdict),),
            rules=(RuleResult("style.close", "Style", rule, "why"),),
        )

    assert kinds(with_metric("clear"), with_metric("review")) == [("new", "metrics.bleu", "")]
    assert kinds(with_metric("fail"), with_metric("clear")) == [("fixed", "metrics.bleu", "")]
    assert kinds(with_metric("fail"), with_metric("review")) == [("unchanged", "metrics.bleu", "")]
    assert kinds(with_metric("clear"), with_metric("clear", "fail")) == [("new", "style.close", "")]


def test_a_waiver_fixes_and_its_expiry_is_new() -> None:
    flagged, waived = clean_report(findings=(finding(1),)), clean_report(findings=(finding(1, waiver=waiver("1")),))
    late = clean_report(findings=(finding(1, waiver=waiver("1", "expired")),))
    assert [k for k, *_ in kinds(flagged, waived)] == ["fixed"]
    assert [k for k, *_ in kinds(waived, late)] == ["new"]
    assert kinds(waived, waived) == []


def test_a_track_that_is_gone_fixes_nothing_and_a_new_one_is_judged() -> None:
    assert compare_reports("x", report(), None).changes == ()
    assert compare_reports("x", None, report()).worse
    assert not compare_reports("x", None, clean_report()).worse


def test_folders_are_compared_track_by_track(tmp_path: Path) -> None:
    for side, name, made in [("old", "a", report()), ("old", "b", clean_report()), ("new", "b", report())]:
        (tmp_path / side / name).mkdir(parents=True)
        (tmp_path / side / name / "report.json").write_bytes(report_json(made))
    diffs = compare_paths(tmp_path / "old", tmp_path / "new")
    assert [(d.track, d.before, d.after, d.worse) for d in diffs] == [
        ("a", "fail", "", False),
        ("b", "pass", "fail", True),
    ]
    lines = diff_lines(diffs)
    assert lines[:2] == ["a: fail -> gone", "b: pass -> fail"]
    assert any(line.startswith("  new       fail   copy 0000000000000001") for line in lines)
    said = diff_json(diffs)
    assert said["counts"]["new"] == len(diffs[1].changes) == sum(line.startswith("  new") for line in lines)
    assert said["tracks"][0] == {"track": "a", "before": "fail", "after": None, "changes": []}
    one = compare_paths(tmp_path / "old/a/report.json", tmp_path / "new/b/report.json")
    assert {c.kind for c in one[0].changes} == {"unchanged"}


def test_the_state_of_what_is_gone_is_none() -> None:
    old = clean_report(findings=(finding(1), finding(2)))
    new = dataclasses.replace(old, findings=(finding(2, verdict="review"), finding(3)))
    changes = diff_json([compare_reports("x", old, new)])["tracks"][0]["changes"]
    assert [(c["kind"], c["before"], c["after"]) for c in changes] == [
        ("new", None, "fail"), ("fixed", "fail", None), ("unchanged", "fail", "review"),
    ]  # fmt: skip


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.json").write_text("hello")
    for path, says in [("none", "no such file"), ("empty", "holds no report.json"), ("text.json", "not valid JSON")]:
        with pytest.raises(ReportError, match=says):
            compare_paths(tmp_path / path, tmp_path / path)

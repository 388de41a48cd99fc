"""Waivers: which are read, which are refused and by which line, whom they concern, and what they do."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from audit.findings import Finding
from audit.gate.waivers import WaiverError, attach_waivers, judge_expiry, mark_used, read_waivers
from audit.report import RuleResult
from tests.test_reports_json_report import FINDING

DAY = date(2026, 11, 26)
ID = "0123456789abcdef"
ENTRY = {
    "finding": f'"{ID}"',
    "track": '"song.mid"',
    "reason": '"licensed"',
    "who": '"A. Person"',
    "why": '"The publisher agreed."',
    "expires": "2027-01-31",
    "evidence": '"contracts/17.pdf"',
}


def entry(**changes: str | None) -> str:
    """Return one entry of the file; None leaves a key out."""
    values = {**ENTRY, **changes}
    return "\n[[waiver]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None)


def written(path: Path, *entries: str) -> Path:
    file = path / "w.toml"
    file.write_text('schema = "contraste-waivers/1"\n' + "".join(entries))
    return file


def test_a_file_is_read_with_lines(tmp_path: Path) -> None:
    text = written(tmp_path, entry(), entry(track=None, expires='"2026-11-25"'))
    waivers = read_waivers(text, DAY)
    first, second = waivers.entries
    assert (first.line, first.expires, first.state) == (3, "2027-01-31", "unmatched")
    assert (second.line, second.expires, second.state, second.track) == (12, "2026-11-25", "expired", "*")
    assert (waivers.name, waivers.today, len(waivers.sha256)) == ("w.toml", "2026-11-26", 64)


@pytest.mark.parametrize(("today", "state"), [(date(2027, 1, 31), "unmatched"), (date(2027, 2, 1), "expired")])
def test_a_waiver_counts_through_its_last_day(tmp_path: Path, today: date, state: str) -> None:
    assert read_waivers(written(tmp_path, entry()), today).entries[0].state == state


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"who": None}, "line 3: waiver.0: 'who' is a required property"),
        ({"why": None}, "'why' is a required property"),
        ({"expires": None}, "'expires' is a required property"),
        ({"evidence": None}, "'evidence' is a required property"),
        ({"who": '" "'}, "line 7: waiver.0.who: "),
        ({"reason": '"because"'}, "line 6: waiver.0.reason: 'because' is not one of"),
        ({"expires": '"2027-02-30"'}, "line 9: waiver.0.expires: 2027-02-30 is no day of the calendar"),
        ({"expires": "2027-01-31T12:00:00"}, "line 9: waiver.0.expires: "),
        ({"expires": "20270131"}, "line 9: waiver.0.expires: 20270131 is not of type 'string'"),
        ({"until": "1"}, "line 11: waiver.0.until: unknown key"),
        ({"finding": '"0123"'}, "line 4: waiver.0.finding: "),
        ({"finding": '"copy"'}, "the rule copy can't be waived; waive its findings one by one"),
        ({"finding": '"provenance.intact"'}, "the rule provenance.intact can't be waived"),
        ({"finding": '"store.complete"'}, "the rule store.complete can't be waived"),
        ({"finding": '"rights.luck"'}, "'rights.luck' is neither the id of a finding"),
    ],
)
def test_what_is_refused_is_named_with_its_line(tmp_path: Path, changes: dict[str, str | None], says: str) -> None:
    with pytest.raises(WaiverError) as caught:
        read_waivers(written(tmp_path, entry(**changes)), DAY)
    assert says in str(caught.value)
    assert "w.toml" in str(caught.value)


@pytest.mark.parametrize("text", ["waiver = 3\n", "waiver = [3]\n", "[waiver]\n", "waivers = []\n"])
def test_files_of_another_shape_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(WaiverError, match="line 2: waiver"):
        read_waivers(written(tmp_path, text), DAY)


def test_rules_can_be_waived(tmp_path: Path) -> None:
    for rule in ("disclosure.credential", "rights.corpus.opt_out", "metrics.phash_64", "style"):
        assert read_waivers(written(tmp_path, entry(finding=f'"{rule}"')), DAY).entries[0].finding == rule


def test_whom_a_waiver_concerns(tmp_path: Path) -> None:
    digest = "ab" * 32
    entries = [entry(track=track) for track in ('"song.mid"', '"song*"', f'"{digest}"', None, '"Song.mid"')]
    waivers = read_waivers(written(tmp_path, *entries), DAY)
    assert [w.line for w in waivers.of("song.mid", "cd" * 32)] == [3, 12, 30]
    assert [w.line for w in waivers.of("other.mid", digest)] == [21, 30]


def test_what_is_waived_keeps_its_verdict(tmp_path: Path) -> None:
    given = read_waivers(written(tmp_path, entry(expires="2026-01-01"), entry(), entry(who='"B"')), DAY).entries
    clear = replace(FINDING, verdict="clear")
    one, two, three = attach_waivers((FINDING, replace(FINDING, id="f" * 16), clear), given)
    assert (one.verdict, one.waived, one.waiver and one.waiver.line) == ("fail", True, 12)  # the first in force
    assert (two.waived, two.waiver) == (False, None)
    assert three.waiver is None  # nothing to waive
    states = [w.state for w in mark_used(given, (one, two, three))]
    assert states == ["expired", "applied", "applied"]
    assert [w.state for w in mark_used(given, (three,))] == ["expired", "unmatched", "unmatched"]


def test_an_expired_waiver_is_shown_and_does_not_count(tmp_path: Path) -> None:
    given = read_waivers(written(tmp_path, entry(expires="2026-11-25")), DAY).entries
    found: tuple[Finding, ...] = attach_waivers((FINDING,), given)
    assert (found[0].waived, found[0].waiver and found[0].waiver.state) == (False, "expired")
    (rule,) = judge_expiry(given, "w.toml")
    assert (rule.id, rule.verdict) == ("waivers", "fail")
    assert rule.detail == f"w.toml: line 3: of {ID}, expired on 2026-11-25"
    assert judge_expiry((), "") == ()


def test_a_rule_that_was_skipped_can_not_be_waived(tmp_path: Path) -> None:
    given = read_waivers(written(tmp_path, entry(finding='"style"')), DAY).entries
    rules = [RuleResult("style", "Style", verdict, "") for verdict in ("skipped", "pass", "review", "fail")]  # type: ignore[arg-type]
    assert [rule.waived for rule in attach_waivers(rules, given)] == [False, False, True, True]

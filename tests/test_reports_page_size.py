"""How much evidence a page holds: the strongest findings have all of it, and what was left out is said."""

import dataclasses
import html
import itertools
import re
from typing import Any

import pytest
from markupsafe import Markup

from audit.findings import Finding
from audit.report import AuditReport
from reports.drawings.notation import Score
from reports.drawings.svg import rolls
from reports.pages.page_size import LEAST, PAGE_BYTES, Kept, choose_evidence
from reports.pages.report import report_html
from tests.test_reports_report import HOSTILE, finding, report

SOUND = (b"\xff" * 30_000, b"\xff" * 30_000)


def long_finding(number: int, **changes: Any) -> Finding:
    """Return a finding of several hundred notes."""
    made = finding(number, **{"verdict": "fail", **changes})
    return dataclasses.replace(made, query_notes=made.query_notes * 20, piece_notes=made.piece_notes * 20)


def many(count: int) -> AuditReport:
    return report(findings=tuple(long_finding(number) for number in range(1, count + 1)))


def size(page: str) -> int:
    return len(page.encode())


def chosen(count: int, room: float, score: int = 50_000) -> Kept:
    engraved = Score(Markup("x" * score), 1, 1, {}, True)
    findings = tuple(long_finding(number) for number in range(1, count + 1))
    sounds = dict.fromkeys(range(1, 11), SOUND)
    return choose_evidence(findings, sounds, lambda n: rolls(findings[n - 1]), lambda n: engraved, lambda f: [], room)


def test_a_few_findings_have_everything() -> None:
    found = chosen(3, PAGE_BYTES)
    assert (found.listed, found.drawn, sorted(found.scores), sorted(found.sounds)) == (3, 3, [1, 2, 3], [1, 2, 3])
    assert found.everything


def test_the_strongest_findings_have_most() -> None:
    found = chosen(1000, PAGE_BYTES)
    assert 1 < found.drawn < found.listed < 1000
    heavy = len(found.scores)
    assert 3 <= heavy < found.drawn
    assert sorted(found.scores) == sorted(found.sounds) == list(range(1, heavy + 1))
    assert found.short == set(range(heavy + 1, found.drawn + 1))
    assert not found.everything


def test_less_room_leaves_more_out_and_the_first_finding_stays() -> None:
    counts = [chosen(300, room) for room in (4e6, 2e6, 1e6, 0.0)]
    for more, less in itertools.pairwise(counts):
        assert (more.listed, more.drawn, len(more.scores)) > (less.listed, less.drawn, len(less.scores))
    assert (counts[-1].listed, counts[-1].drawn, counts[-1].scores) == (LEAST, 1, {})
    assert counts[-1].unspent == 0  # or the page would be tried for ever


@pytest.mark.parametrize("count", [40, 200, 1500])
def test_a_page_of_any_number_of_findings_is_small(count: int) -> None:
    whole, sounds = many(count), dict.fromkeys(range(1, 11), SOUND)
    page = report_html(whole, sounds)
    assert size(page) <= PAGE_BYTES
    assert page == report_html(whole, sounds)
    listed = len(re.findall(r'<details class="finding', page))
    assert f"strongest {listed} of {count} passages" in page
    assert "contraste audit new.mid --store folk --policy policy.toml --out report --whole-page" in page
    assert "Hay más pruebas de las que caben" in page
    assert page.count("Left out, so that the page stays small") >= 1
    assert len(re.findall(r'id="finding-\d+"', page)) == len(re.findall(r"data-review=", page)) == listed
    drawn = int(re.search(r"passages; (\d+) of them with piano rolls", page)[1])  # type: ignore[index]
    assert page.count('class="play"') == drawn <= listed


def test_a_whole_page_leaves_nothing_out() -> None:
    sounds = dict.fromkeys(range(1, 41), SOUND)
    page = report_html(many(40), sounds, whole=True)
    assert size(page) > PAGE_BYTES
    assert page.count('class="play"') == 40
    assert "Left out" not in page
    assert "--whole-page" not in page


def test_a_small_page_says_nothing_of_room() -> None:
    page = report_html(report(3), {1: SOUND})
    assert "--whole-page" not in page
    assert "Left out" not in page


def test_overlong_titles_do_not_make_the_page_big() -> None:
    title = HOSTILE * 2000
    findings = tuple(long_finding(n, title=title, artist=title, piece=title) for n in range(1, 81))
    page = report_html(report(findings=findings), dict.fromkeys(range(1, 11), SOUND))
    assert size(page) <= PAGE_BYTES
    assert "finding-1" in page


def test_reasons_beyond_twenty_are_counted() -> None:
    page = html.unescape(report_html(report(1, reasons=tuple(f"bars {k}" for k in range(33)))))
    assert "bars 19" in page
    assert "bars 20" not in page
    assert "and 13 more, which report.json lists" in page

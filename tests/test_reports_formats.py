"""SARIF, JUnit, Markdown and PDF: by their schemas, complete, repeatable, and deaf to what titles say."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft4Validator, Draft202012Validator

import reports.exports.pdf
from audit.report import AuditReport, ChordBlock, Course, CourseWindow, Harmony, Skipped, SoundWindows
from reports.checks import checks, short
from reports.exports.junit import report_junit
from reports.exports.markdown import escape_text, report_markdown
from reports.exports.pdf import read_attached_json, report_pdf, streams
from reports.exports.sarif import report_sarif
from reports.formats import FORMS, Source, report_files, unknown_or_unavailable
from reports.json_report import SCHEMA_FILE, ReportError, read_report, report_json
from tests.report_cases import HOSTILE, clean_report, finding, hostile_report, report, waiver

SARIF_SCHEMA = "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"
EVERY = [report(), clean_report(), *(hostile_report(text) for text in HOSTILE.values())]
NAMES = ["full", "clean", *HOSTILE]


def sarif(made: AuditReport) -> Any:
    return json.loads(report_sarif(made))["runs"][0]


@pytest.fixture(scope="module")
def sarif_schema(node_tools: Path) -> Draft4Validator:
    file = node_tools / "node_modules" / SARIF_SCHEMA
    if not file.is_file():
        pytest.skip("the npm tools are older than the lock file; run: make node-tools")
    return Draft4Validator(json.loads(file.read_bytes()))


@pytest.mark.parametrize("made", EVERY, ids=NAMES)
def test_sarif_obeys_the_schema_of_oasis(made: AuditReport, sarif_schema: Draft4Validator) -> None:
    sarif_schema.validate(json.loads(report_sarif(made)))
    with pytest.raises(Exception, match="required property"):
        sarif_schema.validate({"version": "2.1.0"})


@pytest.mark.parametrize("made", EVERY, ids=NAMES)
def test_json_obeys_its_schema_and_reads_back(made: AuditReport) -> None:
    data = report_json(made)
    Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes())).validate(json.loads(data))
    assert report_json(read_report(data)) == data


def test_course_chords_and_sound_read_back() -> None:
    chords = (ChordBlock(0.0, 4.0, "C:maj", 0), ChordBlock(4.0, 8.0, "G:7", 7))
    made = dataclasses.replace(
        report(),
        course=Course("24 notes", (CourseWindow((0.0, 9.5), "Lead", 0.5, "a.mid"),), (0.1, 0.2), 0.4),
        harmony=Harmony("a.mid", chords, chords[:1], ((0.0, 4.0),)),
        sound=SoundWindows("a.mid", 12.0, -0.25, "0" * 16, "f" * 16, 2, 1, "AAA=", "AAA="),
    )
    data = report_json(made)
    read = read_report(data)
    assert (read.course, read.harmony, read.sound) == (made.course, made.harmony, made.sound)
    assert report_json(read) == data


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.from_json or name == "html"])
def test_the_same_report_gives_the_same_bytes(name: str) -> None:
    assert FORMS[name].write(Source(report())) == FORMS[name].write(Source(report()))


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.from_json])
def test_forms_from_json_are_those_of_the_report_that_is_read_back(name: str) -> None:
    read = read_report(report_json(report()))
    assert FORMS[name].write(Source(read)) == FORMS[name].write(Source(read_report(report_json(read))))


def test_a_report_that_is_no_report_is_refused() -> None:
    data = report_json(report())
    for bad, says in [
        (b"{", "not valid JSON"),
        (b'{"a":1,"a":2}', "the name 'a' stands twice"),
        (data.replace(b'"outcome":"fail"', b'"outcome":"good"'), "outcome: 'good' is not one of"),
        (data.replace(b'"matched":12', b'"matched": 12'), "not the canonical JSON"),
        (b"[" * 100_000, "nested deeper than the limit"),
        (b"\xff", "not valid JSON"),
    ]:
        with pytest.raises(ReportError, match=says):
            read_report(bad)


def test_sarif_names_what_is_not_clear() -> None:
    run = sarif(report())
    found = {(r["ruleId"], r["level"], r["kind"]) for r in run["results"]}
    assert found == {
        ("copy", "error", "fail"),
        ("copy", "warning", "fail"),
        ("sound", "warning", "fail"),
        ("metrics.phash_64", "warning", "fail"),
        ("provenance.link.model", "error", "fail"),
        ("provenance.signed", "error", "fail"),
        ("style.close", "none", "open"),
        ("metrics.phash_256", "none", "open"),
    }
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    assert all(rules[r["ruleIndex"]] == r["ruleId"] for r in run["results"])
    assert all(rule["help"]["text"] for rule in run["tool"]["driver"]["rules"])
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "new.mid", "index": 0}
    assert place["properties"] == {"bars": [6, 8], "seconds": [10.0, 14.0]}
    assert run["artifacts"][0]["hashes"] == {"sha-256": "12" * 32}
    assert run["tool"]["driver"]["version"] == "9.8.7"
    told = run["invocations"][0]
    assert not told["executionSuccessful"]
    assert ("not asked", "note") in [(n["message"]["text"], n["level"]) for n in told["toolExecutionNotifications"]]
    assert sarif(clean_report())["results"] == []
    assert sarif(clean_report())["invocations"][0]["executionSuccessful"]


def test_sarif_fingerprints_follow_the_music_and_not_the_file() -> None:
    def prints(made: AuditReport) -> list[Any]:
        return [r["partialFingerprints"] for r in sarif(made)["results"]]

    here = report()
    renamed = dataclasses.replace(here, track={**here.track, "name": "other.mid", "sha256": "56" * 32})
    assert prints(here) == prints(renamed)
    moved = dataclasses.replace(here, findings=(finding(7),))
    assert prints(moved)[0] not in prints(here)
    changed = dataclasses.replace(here, track={**here.track, "notes_sha256": "78" * 32})
    assert not set(map(str, prints(changed))) & set(map(str, prints(here)))
    assert len(set(map(str, prints(here)))) == len(prints(here))


def test_waivers_are_suppressions_and_expired_ones_are_none() -> None:
    first = sarif(report())["results"][1]["suppressions"]
    assert [(s["kind"], s["status"]) for s in first] == [("external", "accepted")]
    assert "licensed: Contract 7. (A. Lawyer, until 2027-01-31, evidence contract-7.pdf" in first[0]["justification"]
    late = report(findings=(finding(1, waiver=waiver("1", "expired")),))
    assert sarif(late)["results"][0]["suppressions"][0]["status"] == "rejected"
    assert "suppressions" not in sarif(report())["results"][0]


def junit(made: AuditReport) -> ElementTree.Element:
    return ElementTree.fromstring(report_junit(made))


def test_junit_has_a_case_for_each_check() -> None:
    suite = junit(report())[0]
    cases = {case.get("name"): [element.tag for element in case] for case in suite.iter("testcase")}
    assert cases == {
        "copy": ["failure", "system-out"],
        "sound": ["system-out"],
        "metrics.bleu": ["system-out"],
        "metrics.phash_64": ["system-out"],
        "provenance.link.track": ["system-out"],
        "provenance.link.model": ["failure"],
        "rights.findings.opt_out": ["system-out"],
        "provenance.signed": ["failure"],
        "style.close": ["error"],
        "metrics.phash_256": ["error"],
        "chain": ["skipped"],
    }
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "11", "failures": "3", "errors": "2", "skipped": "1",
    }  # fmt: skip
    assert "waived: licensed" in (suite.findtext("testcase[@name='copy']/system-out") or "")


def test_junit_fails_a_review_where_the_policy_says_that_it_blocks() -> None:
    blocks = report(policy={"values": {"gate": {"review_blocks": True}}})
    assert junit(blocks)[0].find("testcase[@name='metrics.phash_64']/failure") is not None
    assert junit(blocks)[0].find("testcase[@name='copy']/failure").get("type") == "fail"  # type: ignore[union-attr]
    assert [case.tag for case in junit(clean_report())[0].iter("failure")] == []


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_text_in_junit(text: str) -> None:
    root = junit(hostile_report(text))
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out",
    }  # fmt: skip
    assert len(report_junit(hostile_report(text))) < 60_000
    assert root[0].get("name") == short(text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_text_in_markdown(text: str) -> None:
    shown = report_markdown(hostile_report(text)).decode()
    assert len(shown) < 60_000
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", shown)
    plain = [re.sub(r"\\[^\w\s]", "", line) for line in shown.splitlines()]
    ours = report_markdown(hostile_report("plain words")).decode().splitlines()
    assert [line for line in plain if line.startswith("#")] == [
        line if "plain" not in line else next(other for other in plain if other.startswith("# "))
        for line in ours
        if line.startswith("#")
    ]
    for line in plain:
        assert not re.search(r"[<>\[\]!$]|://|www\.", line), line
    assert [line.count("|") for line in plain] == [line.count("|") for line in ours]


def test_markdown_escapes_sign_by_sign() -> None:
    assert escape_text("# a") == r"\# a"
    assert escape_text("- a") == r"\- a"
    assert escape_text("1. a") == r"1\. a"
    assert escape_text("a_b*c*|d|\n# e") == r"a\_b\*c\*\|d\| \# e"
    assert escape_text("http://x www.y a@b") == r"http\://x www\.y a\@b"
    assert escape_text("x" * 400).endswith("x\u2026")
    assert len(escape_text("x" * 400)) == 300


def test_markdown_holds_findings_waivers_and_what_was_not_checked() -> None:
    shown = report_markdown(report()).decode()
    for part in ("# Fail: new.mid", "0000000000000001", "Waiver: licensed: Contract 7.", "chain: not asked", "12" * 32):
        assert part in shown
    assert "## Shared passages" not in report_markdown(clean_report()).decode()


def test_checks_say_what_blocks() -> None:
    assert {c.rule for c in checks(report()) if not c.clear} == {
        "copy", "sound", "metrics.phash_64", "metrics.phash_256", "provenance.link.model", "provenance.signed",
        "style.close",
    }  # fmt: skip
    assert all(check.clear for check in checks(clean_report()))
    unsearched = clean_report(skipped=(Skipped("copy", "too short", True),))
    assert [(c.rule, c.state) for c in checks(unsearched)] == [("copy", "open")]


# PDF


@pytest.fixture(scope="module")
def pdf_possible() -> None:
    if reason := reports.exports.pdf.pdf_unavailable():
        pytest.skip(f"no PDF here: {reason}")


@pytest.mark.usefixtures("pdf_possible")
@pytest.mark.parametrize("made", EVERY, ids=NAMES)
def test_pdf_is_pdf_a_3_and_carries_the_report(made: AuditReport) -> None:
    data = report_pdf(made)
    assert data.startswith(b"%PDF-1.7")
    inside = b"\n".join([data, *streams(data)])
    assert re.search(rb"pdfaid:part(>|=\")3", inside)
    assert b"/AFRelationship/Source" in inside.replace(b" /", b"/")
    assert read_attached_json(data) == [report_json(made)]
    assert b"/JavaScript" not in inside
    assert b"/URI" not in inside


@pytest.mark.usefixtures("pdf_possible")
def test_pdf_fetches_nothing_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a PDF asked for something")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
    assert report_pdf(report()) == report_pdf(report())


def test_pdf_that_cannot_be_made_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)
    assert "pip install 'contraste[pdf]'" in unknown_or_unavailable(["html", "pdf"])
    assert unknown_or_unavailable(["html", "json"]) == ""
    with pytest.raises(ReportError, match="weasyprint is not installed"):
        report_pdf(report())


def test_unknown_formats_are_named() -> None:
    assert unknown_or_unavailable(["html", "docx"]).startswith("'docx' is none of html, pdf, json, sarif")
    assert list(report_files(Source(report()), {"json", "md"})) == ["report.json", "report.md"]


def test_each_track_is_a_category_and_a_place_of_its_own() -> None:
    """Services keep the results of one category until the next log of it comes."""
    one, other = (
        dataclasses.replace(report(), track={**report().track, "name": "song.mid", "path": f"{album}/song.mid"})
        for album in ("first", "second")
    )
    newer = dataclasses.replace(one, track={**one.track, "sha256": "f" * 64})
    ids = [sarif(made)["automationDetails"]["id"] for made in (one, other, newer)]
    categories = [name.rpartition("/")[0] for name in ids]
    assert categories[0] == categories[2] != categories[1]
    assert ids[0] != ids[2]
    for made, album in ((one, "first"), (other, "second")):
        uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in sarif(made)["results"]}
        assert uris == {f"{album}/song.mid"}

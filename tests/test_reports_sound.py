"""Reports on tracks that are sound, in every form; the recording's share of them."""

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest

from audit.findings import SoundMatch
from audit.measures.influence import NO_MATCH, NO_NOTES, share_sound_influence
from audit.report import AuditReport, Skipped
from reports.checks import checks
from reports.exports.influence import influence_csv, influence_json
from reports.exports.junit import report_junit
from reports.exports.markdown import report_markdown
from reports.exports.sarif import report_sarif
from reports.json_report import read_back, read_report, report_json
from tests.report_cases import HOSTILE, report, waiver

RIGHTS = {"licence": "CC-BY-4.0", "source": "", "consent": "granted", "isrc": "", "iswc": ""}


def match(number: int = 1, **changes: Any) -> SoundMatch:
    made = SoundMatch(
        kind="recording",
        piece=f"album/{number}.flac",
        title=f"Song {number}",
        artist="Band",
        rights=RIGHTS,
        id=f"{number:016x}",
        verdict="fail",
        query_span_s=(10.0, 34.0),
        piece_span_s=(60.0, 84.0),
        windows=5,
        distance=17,
        bits=256,
        evalue=1e-30,
    )
    return dataclasses.replace(made, **changes)


def heard(*matches: SoundMatch, **changes: Any) -> AuditReport:
    needs = tuple(Skipped(name, "needs notes", True) for name in ("copy", "metrics"))
    track = {"name": "song.wav", "sha256": "12" * 32, "duration_s": 96.0, "loudness_lufs": -14.0, "compared_with": "x"}
    return report(
        track=track, findings=(), metrics=(), rules=(), skipped=needs, sound_matches=matches, waivers=(), **changes
    )


def test_json_comes_back_as_it_was() -> None:
    data = report_json(heard(match(1, waiver=waiver(f"{1:016x}")), match(2, evalue=0.005, verdict="review")))
    again = read_report(data)
    assert report_json(again) == data
    assert [m.piece for m in again.sound_matches] == ["album/1.flac", "album/2.flac"]
    assert again.sound_matches[0].waived


def test_every_form_names_the_match() -> None:
    made = heard(match(1), match(2, verdict="clear"))
    found = [check for check in checks(made) if check.rule == "sound"]
    assert [(check.state, check.key) for check in found] == [("fail", f"{1:016x}")]
    assert "17 of 256 bits" in found[0].text
    for text in (report_markdown(made).decode(), report_junit(made).decode()):
        assert "17 of 256 bits" in text
        assert "Song 2" not in text


def test_sarif_says_where_and_knows_it_again() -> None:
    result = json.loads(report_sarif(heard(match(1, waiver=waiver(f"{1:016x}")))))["runs"][0]["results"][0]
    assert (result["ruleId"], result["level"]) == ("sound", "error")
    assert result["locations"][0]["physicalLocation"]["properties"] == {"seconds": [10, 34]}
    assert result["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "album/1.flac"
    assert result["partialFingerprints"] == {"contraste/v1": f"sound:{1:016x}:{'12' * 32}"}
    assert result["suppressions"][0]["status"] == "accepted"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_titles_stay_text(text: str) -> None:
    made = heard(match(1, title=text, piece=text, artist=text, rights={**RIGHTS, "licence": text}))
    assert not re.search(rb"(?<!\\)<script", report_markdown(made) + report_junit(made))
    report_sarif(made)
    influence_csv(made, share_sound_influence(96.0, made.sound_matches))


def test_a_recording_has_the_seconds_it_spans() -> None:
    composition, recording = share_sound_influence(96.0, [match(1)])
    assert (composition.unattributed.share, composition.reason) == (1.0, NO_NOTES)
    assert recording.pieces[0].share.share == pytest.approx(24 / 96, abs=0.01)
    assert recording.pieces[0].share.low < 0.25 < recording.pieces[0].share.high
    assert recording.holders[0].holder == "Band"
    assert recording.unattributed.share == pytest.approx(72 / 96, abs=0.01)


def test_recordings_divide_what_both_claim_and_sum_to_one() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        starts = rng.uniform(0, 80, 4)
        matches = [match(k % 3, query_span_s=(s, s + rng.uniform(12, 40))) for k, s in enumerate(starts)]
        _, recording = share_sound_influence(96.0, matches)
        total = sum(p.share.share for p in recording.pieces) + recording.unattributed.share
        assert total == pytest.approx(1.0)
        assert recording == share_sound_influence(96.0, matches[::-1])[1]
        written = json.loads(influence_json(heard(*matches), [recording]))["ledgers"][0]
        assert sum(p["share"] for p in written["pieces"]) + written["unattributed"]["share"] == pytest.approx(
            1.0, abs=1e-9
        )


@pytest.mark.parametrize("found", [(), (match(1, kind="render"),), (match(1, evalue=0.5),)])
def test_what_is_no_recording_of_the_corpus_is_nobodys(found: tuple[SoundMatch, ...]) -> None:
    _, recording = share_sound_influence(96.0, found)
    assert (recording.unattributed.share, recording.reason) == (1.0, NO_MATCH)
    assert share_sound_influence(5.0, (), "too short")[1].reason == "too short"


def test_as_written_is_what_is_read_back() -> None:
    made = heard(match(1), match(2, evalue=0.0012345678))
    assert read_back(report_json(made)) == read_report(report_json(made)) != made

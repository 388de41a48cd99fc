"""report.html and index.html: safe, self-contained, complete, repeatable, small."""

import base64
import dataclasses
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from audit.findings import Link, MetricResult, SoundMatch, StyleRange, Waiver
from audit.report import ChordBlock, Course, CourseWindow, Harmony, RuleResult, Skipped, SoundWindows
from ledger.links import LinkVerdict
from reports.drawings.provenance_graph import chain
from reports.drawings.svg import chance_line, number, pitch_name, rolls, timeline
from reports.language.translation import language
from reports.pages.crosswalk import crosswalk
from reports.pages.index import IndexRow, index_html, index_row
from reports.pages.page import script_data
from reports.pages.report import gravest, report_html
from tests.cases.pages import HOSTILE, finding, report
from tests.cases.values import require

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.blocks: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "style"):
            self.blocks.append((tag, dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.blocks[-1] = (*self.blocks[-1][:2], self.blocks[-1][2] + data)
        else:
            self.text += data

    def of(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        names = {k.replace("_", "-").removesuffix("-"): v for k, v in wanted.items()}
        return [a for t, a in self.tags if t == tag and all(a.get(k) == v for k, v in names.items())]


def test_page_is_balanced_and_opens_with_the_verdict() -> None:
    page = Page(report_html(report()))
    words = " ".join(page.text.split())
    order = ["Fail", "This track holds a copied passage.", "bars 6-10 match", "Where they lie", "Tune 1 Trad."]
    order += ["Metrics beside chance", "Provenance From", "What was not checked", "Limits Only", "To reproduce"]
    places = [words.index(text, words.index("policy default")) for text in order]
    assert places == sorted(places)


def test_every_finding_has_rolls_buttons_and_evidence() -> None:
    html = report_html(report(3))
    page = Page(html)
    assert len(page.of("svg", class_="rolls", role="img")) == 3
    assert [a["data-side"] for a in page.of("button") if a.get("data-finding") == "2"] == ["track", "piece", "both"]
    assert [("open" in a) for a in page.of("details") if "id" in a] == [True, False, False]
    for text in (
        "32 of 40",
        "1 in 40,000 searches",
        "97\u202f% of the 100 human pieces",
        "5 semitones higher (perfect fourth)",
        "at 2\u202f\u00d7 the speed",
        "1 other work of the corpus shares",
        "CC0-1.0",
        "T-1",
        "nothing on file",
        "10.0\u201320.0 s",
        "40.0\u201360.0 s",
        "21\u201331",
        "Simulated",
        "proves nothing to others",
        "no sound was rendered",
        "policy value \u00b7 copy \u00b7 fail_evalue",
        "ab" * 32,
        "9.8.7",
    ):
        assert text in page.text, text
    assert "nfring" not in html.lower()


def test_hostile_text_stays_text() -> None:
    bad = finding(
        1, title=HOSTILE, artist=HOSTILE, piece=HOSTILE, query_part=HOSTILE, rights={"licence": HOSTILE, HOSTILE: "x"}
    )
    hostile = report(
        findings=(bad,),
        sentence=HOSTILE,
        reasons=(HOSTILE,),
        track={"name": HOSTILE, HOSTILE: HOSTILE, "title": HOSTILE},
        metrics=(MetricResult(HOSTILE, HOSTILE, 0.4, 0.03, 0.09, "higher", HOSTILE),),
        provenance=(Link(HOSTILE, HOSTILE, cast(LinkVerdict, HOSTILE), HOSTILE),),
        skipped=(Skipped(HOSTILE, HOSTILE),),
        limits=(HOSTILE,),
    )
    for html in (report_html(hostile), index_html([index_row(hostile, HOSTILE)])):
        page = Page(html)
        assert "{{ 7*7 }}" in page.text
        assert not page.of("img")
        assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
        assert not [a for _, a in page.tags if "style" in a]
        assert "\u202e" not in html
        assert "\x00" not in html
        html.encode("utf-8")
        assert len(page.of("script")) == (3 if page.of("details") else 1)


def test_json_in_the_page_cannot_end_its_script() -> None:
    text = str(script_data({"a": "</script><!--&\u2028"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--&\u2028"}


@pytest.mark.parametrize("kind", ["report", "index"])
def test_policy_allows_just_what_the_page_holds(kind: str) -> None:
    html = report_html(report()) if kind == "report" else index_html([index_row(report(), "new")])
    page = Page(html)
    (policy,) = page.of("meta", http_equiv="Content-Security-Policy")
    content = str(policy["content"])
    assert content.startswith("default-src 'none';")
    assert "unsafe" not in content
    for tag, attributes, text in page.blocks:
        if attributes.get("type") != "application/json":
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in content
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "poster", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "new/report.html"))
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#hatch)", html)


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    page = Page(report_html(report(4), {1: (b"ID3a", b"ID3b")}))
    ids = [str(a["id"]) for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"])[1:] for _, a in page.tags if str(a.get("href", "")).startswith("#")}
    assert targets <= set(ids)
    labelled = {str(a["aria-labelledby"]) for _, a in page.tags if "aria-labelledby" in a}
    assert labelled <= set(ids)


def test_sounds_are_carried_in_the_page() -> None:
    page = Page(report_html(report(2), {1: (b"RIFFwave", b"\xff\xfbmp3")}))
    (data,) = [json.loads(text) for _, a, text in page.blocks if a.get("id") == "data"]
    assert data["sounds"] == {"1": [base64.b64encode(sound).decode() for sound in (b"RIFFwave", b"\xff\xfbmp3")]}
    heard = re.findall(r"(Plain tones, at|The first 12 seconds)", page.text)
    assert heard == ["The first 12 seconds", "Plain tones, at"]


def test_a_page_without_sound_says_why() -> None:
    html = report_html(report(1), silent="no renderer: neither <FluidSynth> nor")
    assert "play plain tones instead: no renderer: neither <FluidSynth> nor" in Page(html).text


def test_notes_for_plain_tones_start_at_the_passage() -> None:
    page = Page(report_html(report(1)))
    (data,) = [json.loads(text) for _, a, text in page.blocks if a.get("id") == "data"]
    found = data["findings"]["1"]
    assert (found["ratio"], found["shift"]) == (0.5, 5)
    assert found["track"][0] == [0, 0.24, finding(1).query_notes[0].pitch]
    assert len(found["piece"]) == 40


def test_same_report_same_bytes() -> None:
    assert report_html(report(), {1: (b"a", b"b")}) == report_html(report(), {1: (b"a", b"b")})
    rows = [index_row(report(), "b"), IndexRow("a.mid", "pass", "a")]
    assert index_html(rows) == index_html(rows[::-1])


def test_ten_findings_fit_the_size_budget() -> None:
    assert len(report_html(report(10)).encode()) <= 300_000


def test_empty_report_says_so() -> None:
    empty = report(
        0, outcome="pass", reasons=(), metrics=(), provenance=(), skipped=(Skipped("provenance", "not signed"),)
    )
    text = " ".join(Page(report_html(empty)).text.split())
    assert "found no passage worth listing" in text
    assert "No provenance was checked: not signed." in text
    assert "No metric was measured." in text
    assert "Every check was made." in " ".join(Page(report_html(report(0, skipped=()))).text.split())


def test_closest_passage_of_a_clean_track_is_no_match() -> None:
    clean = report(1, outcome="pass", findings=(finding(2),))
    text = " ".join(Page(report_html(clean)).text.split())
    assert "none past the policyclosest: 32 of 40 notes, bars 21\u201331 of Tune 2" in text
    assert "No passage passes a threshold of the policy." in text


def test_descriptions_may_be_bare() -> None:
    Page(report_html(report(1, track={}, store={}, tool={})))


def test_rolls_tell_kinds_apart_by_class_and_join_pairs() -> None:
    drawn = str(rolls(finding()).labelled("both passages"))
    assert 'aria-label="both passages"' in drawn
    assert {"n-both", "n-alone", "n-other", "s-both"} <= set(re.findall(r'class="(\S+?)"', drawn))
    joined = re.search(r'class="s-both" d="([^"]*)"', drawn)
    assert joined
    assert joined[1].count("M") == 32
    # At the tempo ratio of the copy, pairs stand one above the other.
    for x, u in re.findall(r"M(\S+) \S+?V\S+?L(\S+) ", joined[1]):
        assert float(x) == pytest.approx(float(u), abs=0.11)


def test_of_a_long_passage_the_first_minute_is_drawn() -> None:
    long = finding(1, query_span_s=(10.0, 200.0), piece_span_s=(40.0, 420.0))
    later = [dataclasses.replace(n, onset_s=n.onset_s + 100) for n in long.query_notes]
    drawn = str(rolls(dataclasses.replace(long, query_notes=(*long.query_notes, *later))).labelled(""))
    # A second of the track is the same wherever it lies, and nothing is drawn past the right edge.
    assert float(require(re.search(r'data-scale="(\S+?)"', drawn))[1]) == pytest.approx((60 * 42 - 60) / 60, rel=0.01)
    assert max(float(x) for x in re.findall(r"M([\d.]+) ", drawn)) < 60 * 42
    assert "; the first 60 seconds" in report_html(report(findings=(long,)))
    assert "; the first 60 seconds" not in report_html(report(1))


def test_late_note_is_drawn_as_pitch_only() -> None:
    notes = [dataclasses.replace(n, in_time=n.in_time and n.pair != 21) for n in finding().query_notes]
    drawn = str(rolls(finding(1, query_notes=tuple(notes))).inside)
    assert 'class="n-pitch"' in drawn
    late = re.search(r'class="s-pitch" d="([^"]*)"', drawn)
    assert late
    assert late[1].count("M") == 1


def test_passages_without_notes_or_length_are_drawn() -> None:
    bare = finding(1, query_notes=(), piece_notes=(), query_span_s=(1.0, 1.0), piece_span_s=(2.0, 2.0))
    assert "nan" not in str(rolls(dataclasses.replace(bare, tempo_ratio=float("nan"))).inside)
    assert "nan" not in str(timeline([(1, bare)], 0.0))


def test_timeline_puts_overlapping_findings_in_lanes() -> None:
    spans = [(0.0, 30.0), (5.0, 10.0), (40.0, 50.0), (12.0, 20.0)]
    drawn = str(timeline([(i, finding(i, query_span_s=s)) for i, s in enumerate(spans, 1)], 60.0))
    places = [float(y) for y in re.findall(r'class="mark \w+" x="\S+" y="(\S+?)"', drawn)]
    assert [places.index(y) for y in places] == [0, 1, 0, 1]
    assert drawn.count("<a href=") == 4


def test_chance_picture_stays_in_its_frame() -> None:
    for value, better in ((0.4, "higher"), (24.0, "lower"), (-3.0, "higher"), (0.0, "lower"), (1e9, "higher")):
        drawn = str(chance_line(MetricResult("m", "", value, 0.0, 0.0, better, "")))
        assert all(-1 <= float(x) <= 221 for x in re.findall(r'(?: x="|cx="|d="M)(-?[\d.]+)', drawn))
    assert "missing" in chance_line(MetricResult("m", "", float("nan"), 0, 0, "higher", ""))


def test_style_is_drawn_and_told_beside_chance() -> None:
    metric = MetricResult("bleu", "", 0.3, 0.05, 0.1, "higher", "a", style=StyleRange(0.25, 0.5, 0.75, 40))
    drawn = str(chance_line(metric))
    assert 'class="style" d="M59 28v8M59 32H161M161 28v8M110 29v6"' in drawn  # 8 + 204 * share
    assert "; human pieces 0.25 to 0.75, half below 0.5: as near to its closest piece as human pieces are" in drawn
    assert 'class="style"' not in chance_line(dataclasses.replace(metric, style=None))
    page = report_html(report(metrics=(metric,)))
    assert "0.25\u20130.75" in page
    assert "no style baseline" not in page
    assert "no style baseline" in report_html(report(metrics=(dataclasses.replace(metric, style=None),)))


def test_numbers_names_and_gravest_link() -> None:
    assert [number(v) for v in (-0.04, 3.0, 2.26, -1.55)] == ["0", "3", "2.3", "-1.6"]
    assert (pitch_name(60), pitch_name(61), pitch_name(0)) == ("C4", "C\u266f4", "C-1")
    assert gravest(["ok", "simulated", "absent"]) == "simulated"
    assert gravest(["ok", "no such word"]) == "unchecked"
    assert gravest([]) == ""


def test_index_lists_gravest_first_with_links_and_totals() -> None:
    rows = [IndexRow("ok.mid", "pass", "a b#c"), index_row(report(), "new"), IndexRow("open.mid", "incomplete", "open")]
    html = index_html(rows)
    page = Page(html)
    text = " ".join(page.text.split())
    assert "1 fail 1 incomplete 1 pass" in text
    assert [str(a["href"]) for a in page.of("a")][1:] == [
        "new/report.html",
        "open/report.html",
        "a%20b%23c/report.html",
    ]
    for wanted in (
        "Tune 1, 32 of 40 notes",
        "bars 6\u201310 \u2194 bars 21\u201331",
        "Simulated",
        "Not checked",
        "none",
    ):
        assert wanted in text
    assert len(page.of("button")) == 6
    assert "holds no audited track" in index_html([])


def test_the_index_in_spanish() -> None:
    spanish = language("es")
    rows = [index_row(report(), "new", spanish), index_row(report(0), "old", spanish)]
    page = Page(index_html(rows, None, [("bad.mid", "no header")], spanish))
    assert "Auditoría de 2 pistas" in page.text
    assert "Tune 1, 32 de 40 notas" in page.text
    assert "compases 6\u201310 \u2194 compases 21\u201331" in page.text
    assert "1 pista sin poder leerse" in page.text
    assert "No apto" in page.text
    assert not re.search(r"\b(the|of|is|are|Track|Outcome)\b", page.text)


def test_the_course_is_drawn_beside_human_pieces() -> None:
    windows = (CourseWindow((0.0, 30.0), "Lead", 0.25, ""), CourseWindow((20.0, 61.5), "Lead", 1.0, "folk/1.mid"))
    page = Page(report_html(report(1, course=Course("24 notes", windows, (0.1, 0.3), 0.5))))
    (drawn,) = [a for a in page.of("svg", class_="timeline", role="img")]
    assert (
        drawn["aria-label"]
        == "Likeness over the course of the track: at most 99.9\u202f%, human pieces in the mean 20\u202f%"
    )
    # From 0 % at the foot (y 128) to 100 % at the top (y 8); the track ends at the right edge.
    assert [a["d"] for a in page.of("path", class_="o-human line") if "116" in str(a["d"])] == ["M18 116L1046 92"]
    assert [a["d"] for a in page.of("path", class_="edge") if "1046" in str(a["d"])] == ["M18 68H1046"]
    assert "one passage of the corpus has" in page.text
    alone = Page(report_html(report(1, course=Course("24 notes", windows))))
    assert "no human baseline" in alone.text
    assert "one passage of the corpus has" not in Page(report_html(report(1))).text


LINKS = tuple(
    Link(*words)
    for words in (
        ("track", "new song.mid", "ok", "as signed"),
        ("anchor", "new.anchor.json", "simulated", "block 3"),
        ("model", "model", "broken", "content"),
        ("data set", "store", "ok", "12 files"),
        ("log", "store", "absent", "not here"),
    )
)


def test_provenance_is_a_graph_from_the_data_set_on_with_a_command_for_each_link() -> None:
    nodes = chain(LINKS)
    assert [(node.link.name, [check.name for check in node.checks]) for node in nodes] == [
        ("data set", ["log"]),
        ("model", []),
        ("track", ["anchor"]),
    ]
    page = Page(report_html(report(1, provenance=LINKS)))
    words = " ".join(page.text.split())
    assert "contraste verify 'new song.mid' --key PUBLIC.pem" in words
    assert "contraste verify new.anchor.json --rpc URL" in words
    assert words.index("data setstoreHolds") < words.index("modelmodelBroken")


def test_the_crosswalk_reads_its_states_off_the_report() -> None:
    def states(**changes: Any) -> dict[str, str]:
        return {f"{row.framework} {row.clause}": row.state for row in crosswalk(report(1, **changes))}

    signed = states(provenance=LINKS)
    assert signed["Code of Practice 1.1.1"] == "part"
    assert signed["Code of Practice 1.1.2"] == "open"
    assert signed["Code of Practice 1.1.3"] == "ok"
    assert signed["ISO/IEC 42001 A.7.5"] == "ok"
    marks = (Link("credential", "a", "ok", ""), Link("time stamp", "a", "ok", ""))
    assert states(provenance=(*LINKS[:1], *marks))["Code of Practice 1.1.1"] == "ok"
    bare = states(provenance=(), skipped=(Skipped("copy", "short"),))
    assert (bare["EU AI Act 50(2)"], bare["UNESCO 37-41"]) == ("absent", "part")
    assert bare["Code of Practice 1.1.3"] == "part"


def test_the_data_set_and_the_command_are_shown() -> None:
    card: dict[str, Any] = {"pieces": 4, "works": 3, "duplicates": 1, "hours": 0.25, "notes": 900}
    card |= {"split": [["train", 3], ["test", 1]], "licence": [["", 4]], "key": [[HOSTILE, 4]]}
    card |= {name: [] for name in ("consent", "source", "meter", "tempo_bpm")}
    store = {**report().store, "card": card}
    page = Page(report_html(report(1, store=store, track={"name": "a b.mid", "model": {"name": "m"}})))
    words = " ".join(page.text.split())
    assert "4 pieces (0.25 hours, 900 notes), 3 works and 1 piece that are versions" in words
    assert [a["width"] for a in page.of("rect", class_="bar")] == ["75.0", "25.0", "100.0", "100.0"]
    assert "contraste audit 'a b.mid' --store folk --policy policy.toml --model m --out report" in words
    assert "store \u00b7 card" not in words
    assert not page.of("img")


def test_rules_and_waivers_are_shown_and_a_waived_finding_stays() -> None:
    given = Waiver(
        "0123456789abcdef", "new.mid", "licensed", HOSTILE, "by contract", "2027-01-31", "c.pdf", 3, "applied"
    )
    rules = (
        RuleResult("rights.corpus.opt_out", "No piece of the corpus is opted out", "pass", "0 of 60 opted out"),
        RuleResult("style", "Neither too near nor too far", "skipped", "too few works", True),
        RuleResult("disclosure.roles", "The track says what AI did", "fail", "nothing is said", True, given),
    )
    html = report_html(report(findings=(finding(1, waiver=given),), rules=rules, waivers=(given,)))
    page = Page(html)
    (shown,) = [a for a in page.of("details") if a.get("id") == "finding-1"]
    assert "waived" in str(shown["class"])
    assert "data-waived" in shown
    words = " ".join(page.text.split())
    assert "by contract" in words
    assert "line 3 of the waiver file; evidence: c.pdf" in words
    assert "rights.corpus.opt_out" in words
    assert not page.of("img")
    assert re.search(r'<li class="skipped">\s*<span class="badge incomplete">', html)


def test_chords_stand_side_by_side_and_agree_where_the_degree_does() -> None:
    ours = (ChordBlock(0.0, 4.0, "C:maj", 0), ChordBlock(4.0, 8.0, "G:7", 7))
    theirs = (ChordBlock(0.0, 2.0, "D:maj", 0), ChordBlock(2.0, 8.0, "A:maj", 7))
    page = Page(report_html(report(1, harmony=Harmony(HOSTILE, ours, theirs, ((0.0, 2.0), (4.0, 8.0))))))
    assert page.of("svg", class_="strips")[0]["aria-label"] == (
        "Chords of track and piece: the same degree 75\u202f% of the time"
    )
    assert page.of("path", class_="agree")[0]["d"] == "M2 34h44v22H2zM90 34h88v22H90z"
    for name in ("C I", "G7 V", "D", "A V"):
        assert name in page.text


def test_windows_of_sound_are_pictures_with_the_bits_that_differ() -> None:
    points = np.random.default_rng(1).integers(0, 256, 100 * 60, np.uint8).tobytes()
    text = base64.b64encode(points).decode()
    sound = SoundWindows("folk/1.mid", 12.0, 0.25, "00000000000000ff", "000000000000000f", 100, 60, text, text)
    page = Page(report_html(report(1, sound=sound)))
    ours, theirs = page.of("img")
    assert ours["src"] == theirs["src"]
    picture = base64.b64decode(str(ours["src"]).removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(picture)).tobytes() == points
    assert "4 of 64" in page.text
    assert len(page.of("rect", class_="bit-on")) == 8
    assert str(page.of("path", class_="bit-cross")[0]["d"]).count("M") == 4


def test_shared_sound_is_listed() -> None:
    match = SoundMatch(
        "recording", "a.wav", HOSTILE, "", {}, "0" * 16, "review", (1.0, 13.0), (2.0, 14.0), 3, 2, 64, 1e-6
    )
    page = Page(report_html(report(1, sound_matches=(match,))))
    assert "2 of 64 bits of the closest window differ" in page.text
    assert not page.of("img")

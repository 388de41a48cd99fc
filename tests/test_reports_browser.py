"""report.html in a headless Chromium, from a file: what people see, hear and save, with the keyboard too.

Chromium is the system's; playwright-core and axe-core come from npm (`make node-tools`).
"""

import base64
import dataclasses
import io
import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile

from audit.findings import Finding, Link, MetricResult
from audit.report import AuditReport, ChordBlock, Course, CourseWindow, Harmony, RuleResult, Skipped, SoundWindows
from ledger.links import LinkVerdict
from reports.language.translation import language, languages
from reports.pages.report import CARD_NAMES, report_html
from reports.pages.sounds import COMPRESSION
from tests.cases.pages import HOSTILE, finding, report

FOLDER = Path(__file__).parent / "browser"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
Step = list[Any]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; install it, or name one in CHROMIUM"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed (it drives Chromium)"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "playwright-core").is_dir(),
        reason="playwright-core is not installed; run: make node-tools",
    ),
]


def drive(page: Path, *steps: Step, **options: Any) -> list[Any]:
    """Do `steps` (see browser/drive.js) and return what was seen; errors and requests fail the test."""
    answer = subprocess.run(
        ["node", str(FOLDER / "drive.js")],
        input=json.dumps({"file": str(page), "options": options, "steps": steps}),
        env={**os.environ, "CHROMIUM": str(CHROMIUM)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["told"] == []
    assert found["asked"] == []
    return list(found["seen"])


def see(selector: str, what: str = "innerText") -> Step:
    return ["see", f"document.querySelector({json.dumps(selector)}).{what}"]


def tone(hertz: float) -> bytes:
    """Two seconds of MP3."""
    out = io.BytesIO()
    soundfile.write(out, 0.3 * np.sin(2 * np.pi * hertz * np.arange(32_000) / 16_000), 16_000, format="MP3")
    return out.getvalue()


def sounding(number: int, **changes: Any) -> Finding:
    """Return a finding whose voice is engraved too."""
    made = finding(number, **changes)
    voices: dict[str, Any] = {}
    for side in ("query_notes", "piece_notes"):
        lead = getattr(made, side)[0].part
        voices[side] = tuple(
            dataclasses.replace(n, in_voice=n.part == lead, onset_beat=k / 2, duration_beat=0.5)
            for k, n in enumerate(getattr(made, side))
        )
    return dataclasses.replace(made, **voices)


def whole(findings: tuple[Finding, ...]) -> AuditReport:
    """Return a report with everything that a page can show."""
    chords = (ChordBlock(0.0, 4.0, "C:maj", 0), ChordBlock(4.0, 8.0, "G:7", 7))
    grey = base64.b64encode(bytes(120 * 64)).decode()
    card = {"pieces": 4, "works": 3, "duplicates": 1, "hours": 0.25, "notes": 900}
    return report(
        findings=findings,
        rules=(RuleResult("style", "No waiver has expired", "pass", "1 in force"),),
        course=Course("24 notes", (CourseWindow((0.0, 61.5), "Lead", 0.5, "a"),), (0.1, 0.2), 0.4),
        harmony=Harmony("folk/1.mid", chords, chords, ((0.0, 8.0),)),
        sound=SoundWindows("folk/1.mid", 12.0, 0.0, "0" * 16, "f" * 16, 120, 64, grey, grey),
        store={**report().store, "card": card | {name: [["x", 4]] for name in CARD_NAMES}},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three findings: the second is under licence, the third a scale; sound for the first."""
    findings = (
        sounding(1, rights={"licence": "", "consent": "unknown"}),
        sounding(2, verdict="review", matched=12, query_bars=(3, 4), query_span_s=(40.0, 50.0)),
        sounding(3, verdict="review", commonplace="scale", rights={}, query_span_s=(15.0, 30.0)),
    )
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(report_html(whole(findings), {1: (tone(440), tone(660))}), encoding="utf-8")
    return file


def test_it_is_painted_within_a_second_and_axe_finds_nothing_serious(page: Path) -> None:
    open_all = ["see", "document.querySelectorAll('details').forEach((d) => { d.open = true; })"]
    for scheme in ("light", "dark"):
        painted, _, faults = drive(
            page,
            ["wait", "performance.getEntriesByName('first-contentful-paint').length"],
            ["see", "performance.getEntriesByName('first-contentful-paint')[0].startTime"],
            open_all,
            ["axe"],
            colorScheme=scheme,
        )
        assert painted < 1000
        assert [fault for fault in faults if fault["impact"] in ("serious", "critical")] == []


def test_ten_findings_with_sound_stay_below_two_megabytes_and_are_painted_within_a_second(tmp_path: Path) -> None:
    out = io.BytesIO()
    noise = 0.3 * np.random.default_rng(1).uniform(-1, 1, 8 * 16_000)  # the hardest to code
    soundfile.write(out, noise, 16_000, format="MP3", compression_level=COMPRESSION)
    findings = tuple(sounding(number, verdict="fail") for number in range(1, 11))
    html = report_html(whole(findings), {number: (out.getvalue(), out.getvalue()) for number in range(1, 11)})
    assert len(html.encode()) <= 2_000_000
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    (painted,) = drive(
        file,
        ["wait", "performance.getEntriesByName('first-contentful-paint').length"],
        ["see", "performance.getEntriesByName('first-contentful-paint')[0].startTime"],
    )
    assert painted < 1000


def test_filters_recompute_the_score_and_leave_the_verdict(page: Path) -> None:
    now = see(
        ".score tbody", "innerText.split(/\\s*\\n\\s*/).map((row) => row.split('\\t').slice(1).join('|')).join(' ')"
    )
    shown = [
        "see",
        "[...document.querySelectorAll('.finding')].filter((f) => f.offsetParent).map((f) => f.id.slice(8)).join()",
    ]
    seen = drive(
        page,
        *(now, shown),
        *(["check", "#f-licensed"], now, shown),
        *(["check", "#f-common"], now),
        *(["click", "#f-reset"], now, ["fill", "#f-notes", "13"], shown),
        *(["click", "#f-reset"], ["fill", "#f-bars", "3"], shown),
        *(["click", "#f-reset"], ["fill", "#f-own", "FOLK/1"], now, see("#f-said"), see(".verdict .word")),
        see('[data-mark="1"]', "classList.contains('left-out')"),
    )
    # 10-20 s, 40-50 s and 15-30 s of 61.5 s: 30 s are covered.
    assert seen[:2] == ["3|3 3|3 48.8 %|48.8 % 32|32 Fail|Fail", "1,2,3"]
    assert seen[2:4] == ["3|2 3|2 48.8 %|32.5 % 32|32 Fail|Fail", "1,3"]
    assert seen[4] == "3|1 3|1 48.8 %|16.3 % 32|32 Fail|Fail"
    assert seen[5:8] == ["3|3 3|3 48.8 %|48.8 % 32|32 Fail|Fail", "1,3", "1,3"]
    assert seen[8:] == ["3|2 3|2 48.8 %|40.7 % 32|32 Fail|Review", "2 of 3 findings shown", "Fail", True]


def test_a_review_makes_an_entry_for_the_waiver_file(page: Path) -> None:
    box = "#finding-1 [data-review]"
    why = 'Agreed; see "the contract" \\ § 4'
    seen = drive(
        page,
        ["click", "#finding-1 .reviewer summary"],
        ["check", f"{box} [value=waive]"],
        see(f"{box} .missing"),
        see(f"{box} [data-do=download]", "disabled"),
        ["select", f"{box} select", "own_catalogue"],
        ["fill", f"{box} [data-field=who]", "A. Person"],
        ["fill", f"{box} [data-field=why]", why],
        ["fill", f"{box} [data-field=expires]", "2027-01-31"],
        ["fill", f"{box} [data-field=evidence]", "contracts/17.pdf"],
        ["download", f"{box} [data-do=download]"],
        ["click", f"{box} [data-do=copy]"],
        ["see", "navigator.clipboard.readText()"],
        ["click", "#finding-2 .reviewer summary"],
        ["check", "#finding-2 [value=escalate]"],
        ["download", "#reviews [data-do=download]"],
    )
    assert seen[:2] == ["Still to fill in: who decides, until which day, why, evidence", True]
    name, text = seen[2]
    assert name == "waiver-0123456789abcdef.toml"
    entry = tomllib.loads(text)
    assert entry["schema"] == "contraste-waivers/1"
    (waiver,) = entry["waiver"]
    assert waiver.pop("expires").isoformat() == "2027-01-31"
    assert waiver == {
        "finding": "0123456789abcdef",
        "track": "new.mid",
        "reason": "own_catalogue",
        "who": "A. Person",
        "why": why,
        "evidence": "contracts/17.pdf",
    }
    assert seen[3] == text.partition("\n\n")[2]
    name, both = seen[4]
    assert name == "waivers.toml"
    assert len(tomllib.loads(both)["waiver"]) == 1
    assert "# escalate: finding 0123456789abcdef" in both


def test_passages_play_alone_and_together_and_escape_stops(page: Path) -> None:
    steps: list[Step] = []
    for number, side, kind in ((1, "track", "recorded"), (1, "both", "recorded"), (2, "both", "tones")):
        box = f"#finding-{number}"
        steps += [
            ["click", f'{box} button[data-side="{side}"]'],
            ["wait", f"document.querySelector('{box}.playing[data-heard={kind}]')"],
            ["wait", f"Number(document.querySelector('{box} .playhead').getAttribute('x1')) > 50"],
            see(f'{box} button[data-side="{side}"]', "ariaPressed"),
            ["key", "Escape"],
            see(f'{box} button[data-side="{side}"]', "ariaPressed"),
        ]
    assert drive(page, *steps) == ["true", "false"] * 3
    ends = ["wait", "document.querySelector('#finding-1 button[data-side=both]').ariaPressed === 'false'"]
    drive(page, ["click", '#finding-1 button[data-side="both"]'], ends)


def test_the_keyboard_reaches_everything(page: Path) -> None:
    tab: Step = ["key", "Tab"]
    focus = ["see", "document.activeElement.textContent.trim()"]
    reached = ["see", "document.activeElement.closest('summary') !== null"]
    seen = drive(
        page,
        *(tab, focus, tab, ["see", "document.activeElement.id"], ["key", "e"], see("html", "lang"), ["key", "e"]),
        # From the mark on the timeline to its finding, which folds and opens; then to the first button.
        ["see", "document.querySelector('[data-mark=\"1\"]').focus()"],
        *(["key", "Enter"], ["wait", "document.activeElement.closest('#finding-1 summary')"], reached),
        *(["key", "Space"], ["wait", "!document.querySelector('#finding-1').open"]),
        *(["key", "Space"], ["wait", "document.querySelector('#finding-1').open"]),
        *(
            tab,
            tab,
            focus,
            ["key", "Space"],
            ["wait", "document.querySelector('#finding-1.playing')"],
            ["key", "Escape"],
        ),
        ["see", 'document.querySelectorAll(\'[tabindex]:not([tabindex="0"]):not([tabindex="-1"])\').length'],
    )
    assert seen == ["Skip to the verdict", "language", "es", None, True, "Track passage", 0]


@pytest.mark.parametrize("code", [code for code in languages() if code != "en"])
def test_every_language_is_in_the_page(page: Path, code: str) -> None:
    seen = drive(
        page,
        *(see("title", "textContent"), see("#finding-1 .sentence"), see("#h-metrics")),
        ["select", "#language", code],
        *(see("html", "lang"), see("title", "textContent"), see("#finding-1 .sentence"), see("#h-metrics")),
        *(see(".timeline", "ariaLabel"), see(".score tbody tr:last-child td:last-child"), ["axe"]),
        *(["select", "#language", other] for other in languages()),
        ["select", "#language", "en"],
        *(see("#h-metrics"), see(".timeline", "ariaLabel")),
    )
    say = language(code)
    title = say.fill("{outcome}: {name} · contraste audit", outcome=say.fill("Fail"), name="new.mid")
    assert seen[0] == "Fail: new.mid · contraste audit"
    assert seen[1].startswith("Bars 6\u201310 of the track match")
    assert seen[2] == "Metrics beside chance and style"
    assert seen[3:5] == [code, title]
    assert seen[5].startswith(say.words.finding_words(finding(1, verdict="fail"))[:30])
    assert seen[6:8] == [say.fill(seen[2]), say.fill("Timeline of the track, with its findings")]
    assert seen[8] == say.fill("Fail")
    assert [fault for fault in seen[9] if fault["impact"] in ("serious", "critical")] == []
    assert seen[10:] == ["Metrics beside chance and style", "Timeline of the track, with its findings"]


def test_dark_and_print_have_rules_of_their_own(page: Path) -> None:
    paper = ["see", "getComputedStyle(document.body).backgroundColor"]
    assert drive(page, paper) != drive(page, paper, colorScheme="dark")
    unfolded = [
        "see",
        "(dispatchEvent(new Event('beforeprint')), document.querySelectorAll('.finding:not([open])').length)",
    ]
    printed = drive(
        page,
        ["media", {"media": "print"}],
        unfolded,
        *(see(".filters", "offsetParent"), see(".play", "offsetParent"), see(".switch", "offsetParent")),
    )
    assert printed == [0, None, None, None]
    sheet = {"width": 680, "height": 960}  # A4 less its margins
    width = ["see", "document.documentElement.scrollWidth"]
    assert drive(page, ["media", {"media": "print"}], width, viewport=sheet) == [680]


def test_the_page_fits_a_telephone(page: Path) -> None:
    narrow = {"viewport": {"width": 390, "height": 800}}
    assert drive(page, ["see", "document.documentElement.scrollWidth"], **narrow) == [390]


def test_hostile_text_is_shown_as_text(tmp_path: Path) -> None:
    long = "\u202e<b>" + "A" * 100_000
    bad = finding(
        1, title=HOSTILE, artist=long, piece=HOSTILE, query_part=long, rights={"licence": HOSTILE, HOSTILE: "x"}
    )
    hostile = report(
        findings=(bad, dataclasses.replace(bad, verdict="clear", title=long)),
        sentence=HOSTILE,
        reasons=(HOSTILE, long),
        track={"name": HOSTILE, HOSTILE: HOSTILE, "title": long},
        metrics=(MetricResult(HOSTILE, HOSTILE, 0.4, 0.03, 0.09, "higher", HOSTILE),),
        provenance=(Link(HOSTILE, HOSTILE, cast(LinkVerdict, HOSTILE), HOSTILE),),
        skipped=(Skipped(HOSTILE, HOSTILE),),
    )
    file = tmp_path / "report.html"
    file.write_text(report_html(hostile), encoding="utf-8")
    assert file.stat().st_size < 400_000
    seen = drive(
        file,
        see("h1"),
        ["see", "document.querySelectorAll('img, b, [onerror]').length"],
        ["select", "#language", "es"],
        ["see", "document.querySelectorAll('img, b, [onerror]').length"],
        ["see", "[...document.querySelectorAll('bdi')].some((e) => e.textContent.includes('A'.repeat(900) + ''))"],
        ["see", "document.documentElement.scrollWidth"],
    )
    assert seen[0].startswith("</script><img src=x onerror=\"alert('1')\">{{ 7*7 }}")
    assert seen[1:4] == [0, 0, True]
    assert seen[4] == 1280

"""Every language there is: messages recognised whole, figures in its words, the same elements, one file for each."""

import dataclasses
import itertools
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from audit.findings import Link, MetricResult
from audit.gate.outcome import _copy_reason, decide_outcome, state_outcome
from audit.gate.rules import judge_rules
from audit.originality.baseline import Baseline, Estimate, Group
from audit.originality.report import OriginalityReport
from audit.originality.windows import Measured, Setting, Window
from audit.policy import read_policy
from audit.report import RuleResult, Skipped
from audit.track import LIMITS
from messages import message
from metrics.measure import MetricSkipped, features, measure
from music.key import NAMES
from music.notes import build
from reports.exports.markdown import report_markdown
from reports.language import translation
from reports.language.translation import LONGEST, Language, language, languages, merge_pages
from reports.pages.originality import originality_html, originality_sentence
from reports.pages.report import report_html
from tests.report_cases import finding, sound, waiver
from tests.test_reports_report import finding as shown
from tests.test_reports_report import report

OTHERS = [code for code in languages() if code != "en"]
SPANISH = language("es")
COMPOSED = (
    *("2 of 9 opted out", "2 of 9 without a licence on file: a.mid, b.mid, c.mid, ..."),
    "1 near-duplicate not clear: a",
    *("1 of 9 without a consent on file: a.mid; 3 pieces can't be read", "0 near-duplicates not clear"),
    "the corpus has 3 works by 'A. Person' to compare with, and 20 are needed",
    "the corpus has 3 works to compare with, and 20 are needed",
    "the track holds no notes",
    "not measured; fail_below 6",
    "not rendered: the hash compares sound; fail_below 3, review_below 6",
    "simulated: root 0xab... in block 2 of chain 7, 2026-11-26 11:37:38 UTC, by 0x12; simulated: an embedded chain on "
    "this machine",
    "w.toml: line 3: of 00ab, expired on 2026-01-01; w.toml: line 9: of 00ac, expired on 2026-01-02; w.toml: line 12: "
    "of 00ad, expired on 2026-01-03",
    "anchor (x.mid) is unchecked: the proof leads to the root 0xab...; no chain was asked for it",
    "data set (store) is missing",
    "composition all, lyrics none; nothing of vocals",
    "content as signed by CN=label",
    "3 files as signed by key 00ab...; the signature leaves out a, b",
    "not at model, nor in the search folders; its digest is 00ab...",
    "its place is not known, nor in the search folders; its digest is 00ab...",
    "made by the model model; bars 16, seed 7",
    "trusted: signed by 'label' at 2026-11-26 11:37:38 UTC; trainedAlgorithmicMedia",
    "signer unknown: the certificate of 'label' is not trusted here; add the signer's key or authority if it should be",
    "trained on store; no settings named",
    "2 edit, 1 prompt; as signed",
    "token 0xab... of 0x12, locked, contract 0x34 on chain 7; its block is not finalized yet",
    "the key 00ab... is revoked since 2026-01-01T00:00:00Z (stolen); nothing trusted shows when it was made; the "
    "anchor's time would show it, if the chain confirms it",
    "not signed: there is no x.sig, and it was signed on this machine on 2026-01-01T00:00:00Z",
)
ENGLISH_WORDS = (" the ", " is ", " are ", " of ", " not ", " and ", " was ", " its ", " by ", " this ", " signed ")


def left(code: str, text: str) -> list[str]:
    """Return the English words that a message still holds in another language; [text] where it is not known."""
    said = language(code).translate(text)
    return [text] if said is None else [word for word in ENGLISH_WORDS if word in f" {said} "]


@pytest.mark.parametrize("text", COMPOSED)
@pytest.mark.parametrize("code", OTHERS)
def test_messages_that_are_put_together_are_wholly_translated(code: str, text: str) -> None:
    assert left(code, text) == []


@pytest.mark.parametrize("code", OTHERS)
def test_what_no_metric_can_measure_is_translated(code: str) -> None:
    empty, short = build([], [], []), build([0.0, 1.0, 2.0], [1.0] * 3, [60, 62, 64])
    reasons = {
        found.reason
        for one, two in itertools.product((empty, short), repeat=2)
        for found in measure(features(one), features(two)).values()
        if isinstance(found, MetricSkipped)
    }
    assert len(reasons) >= 4
    assert [fault for reason in reasons for fault in left(code, reason)] == []


@pytest.mark.parametrize("code", OTHERS)
def test_what_led_to_a_verdict_is_translated(code: str) -> None:
    policy = read_policy("label-release")
    broken = Link("model", "m", "broken", "it is not what was used: the statement names ab..., here is cd...")
    gaps = (Skipped("copy", "needs notes: the track is sound, and none are read out of it", True),)
    metrics = (MetricResult("phash_64", "", 2.0, 25.0, 18.0, "lower", "a.mid", "review"),)
    given = waiver("00000000000000aa", state="applied")
    findings, sounds = (finding(1), finding(2, waiver=given)), (sound(), sound(waiver=given))
    late = RuleResult("waivers", "No waiver has expired", "fail", "w.toml: line 3: of 00ab, expired on 2026-01-01")
    rules = (*judge_rules(policy, findings, metrics, (broken,), gaps, "", sounds), late)
    said = [text for rule in rules for text in (rule.detail, rule.title)]
    for found in ((), findings):
        outcome, reasons = decide_outcome(found, rules, metrics, (broken,), gaps, sounds)
        compared = "1 recording and the rendered openings of 2 of 3 pieces"
        said += [*reasons, state_outcome(outcome, found, reasons, 9, 2, compared)]
    assert len(said) > 20
    assert [fault for text in said for fault in left(code, text)] == []


@pytest.mark.parametrize("code", OTHERS)
def test_keys_limits_and_figures_are_translated(code: str) -> None:
    known = [f"{name} {mode}" for name in NAMES for mode in ("major", "minor")] + list(LIMITS)
    assert [fault for text in known for fault in left(code, text)] == []
    assert str(language(code).mark("3/4")) == f'<span lang="{code}">3/4</span>'


def test_the_gate_says_why_in_spanish() -> None:
    lacks = RuleResult(
        "provenance.require_signature",
        "A trusted key signed the track",
        "fail",
        "x.mid has no signature beside it; make one with: contraste sign",
    )
    outcome, reasons = decide_outcome((), (lacks,), (), (), ())
    assert SPANISH.translate(state_outcome(outcome, (), reasons, 9)) == (
        "El control dice que no es apto: la regla provenance.require_signature (una clave de confianza firmó la pista) "
        "no se cumple: x.mid no tiene firma al lado; se hace con: contraste sign."
    )


def test_messages_are_recognised_with_their_values() -> None:
    assert SPANISH.translate(_copy_reason(shown(1))) == (
        "los compases 6\u201310 coinciden con los compases 21\u201331 de folk/1.mid "
        "(32 de 40 notas, +5 semitonos, E = 2.5e-05)"
    )
    waived = f"waived: {_copy_reason(shown(1))} (licensed; A. Person, until 2027-01-31)"
    assert str(SPANISH.translate(waived)).startswith("dispensado: los compases 6")
    assert SPANISH.translate("1 of 1 finding is not clear") == "1 de 1 hallazgo no está libre"
    assert SPANISH.translate("2 of 9 findings are not clear, 1 of them waived") == (
        "2 de 9 hallazgos no están libres, 1 de ellos dispensado"
    )


def test_the_template_that_explains_most_counts() -> None:
    made = Language(
        {
            **{"code": "xx", "name": "Xx", "one": [1, 1], "decimal": ",", "thousands": ".", "texts": {}},
            "messages": {"{a} of {b}": "{b} <- {a}", "{n:.2f} of {b:text}": "{b} {n:.2f}", "every thing": "alles"},
        }
    )
    assert made.translate("1,234.50 of every thing") == "alles 1.234,50"
    assert made.translate("Every thing of a") == "a <- Every thing"
    assert made.translate("unheard") is None


def test_what_is_not_known_stays_english_and_is_marked() -> None:
    assert SPANISH.mark("Something new & <b>") == '<span lang="en">Something new &amp; &lt;b&gt;</span>'
    assert SPANISH.translate("The audit is incomplete: " + "{x}" * LONGEST + ".") is None
    assert SPANISH("{name}", name="<b>\u202e") == "&lt;b&gt;\ufffd"
    assert SPANISH.translate(message("{what:text}: {names}", what="a", names="b")) is None


def test_figures_in_spanish() -> None:
    one = dataclasses.replace(shown(1), evalue=2.5e-5)
    words = SPANISH.words
    assert words.evalue_words(one.evalue).startswith("Cerca de 1 de cada 40,000 búsquedas")
    assert words.evalue_words(4.3e-7).startswith("Cerca de 1 de cada 2.3 millones de búsquedas")
    assert words.finding_words(one).startswith(
        "Los compases 6\u201310 de la pista coinciden con los compases 21\u201331 de «Tune 1», de Trad.: "
    )
    assert words.transposition_words(-12) == "12 semitonos más grave (1 octava)"


@pytest.mark.parametrize("first", list(languages()))
def test_the_page_opens_in_each_language_and_carries_all(first: str) -> None:
    html = report_html(report(2, reasons=(_copy_reason(shown(1)),)), lang=first)
    assert f'<html lang="{first}"' in html
    data = json.loads(re.search(r'id="languages">(.*?)</script>', html)[1])  # type: ignore[index]
    assert data["codes"] == [first, *(code for code in languages() if code != first)]
    (line,) = [k for k, texts in enumerate(data["texts"]) if "32 de 40 notas, +5 semitonos" in "".join(texts)]
    assert set(data["texts"][line]) == {str(say.translate(_copy_reason(shown(1)))) for say in languages().values()}
    assert f'data-t="{line}">{data["texts"][line][0]}' in html


def test_pages_that_differ_in_elements_are_refused() -> None:
    pages = ['<p>a <b title="&lt;">c</b></p>', '<p>b <b title="&gt;">d</b></p>', '<p>a <b title="&lt;">&amp;</b></p>']
    html, texts = merge_pages(pages)
    assert html == '<p><span data-t="0">a </span><b title="&lt;" data-a="title:1" data-t="2">c</b></p>'
    assert texts == [["a ", "b ", "a "], ["<", ">", "<"], ["c", "d", "&"]]
    with pytest.raises(ValueError, match="tags and texts"):
        merge_pages(["<p>a</p>", "<p>a<b>b</b></p>"])
    for one, other in (('<p lang="en">a</p>', '<p title="x">a</p>'), ("<b>a</b>", "<i>a</b>"), ("<p>a<b>", "<p><b>a")):
        with pytest.raises(ValueError, match="where it has"):
            merge_pages([one, other])


def human(low: float, high: float, members: int) -> Group:
    own = Estimate((low + high) / 2, low, high)
    return Group(members, 9 * members, own, own, ())


@pytest.mark.parametrize("count", [0, 1, 2, 12])
@pytest.mark.parametrize("base", [None, (0.2, 0.3), (0.5, 0.6), (0.8, 0.9)])
@pytest.mark.parametrize("code", OTHERS)
def test_the_originality_of_a_release_is_translated(code: str, count: int, base: tuple[float, float] | None) -> None:
    tracks = tuple(Measured("t", 9.0, (Window(0, "", (0.0, 9.0), (1, 2), 24, 11, "a"),), 24, 11) for _ in range(count))
    baseline = base and Baseline(human(*base, 60), tuple(base), base[0])
    found = OriginalityReport(
        Setting(24, "notes"), tracks, human(0.5, 0.6, count) if count else None, baseline or None, (), (), {}, {}
    )
    said = originality_sentence(found, language(code))
    assert said != originality_sentence(found)
    assert [word for word in ENGLISH_WORDS if word in f" {said} "] == []


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Language:
    """Add a language: one file in the folder of catalogues, and nothing else."""
    spanish: dict[str, Any] = json.loads((translation.CATALOGUES / "spanish.json").read_text(encoding="utf-8"))
    shout = partial(re.sub, r"\w+(?![^{]*\}|[^<]*>)", lambda word: word[0].upper())
    upper = {key: shout(said) for key, said in spanish["texts"].items()}
    made = spanish | {"code": "xx", "name": "Xish", "decimal": ",", "thousands": ".", "texts": upper}
    (tmp_path / "xish.json").write_text(json.dumps(made), encoding="utf-8")
    monkeypatch.setattr(translation, "CATALOGUES", tmp_path)
    return language("xx")


def test_one_file_is_a_language(made_up: Language) -> None:
    assert list(languages()) == ["en", "xx"]
    html = report_html(report(2), lang="xx")
    assert '<html lang="xx"' in html
    assert '<option value="xx" lang="xx">Xish</option>' in html
    assert "MÉTRICAS JUNTO AL AZAR Y AL ESTILO" in html
    assert made_up.words.figure(1234567.0) == "1.230.000"
    assert made_up.words.clock(64.3) == "1:04,3"
    assert "## COMPROBACIONES" in report_markdown(report(2), made_up).decode()
    with pytest.raises(ValueError, match="language 'es': there are en, xx"):
        language("es")


def test_the_page_of_originality_in_every_language() -> None:
    track = Measured("t", 9.0, (Window(0, "", (0.0, 9.0), (1, 2), 24, 11, "a"),), 24, 11)
    found = OriginalityReport(
        Setting(24, "notes"), (track,), None, None, (Skipped("x", "no line has a window of 24 notes"),), (("b", "c"),),
        {"pieces": 2, "name": "s", "digest": "0" * 64, "left_out": 1}, {"name": "contraste", "version": "1"},
    )  # fmt: skip
    pages = {code: originality_html(found, say) for code, say in languages().items()}
    assert "Originality of 1 track" in pages["en"]
    assert "ninguna línea tiene una ventana de 24 notas" in pages["es"]
    assert len({re.sub(r">[^<]*<|\"[^\"]*\"", "", page) for page in pages.values()}) == 1

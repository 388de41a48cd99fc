"""Both languages of a page: nothing untranslated, sentences recognised whole, and the same elements in each."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from audit.gate.outcome import _copy_reason
from audit.policy_tables import RULES
from audit.track import LIMITS
from reports.language import words, words_es
from reports.language.translation import LONGEST, in_both, language
from reports.pages import page
from reports.pages import report as html_report
from reports.pages.crosswalk import crosswalk
from reports.pages.report import report_html
from tests.test_reports_report import finding, report

ROOT = Path(__file__).parent.parent
SPANISH = language("es")
PAGE_TEMPLATES = ("finding", "filters", "report", "page", "index")


def texts() -> set[str]:
    """Every text that the page looks up: in templates, in code and in its tables of words."""
    found: set[str] = set()
    for name in PAGE_TEMPLATES:
        source = (ROOT / "reports" / "templates" / f"{name}.html.j2").read_text()
        found |= set(re.findall(r'\b_\("((?:[^"\\]|\\.)*)"', source))
        for table in re.findall(r"_\(\{(.*?)\}\[", source):
            found |= set(re.findall(r': "([^"]*)"', table))
    for name in ("pages/report", "drawings/svg", "pages/originality", "pages/index"):
        for node in ast.walk(ast.parse((ROOT / "reports" / f"{name}.py").read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    tables = (page.OUTCOME_WORDS, page.OUTCOME_ABOUT, page.VERDICT_WORDS, page.LINK_WORDS, page.LINK_ABOUT)
    tables += (page.RULE_WORDS, html_report.RIGHTS, html_report.CONSENT_WORDS, html_report.SCRIPT_WORDS)
    tables += (html_report.KINDS, html_report.STATES, html_report.CARD_NAMES)
    found |= {html_report.HEARD, html_report.TONES}
    found |= {text for row in crosswalk(report()) for text in (row.framework, row.asks, row.evidence)}
    return found.union(*(table.values() for table in tables), dict(html_report.WAIVER_REASONS).values())


def test_every_text_of_the_page_has_a_translation() -> None:
    wanted = texts()
    assert len(wanted) > 150
    assert wanted - set(SPANISH.texts) == set()


def test_translations_keep_their_values_and_their_markup() -> None:
    for english, spanish in SPANISH.texts.items():
        for part in (r"\{\w+\}", r"<[^>]*>"):
            assert sorted(re.findall(part, english)) == sorted(re.findall(part, spanish)), english


def test_the_words_of_both_languages_are_the_same_functions() -> None:
    names = {
        n for n, v in vars(words).items() if callable(v) and not n.startswith("_") and v.__module__ == words.__name__
    }
    assert names <= set(vars(words_es))


def test_sentences_of_the_audit_are_recognised_with_their_values() -> None:
    assert [SPANISH.translated(limit) for limit in LIMITS if SPANISH.translated(limit) is None] == []
    said = SPANISH.translated(_copy_reason(finding(1)))
    assert said == (
        "los compases 6\u201310 coinciden con los compases 21\u201331 de folk/1.mid "
        "(32 de 40 notas, +5 semitonos, E = 2.5e-05)"
    )
    nested = (
        "The audit is incomplete: the policy requires copy, which was not checked: x.mid has no signature beside it; "
    )
    nested += "make one with: contraste sign."
    assert SPANISH.translated(nested) == (
        "La auditoría está incompleta: la política exige copy, que no se comprobó: x.mid no tiene firma al lado; se "
        "hace con: contraste sign."
    )


def test_titles_of_rules_and_nested_sentences_are_known() -> None:
    assert {rule.title for rule in RULES.values()} <= set(SPANISH.texts)
    said = "rule disclosure.roles (the track says what AI did in each role) does not hold: nothing is said"
    assert SPANISH.translated(said) == (
        "la regla disclosure.roles (la pista dice qué hizo la IA en cada papel) no se cumple: no se dice nada"
    )
    waived = f"waived: {_copy_reason(finding(1))} (licensed; A. Person, until 2027-01-31)"
    assert str(SPANISH.translated(waived)).startswith("dispensado: los compases 6")


def test_what_is_not_known_stays_english_and_is_marked() -> None:
    assert SPANISH.sentence("Something new & <b>") == '<span lang="en">Something new &amp; &lt;b&gt;</span>'
    assert SPANISH.translated("The audit is incomplete: " + "{x}" * LONGEST + ".") is None
    assert SPANISH("{name}", name="<b>\u202e") == "&lt;b&gt;\ufffd"


@pytest.mark.parametrize("first", ["en", "es"])
def test_the_page_opens_in_either_language_and_carries_the_other(first: str) -> None:
    html = report_html(report(2, reasons=(_copy_reason(finding(1)),)), lang=first)
    assert f'<html lang="{first}"' in html
    texts = ("bars 6\u201310 match", "los compases 6\u201310 coinciden")
    shown, kept = texts if first == "en" else texts[::-1]
    assert re.search(rf'data-t="{kept}[^"]*">{shown}', html)


def test_figures_in_spanish() -> None:
    one = dataclasses.replace(finding(1), evalue=2.5e-5)
    assert words_es.evalue_words(one.evalue).startswith("Cerca de 1 de cada 40,000 búsquedas")
    assert words_es.odds(2.3e6) == "1 de cada 2.3 millones"
    assert words_es.finding_words(one).startswith(
        "Los compases 6\u201310 de la pista coinciden con los compases 21\u201331 de «Tune 1», de Trad."
    )
    assert words_es.transposition_words(-12) == "12 semitonos más grave (1 octava)"


def test_pages_that_differ_in_elements_are_refused() -> None:
    assert in_both("<p>a <b>c</b></p>", "<p>b <b>d</b></p>") == '<p><span data-t="b ">a </span><b data-t="d">c</b></p>'
    with pytest.raises(ValueError, match="tags and texts"):
        in_both("<p>a</p>", "<p>a<b>b</b></p>")
    with pytest.raises(ValueError, match="has the tag"):
        in_both('<p lang="en">a</p>', '<p title="x">a</p>')

"""Every message that people may read is in every catalogue, by its template: none is missing, none stale."""

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest
from jinja2 import Environment
from jinja2.ext import extract_from_ast

from audit.findings import Verdict, WaiverState
from audit.policy_tables import RULES
from audit.track import LIMITS, SOUND_LIMITS
from corpus.prepare import SPLITS
from corpus.rights import CONSENTS
from ledger.links import LinkVerdict
from metrics.measure import SPECS
from music.key import NAMES
from reports import checks
from reports.exports import markdown
from reports.language import words
from reports.language.translation import CATALOGUES, languages
from reports.pages import page, report

ROOT = Path(__file__).parent.parent
FOLDERS = ("music", "ledger", "metrics", "corpus", "audit")  # whose messages reach a report, finished
LINKS = (
    *("report", "track", "run", "model", "data set", "policy", "folder", "file", "contributions", "time stamp"),
    *("anchor", "token", "key", "credential", "log", "page", "signature", "dataset"),
)
TABLES = (
    *(page.OUTCOME_WORDS, page.OUTCOME_ABOUT, page.VERDICT_WORDS, page.LINK_WORDS, page.LINK_ABOUT, page.RULE_WORDS),
    *(report.RIGHTS, report.CONSENT_WORDS, report.STATES, report.CARD_NAMES, report.KINDS, report.SCRIPT_WORDS),
    *(dict(report.WAIVER_REASONS), markdown.OUTCOMES, markdown.STATES),
)
SCRIPTS = ("report.js", "review.js", "index.js")


def constants(node: ast.AST, tables: dict[str, ast.Dict]) -> list[str]:
    """Return the texts that the first argument of `message` can be."""
    match node:
        case ast.Constant(str(text)):
            return [text]
        case ast.IfExp(_, body, orelse):
            return constants(body, tables) + constants(orelse, tables)
        case ast.Subscript(ast.Name(name)) if name in tables:
            return [text for value in tables[name].values for text in constants(value, tables)]
    return []


def calls(paths: list[Path]) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a function with its name, and with what it belongs to."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.name}:{node.lineno} {ast.unparse(node.func)}", node


def all_tables(paths: list[Path]) -> dict[str, ast.Dict]:
    """Return the dictionaries that files keep under a name in capitals."""
    return {
        target.id: node.value
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def messages() -> set[str]:
    """Return the templates of the audit, which report.json holds filled, and the words that it uses in them."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    tables = all_tables(paths)
    found: set[str] = set()
    for place, call in calls(paths):
        if place.endswith(" message"):
            texts = constants(call.args[0], tables)
            assert texts, f"{place}: the template is no literal"
            found |= set(texts)
    found |= {*(rule.title for rule in RULES.values()), *LIMITS, *SOUND_LIMITS, *(spec.note for spec in SPECS), *LINKS}
    found |= {f"{name} {mode}" for name in NAMES for mode in ("major", "minor")}
    return found | {"other", *get_args(LinkVerdict), *(name for name, _ in SPLITS), *filter(None, CONSENTS)}


def texts() -> set[str]:
    """Return the templates of the pages: in Jinja's files, in code and in tables of words."""
    found = {words.clean(text) for table in TABLES for text in table.values()}
    found |= {*words.INTERVALS, *words.COUNTED.values(), report.HEARD, report.TONES, checks.COPY, checks.SOUND}
    found |= {report.anchor_word("absent")}
    found |= {*get_args(Verdict), *get_args(WaiverState), "open", "skipped", "track", "store", "policy", "tool", "pass"}
    for file in (ROOT / "reports" / "templates").glob("*.j2"):
        tree = Environment().parse(file.read_text(encoding="utf-8"))
        used = (text for *_, text in extract_from_ast(tree, gettext_functions=("_",)))
        found |= {text for some in used if (text := some[0] if isinstance(some, tuple) else some)}
        for table in re.findall(r"_\(\{(.*?)\}\[", file.read_text(encoding="utf-8")):
            found |= set(re.findall(r': "([^"]*)"', table))
    paths = list((ROOT / "reports").rglob("*.py"))
    tables = all_tables(paths)
    for place, call in calls(paths):
        if re.search(r"\b(say|say\.fill)$", place) and call.args:
            found |= set(constants(call.args[0], tables))
    crosswalk = ast.parse((ROOT / "reports" / "pages" / "crosswalk.py").read_text(encoding="utf-8"))
    clauses = [n for n in ast.walk(crosswalk) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Row"]
    marks = [n.value for n in ast.walk(crosswalk) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "mark"]
    for node in [*marks, *(row.args[k] for row in clauses for k in (0, 2, 4))]:
        found |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and len(str(n.value)) > 2}
    return found


def slots(template: str) -> set[tuple[str, str]]:
    """Return the slots of a template that are no plurals, also those in plurals."""
    found: set[tuple[str, str]] = set()
    for _, name, form, _ in Formatter().parse(template):
        if form and "|" in form:
            found |= slots(form)
        elif name is not None:
            found.add((name, form or ""))
    return found


def counted(template: str) -> set[str]:
    """Return the names of the slots of plurals."""
    return {str(name) for _, name, form, _ in Formatter().parse(template) if form and "|" in form}


CATALOGUE_FILES = sorted(CATALOGUES.glob("*.json"))
MESSAGES, TEXTS = messages(), texts()


@pytest.fixture(params=CATALOGUE_FILES, ids=lambda file: file.stem)
def catalogue(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return each catalogue there is."""
    return dict(json.loads(request.param.read_text(encoding="utf-8")))


def test_a_catalogue_has_every_message_and_no_other(catalogue: dict[str, Any]) -> None:
    assert len(MESSAGES) > 250
    assert len(TEXTS) > 400
    assert MESSAGES ^ set(catalogue["messages"]) == set()
    assert (TEXTS - MESSAGES) ^ set(catalogue["texts"]) == set()


def test_a_translation_has_the_slots_and_the_markup_of_its_template(catalogue: dict[str, Any]) -> None:
    for english, said in itertools.chain(catalogue["messages"].items(), catalogue["texts"].items()):
        assert slots(said) == slots(english), english
        assert counted(said) <= {name for name, _ in slots(english)} | counted(english), english
        assert re.findall("<[^>]*>", said) == re.findall("<[^>]*>", english), english


def test_no_message_has_many_free_slots_so_that_none_takes_long_to_recognise() -> None:
    for template in MESSAGES:
        assert sum(form in ("", "text") for _, form in slots(template)) <= 4, template


def test_the_script_says_nothing_that_python_does_not_give_it() -> None:
    folder = ROOT / "reports" / "templates"
    said = set(re.findall(r'say\("(\w+)"\)', "".join((folder / name).read_text() for name in SCRIPTS)))
    assert said <= {*report.SCRIPT_WORDS, "decimal"}


def test_a_message_that_is_in_no_catalogue_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text('SAID = {"a": "one {n:d}", "b": "two"}\nmessage(SAID[k], n=1)\nmessage("x" if y else "z")\n')
    found = [constants(call.args[0], all_tables([file])) for _, call in calls([file])]
    assert found == [["one {n:d}", "two"], ["x", "z"]]
    assert constants(ast.parse("f'{x}'").body[0], {}) == []


def test_a_catalogue_says_how_its_language_writes_numbers(catalogue: dict[str, Any]) -> None:
    assert languages()[catalogue["code"]].name == catalogue["name"]
    low, high = catalogue["one"]
    assert low <= 1 <= high < 2
    assert catalogue["decimal"] != catalogue["thousands"]

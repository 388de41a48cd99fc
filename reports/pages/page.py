"""What all pages share: the template environment and the content security policy.

A page is one file that fetches nothing: style, script, pictures and sounds are in it, and its policy allows
just those, style and script by their SHA-256 (CSP Level 3, section 2.3.1), so markup that got past the
escaping would still not run. Every printed value is autoescaped, and cleaned of characters that no page may
hold.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.json_report import canonical
from reports.language.translation import ENGLISH
from reports.language.words import clean

TEMPLATES = Path(__file__).parents[1] / "templates"
OUTCOME_WORDS = {"pass": "Pass", "review": "Review", "fail": "Fail", "incomplete": "Incomplete"}
OUTCOME_ABOUT = {
    "pass": "Nothing the policy checks stands against a release.",
    "review": "A person has to look at this before a release.",
    "fail": "By the policy, this must not be released as it is.",
    "incomplete": "A check that the policy requires was not made, so there is no verdict.",
}
VERDICT_WORDS = {"clear": "Clear", "review": "Review", "fail": "Fail"}
LINK_WORDS = {
    "ok": "Holds",
    "simulated": "Simulated",
    "pending": "Pending",
    "absent": "Not there",
    "unchecked": "Not checked",
    "missing": "Missing",
    "broken": "Broken",
}
LINK_ABOUT = {
    "ok": "checked, and right",
    "simulated": "the anchor holds, on an embedded chain on one machine: it proves nothing to others",
    "pending": "on the chain, in a block that is not final yet",
    "absent": "nothing there to check, and nothing demanded it",
    "unchecked": "it could not be checked",
    "missing": "something that must be there is not",
    "broken": "it is wrong",
}
ICONS = {
    **dict.fromkeys(("pass", "clear", "ok"), "yes"),
    **dict.fromkeys(("review", "pending"), "look"),
    **dict.fromkeys(("fail", "broken", "missing"), "no"),
    **dict.fromkeys(("incomplete", "unchecked", "absent"), "open"),
    "simulated": "sim",
    "waived": "yes",
    "part": "look",
}
RULE_WORDS = {"pass": "Pass", "review": "Review", "fail": "Fail", "skipped": "Not checked"}


@functools.cache
def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if type(value) is str else value,
    )
    environment.globals.update(
        words=ENGLISH.words,
        _=ENGLISH,
        rule_words=RULE_WORDS,
        outcome_words=OUTCOME_WORDS,
        outcome_about=OUTCOME_ABOUT,
        verdict_words=VERDICT_WORDS,
        link_words=LINK_WORDS,
        link_about=LINK_ABOUT,
        icons=ICONS,
    )
    return environment


def page(template: str, script: str, **values: Any) -> str:
    """Render `template` with the style sheet and the files `script` (with spaces between) inlined, and just them."""
    style = _file("style.css")
    code = "".join(map(_file, script.split()))
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(code)}'; "
        "img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    )
    html = _make_environment().get_template(template)
    return html.render(policy=Markup(policy), style=Markup(style), script=Markup(code), **values)


def document(template: str, **values: Any) -> str:
    """Render `template` as it is, without the pages' style, script and policy."""
    return _make_environment().get_template(template).render(**values)


def script_data(value: Any) -> Markup:
    """JSON for a ``<script type="application/json">``: canonical, with ``<``, ``>`` and ``&`` escaped."""
    text = canonical(value).decode("utf-8")
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


@functools.cache
def _file(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")

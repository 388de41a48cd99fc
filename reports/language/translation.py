"""The languages of a page: what its author wrote, what the audit said, and figures in words, each in every language.

A page is rendered once in each language, and `in_both` puts the second rendering's texts beside those of the first, as
attributes that the page's script swaps. What differs are texts and labels, never the elements.

Texts of the templates are looked up whole. Sentences of the audit hold names and numbers, so they are recognised by
their pattern: ``{name}`` stands for any text, ``{name:n}`` for a number or word without spaces, ``{name:s}`` for a
sentence that is looked up in its turn. What is in no catalogue stays English, and is marked as English.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from markupsafe import Markup, escape

from reports.language import words, words_es

SPANISH = Path(__file__).with_name("spanish.json")
LANGUAGES = ("en", "es")
LONGEST = 2000  # characters of a sentence that is looked up: its time grows with the square
_SLOT = re.compile(r"\\\{(\w+)(?::(\w))?\\\}")
_TOKEN = re.compile(r"<[^>]*>|[^<]+")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


@dataclass(frozen=True)
class Language:
    """One language: its code, its `words` (the functions of `reports.language.words`), its texts and sentences."""

    code: str
    words: ModuleType
    texts: Mapping[str, str]
    sentences: tuple[tuple[re.Pattern[str], str], ...]

    def __call__(self, text: str, /, **values: object) -> Markup:
        """Return a text of ours, which may hold markup, with `values` put in: escaped and cleaned."""
        safe = {name: self.words.clean(value) if type(value) is str else value for name, value in values.items()}
        return Markup(self.texts.get(text, text)).format(**safe)

    def translated(self, sentence: str) -> str | None:
        """Return a sentence of the audit in this language; None where it is in no catalogue."""
        if self.code == "en":
            return sentence
        if sentence in self.texts:
            return self.texts[sentence]
        if len(sentence) > LONGEST:
            return None
        for pattern, made in self.sentences:
            found = pattern.fullmatch(sentence)
            if found:
                inner = {
                    name: self._inner(value) if name.endswith("_s") else value
                    for name, value in found.groupdict().items()
                }
                return made.format(**{name.removesuffix("_s"): value for name, value in inner.items()})
        return None

    def _inner(self, sentence: str) -> str:
        """Return a sentence within another one, which may begin small there; as it is where it is not known."""
        said = self.translated(sentence)
        if said is None and (whole := self.translated(sentence[:1].upper() + sentence[1:])):
            said = whole[:1].lower() + whole[1:]
        return sentence if said is None else said

    def sentence(self, text: str) -> Markup:
        """Return a sentence of the audit, marked with the language that it is in; figures are in any."""
        said = self.translated(text)
        code = "en" if said is None and re.search("[A-Za-z]", text) else self.code
        return Markup('<span lang="{}">{}</span>').format(code, self.words.clean(text if said is None else said))


@functools.cache
def language(code: str) -> Language:
    """Return the language of that code.

    Raises
    ------
    ValueError
        For a code that is not one of `LANGUAGES`.
    """
    if code == "en":
        return Language("en", words, {}, ())
    if code != "es":
        raise ValueError(f"language {code!r}: reports are written in {' and '.join(LANGUAGES)}")
    catalogue = json.loads(SPANISH.read_text(encoding="utf-8"))
    patterns = tuple((_pattern(english), spanish) for english, spanish in catalogue["sentences"].items())
    return Language("es", words_es, catalogue["texts"], patterns)


def _pattern(sentence: str) -> re.Pattern[str]:
    def slot(found: re.Match[str]) -> str:
        name, kind = found.groups()
        return f"(?P<{name}{'_s' if kind == 's' else ''}>{chr(92) + 'S{1,40}' if kind == 'n' else '.+'})"

    return re.compile(_SLOT.sub(slot, re.escape(sentence)), re.DOTALL)


def in_both(first: str, second: str) -> str:
    """Return the page `first` with the texts and labels of `second`, the same page in another language.

    A text that differs gets an attribute ``data-t`` on its element (a span of its own where it has neighbours), labels
    that differ an attribute ``data-a``, a JSON object. Both pages come from our templates, which escape ``<`` and
    ``>`` everywhere but in tags.

    Raises
    ------
    ValueError
        When the two differ in more than texts and labels: a translation that drops or moves an element.
    """
    ours, theirs = _TOKEN.findall(first), _TOKEN.findall(second)
    if len(ours) != len(theirs):
        raise ValueError(f"the page has {len(ours)} tags and texts in one language and {len(theirs)} in the other")
    out: list[str] = []
    for k, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one == other:
            out.append(one)
        elif one[0] == "<":
            out.append(_labelled(one, other))
        elif _alone(ours, k):
            out[-1] = f'{out[-1][:-1]} data-t="{other.replace(chr(34), "&#34;")}">'
            out.append(one)
        else:
            out.append(f'<span data-t="{other.replace(chr(34), "&#34;")}">{one}</span>')
    return "".join(out)


def _alone(tokens: list[str], k: int) -> bool:
    """Whether a text is all that its element holds."""
    before, after = tokens[k - 1], tokens[k + 1]
    return before[:2] != "</" and before[-2:] != "/>" and after == f"</{re.split(r'[ >]', before[1:], maxsplit=1)[0]}>"


def _labelled(one: str, other: str) -> str:
    ours, theirs = _ATTRIBUTE.findall(one), _ATTRIBUTE.findall(other)
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        raise ValueError(f"the page has the tag {one[:80]} in one language and {other[:80]} in the other")
    # The values are escaped already, and JSON's own quotes are what is left to escape.
    labels = json.dumps(
        {name: Markup(value).unescape() for (name, value), (_, old) in zip(theirs, ours, strict=True) if value != old},
        ensure_ascii=False,
    )
    end = "/>" if one.endswith("/>") else ">"
    return f'{one.removesuffix(end)} data-a="{escape(labels)}"{end}'

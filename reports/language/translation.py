"""The languages of what people read: English, and each one that has a catalogue in this folder.

A catalogue is one JSON file: ``code`` and ``name`` of the language, how it writes numbers (``decimal``, ``thousands``,
and ``one``: the least and the greatest number that takes the first form of a plural), and two tables whose keys are
the English templates as they stand in the code (`messages`): ``texts``, which the pages fill themselves, and
``messages``, which the audit has filled already.

report.json holds finished English sentences. So a message is recognised by its template, its slots are taken out, those
that hold messages are translated in their turn, and the template of the other language is filled with them. Several
templates may fit; the one that explains most of the sentence counts. What none explains stays English, and is marked.

A page is rendered once in each language, and `merge_pages` numbers what differs between them: texts and labels, never
the elements. The page's script sets them.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from messages import Slots
from reports.language.words import Words, clean

CATALOGUES = Path(__file__).parent
LONGEST = 2000  # characters of a sentence that is looked up: its time grows with the square
DEEPEST = 16  # messages in one another
SHAPES = {"": ".+", "text": ".+", "word": r"\S{1,80}"}  # of slots; all others hold numbers
NUMBER = r"[-+]?(?:[\d,]*\.?\d+(?:e[-+]?\d+)?|nan|inf)"
SIGNS = {"decimal": ".", "thousands": ","}  # of numbers as messages hold them
_TOKEN = re.compile(r"<[^>]*>|[^<]+")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


class Figure(str):
    """A number as it stands in an English message."""

    __slots__ = ()


class Known(NamedTuple):
    """A sentence that a catalogue explains: in its language, and how many of its signs are those of templates."""

    text: str
    signs: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a filled template looks like.

    Attributes
    ----------
    shape : re.Pattern
        Each slot is a group.
    parts : tuple of str
        What stands between the slots.
    kinds : dict
        Of each slot, as it is written there.
    """

    shape: re.Pattern[str]
    parts: tuple[str, ...]
    kinds: dict[str, str]

    @property
    def signs(self) -> int:
        """Signs of the template that are not in slots."""
        return sum(map(len, self.parts))

    @property
    def is_frame(self) -> bool:
        """Whether the template holds no word of its own, so that only the messages in it say that it fits."""
        return not re.search("[A-Za-z]", "".join(self.parts))


@functools.cache
def pattern_of(template: str) -> Pattern:
    """Return what a template looks like when it is filled."""
    shape, kinds = "", dict[str, str]()
    slots = list(Slots().parse(template))
    for part, name, form, _ in slots:
        shape += re.escape(part)
        if form and "|" in form:
            shape += f"(?:{'|'.join(map(re.escape, form.split('|')))})"
        elif name in kinds:
            shape += f"(?P={name})"
        elif name is not None:
            kinds[name] = str(form)
            shape += f"(?P<{name}>{SHAPES.get(str(form), NUMBER)})"
    return Pattern(re.compile(shape, re.DOTALL), tuple(part for part, *_ in slots), kinds)


class Language(Slots):
    """One language: it fills the templates of pages, and translates messages.

    Parameters
    ----------
    catalogue : mapping
        See above.
    """

    def __init__(self, catalogue: Mapping[str, Any]) -> None:
        self.code: str = catalogue["code"]
        self.name: str = catalogue["name"]
        self.texts: Mapping[str, str] = catalogue["texts"]
        self.messages: Mapping[str, str] = catalogue["messages"]
        self.words = Words(self)
        self._one: tuple[float, float] = catalogue["one"]
        self._signs = str.maketrans({sign: catalogue[name] for name, sign in SIGNS.items()})
        self._patterns = [(pattern_of(english), said) for english, said in self.messages.items() if "{" in english]
        self._recognised = functools.lru_cache(4096)(self._recognise)

    def numerals(self, text: str) -> str:
        """Write a number as this language does, that was written in English."""
        return text.translate(self._signs)

    def is_one(self, number: float | str) -> bool:
        """Whether a number takes the first form of a plural."""
        low, high = self._one
        return low <= (float(number.replace(",", "")) if isinstance(number, str) else number) <= high

    def format_field(self, value: Any, format_spec: str) -> str:
        """Write one value as its slot asks for."""
        text = super().format_field(value, "" if type(value) is Figure and "|" not in format_spec else format_spec)
        return self.numerals(text) if isinstance(value, int | float | Figure) and "|" not in format_spec else text

    def fill(self, template: str, /, **values: object) -> str:
        """Return a text of ours with `values` put in, none of them escaped."""
        return self.vformat(self.texts.get(template) or self.messages.get(template, template), (), values)

    def __call__(self, template: str, /, **values: object) -> Markup:
        """Return a text of ours, which may hold markup, with `values` put in: escaped and cleaned."""
        safe = {name: escape(clean(value)) if type(value) is str else value for name, value in values.items()}
        return Markup(self.fill(template, **safe))

    def translate(self, sentence: str) -> str | None:
        """Return a message in this language; None where no template explains it."""
        if self.code == "en":
            return sentence
        known = self._recognised(sentence)
        return known.text if known else None

    def render(self, sentence: str) -> str:
        """Return a message in this language, or as it is where no template explains it."""
        translation = self.translate(sentence)
        return sentence if translation is None else translation

    def mark(self, text: str) -> Markup:
        """Return a message, marked with the language that it is in; figures are in any."""
        translation = self.translate(text)
        code = "en" if translation is None and re.search("[A-Za-z]", text) else self.code
        return Markup('<span lang="{}">{}</span>').format(code, clean(text if translation is None else translation))

    def _recognise(self, sentence: str, depth: int = 0) -> Known | None:
        """Translate a message by the template that explains most of it."""
        said = self.messages.get(sentence) or self.texts.get(sentence)
        if said is not None:
            return Known(said, len(sentence))
        if len(sentence) > LONGEST or depth == DEEPEST:
            return None
        best: Known | None = None
        for one, template in self._patterns:
            if not all(part in sentence for part in one.parts) or not (match := one.shape.fullmatch(sentence)):
                continue
            values: dict[str, str] = {}
            inner: list[Known] = []
            for name, value in match.groupdict().items():
                values[name] = value if one.kinds[name] in SHAPES else Figure(value)
                if one.kinds[name] == "text" and (known := self._within(value, depth + 1)):
                    values[name] = known.text
                    inner.append(known)
            signs = one.signs + sum(known.signs for known in inner)
            if (inner or not one.is_frame) and (best is None or signs > best.signs):
                best = Known(self.vformat(template, (), values), signs)
        return best

    def _within(self, sentence: str, depth: int) -> Known | None:
        """Translate a message in another one, where it may begin small."""
        known = self._recognised(sentence, depth)
        if known is None and sentence[:1].islower():
            known = self._recognised(sentence[0].upper() + sentence[1:], depth)
            return known and Known(known.text[0].lower() + known.text[1:], known.signs)
        return known


ENGLISH = Language(
    {"code": "en", "name": "English", "one": (1, 1), "decimal": ".", "thousands": ",", "texts": {}, "messages": {}}
)


def languages() -> Mapping[str, Language]:
    """Return all languages by their codes, English first."""
    return _read(CATALOGUES)


@functools.cache
def _read(folder: Path) -> Mapping[str, Language]:
    files = (json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json")))
    return {one.code: one for one in (ENGLISH, *map(Language, files))}


def language(code: str) -> Language:
    """Return the language of that code.

    Raises
    ------
    ValueError
        For a code that no catalogue has.
    """
    if code not in languages():
        raise ValueError(f"language {code!r}: there are {', '.join(languages())}")
    return languages()[code]


def merge_pages(pages: Sequence[str]) -> tuple[str, list[list[str]]]:
    """Return the first of some pages, all the same one in another language, and a table of what differs.

    A text that differs gets an attribute ``data-t`` on its element (a span of its own where it has neighbours), with
    its line in the table; labels that differ an attribute ``data-a`` of names with their lines. A line holds the text
    in each language. Pages come from our templates, which escape ``<`` and ``>`` everywhere but in tags.

    Raises
    ------
    ValueError
        When pages differ in more than texts and labels: a translation that drops or moves an element.
    """
    tokens = [_TOKEN.findall(page) for page in pages]
    if len(counts := {len(some) for some in tokens}) > 1:
        raise ValueError(f"the page has {' and '.join(map(str, sorted(counts)))} tags and texts in different languages")
    lines: dict[tuple[str, ...], int] = {}
    out: list[str] = []
    for k, same in enumerate(zip(*tokens, strict=True)):
        first = same[0]
        if len(set(same)) == 1:
            out.append(first)
        elif "<" in {token[0] for token in same}:
            out.append(_label(same, lines))
        elif _alone(tokens[0], k):
            out[-1] = f'{out[-1][:-1]} data-t="{_line(same, lines)}">'
            out.append(first)
        else:
            out.append(f'<span data-t="{_line(same, lines)}">{first}</span>')
    return "".join(out), [list(texts) for texts in lines]


def _line(texts: Sequence[str], lines: dict[tuple[str, ...], int]) -> int:
    """Return the number of a line of the table, which is made where it is not there yet."""
    return lines.setdefault(tuple(Markup(text).unescape() for text in texts), len(lines))


def _alone(tokens: list[str], k: int) -> bool:
    """Whether a text is all that its element holds."""
    before, after = tokens[k - 1], tokens[k + 1]
    return before[:2] != "</" and before[-2:] != "/>" and after == f"</{re.split(r'[ >]', before[1:], maxsplit=1)[0]}>"


def _label(tags: Sequence[str], lines: dict[tuple[str, ...], int]) -> str:
    if len({_ATTRIBUTE.sub(r"\1", tag) for tag in tags}) > 1:
        raise ValueError(f"the page has {tags[0][:80]} where it has {tags[1][:80]} in another language")
    labels = [
        f"{same[0][0]}:{_line([value for _, value in same], lines)}"
        for same in zip(*map(_ATTRIBUTE.findall, tags), strict=True)
        if len({value for _, value in same}) > 1
    ]
    end = "/>" if tags[0].endswith("/>") else ">"
    return f'{tags[0].removesuffix(end)} data-a="{" ".join(labels)}"{end}'

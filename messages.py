"""Messages for people: one template each, whose named slots are filled here.

A template is written once, as a literal in the code that says it, and is the key under which the catalogue of another
language (`reports.language.translation`) holds it. Its slots are

- ``{name}``: any text, which is the same in every language;
- ``{name:word}``: the same, without spaces and of at most 80 signs;
- ``{name:text}``: a message or a word that a catalogue may hold too;
- ``{n:d}``, ``{n:,}``, ``{n:.3g}``: a number, in one of Python's formats;
- ``{n:piece|pieces}``: the first form where the number `n` is 1, the second where it is not.
"""

from __future__ import annotations

from string import Formatter
from typing import Any


class Slots(Formatter):
    """Fills the slots of a template."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Write one value as its slot asks for."""
        if "|" in format_spec:
            one, several = format_spec.split("|")
            return one if self.is_one(value) else several
        return str(value) if format_spec in ("", "word", "text") else format(value, format_spec)

    def is_one(self, number: float) -> bool:
        """Whether a number takes the first form of a plural."""
        return number == 1


ENGLISH = Slots()


def message(template: str, /, **values: object) -> str:
    """Fill the slots of a template, in English.

    Parameters
    ----------
    template : str
        A literal, or the entry of a table of literals, so that tests find every message in the code.
    **values
        What each slot holds, by name.
    """
    return ENGLISH.vformat(template, (), values)

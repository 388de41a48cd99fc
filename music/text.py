"""Text that comes out of strangers' files and names."""

from __future__ import annotations


def printable(text: str) -> str:
    """Show text as it is, and by its code what can't be shown or would steer a terminal: an escape, a line break."""
    return "".join(c if c.isprintable() else _code(c) for c in text)


def _code(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")

"""Kinds of files of music, in one table: suffix, media type, and whether a C2PA credential lies in the file.

The sounds are those that `music.read` takes for sound and `music.audio` decodes; a test holds the two together, since
neither may import the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of file: its media type, and how it begins where it carries a credential inside; b"" where beside it."""

    media_type: str
    magic: bytes = b""


SOUNDS = {
    ".wav": Kind("audio/wav", rb"RIFF....WAVE"),
    ".flac": Kind("audio/flac", rb"fLaC|ID3"),
    ".mp3": Kind("audio/mpeg", rb"ID3|\xff[\xe0-\xff]"),
    ".m4a": Kind("audio/mp4", rb"....ftyp"),
    ".mp4": Kind("audio/mp4", rb"....ftyp"),
    ".ogg": Kind("audio/ogg"),
    ".oga": Kind("audio/ogg"),
    ".opus": Kind("audio/ogg"),
    ".aif": Kind("audio/aiff"),
    ".aiff": Kind("audio/aiff"),
    ".aac": Kind("audio/aac"),
    ".au": Kind("audio/basic"),
    ".caf": Kind("audio/x-caf"),
    ".w64": Kind("audio/x-w64"),
}
"""By suffix; where several lie beside a track, a token plays the first."""
KINDS = {**SOUNDS, ".mid": Kind("audio/midi"), ".midi": Kind("audio/midi")}


def media_type(path: Path) -> str | None:
    """Return the media type of a file of music by its name, or None for anything else."""
    kind = KINDS.get(path.suffix.lower())
    return kind.media_type if kind else None


def magic_of(path: Path) -> bytes:
    """Return how a file begins that carries a credential inside; b"" for kinds that have it beside them."""
    kind = KINDS.get(path.suffix.lower())
    return kind.magic if kind else b""

"""Kinds of files of music: their suffixes and media types."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".m4a": "audio/mp4"}
"""Formats that carry a credential inside."""
BESIDE = {
    ".mid": "audio/midi", ".midi": "audio/midi", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg",
    ".aif": "audio/aiff", ".aiff": "audio/aiff",
}  # fmt: skip
"""Other formats of music, known by their names."""


def media_type(path: Path) -> str | None:
    """Return the media type of a file of music by its name, or None for anything else."""
    return (EMBEDDED | BESIDE).get(path.suffix.lower())

"""Read a piece of music whatever its format; the content decides, not the file's name."""

from __future__ import annotations

from pathlib import Path

from music.midi import parse_midi, read_bytes
from music.notes import MusicError, NoteSequence

SUFFIXES = frozenset({".mid", ".midi", ".musicxml", ".mxl", ".xml"})
AUDIO_SUFFIXES = frozenset({".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav"})


def read_music(path: str | Path) -> NoteSequence:
    """Read MIDI, MusicXML or compressed MusicXML.

    Raises
    ------
    MusicError
        When the file can't be read as any of them, or holds no notes.
    """
    data = read_bytes(path)
    try:
        if data[:4] == b"MThd" or Path(path).suffix.lower() in (".mid", ".midi"):
            sequence = parse_midi(data, str(path))
        else:
            from music.musicxml import parse_musicxml

            sequence = parse_musicxml(data, str(path))
    except MusicError:
        raise
    except Exception as error:  # whatever a stranger's file sets off in a parser: it is refused, and the run goes on
        raise MusicError(f"{path}: can't be read: {type(error).__name__}: {error}") from error
    if not len(sequence):
        raise MusicError(f"{path}: holds no notes")
    return sequence


def music_files(source: str | Path, suffixes: frozenset[str] = SUFFIXES) -> list[Path]:
    """List the files of these kinds at or below `source`, sorted; a file named outright is taken whatever its suffix.

    Raises
    ------
    MusicError
        When `source` does not exist or a folder can't be listed.
    """
    source = Path(source)
    if not source.exists():
        raise MusicError(f"{source}: no such file or folder")
    if not source.is_dir():
        return [source]
    try:
        return sorted(p for p in source.rglob("*") if p.suffix.lower() in suffixes and not p.is_dir())
    except OSError as error:
        raise MusicError(f"{source}: cannot be listed: {error.strerror}") from error

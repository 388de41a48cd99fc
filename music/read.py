"""Read a piece of music whatever its format; the content decides, not the file's name."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from music.containers import frame_length, sniff
from music.midi import parse_midi, read_bytes
from music.notes import MusicError, NoteSequence
from music.text import printable

SUFFIXES = frozenset({".mid", ".midi", ".musicxml", ".mxl", ".xml"})
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".au", ".caf", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".w64", ".wav"}
)
ARCHIVES = (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
NO_MUSIC = frozenset({
    ".c2pa", ".cfg", ".css", ".csv", ".cue", ".db", ".gif", ".gitattributes", ".gitignore", ".htm", ".html", ".ini",
    ".jpeg", ".jpg", ".js", ".json", ".jsonl", ".log", ".lrc", ".lnk", ".m3u", ".m3u8", ".md", ".md5", ".nfo",
    ".npy", ".pdf", ".pem", ".png", ".pt", ".py", ".rst", ".rtf", ".safetensors", ".sfv", ".sh", ".sha256", ".sig",
    ".sqlite", ".svg", ".tif", ".tiff", ".tmp", ".toml", ".tsr", ".tsv", ".txt", ".url", ".webp", ".yaml", ".yml",
    ".ds_store", ".contraste-demo", "thumbs.db", "license", "readme",
})  # fmt: skip
"""Endings, and names, of files that are no music where their content is none either."""


def read_music(path: str | Path) -> NoteSequence:
    """Read MIDI, MusicXML or compressed MusicXML.

    Raises
    ------
    MusicError
        When the file can't be read as any of them, or holds no notes.
    """
    data = read_bytes(path)
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":  # MIDI in a chunk (RP-029)
        data = data[data.find(b"MThd") :] if b"MThd" in data else b""
    try:
        if data[:4] == b"MThd" or Path(path).suffix.lower() in (".mid", ".midi"):
            sequence = parse_midi(data, str(path))
        else:
            from music.scores.musicxml import parse_musicxml

            sequence = parse_musicxml(data, str(path))
    except MusicError:
        raise
    except Exception as error:  # whatever a stranger's file sets off in a parser: it is refused, and the run goes on
        raise MusicError(f"{path}: can't be read: {type(error).__name__}: {error}") from error
    if not len(sequence):
        raise MusicError(f"{path}: holds no notes")
    return sequence


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file of a folder that is not read, and why.

    Attributes
    ----------
    weight : str
        "unreadable" where it should have been read and can't be, "unchecked" where it may be music in a form that is
        not read here, "none" where it is plainly no music: text, pictures, records.
    """

    path: Path
    reason: str
    weight: Literal["unreadable", "unchecked", "none"] = "unchecked"

    @property
    def name(self) -> str:
        """The file's name, as text that every file and terminal can hold."""
        return printable(self.path.name)


@dataclass(frozen=True, slots=True)
class Listing:
    """Every file at or below some paths, sorted: those with notes, those of sound, and those that are neither."""

    notes: tuple[Path, ...] = ()
    sound: tuple[Path, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def listing(*sources: str | Path) -> Listing:
    """Account for every file at or below `sources`; the content decides, not the name.

    A file named outright is taken for notes where it is not sound, so that reading it says what is wrong with it.
    Links out of a folder, and links to folders, are not followed.

    Raises
    ------
    MusicError
        When a source does not exist.
    """
    notes: list[Path] = []
    sound: list[Path] = []
    left_out: list[LeftOut] = []
    for source in map(Path, sources):
        if not source.exists():
            raise MusicError(f"{source}: no such file or folder")
        for file in _files(source, left_out) if source.is_dir() else [source]:
            kind = _kind(file)
            if any("\udc80" <= letter <= "\udcff" for letter in str(file)):
                harmless = kind == "" and not _may_be_music(file)
                what = "its name" if file.name != printable(file.name) else "the name of a folder above it"
                reason = f"{what} is not UTF-8; give it another one"
                left_out.append(LeftOut(file, reason, "none" if harmless else "unreadable"))
            elif kind == "sound":
                sound.append(file)
            elif kind == "notes" or file == source:
                notes.append(file)
            else:
                weight: Literal["unchecked", "none"] = "unchecked" if kind or _may_be_music(file) else "none"
                left_out.append(LeftOut(file, kind or "no music in a format that is read here", weight))
    return Listing(tuple(notes), tuple(sound), tuple(left_out))


def _files(folder: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield the files of a folder, sorted; add to `left_out` what can't be looked into."""
    inside = folder.resolve()

    def unlisted(error: OSError) -> None:
        left_out.append(LeftOut(Path(str(error.filename)), f"can't be listed: {error.strerror}", "unreadable"))

    paths: list[Path] = []
    for root, folders, files in os.walk(folder, onerror=unlisted):
        for name in folders:
            if (path := Path(root, name)).is_symlink():
                left_out.append(LeftOut(path, "a link to a folder, which is not followed"))
        paths += [Path(root, name) for name in files]
    for path in sorted(paths, key=os.fsencode):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            left_out.append(LeftOut(path, "a link out of the folder, which is not followed"))
        elif not path.is_file():
            left_out.append(LeftOut(path, "not a regular file, or a link to none"))
        else:
            yield path


def _kind(file: Path) -> str:
    """Say "notes" or "sound", why music that can't be read here is neither, or ""."""
    suffix = file.suffix.lower()
    named = "notes" if suffix in SUFFIXES else "sound" if suffix in AUDIO_SUFFIXES else ""
    try:
        with open(file, "rb") as opened:
            head = opened.read(4096)
    except OSError as error:
        return named or f"can't be read: {error.strerror}"
    if head[:4] == b"MThd" or (head[:4] == b"RIFF" and head[8:12] == b"RMID"):
        return "notes"
    kind = sniff(head)
    if head[:3] == b"ID3" or (kind and (kind != "mp3" or named == "sound" or _frames_follow(head))):
        return "sound"
    archive = head[:4] == b"PK\x03\x04" or head.startswith(ARCHIVES) or head[257:262] == b"ustar"
    if archive and not (suffix == ".mxl" or _is_score(file)):
        return "an archive, which is not opened"
    text = head.replace(b"\0", b"")  # UTF-16
    return "notes" if archive or b"<score-partwise" in text or b"<score-timewise" in text else named


def _frames_follow(head: bytes) -> bool:
    """Whether a second frame of MPEG audio follows the first one: a few bytes alone look like one by chance."""
    return bool(frame_length(head[frame_length(head) :]))


def _is_score(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return "META-INF/container.xml" in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _may_be_music(file: Path) -> bool:
    return file.suffix.lower() not in NO_MUSIC and file.name.lower() not in NO_MUSIC

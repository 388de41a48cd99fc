"""Reading of score files: MusicXML (partwise and timewise, MusicXML 4.0) and compressed ``.mxl``.

The file is unpacked under caps and read once by expat, which refuses a file that declares an entity (a document type
without declarations, as most scores carry, is fine; nothing is ever fetched). `music.scores.score` says what sounds.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from music.midi import MAX_BYTES, read_bytes
from music.notes import MusicError, NoteSequence
from music.scores.score import read_score

MAX_ENTRIES = 1000
MAX_CONTAINER_BYTES = 64 * 2**10
MAX_DEPTH = 100
MAX_ELEMENTS = 1_000_000  # a note has some ten


class Credits(NamedTuple):
    """What a score says about itself; empty where it says nothing."""

    title: str
    composer: str


def read_musicxml(path: str | Path) -> NoteSequence:
    """Read a score as it sounds: repeats unfolded, ties joined, transposing instruments at sounding pitch.

    Returns
    -------
    NoteSequence
        One part per staff, with the part's name and General MIDI program; the title is the work's title,
        or the movement's where there is none.

    Raises
    ------
    MusicError
        When the file can't be read, is larger than 16 MiB (packed or unpacked), is no MusicXML, declares
        entities, or as `music.scores.score.read_score`.
    """
    return parse_musicxml(read_bytes(path), str(path))


def parse_musicxml(data: bytes, name: str, *, unfold: bool = True) -> NoteSequence:
    """Read a score from the bytes of a ``.musicxml`` or ``.mxl`` file; `name` is what errors call it.

    With `unfold` False every bar sounds once, as printed.

    Raises
    ------
    MusicError
        As `read_musicxml`.
    """
    root = _tree(_unpack(data, name), name)
    if root.tag not in ("score-partwise", "score-timewise"):
        raise MusicError(f"{name}: root element <{root.tag}>; a score has <score-partwise> or <score-timewise>")
    return read_score(root, name, _credits(root).title, unfold=unfold)


def score_credits(path: str | Path) -> Credits:
    """Read title and composer (``work-title`` or ``movement-title``; ``creator type="composer"``) only.

    Raises
    ------
    MusicError
        When the file can't be read, is too large, is no XML or declares entities.
    """
    return _credits(_tree(_unpack(read_bytes(path), str(path)), str(path), until="part-list"))


def _credits(root: Element) -> Credits:
    title = root.findtext("work/work-title") or root.findtext("movement-title") or ""
    return Credits(_line(title), _line(root.findtext("identification/creator[@type='composer']") or ""))


def _unpack(data: bytes, name: str) -> bytes:
    """Return the score inside an ``.mxl`` archive, or `data` itself when it is no archive."""
    if data[:4] != b"PK\x03\x04":
        return data
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise MusicError(f"{name}: the archive has more than {MAX_ENTRIES} entries; that is the limit")
    with _zip_errors(name), zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if "META-INF/container.xml" in names:
            container = _entry(archive, "META-INF/container.xml", MAX_CONTAINER_BYTES, name)
            rootfile = next(_tree(container, f"{name}: META-INF/container.xml").iter("rootfile"), None)
            wanted = rootfile.get("full-path", "") if rootfile is not None else ""
        else:
            scores = [n for n in names if n.endswith((".xml", ".musicxml"))]
            wanted = scores[0] if scores else ""
        if wanted not in names:
            raise MusicError(f"{name}: the archive holds no score (rootfile {wanted!r} is not in it)")
        return _entry(archive, wanted, MAX_BYTES, name)


def _entry(archive: zipfile.ZipFile, entry: str, limit: int, name: str) -> bytes:
    if archive.getinfo(entry).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MusicError(f"{name}: {entry!r} is packed with another method than deflate, which MusicXML prescribes")
    with archive.open(entry) as file:  # read() stops at the limit whatever the directory says: bombs stay packed
        content = file.read(limit + 1)
    if len(content) > limit:
        raise MusicError(f"{name}: {entry!r} unpacks to more than {limit} bytes; that is the limit")
    return content


@contextmanager
def _zip_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        if isinstance(error, MusicError):
            raise
        raise MusicError(f"{name}: damaged or encrypted archive: {error}") from error


class _ReadEnoughError(Exception):
    """Raised to end a parse early."""


def _tree(xml: bytes, name: str, until: str = "") -> Element:
    """Read XML that declares nothing and is not too deep or large into a tree, up to the element `until`."""
    builder, depth, count, encoding = TreeBuilder(), 0, 0, ""

    def declared(*_: object) -> None:
        raise MusicError(f"{name}: declares an XML entity; a score needs none, and they are refused")

    def declaration(_version: str, said: str | None, _standalone: int) -> None:
        nonlocal encoding
        encoding = said or ""

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        if tag == until:
            raise _ReadEnoughError
        depth += 1
        count += 1
        if depth > MAX_DEPTH:
            raise MusicError(f"{name}: elements nest deeper than {MAX_DEPTH}; that is the limit")
        if count > MAX_ELEMENTS:
            raise MusicError(f"{name}: more than {MAX_ELEMENTS} elements; that is the limit")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def parse(content: bytes, forced: str | None) -> None:
        parser = expat.ParserCreate(forced)
        parser.buffer_text = True
        parser.EntityDeclHandler = declared
        parser.XmlDeclHandler = declaration
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = builder.data
        parser.Parse(content, True)

    try:
        try:
            parse(xml, None)
        except (LookupError, ValueError) as error:  # an encoding that expat does not know, as those of Japan
            if isinstance(error, MusicError) or count or not encoding:
                raise
            parse(xml.decode(encoding).encode(), "utf-8")
    except _ReadEnoughError:
        for _ in range(depth):
            builder.end("")
    except (expat.ExpatError, LookupError, ValueError, OverflowError) as error:
        if isinstance(error, MusicError):
            raise
        raise MusicError(f"{name}: no MIDI, no archive, and not well-formed XML: {error}") from error
    root: Element = builder.close()
    return root


def _line(text: str) -> str:
    """One printable line of at most 200 characters: credits end up in reports."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]

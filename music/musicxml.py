"""Reading of scores: MusicXML (partwise and timewise, MusicXML 4.0) and compressed ``.mxl``.

Three steps. The file is unpacked under caps and walked once by expat, which refuses whatever declares an
entity (a document type without declarations, as most scores carry, is fine; nothing is ever fetched) and
picks up the title and the composer. Then verovio, in a child process with a time and a memory limit
(`music.verovio_process`), turns the score into MIDI: repeats, endings, da capo, ties and transposing
instruments come out as they sound. Then the guarded MIDI reader takes over.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from music.midi import MAX_BYTES, parse_midi, read_bytes
from music.notes import MusicError, NoteSequence, build
from music.verovio_process import score_to_midi

MAX_ENTRIES = 1000
MAX_CONTAINER_BYTES = 64 * 2**10
MAX_DEPTH = 100
VEROVIO_TPQ = 120


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
        entities, or when `music.verovio_process.score_to_midi` refuses it.
    """
    return parse_musicxml(read_bytes(path), str(path))


def parse_musicxml(data: bytes, name: str) -> NoteSequence:
    """Read a score from the bytes of a ``.musicxml`` or ``.mxl`` file; `name` is what errors call it.

    Raises
    ------
    MusicError
        As `read_musicxml`.
    """
    xml = _unpack(data, name)
    seen = _walk(xml, name)
    if seen.root not in ("score-partwise", "score-timewise"):
        raise MusicError(f"{name}: root element <{seen.root}>; a score has <score-partwise> or <score-timewise>")
    text = _decode(xml, seen.encoding, name)
    text = _partwise(text) if seen.root == "score-timewise" else text
    sequence = parse_midi(score_to_midi(text, name), name)
    # Verovio ends every note one tick early, so that repeated notes stay apart; the written length is meant.
    return replace(
        build(
            sequence.onset_beat,
            sequence.duration_beat + (1 / VEROVIO_TPQ if sequence.ticks_per_quarter == VEROVIO_TPQ else 0.0),
            sequence.pitch,
            sequence.velocity,
            sequence.part,
            parts=sequence.parts,
            tempos=sequence.tempos,
            time_signatures=sequence.time_signatures,
            ticks_per_quarter=sequence.ticks_per_quarter,
        ),
        title=seen.credits.title,
    )


def score_credits(path: str | Path) -> Credits:
    """Read title and composer (``work-title`` or ``movement-title``; ``creator type="composer"``) only.

    Raises
    ------
    MusicError
        When the file can't be read, is too large, is no XML or declares entities.
    """
    return _walk(_unpack(read_bytes(path), str(path)), str(path)).credits


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
            wanted = _walk(container, f"{name}: META-INF/container.xml").rootfile
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
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
        ValueError,
    ) as error:
        if isinstance(error, MusicError):
            raise
        raise MusicError(f"{name}: damaged or encrypted archive: {error}") from error


@dataclass
class _Seen:
    """What one pass over the elements found."""

    root: str = ""
    encoding: str = "utf-8"
    rootfile: str = ""
    titles: dict[str, str] = field(default_factory=dict)
    composer: str = ""

    @property
    def credits(self) -> Credits:
        title = self.titles.get("work-title", "") or self.titles.get("movement-title", "")
        return Credits(_line(title), _line(self.composer))


def _walk(xml: bytes, name: str) -> _Seen:
    """Check that `xml` is well-formed and declares nothing, and pick up what `_Seen` holds."""
    seen, open_elements, text = _Seen(), 0, [""]
    wanted = ""
    parser = expat.ParserCreate()

    def declared(*_: object) -> None:
        raise MusicError(f"{name}: declares an XML entity; a score needs none, and they are refused")

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        seen.encoding = encoding or seen.encoding

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal open_elements, wanted
        open_elements += 1
        if open_elements > MAX_DEPTH:
            raise MusicError(f"{name}: elements nest deeper than {MAX_DEPTH}; that is the limit")
        seen.root = seen.root or tag
        if tag == "rootfile":
            seen.rootfile = seen.rootfile or attributes.get("full-path", "")
        if tag in ("work-title", "movement-title") or (tag == "creator" and attributes.get("type") == "composer"):
            wanted, text[0] = tag, ""

    def characters(content: str) -> None:
        if wanted:
            text[0] += content

    def end(tag: str) -> None:
        nonlocal open_elements, wanted
        open_elements -= 1
        if tag == wanted == "creator":
            seen.composer = seen.composer or text[0]
        elif tag == wanted:
            seen.titles.setdefault(tag, text[0])
        if tag == wanted:
            wanted = ""

    parser.EntityDeclHandler = declared
    parser.XmlDeclHandler = declaration
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, MusicError):
            raise
        raise MusicError(f"{name}: no MIDI, no archive, and not well-formed XML: {error}") from error
    return seen


def _decode(xml: bytes, encoding: str, name: str) -> str:
    """Decode as the byte order mark or the XML declaration says."""
    if xml[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif xml[:3] == b"\xef\xbb\xbf":
        encoding = "utf-8-sig"
    try:
        return xml.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise MusicError(f"{name}: cannot be decoded as {encoding}: {error}") from error


def _partwise(text: str) -> str:
    """Turn measures of parts into parts of measures; verovio reads a timewise score as an empty one."""
    timewise = ElementTree.fromstring(text.encode())
    partwise = ElementTree.Element("score-partwise", timewise.attrib)
    parts: dict[str, ElementTree.Element] = {}
    for child in timewise:
        if child.tag != "measure":
            partwise.append(child)
            continue
        for part in child:
            owner = part.get("id", "")
            whole = parts.setdefault(owner, ElementTree.Element("part", {"id": owner}))
            ElementTree.SubElement(whole, "measure", child.attrib).extend(part)
    partwise.extend(parts.values())
    return ElementTree.tostring(partwise, encoding="unicode")


def _line(text: str) -> str:
    """One printable line of at most 200 characters: credits end up in reports."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]

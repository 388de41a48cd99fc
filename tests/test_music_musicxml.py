"""Scores are read as they sound, and hostile ones are refused with a reason."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from music.notes import MusicError
from music.scores.musicxml import parse_musicxml, read_musicxml, score_credits

DOCTYPE = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">'
)
PART_LIST = (
    '<part-list><score-part id="P1"><part-name>Flute</part-name><midi-instrument id="P1-I1">'
    "<midi-channel>1</midi-channel><midi-program>74</midi-program></midi-instrument></score-part></part-list>"
)
CONTAINER = '<container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'
REPEAT = '<barline location="right"><bar-style>light-heavy</bar-style><repeat direction="backward"/></barline>'


def note(step: str, octave: int, duration: int = 4, kind: str = "whole", extra: str = "") -> str:
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    return f"<note>{pitch}<duration>{duration}</duration>{extra}<type>{kind}</type></note>"


def attributes(extra: str = "") -> str:
    time_signature = "<time><beats>4</beats><beat-type>4</beat-type></time>"
    return f"<attributes><divisions>1</divisions>{time_signature}{extra}</attributes>"


def score(*bars: str, head: str = "", extra: str = "", doctype: str = DOCTYPE) -> str:
    body = "".join(
        f'<measure number="{i}">{attributes(extra) if i == 1 else ""}{bar}</measure>'
        for i, bar in enumerate(bars, start=1)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{doctype}<score-partwise version="4.0">{head}{PART_LIST}'
        f'<part id="P1">{body}</part></score-partwise>'
    )


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def test_reads_notes_part_and_title(tmp_path: Path) -> None:
    head = (
        "<work><work-title>Air &amp; Jig</work-title></work>"
        '<identification><creator type="composer">A. Nonymous</creator></identification>'
    )
    path = tmp_path / "air.musicxml"
    path.write_text(score(note("C", 5), note("D", 5, 2, "half") + note("E", 5, 2, "half"), head=head))
    sequence = read_musicxml(path)
    assert sequence.pitch.tolist() == [72, 74, 76]
    assert sequence.onset_beat.tolist() == [0.0, 4.0, 6.0]
    np.testing.assert_allclose(sequence.duration_beat, [4.0, 2.0, 2.0])
    assert (sequence.parts[0].name, sequence.parts[0].program) == ("Flute", 73)
    assert sequence.title == "Air & Jig"
    assert score_credits(path) == ("Air & Jig", "A. Nonymous")


def test_repeats_are_played_and_endings_chosen() -> None:
    first = '<barline location="left"><ending number="1" type="start"/></barline>'
    first_end = f'<barline location="right"><ending number="1" type="stop"/>{REPEAT[REPEAT.index("<repeat") :]}'
    second = '<barline location="left"><ending number="2" type="start"/></barline>'
    second_end = '<barline location="right"><ending number="2" type="stop"/></barline>'
    plain = parse_musicxml(score(note("C", 5), note("D", 5) + REPEAT, note("E", 5)).encode(), "x")
    assert plain.pitch.tolist() == [72, 74, 72, 74, 76]
    endings = score(note("C", 5), first + note("D", 5) + first_end, second + note("E", 5) + second_end)
    assert parse_musicxml(endings.encode(), "x").pitch.tolist() == [72, 74, 72, 76]


def test_ties_transposition_and_tempo_sound_as_written() -> None:
    tied = (
        note("C", 5, extra='<tie type="start"/>').replace(
            "</note>", '<notations><tied type="start"/></notations></note>'
        )
        + "|"
        + note("C", 5, extra='<tie type="stop"/>').replace(
            "</note>", '<notations><tied type="stop"/></notations></note>'
        )
    )
    held = parse_musicxml(score(*tied.split("|")).encode(), "x")
    assert held.duration_beat.tolist() == pytest.approx([8.0])
    b_flat = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    assert parse_musicxml(score(note("C", 5), extra=b_flat).encode(), "x").pitch.tolist() == [70]
    slow = parse_musicxml(score('<direction><sound tempo="60"/></direction>' + note("C", 5)).encode(), "x")
    assert slow.end_s == pytest.approx(4.0)


def test_timewise_scores_equal_partwise_ones() -> None:
    timewise = (
        f'<score-timewise version="4.0">{PART_LIST}<measure number="1"><part id="P1">{attributes()}'
        f'{note("C", 5)}</part></measure><measure number="2"><part id="P1">{note("G", 4)}</part></measure>'
        "</score-timewise>"
    )
    a = parse_musicxml(timewise.encode(), "x")
    b = parse_musicxml(score(note("C", 5), note("G", 4)).encode(), "x")
    assert a.pitch.tolist() == b.pitch.tolist() == [72, 67]
    assert a.onset_beat.tolist() == b.onset_beat.tolist()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_other_encodings(encoding: str) -> None:
    declared = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "iso-8859-1": "ISO-8859-1"}[encoding]
    text = score(note("C", 5), head="<work><work-title>Élégie</work-title></work>")
    assert parse_musicxml(text.replace("UTF-8", declared, 1).encode(encoding), "x").title == "Élégie"


def test_compressed_scores(tmp_path: Path) -> None:
    xml = score(note("C", 5)).encode()
    path = tmp_path / "piece.mxl"
    path.write_bytes(archive({"META-INF/container.xml": CONTAINER.format("in/a.xml").encode(), "in/a.xml": xml}))
    assert read_musicxml(path).pitch.tolist() == [72]
    path.write_bytes(archive({"mimetype": b"x", "a.xml": xml}))
    assert read_musicxml(path).pitch.tolist() == [72]


BILLION_LAUGHS = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>'
CONTAINER_NAME = "META-INF/container.xml"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\0\1\2 nothing", "not well-formed XML"),
        (b"<html><body/></html>", "root element <html>"),
        (b"", "not well-formed XML"),
        (score(note("C", 5), doctype=BILLION_LAUGHS).encode(), "declares an XML entity"),
        (
            score(note("C", 5), doctype='<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>').encode(),
            "declares an XML entity",
        ),
        (score(note("C", 5))[:-20].encode(), "not well-formed XML"),
        (score("<a>" * 200 + "</a>" * 200).encode(), "nest deeper than 100"),
        (archive({"a.txt": b"x"}), "holds no score"),
        (archive({CONTAINER_NAME: CONTAINER.format("../../x.xml").encode()}), "'../../x.xml' is not in it"),
        (archive({"a.xml": b"<a>" + b" " * (17 * 2**20)}), "unpacks to more than"),
        (archive({CONTAINER_NAME: b"<a>" + b" " * 70_000}), "unpacks to more than"),
        (archive({f"{i}.xml": b"" for i in range(1001)}), "more than 1000 entries"),
        (archive({"a.xml": b"<a/>"}, zipfile.ZIP_BZIP2), "another method than deflate"),
        (archive({"a.xml": score(note("C", 5)).encode()})[:-30], "damaged or encrypted archive"),
        (archive({"a.xml": score(note("C", 5)).encode()}).replace(b"\x14\0\0\0", b"\x14\0\1\0"), "damaged or enc"),
    ],
)
def test_hostile_files_are_refused(data: bytes, rule: str) -> None:
    started = time.monotonic()
    with pytest.raises(MusicError, match=f"^evil: .*{rule}"):
        parse_musicxml(data, "evil")
    assert time.monotonic() - started < 2.0


def test_refusals_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match=r"none\.mxl: no such file"):
        read_musicxml(tmp_path / "none.mxl")


def test_a_score_without_parts_has_no_notes() -> None:
    assert len(parse_musicxml(b"<score-partwise><part-list/></score-partwise>", "x")) == 0


def test_credits_are_one_clean_line() -> None:
    head = "<work><work-title> two\n\tlines\x85 </work-title></work>"
    assert parse_musicxml(score(note("C", 5), head=head).encode(), "x").title == "two lines"

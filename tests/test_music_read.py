"""Which files of a folder are music, by their content, and what a file says that can't be read."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import soundfile

import music.read
import music.scores.musicxml
from music.midi import midi_bytes
from music.notes import MusicError, build
from music.read import listing, read_music
from music.text import printable

NOTES = build([0, 1, 2], [1, 1, 1], [60, 62, 64])
MIDI = midi_bytes(NOTES)
SCORE = b"""<?xml version="1.0"?><score-partwise version="3.1"><part-list><score-part id="P1"><part-name>x</part-name>
</score-part></part-list><part id="P1"><measure number="1"><attributes><divisions>1</divisions></attributes>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>4</duration><type>whole</type></note></measure></part>
</score-partwise>"""


def wav() -> bytes:
    made = io.BytesIO()
    soundfile.write(made, np.zeros(100), 8_000, format="WAV")
    return made.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, data)
    return made.getvalue()


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    content = {
        "a.kar": MIDI, "b.smf": MIDI, "c.txt": MIDI, "d": MIDI, "e.wav": MIDI, "f.mid": wav(), "g.dat": wav(),
        "h.score": SCORE, "i.rmi": b"RIFF" + bytes(4) + b"RMIDdata" + bytes(4) + MIDI,
    }  # fmt: skip
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    found = listing(tmp_path)
    assert [file.name for file in found.notes] == ["a.kar", "b.smf", "c.txt", "d", "e.wav", "h.score", "i.rmi"]
    assert [file.name for file in found.sound] == ["f.mid", "g.dat"]
    assert found.left_out == ()
    assert all(len(read_music(tmp_path / name)) == 3 for name in ("a.kar", "d", "i.rmi"))


def test_every_file_is_accounted_for_and_what_may_be_music_weighs(tmp_path: Path) -> None:
    content = {
        "song.mid": MIDI, "songs.zip": zipped("song.mid", MIDI), "song.mid.gz": gzip.compress(MIDI),
        "song.mscz": zipped("x", b""), "song.krn": b"**kern\n4c\n", "song.als": b"\x01\x02",
        "cover.jpg": b"\xff\xd8\xff\xe0", "readme.txt": b"text", "song.mid.sig": b"{}", "report.json": b"{}",
        ".DS_Store": b"\0\0", "sub/list.csv": b"a,b",
    }  # fmt: skip
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "gone.mid").symlink_to(tmp_path / "nowhere.mid")
    os.mkfifo(tmp_path / "pipe.mid")
    found = listing(tmp_path)
    weights = {one.path.name: one.weight for one in found.left_out}
    assert len(found.notes) + len(found.left_out) == len(content) + 2
    assert {name for name, weight in weights.items() if weight != "none"} == {
        "songs.zip", "song.mid.gz", "song.mscz", "song.krn", "song.als", "gone.mid", "pipe.mid",
    }  # fmt: skip
    assert all(one.reason for one in found.left_out)


def test_links_lead_to_what_is_inside_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/private.mid").write_bytes(MIDI)
    folder = tmp_path / "songs"
    folder.mkdir()
    (folder / "own.mid").write_bytes(MIDI)
    (folder / "again.mid").symlink_to(folder / "own.mid")
    (folder / "out.mid").symlink_to(tmp_path / "secret/private.mid")
    (folder / "more").symlink_to(tmp_path / "secret")
    found = listing(folder)
    assert [file.name for file in found.notes] == ["again.mid", "own.mid"]
    assert {one.path.name: one.reason for one in found.left_out} == {
        "out.mid": "a link out of the folder, which is not followed",
        "more": "a link to a folder, which is not followed",
    }


def test_names_that_are_not_utf8_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.mid")).write_bytes(MIDI)
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"text")
    found = listing(tmp_path)
    assert [(one.name, one.weight) for one in found.left_out] == [
        ("caf\\xe9.mid", "unreadable"),
        ("caf\\xe9.txt", "none"),
    ]


def test_so_are_those_below_a_folder_with_such_a_name(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    (folder / "song.mid").write_bytes(MIDI)
    for asked in (tmp_path, folder, folder / "song.mid"):
        (one,) = listing(asked).left_out
        assert (one.name, one.weight) == ("song.mid", "unreadable")
        assert "the name of a folder above it is not UTF-8" in one.reason


def test_a_file_named_outright_is_taken_so_that_reading_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(zipped("a", b""))
    assert listing(tmp_path / "x.zip").notes == (tmp_path / "x.zip",)
    with pytest.raises(MusicError, match="no such file"):
        listing(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9 \u4e2d", "plain \u00e9 \u4e2d"),
        ("x\x1b[2Jok", "x\\x1b[2Jok"),
        ("a\nb\r", "a\\nb\\r"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("caf\udce9", "caf\\xe9"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_by_its_code(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "error",
    [RecursionError("deep"), MemoryError(), UnicodeDecodeError("x", b"", 0, 1, "y"), struct.error("z"), KeyError("k")],
)
@pytest.mark.parametrize("suffix", [".mid", ".musicxml"])
def test_errors_of_parsers_name_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, suffix: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(music.read, "parse_midi", fail)
    monkeypatch.setattr(music.scores.musicxml, "parse_musicxml", fail)
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(MusicError, match=rf"bad{suffix}: can't be read: {type(error).__name__}"):
        read_music(path)


def test_a_utf16_score_under_a_timewise_root_is_read(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-16"?><score-timewise><part-list><score-part id="P1"/></part-list>'
        '<measure number="1"><part id="P1"><attributes><divisions>1</divisions></attributes><note><pitch><step>C</step>'
        "<octave>4</octave></pitch><duration>4</duration></note></part></measure></score-timewise>"
    )
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
        (tmp_path / "a.xml").write_bytes(mark + text.encode(encoding))
        assert read_music(tmp_path / "a.xml").pitch.tolist() == [60]

"""Whatever a parser meets in a file, the error names the file."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NoReturn

import pytest

import music.musicxml
import music.read
from music.notes import MusicError
from music.read import read_music


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
    monkeypatch.setattr(music.musicxml, "parse_musicxml", fail)
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

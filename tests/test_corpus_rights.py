"""Rights that name nothing, that come later, and that are written in another way than the file system does."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import soundfile

from audit.search.index import open_index
from audit.search.index_build import build_index
from corpus.ingest import IngestReport, ingest
from corpus.recordings import open_recordings
from corpus.rights import RightsError, read_rights
from corpus.store import Store
from music.midi import write_midi
from tests.cases.sounds import RATE, band
from tests.cases.tunes import melody

CANCION = "Canci\u00f3n.mid"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("album/Track 01.mid", "plain.mid", unicodedata.normalize("NFD", CANCION))):
        write_midi(melody(number, 96), tmp_path / "src" / name)
    return tmp_path


def taken(folder: Path, rows: str = "", required: bool = False) -> IngestReport:
    table = None
    if rows:
        (folder / "rights.csv").write_text(f"path,licence,consent,artist\n{rows}\n", "utf-8")
        table = read_rights(folder / "rights.csv")
    return ingest([folder / "src"], folder / "store", rights=table, require_rights=required, workers=1)


def test_names_are_compared_in_one_form_of_unicode_and_without_a_leading_dot(folder: Path) -> None:
    report = taken(folder, f"{unicodedata.normalize('NFC', CANCION)},,opt_out,\n./plain.mid,,opt_out,")
    assert sorted(refused.path for refused in report.refused) == [unicodedata.normalize("NFD", CANCION), "plain.mid"]
    assert (report.added, report.unmatched) == (1, ())


def test_rows_that_match_nothing_are_named_with_what_they_may_be_meant_for(folder: Path) -> None:
    report = taken(folder, "Album/Track 01.mid,,opt_out,\nalbum\\plain.mid,,,\nnosuch.mid,,opt_out,\nother/*,,opt_out,")
    assert report.added == 3
    assert [reason.partition(" matches")[0] for reason in report.unmatched] == [
        "line 2: 'Album/Track 01.mid'", "line 3: 'album\\\\plain.mid'", "line 4: 'nosuch.mid'", "line 5: 'other/*'"
    ]  # fmt: skip
    assert "perhaps 'album/Track 01.mid' is meant" in report.unmatched[0]


def test_where_rights_are_required_a_row_that_matches_nothing_stops_the_run(folder: Path) -> None:
    with pytest.raises(RightsError, match=r"line 3: .nosuch\.mid. matches no file"):
        taken(folder, "*,CC0-1.0,granted,\nnosuch.mid,,opt_out,", required=True)
    assert len(Store.open(folder / "store").pieces) == 0
    assert taken(folder, "*,CC0-1.0,granted,", required=True).added == 3


def test_the_same_path_in_two_forms_stands_there_twice(folder: Path) -> None:
    with pytest.raises(RightsError, match="stands there twice"):
        taken(folder, "\n".join(f"{unicodedata.normalize(form, CANCION)},,," for form in ("NFC", "NFD")))


def test_a_table_of_forty_thousand_rows_with_one_path_twice_is_refused_at_once(folder: Path) -> None:
    rows = "\n".join(f"{number}.mid,,," for number in range(40_000))
    with pytest.raises(RightsError, match=r"'7\.mid' stands there twice"):
        taken(folder, f"{rows}\n7.mid,,,")


def test_rights_that_come_later_are_taken_in_and_cost_no_new_index(folder: Path) -> None:
    taken(folder)
    before = Store.open(folder / "store")
    build_index(before)
    report = taken(folder, "album/*,CC-BY-4.0,granted,Somebody\nplain.mid,CC0-1.0,,")
    assert (report.updated, report.removed, report.known) == (("album/Track 01.mid", "plain.mid"), (), 3)
    store = Store.open(folder / "store")
    store.verify()
    said = {piece.path: (piece.rights.licence, piece.rights.consent, piece.artist) for piece in store.pieces}
    assert said["album/Track 01.mid"] == ("CC-BY-4.0", "granted", "Somebody")
    assert said["plain.mid"] == ("CC0-1.0", "", "")
    assert store.digest != before.digest
    assert open_index(store) is not None
    assert len(list((folder / "store/segments").iterdir())) == 1  # what was replaced is gone
    again = taken(folder, "album/*,CC-BY-4.0,granted,Somebody\nplain.mid,CC0-1.0,,")
    assert (again.updated, Store.open(folder / "store").digest) == ((), store.digest)
    taken(folder, "plain.mid,,granted,")  # an empty cell says nothing
    assert {p.rights.licence for p in Store.open(folder / "store").pieces if p.path == "plain.mid"} == {"CC0-1.0"}


def test_a_piece_that_opts_out_later_is_taken_out(folder: Path) -> None:
    taken(folder)
    report = taken(folder, "plain.mid,,opt_out,")
    assert (report.removed, [refused.path for refused in report.refused]) == (("plain.mid",), ["plain.mid"])
    store = Store.open(folder / "store")
    store.verify()
    assert "plain.mid" not in {piece.path for piece in store.pieces}
    assert len(store.pieces) == 2
    assert b"plain.mid" not in b"".join(p.read_bytes() for p in (folder / "store").rglob("*") if p.is_file())
    assert len(build_index(store).works) == 2
    # Also where its file is no longer among the sources; a pattern alone speaks of the sources only.
    (folder / "src/album/Track 01.mid").rename(folder / "kept.mid")
    assert taken(folder, "*,,opt_out,").removed == (unicodedata.normalize("NFD", CANCION),)
    assert taken(folder, "album/Track 01.mid,,opt_out,").removed == ("album/Track 01.mid",)
    assert len(Store.open(folder / "store").pieces) == 0
    # What opted out does not come back unasked, under no name.
    (folder / "kept.mid").rename(folder / "src/other name.mid")
    report = taken(folder)
    assert report.added == 0
    assert "opted out earlier" in report.refused[0].reason
    assert taken(folder, "plain.mid,CC0-1.0,granted,").added == 1


def test_recordings_follow_their_rights_too(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for number in range(3):
        soundfile.write(tmp_path / f"src/band{number}.flac", band(number, 14.0), RATE)
    taken(tmp_path)
    report = taken(tmp_path, "band0.flac,CC0-1.0,granted,\nband1.flac,,opt_out,")
    assert (report.updated, report.removed) == (("band0.flac",), ("band1.flac",))
    sounds = open_recordings(Store.open(tmp_path / "store"))
    sounds.verify()
    assert [(s.path, s.rights.licence) for s in sounds] == [("band0.flac", "CC0-1.0"), ("band2.flac", "")]
    assert sum(sounds.mel(k).shape[0] for k in range(2)) == sum(s.frames for s in sounds)

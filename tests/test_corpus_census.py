"""A store in figures: counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from corpus.census import MOST, take_census
from corpus.ingest import ingest
from corpus.rights import read_rights
from corpus.store import Store
from music.midi import write_midi
from music.notes import NoteSequence, build


def tune(seed: int) -> NoteSequence:
    rng = np.random.default_rng(seed)
    return build(np.arange(60) / 2, np.full(60, 0.5), 60 + np.abs(np.cumsum(rng.integers(-2, 3, 60))) % 24)


def test_pieces_works_and_rights_are_counted(tmp_path: Path) -> None:
    for number in range(4):
        write_midi(tune(number), tmp_path / "src" / f"{number}.mid")
    write_midi(replace(tune(0), title="again"), tmp_path / "src" / "same.mid")
    (tmp_path / "rights.csv").write_text("path,artist,licence,source,consent\n0.mid,A,CC0-1.0,own,granted\n")
    ingest([tmp_path / "src"], tmp_path / "store", rights=read_rights(tmp_path / "rights.csv"), workers=1)
    card = take_census(Store.open(tmp_path / "store")).card()
    assert (card["pieces"], card["works"], card["duplicates"], card["notes"]) == (5, 4, 1, 300)
    assert abs(card["hours"] - 5 * 15 / 3600) < 1e-3
    assert ["CC0-1.0", 1] in card["licence"]
    assert card["tempo_bpm"] == [["120\u2013140", 5]]
    assert card["meter"] == [["4/4", 5]]
    for name in ("split", "licence", "consent", "source", "key", "meter", "tempo_bpm"):
        assert sum(count for _, count in card[name]) == 5
        assert len(card[name]) <= MOST + 1

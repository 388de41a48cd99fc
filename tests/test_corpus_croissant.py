"""The Croissant description of a store: rights, splits and digests of every piece and file."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from corpus.croissant import COLUMNS, describe
from corpus.ingest import ingest
from corpus.rights import read_rights
from corpus.store import Store
from music.midi import write_midi
from music.notes import build

RIGHTS = """path,artist,licence,source,consent,isrc
*,Somebody,CC-BY-4.0,her shelf,granted,
1.mid,Anonymous,public domain,an attic,not_required,USRC17607839
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for i in range(5):
        rng = np.random.default_rng(i)
        write_midi(build(np.arange(40) / 2, np.full(40, 0.5), rng.integers(50, 80, 40)), tmp_path / "src" / f"{i}.mid")
    (tmp_path / "rights.csv").write_text(RIGHTS)
    ingest([tmp_path / "src"], tmp_path / "store", rights=read_rights(tmp_path / "rights.csv"), workers=1)
    return Store.open(tmp_path / "store")


def test_every_piece_with_its_rights_split_and_digests(store: Store, tmp_path: Path) -> None:
    content = describe(store, tmp_path / "out" / "store.json")
    assert content == describe(store, tmp_path / "out" / "store.json")
    found = json.loads(content)
    assert found["license"] == ["CC-BY-4.0", "public domain"]
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    sets = {record_set["@id"]: record_set for record_set in found["recordSet"]}
    rows = {row["pieces/path"]: row for row in sets["pieces"]["data"]}
    assert len(rows) == len(store.pieces) == 5
    for piece in store.pieces:
        row = rows[piece.path]
        assert (row["pieces/licence"], row["pieces/consent"]) == (piece.rights.licence, piece.rights.consent)
        assert (row["pieces/split"], row["pieces/group"]) == (piece.split, piece.group)
        original = hashlib.sha256((tmp_path / "src" / piece.path).read_bytes()).hexdigest()
        assert (row["pieces/file_sha256"], row["pieces/notes_sha256"]) == (original, piece.notes_digest)
    assert rows["1.mid"]["pieces/isrc"] == "USRC17607839"
    named = {field["@id"] for field in sets["pieces"]["field"]}
    assert named == {f"pieces/{name}" for name in (*COLUMNS, "split")} == set(rows["1.mid"])
    assert {row["splits/name"] for row in sets["splits"]["data"]} == {"train", "valid", "test"}


def test_every_file_by_its_digest(store: Store, tmp_path: Path) -> None:
    found = json.loads(describe(store, tmp_path / "out" / "store.json"))
    files = {item["contentUrl"]: item for item in found["distribution"]}
    below = [file for part in ("segments",) for file in (store.path / part).rglob("*") if file.is_file()]
    assert set(files) == {f"../store/{f.relative_to(store.path)}" for f in [*below, store.path / "manifest.json"]}
    for place, item in files.items():
        content = (tmp_path / "out" / place).resolve().read_bytes()
        assert item["sha256"] == hashlib.sha256(content).hexdigest()
        assert item["contentSize"] == f"{len(content)} B"

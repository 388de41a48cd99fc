"""CIDs against those that IPFS's own importer makes, and against published ones."""

import io
import json
from pathlib import Path

import pytest

from ledger.errors import PathRefused
from ledger.hashes.cid import CHUNK, cid_of_digest, cid_of_file, cid_of_stream
from ledger.hashes.digest import hash_bytes

VECTORS = json.loads(Path(__file__).with_name("data").joinpath("ledger_cid_vectors.json").read_text())


def _bytes(length: int) -> bytes:
    return bytes(i % 251 for i in range(length))


@pytest.mark.parametrize(("length", "chunk", "links", "expected"), VECTORS, ids=lambda value: str(value)[:8])
def test_they_are_those_of_the_importer(length: int, chunk: int, links: int, expected: str, tmp_path: Path) -> None:
    assert cid_of_stream(io.BytesIO(_bytes(length)), chunk, links) == expected
    if chunk == CHUNK:
        (tmp_path / "file").write_bytes(_bytes(length))
        assert cid_of_file(tmp_path / "file") == expected


def test_published_ones() -> None:
    empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    hello = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    assert cid_of_digest(hash_bytes(b"")) == cid_of_stream(io.BytesIO(b"")) == empty
    assert cid_of_digest(hash_bytes(b"hello world")) == cid_of_stream(io.BytesIO(b"hello world")) == hello


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no", tmp_path):
        with pytest.raises(PathRefused, match="cannot read"):
            cid_of_file(path)

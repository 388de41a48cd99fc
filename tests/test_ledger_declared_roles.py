"""What files beside a track state of AI's part: read back from what is written, and refused where it contradicts."""

import json
from pathlib import Path

import pytest

from ledger.ai_roles import ROLES
from ledger.errors import LedgerError, Malformed
from ledger.exchange.ddex import disclosure_xml
from ledger.exchange.declared_roles import stated_roles

MIXED = {
    "composition": "all",
    "lyrics": "none",
    "vocals": "partly",
    "instrumentation": "all",
    "post-production": "none",
}


@pytest.fixture
def track(tmp_path: Path) -> Path:
    file = tmp_path / "song.mid"
    file.write_bytes(b"MThd")
    return file


def _beside(track: Path, suffix: str, content: bytes) -> None:
    track.with_name(track.name + suffix).write_bytes(content)


def test_nothing_is_stated_where_nothing_lies(track: Path) -> None:
    assert stated_roles(track) == {}


@pytest.mark.parametrize("stated", [MIXED, dict.fromkeys(ROLES, "all"), {"lyrics": "none"}])
def test_ddex_is_read_as_it_was_written(track: Path, stated: dict[str, str]) -> None:
    _beside(track, ".ddex.xml", disclosure_xml(track, stated))
    assert stated_roles(track) == stated


def test_metadata_of_a_token_is_read(track: Path) -> None:
    _beside(track, ".nft.json", json.dumps({"name": "x", "ai_disclosure": {"vocals": "none"}}).encode())
    assert stated_roles(track) == {"vocals": "none"}
    _beside(track, ".nft.json", b'{"name": "x"}')
    assert stated_roles(track) == {}


def test_two_files_add_up_and_may_not_contradict(track: Path) -> None:
    _beside(track, ".nft.json", json.dumps({"ai_disclosure": {"vocals": "none", "lyrics": "none"}}).encode())
    _beside(track, ".ddex.xml", disclosure_xml(track, {"composition": "all", "lyrics": "none"}))
    assert stated_roles(track) == {"vocals": "none", "lyrics": "none", "composition": "all"}
    _beside(track, ".ddex.xml", disclosure_xml(track, {"composition": "all", "lyrics": "all"}))
    with pytest.raises(
        LedgerError, match=r"song\.mid\.ddex\.xml: AI lyrics is all, and song\.mid\.nft\.json says none"
    ):
        stated_roles(track)


@pytest.mark.parametrize(
    ("suffix", "content", "says"),
    [
        (".ddex.xml", b"hello", "is no XML"),
        (".ddex.xml", b'<?xml version="1.0" encoding="nonsense"?><SoundRecording/>', "is no XML"),
        (".ddex.xml", b"<Release/>", "begins with 'Release'; a SoundRecording is expected"),
        (".ddex.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><SoundRecording>&b;</SoundRecording>', "a document type"),
        (".ddex.xml", b"<SoundRecording><ContainsAI>Some</ContainsAI></SoundRecording>", "ContainsAI is 'Some'"),
        (".nft.json", b"[]", "ai_disclosure is no object"),
        (".nft.json", b'{"ai_disclosure": {"vocals": 3}}', "ai_disclosure is no object"),
        (".nft.json", b"{", "JSON"),
    ],
)
def test_damaged_files_are_named(track: Path, suffix: str, content: bytes, says: str) -> None:
    _beside(track, suffix, content)
    with pytest.raises(Malformed, match=rf"song\.mid{suffix}.*{says}"):
        stated_roles(track)

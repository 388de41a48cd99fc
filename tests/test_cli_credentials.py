"""`sign`, `verify`, `keys` and `export` as typed: credentials, their options, and every way to be refused."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cases.command import Ran, contraste, done, refused
from tests.cases.credentials import FILES

pytest.importorskip("c2pa")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONTRASTE_PASSWORD", "a password")
    monkeypatch.chdir(tmp_path)
    done("keys", "new", "keys")
    for kind, content in FILES.items():
        (tmp_path / f"song.{kind}").write_bytes(content())
    return tmp_path


def _links(ran: Ran) -> list[list[str]]:
    return [line.split()[:2] for line in ran.out.splitlines()[1:]]


def test_a_found_file_is_signed_verified_and_altered(place: Path) -> None:
    ran = done("sign", "song.wav", "song.mid", "--key", "keys")
    assert ran.out.split() == ["song.wav.sig", "song.mid.sig"]
    assert ran.err.splitlines() == ["song.wav: C2PA credential", "song.mid.c2pa: C2PA credential"]
    for name in ("song.wav", "song.mid"):
        assert ["ok", "credential"] in _links(done("verify", name))
    data = (place / "song.wav").read_bytes()
    (place / "song.wav").write_bytes(data[:2000] + b"\1" + data[2001:])
    ran = contraste("verify", "song.wav")
    assert ran.code == 1
    assert ["broken", "credential"] in _links(ran)
    (place / "song.wav").write_bytes(FILES["wav"]())
    ran = contraste("verify", "song.wav")
    assert ran.code == 1
    assert ["missing", "credential"] in _links(ran)
    assert "it was stripped" in ran.out


def test_a_track_elsewhere_needs_its_signers_key_or_authority(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done("sign", "song.flac", "--key", "keys")
    (place / "elsewhere").mkdir()
    shutil.copy("song.flac", "elsewhere")
    done("verify", "elsewhere/song.flac")  # the credential alone vouches for it
    monkeypatch.setenv("CONTRASTE_HOME", str(place / "other home"))
    ran = contraste("verify", "elsewhere/song.flac")
    assert ran.code == 4
    assert ["unchecked", "credential"] in _links(ran)
    assert "signer unknown" in ran.out
    for file in ("keys/public.pem", "keys/ca.pem"):
        done("verify", "elsewhere/song.flac", "--key", file)
    assert done("keys", "trust", "keys/ca.pem").out
    done("verify", "elsewhere/song.flac")


def test_what_is_no_music_and_what_was_not_asked_for(place: Path) -> None:
    (place / "text.txt").write_text("hello")
    assert done("sign", "text.txt", "--key", "keys").err == ""
    before = (place / "song.mp3").read_bytes()
    assert done("sign", "song.mp3", "--key", "keys", "--no-credential").err == ""
    assert (place / "song.mp3").read_bytes() == before
    ran = contraste("verify", "song.mp3")
    assert (ran.code, ["absent", "credential"] in _links(ran)) == (0, True)


def test_signing_is_refused_before_anything_changes(place: Path) -> None:
    before = {file: file.read_bytes() for file in place.glob("song.*")}
    (place / "bare").mkdir()
    shutil.copy("keys/private.p12", "bare")
    refused(contraste("sign", "song.wav", "--key", "bare"), 2, "certificate.pem", "contraste keys new")
    done("keys", "new", "others")
    words = ("sign", "song.wav", "--key", "keys")
    refused(contraste(*words, "--certificate", "others/certificate.pem"), 2, "not that of the signing key")
    refused(contraste(*words, "--certificate", "song.mid"), 2, "song.mid holds no PEM certificate")
    refused(contraste(*words, "--tsa", "http://127.0.0.1:1/"), 4, "http://127.0.0.1:1/ gave no time stamp for song.wav")
    refused(contraste(*words, "--tsa", "ftp://x/"), 4, "ftp://x/ gave no time stamp for song.wav")
    ran = contraste("sign", "song.wav", "song.mid", "--key", "keys", "--report", "song.ogg")
    assert ran.code == 2
    assert "a report is about one" in ran.err
    refused(contraste(*words, "--report", "none.json"), 3, "none.json")
    (place / "song.m4a").write_bytes(b"hello")
    before[place / "song.m4a"] = b"hello"
    refused(contraste("sign", "song.m4a", "--key", "keys"), 3, "song.m4a", "can't")
    (place / "song.wav.c2pa").write_bytes(b"junk")  # no matter: a WAV carries its own
    assert {file: file.read_bytes() for file in before} == before
    assert not list(place.glob("*.sig"))
    if os.geteuid():  # root may write anywhere
        place.chmod(0o500)
        refused(contraste(*words), 2, "cannot write song.wav")
        place.chmod(0o700)


def test_a_certificate_of_ones_own(place: Path) -> None:
    (place / "chain.pem").write_text((place / "keys/certificate.pem").read_text() + (place / "keys/ca.pem").read_text())
    words = ("--certificate", "chain.pem", "--source-type", "composite", "--mining", "allowed")
    done("sign", "song.mp3", "--key", "keys/private.p12", *words)
    assert b"compositeWithTrainedAlgorithmicMedia" in (place / "song.mp3").read_bytes()
    ran = contraste("sign", "song.mp3", "--key", "keys", "--source-type", "human")
    assert ran.code == 2
    assert "trained" in ran.err


def test_trust_is_not_given_to_just_any_certificate(place: Path) -> None:
    refused(contraste("keys", "trust", "keys/certificate.pem"), 2, "is no certificate authority")
    refused(contraste("verify", "song.wav", "--key", "keys/certificate.pem"), 2, "is no certificate authority")


@pytest.mark.parametrize("curve", ["P-384", "P-521"])
def test_keys_on_every_curve_give_credentials(place: Path, curve: str) -> None:
    done("keys", "new", "wide", "--curve", curve)
    done("sign", "song.wav", "--key", "wide")
    assert ["ok", "credential"] in _links(done("verify", "song.wav"))
    done("keys", "rotate", "next", "--key", "wide")
    done("sign", "song.mid", "--key", "next")
    assert ["ok", "credential"] in _links(done("verify", "song.mid"))


def test_one_revocation_list_is_for_statements_and_credentials(place: Path) -> None:
    done("sign", "song.wav", "--key", "keys")
    done("keys", "revoke", "--key", "keys", "--reason", "stolen", "--since", "2026-01-01T00:00:00Z")
    ran = contraste("verify", "song.wav")
    assert ran.code == 1
    assert [link for link in _links(ran) if link[0] == "broken"] == [["broken", "key"], ["broken", "credential"]]
    (place / "elsewhere").mkdir()
    shutil.copy("song.wav", "elsewhere")
    assert ["broken", "credential"] in _links(contraste("verify", "elsewhere/song.wav"))


def test_export(place: Path) -> None:
    refused(contraste("export", "none", "--format", "croissant", "--out", "x.json"), 3, "none")
    refused(contraste("export", "keys", "--format", "cyclonedx", "--out", "x.json"), 3, "is recorded as no model")
    refused(contraste("export", "song.mid", "--format", "cyclonedx", "--out", "x.json"), 3, "is not a folder")
    refused(contraste("export", "none.mid", "--format", "ddex", "--out", "x.xml"), 3, "none.mid", "no such file")
    refused(contraste("export", "song.mid", "--format", "ddex", "--out", "x.xml"), 2, "--ai ROLE=SHARE")
    words = ("export", "song.mid", "--format", "ddex", "--out", "x.xml", "--ai")
    refused(contraste(*words, "lyrics=much"), 2, "AI disclosure lyrics=much", "none, partly, all")
    refused(contraste(*words, "lyrics"), 2, "AI disclosure lyrics=")
    ran = contraste("export", "keys", "--format", "croissant", "--out", "x", "--ai", "lyrics=all")
    assert (ran.code, "only ddex" in ran.err) == (2, True)
    assert not list(place.glob("x*"))
    done(*words, "lyrics=all", "--ai", "vocals=none")
    assert "<ContainsAI>Partly</ContainsAI>" in (place / "x.xml").read_text()


def test_export_of_a_store(place: Path) -> None:
    done("ingest", "song.mid", "--into", "store", "--workers", 1)
    done("export", "store", "--format", "croissant", "--out", "store.json")
    assert json.loads((place / "store.json").read_text())["recordSet"][1]["data"][0]["pieces/path"] == "song.mid"

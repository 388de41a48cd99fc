"""`verify` and `ledger` as typed: what tampering does to each artefact, and the links that need a chain."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.command import NOBODY, contraste, done, refused
from tests.cases.house import House, altered, flip_middle, store_notes


def test_all_of_it_verifies(house: House) -> None:
    ran = done("verify", house / "store", house / "model", house.first, house.report)
    heads = [line for line in ran.out.splitlines() if not line.startswith(" ")]
    assert [head.rpartition(": ")[2] for head in heads] == ["ok"] * 4
    assert "simulated: an embedded chain on this machine" in ran.out


def later_block(data: bytes) -> bytes:
    value = json.loads(data)
    value["block"] += 1
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


TAMPERED: dict[str, tuple[Callable[[House], Path], Callable[[House], Path], str]] = {
    "a note of the store": (store_notes, lambda h: h / "store", "data set"),
    "a note of the track's store": (store_notes, lambda h: h.first, "data set"),
    "a weight": (lambda h: h / "model" / "model.safetensors", lambda h: h / "model", "model"),
    "a weight of the track's model": (lambda h: h / "model" / "model.safetensors", lambda h: h.first, "model"),
    "MIDI": (lambda h: h.first, lambda h: h.first, "track"),
    "sound": (lambda h: h.first.with_suffix(".wav"), lambda h: h.first, "track"),
    "record": (lambda h: Path(f"{h.first}.provenance.json"), lambda h: h.first, "track"),
    "report": (lambda h: h.report, lambda h: h.report, "report"),
    "the report's track": (lambda h: h.first, lambda h: h.report, "track"),
    "the report's policy": (lambda h: h.report.with_name("policy.toml"), lambda h: h.report, "report"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_altered_is_named(house: House, case: str) -> None:
    file, path, link = TAMPERED[case]
    with altered(file(house), flip_middle):
        ran = contraste("verify", path(house))
    assert ran.code == 1, ran
    head = ran.out.splitlines()[0]
    assert head.startswith(f"{path(house)}: broken at {link}"), ran.out
    broken = [line for line in ran.out.splitlines() if line.startswith("  broken")]
    assert any(link in line and file(house).name in line for line in broken), ran.out
    done("verify", path(house))


@pytest.mark.parametrize("name", ["store", "model", "tracks/track-0-1.mid", "reports/track-0-1/report.json"])
def test_altered_signatures_and_anchors_are_named(house: House, name: str) -> None:
    path = house / name
    for suffix, change, link in (
        (".sig", flip_middle, f"{name.rpartition('/')[2]}.sig"),
        (".anchor.json", later_block, "anchor"),
    ):
        with altered(Path(f"{path}{suffix}"), change):
            ran = contraste("verify", path)
        assert ran.code == 1, ran
        assert link in ran.out.splitlines()[0], ran.out


def test_an_altered_artefact_signed_again_still_breaks_what_was_made_from_it(house: House) -> None:
    model = house / "model"
    with altered(model / "model.safetensors", flip_middle):
        signatures = [Path(f"{model}{suffix}") for suffix in (".sig", ".run.sig")]
        before = [file.read_bytes() for file in signatures]
        done("sign", model, "--key", house / "keys")
        ran = contraste("verify", house.first)
        for file, data in zip(signatures, before, strict=True):
            file.write_bytes(data)
    again = contraste("verify", house.first)  # all is as it was before, and an older state was put back
    assert (again.code, "the older state was put back" in again.out) == (4, True)
    done("sign", model, "--key", house / "keys")
    assert [file.read_bytes() for file in signatures] == before
    done("verify", house.first)
    assert ran.code == 1
    assert "broken at model" in ran.out.splitlines()[0]
    assert "changed and signed again" in ran.out


def test_a_strangers_signature_counts_only_where_the_key_is_given(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
        done("keys", "new", tmp_path / "stranger")
        done("sign", track, "--key", tmp_path / "stranger")
    ran = contraste("verify", track)
    assert ran.code == 1
    assert "clean.mid.sig" in ran.out
    assert "trusted" in ran.out
    words = ("audit", track, "--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    ran = contraste(*words)
    assert ran.code == 1
    assert "provenance breaks at track" in ran.out
    refused(contraste("anchor", track), 1, "clean.mid.sig")
    public = ("--key", tmp_path / "stranger" / "public.pem")
    done("verify", track, *public)
    done(*words, *public)


def test_what_is_not_there_or_not_signed(house: House, tmp_path: Path) -> None:
    refused(contraste("verify", tmp_path / "none"), 3, "does not exist")
    refused(contraste("anchor", tmp_path / "none"), 3, "does not exist")
    refused(contraste("anchor", house / "clean.mid"), 4, "not signed")
    refused(contraste("mint", house / "clean.mid"), 4, "not signed")
    ran = contraste("verify", house / "clean.mid")
    assert ran.code == 4
    assert "missing    file" in ran.out


def test_a_chain_that_does_not_answer_is_4(house: House, tmp_path: Path) -> None:
    ran = contraste("verify", house / "store", "--rpc", NOBODY)
    assert ran.code == 4
    assert "incomplete at anchor" in ran.out
    assert "did not answer" in ran.out
    refused(contraste("anchor", house / "store", "--rpc", NOBODY), 4, "127.0.0.1:9 did not answer")
    ran = contraste("verify", house / "store", "--chain-dir", tmp_path)
    assert ran.code == 4
    assert "there is no embedded chain at" in ran.out


def test_verify_prints_json(house: House, tmp_path: Path) -> None:
    ran = done("verify", "--json", house.first, house / "store")
    first, store = json.loads(ran.out)
    assert (first["verdict"], first["fault"], store["store"]) == ("ok", None, "ok")
    assert {"name", "subject", "verdict", "code", "detail", "needs_chain"} == set(first["links"][0])
    assert first["links"][-1]["name"] == "log"
    with altered(house.first, flip_middle):
        ran = contraste("verify", "--json", house.first)
    (found,) = json.loads(ran.out)
    assert ran.code == 1
    assert found["links"][found["fault"]]["code"] == "content-changed"


def test_offline_names_the_links_that_need_a_chain(house: House) -> None:
    ran = contraste("verify", "--offline", house.first)
    assert ran.code == 4
    first = house.first.name
    token = f"token of {first}, " if (house.first.parent / f"{first}.token.json").exists() else ""  # once it is minted
    assert f"only a chain can tell: anchor of {first}, {token}anchor of model, anchor of store" in ran.out
    refused(contraste("verify", "--offline", house.first, "--rpc", NOBODY), 2, "--offline asks no chain")


def test_a_signature_elsewhere_and_names_to_leave_out(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "w").write_bytes(b"w")
    done("sign", folder, "--key", house / "keys", "--shard-size", 1)
    sig = (tmp_path / "m.sig").rename(tmp_path / "elsewhere.sig")
    assert contraste("verify", folder).code == 4
    assert "1 shard as signed" in done("verify", folder, "--signature", sig).out
    (folder / "notes.txt").write_bytes(b"n")
    assert contraste("verify", folder, "--signature", sig).code == 1
    ran = done("verify", folder, "--signature", sig, "--ignore", "notes.txt")
    assert "leaves out notes.txt" in ran.out
    assert contraste("verify", folder, "--signature", sig, "--ignore", "notes.txt", "--strict").code == 1
    refused(contraste("verify", folder, house / "store", "--signature", sig), 2, "exactly one path")
    refused(contraste("verify", folder, "--signature", sig, "--ignore", "../x"), 2, "--ignore", "relative POSIX path")


def test_verify_says_what_is_assured_and_reads_every_byte(house: House, tmp_path: Path) -> None:
    from ledger.hashes.hashcache import HashCache, state_of
    from ledger.paths import data_folder
    from ledger.provenance.record import digest_of

    file = tmp_path / "x.bin"
    file.write_bytes(b"as signed")
    done("sign", file, "--key", house / "keys")
    own = done("keys", "list").out[:16]
    ran = done("verify", file)
    assert f"  assured    file x.bin by key {own}...; since when, only the signer says\n" in ran.out
    assert json.loads(done("verify", "--json", file).out)[0]["assured"] == [
        {"name": "file", "subject": str(file), "signer": f"key {own}...", "since": None}
    ]
    assert done("verify", "--short", file).out == f"{file}: ok\n"
    good = digest_of(file)
    file.write_bytes(b"altered..")
    # What a process could do that mapped the file before it was hashed: other bytes, and no change of any time.
    os.utime(file, (1_000_000_000, 1_000_000_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.hashes.hashcache.SETTLING_NS", 0)
        HashCache(data_folder() / "hashes.sqlite").save(tmp_path / "x.bin", {(".", 0, -1): (state_of(file), good)}, [])
    assert contraste("verify", file).code == 1
    assert contraste("verify", file, "--no-cache").code == 1
    assert contraste("verify", file, "--cache").code == 0  # who asks for it believes it


def test_the_exceptions_from_missing_is_not_ok_are_named(house: House, tmp_path: Path) -> None:
    file = shutil.copy(house / "clean.mid", tmp_path)
    assert contraste("verify", file).code == 4
    assert "absent     file" in done("verify", file, "--allow-unsigned").out
    done("sign", file, "--key", house / "keys")
    done("verify", file)
    ran = contraste("verify", file, "--require-anchor")
    assert (ran.code, "incomplete at anchor: not anchored" in ran.out) == (4, True)
    done("verify", house.report, "--track", house.first)
    ran = contraste("verify", house.report, "--track", file)
    assert (ran.code, "it is not about" in ran.out) == (1, True)
    refused(contraste("verify", house.report, file, "--track", file), 2, "exactly one path")


def test_the_ledger_shows_statements_and_the_log(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    assert done("ledger", "log").out == ""
    done("keys", "new", tmp_path / "keys")
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        done("sign", tmp_path / name, "--key", tmp_path / "keys")
    ran = done("ledger", "log")
    *lines, state = ran.out.splitlines()
    assert [line.split()[-1] for line in lines] == ["a", "b", "c"]
    done("sign", tmp_path / "a", "--key", tmp_path / "keys")
    assert "begin with the older ones" in done("ledger", "log", "--since", state).err
    assert json.loads(done("ledger", "log", "--since", state, "--json").out)["consistency"]
    refused(contraste("ledger", "log", "--since", state[:-1] + ("0" if state[-1] != "0" else "1")), 1, "as it was")
    refused(contraste("ledger", "log", "--since", "x"), 2, "SIZE:ROOT")
    (item,) = json.loads(done("ledger", "show", tmp_path / "b", "--json").out)
    assert item["statement"]["predicateType"] == "https://model_signing/signature/v1.0"
    assert (item["log"]["position"], item["log"]["size"], len(item["log"]["proof"])) == (1, 4, 2)
    assert "log      entry 2 of 4" in done("ledger", "show", tmp_path / "b").out
    refused(contraste("ledger", "show", house / "text.txt"), 4, "not signed")
    (tmp_path / "home" / "log.sqlite").write_bytes(b"junk" * 1000)
    refused(contraste("ledger", "log"), 1, "the log is damaged")


def test_a_trained_model_and_a_track_carry_slsa_provenance(house: House) -> None:
    shown = json.loads(done("ledger", "show", house / "model", "--json").out)
    run = next(item for item in shown if item["file"].endswith("model.run.sig"))["statement"]["predicate"]
    build = run["buildDefinition"]
    assert build["buildType"] == "https://contraste.dev/training/v1"
    assert build["externalParameters"]["seed"] == 0
    assert build["internalParameters"]["device"].startswith(("cpu", "cuda"))
    assert {"contraste", "python", "torch"} <= set(run["runDetails"]["builder"]["version"])
    assert [item["annotations"]["kind"] for item in build["resolvedDependencies"]] == ["dataset"]
    (shown,) = json.loads(done("ledger", "show", house.first, "--json").out)
    assert shown["statement"]["predicate"]["buildDefinition"]["buildType"] == "https://contraste.dev/generation/v1"
    (shown,) = json.loads(done("ledger", "show", house.report, "--json").out)
    said = json.loads(house.report.read_bytes())
    told = shown["statement"]["predicate"]["parameters"]
    place = {"folder": "track-0-1", "index": True}
    assert told == {"outcome": said["outcome"], "sentence": said["sentence"], "files": told["files"], **place}
    assert set(told["files"]) == {"report.json", "report.html", "policy.toml"}
    assert told["files"]["report.json"] == hashlib.sha256(house.report.read_bytes()).hexdigest()

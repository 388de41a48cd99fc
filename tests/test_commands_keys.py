"""`keys` as typed: new, trust, rotate, revoke, bind and list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cases.command import NOBODY, contraste, done, refused
from tests.cases.house import House


def test_keys(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(contraste("keys", "new", house / "keys"), 2, "private.p12 exists already", "never overwritten")
    refused(contraste("keys", "new", house / "text.txt" / "k"), 2, "cannot make the folder")
    refused(contraste("keys", "trust", house / "text.txt"), 2, "not a PEM public key")
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    assert done("keys", "list").out == ""
    made = done("keys", "new", tmp_path / "keys").out
    assert (tmp_path / "keys" / "private.p12").stat().st_mode & 0o777 == 0o600
    trusted = done("keys", "trust", house / "keys").out
    assert done("keys", "list").out.splitlines() == sorted([made.strip(), trusted.strip()])
    monkeypatch.setenv("CONTRASTE_PASSWORD", "")
    refused(contraste("keys", "new", tmp_path / "more"), 2, "the password is empty")


def test_keys_rotate_are_revoked_and_listed(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    old = done("keys", "new", tmp_path / "old", "--curve", "P-384").out.strip()
    track = Path(shutil.copy(house / "clean.mid", tmp_path))
    done("sign", track, "--key", tmp_path / "old")
    done("verify", track)
    ran = done("keys", "rotate", tmp_path / "new", "--key", tmp_path / "old")
    new = ran.out.strip()
    assert "rotation.sig" in ran.err
    refused(
        contraste("keys", "revoke", old, "--key", tmp_path / "new", "--since", "yesterday"), 2, "--since", "'yesterday'"
    )
    refused(contraste("keys", "revoke", "x", "--key", tmp_path / "new"), 2, "key id: 'x' is not")
    out = tmp_path / "revocations.sig"
    words = ("keys", "revoke", old, "--key", tmp_path / "new", "--reason", "stolen", "--out", out)
    assert done(*words, "--since", "2026-01-01T00:00:00Z").out == f"{out}\n"
    listed = done("keys", "list").out
    assert f"{old}  revoked since 2026-01-01T00:00:00Z: stolen" in listed
    ran = contraste("verify", track)
    assert ran.code == 1
    assert f"{track}: broken at key: the key {old[:16]}" in ran.out
    refused(contraste("anchor", track), 1, "is revoked since")
    # Somebody else, who trusts the old key only:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "elsewhere"))
    done("keys", "trust", tmp_path / "old")
    done("verify", track)
    refused(contraste("keys", "trust", out), 1, "not trusted here")
    assert done("keys", "trust", tmp_path / "new" / "rotation.sig").out.strip() == new
    assert "1 revocations by" in done("keys", "trust", out).out
    assert contraste("verify", track).code == 1
    assert done("keys", "list").out.count("\n") == 2


@pytest.mark.usefixtures("house")
def test_a_key_and_an_account_are_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ledger.chains.account.SCRYPT_N", 1024)
    identity, address = done("keys", "new", tmp_path / "k", "--account").out.split()
    keystore, out = tmp_path / "k" / "account.json", tmp_path / "account.sig"
    done("keys", "bind", "--key", tmp_path / "k", "--account", keystore, "--out", out)
    assert done("keys", "list").out == f"{identity}  account {address}\n"
    assert done("keys", "trust", out).out == f"{address} is the account of {identity}\n"
    refused(contraste("anchor", keystore, "--account", keystore), 2, "--account pays for --rpc")
    monkeypatch.setenv("CONTRASTE_PASSWORD", "wrong")
    refused(contraste("anchor", keystore, "--account", keystore, "--rpc", NOBODY), 2, "account.json does not open")
    refused(contraste("keys", "bind", "--key", tmp_path / "k", "--account", keystore), 2, "private.p12")

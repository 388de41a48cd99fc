"""`sign` and `contribution` as typed: passwords, certificates, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from tests.cases.command import contraste, done, refused
from tests.cases.house import House, signed_copy


def test_a_file_of_a_name_that_is_not_utf8_is_not_signed(house: House, tmp_path: Path) -> None:
    bad = tmp_path / os.fsdecode(b"b_\xe9.mid")
    bad.write_bytes((house / "clean.mid").read_bytes())
    ran = contraste("sign", bad, "--key", house / "keys")
    assert (ran.code, "is not UTF-8" in ran.err) == (3, True)
    assert list(tmp_path.iterdir()) == [bad]


def test_bad_words_for_sign(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    refused(contraste("sign", tmp_path / "none", "--key", house / "keys"), 3, "none")
    refused(contraste("sign", track, "--key", house / "empty"), 2, "private.p12", "contraste keys new")
    refused(contraste("sign", track, "--key", house / "text.txt"), 2, "text.txt does not open")
    monkeypatch.setenv("CONTRASTE_PASSWORD", "another")
    refused(contraste("sign", track, "--key", house / "keys"), 2, "private.p12", "check the password")
    assert not list(tmp_path.glob("*.sig"))


def test_without_a_terminal_no_password_is_asked_for(house: House) -> None:
    """In a session of its own, without a terminal: exit 2, and one line."""
    environment = {name: value for name, value in os.environ.items() if name != "CONTRASTE_PASSWORD"}
    program = "import sys, cli; sys.argv = ['contraste', 'sign', sys.argv[1], '--key', sys.argv[2]]; cli.main()"
    for stdin in (subprocess.DEVNULL, subprocess.PIPE):
        ran = subprocess.run(
            [sys.executable, "-c", program, house / "clean.mid", house / "keys"], stdin=stdin, capture_output=True,
            text=True, check=False, start_new_session=True, cwd=Path(cli.__file__).parent, env=environment,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (2, ""), ran
        assert ran.stderr.startswith("contraste: a password is needed, and there is no terminal"), ran.stderr
        assert "Warning" not in ran.stderr


def test_a_password_comes_from_a_file_descriptor(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    password = os.environ["CONTRASTE_PASSWORD"]
    monkeypatch.setenv("CONTRASTE_PASSWORD", "wrong")
    words = ("sign", track, "--key", house / "keys", "--password-fd")
    for text, code in ((f"{password}\nmore", 0), ("other\n", 2), ("", 2)):
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        assert contraste(*words, reader).code == code
        os.close(reader)
    refused(contraste(*words, 987), 2, "--password-fd 987", "no password can be read there")


def test_signing_by_certificate(house: House, tmp_path: Path) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    words: tuple[object, ...] = ("sign", track, "--key", house / "keys", "--certificate")
    refused(contraste(*words, house / "text.txt"), 2, "text.txt holds no PEM certificates")
    refused(contraste(*words, tmp_path / "none"), 2, "none")
    assert not list(tmp_path.glob("*.sig"))
    key, root = tmp_path / "key.pem", tmp_path / "root.pem"
    encrypted = ["-passout", f"pass:{os.environ['CONTRASTE_PASSWORD']}"]
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "9"]
    extensions = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    command = [*openssl, "-subj", "/CN=Our Label", *extensions, *encrypted, "-keyout", str(key), "-out", str(root)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl command")
    key.chmod(0o600)
    words = ("sign", track, "--key", key, "--certificate", root)
    refused(contraste(*words), 2, "self-signed", "--no-credential")  # C2PA wants an authority above the signer
    assert not list(tmp_path.glob("*.sig"))
    done(*words, "--no-credential")
    ran = contraste("verify", track)
    assert ran.code == 1
    assert "no certificate authority is trusted here" in ran.out
    assert "content as signed by CN=Our Label" in done("verify", track, "--key", root).out


def test_contributions_are_noted_signed_and_verified(house: House, tmp_path: Path) -> None:
    track = signed_copy(house, tmp_path)
    words = ("contribution", "add", track, "--text", "the second of eight", "--author", "A. Composer", "--kind")
    assert "no contributions to" in done("contribution", "list", track).err
    refused(contraste("contribution", "list", tmp_path / "no"), 3, "no such file")
    assert done(*words, "selection").out == f"{track}.contributions.json\n"
    refused(contraste(*words, "magic"), 2, "--kind", "'magic' is not one of")
    before = Path(f"{track}.contributions.json").read_bytes()
    Path(f"{track}.contributions.json").write_bytes(b"{")
    refused(contraste(*words, "edit"), 3, "not valid JSON")
    Path(f"{track}.contributions.json").write_bytes(before)
    refused(contraste("contribution", "add", tmp_path / "no", "--kind", "edit", "--text", "x"), 3, "no such file")
    assert "selection  A. Composer: the second of eight" in done("contribution", "list", track).out
    ran = contraste("verify", track)
    assert ran.code == 4
    assert "incomplete at contributions" in ran.out
    done("sign", track, "--key", house / "keys")
    assert "1 selection; as signed" in done("verify", track).out

"""Keys on disk and trusted keys."""

import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from ledger import keys
from ledger.errors import KeyUnusable


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _p12(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", key, None, None, encryption)


def test_created_keys_load_are_private_and_trusted(tmp_path):
    identifier = keys.create_keys(tmp_path / "k", "secret \u00e9")
    assert (tmp_path / "k" / "private.p12").stat().st_mode & 0o777 == 0o600
    private = keys.load_private(tmp_path / "k", "secret \u00e9")
    public = keys.load_public(tmp_path / "k")
    assert keys.key_id(private.public_key()) == keys.key_id(public) == identifier
    assert keys.load_private(tmp_path / "k" / "private.p12", "secret \u00e9").key_size == 256
    assert list(keys.trusted_keys()) == [identifier]


def test_the_file_has_600_000_rounds_by_the_account_of_openssl(tmp_path):
    keys.create_keys(tmp_path, "secret")
    command = [
        "openssl",
        "pkcs12",
        "-in",
        tmp_path / "private.p12",
        "-info",
        "-noout",
        "-passin",
        "pass:secret",
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    except FileNotFoundError:
        pytest.skip("no openssl command")
    assert "Iteration 600000" in answer
    assert "AES-256-CBC" in answer


def test_keys_are_never_overwritten(tmp_path):
    keys.create_keys(tmp_path, "one")
    before = (tmp_path / "private.p12").read_bytes()
    with pytest.raises(KeyUnusable, match=r"private\.p12 exists already"):
        keys.create_keys(tmp_path, "two")
    assert (tmp_path / "private.p12").read_bytes() == before


def test_an_empty_password_is_refused(tmp_path):
    with pytest.raises(KeyUnusable, match="password is empty"):
        keys.create_keys(tmp_path / "k", "")
    assert not (tmp_path / "k").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not open"),
        (b"junk", "does not open"),
        (_p12(ec.generate_private_key(ec.SECP256R1())), "not encrypted"),
        (_p12(ec.generate_private_key(ec.SECP384R1()), b"pw"), "no P-256 key"),
        (_p12(ec.generate_private_key(ec.SECP256K1()), b"pw"), "no P-256 key|does not open"),
        (_p12(rsa.generate_private_key(65537, 2048), b"pw"), "no P-256 key"),
        (_p12(ec.generate_private_key(ec.SECP256R1()), b"other"), "check the password"),
    ],
    ids=["empty", "junk", "unencrypted", "p384", "secp256k1", "rsa", "password"],
)
def test_unusable_private_keys_say_why(tmp_path, data, message):
    (tmp_path / "private.p12").write_bytes(data)
    with pytest.raises(KeyUnusable, match=message):
        keys.load_private(tmp_path, "pw")


def test_absent_and_foreign_public_keys_say_why(tmp_path):
    with pytest.raises(KeyUnusable, match="contraste keys new"):
        keys.load_public(tmp_path / "public.pem")
    with pytest.raises(KeyUnusable, match="No such file"):
        keys.load_private(tmp_path / "private.p12", "pw")
    (tmp_path / "public.pem").write_bytes(b"junk")
    with pytest.raises(KeyUnusable, match="not a PEM public key"):
        keys.load_public(tmp_path)
    (tmp_path / "public.pem").write_bytes(keys.public_pem(ec.generate_private_key(ec.SECP384R1()).public_key()))
    with pytest.raises(KeyUnusable, match="not a P-256 key"):
        keys.load_public(tmp_path)


def test_trust_adds_a_stranger(home):
    assert keys.trusted_keys() == {}
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    identifier = keys.trust(stranger)
    assert keys.trust(stranger) == identifier
    assert list(keys.trusted_keys()) == [identifier]
    (home / "trusted" / "bad.pem").write_bytes(b"junk")
    with pytest.raises(KeyUnusable, match=r"bad\.pem"):
        keys.trusted_keys()

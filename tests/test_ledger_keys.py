"""Private keys on disk and in hardware, trusted keys and authorities, rotation, revocation, accounts."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from ledger.chains import account
from ledger.errors import KeyRevoked, KeyUnusable, Malformed, SignatureInvalid, SignerUnknown
from ledger.hashes.digest import hash_bytes
from ledger.hashes.manifest import Manifest
from ledger.signing import keyring, keys, signer
from ledger.signing.envelope import Envelope, sign_statement
from ledger.signing.predicates import content_statement
from ledger.signing.statement import Origin, Statement
from ledger.signing.trust import Revocation, Trust, verify_envelope

NOW = datetime.now(UTC).replace(microsecond=0)
STATEMENT = content_statement("m", Manifest({"a": hash_bytes(b"a")}), Origin("model"))


def _load(path, password="pw", certificate=None):
    return signer.load_signer(path, lambda: password, certificate)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _p12(key, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", key, None, None, encryption)


@pytest.fixture
def make(tmp_path):
    """Return a function that makes and trusts a key in a folder, and gives its signer and id."""

    def made(name):
        identifier = keyring.trust_key(signer.create_keys(tmp_path / name, "pw"))
        return _load(tmp_path / name), identifier

    return made


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_created_keys_load_and_are_private(tmp_path, curve):
    made = signer.create_keys(tmp_path / "k", "secret \u00e9", curve)
    assert (tmp_path / "k" / "private.p12").stat().st_mode & 0o777 == 0o600
    public = keys.load_public(tmp_path / "k")
    assert public == made == _load(tmp_path / "k", "secret \u00e9").key.public_key()
    assert keys.key_id(public) == hash_bytes((tmp_path / "k" / "public.pem").read_bytes()).hex
    assert f"P-{public.key_size}" == curve
    assert _load(tmp_path / "k" / "private.p12", "secret \u00e9").key.key_size == public.key_size


def test_the_file_has_600_000_rounds_by_the_account_of_openssl(tmp_path):
    signer.create_keys(tmp_path, "secret")
    command = ["openssl", "pkcs12", "-in", tmp_path / "private.p12", "-info", "-noout", "-passin", "pass:secret"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    except FileNotFoundError:
        pytest.skip("no openssl command")
    assert "Iteration 600000" in answer
    assert "AES-256-CBC" in answer


def test_keys_are_never_overwritten(tmp_path):
    signer.create_keys(tmp_path, "one")
    before = (tmp_path / "private.p12").read_bytes()
    with pytest.raises(KeyUnusable, match=r"private\.p12 exists already"):
        signer.create_keys(tmp_path, "two")
    assert (tmp_path / "private.p12").read_bytes() == before


def test_an_empty_password_and_other_curves_are_refused(tmp_path):
    with pytest.raises(KeyUnusable, match="password is empty"):
        signer.create_keys(tmp_path / "k", "")
    with pytest.raises(KeyUnusable, match="'secp256k1' is not one of P-256"):
        signer.create_keys(tmp_path / "k", "pw", "secp256k1")
    assert not (tmp_path / "k").exists()


def _pem(key, password=b"pw"):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not open"),
        (b"junk", "does not open"),
        (_p12(ec.generate_private_key(ec.SECP256R1())), "not encrypted"),
        (_p12(ec.generate_private_key(ec.SECP256K1()), b"pw"), "secp256k1 is not a key on one of the curves"),
        (_p12(rsa.generate_private_key(65537, 2048), b"pw"), "RSAPrivateKey, no elliptic curve key"),
        (_p12(ec.generate_private_key(ec.SECP256R1()), b"other"), "check the password"),
        (_pem(ec.generate_private_key(ec.SECP256R1()), None), "not encrypted"),
        (_pem(ec.generate_private_key(ec.SECP256R1()), b"other"), "check the password"),
        (_pem(ed25519.Ed25519PrivateKey.generate()), "Ed25519PrivateKey, no elliptic curve key"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "does not open|no PEM"),
        (b"-----BEGIN PRIVATE KEY-----\ngarbage\n", "no PEM private key"),
        (keys.public_pem(ec.generate_private_key(ec.SECP256R1()).public_key()), "no PEM private key"),
    ],
    ids=[
        "empty", "junk", "unencrypted", "secp256k1", "rsa", "password", "pem unencrypted", "pem password", "ed25519",
        "pem garbage", "pem cut", "public",
    ],
)  # fmt: skip
def test_unusable_private_keys_say_why(tmp_path, data, message):
    file = tmp_path / "private.p12"
    file.write_bytes(data)
    file.chmod(0o600)
    with pytest.raises(KeyUnusable, match=message) as caught:
        _load(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    signer.create_keys(tmp_path, "pw")
    (tmp_path / "private.p12").chmod(mode)
    with pytest.raises(KeyUnusable, match=f"can be read by others \\(mode {mode:04o}\\).*chmod 600"):
        _load(tmp_path)


def test_pkcs8_of_openssl_is_read(tmp_path):
    file = tmp_path / "key.pem"
    for words in (["-scrypt"], ["-iter", "600000"]):
        text = _pem(ec.generate_private_key(ec.SECP384R1()), None)
        command = ["openssl", "pkcs8", "-topk8", *words, "-passout", "pass:pw", "-out", str(file)]
        try:
            subprocess.run(command, input=text, check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip("no openssl command")
        file.chmod(0o600)
        assert _load(file).key.key_size == 384


def test_absent_and_foreign_public_keys_say_why(tmp_path):
    with pytest.raises(KeyUnusable, match="contraste keys new"):
        keys.load_public(tmp_path / "public.pem")
    with pytest.raises(KeyUnusable, match="No such file"):
        _load(tmp_path / "private.p12")
    for data in (b"junk", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        (tmp_path / "public.pem").write_bytes(data)
        with pytest.raises(KeyUnusable, match="not a PEM public key"):
            keys.load_public(tmp_path)
    (tmp_path / "public.pem").write_bytes(keys.public_pem(ec.generate_private_key(ec.SECP256K1()).public_key()))
    with pytest.raises(KeyUnusable, match="secp256k1 is not a key"):
        keys.load_public(tmp_path)


def test_trust_adds_a_stranger(home):
    assert dict(keyring.trusted_keys()) == {}
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    identifier = keyring.trust_key(stranger)
    assert keyring.trust_key(stranger) == identifier
    assert list(keyring.trusted_keys()) == [identifier]
    (home / "trusted" / "bad.pem").write_bytes(b"junk")
    with pytest.raises(KeyUnusable, match=r"bad\.pem"):
        keyring.trusted_keys()


# Certificates


def certificate(subject, key, issuer, issuer_key, *, ca=False, start=-1, end=1, usage=True):
    """Return a certificate, valid from `start` to `end` days from now."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    builder = (
        x509.CertificateBuilder(*reversed(names), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=start))
        .not_valid_after(NOW + timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if usage:
        signs, certifies = not ca, ca
        flags = (signs, False, False, False, False, certifies, certifies, False, False)
        builder = builder.add_extension(x509.KeyUsage(*flags), critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


ROOT_KEY, MIDDLE_KEY, LEAF_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
ROOT = certificate("root", ROOT_KEY, "root", ROOT_KEY, ca=True, start=-100, end=100)
MIDDLE = certificate("middle", MIDDLE_KEY, "root", ROOT_KEY, ca=True, start=-100, end=100)
LEAF = certificate("leaf", LEAF_KEY, "middle", MIDDLE_KEY)


def _signed_by(*chain, key=LEAF_KEY):
    return Envelope.from_bytes(sign_statement(STATEMENT, key, chain).to_bytes())


def test_a_chain_to_a_trusted_root_is_enough():
    envelope = _signed_by(LEAF, MIDDLE)
    assert verify_envelope(envelope, Trust({}, (ROOT,))) == STATEMENT
    assert verify_envelope(envelope, Trust({envelope.keyid: LEAF_KEY.public_key()})) == STATEMENT


@pytest.mark.parametrize(
    ("chain", "roots", "error", "message"),
    [
        ((LEAF, MIDDLE), (), SignerUnknown, "no certificate authority is trusted"),
        ((LEAF,), (ROOT,), SignerUnknown, "does not lead to a trusted authority"),
        ((LEAF, MIDDLE), (certificate("root", LEAF_KEY, "root", LEAF_KEY, ca=True),), SignerUnknown, "not lead"),
        ((certificate("leaf", LEAF_KEY, "leaf", LEAF_KEY),), (ROOT,), SignerUnknown, "not lead"),
        (
            (certificate("x", LEAF_KEY, "leaf", MIDDLE_KEY), certificate("leaf", MIDDLE_KEY, "root", ROOT_KEY)),
            (ROOT,), SignerUnknown, "not lead",
        ),
        ((certificate("leaf", LEAF_KEY, "root", ROOT_KEY, usage=False),), (ROOT,), SignerUnknown, "not for signatures"),
        ((certificate("leaf", LEAF_KEY, "root", ROOT_KEY, start=-9, end=-8),), (ROOT,), KeyRevoked, "valid from"),
        ((certificate("leaf", LEAF_KEY, "root", ROOT_KEY, start=1, end=2),), (ROOT,), KeyRevoked, "valid from"),
    ],
    ids=["no root", "no middle", "other root", "self-signed", "leaf as authority", "usage", "expired", "early"],
)  # fmt: skip
def test_chains_that_do_not_hold_are_refused(chain, roots, error, message):
    with pytest.raises(error, match=message):
        verify_envelope(_signed_by(*chain), Trust({}, roots))


def test_an_expired_certificate_counts_for_what_is_known_to_be_older():
    old = certificate("leaf", LEAF_KEY, "root", ROOT_KEY, start=-9, end=-7)
    envelope, trust = _signed_by(old), Trust({}, (ROOT,))
    assert verify_envelope(envelope, trust, at=NOW - timedelta(days=8)) == STATEMENT
    assert verify_envelope(envelope, trust, timeless=True) == STATEMENT
    with pytest.raises(KeyRevoked, match="nothing trusted shows"):
        verify_envelope(envelope, trust, at=NOW - timedelta(days=3))


def test_a_chain_goes_with_its_key_and_comes_out_of_pkcs12(tmp_path):
    file = tmp_path / "chain.pem"
    file.write_bytes(b"".join(item.public_bytes(serialization.Encoding.PEM) for item in (LEAF, MIDDLE)))
    signer.create_keys(tmp_path / "k", "pw")
    with pytest.raises(KeyUnusable, match="first certificate is not that of the signing key"):
        _load(tmp_path / "k", certificate=file)
    p12 = tmp_path / "both.p12"
    encryption = serialization.BestAvailableEncryption(b"pw")
    p12.write_bytes(pkcs12.serialize_key_and_certificates(b"x", LEAF_KEY, LEAF, [MIDDLE], encryption))
    p12.chmod(0o600)
    assert _load(p12).certificates == (LEAF, MIDDLE)
    for data in (b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        file.write_bytes(data)
        with pytest.raises(KeyUnusable, match="holds no PEM certificates"):
            _load(tmp_path / "k", certificate=file)


def test_authorities_are_taken_in_and_leaves_are_not(tmp_path):
    file = tmp_path / "root.pem"
    file.write_bytes(ROOT.public_bytes(serialization.Encoding.PEM))
    assert keyring.import_trusted(file) == "1 certificate authorities"
    assert keyring.trusted_keys().roots == (ROOT,)
    assert keyring.with_files(Trust({}), [file]).roots == (ROOT,)
    file.write_bytes(LEAF.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(KeyUnusable, match="'CN=leaf' is no certificate authority"):
        keyring.import_trusted(file)


# Rotation and revocation


def _sig(path, envelope):
    path.write_bytes(envelope.to_bytes())
    return path


def test_who_trusts_the_old_key_may_trust_its_successor(make, home, tmp_path):
    old, _ = make("old")
    new = signer.create_keys(tmp_path / "new", "pw")
    file = _sig(tmp_path / "rotation.sig", keyring.rotate(old, new))
    assert keyring.import_trusted(file) == keys.key_id(new)
    assert keys.key_id(new) in keyring.trusted_keys()
    shutil.rmtree(home)
    with pytest.raises(SignerUnknown):
        keyring.import_trusted(file)


def test_a_revoked_key_names_no_successor(make, tmp_path):
    old, identifier = make("old")
    file = _sig(tmp_path / "rotation.sig", keyring.rotate(old, signer.create_keys(tmp_path / "new", "pw")))
    keyring.revoke(old, identifier, since=NOW - timedelta(days=1), reason="stolen")
    with pytest.raises(KeyRevoked, match="stolen"):
        keyring.import_trusted(file)


def test_revoked_since_asks_for_a_time_that_others_vouch_for(make):
    mine, identifier = make("k")
    envelope = sign_statement(STATEMENT, mine.key)
    keyring.revoke(mine, identifier, since=NOW, reason="stolen")
    trust = keyring.trusted_keys()
    assert trust.revoked == {identifier: Revocation(identifier, NOW, "stolen")}
    assert verify_envelope(envelope, trust, at=NOW - timedelta(seconds=1)) == STATEMENT
    for at in (None, NOW, NOW + timedelta(days=1)):
        with pytest.raises(KeyRevoked, match=r"is revoked since .* \(stolen\)"):
            verify_envelope(envelope, trust, at=at)


def test_lists_only_grow_and_the_earliest_time_counts(make, home, tmp_path):
    mine, identifier = make("k")
    first = keyring.revoke(mine, identifier, since=NOW, reason="one")
    second = keyring.revoke(mine, identifier, since=NOW - timedelta(days=2), reason="two")
    keyring.revoke(mine, identifier, since=NOW + timedelta(days=9), reason="three")
    assert keyring.trusted_keys().revoked[identifier].reason == "two"
    with pytest.raises(Malformed, match="does not begin with the 3 entries"):
        keyring.import_trusted(_sig(tmp_path / "first.sig", first))
    (home / "revoked" / f"{identifier}.sig").unlink()
    for envelope in (first, second):
        keyring.import_trusted(_sig(tmp_path / "list.sig", envelope))
    assert len(keyring.trusted_keys().revoked) == 1


def test_only_a_key_itself_or_its_successor_revokes(make, tmp_path):
    (old, old_id), (new, new_id), (third, _) = make("old"), make("new"), make("third")
    with pytest.raises(SignatureInvalid, match="only a key itself, or the successor"):
        keyring.revoke(third, old_id, since=NOW, reason="spite")
    rotation = keyring.rotate(old, new.key.public_key())
    with pytest.raises(SignatureInvalid, match="another successor"):
        keyring.revoke(third, old_id, since=NOW, reason="spite", rotation=rotation)
    with pytest.raises(SignatureInvalid, match="not by that key"):
        keyring.revoke(new, keys.key_id(third.key.public_key()), since=NOW, reason="spite", rotation=rotation)
    assert keyring.trusted_keys().revoked == {}
    keyring.revoke(new, old_id, since=NOW, reason="superseded", rotation=rotation)
    assert list(keyring.trusted_keys().revoked) == [old_id]
    with pytest.raises(Malformed, match="needs a reason"):
        keyring.revoke(new, new_id, since=NOW, reason="")
    with pytest.raises(Malformed, match="64 lower-case"):
        keyring.revoke(new, "x", since=NOW, reason="x")


def test_an_altered_list_is_not_passed_over(make, home):
    mine, identifier = make("k")
    keyring.revoke(mine, identifier, since=NOW, reason="stolen")
    file = home / "revoked" / f"{identifier}.sig"
    payload = Statement(STATEMENT.subjects, keyring.REVOCATION_PREDICATE, {"entries": []}).to_bytes()
    envelope = Envelope.from_bytes(file.read_bytes())
    file.write_bytes(Envelope(payload, envelope.keyid, envelope.signature).to_bytes())
    with pytest.raises(SignatureInvalid, match="does not belong"):
        keyring.trusted_keys()


def test_other_statements_say_nothing_about_keys(make, tmp_path):
    mine, _ = make("k")
    with pytest.raises(Malformed, match="says nothing about keys"):
        keyring.import_trusted(_sig(tmp_path / "x.sig", sign_statement(STATEMENT, mine.key)))


# Accounts


@pytest.fixture
def bound(make):
    pytest.importorskip("eth_account", reason="the extra 'chain' is not installed")
    mine, identifier = make("k")
    return mine, identifier, keyring.bind_account(mine, bytes(range(1, 33)))


def test_a_key_and_an_account_are_bound_by_both(bound, home, tmp_path):
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    _, identifier, envelope = bound
    said = Statement.from_bytes(envelope.payload).predicate
    message = {
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
            "KeyBinding": [
                {"name": "key", "type": "bytes32"},
                {"name": "account", "type": "address"},
                {"name": "issued", "type": "uint64"},
            ],
        },
        "primaryType": "KeyBinding",
        "domain": {"name": "contraste", "version": "1"},
        "message": {
            "key": bytes.fromhex(identifier),
            "account": said["account"],
            "issued": int(datetime.fromisoformat(said["issued"]).timestamp()),
        },
    }
    signable = encode_typed_data(full_message=message)
    assert Account.recover_message(signable, signature=said["signature"]) == said["account"]
    assert said["account"] == Account.from_key(bytes(range(1, 33))).address
    assert keyring.trusted_keys().accounts == {identifier: said["account"]}
    shutil.rmtree(home / "accounts")
    assert said["account"] in keyring.import_trusted(_sig(tmp_path / "account.sig", envelope))
    assert keyring.trusted_keys().accounts == {identifier: said["account"]}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"account": "0x" + "11" * 20}, SignatureInvalid, "not that of the public key"),
        ({"issued": "2020-01-01T00:00:00Z"}, SignatureInvalid, "did not sign"),
        ({"accountKey": "00" * 64}, SignatureInvalid, "not that of the public key"),
        ({"signature": "0x" + "11" * 65}, SignatureInvalid, "did not sign"),
        ({"signature": "0x11"}, Malformed, "signature '0x11' has the wrong form"),
        ({"issued": "now"}, Malformed, "'now' is not a time"),
        ({"more": 1}, Malformed, "'more' is unknown"),
    ],
)
def test_a_binding_that_one_side_did_not_sign_is_refused(bound, change, error, message):
    mine, identifier, envelope = bound
    said = Statement.from_bytes(envelope.payload)
    altered = sign_statement(Statement(said.subjects, said.predicate_type, dict(said.predicate) | change), mine.key)
    with pytest.raises(error, match=message):
        keyring.check_binding(altered, Trust({identifier: mine.key.public_key()}))
    stranger = ec.generate_private_key(ec.SECP256R1())
    copied = sign_statement(said, stranger)
    with pytest.raises(Malformed, match="about another key"):
        keyring.check_binding(copied, Trust({copied.keyid: stranger.public_key()}))


def test_accounts_are_written_encrypted_and_read(tmp_path, monkeypatch):
    pytest.importorskip("eth_account", reason="the extra 'chain' is not installed")
    monkeypatch.setattr(account, "SCRYPT_N", 1024)
    file = tmp_path / "account.json"
    address = account.create_account(file, "pw")
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes())["address"].lower() == address[2:].lower()
    from eth_account import Account

    assert Account.from_key(account.load_keystore(file, "pw")).address == address
    with pytest.raises(KeyUnusable, match="MAC mismatch"):
        account.load_keystore(file, "wrong")
    with pytest.raises(KeyUnusable, match="never overwritten"):
        account.create_account(file, "pw")
    with pytest.raises(KeyUnusable, match="password is empty"):
        account.create_account(tmp_path / "other", "")
    file.chmod(0o644)
    with pytest.raises(KeyUnusable, match="can be read by others"):
        account.load_keystore(file, "pw")


# Hardware


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """Make a SoftHSM2 token with a key on each curve; give a function from label to URI."""
    pkcs11 = pytest.importorskip("pkcs11", reason="the extra 'hsm' (python-pkcs11) is not installed")
    places = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
    module = next((place for place in places if Path(place).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is not installed (apt-get install softhsm2)")
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    command = ["softhsm2-util", "--init-token", "--free", "--label", "test token", "--pin", "1234", "--so-pin", "0000"]
    subprocess.run(command, check=True, capture_output=True)
    from pkcs11.util.ec import encode_named_curve_parameters

    with pkcs11.lib(module).get_token(token_label="test token").open(user_pin="1234", rw=True) as session:
        for curve in ("secp256r1", "secp384r1", "secp521r1", "secp256k1"):
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
            )
            parameters.generate_keypair(store=True, label=curve)
    yield lambda label, name="test%20token": f"pkcs11:token={name};object={label}?module-path={module}"
    del os.environ["SOFTHSM2_CONF"]


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_a_hardware_key_signs_like_any_other(token, curve):
    mine = _load(token(curve), "1234")
    envelope = Envelope.from_bytes(sign_statement(STATEMENT, mine.key).to_bytes())
    assert verify_envelope(envelope, Trust({envelope.keyid: mine.key.public_key()})) == STATEMENT
    assert mine.key.public_key().curve.name == curve
    mine.key.key.session.close()


@pytest.mark.parametrize(
    ("uri", "pin", "message"),
    [
        (("secp256r1",), "9999", "pin incorrect.*check the module"),
        (("nothing",), "1234", "no such key|check the module"),
        (("secp256r1", "other"), "1234", "check the module"),
        (("secp256k1",), "1234", "secp256k1 is not a key"),
    ],
)
def test_unusable_hardware_keys_say_why(token, uri, pin, message):
    with pytest.raises(KeyUnusable, match=message):
        _load(token(*uri), pin)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("pkcs11:object=x?module-path=/x", "token= and module-path= are needed"),
        ("pkcs11:token=x", "token= and module-path= are needed"),
        ("pkcs11:token=x;slot=1?module-path=/x", "'slot=1' is not one of"),
        ("pkcs11:token=x;token=y?module-path=/x", "'token=y' is not one of"),
        ("pkcs11:token=x?module-path=/nowhere.so", "check the module"),
    ],
)
def test_malformed_uris_say_why(uri, message):
    pytest.importorskip("pkcs11", reason="the extra 'hsm' (python-pkcs11) is not installed")
    with pytest.raises(KeyUnusable, match=message):
        _load(uri, "1234")


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_nobody_else_can_write_where_trust_lies_whatever_the_umask(home, tmp_path, open_umask):
    from ledger.hashes.hashcache import HashCache
    from ledger.provenance.sign import sign_path
    from ledger.signing.log import TransparencyLog

    key = ec.generate_private_key(ec.SECP256R1())
    keyring.trust_key(key.public_key())
    signer.create_keys(tmp_path / "a" / "keys", "secret")
    (tmp_path / "x").write_bytes(b"x")
    sign_path(tmp_path / "x", key, log=TransparencyLog(home / "log.sqlite"))
    HashCache(home / "hashes.sqlite").save(tmp_path, {}, [])
    places = [home, tmp_path / "a", *home.rglob("*"), *(tmp_path / "a").rglob("*"), tmp_path / "x.sig"]
    assert len(places) > 9
    assert {str(place): place.stat().st_mode & 0o022 for place in places} == {str(place): 0 for place in places}
    assert all(place.stat().st_mode & 0o077 == 0 for place in places if place.is_dir())
    assert (home / "log.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["", "trusted", "trusted/KEY.pem", "revoked", "accounts", "trusted/other.crt"])
def test_trust_that_everybody_can_write_to_is_refused(home, place):
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = keyring.trust_key(key.public_key())
    for folder in ("revoked", "accounts"):
        (home / folder).mkdir()
    found = home / place.replace("KEY", identifier)
    if not found.exists():
        found.write_bytes(b"")
    found.chmod(found.stat().st_mode | 0o002)
    with pytest.raises(KeyUnusable, match=r"everybody on this machine can write to .* chmod o-w"):
        keyring.trusted_keys()
    found.chmod(found.stat().st_mode & ~0o002)
    if place != "trusted/other.crt":
        assert identifier in keyring.trusted_keys()

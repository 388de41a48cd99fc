"""Whom a signature is believed from: names come from trust, and certificates count as far as RFC 5280 lets them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ledger.errors import KeyRevoked, SignerUnknown
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import read_signed
from ledger.signing.certificates import CLAIM_SIGNING
from ledger.signing.envelope import Envelope
from ledger.signing.keys import key_id
from ledger.signing.trust import Trust
from ledger.verify import verify_path

ROOT, MIDDLE, LEAF, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
NOW = datetime.now(UTC)
SERVER, TIME, CODE, MAIL = (
    getattr(ExtendedKeyUsageOID, name) for name in ("SERVER_AUTH", "TIME_STAMPING", "CODE_SIGNING", "EMAIL_PROTECTION")
)


def name(common, mail=""):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "label"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    return x509.Name(parts + ([x509.NameAttribute(NameOID.EMAIL_ADDRESS, mail)] if mail else []))


def usage(*names):
    others = "content_commitment data_encipherment decipher_only encipher_only key_agreement key_encipherment crl_sign"
    every = [*others.split(), "digital_signature", "key_cert_sign"]
    return x509.KeyUsage(**{one: one in names for one in every})


def certificate(subject, key, issuer, by, *extensions, ca=False, depth=None, days=(-2, 9)):
    """Issue a certificate; extensions are critical, but for alternative names and purposes."""
    start, end = (NOW + timedelta(days=day) for day in days)
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), start, end)
    if ca is not None:
        made = made.add_extension(x509.BasicConstraints(ca, depth), critical=True)
    for value in extensions:
        made = made.add_extension(
            value, not isinstance(value, x509.SubjectAlternativeName | x509.ExtendedKeyUsage | x509.NameConstraints)
        )
    return made.sign(by, hashes.SHA256())


def root(*extensions, **options):
    return certificate(
        name("root"), ROOT, name("root"), ROOT, *(extensions or (usage("key_cert_sign"),)), ca=True, **options
    )


def middle(*extensions, **options):
    options = {"ca": True} | options
    return certificate(
        name("middle"), MIDDLE, name("root"), ROOT, *(extensions or (usage("key_cert_sign"),)), **options
    )


def leaf(*extensions, by=MIDDLE, subject=None, **options):
    issuer = name("middle" if by is MIDDLE else "root")
    return certificate(
        subject or name("leaf"), LEAF, issuer, by, *(extensions or (usage("digital_signature"),)), **options
    )


SIGNS, PURPOSE = usage("digital_signature"), x509.ExtendedKeyUsage
CERTIFIES = usage("key_cert_sign")
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
MAIL_LIMIT = x509.NameConstraints([x509.RFC822Name("label.example")], None)
NAME_LIMIT = x509.NameConstraints(
    [x509.DirectoryName(x509.Name([name("x").rdns[0].get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0]]))], None
)
DNS_LIMIT = x509.NameConstraints([x509.DNSName("label.example")], None)


def alternative(value):
    return x509.SubjectAlternativeName([value])


GOOD = {
    "usage alone": lambda: ([leaf(), middle()], root()),
    "without an intermediate": lambda: ([leaf(by=ROOT)], root()),
    "purpose alone": lambda: ([leaf(PURPOSE([CODE])), middle()], root()),
    "usage and a purpose for mail": lambda: ([leaf(SIGNS, PURPOSE([MAIL, CLAIM_SIGNING])), middle()], root()),
    "an authority for mail": lambda: ([leaf(SIGNS, PURPOSE([MAIL])), middle(CERTIFIES, PURPOSE([MAIL]))], root()),
    "no basic constraints": lambda: ([leaf(ca=None), middle()], root()),
    "a mail address that is permitted": lambda: (
        [leaf(SIGNS, alternative(x509.RFC822Name("a@label.example"))), middle(CERTIFIES, MAIL_LIMIT)], root(),
    ),
    "a path of the length that is allowed": lambda: ([leaf(), middle(depth=0)], root(depth=1)),
    "an authority that is trusted itself": lambda: ([root(usage("key_cert_sign", "digital_signature"))], None),
}  # fmt: skip
BAD = {
    "for servers": lambda: ([leaf(SIGNS, PURPOSE([SERVER])), middle()], root()),
    "for time stamps": lambda: ([leaf(SIGNS, PURPOSE([TIME])), middle()], root()),
    "for time stamps and code": lambda: ([leaf(SIGNS, PURPOSE([TIME, CODE])), middle()], root()),
    "usage for certificates only": lambda: ([leaf(CERTIFIES), middle()], root()),
    "purpose for code, usage for keys": lambda: ([leaf(usage("key_agreement"), PURPOSE([CODE])), middle()], root()),
    "no usage, no purpose": lambda: ([leaf(alternative(x509.DNSName("x.example"))), middle()], root()),
    "a certificate authority": lambda: ([leaf(usage("digital_signature", "key_cert_sign"), ca=True), middle()], root()),
    "an authority for servers": lambda: ([leaf(), middle(CERTIFIES, PURPOSE([SERVER]))], root()),
    "a root for servers": lambda: ([leaf(), middle()], root(CERTIFIES, PURPOSE([SERVER]))),
    "an issuer that is no authority": lambda: ([leaf(), middle(ca=False)], root()),
    "an issuer without basic constraints": lambda: ([leaf(), middle(ca=None)], root()),
    "an issuer whose usage is other": lambda: ([leaf(), middle(SIGNS)], root()),
    "a path that is too long": lambda: ([leaf(), middle()], root(depth=0)),
    "an intermediate that has expired": lambda: ([leaf(), middle(days=(-2, -1))], root()),
    "a root that has expired": lambda: ([leaf(), middle()], root(days=(-2, -1))),
    "an unknown critical extension": lambda: ([leaf(SIGNS, UNKNOWN), middle()], root()),
    "an unknown critical extension above": lambda: ([leaf(), middle(CERTIFIES, UNKNOWN)], root()),
    "a mail address that is not permitted": lambda: (
        [leaf(SIGNS, alternative(x509.RFC822Name("a@other.example"))), middle(CERTIFIES, MAIL_LIMIT)], root(),
    ),
    "a mail address in the subject": lambda: (
        [leaf(subject=name("leaf", "a@other.example")), middle(CERTIFIES, MAIL_LIMIT)], root(),
    ),
    "a host name that is not permitted": lambda: (
        [leaf(SIGNS, alternative(x509.DNSName("other.example"))), middle(CERTIFIES, DNS_LIMIT)], root(),
    ),
    "constraints on names that are not checked": lambda: ([leaf(), middle(CERTIFIES, NAME_LIMIT)], root()),
    "another authority of the same name": lambda: (
        [leaf(), certificate(name("middle"), MIDDLE, name("root"), STRANGER, CERTIFIES, ca=True)], root(),
    ),
}  # fmt: skip


def signed_by(tmp_path, chain, authority):
    file = tmp_path / "x"
    file.write_bytes(b"x")
    key = ROOT if authority is None else LEAF
    sign_path(file, key, chain)
    return file, Trust({}, (authority or chain[0],))


@pytest.mark.parametrize("case", GOOD)
def test_a_certificate_for_signatures_counts_and_names_the_signer(tmp_path, case):
    file, trust = signed_by(tmp_path, *GOOD[case]())
    found = verify_path(file, trust)
    assert found.verdict == "ok", found.links
    assert "O=label" in found.assured[0].signer


@pytest.mark.parametrize("case", BAD)
def test_any_other_does_not(tmp_path, case):
    file, trust = signed_by(tmp_path, *BAD[case]())
    with pytest.raises((SignerUnknown, KeyRevoked)):
        read_signed(file, trust)
    assert verify_path(file, trust).verdict == "broken"


@pytest.mark.parametrize("days", [(-9, -1), (1, 9)], ids=["expired", "not yet valid"])
def test_outside_its_time_a_leaf_does_not_count(tmp_path, days):
    file, trust = signed_by(tmp_path, [leaf(days=days), middle()], root())
    with pytest.raises(KeyRevoked if days[0] < 0 else (KeyRevoked, SignerUnknown)):
        read_signed(file, trust)
    assert verify_path(file, trust).verdict == "broken"


def test_a_name_that_somebody_wrote_around_a_trusted_key_is_not_believed(tmp_path):
    """A bundle's certificate is not signed: anybody can put one of their own making there."""
    file = tmp_path / "x"
    file.write_bytes(b"x")
    sign_path(file, LEAF)
    signature = tmp_path / "x.sig"
    genuine = Envelope.from_bytes(signature.read_bytes())
    famous = certificate(name("Famous Label Inc"), LEAF, name("anybody"), STRANGER, SIGNS)
    wrapped = Envelope(genuine.payload, genuine.keyid, genuine.signature, (famous,))
    signature.write_bytes(wrapped.to_bytes())
    trust = Trust({key_id(LEAF.public_key()): LEAF.public_key()})
    found = verify_path(file, trust)
    assert found.verdict == "ok"  # the key is trusted, and it did sign
    assert "Famous" not in str(found)
    assert found.assured[0].signer == f"key {key_id(LEAF.public_key())[:16]}..."
    # Nor is it where an authority is trusted besides, which has nothing to do with it.
    assert "Famous" not in str(verify_path(file, Trust(trust, (root(),))))
    # Without trust in the key, the name opens nothing.
    assert verify_path(file, Trust({}, (root(),))).fault.code == "signer-unknown"

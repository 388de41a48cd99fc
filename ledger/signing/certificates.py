"""X.509 certificates: a small authority of one's own, chains for claim signing, and the authorities trusted here.

Other people's tools judge a C2PA credential by the certificate of its signer (C2PA 2.1, chapter 14), so a signing
key gets one. The authority made here issues exactly one certificate, and its private key is then forgotten: nobody,
its maker included, can issue a second. It proves nothing about a person; a certificate from a public authority
takes its place with ``--certificate``.

The profile is one that both engines known to us accept: digitalSignature, no authority, and two purposes,
emailProtection, which the default trust settings of c2pa-rs demand, beside c2pa-kp-claimSigning.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ledger.errors import KeyUnusable
from ledger.hashes.digest import write_atomic
from ledger.signing.keys import key_id, load_certificates

AUTHORITY_FILE, CHAIN_FILE = "ca.pem", "certificate.pem"
CLAIM_SIGNING = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
"""c2pa-kp-claimSigning, the purpose of certificates that sign C2PA claims."""
PURPOSES = (ExtendedKeyUsageOID.EMAIL_PROTECTION, CLAIM_SIGNING)
VALID_DAYS = 10 * 365
"""A credential without a trusted time stamp can't be judged any more once its certificate has expired."""
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for certificates that are malformed somewhere, when it comes to that place."""


def create_certificates(
    folder: Path,
    key: ec.EllipticCurvePublicKey,
    days: float = VALID_DAYS,
    purposes: Sequence[ObjectIdentifier] = PURPOSES,
) -> None:
    """Make an authority and one certificate for `key`; writes ``ca.pem`` and ``certificate.pem`` into `folder`.

    Parameters
    ----------
    folder : Path
        A folder made by `ledger.signing.signer.create_keys`.
    key : public key
        The one in that folder.
    days : float
        How long both are valid.
    purposes : sequence of ObjectIdentifier
        What the certificate is for; none leaves the extension out.

    Raises
    ------
    LedgerError
        If a file exists already or cannot be written.
    """
    authority = ec.generate_private_key(ec.SECP256R1())
    identifier = key_id(key)[:16]
    issuer, subject = _name(f"contraste authority of {identifier}"), _name(f"contraste {identifier}")
    # An hour back, for verifiers whose clock is slow.
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())

    def builder(name: x509.Name, public: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
            .add_extension(_usage(is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
        )

    root = builder(issuer, authority.public_key(), is_authority=True)
    leaf = builder(subject, key, is_authority=False)
    if purposes:
        leaf = leaf.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    for name, made in ((AUTHORITY_FILE, root), (CHAIN_FILE, leaf)):
        certificate = made.sign(authority, hashes.SHA256())
        write_atomic(folder / name, certificate.public_bytes(Encoding.PEM), overwrite=False)


def load_chain(path: Path, key: ec.EllipticCurvePublicKey) -> str:
    """Load the certificate of a signing key, followed by those that lead to its authority.

    Parameters
    ----------
    path : Path
        PEM file, or a folder with ``certificate.pem`` in it.
    key : public key
        Whose certificate must come first.

    Returns
    -------
    str
        PEM text in the order of the file.

    Raises
    ------
    KeyUnusable
        If the file is absent or no PEM, the first certificate is another key's, not valid now or one for time
        stamps, or one was not issued by the next.
    """
    path = path / CHAIN_FILE if path.is_dir() else path
    if not path.exists():
        raise KeyUnusable(
            f"{path} does not exist; contraste keys new makes {CHAIN_FILE} beside a key, --certificate names another, "
            "and --no-credential needs none"
        )
    return chain_text(load_certificates(path), key, str(path))


def chain_text(chain: Sequence[x509.Certificate], key: ec.EllipticCurvePublicKey, source: str) -> str:
    """Return a chain as PEM text if `key` can sign claims with it; `source` names it in errors, see `load_chain`."""
    leaf, now = chain[0], datetime.now(UTC)
    found = leaf.public_key()
    if not isinstance(found, ec.EllipticCurvePublicKey) or key_id(found) != key_id(key):
        raise KeyUnusable(f"{source}: the first certificate belongs to another key than the one that signs")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise KeyUnusable(
            f"{source}: the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M}; get a new one"
        )
    if is_for_time_stamps(leaf):
        raise KeyUnusable(f"{source}: the certificate is one for time stamps, and can't sign claims")
    for issued, issuer in pairwise(chain):
        try:
            issued.verify_directly_issued_by(issuer)
        except (InvalidSignature, *UNREADABLE) as error:
            name = issued.subject.rfc4514_string()
            raise KeyUnusable(f"{source}: the certificate of {name} was not issued by the next one: {error}") from None
    return pem_text(*chain)


def is_for_time_stamps(certificate: x509.Certificate) -> bool:
    """Whether a certificate has the purpose timeStamping, or purposes that can't be read."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    except UNREADABLE:
        return True
    return ExtendedKeyUsageOID.TIME_STAMPING in purposes


def load_roots(path: Path) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file, each an authority; raises `KeyUnusable`."""
    certificates = load_certificates(path)
    for certificate in certificates:
        try:
            allowed = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, *UNREADABLE):
            allowed = False
        if not allowed:
            name = certificate.subject.rfc4514_string()
            raise KeyUnusable(
                f"{path}: the certificate of {name!r} is no certificate authority; trust its public key instead, or "
                "the CA that issued it"
            )
    return certificates


def pem_text(*certificates: x509.Certificate) -> str:
    """Return certificates as PEM text."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def _name(common_name: str) -> x509.Name:
    # c2pa-rs names the signer by the organisation.
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "contraste")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )

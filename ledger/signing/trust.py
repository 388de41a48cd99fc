"""Whom a signature is believed from: trusted keys, trusted certificate authorities, and what was revoked.

A signature counts where its key is trusted, or its certificate chain leads to a trusted root (RFC 5280; the leaf must
be for signatures). Who it is by is told by what made it trusted: a trusted key by its id, whatever certificate somebody
wrapped around it, and only a chain that was checked by the name in its leaf. A revoked key, or an expired certificate,
counts only for what is shown to be older: revocation says *since when*, and only a time that the signer can't make up
(that of a block, or of a trusted authority's time stamp) shows that a signature was there before.
Times inside a signature are the signer's own word and are never used for this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from ledger.errors import KeyRevoked, Malformed, SignerUnknown
from ledger.signing.certificates import CLAIM_SIGNING, UNREADABLE
from ledger.signing.envelope import Envelope, check_signature
from ledger.signing.statement import Statement
from messages import message

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)
PURPOSES = {
    ExtendedKeyUsageOID.CODE_SIGNING,
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ObjectIdentifier("1.3.6.1.5.5.7.3.36"),  # documentSigning (RFC 9336)
    CLAIM_SIGNING,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
"""Purposes of certificates whose keys may sign statements; one for servers or time stamps may not."""
CHECKED_NAMES = (x509.DNSName, x509.RFC822Name, x509.IPAddress)
"""Kinds of name constraints that `cryptography` checks."""


def format_time(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC, in whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: object) -> datetime:
    """Parse what `format_time` writes; raises `Malformed`."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Malformed(f"{text!r} is not a time like 2026-05-01T12:00:00Z") from None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that does not count any more.

    Parameters
    ----------
    key : str
        Its key id.
    since : datetime
        From this moment on, inclusive, its signatures are not to be believed.
    reason : str
        For people.
    """

    key: str
    since: datetime
    reason: str


class Trust(Mapping[str, ec.EllipticCurvePublicKey]):
    """The trusted keys by key id, and with them the trusted roots, the revocations and the accounts of keys.

    Parameters
    ----------
    keys : mapping of str to public key
        Trusted keys.
    roots : tuple of x509.Certificate
        Trusted certificate authorities, of signers and of time stamps.
    revoked : mapping of str to Revocation
        By key id; a key may be revoked without being trusted.
    accounts : mapping of str to str
        Ethereum addresses by the key id that they are bound to.
    """

    def __init__(
        self,
        keys: Mapping[str, ec.EllipticCurvePublicKey],
        roots: tuple[x509.Certificate, ...] = (),
        revoked: Mapping[str, Revocation] | None = None,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        self.keys_by_id = dict(keys)
        self.roots = roots
        self.revoked = dict(revoked or {})
        self.accounts = dict(accounts or {})

    def __getitem__(self, identifier: str) -> ec.EllipticCurvePublicKey:
        """Return the trusted key with this id."""
        return self.keys_by_id[identifier]

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of the trusted keys."""
        return iter(self.keys_by_id)

    def __len__(self) -> int:
        """Return how many keys are trusted."""
        return len(self.keys_by_id)

    def key_of(self, envelope: Envelope, at: datetime) -> ec.EllipticCurvePublicKey:
        """Return the public key of an envelope's signer, if it is trusted at that time.

        Raises
        ------
        SignerUnknown
            If neither key nor certificate is trusted.
        KeyRevoked
            If the certificate is not valid at that time.
        """
        if envelope.keyid in self.keys_by_id:
            return self.keys_by_id[envelope.keyid]
        if envelope.certificates:
            return _key_of_chain(envelope.certificates, self.roots, at)
        raise SignerUnknown(
            message(
                "signed by the key {key:word}..., which is not trusted here; if it should be, get the signer's "
                "public.pem from a source you trust and add it",
                key=envelope.keyid[:16],
            )
        )

    def name_of(self, envelope: Envelope) -> str:
        """Return who signed an envelope that was verified: a trusted key by its id, else as its certificate says."""
        if envelope.keyid in self.keys_by_id or not envelope.certificates:
            return message("key {key:word}...", key=envelope.keyid[:16])
        return envelope.certificates[0].subject.rfc4514_string()

    def check_revoked(self, identifier: str, at: datetime | None) -> None:
        """Return None if a key counts for a signature that was there at the time `at` (None: unknown).

        Raises
        ------
        KeyRevoked
            Otherwise.
        """
        revocation = self.revoked.get(identifier)
        if revocation is None or (at is not None and at < revocation.since):
            return
        raise KeyRevoked(
            message(
                "the key {key:word}... is revoked since {day:word} ({reason}); nothing trusted shows when it was made"
                if at is None
                else "the key {key:word}... is revoked since {day:word} ({reason}); it is known only since {time:word}",
                key=identifier[:16],
                day=format_time(revocation.since),
                reason=revocation.reason,
                time=at and format_time(at),
            )
        )


def verify_envelope(
    envelope: Envelope, trust: Trust, *, at: datetime | None = None, timeless: bool = False
) -> Statement:
    """Return the statement of an envelope that somebody trusted has signed.

    Parameters
    ----------
    envelope : Envelope
        From a file nobody vouches for.
    trust : Trust
        Who may have signed it.
    at : datetime, optional
        A time at which the signature is known to have been there, from somebody other than the signer. None: unknown,
        so revocations count whatever their time, and certificates must be valid now.
    timeless : bool
        Leave revocations and the end of certificates out; the caller asks again with a time.

    Raises
    ------
    SignerUnknown
        If the signer is not trusted.
    KeyRevoked
        If the signer is not trusted any more, and `at` does not show that the signature is older.
    SignatureInvalid
        If the signature does not fit payload and key.
    Malformed
        If the payload is no in-toto statement.
    """
    moment = at or datetime.now(UTC)
    if timeless and envelope.certificates:
        moment = envelope.certificates[0].not_valid_before_utc
    check_signature(envelope, trust.key_of(envelope, moment))
    if not timeless:
        trust.check_revoked(envelope.keyid, at)
    return Statement.from_bytes(envelope.payload)


def _key_of_chain(
    chain: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...], at: datetime
) -> ec.EllipticCurvePublicKey:
    """Return the key of a leaf whose chain leads to one of the roots (RFC 5280, section 6)."""
    leaf, name = chain[0], chain[0].subject.rfc4514_string()
    if not roots:
        raise SignerUnknown(f"signed with the certificate of {name!r}, and no certificate authority is trusted here")
    if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        raise KeyRevoked(
            f"the certificate of {name!r} is valid from {format_time(leaf.not_valid_before_utc)} to "
            f"{format_time(leaf.not_valid_after_utc)}, and nothing trusted shows that the signature is from then"
        )
    anybody = verification.ExtensionPolicy.permit_all()
    authority = anybody.require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None).may_be_present(
        x509.KeyUsage, verification.Criticality.AGNOSTIC, _may_certify
    )
    policy = (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .time(at)
        .max_chain_depth(8)
        .extension_policies(ca_policy=authority, ee_policy=anybody)
    )
    try:
        verified = policy.build_client_verifier().verify(leaf, list(chain[1:]))
    except verification.VerificationError as error:
        raise SignerUnknown(f"the certificate of {name!r} does not lead to a trusted authority: {error}") from None
    try:
        reason = _unfit(leaf, verified.chain[1:], leaf in roots)
    except UNREADABLE as error:
        reason = f"an extension can't be read: {error}"
    if reason:
        raise SignerUnknown(f"the certificate of {name!r} is not for signatures: {reason}")
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):  # refused by Envelope.from_bytes already
        raise SignerUnknown(f"the certificate of {name!r} holds no elliptic curve key")
    return key


def _may_certify(_: verification.Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    """Refuse a certificate authority whose key may not sign certificates; raises what the verifier expects."""
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyCertSign must be asserted in a CA certificate")


def _unfit(leaf: x509.Certificate, authorities: list[x509.Certificate], is_root: bool) -> str:
    """Say what RFC 5280 has against a signature by a leaf, beyond what the verifier checks; "" for nothing.

    The verifier checks signatures, validity, path lengths, that issuers are authorities (basicConstraints, keyUsage),
    constraints on the names `CHECKED_NAMES`, and that no critical extension is unknown. `is_root`: the leaf is itself
    trusted as an authority, whose own signatures count as well.
    """
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca and not is_root:
        return "it is one of a certificate authority"
    usage, purposes = _extension(leaf, x509.KeyUsage), _extension(leaf, x509.ExtendedKeyUsage)
    if (usage is None and purposes is None) or (usage is not None and not usage.digital_signature):
        return "its usage is not digitalSignature"
    for certificate in (leaf, *authorities):
        named = _extension(certificate, x509.ExtendedKeyUsage)
        # Who trusts an authority for the time, or for its servers, has not trusted those to sign anything else.
        if named is not None and (ExtendedKeyUsageOID.TIME_STAMPING in named or not PURPOSES & set(named)):
            return f"the purposes of {certificate.subject.rfc4514_string()!r} are others"
    limits = [found for found in (_extension(one, x509.NameConstraints) for one in authorities) if found is not None]
    names = [name for limit in limits for name in (*(limit.permitted_subtrees or ()), *(limit.excluded_subtrees or ()))]
    if not all(isinstance(name, CHECKED_NAMES) for name in names):
        return "an authority of it constrains names of a kind that is not checked here"
    # RFC 5280, 4.2.1.10: without a subjectAltName the constraints on mail apply to the subject's.
    mail = any(isinstance(name, x509.RFC822Name) for name in names)
    if mail and leaf.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
        return "its subject holds a mail address, which its authority constrains, and which belongs in subjectAltName"
    return ""


def _extension(certificate: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    """Return an extension's value; None where the certificate has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None

"""DSSE envelopes in Sigstore bundles, signed with ECDSA.

Written is a Sigstore bundle v0.3 (JSON form) with a DSSE 1.0.2 envelope around an in-toto statement; that is the
signature file of OpenSSF model signing 1.0, and this program uses it for every statement. The signature covers
``DSSEv1 <len> <type> <len> <body>`` and nothing else. Curves are P-256, P-384 and P-521, with SHA-256, SHA-384 and
SHA-512; the key is told by a hint (SHA-256 of its PEM text) or brought along as an X.509 chain, leaf first.

Read is a strict part, where other verifiers are lax: one signature, no unknown fields, standard base64, and never the
encoding of versions before 1.0 (``DSSEV1`` and escaped bytes). The older form that carries the whole public key
(``rawBytes``) instead of a hint is read; the key in it is only a hint as well. Bundles with entries of public
transparency logs or time stamps are refused, since this program does not check those.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import KeyUnusable, Malformed, SignatureInvalid
from ledger.hashes.digest import Digest, canonical_json, parse_json
from ledger.signing.keys import HASHES, check_curve, key_id
from ledger.signing.statement import Statement, json_array, json_object

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_CERTIFICATES = 10


class SigningKey(Protocol):
    """What signs: the part of `cryptography`'s private keys that is needed, so that a hardware key can stand in."""

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key."""

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the DER form of the ECDSA signature of `data`, hashed as the algorithm says."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload with one signature, as it lies in a bundle.

    Parameters
    ----------
    payload : bytes
        The signed bytes.
    keyid : str
        Key id of the signer; a hint, not signed. With certificates it is that of the leaf's key.
    signature : bytes
        DER form of the ECDSA signature. Never use it as an identifier: it is malleable.
    certificates : tuple of x509.Certificate
        The signer's chain, leaf first; empty where the key is told by its hint.
    """

    payload: bytes
    keyid: str
    signature: bytes
    certificates: tuple[x509.Certificate, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the bundle as canonical JSON with a final newline."""
        material: dict[str, Any] = {"tlogEntries": []}
        if self.certificates:
            chain = [certificate.public_bytes(serialization.Encoding.DER) for certificate in self.certificates]
            material["x509CertificateChain"] = {"certificates": [{"rawBytes": _encode(der)} for der in chain]}
        else:
            material["publicKey"] = {"hint": self.keyid}
        value = {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": _encode(self.payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": self.keyid, "sig": _encode(self.signature)}],
            },
        }
        return canonical_json(value) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str = "bundle") -> Envelope:
        """Parse a bundle.

        Raises
        ------
        Malformed
            For other JSON, unknown or absent fields, another media or payload type, bad base64, not exactly one
            signature, no word on the key, or entries that this program does not check.
        """
        bundle = json_object(
            parse_json(data, source=source), source, {"mediaType", "verificationMaterial", "dsseEnvelope"}
        )
        if bundle["mediaType"] != BUNDLE_TYPE:
            raise Malformed(f"{source}: mediaType {bundle['mediaType']!r} is not {BUNDLE_TYPE}")
        entry = json_object(bundle["dsseEnvelope"], source, {"payload", "payloadType", "signatures"})
        if entry["payloadType"] != PAYLOAD_TYPE:
            raise Malformed(f"{source}: payloadType {entry['payloadType']!r} is not {PAYLOAD_TYPE}")
        signatures = json_array(entry["signatures"], "signatures")
        if len(signatures) != 1:
            raise Malformed(f"{source}: {len(signatures)} signatures; exactly one is allowed")
        signature = json_object(signatures[0], "signature", {"sig"}, {"keyid"})
        keyid, certificates = _material(bundle["verificationMaterial"], source)
        if (signature.get("keyid") or keyid) != keyid:
            raise Malformed(f"{source}: keyid {signature['keyid']!r} is not that of the verification material")
        return cls(_decode(entry["payload"], source), keyid, _decode(signature["sig"], source), certificates)


def _material(value: object, source: str) -> tuple[str, tuple[x509.Certificate, ...]]:
    """Return key id and certificate chain out of a bundle's verification material."""
    forms = {"publicKey", "x509CertificateChain"}
    unchecked = {"tlogEntries", "timestampVerificationData"}
    material = json_object(value, "verificationMaterial", set(), forms | unchecked | {"certificate"})
    if "certificate" in material:  # one alone counts together with an entry of their transparency log only
        raise Malformed(f"{source}: signed with Sigstore's public services, whose bundles this program does not read")
    for name in unchecked & material.keys():
        if material[name] not in ([], {}, None, {"rfc3161Timestamps": []}):
            raise Malformed(f"{source}: {name} is not empty, and this program does not check it")
    given = sorted(forms & material.keys())
    if len(given) != 1:
        raise Malformed(f"{source}: verificationMaterial holds {' and '.join(given) or 'no word on the key'}")
    if given == ["publicKey"]:
        key = json_object(material["publicKey"], "publicKey", set(), {"hint", "rawBytes", "keyDetails"})
        if key.get("hint"):
            return Digest.from_hex(key["hint"]).hex, ()  # 64 hexadecimal digits, the same rule as for digests
        if not key.get("rawBytes"):
            raise Malformed(f"{source}: publicKey has neither hint nor rawBytes, so the signer is not named")
        return key_id(_public_key(_decode(key["rawBytes"], source), source)), ()
    chain = json_object(material["x509CertificateChain"], "x509CertificateChain", {"certificates"})
    items = json_array(chain["certificates"], "certificates")
    if not 1 <= len(items) <= MAX_CERTIFICATES:
        raise Malformed(f"{source}: {len(items)} certificates; 1 to {MAX_CERTIFICATES} are allowed")
    certificates = tuple(_certificate(item, source) for item in items)
    return key_id(_check_supported(certificates[0].public_key(), source)), certificates


def _certificate(item: object, source: str) -> x509.Certificate:
    data = _decode(json_object(item, "certificate", {"rawBytes"})["rawBytes"], source)
    try:
        return x509.load_der_x509_certificate(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed(f"{source}: a certificate is not valid DER: {error}") from None


def _public_key(data: bytes, source: str) -> ec.EllipticCurvePublicKey:
    """Parse a public key in PEM or DER, as older bundles carry it."""
    load = serialization.load_pem_public_key if data.startswith(b"-----") else serialization.load_der_public_key
    try:
        key = load(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed(f"{source}: rawBytes is not a public key: {error}") from None
    return _check_supported(key, source)


def _check_supported(key: object, source: str) -> ec.EllipticCurvePublicKey:
    try:
        return check_curve(key, source)
    except KeyUnusable as error:  # here it is the file that is at fault, not a key of the user's
        raise Malformed(str(error)) from None


def pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs: ``DSSEv1 <len> <type> <len> <body>`` (DSSE protocol, PAE)."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def sign_statement(statement: Statement, key: SigningKey, certificates: Sequence[x509.Certificate] = ()) -> Envelope:
    """Sign a statement.

    Keys in a file sign deterministically (RFC 6979): the same statement and key give the same bytes. What a hardware
    key does is its own affair.

    Parameters
    ----------
    statement : Statement
        What to sign.
    key : SigningKey
        On one of the three curves.
    certificates : sequence of x509.Certificate
        The chain of `key`, leaf first; empty for a key that is known by its hint.
    """
    public = check_curve(key.public_key(), "the signing key")
    payload = statement.to_bytes()
    algorithm = ec.ECDSA(HASHES[public.curve.name](), deterministic_signing=isinstance(key, ec.EllipticCurvePrivateKey))
    signature = key.sign(pre_authentication_encoding(payload), algorithm)
    return Envelope(payload, key_id(public), signature, tuple(certificates))


def check_signature(envelope: Envelope, key: ec.EllipticCurvePublicKey) -> None:
    """Return None if `key` signed the envelope, else raise `SignatureInvalid`."""
    body = pre_authentication_encoding(envelope.payload)
    try:
        key.verify(envelope.signature, body, ec.ECDSA(HASHES[key.curve.name]()))
    except InvalidSignature:
        raise SignatureInvalid(
            f"the signature does not belong to the payload and the key {envelope.keyid[:16]}..."
        ) from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(value: object, source: str) -> bytes:
    try:
        data = base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{source}: a field is not standard base64") from None
    if base64.b64encode(data).decode() != value:
        raise Malformed(f"{source}: a base64 field has unused bits set")
    return data

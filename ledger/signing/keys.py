"""Public keys and certificates.

Keys are ECDSA keys on P-256, P-384 or P-521 and known by their key id, the SHA-256 of the public key's PEM text, which
is the key hint of OpenSSF model signing. Every other curve is refused, Ethereum's secp256k1 among them.
"""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import KeyUnusable, LedgerError
from ledger.hashes.digest import hash_bytes, read_bytes

CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
"""Hash of a signature by the curve of its key, as in model signing 1.0."""


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the PEM text (SubjectPublicKeyInfo) of a public key."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of the key's PEM text as 64 hexadecimal digits."""
    return hash_bytes(public_pem(key)).hex


def check_curve(key: object, what: str) -> ec.EllipticCurvePublicKey:
    """Return `key` if it is a public key on one of the three curves; raises `KeyUnusable` naming `what`."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in HASHES:
        return key
    name = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.lstrip("_")
    raise KeyUnusable(f"{what}: {name} is not a key on one of the curves {', '.join(CURVES)}")


def load_public(path: Path) -> ec.EllipticCurvePublicKey:
    """Load a public key from a PEM file, or from ``public.pem`` in a folder.

    Raises
    ------
    KeyUnusable
        If the file is absent, unreadable, no PEM public key, or of another key type or curve.
    """
    path = path / "public.pem" if path.is_dir() else path
    try:
        key = serialization.load_pem_public_key(read_key(path))
    except (ValueError, UnsupportedAlgorithm):  # their words are those of a parser, and a link to its documentation
        raise KeyUnusable(f"{path} is not a PEM public key that can be read") from None
    return check_curve(key, str(path))


def load_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Load the certificates of a PEM file, in its order.

    Raises
    ------
    KeyUnusable
        If the file is absent or unreadable, or holds no certificate or one that is malformed.
    """
    try:
        certificates = tuple(x509.load_pem_x509_certificates(read_key(path)))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} holds no PEM certificates that can be read") from None
    return certificates


def refuse_shared(path: Path) -> None:
    """Return None if only its owner can read a file with a private key, else raise `KeyUnusable`."""
    if (mode := path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyUnusable(f"{path} can be read by others (mode {mode & 0o777:04o}); take that away: chmod 600 {path}")


def read_key(path: Path) -> bytes:
    """Return the bytes of a key file; raises `KeyUnusable` where it can't be read."""
    try:
        return read_bytes(path)
    except LedgerError as error:
        raise KeyUnusable(f"{error}; a key is made with: contraste keys new DIR") from None

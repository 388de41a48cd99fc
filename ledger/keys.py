"""P-256 signing keys on disk, and the folder of trusted public keys.

A private key is a PKCS#12 file (RFC 7292) under PBES2 with AES-256-CBC, PBKDF2-HMAC-SHA-256 and 600,000
rounds: PKCS#8 as `cryptography` writes it is fixed at 2,048 rounds. It holds no certificate. Keys are known
by their key id, the SHA-256 of the public key's PEM text, which is the key hint of OpenSSF model signing.

Trusted keys lie as ``<key id>.pem`` in ``<data>/trusted``, where ``<data>`` is the environment variable
``CONTRASTE_HOME`` or else the user's data directory.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from ledger.digest import hash_bytes, read_bytes, write_atomic
from ledger.errors import KeyUnusable, LedgerError

__all__ = [
    "KDF_ROUNDS",
    "create_keys",
    "data_folder",
    "key_id",
    "load_private",
    "load_public",
    "public_pem",
    "trust",
    "trusted_keys",
]

KDF_ROUNDS = 600_000
"""PBKDF2 rounds for new private keys (0.07 s here)."""


def data_folder() -> Path:
    """Return the user's data folder of this program, which may not exist yet."""
    return Path(os.environ.get("CONTRASTE_HOME") or platformdirs.user_data_dir("contraste", appauthor=False))


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the PEM text (SubjectPublicKeyInfo) of a public key."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of the key's PEM text as 64 hexadecimal digits."""
    return hash_bytes(public_pem(key)).hex


def create_keys(folder: Path, password: str) -> str:
    """Create a key pair, and trust it on this machine.

    Writes ``private.p12`` (mode 0600) and ``public.pem`` into `folder`, which is made if absent.

    Parameters
    ----------
    folder : Path
        Where the two files go.
    password : str
        Encrypts the private key; not empty.

    Returns
    -------
    str
        The key id.

    Raises
    ------
    KeyUnusable
        For an empty password, or if one of the two files exists; keys are never overwritten.
    LedgerError
        If a file cannot be written.
    """
    if not password:
        raise KeyUnusable("the password is empty; a private key is only written encrypted")
    private_file, public_file = folder / "private.p12", folder / "public.pem"
    for file in (private_file, public_file):
        if file.exists():
            raise KeyUnusable(f"{file} exists already, and keys are never overwritten; choose another folder")
    _make_folder(folder)
    private = ec.generate_private_key(ec.SECP256R1())
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(KDF_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )
    data = pkcs12.serialize_key_and_certificates(b"contraste", private, None, None, encryption)
    write_atomic(private_file, data, mode=0o600, overwrite=False)
    write_atomic(public_file, public_pem(private.public_key()), overwrite=False)
    return trust(private.public_key())


def load_private(path: Path, password: str) -> ec.EllipticCurvePrivateKey:
    """Load an encrypted P-256 private key.

    Parameters
    ----------
    path : Path
        A PKCS#12 file, or a folder with ``private.p12`` in it.
    password : str
        Its password.

    Raises
    ------
    KeyUnusable
        If the file is absent or unreadable, no PKCS#12, not encrypted, of another key type or curve, or
        the password is wrong.
    """
    path = path / "private.p12" if path.is_dir() else path
    data = _read_key(path)
    for attempt in (None, b""):
        try:
            pkcs12.load_key_and_certificates(data, attempt)
        except (ValueError, UnsupportedAlgorithm):
            continue
        raise KeyUnusable(f"{path} is not encrypted; keys without a password are refused, make a new one")
    try:
        private, _, _ = pkcs12.load_key_and_certificates(data, password.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} does not open: {error}; check the password and the file") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise KeyUnusable(f"{path} holds no P-256 key; make one with: contraste keys new DIR")
    return private


def load_public(path: Path) -> ec.EllipticCurvePublicKey:
    """Load a P-256 public key from a PEM file, or from ``public.pem`` in a folder.

    Raises
    ------
    KeyUnusable
        If the file is absent, unreadable, no PEM public key, or of another key type or curve.
    """
    path = path / "public.pem" if path.is_dir() else path
    try:
        key = serialization.load_pem_public_key(_read_key(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} is not a PEM public key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable(f"{path} is not a P-256 key; only P-256 keys are used")
    return key


def trust(key: ec.EllipticCurvePublicKey) -> str:
    """Add a public key to the trusted keys of this user, and return its key id."""
    identifier = key_id(key)
    folder = data_folder() / "trusted"
    _make_folder(folder)
    write_atomic(folder / f"{identifier}.pem", public_pem(key))
    return identifier


def trusted_keys() -> dict[str, ec.EllipticCurvePublicKey]:
    """Return the trusted keys by key id; empty if there are none.

    Raises
    ------
    KeyUnusable
        If a file in the folder is no P-256 public key.
    """
    keys = [load_public(file) for file in sorted((data_folder() / "trusted").glob("*.pem"))]
    return {key_id(key): key for key in keys}


def _read_key(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except LedgerError as error:
        raise KeyUnusable(f"{error}; a key is made with: contraste keys new DIR") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"cannot make the folder {folder}: {error.strerror}") from None

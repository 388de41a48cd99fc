"""Private keys: files that are written and read, and keys in a hardware module.

Written is PKCS#12 (RFC 7292) under PBES2 with AES-256-CBC, PBKDF2-HMAC-SHA-256 and 600,000 rounds: PKCS#8 as
`cryptography` writes it is fixed at 2,048 rounds. PKCS#8 (PEM, encrypted) is read, whatever made it. A key without a
password, or in a file that other users can read, is refused. A PKCS#12 file may bring the certificate chain along.

A key in a hardware module is named by a PKCS#11 URI (RFC 7512)::

    pkcs11:token=NAME;object=LABEL?module-path=/usr/lib/softhsm/libsofthsm2.so

Whatever holds the key, what comes out signs with the two methods of `ledger.signing.envelope.SigningKey`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import pkcs12

from ledger.errors import ExtraMissing, KeyUnusable
from ledger.hashes.digest import write_atomic
from ledger.paths import make_folder
from ledger.signing.envelope import SigningKey
from ledger.signing.keys import CURVES, check_curve, load_certificates, public_pem, read_key, refuse_shared

KDF_ROUNDS = 600_000
"""PBKDF2 rounds for new private keys (0.07 s here)."""
URI_SCHEME = "pkcs11:"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs.

    Parameters
    ----------
    key : SigningKey
        The private key, wherever it lies.
    certificates : tuple of x509.Certificate
        Its chain, leaf first; empty where the key is known by its id.
    """

    key: SigningKey
    certificates: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        """Refuse other curves, and a leaf of another key."""
        public = check_curve(self.key.public_key(), "the signing key")
        if self.certificates and self.certificates[0].public_key() != public:
            raise KeyUnusable("the first certificate is not that of the signing key; give the chain leaf first")


def create_keys(folder: Path, password: str, curve: str = "P-256") -> ec.EllipticCurvePublicKey:
    """Create a key pair.

    Writes ``private.p12`` (mode 0600) and ``public.pem`` into `folder`, which is made if absent.

    Parameters
    ----------
    folder : Path
        Where the two files go.
    password : str
        Encrypts the private key; not empty.
    curve : str
        ``P-256``, ``P-384`` or ``P-521``.

    Raises
    ------
    KeyUnusable
        For an empty password, another curve, or if one of the two files exists; keys are never overwritten.
    LedgerError
        If a file cannot be written.
    """
    if not password:
        raise KeyUnusable("the password is empty; a private key is only written encrypted")
    if curve not in CURVES:
        raise KeyUnusable(f"the curve {curve!r} is not one of {', '.join(CURVES)}")
    private_file, public_file = folder / "private.p12", folder / "public.pem"
    for file in (private_file, public_file):
        if file.exists():
            raise KeyUnusable(f"{file} exists already, and keys are never overwritten; choose another folder")
    make_folder(folder)
    private = ec.generate_private_key(CURVES[curve]())
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
    return private.public_key()


def load_signer(key: str | Path, password: Callable[[], str], certificate: Path | None = None) -> Signer:
    """Load a private key.

    Parameters
    ----------
    key : str or Path
        A PKCS#12 or PKCS#8 PEM file, a folder with ``private.p12`` in it, or a PKCS#11 URI.
    password : callable
        Gives the password of the file, or the PIN of the token; asked for only when it is needed.
    certificate : Path, optional
        PEM file with the chain, leaf first, to sign by certificate; without it, that in the PKCS#12 file, if any.

    Raises
    ------
    KeyUnusable
        If the key is absent, unreadable, readable by others, neither form, not encrypted, of another type or curve,
        the password is wrong, or the certificate is that of another key.
    ExtraMissing
        For a PKCS#11 URI without python-pkcs11.
    """
    chain = load_certificates(certificate) if certificate else ()
    if str(key).startswith(URI_SCHEME):
        return Signer(Pkcs11Key.open(str(key), password()), chain)
    path = Path(key)
    path = path / "private.p12" if path.is_dir() else path
    data = read_key(path)
    looks_like_a_key = data.startswith((b"-----", b"\x30"))  # PEM, or the DER of PKCS#12
    if looks_like_a_key:
        refuse_shared(path)
    private, own = _pem_key(path, data, password) if data.startswith(b"-----") else _p12_key(path, data, password)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        kind = type(private).__name__.lstrip("_")
        raise KeyUnusable(f"{path} holds {kind}, no elliptic curve key; make one with: contraste keys new DIR")
    check_curve(private.public_key(), str(path))
    return Signer(private, chain or own)


def _read_given(path: Path, password: Callable[[], str]) -> bytes:
    text = password()
    if not text:
        raise KeyUnusable(f"{path}: the password is empty, and a key under an empty one is not protected")
    return text.encode()


def _p12_key(path: Path, data: bytes, password: Callable[[], str]) -> tuple[object, tuple[x509.Certificate, ...]]:
    try:
        pkcs12.load_key_and_certificates(data, None)
    except (ValueError, UnsupportedAlgorithm):
        pass
    else:
        raise KeyUnusable(f"{path} is not encrypted; keys without a password are refused, make a new one")
    try:
        private, leaf, others = pkcs12.load_key_and_certificates(data, _read_given(path, password))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} does not open; check the password and the file") from None
    return private, (leaf, *others) if leaf else ()


def _pem_key(path: Path, data: bytes, password: Callable[[], str]) -> tuple[object, tuple[x509.Certificate, ...]]:
    try:
        serialization.load_pem_private_key(data, None)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} is no PEM private key that can be read") from None
    except TypeError:  # what cryptography raises where a password is needed
        pass
    else:
        raise KeyUnusable(f"{path} is not encrypted; keys without a password are refused, make a new one")
    try:
        return serialization.load_pem_private_key(data, _read_given(path, password)), ()
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} does not open; check the password and the file") from None


@dataclass(frozen=True, slots=True)
class Pkcs11Key:
    """A private key in a hardware module; it never leaves it.

    Parameters
    ----------
    key : object
        The `pkcs11.PrivateKey` in an open session.
    public : EllipticCurvePublicKey
        Its public key, which lies beside it in the token.
    """

    key: Any
    public: ec.EllipticCurvePublicKey

    @classmethod
    def open(cls, uri: str, pin: str) -> Pkcs11Key:
        """Find the key that a URI names; see `load_signer` for what is raised."""
        try:
            import pkcs11
            from pkcs11.util.ec import encode_ec_public_key
        except ModuleNotFoundError:
            raise ExtraMissing(
                "python-pkcs11 is not installed; install it with: pip install 'contraste[hsm]'"
            ) from None
        token_name, label, module = _parse_uri(uri)
        try:
            session = pkcs11.lib(module).get_token(token_label=token_name).open(user_pin=pin)
        except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
            raise _pkcs11_fault(uri, error) from None
        try:
            kind, name = pkcs11.KeyType.EC, label or None
            private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, key_type=kind, label=name)
            public: Any = session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, key_type=kind, label=name)
            der = encode_ec_public_key(public)
            return cls(private, check_curve(serialization.load_der_public_key(der), uri))
        except (pkcs11.exceptions.PKCS11Error, KeyUnusable) as error:
            session.close()  # a process logs in to a token once
            raise _pkcs11_fault(uri, error) from None

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key."""
        return self.public

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the DER form of the ECDSA signature of `data`; the module is given its hash."""
        import pkcs11

        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise TypeError("the data is hashed here")
        hashing = hashes.Hash(algorithm)
        hashing.update(data)
        raw = self.key.sign(hashing.finalize(), mechanism=pkcs11.Mechanism.ECDSA)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))


def _pkcs11_fault(uri: str, error: Exception) -> KeyUnusable:
    """Say what python-pkcs11 says, whose errors often have a name and no text."""
    if isinstance(error, KeyUnusable):
        return error
    reason = str(error) or re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
    return KeyUnusable(f"{uri}: {reason}; check the module, the token, the label and the PIN")


def _parse_uri(uri: str) -> tuple[str, str, str]:
    """Return token, label ("" for any) and module of a PKCS#11 URI (RFC 7512, the parts that are needed)."""
    path, _, query = uri.removeprefix(URI_SCHEME).partition("?")
    fields: dict[str, str] = {}
    items = [(item, ("token", "object", "type")) for item in path.split(";")]
    for item, allowed in [*items, *((item, ("module-path",)) for item in query.split("&") if item)]:
        name, equals, value = item.partition("=")
        if not equals or name not in allowed or name in fields:
            raise KeyUnusable(f"{uri}: {item!r} is not one of token=, object=, type= and, after '?', module-path=")
        fields[name] = unquote(value)
    if not fields.get("token") or not fields.get("module-path"):
        raise KeyUnusable(f"{uri}: token= and module-path= are needed")
    return fields["token"], fields.get("object", ""), fields["module-path"]

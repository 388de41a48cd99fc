"""The user's trusted keys, and signed statements about keys: rotation, revocation, and the account of a key.

In ``<data>`` (`ledger.paths.data_folder`) lie ``trusted/<key id>.pem`` and ``trusted/<fingerprint>.crt``
(certificate authorities), ``revoked/<key id of the signer>.sig`` (revocation lists) and ``accounts/<key id>.sig``
(bindings). All but the keys are signed statements that anybody can check offline, made by the functions here:

rotation
    The old key names its successor. Who trusts the old key may trust the new one.
revocation list
    Append-only: a list is replaced only by one that begins with all its entries. A key revokes itself, or a key whose
    rotation statement, which the entry carries, names the signer as successor.
binding
    A P-256 key and an Ethereum account name each other: the account signs typed data (EIP-712) with the key id, and the
    key signs the statement that holds that signature.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from ledger.errors import Malformed, SignatureInvalid
from ledger.hashes.digest import MAX_RECORD_BYTES, Digest, canonical_json, parse_json, read_bytes, write_atomic
from ledger.paths import data_folder, make_folder, refuse_writable
from ledger.signing.certificates import load_roots, pem_text
from ledger.signing.envelope import Envelope, sign_statement
from ledger.signing.keys import check_curve, key_id, load_public, public_pem, read_key
from ledger.signing.signer import Signer
from ledger.signing.statement import Statement, json_array, json_object
from ledger.signing.trust import Revocation, Trust, format_time, parse_time, verify_envelope

ROTATION_PREDICATE = "https://contraste.dev/key-rotation/v1"
REVOCATION_PREDICATE = "https://contraste.dev/revocations/v1"
BINDING_PREDICATE = "https://contraste.dev/key-binding/v1"
BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


def trust_key(key: ec.EllipticCurvePublicKey) -> str:
    """Add a public key to the trusted keys of this user, and return its key id."""
    identifier = key_id(key)
    _keep("trusted", f"{identifier}.pem", public_pem(key))
    return identifier


def trusted_keys() -> Trust:
    """Return the user's trusted keys and authorities, and what is known of revoked keys and of accounts.

    Raises
    ------
    KeyUnusable
        If a file in the trusted folder is no public key or certificate, or everybody can write there.
    Malformed, SignatureInvalid
        If a revocation list or binding that was kept is damaged.
    """
    folder = data_folder()
    places = [folder / kind for kind in ("trusted", "revoked", "accounts")]
    refuse_writable(folder, *places, *(file for place in places for file in sorted(place.glob("*"))))
    keys = [load_public(file) for file in sorted((folder / "trusted").glob("*.pem"))]
    roots = [root for file in sorted((folder / "trusted").glob("*.crt")) for root in load_roots(file)]
    trust = Trust({key_id(key): key for key in keys}, tuple(roots))
    for file in sorted((folder / "revoked").glob("*.sig")):
        for entry in _RevocationList.read(file, trust).revocations:
            known = trust.revoked.setdefault(entry.key, entry)
            if entry.since < known.since:  # the earliest counts: a later entry can't give a key back
                trust.revoked[entry.key] = entry
    for file in sorted((folder / "accounts").glob("*.sig")):
        envelope = Envelope.from_bytes(read_bytes(file, MAX_RECORD_BYTES), source=str(file))
        trust.accounts[envelope.keyid] = check_binding(envelope, trust)
    return trust


def with_files(trust: Trust, files: Sequence[Path]) -> Trust:
    """Return `trust` with the public keys and certificate authorities in some PEM files besides."""
    keys, roots = dict(trust), list(trust.roots)
    for file in files:
        if not file.is_dir() and BEGIN_CERTIFICATE in read_key(file):
            roots += load_roots(file)
        else:
            key = load_public(file)
            keys[key_id(key)] = key
    return Trust(keys, tuple(roots), trust.revoked, trust.accounts)


def import_trusted(path: Path) -> str:
    """Trust what a file holds, and return one line about it.

    Parameters
    ----------
    path : Path
        A public key or certificate authority (PEM), a folder with ``public.pem``, or a statement about keys.

    Raises
    ------
    KeyUnusable
        If a PEM file is neither.
    SignatureInvalid, SignerUnknown, KeyRevoked
        If a statement is not by a trusted key.
    Malformed
        If a statement breaks its format, or a revocation list does not begin with the one that is known.
    """
    file = path / "public.pem" if path.is_dir() else path
    data = read_key(file)
    if BEGIN_CERTIFICATE in data:
        return _import_roots(file)
    if not data.lstrip().startswith(b"{"):
        return trust_key(load_public(file))
    trust = trusted_keys()
    envelope = Envelope.from_bytes(data, source=str(file))
    statement = verify_envelope(envelope, trust, timeless=True)
    if statement.predicate_type == ROTATION_PREDICATE:
        return trust_key(_successor(envelope, trust))
    if statement.predicate_type == REVOCATION_PREDICATE:
        new = _RevocationList.of(envelope, trust, str(file))
        new.keep()
        return f"{len(new.entries)} revocations by {envelope.keyid}"
    if statement.predicate_type == BINDING_PREDICATE:
        account = check_binding(envelope, trust)
        _keep("accounts", f"{envelope.keyid}.sig", data)
        return f"{account} is the account of {envelope.keyid}"
    raise Malformed(f"{file}: a statement of the type {statement.predicate_type!r} says nothing about keys")


def _import_roots(file: Path) -> str:
    roots = load_roots(file)
    for root in roots:
        _keep("trusted", f"{root.fingerprint(hashes.SHA256()).hex()}.crt", pem_text(root).encode())
    return f"{len(roots)} certificate authorities"


def rotate(old: Signer, new: ec.EllipticCurvePublicKey) -> Envelope:
    """Return the statement of the old key that `new` is its successor."""
    predicate = {"successor": public_pem(new).decode(), "time": format_time(datetime.now(UTC))}
    # The key id is the digest of public.pem, so the subject is that file.
    statement = Statement({"public.pem": Digest.from_hex(key_id(new))}, ROTATION_PREDICATE, predicate)
    return sign_statement(statement, old.key, old.certificates)


def _successor(envelope: Envelope, trust: Trust) -> ec.EllipticCurvePublicKey:
    """Return the key that a rotation statement by a trusted key names."""
    statement = verify_envelope(envelope, trust)
    entry = json_object(statement.predicate, "rotation", {"successor", "time"})
    try:
        key = serialization.load_pem_public_key(str(entry["successor"]).encode())
    except ValueError:
        raise Malformed("the rotation statement holds no PEM public key") from None
    found = check_curve(key, "the successor")
    if statement.subjects != {"public.pem": Digest.from_hex(key_id(found))}:
        raise Malformed("the rotation statement is about another key than it holds")
    return found


@dataclass(frozen=True, slots=True)
class _RevocationList:
    """A revocation list: its signed form, and its entries as JSON and parsed."""

    envelope: Envelope
    entries: tuple[dict[str, Any], ...]
    revocations: tuple[Revocation, ...]

    @classmethod
    def read(cls, file: Path, trust: Trust) -> _RevocationList:
        return cls.of(Envelope.from_bytes(read_bytes(file, MAX_RECORD_BYTES), source=str(file)), trust, str(file))

    @classmethod
    def of(cls, envelope: Envelope, trust: Trust, source: str) -> _RevocationList:
        # A key may revoke itself, so its own revocation does not take its list away.
        statement = verify_envelope(envelope, trust, timeless=True)
        if statement.predicate_type != REVOCATION_PREDICATE:
            raise Malformed(f"{source}: {statement.predicate_type!r} is no revocation list")
        entries = json_array(json_object(statement.predicate, source, {"entries"})["entries"], "entries")
        roots = []
        for item in entries:
            entry = json_object(item, source, {"key", "since", "reason", "noted"}, {"rotation"})
            key = Digest.from_hex(entry["key"]).hex
            if key != envelope.keyid:
                _check_authority(entry.get("rotation"), key, envelope, trust, source)
            parse_time(entry["noted"])
            roots.append(Revocation(key, parse_time(entry["since"]), str(entry["reason"])))
        return cls(envelope, tuple(entries), tuple(roots))

    def keep(self) -> None:
        """Put the list in the place of the one that is known; raises `Malformed` where it does not extend it."""
        known = data_folder() / "revoked" / f"{self.envelope.keyid}.sig"
        if known.exists():
            old = Statement.from_bytes(Envelope.from_bytes(read_bytes(known), source=str(known)).payload)
            before = old.predicate["entries"]
            if list(self.entries[: len(before)]) != before:
                raise Malformed(
                    f"the revocation list of {self.envelope.keyid[:16]}... does not begin with the {len(before)} "
                    "entries that are known; lists only grow, so one of the two is not to be trusted"
                )
        _keep("revoked", f"{self.envelope.keyid}.sig", self.envelope.to_bytes())


def _check_authority(rotation: object, key: str, envelope: Envelope, trust: Trust, source: str) -> None:
    """Return None if `key` named the signer of a list as its successor; raises `SignatureInvalid`."""
    fault = f"{source}: {envelope.keyid[:16]}... may not revoke {key[:16]}..."
    if rotation is None:
        raise SignatureInvalid(f"{fault}: only a key itself, or the successor that it named, may")
    named = Envelope.from_bytes(canonical_json(rotation), source=f"{source}: rotation")
    if named.keyid != key or key not in trust:
        raise SignatureInvalid(f"{fault}: the rotation is not by that key, or that key is not known here")
    if key_id(_successor(named, Trust({key: trust[key]}))) != envelope.keyid:
        raise SignatureInvalid(f"{fault}: that key named another successor")


def revoke(signer: Signer, key: str, *, since: datetime, reason: str, rotation: Envelope | None = None) -> Envelope:
    """Add a key to the signer's revocation list, keep the list, and return it.

    Parameters
    ----------
    signer : Signer
        The key itself, or its successor; trusted here.
    key : str
        Key id of what is revoked.
    since : datetime
        From when on its signatures are not to be believed.
    reason : str
        For people, not empty.
    rotation : Envelope, optional
        Where `signer` is the successor: the statement of the old key that says so.

    Raises
    ------
    SignatureInvalid
        If the signer may not revoke that key.
    Malformed
        For a key id that is none, or an empty reason.
    """
    if not reason:
        raise Malformed("a revocation needs a reason")
    trust = trusted_keys()
    entry: dict[str, Any] = {
        "key": Digest.from_hex(key).hex,
        "since": format_time(since),
        "reason": reason,
        "noted": format_time(datetime.now(UTC)),
    }
    if rotation is not None:
        entry["rotation"] = parse_json(rotation.to_bytes(), source="rotation")
    own = key_id(signer.key.public_key())
    known = data_folder() / "revoked" / f"{own}.sig"
    before = _RevocationList.read(known, trust).entries if known.exists() else ()
    entries = [*before, entry]
    subjects = {f"key/{item['key']}": Digest.from_hex(item["key"]) for item in entries}
    envelope = sign_statement(
        Statement(subjects, REVOCATION_PREDICATE, {"entries": entries}), signer.key, signer.certificates
    )
    _RevocationList.of(envelope, trust, "the new list").keep()
    return envelope


def binding_digest(identifier: str, account: str, issued: int) -> bytes:
    """Return what the account signs: the EIP-712 hash of ``KeyBinding(bytes32 key, address account, uint64 issued)``.

    The domain is ``EIP712Domain(string name, string version)`` with ``contraste`` and ``1``; it names no chain, since
    a key is bound to an account on all of them.
    """
    from ledger.hashes.merkle import keccak256  # its library takes 50 ms to load, and most commands meet no account

    domain = keccak256(
        keccak256(b"EIP712Domain(string name,string version)") + keccak256(b"contraste") + keccak256(b"1")
    )
    message = keccak256(
        keccak256(b"KeyBinding(bytes32 key,address account,uint64 issued)")
        + bytes.fromhex(identifier)
        + bytes.fromhex(account[2:]).rjust(32, b"\0")
        + issued.to_bytes(32)
    )
    return keccak256(b"\x19\x01" + domain + message)


def bind_account(signer: Signer, account_key: bytes) -> Envelope:
    """Return the statement that binds a signing key and an Ethereum account, signed by both, and keep it.

    Parameters
    ----------
    signer : Signer
        The signing key, trusted here.
    account_key : bytes
        32 bytes, the private key of the account.

    Raises
    ------
    ExtraMissing
        Without eth-account, which signs for the account.
    """
    from ledger.errors import requires_extra  # as above

    with requires_extra():
        from eth_account import Account
    account = Account.from_key(account_key)
    identifier, issued = key_id(signer.key.public_key()), datetime.now(UTC)
    signed = account.unsafe_sign_hash(binding_digest(identifier, account.address, int(issued.timestamp())))
    public = ec.derive_private_key(int.from_bytes(account_key), ec.SECP256K1()).public_key().public_numbers()
    predicate = {
        "account": account.address,
        "accountKey": (public.x.to_bytes(32) + public.y.to_bytes(32)).hex(),
        "issued": format_time(issued),
        "signature": "0x" + bytes(signed.signature).hex(),
    }
    subject = {"public.pem": Digest.from_hex(identifier)}
    envelope = sign_statement(Statement(subject, BINDING_PREDICATE, predicate), signer.key, signer.certificates)
    check_binding(envelope, Trust({identifier: signer.key.public_key()}))
    _keep("accounts", f"{identifier}.sig", envelope.to_bytes())
    return envelope


def check_binding(envelope: Envelope, trust: Trust) -> str:
    """Return the Ethereum address of a binding that both sides have signed.

    The account's signature is checked with its public key, whose Keccak-256 hash the address is the end of (Yellow
    Paper, appendix F), so no Ethereum library is needed.

    Raises
    ------
    SignatureInvalid
        If the signing key is not trusted, or one of the two signatures is wrong.
    Malformed
        If the statement breaks its format, or is about another key than the one that signed it.
    """
    from ledger.hashes.merkle import keccak256

    statement = verify_envelope(envelope, trust, timeless=True)
    if statement.predicate_type != BINDING_PREDICATE:
        raise Malformed(f"{statement.predicate_type!r} is no binding of a key and an account")
    entry = json_object(statement.predicate, "binding", {"account", "accountKey", "issued", "signature"})
    forms = {"account": r"0x[0-9a-fA-F]{40}", "accountKey": r"[0-9a-f]{128}", "signature": r"0x[0-9a-f]{130}"}
    for name, form in forms.items():
        if not isinstance(entry[name], str) or not re.fullmatch(form, entry[name]):
            raise Malformed(f"binding: {name} {entry[name]!r} has the wrong form")
    if statement.subjects != {"public.pem": Digest.from_hex(envelope.keyid)}:
        raise Malformed("the binding is about another key than the one that signed it")
    account, raw = str(entry["account"]), bytes.fromhex(entry["accountKey"])
    if keccak256(raw)[12:] != bytes.fromhex(account[2:]):
        raise SignatureInvalid(f"the binding's account {account} is not that of the public key in it")
    signature = bytes.fromhex(entry["signature"][2:])
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]))
    issued = int(parse_time(entry["issued"]).timestamp())
    if issued < 0:
        raise Malformed(f"binding: issued {entry['issued']} is before 1970")
    digest = binding_digest(envelope.keyid, account, issued)
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), b"\x04" + raw)
        public.verify(der, digest, ec.ECDSA(Prehashed(hashes.SHA256())))  # the hash is Keccak's, of the same length
    except (InvalidSignature, ValueError):
        raise SignatureInvalid(f"the account {account} did not sign the binding") from None
    return account


def _keep(kind: str, name: str, data: bytes) -> None:
    folder = data_folder() / kind
    make_folder(folder)
    write_atomic(folder / name, data)

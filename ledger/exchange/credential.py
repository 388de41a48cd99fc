"""C2PA credentials of tracks: issued, kept, and judged (C2PA 2.1; CAWG training and data mining 1.1).

A credential is a C2PA manifest store. WAV, MP3, FLAC and M4A carry it inside, unless something else in them would not
stay as it is (`ledger.exchange.contents`); beside those and any other ``x`` it lies as ``x.c2pa``, which is the one
that counts where it is there. `ledger.exchange.c2pa_engine` reads them.

What a credential says:

- ``c2pa.created`` with its digital source type and the model as software agent; ``c2pa.opened`` where the file had
  a credential before, which becomes the parent ingredient, or where nothing tells that a model made it;
- model and data set as ingredients (``inputTo``), each bound by the hash of a ``data`` resource: the engine keeps
  no digest of an ingredient that has no manifest of its own;
- ``cawg.training-mining``: whether others may learn from the track;
- ``dev.contraste.provenance``: the digests of run record, model, data set and audit report.

The engine's state ``Valid`` only says that a file is as somebody signed it, a stranger for instance. So trust is
asked for apart: a credential is `trusted` where the engine says ``Trusted``, which it can only for an authority or
a certificate named to it, and we name the certificates of the trusted keys. Where a trusted key is what made it
trusted, the signer is told by the key's id: anybody can write a certificate with another name around a public key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import ExtraMissing, KeyRevoked, LinkRefused, Malformed, PathRefused
from ledger.exchange.c2pa_engine import (
    SIDECAR,
    content_of,
    context_of,
    credential_file,
    engine,
    engine_report,
    held_store,
)
from ledger.hashes.digest import Digest, canonical_json, hash_bytes
from ledger.hashes.manifest import check_name
from ledger.links import Link, LinkVerdict
from ledger.media import magic_of, media_type
from ledger.paths import beside
from ledger.provenance.record import read_record
from ledger.signing.certificates import UNREADABLE, is_for_time_stamps, pem_text
from ledger.signing.keys import key_id
from ledger.signing.statement import Origin
from ledger.signing.trust import Trust
from messages import message

MARK = b"c2pa"
"""Label of a manifest store: bytes that stand in every file with a credential inside (C2PA 2.1, chapter 11)."""
PROVENANCE, MINING, ACTIONS = "dev.contraste.provenance", "cawg.training-mining", "c2pa.actions.v2"
SIGNER_CODES = ("signingCredential.", "claimSignature.outsideValidity")
"""Status codes about the signer; the others are about the file and what is said of it."""
MAX_CERTIFICATES = 1000
"""Most places in a manifest store at which a certificate is looked for."""
LINKS: dict[str, tuple[LinkVerdict, str]] = {
    "unknown": ("unchecked", "signer-unknown"),
    "trusted": ("ok", "ok"),
    "tampered": ("broken", "credential-tampered"),
    "unreadable": ("unchecked", "credential-unreadable"),
    "revoked": ("broken", "key-revoked"),
}
"""Verdict and code of a link of `ledger.verify`; those of ``none`` depend on what the statement says."""
Verdict = Literal["none", "unknown", "trusted", "tampered", "unreadable", "revoked"]
"""Verdict on a credential.

none
    There is none, which proves nothing: it is easily stripped.
unknown
    The file is as it was signed, by somebody who is not trusted here, or whose certificate has expired.
trusted
    The file is as it was signed by a trusted key, or under a trusted authority.
tampered
    File or credential were altered or damaged.
unreadable
    The engine can't look into the file, so nothing is known: it is of another format than its name says (RF64, Wave64,
    AU, CAF), or damaged without any trace of a credential in it.
revoked
    Signed by a key, or under a certificate, that was revoked.
"""


@dataclass(frozen=True, slots=True)
class Credential:
    """What was found in or beside a file.

    Parameters
    ----------
    verdict : str
        See `Verdict`.
    detail : str
        Why, in one line for people.
    manifest : mapping
        The active manifest as the engine reports it; empty without one. Only a ``trusted`` one says anything.
    time : datetime or None
        Time of signing, out of a time stamp by a trusted authority.
    """

    verdict: Verdict
    detail: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    time: datetime | None = None

    def assertion(self, label: str) -> Any:
        """Return the data of the first assertion with a label, or None."""
        assertions = self.manifest.get("assertions")
        found = [one for one in assertions if isinstance(one, dict)] if isinstance(assertions, list) else []
        return next((one.get("data") for one in found if one.get("label") == label), None)

    @property
    def action(self) -> Mapping[str, Any]:
        """The first action, which tells how the file came about; empty where there is none."""
        data = self.assertion(ACTIONS)
        actions = data.get("actions") if isinstance(data, dict) else None
        return actions[0] if isinstance(actions, list) and actions and isinstance(actions[0], dict) else {}


def is_music(path: Path) -> bool:
    """Whether a file gets a credential: it is recorded as a track, or of a known format and without a record."""
    if not path.is_file():
        return False
    record = read_record(path)
    return media_type(path) is not None if record is None else record.origin.kind == "track"


def carries(path: Path) -> bool:
    """Whether a file can have a credential inside, or has something beside it that should be one."""
    return path.is_file() and (bool(magic_of(path)) or os.path.lexists(beside(path, SIDECAR)))


def credential_links(
    path: Path, origin: Origin | None, trust: Trust, older: Mapping[str, datetime] | None = None
) -> Iterator[tuple[Link, tuple[str, str] | None]]:
    """Yield a link for each file of an artefact that has a credential, or should have one.

    With each comes name and SHA-256 (hex) of the audit report that a trusted credential names; None for none.

    Parameters
    ----------
    path : Path
        The artefact.
    origin : Origin or None
        What its signed statement says, which names the files that got a credential; None without a statement.
    trust : Trust
        Who may have signed.
    older : mapping of str to datetime, optional
        Times at which files, by name, are known to have been there as they are, from somebody other than the signer.
    """
    try:
        names = [check_name(name) for name in origin.parameters.get("credentials", ())] if origin else []
    except (Malformed, TypeError) as error:
        text = f"the signed statement names no files with credentials: {error}"
        yield Link("credential", str(path), "broken", text, "malformed"), None
        return
    for name in dict.fromkeys([*names, *([path.name] if carries(path) else [])]):
        file = path.parent / name
        at = (older or {}).get(credential_file(file).relative_to(path.parent).as_posix())
        try:
            credential = read_credential(file, trust, at)
        except ExtraMissing as error:
            yield (
                Link("credential", str(file), "unchecked" if name in names else "absent", str(error), error.code),
                None,
            )
            continue
        except PathRefused as error:
            verdict: LinkVerdict = "unchecked" if isinstance(error, LinkRefused) else "missing"
            yield Link("credential", str(file), verdict, str(error), error.code), None
            continue
        claims = credential.assertion(PROVENANCE) if credential.verdict == "trusted" and name in names else None
        if credential.verdict == "none" and name in names:
            text = message("no credential, and the signed statement says that it had one: it was stripped")
            yield Link("credential", str(file), "missing", text, "credential-stripped"), None
        elif credential.verdict == "unreadable" and origin is not None and name not in names:
            text = message("{what:text}; the signed statement names none", what=credential.detail)
            yield Link("credential", str(file), "absent", text, "no-credential"), None
        elif credential.verdict == "none":
            yield Link("credential", str(file), "absent", credential.detail, "no-credential"), None
        elif origin and isinstance(claims, dict) and claims.get("run") != {"sha256": run_digest(origin).hex}:
            text = message("the credential is about another run than the signed statement; sign again")
            yield Link("credential", str(file), "broken", text, "other-run"), None
        else:
            verdict, code = LINKS[credential.verdict]
            yield Link("credential", str(file), verdict, credential.detail, code), _report_in(claims)


def _report_in(claims: object) -> tuple[str, str] | None:
    """Return name and SHA-256 of the audit report that a provenance assertion names."""
    report = claims.get("report") if isinstance(claims, dict) else None
    if not isinstance(report, dict):
        return None
    return str(report.get("name", ""))[:80], str(report.get("sha256", ""))


def run_digest(origin: Origin) -> Digest:
    """Return the digest of what a record says of the making of its track: kind, materials and parameters."""
    fields = origin.to_json()
    fields["parameters"].pop("credentials", None)  # written down after the credentials, which hold this digest
    return hash_bytes(canonical_json(fields))


def read_credential(path: Path, trust: Trust, at: datetime | None = None) -> Credential:
    """Judge the credential of a file; never asks the network.

    Parameters
    ----------
    path : Path
        A file of music; its credential is inside it, or beside it as ``<path>.c2pa``.
    trust : Trust
        Who may have signed.
    at : datetime, optional
        A time at which the credential is known to have been there, from somebody other than the signer; a time stamp
        in it tells one too.

    Raises
    ------
    ExtraMissing
        If c2pa-python is not installed.
    PathRefused
        If the file cannot be read.
    """
    engine()
    data = content_of(path)
    magic = magic_of(path)
    try:
        if magic and data and not re.match(magic, data, re.DOTALL):
            kind = f"its first bytes are {data[:4]!r}, which is not how the {path.suffix.lower()} files begin"
            return Credential("unreadable", f"can't be checked: {kind} that the engine reads")
        store = held_store(path, data)
        if store is None:
            return Credential("none", message("no credential"))
        certificates = list(_certificates(store))
        pinned = [c for c in certificates if _key_id(c) in trust]
        report = engine_report(path, data, store, context_of(pem_text(*trust.roots), pem_text(*pinned)))
        try:
            credential = _judge(report)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Malformed(f"the engine's report on it can't be understood: {type(error).__name__}") from None
    except Malformed as error:
        if magic and MARK not in data:
            return Credential("unreadable", f"can't be checked, and no trace of a credential is in it: {error}")
        return Credential("tampered", message("tampered: {codes}", codes=error))
    if credential.verdict not in ("trusted", "unknown"):
        return credential
    serial = credential.manifest.get("signature_info", {}).get("cert_serial_number")
    numbers = ((c.serial_number, c) for c in certificates)  # at most 20 bytes (RFC 5280, 4.1.2.2)
    signers = [c for number, c in numbers if number.bit_length() <= 160 and str(number) == serial]
    return _of_signer(credential, signers, trust, at)


def _of_signer(
    credential: Credential, signers: list[x509.Certificate], trust: Trust, at: datetime | None
) -> Credential:
    """Take trust back where the signer's key is revoked, or its certificate is one for time stamps.

    The latter c2pa-rs 0.91 lets sign claims, so that who trusts an authority for the time would trust its credentials.
    `signers`: the certificates with the serial number of the signer's, which is one of them; another that was put
    there to confuse can only cost the file its trust.
    """
    known = min((time for time in (credential.time, at) if time is not None), default=None)
    for certificate in signers:
        try:
            trust.check_revoked(_key_id(certificate), known)
        except KeyRevoked as error:
            return Credential("revoked", message("revoked: {error:text}", error=error), credential.manifest)
    keys = [_key_id(certificate) for certificate in signers if _key_id(certificate) in trust]
    if credential.verdict == "trusted" and keys:
        key = message("key {key:word}...", key=keys[0][:16])
        credential = replace(credential, detail=credential.detail.replace(_signer(credential.manifest), key, 1))
    fit = signers and not any(is_for_time_stamps(certificate) for certificate in signers)
    if credential.verdict == "unknown" or fit:
        return credential
    text = message("signer unknown: its certificate is not one for claims")
    return Credential("unknown", text, credential.manifest)


def _judge(report: Mapping[str, Any]) -> Credential:
    """Turn the engine's report into a verdict."""
    manifest = report["manifests"][report["active_manifest"]]
    results = report["validation_results"]
    groups = [results["activeManifest"], *(d["validationDeltas"] for d in results.get("ingredientDeltas") or ())]
    failures = [failure for group in groups for failure in group.get("failure", ())]
    codes = {failure["code"] for failure in failures}
    stamped = any(status["code"] == "timeStamp.trusted" for status in groups[0].get("success", ()))
    signature = manifest.get("signature_info", {})
    time = _time(signature["time"]) if stamped and "time" in signature else None
    signer = _signer(manifest)
    if report["validation_state"] == "Trusted":
        text = message(
            "trusted: signed by {signer:text} at {time} UTC" if time else "trusted: signed by {signer:text}",
            signer=signer,
            time=time and f"{time:%Y-%m-%d %H:%M:%S}",
        )
        return _with_what_it_says(Credential("trusted", text, manifest, time))
    if "signingCredential.ocsp.revoked" in codes:
        return Credential("revoked", message("revoked: the certificate of {signer} was", signer=signer), manifest)
    if codes and all(code.startswith(SIGNER_CODES) for code in codes):
        why = "; ".join(sorted({f["explanation"] for f in failures if f["code"] != "signingCredential.untrusted"}))
        text = message(
            "signer unknown: the certificate of {signer}: {why}"
            if why
            else "signer unknown: the certificate of {signer} is not trusted here; add the signer's key or authority "
            "if it should be",
            signer=signer,
            why=why,
        )
        return Credential("unknown", text, manifest)
    named = "; ".join(sorted(codes)) or f"state {report['validation_state']}"
    return Credential("tampered", message("tampered: {codes}", codes=named), manifest)


def _time(text: object) -> datetime | None:
    """Return the time that the engine read out of a time stamp; None where it is none that this program knows."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _signer(manifest: Mapping[str, Any]) -> str:
    """Return the name in the signer's certificate, quoted: it is the signer's own word, and can't pass for ours."""
    signature = manifest.get("signature_info", {})
    return repr((signature.get("common_name") or signature.get("issuer") or "nobody")[:80])


def _with_what_it_says(credential: Credential) -> Credential:
    """Add to the detail how the file came about: digital source type, and the model with its digest."""
    claims = credential.assertion(PROVENANCE)
    source = str(credential.action.get("digitalSourceType", "")).rpartition("/")[2]
    model = claims.get("model") if isinstance(claims, dict) else None
    sentences = [repr(source)[1:-1]] if source else []
    if isinstance(model, dict):
        digest = repr(str(model.get("sha256"))[:16])[1:-1]
        sentences.append(f"model {model.get('name')!r} {digest}...")
    return replace(credential, detail=f"{credential.detail}; {', '.join(sentences)}") if sentences else credential


def _certificates(store: bytes) -> Iterator[x509.Certificate]:
    """Yield every certificate that stands in a manifest store, as DER, whoever put it there.

    They are candidates, not facts: the engine is told which of them we would accept, and itself checks which of them
    the signature belongs to. So nothing hangs on where they stand.
    """
    for number, place in enumerate(re.finditer(rb"(?=\x30\x82(..))", store, re.DOTALL)):
        if number == MAX_CERTIFICATES:
            return
        length = 4 + int.from_bytes(place[1], "big")
        try:
            yield x509.load_der_x509_certificate(store[place.start() : place.start() + length])
        except UNREADABLE:
            continue


def _key_id(certificate: x509.Certificate) -> str:
    """Return the key id of a certificate, "" where its key is on no elliptic curve."""
    try:
        key = certificate.public_key()
    except UNREADABLE:
        return ""
    return key_id(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""

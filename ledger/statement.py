"""in-toto statements in DSSE envelopes, signed with ECDSA P-256 and SHA-256.

Statement: in-toto Attestation Framework v1. Envelope: DSSE 1.0.2, of which this module accepts a strict
part: one signature, with a key id, standard base64, no unknown fields. Signing is deterministic (RFC 6979),
so equal input gives equal bytes. The signature covers ``DSSEv1 <len> <type> <len> <body>`` and nothing else.

Predicates:

folder
    OpenSSF model signing 1.0 (``resources`` and ``serialization``), with our ``kind``, ``materials`` and
    ``parameters`` beside them, which the specification tells other verifiers to ignore.
track
    SLSA provenance 1.0: ``externalParameters`` are seed and settings, ``resolvedDependencies`` the model.
report, file
    Our own: ``kind``, ``materials`` and ``parameters``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.digest import Digest, canonical_json, parse_json
from ledger.errors import Malformed, SignatureInvalid
from ledger.keys import key_id
from ledger.manifest import Manifest, check_name

__all__ = [
    "KINDS",
    "MATERIAL_KINDS",
    "PAYLOAD_TYPE",
    "Envelope",
    "Material",
    "Origin",
    "Statement",
    "file_statement",
    "folder_statement",
    "origin_of",
    "pre_authentication_encoding",
    "sign_statement",
    "signed_manifest",
    "verify_envelope",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
FOLDER_PREDICATE = "https://model_signing/signature/v1.0"
TRACK_PREDICATE = "https://slsa.dev/provenance/v1"
REPORT_PREDICATE = "https://contraste.dev/audit-report/v1"
FILE_PREDICATE = "https://contraste.dev/file/v1"
BUILD_TYPE = "https://contraste.dev/generation/v1"
BUILDER_ID = "https://contraste.dev/generator/v1"
SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}

KINDS = ("dataset", "model", "track", "report", "folder", "file")
"""What a signed artefact can be; the last two have no provenance record."""
MATERIAL_KINDS = ("dataset", "model", "track", "policy")
"""What an artefact can be made from."""


@dataclass(frozen=True, slots=True)
class Material:
    """Something an artefact was made from.

    Parameters
    ----------
    kind : str
        One of `MATERIAL_KINDS`.
    name : str
        Its name for people; not empty.
    digest : Digest
        Manifest root of a folder, SHA-256 of a file.
    path : str or None
        Where it lay, as a POSIX path relative to the folder of the record (for a folder, the folder
        itself). A hint only: what is found there must have the digest.
    """

    kind: str
    name: str
    digest: Digest
    path: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind, an empty name and an absolute path."""
        if self.kind not in MATERIAL_KINDS:
            raise Malformed(f"material kind {self.kind!r} is not one of {', '.join(MATERIAL_KINDS)}")
        if not self.name:
            raise Malformed("the name of a material may not be empty")
        path = self.path
        if path is not None and (not path or "\0" in path or PurePosixPath(path).is_absolute()):
            raise Malformed(f"material path {path!r} is not a relative path or null")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form of provenance records and statements."""
        return {
            "kind": self.kind,
            "name": self.name,
            "digest": {"sha256": self.digest.hex},
            "path": self.path,
        }

    @classmethod
    def from_json(cls, value: object) -> Material:
        """Parse what `to_json` writes (``path`` may be left out); raises `Malformed`."""
        entry = _object(value, "material", {"kind", "name", "digest"}, {"path"})
        path = entry.get("path")
        if not isinstance(entry["name"], str) or not (path is None or isinstance(path, str)):
            raise Malformed("the name of a material must be a string, and its path a string or null")
        return cls(entry["kind"], entry["name"], _sha256(entry["digest"]), path)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a statement says about where its artefact comes from.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    materials : tuple of Material
        In the order of the record.
    parameters : mapping
        Any JSON, e.g. seed and settings.
    """

    kind: str
    materials: tuple[Material, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown kind and parameters that are no object."""
        if self.kind not in KINDS:
            raise Malformed(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if not isinstance(self.parameters, Mapping):
            raise Malformed(f"parameters {self.parameters!r} is not a JSON object")

    def to_json(self) -> dict[str, Any]:
        """Return kind, materials and parameters as one JSON object."""
        return {
            "kind": self.kind,
            "materials": [material.to_json() for material in self.materials],
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_json(cls, value: object) -> Origin:
        """Parse what `to_json` writes; raises `Malformed`."""
        entry = _object(value, "predicate", {"kind", "materials", "parameters"})
        materials = tuple(Material.from_json(item) for item in _list(entry["materials"], "materials"))
        return cls(entry["kind"], materials, entry["parameters"])


@dataclass(frozen=True, slots=True)
class Statement:
    """An in-toto statement.

    Parameters
    ----------
    subjects : mapping of str to Digest
        What the statement is about, by name; not empty.
    predicate_type : str
        URI of the predicate.
    predicate : mapping
        What is said.
    """

    subjects: Mapping[str, Digest]
    predicate_type: str
    predicate: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """Return the payload: canonical JSON, subjects in the order of their names."""
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [
                    {"name": name, "digest": {"sha256": digest.hex}} for name, digest in sorted(self.subjects.items())
                ],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )

    @classmethod
    def from_bytes(cls, payload: bytes, *, source: str = "statement") -> Statement:
        """Parse a payload; raises `Malformed` for anything but a v1 statement with distinct subjects."""
        value = parse_json(payload, source=source)
        entry = _object(value, source, {"_type", "subject", "predicateType", "predicate"})
        if entry["_type"] != STATEMENT_TYPE:
            raise Malformed(f"{source}: _type {entry['_type']!r} is not {STATEMENT_TYPE}")
        if not isinstance(entry["predicateType"], str) or not isinstance(entry["predicate"], dict):
            raise Malformed(f"{source}: predicateType must be a string and predicate an object")
        subjects: dict[str, Digest] = {}
        for item in _list(entry["subject"], "subject"):
            subject = _object(item, "subject", {"name", "digest"})
            name = check_name(subject["name"])
            if name in subjects:
                raise Malformed(f"{source}: the subject {name!r} stands there twice")
            subjects[name] = _sha256(subject["digest"])
        if not subjects:
            raise Malformed(f"{source}: the statement has no subject")
        return cls(subjects, entry["predicateType"], entry["predicate"])


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope with one signature.

    Parameters
    ----------
    payload : bytes
        The signed bytes.
    keyid : str
        Key id of the signer; a hint, not signed.
    signature : bytes
        DER form of the ECDSA signature. Never use it as an identifier: it is malleable.
    """

    payload: bytes
    keyid: str
    signature: bytes

    def to_bytes(self) -> bytes:
        """Return the envelope as canonical JSON with a final newline."""
        value = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": self.keyid, "sig": base64.b64encode(self.signature).decode()}],
        }
        return canonical_json(value) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, source: str = "envelope") -> Envelope:
        """Parse an envelope.

        Raises
        ------
        Malformed
            For other JSON, unknown or absent fields, another payload type, bad base64, or not exactly one
            signature with a key id.
        """
        value = parse_json(data, source=source)
        entry = _object(value, source, {"payload", "payloadType", "signatures"})
        if entry["payloadType"] != PAYLOAD_TYPE:
            raise Malformed(f"{source}: payloadType {entry['payloadType']!r} is not {PAYLOAD_TYPE}")
        signatures = _list(entry["signatures"], "signatures")
        if len(signatures) != 1:
            raise Malformed(f"{source}: {len(signatures)} signatures; exactly one is allowed")
        signature = _object(signatures[0], "signature", {"keyid", "sig"})
        # 64 hexadecimal digits, the same rule as for digests.
        keyid = Digest.from_hex(signature["keyid"]).hex
        return cls(_base64(entry["payload"], source), keyid, _base64(signature["sig"], source))


def pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs: ``DSSEv1 <len> <type> <len> <body>`` (DSSE protocol, PAE)."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def sign_statement(statement: Statement, key: ec.EllipticCurvePrivateKey) -> Envelope:
    """Sign a statement with a P-256 key; the same statement and key give the same bytes (RFC 6979)."""
    payload = statement.to_bytes()
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    signature = key.sign(pre_authentication_encoding(payload), algorithm)
    return Envelope(payload, key_id(key.public_key()), signature)


def verify_envelope(envelope: Envelope, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> Statement:
    """Return the statement of an envelope that one of `keys` has signed.

    Parameters
    ----------
    envelope : Envelope
        From a file nobody vouches for.
    keys : mapping of str to public key
        The keys that are trusted, by key id.

    Raises
    ------
    SignatureInvalid
        If the signer's key is not among `keys`, or the signature does not fit payload and key.
    Malformed
        If the payload is no in-toto statement.
    """
    key = keys.get(envelope.keyid)
    if key is None:
        raise SignatureInvalid(
            f"signed by the key {envelope.keyid[:16]}..., which is not trusted here; "
            "if it should be, get the signer's public.pem from a source you trust and add it"
        )
    try:
        body = pre_authentication_encoding(envelope.payload)
        key.verify(envelope.signature, body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise SignatureInvalid(
            f"the signature does not belong to the payload and the key {envelope.keyid[:16]}..."
        ) from None
    return Statement.from_bytes(envelope.payload)


def folder_statement(name: str, manifest: Manifest, origin: Origin) -> Statement:
    """Return the statement for a folder: its root digest as subject, its files as resources."""
    resources = [{"name": file, "digest": digest.hex, "algorithm": "sha256"} for file, digest in manifest.files.items()]
    predicate = {"resources": resources, "serialization": SERIALIZATION} | origin.to_json()
    return Statement({name: manifest.root}, FOLDER_PREDICATE, predicate)


def file_statement(subjects: Mapping[str, Digest], origin: Origin) -> Statement:
    """Return the statement for a file and the files that belong to it, all of them subjects."""
    if origin.kind != "track":
        predicate_type = REPORT_PREDICATE if origin.kind == "report" else FILE_PREDICATE
        return Statement(subjects, predicate_type, origin.to_json())
    dependencies = [
        {
            "name": material.name,
            "digest": {"sha256": material.digest.hex},
            "annotations": {"kind": material.kind, "path": material.path},
        }
        for material in origin.materials
    ]
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": dict(origin.parameters),
            "internalParameters": {},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {"builder": {"id": BUILDER_ID}},
    }
    return Statement(subjects, TRACK_PREDICATE, predicate)


def origin_of(statement: Statement) -> Origin:
    """Return what a statement says about the origin of its subjects.

    Raises
    ------
    Malformed
        For an unknown predicate type, or a predicate that is not as this program writes it.
    """
    predicate = statement.predicate
    if statement.predicate_type == FOLDER_PREDICATE:
        fields = ("kind", "materials", "parameters")
        return Origin.from_json({name: predicate[name] for name in fields if name in predicate})
    if statement.predicate_type in (REPORT_PREDICATE, FILE_PREDICATE):
        return Origin.from_json(predicate)
    if statement.predicate_type != TRACK_PREDICATE:
        raise Malformed(f"predicate type {statement.predicate_type!r} is unknown here")
    build = _object(
        _object(predicate, "predicate", {"buildDefinition", "runDetails"})["buildDefinition"],
        "buildDefinition",
        {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"},
    )
    if build["buildType"] != BUILD_TYPE:
        raise Malformed(f"buildType {build['buildType']!r} is not {BUILD_TYPE}")
    materials = []
    for item in _list(build["resolvedDependencies"], "resolvedDependencies"):
        entry = _object(item, "resolvedDependencies", {"name", "digest", "annotations"})
        notes = _object(entry["annotations"], "annotations", {"kind", "path"})
        materials.append(Material.from_json(notes | {"name": entry["name"], "digest": entry["digest"]}))
    return Origin("track", tuple(materials), build["externalParameters"])


def signed_manifest(statement: Statement) -> Manifest:
    """Return the manifest of the folder that a statement is about.

    Raises
    ------
    Malformed
        If the statement is not about a folder, has more than one subject, or its resources are unsorted,
        named twice, hashed by other rules than ours, or do not give the subject's digest.
    """
    if statement.predicate_type != FOLDER_PREDICATE:
        raise Malformed(f"the statement is about a file ({statement.predicate_type}), not about a folder")
    if statement.predicate.get("serialization") != SERIALIZATION:
        raise Malformed(f"serialization {statement.predicate.get('serialization')!r} is not {SERIALIZATION!r}")
    files: dict[str, Digest] = {}
    names = []
    for item in _list(statement.predicate.get("resources"), "resources"):
        entry = _object(item, "resource", {"name", "digest", "algorithm"})
        if entry["algorithm"] != "sha256":
            raise Malformed(f"resource algorithm {entry['algorithm']!r} is not sha256")
        names.append(check_name(entry["name"]))
        files[names[-1]] = Digest.from_hex(entry["digest"])
    if names != sorted(files):
        raise Malformed("the resources are not sorted by name, or one stands there twice")
    manifest = Manifest(files)
    if list(statement.subjects.values()) != [manifest.root]:
        raise Malformed("the subject is not the root digest of the resources")
    return manifest


def _object(
    value: object, what: str, names: set[str], optional: set[str] | frozenset[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what}: expected a JSON object, found {type(value).__name__}")
    if absent := names - value.keys():
        raise Malformed(f"{what}: the field {sorted(absent)[0]!r} is absent")
    if unknown := value.keys() - names - optional:
        raise Malformed(f"{what}: the field {sorted(unknown)[0]!r} is unknown")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"{what}: expected a JSON array, found {type(value).__name__}")
    return value


def _sha256(value: object) -> Digest:
    return Digest.from_hex(_object(value, "digest", {"sha256"})["sha256"])


def _base64(value: object, source: str) -> bytes:
    try:
        data = base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(f"{source}: a field is not standard base64") from None
    if base64.b64encode(data).decode() != value:
        raise Malformed(f"{source}: a base64 field has unused bits set")
    return data

"""in-toto statements (Attestation Framework v1), and what an artefact comes from.

A `Statement` says something (the predicate) about files with a digest (the subjects). Fields that the framework knows
and this program does not use (``uri`` and the like of a subject) are read over, as it demands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ledger.errors import Malformed
from ledger.hashes.digest import Digest, canonical_json, parse_json
from ledger.hashes.manifest import check_name

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
DESCRIPTOR_FIELDS = frozenset({"uri", "content", "downloadLocation", "mediaType", "annotations"})
"""Fields of an in-toto ResourceDescriptor besides name and digest."""

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
        return {"kind": self.kind, "name": self.name, "digest": {"sha256": self.digest.hex}, "path": self.path}

    @classmethod
    def from_json(cls, value: object) -> Material:
        """Parse what `to_json` writes (``path`` may be left out); raises `Malformed`."""
        entry = json_object(value, "material", {"kind", "name", "digest"}, {"path"})
        path = entry.get("path")
        if not isinstance(entry["name"], str) or not (path is None or isinstance(path, str)):
            raise Malformed("the name of a material must be a string, and its path a string or null")
        return cls(entry["kind"], entry["name"], sha256_object(entry["digest"]), path)


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
    environment : mapping
        What it was made with, as far as it is no input: ``code`` (versions by name) and ``hardware``. May be empty.
    """

    kind: str
    materials: tuple[Material, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown kind, parameters that are no object, and another environment."""
        if self.kind not in KINDS:
            raise Malformed(f"kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if not isinstance(self.parameters, Mapping):
            raise Malformed(f"parameters {self.parameters!r} is not a JSON object")
        if self.environment:
            for name, value in json_object(self.environment, "environment", {"code", "hardware"}).items():
                if not isinstance(value, Mapping):
                    raise Malformed(f"environment: {name} {value!r} is not a JSON object")

    def to_json(self) -> dict[str, Any]:
        """Return all of it as one JSON object; an empty environment is left out."""
        value = {
            "kind": self.kind,
            "materials": [material.to_json() for material in self.materials],
            "parameters": dict(self.parameters),
        }
        return value | ({"environment": dict(self.environment)} if self.environment else {})

    @classmethod
    def from_json(cls, value: object) -> Origin:
        """Parse what `to_json` writes; raises `Malformed`."""
        entry = json_object(value, "predicate", {"kind", "materials", "parameters"}, {"environment"})
        materials = tuple(Material.from_json(item) for item in json_array(entry["materials"], "materials"))
        return cls(entry["kind"], materials, entry["parameters"], entry.get("environment", {}))


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
    annotations : mapping of str to mapping
        What is said of a subject beside the predicate, by the subject's name.
    """

    subjects: Mapping[str, Digest]
    predicate_type: str
    predicate: Mapping[str, Any]
    annotations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the payload: canonical JSON, subjects in the order of their names."""
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [
                    {"name": name, "digest": {"sha256": digest.hex}}
                    | ({"annotations": dict(self.annotations[name])} if name in self.annotations else {})
                    for name, digest in sorted(self.subjects.items())
                ],
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )

    @classmethod
    def from_bytes(cls, payload: bytes, *, source: str = "statement") -> Statement:
        """Parse a payload; raises `Malformed` for anything but a v1 statement with distinct subjects."""
        value = parse_json(payload, source=source)
        entry = json_object(value, source, {"_type", "subject", "predicateType", "predicate"})
        if entry["_type"] != STATEMENT_TYPE:
            raise Malformed(f"{source}: _type {entry['_type']!r} is not {STATEMENT_TYPE}")
        if not isinstance(entry["predicateType"], str) or not isinstance(entry["predicate"], dict):
            raise Malformed(f"{source}: predicateType must be a string and predicate an object")
        subjects: dict[str, Digest] = {}
        annotations: dict[str, dict[str, Any]] = {}
        for item in json_array(entry["subject"], "subject"):
            subject = json_object(item, "subject", {"name", "digest"}, DESCRIPTOR_FIELDS)
            name = check_name(subject["name"])
            if name in subjects:
                raise Malformed(f"{source}: the subject {name!r} stands there twice")
            subjects[name] = sha256_object(subject["digest"])
            if "annotations" in subject:
                if not isinstance(subject["annotations"], dict):
                    raise Malformed(f"{source}: the annotations of {name!r} are no JSON object")
                annotations[name] = subject["annotations"]
        if not subjects:
            raise Malformed(f"{source}: the statement has no subject")
        return cls(subjects, entry["predicateType"], entry["predicate"], annotations)


def json_object(
    value: object, what: str, names: set[str], optional: set[str] | frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return `value` if it is a JSON object with all of `names`, perhaps some of `optional`, and nothing else."""
    if not isinstance(value, dict):
        raise Malformed(f"{what}: expected a JSON object, found {type(value).__name__}")
    if absent := names - value.keys():
        raise Malformed(f"{what}: the field {sorted(absent)[0]!r} is absent")
    if unknown := value.keys() - names - optional:
        raise Malformed(f"{what}: the field {sorted(unknown)[0]!r} is unknown")
    return value


def json_array(value: object, what: str) -> list[Any]:
    """Return `value` if it is a JSON array."""
    if not isinstance(value, list):
        raise Malformed(f"{what}: expected a JSON array, found {type(value).__name__}")
    return value


def sha256_object(value: object) -> Digest:
    """Return the digest in an object with exactly ``sha256``."""
    return Digest.from_hex(json_object(value, "digest", {"sha256"})["sha256"])

"""Provenance records, and the signing of paths.

A record tells where an artefact comes from. A folder carries it inside, as ``provenance.json``; a file
``x.mid`` has it beside, as ``x.mid.provenance.json``. Other parts of the program write it; signing reads it,
puts it into the statement, and covers the record file itself. An artefact without a record has no materials.

The signature of ``x`` is the DSSE envelope ``x.sig`` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.digest import Digest, canonical_json, hash_file, parse_json, read_bytes, write_atomic
from ledger.errors import Malformed, ManifestMismatch, PathRefused, SignatureInvalid, Unsigned
from ledger.manifest import Manifest, check_name
from ledger.statement import (
    Envelope,
    Material,
    Origin,
    Statement,
    file_statement,
    folder_statement,
    origin_of,
    sign_statement,
    signed_manifest,
    verify_envelope,
)

__all__ = [
    "RECORD_NAME",
    "RECORD_SCHEMA",
    "Record",
    "Signed",
    "beside",
    "check_content",
    "digest_of",
    "material_of",
    "measure",
    "read_record",
    "read_signed",
    "record_path",
    "sign_path",
    "write_record",
]

RECORD_SCHEMA = "contraste-provenance/1"
RECORD_NAME = "provenance.json"
RECORD_KINDS = ("dataset", "model", "track", "report")


@dataclass(frozen=True, slots=True)
class Record:
    """A provenance record.

    Parameters
    ----------
    origin : Origin
        Kind (``dataset``, ``model``, ``track`` or ``report``), materials and parameters.
    also : tuple of str
        Other files of the same artefact, e.g. the WAV of a MIDI file, as POSIX paths relative to the
        record's folder and below it. Empty for folders, which are covered as a whole.
    """

    origin: Origin
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check kind and names."""
        if self.origin.kind not in RECORD_KINDS:
            raise Malformed(f"record kind {self.origin.kind!r} is not one of {', '.join(RECORD_KINDS)}")
        for name in self.also:
            check_name(name)


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that was checked: who signed what about which path.

    Parameters
    ----------
    path : Path
        The artefact.
    envelope : Envelope
        As read from the ``.sig`` file.
    statement : Statement
        Its payload.
    origin : Origin
        Kind, materials and parameters out of the statement.
    """

    path: Path
    envelope: Envelope
    statement: Statement
    origin: Origin


def beside(path: Path, suffix: str) -> Path:
    """Return the path beside an artefact, e.g. ``store`` and ``.sig`` give ``store.sig``."""
    return _named(path).with_name(_named(path).name + suffix)


def record_path(path: Path) -> Path:
    """Return where the record of an artefact lies: in a folder, or beside a file."""
    return path / RECORD_NAME if path.is_dir() else beside(path, f".{RECORD_NAME}")


def measure(path: Path) -> Manifest | Digest:
    """Hash an artefact: the manifest of a folder, the digest of a file; raises `PathRefused`."""
    return Manifest.of_folder(path) if path.is_dir() else hash_file(path)


def digest_of(path: Path) -> Digest:
    """Return the digest of an artefact: manifest root of a folder, SHA-256 of a file."""
    found = measure(path)
    return found.root if isinstance(found, Manifest) else found


def material_of(kind: str, path: Path, *, artefact: Path) -> Material:
    """Return the material at `path`, hashed now, for the record of `artefact`.

    Parameters
    ----------
    kind : str
        ``dataset``, ``model``, ``track`` or ``policy``.
    path : Path
        Folder or file.
    artefact : Path
        What is made from it; must exist, since the hint is relative to its record's folder.
    """
    base = record_path(artefact).resolve().parent
    hint = Path(os.path.relpath(path.resolve(), base)).as_posix()
    return Material(kind, _named(path).name, digest_of(path), hint)


def write_record(
    path: Path,
    kind: str,
    *,
    materials: Sequence[Material] = (),
    parameters: Mapping[str, Any] | None = None,
    also: Sequence[str] = (),
) -> Path:
    """Write the provenance record of an artefact that exists, atomically.

    Parameters
    ----------
    path : Path
        Folder or file that the record is about.
    kind : str
        ``dataset``, ``model``, ``track`` or ``report``.
    materials : sequence of Material
        What it was made from; see `material_of`.
    parameters : mapping, optional
        Any JSON; integers at most 2**53 - 1.
    also : sequence of str
        Further files of the artefact, relative to the folder of `path`.

    Returns
    -------
    Path
        The record file.

    Raises
    ------
    Malformed
        For values that the schema does not allow.
    PathRefused
        If `path` does not exist.
    LedgerError
        If the record cannot be written.
    """
    if not path.exists():
        raise PathRefused(f"{path} does not exist; a record is written for an existing artefact")
    record = Record(Origin(kind, tuple(materials), parameters or {}), tuple(also))
    value = {"schema": RECORD_SCHEMA, "also": list(record.also)} | record.origin.to_json()
    target = record_path(path)
    write_atomic(target, canonical_json(value) + b"\n")
    return target


def read_record(path: Path) -> Record | None:
    """Return the provenance record of an artefact, or None if it has none.

    Raises
    ------
    Malformed
        If the record is no JSON or breaks the schema ``contraste-provenance/1``.
    PathRefused
        If it cannot be read.
    """
    file = record_path(path)
    if not os.path.lexists(file):
        return None
    value = parse_json(read_bytes(file), source=str(file))
    if not isinstance(value, dict) or value.pop("schema", None) != RECORD_SCHEMA:
        raise Malformed(f"{file}: the schema is not {RECORD_SCHEMA}")
    also = value.pop("also", [])
    if not isinstance(also, list):
        raise Malformed(f"{file}: also is not an array")
    try:
        origin = Origin.from_json({"materials": [], "parameters": {}} | value)
        return Record(origin, tuple(check_name(name) for name in also))
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None


def sign_path(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """Sign a folder or a file as it is now, with its provenance record if it has one.

    A folder's statement names every file in it. A file's statement names the file, its record, and the
    files that the record lists under ``also``. An older signature is replaced.

    Parameters
    ----------
    path : Path
        Folder or file.
    key : private key
        P-256, from `ledger.keys.load_private`.

    Returns
    -------
    Path
        ``<path>.sig``.

    Raises
    ------
    PathRefused, Malformed, LedgerError
        If something cannot be hashed, the record breaks its schema, or the signature cannot be written.
    """
    target = beside(path, ".sig")
    record = read_record(path)
    measured = measure(path)
    if isinstance(measured, Manifest):
        statement = folder_statement(_named(path).name, measured, record.origin if record else Origin("folder"))
    else:
        name = _named(path).name
        subjects = {name: measured}
        if record is not None:
            for other in (record_path(path).name, *record.also):
                subjects[other] = hash_file(_named(path).parent / other)
        statement = file_statement(subjects, record.origin if record else Origin("file"))
    write_atomic(target, sign_statement(statement, key).to_bytes())
    return target


def read_signed(path: Path, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> Signed:
    """Check the signature beside an artefact; `check_content` compares the artefact itself.

    Parameters
    ----------
    path : Path
        Folder or file.
    keys : mapping of str to public key
        Trusted keys by key id.

    Raises
    ------
    Unsigned
        If there is no ``<path>.sig``.
    SignatureInvalid
        If the key is not trusted, or the signature is wrong.
    Malformed
        If envelope, statement or predicate break their format.
    """
    file = beside(path, ".sig")
    if not os.path.lexists(file):
        raise Unsigned(f"not signed: there is no {file}")
    envelope = Envelope.from_bytes(read_bytes(file), source=str(file))
    try:
        statement = verify_envelope(envelope, keys)
        return Signed(path, envelope, statement, origin_of(statement))
    except SignatureInvalid as error:
        raise SignatureInvalid(f"{file}: {error}") from None
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None


def check_content(signed: Signed, measured: Manifest | Digest) -> None:
    """Return None if an artefact, its further files and its record are as signed.

    Parameters
    ----------
    signed : Signed
        From `read_signed`.
    measured : Manifest or Digest
        From `measure` of the same path, now.

    Raises
    ------
    ManifestMismatch
        If files are changed, missing or extra; for a file, also if it was signed under another name.
    Malformed
        If the statement is about a file and the artefact is a folder or the other way round, or the record
        does not say what was signed.
    PathRefused
        If a file cannot be read.
    """
    path = signed.path
    if isinstance(measured, Manifest):
        if diff := signed_manifest(signed.statement).diff(measured):
            raise ManifestMismatch(f"{path} is not as signed", diff)
    else:
        folder, name = _named(path).parent, _named(path).name
        if name not in signed.statement.subjects:
            names = ", ".join(signed.statement.subjects)
            raise Malformed(f"{path}: the signature is about {names}, not about {name}")
        found = {name: measured}
        for other in signed.statement.subjects:
            if other != name and os.path.lexists(folder / other):
                found[other] = hash_file(folder / other)
        if diff := Manifest(signed.statement.subjects).diff(Manifest(found)):
            raise ManifestMismatch(f"{path} is not as signed", diff)
    record = read_record(path)
    origin = record.origin if record else Origin(signed.origin.kind)
    if (record is None and signed.origin.kind not in ("folder", "file")) or origin != signed.origin:
        raise Malformed(f"{record_path(path)} does not say what was signed; sign again if it is right")


def _named(path: Path) -> Path:
    """Return `path` such that its last part is a name: ``.`` and ``..`` are made absolute."""
    return path if path.name not in ("", "..") else path.resolve()

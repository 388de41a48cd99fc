"""Provenance records, and the signing of paths.

A record tells where an artefact comes from. A folder carries it inside, as ``provenance.json``; a file
``x.mid`` has it beside, as ``x.mid.provenance.json``. Other parts of the program write it; signing reads it and
puts it into the statement. An artefact without a record has no materials.

Signatures lie beside ``x`` as Sigstore bundles: ``x.sig`` is about its content (model signing for data sets, models and
what has no record; provenance for tracks; our own predicate for reports), ``x.run.sig`` about the run that trained a
model, ``x.contributions.sig`` about what people did (`ledger.provenance.contributions`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.errors import LedgerError, Malformed, PathRefused
from ledger.hashes.digest import MAX_RECORD_BYTES, Digest, canonical_json, parse_json, write_atomic
from ledger.hashes.hashcache import HashCache
from ledger.hashes.manifest import FILES, Manifest, check_name
from ledger.paths import beside, give_name
from ledger.signing.statement import Material, Origin
from ledger.staging import Staged

RECORD_SCHEMA = "contraste-provenance/1"
RECORD_NAME = "provenance.json"
RECORD_KINDS = ("dataset", "model", "track", "report")
SIGNATURES = (".sig", ".run.sig", ".contributions.sig")


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

    @property
    def by_model(self) -> bool:
        """Whether a model made the artefact."""
        return any(material.kind == "model" for material in self.origin.materials)

    def to_bytes(self) -> bytes:
        """Return the record file: canonical JSON with a final newline."""
        value = {"schema": RECORD_SCHEMA, "also": list(self.also)} | self.origin.to_json()
        return canonical_json(value) + b"\n"


def record_path(path: Path) -> Path:
    """Return where the record of an artefact lies: in a folder, or beside a file."""
    return path / RECORD_NAME if path.is_dir() else beside(path, f".{RECORD_NAME}")


def measure(path: Path, cache: HashCache | None = None) -> Manifest | Digest:
    """Hash an artefact: the manifest of a folder, the digest of a file; raises `PathRefused`."""
    manifest = Manifest.of_path(path, FILES, cache)
    return manifest if path.is_dir() else manifest.files["."]


def digest_of(path: Path, cache: HashCache | None = None) -> Digest:
    """Return the digest of an artefact: manifest root of a folder, SHA-256 of a file."""
    return root_of(measure(path, cache))


def root_of(measured: Manifest | Digest) -> Digest:
    """Return the digest of what was measured: manifest root of a folder, SHA-256 of a file."""
    return measured.root if isinstance(measured, Manifest) else measured


def material_of(kind: str, path: Path, *, artefact: Path, digest: Digest | None = None) -> Material:
    """Return the material at `path` for the record of `artefact`.

    Parameters
    ----------
    kind : str
        ``dataset``, ``model``, ``track`` or ``policy``.
    path : Path
        Folder or file.
    artefact : Path
        What is made from it; must exist, since the hint is relative to its record's folder.
    digest : Digest, optional
        Of the material, where this run has measured it; it is hashed now if not.
    """
    base = record_path(artefact).resolve().parent
    hint = Path(os.path.relpath(path.resolve(), base)).as_posix()
    return Material(kind, give_name(path).name, digest or digest_of(path), hint)


def write_record(
    path: Path,
    kind: str,
    *,
    materials: Sequence[Material] = (),
    parameters: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
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
    environment : mapping, optional
        ``code`` and ``hardware``, from `ledger.provenance.environment.describe_environment`.
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
    record = Record(Origin(kind, tuple(materials), parameters or {}, environment or {}), tuple(also))
    target = record_path(path)
    write_atomic(target, record.to_bytes())
    return target


def read_record(path: Path, staged: Staged | None = None) -> Record | None:
    """Return the provenance record of an artefact, or None if it has none; that which is `staged`, if one is.

    Raises
    ------
    Malformed
        If the record is no JSON or breaks the schema ``contraste-provenance/1``.
    PathRefused
        If it cannot be read.
    """
    file, staged = record_path(path), staged or Staged()
    if not os.path.lexists(file) and staged.content(file) is None:
        return None
    value = parse_json(staged.read(file), source=str(file), limit=MAX_RECORD_BYTES)
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


def index_of(path: Path) -> Path | None:
    """Return the index page of several reports whose record lists a report, or None.

    It is ``index.html`` in the folder above the report's, and lists the reports by digest under ``reports``.
    """
    index = Path(os.path.normpath(give_name(path).parent / "..")) / "index.html"
    record = read_record(index) if index.is_file() else None
    listed = record.origin.parameters.get("reports") if record else None
    return index if isinstance(listed, dict) and place_of(path) in listed else None


def place_of(report: Path) -> str:
    """Return what the index of several reports calls a report: its folder's name and its own."""
    return f"{os.path.basename(os.path.realpath(give_name(report).parent))}/{report.name}"


def owner_of(path: Path) -> Path:
    """Return the artefact whose record lists a file among its own, such as the MIDI file of a WAV; else `path`."""
    if path.is_file() and not os.path.lexists(record_path(path)):
        suffix = f".{record_path(path).name.removeprefix(f'{path.name}.')}"
        for record_file in sorted(path.parent.glob(f"*{suffix}")):
            owner = record_file.with_name(record_file.name.removesuffix(suffix))
            if owner.stem != path.stem or not owner.is_file():
                continue
            record = read_record(owner)
            if record is not None and path.name in record.also:
                return owner
    return path


def artefact_of(path: Path) -> Path:
    """Return the artefact that `path` belongs to (`owner_of`); `path` itself where a record beside it can't be read."""
    try:
        return owner_of(path)
    except LedgerError:
        return path

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

from ledger.errors import LedgerError, Malformed, PathRefused, SignatureInvalid, Unsigned
from ledger.hashes.digest import (
    MAX_JSON_BYTES,
    MAX_RECORD_BYTES,
    Digest,
    canonical_json,
    hash_bytes,
    hash_file,
    parse_json,
    read_bytes,
    write_atomic,
)
from ledger.hashes.hashcache import HashCache
from ledger.hashes.manifest import FILES, Manifest, ManifestDiff, ManifestMismatch, Method, check_name
from ledger.paths import beside, named
from ledger.provenance.contributions import contributions_file, read_contributions
from ledger.signing.envelope import Envelope, SigningKey, sign_statement
from ledger.signing.log import TransparencyLog
from ledger.signing.predicates import (
    CONTENT_PREDICATE,
    content_statement,
    contributions_statement,
    file_statement,
    origin_of,
    run_statement,
    signed_manifest,
)
from ledger.signing.statement import Material, Origin, Statement
from ledger.signing.timestamp import stamp_file
from ledger.signing.trust import Trust, verify_envelope
from ledger.staging import Staged
from messages import message

if TYPE_CHECKING:
    pass

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

    def to_bytes(self) -> bytes:
        """Return the record file: canonical JSON with a final newline."""
        value = {"schema": RECORD_SCHEMA, "also": list(self.also)} | self.origin.to_json()
        return canonical_json(value) + b"\n"


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
        Kind, materials and parameters out of the statement; only the kind ``folder`` or ``file`` where another tool
        signed, which says nothing of that.
    told : bool
        Whether the statement says where the artefact comes from.
    """

    path: Path
    envelope: Envelope
    statement: Statement
    origin: Origin
    told: bool


def record_path(path: Path) -> Path:
    """Return where the record of an artefact lies: in a folder, or beside a file."""
    return path / RECORD_NAME if path.is_dir() else beside(path, f".{RECORD_NAME}")


def measure(path: Path, cache: HashCache | None = None) -> Manifest | Digest:
    """Hash an artefact: the manifest of a folder, the digest of a file; raises `PathRefused`."""
    found = Manifest.of_path(path, FILES, cache)
    return found if path.is_dir() else found.files["."]


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
    return Material(kind, named(path).name, digest or digest_of(path), hint)


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
        ``code`` and ``hardware``, from `ledger.provenance.environment.environment`.
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
    index = Path(os.path.normpath(named(path).parent / "..")) / "index.html"
    record = read_record(index) if index.is_file() else None
    listed = record.origin.parameters.get("reports") if record else None
    return index if isinstance(listed, dict) and place_of(path) in listed else None


def place_of(report: Path) -> str:
    """Return what the index of several reports calls a report: its folder's name and its own."""
    return f"{os.path.basename(os.path.realpath(named(report).parent))}/{report.name}"


def check_about(report: Path, track: Path, trust: Trust) -> None:
    """Return None if a report is about a track as it is now.

    Parameters
    ----------
    report : Path
        Its report.json; where it is signed it has to be so by one of `trust`, and as signed.
    track : Path
        The file that the report should be about.
    trust : Trust
        Who may have signed.

    Raises
    ------
    Malformed
        If it is no report, or one about something else.
    LedgerError
        If it can't be read, or its signature does not fit.
    """
    if os.path.lexists(beside(report, ".sig")):
        origin = read_as_signed(report, trust)[0].origin
    else:
        found = read_record(report)
        origin = found.origin if found else Origin("file")
        hash_file(report)  # refuses what is no file
        check_pages(report, origin)
    digest = digest_of(track)
    if origin.kind != "report" or not any((m.kind, m.digest) == ("track", digest) for m in origin.materials):
        raise Malformed(f"{report} is not the report of an audit of {track} ({digest.hex[:16]}...)")


def sign_path(
    path: Path,
    key: SigningKey,
    certificates: Sequence[x509.Certificate] = (),
    *,
    method: Method = FILES,
    cache: HashCache | None = None,
    log: TransparencyLog | None = None,
    staged: Staged | None = None,
    stamp: Callable[[bytes], bytes] | None = None,
) -> Path:
    """Sign a folder or a file as it is now, with its provenance record if it has one.

    A folder's statement names every file in it. A track's or report's names the file, its record, and the files that
    the record lists under ``also``. Older signatures are replaced, and an older time stamp is removed. All files are
    put there at the end, together with the entry in the log, so that a failure leaves the older state as it was.

    Parameters
    ----------
    path : Path
        Folder or file.
    key : SigningKey
        From `ledger.signing.signer.load_signer`, or any private key of `cryptography` on one of the three curves.
    certificates : sequence of x509.Certificate
        Chain of the key, leaf first, to sign by certificate.
    method : Method
        How model signing statements cut files; `FILES` unless files are huge.
    cache : HashCache, optional
        For digests of unchanged files.
    log : TransparencyLog, optional
        Where the statements are put down.
    staged : Staged, optional
        Files of the artefact that do not lie there yet, such as its credentials; they are put there as well.
    stamp : callable, optional
        Gives the time stamp of a signature (`ledger.signing.timestamp.time_stamp`).

    Returns
    -------
    Path
        ``<path>.sig``.

    Raises
    ------
    PathRefused, Malformed, LedgerError
        If something cannot be hashed, the record breaks its schema, or a signature cannot be written.
    """
    staged = staged or Staged()
    statements = _statements(path, method, cache, staged)
    envelopes = {
        beside(path, suffix): sign_statement(statement, key, certificates) for suffix, statement in statements.items()
    }
    file, old_run = beside(path, ".sig"), beside(path, ".run.sig")
    for place, envelope in envelopes.items():
        staged.put(place, envelope.to_bytes())
    if stamp is None:
        staged.remove(stamp_file(file))
    else:
        staged.put(stamp_file(file), stamp(envelopes[file].signature))
    if old_run not in envelopes:  # of an earlier state of the artefact
        staged.remove(old_run)
    if log is None:
        staged.commit()
    else:
        log.append(envelopes, key, certificates, staged.commit)
        if stamp is not None:
            log.note(hash_bytes(envelopes[file].payload), "time stamp")
    return file


def _statements(path: Path, method: Method, cache: HashCache | None, staged: Staged) -> dict[str, Statement]:
    """Return what is to be signed about an artefact, by the suffix of the signature."""
    record, name = read_record(path, staged), named(path).name
    kind = record.origin.kind if record else "folder" if path.is_dir() else "file"
    origin = record.origin if record else Origin(kind)
    measured = measure(path, cache) if staged.content(path) is None else staged.digest(path)
    content = root_of(measured)
    found = {}
    if path.is_dir() or kind in ("dataset", "model", "file"):
        if record is not None and record.also:
            raise Malformed(f"{record_path(path)}: a {kind} of several files is a folder; also must be empty")
        if method != FILES:
            manifest = Manifest.of_path(path, method, cache)
        else:
            manifest = measured if isinstance(measured, Manifest) else Manifest({".": measured}, Method())
        found[".sig"] = content_statement(name, manifest, origin)
    else:
        others = (record_path(path).name, *(record.also if record else ()))
        check_pages(path, origin)
        check_pages(path, origin, "reports")
        digests = {other: staged.digest(named(path).parent / other) for other in others}
        found[".sig"] = file_statement({name: content} | digests, origin)
    if kind == "model" and record is not None:
        found[".run.sig"] = run_statement({name: content}, origin)
    if entries := _contributions(path):
        found[".contributions.sig"] = contributions_statement(name, content, entries)
    return found


def _contributions(path: Path) -> list[dict[str, Any]]:
    """Return what people did, and refuse to sign less, or other things, than was signed before."""
    entries, file = read_contributions(path), beside(path, ".contributions.sig")
    if os.path.lexists(file):
        envelope = Envelope.from_bytes(read_bytes(file), source=str(file))
        told = Statement.from_bytes(envelope.payload, source=str(file)).predicate.get("entries", [])
        if entries[: len(told)] != told:
            raise Malformed(
                f"{contributions_file(path)} does not begin with the {len(told)} entries that were signed; "
                f"put them back, or remove {file} to begin anew"
            )
    return entries


def read_statement(
    file: Path,
    trust: Trust,
    *,
    at: datetime | None = None,
    timeless: bool = False,
    limit: int = MAX_RECORD_BYTES,
) -> tuple[Envelope, Statement]:
    """Check a signature file of at most `limit` bytes; for the rest see `ledger.signing.trust.verify_envelope`."""
    envelope = Envelope.from_bytes(read_bytes(file, limit), source=str(file))
    try:
        return envelope, verify_envelope(envelope, trust, at=at, timeless=timeless)
    except (SignatureInvalid, Malformed) as error:
        raise type(error)(f"{file}: {error}") from None


def read_signed(
    path: Path,
    trust: Trust,
    *,
    file: Path | None = None,
    at: datetime | None = None,
    timeless: bool = False,
) -> Signed:
    """Check the signature beside an artefact; `check_content` compares the artefact itself.

    Parameters
    ----------
    path : Path
        Folder or file.
    trust : Trust
        A `Trust`, or trusted keys by key id.
    file : Path, optional
        The signature, where it is not ``<path>.sig``.
    at, timeless
        See `ledger.signing.trust.verify_envelope`.

    Raises
    ------
    Unsigned
        If there is no signature.
    SignatureInvalid, SignerUnknown, KeyRevoked
        If the signature is wrong, the key is not trusted, or not any more.
    Malformed
        If bundle, statement or predicate break their format.
    """
    file = file or beside(path, ".sig")
    if not os.path.lexists(file):
        raise Unsigned(message("not signed: there is no {file}", file=file))
    limit = MAX_JSON_BYTES if path.is_dir() else MAX_RECORD_BYTES  # only a folder's names many files
    envelope, statement = read_statement(file, trust, at=at, timeless=timeless, limit=limit)
    try:
        origin = origin_of(statement)
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None
    return Signed(
        path, envelope, statement, origin or Origin("folder" if path.is_dir() else "file"), origin is not None
    )


def read_as_signed(path: Path, trust: Trust) -> tuple[Signed, Digest]:
    """Check the signature beside an artefact and that the artefact is as signed; return both, it by its digest.

    Raises
    ------
    LedgerError
        See `read_signed`, `measure` and `check_content`.
    """
    signed, measured = read_signed(path, trust), measure(path)
    check_content(signed, measured)
    return signed, root_of(measured)


def check_content(
    signed: Signed,
    measured: Manifest | Digest,
    *,
    ignored: Sequence[str] = (),
    measured_by: Callable[[Path, Method], Manifest] = Manifest.of_path,
) -> None:
    """Return None if an artefact, its further files and its record are as signed.

    Parameters
    ----------
    signed : Signed
        From `read_signed`.
    measured : Manifest or Digest
        From `measure` of the same path, now.
    ignored : sequence of str
        Names below a folder to leave out besides those that the statement leaves out, for bundles of versions of
        model signing that did not put them down.
    measured_by : callable, optional
        Measures for statements that cut files in another way than `measure` does.

    Raises
    ------
    ManifestMismatch
        If files are changed, missing or extra.
    Malformed
        If the statement is about a file and the artefact is a folder or the other way round, it is about another
        file, or the record does not say what was signed.
    PathRefused
        If a file cannot be read.
    """
    path, statement = signed.path, signed.statement
    if statement.predicate_type == CONTENT_PREDICATE:
        expected = signed_manifest(statement)
        method = Method(expected.method.shard_bytes, (*expected.method.ignored, *ignored))
        # A model of one file has the resource ".", or its own name as the specification can be read.
        names = {name.rsplit(":", 2)[0] if method.shard_bytes else name for name in expected.files}
        of_file = names == {"."} or (names == {named(path).name} and not path.is_dir())
        if path.is_dir() == of_file:
            raise Malformed(f"{path}: the statement is about a {'file' if path.is_dir() else 'folder'}")
        if method.shard_bytes is None and isinstance(measured, Digest):
            found = Manifest({names.pop(): measured}, expected.method)
        elif method == FILES and isinstance(measured, Manifest):
            found = measured
        else:
            found = measured_by(path, method)
    else:
        found = _files_of(signed, measured)
        expected = Manifest(statement.subjects)
    if diff := expected.diff(found):
        raise ManifestMismatch(message("{path} is not as signed", path=path), diff)
    check_pages(path, signed.origin)
    if signed.told:
        record = read_record(path)
        if record is not None and record.also and statement.predicate_type == CONTENT_PREDICATE:
            raise Malformed(f"{record_path(path)} names further files, and the signature is about {path} alone")
        origin = record.origin if record else Origin(signed.origin.kind)
        if (record is None and signed.origin.kind not in ("folder", "file")) or origin != signed.origin:
            raise Malformed(f"{record_path(path)} does not say what was signed; sign again if it is right")


def check_pages(path: Path, origin: Origin, what: str = "files") -> None:
    """Return None if the files that a report names by digest are as they were; nothing is asked of other kinds.

    Those that are not there say nothing wrong, so a report may be handed on without its pages.

    Parameters
    ----------
    path : Path
        The report.
    origin : Origin
        What its record or its signed statement says.
    what : str
        ``files`` of a report, or ``reports`` that an index lists.

    Raises
    ------
    ManifestMismatch
        If one has another digest.
    Malformed, PathRefused
        If the names are none, or a file can't be read.
    """
    told = origin.parameters.get(what, {}) if origin.kind == "report" else {}
    if not isinstance(told, Mapping):
        raise Malformed(f"{path}: {what} is no JSON object")
    folder = named(path).parent
    there = [name for name in told if os.path.lexists(folder / check_name(name))]
    if changed := tuple(name for name in there if hash_file(folder / name).hex != told[name]):
        raise ManifestMismatch(
            message("files of {path} are not as it names them", path=path), ManifestDiff(changed=changed)
        )


def _files_of(signed: Signed, measured: Manifest | Digest) -> Manifest:
    """Return the files that a track's or report's statement is about, as they are now."""
    path = signed.path
    folder, name = named(path).parent, named(path).name
    if isinstance(measured, Manifest):
        raise Malformed(f"{path}: the statement is about a file ({signed.statement.predicate_type}), not a folder")
    if name not in signed.statement.subjects:
        names = ", ".join(signed.statement.subjects)
        raise Malformed(f"{path}: the signature is about {names}, not about {name}")
    found = {name: measured}
    for other in signed.statement.subjects:
        if other != name and os.path.lexists(folder / other):
            found[other] = hash_file(folder / other)
    return Manifest(found)


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

"""Reading of what was signed: statements and their signatures, and whether contents and pages are as signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import Malformed, SignatureInvalid, Unsigned
from ledger.hashes.digest import MAX_JSON_BYTES, MAX_RECORD_BYTES, Digest, hash_file, read_bytes
from ledger.hashes.manifest import FILES, Manifest, ManifestDiff, ManifestMismatch, Method, check_name
from ledger.paths import beside, give_name
from ledger.provenance.record import digest_of, measure, read_record, record_path, root_of
from ledger.signing.envelope import Envelope
from ledger.signing.predicates import CONTENT_PREDICATE, origin_of, signed_manifest
from ledger.signing.statement import Origin, Statement
from ledger.signing.trust import Trust, verify_envelope
from messages import message

if TYPE_CHECKING:  # imported where an anchor is met: it takes 0.1 s, as much as hashing 120 MB
    pass


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
        record = read_record(report)
        origin = record.origin if record else Origin("file")
        hash_file(report)  # refuses what is no file
        check_pages(report, origin)
    digest = digest_of(track)
    if origin.kind != "report" or not any((m.kind, m.digest) == ("track", digest) for m in origin.materials):
        raise Malformed(f"{report} is not the report of an audit of {track} ({digest.hex[:16]}...)")


def read_statement(
    file: Path, trust: Trust, *, at: datetime | None = None, timeless: bool = False, limit: int = MAX_RECORD_BYTES
) -> tuple[Envelope, Statement]:
    """Check a signature file of at most `limit` bytes; for the rest see `ledger.signing.trust.verify_envelope`."""
    envelope = Envelope.from_bytes(read_bytes(file, limit), source=str(file))
    try:
        return envelope, verify_envelope(envelope, trust, at=at, timeless=timeless)
    except (SignatureInvalid, Malformed) as error:
        raise type(error)(f"{file}: {error}") from None


def read_signed(
    path: Path, trust: Trust, *, file: Path | None = None, at: datetime | None = None, timeless: bool = False
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
        of_file = names == {"."} or (names == {give_name(path).name} and not path.is_dir())
        if path.is_dir() == of_file:
            raise Malformed(f"{path}: the statement is about a {'file' if path.is_dir() else 'folder'}")
        if method.shard_bytes is None and isinstance(measured, Digest):
            actual = Manifest({names.pop(): measured}, expected.method)
        elif method == FILES and isinstance(measured, Manifest):
            actual = measured
        else:
            actual = measured_by(path, method)
    else:
        actual = _files_of(signed, measured)
        expected = Manifest(statement.subjects)
    if diff := expected.diff(actual):
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
    digests = origin.parameters.get(what, {}) if origin.kind == "report" else {}
    if not isinstance(digests, Mapping):
        raise Malformed(f"{path}: {what} is no JSON object")
    folder = give_name(path).parent
    there = [name for name in digests if os.path.lexists(folder / check_name(name))]
    if changed := tuple(name for name in there if hash_file(folder / name).hex != digests[name]):
        raise ManifestMismatch(
            message("files of {path} are not as it names them", path=path), ManifestDiff(changed=changed)
        )


def _files_of(signed: Signed, measured: Manifest | Digest) -> Manifest:
    """Return the files that a track's or report's statement is about, as they are now."""
    path = signed.path
    folder, name = give_name(path).parent, give_name(path).name
    if isinstance(measured, Manifest):
        raise Malformed(f"{path}: the statement is about a file ({signed.statement.predicate_type}), not a folder")
    if name not in signed.statement.subjects:
        names = ", ".join(signed.statement.subjects)
        raise Malformed(f"{path}: the signature is about {names}, not about {name}")
    digests = {name: measured}
    for other in signed.statement.subjects:
        if other != name and os.path.lexists(folder / other):
            digests[other] = hash_file(folder / other)
    return Manifest(digests)


def names_file(signed: Signed, path: Path) -> bool:
    """Whether a statement names a file beside its artefact; `check_content` has compared all that it names."""
    folder, place = (os.path.realpath(of) for of in (give_name(signed.path).parent, path.parent))
    name = Path(os.path.relpath(os.path.join(place, path.name), folder)).as_posix()
    return name in signed.statement.subjects and signed.statement.predicate_type != CONTENT_PREDICATE

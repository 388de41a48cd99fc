"""Signing of paths: the statement about an artefact, from its record and its content."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from ledger.errors import Malformed
from ledger.hashes.digest import hash_bytes, read_bytes
from ledger.hashes.hashcache import HashCache
from ledger.hashes.manifest import FILES, Manifest, Method
from ledger.paths import beside, give_name
from ledger.provenance.contributions import contributions_file, read_contributions
from ledger.provenance.record import measure, read_record, record_path, root_of
from ledger.provenance.signed import check_pages
from ledger.signing.envelope import Envelope, SigningKey, sign_statement
from ledger.signing.log import TransparencyLog
from ledger.signing.predicates import content_statement, contributions_statement, file_statement, run_statement
from ledger.signing.statement import Origin, Statement
from ledger.signing.timestamp import stamp_file
from ledger.staging import Staged


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
    record, name = read_record(path, staged), give_name(path).name
    kind = record.origin.kind if record else "folder" if path.is_dir() else "file"
    origin = record.origin if record else Origin(kind)
    measured = measure(path, cache) if staged.content(path) is None else staged.digest(path)
    content = root_of(measured)
    statements = {}
    if path.is_dir() or kind in ("dataset", "model", "file"):
        if record is not None and record.also:
            raise Malformed(f"{record_path(path)}: a {kind} of several files is a folder; also must be empty")
        if method != FILES:
            manifest = Manifest.of_path(path, method, cache)
        else:
            manifest = measured if isinstance(measured, Manifest) else Manifest({".": measured}, Method())
        statements[".sig"] = content_statement(name, manifest, origin)
    else:
        others = (record_path(path).name, *(record.also if record else ()))
        check_pages(path, origin)
        check_pages(path, origin, "reports")
        digests = {other: staged.digest(give_name(path).parent / other) for other in others}
        statements[".sig"] = file_statement({name: content} | digests, origin)
    if kind == "model" and record is not None:
        statements[".run.sig"] = run_statement({name: content}, origin)
    if entries := _contributions(path):
        statements[".contributions.sig"] = contributions_statement(name, content, entries)
    return statements


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

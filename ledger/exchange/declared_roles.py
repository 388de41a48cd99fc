"""What is said beside a track of AI's part in it: by its token's metadata, and by its DDEX fields."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

from ledger.ai_roles import join_roles
from ledger.anchors.token_metadata import metadata_file
from ledger.errors import LedgerError, Malformed
from ledger.exchange.ddex import CONTRIBUTORS, check_ai_fields
from ledger.hashes.digest import MAX_RECORD_BYTES, read_bytes, read_json
from ledger.paths import beside
from ledger.provenance.record import Record

DDEX_SUFFIX = ".ddex.xml"
_ROLES = {name: role for role, name in CONTRIBUTORS.items()}


def gather_roles(path: Path, record: Record | None) -> dict[str, str]:
    """Return the share of AI in each role that is known, by a track's record and by the files beside it.

    Raises
    ------
    LedgerError
        As `stated_roles`, and where those files contradict the record.
    """
    return join_roles(stated_roles(path), by_model=record is not None and record.by_model)


def stated_roles(path: Path) -> dict[str, str]:
    """Return the share of AI in each role that the files beside a track state; {} where there are none.

    Raises
    ------
    LedgerError
        Where a file breaks its format, or the two contradict one another.
    """
    roles: dict[str, str] = {}
    for file, read in ((metadata_file(path), _metadata), (beside(path, DDEX_SUFFIX), _ddex)):
        if not os.path.lexists(file):
            continue
        for role, share in read(file).items():
            if roles.setdefault(role, share) != share:
                raise LedgerError(f"{file}: AI {role} is {share}, and {metadata_file(path).name} says {roles[role]}")
    return roles


def _metadata(file: Path) -> dict[str, str]:
    data = read_json(file)
    shares = data.get("ai_disclosure", {}) if isinstance(data, dict) else None
    if not isinstance(shares, dict) or not all(isinstance(share, str) for share in shares.values()):
        raise Malformed(f"{file}: ai_disclosure is no object of role and share")
    return dict(shares)


def _ddex(file: Path) -> dict[str, str]:
    """Read the AI fields of one ``SoundRecording``, as `ledger.exchange.ddex.disclosure_xml` writes them."""
    data = read_bytes(file, MAX_RECORD_BYTES)
    try:
        if b"<!DOCTYPE" in data:  # DDEX has none, and entities can grow without bounds
            raise Malformed(f"{file}: a document type is not allowed")
        recording = ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter for encodings that there are not
        raise Malformed(f"{file}: is no XML: {error}") from None
    if recording.tag.rpartition("}")[2] != "SoundRecording":
        raise Malformed(f"{file}: begins with {recording.tag!r:.80}; a SoundRecording is expected")
    try:
        check_ai_fields(recording)
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None
    roles = {}
    for contributor in recording.iter("Contributor"):
        role = _ROLES.get(contributor.findtext("Role") or "")
        generative = contributor.find("SpecialContributor") is not None
        if role is not None:
            roles[role] = (contributor.findtext("AiContribution") or ("All" if generative else "None")).lower()
    return roles

"""What is known of AI's part in a track, of its model and of the corpus, gathered for those who have to be told.

Everything is read from what lies there: the track's record, the files beside it that state roles, its credentials, the
model's folder, the store. What can't be read or is not there is said as unknown, with the reason; nothing is guessed
beyond `ledger.ai_roles`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.census import Census
from ledger.ai_roles import ROLES as ROLES  # noqa: PLC0414 - the reports read it here
from ledger.errors import LedgerError
from ledger.exchange.credential import MINING, PROVENANCE, Credential, carries, read_credential
from ledger.exchange.cyclonedx import model_bom
from ledger.exchange.ddex import disclosure_xml
from ledger.exchange.declared_roles import gather_roles
from ledger.provenance.contributions import read_contributions
from ledger.provenance.digests import Digests
from ledger.provenance.record import Record, owner_of, read_record
from ledger.signing.trust import Trust

if TYPE_CHECKING:  # it takes a second to import
    from audit.corpus import AuditCorpus


@dataclass(frozen=True, slots=True)
class CredentialFound:
    """The credential of one file of a track.

    Attributes
    ----------
    file, verdict, detail : str
        As `ledger.exchange.credential.Credential`; the verdict is "unchecked" where it could not be read.
    says : dict
        Digital source type, training and mining, provenance: of a trusted credential only.
    """

    file: str
    verdict: str
    detail: str
    says: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Disclosure:
    """What is known about one track.

    Attributes
    ----------
    roles : mapping of str to str
        Share of AI (`ledger.ai_roles.SHARES`) in each role that is known.
    ddex : bytes
        The DDEX fragment, or empty.
    model : mapping
        The model's bill of materials (CycloneDX), or empty.
    contributions : list
        What people noted that they did.
    unknown : mapping of str to str
        Why "roles", "credential", "ddex", "model" or "contributions" is not known.
    """

    track: str
    roles: Mapping[str, str]
    credentials: tuple[CredentialFound, ...]
    ddex: bytes
    model: Mapping[str, Any]
    contributions: list[dict[str, Any]]
    census: Census
    unknown: Mapping[str, str]


def disclose(
    file: Path, corpus: AuditCorpus, trust: Trust, model: Path | None = None, digests: Digests | None = None
) -> Disclosure:
    """Gather what is known.

    Parameters
    ----------
    file : Path
        The track.
    trust : Trust
        Whose credentials are believed.
    model : Path, optional
        Folder of the model that wrote it.
    digests : Digests, optional
        What this run has hashed.
    """
    unknown: dict[str, str] = {}
    roles: dict[str, str] = {}
    ddex, contributions, record = b"", [], None
    try:
        file = owner_of(file)
        record = read_record(file)
        roles = gather_roles(file, record)
        if not roles:
            unknown["roles"] = "no record says that a model made the track, and no file beside it says what AI did"
        contributions = read_contributions(file)
    except LedgerError as error:
        unknown["roles"] = str(error)
    if "roles" not in unknown:
        try:
            ddex = disclosure_xml(file, roles)
        except LedgerError as error:
            unknown["ddex"] = str(error)
    else:
        unknown["ddex"] = f"the roles are not known: {unknown['roles']}"
    if not contributions:
        unknown["contributions"] = "nobody noted what people did ('contraste contribution add')"
    credentials = _credentials(file, record, trust)
    if not credentials:
        unknown["credential"] = "neither the track nor a file that belongs to it carries a C2PA credential"
    bom, reason = _model(record, model, digests or Digests())
    if reason:
        unknown["model"] = reason
    return Disclosure(
        file.name, roles, credentials, ddex, bom, contributions, corpus.census, _hide_folders(unknown, file)
    )


def _hide_folders(reasons: Mapping[str, str], file: Path) -> dict[str, str]:
    """Name files and not the folders of this machine, since a pack is handed on."""
    return {about: reason.replace(f"{file.parent}/", "") for about, reason in reasons.items()}


def _credentials(file: Path, record: Record | None, trust: Trust) -> tuple[CredentialFound, ...]:
    credentials = []
    for path in (file, *(file.parent / name for name in (record.also if record else ()))):
        if not carries(path):
            continue
        try:
            credential = read_credential(path, trust)
        except LedgerError as error:
            credentials.append(CredentialFound(path.name, "unchecked", str(error).replace(f"{path.parent}/", "")))
            continue
        credentials.append(CredentialFound(path.name, credential.verdict, credential.detail, _says(credential)))
    return tuple(credentials)


def _says(credential: Credential) -> dict[str, Any]:
    if credential.verdict != "trusted":
        return {}
    source = str(credential.action.get("digitalSourceType", "")).rpartition("/")[2]
    words = {
        "digital_source_type": source,
        "training_mining": credential.assertion(MINING),
        "provenance": credential.assertion(PROVENANCE),
        "time_stamp": credential.time.isoformat() if credential.time else "",
    }
    return {name: value for name, value in words.items() if value}


def _model(record: Record | None, folder: Path | None, digests: Digests) -> tuple[Mapping[str, Any], str]:
    """Return the bill of materials of a model, or why there is none."""
    named = [m for m in record.origin.materials if m.kind == "model"] if record else []
    statement = (
        f"the track's record names {named[0].name} {named[0].digest.hex}" if named else "no record names a model"
    )
    if folder is None:
        return {}, f"the model's folder was not given (--model); {statement}"
    try:
        if named and digests.of(folder) != named[0].digest:
            return {}, f"{folder.name} is not the model that made the track: {statement}"
        bom: Mapping[str, Any] = json.loads(model_bom(folder, digests))
    except LedgerError as error:
        return {}, str(error).replace(f"{folder.parent}/", "")
    return bom, ""

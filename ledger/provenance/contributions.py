"""What people did to an artefact: prompts, edits, selections, in the order in which they were noted.

The log of ``x`` is ``x.contributions.json``, one JSON object with ``schema`` and ``entries``
(``ledger/schemas/contributions-v1.schema.json``). Each entry names the content as it was then, so that an edit stands
between two digests. Signing puts all entries into a statement of its own, ``x.contributions.sig``: entries may be added
later without breaking it, but none may be changed or taken away.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.errors import Malformed
from ledger.hashes.digest import Digest, canonical_json, read_json, write_atomic
from ledger.paths import beside
from ledger.signing.predicates import CONTRIBUTIONS_PREDICATE, validate
from ledger.signing.trust import format_time

SCHEMA = "contraste-contributions/1"
CONTRIBUTION_KINDS = ("prompt", "edit", "selection")


def contributions_file(path: Path) -> Path:
    """Return where the log of an artefact lies: ``<path>.contributions.json``."""
    return beside(path, ".contributions.json")


def read_contributions(path: Path) -> list[dict[str, Any]]:
    """Return the entries of an artefact's log; empty where it has none.

    Raises
    ------
    Malformed
        If the log is no JSON, or breaks its schema.
    PathRefused
        If it cannot be read.
    """
    file = contributions_file(path)
    if not os.path.lexists(file):
        return []
    value = read_json(file)
    if not isinstance(value, dict) or value.pop("schema", None) != SCHEMA:
        raise Malformed(f"{file}: the schema is not {SCHEMA}")
    try:
        validate(CONTRIBUTIONS_PREDICATE, value)
    except Malformed as error:
        raise Malformed(f"{file}: {error}") from None
    entries: list[dict[str, Any]] = value["entries"]
    return entries


def add_contribution(
    path: Path, kind: str, text: str, content: Digest, *, author: str = "", time: datetime | None = None
) -> list[dict[str, Any]]:
    """Add an entry to an artefact's log, which is made if there is none, and return all entries.

    Parameters
    ----------
    path : Path
        Folder or file that exists.
    kind : str
        ``prompt``, ``edit`` or ``selection``.
    text : str
        What was done.
    content : Digest
        Of the artefact as it is now.
    author : str
        Who did it.
    time : datetime, optional
        When; default is now.

    Raises
    ------
    Malformed
        If the entry, or the log that is there, breaks the schema.
    LedgerError
        If the log cannot be written.
    """
    moment = format_time(time or datetime.now(UTC))
    entry = {"time": moment, "kind": kind, "text": text, "author": author, "content": {"sha256": content.hex}}
    entries = [*read_contributions(path), entry]
    validate(CONTRIBUTIONS_PREDICATE, {"entries": entries})
    write_atomic(contributions_file(path), canonical_json({"schema": SCHEMA, "entries": entries}) + b"\n")
    return entries

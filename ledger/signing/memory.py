"""What this machine's log says should be there: the latest statement about an artefact, its anchor, its token.

What was deleted, or put back as it was earlier, leaves no trace beside an artefact; the log has one. It is read and
checked whole, once for all paths of a command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.errors import LedgerError, LogBroken, SignerUnknown
from ledger.hashes.digest import Digest
from ledger.hashes.manifest import root_digest
from ledger.paths import beside
from ledger.signing.log import TransparencyLog, place_of_file
from ledger.signing.trust import Trust

SUFFIXES = (".contributions.sig", ".run.sig", ".sig")  # the longer ones first


@dataclass(frozen=True, slots=True)
class Known:
    """A statement in the log: its place there, time by this machine's clock, payload, signature file and content.

    The content is that of the artefact beside which the file lies; it and the payload are SHA-256 (hex).
    """

    position: int
    time: str
    payload: str
    file: str
    content: str


class Memory:
    """The log, read and checked.

    Parameters
    ----------
    log : TransparencyLog
        This machine's.
    trust : Trust
        Who may have signed its head.

    Attributes
    ----------
    fault : LogBroken or None
        Why the log can't be believed.
    size : int
        Entries under a head that a trusted key signed.
    """

    def __init__(self, log: TransparencyLog, trust: Trust) -> None:
        self.log = log
        self.fault: LedgerError | None = None
        self.size = 0
        self._notes: dict[tuple[str, str], str] = {}
        self._by_payload: dict[str, Known] = {}
        self._by_file: dict[str, Known] = {}
        if not log.exists:
            return
        try:
            self.size, _ = log.verify(trust)
        except SignerUnknown:
            pass  # nobody trusted here signed a head: the entries are listed, and count for nothing
        except LedgerError as error:
            self.fault = error
        try:
            for entry in log.entries():
                self._add(entry.position, entry.fields)
            for payload, what, time in log.notes():
                self._notes[payload, what] = time
        except LedgerError as error:
            self.fault = self.fault or error

    @classmethod
    def of(cls, log: TransparencyLog | Memory, trust: Trust) -> Memory:
        """Return `log` itself if it was read already."""
        return log if isinstance(log, Memory) else cls(log, trust)

    def _add(self, position: int, fields: Mapping[str, Any]) -> None:
        try:
            file, subjects = str(fields["file"]), dict(fields["subject"])
            suffix = next(suffix for suffix in SUFFIXES if file.endswith(suffix))
            content = str(subjects[os.path.basename(file).removesuffix(suffix)])
            known = Known(position, str(fields["time"]), str(fields["payload"]), file, content)
        except (KeyError, TypeError, ValueError, StopIteration):
            raise LogBroken(f"{self.log.file}: entry {position} is none of this program's") from None
        self._by_payload[known.payload] = self._by_file[file] = known

    def entry(self, payload: Digest) -> Known | None:
        """Return the latest entry of a statement, by the SHA-256 of its payload."""
        return self._by_payload.get(payload.hex)

    def latest(self, path: Path) -> Known | None:
        """Return the latest statement that was signed at the place of an artefact, as its ``.sig``.

        Not one about the same content elsewhere: a copy that is signed with other words is another artefact.
        """
        return self._by_file.get(place_of_file(beside(path, ".sig")))

    def companion(self, payload: Digest, content: Digest | None, suffix: str) -> Known | None:
        """Return the latest further statement about an artefact (``.run.sig``, ``.contributions.sig``), or None.

        It was signed beside the one whose payload is given, about the same content.
        """
        own = self.entry(payload)
        known = own and self._by_file.get(own.file.removesuffix(".sig") + suffix)
        return known if known and known.content in _contents(content) else None

    def time_noted(self, payload: Digest, what: str) -> str | None:
        """Return when something was made for a statement on this machine (see `TransparencyLog.note`), or None."""
        return self._notes.get((payload.hex, what))


def _contents(content: Digest | None) -> tuple[str, ...]:
    """Return how statements name a content: by its digest, or for one file by the root digest of model signing."""
    return (content.hex, root_digest([content]).hex) if content else ()

"""The state of a verification: where it has been, what it found, and how a fault becomes a link."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import LedgerError, LinkRefused, LogIncomplete, PathRefused, Unsigned
from ledger.hashes.digest import Digest, hash_bytes
from ledger.hashes.manifest import Manifest
from ledger.links import Assured, Link, LinkVerdict
from ledger.paths import beside
from ledger.provenance.digests import Digests
from ledger.provenance.record import read_record, record_path, root_of
from ledger.provenance.signed import Signed
from ledger.signing.keyring import with_files
from ledger.signing.memory import Memory
from ledger.signing.trust import Trust
from messages import message

if TYPE_CHECKING:  # imported where an anchor is met: it takes 0.1 s, as much as hashing 120 MB
    from ledger.chains.chain import Chain

ANCHOR_SUFFIX, TOKEN_SUFFIX, METADATA_SUFFIX = ".anchor.json", ".token.json", ".nft.json"
TRACES = (
    *(".sig.tsr", ".run.sig", ".contributions.sig", ".contributions.json"),
    *(ANCHOR_SUFFIX, TOKEN_SUFFIX, METADATA_SUFFIX),
)
"""Files beside an artefact that are made after it was signed, or for what will be."""
NOTED = {
    "anchor": "there is no {file}, and this machine noted an anchor on {time:word}",
    "token": "there is no {file}, and this machine noted a token on {time:word}",
    "time stamp": "there is no {file}, and this machine noted a time stamp on {time:word}",
}
"""What is said of something that this machine's log knows of, and that is not there."""


def measure_or_refuse(path: Path, digests: Digests) -> Manifest | Digest | PathRefused:
    """Return what is there, or why it cannot be hashed."""
    try:
        return digests.measure(path)
    except PathRefused as error:
        return error


def root_of_measured(measured: Manifest | Digest | PathRefused) -> Digest | None:
    """Return the digest of what was measured; None where that was refused."""
    return None if isinstance(measured, PathRefused) else root_of(measured)


def read_kind(path: Path) -> str:
    """Return what an artefact says it is; nobody vouches for it, so it only names the link."""
    try:
        record = read_record(path)
    except LedgerError:
        record = None
    if record is not None:
        return record.origin.kind
    return "folder" if path.is_dir() else "file"


def name_link(kind: str) -> str:
    """Return the name of a link to an artefact of a kind."""
    return "data set" if kind == "dataset" else kind


class Walk:
    """The links found so far, and what they are checked against."""

    def __init__(
        self,
        keys: Trust,
        chain: Chain | None,
        search: tuple[Path, ...],
        strict: bool,
        allow_unsigned: bool,
        digests: Digests,
        memory: Memory | None,
        shipped: Path | None,
    ) -> None:
        self.keys = keys
        self.chain = chain
        self.search = search if shipped is None else (*search, shipped)
        self.strict = strict
        self.allow_unsigned = allow_unsigned
        self.digests = digests
        self.memory = memory
        self.shipped = shipped
        self.links: list[Link] = []
        self.assured: list[Assured] = []
        self._seen: set[str] = set()
        self._places: dict[str, Path] = {}
        self._reported: dict[str, list[tuple[Path, str, str]]] = {}

    def add(self, name: str, subject: Path | str, verdict: LinkVerdict, detail: str, code: str = "ok") -> None:
        """Add a link to those found."""
        self.links.append(Link(name, str(subject), verdict, detail, code))

    def fault(self, name: str, subject: Path | str, error: LedgerError) -> None:
        """Add what an error says: ``missing`` where something is not there, else ``broken``."""
        verdict: LinkVerdict = "broken"
        if isinstance(error, Unsigned):
            verdict = "absent" if self.allow_unsigned else "missing"
        elif isinstance(error, LogIncomplete):
            verdict = "missing"
        elif isinstance(error, LinkRefused):
            verdict = "unchecked"
        self.add(name, subject, verdict, str(error), error.code)

    def trust_of(self, path: Path) -> Trust:
        """Return whom a signature of `path` is believed from: what came with the program has a key of its own."""
        if self.shipped is None or Path(os.path.realpath(path)).parent != Path(os.path.realpath(self.shipped)):
            return self.keys
        return with_files(self.keys, [self.shipped])

    def note_trace(self, path: Path, measured: Manifest | Digest | PathRefused) -> str:
        """Say what tells that an artefact without a signature was signed, or should be; "" where nothing does."""
        if self.memory is not None and (known := self.memory.latest(path)):
            return message("it was signed on this machine on {time:word}", time=known.time)
        files = [file for file in (record_path(path), *(beside(path, suffix) for suffix in TRACES))]
        there = [file.name for file in files if os.path.lexists(file)]
        return message("{file} beside it says that there should be one", file=there[0]) if there else ""

    def is_noted(self, signed: Signed, what: str, file: Path) -> bool:
        """Whether this machine's log says that something was made for a statement, and it is not there; say so."""
        time = self.memory.time_noted(hash_bytes(signed.envelope.payload), what) if self.memory else None
        if time is None:
            return False
        text = message(NOTED[what], file=file, time=time)
        self.add(what, signed.path, "missing", text, "removed")
        return True

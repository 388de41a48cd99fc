"""What is verified of signatures: their keys, the content, time stamps, credentials, runs, contributions, the log."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import ExtraMissing, KeyRevoked, LedgerError, Malformed, PathRefused, Unsigned
from ledger.exchange.credential import credential_links
from ledger.hashes.digest import MAX_RECORD_BYTES, Digest, hash_bytes, read_bytes
from ledger.hashes.manifest import Manifest, find_ignored
from ledger.links import Link, LinkVerdict
from ledger.paths import beside
from ledger.provenance.contributions import contributions_file, read_contributions
from ledger.provenance.record import record_path
from ledger.provenance.signed import Signed, check_content, read_statement
from ledger.signing.envelope import Envelope
from ledger.signing.memory import Known, Memory
from ledger.signing.predicates import (
    CONTENT_PREDICATE,
    CONTRIBUTIONS_PREDICATE,
    RUN_PREDICATE,
    origin_of,
    signed_manifest,
)
from ledger.signing.statement import Statement
from ledger.signing.timestamp import check_time_stamp, is_stamped, stamp_file
from ledger.signing.trust import Trust, format_time, verify_envelope
from ledger.verification.walk import Walk, root_of_measured
from messages import message

if TYPE_CHECKING:  # imported where an anchor is met: it takes 0.1 s, as much as hashing 120 MB
    pass


DOUBTS = {
    "unchecked": "{error:text}; the anchor's time would show it, if the chain confirms it",
    "pending": "{error:text}; the anchor's time would show it, if the chain confirms it",
    "simulated": "{error:text}; the anchor's time says nothing, since whoever runs an embedded chain sets its clock",
    "unproven": "{error:text}; the anchor's time is the node's word alone, since the file holds no evidence of the "
    "block",
}
"""Why an anchor does not show that a signature is older than a revocation, by what was found out about the anchor."""


class SignatureChecks(Walk):
    """A walk that verifies what is signed about one artefact."""

    def say_uncovered(self, path: Path, owner: Path) -> None:
        """Say first that a file is named by nothing signed: the record beside it is anybody's word."""
        text = message("{file} lists it, and no signature that can be believed names it", file=record_path(owner).name)
        verdict: LinkVerdict = "absent" if self.allow_unsigned else "missing"
        self.links.insert(0, Link("file", str(path), verdict, text, "not-covered"))

    def check_remembered(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> None:
        """Say where the log knows of a later statement about an artefact, or one that is not there any more."""
        if self.memory is None:
            return
        content, payload = root_of_measured(measured), hash_bytes(signed.envelope.payload)
        self._later(signed.path, ".sig", payload, self.memory.latest(signed.path))
        for suffix, name in ((".run.sig", "run"), (".contributions.sig", "contributions")):
            known, file = self.memory.companion(payload, content, suffix), beside(signed.path, suffix)
            if known is not None and not os.path.lexists(file):
                text = message(
                    "there is no {file}, and it was signed on this machine on {time:word}", file=file, time=known.time
                )
                self.fault(name, signed.path, Unsigned(text))
            elif known is not None:
                with suppress(LedgerError):  # said where it is read as a statement
                    envelope = Envelope.from_bytes(read_bytes(file, MAX_RECORD_BYTES), source=str(file))
                    self._later(signed.path, suffix, hash_bytes(envelope.payload), known)
        revoked = self.memory.time_noted(hash_bytes(signed.envelope.payload), "revoked")
        anchors = [link for link in self.links if (link.name, link.subject) == ("anchor", str(signed.path))]
        if revoked and not any(link.verdict in ("broken", "missing") for link in anchors):
            text = message(
                "revoked on this machine on {time:word}, and the chain does not say so (any more)", time=revoked
            )
            self.add("anchor", signed.path, "broken", text, "anchor-refuted")

    def _later(self, path: Path, suffix: str, payload: Digest, known: Known | None) -> None:
        """Say where the statement that lies beside an artefact is older than one that the log has."""
        here = self.memory.entry(payload) if self.memory else None
        if here is not None and known is not None and here.position < known.position:
            text = message(
                "{file} is of {time:word}, and this machine's log has a later one of {later:word}: the older state was "
                "put back",
                file=path.name + suffix,
                time=here.time,
                later=known.time,
            )
            self.add("log", path, "missing", text, "superseded")

    def check_content_of(
        self,
        name: str,
        signed: Signed,
        measured: Manifest | Digest | PathRefused,
        ignored: tuple[str, ...],
        trust: Trust,
    ) -> bool:
        """Compare an artefact with its statement; return whether it is as signed."""
        path, extra = signed.path, []
        by = trust.name_of(signed.envelope)
        text = message("content as signed by {signer:text}", signer=by)
        try:
            if isinstance(measured, PathRefused):
                raise measured
            check_content(signed, measured, ignored=ignored, measured_by=self.digests.manifest)
            if signed.statement.predicate_type == CONTENT_PREDICATE and path.is_dir():
                manifest = signed_manifest(signed.statement)
                text = message(
                    "{count:d} {count:shard|shards} as signed by {signer:text}"
                    if manifest.method.shard_bytes
                    else "{count:d} {count:file|files} as signed by {signer:text}",
                    count=len(manifest.files),
                    signer=by,
                )
                extra = find_ignored(path, (*manifest.method.ignored, *ignored))
        except LedgerError as error:
            self.fault(name, path, error)
            return False
        if extra:
            text = message(
                "{what:text}; the signature leaves out {names} and more"
                if len(extra) > 3
                else "{what:text}; the signature leaves out {names}",
                what=text,
                names=", ".join(extra[:3]),
            )
        self.add(name, path, "broken" if extra and self.strict else "ok", text, "not-covered" if extra else "ok")
        return True

    def check_time_stamp(self, signed: Signed, file: Path) -> datetime | None:
        """Check the time stamp of a signature file, if any; return the time that a trusted authority vouches for."""
        if not is_stamped(file):
            self.is_noted(signed, "time stamp", stamp_file(file))
            return None
        try:
            time = check_time_stamp(file, signed.envelope.signature, self.keys.roots)
        except ExtraMissing as error:
            self.add("time stamp", signed.path, "unchecked", str(error), error.code)
            return None
        except LedgerError as error:
            self.fault("time stamp", signed.path, error)
            return None
        if time is None:
            text = message("by an authority that is not trusted here, which says nothing")
            self.add("time stamp", signed.path, "absent", text, "authority-unknown")
        else:
            text = message("signed before {time} UTC", time=f"{time:%Y-%m-%d %H:%M:%S}")
            self.add("time stamp", signed.path, "ok", text)
        return time

    def check_credentials(self, path: Path, signed: Signed | None = None, time: datetime | None = None) -> list[Link]:
        """Judge the credentials of an artefact; `time`: when it is known to have been there just as it is."""
        older = dict.fromkeys(signed.statement.subjects, time) if signed and time else {}
        links = list(credential_links(path, signed.origin if signed else None, self.keys, older))
        self._reported[os.path.realpath(path)] = [(Path(link.subject), *report) for link, report in links if report]
        return [link for link, _ in links]

    def check_key(
        self, signed: Signed, time: datetime | None, anchored: str | None, claimed: datetime | None, trust: Trust
    ) -> bool:
        """Say whether the signer's key still counts, where there is a doubt; return whether it does.

        `time` is vouched for by somebody other than the signer; `claimed` is the anchor's, whoever vouches for it.
        """
        try:
            verify_envelope(signed.envelope, trust, at=time)
        except KeyRevoked as error:
            revoked = trust.revoked.get(signed.envelope.keyid)
            late = claimed is not None and revoked is not None and claimed >= revoked.since
            why = anchored if anchored and (time is None or anchored in ("unchecked", "pending")) else ""
            if why in DOUBTS and not late:
                code = "chain-not-asked" if not self.chain and anchored == "unchecked" else error.code
                self.add("key", signed.path, "unchecked", message(DOUBTS[why], error=error), code)
            else:
                self.fault("key", signed.path, error)
            return False
        except LedgerError as error:
            self.fault("key", signed.path, error)
            return False
        if signed.envelope.keyid in trust.revoked and time is not None:
            since = format_time(trust.revoked[signed.envelope.keyid].since)
            text = message(
                "revoked since {since:word}; the signature was there on {time:word}",
                since=since,
                time=format_time(time),
            )
            self.add("key", signed.path, "ok", text, "signed-before-revocation")
        return True

    def check_statements(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> None:
        """Check what else was signed about an artefact: the run that made it, and what people did."""
        if signed.origin.kind == "track":
            self._run(signed)
        content = root_of_measured(measured)
        if content is None:
            return
        if signed.origin.kind == "model" and signed.told:
            self._run_of_model(signed, content)
        if os.path.lexists(contributions_file(signed.path)) or os.path.lexists(
            beside(signed.path, ".contributions.sig")
        ):
            self._contributions(signed, content)

    def _run_of_model(self, signed: Signed, content: Digest) -> None:
        """Check the SLSA provenance of a model; its own statement tells the same, so it may be absent."""
        if os.path.lexists(beside(signed.path, ".run.sig")):
            try:
                statement = self.read_beside(signed, content, ".run.sig", RUN_PREDICATE)
                if origin_of(statement) != signed.origin:
                    raise Malformed(
                        message(
                            "{file}: it tells of another run than the model's", file=beside(signed.path, ".run.sig")
                        )
                    )
            except LedgerError as error:
                self.fault("run", signed.path, error)
                return
        self._run(signed)

    def read_beside(self, signed: Signed, content: Digest, suffix: str, predicate_type: str) -> Statement:
        """Return a further statement about an artefact, checked; raises `LedgerError`."""
        file = beside(signed.path, suffix)
        if not os.path.lexists(file):
            raise Unsigned(message("not signed: there is no {file}", file=file))
        envelope, statement = read_statement(file, self.trust_of(signed.path), timeless=True)
        if envelope.keyid != signed.envelope.keyid:
            raise Malformed(message("{file}: signed by another key than {path}", file=file, path=signed.path))
        if statement.predicate_type != predicate_type or list(statement.subjects.values()) != [content]:
            raise Malformed(message("{file}: the statement is not about {path} as it is", file=file, path=signed.path))
        return statement

    def _contributions(self, signed: Signed, content: Digest) -> None:
        path = signed.path
        try:
            statement = self.read_beside(signed, content, ".contributions.sig", CONTRIBUTIONS_PREDICATE)
            stated, entries = statement.predicate["entries"], read_contributions(path)
        except LedgerError as error:
            self.fault("contributions", path, error)
            return
        if entries[: len(stated)] != stated:
            text = message(
                "{file} does not begin with the {count:d} entries that were signed",
                file=contributions_file(path),
                count=len(stated),
            )
            self.add("contributions", path, "broken", text, "content-changed")
        elif len(entries) > len(stated):
            text = message(
                "{count:d} of {total:d} entries are not signed yet; sign again",
                count=len(entries) - len(stated),
                total=len(entries),
            )
            self.add("contributions", path, "missing", text, "unsigned")
        else:
            kinds = [entry["kind"] for entry in entries]
            text = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
            self.add("contributions", path, "ok", message("{kinds}; as signed", kinds=text))

    def check_logged(self, memory: Memory, path: Path, signed: Signed | None) -> None:
        """Look a statement up in this machine's log, and say what is wrong with that."""
        if memory.fault is not None:
            self.fault("log", path, memory.fault)
        elif signed is not None:
            entry = memory.entry(hash_bytes(signed.envelope.payload))
            if entry is None:
                text = message("not in this machine's log: signed elsewhere")
                self.add("log", path, "absent", text, "not-logged")
            elif entry.position >= memory.size:
                text = message(
                    "entry {number:d} of this machine's log is under no head that a trusted key signed",
                    number=entry.position + 1,
                )
                self.add("log", path, "broken", text, "signer-unknown")
            elif not any(link.name == "log" and link.subject == str(path) for link in self.links):
                text = message(
                    "entry {number:d} of {total:d}, put down on {time:word}",
                    number=entry.position + 1,
                    total=memory.size,
                    time=entry.time,
                )
                self.add("log", path, "ok", text)

    def _run(self, signed: Signed) -> None:
        of_track = signed.origin.kind == "track"
        wanted = "model" if of_track else "dataset"
        named = [material.name for material in signed.origin.materials if material.kind == wanted]
        plain = (
            item
            for item in sorted(signed.origin.parameters.items())
            if isinstance(item[1], str | int | float) and item[1] != ""
        )
        settings = ", ".join(f"{key} {value}" for key, value in plain)
        settings = settings if len(settings) <= 160 else settings[:157] + "..."
        if named:
            text = message(
                "made by the model {names}; {settings:text}" if of_track else "trained on {names}; {settings:text}",
                names=", ".join(named),
                settings=settings or message("no settings named"),
            )
            self.add("run", signed.path, "ok", text)
        else:
            text = message("the signed statement names no {kind:text}", kind=wanted)
            self.add("run", signed.path, "absent", text, "not-named")

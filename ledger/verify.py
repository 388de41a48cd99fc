"""Verification: from an artefact back along its materials, and to the chain.

A report leads to its track, a track to its run and model, a model to its run and data set. Every artefact met on the
way must carry a signature by a trusted key, be as signed, and have the digest that the signed statement
before it names. Every anchor and token met is checked, its proof offline and the rest on the chain, and so are time
stamps and the credentials of tracks. The time of the anchor's block, or of a trusted time stamp, decides whether a
signature is older than the revocation of its key. The walk does not stop at the first fault: all links are listed.

What is not there is not passed over: wherever a record, a file beside an artefact or this machine's log says that
something was signed, anchored or minted, its absence is a link, ``missing``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import (
    ExtraMissing,
    KeyRevoked,
    LedgerError,
    LinkRefused,
    LogIncomplete,
    Malformed,
    PathRefused,
    Unsigned,
)
from ledger.exchange.credential import credential_links
from ledger.hashes.digest import MAX_RECORD_BYTES, Digest, hash_bytes, read_bytes
from ledger.hashes.manifest import Manifest, left_out
from ledger.links import Assured, Link, LinkVerdict, Verification
from ledger.paths import beside, named
from ledger.provenance.contributions import contributions_file, read_contributions
from ledger.provenance.digests import Digests
from ledger.provenance.record import (
    Signed,
    artefact_of,
    check_content,
    check_pages,
    place_of,
    read_record,
    read_signed,
    read_statement,
    record_path,
    root_of,
)
from ledger.signing.envelope import Envelope
from ledger.signing.keyring import with_files
from ledger.signing.log import TransparencyLog
from ledger.signing.memory import Known, Memory
from ledger.signing.predicates import (
    CONTENT_PREDICATE,
    CONTRIBUTIONS_PREDICATE,
    RUN_PREDICATE,
    origin_of,
    signed_manifest,
)
from ledger.signing.statement import Material, Statement
from ledger.signing.timestamp import check_time_stamp, is_stamped, stamp_file
from ledger.signing.trust import Trust, format_time, verify_envelope
from messages import message

if TYPE_CHECKING:  # imported where an anchor is met: it takes 0.1 s, as much as hashing 120 MB
    from ledger.chains.chain import Chain

ANCHOR_SUFFIX, TOKEN_SUFFIX, METADATA_SUFFIX = ".anchor.json", ".token.json", ".nft.json"
TRACES = (
    *(".sig.tsr", ".run.sig", ".contributions.sig", ".contributions.json"),
    *(ANCHOR_SUFFIX, TOKEN_SUFFIX, METADATA_SUFFIX),
)
"""Files beside an artefact that are made after it was signed, or for what will be."""
DOUBTS = {
    "unchecked": "{error:text}; the anchor's time would show it, if the chain confirms it",
    "pending": "{error:text}; the anchor's time would show it, if the chain confirms it",
    "simulated": "{error:text}; the anchor's time says nothing, since whoever runs an embedded chain sets its clock",
    "unproven": "{error:text}; the anchor's time is the node's word alone, since the file holds no evidence of the "
    "block",
}
"""Why an anchor does not show that a signature is older than a revocation, by what was found out about the anchor."""
NOTED = {
    "anchor": "there is no {file}, and this machine noted an anchor on {time:word}",
    "token": "there is no {file}, and this machine noted a token on {time:word}",
    "time stamp": "there is no {file}, and this machine noted a time stamp on {time:word}",
}
"""What is said of something that this machine's log knows of, and that is not there."""


def verify_path(
    path: Path,
    trust: Trust,
    chain: Chain | None = None,
    search: Sequence[Path] = (),
    *,
    require_anchor: bool = False,
    signature: Path | None = None,
    ignored: Sequence[str] = (),
    strict: bool = False,
    allow_unsigned: bool = False,
    digests: Digests | None = None,
    log: TransparencyLog | Memory | None = None,
    shipped: Path | None = None,
    about: Path | None = None,
) -> Verification:
    """Verify a folder or a file, everything it was made from, their anchors, and the credentials of tracks.

    Parameters
    ----------
    path : Path
        What to verify; its signature is ``<path>.sig``. A file that belongs to another, such as the WAV of a MIDI
        file, has to be among what the other's signature names, and that one is verified.
    trust : Trust
        Who is believed, e.g. `ledger.signing.keyring.trusted_keys`.
    chain : Chain, optional
        Where roots are looked up. None: anchors are checked offline, and the rest is ``unchecked``.
    search : sequence of Path
        Folders whose direct members are tried, by digest, for a material that is not where the signed
        statement says it was.
    require_anchor : bool
        Whether `path` must be anchored. If not, an anchor that is not there is ``absent``, unless something says that
        there was one.
    signature : Path, optional
        The signature of `path`, where it lies elsewhere.
    ignored : sequence of str
        Names below `path` to leave out, see `ledger.provenance.record.check_content`.
    strict : bool
        Whether files that a statement leaves out (``.git`` for other tools) break the link; if not, they are named.
    allow_unsigned : bool
        Whether what has no signature at all is ``absent`` instead of ``missing``. What is signed must be as signed
        all the same.
    digests : Digests, optional
        What this run has hashed, where it verifies several paths; its cache is believed (see there when it may be).
    log : TransparencyLog or Memory, optional
        This machine's log, which says what was signed here; a `Memory` where several paths are verified.
    shipped : Path, optional
        A folder of models that came with the program, each with its signature, and ``public.pem``: that key is
        believed for these alone, and models are looked for there too.
    about : Path, optional
        The track that the report at `path` must be about.

    Raises
    ------
    PathRefused
        If `path` does not exist. Every other fault is a link.
    """
    if not os.path.lexists(path):
        raise PathRefused(message("{path} does not exist", path=path))
    memory = None if log is None else Memory.of(log, trust)
    walk = _Walk(trust, chain, tuple(search), strict, allow_unsigned, digests or Digests(), memory, shipped)
    owner = artefact_of(path) if signature is None else path
    signed = walk.artefact(owner, None, _measure(owner, walk.digests), signature, tuple(ignored))
    if signed is not None and "reports" in signed.origin.parameters:
        walk.listed(signed)
    if about is not None:
        walk.about(owner, signed, about)
    if owner != path and (signed is None or not _names(signed, path)):
        walk.uncovered(path, owner)
    if not any(link.name == "anchor" and link.subject == str(owner) for link in walk.links):
        walk.add("anchor", owner, "missing" if require_anchor else "absent", message("not anchored"), "not-anchored")
    if memory is not None:
        walk.logged(memory, owner, signed)
    return Verification(path, tuple(walk.links), tuple(walk.assured), signed.envelope.keyid if signed else "")


def _names(signed: Signed, path: Path) -> bool:
    """Whether a statement names a file beside its artefact; `check_content` has compared all that it names."""
    folder, place = (os.path.realpath(of) for of in (named(signed.path).parent, path.parent))
    name = Path(os.path.relpath(os.path.join(place, path.name), folder)).as_posix()
    return name in signed.statement.subjects and signed.statement.predicate_type != CONTENT_PREDICATE


def _measure(path: Path, digests: Digests) -> Manifest | Digest | PathRefused:
    """Return what is there, or why it cannot be hashed."""
    try:
        return digests.measure(path)
    except PathRefused as error:
        return error


def _root(measured: Manifest | Digest | PathRefused) -> Digest | None:
    return None if isinstance(measured, PathRefused) else root_of(measured)


class _Walk:
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

    def _trust(self, path: Path) -> Trust:
        """Return whom a signature of `path` is believed from: what came with the program has a key of its own."""
        if self.shipped is None or Path(os.path.realpath(path)).parent != Path(os.path.realpath(self.shipped)):
            return self.keys
        return with_files(self.keys, [self.shipped])

    def uncovered(self, path: Path, owner: Path) -> None:
        """Say first that a file is named by nothing signed: the record beside it is anybody's word."""
        text = message("{file} lists it, and no signature that can be believed names it", file=record_path(owner).name)
        verdict: LinkVerdict = "absent" if self.allow_unsigned else "missing"
        self.links.insert(0, Link("file", str(path), verdict, text, "not-covered"))

    def artefact(
        self,
        path: Path,
        kind: str | None,
        measured: Manifest | Digest | PathRefused,
        signature: Path | None = None,
        ignored: tuple[str, ...] = (),
    ) -> Signed | None:
        """Check one artefact that must be signed as `kind` (None: any), then its materials."""
        place = os.path.realpath(path)
        if place in self._seen:
            return None
        self._seen.add(place)
        name = _link_name(kind or _said_kind(path))
        trust = self._trust(path)
        try:
            # Whether the key counts still is asked once the anchor has said when the signature was there.
            signed = read_signed(path, trust, file=signature, timeless=True)
        except LedgerError as error:
            links = self._credentials(path)
            trace = self._trace(path, measured) if isinstance(error, Unsigned) else ""
            # A track that travels alone has only its credential, which vouches for it where it was asked for itself.
            alone = isinstance(error, Unsigned) and kind is None and not trace
            if alone and any(link.verdict == "ok" for link in links):
                self.add(name, path, "absent", str(error), error.code)
            else:
                self.fault(
                    name,
                    path,
                    Unsigned(message("{error:text}, and {trace:text}", error=error, trace=trace)) if trace else error,
                )
            self.links += links
            return None
        # A track from outside is signed as a plain file, and another tool's bundle says no kind at all.
        foreign = not signed.told or (kind == "track" and signed.origin.kind == "file")
        if kind is not None and signed.origin.kind != kind and not foreign:
            text = message(
                "expected a {kind:text}, and it is signed as a {other:text}",
                kind=_link_name(kind),
                other=_link_name(signed.origin.kind),
            )
            self.add(_link_name(kind), path, "broken", text, "wrong-kind")
            return None
        name = name if kind is not None and foreign else _link_name(signed.origin.kind)
        intact = self._content(name, signed, measured, ignored, trust)
        stamped = self._time_stamp(signed, signature or beside(path, ".sig"))
        mined, anchored = self._anchor(signed, measured)
        final = mined if anchored == "ok" else None
        time = min((known for known in (stamped, final) if known is not None), default=None)
        if self._key(signed, time, anchored, mined, trust) and intact:
            since = format_time(time) if time else None
            self.assured.append(Assured(name, str(path), trust.name_of(signed.envelope), since))
        self.links += self._credentials(path, signed, time if intact else None)
        self._statements(signed, measured)
        if signature is None:
            self._remembered(signed, measured)
        for material in signed.origin.materials:
            self._material(material, Path(place if path.is_dir() else os.path.dirname(place)))
        if signed.origin.kind == "report":
            self._report(signed, _root(measured))
        return signed

    def _trace(self, path: Path, measured: Manifest | Digest | PathRefused) -> str:
        """Say what tells that an artefact without a signature was signed, or should be; "" where nothing does."""
        if self.memory is not None and (known := self.memory.latest(path)):
            return message("it was signed on this machine on {time:word}", time=known.time)
        files = [file for file in (record_path(path), *(beside(path, suffix) for suffix in TRACES))]
        there = [file.name for file in files if os.path.lexists(file)]
        return message("{file} beside it says that there should be one", file=there[0]) if there else ""

    def _remembered(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> None:
        """Say where the log knows of a later statement about an artefact, or one that is not there any more."""
        if self.memory is None:
            return
        content, payload = _root(measured), hash_bytes(signed.envelope.payload)
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
        revoked = self.memory.noted(hash_bytes(signed.envelope.payload), "revoked")
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

    def _content(
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
                extra = left_out(path, (*manifest.method.ignored, *ignored))
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

    def _time_stamp(self, signed: Signed, file: Path) -> datetime | None:
        """Check the time stamp of a signature file, if any; return the time that a trusted authority vouches for."""
        if not is_stamped(file):
            self._noted(signed, "time stamp", stamp_file(file))
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

    def _credentials(self, path: Path, signed: Signed | None = None, time: datetime | None = None) -> list[Link]:
        """Judge the credentials of an artefact; `time`: when it is known to have been there just as it is."""
        older = dict.fromkeys(signed.statement.subjects, time) if signed and time else {}
        found = list(credential_links(path, signed.origin if signed else None, self.keys, older))
        self._reported[os.path.realpath(path)] = [(Path(link.subject), *report) for link, report in found if report]
        return [link for link, _ in found]

    def _noted(self, signed: Signed, what: str, file: Path) -> bool:
        """Whether this machine's log says that something was made for a statement, and it is not there; say so."""
        time = self.memory.noted(hash_bytes(signed.envelope.payload), what) if self.memory else None
        if time is None:
            return False
        text = message(NOTED[what], file=file, time=time)
        self.add(what, signed.path, "missing", text, "removed")
        return True

    def _key(
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

    def _statements(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> None:
        """Check what else was signed about an artefact: the run that made it, and what people did."""
        if signed.origin.kind == "track":
            self._run(signed)
        content = _root(measured)
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
                statement = self._beside(signed, content, ".run.sig", RUN_PREDICATE)
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

    def _beside(self, signed: Signed, content: Digest, suffix: str, predicate_type: str) -> Statement:
        """Return a further statement about an artefact, checked; raises `LedgerError`."""
        file = beside(signed.path, suffix)
        if not os.path.lexists(file):
            raise Unsigned(message("not signed: there is no {file}", file=file))
        envelope, statement = read_statement(file, self._trust(signed.path), timeless=True)
        if envelope.keyid != signed.envelope.keyid:
            raise Malformed(message("{file}: signed by another key than {path}", file=file, path=signed.path))
        if statement.predicate_type != predicate_type or list(statement.subjects.values()) != [content]:
            raise Malformed(message("{file}: the statement is not about {path} as it is", file=file, path=signed.path))
        return statement

    def _contributions(self, signed: Signed, content: Digest) -> None:
        path = signed.path
        try:
            statement = self._beside(signed, content, ".contributions.sig", CONTRIBUTIONS_PREDICATE)
            told, entries = statement.predicate["entries"], read_contributions(path)
        except LedgerError as error:
            self.fault("contributions", path, error)
            return
        if entries[: len(told)] != told:
            text = message(
                "{file} does not begin with the {count:d} entries that were signed",
                file=contributions_file(path),
                count=len(told),
            )
            self.add("contributions", path, "broken", text, "content-changed")
        elif len(entries) > len(told):
            text = message(
                "{count:d} of {total:d} entries are not signed yet; sign again",
                count=len(entries) - len(told),
                total=len(entries),
            )
            self.add("contributions", path, "missing", text, "unsigned")
        else:
            kinds = [entry["kind"] for entry in entries]
            text = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
            self.add("contributions", path, "ok", message("{kinds}; as signed", kinds=text))

    def logged(self, memory: Memory, path: Path, signed: Signed | None) -> None:
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

    def _material(self, material: Material, base: Path) -> None:
        """Find a material by its hint or in the search folders, and check it."""
        name = _link_name(material.kind)
        hinted = None if material.path is None else Path(os.path.normpath(base / material.path))
        mismatch = None
        if hinted is not None and os.path.lexists(hinted):
            measured = _measure(hinted, self.digests)
            if _root(measured) == material.digest:
                self._found(material, hinted, measured)
                return
            mismatch = self._mismatch(material, hinted, measured)
        for candidate in self._candidates(material):
            measured = _measure(candidate, self.digests)
            if _root(measured) == material.digest:
                self._found(material, candidate, measured)
                return
        if mismatch is not None:
            self.add(name, hinted or material.name, "broken", mismatch, "other-material")
            return
        if hinted is not None and material.kind == "dataset" and self._stated(material, hinted):
            return
        text = message(
            "its place is not known, nor in the search folders; its digest is {digest:word}..."
            if hinted is None
            else "not at {place}, nor in the search folders; its digest is {digest:word}...",
            place=hinted,
            digest=material.digest.hex[:16],
        )
        self.add(name, material.name, "absent" if material.kind == "policy" else "missing", text, "not-found")

    def _stated(self, material: Material, path: Path) -> bool:
        """Whether the signed statement of a data set is here; the data itself is seldom handed on with a model."""
        try:
            signed = read_signed(path, self._trust(path))
            manifest = signed_manifest(signed.statement)
        except LedgerError:
            return False
        if manifest.root != material.digest:
            return False
        by = self._trust(path).name_of(signed.envelope)
        text = message(
            "not here; its statement is: {count:d} files, signed by {signer:text}", count=len(manifest.files), signer=by
        )
        self.add(_link_name(material.kind), path, "absent", text, "stated")
        return True

    def _found(self, material: Material, path: Path, measured: Manifest | Digest | PathRefused) -> None:
        self._places[material.digest.hex] = path
        if material.kind == "policy":  # a policy is named by its digest and needs no signature
            self.add("policy", path, "ok", message("content as named in the signed statement"))
        else:
            self.artefact(path, material.kind, measured)

    def _mismatch(self, material: Material, path: Path, measured: Manifest | Digest | PathRefused) -> str:
        """Return how a material differs from what was used; its own signature may tell which files."""
        if isinstance(measured, PathRefused):
            return str(measured)
        found = _root(measured)
        text = message(
            "it is not what was used: the statement names {named:word}..., here is {found:word}...",
            named=material.digest.hex[:16],
            found=found.hex[:16] if found else "nothing",
        )
        try:
            check_content(
                read_signed(path, self._trust(path), timeless=True), measured, measured_by=self.digests.manifest
            )
        except LedgerError as error:
            return message("{what:text} ({error:text})", what=text, error=error)
        return message("{what:text} (it was changed and signed again)", what=text)

    def _candidates(self, material: Material) -> list[Path]:
        """Return members of the search folders that bear the material's name or a signature."""
        found = []
        for folder in self.search:
            try:
                members = sorted(folder.iterdir())
            except OSError:  # not a folder, or not ours to read: nothing to find there
                continue
            names = {member.name for member in members}
            found += [
                member
                for member in (folder, *members)
                if not member.is_symlink()
                and (member.name == material.name or member == folder or f"{member.name}.sig" in names)
            ]
        return found

    def _anchor(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> tuple[datetime | None, str | None]:
        """Check anchor and token, if any; return the block's time as the chain says, and the anchor's verdict.

        The verdict is ``unproven`` where the anchor file holds no evidence of the block: then the node alone says when.
        """
        path, content = signed.path, _root(measured)
        anchored, minted, described = (
            os.path.lexists(beside(path, suffix)) for suffix in (ANCHOR_SUFFIX, TOKEN_SUFFIX, METADATA_SUFFIX)
        )
        if not anchored and not self._noted(signed, "anchor", beside(path, ANCHOR_SUFFIX)) and described:
            self._described(path)
        if not minted and not self._noted(signed, "token", beside(path, TOKEN_SUFFIX)) and described:
            text = message(
                "there is no {file} beside {other}",
                file=beside(path, TOKEN_SUFFIX).name,
                other=beside(path, METADATA_SUFFIX).name,
            )
            self.add("token", path, "missing", text, "removed")
        if not anchored and not minted:
            return None, None
        from ledger.anchors.chain_checks import judge_anchor, judge_token

        link, receipt = None, None
        if anchored:
            link, receipt = judge_anchor(path, content, hash_bytes(signed.envelope.payload), self.chain)
            self.links.append(link)
        if minted:
            self.links.append(judge_token(path, content, self.chain))
        if link is None or receipt is None:
            return None, link.verdict if link else None
        account = self.keys.accounts.get(signed.envelope.keyid)
        if account is not None:
            own = account.lower() == receipt.issuer.lower()
            text = message(
                "the account {account:word} is bound to the signer's key; it anchored"
                if own
                else "the account {account:word} is bound to the signer's key; another account anchored",
                account=account,
            )
            self.add("key", path, "ok" if own else "absent", text, "ok" if own else "other-account")
        proven = link.verdict != "ok" or receipt.evidence is not None
        return datetime.fromtimestamp(receipt.time, UTC), link.verdict if proven else "unproven"

    def _described(self, path: Path) -> None:
        """Say where the metadata of a token names an anchor that is not there."""
        from ledger.anchors.token_metadata import anchor_in

        if anchor_in(beside(path, METADATA_SUFFIX)):
            text = message(
                "there is no {file}, and {other} names one",
                file=beside(path, ANCHOR_SUFFIX).name,
                other=beside(path, METADATA_SUFFIX).name,
            )
            self.add("anchor", path, "missing", text, "removed")

    def _report(self, signed: Signed, content: Digest | None) -> None:
        """Check that a report lies with the track that it is about, and that the track's credential names no other."""
        track = next((material for material in signed.origin.materials if material.kind == "track"), None)
        made_in = signed.origin.parameters.get("folder")
        folder = Path(os.path.realpath(signed.path)).parent
        if track is not None and isinstance(made_in, str) and folder.name != made_in:
            text = message(
                "the report is about {track} and was made in the folder {made}, and lies in {folder}, which is that of "
                "another track",
                track=track.name,
                made=repr(made_in),
                folder=repr(folder.name),
            )
            self.add("report", signed.path, "missing", text, "moved")
        if signed.origin.parameters.get("index") and content is not None:
            self._index(signed, content)
        place = None if track is None else self._places.get(track.digest.hex)
        if place is None or content is None:
            return
        for file, name, digest in self._reported.get(os.path.realpath(place), ()):
            if digest != content.hex:
                text = message(
                    "the credential names another report ({name} {digest:word}...); contraste sign --report names it",
                    name=repr(name),
                    digest=digest[:16],
                )
                self.add("credential", file, "missing", text, "other-report")

    def _index(self, signed: Signed, content: Digest) -> None:
        """Check the page of several reports that lies above this one, where the report says that there is one."""
        index = Path(os.path.normpath(named(signed.path).parent / "..")) / "index.html"
        if not os.path.lexists(index):
            text = message("not here; the report was made together with others")
            self.add("page", index, "absent", text, "not-found")
            return
        listing = self.artefact(index, "report", _measure(index, self.digests))
        reports = listing.origin.parameters.get("reports") if listing else None
        if listing and (not isinstance(reports, Mapping) or reports.get(place_of(signed.path)) != content.hex):
            text = message(
                "it lists another state of {place} than this; contraste audit writes it anew",
                place=place_of(signed.path),
            )
            self.add("page", index, "broken", text, "other-report")

    def about(self, path: Path, signed: Signed | None, track: Path) -> None:
        """Say whether a report is about the track that was meant."""
        meant = _root(_measure(track, self.digests))
        materials = signed.origin.materials if signed else ()
        if not any((material.kind, material.digest) == ("track", meant) for material in materials):
            self.add("report", path, "broken", message("it is not about {track}", track=track), "other-track")

    def listed(self, signed: Signed) -> None:
        """Compare the reports that an index lists with those that lie there."""
        try:
            check_pages(signed.path, signed.origin, "reports")
        except LedgerError as error:
            self.fault("page", signed.path, error)


def _said_kind(path: Path) -> str:
    """Return what an artefact says it is; nobody vouches for it, so it only names the link."""
    try:
        record = read_record(path)
    except LedgerError:
        record = None
    if record is not None:
        return record.origin.kind
    return "folder" if path.is_dir() else "file"


def _link_name(kind: str) -> str:
    return "data set" if kind == "dataset" else kind

"""Verification: from an artefact back along its materials, and to the chain.

A report leads to its track, a track to its run and model, a model to its run and data set. Every artefact met on the
way must carry a signature by a trusted key, be as signed, and have the digest that the signed statement
before it names. Every anchor and token met is checked, its proof offline and the rest on the chain, and so are time
stamps and the credentials of tracks. The time of the anchor's block, or of a trusted time stamp, decides whether a
signature is older than the revocation of its key. The walk does not stop at the first fault: all links are listed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.contributions import contributions_file, read_contributions
from ledger.credential import credential_links, owner_of
from ledger.digest import Digest, hash_bytes
from ledger.errors import ExtraMissing, KeyRevoked, LedgerError, Malformed, PathRefused, Unsigned
from ledger.hashcache import HashCache
from ledger.manifest import Manifest, left_out
from ledger.paths import beside
from ledger.predicates import CONTENT_PREDICATE, CONTRIBUTIONS_PREDICATE, RUN_PREDICATE, origin_of, signed_manifest
from ledger.provenance import (
    Signed,
    check_content,
    measure,
    read_record,
    read_signed,
    read_statement,
    root_of,
)
from ledger.statement import Material, Statement
from ledger.timestamp import check_time_stamp, is_stamped
from ledger.transparency import TransparencyLog
from ledger.trust import Trust, format_time, verify_envelope

if TYPE_CHECKING:  # imported where an anchor is met: it takes 0.1 s, as much as hashing 120 MB
    from ledger.chain import Chain

__all__ = ["Link", "LinkVerdict", "Verification", "verify_path"]

ANCHOR_SUFFIX, TOKEN_SUFFIX = ".anchor.json", ".token.json"
LinkVerdict = Literal["ok", "simulated", "pending", "absent", "unchecked", "missing", "broken"]
"""Verdict of a link.

ok
    Checked, and right.
simulated
    An anchor that holds, on the embedded chain.
pending
    An anchor that is on the chain, in a block that is not finalized yet.
absent
    Nothing there to check, and nothing demanded it: not anchored; the policy file is not at hand.
unchecked
    It could not be checked: the chain was not asked, did not answer, or is another chain.
missing
    A signature, a material or a demanded anchor is not there; or the chain does not hold the anchor (any more).
broken
    It is wrong.
"""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain of provenance.

    Parameters
    ----------
    name : str
        ``report``, ``track``, ``run``, ``model``, ``data set``, ``policy``, ``folder``, ``file``, ``contributions``,
        ``time stamp``, ``anchor``, ``token``, ``key`` (only where it is revoked or expired, or an account is bound to
        it), ``credential``, ``log``.
    subject : str
        The path it is about, or the name of a material that was not found.
    verdict : str
        See `LinkVerdict`.
    detail : str
        Why, in one line for people.
    code : str
        Why, for programs: ``ok``, or the `code` of the error in `ledger.errors`, or a word of this module.
    """

    name: str
    subject: str
    verdict: LinkVerdict
    detail: str
    code: str = "ok"

    @property
    def needs_chain(self) -> bool:
        """Whether only a chain that was not asked can tell."""
        return self.code == "chain-not-asked"


@dataclass(frozen=True, slots=True)
class Verification:
    """The links of one artefact, in walking order.

    Parameters
    ----------
    path : Path
        What was verified.
    links : tuple of Link
        At least one.
    """

    path: Path
    links: tuple[Link, ...]

    @property
    def verdict(self) -> Literal["ok", "incomplete", "broken"]:
        """``broken`` if any link is; else ``incomplete`` if one is missing or unchecked; else ``ok``."""
        found = {link.verdict for link in self.links}
        if "broken" in found:
            return "broken"
        return "incomplete" if found & {"missing", "unchecked"} else "ok"

    @property
    def fault(self) -> Link | None:
        """The first broken link, or else the first that is missing or unchecked; None if there is none."""
        for verdicts in (("broken",), ("missing", "unchecked")):
            for link in self.links:
                if link.verdict in verdicts:
                    return link
        return None

    @property
    def needs_chain(self) -> tuple[Link, ...]:
        """The links that only a chain can tell, which was not asked."""
        return tuple(link for link in self.links if link.needs_chain)

    def to_json(self) -> dict[str, Any]:
        """Return path, verdict, the index of the first fault (or None), and all links as a JSON object."""
        links = [asdict(link) | {"needs_chain": link.needs_chain} for link in self.links]
        fault = None if self.fault is None else self.links.index(self.fault)
        return {"path": str(self.path), "verdict": self.verdict, "fault": fault, "links": links}


def verify_path(
    path: Path,
    keys: Mapping[str, ec.EllipticCurvePublicKey],
    chain: Chain | None = None,
    search: Sequence[Path] = (),
    *,
    require_anchor: bool = False,
    signature: Path | None = None,
    ignored: Sequence[str] = (),
    strict: bool = False,
    cache: HashCache | None = None,
    log: TransparencyLog | None = None,
) -> Verification:
    """Verify a folder or a file, everything it was made from, their anchors, and the credentials of tracks.

    Parameters
    ----------
    path : Path
        What to verify; its signature is ``<path>.sig``. For a file that belongs to another, such as the WAV of a
        MIDI file, that one is verified.
    keys : mapping of str to public key
        Trusted keys by key id; a `Trust`, e.g. of `ledger.keyring.trusted_keys`, knows authorities and revocations too.
    chain : Chain, optional
        Where roots are looked up. None: anchors are checked offline, and the rest is ``unchecked``.
    search : sequence of Path
        Folders whose direct members are tried, by digest, for a material that is not where the signed
        statement says it was.
    require_anchor : bool
        Whether `path` must be anchored. If not, an anchor that is not there is ``absent``.
    signature : Path, optional
        The signature of `path`, where it lies elsewhere.
    ignored : sequence of str
        Names below `path` to leave out, see `ledger.provenance.check_content`.
    strict : bool
        Whether files that a statement leaves out (``.git`` for other tools) break the link; if not, they are named.
    cache : HashCache, optional
        Digests of unchanged files.
    log : TransparencyLog, optional
        This machine's log, in which the statement about `path` is looked up.

    Raises
    ------
    PathRefused
        If `path` does not exist. Every other fault is a link.
    """
    if not os.path.lexists(path):
        raise PathRefused(f"{path} does not exist")
    walk = _Walk(Trust.of(keys), chain, tuple(search), strict, cache)
    owner = _owner(path) if signature is None else path
    signed = walk.artefact(owner, None, _measure(owner, cache), signature, tuple(ignored))
    if not os.path.lexists(beside(owner, ANCHOR_SUFFIX)):
        walk.add("anchor", owner, "missing" if require_anchor else "absent", "not anchored", "not-anchored")
    if log is not None and signed is not None:
        walk.logged(log, signed)
    return Verification(path, tuple(walk.links))


def _owner(path: Path) -> Path:
    """Return the artefact that `path` belongs to; `path` itself where a record beside it can't be read."""
    try:
        return owner_of(path)
    except LedgerError:
        return path


def _measure(path: Path, cache: HashCache | None) -> Manifest | Digest | PathRefused:
    """Return what is there, or why it cannot be hashed."""
    try:
        return measure(path, cache)
    except PathRefused as error:
        return error


def _root(measured: Manifest | Digest | PathRefused) -> Digest | None:
    return None if isinstance(measured, PathRefused) else root_of(measured)


class _Walk:
    """The links found so far, and what they are checked against."""

    def __init__(
        self, keys: Trust, chain: Chain | None, search: tuple[Path, ...], strict: bool, cache: HashCache | None
    ) -> None:
        self.keys = keys
        self.chain = chain
        self.search = search
        self.strict = strict
        self.cache = cache
        self.links: list[Link] = []
        self._seen: set[str] = set()

    def add(self, name: str, subject: Path | str, verdict: LinkVerdict, detail: str, code: str = "ok") -> None:
        self.links.append(Link(name, str(subject), verdict, detail, code))

    def fault(self, name: str, subject: Path | str, error: LedgerError) -> None:
        """Add what an error says: ``missing`` where there is no signature, else ``broken``."""
        self.add(name, subject, "missing" if isinstance(error, Unsigned) else "broken", str(error), error.code)

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
        try:
            # Whether the key counts still is asked once the anchor has said when the signature was there.
            signed = read_signed(path, self.keys, file=signature, timeless=True)
        except LedgerError as error:
            links = self._credentials(path)
            # A track that travels alone has only its credential, which vouches for it where it was asked for itself.
            if isinstance(error, Unsigned) and kind is None and any(link.verdict == "ok" for link in links):
                self.add(name, path, "absent", str(error), error.code)
            else:
                self.fault(name, path, error)
            self.links += links
            return None
        # A track from outside is signed as a plain file, and another tool's bundle says no kind at all.
        foreign = not signed.told or (kind == "track" and signed.origin.kind == "file")
        if kind is not None and signed.origin.kind != kind and not foreign:
            text = f"expected a {_link_name(kind)}, and it is signed as a {_link_name(signed.origin.kind)}"
            self.add(_link_name(kind), path, "broken", text, "wrong-kind")
            return None
        name = name if kind is not None and foreign else _link_name(signed.origin.kind)
        intact = self._content(name, signed, measured, ignored)
        stamped = self._time_stamp(signed, signature or beside(path, ".sig"))
        mined, anchored = self._anchor(signed, measured)
        time = min((known for known in (stamped, mined) if known is not None), default=None)
        self._key(signed, time, anchored)
        self.links += self._credentials(path, signed, time if intact else None)
        self._statements(signed, measured)
        for material in signed.origin.materials:
            self._material(material, Path(place if path.is_dir() else os.path.dirname(place)))
        return signed

    def _content(
        self, name: str, signed: Signed, measured: Manifest | Digest | PathRefused, ignored: tuple[str, ...]
    ) -> bool:
        """Compare an artefact with its statement; return whether it is as signed."""
        path, what, extra = signed.path, "content", []
        try:
            if isinstance(measured, PathRefused):
                raise measured
            check_content(signed, measured, ignored=ignored, cache=self.cache)
            if signed.statement.predicate_type == CONTENT_PREDICATE and path.is_dir():
                manifest = signed_manifest(signed.statement)
                number, kind = len(manifest.files), "shard" if manifest.method.shard_bytes else "file"
                what = f"{number} {kind}{'s' if number != 1 else ''}"
                extra = left_out(path, (*manifest.method.ignored, *ignored))
        except LedgerError as error:
            self.fault(name, path, error)
            return False
        chain = signed.envelope.certificates
        by = chain[0].subject.rfc4514_string() if chain else f"key {signed.envelope.keyid[:16]}..."
        text = f"{what} as signed by {by}"
        if extra:
            text += f"; the signature leaves out {', '.join(extra[:3])}{' and more' if len(extra) > 3 else ''}"
        self.add(name, path, "broken" if extra and self.strict else "ok", text, "not-covered" if extra else "ok")
        return True

    def _time_stamp(self, signed: Signed, file: Path) -> datetime | None:
        """Check the time stamp of a signature file, if any; return the time that a trusted authority vouches for."""
        if not is_stamped(file):
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
            text = "by an authority that is not trusted here, which says nothing"
            self.add("time stamp", signed.path, "absent", text, "authority-unknown")
        else:
            self.add("time stamp", signed.path, "ok", f"signed before {time:%Y-%m-%d %H:%M:%S} UTC")
        return time

    def _credentials(self, path: Path, signed: Signed | None = None, time: datetime | None = None) -> list[Link]:
        """Judge the credentials of an artefact; `time`: when it is known to have been there just as it is."""
        older = dict.fromkeys(signed.statement.subjects, time) if signed and time else {}
        found = credential_links(path, signed.origin if signed else None, self.keys, older)
        return [Link("credential", str(file), verdict, detail, code) for file, verdict, detail, code in found]

    def _key(self, signed: Signed, time: datetime | None, anchored: LinkVerdict | None) -> None:
        """Say whether the signer's key still counts, where there is a doubt, and whether its account anchored."""
        try:
            verify_envelope(signed.envelope, self.keys, at=time)
        except KeyRevoked as error:
            if anchored in ("unchecked", "pending"):
                text = f"{error}; the anchor's time would show it, if the chain confirms it"
                self.add("key", signed.path, "unchecked", text, "chain-not-asked" if not self.chain else error.code)
            else:
                self.fault("key", signed.path, error)
            return
        except LedgerError as error:
            self.fault("key", signed.path, error)
            return
        if signed.envelope.keyid in self.keys.revoked and time is not None:
            since = format_time(self.keys.revoked[signed.envelope.keyid].since)
            text = f"revoked since {since}; the signature was there on {format_time(time)}"
            self.add("key", signed.path, "ok", text, "signed-before-revocation")

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
                    raise Malformed(f"{beside(signed.path, '.run.sig')}: it tells of another run than the model's")
            except LedgerError as error:
                self.fault("run", signed.path, error)
                return
        self._run(signed)

    def _beside(self, signed: Signed, content: Digest, suffix: str, predicate_type: str) -> Statement:
        """Return a further statement about an artefact, checked; raises `LedgerError`."""
        file = beside(signed.path, suffix)
        if not os.path.lexists(file):
            raise Unsigned(f"not signed: there is no {file}")
        envelope, statement = read_statement(file, self.keys, timeless=True)
        if envelope.keyid != signed.envelope.keyid:
            raise Malformed(f"{file}: signed by another key than {signed.path}")
        if statement.predicate_type != predicate_type or list(statement.subjects.values()) != [content]:
            raise Malformed(f"{file}: the statement is not about {signed.path} as it is")
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
            text = f"{contributions_file(path)} does not begin with the {len(told)} entries that were signed"
            self.add("contributions", path, "broken", text, "content-changed")
        elif len(entries) > len(told):
            text = f"{len(entries) - len(told)} of {len(entries)} entries are not signed yet; sign again"
            self.add("contributions", path, "missing", text, "unsigned")
        else:
            kinds = [entry["kind"] for entry in entries]
            text = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
            self.add("contributions", path, "ok", f"{text}; as signed")

    def logged(self, log: TransparencyLog, signed: Signed) -> None:
        """Look a statement up in this machine's log."""
        try:
            entry = log.find(hash_bytes(signed.envelope.payload))
            if entry is None:
                self.add("log", signed.path, "absent", "not in this machine's log: signed elsewhere", "not-logged")
                return
            size, _, _ = log.proof_of(entry, self.keys)
        except LedgerError as error:
            self.fault("log", signed.path, error)
            return
        self.add("log", signed.path, "ok", f"entry {entry.position + 1} of {size}, put down on {entry.fields['time']}")

    def _run(self, signed: Signed) -> None:
        made, wanted = ("made by the model", "model") if signed.origin.kind == "track" else ("trained on", "dataset")
        named = [material.name for material in signed.origin.materials if material.kind == wanted]
        plain = (
            item
            for item in sorted(signed.origin.parameters.items())
            if isinstance(item[1], str | int | float) and item[1] != ""
        )
        settings = ", ".join(f"{key} {value}" for key, value in plain)
        settings = settings if len(settings) <= 160 else settings[:157] + "..."
        if named:
            self.add(
                "run",
                signed.path,
                "ok",
                f"{made} {', '.join(named)}; {settings or 'no settings named'}",
            )
        else:
            self.add("run", signed.path, "absent", f"the signed statement names no {wanted}", "not-named")

    def _material(self, material: Material, base: Path) -> None:
        """Find a material by its hint or in the search folders, and check it."""
        name = _link_name(material.kind)
        hinted = None if material.path is None else Path(os.path.normpath(base / material.path))
        mismatch = None
        if hinted is not None and os.path.lexists(hinted):
            measured = _measure(hinted, self.cache)
            if _root(measured) == material.digest:
                self._found(material, hinted, measured)
                return
            mismatch = self._mismatch(material, hinted, measured)
        for candidate in self._candidates(material):
            measured = _measure(candidate, self.cache)
            if _root(measured) == material.digest:
                self._found(material, candidate, measured)
                return
        if mismatch is not None:
            self.add(name, hinted or material.name, "broken", mismatch, "other-material")
            return
        if hinted is not None and material.kind == "dataset" and self._stated(material, hinted):
            return
        where = f"not at {hinted}" if hinted is not None else "its place is not known"
        text = f"{where}, nor in the search folders; its digest is {material.digest.hex[:16]}..."
        self.add(name, material.name, "absent" if material.kind == "policy" else "missing", text, "not-found")

    def _stated(self, material: Material, path: Path) -> bool:
        """Whether the signed statement of a data set is here; the data itself is seldom handed on with a model."""
        try:
            signed = read_signed(path, self.keys)
            manifest = signed_manifest(signed.statement)
        except LedgerError:
            return False
        if manifest.root != material.digest:
            return False
        text = f"not here; its statement is: {len(manifest.files)} files, signed by key {signed.envelope.keyid[:16]}..."
        self.add(_link_name(material.kind), path, "absent", text, "stated")
        return True

    def _found(self, material: Material, path: Path, measured: Manifest | Digest | PathRefused) -> None:
        if material.kind == "policy":  # a policy is named by its digest and needs no signature
            self.add("policy", path, "ok", "content as named in the signed statement")
        else:
            self.artefact(path, material.kind, measured)

    def _mismatch(self, material: Material, path: Path, measured: Manifest | Digest | PathRefused) -> str:
        """Return how a material differs from what was used; its own signature may tell which files."""
        if isinstance(measured, PathRefused):
            return str(measured)
        found = _root(measured)
        text = (
            f"it is not what was used: the statement names {material.digest.hex[:16]}..., "
            f"here is {found.hex[:16] if found else 'nothing'}..."
        )
        try:
            check_content(read_signed(path, self.keys, timeless=True), measured, cache=self.cache)
        except LedgerError as error:
            return f"{text} ({error})"
        return f"{text} (it was changed and signed again)"

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

    def _anchor(
        self, signed: Signed, measured: Manifest | Digest | PathRefused
    ) -> tuple[datetime | None, LinkVerdict | None]:
        """Check anchor and token, if any; return the time that the chain vouches for, and the anchor's verdict."""
        path, content = signed.path, _root(measured)
        anchored, minted = (os.path.lexists(beside(path, suffix)) for suffix in (ANCHOR_SUFFIX, TOKEN_SUFFIX))
        if not anchored and not minted:
            return None, None
        from ledger.onchain import judge_anchor, judge_token

        found = judge_anchor(path, content, hash_bytes(signed.envelope.payload), self.chain) if anchored else None
        if found is not None:
            self.add("anchor", path, found.verdict, found.detail, found.code)
        if minted:
            self.add("token", path, *judge_token(path, content, self.chain)[:3])
        if found is None or found.receipt is None:
            return None, found and found.verdict
        account = self.keys.accounts.get(signed.envelope.keyid)
        if account is not None:
            own = account.lower() == found.receipt.issuer.lower()
            text = f"the account {account} is bound to the signer's key; {'it' if own else 'another account'} anchored"
            self.add("key", path, "ok" if own else "absent", text, "ok" if own else "other-account")
        return datetime.fromtimestamp(found.receipt.time, UTC), found.verdict


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

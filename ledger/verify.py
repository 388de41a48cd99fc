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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import LedgerError, PathRefused, Unsigned
from ledger.hashes.digest import Digest, hash_bytes
from ledger.hashes.manifest import Manifest
from ledger.links import Assured, Verification
from ledger.paths import beside, give_name
from ledger.provenance.digests import Digests
from ledger.provenance.record import artefact_of, place_of
from ledger.provenance.signed import Signed, check_content, check_pages, names_file, read_signed
from ledger.signing.log import TransparencyLog
from ledger.signing.memory import Memory
from ledger.signing.predicates import signed_manifest
from ledger.signing.statement import Material
from ledger.signing.trust import Trust, format_time
from ledger.verification.signature_checks import SignatureChecks
from ledger.verification.walk import (
    ANCHOR_SUFFIX,
    METADATA_SUFFIX,
    TOKEN_SUFFIX,
    measure_or_refuse,
    name_link,
    read_kind,
    root_of_measured,
)
from messages import message

if TYPE_CHECKING:  # imported where an anchor is met: it takes 0.1 s, as much as hashing 120 MB
    from ledger.chains.chain import Chain


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
        Names below `path` to leave out, see `ledger.provenance.signed.check_content`.
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
    signed = walk.artefact(owner, None, measure_or_refuse(owner, walk.digests), signature, tuple(ignored))
    if signed is not None and "reports" in signed.origin.parameters:
        walk.check_listed(signed)
    if about is not None:
        walk.about(owner, signed, about)
    if owner != path and (signed is None or not names_file(signed, path)):
        walk.say_uncovered(path, owner)
    if not any(link.name == "anchor" and link.subject == str(owner) for link in walk.links):
        walk.add("anchor", owner, "missing" if require_anchor else "absent", message("not anchored"), "not-anchored")
    if memory is not None:
        walk.check_logged(memory, owner, signed)
    return Verification(path, tuple(walk.links), tuple(walk.assured), signed.envelope.keyid if signed else "")


class _Walk(SignatureChecks):
    """A walk from an artefact back to its materials and its anchor."""

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
        name = name_link(kind or read_kind(path))
        trust = self.trust_of(path)
        try:
            # Whether the key counts still is asked once the anchor has said when the signature was there.
            signed = read_signed(path, trust, file=signature, timeless=True)
        except LedgerError as error:
            links = self.check_credentials(path)
            trace = self.note_trace(path, measured) if isinstance(error, Unsigned) else ""
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
                kind=name_link(kind),
                other=name_link(signed.origin.kind),
            )
            self.add(name_link(kind), path, "broken", text, "wrong-kind")
            return None
        name = name if kind is not None and foreign else name_link(signed.origin.kind)
        intact = self.check_content_of(name, signed, measured, ignored, trust)
        stamped = self.check_time_stamp(signed, signature or beside(path, ".sig"))
        mined, anchored = self._anchor(signed, measured)
        final = mined if anchored == "ok" else None
        time = min((known for known in (stamped, final) if known is not None), default=None)
        if self.check_key(signed, time, anchored, mined, trust) and intact:
            since = format_time(time) if time else None
            self.assured.append(Assured(name, str(path), trust.name_of(signed.envelope), since))
        self.links += self.check_credentials(path, signed, time if intact else None)
        self.check_statements(signed, measured)
        if signature is None:
            self.check_remembered(signed, measured)
        for material in signed.origin.materials:
            self._material(material, Path(place if path.is_dir() else os.path.dirname(place)))
        if signed.origin.kind == "report":
            self._report(signed, root_of_measured(measured))
        return signed

    def _material(self, material: Material, base: Path) -> None:
        """Find a material by its hint or in the search folders, and check it."""
        name = name_link(material.kind)
        hinted = None if material.path is None else Path(os.path.normpath(base / material.path))
        mismatch = None
        if hinted is not None and os.path.lexists(hinted):
            measured = measure_or_refuse(hinted, self.digests)
            if root_of_measured(measured) == material.digest:
                self._found(material, hinted, measured)
                return
            mismatch = self._mismatch(material, hinted, measured)
        for candidate in self._candidates(material):
            measured = measure_or_refuse(candidate, self.digests)
            if root_of_measured(measured) == material.digest:
                self._found(material, candidate, measured)
                return
        if mismatch is not None:
            self.add(name, hinted or material.name, "broken", mismatch, "other-material")
            return
        if hinted is not None and material.kind == "dataset" and self._check_stated(material, hinted):
            return
        text = message(
            "its place is not known, nor in the search folders; its digest is {digest:word}..."
            if hinted is None
            else "not at {place}, nor in the search folders; its digest is {digest:word}...",
            place=hinted,
            digest=material.digest.hex[:16],
        )
        self.add(name, material.name, "absent" if material.kind == "policy" else "missing", text, "not-found")

    def _check_stated(self, material: Material, path: Path) -> bool:
        """Whether the signed statement of a data set is here; the data itself is seldom handed on with a model."""
        try:
            signed = read_signed(path, self.trust_of(path))
            manifest = signed_manifest(signed.statement)
        except LedgerError:
            return False
        if manifest.root != material.digest:
            return False
        by = self.trust_of(path).name_of(signed.envelope)
        text = message(
            "not here; its statement is: {count:d} files, signed by {signer:text}", count=len(manifest.files), signer=by
        )
        self.add(name_link(material.kind), path, "absent", text, "stated")
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
        root = root_of_measured(measured)
        text = message(
            "it is not what was used: the statement names {named:word}..., here is {found:word}...",
            named=material.digest.hex[:16],
            found=root.hex[:16] if root else "nothing",
        )
        try:
            check_content(
                read_signed(path, self.trust_of(path), timeless=True), measured, measured_by=self.digests.manifest
            )
        except LedgerError as error:
            return message("{what:text} ({error:text})", what=text, error=error)
        return message("{what:text} (it was changed and signed again)", what=text)

    def _candidates(self, material: Material) -> list[Path]:
        """Return members of the search folders that bear the material's name or a signature."""
        candidates = []
        for folder in self.search:
            try:
                members = sorted(folder.iterdir())
            except OSError:  # not a folder, or not ours to read: nothing to find there
                continue
            names = {member.name for member in members}
            candidates += [
                member
                for member in (folder, *members)
                if not member.is_symlink()
                and (member.name == material.name or member == folder or f"{member.name}.sig" in names)
            ]
        return candidates

    def _anchor(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> tuple[datetime | None, str | None]:
        """Check anchor and token, if any; return the block's time as the chain says, and the anchor's verdict.

        The verdict is ``unproven`` where the anchor file holds no evidence of the block: then the node alone says when.
        """
        path, content = signed.path, root_of_measured(measured)
        anchored, minted, described = (
            os.path.lexists(beside(path, suffix)) for suffix in (ANCHOR_SUFFIX, TOKEN_SUFFIX, METADATA_SUFFIX)
        )
        if not anchored and not self.is_noted(signed, "anchor", beside(path, ANCHOR_SUFFIX)) and described:
            self._check_described(path)
        if not minted and not self.is_noted(signed, "token", beside(path, TOKEN_SUFFIX)) and described:
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

    def _check_described(self, path: Path) -> None:
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
        index = Path(os.path.normpath(give_name(signed.path).parent / "..")) / "index.html"
        if not os.path.lexists(index):
            text = message("not here; the report was made together with others")
            self.add("page", index, "absent", text, "not-found")
            return
        listing = self.artefact(index, "report", measure_or_refuse(index, self.digests))
        reports = listing.origin.parameters.get("reports") if listing else None
        if listing and (not isinstance(reports, Mapping) or reports.get(place_of(signed.path)) != content.hex):
            text = message(
                "it lists another state of {place} than this; contraste audit writes it anew",
                place=place_of(signed.path),
            )
            self.add("page", index, "broken", text, "other-report")

    def about(self, path: Path, signed: Signed | None, track: Path) -> None:
        """Say whether a report is about the track that was meant."""
        meant = root_of_measured(measure_or_refuse(track, self.digests))
        materials = signed.origin.materials if signed else ()
        if not any((material.kind, material.digest) == ("track", meant) for material in materials):
            self.add("report", path, "broken", message("it is not about {track}", track=track), "other-track")

    def check_listed(self, signed: Signed) -> None:
        """Compare the reports that an index lists with those that lie there."""
        try:
            check_pages(signed.path, signed.origin, "reports")
        except LedgerError as error:
            self.fault("page", signed.path, error)

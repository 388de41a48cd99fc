"""Verification: from an artefact back along its materials, and to the chain.

A report leads to its track, a track to its run and model, a model to its data set. Every artefact met on the
way must carry a signature by a trusted key, be as signed, and have the digest that the signed statement
before it names. Every anchor met is checked, its proof offline and its root on the chain. The walk does not
stop at the first fault: all links are listed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.anchor import anchor_file
from ledger.chain import Chain
from ledger.credential import credential_links, owner_of
from ledger.digest import Digest, hash_bytes
from ledger.errors import ExtraMissing, LedgerError, PathRefused, Unsigned
from ledger.manifest import Manifest
from ledger.minting import token_file
from ledger.onchain import judge_anchor, judge_token
from ledger.provenance import Signed, beside, check_content, measure, read_record, read_signed
from ledger.statement import Material, Origin
from ledger.timestamp import check_time_stamp, is_stamped
from ledger.trust import Trust

__all__ = ["Link", "LinkVerdict", "Verification", "verify_path"]

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
        ``report``, ``track``, ``run``, ``model``, ``data set``, ``policy``, ``folder``, ``file``, ``credential``,
        ``time stamp``, ``anchor``, ``token``.
    subject : str
        The path it is about, or the name of a material that was not found.
    verdict : str
        See `LinkVerdict`.
    detail : str
        Why, in one line for people.
    """

    name: str
    subject: str
    verdict: LinkVerdict
    detail: str


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


def verify_path(
    path: Path,
    keys: Mapping[str, ec.EllipticCurvePublicKey],
    chain: Chain | None = None,
    search: Sequence[Path] = (),
    *,
    require_anchor: bool = False,
) -> Verification:
    """Verify a folder or a file, everything it was made from, their anchors, and the credentials of tracks.

    Parameters
    ----------
    path : Path
        What to verify; its signature is ``<path>.sig``. For a file that belongs to another, such as the WAV of a
        MIDI file, that one is verified.
    keys : mapping of str to public key
        Trusted keys by key id, e.g. `ledger.keys.trusted_keys`; a `Trust` knows authorities and revocations too.
    chain : Chain, optional
        Where roots are looked up. None: anchors are checked offline, and the rest is ``unchecked``.
    search : sequence of Path
        Folders whose direct members are tried, by digest, for a material that is not where the signed
        statement says it was.
    require_anchor : bool
        Whether `path` must be anchored. If not, an anchor that is not there is ``absent``.

    Raises
    ------
    PathRefused
        If `path` does not exist. Every other fault is a link.
    """
    if not os.path.lexists(path):
        raise PathRefused(f"{path} does not exist")
    walk = _Walk(Trust.of(keys), chain, tuple(search))
    owner = _owner(path)
    walk.artefact(owner, None, _measure(owner))
    if not os.path.lexists(anchor_file(owner)):
        walk.add("anchor", owner, "missing" if require_anchor else "absent", "not anchored")
    return Verification(path, tuple(walk.links))


def _owner(path: Path) -> Path:
    """Return the artefact that `path` belongs to; `path` itself where a record beside it can't be read."""
    try:
        return owner_of(path)
    except LedgerError:
        return path


def _measure(path: Path) -> Manifest | Digest | PathRefused:
    """Return what is there, or why it cannot be hashed."""
    try:
        return measure(path)
    except PathRefused as error:
        return error


def _root(measured: Manifest | Digest | PathRefused) -> Digest | None:
    if isinstance(measured, PathRefused):
        return None
    return measured.root if isinstance(measured, Manifest) else measured


class _Walk:
    """The links found so far, and what they are checked against."""

    def __init__(self, keys: Trust, chain: Chain | None, search: tuple[Path, ...]) -> None:
        self.keys = keys
        self.chain = chain
        self.search = search
        self.links: list[Link] = []
        self._seen: set[str] = set()

    def add(self, name: str, subject: Path | str, verdict: LinkVerdict, detail: str) -> None:
        self.links.append(Link(name, str(subject), verdict, detail))

    def artefact(self, path: Path, kind: str | None, measured: Manifest | Digest | PathRefused) -> None:
        """Check one artefact that must be signed as `kind` (None: any), then its materials."""
        place = os.path.realpath(path)
        if place in self._seen:
            return
        self._seen.add(place)
        name = _link_name(kind or _said_kind(path))
        try:
            signed = read_signed(path, self.keys)
        except Unsigned as error:
            links = self._credentials(path, None)
            # A track that travels alone has only its credential, which vouches for it where it was asked for itself.
            alone = kind is None and any(link.verdict == "ok" for link in links)
            self.add(name, path, "absent" if alone else "missing", str(error))
            self.links += links
            return
        except LedgerError as error:
            self.add(name, path, "broken", str(error))
            self.links += self._credentials(path, None)
            return
        name = _link_name(signed.origin.kind)
        # A track from outside is signed as a plain file: nothing says how it was made, and nothing has to.
        foreign = kind == "track" and signed.origin.kind == "file"
        if kind is not None and signed.origin.kind != kind and not foreign:
            self.add(
                _link_name(kind),
                path,
                "broken",
                f"expected a {_link_name(kind)}, and it is signed as a {name}",
            )
            return
        try:
            if isinstance(measured, PathRefused):
                raise measured
            check_content(signed, measured)
        except LedgerError as error:
            self.add(name, path, "broken", str(error))
        else:
            what = f"{len(measured.files)} files" if isinstance(measured, Manifest) else "content"
            self.add(name, path, "ok", f"{what} as signed by key {signed.envelope.keyid[:16]}...")
        self._time_stamp(signed)
        self.links += self._credentials(path, signed.origin)
        self._anchor(signed, measured)
        if signed.origin.kind == "track":
            self._run(signed)
        for material in signed.origin.materials:
            self._material(material, Path(place if path.is_dir() else os.path.dirname(place)))

    def _time_stamp(self, signed: Signed) -> None:
        file = beside(signed.path, ".sig")
        if not is_stamped(file):
            return
        try:
            time = check_time_stamp(file, signed.envelope.signature, self.keys.roots)
        except ExtraMissing as error:
            self.add("time stamp", signed.path, "unchecked", str(error))
        except LedgerError as error:
            self.add("time stamp", signed.path, "broken", str(error))
        else:
            who = "by an authority that is not trusted here, which says nothing"
            said = f"signed before {time:%Y-%m-%d %H:%M:%S} UTC" if time else who
            self.add("time stamp", signed.path, "ok" if time else "absent", said)

    def _credentials(self, path: Path, origin: Origin | None) -> list[Link]:
        found = credential_links(path, origin, self.keys)
        return [Link("credential", str(file), verdict, detail) for file, verdict, detail in found]

    def _run(self, signed: Signed) -> None:
        models = [material.name for material in signed.origin.materials if material.kind == "model"]
        plain = (item for item in sorted(signed.origin.parameters.items()) if isinstance(item[1], str | int | float))
        settings = ", ".join(f"{key} {value}" for key, value in plain)
        settings = settings if len(settings) <= 160 else settings[:157] + "..."
        if models:
            self.add(
                "run",
                signed.path,
                "ok",
                f"made by the model {', '.join(models)}; {settings or 'no settings named'}",
            )
        else:
            self.add("run", signed.path, "absent", "the signed statement names no model")

    def _material(self, material: Material, base: Path) -> None:
        """Find a material by its hint or in the search folders, and check it."""
        name = _link_name(material.kind)
        hinted = None if material.path is None else Path(os.path.normpath(base / material.path))
        mismatch = None
        if hinted is not None and os.path.lexists(hinted):
            measured = _measure(hinted)
            if _root(measured) == material.digest:
                self._found(material, hinted, measured)
                return
            mismatch = self._mismatch(material, hinted, measured)
        for candidate in self._candidates(material):
            measured = _measure(candidate)
            if _root(measured) == material.digest:
                self._found(material, candidate, measured)
                return
        if mismatch is not None:
            self.add(name, hinted or material.name, "broken", mismatch)
            return
        where = f"not at {hinted}" if hinted is not None else "its place is not known"
        text = f"{where}, nor in the search folders; its digest is {material.digest.hex[:16]}..."
        self.add(name, material.name, "absent" if material.kind == "policy" else "missing", text)

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
            check_content(read_signed(path, self.keys), measured)
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

    def _anchor(self, signed: Signed, measured: Manifest | Digest | PathRefused) -> None:
        path, content = signed.path, _root(measured)
        if os.path.lexists(anchor_file(path)):
            self.add("anchor", path, *judge_anchor(path, content, hash_bytes(signed.envelope.payload), self.chain))
        if os.path.lexists(token_file(path)):
            self.add("token", path, *judge_token(path, content, self.chain))


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

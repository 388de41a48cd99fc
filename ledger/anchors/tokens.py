"""Minting of signed tracks, and the token files that say where their tokens are.

``<path>.nft.json`` beside a track is the metadata, byte for byte what was minted; ``<path>.token.json`` names chain,
contract and transaction, with the evidence that the token was minted there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.anchors.anchor import anchor_file, read_anchor
from ledger.anchors.sidecar import (
    address_text,
    chain_json,
    evidence_json,
    hex_text,
    moment,
    parse_chain,
    parse_evidence,
    read_sidecar,
    unhex,
    whole,
)
from ledger.anchors.token_metadata import Listing, media_of, metadata_file, metadata_json
from ledger.chains.chain import Chain
from ledger.chains.evidence import Evidence
from ledger.chains.networks import ChainIdentity
from ledger.chains.receipts import Mined, Token, minted_event
from ledger.errors import ChainRefused, Malformed, PathRefused
from ledger.hashes.cid import cid_of_digest
from ledger.hashes.digest import Digest, canonical_json, hash_bytes, parse_json, write_atomic
from ledger.media import SOUNDS
from ledger.paths import beside
from ledger.provenance.signed import read_as_signed
from ledger.signing.keyring import trusted_keys
from ledger.signing.log import TransparencyLog
from ledger.signing.statement import Material, sha256_object
from ledger.signing.trust import Trust

TOKEN_SCHEMA = "contraste-token/1"
FIELDS = {
    "schema", "content", "metadata", "cid", "chain", "contract", "owner", "locked", "transaction", "block", "time",
    "evidence",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TokenFile:
    """What a token file says.

    Parameters
    ----------
    content, metadata : Digest
        SHA-256 of the track, which is the token id, and of the metadata JSON.
    chain, simulated, contract
        Where the token is.
    owner : str
        To whom it was minted.
    locked : bool
        Whether it cannot be transferred.
    mined : Mined or None
        The minting transaction; None where the chain could not tell.
    evidence : Evidence or None
        Header and proof of the transaction's receipt.
    """

    content: Digest
    metadata: Digest
    chain: ChainIdentity
    simulated: bool
    contract: str
    owner: str
    locked: bool
    mined: Mined | None
    evidence: Evidence | None

    def check(self, content: Digest, metadata: bytes) -> None:
        """Return None if the file is about this track and this metadata, the metadata about it, and the proof holds.

        Raises
        ------
        Malformed
            Otherwise, with the first thing that differs.
        ExtraMissing
            If the extra ``chain`` is not installed, which the evidence needs.
        """
        if self.content != content:
            raise Malformed(f"it is the token of {self.content.hex[:16]}..., and here is {content.hex[:16]}...")
        digest = hash_bytes(metadata)
        if self.metadata != digest:
            raise Malformed(
                f"the metadata beside it is {digest.hex[:16]}..., and {self.metadata.hex[:16]}... was minted"
            )
        fields = parse_json(metadata, source="the metadata")
        provenance = fields.get("provenance") if isinstance(fields, dict) else None
        if not isinstance(provenance, dict) or provenance.get("track") != {"sha256": content.hex}:
            raise Malformed("the metadata is about another track")
        if self.evidence is not None and self.mined is not None:
            event = minted_event(self.contract, self.owner, content)
            self.evidence.check(event, self.mined.block, self.mined.time)

    def to_bytes(self) -> bytes:
        """Return the file: canonical JSON with a final newline."""
        mined = self.mined
        value = {
            "schema": TOKEN_SCHEMA,
            "content": {"sha256": self.content.hex},
            "metadata": {"sha256": self.metadata.hex},
            "cid": cid_of_digest(self.metadata),
            "chain": chain_json(self.chain, self.simulated),
            "contract": self.contract,
            "owner": self.owner,
            "locked": self.locked,
            "transaction": mined and mined.transaction,
            "block": mined and mined.block,
            "time": mined and mined.time,
            "evidence": evidence_json(self.evidence),
        }
        return canonical_json(value) + b"\n"


def token_file(path: Path) -> Path:
    """Return where the token file of a track lies: ``<path>.token.json``."""
    return beside(path, ".token.json")


def read_token(path: Path) -> TokenFile:
    """Read the token file of a track; it is not checked yet.

    Raises
    ------
    PathRefused
        If there is none, or it cannot be read.
    Malformed
        If it does not follow ``contraste-token/1``.
    """
    return read_sidecar(token_file(path), TOKEN_SCHEMA, FIELDS, _parse)


def mint_tracks(
    paths: Sequence[Path],
    chain: Chain,
    listing: Listing | None = None,
    *,
    report: Path | None = None,
    media: Path | None = None,
    to: str | None = None,
    locked: bool = False,
    royalty: int | None = None,
    on_chain: bool = False,
    trust: Trust | None = None,
    log: TransparencyLog | None = None,
) -> tuple[Token, ...]:
    """Mint the tokens of signed tracks, and write metadata and token file beside each.

    The digests of model and data set come out of signed statements: the model's from the track's own, the
    data set's from the model's, as far as the model is at hand. The anchor is that beside the track. Metadata is
    written before anything is sent, so that no token is left whose metadata nobody has.

    Parameters
    ----------
    paths : sequence of Path
        Tracks, files or folders signed by one of `trust` and as signed.
    chain : Chain
        Where to.
    listing : Listing, optional
        What people say; a name is for one track only.
    report : Path, optional
        The audit report of one track, signed in the same way, which must name the track as material; or the folder
        of ``contraste audit``, which holds ``<track>/report.json`` for each.
    media : Path, optional
        The audio to play, for one track; default is a file of the same name with the suffix of an audio file.
    to, locked
        See `ledger.chains.chain.Chain.mint`.
    royalty : int, optional
        Share of every sale in 1/10,000 for the paying account, set for all its tokens of this kind (ERC-2981).
    on_chain : bool
        Whether the metadata is stored on the chain too, so that the token's URI is a ``data:`` URI.
    trust : Trust
        Keys that may have signed; default are the trusted keys.
    log : TransparencyLog, optional
        Where it is noted that there is a token.

    Raises
    ------
    Unsigned, SignatureInvalid, ManifestMismatch, Malformed, PathRefused
        If track or report are not signed or not as signed, the report is about another track, or the
        anchor beside the track is wrong.
    ChainUnreachable, ChainRefused, NotFinal, KeyUnusable, ExtraMissing
        See `ledger.chains.chain.Chain`.
    """
    trust = trusted_keys() if trust is None else trust
    listing = listing or Listing()
    paths = list(dict.fromkeys(paths))
    if not paths:
        raise PathRefused("no tracks to mint")
    if len(paths) > 1 and (listing.name or media is not None or (report is not None and not report.is_dir())):
        raise Malformed("a name, an audio file or the report of one track does not fit several; mint them one by one")
    prepared: dict[Path, tuple[Digest, bytes]] = {}
    payloads: dict[Path, Digest] = {}
    for path in paths:
        content, data, payloads[path] = _prepare(path, listing, _report_of(path, report), media, trust)
        prepared[path] = content, data
    owned = chain.minted([content for content, _ in prepared.values()], locked=locked)
    for path, (content, data) in prepared.items():
        if owned.get(content) not in (None, hash_bytes(data)):
            raise ChainRefused(f"{path} has been minted already with other metadata; a token's metadata is fixed")
    for path, (_, data) in prepared.items():
        write_atomic(metadata_file(path), data)
    tokens = chain.mint([(content, hash_bytes(data)) for content, data in prepared.values()], to=to, locked=locked)
    if royalty is not None:
        chain.set_royalty(chain.account, royalty, locked=locked)
    for path, token in zip(prepared, tokens, strict=True):
        if on_chain and not token.uri.startswith("data:"):
            content, data = prepared[path]
            chain.publish(token.contract, content, data.decode())
        write_atomic(token_file(path), _file_of(token).to_bytes())
        if log is not None:
            log.note(payloads[path], "token")
    return tokens


def _prepare(
    path: Path, listing: Listing, report: Path | None, media: Path | None, trust: Trust
) -> tuple[Digest, bytes, Digest]:
    """Return the digest of a track, the metadata, and the digest of the track's statement."""
    track, materials, payload = _read_origin(path, trust)
    digests = {"track": track}
    model = next((material for material in materials if material.kind == "model"), None)
    dataset = next((material for material in materials if material.kind == "dataset"), None)
    if model is not None:
        digests["model"] = model.digest
        dataset = dataset or _dataset_of(path, model, trust)
    if dataset is not None:
        digests["dataset"] = dataset.digest
    if report is not None:
        digests["report"], audited, _ = _read_origin(report, trust)
        if not any(material.kind == "track" and material.digest == track for material in audited):
            raise Malformed(f"the report {report} is not about {path} ({track.hex[:16]}...)")
    receipt = None
    if anchor_file(path).exists():
        anchor = read_anchor(path)
        anchor.check(track, payload)
        receipt = anchor.receipt
    sound = media or next((f for s in SOUNDS if (f := path.with_suffix(s)).is_file()), None)
    cover = Path(listing.image) if listing.image and "://" not in listing.image else None
    roles = {"track": path if path.is_file() else None, "audio": sound, "cover": cover}
    files = [media_of(role, file) for role, file in roles.items() if file is not None]
    return track, metadata_json(path.resolve().stem, listing, digests, files, receipt), payload


def _report_of(path: Path, report: Path | None) -> Path | None:
    if report is None or not report.is_dir():
        return report
    return report / path.resolve().stem / "report.json"


def _read_origin(path: Path, trust: Trust) -> tuple[Digest, tuple[Material, ...], Digest]:
    """Return digest, materials and payload digest of an artefact that is signed and as signed."""
    signed, digest = read_as_signed(path, trust)
    return digest, signed.origin.materials, hash_bytes(signed.envelope.payload)


def _dataset_of(path: Path, model: Material, trust: Trust) -> Material | None:
    """Return the data set that the model's signed statement names; None if the model is not at hand."""
    folder = path if path.is_dir() else path.resolve().parent
    place = None if model.path is None else folder / model.path
    if place is None or not place.exists() or not beside(place, ".sig").exists():
        return None
    digest, materials, _ = _read_origin(place, trust)
    if digest != model.digest:
        raise Malformed(f"{place} is not the model that the track was made by")
    return next((material for material in materials if material.kind == "dataset"), None)


def _file_of(token: Token) -> TokenFile:
    content = Digest("sha256", token.token_id.to_bytes(32, "big"))
    return TokenFile(
        content,
        token.metadata,
        token.chain,
        token.simulated,
        token.contract,
        token.minted_to or token.owner,
        token.locked,
        token.mined,
        token.evidence,
    )


def _parse(value: dict[str, Any]) -> TokenFile:
    chain, simulated = parse_chain(value["chain"])
    if not isinstance(value["locked"], bool):
        raise Malformed(f"locked must be true or false, not {value['locked']!r}")
    mined = None
    if value["transaction"] is not None:
        transaction = hex_text(unhex(value["transaction"], 32))
        mined = Mined(transaction, whole(value["block"], "block"), moment(value["time"], "time"))
    metadata = sha256_object(value["metadata"])
    if value["cid"] != cid_of_digest(metadata):
        raise Malformed(f"the CID of the metadata is {cid_of_digest(metadata)}, not {str(value['cid'])[:80]!r}")
    return TokenFile(
        sha256_object(value["content"]), metadata, chain, simulated, address_text(value["contract"]),
        address_text(value["owner"]), value["locked"], mined, parse_evidence(value["evidence"]),
    )  # fmt: skip

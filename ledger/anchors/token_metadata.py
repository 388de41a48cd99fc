"""ERC-721 metadata of a track.

Fields follow the ERC-721 metadata JSON schema (EIP-721) and what marketplaces read besides: ``animation_url``,
``external_url``, ``attributes`` with ``trait_type`` and ``value``. Programs find digests, media, licence and AI
disclosure again in ``provenance``, ``media``, ``licence`` and ``ai_disclosure``.

The JSON is canonical (RFC 8785), so its SHA-256, which is minted, and its CID follow from its content.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.ai_roles import join_roles
from ledger.anchors.sidecar import hex_text
from ledger.chains.networks import ChainIdentity
from ledger.chains.receipts import Receipt
from ledger.errors import LedgerError, Malformed
from ledger.hashes.cid import CHUNK, cid_of_digest, cid_of_file
from ledger.hashes.digest import Digest, canonical_json, hash_bytes, hash_file, read_json
from ledger.media import media_type
from ledger.paths import beside

# Not those of Python's mimetypes, which depend on the machine: the same track gives the same JSON everywhere.
IMAGES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml", ".webp": "image/webp",
    ".gif": "image/gif",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Media:
    """A file that the metadata names: what it is, media type, bytes, SHA-256 and CID."""

    role: str
    name: str
    mime: str
    size: int
    digest: Digest
    cid: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What people say of a track in its metadata; all of it may be left out.

    Parameters
    ----------
    name : str
        Name of the token; default is the file name without its suffix.
    description, licence, external_url : str
        Text; SPDX identifier or URL of the licence; page about the track.
    image : str
        URI of a cover picture, or a local file, whose digest and CID are computed.
    disclosure : mapping of str to str
        How far AI contributed, see `ledger.ai_roles.join_roles`.
    attributes : sequence of (str, str)
        Further traits.
    """

    name: str = ""
    description: str = ""
    licence: str = ""
    external_url: str = ""
    image: str = ""
    disclosure: Mapping[str, str] = field(default_factory=dict)
    attributes: Sequence[tuple[str, str]] = ()


def media_of(role: str, path: Path) -> Media:
    """Return a file as media: ``track``, ``audio`` or ``cover``; raises `PathRefused` if it cannot be read."""
    digest = hash_file(path)  # refuses what is no regular file
    mime = media_type(path) or IMAGES.get(path.suffix.lower(), "application/octet-stream")
    return Media(role, path.name, mime, path.stat().st_size, digest, cid_of_file(path))


def metadata_json(
    name: str,
    listing: Listing,
    digests: Mapping[str, Digest],
    media: Sequence[Media] = (),
    anchor: Receipt | None = None,
) -> bytes:
    """Return the metadata of a track's token, canonical JSON.

    Parameters
    ----------
    name : str
        Name of the token where the listing gives none.
    listing : Listing
        What people say.
    digests : mapping of str to Digest
        What the token stands for and comes from: ``track``, ``model``, ``dataset``, ``report``.
    media : sequence of Media
        Files; the first of role ``audio`` is what marketplaces play, that of role ``cover`` what they show.
    anchor : Receipt, optional
        Where the track's signed statement is anchored; an anchor on the embedded chain says so.

    Raises
    ------
    Malformed
        For an empty name, or more than `CHUNK` bytes.
    LedgerError
        For a disclosure that there is not, or that the digests contradict.
    """
    if not (listing.name or name):
        raise Malformed("the name of a token may not be empty")
    shares = join_roles(listing.disclosure, by_model="model" in digests)
    traits = [(f"{what} SHA-256", digest.hex) for what, digest in digests.items()]
    traits += [(f"AI {role}", share) for role, share in shares.items()]
    provenance: dict[str, Any] = {what: {"sha256": digest.hex} for what, digest in digests.items()}
    if listing.licence:
        traits.append(("licence", listing.licence))
    if anchor is not None:
        traits.append(("anchor", "simulated" if anchor.simulated else f"chain {anchor.chain.chain_id}"))
        provenance["anchor"] = _anchor(anchor, anchor.chain)
    metadata: dict[str, Any] = {
        "name": listing.name or name,
        "description": listing.description,
        "attributes": [{"trait_type": trait, "value": value} for trait, value in [*traits, *listing.attributes]],
        "provenance": provenance,
        "ai_disclosure": shares,
        "media": [
            {"role": m.role, "name": m.name, "type": m.mime, "bytes": m.size, "sha256": m.digest.hex, "cid": m.cid}
            for m in media
        ],
    }
    links = {"audio": "animation_url", "cover": "image"}
    metadata |= {links[m.role]: f"ipfs://{m.cid}" for m in reversed(media) if m.role in links}
    texts = {"licence": listing.licence, "external_url": listing.external_url, "image": listing.image}
    metadata |= {key: value for key, value in texts.items() if value and key not in metadata}
    data = canonical_json(metadata)
    if len(data) > CHUNK:
        raise Malformed(f"the metadata of {metadata['name']} has {len(data)} bytes, more than the limit of {CHUNK}")
    return data


def metadata_uris(data: bytes) -> tuple[str, str]:
    """Return the two URIs that a token may have for its metadata: by CID, and with the JSON inside (RFC 2397)."""
    inline = f"data:application/json;base64,{b64encode(data).decode()}"
    return f"ipfs://{cid_of_digest(hash_bytes(data))}", inline


def metadata_file(path: Path) -> Path:
    """Return where the metadata of a track lies: ``<path>.nft.json``."""
    return beside(path, ".nft.json")


def anchor_in(file: Path) -> bool:
    """Whether a metadata file names an anchor; raises nothing, since what else is wrong with it is said elsewhere."""
    try:
        metadata = read_json(file)
    except LedgerError:
        return False
    provenance = metadata.get("provenance") if isinstance(metadata, dict) else None
    return isinstance(provenance, dict) and "anchor" in provenance


def _anchor(receipt: Receipt, chain: ChainIdentity) -> dict[str, Any]:
    return {
        "chain": chain.chain_id,
        "genesis": chain.genesis,
        "contract": receipt.contract,
        "root": hex_text(receipt.root),
        "transaction": receipt.transaction,
        "block": receipt.block,
        "time": receipt.time,
        "simulated": receipt.simulated,
    }

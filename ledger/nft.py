"""ERC-721 metadata of a track, and minting.

Fields follow the ERC-721 metadata JSON schema (EIP-721) and the ``attributes`` that marketplaces read. The
digests stand twice: as attributes, and in the object ``provenance`` for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.anchor import anchor_file, read_anchor
from ledger.chain import Chain, Receipt, Token
from ledger.digest import Digest, canonical_json, hash_bytes, write_atomic
from ledger.errors import Malformed
from ledger.keyring import trusted_keys
from ledger.manifest import Manifest
from ledger.provenance import beside, check_content, measure, read_signed
from ledger.statement import Material

__all__ = ["metadata_file", "mint_track", "token_metadata"]


def token_metadata(
    name: str,
    description: str,
    track: Digest,
    *,
    model: Digest | None = None,
    dataset: Digest | None = None,
    report: Digest | None = None,
    anchor: Receipt | None = None,
    image: str | None = None,
    attributes: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return the metadata JSON of a track's token.

    Parameters
    ----------
    name, description : str
        For people; `name` is not empty.
    track, model, dataset, report : Digest
        What the token stands for and comes from; what is None is left out.
    anchor : Receipt, optional
        Where the track's signed statement is anchored; an anchor on the embedded chain says so.
    image : str, optional
        URI of a cover picture.
    attributes : sequence of (str, str)
        Further traits.

    Raises
    ------
    Malformed
        For an empty name.
    """
    if not name:
        raise Malformed("the name of a token may not be empty")
    digests = {"track": track, "model": model, "data set": dataset, "report": report}
    traits = [(f"{what} SHA-256", digest.hex) for what, digest in digests.items() if digest is not None]
    provenance: dict[str, Any] = {
        what.replace(" ", ""): {"sha256": digest.hex} for what, digest in digests.items() if digest is not None
    }
    if anchor is not None:
        traits.append(("anchor", "simulated" if anchor.simulated else f"chain {anchor.chain.chain_id}"))
        provenance["anchor"] = {
            "chain": anchor.chain.chain_id,
            "genesis": anchor.chain.genesis,
            "contract": anchor.contract,
            "root": "0x" + anchor.root.hex(),
            "transaction": anchor.transaction,
            "block": anchor.block,
            "time": anchor.time,
            "simulated": anchor.simulated,
        }
    metadata: dict[str, Any] = {
        "name": name,
        "description": description,
        "attributes": [{"trait_type": trait, "value": value} for trait, value in [*traits, *attributes]],
        "provenance": provenance,
    }
    return metadata if image is None else metadata | {"image": image}


def metadata_file(path: Path) -> Path:
    """Return where the metadata of a track lies: ``<path>.nft.json``."""
    return beside(path, ".nft.json")


def mint_track(
    path: Path,
    chain: Chain,
    *,
    report: Path | None = None,
    name: str | None = None,
    description: str = "",
    image: str | None = None,
    uri: str = "",
    to: str | None = None,
    keys: Mapping[str, ec.EllipticCurvePublicKey] | None = None,
) -> Token:
    """Mint the token of a signed track, and write its metadata to ``<path>.nft.json``.

    The digests of model and data set come out of signed statements: the model's from the track's own, the
    data set's from the model's, as far as the model is at hand. The anchor is that beside the track.

    Parameters
    ----------
    path : Path
        The track, a file or folder signed by one of `keys` and as signed.
    chain : Chain
        Where to.
    report : Path, optional
        The audit report, signed in the same way, which must name the track as material.
    name : str, optional
        Name of the token; default is the file name without its suffix.
    description, image, uri, to
        See `token_metadata` and `ledger.chain.Chain.mint`.
    keys : mapping of str to public key, optional
        Keys that may have signed; default are the trusted keys.

    Raises
    ------
    Unsigned, SignatureInvalid, ManifestMismatch, Malformed, PathRefused
        If track or report are not signed or not as signed, the report is about another track, or the
        anchor beside the track is wrong.
    ChainUnreachable, ChainRefused, NotFinal, KeyUnusable, ExtraMissing
        See `ledger.chain.Chain`.
    """
    keys = trusted_keys() if keys is None else keys
    track, materials, payload = _signed_origin(path, keys)
    model = next((material for material in materials if material.kind == "model"), None)
    dataset = next((material for material in materials if material.kind == "dataset"), None)
    if model is not None and dataset is None:
        dataset = _dataset_of(path, model, keys)
    report_digest = None
    if report is not None:
        report_digest, audited, _ = _signed_origin(report, keys)
        if not any(material.kind == "track" and material.digest == track for material in audited):
            raise Malformed(f"the report {report} is not about {path} ({track.hex[:16]}...)")
    receipt = None
    if anchor_file(path).exists():
        anchor = read_anchor(path)
        anchor.check(track, payload)
        receipt = anchor.receipt
    metadata = token_metadata(
        name or path.resolve().stem,
        description,
        track,
        model=model.digest if model else None,
        dataset=dataset.digest if dataset else None,
        report=report_digest,
        anchor=receipt,
        image=image,
    )
    data = canonical_json(metadata)
    token = chain.mint(track, hash_bytes(data), uri, to)
    write_atomic(metadata_file(path), data)
    return token


def _signed_origin(
    path: Path, keys: Mapping[str, ec.EllipticCurvePublicKey]
) -> tuple[Digest, tuple[Material, ...], Digest]:
    """Return digest, materials and payload digest of an artefact that is signed and as signed."""
    signed = read_signed(path, keys)
    measured = measure(path)
    check_content(signed, measured)
    digest = measured.root if isinstance(measured, Manifest) else measured
    return digest, signed.origin.materials, hash_bytes(signed.envelope.payload)


def _dataset_of(path: Path, model: Material, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> Material | None:
    """Return the data set that the model's signed statement names; None if the model is not at hand."""
    folder = path if path.is_dir() else path.resolve().parent
    place = None if model.path is None else folder / model.path
    if place is None or not place.exists() or not beside(place, ".sig").exists():
        return None
    digest, materials, _ = _signed_origin(place, keys)
    if digest != model.digest:
        raise Malformed(f"{place} is not the model that the track was made by")
    return next((material for material in materials if material.kind == "dataset"), None)

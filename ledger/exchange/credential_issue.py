"""Issuing C2PA credentials: what a track's manifest says, and how it gets into the file.

See `ledger.exchange.credential` for what is in it and how it is judged.
"""

from __future__ import annotations

import io
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ledger.errors import KeyUnusable, LedgerError, Malformed, TimeStampUnavailable
from ledger.exchange.c2pa_engine import (
    SIDECAR,
    content_of,
    context_of,
    credential_file,
    engine,
    engine_report,
    held_store,
)
from ledger.exchange.contents import difference
from ledger.exchange.credential import ACTIONS, MINING, PROVENANCE, read_credential, run_digest
from ledger.hashes.digest import canonical_json, hash_file
from ledger.media import magic_of, media_type
from ledger.paths import beside
from ledger.provenance.record import Record, digest_of, read_record, record_path
from ledger.signing.certificates import chain_text, load_chain
from ledger.signing.envelope import SigningKey
from ledger.signing.keys import key_id
from ledger.signing.signer import URI_SCHEME, Signer
from ledger.signing.statement import Material, Origin
from ledger.signing.trust import Trust
from ledger.staging import Staged

SCHEMA = "contraste-credential/1"
SOURCE_TYPES = {
    "trained": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "composite": "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
}
"""IPTC digital source types: all of it made by a model; human work with parts made by one."""
ALGORITHMS = {256: ("ES256", hashes.SHA256()), 384: ("ES384", hashes.SHA384()), 521: ("ES512", hashes.SHA512())}
"""COSE algorithm and hash by the bits of the curve."""
OPAQUE = "application/octet-stream"
MINING_ENTRIES = ("cawg.data_mining", "cawg.ai_training", "cawg.ai_generative_training", "cawg.ai_inference")


def chain_of(signer: Signer, key: str) -> str:
    """Return the certificates that a signer's credentials carry: its own, or else those beside its key.

    Parameters
    ----------
    signer : Signer
        From `ledger.signing.signer.load_signer`.
    key : str
        Where its key was loaded from.

    Raises
    ------
    KeyUnusable
        If there are none, or the key can't sign claims with them; see `ledger.signing.certificates.load_chain`.
    """
    public = signer.key.public_key()
    if signer.certificates:
        return chain_text(signer.certificates, public, "the signer's certificates")
    if key.startswith(URI_SCHEME):
        raise KeyUnusable(
            f"{key}: no certificate lies beside a key in a hardware module; name it with --certificate, "
            "or sign with --no-credential"
        )
    place = Path(key)
    return load_chain(place if place.is_dir() else place.parent, public)


@dataclass(frozen=True)
class Issuer:
    """Issues credentials for tracks.

    Parameters
    ----------
    key : SigningKey
        On P-256, P-384 or P-521, in a file or a hardware module.
    chain : str
        PEM certificates, that of `key` first (`ledger.signing.certificates.load_chain`).
    source : str or None
        ``trained`` or ``composite``; None: ``trained`` for what its record says a model made, and for the rest
        nothing is said.
    mining : str
        ``allowed`` or ``notAllowed``: learning from the track, and mining it.
    tsa : str or None
        URL of an RFC 3161 time stamping authority.
    """

    key: SigningKey
    chain: str
    source: str | None = None
    mining: str = "notAllowed"
    tsa: str | None = None
    _datasets: dict[Path, Material | None] = field(default_factory=dict, repr=False)

    def issue(self, path: Path, report: Path | None = None, staged: Staged | None = None) -> dict[Path, str]:
        """Give a track and its further files, such as its rendering, their credentials.

        The record of the track names the files that have one, so that the statement signed next tells when one
        was stripped; a track without a record gets one. A file that carries this very credential is left as it
        is, and one in which something else would not stay as it is gets its credential beside it. Nothing is
        written before all credentials are made.

        Parameters
        ----------
        path : Path
            The track, see `owner_of` and `is_music`.
        report : Path, optional
            Its audit report, to be named.
        staged : Staged, optional
            Where the new files go, for the caller to put them there together with others; written at once if not given.

        Returns
        -------
        dict of Path to str
            The files with a credential inside, and the ``.c2pa`` files; each with what in a file could not have stayed
            as it is, where its credential lies beside it for that reason, or else "".

        Raises
        ------
        ExtraMissing
            If c2pa-python is not installed.
        KeyUnusable
            If the certificate does not allow signing claims.
        Malformed
            If a file is not of its format, or has a credential that can't be kept.
        TimeStampUnavailable
            If the time stamping authority does not answer rightly.
        PathRefused, LedgerError
            If a file cannot be read or written.
        """
        record = read_record(path) or Record(Origin("track"))
        also = [name for name in record.also if not name.endswith(SIDECAR)]
        files = [path, *(path.parent / name for name in also if media_type(Path(name)) is not None)]
        origin = record.origin
        claims = self._claims(path, origin, report)
        made = [self._credential(file, claims) for file in files]
        holders = {holder: why for holder, _, why in made}
        staging = staged or Staged()
        for holder, content, _ in made:
            if content is not None:
                staging.put(holder, content, holder.stat().st_mode & 0o777 if holder.exists() else 0o644)
        named = [file.relative_to(path.parent).as_posix() for file in files]
        beside_them = [holder.relative_to(path.parent).as_posix() for holder in holders if holder not in files]
        signed_origin = replace(origin, parameters={**origin.parameters, "credentials": named})
        staging.put(record_path(path), Record(signed_origin, (*also, *beside_them)).to_bytes())
        if staged is None:
            staging.commit()
        return holders

    def _claims(self, path: Path, origin: Origin, report: Path | None) -> dict[str, Any]:
        """Return what the provenance assertion says: digests of all that led to the track."""
        materials = {material.kind: material for material in origin.materials}
        if "model" in materials and "dataset" not in materials:
            materials["dataset"] = self._dataset_of(materials["model"], path)  # type: ignore[assignment]
        named = {
            kind: {"name": material.name, "sha256": material.digest.hex}
            for kind in ("model", "dataset")
            if (material := materials.get(kind)) is not None
        }
        claims: dict[str, Any] = {"schema": SCHEMA, "run": {"sha256": run_digest(origin).hex}, **named}
        if report is not None:
            claims["report"] = {"name": report.name, "sha256": hash_file(report).hex}
        return claims

    def _dataset_of(self, model: Material, track: Path) -> Material | None:
        """Return the data set of a model out of its record, where the model is at hand and the one that was used."""
        if model.path is None:
            return None
        place = (track.resolve().parent / model.path).resolve()
        if place not in self._datasets:  # a model is hashed once for all tracks of a command
            record = read_record(place) if place.is_dir() and digest_of(place) == model.digest else None
            materials = record.origin.materials if record else ()
            self._datasets[place] = next((m for m in materials if m.kind == "dataset"), None)
        return self._datasets[place]

    def _credential(self, file: Path, claims: Mapping[str, Any]) -> tuple[Path, bytes | None, str]:
        """Return what holds the credential of a file, its content, and why it lies beside, see `issue`.

        The content is None where it has just this credential.
        """
        data, place = content_of(file), credential_file(file)
        held = held_store(file, data)
        source = SOURCE_TYPES.get(self.source or ("trained" if "model" in claims else ""))
        mining = {"entries": {name: {"use": self.mining} for name in MINING_ENTRIES}}
        if held is not None and self._says(file, source, mining, claims):
            return place, None, ""
        definition, resources = _definition(
            file, source, mining, claims, original=held is None, apart=held is not None and place != file
        )
        if held is not None and place != file:
            # A manifest store from outside the asset can only be handed over with the results of its validation.
            report = engine_report(file, data, held, context_of("", self.chain))
            definition["ingredients"][0] |= {
                "active_manifest": report["active_manifest"],
                "validation_results": report["validation_results"],
                "manifest_data": {"format": "application/c2pa", "identifier": "parent"},
            }
            resources["parent"] = held
        parent = held is not None and place == file
        why = ""
        if place == file:
            signed = self._embed(file, data, definition, resources, parent=parent, inside=True)
            why = difference(data, signed, media_type(file) or "")
            if not why:
                return file, signed, ""
            place = beside(file, SIDECAR)
        return place, self._embed(file, data, definition, resources, parent=parent, inside=False), why

    def _embed(
        self,
        file: Path,
        data: bytes,
        definition: Mapping[str, Any],
        resources: Mapping[str, bytes],
        *,
        parent: bool,
        inside: bool,
    ) -> bytes:
        """Return a file with its credential, or the credential alone; `parent`: the one in it becomes the parent."""
        c2pa = engine()
        name, _ = ALGORITHMS[self.key.public_key().curve.key_size]
        known = media_type(file) or mimetypes.guess_type(file.name)[0] or OPAQUE
        # told the format, the engine would take out the credential that is in the file, and sign what is left
        kind = known if inside or not magic_of(file) else OPAQUE
        out = io.BytesIO()
        try:
            with (
                c2pa.Signer.from_callback(self._sign, c2pa.C2paSigningAlg[name], self.chain, self.tsa) as signer,
                c2pa.Builder(definition, context=context_of("", self.chain)) as builder,
            ):
                for identifier, content in resources.items():
                    builder.add_resource(identifier, io.BytesIO(content))
                if parent:
                    ingredient = {"title": file.name, "relationship": "parentOf", "label": "parent"}
                    builder.add_ingredient(ingredient, known, io.BytesIO(data))
                if not inside:
                    builder.set_no_embed()
                store = builder.sign(signer, kind, io.BytesIO(data), out)
        except c2pa.C2paError as error:
            raise self._refusal(file, str(error)) from None
        return out.getvalue() if inside else bytes(store)

    def _says(self, file: Path, source: str | None, mining: Any, claims: Any) -> bool:
        """Whether a file carries just this credential already, by this key."""
        credential = read_credential(file, Trust({key_id(self.key.public_key()): self.key.public_key()}))
        said = (
            credential.action.get("digitalSourceType"),
            credential.assertion(MINING),
            credential.assertion(PROVENANCE),
        )
        stamped = self.tsa is None or "time" in credential.manifest.get("signature_info", {})
        return credential.verdict == "trusted" and said == (source, mining, claims) and stamped

    def _sign(self, data: bytes) -> bytes:
        """Return the signature as COSE wants it: r and s, each as long as the curve's order (RFC 9053, section 2.1)."""
        bits = self.key.public_key().curve.key_size
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(ALGORITHMS[bits][1])))
        return b"".join(number.to_bytes((bits + 7) // 8, "big") for number in (r, s))

    def _refusal(self, file: Path, reason: str) -> LedgerError:
        if self.tsa and ("TSA" in reason or (reason.startswith("Signature:") and "certificate" not in reason)):
            return TimeStampUnavailable(f"{self.tsa} gave no time stamp for {file}: {reason}; nothing was changed")
        if "certificate" in reason or "signingCredential" in reason:
            return KeyUnusable(
                f"the certificate can't sign claims: {reason}; it needs digitalSignature as its usage, "
                "emailProtection as a purpose, and a key of its own; --no-credential signs statements alone"
            )
        return Malformed(f"{file} can't carry a credential: {reason}; check that it is what its name says")


def _definition(
    file: Path, source: str | None, mining: Any, claims: Mapping[str, Any], *, original: bool, apart: bool
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest to sign, and the resources it binds by hash.

    `original`: the file had no credential before. Then it was created by the model, or opened where nothing says
    that; otherwise it was opened, and the caller adds its credential to the parent, which is an ingredient here
    where that credential lies `apart` from the file.
    """
    created = original and source is not None
    action: dict[str, Any] = {"action": "c2pa.created" if created else "c2pa.opened"}
    if source is not None:
        action["digitalSourceType"] = source
    if "model" in claims:
        action["softwareAgent"] = {"name": claims["model"]["name"], "version": claims["model"]["sha256"]}
    inputs = [kind for kind in ("model", "dataset") if kind in claims]
    resources = {f"{kind}.json": canonical_json({"kind": kind, **claims[kind]}) for kind in inputs}
    ingredients = [
        {
            "label": kind,
            "title": claims[kind]["name"],
            "format": "application/json",
            "relationship": "inputTo",
            "data": {"format": "application/json", "identifier": f"{kind}.json"},
            "data_types": [{"type": f"c2pa.types.{kind}"}],
        }
        for kind in inputs
    ]
    if not created and (original or apart):
        parent: dict[str, Any] = {"label": "parent", "title": file.name, "relationship": "parentOf"}
        parent["format"] = media_type(file) or OPAQUE
        if original:
            resources["parent.json"] = canonical_json({"name": file.name, "sha256": hash_file(file).hex})
            parent["data"] = {"format": "application/json", "identifier": "parent.json"}
        ingredients.insert(0, parent)
    parameters = {"ingredientIds": inputs if created else ["parent"], "dev.contraste.run": claims["run"]["sha256"]}
    action["parameters"] = parameters
    assertions = [(ACTIONS, {"actions": [action]}), (MINING, mining), (PROVENANCE, dict(claims))]
    return {
        "claim_generator_info": [{"name": "contraste"}],
        "title": file.name,
        "ingredients": ingredients,
        # created, not gathered: the signer answers for them (C2PA 2.1, chapter 10)
        "assertions": [{"label": label, "data": data, "created": True} for label, data in assertions],
    }, resources

"""The audit of a file, from opening the corpus to the report: what `contraste audit` does for each track."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from audit.findings import AuditReport, ProvenanceLink, Skipped
from audit.index import build_index, newest_indexed, open_index
from audit.measure import closest_piece, measure_chance, measure_track, open_chance
from audit.policy import Policy
from audit.run import Corpus, audit, find, unsearchable
from audit.significance import calibrate, open_calibration
from corpus.prepare import notes_digest
from corpus.segment import StoreBusyError
from corpus.store import Store, writing
from ledger.chain import Chain
from ledger.provenance import beside, digest_of
from ledger.verify import verify_path
from music.key import estimate_key
from music.notes import NoteSequence

Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Given the name of a step, opens its progress display: a function of (done, total)."""


def open_corpus(store: Store, watch: Watch, engine: str = "local", workers: int = 1) -> Corpus:
    """Open a store's index, calibration and chance levels; make and write what is missing.

    While another process adds to the store, this is the store as it was when it was last indexed.

    Raises
    ------
    corpus.store.StoreError
        When a part is damaged or can't be written, or the store is empty.
    """
    index = open_index(store, partial=bool(store.missing))
    if index is None:
        try:
            with writing(store.path), watch("index") as show:
                index = build_index(store, show, engine, workers)
        except StoreBusyError:
            earlier = newest_indexed(store)
            if earlier is None:
                raise
            return open_corpus(earlier, watch)
    calibration = open_calibration(index)
    if calibration is None:
        with watch("calibrate") as show:
            calibration = calibrate(store, index, show)
    chance = open_chance(index)
    if chance is None:
        with watch("chance levels") as show:
            chance = measure_chance(store, index, show)
    return Corpus(store, index, calibration, chance)


def audit_track(
    file: Path,
    track: NoteSequence,
    corpus: Corpus,
    policy: Policy,
    keys: Mapping[str, ec.EllipticCurvePublicKey],
    chain: Chain | None = None,
    model: Path | None = None,
) -> AuditReport:
    """Search, measure and verify one track, and judge it by the policy.

    Parameters
    ----------
    file : Path
        Where `track` was read; its signature is looked for beside it.
    keys : mapping
        Trusted public keys by key id.
    chain : Chain, optional
        Where anchors are looked up.
    model : Path, optional
        The model folder that wrote the track, named with its digest in the report.

    Raises
    ------
    ledger.errors.LedgerError
        When the file or the model can't be hashed.
    """
    about: dict[str, Any] = {
        "name": file.name,
        "sha256": digest_of(file).hex,
        "notes_sha256": notes_digest(track),
        "duration_s": track.end_s,
        "notes": len(track),
        "key": estimate_key(track),
        "tempo_bpm": track.tempos[0].bpm,
    }
    if model is not None:
        about["model"] = {"name": model.name, "digest": digest_of(model).hex}
    findings = find(corpus, track, policy)
    piece = closest_piece(corpus, track, findings)
    measured = measure_track(corpus.store.notes(piece), corpus.store.pieces[piece].path, track, corpus.chance)
    links = _provenance(file, keys, chain)
    return audit(about, corpus, policy, findings, measured, links, unsearchable(track))


def _provenance(
    file: Path, keys: Mapping[str, ec.EllipticCurvePublicKey], chain: Chain | None
) -> tuple[ProvenanceLink | Skipped, ...]:
    if not beside(file, ".sig").exists():
        return (Skipped("provenance", f"{file.name} has no signature beside it; make one with: contraste sign"),)
    links = []
    for link in verify_path(file, keys, chain).links:
        name = Path(link.subject).name  # reports go to other people: they name files, not this machine's folders
        links.append(ProvenanceLink(link.name, name, link.verdict, link.detail.replace(link.subject, name)))
    return tuple(links)

"""The audit of a file, from opening the corpus to the report: what `contraste audit` does for each track."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from audit.findings import (
    AuditReport,
    Finding,
    MetricResult,
    ProvenanceLink,
    Skipped,
    SoundMatch,
)
from audit.gate.context_rules import surroundings
from audit.gate.waivers import Waivers
from audit.measures.metrics import SEED as CHANCE_SEED
from audit.measures.metrics import (
    chords_beside,
    closest_piece,
    measure_levels,
    measure_track,
    open_levels,
    rendered,
    sound_beside,
)
from audit.measures.sound import Sound, SoundCorpus, find_sounds
from audit.originality.baseline import known_baseline, measure_baseline
from audit.originality.report import course
from audit.originality.windows import Measured, measure_windows
from audit.policy import Policy
from audit.run import WINDOW, Corpus, audit, find, passages_of, unsearchable
from audit.search.index import IndexDamagedError, left_out, newest_indexed, open_index
from audit.search.index_build import build_index
from audit.search.relatedness import measure_usual, open_usual, tunes_of
from audit.search.significance import SEED, calibrate, open_calibration
from corpus.prepare import notes_digest
from corpus.segment import StoreBusyError, StoreDamagedError
from corpus.store import Store, writing
from ledger.chains.chain import Chain
from ledger.errors import LedgerError
from ledger.exchange.credential import carries
from ledger.paths import beside
from ledger.provenance.record import digest_of, owner_of, read_signed
from ledger.signing.log import TransparencyLog
from ledger.signing.memory import Memory
from ledger.signing.trust import Trust
from ledger.verify import verify_path
from metrics.phash import WINDOW_SECONDS
from music.key import estimate_key
from music.notes import NoteSequence

NEEDS_NOTES = "needs notes: the track is sound, and none are read out of it"
T = TypeVar("T")
Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Given the name of a step, opens its progress display: a function of (done, total)."""


def open_corpus(
    store: Store, watch: Watch, engine: str = "local", workers: int = 1, *, partial: bool = False, repair: bool = False
) -> Corpus:
    """Open a store's index, calibration and levels; make what is missing, and write it where that is allowed.

    While another process adds to the store, this is the store as it was when it was last indexed.

    Parameters
    ----------
    partial : bool
        Leave missing and damaged segments of the index out (`audit.search.index.left_out`) instead of raising.
    repair : bool
        Make damaged parts again instead of raising.

    Raises
    ------
    corpus.store.StoreError
        When a part is damaged or can't be written, or the store is empty.
    """

    def found(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except IndexDamagedError:
            if not repair:
                raise
            return None

    index = found(lambda: open_index(store, partial=partial))
    if index is None:
        if store.missing:
            raise StoreDamagedError(
                store.path / "segments" / store.missing[0][0],
                f"{store.missing[0][1]}, and there is no index of the store, which can't be made without it",
            )
        try:
            with writing(store.path), watch("index") as show:
                store = Store.open(store.path)  # another process may have added to it, or made the index
                index = found(lambda: open_index(store)) or build_index(store, show, engine, workers)
        except StoreBusyError:
            earlier = newest_indexed(store)
            if earlier is None:
                raise
            return open_corpus(earlier, watch, partial=partial)
    calibration = found(lambda: open_calibration(index))
    if calibration is None:
        with watch("calibrate") as show:
            calibration = calibrate(store, index, show)
    tunes = tunes_of(index)
    if tunes is not None:
        bare = tunes
        tunes = found(lambda: open_usual(index, bare))
        if tunes is None:
            with watch("relatedness") as show:
                tunes = measure_usual(index, bare, show)
    known = found(lambda: known_baseline(index, WINDOW))
    if known is None:
        with watch("originality") as show:
            known = (measure_baseline(store, index, WINDOW, show),)
    corpus = Corpus(store, index, calibration, {}, tunes, known[0])
    levels = found(lambda: open_levels(index))
    if levels is None:
        with watch("chance and style levels") as show:
            levels = measure_levels(corpus, show)
    index.borrowed.clear()
    return replace(corpus, chance=levels[0], style=levels[1])


def audit_track(
    file: Path,
    track: NoteSequence | Sound,
    corpus: Corpus,
    policy: Policy,
    trust: Trust,
    chain: Chain | None = None,
    model: Path | None = None,
    waivers: Waivers | None = None,
    sounds: SoundCorpus | None = None,
    keep: Callable[[Measured], object] | None = None,
    log: TransparencyLog | Memory | None = None,
    shipped: Path | None = None,
) -> AuditReport:
    """Search, measure and verify one track, and judge it by the policy.

    Parameters
    ----------
    file : Path
        Where `track` was read; its signature is looked for beside it.
    trust : Trust
        Trusted public keys by key id.
    chain : Chain, optional
        Where anchors are looked up.
    model : Path, optional
        The model folder that wrote the track, named with its digest in the report.
    waivers : Waivers, optional
        What people let pass.
    sounds : SoundCorpus, optional
        What a track that is sound is compared with.
    keep : callable, optional
        Is given the windows of a track that has some, for the originality of a release.
    log, shipped
        See `ledger.verify.verify_path`: the gate believes nothing that ``contraste verify`` does not.

    Raises
    ------
    ledger.errors.LedgerError
        When the file or the model can't be hashed.
    """
    about: dict[str, Any] = {
        "name": file.name,
        "sha256": digest_of(file).hex,
    }
    if (path := _path_here(file)) != file.name:
        about["path"] = path
    if model is not None:
        about["model"] = {"name": model.name, "digest": digest_of(model).hex}
    if isinstance(track, Sound):
        compared = _of_sound(track, sounds, policy)
    else:
        compared = _of_notes(file.name, track, corpus, policy, keep)
    about |= compared.about
    owner = _owner(file)
    links = _provenance(file, owner, trust, chain, log, shipped)
    signer = _signer(owner, trust, links)
    if signer:
        about["signed_by"] = signer
    found = tuple(link for link in links if isinstance(link, ProvenanceLink))
    around = surroundings(policy, corpus, owner, None if isinstance(track, Sound) else track, found)
    report = audit(
        about,
        corpus,
        policy,
        compared.findings,
        compared.metrics,
        links,
        compared.unsearched,
        around,
        waivers,
        compared.matches,
    )
    return replace(
        report,
        **compared.beside,
        store=report.store | {"card": corpus.census.card()},
        tool=report.tool | {"seeds": {"chance": CHANCE_SEED, "significance": SEED}},
    )


class _Compared(NamedTuple):
    """What a track was compared with the corpus by; `beside` are fields of the report that no rule judges."""

    about: dict[str, Any]
    findings: list[Finding]
    metrics: tuple[MetricResult | Skipped, ...]
    unsearched: tuple[Skipped, ...]
    matches: list[SoundMatch] | None = None
    beside: Mapping[str, Any] = MappingProxyType({})


def _of_notes(
    name: str, track: NoteSequence, corpus: Corpus, policy: Policy, keep: Callable[[Measured], object] | None
) -> _Compared:
    about = {
        "notes_sha256": notes_digest(track),
        "duration_s": track.end_s,
        "notes": len(track),
        "key": estimate_key(track),
        "tempo_bpm": track.tempos[0].bpm,
    }
    if track.remarks:
        about["remarks"] = list(track.remarks)
    passages = passages_of(corpus, track)
    findings = find(corpus, track, policy, every=passages)
    piece = closest_piece(corpus, track, findings)
    theirs, ours, path = rendered(corpus.store.notes(piece)), rendered(track), corpus.store.pieces[piece].path
    windows = measure_windows(corpus.store, name, track, passages, WINDOW)
    if keep and isinstance(windows, Measured):
        keep(windows)
    beside = {
        "course": course(windows, WINDOW, corpus.human) if isinstance(windows, Measured) else None,
        "harmony": chords_beside(theirs, path, ours),
        "sound": sound_beside(theirs, path, ours) if any(f.verdict != "clear" for f in findings) else None,
    }
    metrics = measure_track(theirs, path, ours, corpus.chance, corpus.style)
    unsearched = (*unsearchable(track), *_not_searched(corpus))
    if policy.requires("sound"):
        unsearched += (Skipped("sound", "needs sound: the track is notes"),)
    return _Compared(about, findings, metrics, unsearched, None, beside)


def _of_sound(track: Sound, sounds: SoundCorpus | None, policy: Policy) -> _Compared:
    about: dict[str, Any] = dict(track.about)
    unsearched: tuple[Skipped, ...] = (Skipped("copy", NEEDS_NOTES),)
    matches: list[SoundMatch] = []
    unsearched += tuple(Skipped("sound", f"part of the file was not heard: {reason}") for reason in track.unread)
    if not track.about["windows"]:
        reason = f"the track is shorter than {WINDOW_SECONDS:.0f} s, the window that is compared"
        unsearched += (Skipped("sound", reason),)
    elif sounds is None or not len(sounds.hashes) + len(sounds.renders):
        unsearched += (Skipped("sound", "the corpus has no sound to compare with"),)
    else:
        matches = find_sounds(sounds, track, policy)
        about["compared_with"] = sounds.compared
    return _Compared(about, [], (Skipped("metrics", NEEDS_NOTES),), unsearched, matches)


def _not_searched(corpus: Corpus) -> tuple[Skipped, ...]:
    """Say which part of the corpus the copy search could not look at; () when it saw all of it."""
    pieces, segments = left_out(corpus.store, corpus.index)
    names = ", ".join(name for name, _ in segments)
    total = len(corpus.store.pieces)
    return (Skipped("copy", f"{pieces} of {total} pieces were left out (segment {names})"),) if pieces else ()


def _path_here(file: Path) -> str:
    """Path of a track below the present folder, or its name alone: reports name no other folders of this machine."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.name


def _owner(file: Path) -> Path:
    """Return the artefact whose signature and record cover a file, such as the MIDI file of a WAV."""
    try:
        return owner_of(file)
    except LedgerError:  # a record beside it is malformed; verification says so where it matters
        return file


def _provenance(
    file: Path,
    owner: Path,
    trust: Trust,
    chain: Chain | None,
    log: TransparencyLog | Memory | None,
    shipped: Path | None,
) -> tuple[ProvenanceLink | Skipped, ...]:
    if not beside(owner, ".sig").exists() and not carries(owner):
        return (Skipped("provenance", f"{file.name} has no signature beside it; make one with: contraste sign"),)
    links = []
    for link in verify_path(file, trust, chain, log=log, shipped=shipped).links:
        if link.name == "log" and link.verdict in ("ok", "absent"):
            continue  # the log grows, and the same track gives the same report
        name = Path(link.subject).name  # reports go to other people: they name files, not this machine's folders
        links.append(ProvenanceLink(link.name, name, link.verdict, link.detail.replace(link.subject, name)))
    return tuple(links)


def _signer(owner: Path, trust: Trust, links: tuple[ProvenanceLink | Skipped, ...]) -> str:
    """Return the id of the trusted key by which the track is as it was signed, or ""."""
    first = links[0]
    if not isinstance(first, ProvenanceLink) or first.verdict != "ok":
        return ""
    own = [link for link in links if isinstance(link, ProvenanceLink) and link.subject == first.subject]
    if any(link.name in ("key", "log") and link.verdict in ("broken", "missing", "unchecked") for link in own):
        return ""
    return read_signed(owner, trust, timeless=True).envelope.keyid

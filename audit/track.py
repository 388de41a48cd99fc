"""The audit of one track: searched, measured, verified, judged by the policy, and concluded in an `AuditReport`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from audit.corpus import WINDOW, AuditCorpus
from audit.find import describe, judge, unsearchable
from audit.findings import Finding, Link, MetricResult, SoundMatch
from audit.gate.context_rules import judge_context
from audit.gate.outcome import decide_outcome, state_outcome
from audit.gate.rules import describe_state, judge_rules
from audit.gate.waivers import Waivers, attach_waivers, judge_expiry, mark_used
from audit.measures.metrics import SEED as CHANCE_SEED
from audit.measures.metrics import chords_beside, closest_piece, measure_track, render_features, sound_beside
from audit.measures.sound import Sound, SoundCorpus, find_sounds
from audit.originality.report import measure_course
from audit.originality.windows import Measured, measure_windows
from audit.policy import Policy
from audit.report import AuditReport, RuleResult, Skipped
from audit.search.corpus import SearchCorpus
from audit.search.passages import lines_of, search
from audit.search.significance import SEED
from corpus.prepare import notes_digest
from ledger.chains.chain import Chain
from ledger.exchange.credential import carries
from ledger.paths import beside
from ledger.provenance.digests import Digests
from ledger.provenance.record import artefact_of
from ledger.signing.log import TransparencyLog
from ledger.signing.memory import Memory
from ledger.signing.trust import Trust
from ledger.verify import verify_path
from messages import message
from metrics.phash import WINDOW_SECONDS
from music.key import estimate_key
from music.notes import NoteSequence

LIMITS = (
    "A match is evidence for people to judge; it is no statement about the law.",
    "The search covers the named store only; music outside it is not compared.",
    "Melodic lines are compared: a copied chord progression, sound or lyric is not found by the copy search.",
    "E-values rest on melodies drawn from the corpus' own style; percentiles on a sample of its pieces.",
)
SOUND_LIMITS = (
    *LIMITS[:2],
    "Sound is compared by windows of 12 s: the same recording is found, also filtered, in another format or a little "
    "slower; music played anew, and excerpts shorter than a window, are not.",
    "No notes are read out of sound, so melody, chords and rhythm are not compared.",
)
NEEDS_NOTES = message("needs notes: the track is sound, and none are read out of it")


@dataclass(frozen=True, eq=False)
class AuditRun:
    """What all tracks of a run are judged by.

    Attributes
    ----------
    trust : Trust
        Whose signatures and credentials are believed.
    chain : Chain, optional
        Where anchors are looked up.
    model : Path, optional
        The model folder that wrote the tracks, named with its digest in the reports.
    waivers : Waivers, optional
        What people let pass.
    sounds : SoundCorpus, optional
        What a track that is sound is compared with.
    log, shipped
        See `ledger.verify.verify_path`: the gate believes nothing that ``contraste verify`` does not.
    digests : Digests
        What was hashed in this run.
    """

    corpus: AuditCorpus
    policy: Policy
    trust: Trust
    chain: Chain | None = None
    model: Path | None = None
    waivers: Waivers | None = None
    sounds: SoundCorpus | None = None
    log: TransparencyLog | Memory | None = None
    shipped: Path | None = None
    digests: Digests = field(default_factory=Digests)


class Compared(NamedTuple):
    """What was found when a track was compared with the corpus.

    Attributes
    ----------
    about : dict
        Name and digests of the track's file, as the report prints them; ``signed_by``, the id of the trusted key that
        signed it.
    findings : sequence of Finding
        From `audit.find.describe`.
    metrics : tuple
        From `audit.measures.metrics.measure_track`. Where all of them were skipped, none counts as measured.
    unsearched : tuple
        From `audit.find.unsearchable`.
    matches : sequence of SoundMatch, optional
        From `audit.measures.sound.find_sounds`; None for a track that is notes.
    beside : mapping
        Fields of the report that no rule judges.
    """

    about: dict[str, Any]
    findings: Sequence[Finding] = ()
    metrics: tuple[MetricResult | Skipped, ...] = ()
    unsearched: tuple[Skipped, ...] = ()
    matches: Sequence[SoundMatch] | None = None
    beside: Mapping[str, Any] = MappingProxyType({})


def audit_track(
    run: AuditRun, file: Path, track: NoteSequence | Sound, keep: Callable[[Measured], object] | None = None
) -> AuditReport:
    """Search, measure and verify one track, and judge it by the policy.

    Parameters
    ----------
    file : Path
        Where `track` was read; its signature is looked for beside it.
    keep : callable, optional
        Is given the windows of a track that has some, for the originality of a release.

    Raises
    ------
    ledger.errors.LedgerError
        When the file or the model can't be hashed.
    """
    about: dict[str, Any] = {"name": file.name, "sha256": run.digests.of(file).hex}
    if (path := _path_here(file)) != file.name:
        about["path"] = path
    if run.model is not None:
        about["model"] = {"name": run.model.name, "digest": run.digests.of(run.model).hex}
    if isinstance(track, Sound):
        compared = _of_sound(track, run.sounds, run.policy)
    else:
        compared = _of_notes(file.name, track, run.corpus, run.policy, keep)
    about |= compared.about
    owner = artefact_of(file)
    links, gaps, signer = _provenance(run, file, owner)
    if signer:
        about["signed_by"] = signer
    around = judge_context(run.policy, run.corpus, owner, None if isinstance(track, Sound) else track, links)
    report = conclude(run.corpus, run.policy, compared._replace(about=about), links, gaps, around, run.waivers)
    return replace(
        report,
        store=report.store | {"card": run.corpus.census.card()},
        tool=report.tool | {"seeds": {"chance": CHANCE_SEED, "significance": SEED}},
    )


def _of_notes(
    name: str, track: NoteSequence, corpus: AuditCorpus, policy: Policy, keep: Callable[[Measured], object] | None
) -> Compared:
    about = {
        "notes_sha256": notes_digest(track),
        "duration_s": track.end_s,
        "notes": len(track),
        "key": estimate_key(track),
        "tempo_bpm": track.tempos[0].bpm,
    }
    if track.remarks:
        about["remarks"] = list(track.remarks)
    here = lines_of(corpus.index, track)
    # Of every piece that is there: the course of the track looks at all of them.
    passages = search(corpus.index, here, len(corpus.store.pieces), corpus.store.present)
    listed = judge(corpus, track, here, passages, policy)
    findings = describe(corpus, track, listed)
    piece = closest_piece(corpus, track, listed)
    theirs, ours, path = (
        render_features(corpus.store.notes(piece)),
        render_features(track),
        corpus.store.pieces[piece].path,
    )
    windows = measure_windows(corpus.store, name, track, passages, WINDOW)
    if keep and isinstance(windows, Measured):
        keep(windows)
    beside = {
        "course": measure_course(windows, WINDOW, corpus.human) if isinstance(windows, Measured) else None,
        "harmony": chords_beside(theirs, path, ours),
        "sound": sound_beside(theirs, path, ours) if any(f.verdict != "clear" for f in findings) else None,
    }
    metrics = measure_track(theirs, path, ours, corpus.chance, corpus.style)
    unsearched = (*unsearchable(track), *_name_unsearched(corpus))
    if policy.requires("sound"):
        unsearched += (Skipped("sound", message("needs sound: the track is notes")),)
    return Compared(about, findings, metrics, unsearched, beside=beside)


def _of_sound(track: Sound, sounds: SoundCorpus | None, policy: Policy) -> Compared:
    about: dict[str, Any] = dict(track.about)
    unsearched: tuple[Skipped, ...] = (Skipped("copy", NEEDS_NOTES),)
    matches: list[SoundMatch] = []
    unsearched += tuple(
        Skipped("sound", message("part of the file was not heard: {reason:text}", reason=reason))
        for reason in track.unread
    )
    if not track.about["windows"]:
        reason = message(
            "the track is shorter than {seconds:.0f} s, the window that is compared", seconds=WINDOW_SECONDS
        )
        unsearched += (Skipped("sound", reason),)
    elif sounds is None or not len(sounds.hashes) + len(sounds.renders):
        unsearched += (Skipped("sound", message("the corpus has no sound to compare with")),)
    else:
        matches = find_sounds(sounds, track, policy)
        about["compared_with"] = sounds.compared
    return Compared(about, metrics=(Skipped("metrics", NEEDS_NOTES),), unsearched=unsearched, matches=matches)


def _name_unsearched(corpus: SearchCorpus) -> tuple[Skipped, ...]:
    """Say which part of the corpus the copy search could not look at; () when it saw all of it."""
    pieces, segments = corpus.left_out
    names = ", ".join(name for name, _ in segments)
    gap = message(
        "{count:d} of {total:d} pieces were left out (segment {names})",
        count=pieces,
        total=len(corpus.store.pieces),
        names=names,
    )
    return (Skipped("copy", gap),) if pieces else ()


def _path_here(file: Path) -> str:
    """Path of a track below the present folder, or its name alone: reports name no other folders of this machine."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.name


def _provenance(run: AuditRun, file: Path, owner: Path) -> tuple[tuple[Link, ...], tuple[Skipped, ...], str]:
    """Verify a track: the links, or why there are none, and the id of the trusted key by which it is as signed."""
    if not beside(owner, ".sig").exists() and not carries(owner):
        unsigned = message("{file} has no signature beside it; make one with: contraste sign", file=file.name)
        return (), (Skipped("provenance", unsigned),), ""
    verified = verify_path(file, run.trust, run.chain, log=run.log, shipped=run.shipped, digests=run.digests)
    links = []
    for link in verified.links:
        if link.name == "log" and link.verdict in ("ok", "absent"):
            continue  # the log grows, and the same track gives the same report
        name = Path(link.subject).name  # reports go to other people: they name files, not this machine's folders
        links.append(replace(link, subject=name, detail=link.detail.replace(link.subject, name)))
    return tuple(links), (), verified.signer


def conclude(
    corpus: SearchCorpus,
    policy: Policy,
    compared: Compared,
    links: tuple[Link, ...] = (),
    gaps: tuple[Skipped, ...] = (),
    around: tuple[RuleResult, ...] = (),
    waivers: Waivers | None = None,
) -> AuditReport:
    """Judge one track by what was found, measured and verified.

    Parameters
    ----------
    links, gaps : tuple
        Of its provenance, and why there are none.
    around : tuple of RuleResult
        From `audit.gate.context_rules.judge_context`.
    waivers : Waivers, optional
        Those that do not name the track are left out.
    """
    about, metrics = compared.about, compared.metrics
    measured = tuple(
        replace(m, verdict=policy.judge_metric(m.name, m.value)) for m in metrics if isinstance(m, MetricResult)
    )
    skipped = tuple(
        Skipped(s.check, s.reason, (s.check if measured else s.check.partition(":")[0]) in policy.gate.required)
        for s in (*compared.unsearched, *metrics, *gaps)
        if isinstance(s, Skipped)
    )
    if "provenance" in policy.gate.required:
        skipped += tuple(
            Skipped(
                "provenance",
                message("{state:text}: {detail:text}", state=describe_state(link), detail=link.detail),
                True,
            )
            for link in links
            if link.verdict in ("missing", "unchecked")
        )
    given = waivers.of(str(about["name"]), str(about.get("notes_sha256", ""))) if waivers else ()
    findings = attach_waivers(compared.findings, given)
    heard = None if compared.matches is None else attach_waivers(compared.matches, given)
    judgements = judge_rules(policy, findings, measured, links, skipped, str(about.get("signed_by", "")), heard)
    rules = attach_waivers((*judgements, *around, *judge_expiry(given, waivers.name if waivers else "")), given)
    known = {s.check for s in skipped}
    skipped += tuple(
        Skipped(rule.id, rule.detail, rule.required)
        for rule in rules
        if rule.verdict == "skipped" and rule.id not in known and (rule.required or not rule.id.startswith("metrics."))
    )
    outcome, reasons = decide_outcome(findings, rules, measured, links, skipped, heard or ())
    return AuditReport(
        outcome=outcome,
        sentence=state_outcome(
            outcome,
            findings,
            reasons,
            len(corpus.store.pieces),
            corpus.left_out.pieces,
            str(about.get("compared_with", "")),
            heard or (),
        ),
        reasons=reasons,
        track=about,
        store={
            "name": corpus.store.path.name,
            "digest": corpus.store.digest,
            "pieces": len(corpus.store.pieces),
            "works": corpus.store.works,
            "chance": {"slope": corpus.calibration.slope, "log2_k": corpus.calibration.log2_k},
            "human_pieces": len(corpus.calibration.human_bits),
        },
        policy={"name": policy.name, "digest": policy.digest, "values": policy.values}
        | ({"waivers": {"file": waivers.name, "sha256": waivers.sha256, "today": waivers.today}} if waivers else {}),
        tool={"name": "contraste", "version": version("contraste")},
        findings=findings,
        metrics=measured,
        provenance=links,
        skipped=skipped,
        limits=LIMITS if heard is None else SOUND_LIMITS,
        sound_matches=heard or (),
        rules=rules,
        waivers=mark_used(given, (*findings, *(heard or ()), *rules)),
        **compared.beside,
    )

"""The audit itself: a track, a store and a policy in, an `AuditReport` out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.findings import (
    AuditReport,
    Finding,
    MetricResult,
    PassageNote,
    ProvenanceLink,
    RuleResult,
    Skipped,
    SoundMatch,
    StyleRange,
    Verdict,
    finding_id,
)
from audit.gate.outcome import sentence, weighed
from audit.gate.rules import judged
from audit.gate.waivers import Waivers, expiry, settled, waived
from audit.originality.baseline import Baseline
from audit.originality.windows import Setting
from audit.policy import Policy
from audit.search.index import Index, left_out
from audit.search.lines import query_table, voice_table
from audit.search.passages import Passage, lines, search
from audit.search.relatedness import Relative, Tunes, all_compared, passage_of, relatives
from audit.search.significance import Calibration, query_notes
from corpus.census import Census, take_census
from corpus.store import Store
from metrics.chance import Chance
from music.notes import IntArray, NoteSequence
from music.voices import MIN_NOTES

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
PRIOR_ART_PIECES = 50
WINDOW = Setting(24, "notes")  # of a track's course
# Relatedness that a bit of evidence against chance counts for, where all pieces are compared and where only those with
# a passage are; unrelated tunes differ by about 0.1. In between, copied fragments and distant variants both come early.
EVIDENCE, EVIDENCE_NAMED = 0.04, 0.3
SAME_MOMENT_BEATS = 1 / 8  # notes of other parts count as equal when they begin this close to where they should


@dataclass(frozen=True, eq=False)
class Corpus:
    """A store with its index and calibration, opened once for many tracks."""

    store: Store
    index: Index
    calibration: Calibration
    chance: dict[str, Chance]
    tunes: Tunes | None = None  # of a small index: every piece is compared
    human: Baseline | None = None  # what windows of human pieces share with other works; None: of too few works
    style: dict[str, StyleRange] = field(default_factory=dict)  # what human pieces score; {} for too few works

    @cached_property
    def census(self) -> Census:
        """The store in figures, counted once a run: a signed store may hold no file that came later."""
        return take_census(self.store)


def passages_of(corpus: Corpus, track: NoteSequence) -> list[Passage]:
    """Search every piece that is there, as both findings and the course of a track need it."""
    return search(corpus.index, track, len(corpus.store.pieces), corpus.store.present)


def find(
    corpus: Corpus,
    track: NoteSequence,
    policy: Policy,
    top: int = 10,
    every: Sequence[Passage] | None = None,
    among: NDArray[np.bool_] | None = None,
) -> list[Finding]:
    """Search the corpus for what `track` shares with it: passages that are not clear first, strongest first.

    Each of the `top` best pieces gives its strongest passage, and the further ones that are not clear. Pieces whose
    passages are all clear are ordered by how closely a whole line is related (`audit.search.relatedness`), and by what
    the passage holds against chance. In a small store a relative is listed also where the search named no passage.
    `every` is what `passages_of` gave, where the caller has it; `among` a mask of the pieces to look at.
    """
    here = lines(corpus.index, track)
    there = corpus.store.present if among is None else among
    pieces = max(top, PRIOR_ART_PIECES)
    if every is None:
        passages = search(corpus.index, here, pieces, there)
    else:
        strongest = list(dict.fromkeys(passage.piece for passage in every))[:pieces]
        passages = [passage for passage in every if passage.piece in strongest]
    judged: dict[int, list[_Judged]] = {}
    for one in _judged(corpus, track, passages, policy):
        judged.setdefault(one.passage.piece, []).append(one)
    kin = relatives(corpus.index, corpus.tunes, here, passages)
    compared = all_compared(corpus.tunes, here)
    places = {piece: min(_place(one, kin.get(piece), compared) for one in found) for piece, found in judged.items()}
    for piece, relative in kin.items():
        if piece not in places and relative.degree > 0 and there[piece]:
            places[piece] = (1, -relative.degree)
    found: list[tuple[tuple[int, float], Finding]] = []
    for piece in sorted(places, key=lambda p: (places[p], p))[:top]:
        if piece not in judged:
            passage = passage_of(corpus.index, here, kin[piece])
            judged[piece] = _judged(corpus, track, [passage] if passage else [], policy)
        notes = corpus.store.notes(piece)
        for k, one in enumerate(judged[piece]):
            place = _place(one, kin.get(piece), compared)
            if k == 0 or place[0] == 0:
                found.append((place, _finding(corpus, track, one, notes)))
    return [finding for _, finding in sorted(found, key=lambda pair: pair[0])]


def flagged(corpus: Corpus, track: NoteSequence, policy: Policy) -> bool:
    """Whether `find` would name a passage that is not clear; this only searches and judges."""
    passages = search(corpus.index, track, PRIOR_ART_PIECES, corpus.store.present)
    return any(one.verdict != "clear" for one in _judged(corpus, track, passages, policy))


def unsearchable(track: NoteSequence) -> tuple[Skipped, ...]:
    """Say what of `track` the copy search has nothing to compare by, or was not given; () when it has all."""
    gaps = tuple(Skipped("copy", f"part of the file was not read: {reason}") for reason in track.unread)
    if query_table(track):
        return gaps
    if len(track) and track.is_drum.all():
        return (Skipped("copy", f"all of its {len(track)} notes are drums, which have no melody to search"), *gaps)
    return (Skipped("copy", f"it holds no line of {MIN_NOTES} notes, and shorter ones are not searched"), *gaps)


class _Judged(NamedTuple):
    """A passage with its seconds in the track, its significance, what is said against it, and the verdict."""

    passage: Passage
    span: tuple[float, float]
    evalue: float
    percentile: float
    other_works: int
    allowed: str
    verdict: Verdict


def _place(judged: _Judged, relative: Relative | None, every: bool) -> tuple[int, float]:
    """Say what a passage is ranked by, lowest first: its bits, or where it is clear relatedness and evidence.

    Where `every` piece is compared, also those without a passage, one that chance explains counts as much as none.
    """
    if judged.verdict != "clear" or judged.allowed:
        return 0, -judged.passage.bits
    degree, against_chance = relative.degree if relative else 0.0, -math.log2(judged.evalue)
    return 1, -(degree + (EVIDENCE * max(0.0, against_chance) if every else EVIDENCE_NAMED * against_chance))


def _judged(corpus: Corpus, track: NoteSequence, passages: list[Passage], policy: Policy) -> list[_Judged]:
    m = query_notes(track)
    spans = [_span(track, passage.query_rows) for passage in passages]
    groups = [int(corpus.store.groups[passage.piece]) for passage in passages]
    works = [int(corpus.index.works[passage.piece]) for passage in passages]
    evalues = [corpus.calibration.evalue(passage.bits, m) for passage in passages]
    percentiles = [corpus.calibration.percentile(passage.bits) for passage in passages]
    strong = [
        k
        for k, passage in enumerate(passages)
        if policy.copy.judge(evalues[k], percentiles[k], len(passage.query_rows)) != "clear"
    ]
    judged = []
    for k, passage in enumerate(passages):
        others = {works[other] for other in strong if _shared(spans[k], spans[other]) > 0.5} - {works[k]}
        first, last = (track.bar_at(float(track.onset_beat[passage.query_rows[i]])) for i in (0, -1))
        common = policy.copy.is_common(passage.commonplace, len(others))
        verdict = policy.copy.judge(evalues[k], percentiles[k], len(passage.query_rows), last - first, common)
        allowed = "" if verdict == "clear" else _allowance(corpus, passage.piece, groups[k], policy)
        judged.append(
            _Judged(
                passage, spans[k], evalues[k], percentiles[k], len(others), allowed, "clear" if allowed else verdict
            )
        )
    return judged


def _allowance(corpus: Corpus, piece: int, group: int, policy: Policy) -> str:
    record, oldest = corpus.store.pieces[piece], corpus.store.pieces[group]
    return policy.copy.allow.rule_for((record.path, oldest.path), record.artist, record.rights.licence)


def _finding(corpus: Corpus, track: NoteSequence, judged: _Judged, notes: NoteSequence) -> Finding:
    passage, span = judged.passage, judged.span
    piece = corpus.store.pieces[passage.piece]
    piece_voice = voice_table(notes)[passage.voice][2]
    piece_rows = piece_voice[passage.positions]
    query_voice = next(rows for _, _, rows in query_table(track) if np.isin(passage.query_rows, rows).all())
    there = _span(notes, piece_rows)
    rights = {name: getattr(piece.rights, name) for name in piece.rights.__slots__}
    pairs = _all_parts(track, notes, passage, piece_rows)
    (query_bars, query_printed), (piece_bars, piece_printed) = (
        _bars(track, passage.query_rows),
        _bars(notes, piece_rows),
    )
    query_notes = _excerpt(track, {q: (k, in_time) for k, (q, _, in_time) in enumerate(pairs)}, span, query_voice)
    return Finding(
        piece=piece.path,
        title=piece.title,
        artist=piece.artist,
        split=piece.split,
        rights=rights,
        id=finding_id(piece.path, query_bars, piece_bars, passage.transposition),
        verdict=judged.verdict,
        query_span_s=span,
        piece_span_s=there,
        query_bars=query_bars,
        piece_bars=piece_bars,
        query_printed=query_printed,
        piece_printed=piece_printed,
        transposition=passage.transposition,
        tempo_ratio=_tempo_ratio(track, notes, passage, piece_rows),
        matched=len(passage.query_rows),
        notes=passage.notes,
        in_time=int(passage.in_time.sum()),
        bits=passage.bits,
        evalue=judged.evalue,
        percentile=judged.percentile,
        other_works=judged.other_works,
        commonplace=passage.commonplace,
        allowed=judged.allowed,
        query_part=track.parts[track.part[passage.query_rows[0]]].name,
        piece_part=notes.parts[notes.part[piece_rows[0]]].name,
        all_matched=len(pairs),
        all_notes=len(query_notes),
        query_notes=query_notes,
        query_bar_beats=_bar_line(track, span[0])[1],
        piece_notes=_excerpt(notes, {p: (k, in_time) for k, (_, p, in_time) in enumerate(pairs)}, there, piece_voice),
    )


def _span(sequence: NoteSequence, rows: Any) -> tuple[float, float]:
    last = rows[-1]
    return float(sequence.onset_s[rows[0]]), float(sequence.onset_s[last] + sequence.duration_s[last])


def _bars(sequence: NoteSequence, rows: Any) -> tuple[tuple[int, int], tuple[str, str]]:
    """Return first and last bar of a passage: counted, and as the score prints them where that is another number."""
    first, last = (float(sequence.onset_beat[rows[i]]) + 1e-6 for i in (0, -1))
    counted = int(sequence.bar_at(first)), int(sequence.bar_at(last))
    printed = sequence.printed_bar(first), sequence.printed_bar(last)
    return counted, ("", "") if printed == tuple(map(str, counted)) else printed


def _tempo_ratio(track: NoteSequence, notes: NoteSequence, passage: Passage, piece_rows: Any) -> float:
    here = np.ptp(track.onset_s[passage.query_rows])
    there = np.ptp(notes.onset_s[piece_rows])
    return float(here / there) if there > 0 else passage.tempo_ratio


def _shared(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Share of span `a` that lies in span `b`."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / max(a[1] - a[0], 1e-9)


def _all_parts(
    track: NoteSequence,
    notes: NoteSequence,
    passage: Passage,
    piece_rows: Any,
) -> list[tuple[int, int, bool]]:
    """Pair the notes of all parts, not only of the aligned voice: equal pitch at the moment the alignment gives.

    Returns (row in the track, row in the piece, keeps time), by onset in the track.
    """
    pairs = [(int(q), int(p), bool(t)) for q, p, t in zip(passage.query_rows, piece_rows, passage.in_time, strict=True)]
    used = {p for _, p, _ in pairs}
    at_pitch: dict[int, list[int]] = {}
    for row in _rows(notes, _span(notes, piece_rows)):
        if row not in used:
            at_pitch.setdefault(int(notes.pitch[row]) + passage.transposition, []).append(row)
    known = {q for q, _, _ in pairs}
    here_beats, there_beats = track.onset_beat[passage.query_rows], notes.onset_beat[piece_rows]
    for row in _rows(track, _span(track, passage.query_rows)):
        rows = at_pitch.get(int(track.pitch[row]), [])
        if row in known or not rows:
            continue
        moment = np.interp(track.onset_beat[row], here_beats, there_beats)
        nearest = min(rows, key=lambda p: abs(notes.onset_beat[p] - moment))
        if abs(notes.onset_beat[nearest] - moment) <= SAME_MOMENT_BEATS:
            pairs.append((row, nearest, True))
            rows.remove(nearest)
    return sorted(pairs)


def _rows(sequence: NoteSequence, span: tuple[float, float]) -> list[int]:
    """Rows of the pitched notes that begin within a span of seconds."""
    inside = (sequence.onset_s >= span[0] - 1e-6) & (sequence.onset_s < span[1] - 1e-6) & ~sequence.is_drum
    return [int(row) for row in np.flatnonzero(inside)]


def _bar_line(sequence: NoteSequence, second: float) -> tuple[float, float]:
    """Beat of the last bar line up to `second`, and quarters in the bar that it begins."""
    return sequence.bar_line(float(sequence.beats_at(second)) + 1e-6)


def _excerpt(
    sequence: NoteSequence, pair: dict[int, tuple[int, bool]], span: tuple[float, float], voice: IntArray
) -> tuple[PassageNote, ...]:
    origin, _ = _bar_line(sequence, span[0])
    own = set(voice.tolist())
    notes = []
    for i in _rows(sequence, span):
        number, in_time = pair.get(i, (None, False))
        notes.append(
            PassageNote(
                onset_s=float(sequence.onset_s[i]),
                duration_s=float(sequence.duration_s[i]),
                pitch=int(sequence.pitch[i]),
                part=int(sequence.part[i]),
                pair=number,
                in_time=in_time,
                in_voice=i in own,
                onset_beat=float(sequence.onset_beat[i]) - origin,
                duration_beat=float(sequence.duration_beat[i]),
            )
        )
    return tuple(notes)


def audit(
    about: dict[str, Any],
    corpus: Corpus,
    policy: Policy,
    findings: Sequence[Finding],
    metrics: tuple[MetricResult | Skipped, ...] = (),
    provenance: tuple[ProvenanceLink | Skipped, ...] = (),
    unsearched: tuple[Skipped, ...] = (),
    around: tuple[RuleResult, ...] = (),
    waivers: Waivers | None = None,
    sounds: Sequence[SoundMatch] | None = None,
) -> AuditReport:
    """Judge one track by what was found, measured and verified.

    Parameters
    ----------
    about : dict
        Name and digests of the track's file, as the report prints them; ``signed_by``, the id of the trusted key that
        signed it.
    findings : sequence of Finding
        From `find`.
    metrics : tuple
        From `audit.measures.metrics.measure_track`, judged here. Where all of them were skipped, none counts as
        measured.
    provenance : tuple
        Links from the ledger, or what was skipped.
    unsearched : tuple
        From `unsearchable`.
    around : tuple of RuleResult
        From `audit.gate.context_rules.surroundings`.
    waivers : Waivers, optional
        Those that do not name the track are left out.
    sounds : sequence of SoundMatch, optional
        From `audit.measures.sound.find_sounds`; None for a track that is notes.
    """
    measured = tuple(
        replace(m, verdict=policy.judge_metric(m.name, m.value)) for m in metrics if isinstance(m, MetricResult)
    )
    links = tuple(link for link in provenance if isinstance(link, ProvenanceLink))
    skipped = tuple(
        Skipped(s.check, s.reason, (s.check if measured else s.check.partition(":")[0]) in policy.gate.required)
        for s in (*unsearched, *metrics, *provenance)
        if isinstance(s, Skipped)
    )
    if "provenance" in policy.gate.required:
        skipped += tuple(
            Skipped("provenance", f"{link.name} ({link.subject}) is {link.verdict}: {link.detail}", True)
            for link in links
            if link.verdict in ("missing", "unchecked")
        )
    given = waivers.of(str(about["name"]), str(about.get("notes_sha256", ""))) if waivers else ()
    found = waived(findings, given)
    heard = None if sounds is None else waived(sounds, given)
    judgements = judged(policy, found, measured, links, skipped, str(about.get("signed_by", "")), heard)
    rules = waived((*judgements, *around, *expiry(given, waivers.name if waivers else "")), given)
    known = {s.check for s in skipped}
    skipped += tuple(
        Skipped(rule.id, rule.detail, rule.required)
        for rule in rules
        if rule.verdict == "skipped" and rule.id not in known and (rule.required or not rule.id.startswith("metrics."))
    )
    outcome, reasons = weighed(found, rules, measured, links, skipped, heard or ())
    return AuditReport(
        outcome=outcome,
        sentence=sentence(
            outcome,
            found,
            reasons,
            len(corpus.store.pieces),
            left_out(corpus.store, corpus.index)[0],
            str(about.get("compared_with", "")),
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
        findings=found,
        metrics=measured,
        provenance=links,
        skipped=skipped,
        limits=LIMITS if sounds is None else SOUND_LIMITS,
        sound_matches=heard or (),
        rules=rules,
        waivers=settled(given, (*found, *(heard or ()), *rules)),
    )

"""Finding what a track shares with a corpus, in three steps: search passages, judge them, give the evidence.

`audit.search.passages.search` finds passages; `judge` says what counts against the track, by chance, custom and policy;
`match` says where that lies, which is what ``contraste search`` prints, and `describe` gives all of the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit.findings import Finding, Match, PassageNote, Verdict, finding_id
from audit.policy import Policy
from audit.report import Skipped
from audit.search.corpus import SearchCorpus
from audit.search.lines import query_table, voice_table
from audit.search.passages import Passage, lines_of, search
from audit.search.relatedness import Relative, compares_all, find_relatives, passage_of
from audit.search.seeds import Line
from audit.search.significance import query_notes
from messages import message
from music.notes import FloatArray, IntArray, NoteSequence
from music.voices import MIN_NOTES

PRIOR_ART_PIECES = 50
# Relatedness that a bit of evidence against chance counts for, where all pieces are compared and where only those with
# a passage are; unrelated tunes differ by about 0.1. In between, copied fragments and distant variants both come early.
EVIDENCE, EVIDENCE_NAMED = 0.04, 0.3
SAME_MOMENT_BEATS = 1 / 8  # notes of other parts count as equal when they begin this close to where they should


class JudgedPassage(NamedTuple):
    """A passage with its seconds in the track, its significance, what is said against it, and the verdict."""

    passage: Passage
    span: tuple[float, float]
    evalue: float
    percentile: float
    other_works: int
    allowed: str
    verdict: Verdict


def find(corpus: SearchCorpus, track: NoteSequence, policy: Policy, top: int = 10) -> list[Finding]:
    """Search the corpus for what `track` shares with it, judge it, and give the evidence; see `judge`."""
    here = lines_of(corpus.index, track)
    return describe(corpus, track, judge(corpus, track, here, search_best(corpus, here, top), policy, top))


def search_best(corpus: SearchCorpus, here: list[Line], top: int = 10) -> list[Passage]:
    """Search the pieces that are there, for as many as are judged to list `top` of them."""
    return search(corpus.index, here, max(top, PRIOR_ART_PIECES), corpus.store.present)


def judge(
    corpus: SearchCorpus,
    track: NoteSequence,
    here: list[Line],
    passages: Sequence[Passage],
    policy: Policy,
    top: int = 10,
    among: NDArray[np.bool_] | None = None,
) -> list[JudgedPassage]:
    """Judge what a search found: passages that are not clear first, strongest first.

    Each of the `top` best pieces gives its strongest passage, and the further ones that are not clear. Pieces whose
    passages are all clear are ordered by how closely a whole line is related (`audit.search.relatedness`), and by what
    the passage holds against chance. In a small store a relative is listed also where the search named no passage.

    Parameters
    ----------
    here : list of Line
        The track's `audit.search.passages.lines_of`.
    passages : sequence of Passage
        What was found for them, of at least as many pieces as `search_best` asks for.
    among : bool, one for each piece of the store, optional
        The pieces to look at; those that are there by default.
    """
    there = corpus.store.present if among is None else among
    strongest = set(list(dict.fromkeys(passage.piece for passage in passages))[: max(top, PRIOR_ART_PIECES)])
    passages = [passage for passage in passages if passage.piece in strongest]
    judged: dict[int, list[JudgedPassage]] = {}
    for one in judge_passages(corpus, track, passages, policy):
        judged.setdefault(one.passage.piece, []).append(one)
    kin = find_relatives(corpus.index, corpus.tunes, here, passages)
    compared = compares_all(corpus.tunes, here)
    places = {piece: min(_place(one, kin.get(piece), compared) for one in own) for piece, own in judged.items()}
    for piece, relative in kin.items():
        if piece not in places and relative.degree > 0 and there[piece]:
            places[piece] = (1, -relative.degree)
    ranked: list[tuple[tuple[int, float], JudgedPassage]] = []
    for piece in sorted(places, key=lambda p: (places[p], p))[:top]:
        if piece not in judged:
            passage = passage_of(corpus.index, here, kin[piece])
            judged[piece] = judge_passages(corpus, track, [passage] if passage else [], policy)
        for k, one in enumerate(judged[piece]):
            place = _place(one, kin.get(piece), compared)
            if k == 0 or place[0] == 0:
                ranked.append((place, one))
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]


def is_flagged(corpus: SearchCorpus, track: NoteSequence, policy: Policy) -> bool:
    """Whether `judge` would list a passage that is not clear."""
    passages = search_best(corpus, lines_of(corpus.index, track))
    return any(one.verdict != "clear" for one in judge_passages(corpus, track, passages, policy))


def unsearchable(track: NoteSequence) -> tuple[Skipped, ...]:
    """Say what of `track` the copy search has nothing to compare by, or was not given; () when it has all."""
    gaps = tuple(
        Skipped("copy", message("part of the file was not read: {reason:text}", reason=reason))
        for reason in track.unread
    )
    if query_table(track):
        return gaps
    if len(track) and track.is_drum.all():
        drums = message("all of its {count:d} notes are drums, which have no melody to search", count=len(track))
        return (Skipped("copy", drums), *gaps)
    short = message("it holds no line of {count:d} notes, and shorter ones are not searched", count=MIN_NOTES)
    return (Skipped("copy", short), *gaps)


def _place(judged: JudgedPassage, relative: Relative | None, every: bool) -> tuple[int, float]:
    """Say what a passage is ranked by, lowest first: its bits, or where it is clear relatedness and evidence.

    Where `every` piece is compared, also those without a passage, one that chance explains counts as much as none.
    """
    if judged.verdict != "clear" or judged.allowed:
        return 0, -judged.passage.bits
    degree, against_chance = relative.degree if relative else 0.0, -math.log2(judged.evalue)
    return 1, -(degree + (EVIDENCE * max(0.0, against_chance) if every else EVIDENCE_NAMED * against_chance))


def judge_passages(
    corpus: SearchCorpus, track: NoteSequence, passages: Sequence[Passage], policy: Policy
) -> list[JudgedPassage]:
    """Judge passages one by one, in their order."""
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
        others = {works[other] for other in strong if _overlap(spans[k], spans[other]) > 0.5} - {works[k]}
        first, last = (track.bar_at(float(track.onset_beat[passage.query_rows[i]])) for i in (0, -1))
        common = policy.copy.is_common(passage.commonplace, len(others))
        verdict = policy.copy.judge(evalues[k], percentiles[k], len(passage.query_rows), last - first, common)
        allowed = "" if verdict == "clear" else _allowance(corpus, passage.piece, groups[k], policy)
        judged.append(
            JudgedPassage(
                passage, spans[k], evalues[k], percentiles[k], len(others), allowed, "clear" if allowed else verdict
            )
        )
    return judged


def _allowance(corpus: SearchCorpus, piece: int, group: int, policy: Policy) -> str:
    record, oldest = corpus.store.pieces[piece], corpus.store.pieces[group]
    return policy.copy.allow.rule_for((record.path, oldest.path), record.artist, record.rights.licence)


class _Located(NamedTuple):
    """A judged passage in its piece: the piece's notes, and the rows of the passage and of its whole voice."""

    judged: JudgedPassage
    notes: NoteSequence
    rows: IntArray
    voice: IntArray


def _locate(corpus: SearchCorpus, judged: Sequence[JudgedPassage]) -> list[_Located]:
    """Look passages up in their pieces, each of which is loaded once."""
    pieces: dict[int, tuple[NoteSequence, list[tuple[IntArray, FloatArray, IntArray]]]] = {}
    located = []
    for one in judged:
        passage = one.passage
        if passage.piece not in pieces:
            notes = corpus.store.notes(passage.piece)
            pieces[passage.piece] = notes, voice_table(notes)
        notes, table = pieces[passage.piece]
        voice = table[passage.voice][2]
        located.append(_Located(one, notes, voice[passage.positions], voice))
    return located


def match(corpus: SearchCorpus, track: NoteSequence, judged: Sequence[JudgedPassage]) -> list[Match]:
    """Say where the passages lie, without the evidence."""
    return [_match(corpus, track, one) for one in _locate(corpus, judged)]


def describe(corpus: SearchCorpus, track: NoteSequence, judged: Sequence[JudgedPassage]) -> list[Finding]:
    """Gather all the evidence of passages."""
    return [_finding(corpus, track, one) for one in _locate(corpus, judged)]


def _match(corpus: SearchCorpus, track: NoteSequence, located: _Located) -> Match:
    judged, notes, rows, _ = located
    passage = judged.passage
    query_bars, query_printed = _bars(track, passage.query_rows)
    piece_bars, piece_printed = _bars(notes, rows)
    return Match(
        piece=corpus.store.pieces[passage.piece].path,
        verdict=judged.verdict,
        query_span_s=judged.span,
        piece_span_s=_span(notes, rows),
        query_bars=query_bars,
        piece_bars=piece_bars,
        query_printed=query_printed,
        piece_printed=piece_printed,
        transposition=passage.transposition,
        tempo_ratio=_tempo_ratio(track, notes, passage, rows),
        matched=len(passage.query_rows),
        notes=passage.notes,
        in_time=int(passage.in_time.sum()),
        bits=passage.bits,
        evalue=judged.evalue,
        percentile=judged.percentile,
        other_works=judged.other_works,
        commonplace=passage.commonplace,
        allowed=judged.allowed,
    )


def _finding(corpus: SearchCorpus, track: NoteSequence, located: _Located) -> Finding:
    (judged, notes, rows, voice), matched = located, _match(corpus, track, located)
    passage, piece = judged.passage, corpus.store.pieces[judged.passage.piece]
    query_voice = next(own for _, _, own in query_table(track) if np.isin(passage.query_rows, own).all())
    pairs = _all_parts(track, notes, passage, rows)
    here, there = ({pair[side]: (k, pair[2]) for k, pair in enumerate(pairs)} for side in (0, 1))
    query_notes = _excerpt(track, here, matched.query_span_s, query_voice)
    return Finding(
        **{key.name: getattr(matched, key.name) for key in fields(matched)},
        title=piece.title,
        artist=piece.artist,
        split=piece.split,
        rights=asdict(piece.rights),
        id=finding_id(piece.path, matched.query_bars, matched.piece_bars, passage.transposition),
        query_part=track.parts[track.part[passage.query_rows[0]]].name,
        piece_part=notes.parts[notes.part[rows[0]]].name,
        all_matched=len(pairs),
        all_notes=len(query_notes),
        query_notes=query_notes,
        query_bar_beats=_bar_line(track, matched.query_span_s[0])[1],
        piece_notes=_excerpt(notes, there, matched.piece_span_s, voice),
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


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Share of span `a` that lies in span `b`."""
    return max(0.0, min(a[1], b[1]) - max(a[0], b[0])) / max(a[1] - a[0], 1e-9)


def _all_parts(
    track: NoteSequence, notes: NoteSequence, passage: Passage, piece_rows: Any
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

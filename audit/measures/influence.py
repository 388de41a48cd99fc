"""Influence: how a track is shared out among the pieces that the copy search found in it, for royalty statements.

A share is of the track's pitched notes. It is worked out note by note, so shares and what is attributed to nobody sum
to 1:

- A passage with E holds ``-log2(E) / lambda`` bits more than what chance alone is expected to give once in the
  search (`audit.search.significance`). Divided by its bits that is the part of it, in [0, 1], that chance does not
  explain: what the piece claims of each note of the track that has a pair in the passage, of all parts.
- Of several passages of one piece, a note counts the strongest claim. Where several pieces claim a note, the largest
  claim is what is attributed at all, and it is divided in proportion to the claims.
- A passage claims only where E is at most `SURE`: of searches with unrelated music, so many name a piece wrongly. For a
  common figure E counts as many times as the policy says (``copy.common_factor``), as it does for the verdict.
- What is left of each note is unattributed. That the policy allows a piece, or a waiver was given, changes nothing:
  licensed music is owed for too.

The interval is the 2.5th to the 97.5th percentile of the shares when the track's bars are drawn anew, with replacement
and a fixed seed: how much hangs on single bars. It says nothing of what the search can't see.

Limits: it attributes what is *in the notes* of the track, by likeness; it does not say what the model learned from, nor
what anybody is owed. Pieces beyond those that the report lists, music outside the store, and what is shared but no
melodic line, stay unattributed. Copies of one work in the store divide its share. The store knows no rights holders, so
the artist of a piece stands for them. Of a track that is notes no recording was compared, so that right is all
unattributed; of one that is sound (`share_sound_influence`) the composition is, as its notes are not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audit.findings import Finding, SoundMatch
from audit.policy_tables import CopyRules
from music.notes import FloatArray, NoteSequence

SCHEMA = "contraste-influence/1"
SURE = 0.01
RESAMPLES = 2000
SEED = 20260802
INTERVAL = (2.5, 97.5)  # percentiles
NO_RECORDINGS = "only notes were compared; no recording was"
NO_NOTES = "the track is sound, and its notes are not known"
NO_MATCH = "no sound of the corpus was found in the track"
CELL_SECONDS, STRETCH_SECONDS = 0.25, 4.0
NO_CLAIM = "no passage of the search is stronger than chance explains"


@dataclass(frozen=True, slots=True)
class Share:
    """A share in [0, 1] with its interval."""

    share: float
    low: float
    high: float


WHOLE = Share(1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class PieceShare:
    """What one piece of the corpus has of a track.

    Attributes
    ----------
    piece, title, holder : str
        `holder` is the artist of the piece, "" where the store names none.
    rights : dict
        As in the finding: licence, source, consent, isrc, iswc.
    share : Share
    findings : tuple of str
        Ids of the passages that it rests on.
    """

    piece: str
    title: str
    holder: str
    rights: dict[str, str]
    share: Share
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HolderShare:
    """What the pieces of one rights holder have together; `holder` is "" for pieces of unknown ones."""

    holder: str
    share: Share
    pieces: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """How one right in a track is shared out; the shares of pieces, or of holders, and `unattributed` sum to 1.

    Attributes
    ----------
    right : "composition" or "recording"
    pieces, holders : tuple
        Largest share first.
    unattributed : Share
    reason : str
        Why nothing is attributed; "" where something is.
    """

    right: Literal["composition", "recording"]
    pieces: tuple[PieceShare, ...]
    holders: tuple[HolderShare, ...]
    unattributed: Share
    reason: str


def share_influence(
    track: NoteSequence, findings: Sequence[Finding], slope: float, rules: CopyRules, unsearched: str = ""
) -> tuple[Ledger, Ledger]:
    """Share a track out, as a composition and as a recording.

    Parameters
    ----------
    track : NoteSequence
    findings : sequence of Finding
        Of this track, in any order, not rounded.
    slope : float
        lambda of the search's chance model, > 0.
    rules : CopyRules
        Which passages are common figures, and how many times E counts for them.
    unsearched : str
        Why the copy search could not be made, or "".
    """
    recording = Ledger("recording", (), (), WHOLE, NO_RECORDINGS)
    counted = [(f, _claim(f, slope, rules)) for f in findings]
    claims = _claims(track, counted)
    if not claims:
        return Ledger("composition", (), (), WHOLE, unsearched or NO_CLAIM), recording
    ids = {f.id for f, claim in counted if claim > 0}
    return _share_right("composition", claims, findings, ids, _bars(track)), recording


def share_sound_influence(duration_s: float, matches: Sequence[SoundMatch], unheard: str = "") -> tuple[Ledger, Ledger]:
    """Share a track that is sound out, as a composition (all unattributed) and as a recording.

    A recording of the corpus claims every second of the track that its match spans, where E is at most `SURE`; seconds
    that several claim are divided evenly. The interval is that of drawing stretches of `STRETCH_SECONDS` anew. Rendered
    pieces are no recordings, and claim nothing.

    Parameters
    ----------
    duration_s : float
        Of the track, > 0.
    unheard : str
        Why the sound could not be searched, or "".
    """
    composition = Ledger("composition", (), (), WHOLE, NO_NOTES)
    cells = np.arange(max(1, math.floor(duration_s / CELL_SECONDS))) * CELL_SECONDS
    claims: dict[str, FloatArray] = {}
    counted = [m for m in matches if m.kind == "recording" and m.evalue <= SURE]
    for match in counted:
        own = claims.setdefault(match.piece, np.zeros(len(cells)))
        own[(cells >= match.query_span_s[0]) & (cells < match.query_span_s[1])] = 1.0
    if not claims:
        return composition, Ledger("recording", (), (), WHOLE, unheard or NO_MATCH)
    stretches = (cells // STRETCH_SECONDS).astype(np.int64)
    return composition, _share_right("recording", claims, counted, {m.id for m in counted}, stretches)


def _share_right(
    right: Literal["composition", "recording"],
    claims: dict[str, FloatArray],
    findings: Sequence[Finding | SoundMatch],
    counted: set[str],
    bars: NDArray[np.int64],
) -> Ledger:
    """Divide a right by what pieces claim of each note or moment; `bars` says which of them are drawn together."""
    names = sorted(claims)
    parts = _divide_claims(np.stack([claims[name] for name in names]))
    drawn = _draw_bars(bars)
    about = {name: min((f for f in findings if f.piece == name), key=lambda f: f.id) for name in names}
    ids = {name: sorted(f.id for f in findings if f.piece == name and f.id in counted) for name in names}
    pieces = [
        PieceShare(
            name, about[name].title, about[name].artist, about[name].rights, _share(row, drawn), tuple(ids[name])
        )
        for name, row in zip(names, parts, strict=True)
    ]
    owners = {name: about[name].artist for name in names}
    holders = [
        HolderShare(owner, _share(parts[rows].sum(axis=0), drawn), len(rows))
        for owner in sorted(set(owners.values()))
        for rows in [[k for k, name in enumerate(names) if owners[name] == owner]]
    ]
    return Ledger(
        right,
        tuple(sorted(pieces, key=lambda p: (-p.share.share, p.piece))),
        tuple(sorted(holders, key=lambda h: (-h.share.share, h.holder))),
        _share(1 - parts.sum(axis=0), drawn),
        "",
    )


def _claim(finding: Finding, slope: float, rules: CopyRules) -> float:
    """Return the part of a passage's bits that chance does not explain, in [0, 1]; 0 where it is not `SURE`."""
    evalue = rules.count_evalue(finding.evalue, rules.is_common(finding.commonplace, finding.other_works))
    if not 0 < evalue <= SURE or not finding.bits > 0:
        return 0.0
    return float(min(-math.log2(evalue) / slope / finding.bits, 1.0))


def _pitched_rows(track: NoteSequence) -> NDArray[np.int64]:
    return np.flatnonzero(~track.is_drum)


def _claims(track: NoteSequence, counted: Sequence[tuple[Finding, float]]) -> dict[str, FloatArray]:
    """Return what each piece claims of each pitched note; pieces that claim nothing are left out."""
    rows = _pitched_rows(track)
    places: dict[tuple[float, int, int], list[int]] = {}
    for k, row in enumerate(rows):
        place = (float(track.onset_s[row]), int(track.pitch[row]), int(track.part[row]))
        places.setdefault(place, []).append(k)
    claims: dict[str, FloatArray] = {}
    for finding, claim in counted:
        held = [note for note in finding.query_notes if note.pair is not None]
        if claim > 0 and held:
            own = claims.setdefault(finding.piece, np.zeros(len(rows)))
            at = [k for note in held for k in places.get((note.onset_s, note.pitch, note.part), ())]
            own[at] = np.maximum(own[at], claim)
    return {piece: own for piece, own in claims.items() if own.any()}


def _divide_claims(claims: FloatArray) -> FloatArray:
    """Divide each note's largest claim in proportion: (pieces, notes) of claims to the same of parts."""
    total = claims.sum(axis=0)
    return np.asarray(claims * (claims.max(axis=0) / np.where(total > 0, total, 1.0)))


def _bars(track: NoteSequence) -> NDArray[np.int64]:
    """Return the number of the bar of each pitched note, from 0 among those that hold any."""
    bars = track.bars_at(track.onset_beat[_pitched_rows(track)] + 1e-6)
    return np.unique(np.floor(bars), return_inverse=True)[1].astype(np.int64)


def _draw_bars(bars: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bar of each note, and how often each bar was drawn in each resample."""
    count = int(bars.max()) + 1
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return bars, drawn.astype(np.int64)


def _share(parts: FloatArray, drawn: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Share:
    """Average the parts of the notes, with the interval over resampled bars."""
    bars, times = drawn
    sums = times @ np.bincount(bars, weights=parts, minlength=times.shape[1])
    notes = times @ np.bincount(bars, minlength=times.shape[1])
    low, high = np.percentile(sums / notes, INTERVAL)
    share = float(parts.mean())
    return Share(share, min(float(low), share), max(float(high), share))

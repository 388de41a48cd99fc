"""index.html for a folder of audited tracks: totals, the originality of the release, and one line a track."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from audit.findings import Finding, SoundMatch
from audit.originality.report import OriginalityReport
from audit.report import AuditReport, Outcome
from reports.language.translation import ENGLISH, Language
from reports.pages.originality import draw_curves, originality_sentence
from reports.pages.page import LINK_WORDS, OUTCOME_WORDS, page
from reports.pages.report import anchor_word, provenance_summary

GRAVEST: tuple[Outcome, ...] = ("fail", "incomplete", "review", "pass")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One track of the index.

    Attributes
    ----------
    track : str
        Name of the track.
    outcome : Outcome
    folder : str
        Folder of its report below the index; the line links to ``<folder>/report.html``.
    match, where : str
        The closest match, and its bars in track and piece; "" where there is none.
    evalue : float
        Of the closest match; NaN where there is none.
    flagged, waived : int
        Findings that are not clear, and how many of them were waived.
    originality : float
        Mean originality of the track's windows; NaN where it was not measured.
    provenance, anchor : str
        The gravest link verdict of the statements and of the anchors, as `Link.verdict`; "" where
        none was checked.
    """

    track: str
    outcome: Outcome
    folder: str
    match: str = ""
    where: str = ""
    evalue: float = math.nan
    flagged: int = 0
    waived: int = 0
    originality: float = math.nan
    provenance: str = ""
    anchor: str = ""


def index_row(report: AuditReport, folder: str, say: Language = ENGLISH) -> IndexRow:
    """Return the line for `report`, which lies in `folder` below the index."""
    links, anchor = provenance_summary(report)
    name = str(report.track.get("name", folder))
    row = IndexRow(name, report.outcome, folder, provenance=links, anchor=anchor)
    matches: tuple[Finding | SoundMatch, ...] = report.findings or report.sound_matches
    if not matches:
        return row
    best = matches[0]
    if isinstance(best, Finding):
        match = say("{k} of {notes}", k=best.matched, notes=say.words.count_noun(best.notes, "note")).unescape()
        where = f"{say.words.bars(best.query_shown)} \u2194 {say.words.bars(best.piece_shown)}"
    else:
        match = say("{k} of {n} bits differ", k=best.distance, n=best.bits).unescape()
        where = f"{say.words.span(best.query_span_s)} \u2194 {say.words.span(best.piece_span_s)}"
    return replace(
        row,
        match=f"{best.title or best.piece}, {match}",
        where=where,
        evalue=best.evalue,
        flagged=sum(f.verdict != "clear" for f in matches),
        waived=sum(f.verdict != "clear" and f.waived for f in matches),
    )


def index_html(
    rows: Sequence[IndexRow],
    release: OriginalityReport | None = None,
    unread: Sequence[tuple[str, str]] = (),
    say: Language = ENGLISH,
) -> str:
    """Return the page: totals, and a table that its headings sort; gravest outcome and match first.

    Parameters
    ----------
    rows : sequence of IndexRow
    release : OriginalityReport, optional
        Of all tracks, named by their folders.
    unread : sequence of (str, str)
        Names of the tracks that could not be read, each with the reason.
    say : Language
        That the page is in; the rows too were made in it.
    """
    known = {track.name: track.mean for track in release.tracks} if release else {}
    rows = [replace(row, originality=known.get(row.folder, math.nan)) for row in rows]
    ordered = sorted(rows, key=lambda r: (GRAVEST.index(r.outcome), _strength(r), r.track, r.folder))
    counts = [(o, sum(r.outcome == o for r in rows)) for o in GRAVEST]
    return page(
        "index.html.j2",
        "index.js",
        _=say,
        words=say.words,
        lang=say.code,
        total=len(rows),
        unread=unread,
        curves=draw_curves(release.group, release.baseline, say) if release and release.group else "",
        baseline=release.baseline if release else None,
        originality=originality_sentence(release, say) if release else "",
        no_baseline=next((s.reason for s in release.skipped if s.check == "baseline"), "") if release else "",
        setting=release.setting if release else "",
        flagged=sum(row.flagged for row in rows),
        waived=sum(row.waived for row in rows),
        counts=[(o, say(OUTCOME_WORDS[o]), n) for o, n in counts if n],
        rows=[
            {
                "it": row,
                "rank": GRAVEST.index(row.outcome),
                "link": f"{quote(row.folder, errors='replace')}/report.html",
                "strength": repr(min(_strength(row), sys.float_info.max)),
                "evalue": "" if math.isnan(row.evalue) else say.words.figure(row.evalue),
                "originality": repr(-1.0 if math.isnan(row.originality) else row.originality),
                "provenance": row.provenance or "unchecked",
                "provenance_word": say(LINK_WORDS[row.provenance or "unchecked"]),
                "anchor": row.anchor or "unchecked",
                "anchor_word": say(anchor_word(row.anchor)),
            }
            for row in ordered
        ],
    )


def _strength(row: IndexRow) -> float:
    return math.inf if math.isnan(row.evalue) else float(row.evalue)

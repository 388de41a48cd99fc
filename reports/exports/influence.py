"""influence.json and influence.csv: the shares of `audit.measures.influence` as statements of royalties take them.

influence.json is canonical JSON (RFC 8785) by ``influence.schema.json``. Shares are cut to 6 decimals, and what is
cut off goes to the unattributed one, so that they still sum to 1; the share of a holder is the sum of the pieces'. The
CSV (RFC 4180, UTF-8) has a row for each piece and one for what is unattributed, for each right. A text that a
spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from audit.measures.influence import RESAMPLES, SCHEMA, SEED, Ledger, Share
from audit.report import AuditReport
from reports.checks import short
from reports.json_report import canonical

MILLION = 1_000_000
METHOD = (
    "Each pitched note of the track is divided among the pieces whose passages cover it, by the part of a passage's "
    "information that chance does not explain; the rest is unattributed. Intervals: 95 %, bars drawn anew."
)
COLUMNS = (
    *("track", "track_sha256", "right", "kind", "piece", "title", "holder", "isrc", "iswc", "licence", "consent"),
    *("share", "low", "high", "findings", "reason"),
)
RIGHTS = ("isrc", "iswc", "licence", "consent")


def influence_json(report: AuditReport, ledgers: Sequence[Ledger]) -> bytes:
    """Return influence.json.

    Parameters
    ----------
    report : AuditReport
        Whose track, store and tool it names.
    ledgers : sequence of Ledger
        From `audit.measures.influence.share_influence`.
    """
    return canonical(
        {
            "schema": SCHEMA,
            "track": {name: report.track.get(name, "") for name in ("name", "sha256", "notes_sha256")},
            "store": {name: report.store.get(name, "") for name in ("name", "digest")},
            "tool": report.tool,
            "method": {"about": METHOD, "seed": SEED, "resamples": RESAMPLES},
            "ledgers": [_ledger(ledger) for ledger in ledgers],
        }
    )


def _cut_share(share: float) -> int:
    """Return a share in millionths, cut, not rounded; what cutting loses to floating point is given back."""
    return math.floor(share * MILLION + 1e-3)


def _interval(share: Share, millionths: int) -> dict[str, float]:
    return {
        "share": millionths / MILLION,
        "low": min(math.floor(share.low * MILLION), millionths) / MILLION,
        "high": min(max(math.ceil(share.high * MILLION), millionths), MILLION) / MILLION,
    }


def _ledger(ledger: Ledger) -> dict[str, Any]:
    cut = {piece.piece: _cut_share(piece.share.share) for piece in ledger.pieces}
    by_holder: dict[str, int] = {}
    for piece in ledger.pieces:
        by_holder[piece.holder] = by_holder.get(piece.holder, 0) + cut[piece.piece]
    return {
        "right": ledger.right,
        "pieces": [
            {
                "piece": piece.piece,
                "title": piece.title,
                "holder": piece.holder,
                "rights": piece.rights,
                **_interval(piece.share, cut[piece.piece]),
                "findings": list(piece.findings),
            }
            for piece in ledger.pieces
        ],
        "holders": [
            {"holder": h.holder, "pieces": h.pieces, **_interval(h.share, by_holder[h.holder])} for h in ledger.holders
        ],
        "unattributed": _interval(ledger.unattributed, MILLION - sum(cut.values())),
        "reason": ledger.reason,
    }


def influence_csv(report: AuditReport, ledgers: Sequence[Ledger]) -> bytes:
    """Return influence.csv; parameters are those of `influence_json`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    track = {"track": report.track.get("name", ""), "track_sha256": report.track.get("sha256", "")}
    for ledger in map(_ledger, ledgers):
        rows = [
            {
                "kind": "piece",
                **{name: piece[name] for name in ("piece", "title", "share", "low", "high")},
                "holder": piece["holder"] or "unknown",
                **{name: piece["rights"].get(name, "") for name in RIGHTS},
                "findings": " ".join(piece["findings"]),
            }
            for piece in ledger["pieces"]
        ]
        rows.append({"kind": "unattributed", **ledger["unattributed"], "reason": ledger["reason"]})
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in {**track, "right": ledger["right"], **row}.items()})
    return text.getvalue().encode("utf-8")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    text = short(str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text

"""Reports whose page draws every part: passages with an accompaniment, and a text that would be markup."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from audit.findings import Finding, Link, MetricResult, PassageNote
from audit.policy import read_policy
from audit.report import AuditReport, Skipped

HOSTILE = "</script><img src=x onerror=\"alert('1')\">{{ 7*7 }}\u202e\x00"


def finding(index: int = 1, **changes: Any) -> Finding:
    """Make a passage of 40 notes, a fifth of them unmatched, with an accompaniment."""
    rng = np.random.default_rng(index)
    pitches = 60 + np.cumsum(rng.integers(-3, 4, 40))
    query, piece = [], []
    for k, pitch in enumerate(pitches):
        pair = k if k % 5 else None
        query.append(PassageNote(10 + 0.25 * k, 0.24, int(pitch), 0, pair, pair is not None))
        piece.append(PassageNote(40 + 0.5 * k, 0.48, int(pitch) - 5, 1, pair, pair is not None))
        query.append(PassageNote(10 + 0.25 * k, 0.5, 40, 2, None))
    return dataclasses.replace(
        Finding(
            piece=f"folk/{index}.mid",
            title=f"Tune {index}",
            artist="Trad.",
            split="train",
            id="0123456789abcdef",
            rights={"licence": "CC0-1.0", "source": "own", "consent": "granted", "isrc": "", "iswc": "T-1"},
            verdict="fail" if index == 1 else "clear",
            query_span_s=(10.0, 20.0),
            piece_span_s=(40.0, 60.0),
            query_bars=(6, 10),
            piece_bars=(21, 31),
            transposition=5,
            tempo_ratio=0.5,
            matched=32,
            notes=40,
            in_time=32,
            bits=90.0 / index,
            evalue=2.5e-5,
            percentile=0.97,
            other_works=1,
            query_part="Lead",
            piece_part="Fiddle",
            query_notes=tuple(query),
            piece_notes=tuple(piece),
        ),
        **changes,
    )


def report(count: int = 3, **changes: Any) -> AuditReport:
    return dataclasses.replace(
        AuditReport(
            outcome="fail",
            sentence="This track holds a copied passage.",
            reasons=("bars 6-10 match",),
            track={"name": "new.mid", "digest": "12" * 32, "duration_s": 61.5},
            store={"name": "folk", "digest": "ab" * 32, "pieces": 120, "human_pieces": 100},
            policy={"name": "default", "digest": "cd" * 32, "values": {"copy": read_policy().values["copy"]}},
            tool={"name": "contraste", "version": "9.8.7"},
            findings=tuple(finding(i + 1) for i in range(count)),
            metrics=(MetricResult("bleu", "Shared runs.", 0.4, 0.03, 0.09, "higher", "folk/1.mid"),),
            provenance=(
                Link("track", "new.mid", "ok", "as signed"),
                Link("anchor", "new.anchor.json", "simulated", "block 3"),
            ),
            skipped=(Skipped("metrics: phash", "no sound was rendered", True),),
            limits=("Only the named store.",),
        ),
        **changes,
    )

"""A data set in figures: what is in a store, whose it is, how it is divided, and what the music is like.

After Gebru et al., "Datasheets for Datasets" (2021), as far as a store knows the answers; pieces of missing segments
are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from corpus.store import Store

MOST = 12  # values of one kind that are named; the others are counted together
TEMPI = ((0, 60), (60, 80), (80, 100), (100, 120), (120, 140), (140, 170), (170, 10_000))


def data_card(store: Store) -> dict[str, Any]:
    """Count what the records of a store say.

    Returns
    -------
    dict
        ``pieces``, ``works``, ``duplicates`` (pieces that are versions of an older one), ``hours``, ``notes``; and of
        ``split``, ``licence``, ``consent``, ``source``, ``key``, ``meter``, ``tempo_bpm`` a list of [value, pieces],
        most first, "" for unknown, "other" for all beyond the first `MOST`; tempi by rising range.
    """
    pieces = [store.pieces[int(row)] for row in np.flatnonzero(store.present)]
    groups = {piece.group for piece in pieces}
    tempi = [
        [f"{low}\u2013{high}" if low and high < 10_000 else f"< {high}" if not low else f"\u2265 {low}", count]
        for low, high in TEMPI
        if (count := sum(low <= piece.tempo_bpm < high for piece in pieces))
    ]
    return {
        "pieces": len(pieces),
        "works": len(groups),
        "duplicates": len(pieces) - len(groups),
        "hours": sum(piece.duration_s for piece in pieces) / 3600,
        "notes": sum(piece.notes for piece in pieces),
        "split": _counts(piece.split for piece in pieces),
        "licence": _counts(piece.rights.licence for piece in pieces),
        "consent": _counts(piece.rights.consent for piece in pieces),
        "source": _counts(piece.rights.source for piece in pieces),
        "key": _counts(piece.key for piece in pieces),
        "meter": _counts(piece.meter for piece in pieces),
        "tempo_bpm": tempi,
    }


def _counts(values: Iterable[str]) -> list[list[object]]:
    ranked = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[MOST:])
    named = ranked[:MOST] + ([("other", rest)] if rest else [])
    return [[value, count] for value, count in named]

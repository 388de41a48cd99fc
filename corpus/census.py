"""A store in figures: what is in it, whose it is, how it is divided, and what the music is like.

After Gebru et al., "Datasheets for Datasets" (2021), as far as a store knows the answers. Pieces of missing segments
are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from corpus.recordings import open_recordings
from corpus.store import Store

MOST = 12  # values of one kind that a card names; the others are counted together
TEMPI = ((0, 60), (60, 80), (80, 100), (100, 120), (120, 140), (140, 170), (170, 10_000))


@dataclass(frozen=True, slots=True)
class Census:
    """What a store holds, counted.

    Attributes
    ----------
    pieces, works, duplicates, notes, recordings : int
        `duplicates` are pieces that are versions of an older one.
    hours : float
    cleared : int
        Pieces with a licence and a consent on file.
    licences, consents, sources, artists, splits, keys, meters : mapping of str to int
        Pieces by what the store says, "" where it says nothing; most frequent first.
    tempos : tuple of float
        The 5th, 50th and 95th percentile, beats per minute.
    tempo_ranges : mapping of str to int
        Pieces by range of tempo, slow ones first; without ranges that hold none.
    """

    pieces: int
    works: int
    duplicates: int
    notes: int
    recordings: int
    hours: float
    cleared: int
    licences: Mapping[str, int]
    consents: Mapping[str, int]
    sources: Mapping[str, int]
    artists: Mapping[str, int]
    splits: Mapping[str, int]
    keys: Mapping[str, int]
    meters: Mapping[str, int]
    tempos: tuple[float, float, float]
    tempo_ranges: Mapping[str, int]

    def card(self) -> dict[str, Any]:
        """Return what reports print: lists of [value, pieces], "other" for all values beyond the first `MOST`."""
        kinds = {
            **{"split": self.splits, "licence": self.licences, "consent": self.consents, "source": self.sources},
            **{"key": self.keys, "meter": self.meters},
        }
        return {
            **{name: getattr(self, name) for name in ("pieces", "works", "duplicates", "hours", "notes")},
            **{kind: _most(counts) for kind, counts in kinds.items()},
            "tempo_bpm": [[name, count] for name, count in self.tempo_ranges.items()],
        }


def take_census(store: Store) -> Census:
    """Count what the records of a store say."""
    pieces = list(store.held())
    groups = {piece.group for piece in pieces}
    tempos = np.percentile([p.tempo_bpm for p in pieces], [5, 50, 95]) if pieces else np.zeros(3)
    ranges = {
        f"{low}\u2013{high}" if low and high < 10_000 else f"< {high}" if not low else f"\u2265 {low}": count
        for low, high in TEMPI
        if (count := sum(low <= piece.tempo_bpm < high for piece in pieces))
    }
    return Census(
        pieces=len(pieces),
        works=len(groups),
        duplicates=len(pieces) - len(groups),
        notes=sum(p.notes for p in pieces),
        recordings=len(open_recordings(store)),
        hours=sum(p.duration_s for p in pieces) / 3600,
        cleared=sum(p.rights.cleared for p in pieces),
        licences=_counts(p.rights.licence for p in pieces),
        consents=_counts(p.rights.consent for p in pieces),
        sources=_counts(p.rights.source for p in pieces),
        artists=_counts(p.artist for p in pieces),
        splits=_counts(p.split for p in pieces),
        keys=_counts(p.key for p in pieces),
        meters=_counts(p.meter for p in pieces),
        tempos=(float(tempos[0]), float(tempos[1]), float(tempos[2])),
        tempo_ranges=ranges,
    )


def sources(store: Store, *, recordings: bool = False) -> Iterator[dict[str, str]]:
    """Yield what a policy asks of each piece, and of recordings too: ``piece`` (its path), ``artist``, its rights."""
    for record in (*store.held(), *(open_recordings(store) if recordings else ())):
        yield {**asdict(record.rights), "piece": record.path, "artist": record.artist}


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def _most(counts: Mapping[str, int]) -> list[list[object]]:
    ranked = list(counts.items())
    rest = sum(count for _, count in ranked[MOST:])
    return [[value, count] for value, count in [*ranked[:MOST], *([("other", rest)] if rest else [])]]

"""What a search needs of a store, opened once for many queries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from audit.findings import Unsearched
from audit.search.index import Index
from audit.search.relatedness import Tunes
from audit.search.significance import Calibration
from corpus.store import Store


@dataclass(frozen=True, eq=False)
class SearchCorpus:
    """A store with its index and calibration.

    Attributes
    ----------
    tunes : Tunes, optional
        Of a small index, where every piece is compared.
    """

    store: Store
    index: Index
    calibration: Calibration
    tunes: Tunes | None = None

    @cached_property
    def left_out(self) -> Unsearched:
        """What a search does not look at: pieces that the index does not hold, and missing segments."""
        covered = {name for segment in self.index.segments for name in segment.covers}
        missing = dict(self.store.missing)
        pieces = sum(e.pieces for e in self.store.segments if e.music not in covered or e.name in missing)
        return Unsearched(pieces, (*self.store.missing, *self.index.missing))

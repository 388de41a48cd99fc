"""What an audit needs of a store: what a search needs, and the levels that a track is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from audit.findings import StyleRange
from audit.originality.baseline import Baseline
from audit.originality.windows import Setting
from audit.search.corpus import SearchCorpus
from corpus.census import Census, take_census
from metrics.chance import Chance

WINDOW = Setting(24, "notes")  # of a track's course


@dataclass(frozen=True, eq=False, kw_only=True)
class AuditCorpus(SearchCorpus):
    """A store opened to judge tracks by.

    Attributes
    ----------
    chance : mapping of str to Chance
        What unrelated pieces score, by metric; {} for a store without two of them.
    style : mapping of str to StyleRange
        What human pieces score, by metric; {} for a store of too few works.
    human : Baseline, optional
        What windows of human pieces share with other works; None for a store of too few works.
    """

    chance: Mapping[str, Chance]
    style: Mapping[str, StyleRange]
    human: Baseline | None

    @cached_property
    def census(self) -> Census:
        """The store in figures, counted once per run: a signed store may hold no file that came later."""
        return take_census(self.store)

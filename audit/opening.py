"""Opening a store to search it, or to judge tracks by it: what is missing is made, and kept where that is allowed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from audit.corpus import WINDOW, AuditCorpus
from audit.measures.metrics import measure_levels, open_levels
from audit.originality.baseline import known_baseline, measure_baseline
from audit.search.corpus import SearchCorpus
from audit.search.index import IndexDamagedError, newest_indexed, open_index
from audit.search.index_build import build_index
from audit.search.relatedness import measure_usual, open_usual, tunes_of
from audit.search.significance import calibrate, open_calibration
from corpus.segment import StoreBusyError, StoreDamagedError
from corpus.store import Store, writing

T = TypeVar("T")
Watch = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Given the name of a step, opens its progress display: a function of (done, total)."""


def open_search_corpus(store: Store, watch: Watch, *, partial: bool = False) -> SearchCorpus:
    """Open what a search needs: index, calibration, and the tunes of a small index; see `open_audit_corpus`."""
    corpus = _open_search(store, watch, "local", 1, partial, repair=False)
    corpus.index.borrowed.clear()
    return corpus


def open_audit_corpus(
    store: Store, watch: Watch, engine: str = "local", workers: int = 1, *, partial: bool = False, repair: bool = False
) -> AuditCorpus:
    """Open a store's index, calibration and levels; make what is missing, and write it where that is allowed.

    While another process adds to the store, this is the store as it was when it was last indexed.

    Parameters
    ----------
    partial : bool
        Leave missing and damaged segments of the index out (`SearchCorpus.left_out`) instead of raising.
    repair : bool
        Make damaged parts again instead of raising.

    Raises
    ------
    corpus.store.StoreError
        When a part is damaged or can't be written, or the store is empty.
    """
    search = _open_search(store, watch, engine, workers, partial, repair)
    store, index = search.store, search.index
    known = _read_or_remake(lambda: known_baseline(index, WINDOW), repair)
    if known is None:
        with watch("originality") as show:
            known = (measure_baseline(store, index, WINDOW, show),)
    levels = _read_or_remake(lambda: open_levels(index), repair)
    if levels is None:
        with watch("chance and style levels") as show:
            levels = measure_levels(search, show)
    index.borrowed.clear()
    chance, style = levels
    return AuditCorpus(store, index, search.calibration, search.tunes, chance=chance, style=style, human=known[0])


def _read_or_remake(read: Callable[[], T], repair: bool) -> T | None:
    """Read what is kept beside an index; None where it is damaged and is to be made again."""
    try:
        return read()
    except IndexDamagedError:
        if not repair:
            raise
        return None


def _open_search(store: Store, watch: Watch, engine: str, workers: int, partial: bool, repair: bool) -> SearchCorpus:
    index = _read_or_remake(lambda: open_index(store, partial=partial), repair)
    if index is None:
        if store.missing:
            raise StoreDamagedError(
                store.path / "segments" / store.missing[0][0],
                f"{store.missing[0][1]}, and there is no index of the store, which can't be made without it",
            )
        try:
            with writing(store.path), watch("index") as show:
                store = Store.open(store.path)  # another process may have added to it, or made the index
                index = _read_or_remake(lambda: open_index(store), repair) or build_index(store, show, engine, workers)
        except StoreBusyError:
            earlier = newest_indexed(store)
            if earlier is None:
                raise
            return _open_search(earlier, watch, "local", 1, partial, repair=False)
    calibration = _read_or_remake(lambda: open_calibration(index), repair)
    if calibration is None:
        with watch("calibrate") as show:
            calibration = calibrate(store, index, show)
    tunes = tunes_of(index)
    if tunes is not None:
        bare = tunes
        tunes = _read_or_remake(lambda: open_usual(index, bare), repair)
        if tunes is None:
            with watch("relatedness") as show:
                tunes = measure_usual(index, bare, show)
    return SearchCorpus(store, index, calibration, tunes)

"""The human baseline of originality: what windows of human pieces share with other works; measured once a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audit.originality.windows import Measured, Setting, measure_windows
from audit.search.index import Index
from audit.search.significance import SEED, find_borrowed, human_sample
from corpus.store import Store

MIN_PIECES = 10  # of a baseline, and tracks whose mean is given an interval in words
EDGE = 5  # per cent of the human windows, and pieces, that lie below what is called low
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % confidence interval, by resampling of tracks or pieces."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Group:
    """What a set of tracks, or of human pieces, has in the mean.

    Attributes
    ----------
    members, windows : int
    originality, found_share : Estimate
        Of the members' mean originality, and of the share of their notes that were found.
    curve : tuple of Estimate
        Of the originality at each of `GRID`.
    """

    members: int
    windows: int
    originality: Estimate
    found_share: Estimate
    curve: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What pieces of the corpus share with other works.

    Attributes
    ----------
    group : Group
    piece_means : tuple of float
        Sorted: mean originality of each piece.
    window_edge : float
        The 5 % of the pieces' windows that are least original lie below.
    """

    group: Group
    piece_means: tuple[float, ...]
    window_edge: float

    @property
    def piece_edge(self) -> float:
        """The 5 % of the pieces that are least original lie below."""
        return float(np.percentile(self.piece_means, EDGE))

    def less_original(self, mean: float) -> float:
        """Share of the pieces that are less original than `mean`, in [0, 1]."""
        return float(np.searchsorted(self.piece_means, mean)) / len(self.piece_means)


def group_of(members: Sequence[Measured]) -> Group | None:
    """Average tracks, or pieces, that count the same each; None for none."""
    if not members:
        return None
    values = np.array([[m.mean, m.found_share, *m.curve] for m in members])
    drawn = np.random.default_rng(SEED).multinomial(
        len(members), np.full(len(members), 1 / len(members)), size=RESAMPLES
    )
    low, high = np.percentile(drawn @ values / len(members), [2.5, 97.5], axis=0)
    estimates = [Estimate(*map(float, row)) for row in zip(values.mean(axis=0), low, high, strict=True)]
    windows = sum(len(m.windows) for m in members)
    return Group(len(members), windows, estimates[0], estimates[1], tuple(estimates[2:]))


def human_baseline(
    store: Store, index: Index, setting: Setting, progress: Callable[[int, int], None] = lambda done, total: None
) -> Baseline | None:
    """Measure a sample of the store's pieces against other works, or read what was measured before.

    The result lies beside the index, one file for each setting, unless a part of the index is missing.

    Returns
    -------
    Baseline or None
        None where fewer than `MIN_PIECES` pieces have a window, or the store holds fewer works.

    Raises
    ------
    corpus.store.StoreError
        When a part of the store is damaged, or what was measured before, or the result can't be written.
    """
    known = known_baseline(index, setting)
    return known[0] if known else measure_baseline(store, index, setting, progress)


def known_baseline(index: Index, setting: Setting) -> tuple[Baseline | None] | None:
    """Read what was measured before, in a tuple; None where nothing was.

    Raises
    ------
    corpus.store.StoreError
        When it is damaged.
    """
    name = _file_name(setting)
    known = index.read(name) if index.whole else None
    return None if known is None else (_read_baseline(index, name, known),)


def measure_baseline(
    store: Store, index: Index, setting: Setting, progress: Callable[[int, int], None] = lambda done, total: None
) -> Baseline | None:
    """Measure as `human_baseline`, whatever was measured before, and write it."""
    baseline = _measure_baseline(store, index, setting, progress)
    index.write(_file_name(setting), asdict(baseline) if baseline else {})
    return baseline


def _file_name(setting: Setting) -> str:
    return f"originality-{setting.size}-{setting.unit}.json"


def _measure_baseline(
    store: Store, index: Index, setting: Setting, progress: Callable[[int, int], None]
) -> Baseline | None:
    sample = human_sample(store)
    if store.works < MIN_PIECES:
        return None
    members = []
    for done, row in enumerate(sample):
        own, passages, *_ = find_borrowed(store, index, row)
        measured = measure_windows(store, store.pieces[row].path, own, passages, setting)
        if isinstance(measured, Measured):
            members.append(measured)
        progress(done + 1, len(sample))
    group = group_of(members)
    if group is None or len(members) < MIN_PIECES:
        return None
    edge = float(np.percentile([w.originality for m in members for w in m.windows], EDGE))
    return Baseline(group, tuple(sorted(m.mean for m in members)), edge)


def _read_baseline(index: Index, name: str, data: Any) -> Baseline | None:
    if data == {}:
        return None
    try:
        group = data["group"]
        return Baseline(
            Group(
                int(group["members"]),
                int(group["windows"]),
                Estimate(**group["originality"]),
                Estimate(**group["found_share"]),
                tuple(Estimate(**point) for point in group["curve"]),
            ),
            tuple(float(mean) for mean in data["piece_means"]),
            float(data["window_edge"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise index.damage_error(name, error) from error

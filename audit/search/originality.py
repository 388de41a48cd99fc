"""The originality of a folder of tracks: how much of each window the corpus holds, beside what human pieces share.

Every line of a track is cut into windows that overlap by half. The originality of a window is

    1 - (notes of the window that one passage of the corpus has too) / (notes of the window)

for the passage that has most of them: 1 shares nothing, 0 is a copy. The baseline is the same measure on pieces of the
corpus, each searched without its duplicate group and without versions of itself, so that a corpus whose tunes borrow
from one another is no harder on a track than on its own pieces.

The idea, with windows along the output, a maximum over the corpus and a human baseline with its 95 % confidence
interval, is the originality report of Yin, Reuben, Stepney and Collins, "Measuring When a Music Generation Algorithm
Copies Too Much", SN Computer Science 3:340 (2022), doi 10.1007/s42979-022-01220-y. Departures:

- Their cardinality score counts the notes that one translation in time and pitch maps into the corpus. Here the
  passages are those of the copy search, which also follow a change of tempo and ornaments (originality is lower).
- A passage needs five intervals in a row and some surprise to be looked at, so a window of one repeated note counts as
  original here, and as a copy there (originality is higher).
- Of a track, so many places are aligned as of any query of the copy search, the strongest first: in long tracks weak
  likenesses go unseen (originality is higher).
- Lines are measured, not the texture of all parts together.
- The time axis of the mean curves is the share of the track that has passed, since tracks differ in length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from audit.findings import Course, CourseWindow, Skipped
from audit.search.align import MIN_PAIRS
from audit.search.index import Index, left_out, voice_table
from audit.search.passages import Passage, search
from audit.search.significance import SEED, borrowed, human_sample
from corpus.store import Store
from music.notes import FloatArray, NoteSequence

SCHEMA = "contraste-originality/1"
MIN_NOTES = 2 * MIN_PAIRS  # of a window; in a shorter one, one passage of the least length is more than half
MIN_PIECES = 10  # of a baseline, and tracks whose mean is given an interval in words
EDGE = 5  # per cent of the human windows, and pieces, that lie below what is called low
GRID = np.linspace(0.0, 1.0, 21)  # share of a track that has passed, at which curves are drawn
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Setting:
    """How tracks are cut: windows of `size` "bars" or "notes", each begun half a window after the one before.

    The last window ends with the line. A line of fewer notes than a window of notes has none; one of fewer bars is one
    window, and windows of bars with fewer than `MIN_NOTES` notes are left out. The fewer notes a window has, the sooner
    a passage covers it, so windows of bars compare only music that is equally dense.
    """

    size: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Read ``8``, ``8 bars`` or ``24notes``; ValueError for anything else, and for windows that hold too little."""
        found = re.fullmatch(r"\s*(\d{1,6})\s*(bars?|notes?|)\s*", text)
        if not found or int(found[1]) < 1:
            raise ValueError(f"{text!r} is no length of a window; write for example '8 bars' or '24 notes'")
        made = cls(int(found[1]), "notes" if found[2].startswith("note") else "bars")
        if made.unit == "notes" and made.size < MIN_NOTES:
            raise ValueError(f"{text!r}: a window has at least {MIN_NOTES} notes")
        return made

    def __str__(self) -> str:
        """Return for example ``8 bars``."""
        return f"{self.size} {self.unit}"

    @property
    def hop(self) -> int:
        """Bars or notes from one window to the next."""
        return max(self.size // 2, 1)


@dataclass(frozen=True, slots=True)
class Window:
    """Some notes of one line of a track.

    Attributes
    ----------
    line : int
        Number of the line among the track's `audit.search.index.voice_table`.
    part : str
        Name of the part that it is read from.
    span_s : tuple of float
        Onset of the first note and end of the last one, seconds.
    bars : tuple of int
        Bars, from 1, of the first and the last note.
    notes, found : int
        Notes of the window, and those that the passage in `piece` has too.
    piece : str
        Path of the piece with most of the window; "" where no passage was found.
    """

    line: int
    part: str
    span_s: tuple[float, float]
    bars: tuple[int, int]
    notes: int
    found: int
    piece: str

    @property
    def originality(self) -> float:
        """1 - found / notes, in [0, 1]."""
        return 1.0 - self.found / self.notes


@dataclass(frozen=True)
class Measured:
    """The windows of one track; at least one.

    Attributes
    ----------
    duration_s : float
    windows : tuple of Window
        By line, then by time.
    notes, notes_found : int
        Notes of all lines that lie in a window, and those that the passage named by one of their windows has.
    """

    name: str
    duration_s: float
    windows: tuple[Window, ...]
    notes: int
    notes_found: int

    @cached_property
    def mean(self) -> float:
        """Mean originality of the windows, in [0, 1]."""
        return float(np.mean([w.originality for w in self.windows]))

    @cached_property
    def found_share(self) -> float:
        """Share of the notes that were found, in [0, 1]."""
        return self.notes_found / self.notes

    @cached_property
    def curve(self) -> FloatArray:
        """Originality at the shares `GRID` of the duration: between the middles of windows, mean over lines."""
        lines = []
        for line in sorted({w.line for w in self.windows}):
            own = [w for w in self.windows if w.line == line]
            middle = [sum(w.span_s) / 2 / self.duration_s for w in own]
            lines.append(np.interp(GRID, middle, [w.originality for w in own]))
        return np.asarray(np.mean(lines, axis=0))

    def low_windows(self, edge: float) -> int:
        """Count the windows below `edge`."""
        return sum(w.originality < edge for w in self.windows)


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


@dataclass(frozen=True, slots=True)
class OriginalityReport:
    """A folder of tracks against one store.

    Attributes
    ----------
    tracks : tuple of Measured
        Least original first.
    group : Group or None
        The tracks together; None where none could be measured.
    baseline : Baseline or None
        None for a store of too few works, with the reason among `skipped`.
    skipped : tuple of Skipped
        What could not be measured; `check` is the name of the track, or "baseline".
    unreadable : tuple of (str, str)
        Files that could not be read, each with the reason.
    store, tool : dict
        What it was measured with.
    """

    setting: Setting
    tracks: tuple[Measured, ...]
    group: Group | None
    baseline: Baseline | None
    skipped: tuple[Skipped, ...]
    unreadable: tuple[tuple[str, str], ...]
    store: dict[str, Any]
    tool: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON carries it; docs/cli.md describes the fields."""
        base = self.baseline
        return {
            "schema": SCHEMA,
            "window": {"size": self.setting.size, "unit": self.setting.unit, "hop": self.setting.hop},
            "grid": GRID.tolist(),
            "group": asdict(self.group) if self.group else None,
            "baseline": {**asdict(base.group), "piece_edge": base.piece_edge, "window_edge": base.window_edge}
            if base
            else None,
            "tracks": [
                {
                    "track": t.name,
                    "originality": t.mean,
                    "less_original_human_share": base.less_original(t.mean) if base else None,
                    "low": t.mean < base.piece_edge if base else None,
                    "notes": t.notes,
                    "notes_found": t.notes_found,
                    "low_windows": t.low_windows(base.window_edge) if base else None,
                    "windows": [{**asdict(w), "originality": w.originality} for w in t.windows],
                }
                for t in self.tracks
            ],
            "skipped": [{"check": s.check, "reason": s.reason} for s in self.skipped],
            "unreadable": [{"track": name, "reason": reason} for name, reason in self.unreadable],
            "store": self.store,
            "tool": self.tool,
        }


def measure_originality(
    store: Store, index: Index, name: str, track: NoteSequence, setting: Setting
) -> Measured | Skipped:
    """Measure one track against all pieces of the store that are there; `Skipped` where it has no window."""
    passages = search(index, track, len(store.pieces), store.present)
    return measure_windows(store, name, track, passages, setting)


def measure_windows(
    store: Store, name: str, track: NoteSequence, passages: Sequence[Passage], setting: Setting
) -> Measured | Skipped:
    """Cut a track into windows, and look up in `passages` how much of each was found."""
    ordered = sorted(passages, key=lambda p: -p.bits)
    rows = np.concatenate([np.zeros(0, np.int64), *(p.query_rows for p in ordered)])
    owner = np.repeat(np.arange(len(ordered)), [len(p.query_rows) for p in ordered])
    paths: dict[int, str] = {}
    windows: list[Window] = []
    notes = notes_found = 0
    for number, (_, onset, line) in enumerate(voice_table(track)):
        position = np.full(len(track), -1)
        position[line] = np.arange(len(line))
        at = position[rows]
        used, held = np.zeros(len(line), bool), np.zeros(len(line), bool)
        bar = _bars(track, onset)
        for first, end in _cuts(bar, setting):
            inside = (at >= first) & (at < end)
            counts = np.bincount(owner[inside], minlength=1)
            best = int(np.argmax(counts))  # the strongest passage, where several have as many
            used[first:end] = True
            held[at[inside & (owner == best)]] = True
            piece = ordered[best].piece if counts[best] else -1
            if piece >= 0 and piece not in paths:
                paths[piece] = store.pieces[piece].path
            last = int(line[end - 1])
            windows.append(
                Window(
                    line=number,
                    part=track.parts[track.part[line[0]]].name,
                    span_s=(float(track.onset_s[line[first]]), float(track.onset_s[last] + track.duration_s[last])),
                    bars=(int(bar[first]), int(bar[end - 1])),
                    notes=end - first,
                    found=int(counts[best]),
                    piece=paths.get(piece, ""),
                )
            )
        notes += int(used.sum())
        notes_found += int(held.sum())
    if not windows:
        return Skipped(name, f"no line has a window of {setting}{_condition(setting)}")
    return Measured(name, track.end_s, tuple(windows), notes, notes_found)


def course(measured: Measured, setting: Setting, baseline: Baseline | None) -> Course:
    """Say how much of one track the corpus holds over its course, beside what it holds of human pieces."""
    windows = tuple(CourseWindow(w.span_s, w.part, 1.0 - w.originality, w.piece) for w in measured.windows)
    if baseline is None:
        return Course(str(setting), windows)
    human = tuple(1.0 - point.mean for point in baseline.group.curve)
    return Course(str(setting), windows, human, 1.0 - baseline.window_edge)


def _condition(setting: Setting) -> str:
    return f" with {MIN_NOTES} notes" if setting.unit == "bars" else ""


def _bars(track: NoteSequence, onset: FloatArray) -> FloatArray:
    """Bar numbers, with fractions, of the onsets of a line; a note a hair before a bar line is in the next bar."""
    return track.bars_at(onset + 1e-6)


def _cuts(bar: FloatArray, setting: Setting) -> list[tuple[int, int]]:
    """First position and end of each window of a line, given the bars of its notes."""
    length = int(bar[-1]) if setting.unit == "bars" else len(bar)
    count = 1 + max(-(-(length - setting.size) // setting.hop), 0)
    starts = np.minimum(setting.hop * np.arange(count), max(length - setting.size, 0))  # the last one is whole too
    cuts, least = np.stack([starts, starts + setting.size]), setting.size
    if setting.unit == "bars":
        cuts, least = np.searchsorted(bar, cuts + 1), MIN_NOTES
    return [(int(a), int(b)) for a, b in cuts.T if min(b, len(bar)) - a >= least]


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
    store: Store,
    index: Index,
    setting: Setting,
    progress: Callable[[int, int], None] = lambda done, total: None,
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
    store: Store,
    index: Index,
    setting: Setting,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Baseline | None:
    """Measure as `human_baseline`, whatever was measured before, and write it."""
    made = _measure_baseline(store, index, setting, progress)
    index.write(_file_name(setting), asdict(made) if made else {})
    return made


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
        own, passages, _ = borrowed(store, index, row)
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
        raise index.damaged(name, error) from error


def originality_report(
    store: Store,
    index: Index,
    setting: Setting,
    results: Sequence[Measured | Skipped],
    baseline: Baseline | None,
    unreadable: Sequence[tuple[str, str]] = (),
) -> OriginalityReport:
    """Put together what was measured.

    Parameters
    ----------
    results : sequence
        From `measure_originality`, one for each track that could be read.
    baseline : Baseline, optional
        From `human_baseline`.
    unreadable : sequence of (str, str)
        The other tracks, each with the reason.
    """
    tracks = sorted((r for r in results if isinstance(r, Measured)), key=lambda t: (t.mean, t.name))
    skipped = tuple(r for r in results if isinstance(r, Skipped))
    if baseline is None:
        reason = f"the store holds fewer than {MIN_PIECES} different works with a window of {setting}"
        skipped = (Skipped("baseline", reason), *skipped)
    return OriginalityReport(
        setting=setting,
        tracks=tuple(tracks),
        group=group_of(tracks),
        baseline=baseline,
        skipped=skipped,
        unreadable=tuple(unreadable),
        store={
            "name": store.path.name,
            "digest": store.digest,
            "pieces": len(store.pieces),
            "works": store.works,
            "left_out": left_out(store, index)[0],
        },
        tool={"name": "contraste", "version": version("contraste")},
    )

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

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from audit.originality.baseline import MIN_PIECES, Baseline, Group, group_of
from audit.originality.windows import GRID, Measured, Setting, measure_windows
from audit.report import Course, CourseWindow, Skipped
from audit.search.corpus import SearchCorpus
from audit.search.index import Index
from audit.search.passages import search
from corpus.store import Store
from messages import message
from music.notes import NoteSequence

SCHEMA = "contraste-originality/1"


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
        """Return the report as JSON carries it; docs/commands/search.md describes the fields."""
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


def measure_course(measured: Measured, setting: Setting, baseline: Baseline | None) -> Course:
    """Say how much of one track the corpus holds over its course, beside what it holds of human pieces."""
    windows = tuple(CourseWindow(w.span_s, w.part, 1.0 - w.originality, w.piece) for w in measured.windows)
    if baseline is None:
        return Course(str(setting), windows)
    human = tuple(1.0 - point.mean for point in baseline.group.curve)
    return Course(str(setting), windows, human, 1.0 - baseline.window_edge)


def originality_report(
    corpus: SearchCorpus,
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
    store = corpus.store
    tracks = sorted((r for r in results if isinstance(r, Measured)), key=lambda t: (t.mean, t.name))
    skipped = tuple(r for r in results if isinstance(r, Skipped))
    if baseline is None:
        reason = message(
            "the store holds fewer than {least:d} different works with a window of {setting:text}",
            least=MIN_PIECES,
            setting=setting,
        )
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
            "left_out": corpus.left_out.pieces,
        },
        tool={"name": "contraste", "version": version("contraste")},
    )

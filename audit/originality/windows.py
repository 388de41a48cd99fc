"""How much of each window of a piece or a track an index holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from audit.report import Skipped
from audit.search.align import MIN_PAIRS
from audit.search.lines import voice_table
from audit.search.passages import Passage
from corpus.store import Store
from messages import message
from music.notes import FloatArray, NoteSequence

MIN_NOTES = 2 * MIN_PAIRS  # of a window; in a shorter one, one passage of the least length is more than half
WINDOWS = {"notes": "{count:d} notes", "bars": "{count:d} bars"}
GRID = np.linspace(0.0, 1.0, 21)  # share of a track that has passed, at which curves are drawn


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
        match = re.fullmatch(r"\s*(\d{1,6})\s*(bars?|notes?|)\s*", text)
        if not match or int(match[1]) < 1:
            raise ValueError(f"{text!r} is no length of a window; write for example '8 bars' or '24 notes'")
        setting = cls(int(match[1]), "notes" if match[2].startswith("note") else "bars")
        if setting.unit == "notes" and setting.size < MIN_NOTES:
            raise ValueError(f"{text!r}: a window has at least {MIN_NOTES} notes")
        return setting

    def __str__(self) -> str:
        """Return for example ``8 bars``."""
        return message(WINDOWS[self.unit], count=self.size)

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
        Number of the line among the track's `audit.search.lines.voice_table`.
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
        few = message(
            "no line has a window of {setting:text} with {least:d} notes"
            if setting.unit == "bars"
            else "no line has a window of {setting:text}",
            setting=setting,
            least=MIN_NOTES,
        )
        return Skipped(name, few)
    return Measured(name, track.end_s, tuple(windows), notes, notes_found)


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

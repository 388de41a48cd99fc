"""Music for the demonstration: chorales and a control that the music21 package ships, and a planted copy.

The scores are files inside the installed package; music21 itself is never imported (it takes seconds). Bach's and
Monteverdi's music is in the public domain; the package's corpus/license.txt says how each edition may be used.
"""

from __future__ import annotations

import csv
import io
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from corpus.store import Store
from music.midi import write_atomically
from music.notes import NoteSequence, build

CONTROL = "monteverdi/madrigal.3.6.mxl"
PLANT_BARS, PLANT_FROM, PLANT_AT, PLANT_SHIFT = 8, 5, 7, 3  # bars copied, from and to bar, semitones up


class DemoMusicError(RuntimeError):
    """Raised when the music of the demonstration is not installed."""


def scores() -> Path:
    """Return music21's corpus folder.

    Raises
    ------
    DemoMusicError
        When the package is not installed.
    """
    package = find_spec("music21")
    folder = Path(package.origin).parent / "corpus" if package and package.origin else None
    if folder is None or not (folder / "bach").is_dir():
        raise DemoMusicError(
            "the demo's music comes with the package music21; install it with: pip install 'contraste[demo]'"
        )
    return folder


def copy_chorales(into: Path) -> int:
    """Copy the Bach scores (MusicXML) into the folder `into`, with a rights file beside it; return how many."""
    into.mkdir(parents=True, exist_ok=True)
    files = sorted((scores() / "bach").glob("*.mxl"))
    for file in files:
        shutil.copyfile(file, into / file.name)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "artist", "licence", "source", "consent"])
    rows.writerow(["*", "Johann Sebastian Bach", "public domain", "music21 corpus", "not_required"])
    write_atomically(into.with_name("rights.csv"), text.getvalue().encode())
    return len(files)


def plant(host: NoteSequence, source: NoteSequence, first_bar: int, at_bar: int, semitones: int) -> NoteSequence:
    """Put `PLANT_BARS` bars of `source` into `host`, transposed: what a model that memorised would do.

    Parameters
    ----------
    host, source : NoteSequence
        Notes of the host from `at_bar` on move back; parts are joined by number.
    first_bar : int
        First copied bar of the source, 1-based.
    at_bar : int
        Bar of the host at which they begin, 1-based.
    semitones : int
        Upward.
    """
    source_bar, host_bar = source.time_signatures[0].bar_beats, host.time_signatures[0].bar_beats
    # A pickup makes the first bar short, so bars are counted from its end.
    start, length = (first_bar - 1) * source_bar, PLANT_BARS * source_bar
    cut = source.select((source.onset_beat >= start - 1e-9) & (source.onset_beat < start + length - 1e-9))
    cut = cut.transpose(semitones)
    at = (at_bar - 1) * host_bar
    moved = np.where(host.onset_beat >= at - 1e-9, host.onset_beat + length, host.onset_beat)
    crossing = (host.onset_beat < at - 1e-9) & (host.onset_beat + host.duration_beat > at)
    held = np.where(crossing, at - host.onset_beat, host.duration_beat)
    parts = host.parts if len(host.parts) >= len(cut.parts) else cut.parts
    return build(
        np.concatenate([moved, cut.onset_beat - start + at]),
        np.concatenate([held, cut.duration_beat]),
        np.concatenate([host.pitch, cut.pitch]),
        np.concatenate([host.velocity, cut.velocity]),
        np.concatenate([host.part, cut.part]),
        parts=parts,
        tempos=host.tempos[:1],
        time_signatures=host.time_signatures[:1],
        ticks_per_quarter=max(host.ticks_per_quarter, cut.ticks_per_quarter),
    )


def choose_source(store: Store) -> int:
    """Choose the chorale to plant: the first in 4/4, of four parts, without duplicates, of 2 * `PLANT_BARS` bars."""
    groups = [piece.group for piece in store.pieces]
    for row, piece in enumerate(store.pieces):
        fits = piece.meter == "4/4" and piece.bars >= 2 * PLANT_BARS and groups.count(piece.group) == 1
        if fits and len(store.notes(row).parts) == 4 and piece.split == "train":
            return row
    raise DemoMusicError(f"{store.path}: no chorale in it is long enough to be planted")

"""Scores that the music21 package ships, for demonstrations, benches and tests.

They are files inside the installed package; music21 itself is never imported (it takes seconds). Bach's and
Monteverdi's music is in the public domain; the package's corpus/license.txt says how each edition may be used.
"""

from __future__ import annotations

import csv
import io
import shutil
from importlib.util import find_spec
from pathlib import Path

from music.midi import write_atomically


class DemoError(RuntimeError):
    """Raised when the demonstration can't be given here; the message says why and what to do."""


def scores() -> Path:
    """Return music21's corpus folder.

    Raises
    ------
    DemoError
        When the package is not installed.
    """
    package = find_spec("music21")
    folder = Path(package.origin).parent / "corpus" if package and package.origin else None
    if folder is None or not (folder / "bach").is_dir():
        raise DemoError(
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

"""Compare the reading of scores with music21's: ``python bench/scores.py [-n 500] [--folder NAME ...]``.

Every MusicXML score that the music21 package ships is read by both: onsets, durations and pitches of all notes, bar by
bar, with ties joined; and the order in which bars are played. music21 parses (its `xmlToM21`); ties are joined here, by
position and pitch, since its `stripTies` leaves chords apart.

Grace notes are left out on both sides: they have no duration, and each program chooses when they sound. Bars begin
together in all parts, at the longest of them: music21 lets the parts of a score drift where one has an underfull bar.
What differs beyond that is in `EXPLAINED`, each with its reason; anything else is printed and ends with 1.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from music.midi import read_bytes
from music.scores import musicxml, score
from music.scores.repeats import unfold_bars

Note = tuple[float, float, int]
REFUSED = "music21 refuses repeats whose signs do not pair; here they are played as far as they do"
BEGINNING = (
    "a repeat without a beginning begins behind the one before it; music21 goes back to the last sign, or to bar 1"
)
ENDING = "an ending is played in its pass; music21 overlooks one whose next ending is not marked, or plays it twice"
JUMP = "da capo and dal segno of <sound> are played, without repeats, up to the fine; music21 passes them over"
FORWARD = "a <forward> of 0 takes no time; music21 reads it as a quarter"
CHORD = "notes of a chord have lengths of their own; music21 gives all of them that of the first"
CUE = "cue notes are silent (MusicXML 4.0, <cue>); music21 reads them as notes"
QUARTER_TONE = "a quarter tone lies between two keys, and either is as near"

EXPLAINED: dict[str, str] = {
    f"{folder}/{name}": reason
    for reason, folder, names in (
        (REFUSED, "beethoven", "opus132.mxl opus18no3.mxl opus18no5.mxl"),
        (REFUSED, "haydn/opus74no1", "movement3.mxl movement4.mxl"),
        (REFUSED, "mozart/k458", "movement1.mxl movement2.mxl"),
        (BEGINNING, "beethoven", "opus18no1/movement3.mxl"),
        (BEGINNING, "mozart", "k156/movement2.mxl k80/movement1.mxl k80/movement3.mxl k80/movement4.mxl"),
        (BEGINNING, "schumann_clara", "polonaise_op1n1.mxl polonaise_op1n2.mxl"),
        (BEGINNING, "schumann_robert", "opus41no1/movement2.mxl"),
        (ENDING, "beethoven", "opus18no4.mxl opus59no2/movement3.mxl"),
        (ENDING, "joplin", "maple_leaf_rag.mxl"),
        (JUMP, "handel", "rinaldo/Lascia_chio_pianga.mxl"),
        (JUMP, "schumann_clara", "polonaise_op1n3.mxl polonaise_op1n4.mxl"),
        (FORWARD, "haydn/opus1no1", "movement3.mxl movement4.mxl movement5.mxl"),
        (FORWARD, "schumann_robert", "opus41no1/movement1.mxl opus41no1/movement5.mxl"),
        (CHORD, "schubert", "Lindenbaum.xml"),
        (CUE, "schumann_robert", "dichterliebe_no2.xml opus48no2.mxl"),
    )
    for name in names.split()
}
EXPLAINED |= {
    f"trecento/{name}.xml": reason
    for reason, name in (
        (BEGINNING, "PMFC_06_Giovanni-04_De_Come_Dolce_Mente"),
        (BEGINNING, "PMFC_06_Piero_1-All_onbra d_un perlato"),
        (BEGINNING, "PMFC_06_Piero_6a-Quando_laire_comenca"),
        (BEGINNING, "PMFC_23_22-Kyrie Summe Clementissime"),
        (QUARTER_TONE, "PMFC_13_04-Credo Cursor"),
    )
}


def corpus() -> Path:
    """Return music21's folder of scores; the package is not imported for it."""
    package = find_spec("music21")
    if package is None or package.origin is None:
        raise SystemExit("music21 is not installed; pip install music21")
    return Path(package.origin).parent / "corpus"


def ours(path: Path) -> tuple[list[Note], list[int]]:
    """Read notes as printed, without grace notes and drums, and the bars, from 0, as they are played."""
    root = musicxml._tree(musicxml._unpack(read_bytes(path), str(path)), str(path))
    for measure in root.iter("measure"):
        for note in measure.findall("note"):
            if note.find("grace") is not None:
                measure.remove(note)
    reader = score._Reader(root, str(path))
    sequence = reader.read("", unfold=False)
    order = unfold_bars([bar.signs for bar in reader.bars], str(path))
    pitched = ~sequence.is_drum
    columns = (sequence.onset_beat[pitched], sequence.duration_beat[pitched], sequence.pitch[pitched])
    notes = sorted((round(float(a), 3), round(float(b), 3), int(c)) for a, b, c in zip(*columns, strict=True))
    return notes, [i for i, _ in order]


def reference(path: Path) -> tuple[list[Note], list[int] | None]:
    """Return the same as `ours` from music21; None where it refuses to play the repeats."""
    import music21
    from music21 import chord, converter, harmony, note, percussion

    parsed: Any = converter.parseFile(path, format="musicxml", forceSource=True, storePickle=False)
    order: list[int] | None
    try:
        for number, bar in enumerate(parsed.parts[0].getElementsByClass("Measure")):
            bar.number = number
        order = [bar.number for bar in parsed.parts[0].expandRepeats().getElementsByClass("Measure")]
    except music21.exceptions21.Music21Exception:
        order = None
    sounding = parsed.toSoundingPitch()
    parts = [list(part.getElementsByClass("Measure")) for part in sounding.parts]
    starts = [Fraction(0)]
    for bar in zip(*parts, strict=False):
        ends = [n.getOffsetInHierarchy(m) + n.quarterLength for m in bar for n in m.recurse().notesAndRests]
        starts.append(starts[-1] + (Fraction(max(ends, default=0)) or Fraction(bar[0].barDuration.quarterLength)))
    notes: list[list[Any]] = []
    for part in parts:
        printed = []
        for start, measure in zip(starts, part, strict=False):
            for n in measure.recurse().notes:
                others = (harmony.Harmony, note.Unpitched, percussion.PercussionChord)
                if n.duration.isGrace or isinstance(n, others):
                    continue
                onset = start + Fraction(n.getOffsetInHierarchy(measure))
                for one in n.notes if isinstance(n, chord.Chord) else [n]:
                    kind = one.tie.type if one.tie else ""
                    printed.append((onset, Fraction(n.quarterLength), round(one.pitch.ps), kind))
        notes += _joined(sorted(printed))
    return sorted((round(float(a), 3), round(float(b), 3), c) for a, b, c in notes), order


def _joined(printed: list[tuple[Fraction, Fraction, int, str]]) -> list[list[Any]]:
    """Join tied notes: one that a tie ends goes on from one of its pitch that ends there and has a tie."""
    notes: list[list[Any]] = []
    open_ties: dict[int, list[list[Any]]] = {}
    for onset, length, pitch, tie in printed:
        ties = open_ties.setdefault(pitch, [])
        before = next((one for one in ties if abs(one[0] + one[1] - onset) < 1e-4), None)
        if tie in ("stop", "continue") and before is not None:
            ties.remove(before)
            before[1] += length
        else:
            before = [onset, length, pitch]
            notes.append(before)
        if tie in ("start", "continue"):
            ties.append(before)
    return notes


def differences(path: Path) -> list[str]:
    """Say in what the two readings differ; nothing where they agree."""
    (mine, my_order), (theirs, their_order) = ours(path), reference(path)
    found = []
    left, right = Counter(theirs), Counter(mine)
    if left != right:
        missing, extra = sorted((left - right).elements()), sorted((right - left).elements())
        found.append(f"notes: {len(missing)} only in music21 {missing[:2]}, {len(extra)} only here {extra[:2]}")
    if their_order is None:
        found.append("order: music21 refuses its repeats")
    elif my_order != their_order:
        at = next((i for i, (a, b) in enumerate(zip(my_order, their_order, strict=False)) if a != b), -1)
        found.append(
            f"order: {len(their_order)} bars in music21, {len(my_order)} here; "
            f"after {at}: {their_order[at : at + 3]} and {my_order[at : at + 3]}"
        )
    return found


def main() -> int:
    """Compare and print; 1 where a difference has no explanation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--folder", action="append", default=[])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    root = corpus()
    files = sorted(p for p in root.rglob("*") if p.suffix in (".mxl", ".xml", ".musicxml"))
    files = [p for p in files if not options.folder or p.relative_to(root).parts[0] in options.folder]
    chosen = [files[i] for i in np.random.default_rng(1).permutation(len(files))[: options.n]]
    agree, explained, open_, seconds = 0, Counter[str](), 0, 0.0
    for path in sorted(chosen):
        name = path.relative_to(root).as_posix()
        started = time.perf_counter()
        musicxml.read_musicxml(path)
        seconds += time.perf_counter() - started
        found = differences(path)
        reason = EXPLAINED.get(name)
        agree += not found
        if found and reason:
            explained[reason] += 1
        elif found:
            open_ += 1
            print(f"{name}: {'; '.join(found)}", flush=True)
    print(f"{len(chosen)} scores, {agree} agree, {sum(explained.values())} explained, {open_} not")
    for reason, count in explained.most_common():
        print(f"  {count}  {reason}")
    print(f"read in {1000 * seconds / max(len(chosen), 1):.1f} ms each")
    return int(open_ > 0)


if __name__ == "__main__":
    sys.exit(main())

"""What sounds in a score: onsets, lengths and pitches out of MusicXML's sounding layer (MusicXML 4.0).

MusicXML says most things twice: as they sound (``duration``, ``tie``, ``sound``, ``transpose``) and as they are drawn
(``type``, ``tuplet``, ``tied``, ``metronome``). Programs that draw read the second, and exporters leave it out or
contradict it; here the first counts alone, and a drawn tempo only where nothing else is said.

Conventions: positions are ticks, of which `ticks_of` gives so many to a quarter that every duration is a whole number.
A bar is as long as the longest of its parts, as a bar of rests only as its meter says. Grace notes have no duration:
each sounds for `GRACE` quarters before the place where it stands. Cue notes are silent, as the standard says.
"""

from __future__ import annotations

import re
from collections import Counter
from xml.etree.ElementTree import Element

import numpy as np

from messages import message
from music.midi import MAX_BPM, MAX_SECONDS, MIN_BPM, check_crowd
from music.midi_events import MAX_EVENTS
from music.notes import MusicError, NoteSequence, Part, Tempo, TimeSignature, build
from music.scores.measures import (
    STEPS,
    Bar,
    Measure,
    Sound,
    keep_changes,
    marks_in_force,
    printable_line,
    quarters_of_bar,
    read_meter,
    read_metronome,
    read_number,
    read_parts,
    ticks_of,
)
from music.scores.repeats import unfold_bars

LEFT_OUT = {
    "grace": "grace notes before the first beat, left out: {count:d}",
    "cue": "cue notes, which are silent: {count:d}",
    "length": "notes without a duration, left out: {count:d}",
    "pitch": "notes without a pitch of 0 to 127, left out: {count:d}",
}
VELOCITY = 90  # forte, of which MusicXML's `dynamics` are percent
GRACE = 1 / 8  # quarters
MAX_STAVES = 16  # of a part; what stands on more is read as on the last
MAX_NOTES = MAX_EVENTS // 2  # played; each is two events of a MIDI file


def read_score(root: Element, name: str, title: str, *, unfold: bool = True) -> NoteSequence:
    """Read a score, ``score-partwise`` or ``score-timewise``; the module says how.

    Parameters
    ----------
    name : str
        How error messages call the file.
    unfold : bool
        Play repeats; otherwise every bar sounds once, as printed.

    Raises
    ------
    MusicError
        When a value is no number, or what would be played is over a limit.
    """
    try:
        return _Reader(root, name).read(title, unfold)
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        if isinstance(error, MusicError) and str(error).startswith(f"{name}: "):
            raise
        raise MusicError(f"{name}: {error}") from error


class _Reader:
    """One score: its printed bars, then what is played of them."""

    def __init__(self, root: Element, name: str) -> None:
        self.root, self.name = root, name
        self.ticks = ticks_of(root)
        self.bars: list[Bar] = []
        self.parts: list[Part] = []
        self.staves: dict[int, list[int]] = {}  # track -> parts
        self.left_out: Counter[str] = Counter()

    def read(self, title: str, unfold: bool) -> NoteSequence:
        names = {part.get("id", ""): part for part in self.root.findall("part-list/score-part")}
        for track, (owner, measures) in enumerate(read_parts(self.root).items()):
            self.bars += [Bar(m.number, m.implicit) for m in measures[len(self.bars) :]]
            _Instrument(self, track, names.get(owner)).read(measures)
        self._close()
        signs = [bar.signs for bar in self.bars]
        order = unfold_bars(signs, self.name) if unfold else [(i, 1) for i in range(len(signs))]
        return self._sequence(order, title)

    def _close(self) -> None:
        """Give every bar its length."""
        nominal = 4.0 * self.ticks
        for bar in self.bars:
            if bar.meters:
                nominal = quarters_of_bar(bar.meters[0]) * self.ticks
            if bar.ticks <= 0:
                bar.ticks = min(bar.rest_ticks, nominal) if bar.rest_ticks > 0 else nominal

    def _sequence(self, order: list[tuple[int, int]], title: str) -> NoteSequence:
        bars, ticks = self.bars, self.ticks
        if sum(len(bars[i].sounds) for i, _ in order) > MAX_NOTES:
            raise MusicError(f"{self.name}: more than {MAX_NOTES} notes are played; that is the limit")
        in_force = list(marks_in_force(bars))
        notes: list[list[float]] = []
        held: dict[tuple[int, int, int], list[list[float]]] = {}  # part, pitch, end -> notes that ties go on from
        tempos: list[tuple[float, float]] = []
        meters: list[tuple[float, int, int]] = []
        starts: list[float] = []
        numbers: list[str] = []
        at, line, before = 0.0, 0.0, -2
        meter = (4, 4)
        for i, turn in order:
            bar = bars[i]
            tempo, here_meter = in_force[i]
            if i != before + 1:  # a jump: what is in force there holds
                tempos.append((at, tempo))
                meters.append((at, *here_meter))
            meter = bar.meters[-1][1:] if bar.meters else here_meter
            full = quarters_of_bar((0.0, *meter)) * ticks
            split = bar.implicit or (i == before + 1 and numbers and bar.number == numbers[-1])
            halved = starts and split and at - line + bar.ticks <= full + 1e-6 and at - line < full - 1e-6
            if not halved:
                line = at
                starts.append(at / ticks)
                numbers.append(bar.number)
            tempos += [(at + place, bpm) for place, bpm in bar.tempos]
            meters += [(at + place, n, d) for place, n, d in bar.meters]
            for sound in bar.sounds:
                if sound.passes and turn not in sound.passes:
                    continue
                onset = at + sound.start
                if onset < 0:
                    self.left_out["grace"] += 1
                    continue
                note = self._tied(held, sound, onset) if sound.tied_from else None
                if note is not None:
                    note[1] += sound.ticks
                else:
                    note = [onset, sound.ticks, sound.pitch, sound.velocity, sound.part]
                    notes.append(note)
                if sound.tied_on:
                    held.setdefault((sound.part, sound.pitch, round(64 * (note[0] + note[1]))), []).append(note)
            at += bar.ticks
            before = i
        return self._build(notes, tempos, meters, (starts, numbers), title)

    def _tied(
        self, held: dict[tuple[int, int, int], list[list[float]]], sound: Sound, onset: float
    ) -> list[float] | None:
        """Return the note that a tie joins to this one, of its own staff or of another of its part."""
        track, end = self.parts[sound.part].track, round(64 * onset)
        staves = (i for i in self.staves[track] if i != sound.part)
        struck = next((notes for i in (sound.part, *staves) if (notes := held.get((i, sound.pitch, end)))), None)
        return struck.pop() if struck else None

    def _build(
        self,
        notes: list[list[float]],
        tempos: list[tuple[float, float]],
        meters: list[tuple[float, int, int]],
        bars: tuple[list[float], list[str]],
        title: str,
    ) -> NoteSequence:
        table = np.array(notes, dtype=np.float64).reshape(-1, 5)
        check_crowd(table[:, 0], table[:, 0] + table[:, 1], self.name)
        used, owners = np.unique(table[:, 4].astype(np.int64), return_inverse=True)
        sequence = build(
            table[:, 0] / self.ticks,
            table[:, 1] / self.ticks,
            table[:, 2],
            table[:, 3],
            owners,
            parts=[self.parts[i] for i in used] or (Part(),),
            tempos=[Tempo(at / self.ticks, bpm) for at, bpm in keep_changes(tempos)],
            time_signatures=[
                TimeSignature(at / self.ticks, *meter)
                for at, meter in keep_changes([(at, (n, d)) for at, n, d in meters])
            ],
            ticks_per_quarter=self.ticks,
            title=title,
            bar_starts=bars[0] or None,
            bar_numbers=bars[1],
            remarks=sorted(message(LEFT_OUT[what], count=count) for what, count in self.left_out.items()),
        )
        if sequence.end_s > MAX_SECONDS:
            raise MusicError(f"{self.name}: lasts {sequence.end_s:.0f} s; the limit is {MAX_SECONDS:.0f} s")
        return sequence


class _Instrument:
    """What one part of a score has said so far."""

    def __init__(self, reader: _Reader, track: int, about: Element | None) -> None:
        self.reader, self.track = reader, track
        self.name = printable_line(about.findtext("part-name") or "") if about is not None else ""
        self.program = 0
        self.drums: dict[str, int] = {}  # instrument -> key of the drum kit
        for midi in about.iter("midi-instrument") if about is not None else ():
            if (drum := midi.findtext("midi-unpitched")) is not None:
                self.drums[midi.get("id", "")] = int(read_number(drum, "midi-unpitched")) - 1
            elif (program := midi.findtext("midi-program")) is not None and not self.program:
                self.program = min(max(int(read_number(program, "midi-program")) - 1, 0), 127)
        self.places: dict[tuple[int, bool], int] = {}  # staff and drums -> part
        self.unit = float(reader.ticks)  # ticks of one division
        self.shift: dict[str, int] = {}  # semitones from written to sounding, of a staff ("" for all)
        self.velocity = VELOCITY
        self.endings: frozenset[int] = frozenset()
        self.at = self.end = self.chord = 0.0

    def read(self, measures: list[Measure]) -> None:
        """Add the part's bars to those of the score."""
        for bar, measure in zip(self.reader.bars, measures, strict=False):
            self.at = self.end = self.chord = 0.0
            graces: list[list[int]] = []  # of one place: rows of bar.sounds, a chord's together
            opened = self.endings
            for element in measure.elements:
                match element.tag:
                    case "note":
                        self._note(element, bar, graces)
                    case "backup":
                        self._place(graces, bar)
                        self.at = max(self.at - self._duration(element), 0.0)
                    case "forward":
                        self.at += self._duration(element)
                        self.end = max(self.end, self.at)
                    case "attributes":
                        self._attributes(element, bar)
                    case "direction" | "sound":
                        self._direction(element, bar)
                    case "barline":
                        opened |= self._barline(element, bar)
            self._place(graces, bar)
            bar.signs.ending |= opened
            bar.ticks = max(bar.ticks, self.end)

    def _duration(self, element: Element) -> float:
        text = element.findtext("duration")
        if text is None:
            return 0.0
        value = read_number(text, "duration") * self.unit
        if not 0 <= value < float("inf"):
            raise MusicError(f"duration {text.strip()!r}; it is a number of divisions, 0 or more")
        return value

    def _note(self, note: Element, bar: Bar, graces: list[list[int]]) -> None:
        grace, chord = note.find("grace") is not None, note.find("chord") is not None
        ticks = 0.0 if grace else self._duration(note)
        onset = self.chord if chord else self.at
        rest = note.find("rest")
        if not chord:
            self.chord = self.at
            self.at += ticks
            if rest is not None and rest.get("measure") == "yes":
                bar.rest_ticks = max(bar.rest_ticks, self.at)
            else:
                self.end = max(self.end, self.at)
        if not chord and not grace:
            self._place(graces, bar)
        if rest is not None:
            return
        left_out = self.reader.left_out
        if note.find("cue") is not None:
            left_out["cue"] += 1
            return
        if not grace and ticks <= 0:
            left_out["length"] += 1
            return
        drums = (unpitched := note.find("unpitched")) is not None
        pitch = self._drum(note, unpitched) if unpitched is not None else self._pitch(note)
        if pitch is None or not 0 <= pitch <= 127:
            left_out["pitch"] += 1
            return
        loud = note.get("dynamics")
        velocity = round(read_number(loud, "dynamics") * VELOCITY / 100) if loud else self.velocity
        ties = {tie.get("type") for tie in note.findall("tie")}
        if grace:
            graces[-1:] = [[*graces[-1], len(bar.sounds)]] if chord and graces else [*graces[-1:], [len(bar.sounds)]]
        part = self._part(min(int(read_number(note.findtext("staff") or "1", "staff")), MAX_STAVES), drums)
        passes = frozenset(map(int, re.findall(r"\d{1,6}", note.get("time-only") or "")))
        bar.sounds.append(
            Sound(onset, ticks, pitch, min(max(velocity, 1), 127), part, "stop" in ties, "start" in ties, passes)
        )

    def _place(self, graces: list[list[int]], bar: Bar) -> None:
        """Let the grace notes that stand at one place sound before it, those of a chord together."""
        length = min(GRACE, 1 / max(len(graces), 1)) * self.reader.ticks
        for back, slot in enumerate(reversed(graces), start=1):
            for i in slot:
                bar.sounds[i] = bar.sounds[i]._replace(start=bar.sounds[i].start - back * length, ticks=length)
        graces.clear()

    def _part(self, staff: int, drums: bool) -> int:
        key = (staff, drums)
        if key not in self.places:
            self.places[key] = len(self.reader.parts)
            self.reader.staves.setdefault(self.track, []).append(self.places[key])
            self.reader.parts.append(Part(self.name, 0 if drums else self.program, drums, self.track))
        return self.places[key]

    def _pitch(self, note: Element) -> int | None:
        pitch = note.find("pitch")
        if pitch is None:
            return None
        step = STEPS.get((pitch.findtext("step") or "").strip().upper())
        if step is None:
            return None
        octave = int(read_number(pitch.findtext("octave"), "octave"))
        alter = round(read_number(pitch.findtext("alter") or "0", "alter"))
        staff = (note.findtext("staff") or "1").strip()
        return 12 * (octave + 1) + step + alter + self.shift.get(staff, self.shift.get("", 0))

    def _drum(self, note: Element, unpitched: Element) -> int:
        instrument = note.find("instrument")
        if instrument is not None and instrument.get("id", "") in self.drums:
            return self.drums[instrument.get("id", "")]
        step = STEPS.get((unpitched.findtext("display-step") or "C").strip().upper(), 0)
        return 12 * (int(read_number(unpitched.findtext("display-octave") or "4", "display-octave")) + 1) + step

    def _attributes(self, attributes: Element, bar: Bar) -> None:
        if (divisions := attributes.findtext("divisions")) is not None:
            value = read_number(divisions, "divisions")
            if value <= 0:
                raise MusicError(f"divisions {divisions.strip()!r}; there are more than 0 in a quarter")
            self.unit = self.reader.ticks / value
        for transpose in attributes.findall("transpose"):
            chromatic = read_number(transpose.findtext("chromatic") or "0", "chromatic")
            octaves = read_number(transpose.findtext("octave-change") or "0", "octave-change")
            staff = transpose.get("number", "")
            if not staff:
                self.shift.clear()
            self.shift[staff] = round(chromatic) + 12 * round(octaves)
        time = attributes.find("time")
        meter = read_meter(time) if time is not None else None
        if meter and (self.at, *meter) not in bar.meters:
            bar.meters.append((self.at, *meter))
            bar.meters.sort()

    def _direction(self, direction: Element, bar: Bar) -> None:
        sound = direction if direction.tag == "sound" else direction.find("sound")
        place = self.at
        for offset in (direction.find("offset"), sound.find("offset") if sound is not None else None):
            if offset is not None and (offset.get("sound") == "yes" or direction.tag == "sound"):
                place = max(self.at + read_number(offset.text, "offset") * self.unit, 0.0)
        bpm = read_number(sound.get("tempo"), "tempo") if sound is not None and sound.get("tempo") else None
        if bpm is None:
            bpm = next((b for b in map(read_metronome, direction.iter("metronome")) if b), None)
        if bpm is not None and bpm > 0:
            bar.tempos.append((place, min(max(bpm, MIN_BPM), MAX_BPM)))
            bar.tempos.sort(key=lambda change: change[0])
        if sound is None:
            return
        if sound.get("dynamics"):
            self.velocity = round(read_number(sound.get("dynamics"), "dynamics") * VELOCITY / 100)
        signs = bar.signs
        for places, key in (
            (signs.segno, "segno"),
            (signs.coda, "coda"),
            (signs.dal_segno, "dalsegno"),
            (signs.to_coda, "tocoda"),
        ):
            if sound.get(key):
                places.add(sound.get(key, ""))
        signs.da_capo |= sound.get("dacapo") == "yes"
        signs.fine |= sound.get("fine") not in (None, "no")

    def _barline(self, barline: Element, bar: Bar) -> frozenset[int]:
        """Take repeats and endings; return the passes of an ending that this bar stands under."""
        under = frozenset[int]()
        repeat, ending = barline.find("repeat"), barline.find("ending")
        if repeat is not None and repeat.get("direction") == "forward":
            bar.signs.forward = True
        elif repeat is not None and repeat.get("direction") == "backward":
            bar.signs.backward = True
            times = re.fullmatch(r"\s*(\d{1,6})\s*", repeat.get("times") or "")
            bar.signs.times = max(bar.signs.times, int(times[1])) if times else bar.signs.times
        if ending is not None:
            numbers = frozenset(map(int, re.findall(r"\d{1,6}", ending.get("number") or "")))
            under = numbers
            self.endings = numbers if ending.get("type") == "start" else frozenset()
        return under

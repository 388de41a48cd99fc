"""A score is read as it sounds, whatever is drawn or left undrawn; hand-worked values."""

from __future__ import annotations

import time

import numpy as np
import pytest

from music.notes import MusicError, NoteSequence
from music.scores.musicxml import parse_musicxml


def note(pitch: str, duration: float, *extra: str, kind: str = "") -> str:
    """``C4``, ``F#4`` or ``Bb3``; elements before <duration> go first when they say so."""
    step, alter, octave = pitch[0], {"#": 1, "b": -1}.get(pitch[1:-1], 0), pitch[-1]
    before = "".join(e for e in extra if e.startswith(("<grace", "<cue", "<chord")))
    after = "".join(e for e in extra if not e.startswith(("<grace", "<cue", "<chord")))
    altered = f"<alter>{alter}</alter>" if alter else ""
    length = "" if "<grace" in before else f"<duration>{duration}</duration>"
    drawn = f"<type>{kind}</type>" if kind else ""
    where = f"<pitch><step>{step}</step>{altered}<octave>{octave}</octave></pitch>"
    return f"<note>{before}{where}{length}{drawn}{after}</note>"


def rest(duration: float, whole: bool = False) -> str:
    measure = ' measure="yes"' if whole else ""
    return f"<note><rest{measure}/><duration>{duration}</duration></note>"


def head(divisions: int = 4, meter: str = "4/4", more: str = "") -> str:
    beats, unit = meter.split("/")
    return (
        f"<attributes><divisions>{divisions}</divisions><time><beats>{beats}</beats><beat-type>{unit}</beat-type></time>"
        f"{more}</attributes>"
    )


def bar(content: str, number: str = "1", *, implicit: bool = False) -> str:
    unnumbered = ' implicit="yes"' if implicit else ""
    return f'<measure number="{number}"{unnumbered}>{content}</measure>'


def score(*parts: str, instruments: str = "") -> str:
    listed = "".join(
        f'<score-part id="P{i}"><part-name>Part {i}</part-name>{instruments}</score-part>'
        for i in range(1, len(parts) + 1)
    )
    body = "".join(f'<part id="P{i}">{part}</part>' for i, part in enumerate(parts, start=1))
    return f'<?xml version="1.0"?><score-partwise><part-list>{listed}</part-list>{body}</score-partwise>'


def read(*parts: str, instruments: str = "") -> NoteSequence:
    return parse_musicxml(score(*parts, instruments=instruments).encode(), "x.musicxml")


def notes(sequence: NoteSequence) -> list[tuple[float, float, int]]:
    columns = (sequence.onset_beat.round(6), sequence.duration_beat.round(6), sequence.pitch)
    return [(float(a), float(b), int(c)) for a, b, c in zip(*columns, strict=True)]


TIME_MODIFICATION = (
    "<time-modification><actual-notes>{}</actual-notes><normal-notes>{}</normal-notes></time-modification>"
)


def test_tuplets_without_a_drawn_tuplet() -> None:
    triplets = "".join(note(p, 2, TIME_MODIFICATION.format(3, 2), kind="eighth") for p in ("C4", "D4", "E4") * 2)
    found = read(bar(head(6) + triplets + note("F4", 12, kind="half")))
    assert notes(found)[:3] == [(0, 0.333333, 60), (0.333333, 0.333333, 62), (0.666667, 0.333333, 64)]
    assert found.end_beat == 4.0
    quintuplets = "".join(note("C4", 4, TIME_MODIFICATION.format(5, 4), kind="16th") for _ in range(5))
    septuplets = "".join(note("C4", 20, TIME_MODIFICATION.format(7, 4), kind="quarter") for _ in range(7))
    found = read(bar(head(20) + quintuplets) + bar(head(35, "4/4") + septuplets, "2"))
    assert found.onset_beat[:6].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert found.end_beat == pytest.approx(1 + 4)


def test_duration_counts_where_the_drawn_length_is_missing_or_wrong() -> None:
    found = read(bar(head(2) + note("C4", 3) + note("D4", 5)))
    assert notes(found) == [(0, 1.5, 60), (1.5, 2.5, 62)]
    found = read(bar(head(2) + note("C4", 3, kind="whole") + note("D4", 5, "<dot/><dot/>", kind="16th")))
    assert notes(found) == [(0, 1.5, 60), (1.5, 2.5, 62)]


def test_ties_that_sound_join_and_ties_that_are_drawn_do_not() -> None:
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    found = read(
        bar(head(1) + note("C4", 2) + note("F4", 2, start)) + bar(note("F4", 1, stop, start) + note("F4", 3, stop))
    )
    assert notes(found) == [(0, 2, 60), (2, 6, 65)]
    drawn = '<notations><tied type="{}"/></notations>'
    found = read(bar(head(1) + note("F4", 2, drawn.format("start")) + note("F4", 2, drawn.format("stop"))))
    assert notes(found) == [(0, 2, 65), (2, 2, 65)]
    # across voices that were written one after the other, and in chords of which one note is tied
    first = bar(head(1) + note("C5", 4) + "<backup><duration>4</duration></backup>" + note("E4", 4, start))
    second = bar(
        note("C5", 2) + note("E4", 2, kind="half") + "<backup><duration>4</duration></backup>" + note("E4", 4, stop)
    )
    assert (0.0, 8.0, 64) in notes(read(first + second))
    chord = note("C4", 4, start) + note("E4", 4, "<chord/>")
    found = read(bar(head(1) + chord) + bar(note("C4", 4, stop) + note("E4", 4, "<chord/>")))
    assert notes(found) == [(0, 8, 60), (0, 4, 64), (4, 4, 64)]
    # a tie that nothing holds is a note of its own
    assert notes(read(bar(head(1) + note("C4", 2) + note("D4", 2, stop)))) == [(0, 2, 60), (2, 2, 62)]


def test_transposition_changes_where_it_is_written() -> None:
    def transpose(chromatic: int, octaves: int = 0, staff: str = "") -> str:
        more = f"<octave-change>{octaves}</octave-change>" if octaves else ""
        number = f' number="{staff}"' if staff else ""
        return f"<transpose{number}><chromatic>{chromatic}</chromatic>{more}</transpose>"

    plain, clarinet = bar(head(1) + note("C4", 4)), bar(head(1, more=transpose(-2)) + note("C4", 4))
    later = bar(f"<attributes>{transpose(-9)}</attributes>" + note("C4", 4), "2")
    middle = bar(note("C4", 2) + f"<attributes>{transpose(0, -1)}</attributes>" + note("C4", 2), "3")
    found = read(plain + bar(note("C4", 4), "2") + bar(note("C4", 4), "3"), clarinet + later + middle)
    assert [found.pitch[found.part == part].tolist() for part in (0, 1)] == [[60, 60, 60], [58, 51, 51, 48]]
    staves = head(1, more="<staves>2</staves>" + transpose(-2, staff="2"))
    two = (
        note("C4", 4, "<staff>1</staff>")
        + "<backup><duration>4</duration></backup>"
        + note("C3", 4, "<staff>2</staff>")
    )
    assert sorted(read(bar(staves + two)).pitch.tolist()) == [46, 60]


def test_tempo_of_dotted_beats_and_inside_bars() -> None:
    def metronome(unit: str, dots: int, text: str) -> str:
        return (
            f"<direction><direction-type><metronome><beat-unit>{unit}</beat-unit>{'<beat-unit-dot/>' * dots}"
            f"<per-minute>{text}</per-minute></metronome></direction-type></direction>"
        )

    four = "".join(note("C4", 1) for _ in range(4))
    for marked, bpm in (
        (metronome("quarter", 1, "60"), 90.0),
        (metronome("half", 0, "c. 40"), 80.0),
        (metronome("eighth", 2, "80"), 70.0),
    ):
        assert read(bar(head(1) + marked + four)).tempos[0].bpm == pytest.approx(bpm)
    # what sounds goes before what is drawn
    both = metronome("quarter", 1, "60").replace("</direction>", '<sound tempo="100"/></direction>')
    assert read(bar(head(1) + both + four)).tempos[0].bpm == 100.0
    inside = bar(note("C4", 2) + '<sound tempo="60"/>' + note("D4", 2), "2")
    found = read(bar(head(1) + '<sound tempo="120"/>' + four) + inside + bar(four, "3"))
    assert [(t.beat, t.bpm) for t in found.tempos] == [(0.0, 120.0), (6.0, 60.0)]
    assert found.end_s == pytest.approx(2 + 1 + 2 + 4)
    shifted = bar(head(2) + '<direction><offset sound="yes">3</offset><sound tempo="60"/></direction>' + note("C4", 8))
    assert [(t.beat, t.bpm) for t in read(shifted).tempos] == [(0.0, 120.0), (1.5, 60.0)]


def test_a_repeat_goes_back_to_the_tempo_and_meter_of_its_place() -> None:
    back = '<barline location="right"><repeat direction="backward"/></barline>'
    found = read(
        bar(head(1, "3/4") + note("C4", 3)) + bar(head(1, "2/4") + '<sound tempo="60"/>' + note("D4", 2) + back, "2")
    )
    assert [(t.beat, t.bpm) for t in found.tempos] == [(0, 120), (3, 60), (5, 120), (8, 60)]
    assert [(t.beat, t.numerator) for t in found.time_signatures] == [(0, 3), (3, 2), (5, 3), (8, 2)]


def test_bars_are_those_that_are_printed() -> None:
    four = "".join(note("C4", 1) for _ in range(4))
    found = read(
        bar(head(1) + note("C4", 3), "0", implicit=True) + bar(four, "1") + bar(note("C4", 3), "2") + bar(four, "3")
    )
    assert found.bar_starts.tolist() == [0, 3, 7, 10]  # a pickup is bar 1, the underfull bar 3
    assert [found.printed_bar(beat) for beat in (0, 3, 6.9, 7, 10)] == ["0", "1", "1", "2", "3"]
    assert [int(found.bar_at(beat)) for beat in (0, 3, 7, 9.9, 10)] == [1, 2, 3, 3, 4]
    assert found.bar_line(8.5) == (7.0, 3.0)
    assert found.bar_span(6) == (18.0, 22.0)  # behind the end the meter goes on


def test_a_split_bar_is_one_and_played_bars_are_counted_again() -> None:
    back = '<barline location="right"><repeat direction="backward"/></barline>'
    four = "".join(note("C4", 1) for _ in range(4))
    found = read(
        bar(head(1) + four, "1")
        + bar(note("C4", 3) + back, "2")
        + bar(note("C4", 1), "X1", implicit=True)
        + bar(four, "3")
    )
    assert found.bar_starts.tolist() == [0, 4, 7, 11, 15]
    assert found.bar_numbers == ("1", "2", "1", "2", "3")
    # the halves of a bar may carry one number instead
    found = read(bar(head(1) + four, "1") + bar(note("C4", 1), "2") + bar(note("C4", 3), "2") + bar(four, "3"))
    assert found.bar_starts.tolist() == [0, 4, 8]


def test_rests_of_a_bar_take_its_length_whatever_they_say() -> None:
    three = "".join(note("C4", 1) for _ in range(3))
    found = read(
        bar(head(1, "3/4") + rest(4, whole=True)) + bar(three, "2"), bar(head(1, "3/4") + three) + bar(three, "2")
    )
    assert found.bar_starts.tolist() == [0, 3]
    silent = read(bar(head(1, "3/4") + rest(4, whole=True)) + bar("", "2") + bar(three, "3"))
    assert silent.onset_beat.tolist() == [6, 7, 8]


def test_chords_of_different_lengths_voices_and_forwards() -> None:
    chord = note("C4", 2) + note("E4", 4, "<chord/>") + note("D4", 2)
    back = "<backup><duration>4</duration></backup><forward><duration>1</duration></forward>"
    found = read(bar(head(1) + chord + back + note("G3", 1)))
    assert notes(found) == [(0, 2, 60), (0, 4, 64), (1, 1, 55), (2, 2, 62)]


def test_grace_notes_sound_before_their_place_and_cue_notes_do_not() -> None:
    grace = note("D4", 0, "<grace/>")
    found = read(bar(head(1) + note("C4", 2) + grace + note("E4", 2)))
    assert notes(found) == [(0, 2, 60), (1.875, 0.125, 62), (2, 2, 64)]
    two = grace + note("F4", 0, "<grace/>", "<chord/>") + note("E4", 0, "<grace/>")
    assert notes(read(bar(head(1) + note("C4", 2) + two + note("C4", 2))))[1:4] == [
        (1.75, 0.125, 62), (1.75, 0.125, 65), (1.875, 0.125, 64),
    ]  # fmt: skip
    found = read(bar(head(1) + grace + note("E4", 2) + note("C4", 2, "<cue/>")))
    assert notes(found) == [(0, 2, 64)]
    assert found.remarks == ("cue notes, which are silent: 1", "grace notes before the first beat, left out: 1")


def test_percussion_is_marked_and_pitches_out_of_range_are_counted() -> None:
    kit = '<midi-instrument id="P1-I1"><midi-unpitched>36</midi-unpitched></midi-instrument>'
    drum = (
        "<note><unpitched><display-step>E</display-step><display-octave>4</display-octave></unpitched>"
        "<duration>2</duration>{}</note>"
    )
    found = read(bar(head(1) + drum.format('<instrument id="P1-I1"/>') + drum.format("")), instruments=kit)
    assert found.pitch.tolist() == [35, 64]
    assert found.is_drum.all()
    found = read(bar(head(1) + note("C4", 2) + note("C9", 1) + note("C9", 1).replace(">9<", ">11<")))
    assert found.pitch.tolist() == [60, 120]
    assert found.remarks == ("notes without a pitch of 0 to 127, left out: 1",)


def test_meters_of_several_numbers() -> None:
    for beats, unit, meter in (("3+2", "8", (5, 8)), ("2", "2", (2, 2))):
        found = read(bar(head(2, f"{beats}/{unit}") + note("C4", 4)))
        assert (found.time_signatures[0].numerator, found.time_signatures[0].denominator) == meter
    both = "<time><beats>2</beats><beat-type>4</beat-type><beats>3</beats><beat-type>8</beat-type></time>"
    found = read(bar(f"<attributes><divisions>2</divisions>{both}</attributes>" + note("C4", 7)))
    assert (found.time_signatures[0].numerator, found.time_signatures[0].denominator) == (7, 8)
    free = "<attributes><divisions>2</divisions><time><senza-misura/></time></attributes>"
    assert read(bar(free + note("C4", 20)) + bar(note("C4", 2), "2")).bar_starts.tolist() == [0, 10]


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "shift_jis", "windows-1252"])
def test_encodings_that_the_declaration_names(encoding: str) -> None:
    text = score(bar(head(1) + note("C4", 4))).replace('version="1.0"', f'version="1.0" encoding="{encoding}"')
    assert parse_musicxml(text.encode(encoding), "x").pitch.tolist() == [60]
    timewise = (
        text.replace("score-partwise", "score-timewise")
        .replace('<part id="P1"><measure number="1">', '<measure number="1"><part id="P1">')
        .replace("</measure></part>", "</part></measure>")
    )
    assert parse_musicxml(timewise.encode(encoding), "x").pitch.tolist() == [60]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (head(1) + note("C4", 4).replace("<duration>4", "<duration>four"), "duration 'four' is no number"),
        (head(1) + note("C4", -4), r"duration '-4'; it is a number of divisions"),
        (head(1) + note("C4", 4).replace(">4</octave>", ">x</octave>"), "octave 'x' is no number"),
        (head(0) + note("C4", 4), "divisions '0'; there are more than 0 in a quarter"),
        (head(1) + note("C4", 1e300).replace("1e+300", "1e300"), "duration 1e[+]300 is out of range"),
        (head(1) + '<sound tempo="fast"/>' + note("C4", 4), "tempo 'fast' is no number"),
        (head(1) + note("C4", 900_000_000), "lasts 450000000 s"),
    ],
)
def test_values_that_are_none_are_refused_by_name(content: str, rule: str) -> None:
    with pytest.raises(MusicError, match=f"^x.musicxml: .*{rule}"):
        read(bar(content))


def test_hostile_scores_take_linear_time() -> None:
    start = time.monotonic()
    endless = '<barline location="right"><repeat direction="backward" times="999999"/></barline>'
    with pytest.raises(MusicError, match="its repeats make more than 100000 bars"):
        read(bar(head(1) + note("C4", 4) + endless))
    crowd = bar(head(1) + note("C4", 4) + "".join(note("C4", 4, "<chord/>") for _ in range(5_000)))
    with pytest.raises(MusicError, match="5001 notes sound at once"):
        read(crowd)
    tied = bar(
        head(1) + note("C4", 4, '<tie type="start"/>') + note("C4", 4, "<chord/>", '<tie type="start"/>') * 5_000
    )
    with pytest.raises(MusicError, match="notes sound at once"):
        read(tied + bar((note("C4", 4, '<tie type="stop"/>') + "<backup><duration>4</duration></backup>") * 5_000, "2"))
    with pytest.raises(MusicError, match="more than 1000000 elements"):
        parse_musicxml(b"<score-partwise>" + b"<a/>" * 1_000_001 + b"</score-partwise>", "x")
    assert time.monotonic() - start < 40


def test_notes_that_played_would_be_too_many() -> None:
    many = "".join(note("C4", 1) for _ in range(2600))
    with pytest.raises(MusicError, match="more than 250000 notes are played"):
        read(bar(head(100) + many + '<barline location="right"><repeat direction="backward" times="100"/></barline>'))


def test_staves_of_one_part_are_filed_together() -> None:
    two = (
        note("C4", 4, "<staff>1</staff>")
        + "<backup><duration>4</duration></backup>"
        + note("C3", 4, "<staff>2</staff>")
    )
    found = read(bar(head(1) + two), bar(head(1) + note("C5", 4)))
    assert [p.track for p in found.parts] == [0, 0, 1]
    assert np.bincount(found.part).tolist() == [1, 1, 1]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.data.attributes import attributes, bar_figures, classes, key_of, plan_of
from generator.data.tokens import bar_lines, decode, encode, quantise
from generator.data.variation import VARIATIONS, displace, invert, ornament
from generator.data.vocabulary import VOCABULARY
from generator.data.windows import AUGMENTATIONS, Windows, scale_tempo
from music.notes import Part, Tempo, TimeSignature, build

SONG = build(
    [0, 0, 0, 2, 2, 2, 3, 3, 4, 6, 6],
    [2, 2, 2, 1, 1, 1, 1, 1, 2, 1, 1],
    [60, 64, 67, 65, 69, 36, 60, 36, 67, 71, 62],
    part=[1, 1, 1, 1, 1, 2, 1, 2, 1, 1, 1],
    parts=[Part(), Part(program=24), Part(is_drum=True)],
    tempos=[Tempo(0, 60), Tempo(2, 90)],
    time_signatures=[TimeSignature(0, 4, 4)],
)


def test_attributes_by_hand():
    found = attributes(quantise(SONG))
    assert found.key == "C major"
    assert found.meter == (4, 4)
    assert found.tempo_bpm == 90
    assert found.density == pytest.approx(11 / 8)
    assert found.density_class == 0
    assert found.polyphony == pytest.approx((6 + 2 + 1 + 2 + 2) / 7)
    assert found.polyphony_class == 2
    assert found.programs == (24, 128)
    assert found.families == ("guitar", "drums")
    assert (found.tempo, found.thickness, found.register) == ("medium", "sparse", "middle")


def test_figures_of_bars_add_up_to_those_of_the_piece():
    song = quantise(SONG)
    figures = bar_figures(song)
    assert figures.shape == (2, 16)
    np.testing.assert_allclose(figures[0, [0, 4, 5, 7, 9]], [3, 2, 1, 2, 1])
    np.testing.assert_allclose(figures[:, 12:], [[8, 4, 9, 4], [3, 4, 4, 3]])
    assert classes(figures[0]) == (2, 2)
    assert classes(figures) == (0, 2)
    assert key_of(figures) == attributes(song).key


def test_silence_and_drums_have_no_key():
    for sequence in (build([], [], []), build([0], [1], [36], parts=[Part(is_drum=True)])):
        found = attributes(quantise(sequence))
        assert (found.key, found.polyphony_class, found.register) == ("", 0, "")


def test_a_plan_says_the_chords_and_classes_of_its_bars():
    song = quantise(SONG)
    plan = plan_of(song, bar_figures(song))
    assert plan.bars == ((2, 2), (0, 1))
    assert VOCABULARY[plan.chords[0][1]] == "Chord C:maj"
    assert len(encode(song, plan=plan)) > len(encode(song))


@st.composite
def songs(draw):
    note = st.tuples(st.integers(0, 300), st.integers(1, 100), st.integers(30, 90), st.integers(0, 1))
    notes = np.array(draw(st.lists(note, min_size=1, max_size=40)), dtype=np.int64)
    parts = [Part(), Part(is_drum=True)]
    song = build(notes[:, 0] / 24, notes[:, 1] / 24, notes[:, 2], part=notes[:, 3], parts=parts)
    return quantise(song)


@settings(max_examples=50, deadline=None)
@given(songs(), st.integers(0, 1000))
def test_figures_are_finite_and_notes_are_all_counted(song, seed):
    figures = bar_figures(song)
    assert len(figures) == len(bar_lines(song)) - 1
    assert (figures >= -1e-9).all()
    assert figures[:, 12].sum() == len(song)
    assert (figures[:, 15] <= figures[:, 13] + 1e-9).all()
    for vary in VARIATIONS.values():
        varied = vary(song, np.random.default_rng(seed))
        drums = varied.select(varied.is_drum)
        np.testing.assert_array_equal(drums.pitch, song.select(song.is_drum).pitch)
        np.testing.assert_array_equal(drums.onset_beat, song.select(song.is_drum).onset_beat)


SCALE = build(np.arange(16), np.ones(16), [60, 62, 64, 65, 67, 69, 71, 72, 72, 71, 69, 67, 65, 64, 62, 60])


def test_displacement_keeps_pitches_and_rhythm():
    moved = displace(SCALE, np.random.default_rng(0))
    np.testing.assert_array_equal(moved.pitch, SCALE.pitch)
    later = moved.onset_beat - SCALE.onset_beat
    assert len(set(later)) == 1
    assert later[0] in (0.5, 1.0)


def test_ornaments_keep_the_notes_and_add_neighbours_in_the_scale():
    song = build(np.arange(64) * 2, np.full(64, 2.0), np.tile(SCALE.pitch, 4))
    varied = ornament(song, np.random.default_rng(1))
    added = len(varied) - len(song)
    assert added > 0
    assert added % 2 == 0
    kept = {*zip(varied.onset_beat.tolist(), varied.pitch.tolist(), strict=True)}
    assert {*zip(song.onset_beat.tolist(), song.pitch.tolist(), strict=True)} <= kept
    assert varied.duration_beat.sum() == pytest.approx(song.duration_beat.sum())
    assert set(varied.pitch % 12) <= {0, 2, 4, 5, 7, 9, 11}
    steps = np.abs(np.diff(varied.pitch))[np.diff(varied.onset_beat) < 2]
    assert set(steps.tolist()) <= {0, 1, 2}


def test_inversion_mirrors_in_the_scale():
    mirrored = invert(SCALE, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored.onset_beat, SCALE.onset_beat)
    assert set(mirrored.pitch % 12) <= {0, 2, 4, 5, 7, 9, 11}
    np.testing.assert_array_equal(np.sign(np.diff(mirrored.pitch)), -np.sign(np.diff(SCALE.pitch)))


def test_windows_are_headed_by_what_they_are_like():
    longer = build(
        np.concatenate([SONG.onset_beat + 8 * i for i in range(4)]),
        np.tile(SONG.duration_beat, 4),
        np.tile(SONG.pitch, 4),
        part=np.tile(SONG.part, 4),
        parts=SONG.parts,
    )
    pieces = [np.array(encode(longer.transpose(i))) for i in range(3)]
    rows = Windows(pieces, 64, 5, conditions=True, artists=[0, -1, 5], augment=AUGMENTATIONS).rows(200, [1])
    seen = set()
    for row in rows:
        line = row[row > 0]
        names = [VOCABULARY[t] for t in line]
        seen |= {name.split()[0] for name in names}
        if VOCABULARY[line[-1]] != "EOS":  # its last bar is cut
            continue
        found = attributes(decode(line))
        said = dict(name.split(maxsplit=1) for name in names if name.startswith(("Key", "Density", "Polyphony")))
        assert said.get("Key", found.key) == found.key
        assert said.get("Density", str(found.density_class)) == str(found.density_class)
        assert said.get("Polyphony", str(found.polyphony_class)) == str(found.polyphony_class)
    assert {"Artist", "Key", "Density", "Polyphony", "Plan", "Chord", "MID", "BOS"} <= seen
    plain = Windows(pieces, 128, 5).rows(50, [1])
    assert not {"Artist", "Key", "Plan"} & {VOCABULARY[t].split()[0] for t in plain.flatten()}


def test_windows_repeat_with_their_key():
    pieces = [np.array(encode(SONG))]
    how = {"conditions": True, "augment": AUGMENTATIONS}
    one, two = (Windows(pieces, 64, 3, **how).rows(8, [7, 3]) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_tempos_are_multiplied_within_the_vocabulary():
    tokens = np.array(encode(SONG))
    assert attributes(decode(scale_tempo(tokens, 2.0))).tempo_bpm == 180
    assert attributes(decode(scale_tempo(tokens, 100.0))).tempo_bpm == 300

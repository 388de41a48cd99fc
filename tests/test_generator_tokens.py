from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies._internal.core import DataObject
from numpy.typing import NDArray

from generator.data.grammar import Grammar
from generator.data.tokens import (
    Plan,
    bar_lines,
    bar_starts,
    controls_of,
    decode,
    decode_counted,
    encode,
    movable,
    quantise,
    transpose_tokens,
    window,
)
from generator.data.vocabulary import (
    BOS,
    CHORD,
    EOS,
    MID,
    QUALITIES,
    VOCABULARY,
    VOCABULARY_DIGEST,
    GeneratorError,
    chord_token,
    key_token,
)
from music.notes import NoteSequence, Part, Tempo, TimeSignature, build


def names(tokens: list[int] | NDArray[np.int64]) -> list[str]:
    return [VOCABULARY[t] for t in tokens]


def assert_same(a: NoteSequence, b: NoteSequence) -> None:
    for column in ("onset_beat", "duration_beat", "pitch", "velocity", "part"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column), err_msg=column)
    assert a.parts == b.parts
    assert a.tempos == b.tempos
    assert a.time_signatures == b.time_signatures


DUET = build(
    [0, 0, 1, 1.5, 3],
    [1, 2, 0.5, 0.5, 5],
    [72, 60, 74, 76, 48],
    [80, 80, 80, 64, 80],
    [0, 1, 0, 0, 1],
    parts=[Part("flute", 73), Part("harp", 46)],
    tempos=[Tempo(0, 90), Tempo(3, 60)],
    time_signatures=[TimeSignature(0, 3, 4)],
)


def test_a_duet_is_written_as_worked_out_by_hand() -> None:
    assert names(encode(DUET)) == [
        "BOS", "Tempo 90", "Program 73", "Program 46",
        "Bar 3/4", "Position 0", "Duration 24", "Pitch 72", "Part 1", "Duration 48", "Pitch 60",
        "Position 24", "Duration 12", "Pitch 74", "Position 36", "Velocity 64", "Pitch 76",
        "Bar 3/4", "Position 0", "Tempo 60", "Part 1", "Long", "Duration 24", "Pitch 48", "EOS",
    ]  # fmt: skip


def test_the_duet_comes_back() -> None:
    assert_same(decode(encode(DUET)), quantise(DUET))
    np.testing.assert_array_equal(quantise(DUET).onset_beat, DUET.onset_beat)
    np.testing.assert_array_equal(quantise(DUET).duration_beat, DUET.duration_beat)


PLAN = Plan(((2, 2), (0, 1)), ((0, chord_token(0, "maj")), (24, chord_token(9, "min7")), (72, chord_token(None, ""))))
CONTROLS = [VOCABULARY.index(name) for name in ("Artist 3", "Key A minor", "Density 2", "Polyphony 1")]


def test_controls_and_a_plan_are_written_as_worked_out_by_hand() -> None:
    assert names(encode(DUET, CONTROLS, PLAN)) == [
        "BOS", "Artist 3", "Key A minor", "Density 2", "Polyphony 1", "Plan", "Tempo 90", "Program 73", "Program 46",
        "Bar 3/4", "BarDensity 2", "BarPolyphony 2", "Chord C:maj",
        "Position 0", "Duration 24", "Pitch 72", "Part 1", "Duration 48", "Pitch 60",
        "Position 24", "Chord A:min7", "Duration 12", "Pitch 74", "Position 36", "Velocity 64", "Pitch 76",
        "Bar 3/4", "BarDensity 0", "BarPolyphony 1", "Chord N",
        "Position 0", "Tempo 60", "Part 1", "Long", "Duration 24", "Pitch 48", "EOS",
    ]  # fmt: skip
    tokens = np.array(encode(DUET, CONTROLS, PLAN))
    assert [VOCABULARY[t] for t in tokens[controls_of(tokens)]] == [
        "Artist 3", "Key A minor", "Density 2", "Polyphony 1", "Plan",
    ]  # fmt: skip


def test_a_plan_of_other_bars_is_refused() -> None:
    with pytest.raises(GeneratorError, match="a plan of 1 bars; the music has 2"):
        encode(DUET, plan=Plan(((0, 0),)))


def test_key_and_chords_move_with_the_notes() -> None:
    tokens = np.array(encode(DUET, [key_token("Bb minor")], PLAN))
    moved = transpose_tokens(tokens, movable(tokens), 3)
    said = names(moved)
    assert "Key C# minor" in said
    assert [n for n in said if n.startswith("Chord")] == ["Chord Eb:maj", "Chord C:min7", "Chord N"]
    assert_same(decode(moved), quantise(DUET.transpose(3)))
    np.testing.assert_array_equal(transpose_tokens(moved, movable(moved), -3), tokens)


def test_a_window_of_a_planned_line_keeps_the_header_and_reads_alone() -> None:
    tokens = np.array(encode(DUET, CONTROLS, PLAN))
    cut, header = window(tokens, int(bar_starts(tokens)[1]), 512)
    assert names(cut[:header]) == ["MID", *names(CONTROLS), "Plan", "Tempo 90", "Program 73", "Program 46"]
    assert decode_counted(cut)[1] == 0


def test_a_chord_is_not_said_again_and_controls_keep_their_order() -> None:
    state = Grammar()
    for token in encode(DUET, plan=PLAN)[:-1]:
        state.push(token)
        if VOCABULARY[token] == "Position 24":
            assert not state.allowed_mask()[chord_token(0, "maj")]
            assert state.allowed_mask()[chord_token(7, "maj")]
    state = Grammar()
    state.push(BOS)
    state.push(key_token("C major"))
    with pytest.raises(GeneratorError, match="may not follow 'Key C major'"):
        state.push(CONTROLS[0])


def test_32nds_and_triplets_of_16ths_lie_on_the_grid() -> None:
    onset = np.concatenate([np.arange(8) / 8, 1 + np.arange(6) / 6])
    fine = build(onset, np.concatenate([np.full(8, 1 / 8), np.full(6, 1 / 6)]), np.full(14, 60))
    back = decode(encode(fine))
    np.testing.assert_allclose(back.onset_beat, fine.onset_beat, atol=1e-12)
    np.testing.assert_allclose(back.duration_beat, fine.duration_beat, atol=1e-12)


def test_drums_stay_drums_and_do_not_move() -> None:
    band = build([0, 0, 1], [1, 1, 1], [36, 60, 38], part=[0, 1, 0], parts=[Part(is_drum=True), Part(program=5)])
    tokens = np.array(encode(band))
    assert decode(tokens).parts == (Part(is_drum=True), Part(program=5))
    assert [VOCABULARY[t] for t in tokens[movable(tokens)]] == ["Pitch 60"]
    assert_same(decode(tokens + 2 * movable(tokens)), quantise(band.transpose(2)))


def test_a_pickup_is_a_short_bar() -> None:
    song = build([0, 1, 5], [1, 4, 4], [60, 62, 64], time_signatures=[TimeSignature(0, 4, 4), TimeSignature(1, 4, 4)])
    assert [n for n in names(encode(song)) if n.startswith("Bar")] == ["Bar 1/4", "Bar 4/4", "Bar 4/4"]


def bars_said(sequence: NoteSequence) -> list[str]:
    return [n.removeprefix("Bar ") for n in names(encode(sequence)) if n.startswith("Bar ")]


def test_a_bar_longer_than_any_meter_is_written_as_several() -> None:
    song = build([0, 9], [1, 1], [60, 62], time_signatures=[TimeSignature(0, 17, 8)])
    assert bars_said(song) == ["8/4", "1/8", "8/4"]
    np.testing.assert_array_equal(decode(encode(song)).onset_beat, song.onset_beat)


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ([0, 1, 5, 8, 12], ["1/4", "4/4", "3/4", "4/4", "4/4"]),  # a pickup, an underfull bar
        ([0, 4, 14], ["4/4", "8/4", "2/4"]),  # a cadenza of ten quarters
        ([0, 4 + 1 / 24, 8], ["4/4", "4/4", "4/4", "4/4"]),  # a line that misses the grid's by a tick
        ([0, 1 / 96, 4], ["4/4", "4/4", "4/4", "4/4"]),  # a bar of less than any meter
    ],
)
def test_bars_begin_where_those_of_the_sequence_do(starts: list[float], said: list[str]) -> None:
    song = build(np.arange(14), np.ones(14), np.full(14, 60), bar_starts=starts)
    assert bars_said(song)[: len(said)] == said
    assert_same(decode(encode(song)), quantise(song))


def test_double_notes_and_overlaps_have_one_form() -> None:
    muddle = build([0, 0, 1], [1, 3, 1], [60, 60, 60])
    np.testing.assert_array_equal(quantise(muddle).duration_beat, [1, 1])


def test_a_piece_without_notes_is_one_empty_bar() -> None:
    empty = build([], [], [])
    assert names(encode(empty)) == ["BOS", "Tempo 120", "Program 0", "Bar 4/4", "EOS"]
    assert_same(decode(encode(empty)), quantise(empty))


def test_too_many_parts_are_refused() -> None:
    crowd = build(
        np.zeros(33), np.ones(33), np.full(33, 60), part=np.arange(33), parts=[Part()] * 33, title="crowd.mid"
    )
    with pytest.raises(GeneratorError, match=r"crowd\.mid.*33 parts with notes; the vocabulary has 32"):
        encode(crowd)


def test_a_note_beyond_the_limit_is_refused() -> None:
    with pytest.raises(GeneratorError, match="a note at quarter 40000; the limit is 32768"):
        encode(build([0, 40000], [1, 1], [60, 60]))


@st.composite
def sequences(draw: Callable[..., Any]) -> NoteSequence:
    parts = draw(st.lists(st.builds(Part, st.just(""), st.integers(0, 127), st.booleans()), min_size=1, max_size=5))
    note = st.tuples(
        st.integers(0, 700),
        st.integers(1, 1536),
        st.integers(0, 127),
        st.integers(1, 127),
        st.integers(0, len(parts) - 1),
    )
    notes = np.array(draw(st.lists(note, max_size=40)), dtype=np.int64).reshape(-1, 5)
    meter = st.builds(TimeSignature, st.integers(0, 40), st.integers(1, 20), st.sampled_from([1, 2, 4, 8, 16, 32, 64]))
    tempo = st.builds(Tempo, st.integers(0, 40), st.floats(5, 500))
    return build(
        notes[:, 0] / 24,
        notes[:, 1] / 24,
        notes[:, 2],
        notes[:, 3],
        notes[:, 4],
        parts=parts,
        tempos=draw(st.lists(tempo, max_size=3)),
        time_signatures=draw(st.lists(meter, max_size=3)),
    )


@settings(max_examples=150, deadline=None)
@given(sequences())
def test_round_trip_loses_nothing_on_the_grid(sequence: NoteSequence) -> None:
    normal = quantise(sequence)
    tokens = encode(sequence)
    back, dropped = decode_counted(tokens)
    assert dropped == 0
    assert_same(back, normal)
    assert_same(quantise(normal), normal)
    assert encode(back) == tokens
    kept = {*zip(sequence.onset_beat, sequence.pitch, strict=True)}
    assert {*zip(normal.onset_beat, normal.pitch, strict=True)} == kept


@settings(max_examples=100, deadline=None)
@given(sequences(), st.data())
def test_a_planned_line_keeps_the_same_notes(sequence: NoteSequence, data: DataObject) -> None:
    normal = quantise(sequence)
    lines = bar_lines(normal)
    level = st.integers(0, 7)
    bars = data.draw(st.lists(st.tuples(level, level), min_size=len(lines) - 1, max_size=len(lines) - 1))
    chord = st.integers(CHORD, CHORD + 12 * len(QUALITIES))
    chords = data.draw(st.dictionaries(st.integers(0, int(lines[-1]) + 50), chord, max_size=8))
    plan = Plan(tuple(bars), tuple(sorted(chords.items())))
    controls = [c for c in CONTROLS if data.draw(st.booleans())]
    tokens = encode(normal, controls, plan)
    back, dropped = decode_counted(tokens)
    assert dropped == 0
    assert_same(back, normal)
    assert encode(back, controls, plan) == tokens
    plain = [t for t in tokens if not names([t])[0].startswith(("Bar", "Chord", "Plan", "Position"))]
    assert [t for t in plain if t not in controls] == [
        t for t in encode(normal) if not names([t])[0].startswith(("Bar", "Position"))
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-5, len(VOCABULARY) + 5), max_size=120))
def test_any_integers_decode(tokens: list[int]) -> None:
    sequence, dropped = decode_counted(tokens)
    assert 0 <= dropped <= len(tokens)
    assert_same(quantise(sequence), sequence)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_walk_inside_the_grammar_decodes_whole(seed: int) -> None:
    random = np.random.default_rng(seed)
    state = Grammar()
    tokens: list[int] = []
    while len(tokens) < 150 and state.last != EOS:
        tokens.append(int(random.choice(np.flatnonzero(state.allowed_mask()))))
        state.push(tokens[-1])
    sequence, dropped = decode_counted(tokens)
    assert dropped == 0
    assert sum(n.startswith("Pitch") for n in names(tokens)) == len(sequence)


def test_the_grammar_refuses_what_may_not_follow() -> None:
    state = Grammar()
    state.push(BOS)
    with pytest.raises(GeneratorError, match="token 3 may not follow 'BOS'"):
        state.push(EOS)
    with pytest.raises(GeneratorError, match="token -1 may not follow"):
        state.push(-1)


def test_nothing_follows_the_end() -> None:
    state = Grammar()
    for token in encode(DUET):
        assert state.allowed_mask()[token]
        state.push(token)
    assert not state.allowed_mask().any()


def test_a_window_reads_alone() -> None:
    tokens = np.array(encode(DUET))
    second = int(bar_starts(tokens)[1])
    cut, header = window(tokens, second, 512)
    assert names(cut[:header]) == ["MID", "Tempo 90", "Program 73", "Program 46"]
    np.testing.assert_array_equal(cut[header:], tokens[second:])
    sequence, dropped = decode_counted(cut)
    assert dropped == 0
    assert sequence.pitch.tolist() == [48]
    whole, header = window(tokens, int(bar_starts(tokens)[0]), 10)
    np.testing.assert_array_equal(whole, tokens[:10])
    assert header == 4
    assert MID not in whole


def test_the_vocabulary_is_frozen() -> None:
    """Models already trained depend on it: changing it must be a decision (and a new digest)."""
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 938
    assert VOCABULARY_DIGEST.startswith("44f307c89b1e43a0")

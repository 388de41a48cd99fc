"""Candidates of the copy search against plain searches of random voices, and on places that are damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from audit.search.index import IndexSegment
from audit.search.index_build import Columns, write_segment
from audit.search.lines import FIGURE, time_steps
from audit.search.seeds import CANDIDATE, LONG, PIECES, SHORT, Line, counters, find_candidates
from audit.search.surprise import transitions

VOICES = 300


def line(pitch: NDArray[np.int64], onset: NDArray[np.float64]) -> Line:
    n = len(pitch)
    bits = np.full(n, 4, np.float32), np.full(n, 2, np.float32)
    return Line(pitch.astype(np.uint8), time_steps(onset), onset.astype(np.float32), *bits, np.arange(n))


def random_voice(rng: np.random.Generator, notes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return rng.integers(48, 72, notes), np.cumsum(rng.choice([0.25, 0.5, 1.0, 1.5], notes))


@pytest.fixture(scope="module")
def voices() -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    rng = np.random.default_rng(1)
    return [random_voice(rng, int(n)) for n in rng.integers(6, 120, VOICES)]


@pytest.fixture(scope="module")
def segment(
    voices: list[tuple[NDArray[np.int64], NDArray[np.float64]]], tmp_path_factory: pytest.TempPathFactory
) -> IndexSegment:
    columns = Columns(
        np.concatenate([pitch for pitch, _ in voices]).astype(np.uint8),
        np.concatenate([time_steps(onset) for _, onset in voices]),
        np.array([len(pitch) for pitch, _ in voices]),
        np.arange(VOICES, dtype=np.int32),
        *transitions(voices[:1]),
    )
    return write_segment(tmp_path_factory.mktemp("segments"), ("a",), columns)


def shared_figures(
    query: NDArray[np.int64], voices: list[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> dict[int, set[tuple[int, int, int]]]:
    """(Position in the query, in the voice, semitones up) of every figure that each voice shares with the query."""
    own: dict[tuple[int, ...], list[int]] = {}
    for q in range(len(query) - FIGURE):
        own.setdefault(tuple(np.diff(query[q : q + FIGURE + 1]).tolist()), []).append(q)
    found: dict[int, set[tuple[int, int, int]]] = {}
    for number, (pitch, _) in enumerate(voices):
        steps = np.diff(pitch).tolist()
        for p in range(len(pitch) - FIGURE):
            for q in own.get(tuple(steps[p : p + FIGURE]), ()):
                found.setdefault(number, set()).add((q, p, int(pitch[p] - query[q])))
    return found


@pytest.mark.parametrize("length", [40, 150, 700])
def test_every_planted_copy_of_eight_notes_is_named(
    voices: list[tuple[NDArray[np.int64], NDArray[np.float64]]], segment: IndexSegment, length: int
) -> None:
    rng = np.random.default_rng(length)
    query, onset = random_voice(rng, length)
    planted = []
    for at in range(3, length - 8, 31):
        number = int(rng.choice([v for v in range(VOICES) if len(voices[v][0]) > 20]))
        start, shift = int(rng.integers(0, len(voices[number][0]) - 8)), int(rng.integers(-5, 6))
        query[at : at + 8] = voices[number][0][start : start + 8] - shift
        onset[at + 1 :] += voices[number][1][start + 7] * 0.7 - (onset[at + 7] - onset[at])
        onset[at : at + 8] = onset[at] + 0.7 * (voices[number][1][start : start + 8] - voices[number][1][start])
        planted.append((at, number, start, shift))
    onset = np.maximum.accumulate(onset + np.arange(length) * 1e-9)
    memory = counters(segment)
    found = find_candidates(segment, line(query, onset), len(segment.pitch), memory)
    assert not memory.any()
    assert found.dtype == CANDIDATE
    for at, number, start, shift in planted:
        rows = found[(found["voice"] == number) & (found["shift"] == shift)]
        rows = rows[(rows["low"] <= start - at) & (start - at <= rows["high"])]
        assert len(rows), (at, number)
        assert (rows["first"] <= at).any()
        assert (rows["last"] >= at + 7).any()
        assert rows["bits"].max() >= 7 * 4  # the pitch of all steps; a grid note before may have changed the tempo
    real = shared_figures(query, voices)
    for row in found:  # nothing is named that shares no figure
        there = real[int(row["voice"])]
        assert (int(row["hit_q"]), int(row["hit_p"]), int(row["shift"])) in there
        assert row["low"] <= row["hit_p"] - row["hit_q"] <= row["high"]
        assert row["first"] <= row["hit_q"]
        assert row["hit_q"] + FIGURE <= row["last"] < length


def test_a_window_names_so_many_pieces_by_bits_and_by_votes(
    voices: list[tuple[NDArray[np.int64], NDArray[np.float64]]], segment: IndexSegment
) -> None:
    pitch, onset = voices[7]
    memory = counters(segment)
    whole = find_candidates(segment, line(pitch, onset), len(segment.pitch), memory)
    best = whole[np.argmax(whole["bits"])]
    assert (best["voice"], best["shift"], best["low"], best["high"]) == (7, 0, 0, 0)
    assert (best["first"], best["last"]) == (0, len(pitch) - 1)
    assert best["bits"] == pytest.approx(4 * (len(pitch) - 1) + 2 * (len(pitch) - 2), abs=0.01)
    windows = 2 + 2 * len(pitch) // SHORT + 2 * len(pitch) // LONG
    assert len(whole) <= 2 * PIECES * windows
    again = find_candidates(segment, line(pitch, onset), len(segment.pitch), memory)
    assert np.array_equal(whole, again)


@pytest.mark.parametrize("notes", [0, 1, FIGURE, FIGURE + 1])
def test_short_lines_and_empty_segments(segment: IndexSegment, tmp_path: Path, notes: int) -> None:
    query = line(np.arange(60, 60 + notes), np.arange(notes, dtype=float))
    memory = counters(segment)
    assert len(find_candidates(segment, query, len(segment.pitch), memory)) == 0
    nothing = Columns(*(np.zeros(0, dtype) for dtype in (np.uint8, np.uint8, np.int64, np.int32)), *transitions([]))
    empty = write_segment(tmp_path, ("b",), nothing)
    assert len(find_candidates(empty, query, 0, counters(empty))) == 0


def test_a_budget_leaves_out_the_commonest_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    plain = np.tile([60, 62, 64, 62], 30)
    voices = [(plain, np.arange(120.0))] * 40
    rare = rng.integers(48, 72, 20)
    voices.append((np.concatenate([plain[:20], rare]), np.arange(40.0)))
    columns = Columns(
        np.concatenate([p for p, _ in voices]).astype(np.uint8),
        np.concatenate([time_steps(o) for _, o in voices]),
        np.array([len(p) for p, _ in voices]),
        np.arange(41, dtype=np.int32),
        *transitions(voices[:1]),
    )
    segment = write_segment(tmp_path, ("c",), columns)
    query = line(np.concatenate([plain[:48], rare]), np.arange(68.0))
    memory = counters(segment)
    assert len(np.unique(find_candidates(segment, query, len(segment.pitch), memory)["voice"])) > 20
    monkeypatch.setattr("audit.search.seeds.HITS_A_NOTE", 1)
    found = find_candidates(segment, query, len(segment.pitch), memory)
    assert set(found["voice"]) == {40}
    assert not memory.any()


def test_damaged_places_are_refused_and_never_followed(
    voices: list[tuple[NDArray[np.int64], NDArray[np.float64]]], segment: IndexSegment
) -> None:
    rng = np.random.default_rng(5)
    pitch = voices[7][0]
    query = line(pitch, np.arange(len(pitch), dtype=float))
    refused = 0
    for _ in range(60):
        places = segment.places.copy()
        places[rng.integers(0, len(places) - 1, 400)] ^= np.uint8(1 << rng.integers(0, 8))
        try:
            find_candidates(replace(segment, places=places), query, len(segment.pitch), counters(segment))
        except ValueError as error:
            assert "places.npy: " in str(error)  # noqa: PT017
            refused += 1
    assert refused > 20

"""Relatedness of whole lines: hand-worked features, and the order that a search gives to relatives."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import audit.search.relatedness as relatedness_module
from audit.find import find
from audit.policy import read_policy
from audit.search.corpus import SearchCorpus
from audit.search.index import IndexDamagedError
from audit.search.index_build import build_index
from audit.search.lines import time_steps
from audit.search.passages import lines_of, search
from audit.search.relatedness import USUAL, USUALLY, find_relatives, measure_usual, open_usual, relatedness, tunes_of
from audit.search.significance import Calibration
from audit.search.tune_features import inner_metric, line_features, phrase_places, unit_step
from corpus.ingest import ingest
from corpus.store import Store
from music.midi import write_midi
from music.notes import NoteSequence, Part, build

SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
NEVER = Calibration(0.0, 30.0, 1000, (0.0,))  # every passage is clear: E stays far above 1


def tune(seed: int, bars: int = 16) -> NoteSequence:
    """Make a diatonic melody of four-bar phrases, each bar one of three rhythms, that ends them on long notes."""
    rng = np.random.default_rng(seed)
    rhythms = ([1.0, 1.0, 1.0, 1.0], [1.5, 0.5, 1.0, 1.0], [0.5, 0.5, 1.0, 2.0])
    gaps = np.concatenate([[2.0, 2.0] if b % 4 == 3 else rhythms[rng.integers(3)] for b in range(bars)])
    degree = 14 + np.abs(np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4], len(gaps))) % 20 - 10)
    return build(np.cumsum(gaps) - gaps, gaps, 36 + 12 * (degree // 7) + SCALE[degree % 7])


def variant(base: NoteSequence, seed: int, share: float = 0.35) -> NoteSequence:
    """Sing `base` from memory: notes move to a neighbour, are split in two or left out."""
    rng = np.random.default_rng(seed)
    onset: list[float] = []
    pitch: list[int] = []
    for at, length, note in zip(base.onset_beat, base.duration_beat, base.pitch, strict=True):
        kind = rng.choice(["move", "split", "drop", "keep"], p=[share / 2, share / 4, share / 4, 1 - share])
        if kind == "drop" and onset:
            continue
        onset.append(float(at))
        pitch.append(int(note) + (int(rng.choice([-2, 2])) if kind == "move" else 0))
        if kind == "split":
            onset.append(float(at + length / 2))
            pitch.append(int(note) + int(rng.choice([-2, 2])))
    return build(onset, np.diff([*onset, onset[-1] + 2.0]), pitch)


def features(piece: NoteSequence, shift: int = 0, stretch: float = 1.0) -> np.ndarray:
    return line_features((piece.pitch + shift).astype(np.uint8), time_steps(piece.onset_beat * stretch))


def test_equal_lines_earn_all_that_a_note_can() -> None:
    own = features(tune(1))
    degree, shift = relatedness(own, own)
    assert degree == pytest.approx(1.0 + 0.3 + 0.925)  # pitch, interval, and no difference in the rest
    assert shift == 0


@pytest.mark.parametrize(("shift", "stretch"), [(5, 1.0), (-12, 1.0), (0, 2.0), (0, 0.5), (3, 4 / 3), (-4, 0.7)])
def test_key_and_tempo_do_not_matter(shift: int, stretch: float) -> None:
    own, moved = features(tune(1)), features(tune(1), shift, stretch)
    degree, found = relatedness(own, moved)
    assert found == shift
    assert degree == pytest.approx(2.225, abs=0.05)  # times are coded in steps of 3.5 %


def test_the_order_of_the_two_lines_hardly_matters() -> None:
    for seed in range(5):
        a, b = features(tune(seed)), features(variant(tune(seed), 1))
        assert relatedness(a, b)[0] == pytest.approx(relatedness(b, a)[0], rel=0.02)


def test_a_variant_is_closer_than_every_other_tune() -> None:
    pool = [features(tune(seed)) for seed in range(40)]
    for seed in range(10):
        query = features(variant(tune(seed), seed).transpose(3))
        degrees = [relatedness(query, line)[0] for line in pool]
        assert int(np.argmax(degrees)) == seed
        assert degrees[seed] > 1.5 * sorted(degrees)[-2]


def test_a_given_transposition_is_used() -> None:
    own = features(tune(1))
    assert relatedness(own, own, 0) == relatedness(own, own)
    assert relatedness(own, own, 1)[1] == 1
    assert relatedness(own, own, 1)[0] < relatedness(own, own)[0]


def test_inner_metric_weight_by_hand() -> None:
    # Onsets at 0, 1, 2, 3, 4 and 6 units: chains 0-1-2-3-4 (k = 4) and 0-2-4-6 (k = 3, no finer one holds the 6).
    weight = inner_metric(np.array([0, 12, 24, 36, 48, 72]))
    earned = np.array([16 + 9, 16, 16 + 9, 16, 16 + 9, 9]) + np.array([4, 0, 0, 4, 0, 4])  # and 0-3-6 (k = 2)
    np.testing.assert_allclose(weight, earned / earned.max())


def test_inner_metric_of_too_few_notes_is_nothing() -> None:
    np.testing.assert_array_equal(inner_metric(np.array([0, 5])), [0, 0])


def test_phrases_end_on_long_notes() -> None:
    length = np.log2(np.tile([1, 1, 1, 1, 1, 1, 1, 4.0], 3))
    np.testing.assert_allclose(phrase_places(length), np.tile(np.arange(8) / 7, 3))


def test_the_unit_is_the_commonest_note() -> None:
    onset = np.cumsum([0, 0.5, 0.5, 1.0, 0.5, 2.0, 0.5])
    assert unit_step(time_steps(onset)) == 100  # 20 log2(64 / 2)
    assert unit_step(time_steps(onset * 2)) == 120


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("families")
    for family in range(6):
        for member in range(3):
            write_midi(variant(tune(family), 10 * family + member, 0.5), folder / "src" / f"{family}{member}.mid")
    for seed in range(100, 130):
        write_midi(tune(seed), folder / "src" / f"{seed}.mid")
    ingest([folder / "src"], folder / "store", workers=1)
    return Store.open(folder / "store")


@pytest.fixture(scope="module")
def corpus(store: Store) -> SearchCorpus:
    index = build_index(store)
    tunes = tunes_of(index)
    assert tunes is not None
    return SearchCorpus(store, index, NEVER, measure_usual(index, tunes))


def test_relatives_come_first_where_nothing_was_copied(corpus: SearchCorpus) -> None:
    for family in range(6):
        query = variant(tune(family), 1000 + family, 0.5).transpose(-2)
        found = find(corpus, query, read_policy())
        assert {f.piece[0] for f in found[:3]} == {str(family)}
        assert {f.verdict for f in found} == {"clear"}


def test_a_relative_without_a_passage_is_listed_with_what_agrees(
    corpus: SearchCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = variant(tune(2), 1000, 0.5).transpose(-2)
    monkeypatch.setattr("audit.find.search", lambda *arguments: [])
    found = find(corpus, query, read_policy(), top=5)
    assert len(found) == 5
    assert found[0].piece[0] == "2"
    assert found[0].transposition == -2
    assert found[0].matched >= 2
    assert found[0].evalue == corpus.calibration.evalue(found[0].bits, len(query))


def test_a_copy_comes_before_every_relative(corpus: SearchCorpus) -> None:
    copied = Calibration(1.0, 0.0, corpus.index.notes, (0.0,))
    found = find(SearchCorpus(corpus.store, corpus.index, copied, corpus.tunes), tune(110), read_policy(), top=1000)
    assert (found[0].piece, found[0].verdict) == ("110.mid", "fail")
    flagged = [f.verdict != "clear" for f in found]
    assert flagged == sorted(flagged, reverse=True)
    assert len({f.piece for f in found}) > 10


def test_what_is_usual_is_kept_beside_the_index(corpus: SearchCorpus) -> None:
    tunes = tunes_of(corpus.index)
    assert tunes is not None
    assert corpus.tunes is not None
    known = open_usual(corpus.index, tunes)
    assert known is not None
    np.testing.assert_array_equal(known.usual, corpus.tunes.usual)
    assert 0 < known.usual.mean() < 0.6


def test_a_damaged_file_of_usual_scores_is_named(corpus: SearchCorpus) -> None:
    tunes = tunes_of(corpus.index)
    assert tunes is not None
    path = corpus.index.path / USUALLY
    kept = path.read_bytes()
    try:
        for wrong in ([0.1], "x", {"a": 1}):
            path.write_text(json.dumps(wrong))
            with pytest.raises(IndexDamagedError, match=USUALLY):
                open_usual(corpus.index, tunes)
    finally:
        path.write_bytes(kept)


def test_few_pieces_tell_nothing_about_what_is_usual(tmp_path: Path) -> None:
    for seed in range(3):
        write_midi(tune(seed), tmp_path / "src" / f"{seed}.mid")
    ingest([tmp_path / "src"], tmp_path / "store", workers=1)
    index = build_index(Store.open(tmp_path / "store"))
    tunes = tunes_of(index)
    assert tunes is not None
    np.testing.assert_allclose(measure_usual(index, tunes).usual, USUAL)


def test_a_large_index_compares_the_pieces_that_the_search_named(
    corpus: SearchCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relatedness_module, "CELLS", 1000)
    assert tunes_of(corpus.index) is None
    query = variant(tune(110), 1000, 0.1)
    here = lines_of(corpus.index, query)
    passages = search(corpus.index, here)
    row = corpus.store.index_of("110.mid")
    for tunes in (None, corpus.tunes):  # an index that is too large, and a query that is too long
        kin = find_relatives(corpus.index, tunes, here, passages)
        assert set(kin) == {p.piece for p in passages}
        assert max(kin, key=lambda piece: kin[piece].degree) == row
        assert find(SearchCorpus(corpus.store, corpus.index, NEVER, tunes), query, read_policy())[0].piece == "110.mid"


def nothing() -> NoteSequence:
    return build([], [], [])


def drums() -> NoteSequence:
    return build(np.arange(32), np.ones(32), np.full(32, 40), parts=[Part("kit", 0, True)])


def one_pitch() -> NoteSequence:
    return build(np.arange(32), np.ones(32), np.full(32, 60))


def very_long() -> NoteSequence:
    return build(np.arange(700) / 2, np.full(700, 0.5), 60 + SCALE[np.arange(700) * 3 % 7])


def unevenly_long() -> NoteSequence:
    return build([0, 1 / 64, 1 / 32, 400, 401, 900, 901], np.ones(7), [0, 127, 60, 61, 127, 0, 1])


@pytest.mark.parametrize("query", [nothing, drums, one_pitch, very_long, unevenly_long])
def test_odd_queries_are_answered(corpus: SearchCorpus, query: Callable[[], NoteSequence]) -> None:
    for finding in find(corpus, query(), read_policy(), top=100):
        assert finding.matched >= 2
        assert np.isfinite(finding.bits)

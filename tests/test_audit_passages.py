"""Copy search on tunes made here: what was copied is found, where it lies on both sides, and nothing else."""

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from audit.find import find
from audit.findings import strongest_verdict
from audit.policy import check_policy, read_policy
from audit.search.align import MIN_PAIRS, align
from audit.search.corpus import SearchCorpus
from audit.search.index_build import build_index
from audit.search.lines import FIGURE, hash_figures, query_table
from audit.search.passages import lines_of, search
from audit.search.significance import (
    FALLBACK,
    SUPPORT,
    Calibration,
    Chain,
    calibrate,
    chain_of,
    fit,
    query_notes,
    random_melody,
)
from audit.search.surprise import INTERVALS, LEAP, interval_symbols, model_of, ratio_symbols, surprise, transitions
from audit.track import Compared, conclude
from corpus.ingest import ingest
from corpus.rights import read_rights
from corpus.store import Store
from music.midi import write_midi
from music.notes import NoteSequence, Part, build

SCALE = np.array([0, 2, 4, 5, 7, 9, 11])


def tune(seed: int, notes: int = 96) -> NoteSequence:
    """Make a diatonic melody by random walk, in quavers and quarters."""
    rng = np.random.default_rng(seed)
    degree = np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3, 4, -4], notes))
    degree = 14 + np.abs(degree % 20 - 10)
    gaps = rng.choice([0.5, 0.5, 0.5, 1.0, 1.5], notes)
    onset = np.concatenate([[0], np.cumsum(gaps)[:-1]])
    return build(onset, gaps, 36 + 12 * (degree // 7) + SCALE[degree % 7])


def joined(*tunes: NoteSequence) -> NoteSequence:
    onset, at = [], 0.0
    for t in tunes:
        onset.append(t.onset_beat - t.onset_beat[0] + at)
        at = onset[-1][-1] + t.duration_beat[-1]
    return build(
        np.concatenate(onset),
        np.concatenate([t.duration_beat for t in tunes]),
        np.concatenate([t.pitch for t in tunes]),
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SearchCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(60):
        write_midi(tune(i), folder / "src" / f"{i:02d}.mid")
    ingest([folder / "src"], folder / "store", workers=1)
    store = Store.open(folder / "store")
    index = build_index(store)
    return SearchCorpus(store, index, calibrate(store, index))


@pytest.fixture(scope="module")
def licensed(corpus: SearchCorpus, tmp_path_factory: pytest.TempPathFactory) -> SearchCorpus:
    """Make a store of 20 tunes, of which only 17.mid has rights on file."""
    folder = tmp_path_factory.mktemp("licensed")
    for i in range(20):
        write_midi(tune(i), folder / "src" / f"{i}.mid")
    (folder / "rights.csv").write_text("path,artist,licence\n17.mid,Our Band,CC0\n")
    ingest([folder / "src"], folder / "store", rights=read_rights(folder / "rights.csv"), workers=1)
    store = Store.open(folder / "store")
    return SearchCorpus(store, build_index(store), corpus.calibration)


def paths(corpus: SearchCorpus, query: NoteSequence) -> list[str]:
    return list(dict.fromkeys(corpus.store.pieces[p.piece].path for p in search(corpus.index, query)))


@pytest.mark.parametrize("shift", [0, 5, -7])
@pytest.mark.parametrize("stretch", [1.0, 0.6, 4 / 3, 2.0])
def test_a_whole_copy_comes_first_in_every_key_and_tempo(corpus: SearchCorpus, shift: int, stretch: float) -> None:
    base = tune(17).transpose(shift)
    query = build(base.onset_beat * stretch, base.duration_beat * stretch, base.pitch)
    assert paths(corpus, query)[0] == "17.mid"
    best = find(corpus, query, read_policy())[0]
    assert (best.transposition, best.matched, best.notes) == (shift, 96, 96)
    assert best.tempo_ratio == pytest.approx(stretch, rel=1e-6)
    assert best.in_time == 96
    assert best.verdict == "fail"


def test_a_fragment_inside_other_music_is_found_with_its_place(corpus: SearchCorpus) -> None:
    source = tune(30)
    cut = source.select(np.arange(40, 64)).transpose(3)
    before, after = tune(1001, 60), tune(1002, 60)
    query = joined(before, cut, after)
    finding = find(corpus, query, read_policy())[0]
    start = float(query.onset_s[60])
    end = float(query.onset_s[83] + query.duration_s[83])
    assert finding.piece == "30.mid"
    assert finding.verdict in ("review", "fail")
    assert finding.query_span_s[0] == pytest.approx(start, abs=1.0)
    assert finding.query_span_s[1] == pytest.approx(end, abs=1.0)
    assert finding.piece_span_s[0] == pytest.approx(float(source.onset_s[40]), abs=1.0)
    assert finding.transposition == 3
    pairs = [n.pair for n in finding.query_notes if n.pair is not None]
    assert pairs == sorted(pairs)
    assert len(pairs) == finding.matched


def test_ornaments_do_not_hide_a_copy(corpus: SearchCorpus) -> None:
    rng = np.random.default_rng(4)
    base = tune(8)
    pitch = base.pitch + np.where(rng.random(96) < 0.15, rng.choice([-2, -1, 1, 2], 96), 0)
    keep = rng.random(96) > 0.1
    query = build(base.onset_beat[keep], base.duration_beat[keep], pitch[keep])
    assert paths(corpus, query)[0] == "08.mid"


def test_a_tune_in_a_merged_part_is_found(corpus: SearchCorpus) -> None:
    base = tune(12)
    onset = np.arange(0, base.end_beat, 1.0)
    bass = 36 + 7 * (np.arange(len(onset)) % 2)
    query = build(
        np.concatenate([base.onset_beat, onset]),
        np.concatenate([base.duration_beat, np.full(len(onset), 1.0)]),
        np.concatenate([base.pitch, bass]),
    )
    assert paths(corpus, query)[0] == "12.mid"


def test_the_other_parts_of_a_copy_are_matched_too(corpus: SearchCorpus, tmp_path: Path) -> None:
    lead, under = tune(70, 60), tune(71, 60)
    both = build(
        np.concatenate([lead.onset_beat, under.onset_beat]),
        np.concatenate([lead.duration_beat, under.duration_beat]),
        np.concatenate([lead.pitch + 12, under.pitch - 12]),
        part=np.repeat([0, 1], 60),
        parts=[Part("lead"), Part("under")],
    )
    write_midi(both, tmp_path / "src" / "duet.mid")
    for i in range(20):
        write_midi(tune(i), tmp_path / "src" / f"{i}.mid")
    ingest([tmp_path / "src"], tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store")
    duet = SearchCorpus(store, build_index(store), corpus.calibration)
    finding = find(duet, both.transpose(4), read_policy())[0]
    assert (finding.piece, finding.matched) == ("duet.mid", 60)
    assert finding.all_matched == finding.all_notes > 90
    assert all(note.in_time for note in finding.query_notes)


def test_a_tune_in_another_rhythm_is_found_by_its_pitches(corpus: SearchCorpus) -> None:
    query = build(np.arange(96) / 2, np.full(96, 0.5), tune(17).pitch + 2)
    best = find(corpus, query, read_policy())[0]
    assert (best.piece, best.transposition, best.matched, best.notes) == ("17.mid", 2, 96, 96)
    assert best.in_time < 48
    assert best.verdict == "fail"
    # All pitches after the first, without any rhythm, less what is paid once.
    assert best.bits == pytest.approx(surprise(corpus.index.style, query.pitch, query.onset_beat)[0][1:].sum() - 10)
    # In time alone, its notes are worth much less.
    line, piece = lines_of(corpus.index, query)[0], tune(17)
    timed = align(
        (line.pitch, line.onset, line.pitch_bits, line.rhythm_bits),
        (piece.pitch.astype(np.int16), piece.onset_beat.astype(np.float32)),
        -2, 0.6, -5, 5,
    )  # fmt: skip
    assert timed.bits < best.bits / 3


def test_unrelated_music_is_clear(corpus: SearchCorpus) -> None:
    verdicts = [strongest_verdict([f.verdict for f in find(corpus, tune(5000 + i), read_policy())]) for i in range(20)]
    assert verdicts.count("clear") >= 18
    assert "fail" not in verdicts


def test_drums_and_plain_figures_say_nothing(corpus: SearchCorpus) -> None:
    base = tune(20)
    drums = build(base.onset_beat, base.duration_beat, base.pitch, parts=[Part("kit", 0, True)])
    assert search(corpus.index, drums) == []
    scale = build(np.arange(64) / 2, np.full(64, 0.5), 60 + SCALE[np.arange(64) % 7])
    assert strongest_verdict([f.verdict for f in find(corpus, scale, read_policy())]) == "clear"
    assert search(corpus.index, build([], [], [])) == []


def test_a_short_passage_of_broken_chords_says_less_than_others_and_a_whole_piece_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    gaps = rng.choice([0.5, 0.5, 1.0], 64)
    leaps = np.cumsum(rng.choice([-9, -7, -5, -4, -3, 3, 4, 5, 7, 8], 64))
    chords = build(np.cumsum(gaps) - gaps, gaps, 40 + np.abs(leaps % 80 - 40))
    write_midi(chords, tmp_path / "src" / "chords.mid")
    for i in range(30):
        write_midi(tune(i), tmp_path / "src" / f"{i}.mid")
    ingest([tmp_path / "src"], tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store")
    index = build_index(store)
    made = SearchCorpus(store, index, Calibration(0.6, -10.0, index.notes, ()))
    rules = read_policy()
    plain = check_policy({**rules.values, "copy": {**rules.values["copy"], "common_factor": 1}}, "plain")
    verdicts = {}
    for notes in (12, 20):
        query = joined(tune(2001, 40), chords.select(np.arange(20, 20 + notes)).transpose(2), tune(2002, 40))
        found = [find(made, query, policy)[0] for policy in (plain, rules)]
        assert {(f.piece, f.commonplace) for f in found} == {("chords.mid", "broken chords")}
        verdicts[notes] = [f.verdict for f in found]
    assert verdicts == {12: ["review", "clear"], 20: ["fail", "review"]}
    whole = find(made, chords.transpose(2), rules)[0]
    assert (whole.verdict, whole.commonplace, whole.matched) == ("fail", "broken chords", 64)


@pytest.mark.parametrize(
    ("allow", "says"),
    [
        ({"licences": ["CC0"]}, "licence CC0"),
        ({"artists": ["Our Band"]}, "artist Our Band"),
        ({"pieces": ["*7.mid", "17.mid"]}, "pieces *7.mid"),
        ({"licences": ["PD"], "artists": ["Others"], "pieces": ["1.mid"]}, ""),
    ],
)
def test_a_source_that_may_be_used_is_shown_and_clear(
    licensed: SearchCorpus, allow: dict[str, list[str]], says: str
) -> None:
    rules = read_policy()
    policy = check_policy({**rules.values, "copy": {**rules.values["copy"], "allow": allow}}, "own")
    query = joined(tune(1001, 40), tune(17).transpose(3), tune(1002, 40))
    found = find(licensed, query, policy)
    assert (found[0].piece, found[0].allowed) == ("17.mid", says)
    assert (found[0].matched >= 96, found[0].rights["licence"], found[0].artist) == (True, "CC0", "Our Band")
    report = conclude(licensed, policy, Compared({"name": "x"}, found))
    if says:
        assert {f.verdict for f in found} == {"clear"}
        assert (report.outcome, report.reasons) == ("pass", ())
        assert report.findings[0].allowed == says
    else:
        assert (found[0].verdict, report.outcome) == ("fail", "fail")


def test_a_duplicate_of_a_piece_that_may_be_used_may_be_too(licensed: SearchCorpus, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(licensed.store.path, store)
    write_midi(tune(17).transpose(-2), tmp_path / "more" / "again.mid")
    ingest([tmp_path / "more"], store, workers=1)
    opened = Store.open(store)
    two = SearchCorpus(opened, build_index(opened), licensed.calibration)
    rules = read_policy()
    policy = check_policy({**rules.values, "copy": {**rules.values["copy"], "allow": {"pieces": ["17.mid"]}}}, "own")
    found = {f.piece: (f.verdict, f.allowed) for f in find(two, tune(17), policy)}
    assert found["17.mid"] == found["again.mid"] == ("clear", "pieces 17.mid")


def test_a_copy_shorter_than_the_bars_asked_for_is_clear(corpus: SearchCorpus) -> None:
    rules = read_policy()
    query = tune(17)
    bars = float(query.onset_beat[-1]) / 4  # 4/4, from the first note's onset to the last one's
    for asked, verdict in ((bars - 0.1, "fail"), (bars + 0.1, "clear")):
        policy = check_policy({**rules.values, "copy": {**rules.values["copy"], "min_bars": asked}}, "bars")
        assert find(corpus, query, policy)[0].verdict == verdict


def test_what_other_works_hold_too_is_a_common_figure(corpus: SearchCorpus, tmp_path: Path) -> None:
    shared = tune(900, 16)
    for i in range(20):
        whole = joined(tune(i, 40), shared, tune(100 + i, 40)) if i < 3 else tune(i)
        write_midi(whole, tmp_path / "src" / f"{i}.mid")
    ingest([tmp_path / "src"], tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store")
    made = SearchCorpus(store, build_index(store), corpus.calibration)
    rules = read_policy()
    verdicts = []
    for works in (3, 2):  # each of the three has two others beside it
        policy = check_policy({**rules.values, "copy": {**rules.values["copy"], "common_works": works}}, "works")
        found = find(made, joined(tune(1001, 40), shared, tune(1002, 40)), policy)[:3]
        assert {(f.piece, f.other_works) for f in found} == {(f"{i}.mid", 2) for i in range(3)}
        verdicts.append({f.verdict for f in found})
    assert verdicts == [{"review"}, {"clear"}]


def test_figures_are_the_intervals() -> None:
    up = np.array([60, 62, 64, 65, 67, 69, 71], np.uint8)
    codes = hash_figures(up, 24)
    assert len(codes) == len(up) - FIGURE
    assert np.array_equal(codes, hash_figures(up + 5, 24))
    assert codes[0] != codes[1]
    assert len(hash_figures(up[:5], 24)) == 0
    wide = np.array([20, 60, 62, 64, 65, 67], np.uint8)
    assert np.array_equal(hash_figures(wide, 24), hash_figures(wide + np.array([3, 0, 0, 0, 0, 0], np.uint8), 24))
    assert hash_figures(up, 8).max() < 256


@pytest.mark.parametrize(("wrong", "bits"), [(1, 20.0), (2, 20.0), (3, 18.0), (-7, 18.0)])
def test_alignment_by_hand(wrong: int, bits: float) -> None:
    # Six notes, each worth 4 bits of pitch and 2 of rhythm. The third is substituted: -3 bits up to two semitones away,
    # -5 beyond. The first pair is free; notes 1, 4, 5 earn 6 each, and note 3, after the break, at most 3 + 2:
    # 6 - 3 + 5 + 6 + 6 = 20.
    pitch = np.array([60, 62, 64, 65, 67, 69], np.int16)
    other = np.array([65, 67, 69 + wrong, 70, 72, 74], np.int16)  # five semitones up, the third one wrong
    onset = np.arange(6, dtype=np.float32)
    pitch_bits, rhythm = np.full(6, 4, np.float32), np.full(6, 2, np.float32)
    found = align((pitch, onset, pitch_bits, rhythm), (other, 2 * onset), 5, 0.5, -3, 3)
    assert found.bits == pytest.approx(bits)
    assert found.pairs.tolist() == [[0, 0], [1, 1], [3, 3], [4, 4], [5, 5]]
    assert found.in_time.all()


def test_alignment_across_an_added_note_keeps_time() -> None:
    # The query splits note 2 in two: one gap (-4). Notes 1, 2 earn 6 each, note 4 (re-entry) 3 + 2, note 5 six.
    query = np.array([60, 62, 64, 66, 65, 67], np.int16)
    onset = np.array([0, 1, 2, 2.5, 3, 4], np.float32)
    piece = np.array([60, 62, 64, 65, 67], np.int16)
    bits, rhythm = np.full(6, 4, np.float32), np.full(6, 2, np.float32)
    found = align((query, onset, bits, rhythm), (piece, np.arange(5, dtype=np.float32)), 0, 1.0, -3, 3)
    assert found.pairs.tolist() == [[0, 0], [1, 1], [2, 2], [4, 3], [5, 4]]
    assert found.bits == pytest.approx(6 + 6 - 4 + 5 + 6)


def test_the_markov_model_by_hand() -> None:
    # Steps 0 0 1 0 0 1, so the runs of four 0010, 0100, 1001. Their last steps: N(0) = 2, N(1) = 1, two kinds.
    voice = (np.array([60, 60, 60, 61, 61, 61, 62]), np.arange(7.0))
    intervals, ratios = transitions([voice, (np.array([50, 50]), np.arange(2.0))])
    assert (intervals.sum(), intervals[LEAP, LEAP, LEAP + 1, LEAP]) == (3, 1)
    model = model_of([intervals, 0 * intervals], [ratios]).interval
    zero, one, new = LEAP, LEAP + 1, LEAP + 2
    none = [(n + 2 / INTERVALS) / (3 + 2) for n in (2, 1, 0)]
    assert model[new, new, new, [zero, one, new]] == pytest.approx(none)
    # After 1 only 0 was seen, once; after 0 both, once each. The symbols before were never seen.
    assert model[new, new, one, zero] == pytest.approx((1 + none[0]) / 2)
    assert model[new, new, zero, one] == pytest.approx((1 + 2 * none[1]) / 4)
    # After 0 1 and 0 0 1 only 0, once.
    second = (1 + (1 + none[0]) / 2) / 2
    assert model[new, zero, one, zero] == pytest.approx(second)
    assert model[zero, zero, one, zero] == pytest.approx((1 + second) / 2)
    assert model.sum(axis=-1) == pytest.approx(np.ones((INTERVALS,) * 3), abs=1e-5)


def test_a_style_is_learned_in_parts() -> None:
    voices = [(t.pitch, t.onset_beat) for t in map(tune, range(6))]
    whole, parts = transitions(voices), [transitions(voices[:2]), transitions(voices[2:]), transitions([])]
    for k in (0, 1):
        assert np.array_equal(whole[k], np.sum([part[k] for part in parts], axis=0))
    model = model_of(*([part[k] for part in parts] for k in (0, 1)))
    assert np.array_equal(model.interval, model_of([whole[0]], [whole[1]]).interval)
    empty = model_of([transitions([])[0]], [transitions([])[1]])
    assert np.allclose(empty.interval, 1 / INTERVALS)


def test_a_repeated_figure_stops_surprising(corpus: SearchCorpus) -> None:
    once = tune(40, 12)
    four_times = joined(once, once, once, once)
    pitch_bits, rhythm_bits = surprise(corpus.index.style, four_times.pitch, four_times.onset_beat)
    assert pitch_bits[36:].mean() < 0.5 * pitch_bits[1:12].mean()
    assert rhythm_bits[:2].tolist() == [0, 0]
    assert len(interval_symbols(once.pitch)) == 11
    assert len(ratio_symbols(once.onset_beat)) == 10
    assert interval_symbols(np.array([0, 127])).max() == INTERVALS - 1


@pytest.mark.parametrize(("slope", "log2_k"), [(0.6, -10.0), (0.8, -4.0)])
@pytest.mark.parametrize("cut", [0.0, 0.2])
def test_the_chance_model_recovers_what_made_it(slope: float, log2_k: float, cut: float) -> None:
    # Maxima in search spaces of 2^20 to 2^26. The search cuts off weak ones: the lowest fifth may say next to nothing,
    # which bends the upper quantiles a little, as weak scores are rarer in large spaces; log2 K follows the slope.
    rng = np.random.default_rng(0)
    space = 2.0 ** rng.uniform(20, 26, 4000)
    scores = (np.log2(space) + log2_k - np.log2(-np.log(rng.random(4000)))) / slope
    found = fit(np.where(scores < np.quantile(scores, cut), 1.0, scores), space)
    assert found == (pytest.approx(slope, rel=0.1 if cut else 0.05), pytest.approx(log2_k, abs=2.0 if cut else 1.0))
    # What it is for: one score in a hundred has E <= 0.01.
    model = Calibration(*found, 1, ())
    strong = [model.evalue(bits, int(size) + MIN_PAIRS - 1) <= 0.01 for bits, size in zip(scores, space, strict=True)]
    assert np.mean(strong) == pytest.approx(0.01, abs=0.005)


def chain_store(folder: Path, tunes: list[NoteSequence]) -> SearchCorpus:
    for i, one in enumerate(tunes):
        write_midi(one, folder / "src" / f"{i:02d}.mid")
    ingest([folder / "src"], folder / "store", workers=1)
    store = Store.open(folder / "store")
    return SearchCorpus(store, build_index(store), Calibration(*FALLBACK, 1, ()))


def test_a_random_melody_makes_the_moves_of_the_corpus_in_their_order(tmp_path: Path) -> None:
    # Up a whole tone after a crotchet, down one after a quaver, for ever: the two moves, and each follows the other.
    figure = build(np.cumsum([0, *[1, 0.5] * 15, 1]), [1, 0.5] * 16, [60, 62] * 16)
    made = chain_store(tmp_path, [figure.transpose(k) for k in range(SUPPORT)])
    assert (made.index.works == 0).all()  # one tune, which one piece then makes known to nobody
    assert not chain_of(made.index, np.random.default_rng(0)).known.any()
    apart = replace(made.index, works=np.arange(SUPPORT, dtype=np.int32))
    chain = chain_of(apart, np.random.default_rng(0))
    assert sorted(zip(chain.step.tolist(), chain.pace.tolist(), strict=True)) == [(-2, -4), (2, 4)]
    assert chain.known.all()
    melody = random_melody(chain, 50, np.random.default_rng(1))
    steps, gaps = np.diff(melody.pitch), np.diff(melody.onset_beat)
    assert len(melody) == 50
    assert (steps[1:] == -steps[:-1]).all()
    assert (gaps == np.where(steps == 2, gaps.max(), gaps.min())).all()
    assert gaps.max() == 2 * gaps.min()


def test_what_few_pieces_play_is_not_quoted_by_random_melodies(tmp_path: Path) -> None:
    own = tune(3, 60)
    made = chain_store(tmp_path, [own, *(tune(100 + k, 60) for k in range(40))])
    chain = chain_of(made.index, np.random.default_rng(0))
    assert chain.known.any()
    assert not chain.known.all()
    rare = [k for k in np.flatnonzero(~chain.known) if chain.bounds[k + 1] > chain.bounds[k]]
    following = set()
    for seed in range(30):
        melody = random_melody(chain, 400, np.random.default_rng(seed))
        assert 40 <= melody.pitch.min() <= melody.pitch.max() <= 90
        steps = np.diff(melody.pitch)
        following |= {int(b) for a, b in pairwise(steps) if a == chain.step[rare[0]]}
    assert len(following) > 5  # anything may come after a rare move


def test_random_melodies_keep_to_the_range_after_any_leap() -> None:
    one = np.zeros(1, np.int64)
    for leap in (24, -24):
        chain = Chain(one + leap, one + 40, one, np.array([0, 1]), np.ones(1, bool))
        melody = random_melody(chain, 30, np.random.default_rng(0))
        assert 40 <= melody.pitch.min() <= melody.pitch.max() <= 90
        assert np.diff(melody.onset_beat).max() <= 8


def test_scores_that_are_all_alike_give_no_curve() -> None:
    assert fit(np.full(100, 15.0), np.full(100, 2.0**20)) == FALLBACK


def test_evalue_and_percentile() -> None:
    found = Calibration(0.5, -10.0, 2**20, (10.0, 20.0, 30.0))
    assert found.evalue(40, 2**10 + 5) == pytest.approx(1.0)  # 2^(-10 + 10 + 20 - 20); 1,024 places for six notes
    assert found.evalue(42, 2**10 + 5) == pytest.approx(0.5)
    assert found.evalue(40, 6) == found.evalue(40, 2)  # one place
    assert [found.percentile(b) for b in (5, 10, 25, 99)] == pytest.approx([0, 0, 2 / 3, 1])
    assert Calibration(0.5, -10.0, 2**20, ()).percentile(1) == 1


def test_the_audit_is_the_same_twice_and_says_what_it_skipped(corpus: SearchCorpus) -> None:
    first, again = (
        conclude(corpus, read_policy(), Compared({"name": "x"}, find(corpus, tune(17), read_policy())))
        for _ in range(2)
    )
    assert first == again
    assert first.outcome == "fail"
    assert "17.mid" in first.sentence


def test_a_quote_after_40000_other_notes_is_found(corpus: SearchCorpus) -> None:
    rng = np.random.default_rng(9)
    noise = build(np.arange(40_000) / 4, np.full(40_000, 0.25), rng.integers(30, 100, 40_000))
    passage = search(corpus.index, joined(noise, tune(5, 40)))[0]
    assert corpus.store.pieces[passage.piece].path == "05.mid"
    assert len(passage.query_rows) == 40


def test_common_figures_are_left_out_before_they_fill_the_memory(
    corpus: SearchCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.search.seeds.HITS_A_NOTE", 1)
    assert paths(corpus, tune(17))[0] == "17.mid"


@pytest.mark.parametrize("parts", [2, 3])
def test_a_copy_dealt_out_to_several_parts_is_found(tmp_path: Path, parts: int) -> None:
    """The copied line goes from part to part every few notes, over another part's chords."""
    rng = np.random.default_rng(5)
    names = []
    (tmp_path / "src").mkdir()
    for k in range(60):
        pitch = 67 + np.cumsum(rng.integers(-3, 4, 60)).clip(-12, 12)
        tune = build(np.arange(60) / 2, np.full(60, 0.5), pitch)
        write_midi(tune, tmp_path / "src" / f"{k:02d}.mid")
        names.append(tune)
    ingest([tmp_path / "src"], tmp_path / "store")
    store = Store.open(tmp_path / "store")
    index = build_index(store)
    source = names[7].select(np.arange(10, 46))
    owner = np.arange(36) // 3 % parts
    chords = np.repeat(np.arange(18), 3)
    query = build(
        np.concatenate([source.onset_beat - 5, chords]),
        np.concatenate([source.duration_beat, np.full(54, 0.9)]),
        np.concatenate([source.pitch + 2, np.tile([43, 47, 50], 18)]),
        part=np.concatenate([owner, np.full(54, parts)]),
        parts=[Part(track=t) for t in range(parts + 1)],
    )
    best = search(index, query, top=1)[0]
    assert store.pieces[best.piece].path == "07.mid"
    assert len(best.query_rows) >= 34
    assert best.transposition == 2
    assert query_notes(query) == int((~query.is_drum).sum()) < sum(len(rows) for _, _, rows in query_table(query))

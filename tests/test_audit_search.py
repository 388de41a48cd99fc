"""Copy search on tunes made here: what was copied is found, where it lies on both sides, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from audit.align import align
from audit.findings import worst
from audit.index import FIGURE, build_index, figures
from audit.policy import PolicyError, check_policy, read_policy
from audit.run import Corpus, audit, find
from audit.search import search
from audit.significance import Calibration, calibrate, fit
from audit.style import INTERVALS, LEAP, interval_symbols, model_of, ratio_symbols, surprise, transitions
from corpus.ingest import ingest
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
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(60):
        write_midi(tune(i), folder / "src" / f"{i:02d}.mid")
    ingest([folder / "src"], folder / "store", workers=1)
    store = Store.open(folder / "store")
    index = build_index(store)
    return Corpus(store, index, calibrate(store, index), {})


def paths(corpus: Corpus, query: NoteSequence) -> list[str]:
    return list(dict.fromkeys(corpus.store.pieces[p.piece].path for p in search(corpus.index, query)))


@pytest.mark.parametrize("shift", [0, 5, -7])
@pytest.mark.parametrize("stretch", [1.0, 0.6, 4 / 3, 2.0])
def test_a_whole_copy_comes_first_in_every_key_and_tempo(corpus: Corpus, shift: int, stretch: float) -> None:
    base = tune(17).transpose(shift)
    query = build(base.onset_beat * stretch, base.duration_beat * stretch, base.pitch)
    assert paths(corpus, query)[0] == "17.mid"
    best = find(corpus, query, read_policy())[0]
    assert (best.transposition, best.matched, best.notes) == (shift, 96, 96)
    assert best.tempo_ratio == pytest.approx(stretch, rel=1e-6)
    assert best.in_time == 96
    assert best.verdict == "fail"


def test_a_fragment_inside_other_music_is_found_with_its_place(corpus: Corpus) -> None:
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


def test_ornaments_do_not_hide_a_copy(corpus: Corpus) -> None:
    rng = np.random.default_rng(4)
    base = tune(8)
    pitch = base.pitch + np.where(rng.random(96) < 0.15, rng.choice([-2, -1, 1, 2], 96), 0)
    keep = rng.random(96) > 0.1
    query = build(base.onset_beat[keep], base.duration_beat[keep], pitch[keep])
    assert paths(corpus, query)[0] == "08.mid"


def test_a_tune_in_a_merged_part_is_found(corpus: Corpus) -> None:
    base = tune(12)
    onset = np.arange(0, base.end_beat, 1.0)
    bass = 36 + 7 * (np.arange(len(onset)) % 2)
    query = build(
        np.concatenate([base.onset_beat, onset]),
        np.concatenate([base.duration_beat, np.full(len(onset), 1.0)]),
        np.concatenate([base.pitch, bass]),
    )
    assert paths(corpus, query)[0] == "12.mid"


def test_the_other_parts_of_a_copy_are_matched_too(corpus: Corpus, tmp_path: Path) -> None:
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
    duet = Corpus(store, build_index(store), corpus.calibration, {})
    finding = find(duet, both.transpose(4), read_policy())[0]
    assert (finding.piece, finding.matched) == ("duet.mid", 60)
    assert finding.all_matched == finding.all_notes > 90
    assert all(note.in_time for note in finding.query_notes)


def test_unrelated_music_is_clear(corpus: Corpus) -> None:
    verdicts = [worst([f.verdict for f in find(corpus, tune(5000 + i), read_policy())]) for i in range(20)]
    assert verdicts.count("clear") >= 18
    assert "fail" not in verdicts


def test_drums_and_plain_figures_say_nothing(corpus: Corpus) -> None:
    base = tune(20)
    drums = build(base.onset_beat, base.duration_beat, base.pitch, parts=[Part("kit", 0, True)])
    assert search(corpus.index, drums) == []
    scale = build(np.arange(64) / 2, np.full(64, 0.5), 60 + SCALE[np.arange(64) % 7])
    assert worst([f.verdict for f in find(corpus, scale, read_policy())]) == "clear"
    assert search(corpus.index, build([], [], [])) == []


def test_figures_are_the_intervals() -> None:
    up = np.array([60, 62, 64, 65, 67, 69, 71], np.uint8)
    codes = figures(up, 24)
    assert len(codes) == len(up) - FIGURE
    assert np.array_equal(codes, figures(up + 5, 24))
    assert codes[0] != codes[1]
    assert len(figures(up[:5], 24)) == 0
    wide = np.array([20, 60, 62, 64, 65, 67], np.uint8)
    assert np.array_equal(figures(wide, 24), figures(wide + np.array([3, 0, 0, 0, 0, 0], np.uint8), 24))
    assert figures(up, 8).max() < 256


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


def test_a_repeated_figure_stops_surprising(corpus: Corpus) -> None:
    once = tune(40, 12)
    four_times = joined(once, once, once, once)
    pitch_bits, rhythm_bits = surprise(corpus.index.style, four_times.pitch, four_times.onset_beat)
    assert pitch_bits[36:].mean() < 0.5 * pitch_bits[1:12].mean()
    assert rhythm_bits[:2].tolist() == [0, 0]
    assert len(interval_symbols(once.pitch)) == 11
    assert len(ratio_symbols(once.onset_beat)) == 10
    assert interval_symbols(np.array([0, 127])).max() == INTERVALS - 1


def test_the_chance_model_recovers_what_made_it() -> None:
    # Maxima with lambda = 0.6 and log2 K = -10 in search spaces of 2^20 to 2^26.
    rng = np.random.default_rng(0)
    space = 2.0 ** rng.uniform(20, 26, 4000)
    scores = (np.log2(space) - 10 - np.log2(-np.log(rng.random(4000)))) / 0.6
    slope, log2_k = fit(scores, space)
    assert slope == pytest.approx(0.6, rel=0.05)
    assert log2_k == pytest.approx(-10, abs=1.5)


def test_evalue_and_percentile() -> None:
    found = Calibration(0.5, -10.0, 2**20, (10.0, 20.0, 30.0))
    assert found.evalue(40, 2**10) == pytest.approx(1.0)  # 2^(-10 + 10 + 20 - 20)
    assert found.evalue(42, 2**10) == pytest.approx(0.5)
    assert [found.percentile(b) for b in (5, 10, 25, 99)] == pytest.approx([0, 0, 2 / 3, 1])
    assert Calibration(0.5, -10.0, 2**20, ()).percentile(1) == 1


def test_the_audit_is_the_same_twice_and_says_what_it_skipped(corpus: Corpus) -> None:
    first = audit({"name": "x"}, corpus, read_policy(), find(corpus, tune(17), read_policy()))
    assert first == audit({"name": "x"}, corpus, read_policy(), find(corpus, tune(17), read_policy()))
    assert first.outcome == "fail"
    assert "17.mid" in first.sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "x"}, "schema"),
        ({"copy": {"fail_evalue": -1, "fail_percentile": 0.9, "review_evalue": 0.1}}, "copy.fail_evalue"),
        ({"copy": {"fail_evalue": 0.5, "fail_percentile": 0.9, "review_evalue": 0.1}}, "is above"),
        ({"gate": {"required": ["luck"]}}, "gate.required.0"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_policies_name_the_key(change: dict[str, object], message: str) -> None:
    good = read_policy().values
    with pytest.raises(PolicyError, match=message):
        check_policy({**good, **change}, "p.toml")


def test_policy_files(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_text("schema = ")
    with pytest.raises(PolicyError, match="not valid TOML"):
        read_policy(tmp_path / "x.toml")
    rules = read_policy()
    assert rules.judge_copy(1e-9, 0.99, 30) == "fail"
    assert rules.judge_copy(1e-9, 0.2, 30) == "review"
    assert rules.judge_copy(0.5, 0.99, 30) == "clear"
    assert rules.judge_copy(1e-9, 0.99, 5) == "clear"


def test_a_quote_after_40000_other_notes_is_found(corpus: Corpus) -> None:
    rng = np.random.default_rng(9)
    noise = build(np.arange(40_000) / 4, np.full(40_000, 0.25), rng.integers(30, 100, 40_000))
    passage = search(corpus.index, joined(noise, tune(5, 40)))[0]
    assert corpus.store.pieces[passage.piece].path == "05.mid"
    assert len(passage.query_rows) == 40


def test_common_figures_are_left_out_before_they_fill_the_memory(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.seeds.HITS_A_NOTE", 1)
    assert paths(corpus, tune(17))[0] == "17.mid"

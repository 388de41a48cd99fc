"""Originality of tracks made here: what was copied is low, what is new is high, and the baseline leaves kin out."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import cli
from audit.measures.metrics import CHANCE, STYLE
from audit.originality.baseline import group_of, human_baseline
from audit.originality.report import measure_originality, originality_report
from audit.originality.windows import GRID, Measured, Setting, Window, _cuts, measure_windows
from audit.search.corpus import SearchCorpus
from audit.search.index import IndexDamagedError
from audit.search.index_build import build_index
from audit.search.passages import search
from audit.search.significance import CALIBRATION, Calibration
from corpus.ingest import ingest
from corpus.store import Store
from music.midi import write_midi
from music.notes import NoteSequence, Part, build
from reports.pages.originality import originality_html, originality_json, originality_sentence

SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
NOTES = Setting(24, "notes")
HOSTILE = "</script><img src=x onerror=\"alert('1')\">{{ 7*7 }}\u202e"


def tune(seed: int, notes: int = 96) -> NoteSequence:
    """Make a diatonic melody by random walk, in quavers and quarters."""
    rng = np.random.default_rng(seed)
    degree = 14 + np.abs(np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3, 4, -4], notes)) % 20 - 10)
    gaps = rng.choice([0.5, 0.5, 0.5, 1.0, 1.5], notes)
    return build(np.cumsum(gaps) - gaps, gaps, 36 + 12 * (degree // 7) + SCALE[degree % 7])


def joined(*tunes: NoteSequence) -> NoteSequence:
    starts = np.cumsum([0.0, *(t.end_beat for t in tunes)])
    return build(
        np.concatenate([t.onset_beat + start for t, start in zip(tunes, starts, strict=False)]),
        np.concatenate([t.duration_beat for t in tunes]),
        np.concatenate([t.pitch for t in tunes]),
    )


def first(notes: NoteSequence, count: int) -> NoteSequence:
    return notes.select(np.arange(count))


def opened(folder: Path, tunes: dict[str, NoteSequence]) -> SearchCorpus:
    """Make a store whose index needs nothing more; what the measure does not use is written by hand."""
    for name, sequence in tunes.items():
        write_midi(sequence, folder / "src" / name)
    ingest([folder / "src"], folder / "store", workers=1)
    store = Store.open(folder / "store")
    return ready(store)


def ready(store: Store) -> SearchCorpus:
    index = build_index(store)
    calibration = Calibration(0.7, 0.0, index.notes, ())
    index.write(CALIBRATION, asdict(calibration))
    index.write(CHANCE, {})
    index.write(STYLE, {})
    return SearchCorpus(store, index, calibration)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SearchCorpus:
    return opened(tmp_path_factory.mktemp("corpus"), {f"{i:02d}.mid": tune(i) for i in range(30)})


def measured(corpus: SearchCorpus, track: NoteSequence, setting: Setting = NOTES) -> Measured:
    found = measure_originality(corpus.store, corpus.index, "track.mid", track, setting)
    assert isinstance(found, Measured)
    return found


@pytest.mark.parametrize(
    ("text", "size", "unit"),
    [("8", 8, "bars"), ("1 bar", 1, "bars"), ("24notes", 24, "notes"), (" 4 bars ", 4, "bars")],
)
def test_a_window_is_read_from_text(text: str, size: int, unit: str) -> None:
    assert Setting.parse(text) == Setting(size, unit)


@pytest.mark.parametrize("text", ["", "bars", "0", "-8", "8 miles", "1.5 bars", "8 barss"])
def test_other_text_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of a window; write for example '8 bars'"):
        Setting.parse(text)


def test_a_window_of_few_notes_is_refused() -> None:
    with pytest.raises(ValueError, match="'11 notes': a window has at least 12 notes"):
        Setting.parse("11 notes")


def test_windows_overlap_by_half_and_the_last_is_whole() -> None:
    assert _cuts(np.ones(40), NOTES) == [(0, 24), (12, 36), (16, 40)]
    assert _cuts(np.ones(24), NOTES) == [(0, 24)]
    assert _cuts(np.ones(23), NOTES) == []
    bars = 1 + np.arange(40) / 4  # four notes a bar, ten bars
    assert _cuts(bars, Setting(4, "bars")) == [(0, 16), (8, 24), (16, 32), (24, 40)]
    assert _cuts(bars, Setting(7, "bars")) == [(0, 28), (12, 40)]
    assert _cuts(bars, Setting(99, "bars")) == [(0, 40)]
    assert _cuts(bars, Setting(2, "bars")) == []  # eight notes


@pytest.mark.parametrize("setting", [NOTES, Setting(4, "bars")])
def test_a_copy_has_no_originality_in_any_key_and_tempo(corpus: SearchCorpus, setting: Setting) -> None:
    base = tune(7).transpose(5)
    found = measured(corpus, build(base.onset_beat * 1.5, base.duration_beat * 1.5, base.pitch), setting)
    assert found.mean == 0.0
    assert {w.piece for w in found.windows} == {"07.mid"}
    assert found.notes == found.notes_found == 96
    assert not found.curve.any()


def test_only_the_copied_windows_are_low(corpus: SearchCorpus) -> None:
    found = measured(corpus, joined(tune(900, 48), first(tune(7), 48), tune(901, 48)))
    values = [w.originality for w in found.windows]  # of 144 notes: windows begin at 0, 12, ... 120
    assert values[4:7] == [0.0, 0.0, 0.0]
    assert min(values[:3] + values[8:]) > 0.3
    assert np.argmin(found.curve) == pytest.approx(len(GRID) // 2, abs=2)
    window = found.windows[5]
    track = joined(tune(900, 48), first(tune(7), 48))
    assert window.span_s[0] == pytest.approx(track.onset_s[60])
    assert (window.notes, window.found, window.piece) == (24, 24, "07.mid")


def test_one_passage_counts_for_a_window_not_the_sum_of_all(corpus: SearchCorpus) -> None:
    track = joined(first(tune(3), 24), first(tune(11), 24))
    passages = search(corpus.index, track, 30)
    halves = [p for p in passages if len(p.query_rows) >= 20]
    assert len(halves) == 2
    found = measure_windows(corpus.store, "track.mid", track, halves, Setting(48, "notes"))
    assert isinstance(found, Measured)
    assert found.windows[0].found == max(len(p.query_rows) for p in halves) < 30
    assert found.notes_found == found.windows[0].found


def test_what_has_no_window_is_skipped_and_never_0(corpus: SearchCorpus) -> None:
    base = tune(3)
    drums = build(base.onset_beat, base.duration_beat, base.pitch, parts=[Part("kit", 0, True)])
    for track in (drums, first(base, 11), build([], [], [])):
        found = measure_originality(corpus.store, corpus.index, "x.mid", track, NOTES)
        assert not isinstance(found, Measured)
        assert (found.check, found.reason) == ("x.mid", "no line has a window of 24 notes")
    bars = measure_originality(corpus.store, corpus.index, "x.mid", first(base, 11), Setting(8, "bars"))
    assert not isinstance(bars, Measured)
    assert bars.reason == "no line has a window of 8 bars with 12 notes"


def test_nothing_found_is_all_original(corpus: SearchCorpus) -> None:
    found = measure_windows(corpus.store, "x.mid", tune(3), [], NOTES)
    assert isinstance(found, Measured)
    assert (found.mean, found.notes_found, found.windows[0].piece) == (1.0, 0, "")


def test_the_baseline_leaves_out_duplicates_and_versions(tmp_path: Path) -> None:
    tunes = {f"{i:02d}.mid": tune(i, 64) for i in range(12)}
    copies = {f"copy{i:02d}.mid": tune(i, 64).transpose(3) for i in range(12)}  # a duplicate of each
    rng = np.random.default_rng(1)
    versions = {}
    for i in range(12):
        base = tune(i, 64)
        versions[f"version{i:02d}.mid"] = base.select(rng.random(64) > 0.1)
    plain = opened(tmp_path / "plain", tunes)
    full = opened(tmp_path / "full", {**tunes, **copies, **versions})
    alone, among = (human_baseline(c.store, c.index, NOTES) for c in (plain, full))
    assert alone is not None
    assert among is not None
    assert among.group.members == 36
    assert among.group.originality.mean == pytest.approx(alone.group.originality.mean, abs=0.05)
    assert min(among.piece_means) > 0.3


def test_the_baseline_is_kept_for_each_window(corpus: SearchCorpus) -> None:
    calls: list[int] = []
    made = human_baseline(corpus.store, corpus.index, NOTES, lambda done, total: calls.append(done))
    assert made is not None
    assert calls == list(range(1, 31))
    assert human_baseline(corpus.store, corpus.index, NOTES, lambda done, total: calls.append(done)) == made
    assert len(calls) == 30
    other = human_baseline(corpus.store, corpus.index, Setting(4, "bars"))
    assert other is not None
    assert other != made
    kept = corpus.index.path / "originality-24-notes.json"
    good = kept.read_bytes()
    for bad in (b"{", b"[]", good.replace(b"piece_means", b"x")):
        kept.write_bytes(bad)
        with pytest.raises(IndexDamagedError, match=r"originality-24-notes\.json"):
            human_baseline(corpus.store, corpus.index, NOTES)
    kept.write_bytes(good)


def test_a_small_store_has_no_baseline_and_says_so(tmp_path: Path) -> None:
    small = opened(tmp_path, {f"{i}.mid": tune(i) for i in range(4)})
    for _ in range(2):  # measured, then read
        assert human_baseline(small.store, small.index, NOTES) is None
    report = originality_report(small, NOTES, [measured(small, tune(1))], None)
    assert report.skipped[0].check == "baseline"
    assert "fewer than 10 different works" in report.skipped[0].reason
    assert report.to_dict()["tracks"][0]["low"] is None
    assert "there is no human baseline" in originality_sentence(report)
    assert "fewer than 10 different works" in originality_html(report)


def test_the_mean_of_a_group_has_an_interval() -> None:
    def member(found: int) -> Measured:
        return Measured("x", 10.0, (Window(0, "", (0.0, 10.0), (1, 8), 20, found, "p"),), 20, found)

    group = group_of([member(found) for found in range(21)])
    assert group is not None
    assert group.originality.mean == pytest.approx(0.5)
    # the standard error of 21 values spread evenly over 0..1
    spread = 1.96 * np.std(np.arange(21) / 20) / np.sqrt(21)
    assert group.originality.low == pytest.approx(0.5 - spread, abs=0.015)
    assert group.originality.high == pytest.approx(0.5 + spread, abs=0.015)
    assert group == group_of([member(found) for found in range(21)])
    one = group_of([member(5)])
    assert one is not None
    assert one.originality.low == one.originality.mean == one.originality.high == 0.75
    assert group_of([]) is None


def test_the_page_and_the_json_say_the_same_and_run_nothing(corpus: SearchCorpus) -> None:
    baseline = human_baseline(corpus.store, corpus.index, NOTES)
    tracks = [
        replace(measured(corpus, tune(7)), name=HOSTILE),
        *(replace(measured(corpus, tune(700 + i)), name=f"new{i}.mid") for i in range(12)),
    ]
    report = originality_report(corpus, NOTES, tracks, baseline, [("bad.mid", "no MIDI")])
    data = json.loads(originality_json(report))
    assert originality_json(report) == originality_json(report)
    assert data["schema"] == "contraste-originality/1"
    assert data["window"] == {"size": 24, "unit": "notes", "hop": 12}
    assert (data["tracks"][0]["originality"], data["tracks"][0]["low"]) == (0, True)
    assert data["tracks"][0]["less_original_human_share"] == 0
    assert data["tracks"][0]["low_windows"] == len(data["tracks"][0]["windows"])
    assert len(data["group"]["curve"]) == len(data["baseline"]["curve"]) == len(data["grid"])
    assert data["unreadable"] == [{"track": "bad.mid", "reason": "no MIDI"}]
    page = originality_html(report)
    assert originality_sentence(report).startswith("In the mean, these 13 tracks are")
    assert originality_sentence(report) in page
    assert "<img" not in page
    assert "{{ 7*7 }}" in page  # shown, not worked out
    assert "\u202e" not in page
    assert "&lt;/script&gt;" in page
    assert "bad.mid" in page
    assert "http" not in page.replace("http-equiv", "")


def contraste(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["contraste", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    assert "Traceback" not in out.getvalue() + err.getvalue()
    return int(code) if isinstance(code, int) else 0, out.getvalue(), err.getvalue()


def test_the_command_measures_a_folder(corpus: SearchCorpus, tmp_path: Path) -> None:
    write_midi(tune(7), tmp_path / "tracks" / "copy.mid")
    write_midi(tune(777), tmp_path / "tracks" / "deep" / "new.mid")
    words = ("originality", corpus.store.path, tmp_path / "tracks")
    code, out, err = contraste(*words, "--out", tmp_path / "out", "--json", tmp_path / "f" / "o.json")
    assert code == 0, err
    assert out.startswith("0.000  ")
    assert "copy.mid" in out.splitlines()[0]
    assert "deep/new.mid" in out.splitlines()[1]
    assert str(tmp_path) not in (tmp_path / "out" / "originality.html").read_text()
    assert (tmp_path / "out" / "originality.json").read_bytes() == (tmp_path / "f" / "o.json").read_bytes()
    assert json.loads((tmp_path / "f" / "o.json").read_bytes())["group"]["members"] == 2
    assert "In the mean, these 2 tracks" in err


def test_what_can_t_be_read_is_3_and_what_can_t_be_measured_is_4(corpus: SearchCorpus, tmp_path: Path) -> None:
    write_midi(tune(7), tmp_path / "copy.mid")
    write_midi(first(tune(7), 5), tmp_path / "short" / "short.mid")
    (tmp_path / "text.mid").write_text("hello\n")
    store = corpus.store.path
    code, out, err = contraste("originality", store, tmp_path, "--json", tmp_path / "o.json")
    assert code == 3
    assert "copy.mid" in out
    assert "unreadable" in err
    data = json.loads((tmp_path / "o.json").read_bytes())
    assert [u["track"] for u in data["unreadable"]] == ["text.mid"]
    assert [s["check"] for s in data["skipped"]] == ["short/short.mid"]
    code, out, err = contraste("originality", store, tmp_path / "short")
    assert (code, out) == (4, "")
    assert "None of the tracks could be measured." in err
    assert contraste("originality", store, tmp_path / "no.mid")[0] == 3
    code, _, err = contraste("originality", store, tmp_path / "copy.mid", "--window", "8 miles")
    assert code == 2
    assert "--window '8 miles' is no length of a window" in err


def test_a_damaged_store_is_4_and_partial_goes_on(tmp_path: Path) -> None:
    made = opened(tmp_path, {f"{i:02d}.mid": tune(i) for i in range(12)})
    for i in range(12, 24):
        write_midi(tune(i), tmp_path / "more" / f"{i:02d}.mid")
    ingest([tmp_path / "more"], made.store.path, workers=1)
    store = Store.open(made.store.path)
    ready(store)
    write_midi(tune(3), tmp_path / "track.mid")
    words = ("originality", store.path, tmp_path / "track.mid", "--window", "24 notes")
    assert contraste(*words)[0] == 0
    (store.path / "segments" / store.segments[1].name / "notes.npy").write_bytes(b"")
    code, _, err = contraste(*words)
    assert code == 4
    assert "notes.npy" in err
    code, out, err = contraste(*words, "--partial", "--json", tmp_path / "o.json")
    assert code == 0, err
    assert out.startswith("0.000")
    assert json.loads((tmp_path / "o.json").read_bytes())["store"]["left_out"] == 12

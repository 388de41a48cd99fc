"""Near-duplicates of recordings and of rendered pieces; what is not one; what is kept; levels."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile

import audit.measures.sound
from audit.findings import Waiver
from audit.gate.waivers import Waivers
from audit.measures.sound import SoundCorpus, find_sounds, hear, open_sounds
from audit.opening import open_audit_corpus
from audit.policy import Policy, check_policy, read_policy
from audit.report import AuditReport
from audit.track import AuditRun, audit_track
from corpus.ingest import ingest
from corpus.rights import read_rights
from corpus.store import Store
from ledger.signing.trust import Trust
from music.audio import Samples, resample
from music.midi import write_midi
from music.notes import MusicError, NoteSequence, build
from music.render import render_passage
from reports.json_report import SCHEMA_FILE, report_json

RATE = 22_050
DEFAULT = read_policy()


def tune(seed: int) -> NoteSequence:
    rng = np.random.default_rng(seed)
    return build(np.arange(0, 80, 0.5), np.full(160, 0.45), rng.integers(45, 85, 160))


def band(seed: int, seconds: float = 30.0) -> Samples:
    """Overtones that come and go: sound with a shape in time and height, without a renderer."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    total = np.zeros_like(times)
    for start in np.arange(0, seconds, 0.25):
        inside = (times >= start) & (times < start + rng.uniform(0.2, 1.5))
        fading = np.exp(-(times[inside] - start) * rng.uniform(1, 6))
        total[inside] += fading * np.sin(2 * np.pi * 55 * 2 ** rng.uniform(0, 6) * times[inside])
    return np.asarray(0.5 * total / np.abs(total).max(), np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SoundCorpus:
    sources = tmp_path_factory.mktemp("sources")
    for seed in range(2):
        write_midi(tune(seed), sources / f"{seed}.mid")
    for seed in range(3):
        soundfile.write(sources / f"band{seed}.flac", band(seed), RATE)
    (sources / "rights.csv").write_text("path,licence,source,consent\nband1.flac,CC0-1.0,own,granted\n")
    path = tmp_path_factory.mktemp("made") / "store"
    report = ingest([sources], path, rights=read_rights(sources / "rights.csv"), workers=1)
    assert (report.added, report.recordings) == (5, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTE_HOME", str(sources / "home"))
        return open_sounds(Store.open(path))


def heard(samples: Samples, folder: Path, rate: int = RATE) -> audit.measures.sound.Sound:
    soundfile.write(folder / "track.wav", samples, rate)
    return hear(folder / "track.wav")


def test_an_excerpt_is_found_where_it_lies(corpus: SoundCorpus, tmp_path: Path) -> None:
    excerpt = band(1)[round(7.4 * RATE) :]
    track = np.concatenate([band(9, 5.0), 0.3 * excerpt])
    (match,) = find_sounds(corpus, heard(track, tmp_path), DEFAULT)
    assert (match.kind, match.piece, match.verdict) == ("recording", "band1.flac", "fail")
    assert match.evalue < 1e-10
    assert match.distance < 30
    assert match.rights["licence"] == "CC0-1.0"
    offset = match.query_span_s[0] - match.piece_span_s[0]
    assert offset == pytest.approx(5.0 - 7.4, abs=0.3)
    assert match.windows in (4, 5)  # those from 9 to 18 s, and the one from 6 s, of which most is there


@pytest.mark.parametrize("change", ["noise", "filter", "slower", "mp3"])
def test_changed_sound_is_found(corpus: SoundCorpus, tmp_path: Path, change: str) -> None:
    samples = band(2)
    if change == "noise":
        samples = samples + np.random.default_rng(0).normal(0, samples.std() / 10, len(samples)).astype(np.float32)
    elif change == "filter":
        samples = np.diff(samples, prepend=samples[:1])
    elif change == "slower":
        samples = resample(samples, RATE, round(1.01 * RATE))
    file = tmp_path / ("track.mp3" if change == "mp3" else "track.wav")
    soundfile.write(file, samples, RATE)
    (match,) = find_sounds(corpus, hear(file), DEFAULT)
    assert (match.piece, match.verdict) == ("band2.flac", "fail")


def test_other_sound_is_clear(corpus: SoundCorpus, tmp_path: Path) -> None:
    for seed in (20, 21, 22):
        assert find_sounds(corpus, heard(band(seed), tmp_path), DEFAULT) == []


def test_a_rendered_opening_is_found(corpus: SoundCorpus, tmp_path: Path) -> None:
    assert len(corpus.pieces) == 2
    samples, rate = render_passage(tune(1), 0.0, 20.0)
    matches = find_sounds(
        corpus, heard(np.concatenate([np.zeros(2 * rate, np.float32), samples]), tmp_path, rate), DEFAULT
    )
    assert [(m.kind, m.piece, m.verdict) for m in matches] == [("render", "1.mid", "fail")]
    assert matches[0].query_span_s[0] == pytest.approx(2.0, abs=0.3)


def test_a_rule_of_the_policy_clears_a_source(corpus: SoundCorpus, tmp_path: Path) -> None:
    copy = {**DEFAULT.values["copy"], "allow": {"licences": ["CC0-1.0"], "artists": [], "pieces": []}}
    allowing: Policy = check_policy({**DEFAULT.values, "copy": copy}, "allowing")
    (match,) = find_sounds(corpus, heard(band(1), tmp_path), allowing)
    assert (match.verdict, match.allowed) == ("clear", "licence CC0-1.0")


def test_what_is_said_of_a_file(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(20 * 48_000) / 48_000)
    about = heard(np.stack([tone, 0 * tone], axis=1).astype(np.float32), tmp_path, 48_000).about
    assert (about["sample_rate_hz"], about["channels"], about["duration_s"]) == (48_000, 2, 20.0)
    assert about["true_peak_dbtp"] == pytest.approx(-6.02, abs=0.1)
    assert about["loudness_lufs"] == pytest.approx(-9.03, abs=0.1)  # a sine at full scale in one channel is -3.01 LUFS
    silent = heard(np.zeros(20 * RATE, np.float32), tmp_path)
    assert silent.about["loudness_lufs"] is silent.about["true_peak_dbtp"] is None


def test_short_and_long_files(corpus: SoundCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = heard(band(1, 5.0), tmp_path)
    assert len(short.hashes) == 0
    assert find_sounds(corpus, short, DEFAULT) == []
    monkeypatch.setattr(audit.measures.sound, "MAX_SECONDS", 10.0)
    with pytest.raises(MusicError, match=r"track\.wav: is longer than 10 s, the limit"):
        heard(band(1), tmp_path)


def test_hashes_are_kept_outside_the_store_and_made_again_when_damaged(corpus: SoundCorpus, home: Path) -> None:
    files = sorted(corpus.store.path.rglob("*"))
    first = open_sounds(corpus.store)
    kept = sorted((home / "sounds").iterdir())
    assert [file.name.partition("-")[0] for file in kept] == ["recordings2", "renders2"]
    kept[0].write_bytes(kept[0].read_bytes()[:-5])
    again = open_sounds(corpus.store)
    for made in (first, again):
        assert np.array_equal(made.hashes, corpus.hashes)
        assert np.array_equal(made.renders, corpus.renders)
    assert sorted(corpus.store.path.rglob("*")) == files


def test_a_report_on_sound(corpus: SoundCorpus, tmp_path: Path) -> None:
    opened = open_audit_corpus(corpus.store, lambda step: nullcontext(lambda done, total: None))
    only_sound = check_policy({**DEFAULT.values, "gate": {"required": ["sound"]}}, "sound.toml")
    soundfile.write(tmp_path / "copy.flac", band(1), RATE)
    soundfile.write(tmp_path / "own.flac", band(30), RATE)
    soundfile.write(tmp_path / "short.flac", band(30, 5.0), RATE)

    def report(name: str, policy: Policy) -> AuditReport:
        made = audit_track(AuditRun(opened, policy, Trust({}), sounds=corpus), tmp_path / name, hear(tmp_path / name))
        jsonschema.validate(json.loads(report_json(made)), json.loads(SCHEMA_FILE.read_bytes()))
        return made

    copied = report("copy.flac", only_sound)
    assert copied.outcome == "fail"
    assert copied.sound_matches[0].piece == "band1.flac"
    assert "its sound from 0 to" in copied.reasons[0]
    own = report("own.flac", only_sound)
    assert own.outcome == "pass"
    assert "its notes were not compared" in own.sentence
    assert [(s.check, s.required) for s in own.skipped][:2] == [("copy", False), ("metrics", False)]
    assert report("own.flac", DEFAULT).outcome == "incomplete"
    short = report("short.flac", only_sound)
    assert short.outcome == "incomplete"
    assert "shorter than 12 s" in short.reasons[0]


def test_a_waiver_of_a_sound_match(corpus: SoundCorpus, tmp_path: Path) -> None:
    opened = open_audit_corpus(corpus.store, lambda step: nullcontext(lambda done, total: None))
    only_sound = check_policy({**DEFAULT.values, "gate": {"required": ["sound"]}}, "sound.toml")
    soundfile.write(tmp_path / "copy.flac", band(1), RATE)
    sound = hear(tmp_path / "copy.flac")
    (match,) = find_sounds(corpus, sound, only_sound)
    given = Waiver(match.id, "copy.flac", "sample_cleared", "A. Person", "cleared", "2027-01-01", "letter.pdf", 1)
    waivers = Waivers("w.toml", "0" * 64, "2026-11-26", (given,))
    run = AuditRun(opened, only_sound, Trust({}), waivers=waivers, sounds=corpus)
    report = audit_track(run, tmp_path / "copy.flac", sound)
    assert report.outcome == "pass"
    assert report.sound_matches[0].waived
    assert report.waivers[0].state == "applied"
    assert report.reasons[0].startswith("waived: its sound")

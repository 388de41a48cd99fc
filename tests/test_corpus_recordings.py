"""Recordings in a store: what is kept of them, whose score they are of, and damage."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from corpus.ingest import ingest
from corpus.recordings import Recordings, open_recordings
from corpus.rights import read_rights
from corpus.segment import StoreAlteredError, StoreDamagedError, StoreError
from corpus.store import Store
from generator.sound.windows import read_sounds, sound_of
from music.audio import decode, loudness, mel_db, mel_grey
from music.midi import write_midi
from music.notes import NoteSequence
from music.render import render
from tests.cases.tunes import random_line

RATE = 22_050


def record(sequence: NoteSequence, path: Path) -> None:
    samples, rate = render(sequence, sample_rate=RATE)
    soundfile.write(path, samples, rate)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "album").mkdir()
    for seed in range(3):
        write_midi(random_line(seed, 16, 1.0, 55, 80), folder / f"album/{seed}.mid")
    record(random_line(0, 16, 1.0, 55, 80, bpm=95.0), folder / "album/0.flac")
    record(random_line(7, 16, 1.0, 55, 80), folder / "album/1.flac")  # other music than its name says
    soundfile.write(folder / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 4 * RATE), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(4 * RATE), RATE)
    (folder / "page.mp3").write_bytes(b"<html>no music here</html>")
    (folder / "cut.flac").write_bytes((folder / "album/0.flac").read_bytes()[:60])
    return folder


@pytest.fixture(scope="module")
def made(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "store"
    report = ingest([sources], path, workers=1)
    assert (report.added, report.recordings, report.known) == (6, 3, 0)
    assert {Path(r.path).name: r.reason.rpartition(": ")[2] for r in report.refused}.keys() == {
        "silent.wav",
        "page.mp3",
        "cut.flac",
    }
    assert any("silent.wav: is silent" in r.reason for r in report.refused)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def opened(path: Path) -> Recordings:
    return open_recordings(Store.open(path))


def test_what_is_kept_of_a_recording(made: Path, sources: Path) -> None:
    recordings = opened(made)
    recordings.verify()
    row = recordings.index_of("album/0.flac")
    found = recordings[row]
    decoded = decode(sources / "album/0.flac")
    samples, rate = decoded.samples, decoded.rate
    np.testing.assert_array_equal(recordings.mel(row), mel_grey(mel_db(samples, rate)))
    assert found.duration_s == pytest.approx(len(samples) / rate, abs=1e-3)
    assert found.loudness_lufs == pytest.approx(loudness(samples, rate), abs=0.01)
    assert (found.score, found.beats_from) == ("album/0.mid", "score")
    np.testing.assert_allclose(found.beat_s[:12], np.arange(12) * 60 / 95, atol=0.05)
    pieces = Store.open(made).pieces
    assert found.split == pieces[Store.open(made).index_of("album/0.mid")].split


def test_other_music_under_the_scores_name_is_not_bent_to_it(made: Path) -> None:
    recordings = opened(made)
    stranger = recordings[recordings.index_of("album/1.flac")]
    assert (stranger.score, stranger.beats_from) == ("album/1.mid", "tracker")
    assert recordings[recordings.index_of("noise.wav")].score == ""


def test_notes_and_digest_are_those_of_a_store_without_sound(made: Path, sources: Path, tmp_path: Path) -> None:
    ingest([path for path in sources.glob("album/*.mid")], tmp_path / "notes", workers=1)
    assert not (tmp_path / "notes" / "recordings").exists()
    assert len(opened(tmp_path / "notes")) == 0
    ingest([sources / "album" / "0.flac"], tmp_path / "notes", workers=1)
    before = Store.open(tmp_path / "notes").digest
    ingest([sources / "noise.wav"], tmp_path / "notes", workers=1)
    assert Store.open(tmp_path / "notes").digest == before
    recordings = opened(tmp_path / "notes")
    assert [r.path for r in recordings] == ["0.flac", "noise.wav"]
    assert recordings[0].score == "0.mid"
    assert len(recordings.mel(1)) == recordings[1].frames


def test_again_adds_nothing_and_nothing_is_overwritten(store: Path, sources: Path, tmp_path: Path) -> None:
    report = ingest([sources / "album"], store, workers=1)  # the names are others, below another source
    assert report.recordings == 2
    report = ingest([sources], store, workers=1)
    assert (report.added, report.known) == (0, 6)
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(1).normal(0, 0.1, RATE), RATE)
    report = ingest([tmp_path / "noise.wav"], store, workers=1)
    assert "never overwritten" in report.refused[0].reason


def test_rights_hold_for_recordings_too(sources: Path, tmp_path: Path) -> None:
    table = tmp_path / "rights.csv"
    table.write_text("path,licence,consent\nalbum/0.flac,CC0-1.0,granted\nalbum/1.flac,,opt_out\n")
    report = ingest([sources], tmp_path / "s", rights=read_rights(table), require_rights=True, workers=1)
    assert (report.added, report.recordings) == (1, 1)
    assert opened(tmp_path / "s")[0].rights.licence == "CC0-1.0"


def test_training_learns_from_recordings_where_there_are_any(made: Path) -> None:
    store = Store.open(made)
    assert sound_of(store) == ("recordings", opened(made).digest)
    found = [read_sounds(store, split)[0] for split in ("train", "valid", "test")]
    assert sorted(s.path for windows in found for s in windows.sounds) == ["album/0.flac", "album/1.flac", "noise.wav"]


def test_what_a_killed_run_left_is_removed(store: Path, sources: Path) -> None:
    for name in (".00001-half", "00001-whole"):
        (store / "recordings" / name).mkdir()
        (store / "recordings" / name / "mel.npy").write_bytes(b"x")
    (store / "recordings" / ".manifest.json.12").write_bytes(b"")
    assert len(opened(store)) == 3
    ingest([sources / "album" / "0.mid"], store, workers=1)
    assert len([*(store / "recordings").iterdir()]) == 2


def test_damage_is_named(store: Path) -> None:
    folder = next(p for p in (store / "recordings").iterdir() if p.is_dir())
    data = (folder / "mel.npy").read_bytes()
    (folder / "mel.npy").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(StoreAlteredError, match=r"mel\.npy: SHA-256 is"):
        opened(store).verify()
    (folder / "mel.npy").write_bytes(data[:-1])
    with pytest.raises(StoreDamagedError, match=r"mel\.npy has \d+ bytes"):
        opened(store)
    (folder / "mel.npy").write_bytes(b"\x80\x04K\x01.".ljust(len(data), b"."))  # a pickle of the right size
    with pytest.raises(StoreDamagedError, match=r"mel\.npy"):
        opened(store).mel(0)
    (folder / "mel.npy").write_bytes(data)
    lines = (folder / "recordings.jsonl").read_bytes()
    (folder / "recordings.jsonl").write_bytes(lines.replace(b'"frames"', b'"framed"'))
    with pytest.raises(StoreDamagedError, match="frames"):
        opened(store)[0]
    os.remove(folder / "recordings.jsonl")
    with pytest.raises(StoreDamagedError, match="No such file"):
        opened(store)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "contraste-recordings/9"},
        {"segments": [{"name": "../x"}]},
        {"segments": [{"name": "../x", "recordings": 1, "frames": 1, "files": {}}]},
        {"segments": 3},
    ],
)
def test_a_manifest_that_is_none_is_refused(store: Path, change: dict[str, Any]) -> None:
    manifest = store / "recordings" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(StoreError, match=r"recordings/manifest\.json: is malformed"):
        opened(store)


def test_a_full_disk_ends_with_a_whole_store(store: Path, sources: Path, tmp_path: Path) -> None:
    shutil.copy(sources / "noise.wav", tmp_path / "other.wav")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corpus.recordings.write_synced", full)
        with pytest.raises(StoreError, match="No space left on device; 0 pieces were added before, the store is whole"):
            ingest([tmp_path / "other.wav"], store, workers=1)
    assert len(opened(store)) == 3
    assert ingest([tmp_path / "other.wav"], store, workers=1).recordings == 1

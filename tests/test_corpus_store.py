"""The store: incremental, atomic, verified; rights, duplicates and the split."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from corpus.prepare import SPLITS, content_key, grouped, melody_key, prepare
from corpus.rights import Rights, RightsError, read_rights
from corpus.store import Store, StoreError, ingest, writing
from music.midi import write_midi
from music.notes import MusicError, NoteSequence, Tempo, build


def tune(seed: int, notes: int = 60) -> NoteSequence:
    rng = np.random.default_rng(seed)
    pitch = np.clip(65 + np.cumsum(rng.choice([-4, -2, -1, 0, 1, 2, 4, 5, -5], notes)), 40, 90)
    gaps = rng.choice([0.25, 0.5, 1.0], notes)
    onset = np.concatenate([[0], np.cumsum(gaps)[:-1]])
    return build(onset, gaps, pitch, tempos=[Tempo(0, 100)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "src"
    for i in range(6):
        (source / "sub").mkdir(parents=True, exist_ok=True)
        write_midi(tune(i), source / "sub" / f"{i}.mid")
    return source


def test_ingest_twice_adds_nothing(folder: Path, tmp_path: Path) -> None:
    first = ingest([folder], tmp_path / "store", workers=1)
    manifest = (tmp_path / "store" / "manifest.json").read_bytes()
    second = ingest([folder], tmp_path / "store", workers=1)
    assert (first.added, first.known, first.refused) == (6, 0, ())
    assert (second.added, second.known, second.refused) == (0, 6, ())
    assert (tmp_path / "store" / "manifest.json").read_bytes() == manifest


def test_notes_come_back_exactly(folder: Path, tmp_path: Path) -> None:
    ingest([folder], tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store")
    store.verify()
    for i, piece in enumerate(store.pieces):
        original = tune(int(Path(piece.path).stem))
        assert np.array_equal(store.notes(i).pitch, original.pitch)
        assert np.array_equal(store.notes(i).onset_beat, original.onset_beat)
        assert piece.path == f"sub/{i}.mid"
        assert piece.tempo_bpm == 100.0
        assert store.index_of(piece.path) == i


def test_parallel_and_single_give_the_same_store(folder: Path, tmp_path: Path) -> None:
    for i in range(6, 30):
        write_midi(tune(i), folder / f"{i}.mid")
    ingest([folder], tmp_path / "one", workers=1)
    ingest([folder], tmp_path / "two", workers=2)
    assert Store.open(tmp_path / "one").digest == Store.open(tmp_path / "two").digest


def test_bad_files_are_listed_and_the_rest_is_kept(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.mid").write_bytes(b"<html>gone</html>")
    (folder / "empty.mid").touch()
    report = ingest([folder], tmp_path / "store", workers=1)
    assert report.added == 6
    assert {r.path for r in report.refused} == {"broken.mid", "empty.mid"}
    assert all(str(folder) in r.reason for r in report.refused)


def test_a_changed_file_never_overwrites_its_piece(folder: Path, tmp_path: Path) -> None:
    ingest([folder], tmp_path / "store", workers=1)
    write_midi(tune(99), folder / "sub" / "0.mid")
    report = ingest([folder], tmp_path / "store", workers=1)
    assert report.added == 0
    assert "never overwritten" in report.refused[0].reason


def test_rights(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "rights.csv"
    table.write_text(
        "path,licence,consent,artist,isrc\n"
        "*,CC-BY-4.0,granted,Anna,\n"
        "sub/1.mid,,opt_out,,\n"
        "sub/2.mid,,,,\n"
        "sub/3.mid,all rights reserved,granted,Ben,ES-A2B-26-00001\n"
    )
    report = ingest([folder], tmp_path / "store", rights=read_rights(table), require_rights=True, workers=1)
    reasons = {r.path: r.reason for r in report.refused}
    assert "opt_out" in reasons["sub/1.mid"]
    assert "--require-rights" in reasons["sub/2.mid"]
    pieces = {p.path: p for p in Store.open(tmp_path / "store").pieces}
    assert len(pieces) == 4
    assert pieces["sub/0.mid"].artist == "Anna"
    assert pieces["sub/3.mid"].rights.isrc == "ES-A2B-26-00001"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title\nx\n", "'path' is needed"),
        ("path,owner\na,b\n", "columns"),
        ("path,consent\na,maybe\n", "line 2: consent 'maybe'"),
        ("path,isrc\na,123\n", "line 2: isrc '123' is malformed"),
        ("path\na\na\n", "stands there twice"),
        ("path,licence\na\n", "another number of cells"),
        ("path\n\xff", "UTF-8"),
    ],
)
def test_bad_rights_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(RightsError, match=message):
        read_rights(tmp_path / "r.csv")


def test_duplicates_share_a_group_and_a_split(folder: Path, tmp_path: Path) -> None:
    base = tune(0)
    write_midi(base.transpose(5), folder / "transposed.mid")
    slow = build(base.onset_beat * 1.5, base.duration_beat * 1.5, base.pitch)
    write_midi(slow, folder / "slow.mid")
    harmonised = build(
        np.concatenate([base.onset_beat, base.onset_beat[::4]]),
        np.concatenate([base.duration_beat, base.duration_beat[::4]]),
        np.concatenate([base.pitch, base.pitch[::4] - 24]),
        part=np.repeat([0, 1], [60, 15]),
        parts=[*base.parts, *base.parts],
    )
    write_midi(harmonised, folder / "harmonised.mid")
    ingest([folder], tmp_path / "store", workers=1)
    pieces = {p.path: p for p in Store.open(tmp_path / "store").pieces}
    family = [pieces[n] for n in ("harmonised.mid", "slow.mid", "sub/0.mid", "transposed.mid")]
    assert len({p.group for p in family}) == 1
    assert len({p.split for p in family}) == 1
    assert len({p.group for p in pieces.values()}) == 6


def test_keys_ignore_transposition_and_tempo_only() -> None:
    base = tune(1)
    assert content_key(base.transpose(-3)) == content_key(base)
    assert melody_key(base.transpose(-3)) == melody_key(base) != ""
    assert content_key(tune(2)) != content_key(base)
    assert melody_key(build(np.arange(60), np.ones(60), np.full(60, 60))) == ""


def test_the_split_has_its_shares_and_parts_no_group(tmp_path: Path) -> None:
    write_midi(tune(0), tmp_path / "a.mid")
    made = prepare(tmp_path / "a.mid", "a.mid", Rights(), "", "")
    fields = {n: getattr(made.record, n) for n in made.record.__slots__}  # type: ignore[union-attr]
    records = [
        type(made.record)(**{**fields, "path": str(i), "content_key": str(i // 2), "melody_key": ""})  # type: ignore[union-attr]
        for i in range(8000)
    ]
    done = grouped(records)
    assert all(a.split == b.split and a.group == b.group for a, b in zip(done[::2], done[1::2], strict=True))
    for name, share in SPLITS:
        assert sum(r.split == name for r in done) / len(done) == pytest.approx(share, abs=0.02)


def test_a_second_writer_is_refused(tmp_path: Path, folder: Path) -> None:
    ingest([folder], tmp_path / "store", workers=1)
    with writing(tmp_path / "store"), pytest.raises(StoreError, match="another process is writing"):
        ingest([folder], tmp_path / "store", workers=1)


def test_killed_at_any_moment_the_store_opens_as_before(tmp_path: Path, folder: Path) -> None:
    for i in range(6, 60):
        write_midi(tune(i), folder / f"{i}.mid")
    store = tmp_path / "store"
    ingest([folder / "sub"], store, workers=1)
    have = {p.path for p in Store.open(store).pieces}
    code = f"import corpus.store as s; s.BATCH = 5; s.ingest([{str(folder)!r}], {str(store)!r}, workers=1)"
    for delay in np.linspace(0.15, 0.6, 8):
        child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        opened = Store.open(store)
        opened.verify()
        now = {p.path for p in opened.pieces}
        assert have <= now
        have = now
    report = ingest([folder], store, workers=1)
    assert report.known + report.added == 60  # the six of sub/ are there once as "0.mid" and once as "sub/0.mid"
    assert {p.name for p in (store / "segments").iterdir()} == set(Store.open(store).segments)


def test_full_disk_leaves_the_store_as_it_was(tmp_path: Path, folder: Path) -> None:
    store = tmp_path / "store"
    ingest([folder], store, workers=1)
    before = Store.open(store).digest
    for i in range(6, 60):
        write_midi(tune(i, notes=400), folder / f"{i}.mid")
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
        "from corpus.store import ingest, StoreError\n"
        f"try: ingest([{str(folder)!r}], {str(store)!r}, workers=1)\n"
        "except StoreError as e: sys.exit(str(e))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "writing failed" in done.stderr
    assert "the store is whole" in done.stderr
    assert Store.open(store).digest == before
    Store.open(store).verify()


def test_damage_is_named(tmp_path: Path, folder: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(StoreError, match="no store here"):
        Store.open(store)
    ingest([folder], store, workers=1)
    notes = next((store / "segments").glob("*/notes.npy"))
    data = bytearray(notes.read_bytes())
    data[-1] ^= 1
    notes.write_bytes(data)
    with pytest.raises(StoreError, match=r"notes\.npy: SHA-256 is .* the store was altered"):
        Store.open(store).verify()
    manifest = json.loads((store / "manifest.json").read_bytes())
    for broken, message in (
        (b"{", "not valid JSON"),
        (b"[]", "schema 'list'"),
        (json.dumps({**manifest, "schema": "other/9"}).encode(), "this version reads"),
        (json.dumps({**manifest, "pieces": [{"path": 1}]}).encode(), "malformed"),
        (json.dumps({**manifest, "segments": {"../x": {}}}).encode(), "missing"),
    ):
        (store / "manifest.json").write_bytes(broken)
        with pytest.raises(StoreError, match=message):
            Store.open(store)


def test_no_store_is_made_in_a_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="not empty"):
        Store.create(tmp_path)
    with pytest.raises(StoreError, match="can't be made here"):
        Store.create(tmp_path / "letter.txt" / "store")


def test_missing_source(tmp_path: Path) -> None:
    with pytest.raises(MusicError, match="no such file or folder"):
        ingest([tmp_path / "none"], tmp_path / "store")

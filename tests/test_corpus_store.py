"""The store: incremental, atomic, verified; rights, duplicates and the split."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
import corpus.ingest
from commands.shared.inputs import open_store
from corpus.ingest import ingest
from corpus.prepare import SPLITS, content_key, groups_of, melody_key, split_of
from corpus.rights import RightsError, read_rights
from corpus.segment import StoreDamagedError, StoreError
from corpus.store import Store, writing
from music.midi import midi_bytes, write_midi
from music.notes import MusicError, build
from tests.cases.tunes import chromatic_melody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "src"
    for i in range(6):
        (source / "sub").mkdir(parents=True, exist_ok=True)
        write_midi(chromatic_melody(i), source / "sub" / f"{i}.mid")
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
        original = chromatic_melody(int(Path(piece.path).stem))
        assert np.array_equal(store.notes(i).pitch, original.pitch)
        assert np.array_equal(store.notes(i).onset_beat, original.onset_beat)
        assert piece.path == f"sub/{i}.mid"
        assert piece.tempo_bpm == 100.0
        assert store.index_of(piece.path) == i


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_parallel_and_single_give_the_same_store(folder: Path, tmp_path: Path) -> None:
    for i in range(6, 30):
        write_midi(chromatic_melody(i), folder / f"{i}.mid")
    (folder / "broken.mid").write_bytes(b"<html>gone</html>")
    one = ingest([folder], tmp_path / "one", workers=1)
    two = ingest([folder], tmp_path / "two", workers=2)
    assert (one.added, len(one.refused)) == (30, 1)
    assert two == one
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_bad_files_are_listed_and_the_rest_is_kept(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.mid").write_bytes(b"<html>gone</html>")
    (folder / "empty.mid").touch()
    report = ingest([folder], tmp_path / "store", workers=1)
    assert report.added == 6
    assert {r.path for r in report.refused} == {"broken.mid", "empty.mid"}
    assert all(str(folder) in r.reason for r in report.refused)


def test_a_changed_file_never_overwrites_its_piece(folder: Path, tmp_path: Path) -> None:
    ingest([folder], tmp_path / "store", workers=1)
    write_midi(chromatic_melody(99), folder / "sub" / "0.mid")
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
    base = chromatic_melody(0)
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
    base = chromatic_melody(1)
    assert content_key(base.transpose(-3)) == content_key(base)
    assert melody_key(base.transpose(-3)) == melody_key(base) != ""
    assert content_key(chromatic_melody(2)) != content_key(base)
    assert melody_key(build(np.arange(60), np.ones(60), np.full(60, 60))) == ""


def slow_groups(content: list[int], melody: list[int]) -> list[int]:
    """Join the pieces one after another, each to all before it that share a key."""
    group = list(range(len(content)))
    for i in range(len(content)):
        linked = {group[k] for k in range(i) if content[k] == content[i] or (melody[i] and melody[k] == melody[i])}
        oldest = min(linked, default=i)
        group = [oldest if g in linked or k == i else g for k, g in enumerate(group)]
    return group


def test_groups_are_closed_under_both_keys() -> None:
    assert groups_of(np.zeros(0, np.uint64), np.zeros(0, np.uint64)).tolist() == []
    random = np.random.default_rng(3)
    for size in (1, 5, 40, 120):
        content, melody = random.integers(0, size, size), random.integers(0, size // 2 + 1, size)
        found = groups_of(content.astype(np.uint64), melody.astype(np.uint64))
        assert found.dtype == np.int32
        assert found.tolist() == slow_groups(content.tolist(), melody.tolist())
    step = random.permutation(5000)  # one chain, its links in no order
    assert not groups_of((step // 2 + 1).astype(np.uint64), ((step + 1) // 2 + 1).astype(np.uint64)).any()


def test_the_split_has_its_shares() -> None:
    drawn = [split_of(f"{key:016x}") for key in range(8000)]
    for name, share in SPLITS:
        assert drawn.count(name) / len(drawn) == pytest.approx(share, abs=0.02)


def test_a_corpus_of_duplicates_is_one_work(tmp_path: Path) -> None:
    for i in range(20):
        write_midi(chromatic_melody(0).transpose(i % 5), tmp_path / "src" / f"{i:02d}.mid")
    assert ingest([tmp_path / "src"], tmp_path / "store", workers=1).added == 20
    store = Store.open(tmp_path / "store")
    assert store.works == 1
    assert {(p.group, p.split) for p in store.pieces} == {("00.mid", store.pieces[0].split)}


def test_a_file_named_twice_is_taken_once(folder: Path, tmp_path: Path) -> None:
    report = ingest([folder, folder], tmp_path / "store", workers=1)
    assert (report.added, report.known, report.refused) == (6, 0, ())


def test_a_name_that_is_no_utf8(folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mid")
    write_midi(chromatic_melody(7), tmp_path / "x.mid")
    (tmp_path / "x.mid").rename(folder / name)
    report = ingest([folder], tmp_path / "store", workers=1)
    assert (report.added, report.refused[0].path) == (6, "caf\\xe9.mid")
    assert report.refused[0].reason.endswith("its name is not UTF-8; give it another one")
    assert ingest([folder], tmp_path / "store", workers=1).known == 6


def segmented(folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Six pieces in three segments."""
    monkeypatch.setattr(corpus.ingest, "BATCH", 2)
    ingest([folder], store, workers=1)
    opened = Store.open(store)
    assert [entry.pieces for entry in opened.segments] == [2, 2, 2]
    return opened


def test_records_are_read_one_by_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = segmented(folder, tmp_path / "store", monkeypatch)
    paths = [f"sub/{i}.mid" for i in range(6)]
    assert [p.path for p in store.pieces] == paths
    assert [p.path for p in store.pieces[1:5:2]] == paths[1:5:2]
    row: Any = np.int64(5)
    assert store.pieces[-1] == store.pieces[row] == list(store.pieces)[5]
    assert [store.index_of(path) for path in paths] == list(range(6))
    assert store.present.all()
    with pytest.raises(IndexError):
        store.pieces[6]
    with pytest.raises(IndexError):
        store.notes(6)
    with pytest.raises(KeyError):
        store.index_of("sub/6.mid")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (shutil.rmtree, r"keys\.npy: No such file"),
    "file": (lambda folder: (folder / "keys.npy").unlink(), r"keys\.npy: No such file"),
    "size": (lambda folder: os.truncate(folder / "notes.npy", 200), r"notes\.npy has 200 bytes, the manifest says"),
    "type": (lambda folder: replaced(folder / "keys.npy", b"'<u8'", b"'<i8'"), r"keys\.npy holds"),
    "offsets": (lambda folder: replaced(folder / "offsets.npy", b"\0" * 16, b"\1" * 16), r"offsets\.npy: column note"),
    "no array": (lambda folder: replaced(folder / "notes.npy", b"NUMPY", b"HUMPY"), r"notes\.npy: "),
}


def replaced(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    at = data.rindex(old) if file.name == "keys.npy" else data.index(old)
    file.write_bytes(data[:at] + new + data[at + len(old) :])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_is_named_or_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    whole = segmented(folder, tmp_path / "store", monkeypatch)
    name, piece, notes = whole.segments[1].name, whole.pieces[4], whole.notes(5)
    change, says = DAMAGES[damage]
    change(tmp_path / "store" / "segments" / name)
    with pytest.raises(StoreDamagedError, match=rf"{name}: the segment is damaged: {says}.*--partial"):
        [(p.path, Store.open(tmp_path / "store").notes(i)) for i, p in enumerate(Store.open(tmp_path / "store").pieces)]
    left = Store.open(tmp_path / "store", partial=True)
    assert [missing for missing, _ in left.missing] == [name]
    assert left.present.tolist() == [True, True, False, False, True, True]
    assert (left.digest, len(left.pieces)) == (whole.digest, 6)
    assert left.groups.tolist() == [0, 1, -1, -1, 4, 5]
    assert left.works == 4
    assert (left.pieces[4], left.index_of("sub/5.mid")) == (piece, 5)
    assert np.array_equal(left.notes(5).pitch, notes.pitch)
    left.verify()
    for use in (left.notes, left.pieces.__getitem__):
        with pytest.raises(StoreDamagedError, match=says) as caught:
            use(2)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as from a worker process
    with pytest.raises(KeyError):
        left.index_of("sub/2.mid")


def test_the_command_line_refuses_a_damaged_store_or_says_what_it_leaves_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    names = [entry.name for entry in segmented(folder, store, monkeypatch).segments]
    shutil.rmtree(store / "segments" / names[0])
    monkeypatch.setattr(sys, "argv", ["contraste", "search", str(store), str(folder)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    assert f"{names[0]}: the segment is damaged" in capsys.readouterr().err
    assert open_store(store, partial=True).present.sum() == 4
    said = capsys.readouterr().err
    assert f"segment {names[0]} is left out: " in said
    assert "2 of 6 pieces are not searched" in said
    shutil.rmtree(store / "segments")
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--partial"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    assert "no piece of the store can be read" in capsys.readouterr().err


def test_a_damaged_line_is_named(folder: Path, tmp_path: Path) -> None:
    ingest([folder], tmp_path / "store", workers=1)
    lines = next((tmp_path / "store" / "segments").glob("*/pieces.jsonl"))
    whole = lines.read_bytes()
    for old, new, says in ((b'{"path"', b'["path"', "line 1: "), (b'"path"', b'"pith"', "line 1: KeyError")):
        lines.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(StoreDamagedError, match=says):
            Store.open(tmp_path / "store").pieces[0]
    lines.write_bytes(whole.replace(b'"parts"', b'"party"', 1))
    with pytest.raises(StoreDamagedError, match="notes of piece 0"):
        Store.open(tmp_path / "store").notes(0)


def test_a_reader_sees_the_old_or_the_new_state(folder: Path, tmp_path: Path) -> None:
    for i in range(6, 46):
        write_midi(chromatic_melody(i), folder / f"{i}.mid")
    store = tmp_path / "store"
    ingest([folder / "sub"], store, workers=1)
    code = f"import corpus.ingest as s; s.BATCH = 4; s.ingest([{str(folder)!r}], {str(store)!r}, workers=1)"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent.parent)
    seen = []
    while child.poll() is None:
        opened = Store.open(store)
        assert opened.notes(len(opened.pieces) - 1).pitch.size == 60
        seen.append(len(opened.pieces))
    assert child.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert len(Store.open(store).pieces) == 52


def test_a_second_writer_is_refused(tmp_path: Path, folder: Path) -> None:
    ingest([folder], tmp_path / "store", workers=1)
    with writing(tmp_path / "store"), pytest.raises(StoreError, match="another process is writing"):
        ingest([folder], tmp_path / "store", workers=1)


def test_killed_at_any_moment_the_store_opens_as_before(tmp_path: Path, folder: Path) -> None:
    for i in range(6, 60):
        write_midi(chromatic_melody(i), folder / f"{i}.mid")
    store = tmp_path / "store"
    ingest([folder / "sub"], store, workers=1)
    have = {p.path for p in Store.open(store).pieces}
    code = f"import corpus.ingest as s; s.BATCH = 5; s.ingest([{str(folder)!r}], {str(store)!r}, workers=1)"
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
    assert {p.name for p in (store / "segments").iterdir()} == {entry.name for entry in Store.open(store).segments}


def test_full_disk_leaves_the_store_as_it_was(tmp_path: Path, folder: Path) -> None:
    store = tmp_path / "store"
    ingest([folder], store, workers=1)
    before = Store.open(store).digest
    for i in range(6, 60):
        write_midi(chromatic_melody(i, notes=400), folder / f"{i}.mid")
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
        "from corpus.ingest import ingest, StoreError\n"
        f"try: ingest([{str(folder)!r}], {str(store)!r}, workers=1)\n"
        "except StoreError as e: sys.exit(str(e))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
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
    segment = manifest["segments"][0]
    for broken, message in (
        (b"{", "not valid JSON"),
        (b"[]", "schema 'list'"),
        (json.dumps({**manifest, "schema": "other/9"}).encode(), "this version reads"),
        (
            json.dumps({**manifest, "schema": "contraste-store/1"}).encode(),
            r"by contraste 0\.1; ingest its sources again",
        ),
        (json.dumps({**manifest, "segments": [{"name": 1}]}).encode(), "malformed"),
        (json.dumps({**manifest, "segments": [{**segment, "name": "../x"}]}).encode(), "malformed .*wrong name"),
        (json.dumps({**manifest, "segments": [{**segment, "pieces": "6"}]}).encode(), "malformed .*counts"),
        (json.dumps({**manifest, "segments": [{**segment, "notes": -1}]}).encode(), "malformed .*negative"),
        (json.dumps({**manifest, "segments": [segment, segment]}).encode(), "malformed .*twice"),
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


def test_printed_bars_and_remarks_survive_the_store(tmp_path: Path) -> None:
    four = "".join(
        f"<note><pitch><step>{s}</step><octave>4</octave></pitch><duration>1</duration></note>" for s in "CDEF"
    )
    three, cue = four[: len(four) // 4 * 3], four[: len(four) // 4].replace("<note>", "<note><cue/>")
    bars = [
        ("0", f"<attributes><divisions>1</divisions></attributes>{three}"),
        ("1", four),
        ("2", three + cue),
        ("3", four),
    ]
    body = "".join(f'<measure number="{n}">{content}</measure>' for n, content in bars)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.musicxml").write_text(
        f'<score-partwise><part-list><score-part id="P1"/></part-list><part id="P1">{body}</part></score-partwise>'
    )
    cut = midi_bytes(build(np.arange(40), np.ones(40), 60 + np.arange(40) % 7))[:-60]
    (tmp_path / "src" / "b.mid").write_bytes(cut)
    ingest([tmp_path / "src"], tmp_path / "store")
    score, midi = (Store.open(tmp_path / "store").notes(i) for i in (0, 1))
    assert score.bar_starts.tolist() == [0, 3, 7, 11]
    assert score.bar_numbers == ("0", "1", "2", "3")
    assert score.remarks == ("cue notes, which are silent: 1",)
    assert len(midi.unread) == 1
    assert midi.parts[0].track >= 0

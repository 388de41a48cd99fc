"""The index on disk: its parts by hand, how segments merge, what damage, killed writers and busy readers do to it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import audit.search.index
import audit.search.index_build
from audit.opening import open_audit_corpus
from audit.search import index_build
from audit.search.corpus import SearchCorpus
from audit.search.index import Index, IndexDamagedError, newest_indexed, open_index, state_folder, verify_index
from audit.search.index_build import Columns, build_index, write_segment
from audit.search.lines import FIGURE, REACH, hash_figures, onsets, time_steps
from audit.search.passages import search
from audit.search.surprise import transitions
from corpus.ingest import ingest
from corpus.segment import StoreBusyError, StoreDamagedError, StoreError
from corpus.store import Store, writing
from metrics.tokens import MetricError
from music.midi import write_midi
from music.notes import NoteSequence, Part, build
from tests.cases.tunes import melody
from tests.cases.values import require


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pieces a segment of the store, and a calibration that takes no time."""
    monkeypatch.setattr("corpus.ingest.BATCH", 4)
    monkeypatch.setattr("audit.search.significance.CHANCE_QUERIES", 4)
    monkeypatch.setattr("audit.search.significance.HUMAN_QUERIES", 4)
    monkeypatch.setattr("audit.measures.metrics.PAIRS", 1)
    monkeypatch.setattr("audit.measures.metrics.opening_mel", _silent)


def _silent(sequence: NoteSequence) -> None:
    raise MetricError("not rendered here")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    for i in range(24):
        write_midi(melody(i, 48), folder / f"{i // 4}" / f"{i:02d}.mid")
    return folder


def added(music: Path, path: Path, *parts: int) -> Store:
    """Add four pieces for each part, in one run."""
    ingest([music / str(part) for part in parts], path, workers=1)
    return Store.open(path)


def watch(what: str) -> Any:
    return nullcontext(lambda done, total: None)


def answers(index: Index, *seeds: int) -> list[tuple[Any, ...]]:
    """Everything that a search says about some tunes."""
    found = [search(index, melody(seed, 48).transpose(2), top=3) for seed in seeds]
    return [(p.piece, p.bits, p.voice, p.query_rows.tolist(), p.positions.tolist()) for ps in found for p in ps]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def segments(store: Store) -> list[Path]:
    return [path for path in (store.path / "index" / "segments").iterdir() if not path.name.startswith(".")]


# Its parts


def decoded(coded: NDArray[np.uint8]) -> list[int]:
    """Numbers in bytes of seven bits, the lowest first; the eighth says that more follows."""
    numbers, value, shift = [], 0, 0
    for byte in coded.tolist():
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    return numbers


def test_postings_against_a_dictionary(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    voices = [rng.integers(*span, n) for span, n in (((0, 128), 900), ((60, 64), 3000), ((60, 62), 6), ((60, 62), 7))]
    voices += [np.full(40_000, 60), voices[0][:300], np.full(6, 60)]
    lengths = np.array([len(v) for v in voices])
    columns = Columns(
        np.concatenate(voices).astype(np.uint8),
        np.concatenate([time_steps(np.arange(float(n))) for n in lengths]),
        lengths,
        np.arange(len(voices), dtype=np.int32),
        *transitions([]),
    )
    made = write_segment(tmp_path, ("a", "b"), columns)
    bits = len(made.starts).bit_length() - 1
    expected: dict[int, list[int]] = {}
    start = 0
    for voice in voices:
        steps = np.clip(np.diff(voice), -REACH, REACH) + REACH
        for i in range(len(voice) - FIGURE):
            code = sum(int(step) * 31 ** (FIGURE - 1 - k) for k, step in enumerate(steps[i : i + FIGURE]))
            bucket = code * 0x9E3779B97F4A7C15 % 2**64 >> 64 - bits
            assert i or bucket == hash_figures(voice.astype(np.uint8), bits)[0]
            expected.setdefault(bucket, []).append(start + i)
        start += len(voice)
    found = {}
    for bucket in range(2**bits):
        numbers = decoded(made.places[made.starts[bucket] : made.starts[bucket + 1]])
        if numbers:
            assert numbers[0] == len(numbers) - 1
            found[bucket] = (np.cumsum(np.array(numbers[1:]) + 1) - 1).tolist()
    assert found == expected
    assert max(map(len, found.values())) > 2**14  # a count of three bytes
    assert np.array_equal(made.pitch, columns.pitch)
    assert made.voice_start.tolist() == [0, *np.cumsum(lengths).tolist()]


def test_times_are_kept_within_two_percent() -> None:
    gaps = np.random.default_rng(1).permutation(np.geomspace(1 / 64, 105, 500))
    onset = np.concatenate([[3.0], 3 + np.cumsum(gaps)])
    steps = time_steps(onset)
    assert steps[-1] == 0
    kept = [float(onsets(np.array([step, 0], np.uint8))[1]) for step in steps[:-1]]
    assert np.abs(np.array(kept) / gaps - 1).max() < 0.018
    whole = onsets(steps)
    assert whole[0] == 0
    assert np.abs(np.diff(whole) / kept - 1).max() < 0.1  # a 64th, thousands of quarters on
    assert time_steps(np.array([0, 1e-9, 1000])).tolist() == [0, 255, 0]
    assert np.array_equal(time_steps(onset * 2)[:-1].astype(int), np.minimum(steps[:-1].astype(int) + 20, 255))
    assert len(onsets(time_steps(np.zeros(0)))) == 0
    assert onsets(time_steps(np.array([5.0]))).tolist() == [0]


# Growing


def test_segments_merge_until_each_is_twice_as_long_as_the_next(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.search.index_build.FULL", 900)  # notes; four tunes have 192
    sizes = []
    for part in range(6):
        index = build_index(added(music, tmp_path / "s", part))
        now = [len(s.pitch) for s in index.segments]
        assert all(a >= 2 * b or a + b > 900 for a, b in pairwise(now))
        assert max(now) <= 900
        covers = [name for s in index.segments for name in s.covers]
        assert covers == [entry.name for entry in Store.open(tmp_path / "s").segments]
        sizes.append([size // 192 for size in now])
    assert sizes == [[1], [2], [2, 1], [4], [4, 1], [4, 2]]
    store = Store.open(tmp_path / "s")
    assert len(list((tmp_path / "s" / "index").iterdir())) == 3  # two states and the segments
    assert answers(index, 3, 22) == answers(require(open_index(store)), 3, 22)


def test_a_merged_index_is_the_one_made_in_one_go(music: Path, tmp_path: Path) -> None:
    build_index(added(music, tmp_path / "grown", 0))
    grown = build_index(added(music, tmp_path / "grown", 1))
    whole = build_index(added(music, tmp_path / "whole", 0, 1))
    assert Store.open(tmp_path / "grown").digest == Store.open(tmp_path / "whole").digest
    assert [s.name for s in grown.segments] == [s.name for s in whole.segments]
    assert contents(whole.path) == contents(grown.path)
    name = whole.segments[0].name
    folders = [tmp_path / store / "index" / "segments" / name for store in ("grown", "whole")]
    assert contents(folders[0]) == contents(folders[1])


def test_an_index_of_several_segments_answers_as_one(music: Path, tmp_path: Path) -> None:
    build_index(added(music, tmp_path / "grown", 0, 1, 2, 3))
    grown = build_index(added(music, tmp_path / "grown", 4))
    whole = build_index(added(music, tmp_path / "whole", 0, 1, 2, 3, 4))
    assert (len(grown.segments), len(whole.segments)) == (2, 1)
    assert np.array_equal(grown.style.interval, whole.style.interval)
    queries = (0, 7, 15, 16, 19, 500, 501)
    assert answers(grown, *queries) == answers(whole, *queries)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_and_engines_change_no_byte(music: Path, tmp_path: Path, workers: int) -> None:
    store = added(music, tmp_path / "s", 0, 1, 2)
    alone = contents(build_index(store).path.parent)
    shutil.rmtree(tmp_path / "s" / "index")
    build_index(store, engine="local" if workers == 3 else "ray", workers=workers)
    assert contents(tmp_path / "s" / "index") == alone


def test_a_store_of_drums_has_an_index_that_finds_nothing(tmp_path: Path) -> None:
    base = melody(1, 48)
    drums = build(base.onset_beat, base.duration_beat, base.pitch, parts=[Part("kit", 0, True)])
    write_midi(drums, tmp_path / "src" / "drums.mid")
    ingest([tmp_path / "src"], tmp_path / "s", workers=1)
    corpus = open_audit_corpus(Store.open(tmp_path / "s"), watch)
    assert corpus.index.notes == 0
    assert search(corpus.index, melody(2, 48)) == []


# Writers that die, readers beside writers


def test_killed_at_any_moment_the_state_before_is_there(music: Path, tmp_path: Path) -> None:
    store = added(music, tmp_path / "s", 0, 1, 2)
    more = added(music, tmp_path / "t", 0, 1, 2, 3)
    said = {store.digest: answers(build_index(store), 1, 9), more.digest: answers(build_index(more), 1, 9)}
    more = added(music, tmp_path / "s", 3)
    outcomes = []
    for moment in range(60):
        child = os.fork()
        if not child:
            _die_at(moment)
            try:
                build_index(more)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitpid(child, 0)[1]
        earlier = newest_indexed(more)
        assert earlier is not None
        index = open_index(earlier)
        assert index is not None
        verify_index(index)
        assert answers(index, 1, 9) == said[earlier.digest]
        outcomes.append((code, earlier.digest == more.digest))
        if code == 0:
            break
    assert outcomes[0] == (signal.SIGKILL, False)
    assert outcomes[-1] == (0, True)
    assert all(code in (0, signal.SIGKILL) for code, _ in outcomes)
    assert len(outcomes) > 20
    assert not [path for path in (tmp_path / "s" / "index").rglob(".*")]  # the last one cleaned up


def _die_at(moment: int) -> None:
    """Have this process die at its `moment`-th write or removal of the index."""
    left = [moment]

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **options: Any) -> Any:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*words, **options)

        return run

    for module, name in ((index_build, "sync"), (index_build, "write_synced"), (shutil, "rmtree"), (np, "save")):
        setattr(module, name, deadly(getattr(module, name)))


def test_a_reader_goes_on_while_the_store_grows(music: Path, tmp_path: Path) -> None:
    store = added(music, tmp_path / "s", 0, 1)
    open_audit_corpus(store, watch)
    reader = open_audit_corpus(Store.open(tmp_path / "s"), watch)
    said = answers(reader.index, 2, 6)
    for part in (2, 3, 4):
        open_audit_corpus(added(music, tmp_path / "s", part), watch)
    assert not reader.index.path.exists()
    assert answers(reader.index, 2, 6) == said
    assert reader.store.notes(2).pitch.size == 48


def test_a_reader_beside_a_writer_gets_the_last_indexed_state(music: Path, tmp_path: Path) -> None:
    store = added(music, tmp_path / "s", 0)
    with writing(store.path), pytest.raises(StoreBusyError, match="another process is writing"):
        open_audit_corpus(store, watch)
    said = answers(open_audit_corpus(store, watch).index, 1)
    more = added(music, tmp_path / "s", 1, 2)
    with writing(store.path):
        reader = open_audit_corpus(more, watch)
    assert (reader.store.digest, len(reader.store.pieces)) == (store.digest, 4)
    assert answers(reader.index, 1) == said
    _older(state_folder(store))  # of a version that this one can't read: as if there were none
    with writing(store.path), pytest.raises(StoreBusyError):
        open_audit_corpus(more, watch)


def test_a_store_that_grew_meanwhile_is_not_set_back(music: Path, tmp_path: Path) -> None:
    old = added(music, tmp_path / "s", 0)
    open_audit_corpus(added(music, tmp_path / "s", 1), watch)
    newest = added(music, tmp_path / "s", 2)
    open_audit_corpus(newest, watch)
    before = contents(tmp_path / "s" / "index")
    assert open_audit_corpus(old, watch).store.digest == newest.digest  # no index of `old` is there, and none is made
    assert contents(tmp_path / "s" / "index") == before


# Damage


def _older(state: Path) -> None:
    about = json.loads((state / "index.json").read_bytes())
    (state / "index.json").write_text(json.dumps({**about, "schema": "contraste-index/1"}))


def _spoil(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Path], None]:
    """Change an array, and what segment.json says about its size, as if that were right."""

    def damage(folder: Path) -> None:
        array = change(np.load(folder / f"{name}.npy"))
        np.save(folder / f"{name}.npy", array)
        about = json.loads((folder / "segment.json").read_bytes())
        about["files"][f"{name}.npy"]["bytes"] = (folder / f"{name}.npy").stat().st_size
        (folder / "segment.json").write_text(json.dumps(about))

    return damage


def _falling(array: NDArray[Any]) -> NDArray[Any]:
    array[1] = array[-1] + 1
    return array


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (shutil.rmtree, "No such file"),
    "file gone": (lambda f: (f / "places.npy").unlink(), "No such file"),
    "truncated": (lambda f: os.truncate(f / "places.npy", 200), "places.npy has 200 bytes"),
    "empty": (lambda f: os.truncate(f / "pitch.npy", 0), "pitch.npy has 0 bytes"),
    "no JSON": (lambda f: (f / "segment.json").write_text("{"), "Expecting"),
    "other JSON": (lambda f: (f / "segment.json").write_text("[]"), "list indices"),
    "other type": (_spoil("pitch", lambda a: a.astype(np.int64)), "pitch.npy is int64, not uint8"),
    "no array": (lambda f: (f / "step.npy").write_bytes(bytes((f / "step.npy").stat().st_size)), "pickle|magic"),
    "falls": (_spoil("voice_start", _falling), "voice_start.npy does not rise from 0 to 192"),
    "short": (_spoil("step", lambda a: a[:-1]), "do not fit together"),
    "starts": (_spoil("starts", lambda a: np.insert(a, 1, 0)), r"not 2\*\*k \+ 1"),
    "end": (_spoil("places", lambda a: a | 128), "ends within a number"),
    "owners": (_spoil("voice_piece", lambda a: a[::-1].copy()), "voice_piece.npy does not rise"),
}


@pytest.fixture(scope="module")
def two(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a store with an index of two segments, of 16 and 4 pieces."""
    path = tmp_path_factory.mktemp("two") / "s"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        open_audit_corpus(added(music, path, 0, 1, 2, 3), watch)
        open_audit_corpus(added(music, path, 4), watch)
        yield path


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_is_named_left_out_or_made_again(two: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(two, tmp_path / "s")
    store = Store.open(tmp_path / "s")
    whole = open_index(store)
    assert whole is not None
    said, tree = answers(whole, 1, 17), contents(store.path)
    bad = store.path / "index" / "segments" / whole.segments[1].name
    change, says = DAMAGES[damage]
    change(bad)
    with pytest.raises(IndexDamagedError, match=rf"{bad.name}: the index is damaged: .*({says}).*--partial"):
        open_index(store)
    corpus = open_audit_corpus(store, watch, partial=True)
    assert [name for name, _ in corpus.index.missing] == [bad.name]
    assert corpus.left_out == (4, corpus.index.missing)
    pieces = {store.pieces[p[0]].path for p in answers(corpus.index, 1, 17)}
    assert "01.mid" in pieces
    assert "17.mid" not in pieces
    again = open_audit_corpus(store, watch, repair=True)
    assert answers(again.index, 1, 17) == said
    assert contents(store.path) == tree


def test_a_damaged_state_is_named_and_made_again(two: Path, tmp_path: Path) -> None:
    for name, text in (("index.json", b"{"), ("index.json", b"[]"), ("intervals.npy", b""), ("calibration.json", b"{")):
        shutil.copytree(two, tmp_path / "s")
        store = Store.open(tmp_path / "s")
        tree = contents(store.path)
        (state_folder(store) / name).write_bytes(text)
        with pytest.raises(IndexDamagedError, match=r"the index is damaged: .*; contraste ingest into this store"):
            open_audit_corpus(store, watch)
        open_audit_corpus(store, watch, repair=True)
        assert contents(store.path) == tree
        shutil.rmtree(store.path)


def test_verify_finds_one_altered_byte(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "s")
    index = open_index(Store.open(tmp_path / "s"))
    assert index is not None
    verify_index(index)
    arrays = [path for folder in (index.path, *segments(Store.open(tmp_path / "s"))) for path in folder.glob("*.npy")]
    assert len(arrays) == 3 + 2 * 8
    for path in arrays:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(IndexDamagedError, match=rf"{path.parent.name}: .*{path.name} has another SHA-256"):
            verify_index(index)
        data[-1] ^= 1
        path.write_bytes(data)
    shutil.rmtree(index.path)
    with pytest.raises(IndexDamagedError, match="No such file"):
        verify_index(index)


def test_places_that_were_altered_are_refused_by_the_search(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "s")
    index = open_index(Store.open(tmp_path / "s"))
    assert index is not None
    name = index.segments[0].name
    places = np.load(tmp_path / "s" / "index" / "segments" / name / "places.npy", mmap_mode="r+")
    places[:-1] = 255
    places.flush()
    with pytest.raises(IndexDamagedError, match=rf"{name}: the index is damaged: places\.npy"):
        search(index, melody(1, 48))


def test_an_index_of_another_version_is_made_again(two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(two, tmp_path / "s")
    store = Store.open(tmp_path / "s")
    said = answers(open_audit_corpus(store, watch).index, 1, 17)
    _older(state_folder(store))
    assert open_index(store) is None
    with monkeypatch.context() as patch:
        patch.setattr("audit.search.index_build._write_folder", _denied)
        with pytest.raises(StoreError, match="the index can't be written: Read-only file system"):
            open_audit_corpus(store, watch)
    assert answers(open_audit_corpus(store, watch).index, 1, 17) == said
    assert json.loads((state_folder(store) / "index.json").read_bytes())["schema"] == audit.search.index.SCHEMA


# Folders that can't be written, stores with missing segments


def _denied(*words: Any) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(words[0]))


def _full(*words: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(words[0]))


def test_without_a_calibration_in_a_folder_that_is_only_read(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(two, tmp_path / "s")
    store = Store.open(tmp_path / "s")
    kept = open_audit_corpus(store, watch)
    names = ("calibration.json", "chance.json", "style.json")
    for name in names:
        (state_folder(store) / name).unlink()
    monkeypatch.setattr("audit.search.index.write_synced", _denied)
    found = open_audit_corpus(store, watch)
    assert found.index.unsaved == dict.fromkeys(names, "Read-only file system")
    assert (found.calibration, found.chance) == (kept.calibration, kept.chance)
    monkeypatch.setattr("audit.search.index.write_synced", _full)
    with pytest.raises(StoreError, match=r"calibration\.json: can't be written: No space left"):
        open_audit_corpus(store, watch)


def test_what_a_part_of_the_corpus_gives_is_not_kept(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two, tmp_path / "s")
    store = Store.open(tmp_path / "s")
    before = contents(state_folder(store))
    shutil.rmtree(store.path / "segments" / store.segments[1].name)
    part = Store.open(tmp_path / "s", partial=True)
    corpus: SearchCorpus = open_audit_corpus(part, watch, partial=True)
    assert corpus.left_out == (4, part.missing)
    corpus.index.write("calibration.json", {})
    unsaved = ("originality-24-notes.json", "calibration.json")  # the first was never made of the whole corpus here
    assert corpus.index.unsaved == dict.fromkeys(unsaved, "a part of the corpus is missing")
    assert contents(state_folder(store)) == before
    shutil.rmtree(store.path / "index")
    with pytest.raises(StoreDamagedError, match="there is no index of the store, which can't be made without it"):
        open_audit_corpus(part, watch, partial=True)

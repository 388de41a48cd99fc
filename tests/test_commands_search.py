"""`search` and `compare` as typed: what is written, damaged and partial stores, odd and long queries."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from metrics.measure import SPECS
from music.midi import write_midi
from music.notes import NoteSequence, Part, build
from tests.cases.command import contraste, done, python, refused
from tests.cases.house import House, tree
from tests.cases.policies import write_policy
from tests.cases.tunes import melody


def test_search_writes_the_contract_and_answers_the_others(house: House, tmp_path: Path) -> None:
    out = tmp_path / "below" / "found.jsonl"
    queries = [house / "copied.mid", house / "text.mid", house / "clean.mid"]
    ran = contraste("search", house / "store", *queries, "--top", 3, "--jsonl", out)
    assert (ran.code, ran.out) == (1, "")
    assert "3 searched in 20 pieces: 1 fail, 1 clear, 1 unreadable" in ran.err
    copied, text, clean = map(json.loads, out.read_text().splitlines())
    assert [record["query"] for record in (copied, text, clean)] == [str(query) for query in queries]
    assert [record["verdict"] for record in (copied, text, clean)] == ["fail", "unreadable", "clear"]
    assert set(text) == {"query", "verdict", "reason"}
    assert "text.mid" in text["reason"]
    best = copied["findings"][0]
    assert (best["piece"], best["transposition"], best["matched"], best["notes"]) == ("07.mid", 3, 64, 64)
    assert best["query_span_s"] == best["piece_span_s"]
    for record in (copied, clean):
        assert set(record) == {"query", "verdict", "findings"}
        assert len({finding["piece"] for finding in record["findings"]}) <= 3
        bits = [finding["bits"] for finding in record["findings"]]
        assert bits == sorted(bits, reverse=True)
        for finding in record["findings"]:
            for name in ("query_span_s", "piece_span_s"):
                start, end = finding[name]
                assert 0 <= start < end
            whole = [finding[name] for name in ("transposition", "matched", "notes")]
            assert all(isinstance(value, int) for value in whole)
            assert 0 < finding["matched"] <= finding["notes"]
            assert finding["tempo_ratio"] > 0
            assert finding["evalue"] >= 0
            assert 0 <= finding["percentile"] <= 1


def test_search_prints_what_it_found_and_ends_as_the_worst(house: House) -> None:
    ran = contraste("search", house / "store", house / "copied.mid")
    assert ran.code == 1
    assert "copied.mid: fail" in ran.out
    assert "07.mid" in ran.out
    assert contraste("search", house / "store", house / "clean.mid").code == 0
    assert contraste("search", house / "store", house / "text.mid", house / "clean.mid").code == 3


def test_what_was_not_read_is_not_passed_and_what_was_mended_is_said(house: House, tmp_path: Path) -> None:
    """A file cut short, and one whose last notes have no end: both hold music that is clear as far as it goes."""
    whole = (house / "clean.mid").read_bytes()
    (tmp_path / "cut.mid").write_bytes(whole[:-40])
    at = whole.rindex(b"MTrk")
    length = int.from_bytes(whole[at + 4 : at + 8], "big")
    body = whole[at + 8 : at + 8 + length - 4]
    tail = b"\x00\x90\x30\x50\x60\xff\x2f\x00"  # a note that begins and never ends
    endless = tmp_path / "endless.mid"
    endless.write_bytes(whole[: at + 4] + (len(body) + len(tail)).to_bytes(4, "big") + body + tail)
    ran = contraste("search", house / "store", tmp_path / "cut.mid", "--top", 1)
    assert (ran.code, "cut.mid: incomplete" in ran.out) == (4, True)
    assert "not searched: part of the file was not read: chunk 'MTrk' at byte" in ran.out
    ran = contraste("search", house / "store", endless, "--top", 1)
    assert (ran.code, "in reading: notes without an end, held to the end of their track: 1" in ran.out) == (0, True)
    out = tmp_path / "reports"
    ran = contraste(
        "audit", tmp_path / "cut.mid", "--store", house / "store", "--out", out / "a", "--format", "json,md"
    )
    assert ran.code == 4
    assert "the policy requires copy, which was not checked: part of the file was not read" in ran.out
    contraste("audit", endless, "--store", house / "store", "--out", out / "b", "--format", "json,html,md")
    (report,) = out.glob("b/**/report.json")
    assert json.loads(report.read_bytes())["track"]["remarks"] == [
        "notes without an end, held to the end of their track: 1"
    ]
    page = report.with_name("report.html").read_text()
    assert "In reading the file:" in page
    assert "Al leer el archivo:" in page
    assert "notas sin final, mantenidas hasta el final de su pista: 1" in page
    assert "Remarks on reading the file" in report.with_name("report.md").read_text()
    ran = contraste("ingest", endless, tmp_path / "cut.mid", "--into", tmp_path / "store", "--workers", 1)
    assert "remarks on reading 1 file, as on endless.mid: notes without an end" in ran.err
    assert "read in part cut.mid" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("store", "none.mid"), 3, "none.mid: no such file or folder"),
        (("store", "empty"), 3, "holds no MIDI or MusicXML files"),
        (("none", "clean.mid"), 3, "make one with: contraste ingest"),
        (("empty", "clean.mid"), 3, "no manifest.json"),
        (("text.txt", "clean.mid"), 3, "manifest.json: cannot be read"),
        (("store", "clean.mid", "--jsonl", "text.txt/x.jsonl"), 2, "text.txt"),
        (("store", "clean.mid", "--policy", "none.toml"), 2, "none.toml: cannot be read"),
    ],
)
def test_bad_words_for_search(house: House, words: tuple[str, ...], code: int, says: str) -> None:
    refused(contraste("search", *(w if w.startswith("--") else house / w for w in words)), code, says)


def test_a_store_without_an_index_gets_the_same_one_again(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    for end in ("sig", "anchor.json"):
        shutil.copy(house / f"store.{end}", tmp_path)
    shutil.rmtree(store / "index")
    assert contraste("search", store, house / "copied.mid").code == 1  # which makes what a search needs
    assert tree(store).items() < tree(house / "store").items()
    assert contraste("audit", house / "copied.mid", "--store", store, "--out", tmp_path / "r").code == 1
    assert tree(store) == tree(house / "store")
    done("verify", store)


@pytest.fixture
def two_segments(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Make a store whose last piece, clean.mid, has an index segment of its own; return both folders."""
    monkeypatch.setattr("audit.search.significance.CHANCE_QUERIES", 10)
    monkeypatch.setattr("audit.search.significance.HUMAN_QUERIES", 10)
    store = shutil.copytree(house / "store", tmp_path / "store")
    before = set(store.glob("index/segments/*"))
    done("ingest", house / "clean.mid", "--into", store)
    (segment,) = set(store.glob("index/segments/*")) - before
    return store, segment


def test_a_damaged_index_is_named_left_out_or_made_again(
    house: House, tmp_path: Path, two_segments: tuple[Path, Path]
) -> None:
    store, segment = two_segments
    whole = tree(store)
    queries = (house / "clean.mid", house / "copied.mid")
    assert contraste("search", store, queries[0]).code == 1
    os.truncate(segment / "pitch.npy", 100)
    for words in (("search", store, queries[0]), ("audit", queries[0], "--store", store, "--out", tmp_path / "r")):
        refused(contraste(*words), 4, segment.name, "contraste ingest", "--partial")
    found = tmp_path / "found.jsonl"
    ran = contraste("search", store, *queries, "--partial", "--jsonl", found)
    assert ran.code == 1
    assert f"index segment {segment.name} is left out: pitch.npy has 100 bytes" in ran.err
    assert "1 of 21 pieces are not searched" in ran.err
    assert "2 searched in 20 pieces: 1 fail, 1 clear" in ran.err
    for record in map(json.loads, found.read_text().splitlines()):
        assert record["partial"] == {"pieces_left_out": 1, "segments": [segment.name]}
    ran = contraste("verify", store)
    assert ran.code == 4
    assert f"incomplete store      {segment}: the index is damaged" in ran.out
    done("ingest", house / "clean.mid", "--into", store)
    assert tree(store) == whole
    next(store.glob("segments/00001-*/notes.npy")).write_bytes(b"")
    assert contraste("verify", store).code == 4
    refused(contraste("search", store, queries[0]), 4, "00001-", "--partial")
    ran = contraste("search", store, queries[0], "--partial", "--jsonl", found)
    assert ran.code == 0
    (record,) = map(json.loads, found.read_text().splitlines())
    assert record["partial"]["pieces_left_out"] == 1
    assert record["partial"]["segments"][0].startswith("00001-")


def test_an_audit_of_a_part_of_the_corpus_is_incomplete(
    house: House, tmp_path: Path, two_segments: tuple[Path, Path]
) -> None:
    store, segment = two_segments
    shutil.rmtree(segment)
    words = ("--store", store, "--partial", "--format", "json", "--out", tmp_path / "r")
    ran = contraste("audit", house / "clean.mid", *words)
    assert ran.code == 4, ran
    says = f"1 of 21 pieces were left out (segment {segment.name})"
    assert f"the policy requires copy, which was not checked: {says}" in ran.out
    report = json.loads((tmp_path / "r" / "clean" / "report.json").read_bytes())
    assert {"check": "copy", "reason": says, "required": True} in report["skipped"]
    assert contraste("audit", house / "copied.mid", *words).code == 1
    loose = write_policy(tmp_path / "p.toml", required="[]")
    done("audit", house / "clean.mid", *words, "--policy", loose)
    report = json.loads((tmp_path / "r" / "clean" / "report.json").read_bytes())
    assert "any of the 20 searched pieces (of 21) of the corpus" in report["sentence"]


def test_where_no_index_segment_is_left(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    shutil.rmtree(next(store.glob("index/segments/*")))
    ran = contraste("search", store, house / "clean.mid", "--partial")
    refused(ran, 4, "no piece of the store can be searched")


def test_a_store_of_the_first_version_is_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text('{"schema": "contraste-store/1", "pieces": []}')
    refused(contraste("search", tmp_path / "old", house / "clean.mid"), 3, "0.1", "ingest its sources again")


def test_a_store_that_may_only_be_read(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    state = next(path for path in store.glob("index/*") if path.name != "segments")

    def searched() -> subprocess.CompletedProcess[str]:
        for folder in (store, *(path for path in store.rglob("*") if path.is_dir())):
            folder.chmod(0o555)
        try:
            code = "import audit.search.significance as s, cli; s.CHANCE_QUERIES = s.HUMAN_QUERIES = 5; cli.main()"
            return python(code, "search", store, house / "copied.mid", preexec_fn=without_privileges)
        finally:
            for folder in (store, *(path for path in store.rglob("*") if path.is_dir())):
                folder.chmod(0o755)

    ran = searched()
    assert (ran.returncode, "can't be kept" in ran.stderr) == (1, False), ran
    before = tree(store)
    (state / "calibration.json").unlink()
    ran = searched()
    assert ran.returncode == 1, ran
    assert "calibration.json can't be kept (Permission denied), so it is worked out anew each time" in ran.stderr
    assert set(tree(store)) < set(before)


def without_privileges() -> None:
    """Take the right to write where permissions forbid it from root, for the program that is started next."""
    drop_from_bounding_set, dac_override = 24, 1  # linux/prctl.h, linux/capability.h
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0)


def drums(notes: int) -> NoteSequence:
    return build(range(notes), [1] * notes, [36 + i % 12 for i in range(notes)], parts=[Part("kit", 0, True)])


def test_odd_queries_are_answered(house: House, tmp_path: Path) -> None:
    (tmp_path / "empty.mid").write_bytes(b"")
    write_midi(build([0], [1], [60]), tmp_path / "one.mid")
    write_midi(drums(200), tmp_path / "drums.mid")
    names = ("drums", "empty", "one")
    ran = contraste("search", house / "store", tmp_path, "--jsonl", tmp_path / "found.jsonl")
    assert ran.code == 3
    records = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [Path(record["query"]).stem for record in records] == [*names]
    assert [record["verdict"] for record in records] == ["incomplete", "unreadable", "incomplete"]
    assert records[0]["findings"] == records[2]["findings"] == []
    assert records[0]["not_searched"] == ["all of its 200 notes are drums, which have no melody to search"]
    assert records[2]["not_searched"] == ["it holds no line of 6 notes, and shorter ones are not searched"]
    for name in ("drums", "one"):  # nothing was searched, so nothing is said to be clear
        assert contraste("search", house / "store", tmp_path / f"{name}.mid").code == 4
    words = ("--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    ran = contraste("audit", tmp_path / "one.mid", tmp_path / "drums.mid", *words)
    assert ran.code == 4
    unchecked = "the policy requires copy, which was not checked: "
    assert f"{unchecked}it holds no line of 6 notes" in ran.out
    assert f"{unchecked}all of its 200 notes are drums, which have no melody to search" in ran.out


@pytest.mark.parametrize(("notes", "beats", "parts"), [(100_000, 0.05, 1), (21_900, 1.0, 3)])
def test_long_queries_are_answered_in_time(house: House, tmp_path: Path, notes: int, beats: float, parts: int) -> None:
    """200,000 events in one part; an hour at 120 in three, each with a copied tune at its end."""
    rng, copied = np.random.default_rng(notes), melody(7)
    here = notes // parts - len(copied)
    onset = [rng.permutation(here) * beats for _ in range(parts)]
    pitch = [rng.integers(30, 100, here) for _ in range(parts)]
    whole = build(
        np.concatenate([o for part in onset for o in (part, here * beats + copied.onset_beat)]),
        np.full(notes, beats),
        np.concatenate([p for part in pitch for p in (part, copied.pitch)]),
        part=np.repeat(np.arange(parts), here + len(copied)),
        parts=[Part(str(i)) for i in range(parts)],
    )
    assert parts == 1 or whole.end_s > 3600
    write_midi(whole, tmp_path / "long.mid")
    begin = time.monotonic()
    ran = contraste("search", house / "store", tmp_path / "long.mid", "--jsonl", tmp_path / "found.jsonl")
    assert time.monotonic() - begin < 15
    assert ran.code == 1
    (record,) = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
    assert (record["findings"][0]["piece"], record["findings"][0]["matched"]) == ("07.mid", 64)


@pytest.mark.usefixtures("house")
def test_a_store_of_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.search.significance.CHANCE_QUERIES", 10)
    for i in range(6):
        write_midi(melody(3).transpose(i), tmp_path / "src" / f"{i}.mid")
    done("ingest", tmp_path / "src", "--into", tmp_path / "store", "--workers", 1)
    ran = contraste("search", tmp_path / "store", tmp_path / "src" / "2.mid", "--jsonl", tmp_path / "found.jsonl")
    assert ran.code in (0, 1)
    (record,) = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
    assert {finding["piece"] for finding in record["findings"]} == {f"{i}.mid" for i in range(6)}
    assert all(finding["matched"] == 64 for finding in record["findings"])


def test_compare_shows_every_metric_with_its_chance(house: House) -> None:
    ran = done("compare", house / "src" / "01.mid", house / "src" / "02.mid")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [spec.name for spec in SPECS]
    for line in lines[1:]:
        value, mean, extreme = map(float, line.split()[1:4])
        assert min(value, mean, extreme) >= 0
    rows = json.loads(done("compare", house / "src" / "01.mid", house / "src" / "01.mid", "--json").out)
    assert [row["name"] for row in rows] == [spec.name for spec in SPECS]
    assert all(isinstance(row[name], int | float) for row in rows for name in ("value", "chance_mean", "chance_p95"))
    same = {row["name"]: row["value"] for row in rows}
    assert (same["edit_similarity"], same["phash_64"]) == (1, 0)
    assert same["bleu"] == pytest.approx(1)


def test_compare_says_what_it_skips(house: House) -> None:
    ran = done("compare", house / "src" / "01.mid", house / "short.mid")
    skipped = {line.split()[0] for line in ran.out.splitlines() if "skipped: " in line}
    assert {"bleu", "edit_similarity"} <= skipped


@pytest.mark.parametrize("name", ["none.mid", "text.txt", "text.mid", "empty"])
def test_compare_of_what_is_no_music_is_3(house: House, name: str) -> None:
    refused(contraste("compare", house / "clean.mid", house / name), 3, name)

"""The command line as a person meets it: exit codes, messages, files, and what tampering does to each command.

Commands run in this process through `cli.main`, so that the exit codes and the messages are the real ones; an error
that escapes it would end in a traceback for the user, and fails the test here.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer

import cli
from metrics.measure import SPECS
from music.midi import write_midi
from music.notes import NoteSequence, Part, build
from reports.language.translation import CATALOGUES

ROOT = Path(cli.__file__).parent
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])
NOBODY = "http://127.0.0.1:9"  # the discard port, on which nothing listens
POLICY = """schema = "contraste-policy/1"
name = "test"
[gate]
required = {required}
review_blocks = {review_blocks}
[copy]
fail_evalue = {fail_evalue}
fail_percentile = {fail_percentile}
review_evalue = 1e-3
[provenance]
require_signature = {require_signature}
"""
VALUES = {
    "required": '["copy"]',
    "review_blocks": "false",
    "fail_evalue": 1e-6,
    "fail_percentile": 0.9,
    "require_signature": "false",
}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def contraste(*words: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["contraste", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    ran = Ran(int(code) if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
    assert "Traceback" not in ran.out + ran.err
    return ran


def done(*words: object) -> Ran:
    ran = contraste(*words)
    assert ran.code == 0, (words, ran)
    return ran


def refused(ran: Ran, code: int, *says: str) -> None:
    """One line on stderr with all of `says`, nothing on stdout, and the exit code."""
    assert ran.code == code, ran
    lines = ran.err.splitlines()
    assert [line for line in lines if line.startswith("contraste: ")] == lines[-1:], ran
    assert all(part in lines[-1] for part in says), ran
    assert ran.out == ""


def tune(seed: int, notes: int = 64) -> NoteSequence:
    rng = np.random.default_rng(seed)
    degree = 14 + np.abs(np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3, 4, -4], notes)) % 20 - 10)
    gaps = rng.choice([0.5, 0.5, 0.5, 1.0, 1.5], notes)
    onset = np.concatenate([[0], np.cumsum(gaps)[:-1]])
    return build(onset, gaps, 36 + 12 * (degree // 7) + SCALE[degree % 7])


def policy(path: Path, **changes: object) -> Path:
    path.write_text(POLICY.format(**{**VALUES, **changes}))
    return path


@dataclass(frozen=True)
class House:
    """A folder in which the whole job was done once: ``src store keys model tracks reports`` and odd files."""

    path: Path
    first: Path
    report: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTE_HOME", str(path / "home"))
        patch.setenv("CONTRASTE_PASSWORD", "a password")
        patch.setattr("audit.measures.metrics.PAIRS", 30)
        patch.setattr("audit.measures.metrics.SAMPLE", 8)
        patch.setattr("audit.search.significance.CHANCE_QUERIES", 80)
        for i in range(20):
            write_midi(tune(i), path / "src" / f"{i:02d}.mid")
        write_midi(tune(7).transpose(3), path / "copied.mid")
        write_midi(tune(999), path / "clean.mid")
        write_midi(tune(998, 4), path / "short.mid")
        (path / "text.mid").write_text("hello\n")
        (path / "text.txt").write_text("hello\n")
        (path / "empty").mkdir()
        store, keys, model, tracks = (path / name for name in ("store", "keys", "model", "tracks"))
        done("keys", "new", keys)
        done("ingest", path / "src", "--into", store, "--workers", 1)
        done("sign", store, "--key", keys)
        done("train", "--store", store, "--out", model, "--steps", 3, "--batch", 2, "--size", "tiny", "--device", "cpu")
        done("sign", model, "--key", keys)
        done("generate", "--model", model, "--out", tracks, "-n", 2, "--bars", 2, "--device", "cpu")
        made = sorted(tracks.glob("*.mid"))
        assert [file.name for file in made] == ["track-0-1.mid", "track-0-2.mid"]
        assert all(file.with_suffix(".wav").stat().st_size > 44 for file in made)
        done("sign", *made, "--key", keys)
        done("anchor", store, model, *made)
        audited = contraste("audit", *made, "--store", store, "--model", model, "--out", path / "reports")
        assert audited.code in (0, 4), audited  # a model of 3 steps may write too few notes to be searched
        reports = [path / "reports" / file.stem / "report.json" for file in made]
        done("sign", *reports, "--key", keys)
        done("anchor", *reports)
        yield House(path, made[0], reports[0])


# What there is


def commands() -> dict[str, typer.core.TyperCommand]:
    loaded = {name: cli.load_command(name) for name in cli.COMMANDS}
    inner = {
        f"{name} {part}": command
        for name, group in loaded.items()
        for part, command in getattr(group, "commands", {}).items()
    }
    return {name: command for name, command in loaded.items() if not hasattr(command, "commands")} | inner


@pytest.mark.parametrize("name", ["", "keys", "ledger", *commands()])
def test_every_command_has_help(name: str) -> None:
    ran = done(*name.split(), "--help")
    assert "Usage:" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("demo", [], ["--out"]),
        ("ingest", ["sources"], ["--into", "--rights", "--require-rights", "--workers"]),
        ("search", ["store", "queries"], ["--top", "--jsonl"]),
        ("compare", ["reference", "candidate"], ["--json"]),
        ("originality", ["store", "tracks"], ["--out", "--window", "--json"]),
        ("audit", ["tracks"], ["--store", "--model", "--policy", "--out", "--format", "--rpc", "--chain-dir"]),
        ("train", [], ["--store", "--out", "--device"]),
        ("generate", [], ["--model", "--out", "-n", "--device", "--beam"]),
        ("keys new", ["folder"], []),
        ("sign", ["paths"], ["--key", "--certificate", "--tsa"]),
        ("verify", ["paths"], ["--key", "--rpc", "--chain-dir"]),
        ("export", ["path"], ["--format", "--out", "--ai"]),
        ("anchor", ["paths"], ["--rpc", "--chain-dir", "--network", "--again", "--max-fee-gwei", "--i-mean-mainnet"]),
        ("revoke", ["paths"], ["--rpc", "--chain-dir", "--root", "--reason"]),
        (
            "mint",
            ["tracks"],
            ["--rpc", "--chain-dir", "--network", "--max-fee-gwei", "--i-mean-mainnet", "--ai", "--locked"],
        ),
    ],
)
def test_the_contract_of_names(name: str, arguments: list[str], options: list[str]) -> None:
    params = commands()[name].params
    assert [p.name for p in params if p.param_type_name == "argument"] == arguments
    assert set(options) <= {o for p in params if p.param_type_name == "option" for o in p.opts}


def python(code: str, *words: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    heavy = (
        "numpy",
        "torch",
        "librosa",
        "scipy",
        "numba",
        "verovio",
        "symusic",
        "web3",
        "cryptography",
        "rich.progress",
    )
    ran = python(f"import cli, sys; print([name for name in {heavy} if name in sys.modules])")
    assert ran.stdout == "[]\n", ran


def test_help_of_no_command_loads_torch_or_numba() -> None:
    code = (
        "import cli, sys\nfor name in cli.COMMANDS:\n    try: cli.app([name, '--help'])\n    except SystemExit: pass\n"
        "print([name for name in ('torch', 'numba', 'librosa') if name in sys.modules])"
    )
    ran = python(code)
    assert ran.stdout.splitlines()[-1] == "[]", ran
    assert all(f"contraste {name}" in ran.stdout or f"{name} [OPTIONS]" in ran.stdout for name in cli.COMMANDS)


def test_the_table_names_what_is_there_and_its_summary_is_short() -> None:
    for name, (module, about) in cli.COMMANDS.items():
        assert (ROOT / "commands" / f"{module}.py").is_file(), name
        assert about.endswith("."), name
        assert len(about) <= 100, name


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["serach", "s", "t"], "Did you mean 'search'?"),
        (["search", "s", "t", "--polcy", "x"], "--policy"),
        (["search", "s", "t", "--sign-key", "x"], "--sign-key is an option of: audit"),
        (["keys", "rotat", "x"], "Did you mean 'rotate'?"),
        (["ledger"], "log"),
        (["policy"], "explain"),
    ],
)
def test_what_is_misspelt_or_misplaced_is_2_and_the_nearest_name(words: list[str], says: str) -> None:
    ran = contraste(*words)
    assert ran.code == 2
    assert says in " ".join((ran.out + ran.err).replace("\u2502", " ").split())


def test_an_audit_never_loads_torch(house: House, tmp_path: Path) -> None:
    code = "import atexit, sys, cli; atexit.register(lambda: print('torch' in sys.modules)); cli.main()"
    ran = python(code, "audit", house / "copied.mid", "--store", house / "store", "--out", tmp_path, "--format", "json")
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (1, "False"), ran


@pytest.mark.parametrize("words", [[], ["keys"], ["nonsense"], ["search"], ["search", "x", "y", "--top", "0"]])
def test_wrong_usage_is_2(words: list[str]) -> None:
    assert contraste(*words).code == 2


def test_an_interruption_is_130_and_a_defect_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(error: BaseException) -> Callable[[], None]:
        def run() -> None:
            raise error

        return run

    monkeypatch.setattr(cli, "app", stop(KeyboardInterrupt()))
    assert contraste().code == 130
    monkeypatch.setattr(cli, "app", stop(OSError(28, "No space left on device", "x/y")))
    refused(contraste(), 2, "x/y: No space left on device")
    monkeypatch.setattr(cli, "app", stop(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        contraste()


# Ingest


def test_ingesting_twice_adds_nothing_and_says_so(house: House) -> None:
    before = tree(house / "store")
    ran = done("ingest", house / "src", "--into", house / "store")
    assert "0 added, 20 already there, 0 refused; 20 pieces in all" in ran.err
    assert ran.out == ""
    assert tree(house / "store") == before


def test_ingest_lists_what_it_refuses_and_keeps_the_rest(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    ran = contraste("ingest", house / "clean.mid", house / "text.mid", "--into", store)
    assert ran.code == 0, ran
    assert "refused text.mid: " in ran.err
    assert "1 added, 0 already there, 1 refused; 21 pieces in all" in ran.err
    assert contraste("search", store, house / "clean.mid").code == 1


def test_bad_sources_and_places_for_a_store(house: House, tmp_path: Path) -> None:
    refused(contraste("ingest", house / "none", "--into", tmp_path / "a"), 3, "none", "no such file")
    refused(contraste("ingest", house / "empty", "--into", tmp_path / "b"), 3, "the store is empty")
    refused(contraste("ingest", house / "text.txt", "--into", tmp_path / "c"), 3, "the store is empty")
    refused(contraste("ingest", house / "src", "--into", house / "text.txt"), 3, "text.txt", "File exists")
    refused(contraste("ingest", house / "src", "--into", house / "src"), 3, "no store and not empty")
    ran = contraste("ingest", house / "clean.mid", "--into", tmp_path / "d", "--require-rights")
    refused(ran, 3, "the store is empty")
    assert "no licence and consent on file" in ran.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("title\nx\n", "'path' is needed"),
        ("path,consent\n*,maybe\n", "line 2: consent 'maybe'"),
        ("path,isrc\n*,123\n", "isrc '123' is malformed"),
        ("path\na.mid,b\n", "another number of cells"),
    ],
)
def test_a_bad_rights_file_is_2(house: House, tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "rights.csv"
    if text is not None:
        file.write_text(text)
    refused(contraste("ingest", house / "src", "--into", tmp_path / "s", "--rights", file), 2, "rights.csv", says)
    assert not (tmp_path / "s").exists()


def test_a_full_disk_leaves_the_store_as_it_was(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    before = tree(store)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))

    ran = python("import cli; cli.main()", "ingest", house / "clean.mid", "--into", store, preexec_fn=limit)
    assert ran.returncode in (2, 3), ran
    assert "Traceback" not in ran.stderr
    assert ran.stderr.startswith("contraste: "), ran
    assert "the store is whole" in ran.stderr
    assert {name: digest for name, digest in tree(store).items() if name in before} == before
    assert contraste("search", store, house / "clean.mid").code == 0


# Search


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


def test_a_file_of_a_name_that_is_not_utf8_is_not_signed(house: House, tmp_path: Path) -> None:
    bad = tmp_path / os.fsdecode(b"b_\xe9.mid")
    bad.write_bytes((house / "clean.mid").read_bytes())
    ran = contraste("sign", bad, "--key", house / "keys")
    assert (ran.code, "is not UTF-8" in ran.err) == (3, True)
    assert list(tmp_path.iterdir()) == [bad]


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
    loose = policy(tmp_path / "p.toml", required="[]")
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
    rng, copied = np.random.default_rng(notes), tune(7)
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


def test_a_store_of_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.search.significance.CHANCE_QUERIES", 10)
    for i in range(6):
        write_midi(tune(3).transpose(i), tmp_path / "src" / f"{i}.mid")
    done("ingest", tmp_path / "src", "--into", tmp_path / "store", "--workers", 1)
    ran = contraste("search", tmp_path / "store", tmp_path / "src" / "2.mid", "--jsonl", tmp_path / "found.jsonl")
    assert ran.code in (0, 1)
    (record,) = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
    assert {finding["piece"] for finding in record["findings"]} == {f"{i}.mid" for i in range(6)}
    assert all(finding["matched"] == 64 for finding in record["findings"])


# Compare


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


# Audit


def test_an_audit_of_several_tracks(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "copied.mid", house / "clean.mid", "--store", house / "store", "--out")
    ran = contraste(*words, tmp_path / "one")
    assert ran.code == 1
    assert [line.split()[0] for line in ran.out.splitlines()] == ["fail", "pass"]
    assert "reports: " in ran.err
    files = {file.relative_to(tmp_path / "one").as_posix() for file in (tmp_path / "one").rglob("*") if file.is_file()}
    of_each = {
        f"{name}/report.{end}" for name in ("copied", "clean") for end in ("json", "html", "json.provenance.json")
    }
    rules = {f"{name}/policy.toml" for name in ("copied", "clean")}
    assert files == {"index.html", "index.html.provenance.json"} | rules | of_each
    report = json.loads((tmp_path / "one" / "copied" / "report.json").read_bytes())
    assert report["outcome"] == "fail"
    assert "07.mid" in report["sentence"]
    assert [s["check"] for s in report["skipped"]] == ["provenance"]
    page = (tmp_path / "one" / "copied" / "report.html").read_text()
    assert "07.mid" in page
    index = (tmp_path / "one" / "index.html").read_text()
    assert "copied/report.html" in index
    assert "clean/report.html" in index
    contraste(*words, tmp_path / "two")
    for name in ("copied", "clean"):
        one, two = (tmp_path / run / name / "report.json" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_signed_track_carries_its_provenance(house: House) -> None:
    links = json.loads(house.report.read_bytes())["provenance"]
    assert {link["name"]: link["verdict"] for link in links} == {
        "track": "ok", "credential": "ok", "anchor": "simulated", "run": "ok", "model": "ok", "data set": "ok",
    }  # fmt: skip


def test_formats(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--format")
    refused(contraste(*words, "html,docx"), 2, "--format html,docx", "'docx' is none of html, pdf, json")
    assert not (tmp_path / "r").exists()
    done(*words, "json")
    assert not list(tmp_path.rglob("*.html"))


def test_tracks_of_one_name_get_a_report_each(house: House, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(house / "clean.mid", tmp_path / name / "x.mid")
    words = ("audit", tmp_path / "a", tmp_path / "b", "--store", house / "store", "--out", tmp_path / "r")
    done(*words, "--format", "json")
    assert len(list((tmp_path / "r").glob("*/report.json"))) == 2


def test_a_report_opens_in_spanish_and_says_why_it_is_silent(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("music.render.shutil.which", lambda _: None)
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    copied = house / "copied.mid"
    found = contraste(
        "audit", copied, "--store", house / "store", "--out", tmp_path, "--format", "html", "--lang", "es"
    )
    assert found.code == 1
    page = (tmp_path / "copied" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="es"' in page
    assert "Esta pista contiene un pasaje copiado" in page
    assert "no hay sintetizador" in page
    ran = contraste("audit", copied, "--store", house / "store", "--out", tmp_path, "--lang", "xx")
    assert ran.code == 2
    assert "'xx': there are en, " in ran.err


def test_a_further_language_is_one_file(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = json.loads((CATALOGUES / "spanish.json").read_text(encoding="utf-8")) | {"code": "xx", "name": "Xish"}
    (tmp_path / "xish.json").write_text(json.dumps(catalogue), encoding="utf-8")
    monkeypatch.setattr("reports.language.translation.CATALOGUES", tmp_path)
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--format", "html,md")
    done(*words, "--lang", "xx")
    assert '<html lang="xx"' in (tmp_path / "r" / "clean" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "r" / "clean" / "report.md").read_text(encoding="utf-8").startswith("# Apto: clean.mid")
    assert contraste(*words, "--lang", "es").code == 2


def test_an_unreadable_track_is_named_and_the_others_are_audited(house: House, tmp_path: Path) -> None:
    ran = contraste("audit", house / "text.mid", house / "clean.mid", "--store", house / "store", "--out", tmp_path)
    assert ran.code == 3
    assert "unreadable" in ran.err
    assert "text.mid: begins as b'hell'" in ran.err
    assert (tmp_path / "clean" / "report.html").exists()


def test_review_stops_the_release_only_where_the_policy_says_so(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "copied.mid", "--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    # No match is as rare as that, so what passes the lower threshold is for people to review.
    ran = done(*words, "--policy", policy(tmp_path / "p.toml", fail_evalue=1e-300))
    assert ran.out.startswith("review")
    blocks = policy(tmp_path / "p.toml", fail_evalue=1e-300, review_blocks="true")
    assert contraste(*words, "--policy", blocks).code == 1
    assert (tmp_path / "r" / "copied" / "policy.toml").read_bytes() == blocks.read_bytes()


def test_a_required_check_that_was_skipped_is_4(house: House, tmp_path: Path) -> None:
    words = ("--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    rules = policy(tmp_path / "p.toml", required='["copy", "provenance"]')
    ran = contraste("audit", house / "clean.mid", *words, "--policy", rules)
    assert ran.code == 4
    assert "the policy requires provenance, which was not checked: clean.mid has no signature" in ran.out
    assert contraste("audit", house / "copied.mid", *words, "--policy", rules).code == 1  # a copy is one all the same
    ran = contraste("audit", house / "short.mid", *words)
    assert ran.code == 4
    assert "the policy requires copy, which was not checked: it holds no line of 6 notes" in ran.out
    unsigned = policy(tmp_path / "q.toml", require_signature="true")
    assert contraste("audit", house / "clean.mid", *words, "--policy", unsigned).code == 1


def test_metrics_without_a_chance_level_were_not_measured(house: House, tmp_path: Path) -> None:
    done("ingest", house / "clean.mid", "--into", tmp_path / "store")  # one piece: there are no unrelated pairs
    words = ("audit", house / "src" / "01.mid", "--store", tmp_path / "store", "--out", tmp_path / "r")
    ran = contraste(*words, "--format", "json")
    assert ran.code == 4
    assert "the policy requires metrics" in ran.out
    done(*words, "--format", "json", "--policy", policy(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("[[[", "is not valid TOML"),
        ('schema = "contraste-policy/2"\nname = "x"\n[copy]\nfail_evalue = 1\n', "is a required property"),
        (POLICY.format(**{**VALUES, "required": '["luck"]'}), "luck"),
        (POLICY.format(**VALUES).replace("[copy]", "[copy]\ncommon_factor = 0.5"), "copy.common_factor: 0.5"),
        (POLICY.format(**VALUES) + '[copy.allow]\npieces = "own/*"\n', "copy.allow.pieces: 'own/*'"),
    ],
)
def test_a_bad_policy_is_2(house: House, tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "bad.toml"
    if text is not None:
        file.write_text(text)
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--policy", file)
    refused(contraste(*words), 2, "bad.toml", says)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("none.mid", "--store", "store", "--out", "r"), 3, "none.mid: no such file or folder"),
        (("empty", "--store", "store", "--out", "r"), 3, "holds no MIDI or MusicXML files"),
        (("clean.mid", "--store", "none", "--out", "r"), 3, "make one with: contraste ingest"),
        (("clean.mid", "--store", "store", "--out", "text.txt"), 2, "text.txt"),
        (("clean.mid", "--store", "store", "--out", "text.txt/r"), 2, "text.txt"),
        (("clean.mid", "--store", "store", "--out", "r", "--model", "none"), 3, "cannot read"),
        (("clean.mid", "--store", "store", "--out", "r", "--key", "none"), 2, "contraste keys new"),
        (("clean.mid", "--store", "store", "--out", "r", "--key", "text.txt"), 2, "not a PEM public key"),
    ],
)
def test_bad_words_for_audit(house: House, words: tuple[str, ...], code: int, says: str) -> None:
    refused(contraste("audit", *(w if w.startswith("--") else house / w for w in words)), code, says)


def test_an_altered_store_is_not_audited_against(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path)
    with altered(notes(house), flipped):
        refused(contraste(*words), 1, "notes.npy", "the store was altered")


# Train and generate


def test_bad_words_for_train(house: House, tmp_path: Path) -> None:
    contraste("ingest", house / "empty", "--into", tmp_path / "nothing")
    store, out = house / "store", tmp_path / "model"

    def train(*words: object) -> Ran:
        return contraste("train", "--steps", 1, "--device", "cpu", *words)

    refused(train("--store", house / "none", "--out", out), 3, "make one with: contraste ingest")
    refused(train("--store", tmp_path / "nothing", "--out", out), 3, "has no pieces to train on")
    refused(train("--store", store, "--out", out, "--size", "huge"), 2, "size = 'huge'")
    refused(train("--store", store, "--out", out, "--precision", "int3"), 2, "precision = 'int3'")
    refused(train("--store", store, "--out", out, "--augment", "transpose,noise"), 2, "augment = ")
    refused(train("--store", store, "--out", out, "--device", "abacus"), 2, "abacus", "use auto or cpu")
    refused(train("--store", store, "--out", house / "text.txt"), 2, "text.txt")
    refused(train("--store", store, "--out", house / "model"), 2, "holds a model already")
    refused(train("--store", store, "--out", out, "--resume"), 3, "model")
    assert train("--store", store, "--out", out, "--seed", "-1").code == 2
    assert not out.exists()


def test_bad_words_for_generate(house: House, tmp_path: Path) -> None:
    model, out = house / "model", tmp_path / "tracks"

    def generate(*words: object) -> Ran:
        return contraste("generate", "--bars", 1, "-n", 1, "--device", "cpu", *words)

    for folder in ("none", "empty", "store", "text.txt"):
        refused(generate("--model", house / folder, "--out", out), 3, folder, "contraste train")
    refused(generate("--model", model, "--out", out, "--temperature", 0), 2, "temperature = 0.0")
    refused(generate("--model", model, "--out", out, "--top-p", 2), 2, "top_p = 2.0")
    refused(generate("--model", model, "--out", out, "--key", "H major"), 2, "key 'H major' can't be read")
    refused(generate("--model", model, "--out", out, "--artist", "Nobody"), 2, "artist 'Nobody' is refused")
    refused(generate("--model", model, "--out", out, "--prompt", "une valse"), 2, "nothing of the prompt")
    refused(generate("--model", model, "--out", out, "--prompt", "like Taylor Swift"), 2, "is refused: a model follows")
    refused(generate("--model", model, "--out", out, "--prime", house / "text.txt"), 3, "text.txt")
    refused(generate("--model", model, "--out", house / "text.txt" / "t"), 2, "text.txt")
    assert generate("--model", model, "--out", out, "-n", 0).code == 2
    with altered(model / "model.safetensors", lambda data: data[:1000]):
        refused(generate("--model", model, "--out", out), 3, "model.safetensors")
    assert not out.exists()


def test_a_seed_gives_the_same_tracks_again(house: House, tmp_path: Path) -> None:
    done("generate", "--model", house / "model", "--out", tmp_path, "-n", 2, "--bars", 2, "--device", "cpu")
    for file in tmp_path.iterdir():
        signed = house / "tracks" / file.name
        if file.suffix == ".mid":
            assert file.read_bytes() == signed.read_bytes()
        elif file.suffix == ".wav":  # the other one has a credential behind its sound
            assert signed.read_bytes()[8:].startswith(file.read_bytes()[8:])


# Keys, signatures, the chain


def test_keys(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(contraste("keys", "new", house / "keys"), 2, "private.p12 exists already", "never overwritten")
    refused(contraste("keys", "new", house / "text.txt" / "k"), 2, "cannot make the folder")
    refused(contraste("keys", "trust", house / "text.txt"), 2, "not a PEM public key")
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    assert done("keys", "list").out == ""
    made = done("keys", "new", tmp_path / "keys").out
    assert (tmp_path / "keys" / "private.p12").stat().st_mode & 0o777 == 0o600
    trusted = done("keys", "trust", house / "keys").out
    assert done("keys", "list").out.splitlines() == sorted([made.strip(), trusted.strip()])
    monkeypatch.setenv("CONTRASTE_PASSWORD", "")
    refused(contraste("keys", "new", tmp_path / "more"), 2, "the password is empty")


def test_bad_words_for_sign(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    refused(contraste("sign", tmp_path / "none", "--key", house / "keys"), 3, "none")
    refused(contraste("sign", track, "--key", house / "empty"), 2, "private.p12", "contraste keys new")
    refused(contraste("sign", track, "--key", house / "text.txt"), 2, "text.txt does not open")
    monkeypatch.setenv("CONTRASTE_PASSWORD", "another")
    refused(contraste("sign", track, "--key", house / "keys"), 2, "private.p12", "check the password")
    assert not list(tmp_path.glob("*.sig"))


def test_all_of_it_verifies(house: House) -> None:
    ran = done("verify", house / "store", house / "model", house.first, house.report)
    heads = [line for line in ran.out.splitlines() if not line.startswith(" ")]
    assert [head.rpartition(": ")[2] for head in heads] == ["ok"] * 4
    assert "simulated: an embedded chain on this machine" in ran.out


def notes(house: House) -> Path:
    return next((house / "store").glob("segments/*/notes.npy"))


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def later_block(data: bytes) -> bytes:
    value = json.loads(data)
    value["block"] += 1
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@contextmanager
def altered(file: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    before = file.read_bytes()
    assert change(before) != before
    file.write_bytes(change(before))
    try:
        yield
    finally:
        file.write_bytes(before)


TAMPERED: dict[str, tuple[Callable[[House], Path], Callable[[House], Path], str]] = {
    "a note of the store": (notes, lambda h: h / "store", "data set"),
    "a note of the track's store": (notes, lambda h: h.first, "data set"),
    "a weight": (lambda h: h / "model" / "model.safetensors", lambda h: h / "model", "model"),
    "a weight of the track's model": (lambda h: h / "model" / "model.safetensors", lambda h: h.first, "model"),
    "MIDI": (lambda h: h.first, lambda h: h.first, "track"),
    "sound": (lambda h: h.first.with_suffix(".wav"), lambda h: h.first, "track"),
    "record": (lambda h: Path(f"{h.first}.provenance.json"), lambda h: h.first, "track"),
    "report": (lambda h: h.report, lambda h: h.report, "report"),
    "the report's track": (lambda h: h.first, lambda h: h.report, "track"),
    "the report's policy": (lambda h: h.report.with_name("policy.toml"), lambda h: h.report, "report"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_altered_is_named(house: House, case: str) -> None:
    file, path, link = TAMPERED[case]
    with altered(file(house), flipped):
        ran = contraste("verify", path(house))
    assert ran.code == 1, ran
    head = ran.out.splitlines()[0]
    assert head.startswith(f"{path(house)}: broken at {link}"), ran.out
    broken = [line for line in ran.out.splitlines() if line.startswith("  broken")]
    assert any(link in line and file(house).name in line for line in broken), ran.out
    done("verify", path(house))


@pytest.mark.parametrize("name", ["store", "model", "tracks/track-0-1.mid", "reports/track-0-1/report.json"])
def test_altered_signatures_and_anchors_are_named(house: House, name: str) -> None:
    path = house / name
    for suffix, change, link in (
        (".sig", flipped, f"{name.rpartition('/')[2]}.sig"),
        (".anchor.json", later_block, "anchor"),
    ):
        with altered(Path(f"{path}{suffix}"), change):
            ran = contraste("verify", path)
        assert ran.code == 1, ran
        assert link in ran.out.splitlines()[0], ran.out


def test_an_altered_artefact_signed_again_still_breaks_what_was_made_from_it(house: House) -> None:
    model = house / "model"
    with altered(model / "model.safetensors", flipped):
        signatures = [Path(f"{model}{suffix}") for suffix in (".sig", ".run.sig")]
        before = [file.read_bytes() for file in signatures]
        done("sign", model, "--key", house / "keys")
        ran = contraste("verify", house.first)
        for file, data in zip(signatures, before, strict=True):
            file.write_bytes(data)
    again = contraste("verify", house.first)  # all is as it was before, and an older state was put back
    assert (again.code, "the older state was put back" in again.out) == (4, True)
    done("sign", model, "--key", house / "keys")
    assert [file.read_bytes() for file in signatures] == before
    done("verify", house.first)
    assert ran.code == 1
    assert "broken at model" in ran.out.splitlines()[0]
    assert "changed and signed again" in ran.out


def test_a_strangers_signature_counts_only_where_the_key_is_given(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
        done("keys", "new", tmp_path / "stranger")
        done("sign", track, "--key", tmp_path / "stranger")
    ran = contraste("verify", track)
    assert ran.code == 1
    assert "clean.mid.sig" in ran.out
    assert "trusted" in ran.out
    words = ("audit", track, "--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    ran = contraste(*words)
    assert ran.code == 1
    assert "provenance breaks at track" in ran.out
    refused(contraste("anchor", track), 1, "clean.mid.sig")
    public = ("--key", tmp_path / "stranger" / "public.pem")
    done("verify", track, *public)
    done(*words, *public)


def test_what_is_not_there_or_not_signed(house: House, tmp_path: Path) -> None:
    refused(contraste("verify", tmp_path / "none"), 3, "does not exist")
    refused(contraste("anchor", tmp_path / "none"), 3, "does not exist")
    refused(contraste("anchor", house / "clean.mid"), 4, "not signed")
    refused(contraste("mint", house / "clean.mid"), 4, "not signed")
    ran = contraste("verify", house / "clean.mid")
    assert ran.code == 4
    assert "missing    file" in ran.out


def test_a_chain_that_does_not_answer_is_4(house: House, tmp_path: Path) -> None:
    ran = contraste("verify", house / "store", "--rpc", NOBODY)
    assert ran.code == 4
    assert "incomplete at anchor" in ran.out
    assert "did not answer" in ran.out
    refused(contraste("anchor", house / "store", "--rpc", NOBODY), 4, "127.0.0.1:9 did not answer")
    ran = contraste("verify", house / "store", "--chain-dir", tmp_path)
    assert ran.code == 4
    assert "there is no embedded chain at" in ran.out


def test_a_chain_folder_of_ones_own(house: House, tmp_path: Path) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    done("sign", track, "--key", house / "keys")
    ran = done("anchor", track, "--chain-dir", tmp_path / "chain")
    assert ran.out.startswith("0x")
    assert "simulated" in ran.err
    done("verify", track, "--chain-dir", tmp_path / "chain")
    assert contraste("verify", track).code == 4  # anchored elsewhere than on the chain that is asked
    refused(contraste("anchor", track, "--chain-dir", house / "text.txt"), 2, "text.txt")


def test_mint_writes_the_metadata_of_the_token(house: House) -> None:
    ran = done("mint", house.first, "--report", house.report, "--description", "A test.")
    file = Path(ran.out.strip())
    assert file == Path(f"{house.first}.nft.json")
    assert json.loads(file.read_bytes())["description"].startswith("A test.")
    assert "simulated" in ran.err
    done("verify", house.first)


def signed_copy(house: House, folder: Path) -> Path:
    track = Path(shutil.copy(house / "clean.mid", folder))
    done("sign", track, "--key", house / "keys")
    return track


def test_verify_prints_json(house: House, tmp_path: Path) -> None:
    ran = done("verify", "--json", house.first, house / "store")
    first, store = json.loads(ran.out)
    assert (first["verdict"], first["fault"], store["store"]) == ("ok", None, "ok")
    assert {"name", "subject", "verdict", "code", "detail", "needs_chain"} == set(first["links"][0])
    assert first["links"][-1]["name"] == "log"
    with altered(house.first, flipped):
        ran = contraste("verify", "--json", house.first)
    (found,) = json.loads(ran.out)
    assert ran.code == 1
    assert found["links"][found["fault"]]["code"] == "content-changed"


def test_offline_names_the_links_that_need_a_chain(house: House) -> None:
    ran = contraste("verify", "--offline", house.first)
    assert ran.code == 4
    first = house.first.name
    token = f"token of {first}, " if (house.first.parent / f"{first}.token.json").exists() else ""  # once it is minted
    assert f"only a chain can tell: anchor of {first}, {token}anchor of model, anchor of store" in ran.out
    refused(contraste("verify", "--offline", house.first, "--rpc", NOBODY), 2, "--offline asks no chain")


def test_a_signature_elsewhere_and_names_to_leave_out(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "w").write_bytes(b"w")
    done("sign", folder, "--key", house / "keys", "--shard-size", 1)
    sig = (tmp_path / "m.sig").rename(tmp_path / "elsewhere.sig")
    assert contraste("verify", folder).code == 4
    assert "1 shard as signed" in done("verify", folder, "--signature", sig).out
    (folder / "notes.txt").write_bytes(b"n")
    assert contraste("verify", folder, "--signature", sig).code == 1
    ran = done("verify", folder, "--signature", sig, "--ignore", "notes.txt")
    assert "leaves out notes.txt" in ran.out
    assert contraste("verify", folder, "--signature", sig, "--ignore", "notes.txt", "--strict").code == 1
    refused(contraste("verify", folder, house / "store", "--signature", sig), 2, "about one path")
    refused(contraste("verify", folder, "--signature", sig, "--ignore", "../x"), 2, "--ignore", "relative POSIX path")


def test_verify_says_what_is_assured_and_reads_every_byte(house: House, tmp_path: Path) -> None:
    from ledger.hashes.hashcache import HashCache, state_of
    from ledger.paths import data_folder
    from ledger.provenance.record import digest_of

    file = tmp_path / "x.bin"
    file.write_bytes(b"as signed")
    done("sign", file, "--key", house / "keys")
    own = done("keys", "list").out[:16]
    ran = done("verify", file)
    assert f"  assured    file x.bin by key {own}...; since when, only the signer says\n" in ran.out
    assert json.loads(done("verify", "--json", file).out)[0]["assured"] == [
        {"name": "file", "subject": str(file), "signer": f"key {own}...", "since": None}
    ]
    assert done("verify", "--short", file).out == f"{file}: ok\n"
    good = digest_of(file)
    file.write_bytes(b"altered..")
    # What a process could do that mapped the file before it was hashed: other bytes, and no change of any time.
    os.utime(file, (1_000_000_000, 1_000_000_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ledger.hashes.hashcache.SETTLING_NS", 0)
        HashCache(data_folder() / "hashes.sqlite").save(tmp_path / "x.bin", {(".", 0, -1): (state_of(file), good)}, [])
    assert contraste("verify", file).code == 1
    assert contraste("verify", file, "--no-cache").code == 1
    assert contraste("verify", file, "--cache").code == 0  # who asks for it believes it


def test_the_exceptions_from_missing_is_not_ok_are_named(house: House, tmp_path: Path) -> None:
    file = shutil.copy(house / "clean.mid", tmp_path)
    assert contraste("verify", file).code == 4
    assert "absent     file" in done("verify", file, "--allow-unsigned").out
    done("sign", file, "--key", house / "keys")
    done("verify", file)
    ran = contraste("verify", file, "--require-anchor")
    assert (ran.code, "incomplete at anchor: not anchored" in ran.out) == (4, True)
    done("verify", house.report, "--track", house.first)
    ran = contraste("verify", house.report, "--track", file)
    assert (ran.code, "it is not about" in ran.out) == (1, True)
    refused(contraste("verify", house.report, file, "--track", file), 2, "about one path")


def test_without_a_terminal_no_password_is_asked_for(house: House) -> None:
    """In a session of its own, without a terminal: exit 2, and one line."""
    environment = {name: value for name, value in os.environ.items() if name != "CONTRASTE_PASSWORD"}
    program = "import sys, cli; sys.argv = ['contraste', 'sign', sys.argv[1], '--key', sys.argv[2]]; cli.main()"
    for stdin in (subprocess.DEVNULL, subprocess.PIPE):
        ran = subprocess.run(
            [sys.executable, "-c", program, house / "clean.mid", house / "keys"], stdin=stdin, capture_output=True,
            text=True, check=False, start_new_session=True, cwd=Path(cli.__file__).parent, env=environment,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (2, ""), ran
        assert ran.stderr.startswith("contraste: a password is needed, and there is no terminal"), ran.stderr
        assert "Warning" not in ran.stderr


def test_a_password_comes_from_a_file_descriptor(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    password = os.environ["CONTRASTE_PASSWORD"]
    monkeypatch.setenv("CONTRASTE_PASSWORD", "wrong")
    words = ("sign", track, "--key", house / "keys", "--password-fd")
    for text, code in ((f"{password}\nmore", 0), ("other\n", 2), ("", 2)):
        reader, writer = os.pipe()
        os.write(writer, text.encode())
        os.close(writer)
        assert contraste(*words, reader).code == code
        os.close(reader)
    refused(contraste(*words, 987), 2, "--password-fd 987", "no password can be read there")


def test_keys_rotate_are_revoked_and_listed(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    old = done("keys", "new", tmp_path / "old", "--curve", "P-384").out.strip()
    track = Path(shutil.copy(house / "clean.mid", tmp_path))
    done("sign", track, "--key", tmp_path / "old")
    done("verify", track)
    ran = done("keys", "rotate", tmp_path / "new", "--key", tmp_path / "old")
    new = ran.out.strip()
    assert "rotation.sig" in ran.err
    refused(
        contraste("keys", "revoke", old, "--key", tmp_path / "new", "--since", "yesterday"), 2, "--since", "'yesterday'"
    )
    refused(contraste("keys", "revoke", "x", "--key", tmp_path / "new"), 2, "key id: 'x' is not")
    out = tmp_path / "revocations.sig"
    words = ("keys", "revoke", old, "--key", tmp_path / "new", "--reason", "stolen", "--out", out)
    assert done(*words, "--since", "2026-01-01T00:00:00Z").out == f"{out}\n"
    listed = done("keys", "list").out
    assert f"{old}  revoked since 2026-01-01T00:00:00Z: stolen" in listed
    ran = contraste("verify", track)
    assert ran.code == 1
    assert f"{track}: broken at key: the key {old[:16]}" in ran.out
    refused(contraste("anchor", track), 1, "is revoked since")
    # Somebody else, who trusts the old key only:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "elsewhere"))
    done("keys", "trust", tmp_path / "old")
    done("verify", track)
    refused(contraste("keys", "trust", out), 1, "not trusted here")
    assert done("keys", "trust", tmp_path / "new" / "rotation.sig").out.strip() == new
    assert "1 revocations by" in done("keys", "trust", out).out
    assert contraste("verify", track).code == 1
    assert done("keys", "list").out.count("\n") == 2


def test_a_key_and_an_account_are_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ledger.chains.account.SCRYPT_N", 1024)
    identity, address = done("keys", "new", tmp_path / "k", "--account").out.split()
    keystore, out = tmp_path / "k" / "account.json", tmp_path / "account.sig"
    done("keys", "bind", "--key", tmp_path / "k", "--account", keystore, "--out", out)
    assert done("keys", "list").out == f"{identity}  account {address}\n"
    assert done("keys", "trust", out).out == f"{address} is the account of {identity}\n"
    refused(contraste("anchor", keystore, "--account", keystore), 2, "--account pays for --rpc")
    monkeypatch.setenv("CONTRASTE_PASSWORD", "wrong")
    refused(contraste("anchor", keystore, "--account", keystore, "--rpc", NOBODY), 2, "account.json does not open")
    refused(contraste("keys", "bind", "--key", tmp_path / "k", "--account", keystore), 2, "private.p12")


def test_signing_by_certificate(house: House, tmp_path: Path) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    words = ("sign", track, "--key", house / "keys", "--certificate")
    refused(contraste(*words, house / "text.txt"), 2, "text.txt holds no PEM certificates")
    refused(contraste(*words, tmp_path / "none"), 2, "none")
    assert not list(tmp_path.glob("*.sig"))
    key, root = tmp_path / "key.pem", tmp_path / "root.pem"
    encrypted = ["-passout", f"pass:{os.environ['CONTRASTE_PASSWORD']}"]
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "9"]
    extensions = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    command = [*openssl, "-subj", "/CN=Our Label", *extensions, *encrypted, "-keyout", key, "-out", root]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl command")
    key.chmod(0o600)
    words = ("sign", track, "--key", key, "--certificate", root)
    refused(contraste(*words), 2, "self-signed", "--no-credential")  # C2PA wants an authority above the signer
    assert not list(tmp_path.glob("*.sig"))
    done(*words, "--no-credential")
    ran = contraste("verify", track)
    assert ran.code == 1
    assert "no certificate authority is trusted here" in ran.out
    assert "content as signed by CN=Our Label" in done("verify", track, "--key", root).out


def test_contributions_are_noted_signed_and_verified(house: House, tmp_path: Path) -> None:
    track = signed_copy(house, tmp_path)
    words = ("contribution", "add", track, "--text", "the second of eight", "--author", "A. Composer", "--kind")
    assert "no contributions to" in done("contribution", "list", track).err
    refused(contraste("contribution", "list", tmp_path / "no"), 3, "no such file")
    assert done(*words, "selection").out == f"{track}.contributions.json\n"
    refused(contraste(*words, "magic"), 2, "--kind", "'magic' is not one of")
    before = Path(f"{track}.contributions.json").read_bytes()
    Path(f"{track}.contributions.json").write_bytes(b"{")
    refused(contraste(*words, "edit"), 3, "not valid JSON")
    Path(f"{track}.contributions.json").write_bytes(before)
    refused(contraste("contribution", "add", tmp_path / "no", "--kind", "edit", "--text", "x"), 3, "no such file")
    assert "selection  A. Composer: the second of eight" in done("contribution", "list", track).out
    ran = contraste("verify", track)
    assert ran.code == 4
    assert "incomplete at contributions" in ran.out
    done("sign", track, "--key", house / "keys")
    assert "1 selection; as signed" in done("verify", track).out


def test_the_ledger_shows_statements_and_the_log(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    assert done("ledger", "log").out == ""
    done("keys", "new", tmp_path / "keys")
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        done("sign", tmp_path / name, "--key", tmp_path / "keys")
    ran = done("ledger", "log")
    *lines, state = ran.out.splitlines()
    assert [line.split()[-1] for line in lines] == ["a", "b", "c"]
    done("sign", tmp_path / "a", "--key", tmp_path / "keys")
    assert "begin with the older ones" in done("ledger", "log", "--since", state).err
    assert json.loads(done("ledger", "log", "--since", state, "--json").out)["consistency"]
    refused(contraste("ledger", "log", "--since", state[:-1] + ("0" if state[-1] != "0" else "1")), 1, "as it was")
    refused(contraste("ledger", "log", "--since", "x"), 2, "SIZE:ROOT")
    (item,) = json.loads(done("ledger", "show", tmp_path / "b", "--json").out)
    assert item["statement"]["predicateType"] == "https://model_signing/signature/v1.0"
    assert (item["log"]["position"], item["log"]["size"], len(item["log"]["proof"])) == (1, 4, 2)
    assert "log      entry 2 of 4" in done("ledger", "show", tmp_path / "b").out
    refused(contraste("ledger", "show", house / "text.txt"), 4, "not signed")
    (tmp_path / "home" / "log.sqlite").write_bytes(b"junk" * 1000)
    refused(contraste("ledger", "log"), 1, "the log is damaged")


def test_a_trained_model_and_a_track_carry_slsa_provenance(house: House) -> None:
    shown = json.loads(done("ledger", "show", house / "model", "--json").out)
    run = next(item for item in shown if item["file"].endswith("model.run.sig"))["statement"]["predicate"]
    build = run["buildDefinition"]
    assert build["buildType"] == "https://contraste.dev/training/v1"
    assert build["externalParameters"]["seed"] == 0
    assert build["internalParameters"]["device"].startswith(("cpu", "cuda"))
    assert {"contraste", "python", "torch"} <= set(run["runDetails"]["builder"]["version"])
    assert [item["annotations"]["kind"] for item in build["resolvedDependencies"]] == ["dataset"]
    (shown,) = json.loads(done("ledger", "show", house.first, "--json").out)
    assert shown["statement"]["predicate"]["buildDefinition"]["buildType"] == "https://contraste.dev/generation/v1"
    (shown,) = json.loads(done("ledger", "show", house.report, "--json").out)
    said = json.loads(house.report.read_bytes())
    told = shown["statement"]["predicate"]["parameters"]
    place = {"folder": "track-0-1", "index": True}
    assert told == {"outcome": said["outcome"], "sentence": said["sentence"], "files": told["files"], **place}
    assert set(told["files"]) == {"report.json", "report.html", "policy.toml"}
    assert told["files"]["report.json"] == hashlib.sha256(house.report.read_bytes()).hexdigest()


def test_sound_is_ingested_learned_generated_signed_and_verified(house: House, tmp_path: Path) -> None:
    import soundfile

    folder, store, model, out = (tmp_path / name for name in ("sound", "store", "model", "tracks"))
    folder.mkdir()
    for number in range(6):
        hum = np.sin(np.arange(22_050 * 5) * (0.02 + 0.01 * number)) * np.abs(np.sin(np.arange(22_050 * 5) / 9000))
        soundfile.write(folder / f"{number}.wav", 0.3 * hum, 22_050)
    (folder / "broken.mp3").write_bytes(b"no sound")
    ran = done("ingest", folder, "--into", store)
    assert "refused broken.mp3" in ran.err
    assert "6 added, 0 already there, 1 refused; 0 pieces and 6 recordings in all" in ran.err
    refused(contraste("train", "--store", store, "--out", model, "--steps", 1), 3, "has no pieces to train on")
    refused(contraste("search", store, house.first), 3, "store")
    words = ("train", "--spectrogram", "--store", store, "--out", model, "--steps", 1, "--batch", 2, "--device", "cpu")
    refused(contraste(*words, "--precision", "float32"), 2, "--precision")
    ran = done(*words)
    assert "1 steps on" in ran.err
    assert "windows of recordings" in ran.err
    assert "critic's gradient norm" in ran.err
    refused(contraste("generate", "--model", model, "--out", out, "--beam", 2), 2, "--beam")
    ran = done("generate", "--model", model, "--out", out, "-n", 2, "--seed", 5, "--device", "cpu")
    assert "of 256 bits from the nearest window learned from" in ran.out
    track = out / "track-5-1.wav"
    samples, rate = soundfile.read(track)
    assert (len(samples), rate) == (127 * 512, 22_050)
    record = json.loads((out / "track-5-1.wav.provenance.json").read_text())
    assert record["parameters"]["seed"] == 5
    assert 0 <= record["parameters"]["phash_nearest"] <= 256
    done("sign", store, model, track, "--key", house / "keys")
    ran = done("verify", track, "--offline")
    assert "made by the model model" in ran.out
    with altered(model / "windows.safetensors", lambda data: data[:50]):
        refused(contraste("generate", "--model", model, "--out", tmp_path / "t"), 3, "windows.safetensors")
    with altered(store / "recordings" / "manifest.json", lambda data: data[:50]):
        refused(contraste(*words[:5], tmp_path / "m2", *words[6:]), 3, "recordings/manifest.json: is malformed")


# The last one, since the command changes the environment of its process.
def test_demo_never_removes_what_it_did_not_make(house: House) -> None:
    before = tree(house / "src")
    refused(contraste("demo", "--out", house / "src"), 2, "holds other things")
    refused(contraste("demo", "--out", house / "text.txt"), 2, "holds other things")
    assert tree(house / "src") == before


def tree(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {os.fspath(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

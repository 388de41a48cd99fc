"""What hostile input may cost, and what it may end in: an error of ours with a reason, in a time linear in its size.

Bounds of time are many times what was measured, so that only a cost of another order breaks them.
"""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import cli
from audit.checked_toml import toml_lines
from audit.policy import PolicyError, read_policy
from corpus.rights import MAX_PATTERNS, RightsError, read_rights
from corpus.segment import StoreDamagedError, StoreError
from generator.data.vocabulary import VOCABULARY_DIGEST, GeneratorError
from generator.network.checkpoint import CONFIG, FORMAT, is_spectrogram, read_description
from generator.network.model import SIZES
from generator.network.stack import MAX_HELD, ModelConfig
from ledger.anchors.anchor import ANCHOR_SCHEMA, FIELDS, anchor_file, read_anchor
from ledger.chains.evidence import MAX_PROOF, Evidence
from ledger.chains.receipts import anchored_event
from ledger.errors import LONGEST, LedgerError, Malformed
from ledger.exchange import credential
from ledger.hashes.digest import MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_RECORD_BYTES, parse_json, read_json
from ledger.hashes.manifest import FILES, Manifest
from ledger.provenance.signed import read_signed
from ledger.signing.envelope import sign_statement
from ledger.signing.keyring import BINDING_PREDICATE, check_binding
from ledger.signing.predicates import content_statement, origin_of
from ledger.signing.statement import Statement
from ledger.signing.trust import Trust
from music.containers import MAX_PARTS, MAX_STREAMS, streams
from tests.fuzz import targets
from tests.test_cli import contraste

ROOT = Path(cli.__file__).parent


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where more of this process's time is spent."""
    start = time.process_time()
    yield
    spent = time.process_time() - start
    assert spent < seconds, f"{spent:.1f} s"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'"' + b'\\"' * 500_000, "not valid JSON: Unterminated string"),
        (b'"' + b"\\\\" * 500_000, "not valid JSON: Unterminated string"),
        (b'"' + b"a" * 2**22, "not valid JSON: Unterminated string"),
        (b"{" + b"".join(b'"%d":0,' % k for k in range(100_000)) + b'"99999":1}', "the name '99999' stands twice"),
        (b'{"a":' * 50_000, f"deeper than the limit of {MAX_JSON_DEPTH}"),
        (b"[" * (MAX_JSON_VALUES + 1), f"more than {MAX_JSON_VALUES} values"),
        (b"[" + b"{}," * MAX_JSON_VALUES + b"0]", f"more than {MAX_JSON_VALUES} values"),
        (b'"' * (5 * MAX_JSON_VALUES), f"more than {MAX_JSON_VALUES} values"),
        (b"1" * 2**20, "not valid JSON: Exceeds the limit"),
        (b"1e999", "1e999 is not JSON"),
        (b'["\\ud800"]', "surrogates not allowed"),
        (b'{"\\udfff": 1}', "surrogates not allowed"),
    ],
    ids=lambda value: value[:12].decode() if isinstance(value, bytes) else None,
)
def test_json_is_parsed_in_linear_time(text: bytes, says: str) -> None:
    with within(8), pytest.raises(Malformed, match=says):
        parse_json(text, source="x.sig")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'["\\", "[{", "\"[", "\\\"]"]', ["\\", "[{", '"[', '\\"]']),
        (b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH, None),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\\ud800"', "\\ud800"),
    ],
)
def test_brackets_in_strings_do_not_count(text: bytes, value: object) -> None:
    found = parse_json(text, source="x")
    assert value is None or found == value


def test_a_file_beside_an_artefact_is_small(tmp_path: Path) -> None:
    (tmp_path / "t.mid").write_bytes(b"x")
    for file in (tmp_path / "t.mid.sig", tmp_path / "r.json"):
        file.write_bytes(b" " * (MAX_RECORD_BYTES + 1))
    with pytest.raises(Malformed, match=f"more than the limit of {MAX_RECORD_BYTES} bytes"):
        read_signed(tmp_path / "t.mid", {})
    with pytest.raises(Malformed, match=f"r.json: more than the limit of {MAX_RECORD_BYTES} bytes"):
        read_json(tmp_path / "r.json")
    (tmp_path / "m").mkdir()
    (tmp_path / "m.sig").write_bytes(b" " * (MAX_RECORD_BYTES + 1))  # a folder's names all its files
    with pytest.raises(Malformed, match="not valid JSON"):
        read_signed(tmp_path / "m", {})


def test_messages_quote_no_megabytes() -> None:
    assert len(str(Malformed("x" * 10**6))) < LONGEST + 10
    assert str(LedgerError("a" * LONGEST)) == "a" * LONGEST


def test_the_commands_end_with_their_code_and_without_traceback(tmp_path: Path) -> None:
    (tmp_path / "t.mid").write_bytes(b"x")
    (tmp_path / "t.mid.sig").write_bytes(b'"' + b'\\"' * 10**6)
    (tmp_path / "t.mid.provenance.json").write_bytes(b'{"a":' * 10**6)
    run = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); import cli; cli.main()"
    words = ("verify", str(tmp_path / "t.mid"))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CONTRASTE_HOME": str(tmp_path / "home")}
    ran = subprocess.run([sys.executable, "-c", run, *words], capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "broken" in ran.stdout


def _rlp_nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        size = len(data)
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        data = (bytes([0xC0 + size]) if size < 56 else bytes([0xF7 + len(length)]) + length) + data
    return data


@pytest.mark.parametrize(
    ("header", "proof", "says"),
    [
        (_rlp_nested(1000), (), "nested too deeply"),
        (b"\xc0", (_rlp_nested(50_000),), "nested too deeply"),
        (b"\xc0", (bytes(MAX_PROOF), b"\x01"), "too long"),
        (b"\xc0" * 4097, (), "too long"),
        (b"\xff" * 100, (), "does not lead to the header|malformed|nested"),
        (b"\xf8", (b"\xbf",), "does not lead to the header|malformed"),
    ],
    ids=("header", "proof", "size", "long header", "lengths", "cut"),
)
def test_evidence_nested_deep_or_long_is_malformed(header: bytes, proof: tuple[bytes, ...], says: str) -> None:
    event = anchored_event("0x" + "12" * 20, bytes(32), "0x" + "12" * 20)
    with within(5), pytest.raises(Malformed, match=says):
        Evidence(header, 0, proof).check(event, 1, 2)


@pytest.mark.parametrize("time_s", [253402300800, 2**53 - 1, -1, 2**53, 1.5, True, None])
def test_an_anchor_of_no_date_is_malformed(time_s: object, tmp_path: Path) -> None:
    value = json.loads(targets._anchors()[0])
    assert set(value) == set(FIELDS)
    assert value["schema"] == ANCHOR_SCHEMA
    anchor_file(tmp_path / "t.mid").write_text(json.dumps(value | {"time": time_s}))
    with pytest.raises(Malformed, match=r"time .* is (not a whole number|beyond the year 9999)"):
        read_anchor(tmp_path / "t.mid")
    token = json.loads(targets._tokens()[1]) | {"time": time_s}
    (tmp_path / "t.mid.token.json").write_text(json.dumps(token))
    with pytest.raises(Malformed, match=r"time .* is (not a whole number|beyond the year 9999)"):
        targets.read_token(tmp_path / "t.mid")


def test_a_binding_of_before_1970_is_malformed() -> None:
    predicate = json.loads(targets._predicates()[1])
    subject = {"public.pem": targets.Digest.from_hex(targets.KEY_ID)}
    public = targets.ec.derive_private_key(7, targets.ec.SECP256K1()).public_key().public_numbers()
    raw = public.x.to_bytes(32) + public.y.to_bytes(32)
    from ledger.hashes.merkle import keccak256

    predicate |= {"accountKey": raw.hex(), "account": "0x" + keccak256(raw)[12:].hex()}
    envelope = sign_statement(Statement(subject, BINDING_PREDICATE, predicate), targets.KEY)
    with pytest.raises(Malformed, match="1969-05-01T12:00:00Z is before 1970"):
        check_binding(envelope, Trust({targets.KEY_ID: targets.KEY.public_key()}))


@pytest.mark.parametrize("value", [{}, [], None, 1, {"a": "b"}])
def test_a_build_type_of_another_type_is_malformed(value: object) -> None:
    statement = Statement.from_bytes(targets._statements()[1])
    predicate = json.loads(json.dumps(statement.predicate))
    predicate["buildDefinition"]["buildType"] = value
    with pytest.raises(Malformed, match=r"buildType .* is not one of"):
        origin_of(replace(statement, predicate=predicate))


@pytest.mark.parametrize("read", [read_description, is_spectrogram])
def test_a_model_folder_nested_deep_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes(b"[" * 10**6)
    with within(2):
        if read is is_spectrogram:
            assert not read(tmp_path)
        else:
            with pytest.raises(GeneratorError, match=r"is not JSON .nested too deeply"):
                read(tmp_path)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({"width": 2**40}, "width 1099511627776; the limit is"),
        ({"context": 10**12}, "context 1000000000000; the limit is"),
        ({"layers": 10**7}, "layers 10000000; the limit is"),
        ({"layers": 10**4000}, "layers 10+; the limit is"),
        ({"heads": 0}, "a multiple of 2 . heads"),
        ({"heads": -4}, "a multiple of 2 . heads"),
        ({"width": 8192, "heads": 4096}, "heads 4096; the limit is"),
        ({"latent": 10**9}, "latent 1000000000; the limit is"),
        ({"layers": 128, "context": 8192}, f"layers . width . context = 268435456; the limit is {MAX_HELD}"),
        ({"dropout": math.nan}, "dropout is in"),
        ({"dropout": "much"}, "can't be read"),
        ({"width": 256.0}, "sizes are whole numbers"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_model_sizes_have_limits(size: dict[str, object], says: str, tmp_path: Path) -> None:
    model = asdict(SIZES["tiny"]) | size
    said = {"format": FORMAT, "model": model, "store_digest": "", "vocabulary_digest": VOCABULARY_DIGEST}
    (tmp_path / CONFIG).write_text(json.dumps(said))
    with within(2), pytest.raises(GeneratorError, match=says):
        read_description(tmp_path)
    for named in SIZES.values():  # what the program makes itself is within them
        assert ModelConfig(**asdict(named)) == named


def test_many_rows_and_few_patterns(tmp_path: Path) -> None:
    rows = "".join(f"folder/{k}.mid\n" for k in range(100_000))
    (tmp_path / "r.csv").write_text(f"path\n{rows}folder/7.mid\n")
    with within(8), pytest.raises(RightsError, match=r"'folder/7.mid' stands there twice"):
        read_rights(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text("path\n" + "".join(f"{k}/*\n" for k in range(MAX_PATTERNS + 1)))
    with pytest.raises(RightsError, match=f"{MAX_PATTERNS + 1} paths with wildcards; the limit is {MAX_PATTERNS}"):
        read_rights(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text("path\n" + "".join(f"{'*a' * 50}{k}*\n" for k in range(MAX_PATTERNS)))
    table = read_rights(tmp_path / "r.csv")
    with within(20):
        found = [table.look_up("a" * 200 + str(k)) for k in range(50)]
    assert all(row is not None for row in found)


@pytest.mark.parametrize(
    "text",
    [
        "a=[\n" + "1,\n" * 40_000 + "[1],\n" * 100 + "1]\n",
        "".join(f"x{k}.{'.'.join('a' * 400)}=1\n" for k in range(150)),
        "".join(f"[t{k}]\n" for k in range(14_000)),
        "a=" + "[" * 4990 + "]" * 4990,
        "a='''\n" + "x\n" * 30_000 + "''' \n" * 5,
    ],
    ids=("one statement", "dotted keys", "tables", "nested", "text"),
)
def test_policies_are_read_in_linear_time(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with within(15), pytest.raises(PolicyError):
        read_policy(tmp_path / "p.toml")


def test_lines_are_found_behind_a_statement_of_many_lines() -> None:
    text = "a = [\n" + "1,\n" * 50 + "[2],\n" * 3 + "]\nb = 1\n"
    assert toml_lines(text)[("b",)] == 56


def _page(serial: int, flags: int, number: int) -> bytes:
    return b"OggS\0" + bytes([flags]) + bytes(8) + struct.pack("<II", serial, number) + bytes(5)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 2_000_000, "more than"),
        (b"FORM\0\0\0\0AIFF" + b"SSND\0\0\0\0" * 2_000_000, "more than"),
        (b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * 2_000_000, "more than"),
        (_page(1, 2, 0) + _page(1, 0, 1) * 600_000, "more than"),
        (_page(1, 2, 0) + (_page(1, 0, 1) + b"x") * 100_000, "cut off"),
        (b"".join(_page(k, 2, 0) for k in range(100_000)), "cut off"),
        (b"".join(_page(k, 2, 0) for k in range(50_000)) + b"".join(_page(k, 4, 1) for k in range(49_999))
         + b"".join(_page(k, 2, 0) + _page(k, 4, 1) for k in range(50_000, 90_000)), "cut off"),
        (b"ID3\4\0\0\0\0\0\0" * 100_000, "not looked at"),
        (b".snd\0\0\0\x0c\0\0\0\0" * 5000, "not looked at"),
        (bytes(2**26), None),
        (b"\xff" * 2**22, "no sound that is known"),
    ],
    ids=("riff", "aiff", "boxes", "pages", "junk", "serials", "ended", "tags", "streams", "zeros", "ones"),
)  # fmt: skip
def test_sound_of_many_small_parts_is_walked_in_linear_time(data: bytes, says: str | None) -> None:
    with within(15):
        found, unread = streams(data)
    assert len(found) <= MAX_STREAMS
    assert says is None or any(says in reason for reason in unread), unread[:3]
    assert MAX_PARTS > 3 * 3600 * 44  # an hour of the smallest pages that are usual has 180,000


@pytest.mark.parametrize(
    "change",
    [
        {"active_manifest": 10**30, "manifests": []},
        {"manifests": {"a": {"assertions": ["x"], "signature_info": {}}}},
        {"manifests": {"a": {"assertions": 5}}},
        {"validation_results": []},
        {"validation_results": {"activeManifest": {"failure": [1]}}},
        {"validation_state": {}},
    ],
)
def test_an_odd_report_of_the_engine_is_no_traceback(change: dict[str, object]) -> None:
    engine = json.loads(targets._engine_reports()[0]) | change
    targets._credential(json.dumps(engine).encode())


@pytest.mark.parametrize("stamp", ["never", "10000-01-01T00:00:00Z", 5, None, "2026-05-01", "2026-05-01T12:00:00"])
def test_an_odd_time_stamp_of_the_engine_says_no_time(stamp: object) -> None:
    engine = json.loads(targets._engine_reports()[0])
    engine["manifests"]["a"]["signature_info"]["time"] = stamp
    found = credential._judge(engine)
    assert found.verdict == "trusted"
    assert found.time is None or found.time.tzinfo is not None


@pytest.mark.parametrize(
    "change",
    [
        {"title": 5}, {"artist": None}, {"tempo_bpm": "x"}, {"bars": 1.5}, {"duration_s": math.inf}, {"path": "\ud800"},
        {"rights": []}, {"rights": {"licence": 1}}, {"content_key": {}}, {"tempos": [[0.0, 0.0]]}, {"ticks": 0},
        {"meters": [[0.0, 0, 4]]}, {"parts": []}, {"meters": [[0.0, 4, 10**400]]}, {"bar_starts": "x"}, {"tempos": 3},
    ],
    ids=str,
)  # fmt: skip
def test_an_odd_line_of_a_store_is_damage(change: dict[str, object], tmp_path: Path) -> None:
    line = json.loads(targets._lines()[0]) | change
    folder = targets._made(tmp_path / "store", json.dumps(line).encode())
    with pytest.raises(StoreDamagedError, match=r"pieces.jsonl|notes of piece 0"):
        targets._read_store(folder)


@pytest.mark.parametrize("count", [2**40, 10**30])
def test_a_manifest_of_more_pieces_than_its_files_hold_is_refused(count: int, tmp_path: Path) -> None:
    folder = targets._store(tmp_path / "store")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["segments"][0]["pieces"] = count
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"more pieces or notes than keys\.npy has room for"):
        targets._read_store(folder)


def test_a_statement_of_many_files_is_read(tmp_path: Path) -> None:
    digest = targets.hash_bytes(b"x")
    files = {f"{k:06d}": digest for k in range(50_000)}
    statement = content_statement("m", Manifest(files, FILES), targets._origin("dataset"))
    payload = statement.to_bytes()
    with within(10):
        assert len(Statement.from_bytes(payload).predicate["resources"]) == 50_000


def test_every_target_takes_its_seeds() -> None:
    for name, target in targets.TARGETS.items():
        seeds = target.seeds()
        assert seeds, name
        for seed in seeds:
            try:
                target.run(seed)
            except targets.OURS:
                continue


def test_nothing_is_left_of_a_model_that_is_refused(tmp_path: Path) -> None:
    ran = contraste("generate", "--model", tmp_path, "--out", tmp_path / "out")
    assert ran.code == 3
    assert not (tmp_path / "out").exists()

"""Digests, canonical and strict JSON, atomic files."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError, Malformed, PathRefused
from ledger.hashes.digest import Digest, canonical_json, hash_bytes, hash_file, parse_json, write_atomic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
)


def test_sha256_of_abc_is_the_vector_of_fips_180() -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_bytes(b"abc").hex == expected
    assert Digest.from_hex(expected) == hash_bytes(b"abc")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 7])
def test_hash_file_equals_hashlib(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert hash_file(tmp_path / "f").value == hashlib.sha256(data).digest()


@pytest.mark.parametrize("text", ["", "ab", "G" * 64, "AB" * 32, "0x" + "a" * 62, None, 7])
def test_digest_refuses_what_is_not_64_lower_case_digits(text: str | int | None) -> None:
    with pytest.raises(Malformed, match="not a SHA-256 digest"):
        Digest.from_hex(text)


def test_digest_refuses_other_algorithms_and_lengths() -> None:
    with pytest.raises(Malformed, match="blake3"):
        Digest("blake3", bytes(32))
    with pytest.raises(Malformed, match="32 bytes, not 31"):
        Digest("sha256", bytes(31))


def test_hash_file_refuses_links_pipes_folders_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("link", "symlink"), ("pipe", "regular"), ("", "regular"), ("no", "No such")):
        with pytest.raises(PathRefused, match=message):
            hash_file(tmp_path / name)


def test_canonical_json_is_rfc_8785() -> None:
    value = {"b": [1e21, 1.5, -0.0, 333333333.33333329], "a": "\u20ac$\u000f\nA'B\"\\", "\u00e9": None, "A": True}
    expected = '{"A":true,"a":"\u20ac$\\u000f\\nA\'B\\"\\\\","b":[1e+21,1.5,0,333333333.3333333],"\u00e9":null}'
    assert canonical_json(value).decode() == expected


@given(JSON)
def test_canonical_json_is_read_back_equal_and_stable(value: list[Any] | dict[str, Any] | None) -> None:
    data = canonical_json(value)
    assert parse_json(data, source="x") == value == json.loads(data)
    assert canonical_json(parse_json(data, source="x")) == data


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, {1: 2}, "\ud800", object()])
def test_canonical_json_refuses_what_it_cannot_carry(value: Any) -> None:
    with pytest.raises(Malformed, match="canonical JSON"):
        canonical_json(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a":1,"a":2}', "'a' stands twice"),
        (b"[NaN]", "NaN"),
        (b"\xff", "utf-8"),
        (b"{} {}", "Extra data"),
        (b"[" * 100_000, "deeper than the limit of 100"),
        (b'{"a":' * 101, "deeper"),
        (b"", "Expecting value"),
        (b"1" * 5000, "4300|digits"),
    ],
)
def test_parse_json_is_strict(data: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        parse_json(data, source="file.json")
    assert str(caught.value).startswith("file.json: ")


def test_nesting_up_to_the_limit_and_brackets_in_strings_are_read() -> None:
    assert parse_json(b"[" * 100 + b"]" * 100, source="x")
    text = json.dumps(["[" * 500, '\\"[' * 200, {"{" * 300: "\\\\"}])
    assert parse_json(text.encode(), source="x") == json.loads(text)


def test_write_atomic_replaces_or_refuses_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_atomic(file, b"one")
    write_atomic(file, b"two", mode=0o600)
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(LedgerError, match="exists already"):
        write_atomic(file, b"three", overwrite=False)
    with pytest.raises(LedgerError, match="cannot write"):
        write_atomic(tmp_path / "no" / "f", b"four")
    assert file.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["f"]


def test_write_atomic_survives_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    pid = os.fork()
    if pid == 0:  # the limit must not outlive the test
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomic(tmp_path / "f", bytes(5000))
        except LedgerError as error:
            os._exit(0 if "cannot write" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]

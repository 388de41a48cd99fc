"""The log of what was signed, against the definitions of RFC 9162 written down recursively."""

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import LedgerError, LogBroken, SignerUnknown
from ledger.hashes.digest import hash_bytes
from ledger.signing.envelope import sign_statement
from ledger.signing.keys import key_id
from ledger.signing.log import TransparencyLog
from ledger.signing.log_proofs import check_consistency, check_inclusion, leaf_hash
from ledger.signing.statement import Statement
from ledger.signing.trust import Trust

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})
SIZES = range(1, 18)


def tree_hash(leaves):
    """MTH of RFC 9162, section 2.1.1, word by word."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def envelope(number):
    return sign_statement(Statement({f"x{number}": hash_bytes(bytes([number]))}, "https://example.com/x", {}), KEY)


def filed(*numbers):
    """Return envelopes by the signature files that they would lie in."""
    return {Path(f"{number}/x{number % 256}.sig"): envelope(number % 256) for number in numbers}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    made = TransparencyLog(tmp_path_factory.mktemp("log") / "log.sqlite")
    for number in range(5):
        made.append(filed(number), KEY)
    made.append(filed(*range(5, 17)), KEY)
    return made


def test_the_first_hashes_are_hand_worked():
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree_hash([b"", b"\0"]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"


@pytest.mark.parametrize("size", SIZES)
def test_roots_are_those_of_the_definition(log, size):
    assert log.root(size) == tree_hash([entry.leaf for entry in log.entries()[:size]])


@pytest.mark.parametrize("size", SIZES)
def test_every_entry_is_proved_and_no_other(log, size):
    entries, root = log.entries()[:size], log.root(size)
    for entry in entries:
        proof = log.inclusion_proof(entry.position, size)
        check_inclusion(leaf_hash(entry.leaf), entry.position, size, proof, root)
        wrong = [
            (leaf_hash(b"another"), entry.position, size, proof),
            (leaf_hash(entry.leaf), entry.position, size, [*proof, bytes(32)]),
            (leaf_hash(entry.leaf), size, size, proof),
            *[(leaf_hash(entry.leaf), entry.position, size, proof[:-1]) for _ in proof[:1]],
            *[(leaf_hash(entry.leaf), entry.position ^ 1, size, proof) for _ in proof[:1]],
        ]
        for words in wrong:
            with pytest.raises(LogBroken):
                check_inclusion(*words, root)


@pytest.mark.parametrize("size", SIZES)
def test_every_older_log_is_the_beginning_and_no_other(log, size):
    root = log.root(size)
    for old_size in range(1, size + 1):
        proof, old = log.consistency_proof(old_size, size), log.root(old_size)
        check_consistency(old_size, old, size, root, proof)
        for words in (
            (old_size, hashlib.sha256(old).digest(), size, root, proof),
            (old_size, old, size, hashlib.sha256(root).digest(), proof),
            (old_size, old, size, root, [*proof, bytes(32)]),
            (0, old, size, root, proof),
            (size + 1, old, size, root, proof),
        ):
            with pytest.raises(LogBroken):
                check_consistency(*words)
        if proof:
            with pytest.raises(LogBroken):
                check_consistency(old_size, old, size, root, proof[:-1])
    with pytest.raises(LogBroken, match="no consistency proof"):
        log.consistency_proof(size + 1, size)


def test_entries_say_who_signed_what(log):
    entry = log.find(hash_bytes(envelope(3).payload))
    assert entry.position == 3
    assert entry.fields["subject"] == {"x3": hash_bytes(b"\3").hex}
    assert entry.fields["key"] in KEYS
    assert log.proof_of(entry, KEYS)[0] == 17
    log.verify(KEYS)
    with pytest.raises(SignerUnknown):
        log.verify(Trust({}))


def test_where_there_is_no_log_nothing_is_found_and_none_is_made(tmp_path):
    log = TransparencyLog(tmp_path / "log.sqlite")
    assert log.entries() == []
    assert log.find(hash_bytes(b"")) is None
    assert not log.file.exists()


def test_a_failed_addition_leaves_the_log_as_it_was(tmp_path):
    log = TransparencyLog(tmp_path / "log.sqlite")
    log.append(filed(1), KEY)

    class Broken:
        public_key = staticmethod(KEY.public_key)

        @staticmethod
        def sign(data, signature_algorithm):
            raise LedgerError("the token was taken out")

    with pytest.raises(LedgerError, match="taken out"):
        log.append(filed(2), Broken())
    assert len(log.entries()) == 1
    log.verify(KEYS)


def test_processes_that_sign_at_once_wait_for_each_other(tmp_path):
    log = TransparencyLog(tmp_path / "log.sqlite")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.append(filed(number), KEY), range(24)))
    assert len(log.entries()) == 24
    log.verify(KEYS)


def test_a_log_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "log.sqlite").mkdir()
    with pytest.raises(LedgerError, match="the log cannot be used"):
        TransparencyLog(tmp_path / "log.sqlite").append(filed(1), KEY)


def test_adding_costs_a_logarithm_of_the_size(tmp_path):
    log = TransparencyLog(tmp_path / "log.sqlite")
    log.append(filed(*range(1000)), KEY)
    with closing(sqlite3.connect(log.file)) as database:
        before = database.execute("SELECT count(*) FROM nodes").fetchone()[0]
        log.append(filed(0), KEY)
        assert database.execute("SELECT count(*) FROM nodes").fetchone()[0] - before <= 11
    assert len(log.inclusion_proof(0, 1001)) <= 10


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2", "do not agree"),
        ("DELETE FROM nodes WHERE level = 2", "do not agree|is not there"),
        ("UPDATE entries SET leaf = replace(CAST(leaf AS TEXT), 'x1', 'y1')", "do not agree"),
        ("UPDATE entries SET payload = zeroblob(32) WHERE position = 1", "filed under the digest of another"),
        ("UPDATE head SET bundle = NULL", "head: not valid JSON"),
    ],
)
def test_the_whole_log_is_checked(tmp_path, statement, message):
    log = TransparencyLog(tmp_path / "log.sqlite")
    log.append(filed(*range(9)), KEY)
    with closing(sqlite3.connect(log.file)) as database, database:
        database.execute(statement)
    with pytest.raises(LedgerError, match=message):
        log.verify(KEYS)

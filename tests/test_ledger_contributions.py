"""The log of what people did to an artefact."""

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import LedgerError, Malformed
from ledger.hashes.digest import hash_bytes
from ledger.provenance.contributions import add_contribution, contributions_file, read_contributions
from ledger.provenance.record import digest_of
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import read_statement
from ledger.signing.keys import key_id
from ledger.signing.predicates import CONTRIBUTIONS_PREDICATE
from ledger.signing.trust import Trust
from ledger.verify import verify_path

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_entries_are_added_in_order_and_name_the_content_of_their_time(tmp_path):
    path = tmp_path / "t.mid"
    path.write_bytes(b"one")
    add_contribution(path, "prompt", "slow", digest_of(path), author="A", time=NOON)
    path.write_bytes(b"two")
    entries = add_contribution(path, "edit", "bar 3", digest_of(path), time=NOON)
    assert entries == read_contributions(path)
    assert json.loads(contributions_file(path).read_bytes()) == {
        "schema": "contraste-contributions/1",
        "entries": [
            {
                "time": "2026-05-01T12:00:00Z",
                "kind": kind,
                "text": text,
                "author": author,
                "content": {"sha256": hash_bytes(content).hex},
            }
            for kind, text, author, content in (("prompt", "slow", "A", b"one"), ("edit", "bar 3", "", b"two"))
        ],
    }


def test_they_are_signed_as_a_statement_about_the_artefact(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w").write_bytes(b"w")
    entries = add_contribution(folder, "selection", "the third of eight runs", digest_of(folder))
    sign_path(folder, KEY)
    _, statement = read_statement(tmp_path / "model.contributions.sig", KEYS)
    assert statement.predicate_type == CONTRIBUTIONS_PREDICATE
    assert statement.subjects == {"model": digest_of(folder)}
    assert statement.predicate == {"entries": entries}
    (link,) = [link for link in verify_path(folder, KEYS).links if link.name == "contributions"]
    assert (link.verdict, link.detail) == ("ok", "1 selection; as signed")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("magic", "x"), "'magic' is not one of"),
        (("edit", ""), "non-empty|too short"),
        (("edit", "x" * 10_001), "long"),
    ],
)
def test_entries_that_break_the_schema_are_not_written(tmp_path, words, message):
    path = tmp_path / "t.mid"
    path.write_bytes(b"x")
    with pytest.raises(Malformed, match=message):
        add_contribution(path, *words, digest_of(path))
    assert not contributions_file(path).exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"{", "not valid JSON"), (b"[]", "the schema is not"), (b'{"schema": "contraste-contributions/1"}', "entries")],
)
def test_a_damaged_log_is_named_and_left_alone(tmp_path, data, message):
    path = tmp_path / "t.mid"
    path.write_bytes(b"x")
    contributions_file(path).write_bytes(data)
    for use in (lambda: read_contributions(path), lambda: add_contribution(path, "edit", "x", digest_of(path))):
        with pytest.raises(Malformed, match=message) as caught:
            use()
        assert "t.mid.contributions.json" in str(caught.value)
    with pytest.raises(LedgerError):
        sign_path(path, KEY)
    assert contributions_file(path).read_bytes() == data


def test_less_than_was_signed_is_not_signed_again(tmp_path):
    path = tmp_path / "t.mid"
    path.write_bytes(b"x")
    add_contribution(path, "edit", "one", digest_of(path))
    sign_path(path, KEY)
    add_contribution(path, "edit", "two", digest_of(path))
    sign_path(path, KEY)
    contributions_file(path).unlink()
    with pytest.raises(Malformed, match="does not begin with the 2 entries that were signed; put them back"):
        sign_path(path, KEY)
    add_contribution(path, "edit", "other", digest_of(path))
    before = (tmp_path / "t.mid.sig").read_bytes()
    with pytest.raises(Malformed, match=r"or remove .*t.mid.contributions.sig to begin anew"):
        sign_path(path, KEY)
    assert (tmp_path / "t.mid.sig").read_bytes() == before
    (tmp_path / "t.mid.contributions.sig").unlink()
    sign_path(path, KEY)

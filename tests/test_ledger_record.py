"""Provenance records, and the signing and checking of paths."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import LedgerError, LinkRefused, Malformed, PathRefused, SignatureInvalid, Unsigned
from ledger.hashes.digest import hash_bytes
from ledger.hashes.manifest import Manifest, ManifestMismatch
from ledger.provenance.digests import Digests
from ledger.provenance.record import digest_of, material_of, measure, read_record, record_path, write_record
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import check_content, read_signed, read_statement
from ledger.signing.keys import key_id
from ledger.signing.trust import Trust

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})


@pytest.fixture
def track(tmp_path):
    path = tmp_path / "out" / "t.mid"
    path.parent.mkdir()
    path.write_bytes(b"notes")
    path.with_suffix(".wav").write_bytes(b"sound")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_bytes(b"weights")
    model = material_of("model", tmp_path / "model", artefact=path)
    write_record(path, "track", materials=[model], parameters={"seed": 7}, also=["t.wav"])
    return path


def _check(path):
    check_content(read_signed(path, KEYS), measure(path))


def test_the_record_has_the_documented_form(track, tmp_path):
    assert record_path(track).name == "t.mid.provenance.json"
    assert json.loads(record_path(track).read_bytes()) == {
        "schema": "contraste-provenance/1",
        "kind": "track",
        "materials": [
            {
                "kind": "model",
                "name": "model",
                "digest": {"sha256": Manifest.of_path(tmp_path / "model").root.hex},
                "path": "../model",
            }
        ],
        "parameters": {"seed": 7},
        "also": ["t.wav"],
    }
    record = read_record(track)
    assert record.origin.parameters == {"seed": 7}
    assert record.also == ("t.wav",)


def test_digests_of_folder_and_file(track, tmp_path):
    assert digest_of(track) == hash_bytes(b"notes")
    assert digest_of(tmp_path / "model") == Manifest.of_path(tmp_path / "model").root
    assert read_record(tmp_path / "model") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "contraste-provenance/2"}, "the schema is not"),
        ({"kind": "song"}, "'song' is not one of"),
        ({"kind": "file"}, "record kind 'file'"),
        ({"materials": {}}, "JSON array"),
        ({"materials": [{}]}, "is absent"),
        ({"parameters": []}, "not a JSON object"),
        ({"also": ["../x"]}, "relative POSIX path"),
        ({"also": "x"}, "also is not an array"),
        ({"more": 1}, "'more' is unknown"),
    ],
)
def test_records_that_break_the_schema_say_where(track, change, message):
    file = record_path(track)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(Malformed, match=message) as caught:
        read_record(track)
    assert "t.mid.provenance.json" in str(caught.value)
    with pytest.raises(Malformed):
        sign_path(track, KEY)


def test_minimal_records_are_enough(tmp_path):
    (tmp_path / "provenance.json").write_text('{"schema": "contraste-provenance/1", "kind": "dataset"}')
    assert read_record(tmp_path).origin.kind == "dataset"


def test_write_record_refuses_bad_values_and_absent_artefacts(track, tmp_path):
    with pytest.raises(Malformed, match="canonical JSON"):
        write_record(track, "track", parameters={"seed": 2**60})
    with pytest.raises(Malformed, match="record kind"):
        write_record(track, "folder")
    with pytest.raises(PathRefused, match="does not exist"):
        write_record(tmp_path / "no", "track")
    assert read_record(track).origin.kind == "track"


def test_signing_is_stable_and_covers_track_record_and_rendering(track):
    first = sign_path(track, KEY).read_bytes()
    assert sign_path(track, KEY).read_bytes() == first
    signed = read_signed(track, KEYS)
    assert list(signed.statement.subjects) == ["t.mid", "t.mid.provenance.json", "t.wav"]
    assert signed.origin.kind == "track"
    _check(track)


@pytest.mark.parametrize("name", ["t.mid", "t.wav", "t.mid.provenance.json"])
def test_a_changed_or_lost_file_is_named(track, name):
    sign_path(track, KEY)
    file = track.parent / name
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(ManifestMismatch, match=f"changed {name}") as caught:
        _check(track)
    assert caught.value.diff.changed == (name,)
    if name != "t.mid":
        file.unlink()
        with pytest.raises(ManifestMismatch, match=f"missing {name}"):
            _check(track)


def test_a_folder_is_covered_whole(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    write_record(folder, "dataset")
    assert sign_path(folder, KEY) == tmp_path / "store.sig"
    _check(folder)
    (folder / "b").write_bytes(b"b")
    with pytest.raises(ManifestMismatch, match="extra b"):
        _check(folder)


def test_relative_names_find_the_same_signature(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    monkeypatch.chdir(folder)
    from pathlib import Path

    assert sign_path(Path("."), KEY) == tmp_path / "store.sig"
    _check(Path("."))
    _check(folder)


def test_a_record_added_after_signing_is_found(tmp_path):
    path = tmp_path / "x.mid"
    path.write_bytes(b"x")
    sign_path(path, KEY)
    _check(path)
    write_record(path, "track", parameters={"seed": 1})
    with pytest.raises(Malformed, match="does not say what was signed"):
        _check(path)


def test_a_renamed_file_and_a_swapped_statement_are_found(track, tmp_path):
    sign_path(track, KEY)
    other = tmp_path / "out" / "u.mid"
    other.write_bytes(track.read_bytes())
    (tmp_path / "out" / "u.mid.sig").write_bytes((tmp_path / "out" / "t.mid.sig").read_bytes())
    with pytest.raises(Malformed, match=r"not about u\.mid"):
        _check(other)
    (tmp_path / "model.sig").write_bytes((tmp_path / "out" / "t.mid.sig").read_bytes())
    with pytest.raises(Malformed, match="about a file"):
        _check(tmp_path / "model")


def test_unsigned_untrusted_and_malformed_are_three_errors(track):
    with pytest.raises(Unsigned, match=r"there is no .*t\.mid\.sig"):
        read_signed(track, KEYS)
    sig = sign_path(track, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SignatureInvalid, match="not trusted"):
        read_signed(track, KEYS)
    sig.write_bytes(b"{")
    with pytest.raises(Malformed, match="not valid JSON"):
        read_signed(track, KEYS)


def test_signing_what_is_not_there_or_not_writable_says_so(track, tmp_path):
    with pytest.raises(PathRefused, match="cannot read"):
        sign_path(tmp_path / "no", KEY)
    (track.parent / "t.wav").unlink()
    with pytest.raises(PathRefused, match=r"t\.wav"):
        sign_path(track, KEY)
    (tmp_path / "model.sig").mkdir()
    with pytest.raises(LedgerError, match="cannot write"):
        sign_path(tmp_path / "model", KEY)


def test_a_model_gets_a_statement_of_its_run_that_goes_when_it_is_none(tmp_path):
    model = tmp_path / "m"
    model.mkdir()
    (model / "w").write_bytes(b"w")
    write_record(model, "model", parameters={"seed": 1})
    sign_path(model, KEY)
    _, statement = read_statement(tmp_path / "m.run.sig", KEYS)
    assert statement.predicate_type == "https://slsa.dev/provenance/v1"
    assert statement.subjects == {"m": digest_of(model)}
    write_record(model, "dataset")
    sign_path(model, KEY)
    assert not (tmp_path / "m.run.sig").exists()


def test_a_single_file_model_is_model_signing_and_its_record_counts(tmp_path):
    file = tmp_path / "m.safetensors"
    file.write_bytes(b"weights")
    write_record(file, "model", parameters={"seed": 1})
    sign_path(file, KEY)
    signed = read_signed(file, KEYS)
    assert signed.statement.predicate["resources"] == [
        {"name": ".", "digest": hash_bytes(b"weights").hex, "algorithm": "sha256"}
    ]
    _check(file)
    assert (tmp_path / "m.safetensors.run.sig").exists()
    write_record(file, "model", parameters={"seed": 2})
    with pytest.raises(Malformed, match="does not say what was signed"):
        _check(file)
    write_record(file, "model", also=["x"])
    with pytest.raises(Malformed, match="of several files is a folder"):
        sign_path(file, KEY)


def test_a_folder_that_holds_a_file_of_its_own_name_is_a_folder(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "x").write_bytes(b"x")
    sign_path(folder, KEY)
    _check(folder)
    (tmp_path / "x.sig").rename(folder / "x.sig")
    signed = read_signed(folder / "x", KEYS)
    check_content(signed, measure(folder / "x"))  # one file by its own name, as the specification can be read


def test_a_run_hashes_a_path_once_and_a_link_to_it_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    digests = Digests()
    first = digests.of(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"2")
    assert digests.of(tmp_path / "." / "x") == first != Digests().of(tmp_path / "x")
    with pytest.raises(LinkRefused):
        digests.of(tmp_path / "y")

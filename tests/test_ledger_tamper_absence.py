"""What was there and is not any more: each thing that somebody can take away or put back is missed, and nothing else.

The world of test_ledger_tamper_signing.py, made where it is verified, so that this machine's log knows the places.
"""

import json
import os
import shutil

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.anchors.anchor import anchor_file, anchor_paths, revoke_path
from ledger.anchors.token_metadata import Listing, metadata_file, metadata_json
from ledger.anchors.tokens import TokenFile, token_file
from ledger.hashes.digest import hash_bytes
from ledger.provenance.record import RECORD_SCHEMA, material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import read_signed
from ledger.signing import keyring
from ledger.signing.envelope import Envelope, pre_authentication_encoding
from ledger.signing.keys import key_id, public_pem
from ledger.signing.log import TransparencyLog
from ledger.verify import verify_path
from tests.test_ledger_tamper_signing import KEY, S, T, build
from tests.test_ledger_verify import FakeChain

SIDE = ("", ".sig", ".run.sig", ".provenance.json", ".contributions.json", ".contributions.sig")


class Chain(FakeChain):
    """A chain that also revokes."""

    def revoke(self, root, leaf, reason, contract=None):
        entry = self.entries[root]
        self.entries[root] = type(entry)(entry.contract, entry.issuer, entry.time, entry.block, 2000, True)


@pytest.fixture
def world(tmp_path, monkeypatch):
    root = tmp_path / "world"
    root.mkdir()
    monkeypatch.setenv("CONTRASTE_HOME", str(root / "home"))
    build(root)
    return root


@pytest.fixture
def chain():
    return Chain()


def log_of(world):
    return TransparencyLog(world / "home" / "log.sqlite")


def verify(world, path, chain=None, **options):
    options = {"log": log_of(world)} | options
    return verify_path(world / path, keyring.trusted_keys(), chain, **options)


def gaps(found):
    return [(link.name, link.code) for link in found.links if link.verdict == "missing"]


def beside(world, path, suffix):
    file = world / path
    return file.with_name(file.name + suffix)


def take(*files):
    return lambda w: [(w / file).unlink() for file in files]


TAKEN = {
    "track's signature": (take("out/t.mid.sig"), T, ("track", "unsigned")),
    "all that lies beside a track": (
        take(*(f"out/t.mid{end}" for end in (".sig", ".provenance.json", ".contributions.json", ".contributions.sig"))),
        T, ("file", "unsigned"),
    ),
    "model's signature": (take("model.sig"), T, ("model", "unsigned")),
    "model's signature, asked for itself": (take("model.sig", "model.run.sig"), "model", ("model", "unsigned")),
    "store's signature": (take("store.sig"), T, ("data set", "unsigned")),
    "signature of a model's run": (take("model.run.sig"), "model", ("run", "unsigned")),
    "signature of the run of a track's model": (take("model.run.sig"), T, ("run", "unsigned")),
    "contributions with their signature": (
        take("out/t.mid.contributions.json", "out/t.mid.contributions.sig"), T, ("contributions", "unsigned"),
    ),
    "report's signature": (take("audit/report.json.sig"), "audit/report.json", ("report", "unsigned")),
    "signature of a file without a record": (take("single.bin.sig"), "single.bin", ("file", "unsigned")),
    "log": (take("home/log.sqlite"), T, ("log", "log-incomplete")),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_what_was_taken_away_is_missed(world, case):
    tamper, path, link = TAKEN[case]
    assert verify(world, path).verdict == "ok"
    tamper(world)
    found = verify(world, path)
    assert found.verdict == "incomplete", found.links
    assert link in gaps(found), found.links


def test_an_altered_model_whose_signature_was_taken_away_is_broken(world):
    (world / "model/weights").write_bytes(b"others")
    take("model.sig", "model.run.sig")(world)
    assert verify(world, T).fault.code == "other-material"
    assert verify(world, "model").verdict == "incomplete"


def test_on_a_machine_without_a_log_what_is_handed_on_stands_by_itself(world):
    shutil.rmtree(world / "home/heads")
    (world / "home/log.sqlite").unlink()
    for path in (S, "model", T, "audit/report.json", "single.bin"):
        assert verify(world, path).verdict == "ok"
    shutil.rmtree(world / "store")  # its statement is enough
    assert verify(world, T).verdict == "ok"


def test_unsigned_is_let_pass_where_that_is_asked_for(world):
    take("out/t.mid.sig")(world)
    found = verify(world, T, allow_unsigned=True)
    assert (found.verdict, found.assured) == ("ok", ())
    assert "it was signed on this machine on" in found.links[0].detail
    take("home/log.sqlite")(world)
    assert verify(world, T, allow_unsigned=True).verdict == "incomplete"  # no signature is demanded, and no less else
    (world / "out/t.mid").write_bytes(b"altered")
    sign_path(world / "out/t.mid", KEY)
    (world / "out/t.mid").write_bytes(b"again")
    assert verify(world, T, allow_unsigned=True).verdict == "broken"


def test_what_is_assured_is_said(world):
    found = verify(world, T)
    by = f"key {key_id(KEY.public_key())[:16]}..."
    assert [(one.name, one.signer, one.since) for one in found.assured] == [
        ("track", by, None), ("model", by, None), ("data set", by, None)
    ]  # fmt: skip
    assert found.assurance == f"track t.mid, model model, data set store by {by}; since when, only the signer says"
    assert found.to_json()["assured"][0]["subject"] == str(world / T)
    (world / T).write_bytes(b"altered")
    assert "track" not in verify(world, T).assurance


@pytest.mark.parametrize("path", [T, "model", "store", "audit/report.json"])
def test_an_anchor_that_was_taken_away_is_missed(world, chain, path):
    anchor_paths([world / path], chain, trust=keyring.trusted_keys(), log=log_of(world))
    assert verify(world, path, chain).verdict == "ok"
    anchor_file(world / path).unlink()
    found = verify(world, path, chain)
    assert (found.verdict, gaps(found)) == ("incomplete", [("anchor", "removed")])
    assert ("anchor", "removed") in gaps(verify(world, "audit/report.json", chain))  # at the end of every walk to it


def test_a_copy_is_asked_for_its_anchor_too(world, chain):
    anchor_paths([world / "store"], chain, trust=keyring.trusted_keys(), log=log_of(world))
    (world / "elsewhere").mkdir()
    shutil.copytree(world / "store", world / "elsewhere/store")
    shutil.copy(world / "store.sig", world / "elsewhere")
    assert gaps(verify(world, "elsewhere/store", chain)) == [("anchor", "removed")]
    shutil.copy(anchor_file(world / "store"), world / "elsewhere")
    assert verify(world, "elsewhere/store", chain).verdict == "ok"


@pytest.mark.parametrize("back", [True, False], ids=["chain put back", "anchor taken away"])
def test_a_revocation_is_remembered(world, chain, back):
    anchor_paths([world / T], chain, trust=keyring.trusted_keys(), log=log_of(world))
    before = dict(chain.entries)
    revoke_path(world / T, chain, log=log_of(world))
    assert verify(world, T, chain).fault.code == "anchor-refuted"
    if back:
        chain.entries = before
        fault = verify(world, T, chain).fault
        assert (fault.verdict, fault.code) == ("broken", "anchor-refuted")
    else:
        anchor_file(world / T).unlink()
        assert ("anchor", "removed") in gaps(verify(world, T, chain))


def _minted(world):
    """Lay token and metadata beside the track, as `contraste mint` does; the tamper tests of tokens have a chain."""
    content = hash_bytes((world / T).read_bytes())
    receipt = FakeChain().anchor(bytes(32))
    data = metadata_json("t", Listing(), {"track": content}, (), receipt)
    metadata_file(world / T).write_bytes(data)
    token = TokenFile(
        content, hash_bytes(data), receipt.chain, True, receipt.contract, receipt.issuer, False, None, None
    )
    token_file(world / T).write_bytes(token.to_bytes())
    payload = hash_bytes(read_signed(world / T, keyring.trusted_keys()).envelope.payload)
    log_of(world).note(payload, "token")


@pytest.mark.parametrize("logged", [True, False])
def test_tokens_and_what_they_name_are_missed(world, logged):
    _minted(world)
    options = {} if logged else {"log": None}
    # The metadata says that there was an anchor.
    assert ("anchor", "removed") in gaps(verify(world, T, **options))
    token_file(world / T).unlink()
    assert ("token", "removed") in gaps(verify(world, T, **options))
    metadata_file(world / T).unlink()
    assert gaps(verify(world, T, **options)) == ([("token", "removed")] if logged else [])


def test_metadata_that_was_taken_away_from_a_token_is_missed(world):
    _minted(world)
    metadata_file(world / T).unlink()
    assert ("token", "removed") in gaps(verify(world, T))


def test_a_time_stamp_that_was_taken_away_is_missed(world):
    payload = hash_bytes(read_signed(world / T, keyring.trusted_keys()).envelope.payload)
    log_of(world).note(payload, "time stamp")
    assert gaps(verify(world, T)) == [("time stamp", "removed")]


# Older states


def _keep(world, path):
    files = [beside(world, path, end) for end in SIDE]
    return {file: file.read_bytes() for file in files if file.exists()}


def _put_back(kept):
    for file, content in kept.items():
        file.write_bytes(content)


OLDER = {
    "other content": lambda w: (w / T).write_bytes(b"other notes"),
    "the same content, and other words": lambda w: write_record(w / T, "track", parameters={"mining": "allowed"}),
}


@pytest.mark.parametrize("case", OLDER)
def test_an_older_state_that_was_put_back_is_missed(world, case):
    kept = _keep(world, T)
    OLDER[case](world)
    if case == "other content":
        write_record(world / T, "track")
    sign_path(world / T, KEY, log=log_of(world))
    assert verify(world, T).verdict == "ok"
    _put_back(kept)
    found = verify(world, T)
    assert (found.verdict, found.fault.code) == ("incomplete", "superseded"), found.links
    assert "this machine's log has a later one" in found.fault.detail


def test_an_older_model_is_missed_in_the_walk_of_a_track_too(world):
    kept = {file: file.read_bytes() for file in (world / "model.sig", world / "model.run.sig")}
    (world / "model/card.md").write_bytes(b"a card")
    sign_path(world / "model", KEY, log=log_of(world))
    (world / "model/card.md").unlink()
    _put_back(kept)
    found = verify(world, T)
    assert gaps(found) == [("log", "superseded")]
    assert {link.subject for link in found.links if link.code == "superseded"} == {str(world / "model")}


def test_the_same_content_signed_twice_is_two_artefacts(world):
    (world / "other").mkdir()
    shutil.copy(world / "single.bin", world / "other")
    write_record(world / "other/single.bin", "model", parameters={"seed": 2})
    sign_path(world / "other/single.bin", KEY, log=log_of(world))
    assert verify(world, "single.bin").verdict == "ok"
    assert verify(world, "other/single.bin").verdict == "ok"
    shutil.rmtree(world / "other")
    assert verify(world, "single.bin").verdict == "ok"


def test_what_was_signed_elsewhere_may_take_the_place(world):
    sign_path(world / "single.bin", KEY, log=log_of(world))
    (world / "single.bin").write_bytes(b"from another machine")
    sign_path(world / "single.bin", KEY)
    found = verify(world, "single.bin")
    assert (found.verdict, found.links[-1].code) == ("ok", "not-logged")


# One signature vouches for what it names


def _foreign(file, key=KEY):
    """Sign a single file as another tool does: its bundle says nothing of a kind."""
    sign_path(file, key)
    bundle = file.with_name(file.name + ".sig")
    value = json.loads(Envelope.from_bytes(bundle.read_bytes()).payload)
    value["subject"][0].pop("annotations")
    payload = json.dumps(value).encode()
    signature = key.sign(pre_authentication_encoding(payload), ec.ECDSA(hashes.SHA256()))
    bundle.write_bytes(Envelope(payload, key_id(key.public_key()), signature).to_bytes())


def _listing(owner, name, kind="track"):
    """Write a record by hand that lists another file: anybody can."""
    value = {"schema": RECORD_SCHEMA, "kind": kind, "also": [name]}
    owner.with_name(f"{owner.name}.provenance.json").write_text(json.dumps(value))


@pytest.mark.parametrize("log", [True, False])
def test_a_foreign_signature_vouches_for_no_file_of_its_stem(world, log):
    hit, forged = world / "hit.bin", world / "hit.mid"
    hit.write_bytes(b"weights")
    forged.write_bytes(b"MThd forged")
    _foreign(hit)
    _listing(hit, "hit.mid")
    found = verify(world, "hit.mid", **({} if log else {"log": None}))
    assert found.verdict != "ok"
    assert (found.links[0].subject, found.links[0].verdict, found.links[0].code) == (
        str(forged), "missing", "not-covered"
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_signature_of_one_file_vouches_for_no_other(world, kind):
    hit, forged = world / "hit.bin", world / "hit.wav"
    hit.write_bytes(b"weights")
    forged.write_bytes(b"RIFF forged")
    write_record(hit, kind)
    sign_path(hit, KEY)
    _listing(hit, "hit.wav", kind)
    found = verify(world, "hit.wav")
    assert found.verdict == "broken"  # the record is not as it was signed either
    assert found.links[0].code == "not-covered"
    assert "names further files" in found.fault.detail


def test_a_file_that_a_tracks_record_lists_later_is_not_covered(world):
    (world / "out/t.flac").write_bytes(b"fLaC forged")
    record = world / "out/t.mid.provenance.json"
    value = json.loads(record.read_text())
    record.write_text(json.dumps(value | {"also": [*value["also"], "t.flac"]}))
    found = verify(world, "out/t.flac")
    assert (found.verdict, found.links[0].code) == ("broken", "not-covered")
    assert verify(world, "out/t.wav").verdict == "broken"


def test_a_file_of_a_track_is_covered_by_its_signature(world):
    found = verify(world, "out/t.wav")
    assert (found.verdict, found.links[0].name) == ("ok", "track")
    os.chdir(world / "out")
    assert verify(world, "out/../out/t.wav").verdict == "ok"


# Reports


@pytest.fixture
def reports(world):
    """Two reports with pages and an index that lists them, all signed."""
    digests = {}
    for name in ("a", "b"):
        track, folder = world / f"out/{name}.mid", world / "reports" / name
        track.write_bytes(name.encode())
        sign_path(track, KEY)
        folder.mkdir(parents=True)
        files = {"report.json": b'{"about":"%s"}' % name.encode(), "report.html": b"<p>fail</p>"}
        for file, content in files.items():
            (folder / file).write_bytes(content)
        said = {"files": {file: hash_bytes(content).hex for file, content in files.items()}}
        digests[f"{name}/report.json"] = said["files"]["report.json"]
        write_record(
            folder / "report.json", "report",
            materials=[material_of("track", track, artefact=folder / "report.json")],
            parameters={**said, "folder": name, "index": True},
        )  # fmt: skip
        sign_path(folder / "report.json", KEY)
    index = world / "reports/index.html"
    index.write_bytes(b"<p>a: fail, b: pass</p>")
    write_record(index, "report", parameters={"reports": digests})
    sign_path(index, KEY)
    return world / "reports"


def _move(w):
    shutil.rmtree(w / "reports/b")
    shutil.copytree(w / "reports/a", w / "reports/b")


REPORTS = {
    "page altered": (lambda w: (w / "reports/a/report.html").write_bytes(b"<p>pass</p>"), "a", "content-changed"),
    "index altered": (lambda w: (w / "reports/index.html").write_bytes(b"<p>all pass</p>"), "a", "content-changed"),
    "index without its signature": (take("reports/index.html.sig"), "a", "unsigned"),
    "index without anything": (take("reports/index.html.sig", "reports/index.html.provenance.json"), "a", "unsigned"),
    "in the folder of another track": (_move, "b", "moved"),
    "in a folder of another name": (lambda w: (w / "reports/a").rename(w / "reports/c"), "c", "moved"),
}


@pytest.mark.parametrize("case", REPORTS)
def test_what_belongs_to_a_report_is_covered(world, reports, case):
    for name in ("a", "b"):
        assert verify(world, f"reports/{name}/report.json").verdict == "ok"
    assert verify(world, "reports/index.html").verdict == "ok"
    change, name, code = REPORTS[case]
    change(world)
    found = verify(world, f"reports/{name}/report.json")
    assert found.verdict != "ok"
    assert code in {link.code for link in found.links if link.verdict in ("missing", "broken")}, found.links


def test_an_index_that_lists_another_state_is_found_from_both_ends(world, reports):
    (reports / "a/report.json").write_bytes(b'{"about":"a","again":1}')
    value = json.loads((reports / "a/report.json.provenance.json").read_text())
    value["parameters"]["files"]["report.json"] = hash_bytes((reports / "a/report.json").read_bytes()).hex
    (reports / "a/report.json.provenance.json").write_text(json.dumps(value))
    sign_path(reports / "a/report.json", KEY)
    assert verify(world, "reports/a/report.json").fault.code == "other-report"
    assert verify(world, "reports/index.html").fault.code == "content-changed"
    assert verify(world, "reports/b/report.json").verdict == "ok"


def test_a_report_is_about_the_track_that_is_meant(world, reports):
    assert verify(world, "reports/a/report.json", about=world / "out/a.mid").verdict == "ok"
    found = verify(world, "reports/a/report.json", about=world / "out/b.mid")
    assert found.fault.code == "other-track"


def test_a_report_without_its_pages_or_index_may_be_handed_on(world, reports):
    (reports / "a/report.html").unlink()
    for file in reports.glob("index.html*"):
        file.unlink()
    assert verify(world, "reports/a/report.json").verdict == "ok"


# Models that came with the program


def test_a_model_that_came_with_the_program_is_found_and_believed_there_alone(world, tmp_path):
    maker = ec.generate_private_key(ec.SECP256R1())
    shipped = tmp_path / "installed/pretrained"
    shipped.mkdir(parents=True)
    (shipped / "public.pem").write_bytes(public_pem(maker.public_key()))
    (shipped / "base").mkdir()
    (shipped / "base/weights").write_bytes(b"base weights")
    write_record(shipped / "base", "model")
    sign_path(shipped / "base", maker)
    tuned = world / "tuned"
    tuned.mkdir()
    (tuned / "weights").write_bytes(b"tuned")
    base = material_of("model", shipped / "base", artefact=tuned)
    write_record(tuned, "model", materials=[base])
    sign_path(tuned, KEY)
    (world / "deeper").mkdir()
    for end in ("", ".sig", ".run.sig"):
        shutil.move(world / f"tuned{end}", world / f"deeper/tuned{end}")
    assert verify(world, "deeper/tuned").verdict == "incomplete"
    assert verify(world, "deeper/tuned", shipped=shipped).verdict == "ok"
    # The maker's key says nothing about anything else.
    (world / "other").write_bytes(b"x")
    sign_path(world / "other", maker)
    assert verify(world, "other", shipped=shipped).fault.code == "signer-unknown"

"""The walk from an artefact to its anchors: every fault at its link."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.anchors.anchor import anchor_paths, read_anchor
from ledger.chains.receipts import Entry
from ledger.errors import (
    ChainRefused,
    ChainUnreachable,
    ContractMismatch,
    Malformed,
    PathRefused,
    SignatureInvalid,
    Unsigned,
)
from ledger.hashes.manifest import ManifestMismatch
from ledger.links import Verification
from ledger.provenance.record import material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing.keys import key_id
from ledger.signing.trust import Revocation, Trust
from ledger.verify import verify_path
from tests.cases.chains import FakeChain, RealChain
from tests.cases.values import require

KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
KEY_ID = key_id(KEY.public_key())
KEYS = Trust({KEY_ID: KEY.public_key()})


@pytest.fixture
def world(tmp_path: Path) -> SimpleNamespace:
    """Store, model, track, policy and report, all signed and anchored."""
    w = SimpleNamespace(root=tmp_path, chain=FakeChain())
    w.store = tmp_path / "store"
    (w.store / "notes").mkdir(parents=True)
    (w.store / "notes" / "a.bin").write_bytes(b"a piece")
    write_record(w.store, "dataset")
    w.model = tmp_path / "model"
    w.model.mkdir()
    (w.model / "weights").write_bytes(b"weights")
    dataset = material_of("dataset", w.store, artefact=w.model)
    write_record(w.model, "model", materials=[dataset], parameters={"lr": 0.001})
    w.track = tmp_path / "out" / "t.mid"
    w.track.parent.mkdir()
    w.track.write_bytes(b"track")
    w.track.with_suffix(".wav").write_bytes(b"sound")
    model = material_of("model", w.model, artefact=w.track)
    write_record(w.track, "track", materials=[model], parameters={"seed": 7}, also=["t.wav"])
    w.policy = tmp_path / "policy.toml"
    w.policy.write_bytes(b"limit = 1")
    w.report = tmp_path / "audit" / "report.json"
    w.report.parent.mkdir()
    w.report.write_bytes(b"{}")
    used = [("track", w.track), ("dataset", w.store), ("model", w.model), ("policy", w.policy)]
    write_record(w.report, "report", materials=[material_of(kind, p, artefact=w.report) for kind, p in used])
    w.all = [w.store, w.model, w.track, w.report]
    for path in w.all:
        sign_path(path, KEY)
    anchor_paths(w.all, w.chain, trust=KEYS)
    return w


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _verify(world: SimpleNamespace, path: Path | None = None, **options: Any) -> Verification:
    return verify_path(path or world.report, KEYS, world.chain, **options)


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_all_is_well(world: SimpleNamespace) -> None:
    verification = _verify(world, require_anchor=True)
    assert verification.verdict == "ok"
    assert verification.fault is None
    assert [(link.name, link.verdict) for link in verification.links] == [
        ("report", "ok"),
        ("anchor", "simulated"),
        ("track", "ok"),
        ("anchor", "simulated"),
        ("run", "ok"),
        ("model", "ok"),
        ("anchor", "simulated"),
        ("run", "ok"),
        ("data set", "ok"),
        ("anchor", "simulated"),
        ("policy", "ok"),
    ]
    run = next(link for link in verification.links if link.name == "run")
    assert "seed 7" in run.detail
    assert "simulated" in verification.links[1].detail


def test_benign_changes_stay_well(world: SimpleNamespace) -> None:
    shutil.move(world.root, world.root.with_name("moved"))
    moved = world.root.with_name("moved")
    assert verify_path(moved / "audit" / "report.json", KEYS, world.chain).verdict == "ok"
    (moved / "out" / "neighbour.mid").write_bytes(b"another file beside the track")
    (moved / "store" / "empty folder").mkdir()
    assert verify_path(moved / "out" / "t.mid", KEYS, world.chain).verdict == "ok"
    shutil.move(moved, world.root)


TAMPER: dict[str, tuple[Callable[[SimpleNamespace], object], str, str]] = {
    "store flipped": (lambda w: _flip(w.store / "notes" / "a.bin"), "data set", r"changed notes/a\.bin"),
    "store truncated": (lambda w: (w.store / "notes" / "a.bin").write_bytes(b""), "data set", "changed"),
    "store file added": (lambda w: (w.store / "b").write_bytes(b"b"), "data set", "extra b"),
    "store file lost": (lambda w: (w.store / "notes" / "a.bin").unlink(), "data set", "missing notes"),
    "store file renamed": (
        lambda w: (w.store / "notes" / "a.bin").rename(w.store / "notes" / "b.bin"),
        "data set",
        r"missing notes/a\.bin; extra notes/b\.bin",
    ),
    "store link": (lambda w: (w.store / "link").symlink_to("notes"), "data set", "symlink"),
    "store signed again": (
        lambda w: ((w.store / "b").write_bytes(b"b"), sign_path(w.store, KEY)),
        "data set",
        "changed and signed again",
    ),
    "store signed by a stranger": (lambda w: sign_path(w.store, STRANGER), "data set", "not trusted"),
    "store record flipped": (lambda w: _flip(w.store / "provenance.json"), "data set", "changed"),
    "model flipped": (lambda w: _flip(w.model / "weights"), "model", "changed weights"),
    "model signature flipped": (lambda w: _flip(_beside(w.model, ".sig")), "model", r"model\.sig"),
    "model signed by a stranger": (lambda w: sign_path(w.model, STRANGER), "model", "not trusted"),
    "model has the store's statement": (
        lambda w: shutil.copy(_beside(w.store, ".sig"), _beside(w.model, ".sig")),
        "model",
        "expected a model, and it is signed as a data set",
    ),
    "track flipped": (lambda w: _flip(w.track), "track", r"changed t\.mid"),
    "track rendering flipped": (lambda w: _flip(w.track.with_suffix(".wav")), "track", r"changed t\.wav"),
    "track rendering lost": (lambda w: w.track.with_suffix(".wav").unlink(), "track", r"missing t\.wav"),
    "track record edited": (
        lambda w: _edit(_beside(w.track, ".provenance.json"), parameters={"seed": 8}),
        "track",
        r"changed t\.mid\.provenance\.json",
    ),
    "track statement swapped": (
        lambda w: shutil.copy(_beside(w.report, ".sig"), _beside(w.track, ".sig")),
        "track",
        "expected a track",
    ),
    "report flipped": (lambda w: _flip(w.report), "report", r"changed report\.json"),
    "report signed by a stranger": (lambda w: sign_path(w.report, STRANGER), "report", "not trusted"),
    "report signature junk": (lambda w: _beside(w.report, ".sig").write_bytes(b"\0"), "report", "not valid JSON"),
    "policy changed": (lambda w: _flip(w.policy), "policy", "not what was used"),
    "anchor flipped": (lambda w: _flip(_beside(w.report, ".anchor.json")), "anchor", r"report\.json|anchors?|proof"),
    "anchor of another": (
        lambda w: shutil.copy(_beside(w.store, ".anchor.json"), _beside(w.report, ".anchor.json")),
        "anchor",
        "anchors the content",
    ),
    "anchor root changed": (
        lambda w: _edit(_beside(w.track, ".anchor.json"), root="0x" + "55" * 32),
        "anchor",
        "leads to the root",
    ),
    "anchor leaf changed": (
        lambda w: _edit(_beside(w.track, ".anchor.json"), leaf="0x" + "55" * 32),
        "anchor",
        "leaf is not made of",
    ),
    "anchor proof cut": (lambda w: _edit(_beside(w.track, ".anchor.json"), proof=[]), "anchor", "leads to the root"),
    "anchor proof endless": (
        lambda w: _edit(_beside(w.track, ".anchor.json"), proof=["0x" + "55" * 32] * 65),
        "anchor",
        "at most 64",
    ),
    "anchor backdated": (lambda w: _edit(_beside(w.track, ".anchor.json"), time=1), "anchor", "differ"),
    "anchor claims to be real": (
        lambda w: _edit(
            _beside(w.track, ".anchor.json"), chain={"id": 7, "genesis": "0x" + "11" * 32, "simulated": False}
        ),
        "anchor",
        "differ",
    ),
    "anchor by another issuer": (
        lambda w: _edit(_beside(w.track, ".anchor.json"), issuer="0x" + "66" * 20),
        "anchor",
        "differ",
    ),
    "anchor names another chain": (
        lambda w: _edit(
            _beside(w.track, ".anchor.json"), chain={"id": 8, "genesis": "0x" + "11" * 32, "simulated": True}
        ),
        "anchor",
        "names another chain",
    ),
    "anchor names another transaction": (
        lambda w: _edit(_beside(w.track, ".anchor.json"), transaction="0x" + "55" * 32),
        "anchor",
        "transaction or simulated differ",
    ),
    "anchor with another field": (
        lambda w: _edit(_beside(w.track, ".anchor.json"), note="x"),
        "anchor",
        "exactly its fields",
    ),
    "anchor of an older statement": (
        lambda w: (write_record(w.report, "report", parameters={"new": True}), sign_path(w.report, KEY)),
        "anchor",
        "another signed statement",
    ),
    "root revoked": (
        lambda w: w.chain.entries.update(
            {root: Entry(e.contract, e.issuer, e.time, e.block, 2000, True) for root, e in w.chain.entries.items()}
        ),
        "anchor",
        "revoked by its issuer on 1970-01-01",
    ),
    "foreign contract": (lambda w: setattr(w.chain, "fault", ContractMismatch("other code")), "anchor", "other code"),
}


@pytest.mark.parametrize("case", TAMPER)
def test_tampering_breaks_at_its_link(world: SimpleNamespace, case: str) -> None:
    tamper, name, message = TAMPER[case]
    tamper(world)
    verification = _verify(world)
    assert verification.verdict == "broken"
    broken = [link for link in verification.links if link.verdict == "broken"]
    assert any(link.name == name for link in broken), verification.links
    with pytest.raises(Malformed, match=message):
        raise Malformed(" / ".join(link.detail for link in broken if link.name == name))


@pytest.mark.parametrize("suffix", [".sig", ".anchor.json", ".provenance.json"])
def test_every_altered_byte_beside_the_track_is_found(world: SimpleNamespace, suffix: str) -> None:
    file = _beside(world.track, suffix)
    before = file.read_bytes()
    for index in range(0, len(before) - 1, 7):
        for changed in (before[:index], before[:index] + bytes([before[index] ^ 4]) + before[index + 1 :]):
            file.write_bytes(changed)
            assert _verify(world, world.track).verdict == "broken", index


def test_the_first_broken_link_is_the_cause(world: SimpleNamespace) -> None:
    _flip(world.store / "notes" / "a.bin")
    fault = require(_verify(world).fault)
    assert (fault.name, fault.subject) == ("data set", str(world.store))
    assert require(_verify(world, world.store).fault).name == "data set"


def test_what_is_not_there_is_missing_and_not_broken(world: SimpleNamespace) -> None:
    shutil.rmtree(world.model)
    verification = _verify(world, world.track)
    assert verification.verdict == "incomplete"
    assert (require(verification.fault).name, require(verification.fault).verdict) == ("model", "missing")
    _beside(world.track, ".sig").unlink()
    verification = _verify(world, world.track)
    assert (verification.verdict, require(verification.fault).verdict) == ("incomplete", "missing")
    assert "not signed" in require(verification.fault).detail


def test_of_a_data_set_that_is_not_here_its_statement_may_be(world: SimpleNamespace) -> None:
    shutil.rmtree(world.store)
    verification = _verify(world, world.model)
    (link,) = [link for link in verification.links if link.name == "data set"]
    assert (verification.verdict, link.verdict, link.code) == ("ok", "absent", "stated")
    file = _beside(world.store, ".sig")
    _flip(file)
    assert _verify(world, world.model).verdict == "incomplete"
    file.unlink()
    assert (require(_verify(world, world.model).fault).name, require(_verify(world, world.model).fault).verdict) == (
        "data set",
        "missing",
    )


def test_broken_beats_missing(world: SimpleNamespace) -> None:
    shutil.rmtree(world.model)
    _flip(world.track)
    verification = _verify(world, world.track)
    assert verification.verdict == "broken"
    assert require(verification.fault).name == "track"


def test_materials_are_found_by_digest_in_search_folders(world: SimpleNamespace) -> None:
    archive = world.root / "archive"
    archive.mkdir()
    for path, name in ((world.model, "old-model"), (world.store, "corpus")):
        shutil.move(path, archive / name)
        for suffix in (".sig", ".anchor.json"):
            shutil.move(_beside(path, suffix), archive / (name + suffix))
    assert _verify(world, world.track).verdict == "incomplete"
    assert _verify(world, world.track, search=[archive, world.root / "nowhere"]).verdict == "ok"
    world.policy.rename(archive / "policy.toml")
    assert _verify(world, search=[archive]).verdict == "ok"


def test_an_absent_policy_is_said_and_does_not_count(world: SimpleNamespace) -> None:
    world.policy.unlink()
    verification = _verify(world)
    assert verification.verdict == "ok"
    assert [link.verdict for link in verification.links if link.name == "policy"] == ["absent"]


def test_not_anchored_counts_only_where_it_is_demanded(world: SimpleNamespace) -> None:
    _beside(world.report, ".anchor.json").unlink()
    assert _verify(world).verdict == "ok"
    assert _verify(world).links[-1].verdict == "absent"
    assert require(_verify(world, require_anchor=True).fault).verdict == "missing"


@pytest.mark.parametrize(
    "prepare",
    [
        lambda w: setattr(w, "chain", None),
        lambda w: setattr(w, "chain", FakeChain("0x" + "99" * 32)),
        lambda w: setattr(w.chain, "fault", ChainUnreachable("no answer")),
        lambda w: setattr(w.chain, "fault", ChainRefused("too many requests")),
    ],
    ids=["not asked", "another chain", "unreachable", "refused"],
)
def test_a_chain_that_gives_no_answer_leaves_anchors_unchecked(
    world: SimpleNamespace, prepare: Callable[[SimpleNamespace], None]
) -> None:
    prepare(world)
    verification = _verify(world)
    assert verification.verdict == "incomplete"
    assert {link.verdict for link in verification.links if link.name == "anchor"} == {"unchecked"}


def test_a_root_that_the_chain_does_not_hold_is_missing(world: SimpleNamespace) -> None:
    world.chain.entries.clear()
    verification = _verify(world)
    assert verification.verdict == "incomplete"
    assert {(link.name, link.verdict) for link in verification.links if link.verdict != "ok"} == {("anchor", "missing")}
    assert "contraste anchor --again" in require(verification.fault).detail


def test_a_real_chain_is_ok_or_pending(world: SimpleNamespace) -> None:
    world.chain.simulated = False
    for path in world.all:
        file = _beside(path, ".anchor.json")
        _edit(file, chain=json.loads(file.read_text())["chain"] | {"simulated": False})
    assert {link.verdict for link in _verify(world).links} == {"ok"}
    for root, e in world.chain.entries.items():
        world.chain.entries[root] = Entry(e.contract, e.issuer, e.time, e.block, 0, False)
    assert {link.verdict for link in _verify(world).links if link.name == "anchor"} == {"pending"}
    assert _verify(world).verdict == "ok"


def test_plain_files_and_folders_can_be_signed_and_verified(tmp_path: Path) -> None:
    file = tmp_path / "x.mid"
    file.write_bytes(b"x")
    sign_path(file, KEY)
    assert [link.name for link in verify_path(file, KEYS).links] == ["file", "anchor"]
    assert verify_path(file, KEYS).verdict == "ok"
    with pytest.raises(PathRefused, match="does not exist"):
        verify_path(tmp_path / "no", KEYS)


def test_anchoring_twice_changes_nothing(world: SimpleNamespace) -> None:
    before = _beside(world.track, ".anchor.json").read_bytes()
    anchor_paths(world.all, world.chain, trust=KEYS)
    assert _beside(world.track, ".anchor.json").read_bytes() == before
    assert len(read_anchor(world.track).proof) == 2


def test_only_what_is_signed_and_unchanged_is_anchored(world: SimpleNamespace) -> None:
    chain = FakeChain()
    with pytest.raises(PathRefused, match="no paths"):
        anchor_paths([], chain, trust=KEYS)
    with pytest.raises(PathRefused, match="does not exist"):
        anchor_paths([world.root / "no"], chain, trust=KEYS)
    _flip(world.track)
    with pytest.raises(ManifestMismatch, match=r"changed t\.mid"):
        anchor_paths([world.store, world.track], chain, trust=KEYS)
    with pytest.raises(Unsigned):
        anchor_paths([world.policy], chain, trust=KEYS)
    sign_path(world.track, STRANGER)
    with pytest.raises(SignatureInvalid, match="not trusted"):
        anchor_paths([world.track], chain, trust=KEYS)
    assert chain.entries == {}


def _revoked(since: int, **more: Any) -> Trust:
    return Trust(KEYS, revoked={KEY_ID: Revocation(KEY_ID, datetime.fromtimestamp(since, UTC), "stolen")}, **more)


def _on_a_real_chain(world: SimpleNamespace) -> None:
    world.chain = RealChain()
    anchor_paths(world.all, world.chain, trust=KEYS)


def test_what_was_anchored_before_a_revocation_stays_good(world: SimpleNamespace, proven: None) -> None:
    _on_a_real_chain(world)  # whose blocks are from second 1000
    verification = verify_path(world.report, _revoked(1001), world.chain)
    assert verification.verdict == "ok"
    said = {(link.name, link.code) for link in verification.links if link.name == "key"}
    assert said == {("key", "signed-before-revocation")}
    assert "the signature was there on 1970-01-01T00:16:40Z" in str(verification.links)


def test_the_clock_of_an_embedded_chain_saves_no_revoked_key(world: SimpleNamespace) -> None:
    fault = require(verify_path(world.track, _revoked(1001), world.chain).fault)
    assert (fault.name, fault.verdict, fault.code) == ("key", "unchecked", "key-revoked")
    assert "whoever runs an embedded chain sets its clock" in fault.detail


def test_a_nodes_word_without_evidence_saves_no_revoked_key(world: SimpleNamespace, proven: None) -> None:
    _on_a_real_chain(world)
    for path in world.all:
        _edit(_beside(path, ".anchor.json"), evidence=None)
    verification = verify_path(world.track, _revoked(1001), world.chain)
    assert (require(verification.fault).name, require(verification.fault).verdict) == ("key", "unchecked")
    assert "the node's word alone" in require(verification.fault).detail
    anchors = [link for link in verification.links if link.name == "anchor"]
    assert all("no evidence of the block" in link.detail for link in anchors)


@pytest.mark.parametrize("since", [1000, 999, 0])
@pytest.mark.parametrize("real", [True, False])
def test_what_was_anchored_after_a_revocation_is_broken_at_the_key(
    world: SimpleNamespace, since: int, real: bool, proven: None
) -> None:
    if real:
        _on_a_real_chain(world)
    fault = require(verify_path(world.track, _revoked(since), world.chain).fault)
    assert (fault.name, fault.verdict, fault.code) == ("key", "broken", "key-revoked")


def test_without_an_anchor_a_revoked_key_never_counts(world: SimpleNamespace) -> None:
    _beside(world.store, ".anchor.json").unlink()
    fault = require(verify_path(world.store, _revoked(10**9), world.chain).fault)
    assert (fault.name, fault.code) == ("key", "key-revoked")
    assert "nothing trusted shows when it was made" in fault.detail


def test_a_forged_anchor_time_saves_no_revoked_key(world: SimpleNamespace) -> None:
    _edit(_beside(world.store, ".anchor.json"), time=1)
    found = verify_path(world.store, _revoked(500), world.chain)
    assert [link.code for link in found.links if link.verdict == "broken"] == ["anchor-refuted", "key-revoked"]


def test_offline_the_chain_is_needed_to_save_a_revoked_key(world: SimpleNamespace) -> None:
    verification = verify_path(world.store, _revoked(1001))
    assert verification.verdict == "incomplete"
    assert [link.name for link in verification.needs_chain] == ["anchor", "key"]
    world.chain.simulated, world.chain.final = False, False
    world.chain.entries = {
        root: Entry(e.contract, e.issuer, e.time, e.block, 0, False) for root, e in world.chain.entries.items()
    }
    file = _beside(world.store, ".anchor.json")
    _edit(file, chain=json.loads(file.read_text())["chain"] | {"simulated": False})
    pending = verify_path(world.store, _revoked(1001), world.chain)
    assert [(link.name, link.verdict) for link in pending.links][1:] == [("anchor", "pending"), ("key", "unchecked")]


def test_offline_the_links_that_need_the_chain_are_named(world: SimpleNamespace) -> None:
    verification = verify_path(world.report, KEYS)
    assert verification.verdict == "incomplete"
    assert {link.name for link in verification.needs_chain} == {"anchor"}
    assert len(verification.needs_chain) == 4
    assert verify_path(world.report, KEYS, world.chain).needs_chain == ()


def test_the_account_bound_to_the_key_is_compared_with_who_anchored(world: SimpleNamespace) -> None:
    mine = verify_path(
        world.store, Trust(KEYS, accounts={KEY_ID: FakeChain.account.upper().replace("0X", "0x")}), world.chain
    )
    assert [(link.verdict, link.code) for link in mine.links if link.name == "key"] == [("ok", "ok")]
    other = verify_path(world.store, Trust(KEYS, accounts={KEY_ID: "0x" + "77" * 20}), world.chain)
    assert [(link.verdict, link.code) for link in other.links if link.name == "key"] == [("absent", "other-account")]
    assert other.verdict == "ok"


def test_json_names_the_first_fault_by_its_place(world: SimpleNamespace) -> None:
    _flip(world.track)
    found = _verify(world).to_json()
    assert json.loads(json.dumps(found)) == found
    fault = found["links"][found["fault"]]
    assert (fault["name"], fault["verdict"], fault["code"]) == ("track", "broken", "other-material")
    assert _verify(world, world.store).to_json()["fault"] is None

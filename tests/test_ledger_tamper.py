"""Named manipulations of proofs, evidence, chain and token: each is found, at its link, with its verdict."""

import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("eth")

import rlp
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.anchors.anchor import anchor_file, anchor_paths
from ledger.anchors.token_metadata import Listing, metadata_file
from ledger.anchors.tokens import mint_tracks, token_file
from ledger.chains.evidence import NUMBER, RECEIPTS_ROOT, TIMESTAMP, Evidence
from ledger.chains.opening import open_chain
from ledger.chains.receipts import anchored_event
from ledger.errors import ChainUnreachable, Malformed
from ledger.hashes.cid import cid_of_digest
from ledger.hashes.digest import hash_bytes
from ledger.hashes.merkle import keccak256
from ledger.provenance.record import write_record
from ledger.provenance.sign import sign_path
from ledger.signing.keys import key_id
from ledger.signing.trust import Trust
from ledger.verify import verify_path

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Five signed tracks under one root, two of them minted, and a sixth under another root."""
    root = tmp_path_factory.mktemp("tamper")
    chain = open_chain(chain_dir=root / "chain")
    tracks = [root / "files" / f"{name}.mid" for name in "abcdef"]
    tracks[0].parent.mkdir()
    for track in tracks:
        track.write_bytes(b"MThd" + track.name.encode())
        write_record(track, "track", parameters={"seed": 1})
        sign_path(track, KEY)
    anchor_paths(tracks[:5], chain, trust=KEYS)
    anchor_paths(tracks[5:], chain, trust=KEYS)
    mint_tracks(tracks[:2], chain, Listing(description="A test."), trust=KEYS)
    return SimpleNamespace(files=root / "files", chain_dir=root / "chain")


@pytest.fixture
def world(house, tmp_path):
    """Return a copy of the files, which a test may alter, and the chain, whose answers it may."""
    shutil.copytree(house.files, tmp_path / "files")
    track, second, other = (tmp_path / "files" / f"{name}.mid" for name in "abf")
    chain = open_chain(chain_dir=house.chain_dir)
    return SimpleNamespace(track=track, second=second, other=other, chain=chain)


def read(file):
    return json.loads(file.read_text())


def edit(file, change):
    """Put what `change` makes of the JSON in its place; a dict of fields to change will do, too."""
    value = read(file)
    made = value | change if isinstance(change, dict) else change(value)
    file.write_text(json.dumps(value if made is None else made))


def anchor_with(change):
    return lambda w: edit(anchor_file(w.track), change)


def token_with(change):
    return lambda w: edit(token_file(w.track), change)


def flipped(text, at=-1):
    """Change one hexadecimal digit."""
    at %= len(text)
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def evidence_with(change, file=anchor_file):
    return lambda w: edit(file(w.track), lambda value: value["evidence"].update(change(value["evidence"])))


def header_with(field, value, **also):
    """Put another value into the header, and its hash beside it, as a careful forger would."""

    def change(content):
        fields = rlp.decode(bytes.fromhex(content["evidence"]["header"][2:]))
        fields[field] = value
        header = rlp.encode(fields)
        content["evidence"] |= {"header": "0x" + header.hex(), "blockHash": "0x" + keccak256(header).hex()}
        content.update(also)

    return anchor_with(change)


def second_preimage(value):
    """Pass the node above the leaf off as a leaf."""
    low, high = sorted(bytes.fromhex(node[2:]) for node in (value["leaf"], value["proof"][0]))
    return value | {"leaf": "0x" + keccak256(low + high).hex(), "proof": value["proof"][1:]}


def of_other(*fields):
    def change(w):
        other = read(anchor_file(w.other))
        edit(anchor_file(w.track), {name: other[name] for name in fields})

    return change


def answering(method, answer):
    """Let the chain answer as told; `answer` is called with the true one."""

    def change(w):
        true = getattr(w.chain, method)
        setattr(w.chain, method, lambda *given, **named: answer(true(*given, **named)))

    return change


def unreachable(_):
    raise ChainUnreachable("no answer")


def remint(w):
    """Alter metadata and everything that names it; only the chain knows better."""
    edit(metadata_file(w.track), {"description": "Another one."})
    digest = hash_bytes(metadata_file(w.track).read_bytes())
    edit(token_file(w.track), {"metadata": {"sha256": digest.hex}, "cid": cid_of_digest(digest)})


def no_object(w):
    metadata_file(w.track).write_text("[]")
    digest = hash_bytes(b"[]")
    edit(token_file(w.track), {"metadata": {"sha256": digest.hex}, "cid": cid_of_digest(digest)})


def about_another(w):
    shutil.copy(metadata_file(w.second), metadata_file(w.track))
    other = read(token_file(w.second))
    edit(token_file(w.track), {name: other[name] for name in ("metadata", "cid")})


def revoked(w, *, leaf):
    anchor = read(anchor_file(w.track))
    true = w.chain.lookup

    def lookup(root, asked=bytes(32), contract=None):
        entry = true(root, asked, contract)
        hit = asked.hex() == anchor["leaf"][2:] if leaf else root.hex() == anchor["root"][2:]
        return replace(entry, revoked_at=1_800_000_000) if hit else entry

    w.chain.lookup = lookup


ZERO = "0x" + "00" * 32
SOME = "0x" + "55" * 32
SOMEONE = "0x" + "66" * 20
CASES = {
    # The Merkle proof
    "proof: a hash changed": (
        anchor_with(lambda v: v["proof"].__setitem__(0, flipped(v["proof"][0]))),
        "anchor",
        "broken",
        "leads to the root",
    ),
    "proof: cut": (anchor_with(lambda v: {**v, "proof": v["proof"][:-1]}), "anchor", "broken", "leads to the root"),
    "proof: empty": (anchor_with({"proof": []}), "anchor", "broken", "leads to the root"),
    "proof: longer": (anchor_with(lambda v: v["proof"].append(ZERO)), "anchor", "broken", "leads to the root"),
    "proof: reversed": (anchor_with(lambda v: v["proof"].reverse()), "anchor", "broken", "leads to the root"),
    "proof: 65 hashes": (anchor_with({"proof": [SOME] * 65}), "anchor", "broken", "at most 64"),
    "proof: a short hash": (anchor_with({"proof": ["0x1234"]}), "anchor", "broken", "hexadecimal digits"),
    "proof: no array": (anchor_with({"proof": SOME}), "anchor", "broken", "array"),
    "proof: not hexadecimal": (anchor_with({"proof": ["0x" + "zz" * 32]}), "anchor", "broken", "hexadecimal digits"),
    "proof: that of a neighbour": (
        lambda w: edit(anchor_file(w.track), {"proof": read(anchor_file(w.second))["proof"]}),
        "anchor",
        "broken",
        "leads to the root",
    ),
    "leaf: changed": (
        anchor_with(lambda v: v | {"leaf": flipped(v["leaf"])}),
        "anchor",
        "broken",
        "leaf is not made of",
    ),
    "leaf: that of a neighbour": (
        lambda w: edit(anchor_file(w.track), {"leaf": read(anchor_file(w.second))["leaf"]}),
        "anchor",
        "broken",
        "leaf is not made of",
    ),
    "leaf: a node above it": (anchor_with(second_preimage), "anchor", "broken", "leaf is not made of"),
    "root: changed": (anchor_with(lambda v: v | {"root": flipped(v["root"])}), "anchor", "broken", "leads to the root"),
    "root: another one that is anchored": (of_other("root"), "anchor", "broken", "leads to the root"),
    "content: changed": (anchor_with({"content": {"sha256": "55" * 32}}), "anchor", "broken", "it anchors the content"),
    "payload: changed": (
        anchor_with({"payload": {"sha256": "55" * 32}}),
        "anchor",
        "broken",
        "another signed statement",
    ),
    "anchor file: that of a neighbour": (
        lambda w: shutil.copy(anchor_file(w.second), anchor_file(w.track)),
        "anchor",
        "broken",
        "it anchors the content",
    ),
    "anchor file: another schema": (
        anchor_with({"schema": "contraste-anchor/2"}),
        "anchor",
        "broken",
        "exactly its fields",
    ),
    "anchor file: one field more": (anchor_with({"note": "x"}), "anchor", "broken", "exactly its fields"),
    "anchor file: one field less": (
        anchor_with(lambda v: {k: v[k] for k in v if k != "leaf"}),
        "anchor",
        "broken",
        "exactly its fields",
    ),
    "anchor file: cut": (
        lambda w: anchor_file(w.track).write_bytes(anchor_file(w.track).read_bytes()[:-9]),
        "anchor",
        "broken",
        "valid JSON",
    ),
    # Header and receipt
    "evidence: header changed": (
        evidence_with(lambda e: {"header": flipped(e["header"], 200)}),
        "anchor",
        "broken",
        "header has the hash",
    ),
    "evidence: another receipts root": (
        header_with(RECEIPTS_ROOT, b"\x55" * 32),
        "anchor",
        "broken",
        "does not lead to the header",
    ),
    "evidence: header of another height": (header_with(NUMBER, b"\x63"), "anchor", "broken", "header is of block 99"),
    "evidence: backdated with its header": (
        header_with(TIMESTAMP, b"\x65\x00\x00\x00", time=0x65000000),
        "anchor",
        "missing",
        "is no part of chain",
    ),
    "evidence: that of another root": (of_other("evidence"), "anchor", "broken", "header is of block"),
    "evidence: block, time and header of another root": (
        of_other("evidence", "block", "time", "transaction"),
        "anchor",
        "broken",
        "no event of this contract",
    ),
    "evidence: another index": (evidence_with(lambda e: {"index": e["index"] + 1}), "anchor", "broken", "receipt"),
    "evidence: index too large": (evidence_with(lambda e: {"index": 2**53}), "anchor", "broken", "whole number"),
    "evidence: receipt changed": (
        evidence_with(lambda e: {"proof": [flipped(e["proof"][0], 99)]}),
        "anchor",
        "broken",
        "receipt",
    ),
    "evidence: receipt removed": (
        evidence_with(lambda e: {"proof": []}),
        "anchor",
        "broken",
        "does not lead to the header",
    ),
    "evidence: a header that is none": (
        evidence_with(lambda e: {"header": "0x00", "blockHash": "0x" + keccak256(b"\0").hex()}),
        "anchor",
        "broken",
        "header",
    ),
    "evidence: a header without end": (
        evidence_with(lambda e: {"header": "0x" + "00" * 5000, "blockHash": "0x" + keccak256(bytes(5000)).hex()}),
        "anchor",
        "broken",
        "too long",
    ),
    "evidence: a proof without end": (evidence_with(lambda e: {"proof": [SOME] * 17}), "anchor", "broken", "too long"),
    "evidence: no object": (anchor_with({"evidence": [1]}), "anchor", "broken", "evidence must have"),
    "evidence: removed, and backdated": (
        anchor_with({"evidence": None, "time": 1}),
        "anchor",
        "broken",
        "differ from what the chain says",
    ),
    "issuer: changed": (anchor_with({"issuer": SOMEONE}), "anchor", "broken", "no event of this contract"),
    "contract: changed": (anchor_with({"contract": SOMEONE}), "anchor", "broken", "no event of this contract"),
    "contract: changed, without evidence": (
        anchor_with({"contract": SOMEONE, "evidence": None}),
        "anchor",
        "broken",
        "no code",
    ),
    "block: changed": (anchor_with(lambda v: v | {"block": v["block"] - 1}), "anchor", "broken", "header is of block"),
    "time: changed": (anchor_with(lambda v: v | {"time": v["time"] - 86400}), "anchor", "broken", "header is of block"),
    "time: no number": (anchor_with({"time": "today"}), "anchor", "broken", "whole number"),
    "transaction: changed": (anchor_with({"transaction": SOME}), "anchor", "broken", "transaction or simulated differ"),
    "simulated: denied": (
        anchor_with(lambda v: v["chain"].update(simulated=False)),
        "anchor",
        "broken",
        "simulated differ",
    ),
    "chain id: changed": (
        anchor_with(lambda v: v["chain"].update(id=11155111)),
        "anchor",
        "broken",
        "names another chain",
    ),
    "genesis: changed": (
        anchor_with(lambda v: v["chain"].update(genesis=SOME)),
        "anchor",
        "broken",
        "names another chain",
    ),
    # What the chain says
    "chain: root revoked": (
        lambda w: revoked(w, leaf=False),
        "anchor",
        "broken",
        "revoked by its issuer on 2027-01-15",
    ),
    "chain: leaf revoked": (lambda w: revoked(w, leaf=True), "anchor", "broken", "revoked by its issuer on 2027-01-15"),
    "chain: root not there": (answering("lookup", lambda entry: None), "anchor", "missing", "contraste anchor --again"),
    "chain: block replaced": (answering("block_hash", lambda true: SOME), "anchor", "missing", "no part of chain"),
    "chain: block gone": (answering("block_hash", lambda true: None), "anchor", "missing", "no part of chain"),
    "chain: other code at the address": (
        answering("_code", lambda code: code[:-1] + b"\0"),
        "anchor",
        "broken",
        "other code",
    ),
    "chain: another issuer": (
        answering("lookup", lambda entry: replace(entry, issuer=SOMEONE)),
        "anchor",
        "broken",
        "issuer, time",
    ),
    "chain: another time": (
        answering("lookup", lambda entry: replace(entry, time=1)),
        "anchor",
        "broken",
        "issuer, time",
    ),
    "chain: another transaction's block": (
        answering("block_of", lambda block: block + 1),
        "anchor",
        "broken",
        "differ from what the chain says",
    ),
    "chain: no answer": (answering("lookup", unreachable), "anchor", "unchecked", "no answer"),
    "chain: revoked at the end of time": (
        answering("lookup", lambda entry: replace(entry, revoked_at=2**255)),
        "anchor",
        "broken",
        "revoked by its issuer on 578960446186580977",
    ),
    # The token
    "token: metadata changed": (
        lambda w: edit(metadata_file(w.track), {"name": "Another"}),
        "token",
        "broken",
        "was minted",
    ),
    "token: metadata with other spaces": (lambda w: edit(metadata_file(w.track), {}), "token", "broken", "was minted"),
    "token: metadata changed everywhere but on the chain": (
        remint,
        "token",
        "broken",
        "differ from what the chain says",
    ),
    "token: metadata of another track": (about_another, "token", "broken", "metadata is about another track"),
    "token: metadata gone": (lambda w: metadata_file(w.track).unlink(), "token", "missing", "there is no"),
    "token: metadata no object": (no_object, "token", "broken", "about another track"),
    "token file: that of another track": (
        lambda w: shutil.copy(token_file(w.second), token_file(w.track)),
        "token",
        "broken",
        "it is the token of",
    ),
    "token file: content changed": (
        token_with({"content": {"sha256": "55" * 32}}),
        "token",
        "broken",
        "it is the token of",
    ),
    "token file: owner changed": (token_with({"owner": SOMEONE}), "token", "broken", "no event of this contract"),
    "token file: contract changed": (token_with({"contract": SOMEONE}), "token", "broken", "no event of this contract"),
    "token file: contract changed, without evidence": (
        token_with({"contract": SOMEONE, "evidence": None}),
        "token",
        "broken",
        "no code",
    ),
    "token file: lock claimed": (token_with({"locked": True}), "token", "broken", "metadata, lock"),
    "token file: lock no truth value": (token_with({"locked": 1}), "token", "broken", "locked must be"),
    "token file: CID changed": (
        token_with(lambda v: v | {"cid": flipped(v["cid"])}),
        "token",
        "broken",
        "CID of the metadata",
    ),
    "token file: transaction changed": (
        token_with({"transaction": SOME}),
        "token",
        "broken",
        "transaction or simulated differ",
    ),
    "token file: block changed": (
        token_with(lambda v: v | {"block": v["block"] - 1}),
        "token",
        "broken",
        "header is of block",
    ),
    "token file: header changed": (
        evidence_with(lambda e: {"header": flipped(e["header"], 200)}, token_file),
        "token",
        "broken",
        "header has the hash",
    ),
    "token file: one field more": (token_with({"note": 1}), "token", "broken", "exactly its fields"),
    "token file: another chain": (token_with(lambda v: v["chain"].update(id=5)), "token", "unchecked", "was asked"),
    "chain: token not there": (answering("token", lambda token: None), "token", "missing", "mint it again"),
    "chain: another metadata digest": (
        answering("token", lambda token: replace(token, metadata=hash_bytes(b"x"))),
        "token",
        "broken",
        "metadata, lock",
    ),
    "chain: token URI elsewhere": (
        answering("token", lambda token: replace(token, uri="https://example.com/1")),
        "token",
        "broken",
        "which is not that beside the track",
    ),
}


def test_untouched_all_links_hold(world):
    verification = verify_path(world.track, KEYS, world.chain)
    assert verification.verdict == "ok"
    assert {(link.name, link.verdict) for link in verification.links} >= {
        ("anchor", "simulated"),
        ("token", "simulated"),
    }


@pytest.mark.parametrize("case", CASES)
def test_tampering_is_found_at_its_link(world, case):
    tamper, name, verdict, message = CASES[case]
    tamper(world)
    verification = verify_path(world.track, KEYS, world.chain)
    (link,) = (link for link in verification.links if link.name == name)
    assert link.verdict == verdict, link
    assert message in link.detail
    assert verification.verdict == {"broken": "broken"}.get(verdict, "incomplete")
    if not case.startswith("chain:"):
        assert verification.fault.name == name


@pytest.mark.parametrize("file", [anchor_file, token_file])
def test_changed_bytes_all_over_the_files_are_found(world, file):
    good = file(world.track).read_bytes()
    for at in range(7, len(good) - 1, len(good) // 50):  # all of them take minutes
        data = bytearray(good)
        data[at] ^= 1
        file(world.track).write_bytes(bytes(data))
        verification = verify_path(world.track, KEYS, world.chain)
        assert verification.verdict != "ok", (at, good[at - 20 : at + 20])
    file(world.track).write_bytes(good)
    assert verify_path(world.track, KEYS, world.chain).verdict == "ok"


def test_offline_the_files_are_checked_and_the_rest_is_left_open(world):
    assert {link.name: link.verdict for link in verify_path(world.track, KEYS).links} == {
        "track": "ok", "anchor": "unchecked", "run": "absent", "token": "unchecked",
    }  # fmt: skip
    edit(anchor_file(world.track), {"issuer": SOMEONE})
    assert verify_path(world.track, KEYS).fault.detail.startswith("the receipt holds no event")


def test_random_evidence_never_ends_in_another_error():
    event = anchored_event(SOMEONE, bytes(32), SOMEONE)
    for n in range(300):
        header = os.urandom(2) if n % 3 else rlp.encode([os.urandom(n % 7) for _ in range(21)])
        nodes = (rlp.encode([os.urandom(4)] * (n % 20)), os.urandom(9), rlp.encode([b"", [b"x"] * 3]))
        # A header that leads to a node which is none of a trie's.
        fields = [b""] * RECEIPTS_ROOT + [keccak256(nodes[n % 3])] + [b""] * (20 - RECEIPTS_ROOT)
        for evidence in (Evidence(header, 0, nodes), Evidence(rlp.encode(fields), n, nodes)):
            with pytest.raises(Malformed):
                evidence.check(event, 0, 0)

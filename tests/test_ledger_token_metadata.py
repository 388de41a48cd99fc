"""Metadata of tokens, and minting of signed tracks."""

import json
import os
from types import SimpleNamespace

import jsonschema
import pytest

pytest.importorskip("eth")

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.anchors.anchor import anchor_file, anchor_paths, read_anchor
from ledger.anchors.token_metadata import Listing, media_of, metadata_file, metadata_json, metadata_uris
from ledger.anchors.tokens import mint_tracks, read_token, token_file
from ledger.chains.opening import open_chain
from ledger.errors import ChainRefused, LedgerError, Malformed, PathRefused, Unsigned
from ledger.hashes.cid import CHUNK, cid_of_file
from ledger.hashes.digest import canonical_json, hash_bytes
from ledger.hashes.manifest import ManifestMismatch
from ledger.provenance.record import material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing.keys import key_id
from ledger.signing.trust import Trust
from ledger.verify import verify_path

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})
DIGESTS = {what: hash_bytes(what.encode()) for what in ("track", "model", "dataset", "report")}
# The schema of EIP-721, and the types that marketplaces expect of their own fields.
TEXT = {"type": "string"}
TRAIT = {"type": "object", "required": ["trait_type", "value"], "properties": {"trait_type": TEXT, "value": TEXT}}
SCHEMA = {
    "type": "object",
    "required": ["name", "description"],
    "properties": {name: TEXT for name in ("name", "description", "image", "animation_url", "external_url")}
    | {"attributes": {"type": "array", "items": TRAIT}},
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Return data set, model, three tracks with a WAV beside the first, and reports, all signed; an embedded chain."""
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    w = SimpleNamespace(root=tmp_path, chain=open_chain(chain_dir=tmp_path / "chain"))
    w.store, w.model = tmp_path / "store", tmp_path / "model"
    for folder in (w.store, w.model):
        folder.mkdir()
        (folder / "data").write_bytes(folder.name.encode())
    write_record(w.store, "dataset")
    write_record(w.model, "model", materials=[material_of("dataset", w.store, artefact=w.model)])
    w.tracks = [tmp_path / "out" / f"t{n}.mid" for n in range(3)]
    w.tracks[0].parent.mkdir()
    w.tracks[0].with_suffix(".wav").write_bytes(os.urandom(3 * CHUNK))
    for number, track in enumerate(w.tracks):
        track.write_bytes(b"MThd%d" % number)
        also = ["t0.wav"] if number == 0 else []
        write_record(track, "track", materials=[material_of("model", w.model, artefact=track)], also=also)
    w.reports = tmp_path / "reports"
    for track in w.tracks:
        page = w.reports / track.stem / "report.json"
        page.parent.mkdir(parents=True)
        page.write_bytes(b"{}")
        write_record(page, "report", materials=[material_of("track", track, artefact=page)])
        sign_path(page, KEY)
    w.report = w.reports / "t0" / "report.json"
    for path in (w.store, w.model, *w.tracks):
        sign_path(path, KEY)
    return w


def test_metadata_names_every_digest_and_follows_the_schemas(world):
    anchor_paths(world.tracks[:1], world.chain, trust=KEYS)
    receipt = read_anchor(world.tracks[0]).receipt
    listing = Listing(
        "Song", "About it", "CC-BY-4.0", "https://example.com", "ipfs://x", {"lyrics": "none"}, [("key", "G")]
    )
    data = metadata_json("file", listing, DIGESTS, [media_of("audio", world.tracks[0].with_suffix(".wav"))], receipt)
    metadata = json.loads(data)
    jsonschema.validate(metadata, SCHEMA)
    assert data == canonical_json(metadata)
    assert (metadata["name"], metadata["image"], metadata["licence"]) == ("Song", "ipfs://x", "CC-BY-4.0")
    traits = {trait["trait_type"]: trait["value"] for trait in metadata["attributes"]}
    assert list(traits.values())[:4] == [digest.hex for digest in DIGESTS.values()]
    assert (traits["AI composition"], traits["AI lyrics"], traits["anchor"], traits["key"]) == (
        "all",
        "none",
        "simulated",
        "G",
    )
    assert metadata["ai_disclosure"] == {"composition": "all", "instrumentation": "all", "lyrics": "none"}
    assert metadata["provenance"]["anchor"]["root"] == "0x" + receipt.root.hex()
    (wav,) = metadata["media"]
    sound = world.tracks[0].with_suffix(".wav")
    assert (wav["sha256"], wav["bytes"]) == (hash_bytes(sound.read_bytes()).hex, 3 * CHUNK)
    assert metadata["animation_url"] == f"ipfs://{cid_of_file(sound)}"


def test_what_is_not_said_is_left_out_and_contradictions_are_refused():
    bare = json.loads(metadata_json("file", Listing(), {"track": DIGESTS["track"]}))
    jsonschema.validate(bare, SCHEMA)
    assert (bare["name"], bare["ai_disclosure"], list(bare["provenance"])) == ("file", {}, ["track"])
    assert not {"image", "animation_url", "licence", "external_url"} & set(bare)
    with pytest.raises(Malformed, match="may not be empty"):
        metadata_json("", Listing(), DIGESTS)
    with pytest.raises(LedgerError, match="names a model that made it"):
        metadata_json("x", Listing(disclosure={"composition": "none"}), DIGESTS)
    with pytest.raises(Malformed, match="more than the limit of 262144"):
        metadata_json("x", Listing(description="x" * CHUNK), DIGESTS)
    with pytest.raises(LedgerError, match="AI disclosure drums=all: the role is one of"):
        metadata_json("x", Listing(disclosure={"drums": "all"}), DIGESTS)


def test_minting_reads_the_digests_out_of_signed_statements(world):
    track = world.tracks[0]
    anchor_paths([track], world.chain, trust=KEYS)
    (token,) = mint_tracks([track], world.chain, report=world.report, trust=KEYS)
    data = metadata_file(track).read_bytes()
    assert (token.metadata, token.token_id) == (hash_bytes(data), int(hash_bytes(track.read_bytes()).hex, 16))
    metadata = json.loads(data)
    assert list(metadata["provenance"]) == ["anchor", "dataset", "model", "report", "track"]
    assert [media["role"] for media in metadata["media"]] == ["track", "audio"]
    assert token.uri == metadata_uris(data)[0]
    links = {link.name: link.verdict for link in verify_path(track, KEYS, world.chain).links}
    assert (links["token"], links["anchor"], links["track"]) == ("simulated", "simulated", "ok")
    # Again: nothing is sent, and the files stay.
    before = token_file(track).read_bytes()
    assert mint_tracks([track], world.chain, report=world.report, trust=KEYS) == (token,)
    assert token_file(track).read_bytes() == before


def test_a_batch_with_the_reports_of_an_audit_folder(world):
    listing = Listing(licence="CC0-1.0", disclosure={"vocals": "none"})
    tokens = mint_tracks(world.tracks, world.chain, listing, report=world.reports, locked=True, royalty=250, trust=KEYS)
    assert len({token.mined.transaction for token in tokens}) == 1
    assert all(token.locked for token in tokens)
    for track in world.tracks:
        metadata = json.loads(metadata_file(track).read_text())
        assert (metadata["licence"], metadata["name"]) == ("CC0-1.0", track.stem)
        assert {"model", "dataset", "report"} <= set(metadata["provenance"])
        assert read_token(track).locked
        assert verify_path(track, KEYS, world.chain).verdict == "ok"
    from ledger.chains.abi import decode, encode

    with world.chain._session(write=False):
        answer = world.chain._call(tokens[0].contract, encode("royaltyInfo(uint256,uint256)", tokens[0].token_id, 1000))
    assert decode(["address", "uint256"], answer) == (world.chain.account.lower(), 25)


def test_metadata_on_the_chain_is_found_in_the_uri(world):
    (token,) = mint_tracks(world.tracks[:1], world.chain, on_chain=True, trust=KEYS)
    data = metadata_file(world.tracks[0]).read_bytes()
    assert world.chain.token(read_token(world.tracks[0]).content, token.contract).uri == metadata_uris(data)[1]
    assert verify_path(world.tracks[0], KEYS, world.chain).verdict == "ok"


def test_a_cover_from_a_file_gets_its_digest_and_cid(world):
    cover = world.root / "cover.png"
    cover.write_bytes(b"\x89PNG")
    mint_tracks(world.tracks[:1], world.chain, Listing(image=str(cover)), trust=KEYS)
    metadata = json.loads(metadata_file(world.tracks[0]).read_text())
    assert metadata["image"] == f"ipfs://{cid_of_file(cover)}"
    assert metadata["media"][-1]["type"] == "image/png"
    with pytest.raises(PathRefused, match=r"no\.png"):
        mint_tracks(world.tracks[1:2], world.chain, Listing(image=str(world.root / "no.png")), trust=KEYS)


def test_what_must_not_be_minted_leaves_no_files(world):
    track, model = world.tracks[0], world.model / "data"
    with pytest.raises(Malformed, match="is not about"):
        mint_tracks([track], world.chain, report=world.reports / "t1" / "report.json", trust=KEYS)
    with pytest.raises(Malformed, match="does not fit several"):
        mint_tracks(world.tracks, world.chain, Listing("One name"), trust=KEYS)
    with pytest.raises(PathRefused, match="no tracks"):
        mint_tracks([], world.chain, trust=KEYS)
    unsigned = world.root / "u.mid"
    unsigned.write_bytes(b"x")
    with pytest.raises(Unsigned):
        mint_tracks([track, unsigned], world.chain, trust=KEYS)
    model.write_bytes(b"other")
    with pytest.raises(ManifestMismatch, match="changed data"):
        mint_tracks([track], world.chain, trust=KEYS)
    model.write_bytes(b"model")
    anchor_paths([track], world.chain, trust=KEYS)
    content = json.loads(anchor_file(track).read_text())
    anchor_file(track).write_text(json.dumps(content | {"leaf": "0x" + "55" * 32}))
    with pytest.raises(Malformed, match="leaf is not made of"):
        mint_tracks([track], world.chain, trust=KEYS)
    assert not any(file(path).exists() for path in world.tracks for file in (metadata_file, token_file))


def test_other_metadata_for_a_minted_track_is_refused_and_the_minted_kept(world):
    track = world.tracks[0]
    mint_tracks([track], world.chain, trust=KEYS)
    before = metadata_file(track).read_bytes()
    token_file(track).unlink()  # as if the run had died before it was written
    with pytest.raises(ChainRefused, match="minted already with other metadata"):
        mint_tracks([track], world.chain, Listing(description="Other words."), trust=KEYS)
    assert metadata_file(track).read_bytes() == before
    mint_tracks([track], world.chain, trust=KEYS)
    assert verify_path(track, KEYS, world.chain).verdict == "ok"

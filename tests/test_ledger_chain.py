"""Anchors and tokens on a chain: the same tests on the embedded chain and on a real node (anvil)."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ledger.chains.chain import Chain
from tests.cases.values import require

pytest.importorskip("web3")
pytest.importorskip("eth")

from eth_abi import abi

from ledger.anchors.token_metadata import metadata_uris
from ledger.chains.abi import encode
from ledger.chains.receipts import ZERO32, anchored_event, minted_event
from ledger.errors import ChainRefused, ContractMismatch, Malformed
from ledger.hashes.digest import Digest, hash_bytes
from ledger.hashes.merkle import MerkleTree, keccak256, leaf_hash

GAS = json.loads(Path(__file__).with_name("data").joinpath("ledger_gas.json").read_text())
STRANGER = "0x" + "12" * 20


def new() -> Digest:
    return Digest("sha256", os.urandom(32))


def asked(chain: Chain, contract: str, function: str, kinds: list[str], *values: object) -> Any:
    with chain._session(write=False):
        answer = abi.decode(kinds, chain._call(contract, encode(function, *values)))
    return answer[0] if len(kinds) == 1 else answer


def test_anchor_and_lookup(chain: Chain) -> None:
    root = os.urandom(32)
    chain.anchor(os.urandom(32))
    assert chain.lookup(root) is None
    before = time.time()
    receipt = chain.anchor(root)
    entry = require(chain.lookup(root, contract=receipt.contract))
    assert (entry.issuer, entry.time, entry.block) == (chain.account, receipt.time, receipt.block)
    assert (receipt.contract, receipt.issuer) == (entry.contract, chain.account)
    assert before - 2 <= entry.time <= time.time() + 120
    assert entry.revoked_at == 0
    assert entry.final is chain.simulated  # anvil finalizes 64 blocks later
    assert chain.block_of(receipt.transaction) == receipt.block
    assert chain.block_of("0x" + "12" * 32) is None
    assert chain.block_hash(receipt.block) == require(receipt.evidence).block_hash
    assert chain.block_hash(10**6) is None


def test_the_evidence_of_an_anchor_holds_by_itself(chain: Chain) -> None:
    receipt = chain.anchor(os.urandom(32))
    event = anchored_event(receipt.contract, receipt.root, receipt.issuer)
    require(receipt.evidence).check(event, receipt.block, receipt.time)
    for other in (
        anchored_event(receipt.contract, os.urandom(32), receipt.issuer),
        anchored_event(STRANGER, receipt.root, receipt.issuer),
    ):
        with pytest.raises(Malformed, match="no event of this contract"):
            require(receipt.evidence).check(other, receipt.block, receipt.time)
    with pytest.raises(Malformed, match="not of block"):
        require(receipt.evidence).check(event, receipt.block, receipt.time - 1)


def test_the_same_root_is_sent_once(chain: Chain) -> None:
    root = os.urandom(32)
    assert chain.anchor(root) == chain.anchor(root)


def test_revocation_counts_for_leaf_and_root(chain: Chain) -> None:
    root, leaf, other = (os.urandom(32) for _ in range(3))
    chain.anchor(os.urandom(32))
    with pytest.raises(ChainRefused, match="only the account that anchored"):
        chain.revoke(root)
    chain.anchor(root)
    chain.revoke(root, leaf, "withdrawn")
    first = require(chain.lookup(root, leaf)).revoked_at
    assert first > 0
    assert require(chain.lookup(root, other)).revoked_at == require(chain.lookup(root)).revoked_at == 0
    with pytest.raises(ChainRefused, match="revoked already"):
        chain.revoke(root, leaf)
    chain.revoke(root)
    assert require(chain.lookup(root, other)).revoked_at > 0
    assert require(chain.lookup(root, leaf)).revoked_at == first  # revoked since then, whatever came later


@pytest.mark.parametrize("leaves", [1, 2, 11, 1000])
def test_the_contract_accepts_our_proofs_and_no_others(chain: Chain, leaves: int) -> None:
    hashes = [leaf_hash(new(), hash_bytes(b"%d" % n)) for n in range(leaves)]
    tree = MerkleTree(hashes)
    contract = chain.anchor(tree.root).contract

    def proves(root: bytes, leaf: bytes, proof: tuple[bytes, ...] | list[bytes]) -> Any:
        return asked(chain, contract, "isAnchored(bytes32,bytes32,bytes32[])", ["bool"], root, leaf, list(proof))

    assert all(proves(tree.root, leaf, tree.proof(leaf)) for leaf in hashes[:20])
    leaf, proof = hashes[0], tree.proof(hashes[0])
    assert not proves(tree.root, os.urandom(32), proof)
    assert not proves(os.urandom(32), leaf, proof)
    assert not proves(tree.root, leaf, (*proof, ZERO32))
    long = [ZERO32] * 65
    assert not proves(tree.root, leaf, long)
    chain.revoke(tree.root, leaf)
    assert not proves(tree.root, leaf, proof)


def test_a_proof_of_65_hashes_is_refused_by_the_contract_even_if_it_leads_to_the_root(chain: Chain) -> None:
    leaf = os.urandom(32)
    node, proof = leaf, [os.urandom(32) for _ in range(65)]
    for length, sibling in enumerate(proof, 1):
        node = keccak256(min(node, sibling) + max(node, sibling))
        if length in (64, 65):
            contract = chain.anchor(node).contract
            function = "isAnchored(bytes32,bytes32,bytes32[])"
            assert asked(chain, contract, function, ["bool"], node, leaf, proof[:length]) is (length == 64)


def test_bad_roots_and_foreign_contracts_are_refused(chain: Chain) -> None:
    for root in (bytes(32), b"short"):
        with pytest.raises(Malformed, match="cannot be anchored"):
            chain.anchor(root)
    root = os.urandom(32)
    chain.anchor(root)
    with pytest.raises(ContractMismatch, match="no code"):
        chain.lookup(root, contract=STRANGER)
    (token,) = chain.mint([(new(), new())])
    for wrong in (
        lambda: chain.lookup(root, contract=token.contract),
        lambda: chain.revoke(root, contract=token.contract),
    ):
        with pytest.raises(ContractMismatch, match="other code"):
            wrong()
    with pytest.raises(ContractMismatch, match="other code"):
        chain.token(new(), require(chain.lookup(root)).contract)
    with pytest.raises(ChainRefused, match="not an Ethereum address"):
        chain.lookup(root, contract="nonsense")


def test_a_track_is_minted_once(chain: Chain) -> None:
    track, metadata = new(), new()
    (token,) = chain.mint([(track, metadata)])
    assert (token.token_id, token.owner, token.metadata) == (int(track.hex, 16), chain.account, metadata)
    assert (token.locked, token.simulated, token.minted_to) == (False, chain.simulated, chain.account)
    assert chain.block_of(require(token.mined).transaction) == require(token.mined).block
    require(token.evidence).check(
        minted_event(token.contract, token.owner, track), require(token.mined).block, require(token.mined).time
    )
    assert chain.mint([(track, metadata)]) == (token,)
    assert chain.minted([track, new()]) == {track: metadata}
    with pytest.raises(ChainRefused, match="minted already with other metadata"):
        chain.mint([(track, new())])
    assert chain.token(new(), token.contract) is None
    contract = encode("mint(address,bytes32,bytes32)", chain.account, track.value, new().value)
    with pytest.raises(ChainRefused, match="minted already"), chain._session(write=True):
        chain._transact(token.contract, contract)


def test_tokens_for_others_and_the_zero_address(chain: Chain) -> None:
    track = new()
    (token,) = chain.mint([(track, new())], to=STRANGER)
    assert require(chain.token(track, token.contract)).owner.lower() == STRANGER
    require(token.evidence).check(
        minted_event(token.contract, STRANGER, track), require(token.mined).block, require(token.mined).time
    )
    for wrong, message in (("0x12", "not an Ethereum address"), ("0x" + "00" * 20, "zero address")):
        with pytest.raises(ChainRefused, match=message):
            chain.mint([(new(), new())], to=wrong)


def test_a_batch_is_one_transaction_and_counts(chain: Chain) -> None:
    tracks = [(new(), new()) for _ in range(100)]
    tokens = chain.mint(tracks)
    assert len({require(token.mined).transaction for token in tokens}) == 1
    assert [token.metadata for token in tokens] == [metadata for _, metadata in tracks]
    contract = tokens[0].contract
    assert asked(chain, contract, "balanceOf(address)", ["uint256"], chain.account) == 100
    for token in (tokens[0], tokens[57], tokens[99]):
        event = minted_event(contract, chain.account, Digest("sha256", token.token_id.to_bytes(32, "big")))
        require(token.evidence).check(event, require(token.mined).block, require(token.mined).time)
    # More than a batch, some of them there already: two transactions for the others.
    more = [*tracks[:3], *((new(), new()) for _ in range(101))]
    assert len({require(token.mined).transaction for token in chain.mint(more)}) == 3
    assert asked(chain, contract, "balanceOf(address)", ["uint256"], chain.account) == 201
    with pytest.raises(ChainRefused, match="one metadata digest for each"), chain._session(write=True):
        chain._transact(contract, encode("mintBatch(bytes32[],bytes32[])", [ZERO32], []))


def test_the_token_moves_as_erc721_says_and_locked_ones_do_not(chain: Chain) -> None:
    track, other = new(), new()
    (token,), (fixed,) = chain.mint([(track, new())]), chain.mint([(other, new())], locked=True)
    assert (token.locked, fixed.locked, token.contract == fixed.contract) == (False, True, False)
    with chain._session(write=True):
        chain._transact(
            token.contract, encode("transferFrom(address,address,uint256)", chain.account, STRANGER, token.token_id)
        )
        with pytest.raises(ChainRefused, match="TokenLocked"):
            chain._transact(
                fixed.contract, encode("transferFrom(address,address,uint256)", chain.account, STRANGER, fixed.token_id)
            )
    assert require(chain.token(track, token.contract)).owner.lower() == STRANGER
    assert require(chain.token(other, fixed.contract)).owner == chain.account
    balances = [
        asked(chain, token.contract, "balanceOf(address)", ["uint256"], who) for who in (chain.account, STRANGER)
    ]
    assert balances == [0, 1]


def test_interfaces_are_declared(chain: Chain) -> None:
    (token,) = chain.mint([(new(), new())])
    wanted = {"erc165": "01ffc9a7", "erc721": "80ac58cd", "metadata": "5b5e139f", "erc2981": "2a55205a",
              "erc5192": "b45a3c0e", "erc4906": "49064906"}  # fmt: skip
    found = {
        name: asked(chain, token.contract, "supportsInterface(bytes4)", ["bool"], bytes.fromhex(id_))
        for name, id_ in (wanted | {"nothing": "ffffffff"}).items()
    }
    assert found == dict.fromkeys(wanted, True) | {"nothing": False}


def test_the_uri_is_the_cid_and_after_publishing_the_metadata_itself(chain: Chain) -> None:
    data = b'{"name":"a track"}'
    track = new()
    (token,) = chain.mint([(track, hash_bytes(data))])
    by_cid, inline = metadata_uris(data)
    assert token.uri == by_cid
    with pytest.raises(ChainRefused, match="not what was minted"):
        chain.publish(token.contract, track, data.decode() + " ")
    chain.publish(token.contract, track, data.decode())
    assert require(chain.token(track, token.contract)).uri == inline


def test_royalties(chain: Chain) -> None:
    (token,) = chain.mint([(new(), new())])
    chain.set_royalty(STRANGER, 750)
    answer = asked(chain, token.contract, "royaltyInfo(uint256,uint256)", ["address", "uint256"], token.token_id, 200)
    assert answer == (STRANGER, 15)
    with pytest.raises(ChainRefused, match="at most 10,000 basis points"):
        chain.set_royalty(STRANGER, 10_001)


def test_gas_is_that_of_the_snapshot(chain: Chain) -> None:
    """A change of the contracts has to change the snapshot knowingly: ``CONTRASTE_SHOW_GAS=1 pytest -s`` shows it."""

    def exact(number: int) -> bytes:  # bytes that hold no zero, so that call data always costs the same
        return (b"%08d" % number).replace(b"0", b"x") * 4

    def digest(number: int) -> Digest:
        return Digest("sha256", exact(number))

    start = int.from_bytes(os.urandom(3), "big") % 10**7 * 10
    found: dict[str, Any] = {}
    with chain._session(write=True):
        contract = chain._deployed("Anchor") or chain._deploy("Anchor")
    root = exact(start)
    found["anchor a root"] = chain.anchor(root).gas_used
    found["revoke a leaf"] = chain.revoke(root, exact(start + 1), "withdrawn", contract).gas_used
    for locked in (False, True):
        kind = ", locked" if locked else ""
        for count, name in enumerate(("first mint", "mint")):
            pair = (digest(start + count), digest(start + 5 + count))
            (token,) = chain.mint([pair], locked=locked)
            found[name + kind] = require(token.mined).gas_used
        pairs = [(digest(start + 10 + n), digest(start + 200 + n)) for n in range(100)]
        found["mint, each of 100" + kind] = require(require(chain.mint(pairs, locked=locked)[0].mined).gas_used) / 100
    for count, name in enumerate(("first mint to somebody else", "mint to somebody else")):
        pair = (digest(start + 400 + count), digest(start + 405 + count))
        found[name] = require(chain.mint([pair], to="0x" + exact(start)[:20].hex())[0].mined).gas_used
    if os.environ.get("CONTRASTE_SHOW_GAS"):
        print(json.dumps(found, indent=1))
    assert found["anchor a root"] <= 47_600
    assert found["anchor a root"] / 1000 <= 48
    assert found["anchor a root"] / 10_000 <= 5
    assert all(found[name] <= 56_000 for name in ("first mint", "mint", "first mint, locked", "mint, locked"))
    assert all(found[name] <= 28_000 for name in ("mint, each of 100", "mint, each of 100, locked"))
    # The account's address is new in each run, and a zero byte in it costs 12 gas less.
    assert found == {name: pytest.approx(gas, abs=40) for name, gas in GAS.items()}

"""The commands that write to a chain, as a user types them: on the embedded chain and on a real node (anvil)."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cases.anvil import Anvil

pytest.importorskip("web3")
pytest.importorskip("eth")

from eth_account import Account

from tests.cases.command import contraste, done, refused
from tests.cases.house import House


@pytest.fixture
def signed(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return four signed tracks."""
    monkeypatch.setenv("CONTRASTE_PASSWORD", "a password")
    done("keys", "new", tmp_path / "keys")
    paths = [tmp_path / "out" / f"t{n}.mid" for n in range(4)]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(b"MThd" + path.name.encode())
    done("sign", *paths, "--key", tmp_path / "keys")
    return paths


@pytest.fixture(params=["embedded", "anvil"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> SimpleNamespace:
    """Return the options that name a chain, and what its anchors are called before anything is final."""
    if request.param == "embedded":
        return SimpleNamespace(options=["--chain-dir", tmp_path / "chain"], verdict="simulated")
    node = request.getfixturevalue("anvil")
    monkeypatch.setenv("CONTRASTE_ETH_KEY", node.new_key().hex())
    return SimpleNamespace(options=["--rpc", node.url], verdict="pending")


def test_anchor_mint_revoke_and_verify(signed: list[Path], place: SimpleNamespace) -> None:
    _, root, said = done("anchor", *signed, *place.options)
    assert (len(root.strip()), "4 paths anchored in block" in said) == (66, True)
    roles = ("--ai", "vocals=none", "--ai", "Composition=Partly")
    _, out, said = done("mint", *signed[:2], "--licence", "CC0-1.0", *roles, "--royalty", 500, *place.options)
    assert out.split() == [f"{path}.nft.json" for path in signed[:2]]
    assert said.count("token 0x") == 2
    metadata = json.loads(Path(f"{signed[0]}.nft.json").read_text())
    assert metadata["ai_disclosure"] == {"composition": "partly", "vocals": "none"}
    _, out, _ = done("verify", *signed[:2], *place.options)
    assert out.count(f"{place.verdict:10s} anchor") == out.count(f"{place.verdict:10s} token") == 2
    done("revoke", signed[1], "--reason", "withdrawn", *place.options)
    code, out, _ = contraste("verify", "--short", *signed, *place.options)
    assert code == 1
    verdicts = [line.partition(".mid: ")[2].partition(":")[0] for line in out.splitlines()]
    assert verdicts == ["ok", "broken at anchor", "ok", "ok"]
    code, _, said = contraste("revoke", signed[1], *place.options)
    assert (code, "it is revoked already" in said) == (2, True)
    done("revoke", signed[0], "--root", *place.options)
    code, out, _ = contraste("verify", "--short", signed[3], *place.options)
    assert (code, "revoked by its issuer" in out) == (1, True)
    # Anchoring again what is on the chain sends nothing, and says so.
    for words in (["anchor", "--again"], ["anchor"]):
        _, out, said = done(*words, *signed, *place.options)
        assert (out, "nothing was sent; contraste verify says if it was revoked" in said) == (root, True)


def test_the_lock_is_set_for_a_contract_and_asked_of_each_token(signed: list[Path], place: SimpleNamespace) -> None:
    for track, options in ((signed[0], []), (signed[1], ["--locked"])):
        _, _, said = done("mint", track, *options, *place.options)
        assert said.endswith(", locked\n") is bool(options)
    free, fixed = (json.loads(Path(f"{track}.token.json").read_text()) for track in signed[:2])
    assert (free["locked"], fixed["locked"], free["contract"] == fixed["contract"]) == (False, True, False)
    _, out, _ = done("verify", *signed[:2], *place.options)
    assert [", locked" in line for line in out.splitlines() if " token " in line] == [False, True]


def test_hundreds_of_paths_share_one_root(tmp_path: Path, signed: list[Path], place: SimpleNamespace) -> None:
    paths = [tmp_path / "many" / f"{n:03d}.mid" for n in range(300)]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.name.encode())
    done("sign", *paths, "--key", tmp_path / "keys")
    _, root, _ = done("anchor", *paths, *place.options)
    anchors = [json.loads(Path(f"{path}.anchor.json").read_text()) for path in paths]
    assert {anchor["root"] for anchor in anchors} == {root.strip()}
    assert {len(anchor["proof"]) for anchor in anchors} == {8, 9}
    _, out, _ = done("verify", "--short", *paths[::60], *place.options)
    assert out.count(": ok") == 5


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--network", "sepolia"], 2, "sepolia (chain 11155111) is reached through a node; add --rpc URL"),
        (["--network", "goerli"], 2, "the test network goerli was shut down; use sepolia"),
        (["--network", "nowhere"], 2, "no known network"),
        (["--rpc", "ftp://x"], 2, "must start with http"),
        (["--rpc", "http://127.0.0.1:9"], 4, "did not answer eth_chainId"),
        (["--rpc", "http://127.0.0.1:9", "--network", "holesky"], 2, "was shut down"),
        (["--rpc", "http://127.0.0.1:9", "--max-fee-gwei", "-1"], 2, "fee cap of -1 gwei"),
    ],
)
def test_wrong_chains_are_said_in_one_line(signed: list[Path], options: list[str], code: int, message: str) -> None:
    before = set(signed[0].parent.iterdir())
    for command in ("anchor", "mint"):
        found, out, said = contraste(command, signed[0], *options)
        assert (found, out, len(said.splitlines())) == (code, "", 1)
        assert message in said
    assert set(signed[0].parent.iterdir()) == before


def test_wrong_input_is_said_in_one_line(signed: list[Path], tmp_path: Path, place: SimpleNamespace) -> None:
    done("anchor", signed[0], *place.options)
    Path(f"{signed[1]}.anchor.json").write_text("{")
    for words, code, message in (
        (["mint", signed[0], "--ai", "drums=all"], 2, "AI disclosure drums=all"),
        (["mint", signed[0], "--ai", "vocals"], 2, "AI disclosure vocals=: the role is one of"),
        (["mint", *signed, "--name", "x"], 3, "does not fit several"),
        (["mint", signed[0], "--to", "0x12"], 2, "not an Ethereum address"),
        (["mint", signed[0], "--report", tmp_path / "no.json"], 4, "not signed"),
        (["mint", signed[0], "--image", tmp_path / "no.png"], 3, "no.png"),
        (["revoke", signed[2]], 3, "t2.mid.anchor.json"),
        (["revoke", signed[1]], 3, "t1.mid.anchor.json"),
        (["anchor", "--again", signed[2]], 3, "t2.mid.anchor.json"),
        (["anchor", "--again", signed[1]], 3, "t1.mid.anchor.json"),
    ):
        found, out, said = contraste(*words, *place.options)
        assert (found, out, len(said.splitlines())) == (code, "", 1), (words, said)
        assert message in said


def test_without_a_key_or_funds_nothing_is_sent(
    signed: list[Path], anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, said = contraste("anchor", signed[0], "--rpc", anvil.url)
    assert (code, "set CONTRASTE_ETH_KEY" in said) == (2, True)
    poor = Account.create().key  # a key of this test only
    monkeypatch.setenv("CONTRASTE_ETH_KEY", poor.hex())
    code, _, said = contraste("anchor", signed[0], "--rpc", anvil.url)
    assert (code, "has 0 wei on chain 31337" in said) == (2, True)
    code, _, said = contraste("anchor", signed[0], "--rpc", anvil.url, "--network", "sepolia")
    assert (code, "asked for is chain 11155111" in said) == (2, True)


def test_a_chain_folder_of_ones_own(house: House, tmp_path: Path) -> None:
    track = shutil.copy(house / "clean.mid", tmp_path)
    done("sign", track, "--key", house / "keys")
    ran = done("anchor", track, "--chain-dir", tmp_path / "chain")
    assert ran.out.startswith("0x")
    assert "simulated" in ran.err
    done("verify", track, "--chain-dir", tmp_path / "chain")
    assert contraste("verify", track).code == 4  # anchored elsewhere than on the chain that is asked
    refused(contraste("anchor", track, "--chain-dir", house / "text.txt"), 2, "text.txt")


def test_mint_writes_the_metadata_of_the_token(house: House) -> None:
    ran = done("mint", house.first, "--report", house.report, "--description", "A test.")
    file = Path(ran.out.strip())
    assert file == Path(f"{house.first}.nft.json")
    assert json.loads(file.read_bytes())["description"].startswith("A test.")
    assert "simulated" in ran.err
    done("verify", house.first)

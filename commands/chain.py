"""Commands that write to a chain: anchor, revoke, mint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.findings import count_noun
from commands.shared.opening import open_chain_to_write, open_log, open_trust
from commands.shared.options import ChainToWrite, Shares, Trusted, grouped, split_shares
from commands.shared.terminal import say, tell
from ledger.anchors.anchor import anchor_again, anchor_paths, revoke_path
from ledger.anchors.token_metadata import Listing, metadata_file
from ledger.anchors.tokens import mint_tracks


@grouped
def anchor(
    paths: Annotated[list[Path], typer.Argument(help="Signed stores, models, tracks, reports.")],
    target: ChainToWrite,
    again: Annotated[
        bool, typer.Option("--again", help="Write the roots of the anchor files again, after a chain reorganisation.")
    ] = False,
    key: Trusted = None,
) -> None:
    """Write one Merkle root for all paths to a chain, and its proof beside each."""
    chain = open_chain_to_write(target)
    trusted = open_trust(key)
    anchor_all = anchor_again if again else anchor_paths
    receipts = anchor_all(paths, chain, trust=trusted, log=open_log())
    for receipt in receipts if isinstance(receipts, tuple) else (receipts,):
        tell(f"0x{receipt.root.hex()}")
        state = "simulated" if receipt.simulated else f"chain {receipt.chain.chain_id}, pending until it is finalized"
        say(f"{count_noun(len(paths), 'path')} anchored in block {receipt.block}, {state}")
        if receipt.known:
            say("the root was there already, and nothing was sent; contraste verify says if it was revoked since")
        if receipt.issuer != chain.account:
            say(f"the root was anchored before by {receipt.issuer}, who alone can revoke it")
        if receipt.evidence is None:
            say("the blocks of this chain are not Ethereum's: the files hold no evidence of the block")


@grouped
def revoke(
    paths: Annotated[list[Path], typer.Argument(help="Anchored paths.")],
    target: ChainToWrite,
    whole_root: Annotated[
        bool, typer.Option("--root", help="Revoke the whole root, with all paths that were anchored together.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Reason; it is published on the chain.")] = "",
) -> None:
    """Revoke anchors on their chain; only the account that anchored them can."""
    chain = open_chain_to_write(target)
    for path in paths:
        mined = revoke_path(path, chain, reason, whole_root=whole_root, log=open_log())
        tell(mined.transaction)
        say(f"{path}: {'root' if whole_root else 'anchor'} revoked in block {mined.block}")


@grouped
def mint(
    tracks: Annotated[list[Path], typer.Argument(help="Signed tracks.")],
    target: ChainToWrite,
    report: Annotated[
        Path | None, typer.Option(help="The track's signed report.json, or the folder of 'contraste audit'.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the token; by default that of the file.")] = "",
    description: Annotated[str, typer.Option(help="Description of the track.")] = "",
    licence: Annotated[str, typer.Option(help="SPDX identifier or URL.")] = "",
    ai: Shares = None,
    media: Annotated[Path | None, typer.Option(help="Audio to play; by default the file of the same name.")] = None,
    image: Annotated[str, typer.Option(help="Cover picture: a file or a URI.")] = "",
    external_url: Annotated[str, typer.Option(help="URL of a page about the track.")] = "",
    to: Annotated[str | None, typer.Option(help="Address of the owner; by default the paying account.")] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Make tokens that can never be transferred (ERC-5192).")
    ] = False,
    royalty: Annotated[
        int | None,
        typer.Option(min=0, max=10_000, help="Royalty for the paying account, in 1/10,000 of every sale price."),
    ] = None,
    on_chain: Annotated[
        bool, typer.Option("--on-chain", help="Store the metadata on the chain too, as a data: URI.")
    ] = False,
    key: Trusted = None,
) -> None:
    """Mint ERC-721 tokens; writes the metadata (TRACK.nft.json) and where the token is (TRACK.token.json)."""
    listing = Listing(name, description, licence, external_url, image, split_shares(ai))
    chain = open_chain_to_write(target)
    tokens = mint_tracks(
        tracks, chain, listing, report=report, media=media, to=to, locked=locked, on_chain=on_chain, royalty=royalty,
        trust=open_trust(key), log=open_log(),
    )  # fmt: skip
    for track, token in zip(dict.fromkeys(tracks), tokens, strict=True):
        tell(metadata_file(track))
        state = ", simulated" if token.simulated else f" on chain {token.chain.chain_id}"
        say(f"token {token.token_id:#x} of {token.owner}{state}{', locked' if token.locked else ''}")

"""Opening of the chain that options name."""

from __future__ import annotations

from pathlib import Path

from ledger.chains.chain import Chain
from ledger.chains.networks import chain_id_of
from ledger.errors import ChainRefused


def open_chain(
    *,
    chain_dir: Path | None = None,
    rpc: str | None = None,
    account_key: bytes | None = None,
    network: str | None = None,
    mean_mainnet: bool = False,
    max_fee_gwei: float | None = None,
) -> Chain:
    """Return the chain that the options name.

    Parameters
    ----------
    chain_dir : Path, optional
        Folder of the embedded chain; default ``chain`` in the user's data folder.
    rpc : str, optional
        URL of a JSON-RPC node; then `chain_dir` is not used.
    account_key, network, mean_mainnet, max_fee_gwei
        See `ledger.chains.rpc.RpcChain`; without `rpc` they have no meaning, and `network` is refused.

    Raises
    ------
    ExtraMissing
        If the extra ``chain`` is not installed.
    ChainRefused
        If a network is named without a node.
    """
    if rpc is not None:
        from ledger.chains.rpc import DEFAULT_MAX_FEE_GWEI, RpcChain

        fee = DEFAULT_MAX_FEE_GWEI if max_fee_gwei is None else max_fee_gwei
        return RpcChain(rpc, account_key, network=network, mean_mainnet=mean_mainnet, max_fee_gwei=fee)
    if network is not None:
        chain_id = chain_id_of(network)
        raise ChainRefused(f"the network {network} (chain {chain_id}) is reached through a node; add --rpc URL")
    from ledger.chains.embedded import EmbeddedChain

    return EmbeddedChain(chain_dir)

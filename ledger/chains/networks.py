"""Ethereum networks by name and chain id (EIP-155): which may be written to, and which are gone.

The genesis hashes of the networks known by name are checked too: a node that only claims to be on one of them is
found out. Test networks die (Goerli in 2024, Holesky in 2025), so a dead one is refused with what to use instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.errors import ChainRefused

NETWORKS = {"mainnet": 1, "sepolia": 11_155_111, "hoodi": 560_048}
GENESIS = {
    1: "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    11_155_111: "0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9",
    560_048: "0xbbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b",
}
REAL_MONEY = {
    1: "Ethereum mainnet", 10: "OP Mainnet", 56: "BNB Smart Chain", 100: "Gnosis Chain", 137: "Polygon",
    8453: "Base", 42161: "Arbitrum One", 43114: "Avalanche C-Chain", 59144: "Linea",
}  # fmt: skip
DEAD = {
    "morden": 2, "ropsten": 3, "rinkeby": 4, "goerli": 5, "kovan": 42, "kiln": 1_337_802, "holesky": 17_000,
    "mumbai": 80_001,
}  # fmt: skip
INSTEAD = "use sepolia (11155111) or hoodi (560048)"


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """What tells one chain from another.

    Parameters
    ----------
    chain_id : int
        EIP-155 chain id.
    genesis : str
        Hash of block 0, ``0x`` and 64 hexadecimal digits.
    """

    chain_id: int
    genesis: str

    def __str__(self) -> str:
        """Return both, for messages."""
        return f"chain {self.chain_id} (genesis {self.genesis[:18]}...)"


def chain_id_of(network: str) -> int:
    """Return the chain id of a network given by name or number.

    Raises
    ------
    ChainRefused
        If it is neither a known name nor a number above 0, or was shut down.
    """
    name = network.strip().lower()
    if name in DEAD:
        raise ChainRefused(f"the test network {name} was shut down; {INSTEAD}")
    if name in NETWORKS:
        return NETWORKS[name]
    if not (name.isascii() and name.isdigit()) or not 0 < int(name[:20]) < 2**53:
        raise ChainRefused(f"{network!r} is no known network; give {', '.join(NETWORKS)}, or a chain id such as 31337")
    return int(name)


def check_network(identity: ChainIdentity, host: str, expected: int | None, mean_mainnet: bool) -> None:
    """Return None if the chain that a node is on may be used.

    Parameters
    ----------
    identity : ChainIdentity
        What the node says it is.
    host : str
        Name of the node, for messages.
    expected : int or None
        Chain id that the user named; None: any but those refused.
    mean_mainnet : bool
        Whether chains on which transactions cost real money are meant.

    Raises
    ------
    ChainRefused
        If it may not, with what to do instead.
    """
    number = identity.chain_id
    dead = next((name for name, chain_id in DEAD.items() if chain_id == number), None)
    if dead is not None:
        raise ChainRefused(f"{host} is chain {number}, {dead}, which was shut down; {INSTEAD}")
    if expected is not None and number != expected:
        raise ChainRefused(f"{host} is chain {number}, and the network asked for is chain {expected}; check --rpc")
    if number in REAL_MONEY and not mean_mainnet:
        raise ChainRefused(
            f"{host} is chain {number}: {REAL_MONEY[number]} (mainnet), where transactions cost real money; "
            f"{INSTEAD}, or add --i-mean-mainnet"
        )
    if number in GENESIS and identity.genesis != GENESIS[number]:
        raise ChainRefused(
            f"{host} says it is chain {number}, but its genesis block is {identity.genesis[:18]}... and not "
            f"{GENESIS[number][:18]}...; do not trust this node"
        )

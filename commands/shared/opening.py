"""Opening of what options name in the ledger: keys, trust, chains, the log, the cache of digests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.shared.options import ChainToRead, ChainToWrite
from commands.shared.terminal import USAGE, ask_password, stop
from ledger.chains.account import load_account_key
from ledger.hashes.hashcache import HashCache
from ledger.paths import data_folder
from ledger.signing.keyring import trusted_keys, with_files
from ledger.signing.log import TransparencyLog
from ledger.signing.signer import Signer, load_signer
from ledger.signing.trust import Trust

if TYPE_CHECKING:
    from ledger.chains.chain import Chain


def open_signer(key: str, password_fd: int | None, certificate: Path | None = None) -> Signer:
    """Open a signing key; the password is asked for when the key needs one."""
    return load_signer(key, lambda: ask_password(password_fd), certificate)


def open_cache(no_cache: bool = False) -> HashCache | None:
    """Return the cache of digests of this machine, or None."""
    return None if no_cache else HashCache(data_folder() / "hashes.sqlite")


def open_log() -> TransparencyLog:
    """Return the log of what was signed on this machine."""
    return TransparencyLog(data_folder() / "log.sqlite")


def open_trust(extra: list[Path] | None = None) -> Trust:
    """Return what this machine trusts, and the public keys and authorities of the options."""
    return with_files(trusted_keys(), extra or [])


def open_chain_to_read(options: ChainToRead) -> Chain | None:
    """Open a chain to read; None when it is the default embedded one and was never written to."""
    if options.rpc is None and not (options.chain_dir or data_folder() / "chain").exists():
        return None
    return _open_chain(options, mean_mainnet=True)  # reading costs nothing


def open_chain_to_write(options: ChainToWrite) -> Chain:
    """Open the chain that the options of a writing command name."""
    if options.account is not None and options.rpc is None:
        stop("--account pays for --rpc; the embedded chain has an account of its own", USAGE)
    account_key = None
    if options.rpc is not None:
        password = ask_password(options.password_fd) if options.account else None
        account_key = load_account_key(options.account, password)
    limits = {name: getattr(options, name) for name in ("network", "mean_mainnet", "max_fee_gwei")}
    return _open_chain(options, account_key=account_key, **limits)


def _open_chain(options: ChainToRead, **others: Any) -> Chain:
    from ledger.chains.opening import open_chain  # its hash function takes 0.1 s to import

    return open_chain(chain_dir=options.chain_dir, rpc=options.rpc, **others)

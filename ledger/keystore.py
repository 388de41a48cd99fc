"""The Ethereum account that anchors: a keystore file, version 3 (Web3 Secret Storage).

Written with scrypt (n = 262,144, r = 8, p = 1), mode 0600, under the same rules as signing keys. Reading is
`ledger.rpc.load_account_key`; here the file's mode is checked before.
"""

from __future__ import annotations

import stat
from pathlib import Path

from ledger.digest import canonical_json, write_atomic
from ledger.errors import ExtraMissing, KeyUnusable
from ledger.rpc import load_account_key

__all__ = ["create_account", "load_account"]

SCRYPT_N = 262_144


def create_account(file: Path, password: str) -> str:
    """Make an account, write its keystore, and return its checksummed address.

    Raises
    ------
    KeyUnusable
        For an empty password, or if the file exists.
    ExtraMissing
        Without eth-account.
    LedgerError
        If it cannot be written.
    """
    if not password:
        raise KeyUnusable("the password is empty; a private key is only written encrypted")
    if file.exists():
        raise KeyUnusable(f"{file} exists already, and keys are never overwritten; choose another place")
    try:
        from eth_account import Account
    except ModuleNotFoundError:
        raise ExtraMissing("eth-account is not installed; install it with: pip install 'contraste[chain]'") from None
    account = Account.create()
    keystore = Account.encrypt(account.key, password, kdf="scrypt", iterations=SCRYPT_N)
    write_atomic(file, canonical_json(keystore) + b"\n", mode=0o600, overwrite=False)
    return str(account.address)


def load_account(file: Path, password: str) -> bytes:
    """Return the 32 bytes of an account's private key; raises `KeyUnusable` as `load_account_key` does."""
    if file.exists() and (mode := file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyUnusable(f"{file} can be read by others (mode {mode & 0o777:04o}); take that away: chmod 600 {file}")
    key = load_account_key(file, password)
    if key is None:
        raise KeyUnusable(f"{file} holds no account")
    return key

"""The Ethereum account that pays: making one, and where its private key comes from.

A keystore is a file of version 3 (Web3 Secret Storage), written with scrypt (n = 262,144, r = 8, p = 1) and mode 0600,
under the same rules as signing keys: never without a password, never where others can read it.
"""

from __future__ import annotations

import os
from pathlib import Path

from ledger.errors import KeyUnusable, LedgerError, requires_extra
from ledger.hashes.digest import canonical_json, read_json, write_atomic
from ledger.signing.keys import refuse_shared

ACCOUNT_VARIABLE = "CONTRASTE_ETH_KEY"
SCRYPT_N, MAX_SCRYPT_N = 2**18, 2**20
MAX_ROUNDS = 2**22  # of PBKDF2; Ethereum's clients write 262,144
# Accounts of the mnemonic "test test ... junk", whose keys every developer has: whoever sends them money loses it.
PUBLIC_ACCOUNTS = {
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
    "0x976EA74026E726554dB657fA54763abd0C3a0aa9", "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f", "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
}  # fmt: skip


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
    with requires_extra():
        from eth_account import Account
    account = Account.create()
    keystore = Account.encrypt(account.key, password, kdf="scrypt", iterations=SCRYPT_N)
    write_atomic(file, canonical_json(keystore) + b"\n", mode=0o600, overwrite=False)
    return str(account.address)


def load_account_key(keystore: Path | None = None, password: str | None = None) -> bytes | None:
    """Return the private key of the Ethereum account that pays.

    Parameters
    ----------
    keystore : Path, optional
        Encrypted keystore file, version 3. Without it, the environment variable ``CONTRASTE_ETH_KEY`` is
        read: 64 hexadecimal digits, with or without ``0x``.
    password : str, optional
        Password of the keystore.

    Returns
    -------
    bytes or None
        32 bytes; None if neither a keystore nor the variable is given.

    Raises
    ------
    KeyUnusable
        If the keystore is unreadable, readable by others or malformed, the password is wrong or absent, or the
        variable is not a key. The message never holds the key.
    """
    if keystore is None:
        text = os.environ.get(ACCOUNT_VARIABLE, "")
        if not text:
            return None
        try:
            key = bytes.fromhex(text.strip().removeprefix("0x"))
        except ValueError:
            key = b""
        if len(key) != 32 or not any(key):
            raise KeyUnusable(f"{ACCOUNT_VARIABLE} is not a private key (64 hexadecimal digits)")
        return key
    return load_keystore(keystore, password or "")


def load_keystore(file: Path, password: str) -> bytes:
    """Return the 32 bytes of the private key in a keystore; raises `KeyUnusable` as `load_account_key` does."""
    if not password:
        raise KeyUnusable(f"the keystore {file} needs a password")
    if file.exists():
        refuse_shared(file)
    with requires_extra():
        from eth_keyfile.keyfile import decode_keyfile_json
    try:
        content = read_json(file)
        if int(content["crypto"]["kdfparams"].get("n", 0)) > MAX_SCRYPT_N:
            raise KeyUnusable(f"{file}: scrypt n is over {MAX_SCRYPT_N}")
        for name, most in (("r", 64), ("p", 64), ("c", MAX_ROUNDS)):
            if int(content["crypto"]["kdfparams"].get(name, 0)) > most:
                raise KeyUnusable(f"{file}: {name} of the key's derivation is over {most}")
        return bytes(decode_keyfile_json(content, password.encode()))
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise KeyUnusable(f"{file} does not open: {error}; check the password and the file") from None
    except LedgerError as error:
        raise KeyUnusable(str(error)) from None

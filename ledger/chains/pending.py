"""The record of a transaction that was signed and whose receipt is not known yet.

It is written before the transaction is broadcast and removed once its fate is known, so that a program that dies in
between neither forgets the transaction nor sends another one: the same signed bytes can be broadcast any number of
times, and are mined at most once (the nonce, EIP-2681). An account has one such record for each chain, under a lock
that processes of this machine share.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ledger.errors import ChainUnreachable, LedgerError, Malformed
from ledger.hashes.digest import canonical_json, read_json, write_atomic
from ledger.paths import make_folder


@dataclass(frozen=True, slots=True)
class Pending:
    """A signed transaction.

    Parameters
    ----------
    transaction : str
        Its hash.
    nonce : int
        Nonce of the account.
    to : str
        Address of the contract called, empty for a deployment.
    data : str
        Call data, ``0x...``.
    max_fee_wei, priority_fee_wei : str
        Fees per gas (EIP-1559), as decimal digits.
    raw : str
        The signed bytes, ``0x...``.
    deploys : str
        Name of the contract deployed, empty for none.
    """

    transaction: str
    nonce: int
    to: str
    data: str
    max_fee_wei: str
    priority_fee_wei: str
    raw: str
    deploys: str

    def write(self, file: Path) -> None:
        """Write the record, flushed to the disk."""
        make_folder(file.parent)
        write_atomic(file, canonical_json(asdict(self)) + b"\n", mode=0o600)

    @classmethod
    def read(cls, file: Path) -> Pending | None:
        """Read the record, None if there is none.

        Raises
        ------
        Malformed
            If it is damaged.
        """
        if not file.exists():
            return None
        value = read_json(file)
        if (
            not isinstance(value, dict)
            or set(value) != {field.name for field in fields(cls)}
            or any(not isinstance(value[field.name], int if field.name == "nonce" else str) for field in fields(cls))
            or not (value["max_fee_wei"] + value["priority_fee_wei"]).isdecimal()
        ):
            raise Malformed(
                f"{file}: not a record of a pending transaction; look up the account's last transaction in a block "
                "explorer, then delete the file"
            )
        return cls(**value)


@contextmanager
def lock_account(file: Path, account: str) -> Iterator[None]:
    """Hold the lock of an account, waiting for other processes; it goes with the process that holds it.

    Raises
    ------
    ChainUnreachable
        If the file cannot be locked, as on some network file systems.
    """
    make_folder(file.parent)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot write {file}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise ChainUnreachable(f"cannot lock {file} for the account {account}: {error.strerror}") from None
        yield
    finally:
        os.close(descriptor)

"""Errors of the ledger; a subclass exists only where a caller acts differently."""

# ruff: noqa: N818 - named for what is wrong; every one of them is a LedgerError

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.manifest import ManifestDiff

__all__ = [
    "ChainRefused",
    "ChainUnreachable",
    "ContractMismatch",
    "ExtraMissing",
    "KeyUnusable",
    "LedgerError",
    "Malformed",
    "ManifestMismatch",
    "NotFinal",
    "PathRefused",
    "SignatureInvalid",
    "TimeStampUnavailable",
    "Unsigned",
]


class LedgerError(Exception):
    """Base of every error of the ledger; the message says what, which value, which rule and what to do."""


class PathRefused(LedgerError):
    """A path cannot be read, or is of a kind that is never hashed (symlink, device, non-UTF-8 name)."""


class Malformed(LedgerError):
    """A signature, provenance record or anchor file does not follow its format."""


class SignatureInvalid(LedgerError):
    """A signature does not belong to the payload and the key."""


class ManifestMismatch(LedgerError):
    """Files are not what was signed.

    Parameters
    ----------
    message : str
        What was compared, for people.
    diff : ManifestDiff
        Names that are missing, extra or changed.
    """

    def __init__(self, message: str, diff: ManifestDiff) -> None:
        super().__init__(f"{message}: {diff}")
        self.diff = diff


class Unsigned(LedgerError):
    """A path has no signature beside it, which is less than a wrong one."""


class KeyUnusable(LedgerError):
    """A key file is absent, unreadable, unencrypted, of another curve, or the password is wrong."""


class ChainUnreachable(LedgerError):
    """The chain did not answer, is locked by another process, or its database is damaged."""


class ChainRefused(LedgerError):
    """The chain answered and said no: wrong chain, no contract, no funds, or a reverted transaction."""


class ContractMismatch(ChainRefused):
    """The code at a contract's address is not ours, so its answers say nothing."""


class NotFinal(LedgerError):
    """A transaction was sent, and no block held it before the time limit; it may still be mined."""


class ExtraMissing(LedgerError):
    """An optional part of the installation is absent."""


class TimeStampUnavailable(LedgerError):
    """A time stamping authority did not answer, or its answer is no time stamp of what was asked."""

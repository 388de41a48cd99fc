"""Errors of the ledger; a subclass exists only where a caller acts differently."""

# ruff: noqa: N818 - named for what is wrong; every one of them is a LedgerError

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 2000  # characters of a message


class LedgerError(Exception):
    """Base of every error of the ledger; the message says what, which value, which rule and what to do.

    `code` names the kind of fault for programs: it stands at the link of a verification.
    """

    code = "error"

    def __init__(self, message: str) -> None:
        if len(message) > LONGEST:  # it may quote a file of megabytes
            message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
        super().__init__(message)


class PathRefused(LedgerError):
    """A path cannot be read, or is of a kind that is never hashed (symlink, device, non-UTF-8 name)."""

    code = "path-refused"


class LinkRefused(PathRefused):
    """A path is a symlink, or holds one: what it leads to is not looked at, so nothing is said about it."""

    code = "link-refused"


class Malformed(LedgerError):
    """A signature, provenance record or anchor file does not follow its format."""

    code = "malformed"


class SignatureInvalid(LedgerError):
    """A signature does not belong to the payload and the key."""

    code = "signature-invalid"


class SignerUnknown(SignatureInvalid):
    """The signer's key or certificate is not trusted here; whether the signature fits was not asked."""

    code = "signer-unknown"


class KeyRevoked(SignatureInvalid):
    """The signer's key was revoked, and nothing trusted shows that the signature is older."""

    code = "key-revoked"


class LogBroken(LedgerError):
    """The transparency log does not hold what was put in, or does not only grow."""

    code = "log-broken"


class LogIncomplete(LogBroken):
    """The transparency log, or entries of it, are not there any more."""

    code = "log-incomplete"


class Unsigned(LedgerError):
    """A path has no signature beside it, which is less than a wrong one."""

    code = "unsigned"


class KeyUnusable(LedgerError):
    """A key file is absent, unreadable, unencrypted, of another curve, or the password is wrong."""

    code = "key-unusable"


class ChainUnreachable(LedgerError):
    """The chain did not answer, is locked by another process, or its database is damaged."""

    code = "chain-unreachable"


class ChainRefused(LedgerError):
    """The chain answered and said no: wrong chain, no contract, no funds, or a reverted transaction."""

    code = "chain-refused"


class ContractMismatch(ChainRefused):
    """The code at a contract's address is not ours, so its answers say nothing."""

    code = "contract-mismatch"


class NotFinal(LedgerError):
    """A transaction was sent, and no block held it before the time limit; it may still be mined."""

    code = "not-final"


class ExtraMissing(LedgerError):
    """An optional part of the installation is absent."""

    code = "extra-missing"


class TimeStampUnavailable(LedgerError):
    """A time stamping authority did not answer, or its answer is no time stamp of what was asked."""

    code = "time-stamp-unavailable"


@contextmanager
def requires_extra() -> Iterator[None]:
    """Turn an import that fails for want of the extra ``chain`` into `ExtraMissing`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"the package {error.name} is not installed; install it with: pip install 'contraste[chain]'"
        ) from None

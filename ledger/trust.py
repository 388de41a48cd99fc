"""Whom a signature is believed from: trusted keys, trusted certificate authorities, and what was revoked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["Revocation", "Trust"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key that does not count any more.

    Parameters
    ----------
    key : str
        Its key id.
    since : datetime
        From this moment on, inclusive, its signatures are not to be believed.
    reason : str
        For people.
    """

    key: str
    since: datetime
    reason: str


class Trust(Mapping[str, ec.EllipticCurvePublicKey]):
    """The trusted keys by key id, and with them the trusted roots and the revocations.

    Parameters
    ----------
    keys : mapping of str to public key
        Trusted keys.
    roots : tuple of x509.Certificate
        Trusted authorities, of signers and of time stamps.
    revoked : mapping of str to Revocation
        By key id; a key may be revoked without being trusted.
    """

    def __init__(
        self,
        keys: Mapping[str, ec.EllipticCurvePublicKey],
        roots: tuple[x509.Certificate, ...] = (),
        revoked: Mapping[str, Revocation] | None = None,
    ) -> None:
        self.keys_by_id = dict(keys)
        self.roots = roots
        self.revoked = dict(revoked or {})

    @classmethod
    def of(cls, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> Trust:
        """Return `keys` itself if it is a `Trust`, else one of these keys alone."""
        return keys if isinstance(keys, Trust) else cls(keys)

    def __getitem__(self, identifier: str) -> ec.EllipticCurvePublicKey:
        """Return the trusted key with this id."""
        return self.keys_by_id[identifier]

    def __iter__(self) -> Iterator[str]:
        """Yield the ids of the trusted keys."""
        return iter(self.keys_by_id)

    def __len__(self) -> int:
        """Return how many keys are trusted."""
        return len(self.keys_by_id)

"""How far AI contributed to a track, role by role.

One table serves tokens (`ledger.anchors.token_metadata`) and DDEX (`ledger.exchange.ddex`). The roles are
the five areas in which services show AI credits, the shares those of DDEX, *None*, *Partly* and *All*, in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.errors import LedgerError

ROLES = ("composition", "lyrics", "vocals", "instrumentation", "post-production")
SHARES = ("none", "partly", "all")
BY_A_MODEL = {"composition": "all", "instrumentation": "all"}
"""What AI did where a model made the track and nothing else is said: it wrote the notes and played them."""


def join_roles(stated: Mapping[str, str], *, by_model: bool) -> dict[str, str]:
    """Return the share of AI in each role, in the order of `ROLES`; roles of which nothing is known are left out.

    Parameters
    ----------
    stated : mapping of str to str
        From `ROLES` to `SHARES`; takes precedence over `BY_A_MODEL`.
    by_model : bool
        Whether the track's record names a model that made it.

    Raises
    ------
    LedgerError
        For a role or share that there is not, and for a composition without AI where a model made the track.
    """
    for role, share in stated.items():
        if role not in ROLES or share not in SHARES:
            raise LedgerError(
                f"AI disclosure {role}={share}: the role is one of {', '.join(ROLES)}, and the share one of "
                f"{', '.join(SHARES)}"
            )
    shares = (BY_A_MODEL if by_model else {}) | dict(stated)
    if by_model and shares["composition"] == "none":
        raise LedgerError("AI disclosure composition=none: the track's record names a model that made it")
    return {role: shares[role] for role in ROLES if role in shares}

"""What a verification says: links, each with a verdict and a code, and what is assured.

`ledger.verify` walks them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

LinkVerdict = Literal["ok", "simulated", "pending", "absent", "unchecked", "missing", "broken"]
"""Verdict of a link.

ok
    Checked, and right.
simulated
    An anchor that holds, on the embedded chain.
pending
    An anchor that is on the chain, in a block that is not finalized yet.
absent
    Nothing there to check, and nothing says that there should be: not anchored; the policy file is not at hand.
unchecked
    It could not be checked: the chain was not asked, did not answer, or is another chain; a file is of a kind that
    can't be looked into.
missing
    A signature, a material, an anchor or a token is not there, and it is demanded, or something says that it was; the
    chain does not hold the anchor (any more).
broken
    It is wrong.
"""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain of provenance.

    Parameters
    ----------
    name : str
        ``report``, ``track``, ``run``, ``model``, ``data set``, ``policy``, ``folder``, ``file``, ``contributions``,
        ``time stamp``, ``anchor``, ``token``, ``key`` (only where it is revoked or expired, or an account is bound to
        it), ``credential``, ``log``, ``page``.
    subject : str
        The path it is about, or the name of a material that was not found.
    verdict : str
        See `LinkVerdict`.
    detail : str
        Why, in one line for people.
    code : str
        Why, for programs: ``ok``, or the `code` of the error in `ledger.errors`, or a word of this module.
    """

    name: str
    subject: str
    verdict: LinkVerdict
    detail: str
    code: str = "ok"

    @property
    def needs_chain(self) -> bool:
        """Whether only a chain that was not asked can tell."""
        return self.code == "chain-not-asked"


@dataclass(frozen=True, slots=True)
class Assured:
    """An artefact that is as a trusted signer signed it.

    Parameters
    ----------
    name, subject : str
        As of its link.
    signer : str
        What made the signature trusted: a key by its id, or the name in a certificate whose chain was checked.
    since : str or None
        RFC 3339: before this moment it was signed, by somebody other than the signer (a block, or a time stamp);
        None where only the signer could say.
    """

    name: str
    subject: str
    signer: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The links of one artefact, in walking order.

    Parameters
    ----------
    path : Path
        What was verified.
    links : tuple of Link
        At least one.
    assured : tuple of Assured
        What is as signed, from `path` back.
    key : str
        Id of the key by whose signature `path` was checked, or "".
    """

    path: Path
    links: tuple[Link, ...]
    assured: tuple[Assured, ...] = ()
    key: str = ""

    @property
    def signer(self) -> str:
        """Id of the trusted key by which `path` is as it was signed; "" where there is a doubt."""
        first = self.links[0]
        own = [link for link in self.links if link.subject == first.subject and link.name in ("key", "log")]
        doubt = first.verdict != "ok" or any(link.verdict in ("broken", "missing", "unchecked") for link in own)
        return "" if doubt else self.key

    @property
    def assurance(self) -> str:
        """What is assured, in one line for people: who signed what, from where to where, since when; "" if nothing."""
        parts = []
        for signer in dict.fromkeys(one.signer for one in self.assured):
            what = [f"{one.name} {Path(one.subject).name}" for one in self.assured if one.signer == signer]
            parts.append(f"{', '.join(what)} by {signer}")
        if not parts:
            return ""
        since = self.assured[0].since
        return f"{'; '.join(parts)}; " + (f"there before {since}" if since else "since when, only the signer says")

    @property
    def verdict(self) -> Literal["ok", "incomplete", "broken"]:
        """``broken`` if any link is; else ``incomplete`` if one is missing or unchecked; else ``ok``."""
        verdicts = {link.verdict for link in self.links}
        if "broken" in verdicts:
            return "broken"
        return "incomplete" if verdicts & {"missing", "unchecked"} else "ok"

    @property
    def fault(self) -> Link | None:
        """The first broken link, or else the first that is missing or unchecked; None if there is none."""
        for verdicts in (("broken",), ("missing", "unchecked")):
            for link in self.links:
                if link.verdict in verdicts:
                    return link
        return None

    @property
    def needs_chain(self) -> tuple[Link, ...]:
        """The links that only a chain can tell, which was not asked."""
        return tuple(link for link in self.links if link.needs_chain)

    def to_json(self) -> dict[str, Any]:
        """Return path, verdict, index of the first fault (or None), what is assured, and all links as a JSON object."""
        links = [asdict(link) | {"needs_chain": link.needs_chain} for link in self.links]
        fault = None if self.fault is None else self.links.index(self.fault)
        assured = [asdict(one) for one in self.assured]
        return {
            "path": str(self.path), "verdict": self.verdict, "fault": fault, "assured": assured, "links": links
        }  # fmt: skip

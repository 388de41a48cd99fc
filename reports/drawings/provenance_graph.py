"""Provenance as a graph: from the data set over model and track to the anchor, each with the checks that concern it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from audit.findings import Link

CHECKS = ("anchor", "token", "time stamp", "key", "credential", "log", "run", "contributions", "policy")
BY_HAND = {
    "anchor": "contraste verify {0} --rpc URL",
    "token": "contraste verify {0} --rpc URL",
    "time stamp": "contraste verify {0} --key PUBLIC.pem",
    "credential": "c2patool {0}",
    "policy": "sha256sum {0}",
}


@dataclass(slots=True)
class Node:
    """An artefact with its own link and those of the checks on it."""

    link: Link
    checks: list[Link] = field(default_factory=list)


def chain(links: Sequence[Link]) -> list[Node]:
    """Group links by artefact, as the audit gives them from the track back, into the order of making."""
    nodes: list[Node] = []
    for link in links:
        if link.name in CHECKS and nodes:
            nodes[-1].checks.append(link)
        else:
            nodes.append(Node(link))
    return nodes[::-1]


def by_hand(link: Link) -> str:
    """Return the command that checks a link again, for a shell in the artefact's folder."""
    return BY_HAND.get(link.name, "contraste verify {0} --key PUBLIC.pem").format(shlex.quote(link.subject))

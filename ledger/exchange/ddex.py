"""AI disclosure of a track for distributors: the AI fields of DDEX ERN 4.3.2, as a fragment of a message.

The fragment is one ``SoundRecording`` with what this program knows of it. Identifiers, artists and deals are the
distributor's to add, so it is no whole message and can't be checked against the whole schema. What the schema says
of the AI fields in words is checked by `check_ai_fields`:

- ``SoundRecording/ContainsAI`` *All*: only contributors of type *GenerativeAI*;
- *None*: no contributor with ``AiContribution`` *Partly* or *All*, which *GenerativeAI* has by default;
- ``Contributor/AiContribution``: *All* for *GenerativeAI*, and *None* or *Partly* for a party.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from ledger.ai_roles import join_roles
from ledger.errors import LedgerError, Malformed
from ledger.provenance.record import read_record

NAMESPACE = "http://ddex.net/xml/ern/432"
CONTRIBUTORS = {
    "composition": "Composer",
    "lyrics": "Lyricist",
    "vocals": "Vocalist",
    "instrumentation": "Musician",
    "post-production": "Mixer",
}
"""DDEX's name of who does what each of `ledger.ai_roles.ROLES` says."""
VALUES = ("None", "Partly", "All")
GENERATIVE = "GenerativeAI"


def disclosure_xml(track: Path, stated: Mapping[str, str]) -> bytes:
    """Return the fragment for a track.

    Parameters
    ----------
    track : Path
        Its name becomes the title; its record tells whether a model made it.
    stated : mapping
        What AI did, see `ledger.ai_roles.join_roles`. What people did, alone or with help, is credited to the party
        ``P<contributor>``, which the message's party list has to name.

    Raises
    ------
    LedgerError
        Where neither the record nor `stated` says anything, or they contradict one another.
    Malformed
        If the name can't stand in XML.
    """
    record = read_record(track)
    by_model = record is not None and record.by_model
    shares = {role: share.capitalize() for role, share in join_roles(stated, by_model=by_model).items()}
    if not shares:
        raise LedgerError(f"{track}: no record says that a model made it; say what AI did with --ai ROLE=SHARE")
    title = track.stem
    if re.search(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", title):
        raise Malformed(f"{track}: the name {title!r} holds characters that XML does not allow; rename the file")
    ElementTree.register_namespace("ern", NAMESPACE)
    recording = ElementTree.Element(f"{{{NAMESPACE}}}SoundRecording")

    def add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
        element = ElementTree.SubElement(parent, name)  # ERN qualifies only its outermost elements
        element.text = text or None
        return element

    add(recording, "ResourceReference", "A1")
    add(recording, "Type", "MusicalWorkSoundRecording")
    add(recording, "DisplayTitleText", title)
    add(add(recording, "DisplayTitle"), "TitleText", title)
    for role, value in shares.items():
        contributor = add(recording, "Contributor")
        if value == "All":
            add(contributor, "SpecialContributor", GENERATIVE)
        else:
            add(contributor, "ContributorPartyReference", f"P{CONTRIBUTORS[role]}")
        add(contributor, "Role", CONTRIBUTORS[role])
        add(contributor, "AiContribution", value)
    add(recording, "ContainsAI", _contains(shares))
    check_ai_fields(recording)
    ElementTree.indent(recording, " ")
    content: bytes = ElementTree.tostring(recording, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _contains(shares: Mapping[str, str]) -> str:
    """Return what AI did in the whole; every recording has a composition and somebody who plays it."""
    values = {*shares.values(), *("None" for role in ("composition", "instrumentation") if role not in shares)}
    return values.pop() if len(values) == 1 else "Partly"


def check_ai_fields(recording: ElementTree.Element) -> None:
    """Return None if the AI fields of a ``SoundRecording`` agree with one another; raises `Malformed`."""
    contains = recording.findtext("ContainsAI")
    if contains is not None and contains not in VALUES:
        raise Malformed(f"ContainsAI is {contains!r}; it is one of {', '.join(VALUES)}")
    for contributor in recording.iter("Contributor"):
        role = contributor.findtext("Role") or "without a role"
        generative = contributor.findtext("SpecialContributor") == GENERATIVE
        value = contributor.findtext("AiContribution") or ("All" if generative else "None")
        if value not in (("All",) if generative else ("None", "Partly")):
            rule = "All for GenerativeAI, None or Partly for a party"
            raise Malformed(f"contributor {role}: AiContribution is {value}; it is {rule}")
        if contains == "All" and not generative:
            raise Malformed(f"contributor {role}: ContainsAI is All, so every contributor is GenerativeAI")
        if contains == "None" and value != "None":
            raise Malformed(f"contributor {role}: ContainsAI is None, and AiContribution is {value}")

"""The disclosure pack: what distributors and services ask about AI in a track, as files of a folder of their own.

``summary.md``
    All of it in words, with what is not known and why.
``c2pa.json``
    The credentials of the track and the files that belong to it.
``ddex.xml``
    The AI fields of DDEX ERN 4.3.2 (`ledger.exchange.ddex`); missing where the roles are not known.
``spotify.json``
    AI in each of the five roles that Spotify's song credits show: none, partly, all, or unknown.
``apple.json``
    Apple's Transparency Tags, true where AI made a material portion; null is unknown, and not "none".
``model_card.md``, ``data_sheet.md``
    The model and the corpus, from their records.

Spotify and Apple take these fields with a distributor's delivery and publish no file of their own for them, so the JSON
is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.disclosure import ROLES, Disclosure
from audit.report import AuditReport
from reports.checks import short
from reports.exports.markdown import escaped
from reports.json_report import canonical

FOLDER, UNKNOWN = "disclosure", "unknown"
RECORDED = ("vocals", "instrumentation", "post-production")
"""Roles that Apple's tag for the track, the recording, covers."""
MOST = 20  # entries of a distribution; the others are counted together


def disclosure_files(report: AuditReport, found: Disclosure) -> dict[str, bytes]:
    """Return the files of the pack by their place beside the report; the same input gives the same bytes.

    Raises
    ------
    reports.json_report.ReportError
        When a credential holds what JSON cannot carry.
    """
    files = {
        "summary.md": _summary(report, found).encode(),
        "c2pa.json": canonical({"schema": "contraste-c2pa/1", "track": _track(report), **_c2pa(found)}),
        "spotify.json": canonical(
            {
                "schema": "contraste-spotify-credits/1",
                "track": _track(report),
                "credits": [{"role": role, "ai": found.roles.get(role, UNKNOWN)} for role in ROLES],
                "unknown": _reasons(found, "roles"),
            }
        ),
        "apple.json": canonical(
            {
                "schema": "contraste-apple-transparency/1",
                "track": _track(report),
                "ai_transparencies": apple_tags(found.roles),
                "unknown": {
                    **_reasons(found, "roles"),
                    "artwork": "not part of what was audited",
                    "music_video": "not part of what was audited",
                },
            }
        ),
        "model_card.md": _model_card(found).encode(),
        "data_sheet.md": _data_sheet(report, found).encode(),
    }
    if found.ddex:
        files["ddex.xml"] = found.ddex
    return {f"{FOLDER}/{name}": content for name, content in files.items()}


def apple_tags(roles: Mapping[str, str]) -> dict[str, bool | None]:
    """Return Apple's tags: whether AI made a material portion of composition, recording, artwork and video."""
    shares = [roles.get(role) for role in RECORDED]
    recording = True if {"partly", "all"} & set(shares) else False if set(shares) == {"none"} else None
    composed = roles.get("composition")
    return {
        "composition": None if composed is None else composed != "none",
        "track": recording,
        "artwork": None,
        "music_video": None,
    }


def _track(report: AuditReport) -> dict[str, str]:
    return {name: str(report.track.get(name, "")) for name in ("name", "sha256")}


def _reasons(found: Disclosure, *about: str) -> dict[str, str]:
    return {name: short(found.unknown[name]) for name in about if name in found.unknown}


def _c2pa(found: Disclosure) -> dict[str, Any]:
    files = [
        {"file": c.file, "verdict": c.verdict, "detail": short(c.detail), "says": c.says} for c in found.credentials
    ]
    return {"files": files, "unknown": _reasons(found, "credential")}


def _summary(report: AuditReport, found: Disclosure) -> str:
    lines = [
        f"# AI in {escaped(str(report.track.get('name', 'track')))}",
        "",
        f"SHA-256 {escaped(str(report.track.get('sha256', UNKNOWN)))}",
        "",
        "| role | AI |",
        "| --- | --- |",
        *(f"| {role} | {found.roles.get(role, UNKNOWN)} |" for role in ROLES),
        "",
        "## Credentials (C2PA)",
        "",
        *(f"- {escaped(c.file)}: {escaped(c.verdict)}: {escaped(c.detail)}" for c in found.credentials),
        *([] if found.credentials else [f"- {UNKNOWN}: {escaped(found.unknown.get('credential', ''))}"]),
        "",
        "## What people did",
        "",
        *(
            f"- {escaped(e['time'])} {escaped(e['kind'])} by {escaped(e['author']) or UNKNOWN}: {escaped(e['text'])}"
            for e in found.contributions
        ),
        *([] if found.contributions else [f"- {UNKNOWN}: {escaped(found.unknown.get('contributions', ''))}"]),
        "",
        "## What is not known",
        "",
        *(f"- {name}: {escaped(reason)}" for name, reason in sorted(found.unknown.items())),
        "- artwork, music video: not part of what was audited",
        "",
    ]
    return "\n".join(lines)


def _model_card(found: Disclosure) -> str:
    lines = ["# Model card", ""]
    if not found.model:
        return "\n".join([*lines, f"Nothing is known of the model: {escaped(found.unknown.get('model', ''))}.", ""])
    component = found.model["metadata"]["component"]
    card = component["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    lines += [
        f"- name: {escaped(component['name'])}",
        f"- digest: {component['hashes'][0]['content']} (SHA-256, OpenSSF model signing 1.0 root)",
        f"- task: {card['modelParameters']['task']}, {card['modelParameters']['architectureFamily']}",
        "",
        "## Learned from",
        "",
        *(f"- {escaped(d['name'])} {d['hashes'][0]['content']}" for d in found.model["components"]),
        *([] if found.model["components"] else [f"- {UNKNOWN}: the model's record names no data set"]),
        "",
        "## What it reached",
        "",
        *(f"- {escaped(m['slice'])}: {escaped(m['type'])} {escaped(m['value'])}" for m in metrics),
        *([] if metrics else [f"- {UNKNOWN}: the folder holds no training report"]),
        "",
        "## Settings",
        "",
        *(f"- {escaped(p['name'])}: {escaped(p['value']) or 'none'}" for p in component["properties"]),
        "",
        "## Intended use and limits",
        "",
        "- It writes music as notes, in the style of its data set; it was made for nothing else.",
        "- Whether it repeats what it learned from is not measured here: `contraste evaluate` probes that.",
        f"- Bias, energy and risks: {UNKNOWN}; its record says nothing of them.",
        "",
    ]
    return "\n".join(lines)


def _data_sheet(report: AuditReport, found: Disclosure) -> str:
    census = found.census
    lines = [
        f"# Data sheet: {escaped(str(report.store.get('name', 'store')))}",
        "",
        f"The corpus that the track was compared with. Digest: {escaped(str(report.store.get('digest', UNKNOWN)))}.",
        "",
        f"- pieces: {census.pieces:,}, {census.works:,} different works ({census.duplicates:,} duplicates)",
        f"- notes: {census.notes:,}; {census.hours:.1f} hours; recordings: {census.recordings:,}",
        f"- with a licence and a consent on file: {census.cleared:,} of {census.pieces:,}",
        f"- tempo: {census.tempos[1]:.0f} beats a minute in the middle, {census.tempos[0]:.0f} to "
        f"{census.tempos[2]:.0f} for nine in ten",
        "- a split never parts a work: duplicates are in the same one",
        f"- how and why it was collected, and by whom: {UNKNOWN}, beyond the sources below",
        "",
    ]
    for title, counts in (
        ("Licences", census.licences),
        ("Consents", census.consents),
        ("Sources", census.sources),
        ("Artists", census.artists),
        ("Split", census.splits),
        ("Keys", census.keys),
        ("Metres", census.meters),
    ):
        shown = list(counts.items())[:MOST]
        rest = sum(counts.values()) - sum(number for _, number in shown)
        lines += [f"## {title}", "", "| | pieces |", "| --- | --- |"]
        lines += [f"| {escaped(name, 100) or UNKNOWN} | {number:,} |" for name, number in shown]
        lines += [f"| {len(counts) - MOST} others | {rest:,} |"] if rest else []
        lines.append("")
    return "\n".join(lines)

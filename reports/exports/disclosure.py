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
from reports.exports.markdown import escape_text
from reports.json_report import canonical

FOLDER, UNKNOWN = "disclosure", "unknown"
RECORDED = ("vocals", "instrumentation", "post-production")
"""Roles that Apple's tag for the track, the recording, covers."""
MOST = 20  # entries of a distribution; the others are counted together


def disclosure_files(report: AuditReport, disclosure: Disclosure) -> dict[str, bytes]:
    """Return the files of the pack by their place beside the report; the same input gives the same bytes.

    Raises
    ------
    reports.json_report.ReportError
        When a credential holds what JSON cannot carry.
    """
    files = {
        "summary.md": _summary(report, disclosure).encode(),
        "c2pa.json": canonical({"schema": "contraste-c2pa/1", "track": _track(report), **_c2pa(disclosure)}),
        "spotify.json": canonical(
            {
                "schema": "contraste-spotify-credits/1",
                "track": _track(report),
                "credits": [{"role": role, "ai": disclosure.roles.get(role, UNKNOWN)} for role in ROLES],
                "unknown": _reasons(disclosure, "roles"),
            }
        ),
        "apple.json": canonical(
            {
                "schema": "contraste-apple-transparency/1",
                "track": _track(report),
                "ai_transparencies": apple_tags(disclosure.roles),
                "unknown": {
                    **_reasons(disclosure, "roles"),
                    "artwork": "not part of what was audited",
                    "music_video": "not part of what was audited",
                },
            }
        ),
        "model_card.md": _model_card(disclosure).encode(),
        "data_sheet.md": _data_sheet(report, disclosure).encode(),
    }
    if disclosure.ddex:
        files["ddex.xml"] = disclosure.ddex
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


def _reasons(disclosure: Disclosure, *about: str) -> dict[str, str]:
    return {name: short(disclosure.unknown[name]) for name in about if name in disclosure.unknown}


def _c2pa(disclosure: Disclosure) -> dict[str, Any]:
    files = [
        {"file": c.file, "verdict": c.verdict, "detail": short(c.detail), "says": c.says}
        for c in disclosure.credentials
    ]
    return {"files": files, "unknown": _reasons(disclosure, "credential")}


def _summary(report: AuditReport, disclosure: Disclosure) -> str:
    lines = [
        f"# AI in {escape_text(str(report.track.get('name', 'track')))}",
        "",
        f"SHA-256 {escape_text(str(report.track.get('sha256', UNKNOWN)))}",
        "",
        "| role | AI |",
        "| --- | --- |",
        *(f"| {role} | {disclosure.roles.get(role, UNKNOWN)} |" for role in ROLES),
        "",
        "## Credentials (C2PA)",
        "",
        *(
            f"- {escape_text(c.file)}: {escape_text(c.verdict)}: {escape_text(c.detail)}"
            for c in disclosure.credentials
        ),
        *([] if disclosure.credentials else [f"- {UNKNOWN}: {escape_text(disclosure.unknown.get('credential', ''))}"]),
        "",
        "## What people did",
        "",
        *(
            f"- {escape_text(e['time'])} {escape_text(e['kind'])} by {escape_text(e['author']) or UNKNOWN}: "
            f"{escape_text(e['text'])}"
            for e in disclosure.contributions
        ),
        *(
            []
            if disclosure.contributions
            else [f"- {UNKNOWN}: {escape_text(disclosure.unknown.get('contributions', ''))}"]
        ),
        "",
        "## What is not known",
        "",
        *(f"- {name}: {escape_text(reason)}" for name, reason in sorted(disclosure.unknown.items())),
        "- artwork, music video: not part of what was audited",
        "",
    ]
    return "\n".join(lines)


def _model_card(disclosure: Disclosure) -> str:
    lines = ["# Model card", ""]
    if not disclosure.model:
        return "\n".join(
            [*lines, f"Nothing is known of the model: {escape_text(disclosure.unknown.get('model', ''))}.", ""]
        )
    component = disclosure.model["metadata"]["component"]
    card = component["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    lines += [
        f"- name: {escape_text(component['name'])}",
        f"- digest: {component['hashes'][0]['content']} (SHA-256, OpenSSF model signing 1.0 root)",
        f"- task: {card['modelParameters']['task']}, {card['modelParameters']['architectureFamily']}",
        "",
        "## Learned from",
        "",
        *(f"- {escape_text(d['name'])} {d['hashes'][0]['content']}" for d in disclosure.model["components"]),
        *([] if disclosure.model["components"] else [f"- {UNKNOWN}: the model's record names no data set"]),
        "",
        "## What it reached",
        "",
        *(f"- {escape_text(m['slice'])}: {escape_text(m['type'])} {escape_text(m['value'])}" for m in metrics),
        *([] if metrics else [f"- {UNKNOWN}: the folder holds no training report"]),
        "",
        "## Settings",
        "",
        *(f"- {escape_text(p['name'])}: {escape_text(p['value']) or 'none'}" for p in component["properties"]),
        "",
        "## Intended use and limits",
        "",
        "- It writes music as notes, in the style of its data set; it was made for nothing else.",
        "- Whether it repeats what it learned from is not measured here: `contraste evaluate` probes that.",
        f"- Bias, energy and risks: {UNKNOWN}; its record says nothing of them.",
        "",
    ]
    return "\n".join(lines)


def _data_sheet(report: AuditReport, disclosure: Disclosure) -> str:
    census = disclosure.census
    lines = [
        f"# Data sheet: {escape_text(str(report.store.get('name', 'store')))}",
        "",
        "The corpus that the track was compared with. "
        f"Digest: {escape_text(str(report.store.get('digest', UNKNOWN)))}.",
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
        lines += [f"| {escape_text(name, 100) or UNKNOWN} | {number:,} |" for name, number in shown]
        lines += [f"| {len(counts) - MOST} others | {rest:,} |"] if rest else []
        lines.append("")
    return "\n".join(lines)

"""Which checks of a report bear on which rules and frameworks, and what the report shows for each.

A guide for people who have to answer for a release; it is no statement of conformity, and no legal advice. The Code of
Practice is the one on the transparency of AI-generated content, of June 2026, whose measures detail Article 50(2).
"""

from __future__ import annotations

from dataclasses import dataclass

from audit.report import AuditReport

SHOWN = ("ok", "simulated", "pending")


@dataclass(frozen=True, slots=True)
class Row:
    """A clause, what it asks for in a few words, and the `state` of the evidence: "ok", "part", "absent" or "open"."""

    framework: str
    clause: str
    asks: str
    state: str
    evidence: str


def crosswalk(report: AuditReport) -> list[Row]:
    """Read the state of each clause off the report."""
    links = {link.name: link.verdict for link in reversed(report.provenance)}
    signed = any(link.verdict in SHOWN for link in report.provenance[:1])
    credential, stamped = links.get("credential") == "ok", links.get("time stamp") == "ok"
    known = {finding.rights.get("consent", "") for finding in report.findings} - {"", "unknown"}
    copied = any(skip.check == "copy" for skip in report.skipped)
    marked = "ok" if credential else "part" if signed else "absent"
    mark = (
        "a content credential that holds"
        if credential
        else "a signed statement beside the track; no content credential"
        if signed
        else "the track is not signed"
    )
    logged = "ok" if links.get("log") == "ok" or links.get("anchor") in SHOWN else "part"
    origin = "ok" if {"model", "data set"} & set(links) and signed else "part" if signed else "absent"
    search = "part" if copied else "ok"
    return [
        Row("EU AI Act", "50(2)", "outputs are marked as AI-generated, machine-readable", marked, mark),
        Row(
            "Code of Practice",
            "1.1.1",
            "digitally signed and time-stamped metadata",
            "ok" if credential and stamped else marked if marked == "absent" else "part",
            "signature and time stamp hold" if credential and stamped else mark,
        ),
        Row("Code of Practice", "1.1.2", "an imperceptible watermark", "open", "not yet: contraste embeds none"),
        Row(
            "Code of Practice",
            "1.1.3",
            "fingerprinting or logging (optional)",
            logged,
            "the signature is in a log or on a chain" if logged == "ok" else "fingerprints of the corpus; no log entry",
        ),
        Row("EU AI Act", "53(1)(c)", "opt-outs of right holders are respected", "part", "rights of the pieces found"),
        Row("GDPR", "5(2), 24", "accountability: who did what can be shown", origin, "provenance, link by link"),
        Row(
            "GDPR",
            "6, 17",
            "a ground for each person's data, and erasure",
            "part" if known else "absent",
            "consent of the pieces found" if known else "no consent on file for the pieces found",
        ),
        Row("UNESCO", "37-41", "transparency and explainability", search, "each finding with its notes and its odds"),
        Row("UNESCO", "35-36", "human oversight", "ok", "verdicts are for people; reviews and waivers are named"),
        Row("ISO/IEC 42001", "A.7.5", "provenance of data", origin, "signed statements from data set to track"),
        Row("ISO/IEC 42001", "A.6.2.8", "event logs", logged, "provenance records, log and anchor"),
        Row("NIST AI RMF", "MAP 4.1", "risks to third parties' rights are mapped", search, "copy search, rights"),
        Row("NIST AI RMF", "MEASURE 2.8", "transparency and accountability", marked, mark),
        Row("NIST AI RMF", "MANAGE 1.3", "responses to risks are documented", "ok", "the policy, its rules, waivers"),
    ]

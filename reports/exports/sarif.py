"""report.sarif: SARIF 2.1.0 (OASIS, 2020), for the places where builds show what scanners found.

What is not clear becomes a result: "error" where the policy fails it, "warning" where people have to look. A required
check that was not made is a result of kind "open"; the other skipped ones are notifications. A fingerprint is made of
the rule, the finding's id and the digest of the track's notes: it stays as long as the same bars of the same piece
are found, whatever the file is called. A waiver is an external suppression. Bars and seconds stand in the properties of
the place, since a region of SARIF counts lines or bytes, and music has neither. The log is canonical JSON without a
clock.

Services keep the results of one category, which is what stands before the last slash of ``automationDetails.id``, until
the next log of that category comes (GitHub's code scanning closes those that it lacks). So each track is a category of
its own, by its path and not by its digest: the next version of the same track replaces this one's results, and those of
other tracks stay. Places are paths below the folder in which the audit ran, where the track lies there.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal
from urllib.parse import quote

from audit.findings import Finding, SoundMatch, Waiver
from audit.report import AuditReport
from reports.checks import Check, checks, short, waiver_words
from reports.json_report import canonical
from reports.language.translation import ENGLISH

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "contraste/v1"
LEVELS = {"fail": "error", "review": "warning"}
STATUS = {"applied": "accepted", "expired": "rejected", "unmatched": "rejected"}
HELP = {
    "copy": "A line of the track shares more notes with a piece of the corpus than style and chance explain. Listen to "
    "both passages in report.html; license the piece, write the passage anew, or have a person waive the finding.",
    "sound": "The track holds sound of the corpus, perhaps filtered or in another format. Listen to both; license the "
    "recording, record anew, or have a person waive the match.",
    "metrics": "A measure of likeness is past the threshold that the policy sets for it. Compare it with its chance "
    "level in report.html.",
    "provenance": "A link from the track back to its data set is broken or missing. 'contraste verify' tells more.",
}


def report_sarif(report: AuditReport) -> bytes:
    """Return report.sarif.

    Raises
    ------
    reports.json_report.ReportError
        When the report's dictionaries hold what JSON cannot carry.
    """
    every = checks(report)
    rules = list({check.rule: check for check in reversed(every)}.values())[::-1]
    index = {rule.rule: number for number, rule in enumerate(rules)}
    where = _artifact(report)
    shown = [check for check in every if check.state in ("fail", "review", "open")]
    missing = any(check.state == "open" for check in every)
    policy, digest = str(report.policy.get("name", "")), str(report.track.get("sha256", ""))
    return canonical(
        {
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {
                            "name": str(report.tool.get("name", "contraste")),
                            "version": str(report.tool.get("version", "")),
                            "rules": [_rule(check) for check in rules],
                        }
                    },
                    "automationDetails": {"id": f"contraste/{policy}/{_category(report)}/{digest}"},
                    "artifacts": [where],
                    "invocations": [
                        {
                            "executionSuccessful": not missing,
                            "toolExecutionNotifications": [
                                {
                                    "level": "error" if check.state == "open" else "note",
                                    "message": {"text": check.text},
                                    "associatedRule": {"id": check.rule, "index": index[check.rule]},
                                }
                                for check in every
                                if check.state in ("open", "skipped")
                            ],
                        }
                    ],
                    "results": [_result(check, index, report) for check in shown],
                    "properties": {
                        "outcome": report.outcome,
                        "sentence": short(report.sentence),
                        "policy": {name: report.policy.get(name, "") for name in ("name", "digest")},
                        "store": {name: report.store.get(name, "") for name in ("name", "digest")},
                    },
                }
            ],
        }
    )


def _rule(check: Check) -> dict[str, Any]:
    about = HELP.get(check.rule.partition(".")[0], f"A rule of the policy: {check.title}.")
    title = {"text": check.title or check.rule}
    return {"id": check.rule, "shortDescription": title, "fullDescription": title, "help": {"text": about}}


def _path(report: AuditReport) -> str:
    return str(report.track.get("path") or report.track.get("name", "track"))


def _category(report: AuditReport) -> str:
    """Name the track in so many characters that no other one is cut to the same name."""
    path = _uri(_path(report))
    return path if len(path) <= 150 else f"{path[:120]}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"


def _artifact(report: AuditReport) -> dict[str, Any]:
    name = _path(report)
    artifact: dict[str, Any] = {"location": {"uri": _uri(name)}, "roles": ["analysisTarget"]}
    if "sha256" in report.track:
        artifact["hashes"] = {"sha-256": str(report.track["sha256"])}
    return artifact


def _uri(path: str) -> str:
    return quote(short(path), safe="/")


def _result(check: Check, index: dict[str, int], report: AuditReport) -> dict[str, Any]:
    uri = _uri(_path(report))
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": uri, "index": 0}}}
    result: dict[str, Any] = {
        "ruleId": check.rule,
        "ruleIndex": index[check.rule],
        "kind": "open" if check.state == "open" else "fail",
        "level": LEVELS.get(check.state, "none"),
        "message": {"text": check.text},
        "locations": [place],
        "partialFingerprints": {FINGERPRINT: f"{check.rule}:{short(check.key, 200)}:{_digest(report)}"},
    }
    if check.finding is not None:
        place["physicalLocation"]["properties"] = _span(check.finding, "query")
        result["relatedLocations"] = [_piece(check.finding)]
        result["properties"] = _evidence(check.finding)
    if check.waiver is not None:
        result["suppressions"] = [_suppression(check.waiver)]
    return result


def _digest(report: AuditReport) -> str:
    """Return the digest of the track's notes, or of its file where it is sound."""
    return str(report.track.get("notes_sha256") or report.track.get("sha256", ""))


def _span(finding: Finding | SoundMatch, side: Literal["query", "piece"]) -> dict[str, Any]:
    seconds = {"seconds": list(getattr(finding, f"{side}_span_s"))}
    return seconds if isinstance(finding, SoundMatch) else {"bars": list(getattr(finding, f"{side}_bars")), **seconds}


def _piece(finding: Finding | SoundMatch) -> dict[str, Any]:
    words = ENGLISH.words
    where = words.span(finding.piece_span_s) if isinstance(finding, SoundMatch) else words.bars(finding.piece_shown)
    named = f"{where} of {finding.title or finding.piece}"
    return {
        "physicalLocation": {"artifactLocation": {"uri": _uri(finding.piece)}, "properties": _span(finding, "piece")},
        "message": {"text": short(named)},
    }


NOTES = ("id", "matched", "notes", "transposition", "tempo_ratio", "bits", "evalue", "percentile", "other_works")
SOUND = ("id", "kind", "windows", "distance", "bits", "evalue")


def _evidence(finding: Finding | SoundMatch) -> dict[str, Any]:
    names = SOUND if isinstance(finding, SoundMatch) else NOTES
    rights = {name: short(value) for name, value in sorted(finding.rights.items())}
    return {**{name: getattr(finding, name) for name in names}, "rights": rights}


def _suppression(waiver: Waiver) -> dict[str, Any]:
    return {"kind": "external", "status": STATUS[waiver.state], "justification": waiver_words(waiver)}

"""report.html: one self-contained page about one audited track, for people.

It opens from a file, fetches nothing and is byte-equal for equal input. The verdict comes first, in one
plain sentence; what follows is the evidence for it. Passages sound as they were rendered
(`reports.passages`), or as plain tones made in the page from their notes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from audit.findings import AuditReport, Finding, PassageNote
from reports import words
from reports.drawing import chance_line, rolls, timeline
from reports.json_report import plain, rounded
from reports.page import LINK_WORDS, page, script_data

RIGHTS = {"licence": "Licence", "consent": "Consent", "source": "Source", "isrc": "ISRC", "iswc": "ISWC"}
CONSENT_WORDS = {
    "granted": "granted",
    "not_required": "not required (public domain or own work)",
    "unknown": "unknown",
    "opt_out": "refused (opted out)",
}
# Verdicts of links, what people must know of first; "absent" counts only when nothing else is there.
GRAVEST = ("broken", "missing", "unchecked", "pending", "simulated", "ok", "absent")
Sounds = Mapping[int, tuple[bytes, bytes]]
NO_SOUNDS: Sounds = {}


def report_html(report: AuditReport, sounds: Sounds = NO_SOUNDS) -> str:
    """Return the page.

    Parameters
    ----------
    report : AuditReport
    sounds : mapping, optional
        MP3 or WAV files (track passage, piece passage) by the finding's number: its place in
        `report.findings`, from 1.

    Raises
    ------
    reports.json_report.ReportError
        When the report's dictionaries hold what JSON cannot carry.
    """
    numbered = list(enumerate(report.findings, 1))
    return page(
        "report.html.j2",
        "report.js",
        report=report,
        name=str(report.track.get("name", "track")),
        subtitle=str(report.track.get("title", "")),
        facts=_facts(report),
        flagged=sum(f.verdict != "clear" for f in report.findings),
        timeline=timeline(numbered, _duration(report)),
        findings=[_shown(number, f, sounds.get(number)) for number, f in numbered],
        human_pieces=_whole(report.store.get("human_pieces")),
        metrics=[{"it": m, "picture": chance_line(m)} for m in report.metrics],
        no_provenance=next((s.reason for s in report.skipped if s.check.startswith("provenance")), ""),
        repeat=list(_repeat(report)),
        data=script_data({"findings": {str(number): _notes(f) for number, f in numbered}}),
    )


def gravest(verdicts: list[str]) -> str:
    """Return the link verdict that people must know of first; "" for no verdicts."""
    found = [v if v in GRAVEST else "unchecked" for v in verdicts]
    return min(found, key=GRAVEST.index, default="")


def provenance_summary(report: AuditReport) -> tuple[str, str]:
    """Return the gravest verdict of the statements and of the anchors; "" where nothing was checked."""
    anchors = gravest([link.verdict for link in report.provenance if link.name == "anchor"])
    # A token says nothing of the statements, unless something is wrong with it.
    others = [link for link in report.provenance if link.name != "anchor"]
    statements = gravest([o.verdict for o in others if o.name != "token" or o.verdict not in ("simulated", "pending")])
    return statements, anchors or ("absent" if report.provenance else "")


def anchor_word(verdict: str) -> str:
    """Name the state of an anchor, as `provenance_summary` gives it."""
    return "Not anchored" if verdict == "absent" else LINK_WORDS[verdict or "unchecked"]


def _facts(report: AuditReport) -> list[dict[str, str]]:
    """Give the four figures below the verdict."""
    strongest = report.findings[0] if report.findings else None
    links, anchor = provenance_summary(report)
    missing = sum(s.required for s in report.skipped)
    match = {"name": "Closest match", "verdict": "", "word": "none", "detail": ""}
    if strongest:
        match["word"] = f"{strongest.matched} of {words.counted(strongest.notes, 'note')}"
        match["detail"] = f"{words.bars(strongest.piece_bars)} of {strongest.title or strongest.piece}"
        if strongest.verdict == "clear":
            match["detail"] = f"closest: {match['word']}, {match['detail']}"
            match["word"] = "none past the policy"
    return [
        match,
        {
            "name": "Provenance",
            "verdict": links or "unchecked",
            "word": LINK_WORDS.get(links, links) if links else "Not checked",
            "detail": words.counted(len(report.provenance), "link") if links else "",
        },
        {
            "name": "Anchor",
            "verdict": anchor or "unchecked",
            "word": anchor_word(anchor),
            "detail": "embedded chain: it proves nothing to others" if anchor == "simulated" else "",
        },
        {
            "name": "Checks not made",
            "verdict": "incomplete" if missing else "",
            "word": str(len(report.skipped)),
            "detail": f"{missing} required by the policy" if missing else "none of them required",
        }
        if report.skipped
        else {"name": "Checks not made", "verdict": "", "word": "none", "detail": ""},
    ]


def _shown(number: int, finding: Finding, sounds: tuple[bytes, bytes] | None) -> dict[str, Any]:
    sentence = words.finding_words(finding)
    return {
        "number": number,
        "it": finding,
        "sentence": sentence,
        "rolls": rolls(finding, words.clean(f"Piano rolls of the two passages. {sentence}")),
        "rights": _rights(finding.rights),
        "sounds": tuple(_data_uri(sound) for sound in sounds) if sounds else (),
        "heard": "The first two play each passage as it is written, at most its first 12 seconds.",
    }


def _rights(rights: Mapping[str, str]) -> list[tuple[str, str]]:
    said = {**rights, "consent": CONSENT_WORDS.get(rights.get("consent", ""), rights.get("consent", ""))}
    others = [(key, value) for key, value in sorted(said.items()) if key not in RIGHTS]
    return [(label, said.get(key, "")) for key, label in RIGHTS.items()] + others


def _data_uri(sound: bytes) -> str:
    kind = "audio/wav" if sound[:4] == b"RIFF" else "audio/mpeg"
    return f"data:{kind};base64,{base64.b64encode(sound).decode('ascii')}"


def _notes(finding: Finding) -> dict[str, Any]:
    """Give what the page needs to sound a finding: [onset s, duration s, pitch] from its start, to 1 ms."""

    def triples(notes: tuple[PassageNote, ...], start_s: float) -> list[list[float]]:
        return [[round(n.onset_s - start_s, 3), round(n.duration_s, 3), n.pitch] for n in notes]

    return {
        "ratio": rounded(finding.tempo_ratio) or 1.0,
        "shift": finding.transposition,
        "track": triples(finding.query_notes, finding.query_span_s[0]),
        "piece": triples(finding.piece_notes, finding.piece_span_s[0]),
    }


def _duration(report: AuditReport) -> float:
    """Seconds of the track: as described, and at least to the end of the last finding."""
    stated = report.track.get("duration_s", 0.0)
    ends = [f.query_span_s[1] for f in report.findings]
    return max([float(stated) if isinstance(stated, int | float) else 0.0, *ends])


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _repeat(report: AuditReport) -> Iterator[tuple[str, str]]:
    """Everything the verdict rests on, flattened: tool, track, store, policy and its effective values."""
    for group in ("tool", "track", "store", "policy"):
        yield from _flat(group, plain(getattr(report, group)))
    yield "report schema", report.schema


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _flat(f"{name} · {key}".replace("policy · values", "policy value"), value[key])
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, f"{value:.6g}" if isinstance(value, float) else str(value)

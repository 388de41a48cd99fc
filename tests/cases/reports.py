"""Reports for tests of their forms: one with everything in it, and texts that strangers' files hold."""

import dataclasses
from typing import Any

from audit.findings import Finding, Link, MetricResult, PassageNote, SoundMatch, StyleRange, Waiver
from audit.policy import read_policy
from audit.report import AuditReport, RuleResult, Skipped

HOSTILE = {
    "script": '</script><script>alert(1)</script><img src="http://evil.example/x.png" onerror=alert(1)>',
    "markdown": "# x\n\n| a | b |\n- [click](http://evil.example) ![](http://evil.example/y.png) `c` **b** www.x.io",
    "control": "a\x00b\x1b[31mc\x07\r\n\x0bd\ufffee\ud800f",
    "long": "x" * 100_000,
    "right to left": "\u202eevil\u202c \u05d0\u05d1\u05d2 \u0627\u0644\u0639",
    "template": "{{ 7 * 7 }} {% raw %} ${jndi:x} =1+1",
    "xml": "]]><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
}
SARIF_SCHEMA = "@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"
FINDING = Finding(
    piece="tunes/a.mid",
    title="A",
    artist="",
    split="train",
    id="0123456789abcdef",
    rights={"licence": "CC0", "consent": "not_required"},
    verdict="fail",
    query_span_s=(1 / 3, 9.5),
    piece_span_s=(12.0, 21.5),
    query_bars=(1, 8),
    piece_bars=(9, 16),
    transposition=5,
    tempo_ratio=0.964912345678,
    matched=38,
    notes=40,
    in_time=36,
    bits=101.23456789,
    evalue=1.23456789e-12,
    percentile=0.9990001,
    query_notes=(PassageNote(1 / 3, 0.25, 60, 0, 0), PassageNote(0.5, 0.25, 40, 1, None)),
    piece_notes=(PassageNote(12.0, 0.25, 55, 0, 0),),
)


def waiver(finding: str, state: Any = "applied", **changes: Any) -> Waiver:
    made = Waiver(finding, "new.mid", "licensed", "A. Lawyer", "Contract 7.", "2027-01-31", "contract-7.pdf", 3, state)
    return dataclasses.replace(made, **changes)


def finding(number: int = 1, **changes: Any) -> Finding:
    notes, there = (
        tuple(PassageNote(start_s + k / 3, 0.3, pitch + k % 7, 0, k, True) for k in range(12))
        for start_s, pitch in ((10, 65), (40, 60))
    )
    made = Finding(
        piece=f"folk/{number}.mid",
        title=f"Tune {number}",
        artist="Trad.",
        split="train",
        rights={"licence": "CC0-1.0", "source": "own", "consent": "granted", "isrc": "", "iswc": ""},
        id=f"{number:016x}",
        verdict="fail",
        query_span_s=(10.0, 14.0),
        piece_span_s=(40.0, 44.0),
        query_bars=(6, 8),
        piece_bars=(21, 23),
        transposition=5,
        tempo_ratio=1 / 3,
        matched=12,
        notes=12,
        in_time=12,
        bits=90.123456789,
        evalue=2.5e-5,
        percentile=0.97,
        query_notes=notes,
        piece_notes=there,
        all_matched=12,
        all_notes=12,
    )
    return dataclasses.replace(made, **changes)


def sound(**changes: Any) -> SoundMatch:
    made = SoundMatch(
        kind="recording",
        piece="folk/1.wav",
        title="Tune 1",
        artist="Trad.",
        rights={"licence": "CC0-1.0", "source": "own", "consent": "granted", "isrc": "", "iswc": ""},
        id="00000000000000aa",
        verdict="review",
        query_span_s=(2.0, 14.5),
        piece_span_s=(0.0, 12.5),
        windows=3,
        distance=9,
        bits=256,
        evalue=1e-8,
    )
    return dataclasses.replace(made, **changes)


def report(**changes: Any) -> AuditReport:
    made = AuditReport(
        outcome="fail",
        sentence="This track holds a copied passage.",
        reasons=("bars 6-8 match",),
        track={"name": "new.mid", "sha256": "12" * 32, "notes_sha256": "34" * 32, "duration_s": 61.5, "notes": 300},
        store={"name": "folk", "digest": "ab" * 32, "pieces": 120, "human_pieces": 100},
        policy={"name": "default", "digest": "cd" * 32, "values": read_policy().values},
        tool={"name": "contraste", "version": "9.8.7"},
        findings=(finding(1), finding(2, verdict="review", waiver=waiver(f"{2:016x}")), finding(3, verdict="clear")),
        metrics=(
            MetricResult(
                "bleu", "Shared runs.", 0.4, 0.03, 0.09, "higher", "folk/1.mid", style=StyleRange(0.05, 0.12, 0.3, 40)
            ),
            MetricResult("phash_64", "Pictures.", 2.0, 25.0, float("nan"), "lower", "folk/1.mid", "review"),
        ),
        provenance=(
            Link("track", "new.mid", "ok", "as signed"),
            Link("model", "model", "broken", "it is not what was used"),
        ),
        skipped=(Skipped("metrics:phash_256", "no sound was rendered", True), Skipped("chain", "not asked")),
        limits=("Only the named store.",),
        sound_matches=(sound(),),
        rules=(
            RuleResult("rights.findings.opt_out", "No piece whose holder opted out", "pass", "none did"),
            RuleResult("provenance.signed", "Signed by a known key", "fail", "by nobody"),
            RuleResult("style.close", "Not too close to its style", "skipped", "no style model", True),
        ),
        waivers=(waiver(f"{2:016x}"),),
    )
    return dataclasses.replace(made, **changes)


def clean_report(**changes: Any) -> AuditReport:
    """Nothing speaks against it."""
    nothing = {"outcome": "pass", "sentence": "Nothing matches.", "reasons": (), "findings": (), "metrics": ()}
    return report(
        **{**nothing, "provenance": (), "skipped": (), "rules": (), "waivers": (), "sound_matches": (), **changes}
    )


def hostile_report(text: str) -> AuditReport:
    """Put a text wherever a stranger's file can."""
    bad = finding(
        1,
        piece=f"{text[:200]}.mid",
        title=text,
        artist=text,
        rights={"licence": text, "source": text, "consent": "granted", "isrc": "", "iswc": ""},
        query_part=text,
        waiver=waiver(f"{1:016x}", why=text, who=text, evidence=text),
    )
    return report(
        track={"name": text, "sha256": "12" * 32, "notes_sha256": "34" * 32, "duration_s": 61.5, "title": text},
        findings=(bad, finding(2, title=text)),
        sound_matches=(sound(piece=text, title=text, artist=text, rights={"licence": text}),),
        reasons=(text,),
        sentence=f"This track matches {text}",
        provenance=(Link(text[:50], text, "broken", text),),
        rules=(RuleResult("style.close", text or "x", "fail", text),),
        waivers=(bad.waiver,) if bad.waiver else (),
    )

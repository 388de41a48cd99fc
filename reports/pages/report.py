"""report.html: one self-contained page about one audited track, for people.

It opens from a file, fetches nothing and is byte-equal for equal input. The verdict comes first, in one
plain sentence; what follows is the evidence for it. Passages sound as they were rendered
(`reports.pages.sounds`), or as plain tones made in the page from their notes.
"""

from __future__ import annotations

import base64
import functools
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from audit.findings import Finding, PassageNote
from audit.policy import copy_rules
from audit.report import AuditReport
from music.notes import MusicError
from reports.drawings.differences import differences
from reports.drawings.notation import BARS, Score, notation
from reports.drawings.pictures import chord_strips, hash_grid, sound_pictures
from reports.drawings.provenance_graph import by_hand, chain
from reports.drawings.svg import DRAWN_SECONDS, Drawing, chance_line, course_picture, rolls, timeline
from reports.json_report import plain, round_digits
from reports.language.translation import Language, language, languages, merge_pages
from reports.language.words import clean
from reports.pages.crosswalk import crosswalk
from reports.pages.page import LINK_WORDS, page, script_data
from reports.pages.page_size import FIXED, NO_SOUNDS, PAGE_BYTES, Kept, Sounds, choose_evidence

RIGHTS = {"licence": "Licence", "consent": "Consent", "source": "Source", "isrc": "ISRC", "iswc": "ISWC"}
CONSENT_WORDS = {
    "granted": "granted",
    "not_required": "not required (public domain or own work)",
    "unknown": "unknown",
    "opt_out": "refused (opted out)",
}
STATES = {"ok": "Evidence here", "part": "In part", "absent": "No evidence here", "open": "Not yet"}
CARD_NAMES = {
    "split": "Split",
    "licence": "Licence",
    "consent": "Consent",
    "source": "Source",
    "meter": "Metre",
    "tempo_bpm": "Tempo, quarters a minute",
    "key": "Key",
}
TEXTS = '<script type="application/json" id="languages">'
TONE_SECONDS = 60.0
REASONS = 20  # that are listed below the verdict
EVERYTHING = 1e15  # bytes
KINDS = {
    "rhythm": "same pitch at another time",
    "pitch": "another pitch",
    "added": "in the track alone",
    "left out": "in the piece alone",
}
HEARD = (
    "The piece is played at the track\u2019s tempo and key. \u201cBoth\u201d plays them in time: track left, "
    "piece right. The first 12 seconds; fewer where many passages are flagged."
)
TONES = "Plain tones, at the track\u2019s tempo and key. \u201cBoth\u201d plays the track left, the piece right."
# Verdicts of links, what people must know of first; "absent" counts only when nothing else is there.
GRAVEST = ("broken", "missing", "unchecked", "pending", "simulated", "ok", "absent")
WAIVER_REASONS = (
    ("licensed", "licensed"),
    ("public_domain", "public domain"),
    ("common_idiom", "common idiom"),
    ("own_catalogue", "own catalogue"),
    ("sample_cleared", "sample cleared"),
    ("reviewed", "reviewed, and no match"),
)
SCRIPT_WORDS = {
    "clear": "Clear",
    "review": "Review",
    "fail": "Fail",
    "none": "none",
    "copied": "Copied.",
    "downloaded": "Saved as",
    "missing": "Still to fill in:",
    "who": "who decides",
    "why": "why",
    "expires": "until which day",
    "evidence": "evidence",
    "shown": "findings shown",
    "of": "of",
}


def report_html(
    report: AuditReport, sounds: Sounds = NO_SOUNDS, lang: str = "en", silent: str = "", *, whole: bool = False
) -> str:
    """Return the page, of at most about `PAGE_BYTES`; what does not fit (`reports.pages.page_size`) is named.

    Parameters
    ----------
    report : AuditReport
    sounds : mapping, optional
        MP3 or WAV files (track passage, piece passage) by the finding's number: its place in
        `report.findings`, from 1.
    lang : str
        Code of the language that the page opens in; a list on it leads to all others.
    silent : str
        Why flagged findings have no sound, where some have none.
    whole : bool
        Whether nothing is left out, however many bytes that takes.

    Raises
    ------
    reports.json_report.ReportError
        When the report's dictionaries hold what JSON cannot carry.
    ValueError
        For a language that no catalogue has.
    """
    language(lang)
    key = str(report.track.get("key", ""))
    drawing = functools.cache(lambda number: rolls(report.findings[number - 1]))
    engraved = functools.cache(lambda number: _engrave(report.findings[number - 1], key))
    room = EVERYTHING if whole else PAGE_BYTES
    while True:
        chosen = choose_evidence(report.findings, sounds, drawing, engraved, _notes, room)
        html = _render(report, chosen, drawing, lang, silent)
        over = len(html.encode()) - PAGE_BYTES
        if whole or over <= 0 or room <= FIXED:
            return html
        room -= chosen.unspent + over


def _render(report: AuditReport, chosen: Kept, drawing: Callable[[int], Drawing], lang: str, silent: str) -> str:
    codes = [lang, *(code for code in languages() if code != lang)]
    shared: dict[str, Any] = {
        "data": script_data(_data(report, chosen)),
        "silent": silent,
        "kept": chosen,
        "glyphs": sorted({n: shape for score in chosen.scores.values() for n, shape in score.glyphs.items()}.items()),
        "notation_bars": BARS,
        "drawn_seconds": DRAWN_SECONDS,
        "languages": languages(),
        "sound": sound_pictures(report.sound) if report.sound else None,
        "drawing": drawing,
        "hash_grid": hash_grid,
    }
    html, texts = merge_pages(
        [
            page("report.html.j2", "report.js review.js", **shared, **_context(report, chosen, language(code)))
            for code in codes
        ]
    )
    data = script_data({"codes": codes, "texts": texts, "words": {code: _script_words(code) for code in codes}})
    return html.replace(TEXTS, f"{TEXTS}{data}", 1)


def _script_words(code: str) -> dict[str, str]:
    """Give what the page's script says itself."""
    say = language(code)
    return {name: say.fill(text) for name, text in SCRIPT_WORDS.items()} | {"decimal": say.numerals(".")}


def _engrave(finding: Finding, key: str) -> Score | None:
    """Engrave a finding, or leave the notation out where verovio does not do it: the piano roll shows the same."""
    try:
        return notation(finding, key)
    except MusicError:
        return None


def _context(report: AuditReport, chosen: Kept, say: Language) -> dict[str, Any]:
    """Give what the template needs in one language."""
    numbered = list(enumerate(report.findings[: chosen.listed], 1))
    return {
        "_": say,
        "words": say.words,
        "lang": say.code,
        "report": report,
        "name": str(report.track.get("name", "track")),
        "subtitle": str(report.track.get("title", "")),
        "facts": _facts(report, say),
        "flagged": sum(f.verdict != "clear" for f in report.findings),
        "timeline": timeline(numbered, _duration(report), say),
        "course": course_picture(report.course, _duration(report), say) if report.course else "",
        "findings": [_show_finding(number, f, report, chosen, say) for number, f in numbered],
        "human_pieces": _whole(report.store.get("human_pieces")),
        "rights_of": lambda match: _rights(match.rights, say),
        "metrics": [
            {"it": m, "picture": chance_line(m, say), "style": say.words.style_words(m)} for m in report.metrics
        ],
        "no_provenance": next((s.reason for s in report.skipped if s.check.startswith("provenance")), ""),
        "chords": chord_strips(report.harmony, say) if report.harmony else "",
        "chain": chain(report.provenance),
        "by_hand": by_hand,
        "crosswalk": crosswalk(report),
        "states": STATES,
        "card": report.store.get("card"),
        "card_names": CARD_NAMES,
        "command": _command(report),
        "reasons": report.reasons[:REASONS],
        "more_reasons": max(len(report.reasons) - REASONS, 0),
        "repeat": list(_repeat(report)),
        "waiver_reasons": WAIVER_REASONS,
    }


def _data(report: AuditReport, chosen: Kept) -> dict[str, Any]:
    """Give what the page's script needs: notes and sounds of the findings."""
    return {
        "duration": round_digits(_duration(report)) or 0.0,
        "findings": {
            str(number): _notes(f)
            for number, f in enumerate(report.findings[: chosen.drawn], 1)
            if number not in chosen.sounds
        },
        "sounds": {
            str(number): [base64.b64encode(sound).decode("ascii") for sound in pair]
            for number, pair in chosen.sounds.items()
        },
        "track": _name_track(report),
    }


def gravest(verdicts: list[str]) -> str:
    """Return the link verdict that people must know of first; "" for no verdicts."""
    ranked = [v if v in GRAVEST else "unchecked" for v in verdicts]
    return min(ranked, key=GRAVEST.index, default="")


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


def _command(report: AuditReport) -> str:
    """Write the command that makes this report again, in a folder that holds what it names."""
    words = ["contraste", "audit", str(report.track.get("name", "TRACK"))]
    words += ["--store", str(report.store.get("name", "STORE")), "--policy", "policy.toml"]
    model = report.track.get("model")
    words += ["--model", str(model.get("name"))] if isinstance(model, dict) else []
    waivers = report.policy.get("waivers")
    words += ["--waivers", str(waivers.get("file"))] if isinstance(waivers, dict) else []
    return shlex.join([*words, "--out", "report"])


def _name_track(report: AuditReport) -> str:
    """Name the track as a waiver does: by its file, or by its notes where that would be read as a pattern."""
    name = str(report.track.get("name", "track"))
    return clean(str(report.track.get("notes_sha256", name)) if set("*?[") & set(name) else name)


def _facts(report: AuditReport, say: Language) -> list[dict[str, str]]:
    """Give the four figures below the verdict."""
    strongest = report.findings[0] if report.findings else None
    links, anchor = provenance_summary(report)
    missing = sum(s.required for s in report.skipped)
    match = {"name": say("Closest match"), "verdict": "", "word": say("none"), "detail": ""}
    if strongest:
        here = {"k": strongest.matched, "notes": say.words.count_noun(strongest.notes, "note")}
        title = strongest.title or strongest.piece
        match["word"] = say("{k} of {notes}", **here)
        match["detail"] = say("{bars} of {title}", bars=say.words.bars(strongest.piece_shown), title=title)
        if strongest.verdict == "clear":
            match["detail"] = say("closest: {match}, {detail}", match=match["word"], detail=match["detail"])
            match["word"] = say("none past the policy")
    elif report.sound_matches:
        heard = report.sound_matches[0]
        match["word"] = say("{k} of {n} bits differ", k=heard.distance, n=heard.bits)
        match["detail"] = heard.title or heard.piece
    return [
        match,
        {
            "name": say("Provenance"),
            "verdict": links or "unchecked",
            "word": say(LINK_WORDS[links or "unchecked"]),
            "detail": say.words.count_noun(len(report.provenance), "link") if links else "",
        },
        {
            "name": say("Anchor"),
            "verdict": anchor or "unchecked",
            "word": say(anchor_word(anchor)),
            "detail": say("embedded chain: it proves nothing to others") if anchor == "simulated" else "",
        },
        {
            "name": say("Checks not made"),
            "verdict": "incomplete" if missing else "",
            "word": str(len(report.skipped)),
            "detail": say("{n} required by the policy", n=missing) if missing else say("none of them required"),
        }
        if report.skipped
        else {"name": say("Checks not made"), "verdict": "", "word": say("none"), "detail": ""},
    ]


def _show_finding(number: int, finding: Finding, report: AuditReport, chosen: Kept, say: Language) -> dict[str, Any]:
    sentence = say.words.finding_words(finding)
    first, last = finding.query_bars
    drawn = number <= chosen.drawn
    return {
        "number": number,
        "it": finding,
        "drawn": drawn,
        "bars": last - first + 1,
        "licensed": finding.licensed,
        "common": copy_rules(report.policy["values"]).is_common(finding.commonplace, finding.other_works),
        "sentence": sentence,
        "label": say("Piano rolls of the two passages. {sentence}", sentence=sentence).unescape(),
        "differences": [(d, say(KINDS[d.kind])) for d in differences(finding)]
        if drawn and finding.verdict != "clear"
        else [],
        "rights": _rights(finding.rights, say),
        "heard": say(HEARD if number in chosen.sounds else TONES),
    }


def _rights(rights: Mapping[str, str], say: Language) -> list[tuple[str, str]]:
    consent = rights.get("consent", "")
    shown = {**rights, "consent": say(CONSENT_WORDS[consent]) if consent in CONSENT_WORDS else consent}
    others = [(key, value) for key, value in sorted(shown.items()) if key not in RIGHTS]
    return [(say(label), shown.get(key, "")) for key, label in RIGHTS.items()] + others


def _notes(finding: Finding) -> dict[str, Any]:
    """Give what the page needs to sound a finding: [onset s, duration s, pitch] of its first seconds, to 1 ms."""

    def triples(notes: tuple[PassageNote, ...], start_s: float) -> list[list[float]]:
        return [
            [max(round(n.onset_s - start_s, 3), 0.0), round(n.duration_s, 3), n.pitch]
            for n in notes
            if n.onset_s < start_s + TONE_SECONDS
        ]

    return {
        "ratio": round_digits(finding.tempo_ratio) or 1.0,
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
        fields = {name: value for name, value in getattr(report, group).items() if (group, name) != ("store", "card")}
        yield from _flat(group, plain(fields))
    yield "report schema", report.schema


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _flat(f"{name} · {key}".replace("policy · values", "policy value"), value[key])
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, f"{value:.6g}" if isinstance(value, float) else str(value)

"""The forms that a report can be written in, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from audit.disclosure import Disclosure
from audit.measures.influence import share_influence, share_sound_influence
from audit.measures.sound import Sound
from audit.policy import copy_rules
from audit.report import AuditReport
from music.notes import NoteSequence
from reports.exports.disclosure import disclosure_files
from reports.exports.influence import influence_csv, influence_json
from reports.exports.junit import report_junit
from reports.exports.markdown import report_markdown
from reports.exports.pdf import pdf_unavailable, report_pdf
from reports.exports.sarif import report_sarif
from reports.json_report import read_back, report_json
from reports.language.translation import language
from reports.pages.page_size import Sounds
from reports.pages.report import report_html
from reports.pages.sounds import LIMIT, passage_sounds


@dataclass(frozen=True, slots=True)
class Source:
    """What the forms of a report are made of; all but the report is there only where the audit makes them.

    Attributes
    ----------
    report : AuditReport
        As report.json holds it.
    audited : AuditReport, optional
        As the audit gave it, its numbers not rounded.
    track : NoteSequence or Sound, optional
    load_piece : callable, optional
        Gives the notes of a piece by its path in the store.
    disclosure : Disclosure, optional
    lang : str
        Of the forms for people.
    whole : bool
        Whether nothing is left out of report.html.
    """

    report: AuditReport
    audited: AuditReport | None = None
    track: NoteSequence | Sound | None = None
    load_piece: Callable[[str], NoteSequence] | None = None
    disclosure: Disclosure | None = None
    lang: str = "en"
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a report.

    Attributes
    ----------
    files : tuple of str
        Their names in the track's folder; those that `write` may add are not among them.
    write : callable
        Gives their bytes by name.
    from_json : bool
        Whether it is made from report.json alone, byte by byte, so that anybody can make it again and compare.
    """

    files: tuple[str, ...]
    write: Callable[[Source], Mapping[str, bytes]]
    from_json: bool = False


def _html(source: Source) -> dict[str, bytes]:
    sounds: Sounds = {}
    silent = ""
    if source.audited and source.load_piece and isinstance(source.track, NoteSequence):
        limit = None if source.whole else LIMIT
        sounds, silent = passage_sounds(source.audited, source.track, source.load_piece, limit)
    return {"report.html": report_html(source.report, sounds, source.lang, silent, whole=source.whole).encode()}


def _write_influence(source: Source) -> dict[str, bytes]:
    report, track = source.audited or source.report, source.track
    gaps = {skipped.check: skipped.reason for skipped in report.skipped}
    if isinstance(track, NoteSequence):
        rules, slope = copy_rules(report.policy["values"]), report.store["chance"]["slope"]
        ledgers = share_influence(track, report.findings, slope, rules, gaps.get("copy", ""))
    else:
        ledgers = share_sound_influence(report.track["duration_s"], report.sound_matches, gaps.get("sound", ""))
    return {"influence.json": influence_json(report, ledgers), "influence.csv": influence_csv(report, ledgers)}


def _write_disclosure(source: Source) -> dict[str, bytes]:
    return disclosure_files(source.audited or source.report, source.disclosure) if source.disclosure else {}


def _pdf(source: Source) -> dict[str, bytes]:
    return {"report.pdf": report_pdf(source.report, language(source.lang))}


def _markdown(source: Source) -> dict[str, bytes]:
    return {"report.md": report_markdown(source.report, language(source.lang))}


FORMS = {
    "html": Form(("report.html",), _html),
    "pdf": Form(("report.pdf",), _pdf),  # fonts differ between machines
    "json": Form(("report.json",), lambda s: {"report.json": report_json(s.report)}, from_json=True),
    "sarif": Form(("report.sarif",), lambda s: {"report.sarif": report_sarif(s.report)}, from_json=True),
    "junit": Form(("report.junit.xml",), lambda s: {"report.junit.xml": report_junit(s.report)}, from_json=True),
    "md": Form(("report.md",), _markdown, from_json=True),
    "influence": Form(("influence.json", "influence.csv"), _write_influence),
    "disclosure": Form((), _write_disclosure),  # a folder of its own
}


def unknown_or_unavailable(names: Iterable[str]) -> str:
    """Say which of the names is no form, or one that can't be written on this machine; "" where all can be."""
    names = list(names)
    for name in names:
        if name not in FORMS:
            return f"{name!r} is none of {', '.join(FORMS)}"
    reason = pdf_unavailable() if "pdf" in names else ""
    return f"pdf: {reason}" if reason else ""


def report_files(source: Source, names: Iterable[str]) -> dict[str, bytes]:
    """Return report.json, and the named forms by file name, in the order of `FORMS`.

    The report is as the audit gave it; the forms are made from report.json as it is written, so that whoever reads it
    can make them again.

    Raises
    ------
    reports.json_report.ReportError
        When one can't be written.
    """
    data, wanted = report_json(source.report), set(names) - {"json"}
    source, files = replace(source, report=read_back(data), audited=source.report), {"report.json": data}
    for form in (form for name, form in FORMS.items() if name in wanted):
        files.update(form.write(source))
    return files

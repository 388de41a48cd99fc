"""The forms that a report can be written in, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from audit.findings import AuditReport
from reports.exports.junit import report_junit
from reports.exports.markdown import report_markdown
from reports.exports.pdf import pdf_unavailable, report_pdf
from reports.exports.sarif import report_sarif
from reports.json_report import report_json
from reports.pages.page_size import Sounds
from reports.pages.report import report_html


@dataclass(frozen=True, slots=True)
class Page:
    """What report.html is made of beside the report; see `report_html`."""

    sounds: Sounds = field(default_factory=dict)
    lang: str = "en"
    silent: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a report.

    Attributes
    ----------
    file : str
        Its name in the track's folder.
    write : callable
        Gives its bytes; html is also made of sounds, which only the audit can render.
    from_json : bool
        Whether it is made from report.json alone, byte by byte, so that anybody can make it again and compare.
    """

    file: str
    write: Callable[[AuditReport, Page], bytes]
    from_json: bool = True


FORMS = {
    "html": Form(
        "report.html",
        lambda report, page: report_html(report, page.sounds, page.lang, page.silent, whole=page.whole).encode(),
        from_json=False,
    ),
    "pdf": Form("report.pdf", lambda report, _: report_pdf(report), from_json=False),  # fonts differ between machines
    "json": Form("report.json", lambda report, _: report_json(report)),
    "sarif": Form("report.sarif", lambda report, _: report_sarif(report)),
    "junit": Form("report.junit.xml", lambda report, _: report_junit(report)),
    "md": Form("report.md", lambda report, _: report_markdown(report)),
}
BESIDE = {"influence": "influence.json and influence.csv", "disclosure": "the folder disclosure"}
"""What else can be written beside a report: `reports.exports.influence`, `reports.exports.disclosure`."""


PAGE = Page()


def unknown_or_unavailable(names: Iterable[str]) -> str:
    """Say which of the names is no form, or one that can't be written on this machine; "" where all can be."""
    names = list(names)
    for name in names:
        if name not in FORMS and name not in BESIDE:
            return f"{name!r} is none of {', '.join((*FORMS, *BESIDE))}"
    reason = pdf_unavailable() if "pdf" in names else ""
    return f"pdf: {reason}" if reason else ""


def written(report: AuditReport, names: Iterable[str], page: Page = PAGE) -> dict[str, bytes]:
    """Return the named forms by file name, in the order of `FORMS`; names of other things are passed over.

    Raises
    ------
    reports.json_report.ReportError
        When one can't be written.
    """
    wanted = set(names)
    return {form.file: form.write(report, page) for name, form in FORMS.items() if name in wanted}

"""report.pdf: the report on paper, PDF/A-3b with report.json inside, made by WeasyPrint.

The file is an archive copy: fonts are embedded, the attachment is what was signed, and nothing is fetched while it is
made, only ``data:`` addresses are read. It has no clock in it, so with the same fonts the same report gives the same
bytes. WeasyPrint is an extra, since it needs the system's Pango.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

from markupsafe import Markup

from audit.findings import Finding
from audit.report import AuditReport
from reports.checks import LONGEST, checks, short, waiver_words
from reports.drawings.svg import rolls
from reports.json_report import ReportError, report_json
from reports.language.translation import ENGLISH, Language
from reports.pages.page import document

ATTACHED = "report.json"
MOMENT = datetime(2000, 1, 1)  # PDF/A asks for dates of an attachment; a real one would change the bytes
DRAWN, DRAWN_SECONDS = 10, 60.0  # findings with piano rolls, and how long a passage fits across a page
_WORD = re.compile(r"(\S{40})(?=\S)")
_STREAM = re.compile(rb"stream\r?\n(.*?)\nendstream", re.DOTALL)
SVG_STYLE = (
    ".panel{fill:#f4f2ec}.grid{stroke:#dcdad3;fill:none}.tick,.caption{fill:#566070;font:11px sans-serif}"
    ".tick{text-anchor:middle}.end{text-anchor:end}.n-both{stroke:#1f62ad;fill:none}.n-pitch{fill:#ffe2c2;stroke:#c05f00}"
    ".n-alone{fill:none;stroke:#6b7280}.n-other{stroke:#c9c6bd;fill:none}.s-both{stroke:#1f62ad;fill:none;opacity:.4}"
    ".s-pitch{stroke:#c05f00;fill:none;opacity:.4;stroke-dasharray:3 2}.playhead{visibility:hidden}"
)


def pdf_unavailable() -> str:
    """Say why no PDF can be written on this machine, "" where it can."""
    try:
        import weasyprint  # noqa: F401
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed; install it with: pip install 'contraste[pdf]'"
    except OSError as error:  # of cffi, which finds no shared library
        missing = short(str(error), 200)
        return (
            f"a library of the system is missing; on Debian: apt install libpango-1.0-0 libpangoft2-1.0-0 ({missing})"
        )
    return ""


def report_pdf(report: AuditReport, say: Language = ENGLISH) -> bytes:
    """Return report.pdf in a language.

    Raises
    ------
    ReportError
        When it can't be written, see `pdf_unavailable`.
    """
    if reason := pdf_unavailable():
        raise ReportError(f"report.pdf can't be written: {reason}")
    import weasyprint
    from weasyprint.urls import URLFetcher

    content = report_json(report)
    attachment = weasyprint.Attachment(
        string=content, name=ATTACHED, description="The audit report", created=MOMENT, modified=MOMENT,
        relationship="Source",
    )  # fmt: skip
    page = weasyprint.HTML(string=_html(report, say), url_fetcher=URLFetcher(allowed_protocols={"data"}))
    with _stop_clock():
        pdf: bytes = page.write_pdf(
            pdf_variant="pdf/a-3b",
            attachments=[attachment],
            pdf_identifier=hashlib.sha256(content).hexdigest()[:32].encode(),
        )
    return pdf


@contextlib.contextmanager
def _stop_clock() -> Iterator[None]:
    """Give fontTools, which cuts the fonts where HarfBuzz's subsetting is not installed, one time for all fonts."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(int(MOMENT.replace(tzinfo=UTC).timestamp()))
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before


def _html(report: AuditReport, say: Language) -> str:
    every = checks(report, say)
    flagged = [(n, f) for n, f in enumerate(report.findings, 1) if f.verdict != "clear"]
    return document(
        "pdf.html.j2",
        _=say,
        words=say.words,
        lang=say.code,
        report=report,
        name=_breakable(str(report.track.get("name", "track")), 200),
        short=_breakable,
        flagged=[(n, f, _draw_rolls(f, say) if k < DRAWN else "") for k, (n, f) in enumerate(flagged)],
        checks=[c for c in every if c.state not in ("open", "skipped")],
        unmade=[c for c in every if c.state in ("open", "skipped")],
        waiver_words=lambda waiver: waiver_words(waiver, say),
    )


def _breakable(text: str, longest: int = LONGEST) -> str:
    """Shorten a text, and let overlong words break: to find places in them itself costs WeasyPrint a minute."""
    return _WORD.sub("\\1\u200b", short(text, longest))


def _draw_rolls(finding: Finding, say: Language) -> Markup:
    """Return the piano rolls with a style sheet of their own: that of a page does not reach into drawings here."""
    if not max(b - a for a, b in (finding.query_span_s, finding.piece_span_s)) <= DRAWN_SECONDS:
        return Markup("")
    drawing = str(rolls(finding).labelled(say.fill("Piano rolls of the two passages")))
    inside = drawing.index(">") + 1
    return Markup(f"{drawing[:inside]}<style>{SVG_STYLE}</style>{drawing[inside:]}")  # all of it our own


def streams(pdf: bytes) -> Iterator[bytes]:
    """Yield the streams of a PDF, decompressed."""
    for stream in _STREAM.finditer(pdf):
        data = stream[1]
        with contextlib.suppress(zlib.error):  # not every stream is compressed
            data = zlib.decompressobj().decompress(data)
        yield data


def read_attached_json(pdf: bytes) -> list[bytes]:
    """Return every stream of a PDF that is a JSON object: the report that was attached to it."""
    return [data for data in streams(pdf) if data.startswith(b"{") and data.endswith(b"}")]

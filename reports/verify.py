"""Whether the files of a report belong together: what `contraste report verify` finds without keys.

report.json has to be canonical and obey its schema. The forms that are made from it alone (`reports.formats`) are made
again and compared; the PDF has to hold the same report.json; policy.toml has to be the policy that it names. Pages with
sounds can't be made again without the corpus: for those, and for all, there are the digests in the provenance record,
which the signature covers. Without a signature, digests only show what was altered by accident or carelessly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from audit.policy import PolicyError, read_policy
from audit.report import AuditReport
from reports.exports.pdf import read_attached_json
from reports.formats import FORMS, Source
from reports.json_report import ReportError, read_report
from reports.language.translation import languages

POLICY, INDEX = "policy.toml", "index.html"
FoundVerdict = Literal["ok", "absent", "unchecked", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found about one file.

    The verdict is "absent" where nothing demanded it, "missing" where a signature is not there, "broken" where it was
    altered.
    """

    file: str
    verdict: FoundVerdict
    detail: str


def verify_files(file: Path, digests: Mapping[str, str]) -> list[Found]:
    """Check report.json and the files beside it.

    Parameters
    ----------
    file : Path
        report.json.
    digests : mapping of str to str
        SHA-256 (hex) of the report's files by name, from its record; {} without one.
    """
    try:
        data = file.read_bytes()
        report = read_report(data, file.name)
    except OSError as error:
        return [Found(file.name, "unchecked", f"cannot be read: {error.strerror}")]
    except ReportError as error:
        return [Found(file.name, "broken", str(error))]
    results = [_digest(file.name, data, digests, "canonical, by its schema")]
    names = sorted({*digests, *(file for form in FORMS.values() for file in form.files), POLICY} - {file.name})
    for name in names:
        path = file.parent / name
        if not path.is_file():
            if name in digests:
                results.append(Found(name, "absent", "not here; the record names it"))
            continue
        content = path.read_bytes()
        by_digest = _digest(name, content, digests, "as the record says")
        if by_digest.verdict == "broken":
            by_json = None
        else:
            by_json = _policy(path, report) if name == POLICY else _by_json(name, content, data, report)
        results.append(by_json or by_digest)
    return results


def beside_index(
    path: Path, results: Sequence[tuple[Path, Sequence[Found]]], allow_unsigned: bool
) -> list[tuple[Path, list[Found]]]:
    """Return what is to be said of an index page in a folder of reports that none of them knows."""
    index = path / INDEX
    below = (some for file, some in results if file.resolve().parent.parent == path.resolve())
    if not index.is_file() or any(one.file == INDEX for some in below for one in some):
        return []
    reason = "no report here says that it belongs to it: whoever can write here could have made it"
    return [(index, [Found(INDEX, "absent" if allow_unsigned else "missing", reason)])]


def _digest(name: str, content: bytes, digests: Mapping[str, str], well: str) -> Found:
    if not digests:
        return Found(name, "ok" if name == "report.json" else "unchecked", f"{well}; no record holds its digest")
    if name not in digests:
        return Found(name, "broken", "the report's record does not name it: it belongs to another report, or was added")
    if hashlib.sha256(content).hexdigest() != digests[name]:
        return Found(name, "broken", "altered: its digest is not the one in the report's record")
    return Found(name, "ok", well)


def _by_json(name: str, content: bytes, data: bytes, report: AuditReport) -> Found | None:
    """Compare a form with what report.json gives; None where that says nothing."""
    form = next((form for form in FORMS.values() if name in form.files), None)
    if form is FORMS["pdf"]:
        held = read_attached_json(content)
        if held != [data]:
            return Found(
                name, "broken", "the report.json attached to it is another one" if held else "holds no report.json"
            )
        return None
    if form is None or not form.from_json:
        return None
    made_by, here = str(report.tool.get("version", "")), version("contraste")
    if any(form.write(Source(report, lang=code))[name] == content for code in languages()):
        return Found(name, "ok", "what report.json gives")
    if made_by != here:
        return Found(name, "unchecked", f"contraste {made_by} wrote it, and this is {here}: not comparable")
    return Found(name, "broken", "altered: it is not what report.json gives")


def _policy(file: Path, report: AuditReport) -> Found | None:
    """Compare a policy with the one that the report names; None where it can't be read, which its digest decides."""
    try:
        digest = read_policy(file).digest
    except PolicyError:
        return None
    if digest != report.policy.get("digest"):
        return Found(file.name, "broken", "it is not the policy that report.json names")
    return Found(file.name, "ok", "the policy that report.json names")

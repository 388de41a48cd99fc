"""report.junit.xml: one test case for each check, as build servers read it.

"fail" is a failure; "review" is one where the policy says that it blocks, and is told in the output of the case
otherwise, since JUnit knows no warning. A required check that was not made is an error, another one is skipped. A
waived check passes and says so. There is no time in it: the same report gives the same bytes.
"""

from __future__ import annotations

from xml.etree import ElementTree

from audit.report import AuditReport
from reports.checks import Check, checks, short, waiver_words


def report_junit(report: AuditReport) -> bytes:
    """Return report.junit.xml, UTF-8."""
    blocking = bool(report.policy.get("values", {}).get("gate", {}).get("review_blocks", False))
    grouped: dict[str, list[Check]] = {}
    for check in checks(report):
        grouped.setdefault(check.rule, []).append(check)
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    name = short(str(report.track.get("name", "track")))
    root = ElementTree.Element("testsuites", name="contraste")
    suite = ElementTree.SubElement(root, "testsuite", name=name)
    for rule, found in grouped.items():
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"contraste.{rule.partition('.')[0]}", name=short(rule, 200)
        )
        counts["tests"] += 1
        kind = _judge(case, found, blocking)
        if kind:
            counts[kind] += 1
    for element in (root, suite):
        element.attrib.update({key: str(value) for key, value in counts.items()})
    output = ElementTree.SubElement(suite, "system-out")
    output.text = short(f"{report.outcome}: {report.sentence}")
    ElementTree.indent(root, " ")
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _judge(case: ElementTree.Element, found: list[Check], blocking: bool) -> str:
    """Write what was found into a case; return what it counts as, "" for a pass."""
    failed = [c for c in found if not c.clear and (c.state == "fail" or (c.state == "review" and blocking))]
    unmade = [c for c in found if not c.clear and c.state == "open"]
    skipped = [c for c in found if c.state == "skipped"]
    others = [c for c in found if c not in (*failed, *unmade, *skipped)]
    kind = ""
    if failed or unmade:
        kind, tag = ("failures", "failure") if failed else ("errors", "error")
        first = (failed or unmade)[0]
        element = ElementTree.SubElement(case, tag, message=first.text, type=first.state)
        element.text = "\n".join(c.text for c in (*failed, *unmade))
    elif skipped and not others:
        kind = "skipped"
        ElementTree.SubElement(case, "skipped", message="; ".join(c.text for c in skipped))
    notes = [f"{c.state}: {c.text}{f' [waived: {waiver_words(c.waiver)}]' if c.waiver else ''}" for c in others]
    if notes:
        ElementTree.SubElement(case, "system-out").text = "\n".join(notes)
    return kind

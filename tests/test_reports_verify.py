"""The files of a report belong together, or it is said which does not."""

import dataclasses
import hashlib
from importlib.metadata import version
from pathlib import Path

import pytest

from audit.policy import POLICIES, read_policy
from audit.report import AuditReport
from reports.formats import Source, report_files
from reports.json_report import canonical, read_report, report_json
from reports.verify import verify_files
from tests.report_cases import report

FORMS = {"html", "json", "sarif", "junit", "md"}


def made(**changes: object) -> AuditReport:
    policy = read_policy()
    here = report(
        policy={"name": policy.name, "digest": policy.digest, "values": policy.values},
        tool={"name": "contraste", "version": version("contraste"), **changes},
    )
    return read_report(report_json(here))


def lay(folder: Path, here: AuditReport) -> dict[str, str]:
    files = report_files(Source(here), FORMS)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "policy.toml").write_bytes((POLICIES / "default.toml").read_bytes())
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (*files, "policy.toml")}


def wrong(folder: Path, digests: dict[str, str]) -> dict[str, str]:
    return {f.file: f.detail for f in verify_files(folder / "report.json", digests) if f.verdict == "broken"}


def test_files_as_written_are_ok(tmp_path: Path) -> None:
    digests = lay(tmp_path, made())
    assert {f.file: f.verdict for f in verify_files(tmp_path / "report.json", digests)} == {
        **dict.fromkeys(digests, "ok"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["report.html", "report.json", "report.sarif", "report.junit.xml", "report.md"])
def test_a_file_altered_by_hand_is_named(tmp_path: Path, name: str) -> None:
    digests = lay(tmp_path, made())
    content = (tmp_path / name).read_bytes()
    assert content.count(b"fail") > 0
    (tmp_path / name).write_bytes(content.replace(b"Fail", b"Pass").replace(b"holds a copied", b"has no copied"))
    assert name in wrong(tmp_path, digests)


def test_forms_are_compared_with_the_json_whatever_the_digests_say(tmp_path: Path) -> None:
    lay(tmp_path, made())
    better = dataclasses.replace(made(), outcome="pass", sentence="Nothing matches.")
    (tmp_path / "report.json").write_bytes(report_json(better))
    digests = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in tmp_path.iterdir()}
    assert set(wrong(tmp_path, digests)) == {"report.sarif", "report.junit.xml", "report.md"}
    assert set(wrong(tmp_path, {})) == {"report.sarif", "report.junit.xml", "report.md"}


def test_json_that_is_not_canonical_or_breaks_the_schema_is_broken(tmp_path: Path) -> None:
    digests = lay(tmp_path, made())
    data = (tmp_path / "report.json").read_bytes()
    (tmp_path / "report.json").write_bytes(data + b"\n")
    assert "altered by hand" in wrong(tmp_path, digests)["report.json"]
    value = {**made().to_dict(), "outcome": "splendid"}
    (tmp_path / "report.json").write_bytes(canonical(value))
    assert "outcome: 'splendid'" in wrong(tmp_path, digests)["report.json"]


def test_a_form_of_another_report_and_a_missing_one(tmp_path: Path) -> None:
    digests = lay(tmp_path, made())
    del digests["report.html"]
    assert "belongs to another report" in wrong(tmp_path, digests)["report.html"]
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.md").unlink()
    found = {f.file: f.verdict for f in verify_files(tmp_path / "report.json", digests)}
    assert found["report.md"] == "absent"
    assert "broken" not in found.values()


def test_another_policy_is_broken(tmp_path: Path) -> None:
    digests = lay(tmp_path, made())
    text = (tmp_path / "policy.toml").read_text()
    (tmp_path / "policy.toml").write_text(text.replace('name = "default"', 'name = "other"'))
    assert "altered" in wrong(tmp_path, digests)["policy.toml"]
    digests["policy.toml"] = hashlib.sha256((tmp_path / "policy.toml").read_bytes()).hexdigest()
    assert "not the policy that report.json names" in wrong(tmp_path, digests)["policy.toml"]
    (tmp_path / "policy.toml").write_text("[[[")
    assert "altered" in wrong(tmp_path, digests)["policy.toml"]


def test_forms_of_another_version_are_not_compared(tmp_path: Path) -> None:
    digests = lay(tmp_path, made(version="0.0.1"))
    (tmp_path / "report.md").write_text("# Written by an older contraste\n")
    digests["report.md"] = hashlib.sha256((tmp_path / "report.md").read_bytes()).hexdigest()
    found = {f.file: f.verdict for f in verify_files(tmp_path / "report.json", digests)}
    assert found["report.md"] == "unchecked"
    assert found["report.sarif"] == "ok"


def test_a_pdf_must_carry_the_report(tmp_path: Path) -> None:
    pdf = pytest.importorskip("reports.exports.pdf")
    if reason := pdf.pdf_unavailable():
        pytest.skip(f"no PDF here: {reason}")
    digests = lay(tmp_path, made())
    other = dataclasses.replace(made(), outcome="pass")
    for here, verdict in [(made(), "ok"), (other, "broken")]:
        content = pdf.report_pdf(here)
        (tmp_path / "report.pdf").write_bytes(content)
        digests["report.pdf"] = hashlib.sha256(content).hexdigest()
        found = {f.file: f.verdict for f in verify_files(tmp_path / "report.json", digests)}
        assert found["report.pdf"] == verdict

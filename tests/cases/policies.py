"""Policies and waivers as files."""

from datetime import date
from pathlib import Path
from typing import Any

from audit.policy import Policy, check_policy, read_policy

POLICY = """schema = "contraste-policy/1"
name = "test"
[gate]
required = {required}
review_blocks = {review_blocks}
[copy]
fail_evalue = {fail_evalue}
fail_percentile = {fail_percentile}
review_evalue = 1e-3
[provenance]
require_signature = {require_signature}
"""
VALUES = {
    "required": '["copy"]',
    "review_blocks": "false",
    "fail_evalue": 1e-6,
    "fail_percentile": 0.9,
    "require_signature": "false",
}
DAY = date(2026, 11, 26)
ID = "0123456789abcdef"
ENTRY = {
    "finding": f'"{ID}"',
    "track": '"song.mid"',
    "reason": '"licensed"',
    "who": '"A. Person"',
    "why": '"The publisher agreed."',
    "expires": "2027-01-31",
    "evidence": '"contracts/17.pdf"',
}
LEAST = {
    "schema": "contraste-policy/1",
    "name": "least",
    "copy": {"fail_evalue": 1e-5, "fail_percentile": 0.9, "review_evalue": 0.03},
}


def write_policy(path: Path, **changes: object) -> Path:
    path.write_text(POLICY.format(**{**VALUES, **changes}))
    return path


def policy(**tables: Any) -> Policy:
    values = read_policy().values
    changed = {name: {**values.get(name, {}), **table} for name, table in tables.items()}
    return check_policy({**values, **changed}, "p.toml")


def entry(**changes: str | None) -> str:
    """Return one entry of the file; None leaves a key out."""
    values = {**ENTRY, **changes}
    return "\n[[waiver]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None)


def write_waivers(path: Path, *entries: str) -> Path:
    file = path / "w.toml"
    file.write_text('schema = "contraste-waivers/1"\n' + "".join(entries))
    return file

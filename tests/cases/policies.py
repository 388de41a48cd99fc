"""Policies and waivers as files."""

from pathlib import Path

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


def write_policy(path: Path, **changes: object) -> Path:
    path.write_text(POLICY.format(**{**VALUES, **changes}))
    return path

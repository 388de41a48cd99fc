"""docs/report-json.md names the fields of the schema of report.json, each in the table of its object, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCHEMA = json.loads((ROOT / "reports" / "report.schema.json").read_text())
TABLE = re.compile(r"^\| (?P<name>[a-z ]+) \| holds \|\n\|---\|---\|\n(?P<rows>(?:\|.*\n)+)", re.M)


def list_schema_fields() -> dict[str, set[str]]:
    """Return the fields of each object of the schema by the name that the page gives it."""
    optional = {name: SCHEMA["properties"][name]["oneOf"][1] for name in ("course", "harmony", "sound")}
    window = optional["course"]["properties"]["windows"]["items"]
    shared = {name.replace("sound", "sound match"): part for name, part in SCHEMA["$defs"].items()}
    objects = {"report": SCHEMA, **optional, "window": window, **shared}
    return {name: set(part["properties"]) for name, part in objects.items() if "properties" in part}


def test_the_page_names_every_field_of_the_schema_and_no_other() -> None:
    page = (ROOT / "docs" / "report-json.md").read_text()
    rows = {match["name"]: re.findall(r"^\| (.*?) \|", match["rows"], re.M) for match in TABLE.finditer(page)}
    assert {name: set(re.findall(r"`(\w+)`", " ".join(cells))) for name, cells in rows.items()} == list_schema_fields()

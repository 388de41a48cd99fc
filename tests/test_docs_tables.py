"""Tables of the pages that follow a table of the program."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.media import SOUNDS
from metrics.measure import SPECS
from reports.formats import FORMS
from reports.language.translation import languages

DOCS = Path(__file__).parent.parent / "docs"


def read_cells(page: str, head: str) -> list[str]:
    """Return the code in the first column of the table whose first column has this head."""
    table = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", (DOCS / page).read_text(), re.M)
    assert table, f"{page} has no table of {head}"
    return [name for row in table[1].splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_metrics() -> None:
    assert read_cells("design/metrics.md", "name") == [spec.name for spec in SPECS]


def test_formats() -> None:
    assert sorted(read_cells("commands/audit.md", "`--format`")) == sorted(FORMS)


def test_kinds_of_sound() -> None:
    assert sorted(read_cells("commands/store.md", "suffix")) == sorted(SOUNDS)


def test_languages() -> None:
    assert sorted(read_cells("commands/audit.md", "language")) == sorted(languages())

"""`demo` as typed."""

from __future__ import annotations

from tests.cases.command import contraste, refused
from tests.cases.house import House, tree


def test_demo_never_removes_what_it_did_not_make(house: House) -> None:
    before = tree(house / "src")
    refused(contraste("demo", "--out", house / "src"), 2, "holds other things")
    refused(contraste("demo", "--out", house / "text.txt"), 2, "holds other things")
    assert tree(house / "src") == before

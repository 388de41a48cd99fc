"""Links of pages, and names of files and code in pages and docstrings, lead to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("", "docs", "docs/commands", "docs/design", "generator/pretrained")
ROOMS = ("audit", "bench", "commands", "corpus", "generator", "ledger", "metrics", "music", "reports", "tests")
PAGES = [page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH = re.compile(rf"`((?:docs|{'|'.join(ROOMS)})/[\w./*-]+)`")
FILES = [
    *PAGES,
    ROOT / "cli.py",
    ROOT / "messages.py",
    *(file for room in ROOMS for file in (ROOT / room).glob("*.py" if room == "tests" else "**/*.py")),
]
NAME = re.compile(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)`")
FENCE = re.compile(r"^```.*?^```", re.S | re.M)


def list_anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_module(name: str) -> tuple[Path, str]:
    """Return the file or folder that a dotted name begins with, and what follows, e.g. a function."""
    path, rest = ROOT, name.split(".")
    while rest and ((path / rest[0]).is_dir() or (path / f"{rest[0]}.py").is_file()):
        path = path / rest[0] if (path / rest[0]).is_dir() else path / f"{rest[0]}.py"
        rest = rest[1:]
    return path, ".".join(rest[:1])


def find_broken_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    broken = []
    for name, anchor in LINK.findall(FENCE.sub("", page.read_text())):
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in list_anchors(target.read_text())):
            broken.append(f"{name}#{anchor}" if anchor else name)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert find_broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_the_repository_are_there(page: Path) -> None:
    paths = [path for path in PATH.findall(FENCE.sub("", page.read_text())) if "NAME" not in path]
    assert [path for path in paths if not any(ROOT.glob(path.rstrip("/")))] == []


def test_names_of_modules_and_what_is_in_them_are_there() -> None:
    names = {(file, name) for file in FILES for name in NAME.findall(file.read_text()) if "NAME" not in name}
    assert len(names) > 100
    for file, name in names:
        path, rest = find_module(name)
        assert not rest or (path.is_file() and re.search(rf"\b{rest}\b", path.read_text())), f"{file}: {name}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page not in reached:
            reached.add(page)
            targets = (page.parent / name for name, _ in LINK.findall(page.read_text()) if name.endswith(".md"))
            left += [target.resolve() for target in targets]
    assert set(PAGES) <= reached


def test_a_broken_link_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A b: `c`\n[x](b.md) [y](#a-b-c) [z](#d) [w](https://example.org/none)\n```\n[v](e.md)\n```\n")
    assert find_broken_links(page) == ["b.md", "#d"]

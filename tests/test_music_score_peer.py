"""music21 reads the same notes, and plays the bars in the same order, in scores of many hands."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from bench.scores import EXPLAINED, corpus, differences

SMALL = 14_000  # bytes packed: music21 takes a second for a few hundred notes
A_FOLDER, CHORALES = 6, 20  # scores of one folder


def chosen() -> list[Path]:
    """List the smallest scores of every folder."""
    root = corpus()
    folders: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*.mxl"), key=lambda p: (p.stat().st_size, p.name)):
        folders.setdefault(path.relative_to(root).parts[0], []).append(path)
    return [
        path
        for folder, some in folders.items()
        for path in some[: CHORALES if folder == "bach" else A_FOLDER]
        if path.stat().st_size <= SMALL
    ]


def test_music21_agrees() -> None:
    pytest.importorskip("music21")
    root = corpus()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {path.relative_to(root).as_posix(): differences(path) for path in chosen()}
    assert len(found) >= 50
    assert {name: what for name, what in found.items() if what and name not in EXPLAINED} == {}
    assert {name for name in found if name in EXPLAINED} == {name for name, what in found.items() if what}

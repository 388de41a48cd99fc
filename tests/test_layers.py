"""Imports run one way: between folders, between the rooms of a folder, and between files, without any circle."""

import ast
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "music": set(),
    "ledger": set(),
    "metrics": {"music"},
    "corpus": {"music", "ledger"},
    "generator": {"music", "corpus"},
    "audit": {"music", "corpus", "metrics", "ledger"},
    "reports": {"audit", "music"},
    "commands": {"music", "ledger", "metrics", "corpus", "generator", "audit", "reports"},
}
FLOORS = {
    "music": "notes containers text | midi_events chords key voices audio | midi midi_edit | scores | read render "
    "| align",
    "ledger": "errors | paths media links ai_roles | hashes | staging | signing | provenance chains | anchors | "
    "exchange | verification | verify show",
    "generator": "data shipped | network | writing | training | sound evaluate",
    "audit": "findings checked_toml | report | policy_tables | policy | search | originality | corpus find | "
    "measures | gate opening disclosure | track compiled",
    "reports": "language json_report | drawings checks search_result | pages | exports | formats | verify diff",
    "commands": "shared | store search audit policy report train generate keys sign verify chain demo| demo",
}
"""Rooms and files of a folder, floor by floor: each imports from lower floors alone."""


def imports(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it; of ``from a import b`` both ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def violations(folder: str, names: set[str]) -> set[str]:
    """Folders that a file of `folder` imports and may not, and torch."""
    tops = {name.partition(".")[0] for name in names}
    wrong = (tops & {*ALLOWED, "cli"}) - ALLOWED[folder] - {folder}
    return wrong | (tops & {"torch"} if folder not in ("generator", "commands") else set())


def graph(root: Path, folders: Mapping[str, object]) -> dict[str, set[str]]:
    """Modules below `root`, each with those of them that it imports."""
    files = {
        ".".join(file.relative_to(root).with_suffix("").parts): file
        for folder in folders
        for file in sorted((root / folder).rglob("*.py"))
        if file.name != "__init__.py"
    }
    return {name: imports(file) & files.keys() for name, file in files.items()}


def circles(modules: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Yield circles of imports, which share no module, in what is left when all that merely hang on them are gone."""
    left = dict(modules)
    while True:
        needed = {need for needs in left.values() for need in needs}
        if hanging := [name for name, needs in left.items() if name not in needed or not needs & left.keys()]:
            left = {name: needs for name, needs in left.items() if name not in hanging}
        elif left:
            name, walk = next(iter(left)), []
            while name not in walk:
                walk.append(name)
                name = min(left[name] & left.keys())
            yield (circle := walk[walk.index(name) :])
            left = {name: needs for name, needs in left.items() if name not in circle}
        else:
            return


def climbs(folder: str, floors: str, modules: Mapping[str, set[str]]) -> list[str]:
    """Return imports within a folder that do not lead to a lower floor, and rooms that are on no floor."""
    floor = {name: k for k, names in enumerate(floors.split("|")) for name in names.split()}
    own = {name: name.split(".")[1] for name in modules if name.startswith(f"{folder}.")}
    unknown = {room for room in own.values() if room not in floor}
    known = {name: room for name, room in own.items() if room in floor}
    pairs = ((name, other) for name in known for other in modules[name] if other in known and own[name] != own[other])
    return sorted(unknown) + [f"{a} -> {b}" for a, b in pairs if floor[own[a]] <= floor[own[b]]]


def test_messages_lie_below_everything() -> None:
    assert not imports(ROOT / "messages.py") & {*ALLOWED, "cli"}


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_run_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        assert not violations(folder, imports(file)), file


@pytest.mark.parametrize("folder", sorted(FLOORS))
def test_rooms_of_a_folder_import_from_lower_floors_alone(folder: str) -> None:
    assert climbs(folder, FLOORS[folder], graph(ROOT, ALLOWED)) == []


def test_no_import_runs_in_a_circle() -> None:
    modules = graph(ROOT, ALLOWED)
    assert len(modules) > 150
    assert list(circles(modules)) == []


def test_no_test_imports_another() -> None:
    files = [*(ROOT / "tests").glob("*.py"), *(ROOT / "tests" / "cases").glob("*.py")]
    assert len(files) > 100
    for file in files:
        assert not [name for name in imports(file) if name.startswith(("tests.test_", "tests.conftest"))], file


def test_a_wrong_import_would_be_seen(tmp_path: Path) -> None:
    planted = tmp_path / "x.py"
    planted.write_text("def f():\n    from generator.network.model import Transformer\n    import torch\n")
    assert violations("audit", imports(planted)) == {"generator", "torch"}


def test_a_circle_and_a_climb_would_be_seen() -> None:
    modules = {"a.x.one": {"a.y.two"}, "a.y.two": {"a.x.three"}, "a.x.three": {"a.x.one"}, "a.y.four": set()}
    assert [sorted(circle) for circle in circles(modules)] == [["a.x.one", "a.x.three", "a.y.two"]]
    assert climbs("a", "x | y", modules) == ["a.x.one -> a.y.two"]
    assert climbs("a", "x", {"a.y.four": set()}) == ["y"]


def test_modules_that_hang_on_a_circle_are_not_in_it() -> None:
    circle = {"a.x.one": {"a.x.two", "a.z.low"}, "a.x.two": {"a.x.one"}}
    modules = {"a.w.top": {"a.v.next"}, "a.v.next": {"a.x.one"}, **circle, "a.z.low": {"b.outside"}}
    assert [sorted(found) for found in circles(modules)] == [["a.x.one", "a.x.two"]]
    bridge = {"a.y.bridge": {"a.x.one", "a.q.three"}, "a.q.three": {"a.q.four"}, "a.q.four": {"a.q.three"}}
    modules["a.x.two"] = {"a.x.one", "a.y.bridge"}
    assert {module for found in circles(modules | bridge) for module in found} >= {"a.x.one", "a.q.three"}
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": set()})) == []


def test_init_files_hold_a_docstring_only() -> None:
    files = list(itertools.chain(*((ROOT / folder).rglob("__init__.py") for folder in ALLOWED)))
    rooms = {file.parent for folder in ALLOWED for file in (ROOT / folder).rglob("*.py")}
    assert {file.parent for file in files} == rooms
    for file in files:
        body = ast.parse(file.read_text()).body
        assert len(body) == 1, file
        assert isinstance(body[0], ast.Expr), file


def test_a_room_holds_at_most_fifteen_files_and_a_file_at_most_450_lines() -> None:
    for folder in ALLOWED:
        for room in {file.parent for file in (ROOT / folder).rglob("*.py")}:
            files = list(room.glob("*.py"))
            assert len(files) <= 15, room
            for file in files:
                assert len(file.read_text().splitlines()) <= 450, file

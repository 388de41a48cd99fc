"""Lines of TOML files, worked by hand, and problems in their order."""

import time
from pathlib import Path

import pytest

from audit.checked_toml import TomlError, line_of, read_toml, schema_problems, toml_lines

TEXT = '''# a comment
schema = "x"

[a.b]
c = [
  1,
  2,
]
"d.e".f = 3
[[w]]
x = """
[not.a.table]
y = 3
"""
i = {q = 1}
[[w]]
[w.z]
k = 2
[[w.z.deep]]
[[w.z.deep]]
n = 1
'''


def test_lines_by_hand() -> None:
    lines = toml_lines(TEXT)
    wanted = {
        (): 1, ("schema",): 2, ("a",): 4, ("w",): 10,
        ("a", "b"): 4, ("a", "b", "c"): 5, ("a", "b", "d.e", "f"): 9, ("w", 0): 10,
        ("w", 0, "x"): 11, ("w", 0, "i"): 15, ("w", 0, "i", "q"): 15, ("w", 1): 16, ("w", 1, "z"): 17,
        ("w", 1, "z", "k"): 18, ("w", 1, "z", "deep", 1): 20, ("w", 1, "z", "deep", 1, "n"): 21,
    }  # fmt: skip
    assert {path: lines[path] for path in wanted} == wanted
    assert ("not", "a", "table") not in lines
    assert line_of(("a", "b", "c", 1), lines) == 5
    assert line_of(("w", 1, "missing"), lines) == 16  # the table around it


def test_long_lists_take_no_time() -> None:
    text = "a = [\n" + '"x",\n' * 20_000 + "]\nb = 1\n"
    begun = time.perf_counter()
    assert toml_lines(text)[("b",)] == 20_003
    assert time.perf_counter() - begun < 10
    hostile = "a = [\n" + '"]",\n' * 20_000 + "]\nb = 1\n"
    assert ("b",) not in toml_lines(hostile)  # given up, in bounded time
    assert line_of(("b",), toml_lines(hostile)) == 1


def test_carriage_returns_and_strange_separators_count_as_people_count() -> None:
    assert toml_lines("a = 1\r\nb = '\u2028\x85'\r\nc = 2\r\n")[("c",)] == 3


def test_problems_come_in_the_order_of_lines_and_name_every_unknown_key(tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    schema.write_text(
        '{"type": "object", "additionalProperties": false, "required": ["n", "m"], "properties": '
        '{"n": {"type": "number", "maximum": 3}, "m": {}}}'
    )
    text = "z = 1\nn = 7\ny = 2\n"
    assert schema_problems({"z": 1, "n": 7, "y": 2}, schema, toml_lines(text)) == [
        "line 1: the file: 'm' is a required property",
        "line 1: z: unknown key; known here: m, n",
        "line 2: n: 7 is greater than the maximum of 3",
        "line 3: y: unknown key; known here: m, n",
    ]
    nan = schema_problems({"n": float("nan"), "m": 1}, schema, {})
    assert nan == ["n: nan is no finite number"]  # NaN is not greater than 3 either, which the schema can't see


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    schema = tmp_path / "s.json"
    schema.write_text('{"properties": {"n": {"type": "number"}}}')
    (problem,) = schema_problems({"n": "x" * 100_000}, schema, {})
    assert len(problem) < 200


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    for data, says in (
        (b"a = 1\nb = \n", r"x\.toml: is not valid TOML: .*line 2"),
        (b"\xff\xfe", "is not valid TOML"),
        (b"a = 1\na = 2\n", "is not valid TOML"),
        (b"a = " + b"[" * 9_000, "is not valid TOML"),
        (b"a." * 4000 + b"a = 1\n", "lie more than 20 deep"),
        (b"a = " + b"[" * 30 + b"]" * 30, "lie more than 20 deep"),
        (b"#" * (2**17 + 1), "larger than 131072 bytes; a list is a short text"),
    ):
        file.write_bytes(data)
        with pytest.raises(TomlError, match=says):
            read_toml(file, "a list")
    with pytest.raises(TomlError, match=r"none\.toml: cannot be read"):
        read_toml(tmp_path / "none.toml", "a list")


def test_an_endless_line_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(f"x = 1\n{'.'.join(['a'] * 50_000)} = 1\n")
    with pytest.raises(TomlError, match="line 2: 100003 characters; 10000 are the limit"):
        read_toml(tmp_path / "p.toml", "a policy")

"""TOML files that people write, and what is wrong with them, by line.

The standard library's parser tells no lines. But a statement of TOML ends with its line, or with the line on which what
it opened is closed: so the shortest run of lines that the parser takes alone is one statement.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

KeyPath = tuple[str | int, ...]
MAX_BYTES = 2**17  # some 600 waivers; saying of each line what is wrong with it takes long
CLOSING = ("]", '"""', "'''")  # one of these stands on the last line of a statement of several lines
MAX_TRIALS = 100  # of ends of a statement; what stands after one that takes more is named without a line
MAX_TRIED = 4  # times the text, in all statements together; likewise
MAX_DEPTH = 20
MAX_LINE = 10_000
SHOWN = 3  # problems named in one message
CUT = 160  # characters of a message, which may quote a value


class TomlError(ValueError):
    """Raised when a file can't be used.

    Parameters
    ----------
    file : str
    problems : list of str
        Each names line, key, value and rule; the message holds the first `SHOWN`.
    """

    def __init__(self, file: str, problems: list[str]) -> None:
        """Put the message together."""
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        super().__init__(f"{file}: {'; '.join([*problems[:SHOWN], *more])}")
        self.problems = problems


def read_toml(file: Path, what: str) -> tuple[dict[str, Any], str]:
    """Return the values and the text of a TOML file; raises `TomlError`. `what` it is stands in the message."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise TomlError(str(file), [f"larger than {MAX_BYTES} bytes; {what} is a short text"])
        text = file.read_bytes().decode("utf-8")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > MAX_LINE:  # a key of 200,000 parts keeps the parser busy for minutes
                raise TomlError(str(file), [f"line {number}: {len(line)} characters; {MAX_LINE} are the limit"])
        values = tomllib.loads(text)
    except OSError as error:
        raise TomlError(str(file), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TomlError(str(file), [f"is not valid TOML: {error}"]) from error
    except RecursionError:
        raise TomlError(str(file), ["is not valid TOML: it is nested too deeply"]) from None
    level, deep = [values], 0
    while level:
        level = [inner for value in level for inner in _inside(value)]
        deep += 1
        if deep > MAX_DEPTH:
            raise TomlError(str(file), [f"tables and lists lie more than {MAX_DEPTH} deep in one another"])
    return values, text


def _inside(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return [found for found in inner if isinstance(found, dict | list)]


def toml_lines(text: str) -> dict[KeyPath, int]:
    """Line, from 1, on which each table and key of a valid TOML text begins; of tables named twice, the first."""
    lines, at, room = text.replace("\r\n", "\n").split("\n"), 0, MAX_TRIED * len(text)
    numbers: dict[KeyPath, int] = {(): 1}
    counts: dict[KeyPath, int] = {}  # tables of each array so far
    table: KeyPath = ()
    while at < len(lines):
        statement, end, tried = _statement(lines, at, room)
        room -= tried
        if statement is None:
            break
        if lines[at].lstrip().startswith("["):
            table = _header(statement, counts)
            for k in range(len(table)):
                numbers.setdefault(table[: k + 1], at + 1)
        else:
            for path in _paths(statement):
                numbers.setdefault((*table, *path), at + 1)
        at = end
    return numbers


def _statement(lines: list[str], at: int, room: int) -> tuple[dict[str, Any] | None, int, int]:
    """Parse the statement that begins on a line; return it, where the next one begins, and the characters tried.

    None where that takes more than `room` characters, or `MAX_TRIALS`.
    """
    trials = tried = 0
    for end in range(at + 1, len(lines) + 1):
        if end > at + 1 and not any(mark in lines[end - 1] for mark in CLOSING):
            continue
        text = "\n".join(lines[at:end])
        trials, tried = trials + 1, tried + len(text)
        if trials > MAX_TRIALS or tried > room:
            break
        try:
            return tomllib.loads(text), end, tried
        except tomllib.TOMLDecodeError:
            continue
    return None, len(lines), tried


def _header(statement: dict[str, Any], counts: dict[KeyPath, int]) -> KeyPath:
    """Path of the table that a header opens; `counts` is kept up to date."""
    path: KeyPath = ()
    value: Any = statement
    while value:
        name, value = next(iter(value.items()))
        path = (*path, name)
        if isinstance(value, list):  # [[name]]
            counts[path] = counts.get(path, 0) + 1
            value = value[0]
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _paths(value: Any) -> Iterator[KeyPath]:
    """Paths of everything inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (name,)
        yield from ((name, *path) for path in _paths(inner))


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Line of a key, or of the innermost table around it that has one; None without any lines."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def format_problem(path: KeyPath, lines: Mapping[KeyPath, int], message: str) -> str:
    """Write a problem: line, key, message."""
    line = line_of(path, lines)
    message = message if len(message) <= CUT else f"{message[: CUT - 3]}..."
    return f"{'' if line is None else f'line {line}: '}{'.'.join(map(str, path)) or 'the file'}: {message}"


def schema_problems(values: dict[str, Any], schema: Path, lines: Mapping[KeyPath, int]) -> list[str]:
    """Say what breaks a JSON Schema, in the order of lines; also numbers that are not finite, which JSON can't hold."""
    from jsonschema import Draft202012Validator

    problems: list[tuple[KeyPath, str]] = []
    for error in Draft202012Validator(json.loads(schema.read_bytes())).iter_errors(values):
        path: KeyPath = tuple(error.absolute_path)
        if error.validator == "additionalProperties" and error.validator_value is False:
            known = sorted(error.schema.get("properties", ()))
            for name in sorted(set(error.instance) - set(known)):
                problems.append(((*path, name), f"unknown key; known here: {', '.join(known)}"))
        elif "propertyNames" in error.absolute_schema_path:
            known = sorted(error.validator_value)
            problems.append(((*path, error.instance), f"unknown key; known here: {', '.join(known)}"))
        elif error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            problems += [(path, f"{name!r} is a required property") for name in missing if name in error.message]
        else:
            problems.append((path, error.message))
    for path in _paths(values):
        value: Any = values
        for name in path:
            value = value[name]
        if isinstance(value, float) and not math.isfinite(value):
            problems.append((path, f"{value} is no finite number"))
    problems = list(dict.fromkeys(problems))
    problems.sort(key=lambda problem: (line_of(problem[0], lines) or 0, [str(part) for part in problem[0]]))
    return [format_problem(path, lines, message) for path, message in problems]

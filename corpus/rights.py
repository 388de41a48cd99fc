"""Rights of a piece: licence, source, consent, and the identifiers a rights holder uses.

The rights file is CSV (UTF-8, comma, header line) with the column ``path`` and any of ``title, artist,
licence, source, consent, isrc, iswc``. ``path`` is the path of the piece below its source folder, or a shell
pattern ("album/*", "*" for everything); the most specific row wins: an exact path before patterns, and among
patterns the later row. An empty cell says nothing. Paths are compared in Unicode's normal form C and without a leading
"./", since file systems write the same name in several ways; case counts.
"""

from __future__ import annotations

import csv
import fnmatch
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20
MAX_PATTERNS = 1000
"""Rows with wildcards, each of which is compared with every path; rows of whole paths are looked up."""
CONSENTED = ("granted", "not_required")  # what allows use
CONSENTS = ("", *CONSENTED, "unknown", "opt_out")
_ISRC = re.compile(r"[A-Z]{2}-?[A-Z0-9]{3}-?\d{2}-?\d{5}")  # ISO 3901
_ISWC = re.compile(r"T-?\d{3}\.?\d{3}\.?\d{3}-?\d")  # ISO 15707


class RightsError(ValueError):
    """Raised when a rights file can't be used; the message names file, line, value and rule."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What is known about the right to use one piece; an empty string means nothing is known.

    Attributes
    ----------
    consent : str
        One of `CONSENTS`. "not_required" is for the public domain and one's own work.
    isrc, iswc : str
        ISO 3901 code of the recording, ISO 15707 code of the work.
    """

    licence: str = ""
    source: str = ""
    consent: str = ""
    isrc: str = ""
    iswc: str = ""

    @property
    def refusal(self) -> str:
        """Why the piece may never be used, or ""."""
        return "its rights say opt_out" if self.consent == "opt_out" else ""

    @property
    def consented(self) -> bool:
        """Whether a consent that allows use is on file."""
        return self.consent in CONSENTED

    @property
    def cleared(self) -> bool:
        """Whether a licence and a consent that allows use are on file."""
        return bool(self.licence) and self.consented


@dataclass(frozen=True, slots=True)
class RightsRow:
    """One line of the file: a path or pattern, what it says of the work, and its rights."""

    path: str
    title: str
    artist: str
    rights: Rights
    line: int = 0

    @property
    def is_pattern(self) -> bool:
        """Whether the path has wildcards."""
        return bool(set("*?[") & set(self.path))

    def covers(self, path: str) -> bool:
        """Whether the pattern matches `path`, in its normal form."""
        return fnmatch.fnmatchcase(path, self.path)


@dataclass(frozen=True)
class RightsTable:
    """All rows of a rights file; `look_up` finds what holds for a piece."""

    rows: tuple[RightsRow, ...] = ()

    def look_up(self, path: str) -> RightsRow | None:
        """Return the row for `path` (POSIX, below its source), or None."""
        path = normal(path)
        return self._exact.get(path) or next((row for row in self._patterns if row.covers(path)), None)

    def find_unmatched(self, paths: Iterable[str]) -> list[tuple[RightsRow, str]]:
        """Rows that match none of `paths`, each with a path that they were perhaps meant for, or ""."""
        known = {normal(path): path for path in paths}
        alike = {loose(path): path for path in known.values()}
        return [
            (row, alike.get(loose(row.path), ""))
            for row in self.rows
            if row.path not in known and not (row.is_pattern and any(map(row.covers, known)))
        ]

    @cached_property
    def _exact(self) -> dict[str, RightsRow]:
        return {row.path: row for row in self.rows}

    @cached_property
    def _patterns(self) -> list[RightsRow]:
        """Last row first; a row without a wildcard matches only as an exact path."""
        return [row for row in reversed(self.rows) if row.is_pattern]


def with_rights(line: dict[str, Any], row: RightsRow) -> dict[str, Any]:
    """Return what a store says of a piece, with what a row says of the work and its rights; empty cells say nothing."""
    values = {name: value for name, value in asdict(row.rights).items() if value}
    about = {name: value for name, value in (("title", row.title), ("artist", row.artist)) if value}
    return {**line, **about, "rights": {**line["rights"], **values}}


def normal(text: str) -> str:
    """Return a path or name as it is compared: in Unicode's normal form C, without a leading "./"."""
    return unicodedata.normalize("NFC", text).removeprefix("./")


def loose(text: str) -> str:
    """Return a path or name without what people mistype: case, the kind of slash, spaces around it."""
    return normal(text).replace("\\", "/").strip().casefold()


def read_rights(path: str | Path) -> RightsTable:
    """Read a rights file.

    Raises
    ------
    RightsError
        When the file can't be read, has no ``path`` column, an unknown column, a consent that is none of
        `CONSENTS`, a malformed ISRC or ISWC, the same path twice, or more than `MAX_PATTERNS` patterns.
    """
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:
            raise RightsError(f"{path}: {size} bytes; the limit is {MAX_BYTES}")
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            known = {"path", "title", "artist", *(f.name for f in fields(Rights))}
            unknown = sorted(set(reader.fieldnames or ()) - known)
            if "path" not in (reader.fieldnames or ()) or unknown:
                raise RightsError(
                    f"{path}: columns {reader.fieldnames}; 'path' is needed, "
                    f"and of others only {sorted(known)} are known"
                )
            rows = [_row(record, str(path), reader.line_num) for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RightsError(f"{path}: cannot be read as UTF-8 CSV: {error}") from error
    twice = [name for name, count in Counter(row.path for row in rows).items() if count > 1]
    if twice:
        raise RightsError(f"{path}: {sorted(twice)[0]!r} stands there twice; one line a path")
    patterns = sum(row.is_pattern for row in rows)
    if patterns > MAX_PATTERNS:
        raise RightsError(f"{path}: {patterns} paths with wildcards; the limit is {MAX_PATTERNS}, so name folders")
    return RightsTable(tuple(rows))


def _row(record: dict[str, str], file: str, line: int) -> RightsRow:
    where = f"{file}: line {line}"
    if None in record or any(value is None for value in record.values()):
        raise RightsError(f"{where}: the line has another number of cells than the header")
    cells = {key: value.strip() for key, value in record.items()}
    rights = Rights(**{f.name: cells.get(f.name, "") for f in fields(Rights)})
    if not cells["path"]:
        raise RightsError(f"{where}: the path is empty")
    if rights.consent not in CONSENTS:
        raise RightsError(
            f"{where}: consent {rights.consent!r}; it is one of {', '.join(c or '(empty)' for c in CONSENTS)}"
        )
    for name, pattern in (("isrc", _ISRC), ("iswc", _ISWC)):
        value = asdict(rights)[name]
        if value and not pattern.fullmatch(value):
            raise RightsError(f"{where}: {name} {value!r} is malformed")
    return RightsRow(normal(cells["path"]), cells.get("title", ""), cells.get("artist", ""), rights, line)

"""What ``contraste search`` says of one query: a line for people, or a record of ``--jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from audit.findings import EVERYTHING, Match, Unsearched, strongest_verdict
from reports.json_report import plain

FIELDS = (
    *("piece", "verdict", "query_span_s", "piece_span_s", "query_bars", "piece_bars", "query_shown", "piece_shown"),
    *("transposition", "tempo_ratio", "matched", "notes", "in_time", "bits", "evalue", "percentile", "other_works"),
    *("commonplace", "allowed"),
)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found for one query.

    Attributes
    ----------
    query : str
        Path of the query.
    matches : tuple of Match
        Strongest first.
    left_out : Unsearched
        Pieces of the corpus that were not searched.
    not_searched : tuple of str
        What of the query was not searched, and why.
    remarks : tuple of str
        What reading the query left out or mended.
    unreadable : str
        Why the query could not be read, or "".
    """

    query: str
    matches: tuple[Match, ...] = ()
    left_out: Unsearched = EVERYTHING
    not_searched: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def verdict(self) -> Literal["fail", "review", "clear", "incomplete", "unreadable"]:
        """The strongest verdict among the matches; "incomplete" where it would be "clear", and not all was searched."""
        if self.unreadable:
            return "unreadable"
        verdict = strongest_verdict([match.verdict for match in self.matches])
        return "incomplete" if self.not_searched and verdict == "clear" else verdict

    def to_json(self) -> dict[str, Any]:
        """Return one line of ``--jsonl``: ``query``, ``verdict``, and ``findings`` with their `FIELDS`.

        Where they apply, ``not_searched``, ``remarks``, and ``partial`` with ``pieces_left_out`` and ``segments``; of a
        query that can't be read ``reason`` instead.
        """
        record: dict[str, Any] = {"query": self.query, "verdict": self.verdict}
        if self.unreadable:
            return dict(plain(record | {"reason": self.unreadable}))
        record["findings"] = [
            {name.replace("shown", "printed"): getattr(match, name) for name in FIELDS} for match in self.matches
        ]
        if self.left_out.pieces:
            segments = [name for name, _ in self.left_out.segments]
            record["partial"] = {"pieces_left_out": self.left_out.pieces, "segments": segments}
        if self.not_searched:
            record["not_searched"] = list(self.not_searched)
        if self.remarks:
            record["remarks"] = list(self.remarks)
        return dict(plain(record))

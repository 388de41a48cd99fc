"""report.json and the search records: canonical bytes, rounding, schema, contract."""

import dataclasses
import json
import math

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from audit.findings import Finding, Link, MetricResult, PassageNote
from audit.report import AuditReport, Skipped
from reports.json_report import SCHEMA_FILE, ReportError, canonical, plain, report_json, round_digits
from reports.search_result import SearchResult
from tests.cases.reports import FINDING

REPORT = AuditReport(
    outcome="fail",
    sentence="It matches.",
    reasons=("bars 1-8",),
    track={"name": "x.mid", "duration_s": 30.123456789},
    store={"digest": "ab" * 32, "pieces": 3},
    policy={"name": "default", "values": {"copy": {"fail_evalue": 1e-6}, "gate": {"required": ["copy"]}}},
    tool={"name": "contraste", "version": "0"},
    findings=(FINDING,),
    metrics=(MetricResult("bleu", "Runs.", 0.5, 0.1, math.nan, "higher", "a.mid"),),
    provenance=(Link("anchor", "x", "simulated", "block 1"),),
    skipped=(Skipped("metrics: phash", "no sound", True),),
    limits=("One store.",),
)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1 / 3, 0.333333),
        (123456.789, 123457.0),
        (1.23456789e-300, 1.23457e-300),
        (-2.0000004, -2.0),
        (math.nan, None),
        (-math.inf, None),
    ],
)
def test_numbers_have_six_significant_digits(value: float, wanted: float | None) -> None:
    assert round_digits(value) == wanted


def test_negative_zero_is_zero() -> None:
    assert math.copysign(1, round_digits(-0.0) or 0.0) == 1
    assert canonical([-0.0, -1e-400]) == b"[0,0]"


def test_canonical_form_follows_rfc_8785() -> None:
    # Keys sorted, no spaces, shortest numbers, as in RFC 8785 section 3.2.
    assert canonical({"b": 1.0, "a": [1e21, 0.000001, "\u20ac", None, True]}) == (
        b'{"a":[1e+21,0.000001,"\xe2\x82\xac",null,true],"b":1}'
    )


def test_numpy_values_become_plain_ones() -> None:
    found = plain({"i": np.int64(3), "f": np.float32(0.1), "t": (np.float64(2.5),)})
    assert found == {"i": 3, "f": 0.1, "t": [2.5]}
    assert type(found["i"]) is int
    assert type(found["f"]) is float


def test_lone_surrogates_are_replaced() -> None:
    assert canonical({"title\udcff": "a\ud800b"}) == '{"title\ufffd":"a\ufffdb"}'.encode()


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ReportError, match=r"is a bytes; reports hold text"):
        plain({"digest": b"\x00"})
    with pytest.raises(ReportError, match="RFC 8785"):
        canonical({"n": 2**60})


def test_report_obeys_its_schema_and_repeats_byte_for_byte() -> None:
    data = report_json(REPORT)
    assert data == report_json(dataclasses.replace(REPORT))
    read = json.loads(data)
    schema = json.loads(SCHEMA_FILE.read_bytes())
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(read))
    assert read["findings"][0]["query_span_s"] == [0.333333, 9.5]
    assert read["metrics"][0]["chance_p95"] is None
    assert read["track"]["duration_s"] == 30.1235
    assert json.dumps(read, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()[:20] == data[:20]


def test_schema_names_every_field_of_the_report() -> None:
    schema = json.loads(SCHEMA_FILE.read_bytes())
    kinds = {"finding": Finding, "metric": MetricResult, "link": Link, "skipped": Skipped, "note": PassageNote}
    for name, kind in kinds.items():
        names = {f.name for f in dataclasses.fields(kind)}
        assert set(schema["$defs"][name]["properties"]) == names
        assert names - set(schema["$defs"][name]["required"]) == ({"code"} if kind is Link else set())
    assert set(schema["required"]) == {f.name for f in dataclasses.fields(AuditReport)}


def test_schema_refuses_an_altered_report() -> None:
    read = json.loads(report_json(REPORT))
    read["findings"][0]["verdict"] = "guilty"
    validator = Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes()))
    assert [list(e.absolute_path) for e in validator.iter_errors(read)] == [["findings", 0, "verdict"]]


def test_search_record_holds_the_contract() -> None:
    record = SearchResult("x.mid", (FINDING,)).to_json()
    assert (record["query"], record["verdict"]) == ("x.mid", "fail")
    (found,) = record["findings"]
    assert found["piece"] == "tunes/a.mid"
    assert found["query_span_s"] == [0.333333, 9.5]
    assert found["piece_span_s"] == [12.0, 21.5]
    wanted = {"transposition": 5, "tempo_ratio": 0.964912, "matched": 38, "notes": 40, "evalue": 1.23457e-12}
    assert {name: found[name] for name in wanted} == wanted
    assert found["percentile"] == 0.999
    assert (found["bits"], found["verdict"], found["query_bars"], found["piece_bars"]) == (
        101.235,
        "fail",
        [1, 8],
        [9, 16],
    )
    assert "query_notes" not in found
    json.dumps(record, allow_nan=False)


def test_unreadable_record_gives_the_reason() -> None:
    assert SearchResult("x.mid", unreadable="no header").to_json() == {
        "query": "x.mid",
        "verdict": "unreadable",
        "reason": "no header",
    }

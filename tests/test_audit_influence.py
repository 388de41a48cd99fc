"""Influence: shares sum to 1, whatever the order; more of a copy is a larger share; nothing found is nobody's."""

import csv
import dataclasses
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies._internal.random import ArtificialRandom
from jsonschema import Draft202012Validator

import reports.exports.influence
from audit.findings import Finding, PassageNote
from audit.measures.influence import NO_CLAIM, NO_RECORDINGS, Ledger, Share, share_influence
from audit.policy import read_policy
from music.notes import NoteSequence, build
from reports.exports.influence import COLUMNS, influence_csv, influence_json
from tests.cases.reports import HOSTILE, finding, report

SLOPE, RULES = 0.5, read_policy().copy
SCHEMA = json.loads(Path(reports.exports.influence.__file__).with_name("influence.schema.json").read_bytes())


def track(notes: int = 64) -> NoteSequence:
    return build(np.arange(notes) * 1.0, np.ones(notes), 60 + np.arange(notes) % 12)


def passage(first: int, end: int, piece: str = "a.mid", evalue: float = 1e-9, **changes: Any) -> Finding:
    sequence = track()
    notes = tuple(
        PassageNote(float(sequence.onset_s[k]), 0.5, int(sequence.pitch[k]), 0, k, True) for k in range(first, end)
    )
    made = finding(abs(hash((first, end, piece))) % 2**60, piece=piece, query_notes=notes, evalue=evalue, bits=80.0)
    return dataclasses.replace(made, **changes)


def composition(*findings: Finding) -> Ledger:
    return share_influence(track(), findings, SLOPE, RULES)[0]


def test_a_planted_copy_has_its_share_of_the_notes_as_far_as_chance_does_not_explain_it() -> None:
    found = composition(passage(0, 16, evalue=2.0**-30))
    assert found.pieces[0].share.share == pytest.approx(16 / 64 * 60 / 80)
    assert found.unattributed.share == pytest.approx(1 - 16 / 64 * 60 / 80)
    assert found.pieces[0].share.low < found.pieces[0].share.share < found.pieces[0].share.high
    assert found.holders[0].share == found.pieces[0].share


def test_more_of_a_copy_and_a_rarer_one_have_more() -> None:
    shares = [composition(passage(0, n)).pieces[0].share.share for n in (8, 16, 32, 64)]
    assert shares == sorted(set(shares))
    shares = [composition(passage(0, 16, evalue=e)).pieces[0].share.share for e in (0.01, 1e-3, 1e-4, 1e-9)]
    assert shares == sorted(set(shares))


def test_pieces_that_claim_the_same_notes_divide_them() -> None:
    found = composition(passage(0, 16, "a.mid"), passage(0, 16, "b.mid"))
    alone = composition(passage(0, 16, "a.mid"))
    assert [p.share.share for p in found.pieces] == pytest.approx([alone.pieces[0].share.share / 2] * 2)
    assert found.unattributed.share == pytest.approx(alone.unattributed.share)
    assert found.holders[0].pieces == 2
    assert found.holders[0].share.share == pytest.approx(alone.pieces[0].share.share)


def test_two_passages_of_one_piece_count_a_note_once() -> None:
    twice = composition(passage(0, 16), passage(4, 16))
    assert twice.pieces[0].share == composition(passage(0, 16)).pieces[0].share
    assert len(twice.pieces[0].findings) == 2


@pytest.mark.parametrize(
    "findings", [(), (passage(0, 16, evalue=1.0),), (passage(0, 16, evalue=0.02),), (passage(0, 16, evalue=3.0),)]
)
def test_what_chance_explains_is_nobodys(findings: tuple[Finding, ...]) -> None:
    found, recording = share_influence(track(), findings, SLOPE, RULES)
    assert (found.pieces, found.holders, found.unattributed) == ((), (), Share(1.0, 1.0, 1.0))
    assert (found.reason, recording.reason) == (NO_CLAIM, NO_RECORDINGS)
    assert recording.unattributed.share == 1
    assert share_influence(track(), findings, SLOPE, RULES, unsearched="too short")[0].reason == "too short"


def test_a_common_figure_needs_stronger_evidence_and_claims_less() -> None:
    def share(evalue: float, **changes: Any) -> float:
        pieces = share_influence(track(), [passage(0, 16, evalue=evalue, **changes)], SLOPE, RULES)[0].pieces
        return pieces[0].share.share if pieces else 0.0

    assert share(1e-4, commonplace="scale") == 0
    assert share(1e-4, other_works=10) == 0  # that of ten other works is as common, for the verdict too
    assert share(1e-4, other_works=9) > 0
    assert share(1e-12, commonplace="scale") == pytest.approx(share(1e-9))
    assert share(1e-12) > share(1e-12, commonplace="scale")


def test_licensed_and_waived_pieces_are_owed_for_too() -> None:
    assert composition(passage(0, 16, allowed="licence MIT", verdict="clear")).pieces


def test_drums_have_no_share() -> None:
    empty = build(np.zeros(0), np.zeros(0), np.zeros(0, int))
    assert share_influence(empty, (), SLOPE, RULES)[0].unattributed.share == 1


spans = st.tuples(
    st.integers(0, 60),
    st.integers(1, 30),
    st.sampled_from("abcd"),
    st.floats(1e-30, 5),
    st.sampled_from(["", "X", "Y"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(spans, max_size=6), st.randoms(use_true_random=False))
def test_shares_sum_to_one_in_any_order(
    drawn: list[tuple[int, int, str, float, str]], random: ArtificialRandom
) -> None:
    owner = {piece: artist for _, _, piece, _, artist in drawn}
    findings = [
        passage(a, min(a + n, 64), f"{piece}.mid", evalue, artist=owner[piece]) for a, n, piece, evalue, _ in drawn
    ]
    ledgers = share_influence(track(), findings, SLOPE, RULES)
    mixed = list(findings)
    random.shuffle(mixed)
    assert influence_json(report(), share_influence(track(), mixed, SLOPE, RULES)) == influence_json(report(), ledgers)
    value = json.loads(influence_json(report(), ledgers))
    Draft202012Validator(SCHEMA).validate(value)
    for exact, ledger in zip(ledgers, value["ledgers"], strict=True):
        rest = ledger["unattributed"]["share"]
        assert exact.unattributed.share + sum(p.share.share for p in exact.pieces) == pytest.approx(1, abs=1e-12)
        assert rest + sum(p["share"] for p in ledger["pieces"]) == pytest.approx(1, abs=1e-12)
        assert rest + sum(h["share"] for h in ledger["holders"]) == pytest.approx(1, abs=1e-12)
        for entry in (*ledger["pieces"], *ledger["holders"], ledger["unattributed"]):
            assert 0 <= entry["low"] <= entry["share"] <= entry["high"] <= 1


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_the_csv_has_a_row_for_each_piece_and_for_the_rest() -> None:
    found = rows(
        influence_csv(report(), share_influence(track(), [passage(0, 16), passage(20, 40, "b.mid")], SLOPE, RULES))
    )
    assert [(row["right"], row["kind"], row["piece"]) for row in found] == [
        ("composition", "piece", "b.mid"), ("composition", "piece", "a.mid"), ("composition", "unattributed", ""),
        ("recording", "unattributed", ""),
    ]  # fmt: skip
    assert sum(float(row["share"]) for row in found[:3]) == pytest.approx(1, abs=1e-9)
    assert found[3]["reason"] == NO_RECORDINGS
    assert found[0]["licence"] == "CC0-1.0"


@pytest.mark.parametrize("text", [*HOSTILE.values(), "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_cell_of_the_csv_is_a_formula(text: str) -> None:
    bad = passage(0, 16, piece=text, title=text, artist=text, rights={"licence": text, "isrc": text})
    data = influence_csv(report(track={"name": text, "sha256": text}), share_influence(track(), [bad], SLOPE, RULES))
    found = rows(data)
    assert len(found) == 3
    assert set(found[0]) == set(COLUMNS)
    for cell in itertools.chain.from_iterable(row.values() for row in found):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    Draft202012Validator(SCHEMA).validate(
        json.loads(influence_json(report(track={"name": text}), share_influence(track(), [bad], SLOPE, RULES)))
    )

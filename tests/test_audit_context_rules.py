"""Rules on the corpus, on style, and on what lies beside a track; outcome of a whole judgement under a policy."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.findings import Link
from audit.gate.context_rules import LEAST, judge_context
from audit.gate.waivers import read_waivers
from audit.policy import Policy
from audit.report import RuleResult
from audit.search.corpus import SearchCorpus
from audit.search.index_build import build_index
from audit.search.significance import Calibration
from audit.track import Compared, conclude
from corpus.ingest import ingest
from corpus.rights import read_rights
from corpus.store import Store
from ledger.hashes.digest import hash_bytes
from ledger.provenance.record import write_record
from ledger.signing.statement import Material
from music.midi import write_midi
from music.notes import NoteSequence, build
from tests.test_audit_rules import policy
from tests.test_audit_waivers import DAY, entry, written

RIGHTS = """path,artist,licence,consent
0*.mid,Ours,CC0,granted
1*.mid,Theirs,CC0,granted
20.mid,Theirs,,granted
21.mid,Theirs,CC0,unknown
"""


def walk(number: int, steps: tuple[int, ...] = (1, 2, 3)) -> NoteSequence:
    rng = np.random.default_rng(number)
    pitch = np.clip(60 + np.cumsum(rng.choice(steps, 40) * rng.choice((-1, 1), 40)), 30, 90)
    gaps = rng.choice([0.5, 1.0], 40)
    return build(np.concatenate([[0], np.cumsum(gaps)[:-1]]), gaps, pitch)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SearchCorpus:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(22):
        write_midi(walk(i), folder / "src" / f"{i:02d}.mid")
    (folder / "rights.csv").write_text(RIGHTS)
    ingest([folder / "src"], folder / "store", rights=read_rights(folder / "rights.csv"), workers=1)
    store = Store.open(folder / "store")
    index = build_index(store)
    return SearchCorpus(store, index, Calibration(1.0, 0.0, index.notes, ()))


@pytest.fixture
def track(tmp_path: Path) -> Path:
    write_midi(walk(99), tmp_path / "song.mid")
    return tmp_path / "song.mid"


def around(
    of: Policy, corpus: SearchCorpus, track: Path, notes: NoteSequence | None = None, links: tuple[Link, ...] = ()
) -> dict[str, RuleResult]:
    return {rule.id: rule for rule in judge_context(of, corpus, track, walk(99) if notes is None else notes, links)}


def test_a_policy_that_asks_for_nothing_has_no_rules_here(corpus: SearchCorpus, track: Path) -> None:
    assert around(policy(), corpus, track) == {}


def test_rights_of_the_corpus(corpus: SearchCorpus, track: Path) -> None:
    asked = {"opt_out": "fail", "licence_missing": "review", "consent_missing": "review"}
    found = around(policy(rights={"corpus": asked}), corpus, track)
    assert {name: (rule.verdict, rule.detail) for name, rule in found.items()} == {
        "rights.corpus.opt_out": ("pass", "0 of 22 opted out"),
        "rights.corpus.licence_missing": ("review", "1 of 22 without a licence on file: 20.mid"),
        "rights.corpus.consent_missing": ("review", "1 of 22 without a consent on file: 21.mid"),
    }
    out = {"artists": ["Ours"], "pieces": ["1[0-4].mid"]}
    found = around(policy(rights={"corpus": asked, "opted_out": out}), corpus, track)
    detail = "15 of 22 opted out: 00.mid, 01.mid, 02.mid, ..."
    assert (found["rights.corpus.opt_out"].verdict, found["rights.corpus.opt_out"].detail) == ("fail", detail)


def test_style_is_too_close_within_and_too_far(corpus: SearchCorpus, track: Path) -> None:
    of = policy(style={"fail_below": 0.01, "fail_above": 1.0})
    notes = {"copied": corpus.store.notes(3), "of them": walk(90), "other": walk(99, (7, 11, 12))}
    found = {name: around(of, corpus, track, played)["style"] for name, played in notes.items()}
    assert {name: rule.verdict for name, rule in found.items()} == {
        "copied": "fail",
        "of them": "pass",
        "other": "fail",
    }
    assert found["copied"].detail == (
        "0 % of 22 pieces lie nearer to their nearest neighbour; fail_below 0.01, fail_above 1"
    )
    assert found["other"].detail.startswith("100 % of 22")


def test_style_that_can_not_be_measured_is_skipped(corpus: SearchCorpus, track: Path) -> None:
    assert LEAST == 20
    few = around(policy(style={"artist": "Ours", "review_below": 0.01}), corpus, track)["style"]
    assert (few.verdict, few.required) == ("skipped", False)
    assert few.detail == "the corpus has 10 works by 'Ours' to compare with, and 20 are needed"
    assert around(policy(style={"artist": "Ours", "fail_below": 0.01}), corpus, track)["style"].required
    silent = around(policy(style={"review_below": 0.01}), corpus, track, build([], [], []))["style"]
    assert (silent.verdict, silent.detail) == ("skipped", "the track holds no notes")


def test_an_older_store_makes_the_audit_incomplete(corpus: SearchCorpus, track: Path) -> None:
    found = around(policy(store={"min_pieces": 22, "min_index": 3, "complete": True}), corpus, track)
    assert {rule.verdict for rule in found.values()} == {"pass"}
    of = policy(store={"min_pieces": 23, "min_index": 4})
    found = around(of, corpus, track)
    assert {name: (rule.verdict, rule.required, rule.detail) for name, rule in found.items()} == {
        "store.min_pieces": ("skipped", True, "22 pieces of the 23 that the policy asks for"),
        "store.min_index": ("skipped", True, "version 3 of at least 4"),
    }
    report = conclude(corpus, of, Compared({"name": "song.mid"}), around=tuple(found.values()))
    assert report.outcome == "incomplete"
    assert report.sentence == (
        "The audit is incomplete: the policy requires store.min_pieces, which the corpus does not meet: "
        "22 pieces of the 23 that the policy asks for."
    )
    assert [s.check for s in report.skipped if s.required] == ["store.min_pieces", "store.min_index"]


def test_what_was_added_since_was_not_searched(corpus: SearchCorpus, track: Path) -> None:
    of = policy(store={"complete": True})
    earlier = SearchCorpus(replace(corpus.store, digest="0" * 64), corpus.index, corpus.calibration)
    rule = around(of, earlier, track)["store.complete"]
    assert (rule.verdict, rule.detail) == ("skipped", "the store has grown since; wait for 'contraste ingest' to end")
    gone = SearchCorpus(corpus.store, replace(corpus.index, segments=()), corpus.calibration)
    rule = around(of, gone, track)["store.complete"]
    assert (rule.verdict, rule.detail) == ("skipped", "22 of 22 pieces are not in it")


def credential(verdict: str) -> tuple[Link, ...]:
    return (Link("track", "song.mid", "ok", ""), Link("credential", "song.wav", verdict, "said"))


@pytest.mark.parametrize(
    ("links", "verdict"),
    [
        ((), "review"),
        (credential("ok"), "pass"),
        (credential("unchecked"), "skipped"),
        (credential("missing"), "review"),
        (credential("broken"), "review"),
        ((*credential("unchecked"), *credential("ok")), "pass"),
    ],
)
def test_credentials(corpus: SearchCorpus, track: Path, links: tuple[Link, ...], verdict: str) -> None:
    of = policy(disclosure={"credential": "review"})
    assert around(of, corpus, track, links=links)["disclosure.credential"].verdict == verdict


def test_roles_of_ai(corpus: SearchCorpus, track: Path) -> None:
    of = policy(disclosure={"roles": "fail"})
    found = around(of, corpus, track)["disclosure.roles"]
    assert (found.verdict, found.detail) == ("fail", "nothing is said")
    write_record(track, "track", materials=[Material("model", "m", hash_bytes(b"m"))])
    found = around(of, corpus, track)["disclosure.roles"]
    assert (found.verdict, found.detail) == ("pass", "composition all, instrumentation all")
    wider = policy(disclosure={"roles": "fail", "role_names": ["composition", "vocals"]})
    found = around(wider, corpus, track)["disclosure.roles"]
    assert (found.verdict, found.detail) == ("fail", "composition all, instrumentation all; nothing of vocals")
    track.with_name("song.mid.nft.json").write_text('{"ai_disclosure": {"vocals": "none"}}')
    assert around(wider, corpus, track)["disclosure.roles"].verdict == "pass"
    track.with_name("song.mid.nft.json").write_text('{"ai_disclosure": {"composition": "none"}}')
    found = around(of, corpus, track)["disclosure.roles"]
    assert found.verdict == "fail"
    assert "names a model that made it" in found.detail


# The whole judgement


@pytest.fixture
def waivers_of(tmp_path: Path) -> Iterator[Any]:
    return lambda *entries, day=DAY: read_waivers(written(tmp_path, *entries), day)


def test_a_waiver_of_a_rule_in_the_report(corpus: SearchCorpus, track: Path, waivers_of: Any) -> None:
    of = policy(disclosure={"roles": "fail"})
    rules = judge_context(of, corpus, track, walk(99), ())
    assert conclude(corpus, of, Compared({"name": "song.mid"}), around=rules).outcome == "fail"
    given = waivers_of(entry(finding='"disclosure.roles"'), entry(track='"other.mid"'), entry())
    report = conclude(corpus, of, Compared({"name": "song.mid"}), around=rules, waivers=given)
    assert report.outcome == "pass"
    (waived,) = [rule for rule in report.rules if rule.waived]
    assert (waived.id, waived.verdict) == ("disclosure.roles", "fail")
    assert [(w.line, w.state) for w in report.waivers] == [(3, "applied"), (21, "unmatched")]
    assert report.policy["waivers"] == {"file": "w.toml", "sha256": given.sha256, "today": "2026-11-26"}
    assert report == conclude(corpus, of, Compared({"name": "song.mid"}), around=rules, waivers=given)


def test_an_expired_waiver_fails_the_tracks_it_names(corpus: SearchCorpus, waivers_of: Any) -> None:
    of = policy()
    given = waivers_of(entry(expires="2026-11-25"))
    report = conclude(corpus, of, Compared({"name": "song.mid"}), waivers=given)
    assert report.outcome == "fail"
    assert report.reasons == (
        "rule waivers (no waiver has expired) does not hold: "
        "w.toml: line 3: of 0123456789abcdef, expired on 2026-11-25",
    )
    assert conclude(corpus, of, Compared({"name": "other.mid"}), waivers=given).outcome == "pass"


def test_without_waivers_a_report_has_no_clock(corpus: SearchCorpus) -> None:
    report = conclude(corpus, policy(), Compared({"name": "song.mid"}))
    assert "waivers" not in report.policy
    assert report.waivers == ()
    assert "waivers" not in {rule.id for rule in report.rules}

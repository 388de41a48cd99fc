"""What each rule says, worked by hand; and what rules and waivers make of the outcome."""

from dataclasses import replace
from typing import Any

import pytest

from audit.findings import Finding, Link, MetricResult, Waiver
from audit.gate.outcome import decide_outcome, state_outcome
from audit.gate.rules import can_be_waived, judge_rules
from audit.policy import Policy, check_policy, read_policy
from audit.policy_tables import RULES
from audit.report import RuleResult, Skipped
from tests.test_reports_json_report import FINDING

METRIC = MetricResult("phash_64", "Sound.", 12.0, 30.0, 20.0, "lower", "a.mid")
KEY = "ab" * 32


def policy(**tables: Any) -> Policy:
    values = read_policy().values
    changed = {name: {**values.get(name, {}), **table} for name, table in tables.items()}
    return check_policy({**values, **changed}, "p.toml")


def rules(
    of: Policy,
    findings: tuple[Finding, ...] = (),
    metrics: tuple[MetricResult, ...] = (METRIC,),
    links: tuple[Link, ...] = (),
    skipped: tuple[Skipped, ...] = (),
    signer: str = "",
) -> dict[str, RuleResult]:
    found = list(judge_rules(of, findings, metrics, links, skipped, signer))
    assert len({rule.id for rule in found}) == len(found)
    return {rule.id: rule for rule in found}


def verdicts(found: dict[str, RuleResult], table: str) -> dict[str, str]:
    return {name: rule.verdict for name, rule in found.items() if name.startswith(table)}


def finding(**changes: Any) -> Finding:
    return replace(FINDING, **changes)


def waiver(state: str = "applied") -> Waiver:
    return Waiver("0123456789abcdef", "*", "licensed", "A", "B", "2027-01-31", "C", 3, state)  # type: ignore[arg-type]


def test_every_rule_that_fails_can_be_named() -> None:
    assert can_be_waived("disclosure.roles")
    assert can_be_waived("metrics.bleu")
    assert {rule for rule in RULES if not can_be_waived(rule)} == {
        *("copy", "sound", "metrics", "provenance", "provenance.intact", "waivers"),
        *("store.min_pieces", "store.min_index", "store.complete"),
    }
    assert not can_be_waived("luck")


def test_copies() -> None:
    assert rules(policy())["copy"].verdict == "pass"
    review, fail = finding(verdict="review"), finding(id="1" * 16)
    found = rules(policy(), (review, fail, finding(verdict="clear")))["copy"]
    assert (found.verdict, found.detail) == ("fail", "2 of 3 findings are not clear")
    found = rules(policy(), (review, replace(fail, waiver=waiver())))["copy"]
    assert (found.verdict, found.detail) == ("review", "2 of 2 findings are not clear, 1 of them waived")
    assert rules(policy(), (replace(fail, waiver=waiver("expired")),))["copy"].verdict == "fail"


def test_a_part_of_the_corpus_that_was_not_searched_may_hold_a_copy() -> None:
    gap = (Skipped("copy", "1 of 2 pieces were left out", True),)
    assert rules(policy(), skipped=gap)["copy"].verdict == "skipped"
    assert rules(policy(), (finding(verdict="review"),), skipped=gap)["copy"].verdict == "skipped"
    assert rules(policy(), (finding(),), skipped=gap)["copy"].verdict == "fail"


def test_metrics_and_their_bounds() -> None:
    of = policy(metrics={"phash_64": {"review_below": 6, "fail_below": 2}})
    near = replace(METRIC, value=5.0, verdict="review")
    found = rules(of, metrics=(near,))["metrics.phash_64"]
    assert (found.verdict, found.detail) == ("review", "5 against a.mid; fail_below 2, review_below 6")
    gap = (Skipped("metrics:phash_64", "no sound", False),)
    found = rules(of, metrics=(), skipped=gap)["metrics.phash_64"]
    assert (found.verdict, found.required, found.detail[:8]) == ("skipped", True, "no sound")
    lenient = policy(metrics={"phash_64": {"review_below": 6}})
    assert not rules(lenient, metrics=(), skipped=gap)["metrics.phash_64"].required
    gap = (Skipped("metrics:phash_64", "no sound", True),)
    assert rules(lenient, metrics=(), skipped=gap)["metrics"].verdict == "skipped"


ALL = {"opt_out": "fail", "licence_missing": "review", "consent_missing": "review"}


@pytest.mark.parametrize(
    ("rights", "artist", "says"),
    [
        ({"licence": "CC0", "consent": "granted"}, "", ("pass", "pass", "pass")),
        ({"licence": "CC0", "consent": "not_required"}, "", ("pass", "pass", "pass")),
        ({"licence": "", "consent": "granted"}, "", ("pass", "review", "pass")),
        ({"licence": "CC0", "consent": "unknown"}, "", ("pass", "pass", "review")),
        ({}, "", ("pass", "review", "review")),
        ({"licence": "CC0", "consent": "opt_out"}, "", ("fail", "pass", "review")),
        ({"licence": "CC0", "consent": "granted"}, "Them", ("fail", "pass", "pass")),
        ({"licence": "CC0", "consent": "granted", "isrc": "GBAAA2600001"}, "", ("fail", "pass", "pass")),
        ({"licence": "CC0", "consent": "granted", "isrc": "GBAAA2600002"}, "", ("pass", "pass", "pass")),
        ({"licence": "CC0", "consent": "granted", "iswc": "T-000.000.001-0"}, "", ("fail", "pass", "pass")),
    ],
)
def test_rights_of_sources(rights: dict[str, str], artist: str, says: tuple[str, ...]) -> None:
    out = {"artists": ["Them"], "pieces": ["refused/*"], "isrcs": ["GBAAA2600001"], "iswcs": ["T-000.000.001-0"]}
    of = policy(rights={"findings": ALL, "opted_out": out})
    found = verdicts(rules(of, (finding(rights=rights, artist=artist),)), "rights")
    assert tuple(found[f"rights.findings.{name}"] for name in ALL) == says
    clear = verdicts(rules(of, (finding(rights=rights, artist=artist, verdict="clear"),)), "rights")
    assert set(clear.values()) == {"pass"}  # nothing of it is shared beyond style and chance


def test_an_allowed_source_has_to_have_its_rights_too() -> None:
    of = policy(rights={"findings": ALL, "opted_out": {"pieces": ["tunes/*"]}})
    found = rules(of, (finding(verdict="clear", allowed="pieces tunes/*", rights={}),))
    assert set(verdicts(found, "rights").values()) == {"fail", "review"}
    assert found["rights.findings.opt_out"].detail == "1 of 1 opted out: tunes/a.mid"


def test_a_waiver_of_a_finding_answers_for_its_licence_and_not_for_a_refusal() -> None:
    of = policy(rights={"findings": ALL})
    item = finding(rights={"consent": "opt_out"}, waiver=waiver())
    assert verdicts(rules(of, (item,)), "rights") == {
        "rights.findings.opt_out": "fail", "rights.findings.licence_missing": "pass",
        "rights.findings.consent_missing": "pass",
    }  # fmt: skip


def link(name: str, verdict: str, subject: str = "x.mid") -> Link:
    return Link(name, subject, verdict, f"{name} said so")


SIGNED = {"require_signature": True, "signed_by": [KEY], "require_anchor": True, "require_final": True}


@pytest.mark.parametrize(
    ("links", "signer", "says"),
    [
        # signature, key, anchor, final
        ((), "", ("fail", "fail", "fail", "fail")),
        (("ok", "ok"), KEY, ("pass", "pass", "pass", "pass")),
        (("ok", "ok"), "cd" * 32, ("pass", "fail", "pass", "pass")),
        (("ok", "pending"), KEY, ("pass", "pass", "pass", "fail")),
        (("ok", "simulated"), KEY, ("pass", "pass", "pass", "fail")),
        (("ok", "unchecked"), KEY, ("pass", "pass", "skipped", "skipped")),
        (("ok", "missing"), KEY, ("pass", "pass", "fail", "fail")),
        (("ok", "absent"), KEY, ("pass", "pass", "fail", "fail")),
        (("missing", "absent"), "", ("fail", "fail", "fail", "fail")),
        (("broken", "ok"), "", ("fail", "fail", "pass", "pass")),
    ],
)
def test_provenance(links: tuple[str, ...], signer: str, says: tuple[str, ...]) -> None:
    walked = tuple(map(link, ("track", "anchor"), links))
    # Others' links say nothing of the track.
    walked += (link("model", "ok", "model"), link("anchor", "ok", "model"), link("credential", "ok", "model"))
    found = rules(policy(provenance=SIGNED), links=walked if links else (), signer=signer)
    assert tuple(found[f"provenance.{name}"].verdict for name in SIGNED) == says
    assert all(found[f"provenance.{name}"].required for name in SIGNED)


def test_a_trusted_credential_is_a_signature() -> None:
    links = (link("track", "absent"), link("credential", "ok"))
    assert rules(policy(provenance=SIGNED), links=links)["provenance.require_signature"].verdict == "pass"


def test_what_is_broken_fails_under_every_policy() -> None:
    links = (link("track", "ok"), link("data set", "broken", "store"))
    found = rules(policy(), links=links)
    assert (found["provenance.intact"].verdict, found["provenance.intact"].detail) == (
        "fail",
        "broken: data set (store)",
    )
    assert verdicts(rules(policy(), links=links[:1]), "provenance") == {"provenance.intact": "pass"}


def test_required_provenance() -> None:
    of = policy(gate={"required": ["provenance"]})
    assert rules(of, links=(link("track", "ok"),))["provenance"].verdict == "pass"
    found = rules(of, links=(link("track", "ok"), link("anchor", "unchecked")))["provenance"]
    assert (found.verdict, found.required, found.detail) == ("skipped", True, "anchor (x.mid) is unchecked")
    gap = (Skipped("provenance", "no signature", True),)
    assert rules(of, skipped=gap)["provenance"].detail == "no signature"


# The outcome


def rule(name: str, verdict: str, **more: Any) -> RuleResult:
    return RuleResult(name, "The track is good", verdict, "it is not", **more)  # type: ignore[arg-type]


def test_the_gravest_comes_first_and_decides() -> None:
    review = finding(verdict="review")
    outcome, reasons = decide_outcome(
        (review,), (rule("style", "review"), rule("disclosure.roles", "fail")), (), (), ()
    )
    assert outcome == "fail"
    assert reasons[0] == "rule disclosure.roles (the track is good) does not hold: it is not"
    assert [reason.split()[0] for reason in reasons] == ["rule", "bars", "rule"]
    assert state_outcome(outcome, (review,), reasons, 3).startswith("The gate says fail: rule disclosure.roles")


@pytest.mark.parametrize(
    ("verdict", "required", "wanted"),
    [("skipped", True, "incomplete"), ("skipped", False, "pass"), ("fail", True, "fail"), ("review", True, "review")],
)
def test_skipped_is_never_a_pass(verdict: str, required: bool, wanted: str) -> None:
    one = rule("style", verdict, required=required)
    skipped = (Skipped("style", "too few", required),) if verdict == "skipped" else ()
    assert decide_outcome((), (one,), (), (), skipped)[0] == wanted
    if verdict != "skipped":
        assert decide_outcome((), (replace(one, waiver=waiver()),), (), (), ())[0] == "pass"
        assert decide_outcome((), (replace(one, waiver=waiver("expired")),), (), (), ())[0] == wanted


def test_what_was_waived_is_said() -> None:
    item = replace(finding(), waiver=waiver())
    outcome, reasons = decide_outcome((item,), (replace(rule("style", "fail"), waiver=waiver()),), (), (), ())
    assert outcome == "pass"
    assert [reason[:13] for reason in reasons] == ["waived: bars ", "waived: rule "]
    assert "(licensed; A, until 2027-01-31)" in reasons[0]
    assert state_outcome(outcome, (item,), reasons, 3).endswith("chance explain, but for 1 that was waived.")

"""Rules of the gate, worked by hand, and policies that are refused."""

from pathlib import Path
from typing import Any

import pytest

from audit.policy import Policy, PolicyError, check_policy, read_policy


def changed(**copy: object) -> Policy:
    """Return the default policy with other values in its table ``copy``."""
    values = read_policy().values
    return check_policy({**values, "copy": {**values["copy"], **copy}}, "p.toml")


def test_what_a_policy_leaves_out_has_its_value_in_the_report() -> None:
    values: dict[str, Any] = {
        "schema": "contraste-policy/1",
        "name": "short",
        "copy": {"fail_evalue": 1e-6, "fail_percentile": 0.9, "review_evalue": 2e-3},
    }
    assert check_policy(values, "p.toml").values["copy"] == {
        **values["copy"], "review_percentile": 1.0, "min_notes": 6, "min_bars": 0, "common_works": 10,
        "common_factor": 1e3, "allow": {"licences": [], "artists": [], "pieces": []},
    }  # fmt: skip
    partly = {**values, "copy": {**values["copy"], "allow": {"artists": ["Me"]}}}
    assert check_policy(partly, "p.toml").values["copy"]["allow"] == {"licences": [], "artists": ["Me"], "pieces": []}


@pytest.mark.parametrize(
    ("evalue", "percentile", "verdict"),
    [
        # Both legs for "fail", thresholds inclusive.
        (1e-5, 0.90, "fail"),
        (1e-5, 0.89, "review"),
        (1.1e-5, 0.90, "review"),
        # E alone for "review".
        (0.03, 0.0, "review"),
        (0.031, 0.98, "clear"),
        # The percentile alone, but only where E is at most ten times 0.03.
        (0.031, 0.99, "review"),
        (0.29, 1.0, "review"),
        (0.31, 1.0, "clear"),
    ],
)
def test_chance_and_custom_by_hand(evalue: float, percentile: float, verdict: str) -> None:
    assert changed().judge_copy(evalue, percentile, 30) == verdict


@pytest.mark.parametrize(
    ("evalue", "verdict"),
    [(9.9e-9, "fail"), (1.1e-8, "review"), (2.9e-5, "review"), (3.1e-5, "clear"), (1.9e-4, "clear")],
)
def test_a_common_figure_counts_a_thousand_times(evalue: float, verdict: str) -> None:
    # 1e-5 and 0.03 over 1e3; the percentile of 1 does not make it ten times that, as it does elsewhere.
    assert changed().judge_copy(evalue, 1.0, 30, common=True) == verdict
    assert changed(common_factor=1).judge_copy(1e3 * evalue, 1.0, 30, common=True) == verdict


def test_the_percentile_of_a_common_figure_does_not_speak_alone() -> None:
    plain = changed(common_factor=1)
    assert plain.judge_copy(0.1, 1.0, 30) == "review"
    assert plain.judge_copy(0.1, 1.0, 30, common=True) == "clear"


def test_short_passages_are_clear() -> None:
    rules = changed(min_notes=8, min_bars=2.5)
    assert rules.judge_copy(1e-30, 1.0, 8, 2.5) == "fail"
    assert rules.judge_copy(1e-30, 1.0, 7, 2.5) == "clear"
    assert rules.judge_copy(1e-30, 1.0, 8, 2.4) == "clear"
    assert rules.judge_copy(1e-30, 1.0, 8) == "fail"  # bars not asked


def test_what_is_common() -> None:
    rules = changed(common_works=3)
    assert rules.is_common("scale", 0)
    assert rules.is_common("", 3)
    assert not rules.is_common("", 2)


def test_what_may_be_used() -> None:
    allow = {"licences": ["CC0", "PD"], "artists": ["Our Band"], "pieces": ["own/*.mid", "a/tune.mid"]}
    rules = changed(allow=allow)
    other = ("x/y.mid", "x/y.mid")
    assert rules.allowance(other, "", "CC0") == "licence CC0"
    assert rules.allowance(other, "Our Band", "") == "artist Our Band"
    assert rules.allowance(("own/deep/1.mid", "x/y.mid"), "", "") == "pieces own/*.mid"
    # A duplicate of a piece that may be used: the second path is that of the oldest piece of the group.
    assert rules.allowance(("x/y.mid", "a/tune.mid"), "", "") == "pieces a/tune.mid"
    assert rules.allowance(other, "our band", "CC-BY") == ""
    assert rules.allowance(("A/tune.mid", "not/own/1.mid"), "", "") == ""
    assert changed().allowance(other, "", "") == ""  # what is not known is never allowed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "x"}, "schema"),
        ({"copy": {"fail_evalue": -1, "fail_percentile": 0.9, "review_evalue": 0.1}}, "copy.fail_evalue"),
        ({"copy": {"fail_evalue": 0.5, "fail_percentile": 0.9, "review_evalue": 0.1}}, "is above"),
        ({"gate": {"required": ["luck"]}}, "gate.required.0"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_policies_name_the_key(change: dict[str, object], message: str) -> None:
    good = read_policy().values
    with pytest.raises(PolicyError, match=message):
        check_policy({**good, **change}, "p.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_bars": -1}, r"copy\.min_bars: -1"),
        ({"review_percentile": 1.1}, r"copy\.review_percentile: 1\.1"),
        ({"common_works": 0}, r"copy\.common_works: 0"),
        ({"common_factor": 0.5}, r"copy\.common_factor: 0\.5"),
        ({"allow": {"pieces": "own/*"}}, r"copy\.allow\.pieces: 'own/\*'"),
        ({"allow": {"artists": [""]}}, r"copy\.allow\.artists\.0: ''"),
        ({"allow": {"licences": [0]}}, r"copy\.allow\.licences\.0: 0"),
        ({"allow": {"people": []}}, r"copy\.allow\.people: unknown key; known here: artists, licences, pieces"),
    ],
)
def test_bad_rules_of_copy_name_key_and_value(change: dict[str, object], message: str) -> None:
    with pytest.raises(PolicyError, match=rf"p\.toml: {message}"):
        changed(**change)


def test_policy_files(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_text("schema = ")
    with pytest.raises(PolicyError, match="not valid TOML"):
        read_policy(tmp_path / "x.toml")
    (tmp_path / "x.toml").write_text("#" * 2**20 + "\n")
    with pytest.raises(PolicyError, match="larger than 1048576 bytes"):
        read_policy(tmp_path / "x.toml")

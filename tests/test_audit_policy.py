"""Rules of the gate, worked by hand, and policies that are refused."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from audit.policy import (
    BUILT_IN,
    DEFAULTS,
    PROFILES,
    SCHEMA_FILE,
    Policy,
    PolicyError,
    check_policy,
    explain_policy,
    policy_file,
    read_policy,
)
from audit.policy_tables import LEVELS, RULES
from metrics.measure import SPECS


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
    assert changed().copy.judge(evalue, percentile, 30) == verdict


@pytest.mark.parametrize(
    ("evalue", "verdict"),
    [(9.9e-9, "fail"), (1.1e-8, "review"), (2.9e-5, "review"), (3.1e-5, "clear"), (1.9e-4, "clear")],
)
def test_a_common_figure_counts_a_thousand_times(evalue: float, verdict: str) -> None:
    # 1e-5 and 0.03 over 1e3; the percentile of 1 does not make it ten times that, as it does elsewhere.
    assert changed().copy.judge(evalue, 1.0, 30, common=True) == verdict
    assert changed(common_factor=1).copy.judge(1e3 * evalue, 1.0, 30, common=True) == verdict


def test_the_percentile_of_a_common_figure_does_not_speak_alone() -> None:
    plain = changed(common_factor=1)
    assert plain.copy.judge(0.1, 1.0, 30) == "review"
    assert plain.copy.judge(0.1, 1.0, 30, common=True) == "clear"


def test_short_passages_are_clear() -> None:
    rules = changed(min_notes=8, min_bars=2.5)
    assert rules.copy.judge(1e-30, 1.0, 8, 2.5) == "fail"
    assert rules.copy.judge(1e-30, 1.0, 7, 2.5) == "clear"
    assert rules.copy.judge(1e-30, 1.0, 8, 2.4) == "clear"
    assert rules.copy.judge(1e-30, 1.0, 8) == "fail"  # bars not asked


def test_what_is_common() -> None:
    rules = changed(common_works=3)
    assert rules.copy.is_common("scale", 0)
    assert rules.copy.is_common("", 3)
    assert not rules.copy.is_common("", 2)


def test_what_may_be_used() -> None:
    allow = {"licences": ["CC0", "PD"], "artists": ["Our Band"], "pieces": ["own/*.mid", "a/tune.mid"]}
    rules = changed(allow=allow)
    other = ("x/y.mid", "x/y.mid")
    assert rules.copy.allow.rule_for(other, "", "CC0") == "licence CC0"
    assert rules.copy.allow.rule_for(other, "Our Band", "") == "artist Our Band"
    assert rules.copy.allow.rule_for(("own/deep/1.mid", "x/y.mid"), "", "") == "pieces own/*.mid"
    # A duplicate of a piece that may be used: the second path is that of the oldest piece of the group.
    assert rules.copy.allow.rule_for(("x/y.mid", "a/tune.mid"), "", "") == "pieces a/tune.mid"
    assert rules.copy.allow.rule_for(other, "our band", "CC-BY") == ""
    assert rules.copy.allow.rule_for(("A/tune.mid", "not/own/1.mid"), "", "") == ""
    assert changed().copy.allow.rule_for(other, "", "") == ""  # what is not known is never allowed


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
    (tmp_path / "x.toml").write_text("#" * 2**17 + "\n")
    with pytest.raises(PolicyError, match="larger than 131072 bytes"):
        read_policy(tmp_path / "x.toml")


# Files, profiles and lines

COPY = "[copy]\nfail_evalue = 1e-5\nfail_percentile = 0.9\nreview_evalue = 0.03\n"
HEAD = 'schema = "contraste-policy/1"\nname = "own"\n'


def written(path: Path, text: str) -> Path:
    (path / "p.toml").write_text(text)
    return path / "p.toml"


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_taken_by_name_and_by_path(name: str) -> None:
    rules = read_policy(name)
    assert rules.name == name
    assert rules.digest == read_policy(policy_file(name)).digest
    assert rules.values["description"]


def test_default_says_what_is_built_in_but_for_its_own_thresholds() -> None:
    rules = read_policy()
    assert {path for path, origin in rules.origins.items() if origin != "default"} == set()
    assert rules.values["store"] == DEFAULTS["store"]
    assert rules.values["provenance"] == DEFAULTS["provenance"]
    assert rules.values["disclosure"] == DEFAULTS["disclosure"]


def test_profiles_differ_in_what_they_ask_for() -> None:
    label, distributor, research = (read_policy(name) for name in ("label-release", "distributor", "research"))
    assert label.gate.required == ("copy", "metrics", "provenance", "rights", "disclosure", "style", "store")
    assert (label.gate.review_blocks, distributor.gate.review_blocks, research.gate.review_blocks) == (
        True,
        False,
        False,
    )
    asked = [rules.level("provenance.require_signature") for rules in (label, distributor, research)]
    assert asked == ["fail", "fail", "ignore"]
    assert all(r.values["copy"] == read_policy().values["copy"] for r in (label, distributor, research))
    assert (label.asks("style"), distributor.asks("style")) == (True, False)


def test_a_policy_extends_a_profile(tmp_path: Path) -> None:
    file = written(tmp_path, f'{HEAD}extends = "label-release"\n[copy]\nmin_notes = 8\n[gate]\nrequired = ["copy"]\n')
    rules, base = read_policy(file), read_policy("label-release")
    assert rules.name == "own"
    assert rules.values["copy"] == {**base.values["copy"], "min_notes": 8}
    gate = {"required": ["copy"], "review_blocks": True, "entries_must_match": True}
    assert rules.values["gate"] == gate  # a list is replaced as a whole
    assert rules.values["provenance"] == base.values["provenance"]
    origins = {".".join(map(str, path)): origin for path, _, origin, _ in explain_policy(rules)}
    assert origins["copy.min_notes"] == "own"
    assert origins["gate.review_blocks"] == "label-release"
    assert origins["copy.fail_evalue"] == "default"
    alone = {path: origin for path, _, origin, _ in explain_policy(read_policy(written(tmp_path, HEAD + COPY)))}
    assert alone["copy", "fail_evalue"] == "own"
    assert alone["copy", "min_notes"] == BUILT_IN


@pytest.mark.parametrize("name", PROFILES)
def test_everything_is_explained(name: str) -> None:
    found = list(explain_policy(read_policy(name)))
    assert all(about.endswith(".") and len(about) > 15 for *_, about in found)
    assert {path[0] for path, *_ in found} == set(read_policy(name).values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + COPY + "surprise = 1\n", r"line 7: copy\.surprise: unknown key"),
        (HEAD + "[luck]\nx = 1\n" + COPY, "line 3: luck: unknown key"),
        (HEAD + COPY.replace("0.9", '"0.9"'), r"line 5: copy\.fail_percentile: '0\.9' is not of type 'number'"),
        (HEAD + COPY.replace("0.9", "9"), r"line 5: copy\.fail_percentile: 9 is greater than the maximum of 1"),
        (HEAD + COPY.replace("0.9", "nan"), r"line 5: copy\.fail_percentile: nan is no finite number"),
        (
            HEAD + COPY.replace("0.03", "1e-9"),
            r"line 4: copy\.fail_evalue: fail_evalue 1e-05 is above review_evalue 1e-09",
        ),
        (HEAD + 'extends = "nobody"\n' + COPY, "line 3: extends: 'nobody' is not one of"),
        (HEAD, "line 1: the file: 'copy' is a required property"),
        (
            HEAD + COPY + "[metrics.bleu]\nreview_above = 1.5\n",
            r"line 8: metrics\.bleu\.review_above: 1\.5 can't be reached",
        ),
        (HEAD + COPY + "[metrics.luck]\nreview_above = 1\n", r"line 7: metrics\.luck: unknown key; known here: bleu, "),
        (
            HEAD + COPY + "[metrics.phash_64]\nreview_below = 6\nfail_below = 9\n",
            r"line 9: metrics\.phash_64\.fail_below: fail_below 9 and review_below 6 leave no value between them",
        ),
        (HEAD + COPY + "[style]\nreview_below = 0.5\nreview_above = 0.5\n", r"line 8: style\.review_below: .*no value"),
        (HEAD + COPY + "[style]\nfail_above = 2\n", r"line 8: style\.fail_above: 2 is greater than the maximum of 1"),
        (
            HEAD + COPY + '[provenance]\nsigned_by = ["abc"]\n',
            r"line 8: provenance\.signed_by\.0: 'abc' does not match",
        ),
        (
            HEAD + COPY + '[rights.findings]\nopt_out = "warn"\n',
            r"line 8: rights\.findings\.opt_out: 'warn' is not one of",
        ),
        (HEAD + COPY + '[gate]\nrequired = ["style"]\n', r"line 8: gate\.required: style is required, and no rule"),
        (HEAD + "copy = 3\n", "line 3: copy: 3 is not of type 'object'"),
        (HEAD + 'extends = "default"\ncopy = 3\n', "line 4: copy: 3 is not of type 'object'"),
        (HEAD + HEAD, r"is not valid TOML: .*line 3"),
    ],
)
def test_bad_policies_are_named_with_their_lines(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=rf"p\.toml: {says}"):
        read_policy(written(tmp_path, text))


def test_several_problems_are_counted(tmp_path: Path) -> None:
    text = HEAD + COPY + "a = 1\nb = 1\nc = 1\nd = 1\n"
    with pytest.raises(PolicyError, match=r"line 7: .*; line 8: .*; line 9: .*; and 1 more$") as caught:
        read_policy(written(tmp_path, text))
    assert len(caught.value.problems) == 4


def test_equal_bounds_are_a_window_where_only_one_side_ends(tmp_path: Path) -> None:
    text = HEAD + COPY + "[metrics.bleu]\nreview_above = 0.5\nfail_above = 0.5\n"
    assert read_policy(written(tmp_path, text)).judge_metric("bleu", 0.5) == "fail"


def test_a_name_that_is_neither_profile_nor_file(tmp_path: Path) -> None:
    with pytest.raises(
        PolicyError, match=r"label: cannot be read: .*; the profiles are default, distributor, label-re"
    ):
        read_policy("label")


def test_the_schema_knows_every_metric() -> None:
    schema = json.loads(SCHEMA_FILE.read_bytes())
    assert schema["properties"]["metrics"]["propertyNames"]["enum"] == [spec.name for spec in SPECS]
    assert sorted(schema["properties"]["extends"]["enum"]) == sorted(PROFILES)


def test_schema_profiles_and_types_follow_the_table_of_rules() -> None:
    schema, rules = json.loads(SCHEMA_FILE.read_bytes()), read_policy()

    def at(path: str) -> Any:
        place = schema
        for key in path.split("."):
            place = place["properties"][key]
        return place

    def levels(place: dict[str, Any], path: str = "") -> set[str]:
        inner = place.get("properties", {}).items()
        own = {path} if place.get("enum") == list(LEVELS) else set()
        return own.union(*(levels(value, f"{path}.{key}".lstrip(".")) for key, value in inner))

    assert levels(schema) == {rule.id for rule in RULES.values() if rule.levels == LEVELS}
    assert list(RULES) == [rule.id for rule in RULES.values()]
    for rule in RULES.values():
        table, _, key = rule.id.partition(".")
        if not rule.key:
            assert table not in schema["properties"] or key not in at(table)["properties"]
            continue
        assert at(rule.id)["description"]
        if key:  # its level, or what turns it on: by the schema, in a profile, and of the type
            assert at(rule.id).get("enum", list(LEVELS)) == list(LEVELS)
            assert rules.level(rule.id) in {*LEVELS, "ignore"}
            assert any(path == tuple(rule.id.split(".")) for path, *_ in explain_policy(rules))
    checks = schema["properties"]["gate"]["properties"]["required"]["items"]["enum"]
    assert {rule.partition(".")[0] for rule, row in RULES.items() if row.key} == set(checks)


def test_levels() -> None:
    values = read_policy().values
    rules = check_policy({**values, "provenance": {"require_anchor": True, "signed_by": ["ab" * 32]}}, "p.toml")
    names = ("require_signature", "signed_by", "require_anchor", "require_final")
    assert [rules.level(f"provenance.{name}") for name in names] == ["ignore", "fail", "fail", "ignore"]
    assert rules.level("rights.findings.opt_out") == "fail"
    assert rules.level("store.complete") == "ignore"


def test_entries_that_name_nothing_are_said_with_what_they_may_be_meant_for() -> None:
    values = {
        **tomllib.loads(policy_file("default").read_text()),
        "rights": {"opted_out": {"artists": ["nobody", "Jos\u00e9"], "isrcs": ["USABC2400001"]}},
    }
    values["copy"]["allow"] = {"licences": ["cc0-1.0"], "artists": ["Jose\u0301"], "pieces": ["album/*", "Other/*"]}
    policy = check_policy(values, "test")
    records = [
        {"piece": "album/a.mid", "artist": "Jos\u00e9", "licence": "CC0-1.0", "isrc": "USABC2400001", "iswc": ""},
        {"piece": "b.mid", "artist": "", "licence": "", "isrc": "", "iswc": ""},
    ]
    assert [(one.key, one.entry, one.meant) for one in policy.find_unmatched(records)] == [
        ("copy.allow.licences", "cc0-1.0", "CC0-1.0"),
        ("copy.allow.pieces", "Other/*", ""),
        ("rights.opted_out.artists", "nobody", ""),
    ]
    assert policy.copy.allow.rule_for(("x.mid",), "Jos\u00e9", "") == "artist Jos\u00e9"
    assert policy.opted_out({"piece": "x.mid", "artist": "Jose\u0301"})
    assert read_policy("label-release").gate.entries_must_match
    assert not read_policy().gate.entries_must_match

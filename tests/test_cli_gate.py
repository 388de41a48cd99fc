"""The gate as typed: profiles, waivers, `policy check` and `policy explain`; signed tracks under strict policies."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from audit.policy import POLICIES, PROFILES, read_policy
from ledger.hashes.manifest import Manifest
from ledger.provenance.record import digest_of, material_of, write_record
from music.midi import write_midi
from reports.json_report import SCHEMA_FILE
from tests.test_audit_waivers import entry, written
from tests.test_cli import contraste, done, refused, tune


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Make a store of 22 tunes, a key, a copied track and a clean one."""
    path = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTE_HOME", str(path / "home"))
        patch.setenv("CONTRASTE_PASSWORD", "a password")
        patch.setattr("audit.measures.metrics.PAIRS", 30)
        patch.setattr("audit.measures.metrics.SAMPLE", 8)
        patch.setattr("audit.search.significance.CHANCE_QUERIES", 80)
        for i in range(22):
            write_midi(tune(i), path / "src" / f"{i:02d}.mid")
        (path / "rights.csv").write_text("path,licence,consent\n*,CC0,granted\n07.mid,,\n")
        done("keys", "new", path / "keys")
        done("ingest", path / "src", "--into", path / "store", "--rights", path / "rights.csv", "--workers", 1)
        write_midi(tune(7).transpose(3), path / "copied.mid")
        write_midi(tune(999), path / "clean.mid")
        yield path


def audited(house, out, track, *words):
    """Run an audit; return what was printed, and the report, which obeys its schema."""
    ran = contraste("audit", house / track, "--store", house / "store", "--out", out, "--format", "json", *words)
    report = json.loads((out / Path(track).stem / "report.json").read_bytes())
    Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes())).validate(report)
    return ran, report


def rules_of(report):
    return {rule["id"]: rule["verdict"] for rule in report["rules"]}


def test_a_profile_by_its_name(house, tmp_path):
    ran, report = audited(house, tmp_path / "r", "copied.mid", "--policy", "label-release")
    assert ran.code == 1
    assert report["policy"]["name"] == "label-release"
    assert (tmp_path / "r" / "copied" / "policy.toml").read_bytes() == (POLICIES / "label-release.toml").read_bytes()
    found = rules_of(report)
    assert found["copy"] == "fail"
    assert found["rights.findings.licence_missing"] == "fail"
    assert found["rights.corpus.licence_missing"] == "review"
    assert found["provenance.require_signature"] == "fail"
    assert found["store.complete"] == "pass"
    assert found["style"] in ("pass", "review")
    assert "waivers" not in report["policy"]
    done("search", house / "store", house / "clean.mid", "--policy", "research")


def test_a_signed_track_that_says_what_ai_did(house, tmp_path):
    track = shutil.copy(house / "clean.mid", tmp_path / "song.mid")
    done("sign", track, "--key", house / "keys")
    done("export", track, "--format", "ddex", "--out", f"{track}.ddex.xml", "--ai", "composition=all",
         "--ai", "instrumentation=all")  # fmt: skip
    own = done("keys", "list").out.split()[0]
    policy = tmp_path / "p.toml"
    text = (
        'schema = "contraste-policy/1"\nname = "own"\nextends = "distributor"\n[provenance]\nsigned_by = ["{}"]\n'
        "require_anchor = true\n"
    )
    policy.write_text(text.format(own))
    words = (tmp_path / "r", track, "--policy", policy, "--chain-dir", tmp_path / "chain")
    ran, report = audited(house, *words)
    assert (ran.code, "require_anchor" in ran.out) == (1, True)
    assert report["track"]["signed_by"] == own
    found = rules_of(report)
    assert found["disclosure.roles"] == found["provenance.signed_by"] == found["disclosure.credential"] == "pass"
    assert found["provenance.require_anchor"] == "fail"
    done("anchor", track, "--chain-dir", tmp_path / "chain")
    ran, report = audited(house, *words)
    assert (ran.code, report["outcome"]) == (0, "pass"), report["reasons"]
    nowhere = ("--rpc", "http://127.0.0.1:9")
    ran, report = audited(house, tmp_path / "r", track, "--policy", policy, *nowhere)
    assert ran.code == 4  # the chain did not answer, and the rule might have failed
    assert "the policy requires provenance.require_anchor, which was not checked" in ran.out
    policy.write_text(text.format("ab" * 32) + "require_final = true\n")
    ran, report = audited(house, *words)
    assert ran.code == 1
    found = rules_of(report)
    assert found["provenance.signed_by"] == found["provenance.require_final"] == "fail"  # simulated is not final
    assert found["provenance.require_anchor"] == "pass"


def test_a_signed_audit_hashes_the_store_and_the_model_once(house, tmp_path, monkeypatch):
    store, model, tracks = tmp_path / "store", tmp_path / "model", tmp_path / "tracks"
    shutil.copytree(house / "store", store)
    model.mkdir()
    (model / "weights").write_bytes(bytes(100))
    write_record(model, "model", materials=[material_of("dataset", store, artefact=model)])
    for number in range(6):
        track = tracks / f"{number}.mid"
        write_midi(tune(500 + number), track)
        write_record(track, "track", materials=[material_of("model", model, artefact=track)])
    done("sign", store, model, *tracks.iterdir(), "--key", house / "keys")
    hashed, measured = Counter(), Manifest.of_path

    def of_path(path, *arguments):
        hashed[path.resolve()] += 1
        return measured(path, *arguments)

    monkeypatch.setattr(Manifest, "of_path", of_path)
    words = ("--model", model, "--out", tmp_path / "r", "--sign-key", house / "keys", "--format", "json,disclosure")
    contraste("audit", tracks, "--store", store, *words)
    report = json.loads((tmp_path / "r" / "5" / "report.json").read_bytes())
    assert {link["name"]: link["verdict"] for link in report["provenance"]}["data set"] == "ok"
    assert report["track"]["model"]["digest"] == digest_of(model).hex
    assert (hashed[store], hashed[model], hashed[tracks / "5.mid"]) == (1, 2, 1)  # one of them is this test's


def test_a_store_that_is_older_than_the_policy_asks_is_4(house, tmp_path):
    policy = tmp_path / "p.toml"
    policy.write_text('schema = "contraste-policy/1"\nname = "own"\nextends = "default"\n[store]\nmin_pieces = 23\n')
    ran, report = audited(house, tmp_path / "r", "clean.mid", "--policy", policy)
    assert ran.code == 4
    assert "which the corpus does not meet: 22 pieces of the 23 that the policy asks for" in ran.out
    assert report["outcome"] == "incomplete"
    ran, _ = audited(house, tmp_path / "r", "copied.mid", "--policy", policy)
    assert ran.code == 1  # a copy is one all the same


def waivers_for(report, path, **changes):
    """Write a waiver for each finding that is not clear."""
    ids = [finding["id"] for finding in report["findings"] if finding["verdict"] != "clear"]
    assert ids
    return written(path, *(entry(finding=f'"{i}"', track='"copied.mid"', **changes) for i in ids))


def test_waived_findings_are_seen_and_do_not_count(house, tmp_path):
    ran, report = audited(house, tmp_path / "before", "copied.mid")
    assert ran.code == 1
    file = waivers_for(report, tmp_path)
    ran, after = audited(house, tmp_path / "after", "copied.mid", "--waivers", file, "--today", "2027-01-31")
    assert ran.code == 0
    assert "that was waived" in ran.out or "that were waived" in ran.out
    assert "line" not in ran.err
    assert [f["verdict"] for f in after["findings"]] == [f["verdict"] for f in report["findings"]]
    flagged = [f for f in after["findings"] if f["verdict"] != "clear"]
    assert {f["waiver"]["state"] for f in flagged} == {"applied"}
    assert after["policy"]["waivers"]["today"] == "2027-01-31"
    assert after["reasons"][0].startswith("waived: bars ")
    first = (tmp_path / "after" / "copied" / "report.json").read_bytes()
    audited(house, tmp_path / "after", "copied.mid", "--waivers", file, "--today", "2027-01-31")
    assert (tmp_path / "after" / "copied" / "report.json").read_bytes() == first


def test_the_day_after_the_last_a_waiver_fails_the_track(house, tmp_path):
    _, report = audited(house, tmp_path / "r", "copied.mid")
    file = waivers_for(report, tmp_path)
    ran, after = audited(house, tmp_path / "r", "copied.mid", "--waivers", file, "--today", "2027-02-01")
    assert ran.code == 1
    assert f"{file}: line 3: the waiver of {report['findings'][0]['id']} expired on 2027-01-31" in ran.err
    assert rules_of(after)["waivers"] == "fail"
    assert after["waivers"][0]["state"] == "expired"
    ran, after = audited(house, tmp_path / "r", "clean.mid", "--waivers", file, "--today", "2027-02-01")
    assert (ran.code, after["waivers"]) == (0, [])  # they name another track
    late = written(tmp_path, entry(finding='"style"', track='"clean.mid"', expires="2020-01-01"))
    ran, after = audited(house, tmp_path / "r", "clean.mid", "--waivers", late)  # today, whenever that is
    assert ran.code == 1


def test_a_waiver_that_matches_nothing_is_named(house, tmp_path):
    file = written(tmp_path, entry(track='"clean.mid"'), entry(track='"nobody.mid"'))
    ran, report = audited(house, tmp_path / "r", "clean.mid", "--waivers", file, "--today", "2026-11-26")
    assert ran.code == 0
    assert f"{file}: line 3: the waiver of 0123456789abcdef for clean.mid matches nothing here" in ran.err
    assert f"{file}: line 12: the waiver of 0123456789abcdef for nobody.mid matches nothing here" in ran.err
    assert [(w["line"], w["state"]) for w in report["waivers"]] == [(3, "unmatched")]


def test_bad_waivers_and_days_are_2_and_nothing_is_written(house, tmp_path):
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r")
    file = written(tmp_path, entry(reason='"because"', who=None))
    refused(contraste(*words, "--waivers", file), 2, "w.toml: line 3:", "'who' is a required property", "line 6:")
    refused(contraste(*words, "--waivers", tmp_path / "none.toml"), 2, "none.toml: cannot be read")
    good = written(tmp_path, entry())
    refused(contraste(*words, "--waivers", good, "--today", "tomorrow"), 2, "--today tomorrow", "2027-01-31")
    refused(contraste(*words, "--waivers", good, "--today", "2026-02-30"), 2, "--today 2026-02-30")
    refused(contraste(*words, "--today", "2026-02-28"), 2, "--waivers")
    assert not (tmp_path / "r").exists()


def test_policy_check(house, tmp_path):
    good = written(tmp_path, entry(), entry(expires="2020-01-01"))
    ran = done("policy", "check", POLICIES / "default.toml", "research", good)
    lines = ran.out.splitlines()
    assert lines[0].endswith(f"valid, policy default, digest {read_policy().digest[:16]}...")
    assert lines[1].startswith("research: valid, policy research")
    assert lines[2].endswith("w.toml: valid, 2 waivers, 1 of them expired")
    bad = tmp_path / "p.toml"
    bad.write_text('schema = "contraste-policy/1"\nname = "x"\nextends = "default"\n[copy]\nluck = 1\nmin_bars = -1\n')
    (tmp_path / "v.toml").write_text(good.read_text().replace("who", "whom"))
    ran = contraste("policy", "check", bad, tmp_path / "v.toml", tmp_path / "none.toml", "default")
    assert ran.code == 2
    assert ran.err.splitlines()[:2] == [
        f"{bad}: line 5: copy.luck: unknown key; known here: allow, common_factor, common_works, fail_evalue, "
        "fail_percentile, min_bars, min_notes, review_evalue, review_percentile",
        f"{bad}: line 6: copy.min_bars: -1 is less than the minimum of 0",
    ]
    assert "line 7: waiver.0.whom: unknown key" in ran.err
    assert "none.toml: cannot be read" in ran.err
    assert ran.out.startswith("default: valid")


@pytest.mark.parametrize("name", PROFILES)
def test_policy_explain(name):
    lines = done("policy", "explain", name).out.splitlines()
    assert f'name = "{name}"  [{name}]' in lines
    assert "copy.fail_evalue = 1e-05  [default]" in lines
    found = json.loads(done("policy", "explain", name, "--json").out)
    assert found["digest"] == read_policy(name).digest
    assert len(found["values"]) * 2 == len(lines)
    assert {"key", "value", "from", "about"} == set(found["values"][0])


def test_policy_explain_of_what_is_none(tmp_path):
    refused(contraste("policy", "explain", "nobody"), 2, "nobody: cannot be read", "the profiles are default")
    assert "default" in done("policy", "explain").out


@pytest.mark.parametrize("attack", ["neighbour's signature", "signature taken away", "older state put back"])
def test_the_gate_believes_no_more_than_verify(house, tmp_path, attack):
    """Under the profile `distributor`, a trusted key must have signed this track, as it is."""
    track = shutil.copy(house / "clean.mid", tmp_path / "hit.mid")
    if attack == "neighbour's signature":
        (tmp_path / "hit.bin").write_bytes(b"weights")
        done("sign", tmp_path / "hit.bin", "--key", house / "keys")
        value = {"schema": "contraste-provenance/1", "kind": "track", "also": ["hit.mid"]}
        (tmp_path / "hit.bin.provenance.json").write_text(json.dumps(value))
    else:
        done("sign", track, "--key", house / "keys")
        files = [tmp_path / f"hit.mid{end}" for end in ("", ".sig", ".provenance.json", ".c2pa")]
        kept = {file: file.read_bytes() for file in files}
        if attack == "signature taken away":
            (tmp_path / "hit.mid.sig").unlink()
        else:
            done("sign", track, "--key", house / "keys", "--mining", "allowed")
            for file, content in kept.items():
                file.write_bytes(content)
    verified = contraste("verify", track)
    assert verified.code in (1, 4)
    ran, report = audited(house, tmp_path / "r", track, "--policy", "distributor")
    assert rules_of(report)["provenance.require_signature"] == "fail"
    assert ran.code == 1
    assert "signed_by" not in report["track"]

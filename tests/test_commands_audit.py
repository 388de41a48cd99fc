"""`audit` as typed: reports, languages, policies, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from reports.language.translation import CATALOGUES
from tests.cases.command import contraste, done, refused
from tests.cases.house import House, altered, flip_middle, store_notes
from tests.cases.policies import POLICY, VALUES, write_policy


def test_an_audit_of_several_tracks(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "copied.mid", house / "clean.mid", "--store", house / "store", "--out")
    ran = contraste(*words, tmp_path / "one")
    assert ran.code == 1
    assert [line.split()[0] for line in ran.out.splitlines()] == ["fail", "pass"]
    assert "reports: " in ran.err
    files = {file.relative_to(tmp_path / "one").as_posix() for file in (tmp_path / "one").rglob("*") if file.is_file()}
    of_each = {
        f"{name}/report.{end}" for name in ("copied", "clean") for end in ("json", "html", "json.provenance.json")
    }
    rules = {f"{name}/policy.toml" for name in ("copied", "clean")}
    assert files == {"index.html", "index.html.provenance.json"} | rules | of_each
    report = json.loads((tmp_path / "one" / "copied" / "report.json").read_bytes())
    assert report["outcome"] == "fail"
    assert "07.mid" in report["sentence"]
    assert [s["check"] for s in report["skipped"]] == ["provenance"]
    page = (tmp_path / "one" / "copied" / "report.html").read_text()
    assert "07.mid" in page
    index = (tmp_path / "one" / "index.html").read_text()
    assert "copied/report.html" in index
    assert "clean/report.html" in index
    contraste(*words, tmp_path / "two")
    for name in ("copied", "clean"):
        one, two = (tmp_path / run / name / "report.json" for run in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_signed_track_carries_its_provenance(house: House) -> None:
    links = json.loads(house.report.read_bytes())["provenance"]
    assert {link["name"]: link["verdict"] for link in links} == {
        "track": "ok", "credential": "ok", "anchor": "simulated", "run": "ok", "model": "ok", "data set": "ok",
    }  # fmt: skip


def test_formats(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--format")
    refused(contraste(*words, "html,docx"), 2, "--format html,docx", "'docx' is none of html, pdf, json")
    assert not (tmp_path / "r").exists()
    done(*words, "json")
    assert not list(tmp_path.rglob("*.html"))


def test_tracks_of_one_name_get_a_report_each(house: House, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(house / "clean.mid", tmp_path / name / "x.mid")
    words = ("audit", tmp_path / "a", tmp_path / "b", "--store", house / "store", "--out", tmp_path / "r")
    done(*words, "--format", "json")
    assert len(list((tmp_path / "r").glob("*/report.json"))) == 2


def test_a_report_opens_in_spanish_and_says_why_it_is_silent(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("music.render.shutil.which", lambda _: None)
    monkeypatch.setitem(sys.modules, "midirenderer", None)
    copied = house / "copied.mid"
    found = contraste(
        "audit", copied, "--store", house / "store", "--out", tmp_path, "--format", "html", "--lang", "es"
    )
    assert found.code == 1
    page = (tmp_path / "copied" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="es"' in page
    assert "Esta pista contiene un pasaje copiado" in page
    assert "no hay sintetizador" in page
    ran = contraste("audit", copied, "--store", house / "store", "--out", tmp_path, "--lang", "xx")
    assert ran.code == 2
    assert "'xx': there are en, " in ran.err


def test_a_further_language_is_one_file(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = json.loads((CATALOGUES / "spanish.json").read_text(encoding="utf-8")) | {"code": "xx", "name": "Xish"}
    (tmp_path / "xish.json").write_text(json.dumps(catalogue), encoding="utf-8")
    monkeypatch.setattr("reports.language.translation.CATALOGUES", tmp_path)
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--format", "html,md")
    done(*words, "--lang", "xx")
    assert '<html lang="xx"' in (tmp_path / "r" / "clean" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "r" / "clean" / "report.md").read_text(encoding="utf-8").startswith("# Apto: clean.mid")
    assert contraste(*words, "--lang", "es").code == 2


def test_an_unreadable_track_is_named_and_the_others_are_audited(house: House, tmp_path: Path) -> None:
    ran = contraste("audit", house / "text.mid", house / "clean.mid", "--store", house / "store", "--out", tmp_path)
    assert ran.code == 3
    assert "unreadable" in ran.err
    assert "text.mid: begins as b'hell'" in ran.err
    assert (tmp_path / "clean" / "report.html").exists()


def test_review_stops_the_release_only_where_the_policy_says_so(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "copied.mid", "--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    # No match is as rare as that, so what passes the lower threshold is for people to review.
    ran = done(*words, "--policy", write_policy(tmp_path / "p.toml", fail_evalue=1e-300))
    assert ran.out.startswith("review")
    blocks = write_policy(tmp_path / "p.toml", fail_evalue=1e-300, review_blocks="true")
    assert contraste(*words, "--policy", blocks).code == 1
    assert (tmp_path / "r" / "copied" / "policy.toml").read_bytes() == blocks.read_bytes()


def test_a_required_check_that_was_skipped_is_4(house: House, tmp_path: Path) -> None:
    words = ("--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    rules = write_policy(tmp_path / "p.toml", required='["copy", "provenance"]')
    ran = contraste("audit", house / "clean.mid", *words, "--policy", rules)
    assert ran.code == 4
    assert "the policy requires provenance, which was not checked: clean.mid has no signature" in ran.out
    assert contraste("audit", house / "copied.mid", *words, "--policy", rules).code == 1  # a copy is one all the same
    ran = contraste("audit", house / "short.mid", *words)
    assert ran.code == 4
    assert "the policy requires copy, which was not checked: it holds no line of 6 notes" in ran.out
    unsigned = write_policy(tmp_path / "q.toml", require_signature="true")
    assert contraste("audit", house / "clean.mid", *words, "--policy", unsigned).code == 1


def test_metrics_without_a_chance_level_were_not_measured(house: House, tmp_path: Path) -> None:
    done("ingest", house / "clean.mid", "--into", tmp_path / "store")  # one piece: there are no unrelated pairs
    words = ("audit", house / "src" / "01.mid", "--store", tmp_path / "store", "--out", tmp_path / "r")
    ran = contraste(*words, "--format", "json")
    assert ran.code == 4
    assert "the policy requires metrics" in ran.out
    done(*words, "--format", "json", "--policy", write_policy(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("[[[", "is not valid TOML"),
        ('schema = "contraste-policy/2"\nname = "x"\n[copy]\nfail_evalue = 1\n', "is a required property"),
        (POLICY.format(**{**VALUES, "required": '["luck"]'}), "luck"),
        (POLICY.format(**VALUES).replace("[copy]", "[copy]\ncommon_factor = 0.5"), "copy.common_factor: 0.5"),
        (POLICY.format(**VALUES) + '[copy.allow]\npieces = "own/*"\n', "copy.allow.pieces: 'own/*'"),
    ],
)
def test_a_bad_policy_is_2(house: House, tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "bad.toml"
    if text is not None:
        file.write_text(text)
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--policy", file)
    refused(contraste(*words), 2, "bad.toml", says)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("none.mid", "--store", "store", "--out", "r"), 3, "none.mid: no such file or folder"),
        (("empty", "--store", "store", "--out", "r"), 3, "holds no MIDI or MusicXML files"),
        (("clean.mid", "--store", "none", "--out", "r"), 3, "make one with: contraste ingest"),
        (("clean.mid", "--store", "store", "--out", "text.txt"), 2, "text.txt"),
        (("clean.mid", "--store", "store", "--out", "text.txt/r"), 2, "text.txt"),
        (("clean.mid", "--store", "store", "--out", "r", "--model", "none"), 3, "cannot read"),
        (("clean.mid", "--store", "store", "--out", "r", "--key", "none"), 2, "contraste keys new"),
        (("clean.mid", "--store", "store", "--out", "r", "--key", "text.txt"), 2, "not a PEM public key"),
    ],
)
def test_bad_words_for_audit(house: House, words: tuple[str, ...], code: int, says: str) -> None:
    refused(contraste("audit", *(w if w.startswith("--") else house / w for w in words)), code, says)


def test_an_altered_store_is_not_audited_against(house: House, tmp_path: Path) -> None:
    words = ("audit", house / "clean.mid", "--store", house / "store", "--out", tmp_path)
    with altered(store_notes(house), flip_middle):
        refused(contraste(*words), 1, "notes.npy", "the store was altered")

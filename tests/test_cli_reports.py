"""Reports as typed: every format, signed; diff and verify; a report altered by hand; a folder with its originality."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from jsonschema import Draft4Validator, Draft202012Validator

import reports.exports.influence
import reports.exports.pdf
from commands.audit import _audited
from music.midi import write_midi
from music.render import render_wav
from reports.json_report import SCHEMA_FILE
from tests.test_cli import contraste, done, refused, tune
from tests.test_reports_formats import SARIF_SCHEMA

FORMATS = "html,json,sarif,junit,md,influence,disclosure"
WRITTEN = {
    *("report.html", "report.json", "report.sarif", "report.junit.xml", "report.md", "influence.json", "influence.csv"),
    *(f"disclosure/{name}" for name in ("summary.md", "c2pa.json", "spotify.json", "apple.json", "model_card.md")),
    *("disclosure/data_sheet.md", "policy.toml", "report.json.provenance.json", "report.json.sig"),
}

INDEX = {"index.html", "index.html.provenance.json", "index.html.sig"}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Make a store of 20 tunes, a key, and two audited tracks, signed, in every format but pdf."""
    path = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTE_HOME", str(path / "home"))
        patch.setenv("CONTRASTE_PASSWORD", "a password")
        patch.setattr("audit.measures.metrics.PAIRS", 30)
        patch.setattr("audit.measures.metrics.SAMPLE", 10)
        patch.setattr("audit.search.significance.CHANCE_QUERIES", 80)
        for i in range(20):
            write_midi(tune(i), path / "src" / f"{i:02d}.mid")
        done("keys", "new", path / "keys")
        done("ingest", path / "src", "--into", path / "store", "--workers", 1)
        write_midi(tune(7).transpose(3), path / "tracks" / "copied.mid")
        write_midi(tune(999), path / "tracks" / "clean.mid")
        ran = audited(path, path / "r", "--sign-key", path / "keys")
        assert ran.code == 1, ran
        yield path


def audited(house, out, *words, formats=FORMATS):
    return contraste("audit", house / "tracks", "--store", house / "store", "--out", out, "--format", formats, *words)


def files(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def copy(house, tmp_path):
    return Path(shutil.copytree(house / "r", tmp_path / "r"))


def test_every_format_is_there_and_the_same_twice(house, tmp_path):
    one = files(house / "r")
    assert set(one) == {f"{name}/{file}" for name in ("copied", "clean") for file in WRITTEN} | INDEX
    audited(house, tmp_path / "again")
    two = files(tmp_path / "again")
    changed = {name for name in one if one[name] != two.get(name)}
    # Records hold paths relative to themselves, and a signature is never the same twice.
    assert changed == {
        f"{name}/report.json.{end}" for name in ("copied", "clean") for end in ("sig", "provenance.json")
    } | {"index.html.sig"}


def test_every_json_and_sarif_obeys_its_schema(house, node_tools):
    schema = node_tools / "node_modules" / SARIF_SCHEMA
    if not schema.is_file():
        pytest.skip("the npm tools are older than the lock file; run: make node-tools")
    for name in ("copied", "clean"):
        folder = house / "r" / name
        Draft4Validator(json.loads(schema.read_bytes())).validate(json.loads((folder / "report.sarif").read_bytes()))
        Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes())).validate(
            json.loads((folder / "report.json").read_bytes())
        )
        influence = Path(reports.exports.influence.__file__).with_name("influence.schema.json")
        Draft202012Validator(json.loads(influence.read_bytes())).validate(
            json.loads((folder / "influence.json").read_bytes())
        )


def test_a_copy_has_most_of_its_track_and_a_clean_one_nothing(house):
    copied, clean = (json.loads((house / "r" / name / "influence.json").read_bytes()) for name in ("copied", "clean"))
    assert copied["ledgers"][0]["pieces"][0]["piece"] == "07.mid"
    assert copied["ledgers"][0]["pieces"][0]["share"] > 0.5
    assert clean["ledgers"][0]["unattributed"]["share"] > 0.9
    assert copied["ledgers"][1]["unattributed"] == {"share": 1, "low": 1, "high": 1}


def test_signed_reports_verify(house):
    ran = done("report", "verify", house / "r")
    assert ran.out.count(": ok\n") == 2
    assert "as signed by key" in ran.out
    found = json.loads(done("report", "verify", house / "r" / "copied" / "report.json", "--json").out)
    assert {f["verdict"] for f in found[0]["files"]} <= {"ok", "absent"}  # no PDF was written


@pytest.mark.parametrize("name", sorted(WRITTEN - {"report.json.provenance.json", "report.json.sig"}))
def test_a_file_altered_by_hand_is_named(copy, name):
    file = copy / "copied" / name
    file.write_bytes(file.read_bytes() + b" ")
    ran = contraste("report", "verify", copy)
    assert ran.code == 1
    assert f"  broken     {name}: " in ran.out
    assert f"{copy}/clean/report.json: ok" in ran.out


def test_who_alters_the_record_too_breaks_the_signature(copy):
    import hashlib

    folder = copy / "copied"
    page = folder / "report.html"
    old = hashlib.sha256(page.read_bytes()).hexdigest()
    page.write_bytes(page.read_bytes().replace(b"Fail", b"Pass"))
    record = folder / "report.json.provenance.json"
    record.write_text(record.read_text().replace(old, hashlib.sha256(page.read_bytes()).hexdigest()))
    ran = contraste("report", "verify", folder)
    assert ran.code == 1
    assert "broken at report.json.sig" in ran.out
    assert "report.json.provenance.json" in ran.out
    (folder / "report.json.sig").unlink()
    ran = contraste("report", "verify", folder)
    assert (ran.code, "incomplete at report.json.sig" in ran.out, "not signed: there is no" in ran.out) == (
        4,
        True,
        True,
    )
    assert done("report", "verify", folder, "--allow-unsigned").out.count("absent     report.json.sig") == 1


def test_strangers_and_damaged_records(copy, house, monkeypatch, tmp_path):
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "elsewhere"))
    ran = contraste("report", "verify", copy)
    assert (ran.code, "unchecked  report.json.sig" in ran.out) == (4, True)
    assert done("report", "verify", copy, "--key", house / "keys" / "public.pem").code == 0
    (copy / "copied" / "report.json.provenance.json").write_text("{")
    ran = contraste("report", "verify", copy, "--key", house / "keys" / "public.pem")
    assert (ran.code, "broken     report.json.provenance.json" in ran.out) == (1, True)


def test_an_older_page_beside_a_newer_report_is_named(house, tmp_path):
    words = ("audit", house / "tracks" / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--format")
    done(*words, "html")
    done(*words, "json")
    ran = contraste("report", "verify", tmp_path / "r")
    assert (ran.code, "report.html: the report's record does not name it" in ran.out) == (1, True)


def test_diff_tells_new_from_fixed(house, copy, tmp_path):
    same = done("report", "diff", house / "r", copy)
    assert "0 new, 0 fixed" in same.err
    shutil.copy(house / "r" / "clean" / "report.json", copy / "copied" / "report.json")
    better = done("report", "diff", house / "r", copy)
    assert "copied: fail -> pass" in better.out
    assert "fixed" in better.out
    worse = contraste("report", "diff", copy, house / "r")
    assert (worse.code, "  new       fail   copy" in worse.out) == (1, True)
    found = json.loads(contraste("report", "diff", copy, house / "r", "--json").out)
    assert found["counts"]["new"] > 0
    refused(contraste("report", "diff", house / "r", tmp_path / "none"), 3, "no such file or folder")
    refused(contraste("report", "verify", house / "src"), 3, "holds no report.json")


def test_the_index_has_the_originality_of_the_release(house, tmp_path):
    page = (house / "r" / "index.html").read_text()
    assert "Mean originality over the course of 2 tracks, beside 20 human pieces" in page
    assert "not measured" not in page
    done("originality", house / "store", house / "tracks", "--out", tmp_path)
    alone = json.loads((tmp_path / "originality.json").read_bytes())
    for track in alone["tracks"]:
        assert f'<td data-sort="{track["originality"]:.6g}' in page.replace("\n", "")
    done("ingest", house / "src" / "01.mid", "--into", tmp_path / "small", "--workers", 1)
    contraste("audit", house / "tracks", "--store", tmp_path / "small", "--out", tmp_path / "r")
    small = (tmp_path / "r" / "index.html").read_text()
    assert 'No baseline: <span lang="en">the store holds fewer than 10 different works' in small


def test_a_pdf_where_it_can_be_made_and_a_word_where_not(house, tmp_path, monkeypatch):
    words = ("audit", house / "tracks" / "clean.mid", "--store", house / "store", "--out", tmp_path / "r", "--format")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "weasyprint", None)
        refused(contraste(*words, "json,pdf"), 2, "weasyprint is not installed", "pip install 'contraste[pdf]'")
        assert not (tmp_path / "r").exists()
    if reason := reports.exports.pdf.pdf_unavailable():
        pytest.skip(f"no PDF here: {reason}")
    done(*words, "pdf")
    assert done("report", "verify", tmp_path / "r", "--allow-unsigned").out.count("report.pdf: as the record says") == 1
    refused(contraste(*words, "json", "--sign-key", tmp_path / "nokey"), 2, "nokey")


def test_sound_is_audited_and_never_passes_for_checked_notes(house, tmp_path):
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(15 * 8_000) / 8_000)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", tone, 8_000)
    before = files(house / "store")
    ran = contraste(
        "audit", tmp_path / "song.wav", "--store", house / "store", "--out", tmp_path / "r", "--format", FORMATS
    )
    assert ran.code == 4, ran
    assert "needs notes" in ran.out
    report = json.loads((tmp_path / "r/song/report.json").read_bytes())
    assert report["track"]["sample_rate_hz"] == 8_000
    assert report["track"]["compared_with"].startswith("0 recordings and the rendered openings of")
    assert files(house / "store") == before  # a signed store stays as it was signed


def test_sound_beside_its_notes_is_left_to_them_where_it_is_their_sound(house, tmp_path):
    song, other = tune(998), tune(997)
    write_midi(song, tmp_path / "t/song.mid")
    render_wav(song, tmp_path / "t/song.wav")
    words = ("--store", house / "store", "--out", tmp_path / "r", "--format", "json")
    ran = contraste("audit", tmp_path / "t", *words)
    assert ran.code == 0, ran
    assert "1 sound file: that of notes of the same name, which are audited" in ran.err
    assert [folder.name for folder in (tmp_path / "r").iterdir()] == ["song"]
    # Other music, and silence, under the same name are tracks of their own.
    for swap in (lambda file: render_wav(other, file), lambda file: soundfile.write(file, np.zeros(800), 8_000)):
        swap(tmp_path / "t/song.wav")
        ran = contraste("audit", tmp_path / "t", *words)
        assert ran.code == 4, ran
        assert "song.wav: is not the sound of song.mid, and is judged as a track of its own" in ran.err
        assert sorted(folder.name for folder in (tmp_path / "r").iterdir()) == ["song", "song.wav"]


def test_many_tracks_give_the_same_reports_as_each_alone(house, tmp_path):
    for i in range(8):
        write_midi(tune(900 + i), tmp_path / f"many/{i}.mid")
    (tmp_path / "many/broken.mid").write_bytes(b"MThd")
    ran = contraste(
        "audit", tmp_path / "many", "--store", house / "store", "--out", tmp_path / "r", "--format", "json,md"
    )
    assert ran.code == 3, ran
    assert [line.split()[1].rpartition("/")[2] for line in ran.out.splitlines()] == [f"{i}.mid:" for i in range(8)]
    for i in (0, 7):
        alone = tmp_path / f"alone{i}"
        done("audit", tmp_path / f"many/{i}.mid", "--store", house / "store", "--out", alone, "--format", "json,md")
        for name in ("report.json", "report.md"):
            assert (alone / str(i) / name).read_bytes() == (tmp_path / "r" / str(i) / name).read_bytes()


def test_metrics_stand_beside_human_pieces(house):
    metrics = json.loads((house / "r/copied/report.json").read_bytes())["metrics"]
    assert metrics
    assert all(m["style"]["low"] <= m["style"]["median"] <= m["style"]["high"] for m in metrics)
    assert all(m["style"]["pieces"] == 10 for m in metrics)
    assert "nearer to its closest piece than 95 % of human pieces" in (house / "r/copied/report.html").read_text()


def test_a_whole_page_is_asked_for(house, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.pages.report.PAGE_BYTES", 1)
    words = ("audit", house / "tracks/copied.mid", "--store", house / "store", "--format", "html", "--out")
    contraste(*words, tmp_path / "small")
    contraste(*words, tmp_path / "whole", "--whole-page")
    small, whole = ((tmp_path / name / "copied/report.html").read_text() for name in ("small", "whole"))
    assert "--whole-page" in small
    assert "--whole-page" not in whole
    assert len(small) < len(whole)


def test_progress_counts_files_that_cannot_be_read(tmp_path):
    names = ("a.mid", "bad.mid", "c.mid", "worse.mid")
    for name in names:
        write_midi(tune(1), tmp_path / name)
    for name in ("bad.mid", "worse.mid"):
        (tmp_path / name).write_bytes(b"MThd")
    shown, unread = [], []
    audited = _audited(
        [tmp_path / name for name in names],
        lambda file, name, music: (None, None),
        lambda job: {},
        lambda done, total: shown.append((done, total)),
        unread,
    )
    assert [file.name for file, *_ in audited] == ["a.mid", "c.mid"]
    assert sorted(shown) == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [name for name, _ in unread] == ["bad.mid", "worse.mid"]
    assert all(str(tmp_path) not in reason for _, reason in unread)


def test_the_index_names_what_could_not_be_read(house, tmp_path):
    write_midi(tune(999), tmp_path / "t/a.mid")
    (tmp_path / "t/<b>.mid").write_bytes(b"MThd")
    ran = contraste("audit", tmp_path / "t", "--store", house / "store", "--out", tmp_path / "r")
    assert ran.code == 3, ran
    page = (tmp_path / "r/index.html").read_text()
    assert "1 track could not be read, and nothing is known of what they hold." in page
    assert "&lt;b&gt;.mid" in page
    assert "could not be read" not in (house / "r/index.html").read_text()


def test_the_index_is_signed_with_its_reports_and_compared(copy):
    (copy / "index.html").write_bytes((copy / "index.html").read_bytes().replace(b"Fail", b"Pass") + b" ")
    for words in (("report", "verify", copy), ("verify", "--short", copy / "clean" / "report.json")):
        ran = contraste(*words)
        assert (ran.code, "index.html" in ran.out) == (1, True), ran
    for end in (".sig", ".provenance.json"):
        (copy / f"index.html{end}").unlink()
    ran = contraste("report", "verify", copy)
    assert (ran.code, ran.out.count("incomplete at index.html")) == (4, 2)


def test_an_index_that_no_report_knows_is_not_passed_over(copy):
    shutil.rmtree(copy / "copied")
    for file in copy.glob("index.html*"):
        file.unlink()
    done("report", "verify", copy)  # one of two was handed on
    (copy / "clean" / "index.html").write_bytes(b"<p>somebody's page</p>")
    ran = contraste("report", "verify", copy / "clean")
    assert (ran.code, "no report here says that it belongs to it" in ran.out) == (4, True)
    done("report", "verify", copy / "clean", "--allow-unsigned")


def test_a_report_is_not_signed_with_pages_of_another(house, copy):
    page = copy / "copied" / "report.html"
    before = page.read_bytes()
    page.write_bytes(before.replace(b"Fail", b"Pass"))
    ran = contraste("sign", copy / "copied" / "report.json", "--key", house / "keys")
    assert (ran.code, "changed report.html" in ran.err) == (1, True)
    page.write_bytes(before)
    (copy / "index.html.sig").unlink()
    ran = done("sign", copy / "copied" / "report.json", "--key", house / "keys")
    assert [Path(line).name for line in ran.out.splitlines()] == ["report.json.sig", "index.html.sig"]
    (copy / "index.html").write_bytes(b"<p>somebody's page</p>")
    assert contraste("sign", copy / "copied" / "report.json", "--key", house / "keys").code == 1


def test_a_report_in_the_folder_of_another_track_is_not_ok(copy):
    for name in ("clean", "copied"):
        (copy / name).rename(copy / f"{name}-old")
    shutil.copytree(copy / "clean-old", copy / "copied")
    ran = contraste("report", "verify", copy / "copied")
    assert (ran.code, "made in the folder 'clean'" in ran.out) == (1, True)
    for file in copy.glob("index.html*"):
        file.unlink()
    assert contraste("report", "verify", copy / "copied").code == 4

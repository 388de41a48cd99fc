"""The disclosure pack: what is known is said, what is not is said as unknown, and nothing is guessed."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import audit.disclosure
from audit.corpus import AuditCorpus
from audit.disclosure import CredentialFound, disclose
from audit.search.index import Index
from audit.search.significance import Calibration
from corpus.ingest import ingest
from corpus.store import Store
from ledger.provenance.contributions import add_contribution
from ledger.provenance.record import digest_of, material_of, write_record
from ledger.signing.trust import Trust
from music.midi import write_midi
from music.notes import build
from reports.exports.disclosure import apple_tags, disclosure_files
from tests.report_cases import HOSTILE, report

MODEL = Path(__file__).parent.parent / "generator" / "pretrained" / "chorales"
NOBODY = Trust({})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> AuditCorpus:
    place = tmp_path_factory.mktemp("corpus")
    for seed, name in enumerate(["a", "b", "b again"]):
        rng = np.random.default_rng(min(seed, 1))
        write_midi(build(np.arange(40), np.ones(40), 60 + rng.integers(0, 12, 40)), place / "src" / f"{name}.mid")
    (place / "rights.csv").write_text("path,artist,licence,consent,source\na.mid,Ann,CC0-1.0,not_required,own\n")
    from corpus.rights import read_rights

    ingest([place / "src"], place / "store", workers=1, rights=read_rights(place / "rights.csv"))
    store = Store.open(place / "store")
    calibration = Calibration(0.5, 0.0, 1, ())  # only the store is read
    return AuditCorpus(store, Index.__new__(Index), calibration, chance={}, style={}, human=None)


@pytest.fixture
def track(tmp_path: Path) -> Path:
    write_midi(build(np.arange(40), np.ones(40), np.full(40, 60)), tmp_path / "new.mid")
    return tmp_path / "new.mid"


@pytest.fixture
def generated(track: Path) -> Path:
    shutil.copytree(MODEL, track.parent / "model")
    write_record(track, "track", materials=[material_of("model", track.parent / "model", artefact=track)])
    return track


def pack(track: Path, corpus: AuditCorpus, model: Path | None = None) -> dict[str, bytes]:
    files = disclosure_files(report(), disclose(track, corpus, NOBODY, model))
    return {name.removeprefix("disclosure/"): content for name, content in files.items()}


def test_of_a_stranger_nothing_is_known_and_nothing_is_guessed(track: Path, corpus: AuditCorpus) -> None:
    files = pack(track, corpus)
    assert "ddex.xml" not in files
    assert {c["ai"] for c in json.loads(files["spotify.json"])["credits"]} == {"unknown"}
    assert set(json.loads(files["apple.json"])["ai_transparencies"].values()) == {None}
    assert json.loads(files["c2pa.json"])["files"] == []
    assert "no record says that a model made the track" in files["summary.md"].decode()
    assert "Nothing is known of the model" in files["model_card.md"].decode()
    assert str(track.parent) not in b"".join(files.values()).decode()


def test_of_a_generated_track_its_record_tells(generated: Path, corpus: AuditCorpus) -> None:
    add_contribution(generated, "edit", "Bar 4 by hand", digest_of(generated), author="Ann")
    files = pack(generated, corpus, generated.parent / "model")
    credits = {c["role"]: c["ai"] for c in json.loads(files["spotify.json"])["credits"]}
    assert credits == {
        "composition": "all", "instrumentation": "all",
        "lyrics": "unknown", "vocals": "unknown", "post-production": "unknown",
    }  # fmt: skip
    tags = json.loads(files["apple.json"])["ai_transparencies"]
    assert tags == {"composition": True, "track": True, "artwork": None, "music_video": None}
    assert ElementTree.fromstring(files["ddex.xml"]).findtext("ContainsAI") == "All"
    card = files["model_card.md"].decode()
    assert digest_of(MODEL).hex in card
    reached = json.loads((MODEL / "training.json").read_bytes())["validation"]["perplexity"]
    assert f"validation split, network: perplexity {reached:.6g}" in card
    learned = json.loads((MODEL / "provenance.json").read_bytes())["materials"][0]
    assert learned["digest"]["sha256"] in card
    assert "edit by Ann: Bar 4 by hand" in files["summary.md"].decode()
    assert files == pack(generated, corpus, generated.parent / "model")


def test_another_model_is_not_described(generated: Path, corpus: AuditCorpus) -> None:
    (generated.parent / "model" / "config.json").write_text("{}")
    card = pack(generated, corpus, generated.parent / "model")["model_card.md"].decode()
    assert "model is not the model that made the track" in card
    assert "the model's folder was not given" in pack(generated, corpus)["model_card.md"].decode()


def test_roles_that_contradict_the_record_are_not_passed_on(generated: Path, corpus: AuditCorpus) -> None:
    (generated.parent / "new.mid.ddex.xml").write_text(
        "<SoundRecording><Contributor><ContributorPartyReference>P1</ContributorPartyReference><Role>Composer</Role>"
        "<AiContribution>None</AiContribution></Contributor></SoundRecording>"
    )
    files = pack(generated, corpus)
    assert {c["ai"] for c in json.loads(files["spotify.json"])["credits"]} == {"unknown"}
    assert "record names a model" in files["summary.md"].decode()


@pytest.mark.parametrize(
    ("roles", "composition", "recording"),
    [
        ({}, None, None),
        ({"composition": "none"}, False, None),
        ({"composition": "partly", "vocals": "none"}, True, None),
        ({"vocals": "none", "instrumentation": "none", "post-production": "none"}, None, False),
        ({"vocals": "none", "post-production": "partly"}, None, True),
    ],
)
def test_apple_tags_tell_unknown_from_none(roles: dict[str, str], composition: object, recording: object) -> None:
    assert apple_tags(roles) == {
        "composition": composition, "track": recording, "artwork": None, "music_video": None,
    }  # fmt: skip


def test_the_data_sheet_counts_rights_duplicates_and_split(track: Path, corpus: AuditCorpus) -> None:
    found = corpus.census
    assert (found.pieces, found.works, found.duplicates, found.cleared) == (3, 2, 1, 1)
    assert dict(found.licences) == {"": 2, "CC0-1.0": 1}
    assert sum(found.splits.values()) == 3
    sheet = pack(track, corpus)["data_sheet.md"].decode()
    for part in ("3, 2 different works (1 duplicates)", "on file: 1 of 3", "| unknown | 2 |", "| CC0-1.0 | 1 |"):
        assert part in sheet


def test_credentials_are_told_file_by_file(track: Path, corpus: AuditCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    (track.parent / "new.mid.c2pa").write_bytes(b"junk")
    found = json.loads(pack(track, corpus)["c2pa.json"])
    assert [(f["file"], f["verdict"], f["says"]) for f in found["files"]] == [("new.mid", "tampered", {})]
    said = CredentialFound("new.mid", "trusted", "by us", {"digital_source_type": "trainedAlgorithmicMedia"})
    monkeypatch.setattr(audit.disclosure, "_credentials", lambda *_: (said,))
    files = pack(track, corpus)
    assert json.loads(files["c2pa.json"])["files"][0]["says"] == said.says
    assert "new.mid: trusted: by us" in files["summary.md"].decode()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_text(track: Path, corpus: AuditCorpus, text: str) -> None:
    made = disclosure_files(report(track={"name": text}, store={"name": text}), disclose(track, corpus, NOBODY))
    for name, content in made.items():
        if name.endswith(".md"):
            first = content.decode().splitlines()[0]
            assert len(first) < 700
            assert "<script" not in content.decode()
            assert first.startswith("# ")

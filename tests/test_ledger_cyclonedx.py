"""A model's bill of materials."""

import json
from pathlib import Path

import pytest

from ledger.errors import Malformed, PathRefused
from ledger.exchange.cyclonedx import model_bom
from ledger.hashes.digest import hash_file
from ledger.provenance.record import digest_of, material_of, write_record


@pytest.fixture
def model(tmp_path: Path) -> Path:
    store, model = tmp_path / "store", tmp_path / "model"
    for folder in (store, model):
        folder.mkdir()
        (folder / "content").write_bytes(folder.name.encode())
    write_record(store, "dataset")
    scores = {"perplexity": 6.60412345, "bits_per_note": 7.5, "tokens": 9}
    (model / "training.json").write_text(json.dumps({"validation": scores, "baseline": {"perplexity": 8, "order": 4}}))
    materials = [material_of("dataset", store, artefact=model)]
    write_record(model, "model", materials=materials, parameters={"seed": 1, "size": "tiny", "minutes": None})
    return model


def test_files_data_set_and_figures(model: Path) -> None:
    content = model_bom(model)
    assert content == model_bom(model)
    bom = json.loads(content)
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    component = bom["metadata"]["component"]
    assert component["type"] == "machine-learning-model"
    assert component["hashes"] == [{"alg": "SHA-256", "content": digest_of(model).hex}]
    files = {part["name"]: part["hashes"][0]["content"] for part in component["components"]}
    assert files == {file.name: hash_file(file).hex for file in model.iterdir()}
    (dataset,) = bom["components"]
    assert (dataset["type"], dataset["name"]) == ("data", "store")
    assert dataset["hashes"][0]["content"] == digest_of(model.with_name("store")).hex
    assert component["modelCard"]["modelParameters"]["datasets"] == [{"ref": dataset["bom-ref"]}]
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [(metric["type"], metric["value"], metric["slice"]) for metric in metrics] == [
        ("perplexity", "6.60412", "validation split, network"),
        ("bits_per_note", "7.5", "validation split, network"),
        ("perplexity", "8", "validation split, count n-gram baseline"),
    ]
    assert {"name": "contraste:size", "value": "tiny"} in component["properties"]
    assert bom["dependencies"][0] == {"ref": component["bom-ref"], "dependsOn": [dataset["bom-ref"]]}
    (model / "content").write_bytes(b"other")
    assert json.loads(model_bom(model))["serialNumber"] != bom["serialNumber"]


def test_what_is_no_model_is_refused(model: Path) -> None:
    with pytest.raises(PathRefused, match="is not a folder"):
        model_bom(model / "content")
    with pytest.raises(Malformed, match="is recorded as a dataset"):
        model_bom(model.with_name("store"))
    (model / "training.json").write_text("{")
    with pytest.raises(Malformed, match=r"training\.json: not valid JSON"):
        model_bom(model)
    (model / "training.json").write_text("[1]")
    assert b'"performanceMetrics": []' in model_bom(model)

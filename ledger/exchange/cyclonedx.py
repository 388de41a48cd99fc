"""A model's bill of materials: CycloneDX 1.6 (ECMA-424) with a model card.

It names every file of the model by digest, the data set it learned from by its root digest, and what its training
reached. It has no clock in it: the same model gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import json
import uuid
from pathlib import Path
from typing import Any

from ledger.errors import Malformed, PathRefused
from ledger.hashes.digest import read_json
from ledger.hashes.manifest import Manifest
from ledger.provenance.digests import Digests
from ledger.provenance.record import read_record

SPEC_VERSION = "1.6"
TRAINING_FILE = "training.json"
"""Written by the generator; of a model from elsewhere it may be absent."""


def model_bom(path: Path, digests: Digests | None = None) -> bytes:
    """Return the bill of materials of a model folder as CycloneDX JSON; `digests` is what this run has hashed.

    Raises
    ------
    PathRefused
        If `path` is no folder, or cannot be hashed.
    Malformed
        If the folder is not recorded as a model.
    """
    if not path.is_dir():
        raise PathRefused(f"{path} is not a folder; a bill of materials is that of a model folder")
    record = read_record(path)
    if record is None or record.origin.kind != "model":
        kind = f"a {record.origin.kind}" if record else "no model"
        raise Malformed(f"{path} is recorded as {kind}; a bill of materials is that of a model made by contraste train")
    manifest = (digests or Digests()).measure(path)
    assert isinstance(manifest, Manifest), "a folder"
    model = f"model:{manifest.root.hex}"
    sets = [material for material in record.origin.materials if material.kind == "dataset"]
    refs = [f"dataset:{material.digest.hex}" for material in sets]
    parameters = record.origin.parameters
    properties = [
        {"name": f"contraste:{name}", "value": value if isinstance(value, str) else json.dumps(value)}
        for name, value in sorted(parameters.items())
    ]
    card = {
        "modelParameters": {
            "approach": {"type": "self-supervised"},
            "task": "music generation",
            "architectureFamily": "transformer",
            "datasets": [{"ref": ref} for ref in refs],
            "inputs": [{"format": "audio/midi"}],
            "outputs": [{"format": "audio/midi"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(path / TRAINING_FILE)},
    }
    component = {
        "type": "machine-learning-model",
        "bom-ref": model,
        "name": path.resolve().name,
        "hashes": _hashes(manifest.root.hex),
        "modelCard": card,
        "properties": [{"name": "contraste:hash", "value": "OpenSSF model signing 1.0 root digest"}, *properties],
        "components": [
            {"type": "file", "bom-ref": f"{model}/{name}", "name": name, "hashes": _hashes(digest.hex)}
            for name, digest in manifest.files.items()
        ],
    }
    datasets = [
        {
            "type": "data",
            "bom-ref": ref,
            "name": material.name,
            "hashes": _hashes(material.digest.hex),
            "data": [{"type": "dataset", "name": material.name}],
        }
        for ref, material in zip(refs, sets, strict=True)
    ]
    tool = {"type": "application", "name": "contraste", "version": importlib.metadata.version("contraste")}
    bom = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'https://contraste.dev/{model}')}",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": component},
        "components": datasets,
        "dependencies": [{"ref": model, "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }
    return json.dumps(bom, indent=1, ensure_ascii=False).encode() + b"\n"


def _hashes(hexadecimal: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hexadecimal}]


def _metrics(file: Path) -> list[dict[str, str]]:
    """Return what training reached on the validation split, beside the baseline on the same tokens."""
    if not file.exists():
        return []
    report: Any = read_json(file)
    scores = [("network", "validation"), ("count n-gram baseline", "baseline")]
    found = [(who, report.get(name)) for who, name in scores] if isinstance(report, dict) else []
    return [
        {"type": kind, "value": f"{scored[kind]:.6g}", "slice": f"validation split, {who}"}
        for who, scored in found
        if isinstance(scored, dict)
        for kind in ("perplexity", "bits_per_note")
        if isinstance(scored.get(kind), int | float)
    ]

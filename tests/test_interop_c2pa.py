"""Other people's readers of what we write, in an environment of their own: `make interop-c2pa`.

A second, independent C2PA engine (encypher-c2pa) judges every case; mlcroissant and CycloneDX read the exports.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus.croissant import describe
from corpus.ingest import ingest
from corpus.rights import read_rights
from corpus.store import Store
from ledger.exchange.credential import read_credential
from ledger.exchange.cyclonedx import model_bom
from ledger.media import media_type
from ledger.signing.certificates import pem_text
from ledger.signing.trust import Trust
from music.midi import write_midi
from music.notes import build
from tests.cases.credentials import FILES, TAMPER, World, holder, roots

PYTHON = Path(os.environ.get("CONTRASTE_INTEROP_C2PA", ".venv-interop-c2pa")) / "bin" / "python"
READERS = Path(__file__).parent / "peers" / "readers.py"
pytest.importorskip("c2pa")
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason=f"{PYTHON} is not there: no peer was asked; make interop-c2pa"
)


def ask(jobs: list[dict[str, Any]]) -> list[list[Any]]:
    script = Path(__file__).parent / "peers" / "second_engine.py"
    environment = {"PATH": os.environ["PATH"], "ENCYPHER_C2PA_TELEMETRY": "0"}
    ran = subprocess.run(
        [PYTHON, script], input=json.dumps(jobs), capture_output=True, text=True, check=False, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    answers: list[list[Any]] = json.loads(ran.stdout)
    return answers


def job(world: World, path: Path) -> dict[str, Any]:
    beside = holder(path) != path
    return {
        "file": str(path),
        "type": media_type(path),
        "sidecar": str(holder(path)) if beside and holder(path).exists() else None,
        "allowed": "".join(chain for key_id, chain in world.chains.items() if key_id in world.trust),
        "authorities": pem_text(*world.trust.roots),
    }


@pytest.fixture
def worlds(tmp_path: Path) -> Callable[[str], World]:
    def make(name: str) -> World:
        folder = tmp_path / name
        folder.mkdir()
        return World(folder)

    return make


def test_it_agrees_on_every_case(worlds: Callable[[str], World]) -> None:
    jobs, ours = [], {}
    for number, (name, case) in enumerate(TAMPER.items()):
        world = worlds(str(number))
        path = world.track(case.kind)
        case.change(world, path)
        # It knows nothing of our list of revoked keys, so both are asked without.
        ours[name] = read_credential(path, Trust(world.trust, world.trust.roots)).verdict
        jobs.append(job(world, path))
    theirs = ask(jobs)
    differing = {
        name: (said, *their) for (name, said), their in zip(ours.items(), theirs, strict=True) if said != their[0]
    }
    assert differing == {}


def test_it_trusts_what_we_sign(worlds: Callable[[str], World]) -> None:
    jobs = []
    for kind in FILES:
        for by_key in (True, False):
            world = worlds(f"{kind}-{by_key}")
            path = world.track(kind)
            world.issuer(mining="allowed").issue(path)  # with a parent
            if not by_key:
                world.trust = Trust({}, roots(world.authority))
            jobs.append(job(world, path))
    assert ask(jobs) == [["trusted", []]] * len(jobs)


def read_by_peer(kind: str, file: Path) -> Any:
    ran = subprocess.run([PYTHON, READERS, kind, file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_mlcroissant_reads_every_piece(tmp_path: Path) -> None:
    for i in range(4):
        pitch = np.random.default_rng(i).integers(50, 80, 40)
        write_midi(build(np.arange(40) / 2, np.full(40, 0.5), pitch), tmp_path / "src" / f"{i}.mid")
    (tmp_path / "rights.csv").write_text("path,licence,consent\n*,CC-BY-4.0,granted\n")
    ingest([tmp_path / "src"], tmp_path / "store", rights=read_rights(tmp_path / "rights.csv"), workers=1)
    store, out = Store.open(tmp_path / "store"), tmp_path / "store.croissant.json"
    out.write_bytes(describe(store, out))
    found = read_by_peer("croissant", out)
    assert found["errors"] == []
    assert found["pieces"] == 4
    first = found["first"]
    assert (first["path"], first["licence"], first["consent"]) == ("0.mid", "CC-BY-4.0", "granted")
    assert first["file_sha256"] == store.pieces[0].file_digest
    assert first["split"] in ("train", "valid", "test")
    described = json.loads(out.read_text())
    described["recordSet"][1]["field"].append({"@type": "cr:Field", "@id": "pieces/x", "name": "x"})
    out.write_text(json.dumps(described))
    ran = subprocess.run([PYTHON, READERS, "croissant", out], capture_output=True, check=False)
    assert ran.returncode != 0 or json.loads(ran.stdout)["errors"]  # the validator does look


def test_the_bill_of_materials_fits_the_published_schema(worlds: Callable[[str], World], tmp_path: Path) -> None:
    world, out = worlds("bom"), tmp_path / "bom.json"
    out.write_bytes(model_bom(world.model))
    assert read_by_peer("cyclonedx", out) == {"error": ""}
    out.write_text(out.read_text().replace('"machine-learning-model"', '"machine"'))
    assert "machine" in read_by_peer("cyclonedx", out)["error"]

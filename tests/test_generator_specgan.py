"""SpecGAN: the penalty, the variety of samples, resumption to the bit, and what a model folder may hold."""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from generator.data.vocabulary import GeneratorError, SettingError
from generator.network.checkpoint import beside, is_spectrogram
from generator.sound import specgan
from generator.sound.networks import Critic, Generator, Spectrum
from generator.sound.sampling import STATE, generate_spectrograms, load_generator, load_hashes
from generator.sound.settings import WIDTHS, SpectrogramReport
from generator.sound.specgan import _Run, gradient_norms, mean_distance, train_spectrogram
from generator.sound.windows import Sound, SoundWindows, read_sounds, window_starts
from metrics.phash import mel_hash
from music.notes import build
from tests.cases.stores import FakeStore, piece
from tests.cases.tunes import chorale
from tests.cases.values import require

OPTIONS: dict[str, Any] = {"size": "small", "batch": 4, "threads": 1, "device": "cpu"}
MODEL_FILES = {"config.json", "model.safetensors", "training.json", "windows.safetensors"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    splits = ["train"] * 5 + ["valid"] * 2
    return FakeStore(
        [chorale(i) for i in range(7)],
        tuple(piece(f"{i}.mid", s) for i, s in enumerate(splits)),
        tmp_path_factory.mktemp("store"),
    )


@pytest.fixture(scope="module", autouse=True)
def _small(store: FakeStore) -> Iterator[None]:
    """Name a small size, and render the pieces once."""
    rendered = {split: read_sounds(store, split) for split in ("train", "valid")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WIDTHS, "small", 4)
        patch.setattr(
            specgan,
            "read_sounds",
            lambda s, split, show: rendered[split] if s is store else read_sounds(s, split, show),
        )
        yield


@pytest.fixture(scope="module")
def trained(store: FakeStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SpectrogramReport]:
    folder = tmp_path_factory.mktemp("models") / "model"
    report = train_spectrogram(store, folder, steps=50, hasher=partial(mel_hash, bits=64), **OPTIONS)
    return folder, report


def test_the_penalty_holds_the_critics_gradient(
    trained: tuple[Path, SpectrogramReport], store: FakeStore, tmp_path: Path
) -> None:
    _, report = trained
    # gap - 10 (norm - 1)^2 is greatest, over the critic's scale, where norm = 1 + (gap / norm) / 20
    for step, gap, norm in report.curve[3:]:
        assert norm == pytest.approx(1 + gap / norm / 20, abs=0.1), step
    assert 0.8 < report.gradient_norm["mean"] < 2.2
    assert report.gradient_norm["deviation"] < 0.3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specgan, "PENALTY", 0.0)
        free = train_spectrogram(store, tmp_path / "free", steps=20, **OPTIONS)
    assert free.gradient_norm["mean"] > 5


def test_samples_do_not_collapse(trained: tuple[Path, SpectrogramReport]) -> None:
    folder, report = trained
    assert report.variety > 0.4
    mels = torch.from_numpy(np.stack([s.mel for s in generate_spectrograms(folder, 6)]))
    assert mean_distance(mels) > 3.0  # decibels
    assert mean_distance(mels[:1].repeat(6, 1, 1)) == 0  # what collapse would give


def test_the_gradient_norm_by_hand() -> None:
    class Slope(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 3 * x[:, 0, 0, 0] + 4 * x[:, 0, 0, 1] + x[:, 0, 1, 1] ** 2

    real, fake = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    real[0, 0, 1, 1] = 8.0
    norms = gradient_norms(Slope(), real, fake, torch.tensor([0.75, 0.75]))
    np.testing.assert_allclose(norms.detach(), [13, 5])  # (3, 4, 2 * 6) and (3, 4, 0)


def test_shapes_and_the_papers_size() -> None:
    count = {n: sum(p.numel() for p in kind(64).parameters()) for n, kind in (("G", Generator), ("D", Critic))}
    assert (round(count["G"] / 1e6), round(count["D"] / 1e6)) == (19, 17)
    pictures = Generator(2)(torch.zeros(3, 100))
    assert pictures.shape == (3, 1, 128, 128)
    assert Critic(2)(pictures).shape == (3,)


def test_normalisation_is_undone_but_for_what_is_cut() -> None:
    rng = np.random.default_rng(0)
    windows = np.clip(rng.normal(120, 30, (40, 128, 128)), 0, 255).astype(np.uint8)
    windows[:, 5] = 0  # a band without sound
    spectrum = Spectrum.of(windows)
    pictures = spectrum.pictures(windows)
    assert pictures.abs().max() <= 1
    assert abs(float(pictures[:, 0, 7].mean())) < 1e-3
    back = spectrum.mels(pictures)
    grey = (back + 80) / 80 * 255
    inside = np.abs(windows - 120.0) < 80
    assert np.abs(grey - windows)[inside].max() <= 1.0


def test_windows_begin_on_beats_and_are_cut_whole() -> None:
    assert window_starts(300, np.array([0.0, 0.5, 1.0, 4.0])).tolist() == [0, 22, 43, 172]
    assert window_starts(300, np.array([0.0, 4.2])).tolist() == [0]  # 181 + 128 > 300
    assert window_starts(300, np.zeros(0)).tolist() == [0, 64, 128]
    mel = np.arange(300, dtype=np.uint8)[:, None].repeat(128, 1)
    sounds = [specgan_sound("a", mel, [0, 10]), specgan_sound("b", mel[::-1], [5])]
    windows = SoundWindows(sounds)
    assert len(windows) == 3
    rows = windows.rows(np.array([2, 1]))
    assert rows.shape == (2, 128, 128)
    assert rows[0, 0].tolist() == mel[::-1][5:133, 0].tolist()
    assert rows[1, 0].tolist() == mel[10:138, 0].tolist()


def specgan_sound(path: str, mel: NDArray[np.uint8], starts: list[int]) -> Sound:
    from generator.sound.windows import Sound

    return Sound(path, mel, np.array(starts))


def test_a_run_leaves_a_model_and_an_account_of_it(trained: tuple[Path, SpectrogramReport]) -> None:
    folder, report = trained
    assert {p.name for p in folder.iterdir()} == MODEL_FILES
    assert is_spectrogram(folder)
    written = json.loads((folder / "training.json").read_text())
    assert (written["steps"], written["kind"], written["store_digest"]) == (50, "renders", "d" * 64)
    assert written["windows"] == report.windows
    learned, held_out = require(load_hashes(folder))
    assert (len(learned), len(held_out)) == (report.windows["train"], report.windows["valid"])
    events = [*folder.with_name("model.logs").iterdir()]
    assert events[0].name.startswith("events.out.tfevents")
    assert b"critic/gradient_norm" in events[0].read_bytes()


def test_the_same_seed_gives_the_same_weights_also_when_resumed(store: FakeStore, tmp_path: Path) -> None:
    train_spectrogram(store, tmp_path / "whole", steps=4, **OPTIONS)
    weights = (tmp_path / "whole" / "model.safetensors").read_bytes()
    advance = specgan._Run.advance

    def interrupted(run: _Run) -> tuple[float, float]:
        found = advance(run)
        if run.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specgan._Run, "advance", interrupted)
        report = train_spectrogram(store, tmp_path / "halves", steps=4, **OPTIONS)
    assert (report.interrupted, report.steps) == (True, 2)
    assert (tmp_path / "halves" / "model.safetensors").read_bytes() != weights
    report = train_spectrogram(store, tmp_path / "halves", steps=4, resume=True, **OPTIONS)
    assert (report.interrupted, report.steps) == (False, 4)
    assert (tmp_path / "halves" / "model.safetensors").read_bytes() == weights


def test_samples_depend_on_model_seed_and_number_alone(trained: tuple[Path, SpectrogramReport]) -> None:
    folder, _ = trained
    two, three = generate_spectrograms(folder, 2, seed=3), generate_spectrograms(folder, 3, seed=3)
    np.testing.assert_array_equal(two[1].mel, three[1].mel)
    assert two[1].settings == {"seed": 3, "index": 1, "count": 2}
    assert two[0].mel.shape == (128, 128)
    assert two[0].mel.min() >= -80
    assert two[0].mel.max() <= 0
    assert np.abs(two[0].mel - generate_spectrograms(folder, 1, seed=4)[0].mel).max() > 1


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("touch /tmp/contraste-was-here",)


def copied(folder: Path, tmp_path: Path, **changed: bytes) -> Path:
    twin = tmp_path / "twin"
    twin.mkdir()
    for name in MODEL_FILES:
        (twin / name).write_bytes(changed.get(name.split(".")[0], (folder / name).read_bytes()))
    return twin


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda data: pickle.dumps(Evil()), "is no whole safetensors file"),
        (lambda data: data[:5000], "is no whole safetensors file"),
        (lambda data: b"", "is no whole safetensors file"),
        (lambda data: data[:-4] + struct.pack("<f", float("nan")), "must be finite float32"),
        (lambda data: data.replace(b'"mean"', b'"moan"'), "weight 'm[eo]an' has shape"),
    ],
)
def test_damaged_weights_are_refused(
    trained: tuple[Path, SpectrogramReport], tmp_path: Path, change: Callable[[bytes], bytes], rule: str
) -> None:
    data = (trained[0] / "model.safetensors").read_bytes()
    with pytest.raises(GeneratorError, match=rf"model\.safetensors: .*{rule}"):
        load_generator(copied(trained[0], tmp_path, model=change(data)))


def test_a_config_that_does_not_fit_is_refused(trained: tuple[Path, SpectrogramReport], tmp_path: Path) -> None:
    config = json.loads((trained[0] / "config.json").read_text())
    other = copied(trained[0], tmp_path, config=json.dumps({**config, "width": 8}).encode())
    with pytest.raises(GeneratorError, match="has shape"):
        load_generator(other)
    odd: list[Any] = [{**config, "width": 10**9}, {**config, "width": True}, {**config, "format": "x"}, []]
    for wrong in odd:
        (other / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(GeneratorError, match=r"config\.json: says no 'contraste-specgan/1'"):
            load_generator(other)
    (other / "windows.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(GeneratorError, match=r"windows\.safetensors: is no whole"):
        load_hashes(other)


def test_a_state_that_does_not_fit_is_refused(
    trained: tuple[Path, SpectrogramReport], store: FakeStore, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    with pytest.raises(GeneratorError, match="there is nothing to resume"):
        train_spectrogram(store, folder, steps=2, resume=True, **OPTIONS)
    beside(folder, STATE).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(GeneratorError, match=r"state\.safetensors: is no whole"):
        train_spectrogram(store, folder, steps=2, resume=True, **OPTIONS)
    beside(folder, STATE).write_bytes(beside(trained[0], STATE).read_bytes())
    with pytest.raises(GeneratorError, match="is of another size or store"):
        train_spectrogram(store, folder, steps=2, resume=True, **{**OPTIONS, "size": "tiny"})
    data = beside(trained[0], STATE).read_bytes()
    beside(folder, STATE).write_bytes(data.replace(b'"critic.adam.0.exp_avg"', b'"critic.adam.0.exp_abc"'))
    with pytest.raises(GeneratorError, match="is not the state of this model"):
        train_spectrogram(store, folder, steps=52, resume=True, **OPTIONS)
    assert not Path("/tmp/contraste-was-here").exists()


def test_a_store_without_sound_to_learn_from_is_refused(tmp_path: Path) -> None:
    short = build([0.0], [1.0], [60])
    for sequences in ([], [short], [build([], [], [])]):
        pieces = tuple(piece(f"{i}.mid", "train") for i in range(len(sequences)))
        with pytest.raises(GeneratorError, match=r"split 'train' gives no 3\.0 s of sound"):
            train_spectrogram(FakeStore(sequences, pieces, tmp_path), tmp_path / "m", steps=1, **OPTIONS)
    assert not (tmp_path / "m").exists()


def test_a_folder_with_a_model_is_not_overwritten(trained: tuple[Path, SpectrogramReport], store: FakeStore) -> None:
    with pytest.raises(SettingError, match="holds a model already"):
        train_spectrogram(store, trained[0], steps=1, **OPTIONS)


def test_a_place_that_cannot_be_written_to_is_the_systems_error(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        train_spectrogram(store, tmp_path / "file" / "m", steps=1, **OPTIONS)


def test_a_full_disk_keeps_the_last_checkpoint(store: FakeStore, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    train_spectrogram(store, folder, steps=1, **OPTIONS)
    kept = beside(folder, STATE).read_bytes()

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specgan, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            train_spectrogram(store, folder, steps=2, resume=True, **OPTIONS)
    assert beside(folder, STATE).read_bytes() == kept
    assert train_spectrogram(store, folder, steps=2, resume=True, **OPTIONS).steps == 2


def test_a_loss_that_is_no_number_ends_the_run(store: FakeStore, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specgan, "PENALTY", float("nan"))
        with pytest.raises(GeneratorError, match="the critic's loss is nan in step 1"):
            train_spectrogram(store, tmp_path / "m", steps=1, **OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give minutes, steps or both"),
        ({"steps": 1, "size": "huge"}, "size = 'huge'"),
        ({"steps": 1, "seed": -1}, "seed = -1"),
        ({"steps": 1, "batch": 0}, "batch = 0"),
        ({"steps": 1, "device": "abacus"}, "device 'abacus' is not to be had here"),
    ],
)
def test_settings_out_of_range_are_refused(
    store: FakeStore, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        train_spectrogram(store, tmp_path / "m", **{"size": "small", **options})
    assert not (tmp_path / "m").exists()


def test_too_many_samples_are_refused(trained: tuple[Path, SpectrogramReport]) -> None:
    with pytest.raises(SettingError, match="4097 samples"):
        generate_spectrograms(trained[0], 4097)

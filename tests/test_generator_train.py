import json
import math
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import generator.training.train
from generator.data.tokens import encode
from generator.data.vocabulary import PITCH, VOCABULARY_DIGEST, GeneratorError
from generator.data.windows import Windows, scored_windows
from generator.network.checkpoint import PUBLIC_FILES, load_model, load_state, state_file
from generator.network.model import SIZES, Transformer
from generator.network.stack import ModelConfig
from generator.training.objective import Likelihood, Losses, Team, baseline
from generator.training.settings import Settings, TrainingReport
from generator.training.train import _Run, train
from music.notes import build
from tests.cases.stores import FakeStore, piece
from tests.cases.tunes import duet
from tests.cases.values import require

SMALL = ModelConfig(width=128, layers=1, heads=2, context=64)


def store_of(count: int = 6, valid: int = 2, digest: str = "d" * 64) -> FakeStore:
    splits = ["valid" if i < valid else "train" for i in range(count)]
    return FakeStore(
        [duet(i) for i in range(count)], tuple(piece(f"{i}.mid", s) for i, s in enumerate(splits)), digest=digest
    )


OPTIONS: dict[str, Any] = {"batch": 2, "workers": 1, "precision": "float32", "device": "cpu", "size": "small"}


@pytest.fixture(autouse=True)
def _small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingReport]:
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "small", SMALL)
        report = train(store_of(), folder, Settings(steps=60, transpose=0, **OPTIONS))
    return folder, report


def test_a_run_leaves_a_model_and_an_account_of_it(trained: tuple[Path, TrainingReport]) -> None:
    folder, report = trained
    assert {p.name for p in folder.iterdir()} == set(PUBLIC_FILES)
    assert state_file(folder).exists()
    written = json.loads((folder / "training.json").read_text())
    assert written["steps"] == report.steps == 60
    assert written["vocabulary_digest"] == VOCABULARY_DIGEST
    assert written["store_digest"] == "d" * 64
    assert written["pieces"] == {"train": 4, "valid": 2}
    assert written["settings"]["seed"] == 0
    assert report.ended == "budget"
    assert report.curve[-1]["step"] == 60
    assert report.curve[-1]["cross_entropy"] < report.curve[0]["cross_entropy"] / 2


def test_the_weights_reach_what_the_report_says(trained: tuple[Path, TrainingReport]) -> None:
    folder, report = trained
    pieces = [np.array(encode(duet(i))) for i in range(2)]
    team = Team(load_model(folder), 1, "float32")
    assert team.likelihood(pieces).bits_per_note == pytest.approx(require(report.validation)["bits_per_note"], rel=1e-5)
    assert require(report.validation)["notes"] == require(report.baseline)["notes"] == 96
    assert require(report.validation)["tokens"] == require(report.baseline)["tokens"] == sum(len(p) - 1 for p in pieces)


def test_bits_and_perplexity_by_hand() -> None:
    score = Likelihood.of(nats=4 * math.log(2), tokens=4, notes=2)
    assert score.perplexity == pytest.approx(2)
    assert score.bits_per_note == pytest.approx(2)


def test_the_same_seed_gives_the_same_weights_also_when_resumed(tmp_path: Path) -> None:
    store = store_of()
    train(store, tmp_path / "whole", Settings(steps=8, **OPTIONS))
    train(store, tmp_path / "again", Settings(steps=8, **OPTIONS))
    weights = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == weights

    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        report = train(store, tmp_path / "halves", Settings(steps=8, **OPTIONS))
    assert (report.ended, report.steps, report.validation) == ("interrupted", 3, None)
    assert load_model(tmp_path / "halves").config == SMALL
    report = train(store, tmp_path / "halves", Settings(steps=8, **OPTIONS), resume=True)
    assert (report.ended, report.steps) == ("budget", 8)
    assert (tmp_path / "halves" / "model.safetensors").read_bytes() == weights


def stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Send the process Ctrl-C in step number `steps`."""
    advance = generator.training.train._Run.advance

    def interrupted(run: _Run, rows: NDArray[np.int64], done: float) -> Losses:
        loss = advance(run, rows, done)
        if run.step == steps:
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    patch.setattr(generator.training.train._Run, "advance", interrupted)


def test_handlers_are_as_before_a_run(trained: tuple[Path, TrainingReport]) -> None:
    # A shell starts what it puts in the background with SIGINT ignored.
    assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN)


def test_training_works_off_the_main_thread(tmp_path: Path) -> None:
    reports = []
    thread = threading.Thread(target=lambda: reports.append(train(store_of(), tmp_path, Settings(steps=1, **OPTIONS))))
    thread.start()
    thread.join()
    assert reports[0].steps == 1


def test_two_workers_add_up_to_the_gradients_of_one() -> None:
    rows = Windows([np.array(encode(duet(i))) for i in range(4)], 64, 0).rows(4, [1])
    gradients = []
    for members in (1, 2):
        torch.manual_seed(0)
        model = Transformer(ModelConfig(128, 1, 2, 64, dropout=0.0))
        team = Team(model, members, "float32")
        losses = team.gradients(torch.from_numpy(rows))
        team.pool.shutdown()
        gradients.append(([p.grad for p in model.parameters()], losses))
    (one, losses_one), (two, losses_two) = gradients
    assert losses_one.tokens == losses_two.tokens
    assert losses_one.cross_entropy == pytest.approx(losses_two.cross_entropy, rel=1e-5)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_every_token_is_scored_once() -> None:
    for length in (4, 24, 100):
        piece = np.array(encode(duet(0, length)))
        counted = [cut[known:] for cut, known in scored_windows(piece, 64)]
        np.testing.assert_array_equal(np.concatenate(counted), piece[1:])


def test_windows_move_only_within_the_range_of_the_corpus() -> None:
    pieces = [np.array(encode(duet(i))) for i in range(3)]
    low = min(p[p >= PITCH].min() for p in pieces)
    high = max(p[p >= PITCH].max() for p in pieces)
    rows = np.concatenate([Windows(pieces, 64, 11).rows(8, [s]).flatten() for s in range(5)])
    assert low <= rows[rows >= PITCH].min()
    assert rows.max() <= high


def test_the_baseline_finds_the_order_that_helps() -> None:
    pieces = [np.array(encode(duet(i))) for i in range(4)]
    result = baseline(pieces, pieces[:1], 0)
    assert result["order"] > 1
    assert result["perplexity"] < 2


def test_a_folder_with_a_model_is_not_overwritten(trained: tuple[Path, TrainingReport]) -> None:
    with pytest.raises(GeneratorError, match="holds a model already; resume it, or name another folder"):
        train(store_of(), trained[0], Settings(steps=1, **OPTIONS))


def test_a_run_killed_before_its_first_checkpoint_can_start_again(
    trained: tuple[Path, TrainingReport], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((trained[0] / "config.json").read_bytes())
    assert train(store_of(), tmp_path, Settings(steps=1, **OPTIONS)).steps == 1


def test_another_store_is_not_resumed(trained: tuple[Path, TrainingReport]) -> None:
    with pytest.raises(GeneratorError, match=r"config\.json: names other sizes or another store"):
        train(store_of(digest="e" * 64), trained[0], Settings(steps=99, **OPTIONS), resume=True)


def test_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match=r"config\.json: No such file"):
        train(store_of(), tmp_path, Settings(steps=1, **OPTIONS), resume=True)


def test_a_damaged_state_is_refused(trained: tuple[Path, TrainingReport], tmp_path: Path) -> None:
    state_file(tmp_path).write_bytes(state_file(trained[0]).read_bytes()[:5000])
    with pytest.raises(GeneratorError, match=r"state\.pt: can't be read"):
        load_state(tmp_path)


def test_a_store_without_training_pieces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeneratorError, match="no pieces to train on"):
        train(store_of(2, valid=2), tmp_path, Settings(steps=1, **OPTIONS))


def test_what_the_vocabulary_cannot_write_is_skipped_and_listed(tmp_path: Path) -> None:
    sequences = [build([], [], []), build([40000], [1], [60]), duet(2)]
    store = FakeStore(sequences, [piece(f"{i}.mid", "train") for i in range(3)])
    report = train(store, tmp_path, Settings(steps=1, **OPTIONS))
    assert [path for path, _ in report.skipped] == ["0.mid", "1.mid"]
    assert "has no notes" in report.skipped[0][1]
    assert report.validation is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 1, "latent": -1}, "latent = -1"),
        ({"steps": 1, "lora": 999}, "lora = 999"),
        ({"epochs": 0.0}, "epochs = 0.0"),
        ({"minutes": -1.0}, "minutes = -1.0 is out of range"),
        ({"steps": 1, "size": "huge"}, "size = 'huge'"),
        ({"steps": 1, "seed": -1}, "seed = -1"),
        ({"steps": 1, "precision": "int4"}, "precision = 'int4'"),
        ({"steps": 1, "device": "abacus"}, "device 'abacus' is not to be had here"),
        ({"steps": 1, "device": "meta"}, "device 'meta' is not to be had here"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GeneratorError, match=message):
        train(store_of(), tmp_path / "m", Settings(**options))
    assert not (tmp_path / "m").exists()


def test_a_styled_run_repeats_bit_by_bit_when_resumed_and_logs_its_losses_apart(tmp_path: Path) -> None:
    store, styled = store_of(), {**OPTIONS, "latent": 8}
    whole = train(store, tmp_path / "whole", Settings(steps=6, **styled))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        train(store, tmp_path / "halves", Settings(steps=6, **styled))
    train(store, tmp_path / "halves", Settings(steps=6, **styled), resume=True)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "halves"))
    assert one == two
    assert set(whole.curve[-1]) == {"step", "cross_entropy", "kl", "mse"}
    assert require(whole.validation)["styled_bits_per_note"] != require(whole.validation)["bits_per_note"]
    assert 0 <= require(whole.active) <= 8
    assert any(file.name.startswith("events") for file in (tmp_path / "whole.logs").iterdir())


@pytest.mark.parametrize("lora", [0, 4])
def test_a_model_is_tuned_to_one_artist(trained: tuple[Path, TrainingReport], tmp_path: Path, lora: int) -> None:
    records = [piece(f"{i}.mid", "valid" if i < 2 else "train", "Ann" if i % 2 else "Ben") for i in range(6)]
    store = FakeStore([duet(i) for i in range(6)], tuple(records))
    steps = 60 if lora else 20  # adapters learn more slowly
    settings = Settings(steps=steps, artist="Ann", lora=lora, rate_first=3e-3, rate_last=1e-3, transpose=0, **OPTIONS)
    settings = replace(settings, latent=3, dropout=0.7)
    report = train(store, tmp_path / "tuned", settings, base=trained[0])
    assert (report.settings["latent"], report.settings["dropout"]) == (SMALL.latent, SMALL.dropout)  # its own
    assert report.pieces == {"train": 2, "valid": 1}
    assert report.curve[-1]["cross_entropy"] < trained[1].curve[-1]["cross_entropy"]
    assert load_model(tmp_path / "tuned").config == SMALL
    with pytest.raises(GeneratorError, match="split 'train' and by 'Carl'"):
        train(store, tmp_path / "none", Settings(steps=1, artist="Carl", **OPTIONS), base=trained[0])


def test_a_run_that_gets_no_better_is_ended(tmp_path: Path) -> None:
    settings = Settings(steps=500, patience=2, checkpoint_minutes=1e-4, rate_first=1e-9, rate_last=1e-9, **OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        scores = iter(range(100))
        patch.setattr(Team, "likelihood", lambda team, pieces: Likelihood(1, 1, 2.0, 5.0 + next(scores)))
        report = train(store_of(), tmp_path, settings)
    assert (report.ended, require(report.validation)["bits_per_note"]) == ("patience", 5.0)
    assert report.steps < 500


def test_out_of_memory_says_what_to_lower(tmp_path: Path) -> None:
    def too_much(team: Team, rows: torch.Tensor, weight: float) -> None:
        raise torch.OutOfMemoryError("no room")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Team, "gradients", too_much)
        with pytest.raises(GeneratorError, match="out of memory on cpu; lower --batch"):
            train(store_of(), tmp_path, Settings(steps=1, **OPTIONS))


def test_epochs_end_a_run(tmp_path: Path) -> None:
    report = train(store_of(), tmp_path, Settings(epochs=2.0, **OPTIONS))
    size = sum(len(encode(duet(i))) for i in range(2, 6))
    assert 2 * size <= report.tokens < 2 * size + 2 * 64


def test_what_is_kept_is_the_running_mean_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights: list[dict[str, torch.Tensor]] = []
    advance = generator.training.train._Run.advance

    def noted(run: _Run, rows: NDArray[np.int64], done: float) -> Losses:
        if not weights:
            weights.append({name: w.detach().clone() for name, w in run.model.named_parameters()})
        losses = advance(run, rows, done)
        weights.append({name: w.detach().clone() for name, w in run.model.named_parameters()})
        return losses

    monkeypatch.setattr(generator.training.train._Run, "advance", noted)
    train(store_of(), tmp_path / "m", Settings(steps=3, batch=2, workers=1, precision="float32", patience=0))
    mean = weights[0]
    for step, taken in enumerate(weights[1:]):
        kept = (1 + step) / (10 + step)  # 1/10, 2/11, 3/12: the first weights are soon forgotten
        mean = {name: kept * mean[name] + (1 - kept) * taken[name] for name in taken}
    written = dict(load_model(tmp_path / "m").named_parameters())
    assert max((written[name] - value).abs().max().item() for name, value in mean.items()) < 1e-6
    assert max((written[name] - value).abs().max().item() for name, value in weights[-1].items()) > 1e-5

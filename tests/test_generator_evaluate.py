import json

import numpy as np
import pytest
import torch

from generator.data.tokens import decode, encode
from generator.data.vocabulary import PITCH, GeneratorError
from generator.data.windows import pad_rows
from generator.evaluate import COMPLETED_NOTES, PROMPT_NOTES, completes, memorisation, table
from generator.network.model import Transformer
from generator.network.stack import ModelConfig
from generator.training.canaries import OTHERS, canaries, exposures, read_canaries, write_canaries
from generator.training.objective import Team, baseline, orders
from music.notes import build

SMALL = ModelConfig(width=128, layers=2, heads=4, context=160, dropout=0.0)


def melody(number, length=PROMPT_NOTES + COMPLETED_NOTES):
    pitch = np.random.default_rng(number).integers(60, 72, length)
    return np.array(encode(build(np.arange(length), np.ones(length), pitch)))


TRAIN, HELD_OUT = [melody(i) for i in range(8)], [melody(100 + i) for i in range(8)]


def test_a_model_trained_too_long_on_few_pieces_is_caught_and_a_young_one_is_not():
    torch.manual_seed(0)
    model = Transformer(SMALL)
    team = Team(model, 1, "float32")
    rows = torch.from_numpy(pad_rows(TRAIN))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loss = 9.0
    for step in range(250):
        if step == 20:
            model.eval()
            young = memorisation(model, TRAIN, HELD_OUT)
        loss = team.gradients(rows).cross_entropy
        optimiser.step()
        if loss < 0.02:
            break
    team.pool.shutdown()
    model.eval()
    old = memorisation(model, TRAIN, HELD_OUT)
    assert young["verdict"] == "not shown"
    assert young["train"]["completed"] == 0
    assert old["verdict"] == "memorised", loss
    assert old["train"]["rate"] >= 0.95
    assert old["held_out"]["completed"] == 0
    assert old["train"]["low"] == pytest.approx(0.6756, abs=1e-3)  # Wilson, 8 of 8
    assert old["p"] == pytest.approx(1 / 12870)  # one of 16 over 8 tables


class Knows(torch.nn.Module):
    """Finds the next token of one piece likeliest, and others than the grammar's likelier still."""

    def __init__(self, piece, wrong_at=None):
        super().__init__()
        self.config = SMALL
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.piece, self.wrong_at = piece, wrong_at

    def forward(self, rows):
        logits = torch.zeros(*rows.shape, SMALL.vocabulary)
        for i in range(rows.shape[1]):
            logits[0, i, self.piece[i + 1]] = 1.0
        logits[..., 0] = 2.0  # padding may never follow
        if self.wrong_at is not None:
            logits[0, self.wrong_at - 1, PITCH : PITCH + 128] = torch.arange(128) / 10
        return logits


def test_completion_reads_exactly_the_notes_after_the_prompt():
    piece = TRAIN[0]
    notes = np.flatnonzero(piece >= PITCH)
    span = int(notes[PROMPT_NOTES - 1]) + 1, int(notes[-1]) + 1
    assert completes(Knows(piece), piece, span)
    assert not completes(Knows(piece, wrong_at=int(notes[-1])), piece, span)
    assert completes(Knows(piece, wrong_at=int(notes[0])), piece, span)


def test_too_few_pieces_give_no_verdict():
    found = memorisation(Knows(TRAIN[0]), TRAIN[:1], [melody(5, 12)])
    assert found["verdict"] == "too few"
    assert found["train"]["completed"] == 1
    assert found["held_out"] == {"pieces": 0, "completed": 0, "rate": None, "low": None, "high": None}


def test_exposure_by_hand(tmp_path):
    planted = canaries(3, 4)
    assert [p.tolist() for p in planted] == [p.tolist() for p in canaries(3, 4)]
    assert len({tuple(decode(p).pitch) for p in planted}) == 4

    def nats(pieces):
        return [-1.0, 1e3, 1e3, 1e3] if len(pieces) == 4 else list(range(OTHERS))

    found = exposures(nats, planted)
    assert found["exposure"][0] == found["most"] == np.log2(OTHERS + 1) == 9  # likelier than all others
    assert found["exposure"][1] == 0  # likelier than none
    assert found["chance"] == pytest.approx(1.44, abs=0.02)

    assert read_canaries(tmp_path) == []
    write_canaries(tmp_path, 3, 4)
    assert [p.tolist() for p in read_canaries(tmp_path)] == [p.tolist() for p in planted]
    (tmp_path / "canaries.json").write_text(json.dumps({"seed": 3, "count": 10**9, "notes": 32}))
    with pytest.raises(GeneratorError, match=r"canaries\.json: says no canaries"):
        read_canaries(tmp_path)


def test_the_baseline_is_the_best_order():
    scores = orders(TRAIN, HELD_OUT, 2)
    best = baseline(TRAIN, HELD_OUT, 2)
    assert best["bits_per_note"] == min(score.bits_per_note for score in scores)
    assert scores[best["order"] - 1].perplexity == best["perplexity"]


def test_tables_leave_out_what_is_unknown():
    assert table([{"a": 1, "b": None}, {"a": 3, "b": 4.0}]) == {"tracks": 2, "a": 2.0, "b": 4.0}

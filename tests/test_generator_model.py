import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from generator.model import SIZES, Cache, ModelConfig, Transformer
from generator.tokens import VOCABULARY, GeneratorError

SMALL = ModelConfig(width=128, layers=2, heads=4, context=48)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Transformer(SMALL).eval()


def tokens(rows, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, len(VOCABULARY), size=(rows, length)))


def test_the_cache_changes_nothing(model):
    line = tokens(3, 40)
    with torch.inference_mode():
        whole = model(line)
        cache = Cache(SMALL, 3, torch.device("cpu"))
        steps = [model(line[:, :10], cache)] + [model(line[:, i : i + 1], cache) for i in range(10, 40)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole[:, 9:], atol=1e-5, rtol=1e-4)


def test_padding_on_the_left_changes_nothing(model):
    line = tokens(1, 20)
    padded = torch.cat([torch.zeros(1, 7, dtype=torch.long), line], dim=1)
    with torch.inference_mode():
        cache = Cache(SMALL, 1, torch.device("cpu"))
        cache.pad[:] = 7
        got = [model(padded[:, :15], cache), *(model(padded[:, i : i + 1], cache) for i in range(15, 27))]
        torch.testing.assert_close(torch.cat(got, dim=1), model(line)[:, 7:], atol=1e-5, rtol=1e-4)


def test_rows_of_the_cache_can_change_places(model):
    line = tokens(2, 12)
    with torch.inference_mode():
        cache = Cache(SMALL, 2, torch.device("cpu"))
        model(line[:, :11], cache)
        cache.reorder(torch.tensor([1, 0, 1]))
        got = model(line[[1, 0, 1], 11:], cache)
        torch.testing.assert_close(got[:, 0], model(line)[[1, 0, 1], -1], atol=1e-5, rtol=1e-4)


def test_no_token_sees_the_future(model):
    line = tokens(1, 30)
    other = line.clone()
    other[0, 20:] = 7
    with torch.inference_mode():
        torch.testing.assert_close(model(line)[:, :20], model(other)[:, :20])


def test_learns_a_small_set_by_heart():
    torch.manual_seed(0)
    model = Transformer(ModelConfig(width=128, layers=2, heads=4, context=32, dropout=0.1))
    lines = tokens(4, 32, seed=3)
    unigram = math.log(len(set(lines.flatten().tolist())))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(80):
        loss = functional.cross_entropy(model(lines[:, :-1]).flatten(0, 1), lines[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < unigram / 4


def test_more_tokens_than_the_context_are_refused(model):
    with pytest.raises(GeneratorError, match="49 tokens; the model's context is 48"):
        model(tokens(1, 49))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 64, "layers": 1, "heads": 2}, "width 64 must be >= 128"),
        ({"width": 130, "layers": 1, "heads": 4}, "multiple of 2"),
        ({"width": 128, "layers": 0, "heads": 4}, "layers, context and vocabulary are >= 1"),
        ({"width": 128, "layers": 1, "heads": 4, "dropout": 1.0}, r"dropout is in \[0, 1\)"),
    ],
)
def test_sizes_out_of_range_are_refused(sizes, message):
    with pytest.raises(GeneratorError, match=message):
        ModelConfig(**sizes)


def test_named_sizes_keep_the_contract():
    for config in SIZES.values():
        assert config.width >= 128
        assert config.heads > 1
        assert config.context == 512
        assert config.dropout == 0.2

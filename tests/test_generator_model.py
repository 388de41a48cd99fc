import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from generator.data.vocabulary import BAR, PITCH, POSITION, VOCABULARY, GeneratorError
from generator.network.kernels import ROWS
from generator.network.lora import add_adapters, merged_weights
from generator.network.model import SIZES, Transformer, bars_of, count_in_bars
from generator.network.stack import Cache, ModelConfig, _SquaredReLU
from generator.training.objective import Objective, latents_at

SMALL = ModelConfig(width=128, layers=2, heads=4, context=48)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return Transformer(SMALL).eval()


def tokens(rows, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(1, len(VOCABULARY), size=(rows, length)))


@pytest.mark.parametrize("rows", [1, ROWS, ROWS + 1])  # compiled, and PyTorch's kernels
def test_the_cache_changes_nothing(model, rows):
    line = tokens(rows, 40)
    with torch.inference_mode():
        whole = model(line)
        cache = Cache(SMALL, rows, torch.device("cpu"))
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


def test_dropout_in_the_feed_forward_keeps_the_mean_and_has_the_right_slope():
    x = torch.randn(5, 7, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: _SquaredReLU.apply(u, 0.0), (x,))
    x = torch.rand(500, 500, requires_grad=True)
    y = _SquaredReLU.apply(x, 0.2)
    y.sum().backward()
    kept = y > 0
    assert kept.double().mean() == pytest.approx(0.8, abs=0.01)
    torch.testing.assert_close(x.grad, torch.where(kept, 2 * y / x, 0.0).detach())
    assert float(y.detach().mean()) == pytest.approx(1 / 3, abs=0.01)


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


STYLED = ModelConfig(width=128, layers=2, heads=4, context=64, dropout=0.0, latent=8)


def bars(*lengths):
    """Two rows of tokens: a header of three, then bars of so many tokens."""
    random = np.random.default_rng(5)
    rows = [np.concatenate([[1, 36, 97], *[[BAR, *random.integers(PITCH, PITCH + 128, n - 1)] for n in lengths]])] * 2
    return torch.from_numpy(np.stack(rows))


@pytest.fixture(scope="module")
def styled():
    torch.manual_seed(2)
    return Transformer(STYLED).eval()


def test_a_bars_style_depends_on_that_bar_alone(styled):
    line = bars(6, 9, 7)
    assert bars_of(line)[0].tolist() == [-1] * 3 + [0] * 6 + [1] * 9 + [2] * 7
    other = line.clone()
    other[0, 12] = PITCH + (int(line[0, 12]) - PITCH + 1) % 128  # in the second bar of the first row
    with torch.inference_mode():
        (mu, log_variance), (changed, _) = styled.encode_style(line), styled.encode_style(other)
    assert mu.shape == log_variance.shape == (2, 3, 8)
    torch.testing.assert_close(mu[0, [0, 2]], changed[0, [0, 2]])
    assert not torch.allclose(mu[0, 1], changed[0, 1])
    torch.testing.assert_close(mu[1], changed[1])


def test_the_zero_style_is_no_style_and_others_are_heard_from_their_bar_on(styled):
    line = bars(6, 9, 7)
    z = torch.zeros(2, 3, 8)
    with torch.inference_mode():
        plain = styled(line)
        torch.testing.assert_close(styled(line, latents=latents_at(z, bars_of(line))), plain)
        z[0, 1] = 3.0
        told = styled(line, latents=latents_at(z, bars_of(line)))
    torch.testing.assert_close(told[0, :9], plain[0, :9])
    torch.testing.assert_close(told[1], plain[1])
    assert not torch.allclose(told[0, 9], plain[0, 9])


def test_the_cache_changes_nothing_about_style(styled):
    line = bars(6, 9, 7)
    latents = latents_at(torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 8))).float(), bars_of(line))
    with torch.inference_mode():
        whole = styled(line, latents=latents)
        cache = Cache(styled.config, 2, torch.device("cpu"))
        styled(line[:, :8], cache, latents[:, :8])
        steps = [styled(line[:, i : i + 1], cache, latents[:, i : i + 1]) for i in range(8, line.shape[1])]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole[:, 8:], atol=1e-5, rtol=1e-4)


def test_what_is_counted_in_a_bar():
    line = torch.tensor(
        [[1, BAR, POSITION, PITCH + 60, PITCH + 72, BAR, POSITION, PITCH + 48, POSITION + 24, PITCH + 48]]
    )
    figures = count_in_bars(line, bars_of(line))[0]
    expected = [[math.log(3), math.log(2), 0.5], [math.log(3), math.log(3), -1.0]]
    torch.testing.assert_close(figures, torch.tensor(expected))


def test_the_encoder_learns_from_the_rows_that_are_decoded_with_style(monkeypatch):
    torch.manual_seed(0)
    objective = Objective(Transformer(STYLED), "float32")
    monkeypatch.setattr(
        torch, "rand", lambda *shape, device: torch.tensor([[0.0], [0.9]])
    )  # the first row is, not the second
    kept = {}
    encode = objective.model.encode_style
    monkeypatch.setattr(objective.model, "encode_style", lambda tokens: kept.setdefault("moments", encode(tokens)))
    line = bars(6, 9, 7)
    sums = objective(line)
    (gradient,) = torch.autograd.grad(sums[0], kept["moments"][0], retain_graph=True)
    assert (gradient[0].abs().sum(dim=1) > 0).tolist() == [True, True, True]
    assert not gradient[1].any()
    (gradient,) = torch.autograd.grad(sums[3], kept["moments"][0])
    assert (gradient.abs().sum(dim=2) > 0).all()


def test_adapters_begin_as_nothing_and_merge_into_what_they_do(model):
    line = tokens(2, 20)
    adapted = copy.deepcopy(model)
    add_adapters(adapted, 4)
    learning = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert learning
    assert all(name.endswith(("down_to", "up_from")) for name in learning)
    assert sum(w.numel() for w in adapted.parameters() if w.requires_grad) < 0.1 * sum(
        w.numel() for w in model.parameters()
    )
    with torch.inference_mode():
        torch.testing.assert_close(adapted(line), model(line))
        for name, weight in adapted.named_parameters():
            if name in learning:
                weight.normal_(std=0.1)
        merged = Transformer(SMALL).eval()
        merged.load_state_dict(merged_weights(adapted.state_dict()))
        torch.testing.assert_close(merged(line), adapted(line), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(merged(line), model(line), atol=1e-2)

import numpy as np
import pytest
import torch

from generator.data.tokens import bar_starts, encode
from generator.data.vocabulary import BAR, METERS, GeneratorError
from generator.network.checkpoint import Description, save_model, write_description
from generator.network.model import Transformer
from generator.network.stack import ModelConfig
from generator.writing.interpolate import describe_pace, interpolate, style_of
from music.notes import Part, TimeSignature, build

CONFIG = ModelConfig(width=128, layers=1, heads=2, context=96, dropout=0.0, latent=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("styled")
    write_description(folder, Description(CONFIG, "d" * 64))
    save_model(Transformer(CONFIG).state_dict(), folder)
    return folder


def piece(bars, beats=4, base=60):
    count = bars * beats * 2
    pitch = base + np.arange(count) % 7
    return build(
        np.arange(count) / 2, np.full(count, 0.5), pitch, parts=[Part()], time_signatures=[TimeSignature(0, beats, 4)]
    )


def test_a_walk_has_both_ends_the_bars_of_the_shorter_and_the_meters_of_the_nearer(folder):
    walk = interpolate(folder, piece(2), piece(4, beats=3), 3)
    assert len(walk) == 3
    for number, track in enumerate(walk):
        tokens = np.array(track.tokens)
        meters = {METERS[token - BAR] for token in tokens[bar_starts(tokens)]}
        assert meters == {(4, 4) if number <= 1 else (3, 4)}
        assert len(bar_starts(tokens)) == 2
        assert tokens[: bar_starts(tokens)[0]].tolist() == encode(piece(1))[: bar_starts(tokens)[0]]  # no part is added
        assert (track.drawn.index, track.drawn.count, track.drawn.draws) == (number, 3, 8)


def test_of_the_draws_of_a_step_the_most_even_is_kept(folder):
    ends = piece(2), piece(2, base=80)
    aim = (describe_pace(ends[0]) + describe_pace(ends[1])) / 2
    far = [
        np.square(describe_pace(interpolate(folder, *ends, 3, draws=draws)[1].sequence) - aim).sum()
        for draws in (1, 4, 16)
    ]
    assert far[2] <= far[1] <= far[0]
    assert far[2] < far[0]
    with pytest.raises(GeneratorError, match="draws 0 is out of range: 1 to 64"):
        interpolate(folder, *ends, 3, draws=0)


def test_styles_are_read_bar_by_bar_however_long_the_piece_is():
    torch.manual_seed(0)
    model = Transformer(CONFIG).eval()
    tokens = np.array(encode(piece(20)))
    long, short = style_of(model, tokens, 20), style_of(model, tokens, 3)
    assert long.latents.shape == (20, 8)
    assert long.meters == (BAR + METERS.index((4, 4)),) * 20
    np.testing.assert_allclose(long.latents[:3], short.latents, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "latent", "message"), [(1, 8, "steps 1 is out of range"), (3, 0, "no style encoder")]
)
def test_what_cannot_be_walked_is_refused(folder, tmp_path, steps, latent, message):
    if not latent:
        folder = tmp_path
        plain = ModelConfig(width=128, layers=1, heads=2, context=96)
        write_description(folder, Description(plain, "d" * 64))
        save_model(Transformer(plain).state_dict(), folder)
    with pytest.raises(GeneratorError, match=message):
        interpolate(folder, piece(4), piece(4), steps)

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from generator.data.tokens import decode_counted, encode, quantise
from generator.data.vocabulary import BOS, GRID, GeneratorError
from generator.data.windows import pad_rows
from generator.network.checkpoint import Description, load_model, save_model, write_description
from generator.network.model import Transformer
from generator.network.stack import ModelConfig
from generator.training.objective import Team
from generator.writing.decoding import EXTRA_BARS, MAX_HOLD, Line, beam_search, sample_lines
from generator.writing.decoding import SamplingSettings as Settings
from generator.writing.infill import infill
from generator.writing.sample import GUARD_LINES, Generated, GuardReport, generate, statistics
from music.midi import midi_bytes
from music.notes import NoteSequence, Part, TimeSignature, build
from tests.cases.tunes import duet
from tests.cases.values import require

SMALL = ModelConfig(width=128, layers=1, heads=4, context=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model = Transformer(SMALL)
    team = Team(model, 1, "float32")
    rows = torch.from_numpy(pad_rows([np.array(encode(duet(i, step=3)))[:128] for i in range(6)]))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        team.gradients(rows)
        optimiser.step()
    team.pool.shutdown()
    write_description(folder, Description(SMALL, "d" * 64))
    save_model(model.state_dict(), folder)
    return folder


@pytest.fixture(scope="module")
def tracks(folder: Path) -> list[Generated]:
    return generate(folder, 3, seed=7, bars=6)


def test_tracks_obey_the_grammar_and_end_on_a_bar(tracks: list[Generated]) -> None:
    for track in tracks:
        sequence, dropped = decode_counted(track.tokens)
        assert dropped == 0
        assert len(sequence) == len(track.sequence)
        assert 6 <= track.statistics["bars"] <= 6 + EXTRA_BARS
        assert track.statistics["empty_bars"] == 0
        assert track.sequence.duration_beat.max() <= MAX_HOLD / GRID
        ends = track.sequence.bar_at(track.sequence.end_beat)
        assert ends <= track.statistics["bars"] + 1


def test_the_same_seed_gives_the_same_bytes(folder: Path, tracks: list[Generated]) -> None:
    again = generate(folder, 3, seed=7, bars=6)
    assert [midi_bytes(t.sequence) for t in again] == [midi_bytes(t.sequence) for t in tracks]
    assert [t.statistics for t in again] == [t.statistics for t in tracks]


def test_tracks_and_seeds_differ(folder: Path, tracks: list[Generated]) -> None:
    other = generate(folder, 3, seed=8, bars=6)
    assert len({t.tokens for t in (*tracks, *other)}) == 6
    assert tracks[1].drawn.as_settings() == {
        "seed": 7, "temperature": 1.05, "top_p": 0.97, "beam": None, "bars": 6, "top_k": None, "index": 1,
        "count": 3,
    }  # fmt: skip


def test_a_prime_is_continued(folder: Path) -> None:
    prime = duet(2, step=3).select(duet(2, step=3).onset_beat < 8)
    track = generate(folder, 1, prime=prime, bars=2)[0]
    assert track.tokens[: len(encode(prime)) - 1] == tuple(encode(prime)[:-1])
    kept = track.sequence.select(track.sequence.onset_beat < 8)
    np.testing.assert_array_equal(kept.pitch, quantise(prime).pitch)
    assert track.statistics["bars"] >= 4


def test_best_of_keeps_the_most_typical(folder: Path) -> None:
    best = generate(folder, 1, seed=7, bars=6, best_of=3)[0]
    again = generate(folder, 1, seed=7, bars=6, best_of=3)[0]
    assert midi_bytes(again.sequence) == midi_bytes(best.sequence)
    assert best.drawn.best_of == 3
    alone = generate(folder, 1, seed=7, bars=6)[0]

    def unlike(track: Generated, aim: float) -> float:
        return float(abs(np.log(track.statistics["perplexity"]) - aim))

    with pytest.MonkeyPatch.context() as patch:  # the aim is far from all draws, above them: the least likely is kept
        patch.setattr("generator.writing.sample.held_out_nats", lambda folder: 20.0)
        unlikely = generate(folder, 1, seed=7, bars=6, best_of=3)[0]
    assert unlike(unlikely, 20.0) <= unlike(alone, 20.0)
    assert unlikely.drawn.typical_nats == 20.0


def test_one_likeliest_token_is_greedy(folder: Path) -> None:
    model = load_model(folder)
    line = Line([BOS], 3)
    settings = Settings(seed=0, temperature=1.0, top_p=1.0, beam=None, bars=3, top_k=1)
    with torch.inference_mode():
        sample_lines(model, [line], [np.random.default_rng()], settings)
        assert line.tokens == greedy(model, 3)


def test_a_guard_has_bars_drawn_again(folder: Path) -> None:
    seen = []

    def guard(music: NoteSequence) -> bool:
        seen.append(len(music))
        return len(seen) in (2, 3)

    track = generate(folder, 1, seed=7, bars=6, guard=guard)[0]
    assert track.drawn.guard == GuardReport(redrawn=2, bars=8)
    assert track.statistics["bars"] >= 6
    plain = generate(folder, 1, seed=7, bars=6, guard=lambda music: False)[0]
    assert require(plain.drawn.guard).redrawn == 0
    assert plain.tokens[:20] == track.tokens[:20]  # bars that passed were kept


def test_a_guard_that_is_never_content_is_told_of(folder: Path) -> None:
    track = generate(folder, 1, seed=7, bars=2, guard=lambda music: True)[0]
    assert require(track.drawn.guard).flagged
    assert require(track.drawn.guard).restarts == GUARD_LINES
    with pytest.raises(GeneratorError, match="a guard draws again"):
        generate(folder, 1, beam=2, guard=lambda music: True)


def test_a_guard_does_not_look_at_the_prime(folder: Path) -> None:
    firsts = []

    def guard(music: NoteSequence) -> bool:
        firsts.append(float(music.onset_beat.min()))
        return False

    generate(folder, 1, prime=duet(2, step=3).select(duet(2, step=3).onset_beat < 8), bars=2, guard=guard)
    assert min(firsts) >= 8


@pytest.mark.parametrize("bars", [(1, 1), (3, 4), (6, 6)])
def test_infilling_leaves_all_else(folder: Path, bars: tuple[int, int]) -> None:
    piece = quantise(duet(1, step=3))
    made = infill(folder, piece, bars, 2, candidates=3)
    again = infill(folder, piece, bars, 2, candidates=3)
    first, end = 4 * (bars[0] - 1), 4 * bars[1]
    for track, other in zip(made, again, strict=True):
        assert midi_bytes(track.sequence) == midi_bytes(other.sequence)
        kept = [s.select((s.onset_beat < first) | (s.onset_beat >= end)) for s in (piece, track.sequence)]
        for column in ("onset_beat", "pitch", "part"):
            np.testing.assert_array_equal(getattr(kept[1], column), getattr(kept[0], column))
        assert track.sequence.time_signatures == piece.time_signatures
        inside = track.sequence.select((track.sequence.onset_beat >= first) & (track.sequence.onset_beat < end))
        assert len(inside)
        best, mean = (track.statistics[name] for name in ("following_nats", "following_nats_mean"))
        assert (best is None) == (bars[1] == 6)
        assert best is None or best <= mean


@pytest.mark.parametrize("bars", [(0, 1), (3, 2), (6, 7)])
def test_bars_that_are_not_there_are_refused(folder: Path, bars: tuple[int, int]) -> None:
    with pytest.raises(GeneratorError, match="the piece has bars 1 to 6"):
        infill(folder, duet(1, step=3), bars)


def greedy(model: Transformer, bars: int) -> list[int]:
    line = Line([BOS], bars)
    sample_lines(
        model, [line], [np.random.default_rng()], Settings(seed=0, temperature=1.0, top_p=1e-9, beam=None, bars=bars)
    )
    return line.tokens


def test_a_beam_of_one_is_greedy(folder: Path) -> None:
    model = load_model(folder)
    with torch.inference_mode():
        found = beam_search(model, Line([BOS], 5), 1, block_repeats=False)
        assert found.tokens == greedy(model, 5)


def test_a_wider_beam_finds_likelier_lines(folder: Path) -> None:
    model = load_model(folder)
    with torch.inference_mode():
        mean = [
            line.log_likelihood / len(line.tokens)
            for line in (beam_search(model, Line([BOS], 2), w, block_repeats=False) for w in (1, 5))
        ]
    assert mean[1] >= mean[0] - 1e-9


def test_guarded_beams_repeat_less(folder: Path) -> None:
    track = generate(folder, 1, beam=3, bars=6)[0]
    assert track.statistics["bars"] >= 6
    assert track.statistics["repeated_windows"] < 0.5


def test_sliding_past_the_context_keeps_the_grammar(tracks: list[Generated]) -> None:
    assert max(len(t.tokens) for t in tracks) > SMALL.context


def test_statistics_by_hand() -> None:
    track = build(
        [0, 0, 1, 2, 3, 8],
        [1, 4, 1, 1, 1, 4],
        [72, 48, 74, 72, 74, 61],
        part=[0, 1, 0, 0, 0, 1],
        parts=[Part(), Part()],
        time_signatures=[TimeSignature(0, 4, 4)],
    )
    figures = statistics(track)
    assert figures["bars"] == 3
    assert figures["empty_bars"] == 1
    assert figures["full_bars"] == pytest.approx(1 / 3)
    assert figures["distinct_pitches"] == 4
    assert figures["distinct_chords"] == 3
    assert figures["longest_hold"] == 5
    assert figures["repeated_windows"] == 0
    loop = build(np.arange(8), np.ones(8), [60, 64] * 4)
    assert statistics(loop)["repeated_windows"] == pytest.approx(1 - 2 / 5)
    assert statistics(loop)["in_key"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "0 tracks asked for"),
        ({"temperature": 0.0}, "temperature = 0.0 is out of range"),
        ({"top_p": 1.5}, "top_p = 1.5"),
        ({"beam": 0}, "beam = 0"),
        ({"bars": 0}, "bars = 0"),
        ({"seed": -3}, "seed = -3"),
        ({"top_k": 0}, "top_k = 0"),
        ({"best_of": 65}, "65 draws asked for"),
    ],
)
def test_settings_out_of_range_are_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GeneratorError, match=message):
        generate(folder, **{"n": 1, **options})


def config_with(folder: Path, **changes: str | dict[str, int]) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def not_finite(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["stack.norm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors")


def foreign(folder: Path) -> None:
    save_file({"x": torch.zeros(2)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"config\.json: No such file.*contraste train"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json: is not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), r"config\.json: is not JSON \(no object, but list\)"),
        (lambda f: (f / "config.json").write_text("{}"), r"config\.json: says no 'contraste-model/1'"),
        (lambda f: config_with(f, vocabulary_digest="0"), r"config\.json: vocabulary '0'"),
        (lambda f: config_with(f, model={"width": 128}), r"config\.json: model sizes"),
        (lambda f: config_with(f, model="big"), r"config\.json: model sizes 'big' can't be read"),
        (lambda f: config_with(f, model={"width": 1 << 20, "layers": 9, "heads": 4}), r"config\.json: width 1048576"),
        (
            lambda f: config_with(f, model={"width": 512, "layers": 8, "heads": 4}),
            r"model\.safetensors: weight .* asks for",
        ),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: .*No such file"),
        (lambda f: (f / "model.safetensors").write_bytes(b"RIFF"), r"model\.safetensors: is no whole safetensors"),
        (cut, r"model\.safetensors: is no whole safetensors"),
        (foreign, r"model\.safetensors: weight .* has shape None"),
        (not_finite, r"model\.safetensors: weight 'stack\.norm\.weight' .* finite float32"),
    ],
)
def test_damaged_or_foreign_models_are_refused(
    folder: Path, tmp_path: Path, tamper: Callable[[Path], object], message: str
) -> None:
    shutil.copytree(folder, tmp_path / "m")
    tamper(tmp_path / "m")
    with pytest.raises(GeneratorError, match=message):
        load_model(tmp_path / "m")

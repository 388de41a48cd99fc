import shutil

import numpy as np
import pytest
import torch

import generator.writing.text_encoder
from corpus.rights import Rights
from generator.data.attributes import attributes, bar_figures, caption
from generator.data.grammar import Grammar
from generator.data.tokens import quantise
from generator.data.vocabulary import VOCABULARY, GeneratorError, SettingError
from generator.data.windows import read_artists
from generator.network.checkpoint import Description, save_model, write_description
from generator.network.model import Transformer
from generator.network.stack import ModelConfig
from generator.writing.condition_words import parse_chords, parse_conditions, parse_key
from generator.writing.conditions import ANYTHING, LEANING, Conditions
from generator.writing.prompt import parse_prompt, understood_or_refused
from generator.writing.sample import generate
from generator.writing.text_encoder import TEXT, Encoders, features, load_text, retrieval
from music.notes import Part, TimeSignature, build

BACH = "Johann Sebastian Bach"


def asked(text, artists=(BACH,)):
    return parse_prompt(text, artists).conditions.as_settings()


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (
            "slow blues in A minor with guitar, sparse",
            {"key": "A minor", "tempo": [24.0, 81.0], "density": [0, 2], "instruments": ["guitar"]},
        ),
        (
            "A fast waltz in F# major for two flutes and piano",
            {"key": "F# major", "meter": [3, 4], "tempo": [120.0, 300.0], "instruments": ["flute", "flute", "piano"]},
        ),
        ("Am - F - C - G7, busy", {"chords": ["A:min", "F:maj", "C:maj", "G:7"], "density": [5, 7]}),
        (
            "a Bach chorale in D at 90 bpm",
            {"artist": BACH, "key": "D major", "polyphony": [4, 4], "tempo": [90.0, 90.0]},
        ),
        ("in the style of J. S. Bach, in 6/8", {"artist": BACH, "meter": [6, 8]}),
        ("string quartet in eb minor", {"key": "Eb minor", "instruments": ["violin", "violin", "viola", "cello"]}),
        ("three voices, played by synth bass", {"polyphony": [3, 3], "instruments": ["synth bass"]}),
    ],
)
def test_what_a_prompt_asks_for(text, settings):
    assert asked(text) == settings


def test_what_was_not_understood_is_said():
    understood = parse_prompt("a melancholy jig in G for fiddle")
    assert understood.left == ("melancholy",)
    assert understood.sentence() == (
        "understood: key: in G, meter: jig, instruments: fiddle; not understood: melancholy"
    )


@pytest.mark.parametrize(
    "text",
    [
        "in the style of Taylor Swift, in C major",
        "something like taylor swift",
        "a slow song by The Beatles",
        "à la Mozart, piano",
        "a Chopin-style waltz",
        "Swift-like pop in G",
    ],
)
def test_artists_beside_the_models_are_refused_with_the_reason(text):
    with pytest.raises(SettingError, match=f"is refused: .*licence and a consent on file, and it knows {BACH}"):
        parse_prompt(text, [BACH])
    with pytest.raises(SettingError, match="and it knows none"):
        parse_prompt(text)


@pytest.mark.parametrize("text", ["like a march", "by guitar", "in the style of a jig", "played by two flutes"])
def test_what_only_looks_like_a_name_is_none(text):
    assert parse_prompt(text).conditions


@pytest.mark.parametrize("text", ["", "ein langsames Stück in a-Moll mit Gitarre", "悲しい曲", "sad", "\x00 ((("])
def test_nothing_understood_is_an_error(text):
    with pytest.raises(SettingError, match=r"nothing of the prompt was understood .*in English"):
        understood_or_refused(parse_prompt(text))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"key": "H major"}, "key 'H major' can't be read"),
        ({"meter": "17/3"}, "meter '17/3' can't be written"),
        ({"tempo": "9000"}, "tempo 9000 is out of range: 24 to 300"),
        ({"tempo": "soon"}, "tempo 'soon' is no number"),
        ({"tempo": "nan"}, "tempo nan is out of range"),
        ({"density": "8"}, "density '8' is no class from 0 to 7"),
        ({"polyphony": 0}, "polyphony 0 is out of range"),
        ({"instruments": "guitar,theremin"}, "instrument 'theremin' is not known"),
        ({"chords": "Am Hm"}, "chord 'Hm' can't be read"),
        ({"chords": ""}, "no chords were given"),
    ],
)
def test_conditions_out_of_range_are_refused(values, message):
    with pytest.raises(SettingError, match=message):
        parse_conditions(**values)


def test_keys_and_chords_are_read_in_their_spellings():
    assert [parse_key(k) for k in ("a minor", "Bb", "F sharp major", "ebm", "C#min")] == [
        "A minor", "Bb major", "F# major", "Eb minor", "C# minor",
    ]  # fmt: skip
    assert [VOCABULARY[c] for c in parse_chords("Am7 | Bbmaj7, F#dim N C:maj G/B")] == [
        "Chord A:min7", "Chord Bb:maj7", "Chord F#:dim", "Chord N", "Chord C:maj", "Chord G:maj",
    ]  # fmt: skip


SONG = quantise(
    build(
        [0, 0, 0, 3, 3, 3],
        [3, 3, 3, 3, 3, 3],
        [57, 60, 64, 53, 57, 60],
        parts=[Part(program=24)],
        time_signatures=[TimeSignature(0, 3, 4)],
    )
)


def test_what_a_track_misses_is_worked_out_from_its_notes():
    fits = parse_conditions(
        meter="3/4", tempo="120", density="sparse", polyphony=3, instruments="guitar", chords="Am F"
    )
    assert fits.find_missed(SONG) == ()
    assert fits.chords_share(SONG) == pytest.approx(1)
    wrong = parse_conditions(
        key="F# major", meter="4/4", tempo="slow", density="dense", polyphony=1, instruments="guitar,bass", chords="C G"
    )
    assert set(wrong.find_missed(SONG)) == set(wrong.checkable())
    assert ANYTHING.find_missed(SONG) == ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = ModelConfig(width=128, layers=1, heads=4, context=128)
    torch.manual_seed(0)
    write_description(folder, Description(config, "d" * 64, (BACH,)))
    save_model(Transformer(config).state_dict(), folder)
    return folder


def test_what_can_be_forced_is_even_of_a_model_that_learned_nothing(folder):
    conditions = parse_conditions(
        key="A minor", meter="3/4", tempo="slow", polyphony=2, instruments="flute,bass", chords="Am F", artist="bach"
    )
    with pytest.raises(SettingError, match="artist 'bach' is refused"):
        generate(folder, 1, conditions=conditions)
    named = Conditions(artist=BACH).join(conditions)
    track = generate(folder, 1, bars=2, conditions=named, tries=2)[0]
    said = [VOCABULARY[token] for token in track.tokens]
    assert said[:5] == ["BOS", "Artist 0", "Key A minor", "Polyphony 2", "Plan"]
    assert {name for name in said if name.startswith("Bar ")} == {"Bar 3/4"}
    assert [name for name in said if name.startswith("Chord")][:2] == ["Chord A:min", "Chord F:maj"]
    assert "Program 73" in said
    assert 1 <= track.drawn.tries <= 2
    assert set(track.drawn.missed) <= set(named.checkable())
    assert track.drawn.conditions["artist"] == BACH
    assert "meter" not in track.drawn.missed


@pytest.mark.parametrize("instruments", ["piano", "flute,bass"])
@pytest.mark.parametrize("meter", ["4/4", "3/8"])
@pytest.mark.parametrize("density", ["0", "2", "sparse", "medium", "dense"])
def test_density_is_forced_even_of_a_model_that_learned_nothing(folder, density, meter, instruments):
    conditions = parse_conditions(density=density, meter=meter, instruments=instruments)
    (track,) = generate(folder, 1, bars=4, conditions=conditions, tries=1)
    assert "density" not in track.drawn.missed  # an instrument may be left without a note


def test_a_prime_takes_controls_but_keeps_its_tempo(folder):
    track = generate(folder, 1, bars=1, prime=SONG, tries=1, conditions=parse_conditions(key="C major", density="2"))[0]
    assert [VOCABULARY[token] for token in track.tokens[:4]] == ["BOS", "Key C major", "Density 2", "Plan"]
    np.testing.assert_array_equal(track.sequence.pitch[:6], SONG.pitch)
    with pytest.raises(SettingError, match="tempo and instruments are those of the prime"):
        generate(folder, 1, prime=SONG, conditions=parse_conditions(tempo="slow"))
    with pytest.raises(SettingError, match="0 tries asked for"):
        generate(folder, 1, tries=0)


def test_of_all_tries_the_best_ranked_is_kept(folder):
    lengths = []

    def rank(sequence):
        lengths.append(len(sequence))
        return len(sequence)

    track = generate(folder, 1, bars=1, tries=3, rank=rank)[0]
    assert len(lengths) == 3
    assert len(track.sequence) == max(lengths)


class Pieces:
    """As much of a store as the encoders ask for."""

    def __init__(self, count):
        self.songs = []
        for i in range(count):
            random = np.random.default_rng(i)
            voices, step = 1 + i % 4, (0.25, 0.5, 1.0)[i % 3]
            onset = np.tile(np.arange(int(8 / step)) * step, voices)
            pitch = (
                48 + random.choice([0, 2, 4, 5, 7, 9, 11], size=len(onset)) + 12 * np.arange(len(onset)) // len(onset)
            )
            part = [Part(program=int(random.integers(128)))]
            self.songs.append(build(onset, np.full(len(onset), step), pitch, parts=part))
        record = type("Record", (), {"artist": "Ann", "path": "x", "rights": Rights("CC0", "", "granted")})
        self.pieces = [type("R", (record,), {"split": "valid" if i % 3 == 0 else "train"}) for i in range(count)]

    def notes(self, i):
        return self.songs[i]


@pytest.fixture(autouse=True)
def _no_minilm(monkeypatch):
    """Leave the extra out, installed or not; tests/test_generator_minilm.py has it."""
    monkeypatch.setattr(generator.writing.text_encoder, "minilm", lambda: None)


def test_captions_find_their_pieces_after_training(tmp_path):
    store = Pieces(60)
    found = generator.writing.text_encoder.train_text(store, tmp_path, steps=60)[TEXT]
    assert found["candidates"] == 20
    assert found["r_at_10"] > 0.7  # by chance .5
    encoders = load_text(tmp_path)
    pieces = [(attributes(quantise(s)), bar_figures(quantise(s))) for s in store.songs[:20]]
    assert retrieval(encoders, pieces, np.random.default_rng(0))["r_at_1"] > 0.15  # by chance .05
    assert -1 <= encoders.similarity("a slow piece", SONG) <= 1
    for name in ("one", "two"):
        generator.writing.text_encoder.train_text(store, tmp_path / name, steps=3)
    assert (tmp_path / "one" / TEXT).read_bytes() == (tmp_path / "two" / TEXT).read_bytes()


def test_a_damaged_text_encoder_is_refused_and_none_is_none(folder, tmp_path):
    assert load_text(folder) is None
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / TEXT).write_bytes(b"RIFF")
    with pytest.raises(GeneratorError, match=r"text\.safetensors: can't be read as text encoder"):
        load_text(tmp_path / "m")


def test_captions_say_the_attributes():
    found = attributes(SONG)
    text = caption(found, np.random.default_rng(0))
    assert found.key in text
    assert "3/4" in text
    assert "guitar" in text
    assert len(features(found, bar_figures(SONG))) == Encoders().music[0].in_features


def test_only_artists_with_licence_and_consent_are_named():
    rows = [
        ("Ann", "CC0", "granted"),
        ("Bob", "", "granted"),
        ("Cy", "CC0", "unknown"),
        ("Ann", "CC0", "granted"),
        ("", "", ""),
    ]
    store = Pieces(0)
    store.pieces = [
        type("R", (), {"artist": a, "path": str(i), "rights": Rights(licence, "", consent), "split": "train"})
        for i, (a, licence, consent) in enumerate(rows)
    ]
    assert read_artists(store, "train", "", []) == (("Ann",), [0, -1, -1, 0, -1])
    assert read_artists(store, "train", "", ["0"]) == (("Ann",), [-1, -1, 0, -1])


def test_pitches_lean_to_the_key_asked_for():
    assert ANYTHING.tilt() is None
    tilt = parse_conditions(key="D minor").tilt()
    assert tilt.shape == (128,)
    assert tilt[62] == tilt[74] == tilt.max()  # the tonic, in every octave
    ratio = np.exp(tilt[65] - tilt[66])  # F against F sharp: ratings 5.38 and 2.60 in minor
    assert ratio == pytest.approx((5.38 / 2.60) ** LEANING)


@pytest.mark.parametrize(
    ("text", "without", "instruments"),
    [
        ("slow piece in C major, no drums, without piano", ("drums", "piano"), ()),
        (
            "a waltz without drums, bass or guitar for violin and cello",
            ("drums", "bass", "guitar"),
            ("violin", "cello"),
        ),
        ("piece for piano, no drums, flute", ("drums",), ("piano", "flute")),
        ("drumless tune for flute", ("drum",), ("flute",)),
        ("drum-free jig", ("drum",), ()),
        ("don't use any brass or drums, in D", ("brass", "drums"), ()),
        ("with neither drums nor bass for flute", ("drums", "bass"), ("flute",)),
        ("instead of piano, harpsichord in 4/4", ("piano",), ("harpsichord",)),
        ("unaccompanied tune in D for oboe", (), ("oboe",)),
    ],
)
def test_what_a_prompt_rules_out(text, without, instruments):
    conditions = parse_prompt(text).conditions
    assert (conditions.without, conditions.instruments) == (without, instruments)


@pytest.mark.parametrize("text", ["not fast, in G", "never in 3/4", "no A minor please", "a tune that is not sparse"])
def test_only_instruments_can_be_ruled_out(text):
    with pytest.raises(SettingError, match="only instruments can be ruled out"):
        parse_prompt(text)


def test_what_is_wanted_and_ruled_out_is_refused():
    for text in ("guitar and piano, no piano", "string quartet without viola"):
        with pytest.raises(SettingError, match="and rules it out"):
            parse_prompt(text)


def test_ruled_out_instruments_are_masked_and_checked():
    conditions = Conditions(without=("piano", "drums"))
    mask = np.ones(len(VOCABULARY), bool)
    conditions.keep(Grammar(), mask)
    programs = [name for name, kept in zip(VOCABULARY, mask, strict=True) if name.startswith("Program") and kept]
    assert len(programs) == 128 - 6
    assert not any(name.startswith("Drum") and kept for name, kept in zip(VOCABULARY, mask, strict=True))
    piano = quantise(build([0, 1], [1, 1], [60, 62], parts=[Part("p", 0)]))
    assert conditions.find_missed(piano) == ("without",)

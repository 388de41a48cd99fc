"""Levels of chance and style, and what the metrics saw, for the report: chords beside chords, sound beside sound."""

import base64
from pathlib import Path

import numpy as np
import pytest

from audit.measures.metrics import BANDS, STYLE, chords_beside, measure_levels, open_levels, sound_beside
from audit.search.corpus import SearchCorpus
from audit.search.index import IndexDamagedError
from audit.search.index_build import build_index
from audit.search.significance import Calibration
from corpus.ingest import ingest
from corpus.store import Store
from metrics.measure import Features
from metrics.phash import phash_distance
from music.chords import ChordSpan
from music.midi import write_midi
from music.notes import MusicError, NoteSequence, build


def features(*chords: tuple[float, float, int | None, str], tonic: int = 0, mel: np.ndarray | None = None) -> Features:
    spans = [ChordSpan(a / 2, b / 2, a, b, root, quality) for a, b, root, quality in chords]
    return Features([], spans, tonic, np.zeros(12), mel)


def noise(seed: int, frames: int = 500) -> np.ndarray:
    return np.repeat(-80 * np.random.default_rng(seed).random((16, frames)), 8, axis=0)


def test_chords_agree_by_degree_from_each_first_chord_on() -> None:
    ours = features((0, 4, None, ""), (4, 8, 0, "maj"), (8, 12, 7, "7"))
    theirs = features((0, 2, 2, "maj"), (2, 8, 9, "maj"), (8, 12, 2, "min"), tonic=2)
    beside = chords_beside(theirs, "a.mid", ours)
    assert beside is not None
    chords = [(c.start_beat, c.end_beat, c.label, c.degree) for c in beside.track]
    assert chords == [(0, 4, "C:maj", 0), (4, 8, "G:7", 7)]
    assert beside.agreeing == ((0, 2), (4, 8))  # the triad counts, not the seventh
    assert chords_beside(theirs, "a.mid", features((0, 4, None, ""))) is None


def test_the_windows_are_those_of_the_distance() -> None:
    mel = noise(1)
    late = np.concatenate([noise(2, 11), mel], axis=1)  # a quarter of a second
    beside = sound_beside(features(mel=late), "a.mid", features(mel=mel))
    assert beside is not None
    assert abs(beside.shift_s - 0.25) < 0.02
    differ = (int(beside.track_hash, 16) ^ int(beside.piece_hash, 16)).bit_count()
    assert differ == phash_distance(late, mel) == 0
    assert beside.track_picture == beside.piece_picture
    assert len(base64.b64decode(beside.track_picture)) == beside.width * beside.height
    assert beside.height == BANDS
    assert sound_beside(features(), "a.mid", features(mel=mel)) is None
    assert sound_beside(features(mel=noise(1, 20)), "a.mid", features(mel=mel)) is None


def melody(seed: int, notes: int = 80) -> NoteSequence:
    """Make a diatonic melody by random walk, in quavers and quarters."""
    rng = np.random.default_rng(seed)
    degree = 14 + np.abs(np.cumsum(rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3], notes)) % 20 - 10)
    gaps = rng.choice([0.5, 0.5, 1.0, 1.5], notes)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    return build(np.cumsum(gaps) - gaps, gaps, 36 + 12 * (degree // 7) + scale[degree % 7])


def opened(folder: Path, tunes: dict[str, NoteSequence]) -> SearchCorpus:
    for name, sequence in tunes.items():
        write_midi(sequence, folder / "src" / name)
    ingest([folder / "src"], folder / "store", workers=1)
    store = Store.open(folder / "store")
    index = build_index(store)
    return SearchCorpus(store, index, Calibration(0.7, 0.0, index.notes, ()))


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(sequence: NoteSequence) -> None:
        raise MusicError("no renderer")

    monkeypatch.setattr("audit.measures.metrics.opening_mel", silent)


@pytest.mark.usefixtures("unheard")
def test_style_is_what_pieces_reach_against_the_closest_other_work(tmp_path: Path) -> None:
    tunes = {f"{i:02d}.mid": melody(i) for i in range(12)}
    corpus = opened(tmp_path / "a", tunes)
    chance, style = measure_levels(corpus)
    assert style["bleu"].pieces == 12
    assert style["bleu"].low <= style["bleu"].median <= style["bleu"].high < 0.9
    assert style["bleu"].median > chance["bleu"].mean  # the closest of eleven is nearer than any
    assert "phash_64" not in style  # nothing was rendered
    kept = (corpus.index.path / STYLE).read_bytes()
    assert (chance, style) == measure_levels(corpus) == open_levels(corpus.index)
    assert (corpus.index.path / STYLE).read_bytes() == kept

    copies = {f"copy-{name}": tune.transpose(3) for name, tune in tunes.items()}
    doubled = opened(tmp_path / "b", {**tunes, **copies})  # versions of a piece are no other work
    assert measure_levels(doubled)[1]["bleu"].high < 0.9


@pytest.mark.usefixtures("unheard")
def test_too_few_works_have_no_style(tmp_path: Path) -> None:
    corpus = opened(tmp_path, {f"{i:02d}.mid": melody(i) for i in range(9)})
    chance, style = measure_levels(corpus)
    assert chance
    assert style == {}
    assert open_levels(corpus.index) == (chance, {})
    (corpus.index.path / STYLE).unlink()
    assert open_levels(corpus.index) is None
    (corpus.index.path / STYLE).write_text('{"bleu": {"low": 1}}')
    with pytest.raises(IndexDamagedError, match=r"style\.json"):
        open_levels(corpus.index)

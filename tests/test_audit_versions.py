"""Versions of a tune count once: as witnesses against a copy, for the style, and in what is unrelated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audit.find import find
from audit.policy import read_policy
from audit.search.corpus import SearchCorpus
from audit.search.index_build import build_index
from audit.search.significance import calibrate
from corpus.ingest import ingest
from corpus.store import Store
from music.midi import write_midi
from music.notes import NoteSequence, build
from tests.test_audit_passages import tune

SONG = 5000


def version(seed: int, edits: int = 4, shift: int = 0) -> NoteSequence:
    """Change some of the later notes of the song, and transpose it."""
    song, rng = tune(SONG), np.random.default_rng(seed)
    pitch = song.pitch + shift
    for row in rng.choice(np.arange(24, len(pitch)), edits, replace=False):
        pitch[row] += rng.choice([-2, -1, 1, 2])
    return build(song.onset_beat, song.duration_beat, pitch)


def rearranged(shift: int) -> NoteSequence:
    """Put the song's melody above another accompaniment."""
    song, below = tune(SONG), tune(9000 + shift)
    return build(
        np.concatenate([song.onset_beat, below.onset_beat]),
        np.concatenate([song.duration_beat, below.duration_beat]),
        np.concatenate([song.pitch + shift, below.pitch - 12]),
        part=np.repeat([0, 1], [len(song), len(below)]),
        parts=[*song.parts, *song.parts],
    )


def opened(folder: Path, extra: list[NoteSequence]) -> SearchCorpus:
    for number in range(60):
        write_midi(tune(number), folder / f"src/{number:02d}.mid")
    write_midi(tune(SONG), folder / "src/song.mid")
    for number, piece in enumerate(extra):
        write_midi(piece, folder / f"src/version{number:02d}.mid")
    ingest([folder / "src"], folder / "store", workers=1)
    store = Store.open(folder / "store")
    index = build_index(store)
    return SearchCorpus(store, index, calibrate(store, index))


EXTRA = {
    "none": [],
    "edited": [version(k, shift=k % 5) for k in range(14)],
    "exact": [version(0, 0, k % 5) for k in range(14)],
    "rearranged": [rearranged(k % 5) for k in range(14)],
}


@pytest.fixture(scope="module", params=EXTRA)
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SearchCorpus:
    return opened(tmp_path_factory.mktemp("versions"), EXTRA[request.param])


def test_a_copy_fails_however_many_versions_the_store_holds(corpus: SearchCorpus) -> None:
    song = tune(SONG)
    query = build(song.onset_beat[:20], song.duration_beat[:20], song.pitch[:20] + 3)
    best = find(corpus, query, read_policy())[0]
    assert best.piece.startswith(("song", "version"))
    assert (best.verdict, best.other_works) == ("fail", 0)


def test_versions_are_one_work_and_other_tunes_their_own(corpus: SearchCorpus) -> None:
    works, store = corpus.index.works, corpus.store
    song = works[store.index_of("song.mid")]
    for row, piece in enumerate(store.pieces):
        assert (works[row] == song) == piece.path.startswith(("song", "version")), piece.path
        if not piece.path.startswith(("song", "version")):
            assert works[row] == row


def test_the_style_is_that_of_the_works(tmp_path: Path) -> None:
    plain, full = (opened(tmp_path / name, EXTRA[name]) for name in ("none", "exact"))
    np.testing.assert_allclose(plain.index.style.interval, full.index.style.interval, atol=1e-6)
    assert np.abs(plain.index.style.ratio - full.index.style.ratio).max() < 0.05

from itertools import pairwise

import numpy as np
import pytest

from generator.data.vocabulary import SettingError
from music.notes import Part, build

pytest.importorskip("miditok")

from generator.data.miditok_adapter import KINDS, MidiTokVocabulary
from generator.data.vocabulary import GeneratorError

SONG = build([0, 1, 2, 3], [1, 1, 1, 1], [60, 62, 64, 65], part=[0, 0, 1, 1], parts=[Part(), Part(program=32)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_comes_back_and_obeys_the_graph_of_kinds(kind):
    words = MidiTokVocabulary(kind)
    line = words.encode(SONG)
    back = words.decode(line)
    np.testing.assert_array_equal(back.pitch, SONG.pitch)
    np.testing.assert_allclose(back.onset_beat, SONG.onset_beat)
    assert words.notes(line) == len(SONG)
    assert max(line) < len(words) == len(words.names)
    assert all(words.allowed_mask(a)[b] for a, b in pairwise(line[1:-1]))
    assert len(words.digest) == 64


def test_digests_tell_vocabularies_apart():
    assert len({MidiTokVocabulary(kind).digest for kind in KINDS}) == len(KINDS)


def test_what_miditok_cannot_decode_is_refused_with_the_reason():
    words = MidiTokVocabulary()
    with pytest.raises(GeneratorError, match="MidiTok can't decode these tokens"):
        words.decode([1, 99_999, 2])


def test_another_kind_is_refused():
    with pytest.raises(SettingError, match="'BPE'; it is one of REMI, TSD, MIDILike"):
        MidiTokVocabulary("BPE")

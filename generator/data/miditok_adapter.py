"""Vocabularies of MidiTok (Fradet et al. 2021), behind the few calls that training and scoring need; extra `miditok`.

It is here so that figures in other people's vocabularies can be had beside ours: bits per note compare, perplexities
do not. What MidiTok keeps of a sequence is less than `generator.data.tokens` keeps: parts of one program become one,
and its grid is coarser. Its decoders fail on token orders that a model may write; here that is an error with a reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version

import miditok
import numpy as np
from miditok import MusicTokenizer, TokenizerConfig
from symusic import Score

from generator.data.vocabulary import BoolArray, GeneratorError, IntArray, SettingError
from music.midi import midi_bytes, parse_midi
from music.notes import MusicError, NoteSequence

KINDS = ("REMI", "TSD", "MIDILike")


class MidiTokVocabulary:
    """One of MidiTok's vocabularies, all programs in one line, 8 velocities, with tempos and meters.

    Parameters
    ----------
    kind : str
        One of `KINDS`.

    Raises
    ------
    SettingError
        For another kind.
    """

    def __init__(self, kind: str = "REMI") -> None:
        """Make the tokenizer."""
        if kind not in KINDS:
            raise SettingError(f"MidiTok vocabulary {kind!r}; it is one of {', '.join(KINDS)}")
        config = TokenizerConfig(
            num_velocities=8,
            use_programs=True,
            use_tempos=True,
            use_time_signatures=True,
            one_token_stream_for_programs=True,
            special_tokens=["PAD", "BOS", "EOS"],
        )
        self.tokenizer: MusicTokenizer = getattr(miditok, kind)(config)
        self.names = [name for name, _ in sorted(self.tokenizer.vocab.items(), key=lambda entry: entry[1])]
        self._types = [name.split("_")[0] for name in self.names]

    def __len__(self) -> int:
        """Return the size of the vocabulary, which an embedding must have."""
        return len(self.tokenizer)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the version and the names of all tokens in order."""
        return hashlib.sha256(json.dumps([f"miditok {version('miditok')}", *self.names]).encode()).hexdigest()

    def encode(self, sequence: NoteSequence) -> list[int]:
        """Write a sequence as tokens, from ``BOS`` to ``EOS``."""
        written = self.tokenizer.encode(Score.from_midi(midi_bytes(sequence)))
        vocabulary = self.tokenizer.vocab
        return [vocabulary["BOS_None"], *written.ids, vocabulary["EOS_None"]]

    def decode(self, tokens: Sequence[int]) -> NoteSequence:
        """Read tokens as music.

        Raises
        ------
        GeneratorError
            When MidiTok can't.
        """
        try:
            return parse_midi(self.tokenizer.decode(list(tokens)).dumps_midi(), "tokens")
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise GeneratorError(f"MidiTok can't decode these tokens ({type(error).__name__}: {error})") from error

    def notes(self, tokens: Iterable[int]) -> int:
        """Count the notes of a line."""
        return sum(self._types[token] in ("Pitch", "PitchDrum", "NoteOn", "DrumOn") for token in tokens)

    def allowed_mask(self, last: int) -> BoolArray:
        """Mask (vocabulary,) of the tokens whose kind may follow token `last`, after MidiTok's own graph of kinds."""
        follows = self.tokenizer.tokens_types_graph.get(self._types[last], set())
        return np.array([kind in follows for kind in self._types], dtype=bool)

    def lines(self, sequences: Iterable[NoteSequence]) -> list[IntArray]:
        """Encode sequences; those that MidiTok can't read are left out."""
        lines = []
        for sequence in sequences:
            try:
                lines.append(np.array(self.encode(sequence), dtype=np.int64))
            except (MusicError, ArithmeticError, LookupError, RuntimeError, ValueError):
                continue
        return lines

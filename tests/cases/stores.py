"""A store in memory."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from corpus.prepare import PieceRecord
from corpus.rights import Rights
from corpus.store import Store
from music.notes import NoteSequence


def piece(path: str, split: str, artist: str = "", rights: Rights | None = None) -> PieceRecord:
    return PieceRecord(
        path, "", artist, "", 120.0, "4/4", 8.0, 4, 24, "", "", "", "", rights or Rights(), group=path, split=split
    )


class FakeStore(Store):
    """As much of a store as training asks for."""

    sequences: Sequence[NoteSequence]

    def __init__(
        self,
        sequences: Iterable[NoteSequence],
        pieces: Iterable[PieceRecord],
        path: Path = Path("store"),
        digest: str = "d" * 64,
    ) -> None:
        super().__init__(path, (), digest)
        vars(self).update(sequences=tuple(sequences), pieces=tuple(pieces))

    def notes(self, index: int) -> NoteSequence:
        return self.sequences[index]

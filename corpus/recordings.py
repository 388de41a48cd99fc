"""The recordings of a store: sound beside its notes, under a manifest of its own.

::

    STORE/recordings/manifest.json         the segments, with their sizes and digests; replaced in one rename
    STORE/recordings/NAME/mel.npy          uint8 (frames, 128): the mel pictures of its recordings, one after another
    STORE/recordings/NAME/recordings.jsonl one line a recording

The store's own manifest does not know of them, so its notes, index and digest stay what they are. A recording is
kept as what is worked with: the picture that the perceptual hash sees (`music.audio.mel_grey`, 5.5 KB a second), its
loudness and its beats. The sound itself stays where it was; its SHA-256 is on record.

A piece of the store whose path differs only in the suffix is the recording's score. Beats are then those of the
score, found by time warping, unless the two do not fit (`MAX_COST`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpus.prepare import Refused, split_of
from corpus.rights import Rights, RightsRow, with_rights
from corpus.segment import (
    FileEntry,
    StoreDamagedError,
    StoreError,
    check_sizes,
    check_types,
    verify_folder,
    write_folder,
)
from corpus.store import Store, write_synced
from music.audio import MEL_BANDS, decode, loudness, mel_db, mel_grey
from music.notes import MusicError, NoteSequence
from music.read import SUFFIXES

SCHEMA = "contraste-recordings/1"
FOLDER = "recordings"
FILES = {"mel.npy", "recordings.jsonl"}
MAX_SECONDS = 1800.0
MAX_COST = 0.10
"""Cost of an alignment above which the sound is not taken for that of the score: renderings at another, wavering tempo
were measured at .004 to .042, unrelated music at .13 to .16."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording of a store.

    Attributes
    ----------
    path : str
        POSIX path below the ingested source; unique among the recordings.
    file_digest : str
        SHA-256 (hex) of the file.
    duration_s, loudness_lufs : float
        Seconds; integrated loudness (BS.1770-4) of the mean of its channels, some 3 LU below that of the stereo.
    frames : int
        Rows of its mel picture, 43.07 a second.
    beat_s : tuple of float
        Seconds of its beats; () where none were found.
    beats_from : str
        "score", "tracker" or "".
    score : str
        Path of the piece it is a recording of; "" where there is none.
    unread : tuple of str
        What of the file was not heard when it was added.
    split : str
        That of its score, or drawn from the file's digest; "" until it is in a store.
    """

    path: str
    title: str
    artist: str
    file_digest: str
    duration_s: float
    loudness_lufs: float
    frames: int
    beat_s: tuple[float, ...]
    beats_from: str
    score: str
    rights: Rights
    unread: tuple[str, ...] = ()
    split: str = ""


Heard = tuple[Recording, NDArray[np.uint8]]
"""A recording and its mel picture (frames, 128)."""


@dataclass(frozen=True, slots=True)
class RecordingsEntry:
    """A segment as the manifest lists it."""

    name: str
    recordings: int
    frames: int
    files: dict[str, FileEntry]


@dataclass(frozen=True, eq=False)
class Recordings(Sequence[Recording]):
    """The recordings of a store, in the order they were added; opened by `open_recordings`.

    Attributes
    ----------
    digest : str
        SHA-256 (hex) of their manifest; "" where there are none.
    """

    store: Store
    segments: tuple[RecordingsEntry, ...] = ()
    digest: str = ""

    def __len__(self) -> int:
        """Count them."""
        return sum(entry.recordings for entry in self.segments)

    def __getitem__(self, index: Any) -> Any:
        """Return one or several; `StoreDamagedError` where their lines can't be read."""
        return self._records[index]

    def mel(self, index: int) -> NDArray[np.uint8]:
        """Memory-map the mel picture of recording `index`: uint8 (frames, 128).

        Raises
        ------
        StoreDamagedError
            When its segment is damaged.
        """
        for entry in self.segments:
            if index < entry.recordings:
                before = sum(line["frames"] for line in self._lines(entry)[:index])
                return self._mel(entry)[before : before + self._lines(entry)[index]["frames"]]
            index -= entry.recordings
        raise IndexError(index)

    def index_of(self, path: str) -> int:
        """Row of the recording called `path`; KeyError when there is none."""
        return self._rows[path]

    def verify(self) -> None:
        """Hash every file and compare with the manifest.

        Raises
        ------
        StoreAlteredError, StoreDamagedError
            Naming the first file that differs, or can't be read.
        """
        for entry in self.segments:
            verify_folder(self._folder(entry), entry.files)

    def extend(self, taken: Sequence[Heard]) -> Recordings:
        """Write recordings with their pictures as a segment and name it in the manifest; under the store's lock."""
        mel = np.concatenate([picture for _, picture in taken])
        lines = b"".join(_line(recording) for recording, _ in taken)
        number = max((int(entry.name[:5]) + 1 for entry in self.segments), default=0)
        name = f"{number:05d}-{hashlib.sha256(lines).hexdigest()[:12]}"
        root = self.store.path / FOLDER
        files = write_folder(root / name, {"mel.npy": mel, "recordings.jsonl": lines})
        return self._name_segments((*self.segments, RecordingsEntry(name, len(taken), len(mel), files)))

    def amend(self, rows: Mapping[str, RightsRow]) -> Recordings:
        """Write the segments anew whose recordings `rows` change, or take out as opted out; under the store's lock."""
        entries, first = [], 0
        for entry in self.segments:
            own = range(first, first + entry.recordings)
            first += entry.recordings
            if not any(self[k].path in rows for k in own):
                entries.append(entry)
                continue
            stay = [k for k in own if not (self[k].path in rows and rows[self[k].path].rights.refusal)]
            if not stay:
                continue
            lines = b"".join(_line(self[k], rows.get(self[k].path)) for k in stay)
            mel = np.concatenate([self.mel(k) for k in stay])
            name = f"{entry.name[:5]}-{hashlib.sha256(lines).hexdigest()[:12]}"
            files = write_folder(self.store.path / FOLDER / name, {"mel.npy": mel, "recordings.jsonl": lines})
            entries.append(RecordingsEntry(name, len(stay), len(mel), files))
        return self if entries == [*self.segments] else self._name_segments(tuple(entries))

    def _name_segments(self, segments: tuple[RecordingsEntry, ...]) -> Recordings:
        data = json.dumps({"schema": SCHEMA, "segments": [asdict(s) for s in segments]}, sort_keys=True).encode()
        write_synced(self.store.path / FOLDER / "manifest.json", data)
        return Recordings(self.store, segments, hashlib.sha256(data).hexdigest())

    def clean_up(self) -> None:
        """Remove what an interrupted writer left; under the store's lock."""
        root, named = self.store.path / FOLDER, {"manifest.json", *(entry.name for entry in self.segments)}
        for stray in [*root.iterdir()] if root.is_dir() else []:
            if stray.name not in named:
                shutil.rmtree(stray) if stray.is_dir() and not stray.is_symlink() else stray.unlink()

    @cached_property
    def _records(self) -> tuple[Recording, ...]:
        records = []
        for entry in self.segments:
            for line in self._lines(entry):
                try:
                    for what, values in ((Recording, line), (Rights, line["rights"])):
                        check_types(what, values)
                    about = {
                        **line,
                        "beat_s": tuple(line["beat_s"]),
                        "unread": tuple(line.get("unread", ())),
                        "rights": Rights(**line["rights"]),
                    }
                    records.append(Recording(**about, split=self._split(line["score"], line["file_digest"])))
                except (AttributeError, KeyError, TypeError) as error:
                    raise StoreDamagedError(self._folder(entry), f"recordings.jsonl: {error!r}") from error
        return tuple(records)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {recording.path: row for row, recording in enumerate(self._records)}

    def _split(self, score: str, file_digest: str) -> str:
        try:
            return self.store.pieces[self.store.index_of(score)].split
        except KeyError:
            return split_of(file_digest)

    def _folder(self, entry: RecordingsEntry) -> Path:
        return self.store.path / FOLDER / entry.name

    def _lines(self, entry: RecordingsEntry) -> list[dict[str, Any]]:
        if entry.name not in self._parsed:
            folder = self._folder(entry)
            try:
                lines = [json.loads(line) for line in (folder / "recordings.jsonl").read_bytes().splitlines()]
                frames = [line["frames"] for line in lines]
            except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
                raise StoreDamagedError(folder, f"recordings.jsonl: {error!r}") from error
            if not all(type(n) is int and n > 0 for n in frames) or (len(lines), sum(frames)) != (
                entry.recordings,
                entry.frames,
            ):
                raise StoreDamagedError(folder, f"recordings.jsonl: {len(lines)} lines, the manifest says otherwise")
            self._parsed[entry.name] = lines
        return self._parsed[entry.name]

    @cached_property
    def _parsed(self) -> dict[str, list[dict[str, Any]]]:
        return {}

    def _mel(self, entry: RecordingsEntry) -> NDArray[np.uint8]:
        folder = self._folder(entry)
        try:
            mel: NDArray[np.uint8] = np.load(folder / "mel.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreDamagedError(folder, f"mel.npy: {error}") from error
        if mel.dtype != np.uint8 or mel.shape != (entry.frames, MEL_BANDS):
            raise StoreDamagedError(
                folder, f"mel.npy holds {mel.dtype} {mel.shape}, not uint8 ({entry.frames}, {MEL_BANDS})"
            )
        return mel


def open_recordings(store: Store) -> Recordings:
    """Open the recordings of a store; none where it has no such folder.

    Raises
    ------
    StoreError
        When their manifest is damaged or of another version.
    StoreDamagedError
        When a file is missing or has another size.
    """
    manifest = store.path / FOLDER / "manifest.json"
    try:
        data = manifest.read_bytes()
    except FileNotFoundError:
        return Recordings(store)
    except OSError as error:
        raise StoreError(f"{manifest}: cannot be read: {error.strerror}") from error
    try:
        content = json.loads(data)
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}; this version reads {SCHEMA!r}")
        segments = tuple(
            RecordingsEntry(**{**e, "files": {name: FileEntry(**file) for name, file in e["files"].items()}})
            for e in content["segments"]
        )
        for entry in segments:
            counts = (entry.recordings, entry.frames, *(file.bytes for file in entry.files.values()))
            if Path(entry.name).name != entry.name or entry.files.keys() != FILES:
                raise ValueError(f"segment {entry.name!r} has a wrong name or files")
            if not all(type(count) is int and count > 0 for count in counts):
                raise ValueError(f"segment {entry.name!r} has wrong counts")
            if entry.files["mel.npy"].bytes < max(entry.frames * MEL_BANDS, entry.recordings):
                raise ValueError(f"segment {entry.name!r} has more frames than mel.npy has room for")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{manifest}: is malformed ({error}); restore the folder, or remove and ingest again"
        ) from error
    opened = Recordings(store, segments, hashlib.sha256(data).hexdigest())
    for entry in segments:
        check_sizes(store.path / FOLDER / entry.name, entry.files)
    return opened


@dataclass(frozen=True, slots=True)
class RecordingJob:
    """A file to be read as a recording, with what is known of it."""

    file: Path
    name: str
    rights: Rights
    title: str
    artist: str
    score: str = ""
    notes: NoteSequence | None = None


def with_score(job: RecordingJob, store: Store) -> RecordingJob:
    """Add the piece of the store that has the recording's path but for the suffix, where there is one."""
    for suffix in sorted(SUFFIXES):
        score = str(PurePosixPath(job.name).with_suffix(suffix))
        try:
            notes = store.notes(store.index_of(score))
        except KeyError:
            continue
        return RecordingJob(job.file, job.name, job.rights, job.title, job.artist, score, notes)
    return job


def prepare_recording(job: RecordingJob) -> Heard | Refused:
    """Read one sound file: its picture, loudness and beats."""
    try:
        digest = hashlib.sha256(job.file.read_bytes()).hexdigest()
        heard = decode(job.file, MAX_SECONDS)
        samples, rate = heard.samples, heard.rate
        level = loudness(samples, rate)
        if not np.isfinite(level):
            raise MusicError(f"{job.file}: is silent")
        picture = mel_grey(mel_db(samples, rate))
        beats, source = _beats(samples, rate, job.notes)
    except OSError as error:
        return Refused(job.name, f"{job.file}: cannot be read: {error.strerror}")
    except MusicError as error:
        return Refused(job.name, str(error))
    except Exception as error:  # whatever one file does to a decoder, the others are heard
        return Refused(job.name, f"{job.file}: it can't be dealt with: {type(error).__name__}: {error}")
    recording = Recording(
        path=job.name,
        title=job.title or job.file.stem,
        artist=job.artist,
        file_digest=digest,
        duration_s=round(len(samples) / rate, 3),
        loudness_lufs=round(level, 2),
        frames=len(picture),
        beat_s=tuple(round(float(second), 3) for second in beats),
        beats_from=source,
        score=job.score,
        rights=job.rights,
        unread=heard.unread,
    )
    return recording, picture


def _beats(samples: NDArray[np.float32], rate: int, notes: NoteSequence | None) -> tuple[Iterable[float], str]:
    from music.align import align, track_beats

    if notes is not None:
        try:
            found = align(samples, rate, notes)
            if found.cost <= MAX_COST:
                beats = np.arange(np.ceil(found.beat[0]), found.beat[-1])
                return found.seconds_at(beats).tolist(), "score"
        except MusicError:  # too long for its score, say: then it is tracked like any other
            pass
    tracked = track_beats(samples, rate).tolist()
    return tracked, "tracker" if tracked else ""


def _line(recording: Recording, row: RightsRow | None = None) -> bytes:
    about = {f.name: getattr(recording, f.name) for f in fields(recording) if f.name not in ("rights", "split")}
    about["rights"] = asdict(recording.rights)
    return json.dumps(with_rights(about, row) if row else about, separators=(",", ":")).encode() + b"\n"

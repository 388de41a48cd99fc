"""A folder in which the whole job was done, and what tests of the command line do to its files; a pytest plugin."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from music.midi import write_midi
from tests.cases.command import contraste, done
from tests.cases.tunes import melody


@contextmanager
def at_home(folder: Path) -> Iterator[None]:
    """Have commands keep their data below `folder`, know the password, and draw few pieces for levels of chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTE_HOME", str(folder / "home"))
        patch.setenv("CONTRASTE_PASSWORD", "a password")
        patch.setattr("audit.measures.metrics.PAIRS", 30)
        patch.setattr("audit.measures.metrics.SAMPLE", 10)
        patch.setattr("audit.search.significance.CHANCE_QUERIES", 80)
        yield


def furnish(folder: Path, tunes: int = 20, tracks: str = "", rights: str = "") -> None:
    """Make ``src keys store``, and in the folder `tracks` a copy of tune 7, three semitones up, and a clean track."""
    for i in range(tunes):
        write_midi(melody(i), folder / "src" / f"{i:02d}.mid")
    write_midi(melody(7).transpose(3), folder / tracks / "copied.mid")
    write_midi(melody(999), folder / tracks / "clean.mid")
    done("keys", "new", folder / "keys")
    words = ["ingest", folder / "src", "--into", folder / "store", "--workers", 1]
    if rights:
        (folder / "rights.csv").write_text(rights)
        words += ["--rights", folder / "rights.csv"]
    done(*words)


@dataclass(frozen=True)
class House:
    """A folder in which the whole job was done once: ``src store keys model tracks reports`` and odd files."""

    path: Path
    first: Path
    report: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name


@pytest.fixture(scope="session")
def whole_job(tmp_path_factory: pytest.TempPathFactory) -> House:
    path = tmp_path_factory.mktemp("house")
    with at_home(path):
        furnish(path)
        write_midi(melody(998, 4), path / "short.mid")
        (path / "text.mid").write_text("hello\n")
        (path / "text.txt").write_text("hello\n")
        (path / "empty").mkdir()
        store, keys, model, tracks = (path / name for name in ("store", "keys", "model", "tracks"))
        done("sign", store, "--key", keys)
        done("train", "--store", store, "--out", model, "--steps", 3, "--batch", 2, "--size", "tiny", "--device", "cpu")
        done("sign", model, "--key", keys)
        done("generate", "--model", model, "--out", tracks, "-n", 2, "--bars", 2, "--device", "cpu")
        generated = sorted(tracks.glob("*.mid"))
        assert [file.name for file in generated] == ["track-0-1.mid", "track-0-2.mid"]
        assert all(file.with_suffix(".wav").stat().st_size > 44 for file in generated)
        done("sign", *generated, "--key", keys)
        done("anchor", store, model, *generated)
        audit = contraste("audit", *generated, "--store", store, "--model", model, "--out", path / "reports")
        assert audit.code in (0, 4), audit  # a model of 3 steps may write too few notes to be searched
        reports = [path / "reports" / file.stem / "report.json" for file in generated]
        done("sign", *reports, "--key", keys)
        done("anchor", *reports)
    return House(path, generated[0], reports[0])


@pytest.fixture
def house(whole_job: House) -> Iterator[House]:
    """Yield the one folder of the session, with its data folder and password in place; tests leave it as it was."""
    with at_home(whole_job.path):
        yield whole_job


def store_notes(house: House) -> Path:
    return next((house / "store").glob("segments/*/notes.npy"))


def signed_copy(house: House, folder: Path) -> Path:
    track = Path(shutil.copy(house / "clean.mid", folder))
    done("sign", track, "--key", house / "keys")
    return track


def tree(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {os.fspath(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def flip_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@contextmanager
def altered(file: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    before = file.read_bytes()
    assert change(before) != before
    file.write_bytes(change(before))
    try:
        yield
    finally:
        file.write_bytes(before)

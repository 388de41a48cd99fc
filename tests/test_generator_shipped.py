import json
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from corpus.chorales import scores
from generator.data.tokens import quantise
from generator.network.checkpoint import load_model, read_description
from generator.shipped import SHIPPED
from music.midi import write_midi
from music.notes import NoteSequence, build
from music.read import read_music

CONTRASTE = Path(sys.executable).with_name("contraste")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    return tmp_path


def contraste(*words: Path | str) -> CompletedProcess[str]:
    return subprocess.run([CONTRASTE, *words], check=False, capture_output=True, text=True, timeout=300)


def test_the_shipped_model_is_small_and_whole() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.glob("*.safetensors")) <= 12_000_000
    assert not load_model(SHIPPED, "cpu").training
    assert "Johann Sebastian Bach" in read_description(SHIPPED).artists


def test_its_card_says_what_its_training_says() -> None:
    card = (SHIPPED.parent / "README.md").read_text()
    told = json.loads((SHIPPED / "training.json").read_text())
    assert f"{told['validation']['bits_per_note']:.2f}" in card
    assert f"{told['baseline']['bits_per_note']:.2f}" in card
    assert f"{told['tokens']:,}" in card


def test_its_signature_holds_and_names_the_statement_of_its_data(home: Path) -> None:
    done = contraste("verify", SHIPPED, "--key", SHIPPED.parent / "public.pem", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    links = {link["name"]: link for link in json.loads(done.stdout)[0]["links"]}
    assert (links["model"]["verdict"], links["run"]["verdict"]) == ("ok", "ok")
    assert (links["data set"]["verdict"], links["data set"]["code"]) == ("absent", "stated")


def test_generate_needs_no_model_of_ones_own(home: Path) -> None:
    done = contraste("generate", "--out", home / "tracks", "-n", "1", "--bars", "2", "--seed", "3", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(home / "tracks" / "track-3-1.mid")
    assert (home / "tracks" / "track-3-1.wav").stat().st_size > 44_100


def test_bars_are_written_anew_with_it(home: Path) -> None:
    done = contraste("generate", "--out", home, "-n", "1", "--bars", "4", "--seed", "3", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    words = (
        "infill",
        home / "track-3-1.mid",
        "--bars",
        "2-3",
        "--out",
        home / "new",
        "--candidates",
        "2",
        "--seed",
        "1",
    )
    done = contraste(*words, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() != (home / "track-3-1.mid").read_bytes()
    done = contraste(*words[:3], "200-300", *words[4:])
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


def opening(chorale: str) -> NoteSequence:
    """Two bars from the first bar line on: the shipped model was trained before a pickup was a bar of its own."""
    piece = quantise(read_music(scores() / "bach" / chorale))
    first = piece.bar_starts[1] if piece.bar_starts[1] < 4 else 0.0
    kept = piece.select((piece.onset_beat > first - 1e-6) & (piece.onset_beat < first + 8 - 1e-6))
    return quantise(build(kept.onset_beat - first, kept.duration_beat, kept.pitch, part=kept.part, parts=kept.parts))


def sung(piece: NoteSequence) -> set[tuple[int, int, int]]:
    ticks = np.rint(piece.onset_beat * 24).astype(int)
    return set(zip(ticks.tolist(), piece.pitch.tolist(), piece.part.tolist(), strict=True))


def test_pieces_that_are_walked_between_come_back_at_the_ends(home: Path) -> None:
    ends = []
    for name in ("bwv16.6", "bwv12.7"):  # held out when it was trained
        ends.append(home / f"{name}.mid")
        write_midi(opening(f"{name}.mxl"), ends[-1])
    done = contraste("interpolate", *ends, "--steps", "3", "--out", home / "walk", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    walk = [read_music(path) for path in done.stdout.split()]
    assert len(walk) == 3
    for end, written in ((ends[0], walk[0]), (ends[1], walk[2])):
        there = sung(quantise(read_music(end)))
        assert len(there & sung(quantise(written))) >= 0.9 * len(there)
    record = json.loads((home / "walk" / "walk-0-2.mid.provenance.json").read_text())
    assert (record["parameters"]["index"], record["parameters"]["count"], record["parameters"]["draws"]) == (1, 3, 8)

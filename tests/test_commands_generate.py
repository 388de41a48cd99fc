"""`generate` as typed: what is refused, and that a seed gives the same tracks again."""

from __future__ import annotations

from pathlib import Path

from tests.cases.command import Ran, contraste, done, refused
from tests.cases.house import House, altered


def test_bad_words_for_generate(house: House, tmp_path: Path) -> None:
    model, out = house / "model", tmp_path / "tracks"

    def generate(*words: object) -> Ran:
        return contraste("generate", "--bars", 1, "-n", 1, "--device", "cpu", *words)

    for folder in ("none", "empty", "store", "text.txt"):
        refused(generate("--model", house / folder, "--out", out), 3, folder, "contraste train")
    refused(generate("--model", model, "--out", out, "--temperature", 0), 2, "temperature = 0.0")
    refused(generate("--model", model, "--out", out, "--top-p", 2), 2, "top_p = 2.0")
    refused(generate("--model", model, "--out", out, "--key", "H major"), 2, "key 'H major' can't be read")
    refused(generate("--model", model, "--out", out, "--artist", "Nobody"), 2, "artist 'Nobody' is refused")
    refused(generate("--model", model, "--out", out, "--prompt", "une valse"), 2, "nothing of the prompt")
    refused(generate("--model", model, "--out", out, "--prompt", "like Taylor Swift"), 2, "is refused: a model follows")
    refused(generate("--model", model, "--out", out, "--prime", house / "text.txt"), 3, "text.txt")
    refused(generate("--model", model, "--out", house / "text.txt" / "t"), 2, "text.txt")
    assert generate("--model", model, "--out", out, "-n", 0).code == 2
    with altered(model / "model.safetensors", lambda data: data[:1000]):
        refused(generate("--model", model, "--out", out), 3, "model.safetensors")
    assert not out.exists()


def test_a_seed_gives_the_same_tracks_again(house: House, tmp_path: Path) -> None:
    done("generate", "--model", house / "model", "--out", tmp_path, "-n", 2, "--bars", 2, "--device", "cpu")
    for file in tmp_path.iterdir():
        signed = house / "tracks" / file.name
        if file.suffix == ".mid":
            assert file.read_bytes() == signed.read_bytes()
        elif file.suffix == ".wav":  # the other one has a credential behind its sound
            assert signed.read_bytes()[8:].startswith(file.read_bytes()[8:])

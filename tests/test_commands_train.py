"""`train` as typed: what is refused; and a model of sound from ingest to verify."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.cases.command import Ran, contraste, done, refused
from tests.cases.house import House, altered


def test_bad_words_for_train(house: House, tmp_path: Path) -> None:
    contraste("ingest", house / "empty", "--into", tmp_path / "nothing")
    store, out = house / "store", tmp_path / "model"

    def train(*words: object) -> Ran:
        return contraste("train", "--steps", 1, "--device", "cpu", *words)

    refused(train("--store", house / "none", "--out", out), 3, "make one with: contraste ingest")
    refused(train("--store", tmp_path / "nothing", "--out", out), 3, "has no pieces to train on")
    refused(train("--store", store, "--out", out, "--size", "huge"), 2, "size = 'huge'")
    refused(train("--store", store, "--out", out, "--precision", "int3"), 2, "precision = 'int3'")
    refused(train("--store", store, "--out", out, "--augment", "transpose,noise"), 2, "augment = ")
    refused(train("--store", store, "--out", out, "--device", "abacus"), 2, "abacus", "use auto or cpu")
    refused(train("--store", store, "--out", house / "text.txt"), 2, "text.txt")
    refused(train("--store", store, "--out", house / "model"), 2, "holds a model already")
    refused(train("--store", store, "--out", out, "--resume"), 3, "model")
    assert train("--store", store, "--out", out, "--seed", "-1").code == 2
    assert not out.exists()


def test_sound_is_ingested_learned_generated_signed_and_verified(house: House, tmp_path: Path) -> None:
    import soundfile

    folder, store, model, out = (tmp_path / name for name in ("sound", "store", "model", "tracks"))
    folder.mkdir()
    for number in range(6):
        hum = np.sin(np.arange(22_050 * 5) * (0.02 + 0.01 * number)) * np.abs(np.sin(np.arange(22_050 * 5) / 9000))
        soundfile.write(folder / f"{number}.wav", 0.3 * hum, 22_050)
    (folder / "broken.mp3").write_bytes(b"no sound")
    ran = done("ingest", folder, "--into", store)
    assert "refused broken.mp3" in ran.err
    assert "6 added, 0 already there, 1 refused; 0 pieces and 6 recordings in all" in ran.err
    refused(contraste("train", "--store", store, "--out", model, "--steps", 1), 3, "has no pieces to train on")
    refused(contraste("search", store, house.first), 3, "store")
    words = ("train", "--spectrogram", "--store", store, "--out", model, "--steps", 1, "--batch", 2, "--device", "cpu")
    refused(contraste(*words, "--precision", "float32"), 2, "--precision")
    ran = done(*words)
    assert "1 steps on" in ran.err
    assert "windows of recordings" in ran.err
    assert "critic's gradient norm" in ran.err
    refused(contraste("generate", "--model", model, "--out", out, "--beam", 2), 2, "--beam")
    ran = done("generate", "--model", model, "--out", out, "-n", 2, "--seed", 5, "--device", "cpu")
    assert "of 256 bits from the nearest window learned from" in ran.out
    track = out / "track-5-1.wav"
    samples, rate = soundfile.read(track)
    assert (len(samples), rate) == (127 * 512, 22_050)
    record = json.loads((out / "track-5-1.wav.provenance.json").read_text())
    assert record["parameters"]["seed"] == 5
    assert 0 <= record["parameters"]["phash_nearest"] <= 256
    done("sign", store, model, track, "--key", house / "keys")
    ran = done("verify", track, "--offline")
    assert "made by the model model" in ran.out
    with altered(model / "windows.safetensors", lambda data: data[:50]):
        refused(contraste("generate", "--model", model, "--out", tmp_path / "t"), 3, "windows.safetensors")
    with altered(store / "recordings" / "manifest.json", lambda data: data[:50]):
        refused(contraste(*words[:5], tmp_path / "m2", *words[6:]), 3, "recordings/manifest.json: is malformed")

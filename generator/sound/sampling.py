"""Spectrograms and sound from a trained generator, and the hashes of what it learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from generator.data.vocabulary import GeneratorError, SettingError
from generator.network.checkpoint import (
    CONFIG,
    SPECTROGRAMS,
    WEIGHTS,
    is_spectrogram,
    pick_device,
    read_object,
    read_weights,
)
from generator.network.stack import threads as torch_threads
from generator.sound.networks import LATENT, Generator, Spectrum
from music.audio import MEL_BANDS
from music.notes import FloatArray

WINDOWS, STATE = "windows.safetensors", ".state.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One new sound.

    Attributes
    ----------
    mel : float64 (128, 128)
        Decibels, -80..0; 43.07 frames a second.
    settings : dict
        ``seed``, ``index`` and ``count``: with the model's digest they make the same mel again.
    """

    mel: FloatArray
    settings: dict[str, Any]


def check_sizes(prefix: str, tensors: dict[str, Tensor], but: str = "-") -> dict[str, Tensor]:
    """Tensors whose names begin with `prefix` (which is cut off), and not with `prefix` and `but`."""
    names = [n for n in tensors if n.startswith(prefix) and not n.startswith(prefix + but)]
    return {name.removeprefix(prefix): tensors[name] for name in names}


def generate_spectrograms(model_dir: str | Path, n: int, *, seed: int = 0, device: str = "auto") -> list[Sample]:
    """Draw `n` mel spectrograms of 3 s.

    The same model and seed give the same pictures on the same machine and version of torch, whatever `n` is.

    Parameters
    ----------
    n : int
        1 to 4096.
    seed : int
        0 to 2**32 - 1; sample i draws from its own stream (seed, i).

    Raises
    ------
    GeneratorError
        When the model can't be loaded or a setting is out of range.
    """
    if not (1 <= n <= 4096 and 0 <= seed < 2**32):
        raise SettingError(f"{n} samples of seed {seed} asked for; 1 to 4096 can be made at once, seeds are 32 bits")
    generator, spectrum = load_generator(model_dir, device)
    where = next(generator.parameters()).device
    samples = []
    with torch.inference_mode(), torch_threads(1):
        for index in range(n):  # one by one: batches of other sizes may differ in the last digits
            latent = np.random.default_rng([seed, index]).uniform(-1, 1, (1, LATENT)).astype(np.float32)
            mel = spectrum.mels(generator(torch.from_numpy(latent).to(where)))[0]
            samples.append(Sample(mel, {"seed": seed, "index": index, "count": n}))
    return samples


def load_generator(folder: str | Path, device: str = "auto") -> tuple[Generator, Spectrum]:
    """Load a model folder; names and shapes are compared with the config before memory is set aside.

    Raises
    ------
    GeneratorError
        When a file is missing, damaged or does not belong; the message names file and rule.
    """
    path = Path(folder) / CONFIG
    width = read_object(path).get("width") if is_spectrogram(folder) else None
    if type(width) is not int or not 1 <= width <= 256:
        raise GeneratorError(
            f"{path}: says no {SPECTROGRAMS!r} of a width of 1 to 256; run contraste train --spectrogram"
        )
    with torch.device("meta"):
        wanted = {f"generator.{k}": list(v.shape) for k, v in Generator(width).state_dict().items()}
    bands = {"mean": [MEL_BANDS], "deviation": [MEL_BANDS]}
    weights = read_weights(Path(folder) / WEIGHTS, wanted | bands)
    spectrum = Spectrum(weights["mean"], weights["deviation"])
    if not bool((spectrum.deviation > 0).all()):
        raise GeneratorError(f"{Path(folder) / WEIGHTS}: a mel band's deviation is not above 0")
    generator = Generator(width)
    generator.load_state_dict(check_sizes("generator.", weights))
    return generator.to(pick_device(device)).eval(), spectrum


def load_hashes(folder: str | Path) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Read the hashes of the windows a model learned from, and of those held out: bool (n, bits) each.

    None where the model was trained without a hasher.

    Raises
    ------
    GeneratorError
        When the file is damaged.
    """
    path = Path(folder) / WINDOWS
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            packed = [file.get_tensor(name) for name in ("learned", "held_out")]
    except (OSError, SafetensorError) as error:
        raise GeneratorError(f"{path}: is no whole safetensors file with hashes ({error})") from error
    if any(one.dtype != torch.uint8 or one.ndim != 2 for one in packed) or not len(packed[0]):
        raise GeneratorError(f"{path}: holds no hashes of windows, which are uint8 (windows, bytes)")
    learned, held_out = (np.unpackbits(one.numpy(), axis=1).astype(bool) for one in packed)
    return learned, held_out

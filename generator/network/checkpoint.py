"""The model folder: how a trained model lies on disk, and how it is checked when it comes back.

::

    MODEL/config.json          format, sizes, artists, digests of the vocabulary and of the training store
    MODEL/model.safetensors    weights, float32 or float16
    MODEL/training.json        how it was trained and what it reached (`generator.training.settings.TrainingReport`)
    MODEL/text.safetensors     text encoder, with conditions; minilm.safetensors too with the extra `minilm`
    MODEL.state.pt             weights, optimiser and progress, to go on from; not needed to generate

Each file appears whole or not at all. ``config.json`` is written before training and never changes, and
``MODEL.state.pt`` holds everything a resumed run needs, so a run killed between two files leaves a usable folder.
Nothing is unpickled: it is read with ``weights_only=True``.
"""

from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from generator.data.vocabulary import ARTISTS, VOCABULARY, VOCABULARY_DIGEST, GeneratorError, SettingError
from generator.network.model import Transformer
from generator.network.stack import ModelConfig
from music.midi import write_atomically

FORMAT, SPECTROGRAMS = "contraste-model/1", "contraste-specgan/1"
"""What ``config.json`` says of a model of notes, and of one of spectrograms (`generator.sound.specgan`)."""
CONFIG, WEIGHTS, TRAINING = "config.json", "model.safetensors", "training.json"
MAX_JSON_BYTES = 16 * 2**20
PUBLIC_FILES = (CONFIG, WEIGHTS, TRAINING)
"""The files that make the model."""


@dataclass(frozen=True, slots=True)
class Description:
    """What ``config.json`` says: sizes, the store (hex SHA-256 of its manifest) it learned from, artists it names."""

    model: ModelConfig
    store_digest: str
    artists: tuple[str, ...] = ()
    vocabulary_digest: str = VOCABULARY_DIGEST


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON with sorted keys."""
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


MAX_DEPTH = 100  # of brackets in a JSON file; ours have a handful


def read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file of a model folder, which anybody may have written.

    Raises
    ------
    OSError
        When the file can't be read.
    ValueError
        When it is no JSON object, is nested deeper than the interpreter calls, or has more than `MAX_JSON_BYTES`.
    """
    with path.open("rb") as file:
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"more than {MAX_JSON_BYTES} bytes")
    letters = np.frombuffer(data, np.uint8)  # brackets in strings count too: our files have none
    steps = np.isin(letters, list(b"[{")).astype(np.int64) - np.isin(letters, list(b"]}"))
    if len(data) and steps.cumsum().max() > MAX_DEPTH:
        raise ValueError("nested too deeply")
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError(f"no object, but {type(content).__name__}")
    return content


def write_description(folder: Path, description: Description) -> None:
    """Write ``config.json``."""
    write_json(folder / CONFIG, {"format": FORMAT, **asdict(description)})


def read_description(folder: str | Path) -> Description:
    """Read and check ``config.json``.

    Raises
    ------
    GeneratorError
        When it is missing, is no such file, or belongs to another vocabulary.
    """
    path = Path(folder) / CONFIG
    try:
        content = read_object(path)
    except OSError as error:
        raise GeneratorError(
            f"{path}: {error.strerror}; a model folder holds {CONFIG} and {WEIGHTS}: run contraste train"
        ) from error
    except ValueError as error:
        raise GeneratorError(f"{path}: is not JSON ({error})") from error
    if content.get("format") != FORMAT:
        raise GeneratorError(f"{path}: says no {FORMAT!r}; it was not written by this program or by another version")
    if content.get("vocabulary_digest") != VOCABULARY_DIGEST:
        raise GeneratorError(
            f"{path}: vocabulary {content.get('vocabulary_digest')!r}, this program's is "
            f"{VOCABULARY_DIGEST!r}; train the model again"
        )
    sizes: Any = content.get("model")
    try:
        if any(isinstance(v, bool) or not isinstance(v, int) for k, v in sizes.items() if k != "dropout"):
            raise TypeError("sizes are whole numbers")
        config = ModelConfig(**sizes)
        digest = str(content["store_digest"])
        artists = tuple(content.get("artists", ()))
        if len(artists) > ARTISTS or not all(isinstance(name, str) for name in artists):
            raise TypeError(f"artists are at most {ARTISTS} names")
    except (AttributeError, KeyError, TypeError) as error:
        raise GeneratorError(f"{path}: model sizes {sizes!r} can't be read: {error}") from error
    except GeneratorError as error:
        raise GeneratorError(f"{path}: {error}") from error
    if config.vocabulary != len(VOCABULARY):
        raise GeneratorError(
            f"{path}: vocabulary of {config.vocabulary} tokens; the digest stands for {len(VOCABULARY)}"
        )
    return Description(config, digest, artists)


def is_spectrogram(folder: str | Path) -> bool:
    """Tell whether a model folder says that it holds a spectrogram model; False where that can't be read."""
    try:
        config = read_object(Path(folder) / CONFIG)
    except (OSError, ValueError):
        return False
    return config.get("format") == SPECTROGRAMS


def read_training(folder: str | Path) -> dict[str, Any]:
    """Read ``training.json``; {} where there is none, as of a run that was cut short.

    Raises
    ------
    GeneratorError
        When it can't be read.
    """
    path = Path(folder) / TRAINING
    try:
        content = read_object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise GeneratorError(f"{path}: can't be read ({error}); `contraste train` writes it") from error
    if not isinstance(content.get("settings", {}), dict):
        raise GeneratorError(f"{path}: is not what `contraste train` writes: an object with settings")
    return content


def held_out_nats(folder: str | Path) -> float | None:
    """Nats a token that the "valid" split cost the model at the end of training; None where it was not scored."""
    scored = read_training(folder).get("validation") or {}
    try:
        return math.log(float(scored["perplexity"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def save_model(weights: Mapping[str, Tensor], folder: Path, half: bool = False) -> None:
    """Write the weights, as float32, or as float16 with `half`: half the size, and what is heard stays the same."""
    kind = torch.float16 if half else torch.float32
    plain = {name: value.detach().to(kind).cpu().contiguous() for name, value in weights.items()}
    write_atomically(folder / WEIGHTS, save(plain, {"format": FORMAT}))


def load_model(folder: str | Path, device: str = "auto") -> Transformer:
    """Load a model folder, ready to sample (evaluation mode).

    Names and shapes of the weights are compared with the config before any memory is set aside.

    Raises
    ------
    GeneratorError
        When a file is missing, damaged or does not belong; the message names file and rule.
    """
    config = read_description(folder).model
    with torch.device("meta"):
        wanted = {name: list(value.shape) for name, value in Transformer(config).state_dict().items()}
    weights = read_weights(Path(folder) / WEIGHTS, wanted)
    model = Transformer(config)
    model.load_state_dict(weights)
    return model.to(pick_device(device)).eval()


def read_weights(path: Path, wanted: dict[str, list[int]]) -> dict[str, Tensor]:
    """Read a safetensors file of finite float32 or float16 weights with the `wanted` names and shapes, and no others.

    Raises
    ------
    GeneratorError
        When it is missing, damaged or holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            for name in sorted(wanted | shapes):
                if wanted.get(name) != shapes.get(name):
                    raise GeneratorError(
                        f"{path}: weight {name!r} has shape {shapes.get(name)}, {CONFIG} asks for {wanted.get(name)}"
                    )
            weights = {name: file.get_tensor(name) for name in wanted}
    except OSError as error:
        raise GeneratorError(f"{path}: {error.strerror or error}; `contraste train` writes it") from error
    except SafetensorError as error:
        raise GeneratorError(f"{path}: is no whole safetensors file ({error})") from error
    for name, value in weights.items():
        if value.dtype not in (torch.float32, torch.float16) or not bool(torch.isfinite(value).all()):
            raise GeneratorError(f"{path}: weight {name!r} ({value.dtype}) must be finite float32 or float16 numbers")
        weights[name] = value.float()
    return weights


def state_file(folder: Path) -> Path:
    """Return where the state of a run lies."""
    return beside(folder, ".state.pt")


def beside(folder: Path, suffix: str) -> Path:
    """Return the path beside a model folder for what is neither signed nor shipped with it."""
    return folder.with_name(f"{folder.resolve().name}{suffix}")


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write what `load_state` needs to go on: tensors, numbers, strings, lists and dicts of them."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(state_file(folder), buffer.getvalue())


def load_state(folder: Path) -> dict[str, Any]:
    """Read a `state_file` without running any code in it.

    Raises
    ------
    GeneratorError
        When it is missing or damaged.
    """
    path = state_file(folder)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise GeneratorError(f"{path}: there is nothing to resume; train without --resume") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise GeneratorError(f"{path}: can't be read ({type(error).__name__}); train anew in another folder") from error
    if not isinstance(state, dict) or not {"weights", "optimiser", "step", "seconds", "curve"} <= state.keys():
        raise GeneratorError(f"{path}: is not the state of a training run; train anew in another folder")
    return state


def pick_device(name: str) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:1" into a device; "auto" is CUDA where there is one.

    Raises
    ------
    GeneratorError
        When there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise NotImplementedError(device.type)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(f"device {name!r} is not to be had here; use auto or cpu") from error
    return device

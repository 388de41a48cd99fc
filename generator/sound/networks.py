"""The networks that learn spectrograms: generator and critic, and how spectra are scaled for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from music.audio import grey_mel
from music.notes import FloatArray

LATENT = 100
DEVIATIONS = 3.0  # of a mel band become -1..1; what is beyond is cut


def _he(layers: nn.ModuleList, dense: nn.Linear) -> None:
    """Draw weights so that layers keep the scale of what they read (He et al. 2015), as Gulrajani's code does.

    Of a transposed convolution of stride 2, an output reads a quarter of the kernel. PyTorch's own draws shrink the
    signal fivefold a layer: samples differ by .02 of what real windows do, and hundreds of steps go into undoing it.
    """
    for layer in layers:
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        reach = len(weight) / 4 if isinstance(layer, nn.ConvTranspose2d) else weight.shape[1]
        nn.init.normal_(weight, std=math.sqrt(2 / (25 * reach)))
        nn.init.zeros_(bias)
    nn.init.normal_(dense.weight, std=math.sqrt(1 / dense.in_features))
    nn.init.zeros_(dense.bias)


class Generator(nn.Module):
    """Latents (B, 100) to pictures (B, 1, 128, 128) in -1..1: five transposed convolutions of stride 2."""

    def __init__(self, width: int) -> None:
        """Make layers of 16, 8, 4, 2 and 1 times `width` channels."""
        super().__init__()
        self.width = width
        channels = [16 * width, 8 * width, 4 * width, 2 * width, width, 1]
        self.dense = nn.Linear(LATENT, 16 * channels[0])
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 5, stride=2, padding=2, output_padding=1) for a, b in pairwise(channels)
        )
        _he(self.layers, self.dense)

    def forward(self, latent: Tensor) -> Tensor:
        """Draw pictures."""
        x = self.dense(latent).view(len(latent), -1, 4, 4)  # (B, 16 width, 4, 4)
        for layer in self.layers:
            x = layer(functional.relu(x))
        return torch.tanh(x)  # (B, 1, 128, 128)


class Critic(nn.Module):
    """Pictures (B, 1, 128, 128) to scores (B,), higher for real ones: five convolutions of stride 2, no norm."""

    def __init__(self, width: int) -> None:
        """Make layers of 1, 2, 4, 8 and 16 times `width` channels."""
        super().__init__()
        channels = [1, width, 2 * width, 4 * width, 8 * width, 16 * width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2, padding=2) for a, b in pairwise(channels))
        self.dense = nn.Linear(16 * channels[-1], 1)
        _he(self.layers, self.dense)

    def forward(self, picture: Tensor) -> Tensor:
        """Score pictures."""
        x = picture
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
        score: Tensor = self.dense(x.flatten(1))[:, 0]
        return score


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Mean and deviation of each mel band over the training windows: (128,) in grey steps."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, windows: NDArray[np.uint8]) -> Spectrum:
        """Measure windows (n, 128, frames); a band that never changes gets the deviation 1."""
        values = windows.astype(np.float32)
        mean, deviation = values.mean(axis=(0, 2)), values.std(axis=(0, 2))
        return cls(torch.from_numpy(mean), torch.from_numpy(np.maximum(deviation, 1.0)))

    def pictures(self, windows: NDArray[np.uint8]) -> Tensor:
        """Grey windows (n, 128, frames) to pictures (n, 1, 128, frames) in -1..1."""
        x = (torch.from_numpy(windows).float() - self.mean[:, None]) / (DEVIATIONS * self.deviation[:, None])
        return x.clamp(-1, 1)[:, None]

    def mels(self, pictures: Tensor) -> FloatArray:
        """Pictures back to decibels: float64 (n, 128, frames), -80..0."""
        grey = pictures[:, 0].float().cpu() * DEVIATIONS * self.deviation[:, None] + self.mean[:, None]
        steps = grey.clamp(0, 255).round().to(torch.uint8).numpy()
        return np.stack([grey_mel(one.T) for one in steps])

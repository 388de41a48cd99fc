"""The child process that turns notation into drawings.

It is started at the first drawing, kept, and replaced when one ends it. A process per drawing would start verovio anew
for each; verovio inside this process would let one bad input take the whole run down. Measured on 250 damaged scores:
10 crashes and 6 endless loops.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from pathlib import Path

from music.notes import MusicError

MAX_ANSWER_BYTES = 16 * 2**20
SECONDS, SECONDS_PER_BYTE = 0.9, 6 / 2**20  # measured: 0.05 s for a chorale, up to 2.3 s for 2**20 bytes
START_SECONDS = 20.0


def mei_to_svg(score: str, name: str) -> str:
    """Engrave MEI text on one page and return its SVG; `name` is what errors call it.

    Raises
    ------
    MusicError
        When verovio refuses it, needs longer than `SECONDS` plus `SECONDS_PER_BYTE` a byte or more than 1 GiB, or
        dies of it.
    """
    return _WORKER.convert(score, name).decode()


class _Worker:
    """One child for each process that draws, so that a fork is safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0
        atexit.register(self._stop)

    def convert(self, score: str, name: str) -> bytes:
        """Return `score` as SVG, or raise MusicError."""
        data = score.encode()
        limit = SECONDS + SECONDS_PER_BYTE * len(data)
        with self._lock:
            child = self._running()
            answer, late = self._ask(child, b"S" + len(data).to_bytes(4, "big") + data, limit)
            if not answer:
                self._stop()
        if late:
            raise MusicError(f"{name}: verovio took longer than {limit:.1f} s, the limit for {len(data)} bytes")
        if not answer:
            raise MusicError(f"{name}: verovio ended abnormally on this score; is the file damaged?")
        if answer[:1] != b"S":
            raise MusicError(f"{name}: verovio finds no readable score in it")
        return answer[1:]

    @staticmethod
    def _ask(child: subprocess.Popen[bytes], request: bytes, limit: float) -> tuple[bytes, bool]:
        """Send and receive under a time limit: the answer (b"" when the child ended), was it late."""
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        if child.stdin is None or child.stdout is None:
            raise RuntimeError("verovio was started without pipes")
        timer = threading.Timer(limit, stop)
        timer.start()
        try:
            if request:
                child.stdin.write(request)
                child.stdin.flush()
            kind = child.stdout.read(1)
            if not request or not kind:
                return kind, late.is_set()
            length = int.from_bytes(child.stdout.read(4), "big")
            svg = child.stdout.read(min(length, MAX_ANSWER_BYTES))
            return (kind + svg if len(svg) == length else b""), late.is_set()
        except BrokenPipeError:
            return b"", late.is_set()
        finally:
            timer.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._owner != os.getpid() or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("verovio_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process, which then ends the child
            )
            self._owner = os.getpid()
            if self._ask(self._child, b"", START_SECONDS)[0] != b"R":
                self._stop()
                raise MusicError("verovio does not start; check the installation with: python -c 'import verovio'")
        return self._child

    def _stop(self) -> None:
        if self._child is not None and self._owner == os.getpid():
            self._child.kill()
            self._child.communicate()
        self._child = None


_WORKER = _Worker()

"""The command line run in this process through `cli.main`, so that exit codes and messages are the real ones.

An error that escapes it would end in a traceback for the user, and fails the test here.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

import cli

ROOT = Path(cli.__file__).parent
NOBODY = "http://127.0.0.1:9"  # the discard port, on which nothing listens


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def contraste(*words: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["contraste", *map(str, words)])
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    ran = Ran(int(code) if isinstance(code, int) else 0, out.getvalue(), err.getvalue())
    assert "Traceback" not in ran.out + ran.err
    return ran


def done(*words: object) -> Ran:
    ran = contraste(*words)
    assert ran.code == 0, (words, ran)
    return ran


def refused(ran: Ran, code: int, *says: str) -> None:
    """One line on stderr with all of `says`, nothing on stdout, and the exit code."""
    assert ran.code == code, ran
    lines = ran.err.splitlines()
    assert [line for line in lines if line.startswith("contraste: ")] == lines[-1:], ran
    assert all(part in lines[-1] for part in says), ran
    assert ran.out == ""


def python(code: str, *words: object, preexec_fn: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, preexec_fn=preexec_fn
    )

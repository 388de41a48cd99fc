"""The commands demo and setup."""

from __future__ import annotations

import os
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.demo_steps import run_demo
from commands.shared.opening import SHIPPED
from commands.shared.terminal import FAILED, OK, say, stop


def setup() -> None:
    """Compile the search and the sampler once after installing; otherwise the first command compiles them."""
    from audit.compiled import compile_search

    compile_search()
    if find_spec("torch"):
        from generator.writing.sample import generate

        generate(SHIPPED, 1, bars=1, tries=1)


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder to make; an earlier demo in it is replaced.")],
) -> None:
    """Do the whole job on Bach's chorales: ingest, train, generate, sign, anchor, audit, verify."""
    program: Any = ctx.find_root().command

    def run(*words: object, expect: int = OK) -> None:
        """Run one command of this program, and show it as a person would type it."""
        arguments = [str(word) for word in words]
        say("", f"$ contraste {shlex.join(arguments)}")
        code = program.main(arguments, standalone_mode=False) or OK
        if code != expect:
            stop(f"'contraste {arguments[0]}' ended with {code} instead of {expect}", int(code))

    # The demo's key has a public password, so it is trusted inside the demo's own folder only.
    os.environ.update(CONTRASTE_HOME=str(out / "home"), CONTRASTE_PASSWORD="demo")
    wrong = run_demo(out, run, say)
    say("", f"open {(out / 'reports' / 'index.html').resolve()}")
    if wrong:
        stop("not as it should be: " + "; ".join(wrong), FAILED)

"""The terminal: data on stdout, everything else on stderr, progress, passwords, and the exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from ledger.errors import Malformed
from music.text import printable

OK, FAILED, USAGE, UNREADABLE, UNCHECKED = range(5)
INTERRUPTED = 130  # as a shell reports it


def tell(*lines: object) -> None:
    """Print lines of data on stdout, names and foreign texts in them as text that can't steer the terminal."""
    _print(lines, err=False)


def say(*lines: object) -> None:
    """Tell people something, on stderr, a line each; as `tell`."""
    _print(lines, err=True)


def _print(lines: Sequence[object], err: bool) -> None:
    for line in lines:
        typer.echo(printable(str(line)), err=err)


def tell_json(value: Any) -> None:
    """Print JSON on stdout; what is no printable character stands there by its code."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    typer.echo(
        "".join(c if c.isprintable() or c == "\n" else "\\u007f" if c == "\x7f" else json.dumps(c)[1:-1] for c in text)
    )


def stop(message: str, code: int) -> NoReturn:
    """End the command with a message on stderr."""
    say(f"contraste: {message}")
    raise typer.Exit(code)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while it is a terminal; yields a function of (done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich import console, progress  # slow to import, and most commands show none

    names = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    columns = (progress.TextColumn("{task.description}"), *names)
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def ask_password(descriptor: int | None = None, confirm: bool = False) -> str:
    """Return the password: the first line of a file descriptor, the environment's, or what is typed."""
    if descriptor is not None:
        try:
            with open(descriptor, closefd=False, encoding="utf-8") as file:
                return file.readline().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            stop(f"--password-fd {descriptor}: no password can be read there: {error}", USAGE)
    given = os.environ.get("CONTRASTE_PASSWORD")
    if given is not None:
        return given
    if not _has_terminal():
        stop("a password is needed, and there is no terminal to ask at; set CONTRASTE_PASSWORD or --password-fd", USAGE)
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))


def _has_terminal() -> bool:
    """Whether a person can be asked: getpass asks at the process's terminal, whatever standard input is."""
    try:
        with open("/dev/tty"):
            return True
    except OSError:
        return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


@contextmanager
def blaming_option(name: str) -> Iterator[None]:
    """Say that an option is at fault when its value breaks a format."""
    try:
        yield
    except Malformed as error:
        stop(f"{name}: {error}", USAGE)


@contextmanager
def needing_extra(name: str) -> Iterator[None]:
    """Say which extra is missing when an import fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        stop(f"{error.name} is not installed; install it with: pip install 'contraste[{name}]'", USAGE)

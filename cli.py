"""The command line: which commands there are, and which exit code an error gives.

Exit codes: 0 pass; 1 the gate or a verification failed; 2 wrong usage or configuration; 3 input that can't be
read; 4 could not be checked. Data goes to stdout or to the file named, everything else to stderr. A command's module is
imported when the command is run, so that ``contraste --help`` answers at once.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from commands.shared.terminal import INTERRUPTED, USAGE, say
from music.text import printable

COMMANDS = {
    "ingest": ("store", "Read scores and recordings into a store, and build its index."),
    "search": ("search", "Find what each query shares with a store, and say how surprising that is."),
    "originality": ("search", "Say how much of some tracks a store holds, compared with what human pieces share."),
    "compare": ("search", "Print every similarity metric of two pieces, each with its chance level."),
    "audit": ("audit", "Judge tracks by a policy: copy search, metrics, provenance; write a report for each."),
    "policy": ("policy", "Check and explain the rules of the gate."),
    "report": ("report", "Compare and verify audit reports."),
    "train": ("train", "Train a model on a store."),
    "finetune": ("train", "Tune a model to one artist, or to another store."),
    "generate": ("generate", "Write new tracks, as MIDI and WAV, with a record of how each was made."),
    "infill": ("generate", "Write some bars of a piece anew, and keep the rest."),
    "interpolate": ("generate", "Write the tracks on the way from one piece to another."),
    "evaluate": ("train", "Measure a model: likelihood, variety, style, originality, memorisation."),
    "keys": ("keys", "Make, trust, replace and revoke signing keys."),
    "contribution": ("sign", "Log human contributions to an artefact."),
    "sign": ("sign", "Sign artefacts and what they were made from; add C2PA credentials to tracks."),
    "verify": ("verify", "Verify artefacts: from each path back to the data set and the anchor."),
    "ledger": ("verify", "Look at statements, and at the log of what was signed."),
    "export": ("store", "Describe a store, a model or a track for other programs."),
    "anchor": ("chain", "Write one Merkle root for all paths to a chain, and its proof beside each path."),
    "revoke": ("chain", "Revoke anchors on their chain."),
    "mint": ("chain", "Mint ERC-721 tokens of tracks."),
    "setup": ("demo", "Compile the search and the sampler, once after installing."),
    "demo": ("demo", "Do the whole job on Bach's chorales: ingest, train, generate, sign, anchor, audit, verify."),
}
"""Each command: its module in `commands`, which holds a function or a group of that name, and what it does."""
USAGE_ERROR: Any = typer.BadParameter.__base__  # that of click, of which typer has a copy of its own or not


class Commands(TyperGroup):
    """The commands of `COMMANDS`, imported when they are run.

    Complaints show what was typed as text: a shell that expands ``*`` types what others named.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=about) for name, (_, about) in COMMANDS.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help text."""
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that was named."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(str(name)), rest

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read what stands before the command."""
        with _complaints_as_text():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Read the command's own arguments, and run it."""
        with _complaints_as_text():
            return super().invoke(ctx)


def load_command(name: str) -> Any:
    """Import a command, or a group of commands, and return it as click runs it."""
    if name == "ingest":  # read when numpy is loaded: products are small here, and OpenBLAS' threads wait by spinning
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    command = getattr(import_module(f"commands.{COMMANDS[name][0]}"), name)
    if not isinstance(command, typer.Typer):
        function, command = command, typer.Typer(add_completion=False)
        command.command(name)(function)
    return typer.main.get_command(command)


@contextmanager
def _complaints_as_text() -> Iterator[None]:
    try:
        yield
    except USAGE_ERROR as error:
        option = getattr(error, "option_name", None)
        if option and not error.possibilities and (owners := _commands_with(option)):
            error.message += f" {option} is an option of: {', '.join(owners)}."
        error.message = printable(error.message)
        raise


def _commands_with(option: str) -> list[str]:
    """Return the commands that have an option."""
    commands = ((name, load_command(name)) for name in COMMANDS)
    return [name for name, command in commands if any(option in each.opts for each in command.params)]


app = typer.Typer(
    name="contraste", cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback(help="Tests and certifies AI-generated music: copy search, metrics, signed provenance, release gate.")
def contraste() -> None:
    """Have a callback, so that the program is a group of commands."""


def _keep_compiled_code() -> None:
    """Name a temporary folder for numba where neither the installation nor the home folder can be written to.

    The search is compiled again by every command then; `NUMBA_CACHE_DIR` can name a better place.
    """
    usual = (Path(__file__).parent, Path.home())
    if "NUMBA_CACHE_DIR" not in os.environ and not any(os.access(folder, os.W_OK) for folder in usual):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="contraste-")
        atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)


def main() -> None:
    """Run the command line; no error of ours or of the system's ends in a traceback."""
    _keep_compiled_code()
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as end:  # typer turns Ctrl-C into the exit code 130
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        say("contraste: interrupted; what was finished is kept")
        sys.exit(INTERRUPTED)
    except OSError as error:
        say(f"contraste: {error.filename or 'system'}: {error.strerror or error}")
        sys.exit(USAGE)
    except Exception as error:  # our error classes are imported only when one of them may have been raised
        from commands.shared.errors import exit_code

        code = exit_code(error)
        if code is None:
            raise
        say(f"contraste: {error}")
        sys.exit(code)


if __name__ == "__main__":
    main()

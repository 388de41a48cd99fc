"""The pages of docs/commands say of each command what the program says.

The synopsis of a command and the table of its options stand between two comments and are built from the command itself;
``make docs`` writes them anew. The text around them is written by hand.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import typer

import cli

PAGES = Path(__file__).parent.parent / "docs" / "commands"
SYNOPSIS = re.compile(r"(<!-- synopsis: contraste (?P<name>[a-z ]+) -->\n).*?(<!-- end of synopsis -->\n)", re.S)
PLACEHOLDERS = {Path: "PATH", str: "TEXT", int: "N", float: "N"}


def list_commands() -> Iterator[tuple[str, str, Any]]:
    """Yield the page, the name and the command of each command, those of groups included."""
    for name, (page, _) in cli.COMMANDS.items():
        command = cli.load_command(name)
        for sub, each in getattr(command, "commands", {"": command}).items():
            yield f"{page}.md", f"{name} {sub}".strip(), each


def write_parameter(parameter: Any) -> str:
    """Write an argument or an option with what stands for its value, e.g. ``--top N``."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    options = "/".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return options
    kind = parameter.type_descriptor.annotation
    kind = get_args(kind)[0] if get_origin(kind) is list else kind
    return f"{options} " + ("|".join(get_args(kind)) if get_origin(kind) is Literal else PLACEHOLDERS[kind])


def write_default(parameter: Any) -> str:
    """Write the default of an argument or an option for the table; "" where it has none."""
    if parameter.required:
        return "required"
    if parameter.secondary_opts:
        return f"`{(parameter.opts if parameter.default else parameter.secondary_opts)[0]}`"
    value = f"{parameter.default:g}" if isinstance(parameter.default, float) else str(parameter.default or "")
    return f"`{value}`" if value else "`0`" if parameter.default == 0 and not parameter.is_flag else ""


def write_synopsis(name: str, command: Any) -> str:
    """Write the synopsis of a command and the table of its options."""
    parameters = sorted(command.params, key=lambda each: (each.param_type_name == "option", not each.required))
    words, rows = ["contraste", *name.split()], ["| option | default | what it does |", "|---|---|---|"]
    for parameter in parameters:
        text = write_parameter(parameter)
        word = (text if parameter.required else f"[{text}]") + "..." * getattr(parameter, "multiple", False)
        words.append(word.replace(" ", "\0"))
        cells = f"`{text}`", write_default(parameter), parameter.help or ""
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    lines = textwrap.wrap(" ".join(words), 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(["```", *lines, "```", "", *(rows if parameters else ()), ""]).replace("\0", " ")


def update_page(text: str) -> str:
    """Return the text of a page with the synopses of the program."""
    known = {name: write_synopsis(name, command) for _, name, command in list_commands()}
    return SYNOPSIS.sub(lambda match: match[1] + known.get(match["name"], "") + match[3], text)


def test_each_command_stands_on_the_page_of_its_module() -> None:
    written = {
        (page.name, match["name"]) for page in PAGES.glob("*.md") for match in SYNOPSIS.finditer(page.read_text())
    }
    assert written == {(page, name) for page, name, _ in list_commands()}


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_synopses_are_those_of_the_program(page: Path) -> None:
    assert page.read_text() == update_page(page.read_text()), "make docs writes the synopses anew"


def test_a_synopsis_shows_arguments_choices_switches_and_defaults() -> None:
    app = typer.Typer(add_completion=False)

    @app.command()
    def example(
        paths: list[Path],
        form: Annotated[Literal["a", "b"], typer.Option(help="Which | form.")] = "a",
        tags: Annotated[list[str] | None, typer.Option("--tag")] = None,
        rate: Annotated[float, typer.Option("--rate", "-r")] = 0.5,
        quiet: bool = True,
        seed: int = 0,
    ) -> None: ...

    assert write_synopsis("example", typer.main.get_command(app)) == (
        "```\ncontraste example PATHS... [--form a|b] [--tag TEXT]... [--rate/-r N] [--quiet/--no-quiet]\n"
        "  [--seed N]\n```\n\n"
        "| option | default | what it does |\n|---|---|---|\n"
        "| `PATHS...` | required |  |\n"
        "| `--form a\\|b` | `a` | Which \\| form. |\n"
        "| `--tag TEXT` |  |  |\n"
        "| `--rate/-r N` | `0.5` |  |\n"
        "| `--quiet/--no-quiet` | `--quiet` |  |\n"
        "| `--seed N` | `0` |  |\n"
    )


if __name__ == "__main__":
    for path in sorted(PAGES.glob("*.md")):
        path.write_text(update_page(path.read_text()))

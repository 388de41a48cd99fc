"""The command line: every command's names and help, its exit codes, and what it loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import cli
from tests.cases.command import ROOT, contraste, done, python, refused
from tests.cases.house import House


def commands() -> dict[str, typer.core.TyperCommand]:
    loaded = {name: cli.load_command(name) for name in cli.COMMANDS}
    inner = {
        f"{name} {part}": command
        for name, group in loaded.items()
        for part, command in getattr(group, "commands", {}).items()
    }
    return {name: command for name, command in loaded.items() if not hasattr(command, "commands")} | inner


@pytest.mark.parametrize("name", ["", "keys", "ledger", *commands()])
def test_every_command_has_help(name: str) -> None:
    ran = done(*name.split(), "--help")
    assert "Usage:" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("demo", [], ["--out"]),
        ("ingest", ["sources"], ["--into", "--rights", "--require-rights", "--workers"]),
        ("search", ["store", "queries"], ["--top", "--jsonl"]),
        ("compare", ["reference", "candidate"], ["--json"]),
        ("originality", ["store", "tracks"], ["--out", "--window", "--json"]),
        ("audit", ["tracks"], ["--store", "--model", "--policy", "--out", "--format", "--rpc", "--chain-dir"]),
        ("train", [], ["--store", "--out", "--device"]),
        ("generate", [], ["--model", "--out", "-n", "--device", "--beam"]),
        ("keys new", ["folder"], []),
        ("sign", ["paths"], ["--key", "--certificate", "--tsa"]),
        ("verify", ["paths"], ["--key", "--rpc", "--chain-dir"]),
        ("export", ["path"], ["--format", "--out", "--ai"]),
        ("anchor", ["paths"], ["--rpc", "--chain-dir", "--network", "--again", "--max-fee-gwei", "--i-mean-mainnet"]),
        ("revoke", ["paths"], ["--rpc", "--chain-dir", "--root", "--reason"]),
        (
            "mint",
            ["tracks"],
            ["--rpc", "--chain-dir", "--network", "--max-fee-gwei", "--i-mean-mainnet", "--ai", "--locked"],
        ),
    ],
)
def test_the_contract_of_names(name: str, arguments: list[str], options: list[str]) -> None:
    params = commands()[name].params
    assert [p.name for p in params if p.param_type_name == "argument"] == arguments
    assert set(options) <= {o for p in params if p.param_type_name == "option" for o in p.opts}


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    heavy = (
        "numpy",
        "torch",
        "librosa",
        "scipy",
        "numba",
        "verovio",
        "symusic",
        "web3",
        "cryptography",
        "rich.progress",
    )
    ran = python(f"import cli, sys; print([name for name in {heavy} if name in sys.modules])")
    assert ran.stdout == "[]\n", ran


def test_help_of_no_command_loads_torch_or_numba() -> None:
    code = (
        "import cli, sys\nfor name in cli.COMMANDS:\n    try: cli.app([name, '--help'])\n    except SystemExit: pass\n"
        "print([name for name in ('torch', 'numba', 'librosa') if name in sys.modules])"
    )
    ran = python(code)
    assert ran.stdout.splitlines()[-1] == "[]", ran
    assert all(f"contraste {name}" in ran.stdout or f"{name} [OPTIONS]" in ran.stdout for name in cli.COMMANDS)


def test_the_table_names_what_is_there_and_its_summary_is_short() -> None:
    for name, (module, about) in cli.COMMANDS.items():
        assert (ROOT / "commands" / f"{module}.py").is_file(), name
        assert about.endswith("."), name
        assert len(about) <= 100, name


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["serach", "s", "t"], "Did you mean 'search'?"),
        (["search", "s", "t", "--polcy", "x"], "--policy"),
        (["search", "s", "t", "--sign-key", "x"], "--sign-key is an option of: audit"),
        (["keys", "rotat", "x"], "Did you mean 'rotate'?"),
        (["ledger"], "log"),
        (["policy"], "explain"),
    ],
)
def test_what_is_misspelt_or_misplaced_is_2_and_the_nearest_name(words: list[str], says: str) -> None:
    ran = contraste(*words)
    assert ran.code == 2
    assert says in " ".join((ran.out + ran.err).replace("\u2502", " ").split())


def test_an_audit_never_loads_torch(house: House, tmp_path: Path) -> None:
    code = "import atexit, sys, cli; atexit.register(lambda: print('torch' in sys.modules)); cli.main()"
    ran = python(code, "audit", house / "copied.mid", "--store", house / "store", "--out", tmp_path, "--format", "json")
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (1, "False"), ran


@pytest.mark.parametrize("words", [[], ["keys"], ["nonsense"], ["search"], ["search", "x", "y", "--top", "0"]])
def test_wrong_usage_is_2(words: list[str]) -> None:
    assert contraste(*words).code == 2


def test_an_interruption_is_130_and_a_defect_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(error: BaseException) -> Callable[[], None]:
        def run() -> None:
            raise error

        return run

    monkeypatch.setattr(cli, "app", stop(KeyboardInterrupt()))
    assert contraste().code == 130
    monkeypatch.setattr(cli, "app", stop(OSError(28, "No space left on device", "x/y")))
    refused(contraste(), 2, "x/y: No space left on device")
    monkeypatch.setattr(cli, "app", stop(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        contraste()

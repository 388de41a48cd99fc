"""Options that several commands share, each declared once.

A command takes a group of options as one parameter whose type is a dataclass here; `grouped` makes them options of the
command. Where a command's defaults differ, its parameter's default says so.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from generator.training.settings import Settings

Tracks = Annotated[list[Path], typer.Argument(help="Files or folders.")]
Paths = Annotated[list[Path], typer.Argument(help="Stores, models, tracks, reports.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="Rules of the gate: default, distributor, label-release, research, or a TOML file."),
]
SigningKey = Annotated[
    str, typer.Option("--key", help="Folder made by 'contraste keys new', a PKCS#12 or PKCS#8 file, or a pkcs11: URI.")
]
PasswordFd = Annotated[
    int | None, typer.Option("--password-fd", min=0, help="File descriptor from which the password is read.")
]
AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Accept what has no signature; what has one must still be as signed.")
]
Trusted = Annotated[
    list[Path] | None,
    typer.Option("--key", help="Public key or certificate authority to trust besides those of this machine."),
]
Shares = Annotated[
    list[str] | None,
    typer.Option(
        help="ROLE=SHARE of AI, in addition to what the record says: composition, lyrics, vocals, instrumentation or "
        "post-production = none, partly or all."
    ),
]
Partial = Annotated[bool, typer.Option("--partial", help="Leave out damaged segments of the store, and name them.")]


def _known_language(code: str) -> str:
    from reports.language.translation import languages  # reads the catalogues

    if code not in languages():
        raise typer.BadParameter(f"{code!r}: there are {', '.join(languages())}")
    return code


Lang = Annotated[
    str,
    typer.Option(
        "--lang",
        callback=_known_language,
        help="Language of the pages, report.md and report.pdf, such as es; a list in report.html leads to all.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from where the run in this folder ended.")]
Model = Annotated[
    Path | None, typer.Option("--model", help="Folder made by 'contraste train'; the shipped model by default.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed on the same device gives the same result.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest tokens that together have this probability.")]
Device = Annotated[str, typer.Option(help='"auto", "cpu", "cuda" or "cuda:N".')]


@dataclass(frozen=True)
class ChainToRead:
    """Where anchors are looked up."""

    chain_dir: Annotated[
        Path | None, typer.Option("--chain-dir", help="Folder of the embedded chain, whose anchors are simulated.")
    ] = None
    rpc: Annotated[str | None, typer.Option("--rpc", help="URL of an Ethereum JSON-RPC node.")] = None


@dataclass(frozen=True)
class ChainToWrite(ChainToRead):
    """Where transactions are sent, who pays for them, and at most how much."""

    account: Annotated[
        Path | None,
        typer.Option("--account", help="Ethereum keystore that pays on --rpc; otherwise CONTRASTE_ETH_KEY."),
    ] = None
    password_fd: PasswordFd = None
    network: Annotated[
        str | None, typer.Option("--network", help='Network the node must be on: "sepolia", "hoodi" or a chain id.')
    ] = None
    mean_mainnet: Annotated[
        bool, typer.Option("--i-mean-mainnet", help="Send to a chain on which transactions cost real money.")
    ] = False
    max_fee_gwei: Annotated[
        float | None, typer.Option("--max-fee-gwei", help="Maximum fee per unit of gas, in gwei (default 100).")
    ] = None


@dataclass(frozen=True)
class TrainingOptions:
    """What training and tuning have in common; the names are those of `generator.training.settings.Settings`."""

    minutes: Annotated[float | None, typer.Option(min=0.05, help="Time budget.")] = None
    steps: Annotated[int | None, typer.Option(min=1, help="Step budget.")] = None
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="Budget in passes over the corpus; 100 if no budget is given.")
    ] = None
    patience: Annotated[int, typer.Option(min=0, help="Stop after N validations without improvement (0: never).")] = 6
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.05, help="Minutes between validations; each writes a checkpoint.")
    ] = 5.0
    batch: Annotated[
        int | None, typer.Option(min=1, help="Batch size per step, summed over all processes; 4 on a CPU, 32 on a GPU.")
    ] = None
    seed: Seed = 0
    device: Device = "auto"
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or auto.")] = "auto"
    augment: Annotated[
        str, typer.Option(help="Comma-separated: transpose, tempo, displace, ornament, invert; '' for none.")
    ] = "transpose"
    conditions: Annotated[
        bool, typer.Option(help="Train with control tokens, so that 'generate' accepts --key, --tempo and the like.")
    ] = True
    half: Annotated[bool, typer.Option("--half", help="Write the weights as float16, in half the size.")] = False
    sharded: Annotated[
        bool, typer.Option("--sharded", help="Under torchrun: distribute the weights over the processes (FSDP).")
    ] = False

    def settings(self, **others: Any) -> Settings:
        """Return the settings of a run, `others` among them."""
        from generator.training.settings import Settings

        return Settings(**{**asdict(self), "augment": split_commas(self.augment), **others})


@dataclass(frozen=True)
class SamplingOptions:
    """How tokens are drawn."""

    seed: Seed = 0
    temperature: Annotated[float, typer.Option(help="> 0; 1 is as learned.")] = 1.0
    top_p: TopP = 0.97
    device: Device = "auto"


Command = Callable[..., Any]


def grouped(function: Command) -> Command:
    """Give a command the fields of its dataclass parameters as options of its own.

    The default of such a parameter, where it has one, holds the defaults of the options.
    """
    plain: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        group = parameter.annotation
        if not is_dataclass(group):
            plain.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = group
        types = get_type_hints(group, include_extras=True)
        given = None if parameter.default is inspect.Parameter.empty else parameter.default
        plain += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(given, field.name, field.default),
                annotation=types[field.name],
            )
            for field in fields(group)
        ]

    @functools.wraps(function)
    def command(**values: Any) -> Any:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return function(**values)

    command.__signature__ = inspect.Signature(plain)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in plain}
    return command


def split_commas(text: str) -> tuple[str, ...]:
    """Split a comma-separated list into its names, sorted."""
    return tuple(sorted(filter(None, (name.strip() for name in text.split(",")))))


def split_shares(ai: list[str] | None) -> dict[str, str]:
    """Split each ROLE=SHARE."""
    parts = (text.lower().partition("=") for text in ai or ())
    return {role.strip(): share.strip() for role, _, share in parts}

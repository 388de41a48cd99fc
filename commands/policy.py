"""Commands on policies: check, explain."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from audit.checked_toml import TomlError
from audit.findings import count_noun
from audit.gate.waivers import holds_waivers, read_waivers
from audit.policy import PROFILES, explain_policy, read_policy
from commands.shared.terminal import OK, USAGE, say, tell, tell_json

policy = typer.Typer(help="Check and explain the rules of the gate.", no_args_is_help=True, add_completion=False)


@policy.command("check")
def policy_check(files: Annotated[list[Path], typer.Argument(help="Policies, and files of waivers.")]) -> None:
    """Check whether policies and files of waivers are valid, and name each problem with its line."""
    wrong = False
    for file in files:
        try:
            if str(file) not in PROFILES and holds_waivers(file):
                waivers = read_waivers(file, datetime.now(UTC).date())
                late = sum(waiver.state == "expired" for waiver in waivers.entries)
                expired = f", {late} of them expired" if late else ""
                tell(f"{file}: valid, {count_noun(len(waivers.entries), 'waiver')}{expired}")
            else:
                policy = read_policy(file)
                tell(f"{file}: valid, policy {policy.name}, digest {policy.digest[:16]}...")
        except TomlError as error:
            wrong = True
            for problem in error.problems:
                say(f"{file}: {problem}")
    raise typer.Exit(USAGE if wrong else OK)


@policy.command("explain")
def policy_explain(
    policy: Annotated[str, typer.Argument(help="A profile's name, or a TOML file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every effective value of a policy, where it comes from, and what it does."""
    rules = read_policy(policy)
    entries = [
        {"key": ".".join(map(str, path)), "value": value, "from": origin, "about": about}
        for path, value, origin, about in explain_policy(rules)
    ]
    if as_json:
        tell_json({"name": rules.name, "digest": rules.digest, "values": entries})
        return
    for entry in entries:
        tell(f"{entry['key']} = {json.dumps(entry['value'], ensure_ascii=False)}  [{entry['from']}]")
        tell(f"    {entry['about']}")

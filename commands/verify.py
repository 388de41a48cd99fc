"""Commands that verify: verify, ledger."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shared.opening import open_cache, open_chain_to_read, open_log, open_trust
from commands.shared.options import AllowUnsigned, ChainToRead, Json, Paths, Trusted, grouped
from commands.shared.terminal import FAILED, OK, UNCHECKED, USAGE, blaming_option, say, stop, tell, tell_json
from corpus.segment import StoreAlteredError, StoreError
from corpus.store import Store
from generator.shipped import MODELS
from ledger.hashes.manifest import Method
from ledger.provenance.digests import Digests
from ledger.show import log_state, signed_about
from ledger.signing.memory import Memory
from ledger.verify import verify_path

if TYPE_CHECKING:
    from ledger.links import Verification

ledger = typer.Typer(
    help="Look at statements, and at the log of what was signed.", no_args_is_help=True, add_completion=False
)


@grouped
def verify(
    paths: Paths,
    source: ChainToRead,
    key: Trusted = None,
    search: Annotated[list[Path] | None, typer.Option(help="Folder to search for files that a path names.")] = None,
    short: Annotated[bool, typer.Option("--short", help="Print one line per path, without its links.")] = False,
    as_json: Json = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no chain; name the links that need one.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse signatures that do not cover every file.")] = False,
    signature: Annotated[Path | None, typer.Option(help="Signature of the path, if it is not PATH.sig.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Name below the path that an old signature did not cover.")
    ] = None,
    allow_unsigned: AllowUnsigned = False,
    require_anchor: Annotated[
        bool, typer.Option("--require-anchor", help="Fail unless each path is anchored on the chain.")
    ] = False,
    track: Annotated[Path | None, typer.Option(help="The track that the report must be about.")] = None,
    cache: Annotated[
        bool,
        typer.Option("--cache/--no-cache", help="Trust stored digests of files whose size and times are unchanged."),
    ] = False,
) -> None:
    """Verify each path back to the data set and the anchor; say what is assured, and which link is broken."""
    if offline and (source.rpc or source.chain_dir):
        stop("--offline asks no chain, so it does not go with --rpc or --chain-dir", USAGE)
    if (signature or ignore or track) and len(paths) > 1:
        stop("--signature, --ignore and --track need exactly one path", USAGE)
    with blaming_option("--ignore"):
        Method(None, tuple(ignore or ()))
    trusted, chain = open_trust(key), None if offline else open_chain_to_read(source)
    verdicts: list[str] = []
    printed, memory, digests = [], Memory(open_log(), trusted), Digests(open_cache(not cache))
    for path in paths:
        verification = verify_path(
            path, trusted, chain, search or (), require_anchor=require_anchor, signature=signature,
            ignored=ignore or (), strict=strict, allow_unsigned=allow_unsigned, digests=digests, log=memory,
            shipped=MODELS, about=track,
        )  # fmt: skip
        if not as_json:
            _print_links(verification, short)
        verdicts += [verification.verdict, store := _verify_store(path, quiet=as_json)]
        printed.append(verification.to_json() | {"store": store})
    if as_json:
        tell_json(printed)
    raise typer.Exit(FAILED if "broken" in verdicts else UNCHECKED if "incomplete" in verdicts else OK)


def _print_links(verification: Verification, short: bool) -> None:
    """Print the verdict of a path and, unless `short`, the table of its links."""
    fault = f" at {verification.fault.name}: {verification.fault.detail}" if verification.fault else ""
    tell(f"{verification.path}: {verification.verdict}{fault}")
    if short:
        return
    if verification.assurance and verification.verdict != "broken":
        tell(f"  assured    {verification.assurance}")
    width = max(10, *(len(link.name) for link in verification.links))
    for link in verification.links:
        tell(f"  {link.verdict:10s} {link.name:{width}s} {link.subject}: {link.detail}")
    if verification.needs_chain:
        names = ", ".join(f"{link.name} of {Path(link.subject).name}" for link in verification.needs_chain)
        tell(f"  only a chain can tell: {names}; name it with --rpc or --chain-dir")


@ledger.command("show")
def ledger_show(
    path: Annotated[Path, typer.Argument(help="A signed artefact.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the statements and their proofs as JSON.")] = False,
) -> None:
    """Show the statements about an artefact, who signed them, and where they stand in this machine's log."""
    statements = signed_about(path, open_trust(None), open_log())
    if as_json:
        tell_json(statements)
        return
    for item in statements:
        statement, entry = item["statement"], item["log"]
        tell(f"{item['file']}: {statement['predicateType']}")
        tell(f"  signer   {item['signer']}")
        for subject in statement["subject"]:
            tell(f"  subject  {subject['name']} {subject['digest']['sha256']}")
        for material in item["materials"]:
            tell(f"  from     {material['kind']} {material['name']} {material['digest']['sha256']}")
        where = "not in this machine's log"
        if entry:
            proof = f"{len(entry['proof'])} hashes to {entry['root']}"
            where = f"entry {entry['position'] + 1} of {entry['size']}, {entry['time']}, {proof}"
        tell(f"  log      {where}")


@ledger.command("log")
def ledger_log(
    since: Annotated[
        str | None, typer.Option(help="SIZE:ROOT of an older state; check that the log begins with it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what was signed on this machine, after checking every entry against the signed head."""
    if since is not None and not _is_state(since):
        stop(f"--since {since}: SIZE:ROOT is a number, a colon and 64 hexadecimal digits", USAGE)
    state = log_state(open_log(), open_trust(None), since)
    if as_json:
        tell_json(state)
        return
    for entry in state["entries"]:
        names = ", ".join(entry["subject"])
        tell(f"{entry['position'] + 1:6d}  {entry['time']}  {entry['key'][:16]}  {entry['predicateType']}  {names}")
    if state["entries"]:
        tell(f"{state['size']}:{state['root']}")
    say(f"{state['size']} entries, as signed" + ("; they begin with the older ones" if since else ""))


def _is_state(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,15}:[0-9a-f]{64}", text) is not None


def _verify_store(path: Path, quiet: bool = False) -> str:
    """Hash what a store names itself, signed or not; say what is wrong and return its verdict, "ok" for no store."""
    if not (path / "manifest.json").is_file() or not (path / "segments").is_dir():
        return "ok"
    from audit.search.index import open_index, verify_index  # slow to import, and most paths are no stores

    try:
        store = Store.open(path)
        store.verify()
        index = open_index(store)
        if index is not None:
            verify_index(index)
    except StoreError as error:
        verdict = "broken" if isinstance(error, StoreAlteredError) else "incomplete"
        if not quiet:
            tell(f"  {verdict:10s} {'store':10s} {error}")
        return verdict
    return "ok"

"""Commands that sign: sign, contribution."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

import typer

from commands.shared.opening import open_cache, open_log, open_trust
from commands.shared.options import PasswordFd, Paths, SigningKey
from commands.shared.terminal import UNREADABLE, ask_password, blaming_option, say, stop, tell
from ledger.exchange.credential import is_music
from ledger.exchange.credential_issue import Issuer, chain_of
from ledger.hashes.manifest import FILES, Method, check_name
from ledger.paths import give_name
from ledger.provenance.contributions import add_contribution, contributions_file, read_contributions
from ledger.provenance.record import digest_of, index_of, owner_of
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import check_about
from ledger.signing.keys import key_id
from ledger.signing.signer import load_signer
from ledger.signing.timestamp import time_stamp
from ledger.signing.trust import Trust
from ledger.staging import Staged

contribution = typer.Typer(help="Log human contributions to an artefact.", no_args_is_help=True, add_completion=False)


@contribution.command("add")
def contribution_add(
    path: Annotated[Path, typer.Argument(help="A track, a model, a data set, a report.")],
    kind: Annotated[str, typer.Option(help="Kind of contribution: prompt, edit or selection.")],
    text: Annotated[str, typer.Option(help="What was done.")],
    author: Annotated[str, typer.Option(help="Who did it.")] = "",
) -> None:
    """Add an entry to the log of human contributions; 'contraste sign' signs the log with the artefact."""
    read_contributions(path)  # what is wrong with the file is no fault of the options
    content = digest_of(path)
    with blaming_option("--kind, --text, --author"):
        entries = add_contribution(path, kind, text, content, author=author)
    tell(contributions_file(path))
    say(f"{len(entries)} {'entries' if len(entries) > 1 else 'entry'}; sign {path} again to cover all of them")


@contribution.command("list")
def contribution_list(path: Annotated[Path, typer.Argument(help="An artefact.")]) -> None:
    """List the human contributions to an artefact."""
    entries = read_contributions(path)
    if not entries and not path.exists():
        stop(f"cannot read {path}: no such file or folder", UNREADABLE)
    for entry in entries:
        tell(f"{entry['time']}  {entry['kind']:9s}  {entry['author'] or '-'}: {entry['text']}")
    if not entries:
        say(f"no contributions to {path} are noted")


def sign(
    paths: Paths,
    key: SigningKey,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", help="PEM certificate chain of the key, leaf first, for signatures and credentials."
        ),
    ] = None,
    source_type: Annotated[
        Literal["trained", "composite"] | None,
        typer.Option(
            help="Origin of tracks: made by a model, or human work with parts by one; by default from the record."
        ),
    ] = None,
    mining: Annotated[
        Literal["allowed", "notAllowed"], typer.Option(help="Whether others may train on the tracks.")
    ] = "notAllowed",
    report: Annotated[Path | None, typer.Option(help="Audit report to name in the credential of the track.")] = None,
    tsa: Annotated[str | None, typer.Option(help="URL of an RFC 3161 time stamping authority.")] = None,
    credential: Annotated[bool, typer.Option(help="Add C2PA credentials to tracks.")] = True,
    shard_size: Annotated[
        int | None,
        typer.Option("--shard-size", min=1, help="Hash files of folders and models in shards of this many bytes."),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Hash every file again, even unchanged ones.")] = False,
    password_fd: PasswordFd = None,
) -> None:
    """Sign artefacts and what they were made from; writes PATH.sig beside each, and C2PA credentials into tracks."""
    signer = load_signer(key, lambda: ask_password(password_fd), certificate)
    for path in paths:
        check_name(give_name(path).name)
    paths = _with_indexes(list(dict.fromkeys(owner_of(path) for path in paths)))
    tracks = [path for path in paths if credential and is_music(path)]
    if report and len(tracks) != 1:
        raise typer.BadParameter(f"{len(tracks)} tracks; a report is about one", param_hint="--report")
    if report:
        public = signer.key.public_key()
        check_about(report, tracks[0], Trust({**open_trust(None), key_id(public): public}))
    issuer = None
    if tracks:
        issuer = Issuer(signer.key, chain_of(signer, key), source_type, mining, tsa)
    method = Method(shard_size, FILES.ignored) if shard_size else FILES
    for path in paths:
        staged = Staged()  # the statement is about the file with its credential, and both are put there together
        holders = issuer.issue(path, report, staged) if issuer and path in tracks else {}
        signature = sign_path(
            path, signer.key, signer.certificates, method=method, cache=open_cache(no_cache), log=open_log(),
            staged=staged, stamp=functools.partial(time_stamp, url=tsa) if tsa else None,
        )  # fmt: skip
        for holder, lost in holders.items():
            reason = f", beside the file, which stays as it was: inside, it would not keep {lost}" if lost else ""
            say(f"{holder}: C2PA credential{reason}")
        tell(signature)


def _with_indexes(paths: list[Path]) -> list[Path]:
    """Add the index of each report that one lists: it is signed with the reports."""
    indexes = (index_of(path) for path in paths)
    return list(dict.fromkeys([*paths, *(index for index in indexes if index is not None)]))

"""Commands on signing keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from commands.shared.options import PasswordFd, SigningKey
from commands.shared.terminal import ask_password, blaming_option, say, tell
from ledger.chains.account import create_account, load_keystore
from ledger.hashes.digest import Digest, read_bytes, write_atomic
from ledger.signing import keyring
from ledger.signing.certificates import create_certificates
from ledger.signing.envelope import Envelope
from ledger.signing.keys import key_id, load_public
from ledger.signing.signer import create_keys, load_signer
from ledger.signing.trust import format_time, parse_time

keys = typer.Typer(help="Make, trust, replace and revoke signing keys.", no_args_is_help=True, add_completion=False)


@keys.command("new")
def keys_new(
    folder: Annotated[Path, typer.Argument(help="Folder for private.p12, public.pem, certificate.pem and ca.pem.")],
    curve: Annotated[str, typer.Option(help="P-256, P-384 or P-521.")] = "P-256",
    account: Annotated[bool, typer.Option("--account", help="Make an Ethereum account too (account.json).")] = False,
    password_fd: PasswordFd = None,
) -> None:
    """Make a key pair, encrypted with a password, with a certificate; trust it on this machine."""
    password = ask_password(password_fd, confirm=True)
    tell(_new_key(folder, password, curve))
    if account:
        tell(create_account(folder / "account.json", password))


def _new_key(folder: Path, password: str, curve: str = "P-256") -> str:
    """Make a key pair with its certificate, trust it, and return its key id."""
    public = create_keys(folder, password, curve)
    create_certificates(folder, public)
    return keyring.trust_key(public)


@keys.command("trust")
def keys_trust(
    file: Annotated[
        Path, typer.Argument(help="Public key, its folder, certificate authority, or a statement about keys (.sig).")
    ],
) -> None:
    """Trust a key or an authority, or import a rotation, a revocation list or the account of a key."""
    tell(keyring.import_trusted(file))


@keys.command("list")
def keys_list() -> None:
    """List the keys trusted on this machine, with their revocations and accounts."""
    trust = keyring.trusted_keys()
    for identity in trust:
        revoked, account = trust.revoked.get(identity), trust.accounts.get(identity)
        notes = f"  revoked since {format_time(revoked.since)}: {revoked.reason}" if revoked else ""
        tell(f"{identity}{notes}{f'  account {account}' if account else ''}")
    for root in trust.roots:
        tell(f"authority {root.subject.rfc4514_string()}")


@keys.command("rotate")
def keys_rotate(
    folder: Annotated[Path, typer.Argument(help="Folder for the new key.")],
    key: SigningKey,
    password_fd: PasswordFd = None,
) -> None:
    """Make a new key that the old one names as its successor (rotation.sig); it has the same password."""
    password = ask_password(password_fd)
    old = load_signer(key, lambda: password)
    tell(_new_key(folder, password))
    write_atomic(folder / "rotation.sig", keyring.rotate(old, load_public(folder)).to_bytes())
    say(f"give {folder / 'rotation.sig'} to those who trust the old key: contraste keys trust rotation.sig")


@keys.command("revoke")
def keys_revoke(
    key: SigningKey,
    revoked: Annotated[str | None, typer.Argument(help="Key id; by default the signing key itself.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Time of the revocation, like 2026-05-01T12:00:00Z; by default now.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, for people.")] = "unspecified",
    out: Annotated[Path, typer.Option("--out", help="File to write the list to; give it to others.")] = Path(
        "revocations.sig"
    ),
    password_fd: PasswordFd = None,
) -> None:
    """Put a key on the revocation list of the signing key: the key itself, or the one it succeeds."""
    signer = load_signer(key, lambda: ask_password(password_fd))
    with blaming_option("--since"):
        moment = parse_time(since) if since else datetime.now(UTC)
    own = key_id(signer.key.public_key())
    with blaming_option("key id"):
        Digest.from_hex(revoked or own)
    named = Path(key) / "rotation.sig"
    rotation = Envelope.from_bytes(read_bytes(named), source=str(named)) if revoked and named.is_file() else None
    envelope = keyring.revoke(signer, revoked or own, since=moment, reason=reason, rotation=rotation)
    write_atomic(out, envelope.to_bytes())
    tell(out)


@keys.command("bind")
def keys_bind(
    key: SigningKey,
    account: Annotated[Path, typer.Option("--account", help="Ethereum keystore (version 3).")],
    out: Annotated[Path, typer.Option("--out", help="File to write the statement to; give it to others.")] = Path(
        "account.sig"
    ),
    password_fd: PasswordFd = None,
) -> None:
    """Bind a signing key and an Ethereum account by a statement that both sign; one password opens both."""
    password = ask_password(password_fd)
    envelope = keyring.bind_account(load_signer(key, lambda: password), load_keystore(account, password))
    write_atomic(out, envelope.to_bytes())
    tell(out)

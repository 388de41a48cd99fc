"""What c2pa-rs, through c2pa-python, reads out of a file with a C2PA credential; it never asks the network.

Keys stay with us: for a signature the engine calls back (`ledger.exchange.credential_issue`).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.errors import ExtraMissing, LinkRefused, Malformed, PathRefused
from ledger.hashes.digest import parse_json, read_bytes
from ledger.media import magic_of, media_type
from ledger.paths import beside
from messages import message

if TYPE_CHECKING:
    from c2pa import Context, Reader

SIDECAR = ".c2pa"


def credential_file(path: Path) -> Path:
    """Return where the credential of a file lies: in itself, or beside it."""
    apart = beside(path, SIDECAR)
    return path if magic_of(path) and not os.path.lexists(apart) else apart


def engine() -> Any:
    """Return the module c2pa; raises `ExtraMissing`."""
    try:
        import c2pa
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            message(
                "{module:word} is not installed, and C2PA credentials need it: pip install 'contraste[c2pa]', or sign "
                "with --no-credential",
                module=error.name,
            )
        ) from None
    return c2pa


def context_of(authorities: str, allowed: str) -> Context:
    """Return the engine's context: nothing from the network, and trust in nobody but those named."""
    anchors = {"trust_kind": "manifest", "trust_uri": "contraste:keys", "trust_anchors": "", "allowed_list": allowed}
    trust = {"anchors": [anchors]} | ({"trust_anchors": authorities} if authorities else {})
    verify = {"verify_trust": True, "verify_timestamp_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False}
    context: Context = engine().Context.from_dict({"trust": trust, "verify": verify})
    return context


def content_of(path: Path) -> bytes:
    """Return the bytes of a regular file; raises `PathRefused`."""
    if path.is_symlink() or not path.is_file():
        kind = LinkRefused if path.is_symlink() else PathRefused
        raise kind(f"{path} is not a regular file; only regular files carry credentials")
    try:
        return path.read_bytes()
    except OSError as error:
        raise PathRefused(f"cannot read {path}: {error.strerror}") from None


@contextmanager
def _reading(path: Path, data: bytes, store: bytes | None, context: Context) -> Iterator[Reader | None]:
    """Open the credential of a file; None where there is none, and `Malformed` where it can't be read."""
    c2pa = engine()
    kind = media_type(path) or "application/octet-stream"
    try:
        try:
            reader = c2pa.Reader(kind, io.BytesIO(data), store, context=context)
        except c2pa.C2paError.ManifestNotFound:
            reader = None
        with reader or nullcontext():
            yield reader
    except c2pa.C2paError as error:
        reason = ascii(str(error))[1:-1][:200]  # may quote the file
        raise Malformed(f"the credential of {path} can't be read: {reason}") from None


def held_store(path: Path, data: bytes) -> bytes | None:
    """Return the manifest store of a file, not checked; None without one."""
    place = credential_file(path)
    if place != path:
        return read_bytes(place) if os.path.lexists(place) else None
    unchecked = engine().Context.from_dict({"verify": {"verify_after_reading": False, "remote_manifest_fetch": False}})
    with _reading(path, data, None, unchecked) as reader:
        if reader is None:
            return None
        label = parse_json(reader.json().encode(), source=f"the credential of {path}").get("active_manifest")
        store = io.BytesIO()
        reader.resource_to_stream(f"self#jumbf=/c2pa/{label}", store)
        return store.getvalue()


def engine_report(path: Path, data: bytes, store: bytes, context: Context) -> dict[str, Any]:
    """Return the engine's report on a file with a credential."""
    with _reading(path, data, None if credential_file(path) == path else store, context) as reader:
        if reader is None:
            raise Malformed(f"the credential of {path} can't be read: the engine finds none in it")
        report: dict[str, Any] = parse_json(reader.json().encode(), source=f"the credential of {path}")
    if report.get("active_manifest") not in report.get("manifests", {}) or "validation_results" not in report:
        raise Malformed(f"the credential of {path} has no active manifest")
    return report

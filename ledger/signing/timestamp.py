"""RFC 3161 time stamps of statements: an authority's word that a signature existed at a time.

``<path>.sig.tsr`` holds the authority's whole response (RFC 3161, section 2.4.2) about the SHA-256 of the signature
in ``<path>.sig``. C2PA credentials carry their own time stamps inside, which the C2PA engine asks for and checks.
"""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from ledger.errors import ExtraMissing, Malformed, SignatureInvalid, TimeStampUnavailable
from ledger.hashes.digest import read_bytes

TIMEOUT_S = 20
MAX_RESPONSE = 1024 * 1024


def stamp_file(signature_file: Path) -> Path:
    """Return where the time stamp of a ``.sig`` file lies."""
    return signature_file.with_name(f"{signature_file.name}.tsr")


def is_stamped(signature_file: Path) -> bool:
    """Whether a time stamp lies beside a ``.sig`` file."""
    return os.path.lexists(stamp_file(signature_file))


def time_stamp(signature: bytes, url: str) -> bytes:
    """Have a signature stamped by the authority at a URL, and return its whole answer.

    Raises
    ------
    ExtraMissing
        If rfc3161-client is not installed.
    TimeStampUnavailable
        If the authority does not answer within `TIMEOUT_S`, or not with a time stamp of this signature.
    """
    client = _client()
    query = client.TimestampRequestBuilder(hash_algorithm=client.HashAlgorithm.SHA256).data(signature).build()
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("it is no http or https URL")
        request = urllib.request.Request(url, query.as_bytes(), {"Content-Type": "application/timestamp-query"})
        with _OPENER.open(request, timeout=TIMEOUT_S) as response:
            answer = _within(response, time.monotonic() + TIMEOUT_S)
        decoded = client.decode_timestamp_response(in_order(answer))
        _check_imprint(decoded, signature)
        if decoded.tst_info.nonce != query.nonce:
            raise ValueError("the nonce is another one")
    except (OSError, ValueError, SignatureInvalid) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise TimeStampUnavailable(f"{url} gave no time stamp of the signature: {reason}") from None
    return answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: an authority was named, and no other."""

    def redirect_request(self, *_: Any) -> None:
        """Return None, which leaves the answer as it is: an error."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def _within(response: Any, end: float) -> bytes:
    """Return an answer; the time limit of the library starts anew with each byte, and this one does not."""
    answer = b""
    while part := response.read1(MAX_RESPONSE):
        answer += part
        if time.monotonic() > end:
            raise ValueError(f"it did not answer within {TIMEOUT_S} s")
        if len(answer) > MAX_RESPONSE:
            raise ValueError(f"its answer has more than {MAX_RESPONSE} bytes")
    return answer


def check_time_stamp(signature_file: Path, signature: bytes, roots: Sequence[x509.Certificate]) -> datetime | None:
    """Return when a signature existed at the latest; None where no authority trusted here says so.

    Parameters
    ----------
    signature_file : Path
        The ``.sig`` file, whose time stamp is read.
    signature : bytes
        The signature in it.
    roots : sequence of x509.Certificate
        The trusted authorities.

    Raises
    ------
    ExtraMissing
        If rfc3161-client is not installed.
    PathRefused, Malformed
        If the time stamp cannot be read.
    SignatureInvalid
        If it is about another signature.
    """
    client, file = _client(), stamp_file(signature_file)
    try:
        response = client.decode_timestamp_response(in_order(read_bytes(file, MAX_RESPONSE)))
        _check_imprint(response, signature)
        moment: datetime = response.tst_info.gen_time
    except ValueError as error:
        raise Malformed(f"{file} is no RFC 3161 time stamp: {error}") from None
    except SignatureInvalid as error:
        raise SignatureInvalid(f"{file}: {error}") from None
    try:
        client.VerifierBuilder(roots=list(roots)).build().verify_message(response, signature)
    except (ValueError, client.VerificationError):
        return None
    return moment


def in_order(answer: bytes) -> bytes:
    """Return an answer with its certificates in the order of DER, which ``rfc3161-client`` insists on.

    They are a SET OF, whose members DER sorts (X.690, 11.6); OpenSSL and public authorities send them leaf first. The
    signature does not cover them, so that their order says nothing. What is no such answer comes back as it is.
    """
    try:
        ((response, content),) = _elements(answer)
        status, (token, inside) = _elements(content)
        kind, (wrapping, wrapped) = _elements(inside)
        ((signed_data, members),) = _elements(wrapped)
        parts = _elements(members)
        # certificates [0] IMPLICIT CertificateSet (RFC 5652, section 5.1)
        sets = [sorted(_element(*one) for one in _elements(part)) if tag == 0xA0 else [part] for tag, part in parts]
    except ValueError:
        return answer
    members = b"".join(_element(tag, b"".join(part)) for (tag, _), part in zip(parts, sets, strict=True))
    inside = _element(*kind) + _element(wrapping, _element(signed_data, members))
    return _element(response, _element(*status) + _element(token, inside))


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return the DER elements that follow one another, as tag and content; raises `ValueError` for anything else."""
    elements, at = [], 0
    while at < len(data):
        head = data[at : at + 2]
        if len(head) < 2 or head[0] & 0x1F == 0x1F or head[1] in (0x80, 0xFF):
            raise ValueError("no DER")
        more = head[1] & 0x7F if head[1] & 0x80 else 0
        length = int.from_bytes(data[at + 2 : at + 2 + more]) if more else head[1]
        start = at + 2 + more
        at = start + length
        if at > len(data):
            raise ValueError("cut short")
        elements.append((head[0], data[start:at]))
    return elements


def _element(tag: int, content: bytes) -> bytes:
    """Return a DER element."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _check_imprint(response: Any, signature: bytes) -> None:
    if response.tst_info.message_imprint.message != hashlib.sha256(signature).digest():
        raise SignatureInvalid("the time stamp is about another signature")


def _client() -> Any:
    try:
        import rfc3161_client
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{error.name} is not installed; time stamps need it: pip install 'contraste[c2pa]'"
        ) from None
    return rfc3161_client

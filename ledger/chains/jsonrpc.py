"""One JSON-RPC endpoint: a request, its answer, and every way in which there is none.

Whatever comes back is checked before it is used; an answer that makes no sense is `ChainUnreachable`, one that says no
is `ChainRefused`. Each answer has a time limit as a whole, however slowly it drips, and a limit on its size; redirects
are not followed. A node that let one request time out is not asked again, so that it costs a run one time limit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ledger.chains.abi import revert_reason
from ledger.errors import ChainRefused, ChainUnreachable, requires_extra

if TYPE_CHECKING:
    from requests import Session

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer; the receipts of a full block have one or two million."""


class Node:
    """An endpoint, reached through web3's HTTP provider.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``. Path and query may hold an API key, so messages show the host only.
    timeout_s : float
        Limit for one whole answer.

    Raises
    ------
    ChainRefused
        If the URL is of another kind.
    ExtraMissing
        If the extra ``chain`` is not installed.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        try:
            parts = urlsplit(url)
            self.host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        except ValueError:
            raise ChainRefused("the URL of the chain is malformed; expected http(s)://host[:port]/...") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ChainRefused(f"the URL of the chain must start with http:// or https://, not {parts.scheme!r}")
        with requires_extra():
            from web3.providers import HTTPProvider
        # Retries would repeat eth_sendRawTransaction and triple the wait for a dead node.
        self._provider = HTTPProvider(
            url,
            request_kwargs={"timeout": timeout_s},
            session=_open_bounded_session(),
            exception_retry_configuration=None,
        )
        self._timeout_s = timeout_s
        self._hung = ""

    def request(self, method: str, *parameters: object) -> Any:
        """Return the result of a method, None where the node has none."""
        with requires_extra():
            from requests.exceptions import RequestException, Timeout
            from web3.exceptions import Web3Exception
            from web3.types import RPCEndpoint
        if self._hung:
            raise ChainUnreachable(self._hung)
        try:
            answer: Any = self._within(lambda: self._provider.make_request(RPCEndpoint(method), list(parameters)))
        except (RequestException, Web3Exception, TimeoutError, ValueError, RecursionError) as error:
            # Only the kind of error: its text may hold the whole URL.
            why = str(error) if isinstance(error, _BadAnswerError) else type(error).__name__
            text = f"the chain at {self.host} did not answer {method} ({why}); check the URL and the network"
            if isinstance(error, TimeoutError | Timeout):
                self._hung = text
            raise ChainUnreachable(text) from None
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise ChainUnreachable(f"{self.host} answered {method} with something that is not JSON-RPC")
        if answer.get("error") is not None:
            raise ChainRefused(f"the chain at {self.host} refused {method}: {_explain(answer['error'])}")
        return answer["result"]

    def _within(self, call: Callable[[], Any]) -> Any:
        """Return what a call returns or raise what it raises, `TimeoutError` when it takes too long.

        The time limit of the HTTP library starts anew with each byte, so that a dripping answer never ends.
        """
        done: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put((call(), None))
            except Exception as error:  # raised again below, in the thread that waits
                done.put((None, error))

        threading.Thread(target=run, daemon=True).start()
        try:
            result, error = done.get(timeout=self._timeout_s + 1.0)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return result

    def quantity(self, method: str, *parameters: object) -> int:
        """Return the number that a method answers."""
        answer = self.request(method, *parameters)
        try:
            return int(answer, 16)
        except (TypeError, ValueError):
            raise ChainUnreachable(f"{self.host} answered {method} with {str(answer)[:80]!r}, no number") from None

    def raw(self, answer: object) -> bytes:
        """Return the bytes of a hexadecimal answer."""
        try:
            return bytes.fromhex(str(answer).removeprefix("0x"))
        except ValueError:
            raise ChainUnreachable(f"{self.host} answered {str(answer)[:80]!r}, which is not hexadecimal") from None

    def text(self, answer: Any, field: str) -> str:
        """Return a hexadecimal field of an answer."""
        value = answer.get(field) if isinstance(answer, dict) else None
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ChainUnreachable(f"{self.host} sent no {field}; the node is not an EIP-1559 chain or is broken")
        return value

    def number(self, answer: Any, field: str) -> int:
        """Return a field of an answer that is a number."""
        value = self.text(answer, field)
        try:
            return int(value, 16)
        except ValueError:
            raise ChainUnreachable(f"{self.host} sent {value[:80]!r} as {field}, which is no number") from None


class _BadAnswerError(ValueError):
    """An answer that is not read to its end."""


def _open_bounded_session() -> Session:
    """Return an HTTP session that reads no more than `MAX_ANSWER` bytes and follows no redirect."""
    with requires_extra():
        import requests

    class Bounded(requests.Session):
        def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
            response = super().request(method, url, *args, **(options | {"stream": True, "allow_redirects": False}))
            if response.is_redirect:
                raise _BadAnswerError("it sends elsewhere, and redirects are not followed")
            content = bytearray()
            for part in response.iter_content(64 * 1024):
                content += part
                if len(content) > MAX_ANSWER:
                    raise _BadAnswerError(f"more than {MAX_ANSWER} bytes")
            response._content = bytes(content)
            return response

    return Bounded()


def _explain(error: object) -> str:
    """Return what a JSON-RPC error object says; revert data of our contracts gets its name."""
    if not isinstance(error, dict):
        return str(error)[:200]
    data = error.get("data")
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        try:
            return revert_reason(bytes.fromhex(data[2:]))
        except ValueError:
            pass
    return f"{error.get('message', 'no message')} (code {error.get('code')})"[:200]

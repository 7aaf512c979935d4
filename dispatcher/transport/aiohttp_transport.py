"""The transport on aiohttp: pooled keep-alive connections, the address guard at every connect, bounded answers."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from hookline.dispatcher.transport.aiohttp_protocol import STEPS, Connector, giving
from hookline.dispatcher.transport.contract import MAX_BODY, MAX_DETAIL, MAX_HEAD, Failure, Reply, Request, Result, Unsendable, header_lines
from hookline.dispatcher.transport.look_ups import LookUps
from hookline.dispatcher.transport.origins import MOST_URLS, OURS, Blocked, allowed_target
from hookline.dispatcher.transport.phases import CONNECT_S, LOWEST_STATUS, NO_STATUS, Keeper, Late, Phase, Steps, malformed
from hookline.dispatcher.transport.tls import READY_S, Identities, tls_context
from hookline.kernel.errors import CertificateError
from hookline.kernel.recent import Recent
from hookline.schemas.records import ErrorKind
from hookline.webhooks.urls import UrlPolicy, refusal

_DNS_TTL_S: Final = 10
_LARGE: Final = 1024 * 1024
_BROKEN: Final = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


class _Resolver(AbstractResolver):
    """Looks names up by `LookUps`; aiohttp keeps the answers."""

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy
        self._look_ups = LookUps[list[ResolveResult]]()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a name; raise `Blocked` when any of them must not be called."""
        found = await self._look_ups.find((host, port, family), lambda: _look_up(host, port, family), host)
        for entry in found:
            why = refusal(entry["host"], self._policy)
            if why:
                raise Blocked(f"{host} leads to {entry['host']} ({why})")
        return found

    async def close(self) -> None:
        """End the threads."""
        self._look_ups.close()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    answers = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [
        ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST)
        for kind, _type, protocol, _name, address in answers
    ]


class AiohttpTransport:
    """One session for all webhooks; connections are pooled by origin and TLS context: by whom was checked, and as whom we came."""

    def __init__(self, policy: UrlPolicy, tls: Callable[[], ssl.SSLContext] = tls_context) -> None:
        self._policy = policy
        self._identities = Identities(lambda: giving(tls()))
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._urls: Recent[str, URL] = Recent(MOST_URLS)

    async def start(self) -> None:
        """Open the session."""
        connector = Connector(
            resolver=_Resolver(self._policy),
            socket_factory=self._guarded_socket,
            # No limits here: lanes and budget bound the calls, and a limit per host would let one store's calls to a
            # shared host keep another's waiting.
            limit=0,
            limit_per_host=0,
            ttl_dns_cache=_DNS_TTL_S,
            keepalive_timeout=30,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=MAX_HEAD,
            max_field_size=MAX_HEAD,
        )

    async def stop(self) -> None:
        """Cancel what is under way and close the session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def send(self, request: Request, on_done: Callable[[Result], None]) -> None:
        """Send in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._send(request, on_done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, request: Request, on_done: Callable[[Result], None]) -> None:
        started, steps = time.monotonic(), Steps()
        STEPS.set(steps)
        try:
            result = await self._exchange(request, started, steps)
        except Exception as error:  # noqa: BLE001  # the contract: whatever happens, there is a result
            result = _failure(error, time.monotonic() - started, request.timeout_s, _to_blame(error, steps, started, request.timeout_s))
        on_done(result)

    async def _exchange(self, request: Request, started: float, steps: Steps) -> Result:
        if self._session is None:
            return Failure(ErrorKind.INTERNAL, "the transport is closed", 0.0)
        url = self._url(request.url)
        if not request.lines:
            header_lines(request.headers)  # aiohttp would send anything, as UTF-8
        context = (await self._identities.of(request.identity, min(READY_S, request.timeout_s))).context
        steps.ready_at = time.monotonic()
        left_s = max(0.001, request.timeout_s - (steps.ready_at - started))
        timeout = aiohttp.ClientTimeout(total=left_s, connect=min(CONNECT_S, request.timeout_s))
        # aiohttp warns of bytes above a mebibyte, not of a file of them.
        data = request.body if len(request.body) <= _LARGE else io.BytesIO(request.body)
        response = await self._session.post(url, data=data, headers=request.headers, allow_redirects=False, timeout=timeout, ssl=context)
        if response.status < LOWEST_STATUS:
            response.close()
            raise aiohttp.http.HttpProcessingError(message=NO_STATUS)
        body, whole = await _read(response)
        reply = Reply(response.status, _head(response), body, time.monotonic() - started, _retry_after(response))
        if whole:
            response.release()
        else:
            response.close()
        return reply

    def _url(self, text: str) -> URL:
        """Return the parsed URL, which may be called; to find that out costs more than a look-up."""
        found = self._urls.get(text)
        if found is None:
            allowed_target(text, self._policy)
            found = URL(text, encoded=True)
            self._urls.put(text, found)
        return found

    def _guarded_socket(self, info: Any) -> socket.socket:  # noqa: ANN401  # aiohttp's own tuple
        """Make the socket of one connect; every connect passes here, with the address really used."""
        family, kind, protocol, _name, address = info
        STEPS.get().phase = Phase.CONNECT
        why = refusal(str(address[0]), self._policy)
        if why:
            raise Blocked(f"{address[0]} must not be called ({why})")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Return up to 16 KiB of the body, and whether that was all; an answer that breaks off keeps its status."""
    body = bytearray()
    try:
        while len(body) <= MAX_BODY:
            part = await response.content.read(MAX_BODY + 1 - len(body))
            if not part:
                return bytes(body), True
            body += part
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError):
        # The status line decided already; the body is only evidence.
        return bytes(body[:MAX_BODY]), False
    return bytes(body[:MAX_BODY]), False


def _head(response: aiohttp.ClientResponse) -> str:
    lines = (f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in response.raw_headers)
    return "\n".join(lines)[:MAX_HEAD]


def _retry_after(response: aiohttp.ClientResponse) -> str:
    """Return the header as Latin-1, as all of the head: aiohttp would make of other bytes what no UTF-8 can say."""
    return next((value.decode("latin-1") for name, value in response.raw_headers if name.lower() == b"retry-after"), "")


def _failure(error: Exception, elapsed_s: float, timeout_s: float, phase: Phase | Keeper) -> Failure:
    kind, detail = _by_cause(error) or _by_kind(error, timeout_s, phase)
    return Failure(kind, detail[:MAX_DETAIL], elapsed_s)


def _to_blame(error: Exception, steps: Steps, started: float, timeout_s: float) -> Phase | Keeper:
    """Return what was waited for: the context, when the receiver had less than half of the time; a connect has its own bound."""
    kept = 2 * (steps.ready_at - started) >= timeout_s and not isinstance(error, aiohttp.ConnectionTimeoutError)
    return Keeper.READY if kept else steps.phase


def _by_cause(error: Exception) -> tuple[ErrorKind, str] | None:
    """Look behind aiohttp's error for what it does not tell apart, None when there is nothing of the kind."""
    for cause in _causes(error):
        match cause:
            case Blocked():
                return ErrorKind.BLOCKED, str(cause)
            case CertificateError():
                return ErrorKind.TLS, f"TLS: {cause.message}"
            case ssl.SSLError() if not isinstance(cause, aiohttp.ClientError):
                return ErrorKind.TLS, f"TLS: {getattr(cause, 'verify_message', '') or cause.reason or cause}"
            case OSError() if cause.errno in OURS:
                return ErrorKind.INTERNAL, f"Hookline could not send: {cause.strerror}"
    return None


def _by_kind(error: Exception, timeout_s: float, phase: Phase | Keeper) -> tuple[ErrorKind, str]:  # noqa: PLR0911  # one line per kind
    """Tell by aiohttp's own error; the order matters, since they inherit from each other."""
    match error:
        case Late():
            return error.phase.kind, str(error)
        case Unsendable():
            return ErrorKind.INTERNAL, f"Hookline could not send: {error}"
        case aiohttp.ConnectionTimeoutError():
            return ErrorKind.TIMEOUT, phase.late(min(CONNECT_S, timeout_s))
        case TimeoutError():
            return phase.kind, phase.late(timeout_s)
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return ErrorKind.DNS, f"the host name was not found: {_words(error)}"
        case aiohttp.ClientConnectorError() if not isinstance(error.os_error, _BROKEN):
            return ErrorKind.CONNECT, f"no connection: {_words(error)}"
        case aiohttp.ClientConnectorError():
            return ErrorKind.RESET, "the receiver closed the connection within the TLS handshake"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return ErrorKind.RESET, f"the receiver closed the connection before it answered: {_words(error)}"
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError() | aiohttp.http.HttpProcessingError():
            return ErrorKind.PROTOCOL, malformed(_words(error))
        case _:  # its words may hold the URL, and that a token
            return ErrorKind.INTERNAL, f"Hookline could not send: {type(error).__name__}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what is behind it."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__ or error.__context__


def _words(error: Exception) -> str:
    inner = getattr(error, "os_error", None) or error
    if isinstance(inner, OSError) and not isinstance(inner, socket.gaierror) and inner.errno:
        text = os.strerror(inner.errno)  # asyncio says "Connect call failed", and not why
    else:
        text = getattr(inner, "strerror", None) or getattr(inner, "message", None) or str(inner)
    return " ".join(str(text).split()).encode("utf-8", "replace").decode() or type(inner).__name__

"""A demo store's events over HTTP ingest: one by one while that is quick enough, in batches under load."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from hookline.kernel.errors import HooklineError, InputError, QueueFull, Unauthorized, Undelivered
from hookline.producers.demo_store.outlet import Report
from hookline.schemas.events import Event

PATH: Final = "/api/v1/events"
_WORKERS: Final = 8
_BATCH: Final = 50
_MOST_WAITING: Final = 2_000
_CONNECT_S: Final = 3.0
_TOTAL_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_JOIN_S: Final = 5.0
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_KEY_REMEDY: Final = "Make a key for this store with `hookline api-keys create --store …` and pass it with --key or HOOKLINE_API_KEY."


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event on its way, and whom to tell."""

    event: Event
    report: Report

    def body(self) -> dict[str, Any]:
        """Return the event as ingest takes it; the store's name makes a key of another store fail."""
        event = self.event
        return {"type": event.type, "data": event.data, "id": event.id, "occurred_at": event.occurred_at, "store_id": event.store_id}


@dataclass(frozen=True, slots=True)
class Answer:
    """What ingest says of one event; status 0: nothing, the connection failed."""

    status: int
    detail: str = ""
    field: str = ""


class HttpOutlet:
    """Posts from an event loop in a thread of its own; what ingest cannot take now is posted again, under its id."""

    def __init__(self, url: str, key: str) -> None:
        self._url = _checked(url) / PATH[1:]
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._parcels: deque[Parcel] = deque()
        self._waiting = 0
        self._counting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = asyncio.Event()
        self._woken = False
        self._ended = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; raise `InputError` when nobody listens at the URL."""
        try:
            socket.create_connection((self._url.host or "", self._url.port or 0), _CONNECT_S).close()
        except OSError as error:
            raise InputError(
                f"Nobody answers at {self._url.origin()}: {error}",
                field="url",
                remedy="Start `hookline ingest` or `hookline up`, or correct --url.",
            ) from error
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="demo-store-http", daemon=True)
        self._thread.start()
        ready.wait()

    def send(self, event: Event, report: Report) -> None:
        """Queue an event; raise `QueueFull` when too many wait for ingest."""
        if self._waiting >= _MOST_WAITING or self._loop is None:
            raise QueueFull(f"{_MOST_WAITING:,} events wait for {self._url.origin()}", remedy="Wait and try again.")
        with self._counting:
            self._waiting += 1
        self._parcels.append(Parcel(event, report))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._filled.set)

    def waiting(self) -> int:
        """Return how many events ingest has not answered for."""
        return self._waiting

    def close(self) -> None:
        """Stop posting; what was not answered is reported as `Undelivered`."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_JOIN_S)
        self._loop = None

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=_CONNECT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            workers = [asyncio.create_task(self._work(session)) for _ in range(_WORKERS)]
            ready.set()
            await self._ended.wait()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        self._tell(self._parcels, _undelivered("The run ended before ingest was asked"))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            parcels = [self._parcels.popleft() for _ in range(min(_BATCH, len(self._parcels)))]
            if parcels:
                await self._deliver(session, parcels)
            else:
                self._woken = False
                self._filled.clear()
                if not self._parcels:  # one may have come between the look and the clearing
                    await self._filled.wait()

    async def _deliver(self, session: aiohttp.ClientSession, parcels: list[Parcel]) -> None:
        """Post until ingest has an answer for each that is not "later"."""
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                answers, after_s = await self._post(session, parcels)
                parcels = self._sorted(parcels, answers)
                if not parcels:
                    return
                await asyncio.sleep(min(max(pause_s, after_s), _LONGEST_PAUSE_S))
                pause_s *= 2
        except asyncio.CancelledError:
            self._tell(parcels, _undelivered("The run ended before ingest answered"))
            raise

    async def _post(self, session: aiohttp.ClientSession, parcels: Sequence[Parcel]) -> tuple[list[Answer], float]:
        """Return ingest's answer for each parcel, and the seconds it asks to wait."""
        bodies = [parcel.body() for parcel in parcels]
        data = orjson.dumps(bodies[0] if len(bodies) == 1 else {"events": bodies})
        try:
            async with session.post(self._url, data=data, headers=self._headers, allow_redirects=False) as response:
                body = await response.read()
                return _answers(response.status, body, len(parcels)), _seconds(response.headers.get("retry-after", ""))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return [Answer(0)] * len(parcels), 0.0

    def _sorted(self, parcels: Sequence[Parcel], answers: Sequence[Answer]) -> list[Parcel]:
        """Report what is decided and return what is to be posted again."""
        later: list[Parcel] = []
        for parcel, answer in zip(parcels, answers, strict=True):
            if answer.status in _AGAIN or not answer.status:
                later.append(parcel)
            else:
                self._tell([parcel], _error(answer))
        return later

    def _tell(self, parcels: Sequence[Parcel] | deque[Parcel], error: HooklineError | None) -> None:
        for parcel in parcels:
            parcel.report(error)
        with self._counting:
            self._waiting -= len(parcels)


def _checked(url: str) -> URL:
    found = URL(url)
    if found.scheme not in {"http", "https"} or not found.host:
        raise InputError(f"{url[:100]!r} is no URL of ingest", field="url", remedy="Such as http://127.0.0.1:8420")
    return found.origin()


def _answers(status: int, body: bytes, count: int) -> list[Answer]:
    """Return one answer per event: the whole request's for each, or each its own of a batch."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = {}
    results = found.get("results") if isinstance(found, dict) else None
    if isinstance(results, list) and len(results) == count:
        return [_answer(result, int(result["status"])) for result in results]
    return [_answer(found if isinstance(found, dict) else {}, status)] * count


def _answer(found: dict[str, Any], status: int) -> Answer:
    return Answer(status, str(found.get("detail", "")), str(found.get("field", "")))


def _error(answer: Answer) -> HooklineError | None:
    if answer.status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        return None
    said = answer.detail or f"it answered {answer.status}"
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unauthorized(f"Ingest refuses the API key: {said}", field="key", remedy=_KEY_REMEDY)
    return InputError(f"Ingest refuses an event: {said}", field=answer.field, remedy="Does --url lead to `hookline ingest`?")


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _undelivered(message: str) -> Undelivered:
    return Undelivered(message, remedy="It may have arrived: publish again with the same id.")

"""`POST /api/v1/events`: one event or a batch, answered once Kafka has them on every in-sync replica."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web

from hookline.kernel.errors import HooklineError, InputError
from hookline.kernel.log import logger
from hookline.kernel.tracing import Span, Tracing
from hookline.producers.event_record import TRACEPARENT
from hookline.producers.ingest import answers
from hookline.producers.ingest.acceptance import Acceptance, Sender, Verdict
from hookline.producers.ingest.body import Bodies
from hookline.producers.ingest.door import Door
from hookline.producers.ingest.errors import problem_of, refused
from hookline.producers.ingest.remembered import Remembered, digest_of
from hookline.producers.ingest.strict_json import parse

PATH: Final = "/api/v1/events"
KEY_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
_BREATH: Final = 20
_DRAIN_POLL_S: Final = 0.02
_ENVELOPE: Final = 'Send one event {"type": ..., "data": {...}}, or {"events": [...]}.'
_log = logger("ingest")


class Tally:
    """The verdicts of one request in the order of its events, and one future for all of them."""

    def __init__(self, count: int) -> None:
        self._verdicts: list[Verdict] = [""] * count
        self._left = count
        self._done: asyncio.Future[list[Verdict]] = asyncio.get_running_loop().create_future()

    def put(self, index: int, verdict: Verdict) -> None:
        """Note the verdict on one event."""
        self._verdicts[index] = verdict
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(self._verdicts)

    async def all(self) -> list[Verdict]:
        """Return the verdicts once all are there."""
        return await self._done


class IngestApp:
    """Answers requests on the event loop; waits only for the body and for Kafka."""

    def __init__(
        self,
        door: Door,
        bodies: Bodies,
        acceptance: Acceptance,
        remembered: Remembered,
        *,
        max_batch: int,
        large: int,
        tracing: Tracing | None = None,
    ) -> None:
        self._door = door
        self._bodies = bodies
        self._acceptance = acceptance
        self._remembered = remembered
        self._max_batch = max_batch
        self._large = large
        self._tracing = tracing
        self._under_way = 0
        self._draining = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return the answer to any request."""
        self._under_way += 1
        try:
            response = await self._answer_or_problem(request)
        finally:
            self._under_way -= 1
        if self._draining or not request.content.is_eof():
            response.force_close()  # what is left of the body would be taken for the next request
        return response

    async def drain(self, timeout_s: float) -> int:
        """Let requests under way end and each be the last of its connection; return how many are left after `timeout_s`.

        aiohttp's own shutdown drops what arrives from then on, also the rest of a body that is half there.
        """
        self._draining = True
        deadline = time.monotonic() + timeout_s
        while self._under_way and time.monotonic() < deadline:  # noqa: ASYNC110  # simpler than an event per request
            await asyncio.sleep(_DRAIN_POLL_S)
        return self._under_way

    async def _answer_or_problem(self, request: web.BaseRequest) -> web.Response:
        try:
            return await self._answer(request)
        except HooklineError as error:
            found = problem_of(error)
            if found.code == "internal_error":
                _log.error("ingest.failed", error=f"{type(error).__name__}: {error.message}")
            return answers.problem(found)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        _route(request)
        api_key = self._door.admit(request)
        key = _idempotency_key(request)
        body = await self._bodies.read(request)
        value = parse(body)
        if not isinstance(value, dict):
            raise InputError("The body must be an object", remedy=_ENVELOPE)
        sender = Sender(
            store_id=api_key.store_id,
            key=key,
            traceparent=_traceparent(request),
            batch="events" in value,
            large=len(body) > self._large,
        )
        return await (self._accept(value, sender) if self._tracing is None else self._traced(self._tracing, value, sender))

    async def _accept(self, value: dict[str, Any], sender: Sender) -> web.Response:
        verdicts = await self._once(value, sender) if sender.key else await self._take(value, sender)
        return answers.batch(verdicts) if sender.batch else answers.one(verdicts[0])

    async def _traced(self, tracing: Tracing, value: dict[str, Any], sender: Sender) -> web.Response:
        """Accept as a span, under which the events go on."""
        attributes = {"hookline.store_id": sender.store_id, "http.request.method": hdrs.METH_POST}
        span = tracing.serve("publish", sender.traceparent, lambda: attributes)
        status, error = HTTPStatus.INTERNAL_SERVER_ERROR.value, "internal_error"
        try:
            response = await self._accept(value, replace(sender, traceparent=span.traceparent))
            status, error = response.status, ""
        except HooklineError as refusal:
            found = problem_of(refusal)
            status, error = found.status, found.code
            raise
        else:
            return response
        finally:
            _ended(span, status, error)

    async def _once(self, value: dict[str, Any], sender: Sender) -> list[Verdict]:
        """Take what an Idempotency-Key stands for; raise `Refused` when that was another body."""
        name, digest = f"{sender.store_id}\0\0{sender.key}", digest_of(value)
        self._remembered.knows(name, digest, KEY_HEADER)
        verdicts = await self._take(value, sender)
        if any(isinstance(verdict, str) for verdict in verdicts):
            self._remembered.keep(name, digest)
        return verdicts

    async def _take(self, value: dict[str, Any], sender: Sender) -> list[Verdict]:
        items = self._items(value) if sender.batch else [value]
        tally = Tally(len(items))
        for index, item in enumerate(items):
            if index % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)  # other requests are not held up by a large batch
            self._acceptance.take(item, sender, index, partial(tally.put, index))
        return await tally.all()

    def _items(self, value: dict[str, Any]) -> list[Any]:
        items = value["events"]
        if len(value) > 1:
            name = next(name for name in value if name != "events")
            raise InputError(f"{name[:60]} is no field of a batch", field=name[:60], remedy=_ENVELOPE)
        if not isinstance(items, list) or not items:
            raise InputError(f"events must be a list of 1 to {self._max_batch} events", field="events")
        if len(items) > self._max_batch:
            message = f"The batch has {len(items):,} events, the limit is {self._max_batch}"
            raise refused("batch_too_large", message, field="events", remedy="Send them in several requests.")
        return items


def _route(request: web.BaseRequest) -> None:
    path = request.raw_path
    if path != PATH and path.partition("?")[0] != PATH:
        raise refused("not_found", "There is nothing here", remedy=f"Events go to POST {PATH}.")
    if request.method != hdrs.METH_POST:
        raise refused("method_not_allowed", f"{PATH} takes POST only", remedy="Use POST.")


def _ended(span: Span, status: int, error: str) -> None:
    failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    span.end({"http.response.status_code": status}, (error or str(status)) if failed else "")


def _idempotency_key(request: web.BaseRequest) -> str:
    key: str | None = request.headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.match(key):
        raise InputError(f"{KEY_HEADER} must be 1 to 128 visible ASCII characters", field=KEY_HEADER)
    return key


def _traceparent(request: web.BaseRequest) -> str:
    """Return the trace to go on with, or an empty text: a broken one is dropped, as the standard wants it."""
    found: str = request.headers.get("traceparent", "")
    return found if found and TRACEPARENT.match(found) else ""

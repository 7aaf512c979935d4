"""`POST /api/v1/events`: one event or a batch, answered once Kafka has them on every in-sync replica."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from hookline.kernel.errors import HooklineError, InputError
from hookline.kernel.log import logger
from hookline.kernel.tracing import Span, Tracing
from hookline.kernel.values import value
from hookline.producers.event_record import TRACEPARENT
from hookline.producers.ingest import answers
from hookline.producers.ingest.acceptance import Acceptance, Sender, Verdict
from hookline.producers.ingest.body import Bodies
from hookline.producers.ingest.door import Door, NotKnownYet
from hookline.producers.ingest.errors import Problem, problem_of, refused
from hookline.producers.ingest.messages import Answer, Request
from hookline.producers.ingest.remembered import Remembered, digest_of
from hookline.producers.ingest.strict_json import parse

PATH: Final = "/api/v1/events"
KEY_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
_METHOD: Final = "POST"
_BREATH: Final = 20
_ENVELOPE: Final = 'Send one event {"type": ..., "data": {...}}, or {"events": [...]}.'
Respond: TypeAlias = Callable[[Answer], None]
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


@value()
class Admitted:
    """What a request's head says once it is let in."""

    store_id: str
    key: str
    traceparent: str
    packed: bool


class IngestApp:
    """Answers requests on the event loop; waits only for Kafka."""

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
        self._under_way: set[asyncio.Task[None]] = set()

    def admit(self, request: Request) -> None:
        """Look at a request's head: sets `admitted`, or `problem`, or neither yet when the API key may be new."""
        try:
            request.admitted = self._admitted(request, caught_up=False)
        except NotKnownYet:
            return
        except Exception as error:  # noqa: BLE001  # as in `answer`
            request.problem = _problem(error)

    async def admit_late(self, request: Request) -> None:
        """Learn of new API keys, then set `admitted` or `problem`."""
        try:
            await self._door.catch_up()
            request.admitted = self._admitted(request, caught_up=True)
        except Exception as error:  # noqa: BLE001  # as in `answer`
            request.problem = _problem(error)

    def answer(self, request: Request, respond: Respond) -> None:
        """Answer a request that is whole; `respond` is called once, at once or later. Raises nothing."""
        try:
            self._answer(request.admitted, request.body, respond)
        except Exception as error:  # noqa: BLE001  # one request's fault must not cost the others their connections
            respond(answers.problem(_problem(error)))

    def _admitted(self, request: Request, *, caught_up: bool) -> Admitted:
        _route(request)
        api_key = self._door.admit(request, caught_up=caught_up)
        key = _idempotency_key(request)
        return Admitted(api_key.store_id, key, _traceparent(request), self._bodies.announced(request.headers))

    def _answer(self, admitted: Admitted, raw: bytearray, respond: Respond) -> None:
        body = self._bodies.whole(bytes(raw), packed=admitted.packed)
        value = parse(body)
        if not isinstance(value, dict):
            raise InputError("The body must be an object", remedy=_ENVELOPE)
        sender = Sender(
            store_id=admitted.store_id,
            key=admitted.key,
            traceparent=admitted.traceparent,
            batch="events" in value,
            large=len(body) > self._large,
        )
        if sender.batch or sender.key or self._tracing is not None:
            task = asyncio.create_task(self._in_steps(value, sender, respond))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        else:  # nearly all requests: no task, no future
            self._acceptance.take(value, sender, 0, lambda verdict: respond(answers.one(verdict)))

    async def _in_steps(self, value: dict[str, Any], sender: Sender, respond: Respond) -> None:
        tracing = self._tracing
        try:
            respond(await (self._accept(value, sender) if tracing is None else self._traced(tracing, value, sender)))
        except Exception as error:  # noqa: BLE001  # as in `answer`
            respond(answers.problem(_problem(error)))

    async def _accept(self, value: dict[str, Any], sender: Sender) -> Answer:
        verdicts = await self._once(value, sender) if sender.key else await self._take(value, sender)
        return answers.batch(verdicts) if sender.batch else answers.one(verdicts[0])

    async def _traced(self, tracing: Tracing, value: dict[str, Any], sender: Sender) -> Answer:
        """Accept as a span, under which the events go on."""
        attributes = {"hookline.store_id": sender.store_id, "http.request.method": _METHOD}
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
            raise InputError(f"events must be a list of 1 to {self._max_batch} events", field="events", remedy=_ENVELOPE)
        if len(items) > self._max_batch:
            message = f"The batch has {len(items):,} events, the limit is {self._max_batch}"
            raise refused("batch_too_large", message, field="events", remedy="Send them in several requests.")
        return items


def _problem(error: Exception) -> Problem:
    """Return what the client is told of an error, and log what is our fault."""
    found = problem_of(error if isinstance(error, HooklineError) else HooklineError("unexpected"))
    if found.code == "internal_error":
        trace = None if isinstance(error, HooklineError) else error
        _log.error("ingest.failed", error=f"{type(error).__name__}: {error}", exc_info=trace)
    return found


def _route(request: Request) -> None:
    path = request.path
    if path != PATH and path.partition("?")[0] != PATH:
        raise refused("not_found", "There is nothing here", remedy=f"Events go to POST {PATH}.")
    if request.method != _METHOD:
        raise refused("method_not_allowed", f"{PATH} takes POST only", remedy="Use POST.")


def _ended(span: Span, status: int, error: str) -> None:
    failed = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    span.end({"http.response.status_code": status}, (error or str(status)) if failed else "")


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not _KEY.match(key):
        raise InputError(f"{KEY_HEADER} must be 1 to 128 visible ASCII characters", field=KEY_HEADER, remedy="A fresh UUID is a good one.")
    return key


def _traceparent(request: Request) -> str:
    """Return the trace to go on with, or an empty text: a broken one is dropped, as the standard wants it."""
    found = request.headers.get("traceparent", "")
    return found if found and TRACEPARENT.match(found) else ""

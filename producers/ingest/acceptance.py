"""One event from JSON to its outcome: made, recognised when it was sent before, handed to Kafka, remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson

from hookline.kernel.errors import HooklineError, InputError
from hookline.kernel.values import value
from hookline.producers.ingest import metrics
from hookline.producers.ingest.errors import Problem, Refused, problem_of, refused
from hookline.producers.ingest.gate import Gate
from hookline.producers.ingest.reader import EventReader
from hookline.producers.ingest.remembered import Remembered, UnderWay, digest_of
from hookline.producers.ingest.strict_json import refuse_deep
from hookline.producers.publisher import Outcome, Published
from hookline.schemas.events import Event

Verdict: TypeAlias = str | Problem
"""The id of an event that Kafka has confirmed, or why it was not taken."""
Tell: TypeAlias = Callable[[Verdict], None]


@value(kw_only=True)
class Sender:
    """What the events of one request share.

    `key` is the Idempotency-Key, or empty; `large` that the body is so large that one event may be over its limit.
    """

    store_id: str
    key: str
    traceparent: str
    batch: bool
    large: bool


class Acceptance:
    """Takes events; used from the event loop only."""

    def __init__(self, reader: EventReader, gate: Gate, remembered: Remembered, max_event_bytes: int) -> None:
        self._reader = reader
        self._gate = gate
        self._remembered = remembered
        self._under_way = UnderWay()
        self._most = max_event_bytes

    def take(self, item: Any, sender: Sender, index: int, tell: Tell) -> None:  # noqa: ANN401  # JSON
        """Take one event of a request; `tell` is called once with the verdict, at once or later. Raises nothing."""
        event_id, path = "", f"events[{index}]" if sender.batch else ""
        try:
            if sender.large:
                self._refuse_large(item)
            event = self._reader.event(item, sender.store_id, sender.key, index)
            event_id = event.id
            if sender.key or "id" in item:
                self._take_named(item, event, sender, tell)
            else:
                self._gate.submit(event, sender.traceparent, lambda outcome: tell(verdict(outcome, event_id)))
        except InputError as error:
            tell(problem_of(_deeper(item) or error, prefix=path))
        except HooklineError as error:
            tell(problem_of(error, event_id=event_id, prefix=path))

    def _refuse_large(self, item: object) -> None:
        size = len(orjson.dumps(item))
        if size > self._most:
            message = f"The event has {size:,} bytes, the limit is {self._most:,}"
            raise refused("payload_too_large", message, remedy="Send ids in place of long texts.")

    def _take_named(self, item: dict[str, Any], event: Event, sender: Sender, tell: Tell) -> None:
        """Take an event whose id the client knows, once."""
        digest, name = digest_of(item), f"{event.store_id}\0{event.id}"
        field = "id" if "id" in item else "Idempotency-Key"
        if self._remembered.knows(name, digest, field):
            metrics.REPEATED.inc()
            tell(event.id)
            return
        if self._under_way.join(name, digest, tell, field):
            metrics.REPEATED.inc()
            return

        def settled(outcome: Outcome) -> None:
            found = verdict(outcome, event.id)
            if isinstance(found, str):
                self._remembered.keep(name, digest)
            tell(found)
            self._under_way.end(name, found)

        try:
            self._gate.submit(event, sender.traceparent, settled)
        except HooklineError as error:
            self._under_way.end(name, problem_of(error, event_id=event.id))
            raise


def verdict(outcome: Outcome, event_id: str) -> Verdict:
    """Return what a client is told of Kafka's answer."""
    return event_id if isinstance(outcome, Published) else problem_of(outcome, event_id=event_id)


def _deeper(item: object) -> Refused | None:
    """Return the refusal of a refused event that is nested too deep: that is what is wrong with it then."""
    try:
        refuse_deep(orjson.dumps(item))
    except Refused as error:
        return error
    return None

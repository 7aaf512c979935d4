"""Events that go on being published while faults are on, through three doors: the library, ingest, the console.

Each door publishes as a store would: under the event's own id, again and again until it is confirmed.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import BrokerError
from hookline.producers.publisher import Publisher
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import Event, example_event
from tests.chaos.history import History, Publish

STORE: Final = "demo"
LIBRARY_STORE: Final = "library"
TYPES: Final = ("order.created", "product.changed", "newsletter.signed_up", "cart.item_added")
_AGAIN_S: Final = 0.2
_TIMEOUT_S: Final = 12.0
Send = Callable[[Publish], bool]


class HttpDoor:
    """Publishes over HTTP; one connection, one thread."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url).netloc
        self._key = key
        self._connection: http.client.HTTPConnection | None = None
        self.answers: dict[int, int] = {}
        self.without_advice = 0

    def send(self, publish: Publish) -> bool:
        """Return whether the event was taken; anything else means: not for certain."""
        try:
            status = self._post(publish)
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        self.answers[status] = self.answers.get(status, 0) + 1
        return status == 202

    def close(self) -> None:
        """Close the connection; the next event opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, publish: Publish) -> int:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        body = {"id": publish.event_id, "type": publish.type, "data": event_type(publish.type).example}
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        self._connection.request("POST", "/api/v1/events", json.dumps(body), headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status == 503 and not answer.headers.get("Retry-After"):
            self.without_advice += 1
        return answer.status


class LibraryDoor:
    """Publishes by the library."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._publisher = Publisher.connect(environ=environ)

    def send(self, publish: Publish) -> bool:
        """Return whether Kafka confirmed the event."""
        event = example_event(publish.type, publish.store_id, clock=SystemClock(), id=publish.event_id)
        try:
            self._publisher.publish(event, timeout_s=20)
        except BrokerError:
            return False
        return True

    def publish(self, store_id: str, types: tuple[str, ...], count: int, history: History) -> list[str]:
        """Publish some events at once for a store and return their ids; raise `BrokerError`."""
        made = [example_event(types[n % len(types)], store_id, clock=SystemClock()) for n in range(count)]
        for event in made:
            history.publishes[event.id] = Publish(event.id, store_id, event.type, "library", time.time())
        self._publisher.publish_many(made)
        for event in made:
            history.publishes[event.id].confirmed_at = time.time()
        return [event.id for event in made]

    def send_off(self, event: Event) -> None:
        """Hand an event over without waiting, and without counting on it; raise `BrokerError`."""
        self._publisher.send(event, lambda _outcome: None)

    def close(self) -> None:
        """Close the publisher."""
        with suppress(BrokerError):
            self._publisher.close(5)


class Load:
    """Publishes from one thread a door while it is on; `rate` is events a second of all doors together."""

    def __init__(self, doors: Mapping[str, tuple[str, Send]], rate: float, history: History, seed: int) -> None:
        self._pause_s = len(doors) / rate
        self._history = history
        self._on = threading.Event()
        self._ended = threading.Event()
        self._busy: dict[str, Publish | None] = dict.fromkeys(doors)
        self._numbers = random.Random(seed)
        self._run_id = f"{self._numbers.getrandbits(32):08x}"
        self._threads = [threading.Thread(target=self._run, args=(name, *door), daemon=True) for name, door in doors.items()]

    def start(self) -> None:
        """Start the threads; nothing is published until `on`."""
        for thread in self._threads:
            thread.start()

    def on(self) -> None:
        """Publish."""
        self._on.set()

    def off(self) -> None:
        """Begin no more events; those in hand are tried until they are confirmed."""
        self._on.clear()

    @property
    def idle(self) -> bool:
        """Whether no event is in hand."""
        return not any(self._busy.values())

    def stop(self) -> None:
        """End the threads."""
        self._ended.set()
        self._on.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S + 10)

    def _run(self, door: str, store_id: str, send: Send) -> None:
        numbers, count = random.Random(f"{self._run_id}{door}"), 0
        while not self._ended.is_set():
            self._on.wait(0.5)
            if not self._on.is_set() or self._ended.is_set():
                continue
            count += 1
            publish = Publish(f"evt_{self._run_id}_{door}_{count}", store_id, numbers.choice(TYPES), door, time.time())
            self._busy[door] = self._history.publishes[publish.event_id] = publish
            self._insist(publish, send)
            self._busy[door] = None
            time.sleep(numbers.expovariate(1 / self._pause_s) if self._pause_s else 0)

    def _insist(self, publish: Publish, send: Send) -> None:
        while not self._ended.is_set():
            if send(publish):
                publish.confirmed_at = time.time()
                return
            time.sleep(_AGAIN_S)

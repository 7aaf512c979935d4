"""`python -m tests.chaos overload`: ingest beyond its capacity, and a receiver at a tenth of what arrives for it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from hookline.kernel.clock import SystemClock
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import example_event
from tests.chaos.cast import ONE
from tests.chaos.history import Publish, Role
from tests.chaos.load import STORE
from tests.chaos.memory import now_mb
from tests.chaos.world import KAFKA, World, world

_TYPE: Final = "cart.item_added"
_CLIENTS: Final = 24
_BATCH: Final = 100
_FLOOD_S: Final = 12.0
_ARRIVING: Final = 100.0
_BACK_S: Final = 10.0
_INGEST_MORE_MB: Final = 200.0
"""A thousand events in flight of at most 64 KiB, and as much again for what is read and answered."""
_GROWTH: Final = 1.25
"""Of memory beside a slow receiver, once it has settled: what waits for it does not wait in memory."""


@dataclass(slots=True)
class Flood:
    """Clients that post batches as fast as they are answered; what each was told is counted, and ids that got 202 are kept."""

    url: str
    key: str
    taken: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    without_advice: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seconds: float) -> None:
        """Flood for a while."""
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._client, args=(number, until), daemon=True) for number in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 30)

    def _client(self, number: int, until: float) -> None:
        connection, count = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30), 0
        while time.monotonic() < until:
            ids = [f"flood-{number}-{(count := count + 1)}" for _ in range(_BATCH)]
            self._post(connection, ids)

    def _post(self, connection: http.client.HTTPConnection, ids: list[str]) -> None:
        events = [{"id": one, "type": _TYPE, "data": event_type(_TYPE).example} for one in ids]
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/api/v1/events", json.dumps({"events": events}), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return
        self._note(answer.status, bool(answer.headers.get("Retry-After")), body)

    def _note(self, status: int, advised: bool, body: bytes) -> None:
        with self._lock:
            self.answers[status] += 1
            self.without_advice += status == 503 and not advised
            if status in {202, 207}:
                self.taken |= {one["id"] for one in json.loads(body)["results"] if one["status"] == 202}


def measure(seed: int, seconds: float) -> dict[str, Any]:
    """Return what ingest answered beyond its capacity, whether its word held, and how memory stood beside a slow receiver."""
    with world(seed, HOOKLINE_INGEST_IN_FLIGHT="1000") as found:
        return {**_flooded(found), **_slow(found, seconds)}


def missed(found: Mapping[str, Any]) -> list[str]:
    """Return what a measurement found that must not be: ingest refuses in time and keeps its word, and memory is bounded."""
    before, most = found["ingest_mb"]
    third, later = found["dispatchers_mb_after_a_third"], found["dispatchers_mb_at_most_afterwards"]
    wrong = {
        "ingest never answered 503": not found["answers"].get("503"),
        f"{found['503_without_retry_after']} answers 503 had no Retry-After": found["503_without_retry_after"],
        "no event was taken": not found["events_taken"],
        f"{found['taken_and_not_on_kafka']} events were taken and are not on Kafka": found["taken_and_not_on_kafka"],
        f"the first 202 afterwards took {found['seconds_until_a_202_afterwards']} s": found["seconds_until_a_202_afterwards"] > _BACK_S,
        f"ingest grew from {before} to {most} MB": most > before + _INGEST_MORE_MB,
        f"the dispatchers grew from {third} to {later} MB": later > third * _GROWTH,
    }
    return [text for text, so in wrong.items() if so]


def _flooded(found: World) -> dict[str, Any]:
    """Flood ingest, and take Kafka away for a moment in the middle of it."""
    flood = Flood(found.environ["HOOKLINE_INGEST_URL"], found.stack.api_key)
    before = now_mb(found.pid("ingest"))
    runner = threading.Thread(target=flood.run, args=(_FLOOD_S,), daemon=True)
    runner.start()
    found.sleep(_FLOOD_S / 3)
    found.freeze(KAFKA)
    found.sleep(4.0)
    found.thaw(KAFKA)
    runner.join()
    most = now_mb(found.pid("ingest"))
    back_s = _back_s(found)
    found.reader.catch_up(120)
    on_kafka = {copy.event_id for copy in found.history.copies}
    return {
        "answers": {str(status): count for status, count in sorted(flood.answers.items())},
        "503_without_retry_after": flood.without_advice,
        "events_taken": len(flood.taken),
        "taken_and_not_on_kafka": len(flood.taken - on_kafka),
        "seconds_until_a_202_afterwards": round(back_s, 1),
        "ingest_mb": [round(before), round(most)],
    }


def _back_s(found: World) -> float:
    began = time.monotonic()
    publish = Publish("after-the-flood", STORE, _TYPE, "ingest", time.time())
    found.wait(lambda: found.ingest.send(publish), 60)
    return time.monotonic() - began


def _slow(found: World, seconds: float) -> dict[str, Any]:
    """Publish for a receiver that takes a tenth of it; return the dispatchers' memory after a third of the time and at the end."""
    role = found.cast.engage(Role(name="tenth", store_id="tenth", types=(_TYPE,), receiver=ONE, may_wait=True), "tenth")
    samples: list[float] = []
    began, number = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        found.library.send_off(example_event(_TYPE, role.store_id, clock=SystemClock()))
        number += 1
        if number % int(_ARRIVING * 2) == 0:
            samples.append(sum(now_mb(found.pid(name)) for name in found.dispatchers))
        time.sleep(max(0.0, number / _ARRIVING - passed))
    found.look()
    third = samples[len(samples) // 3 :] or [0.0]
    return {
        "slow_receiver_s": seconds,
        "published_to_it": number,
        "calls_it_got": sum(1 for call in found.history.calls if call.role == "tenth"),
        "dispatchers_mb_after_a_third": round(third[0]),
        "dispatchers_mb_at_most_afterwards": round(max(third)),
        "dispatchers_mb_at_the_end": round(third[-1]),
    }

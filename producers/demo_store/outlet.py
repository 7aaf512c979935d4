"""Where a demo store's events go: the port that a run needs, and Kafka behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError, HooklineError, QueueFull, Undelivered
from hookline.producers.publisher import Outcome, Published, Publisher
from hookline.schemas.events import Event
from hookline.schemas.topics import Topics

Report: TypeAlias = Callable[[HooklineError | None], None]
"""Called once per event, from any thread: None when it is certainly published."""

# More than this in flight means that Kafka or ingest does not keep up: the shop waits.
MOST_WAITING: Final = 20_000
_BROKER_S: Final = 5.0
_LINGER: Final = "HOOKLINE_PUBLISHER_LINGER_MS"
_BULK_RATE: Final = 500.0


class Outlet(Protocol):
    """Takes events; `send` and `close` are called from one thread."""

    def send(self, event: Event, report: Report) -> None:
        """Hand an event over without waiting; raise `QueueFull` when there is no room now, then `report` is not called."""

    def waiting(self) -> int:
        """Return how many events were handed over and not reported yet."""

    def close(self) -> None:
        """Give up what is still waiting, which is reported as `Undelivered`."""


class KafkaOutlet:
    """Publishes through the `Publisher` library."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    @classmethod
    def connect(cls, environ: Mapping[str, str], rate: float, stopped: Callable[[], bool] = bool) -> KafkaOutlet:
        """Return an outlet over the environment's cluster; raise the `HooklineError` that says what is missing there."""
        config = load(kafka.KafkaConfig, environ)
        kafka.wait_for_broker(config, stopped, timeout_s=_BROKER_S)
        client = kafka.admin(config)
        for topic in Topics(config.topic_prefix).all_events():
            if not kafka.partitions_of(client, topic):
                raise BrokerError(f"Topic {topic} does not exist", remedy="Create the topics with `hookline topics create`.")
        linger = {_LINGER: "5"} if rate >= _BULK_RATE else {}
        return cls(Publisher.connect(environ={**linger, **environ}))

    def send(self, event: Event, report: Report) -> None:
        """Produce an event; raise `QueueFull`, or what `Publisher.send` raises for an event that is wrong."""
        if self._publisher.waiting >= MOST_WAITING:
            raise QueueFull(f"{MOST_WAITING:,} events wait for Kafka", remedy="Wait and try again.")

        def done(outcome: Outcome) -> None:
            report(None if isinstance(outcome, Published) else outcome)

        self._publisher.send(event, done)

    def waiting(self) -> int:
        """Return how many events Kafka has not confirmed yet."""
        return self._publisher.waiting

    def close(self) -> None:
        """Close the publisher."""
        try:
            self._publisher.close(timeout_s=0.5)
        except Undelivered:
            return  # each event that is left has been reported

"""What only the brokers know, asked beside the work: do they answer, how far behind are we, is the registry whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public by its documentation

from hookline.dispatcher import metrics
from hookline.dispatcher.intake import Intake
from hookline.dispatcher.shares import Share
from hookline.kernel import kafka
from hookline.kernel.log import logger

_log = logger("soundings")
_EVERY_S: Final = 2.0
_ANSWER_S: Final = 3.0
_STALE_S: Final = 60.0


class Soundings:
    """A thread that asks every two seconds, sets the gauges, and remembers what went wrong for `/readyz`.

    `catch_up` brings the webhook registry up to date and tells whether it did.
    """

    def __init__(self, config: kafka.KafkaConfig, intakes: Sequence[Intake], catch_up: Callable[[float], bool]) -> None:
        self._config = config
        self._intakes = intakes
        self._catch_up = catch_up
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soundings", daemon=True)
        self._answered_at = self._whole_at = time.monotonic()
        self._silent = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(2 * _ANSWER_S + 1)

    def broker(self) -> str:
        """Return that Kafka does not answer, or an empty text: a probe for `/readyz`."""
        if not self._silent:
            return ""
        silent_s = time.monotonic() - self._answered_at
        return f"Kafka at {self._config.bootstrap_servers} has not answered for {silent_s:.0f} s: {self._silent}"

    def registry(self) -> str:
        """Return that webhooks may be out of date, or an empty text: a probe for `/readyz`."""
        age_s = time.monotonic() - self._whole_at
        return f"the webhook registry is {age_s:.0f} s behind" if age_s > _STALE_S else ""

    def whole(self) -> None:
        """Note that the registry was just found complete; thread-safe."""
        self._whole_at = time.monotonic()

    @property
    def registry_age_s(self) -> float:
        """Seconds since the webhook registry was last known to be complete."""
        return time.monotonic() - self._whole_at

    def _run(self) -> None:
        client: AdminClient | None = None
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                client = kafka.admin(self._config) if client is None else client
                self._sound(client)
                self._silent, self._answered_at = "", time.monotonic()
                if self._catch_up(_ANSWER_S):
                    self.whole()
            except Exception as error:  # noqa: BLE001  # this thread's main loop: it must go on asking
                self._silent = error.args[0].str() if isinstance(error, KafkaException) else f"{type(error).__name__}: {error}"
                client = None  # it may go on asking yesterday's leaders for minutes
            self._stopping.wait(max(0.1, _EVERY_S - (time.monotonic() - began)))

    def _sound(self, client: AdminClient) -> None:
        """Ask for the ends of all assigned partitions in one go; raise `KafkaException` when nobody answers."""
        shares = [(intake, share) for intake in self._intakes for share in intake.shares]
        if not shares:
            client.list_topics(timeout=_ANSWER_S)
        ends = self._ends(client, [share for _, share in shares])
        for intake in self._intakes:
            measure(intake, ends, time.monotonic())

    def _ends(self, client: AdminClient, shares: Sequence[Share]) -> dict[Share, int]:
        if not shares:
            return {}
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library's own lack of types
        asked = client.list_offsets({TopicPartition(s.topic, s.partition): latest for s in shares}, request_timeout=_ANSWER_S)
        found = {(p.topic, p.partition): future.result(2 * _ANSWER_S).offset for p, future in asked.items()}
        return {share: found[share.key] for share in shares}


def measure(intake: Intake, ends: dict[Share, int], now: float) -> None:
    """Set the gauges of one source from the ends of its assigned partitions."""
    mine = [(share, ends[share]) for share in intake.shares if share in ends]
    depth = sum(max(0, end - at) for share, end in mine if (at := share.next) is not None)
    metrics.LAG.labels(intake.source.name).set(depth)
    metrics.PENDING_BYTES.labels(intake.source.name).set(intake.shares.bytes)
    if intake.source.delay_s:
        tier = intake.source.name.partition(".")[2]
        metrics.TIER_DEPTH.labels(tier).set(depth)
        # A partition that is not put off is being read: its next record is unknown, and late only while there is no room.
        known = [share.due_at - now for share, _ in mine if share.resume_at or (share.offsets.pending and intake.crowded)]
        metrics.OLDEST_DUE_S.labels(tier).set(min(known, default=0.0))

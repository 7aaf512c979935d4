"""Kafka clients that can never find a broker again, and what becomes of them.

librdkafka (2.10 and up; its issue 5301) forgets every broker that an answer about the cluster does not name. A cluster all of
whose brokers are out of it for a moment, because they stood still or have just started, names none, and who asks just then has
nobody left to ask, for good. Its calls time out as if the cluster were away; only its statistics tell that it knows nobody.

A member of a group has a second way to be lost: it looks for its group's coordinator, and tries for ever to reach the one it has
no address of, while the brokers it knows are left alone. Seen twice after a broker stood still, by both dispatchers of a group,
for the seven minutes that they were watched: the coordinator 447 times tried, the broker not once. Consumers that keep a
connection to each broker (`enable.sparse.connections`) were not seen to do so. But three times a sink did not come back whose broker
had stood still while it joined anew; of one the statistics were seen: about to connect to broker and coordinator, for 75 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from hookline.kernel.log import logger

_log = logger("lost")
_EVERY_MS: Final = 10_000
_IN_A_ROW: Final = 2
"""A client that starts over knows nobody for a moment."""
_LEFT_ALONE_US: Final = 10_000_000
"""A broker that is away is tried again every two seconds (`reconnect.backoff.max.ms`)."""
_BEFORE: Final = frozenset({"INIT", "TRY_CONNECT"})
"""States of a connection that nobody has begun to make."""
_KNOWN: Final = ('"source":"learned"', '"source":"configured"')
_REAL: Final = frozenset({"learned", "configured"})
_listeners: list[Callable[[], object]] = []


def on_loss(callback: Callable[[], object]) -> None:
    """Have `callback` called, in any thread, when a client is lost that nobody replaces; it must not block."""
    _listeners.append(callback)


def watched(told: Callable[[], object] | None = None) -> dict[str, Any]:
    """Return the settings of a client that is to be watched: one that is polled all the time, since its statistics wait for that.

    `told` hears of its loss within half a minute, once, in the thread that polls; None: those of `on_loss` do.
    """
    return {"statistics_interval_ms": _EVERY_MS, "stats_cb": _Watch(told or tell)}


def tell() -> None:
    """Tell those of `on_loss` of a client that cannot be replaced."""
    for callback in _listeners:
        callback()


class Loss:
    """Whether one client is lost, for an owner that makes another one instead, in the thread that polls it."""

    def __init__(self) -> None:
        self.happened = False

    def settings(self) -> dict[str, Any]:
        """Return the settings of that client, as `watched` does."""
        return watched(self._note)

    def _note(self) -> None:
        self.happened = True


class _Watch:
    """Hears a client's statistics."""

    def __init__(self, told: Callable[[], object]) -> None:
        self._told = told
        self._alone = 0
        self._stuck = 0
        self._over = False

    def __call__(self, statistics: str) -> None:
        self._alone = 0 if any(mark in statistics for mark in _KNOWN) else self._alone + 1
        self._stuck = self._stuck + 1 if _is_stuck(statistics) else 0
        if self._alone == _IN_A_ROW:
            self._tell("a client knows no broker any more")
        elif self._stuck == _IN_A_ROW:
            self._tell("a consumer looks for its group's coordinator and asks no broker")

    def _tell(self, error: str) -> None:
        if not self._over:
            self._over = True
            _log.error("kafka.client_lost", error=error)
            self._told()


def _is_stuck(statistics: str) -> bool:
    """Tell whether a member of a group looks for its coordinator while nobody has tried any broker for long."""
    if '"cgrp":' not in statistics:
        return False
    found = orjson.loads(statistics)
    real = [one for one in found["brokers"].values() if one["source"] in _REAL]
    looks = found["cgrp"]["state"] != "up"
    return looks and bool(real) and all(one["state"] in _BEFORE and one["stateage"] > _LEFT_ALONE_US for one in real)

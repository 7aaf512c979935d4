"""Reading the log: its rows newest first, or its deliveries, each once, as it stood when the reading began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hookline.analytics.stretches import Bounds, Stretches
from hookline.analytics.warehouse import Parameters, Rows, only
from hookline.console.api.deliveries_filter import LogQuery

_LEAST_BATCH: Final = 20
_MOST_BATCH: Final = 1_000
_ROUNDS: Final = 8
_KEYS: Final = 500


class Log(Protocol):
    """Answers named queries."""

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Return the rows of a query; raise `WarehouseError`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the log's order: rows come before it when they are older, or as old with a smaller attempt id."""

    at_us: int
    attempt_id: str = ""


class Reading:
    """Goes back through the rows of a query, a batch at a time; `place` is where it stands. For one thread."""

    def __init__(self, log: Log, query: LogQuery, place: Place) -> None:
        self._log = log
        self._query = query
        self._stretches = Stretches(self._ask, query.since_us, self._bounds)
        self.place = place
        self.ended = False

    def batch(self, most: int) -> Rows:
        """Return the next rows, newest first, and move on behind them; after fewer than `most` it has `ended`."""
        rows = self._rows(most)
        if rows:
            self.place = place_of(rows[-1])
        self.ended = len(rows) < most
        return rows

    def _rows(self, most: int) -> Rows:
        newest_us = min(self.place.at_us, self._query.until_us)
        if self._query.event_id or self._query.delivery_id:  # found by its index, wherever it is
            return self._ask(self._query.since_us, newest_us, most)
        return self._stretches.rows(newest_us, most)

    def _ask(self, since_us: int, until_us: int, most: int) -> Rows:
        query = self._query.between(since_us, until_us)
        place: Parameters = {"before_us": self.place.at_us, "before_id": self.place.attempt_id, "limit": most}
        return self._log.run("deliveries", {**query.parameters(), **place})

    def _bounds(self, since_us: int, until_us: int) -> Bounds:
        return Bounds(**only(self._log.run("deliveries_bounds", self._query.between(since_us, until_us).parameters())))


class Deliveries:
    """Goes back through deliveries: each once, in the place of its newest row up to `as_of_us`, if that row fits the query.

    What arrives later than `as_of_us` changes neither order nor content. For one thread.
    """

    def __init__(self, log: Log, query: LogQuery, place: Place, as_of_us: int) -> None:
        self._log = log
        self._query = query
        self._reading = Reading(log, query, place)
        self._as_of_us = as_of_us

    @property
    def ended(self) -> bool:
        """Whether there are no more."""
        return self._reading.ended

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self._reading.place

    def page(self, limit: int) -> tuple[Rows, Place | None]:
        """Return up to `limit` deliveries and where to go on, None at the end.

        A page may be shorter than that with more to come: it looks through so many rows and no more.
        """
        found: Rows = []
        most = limit + max(limit // 4, _LEAST_BATCH)
        for _ in range(_ROUNDS):
            found += self.batch(min(most, _MOST_BATCH))
            if len(found) > limit:
                return found[:limit], place_of(found[limit - 1])
            if self.ended:
                return found, None
            most *= 4  # most rows are of deliveries that went on since: look at more at once
        return found, self.place

    def batch(self, most: int) -> Rows:
        """Return the deliveries among the next `most` rows."""
        rows = self._reading.batch(most)
        first: dict[str, dict[str, Any]] = {}
        for row in rows:
            first.setdefault(row["delivery_id"], row)
        candidates = list(first.values())
        newest = self._newest(candidates)
        return [row for row in candidates if newest.get(row["delivery_id"]) == place_of(row)]

    def _newest(self, rows: Rows) -> dict[str, Place]:
        """Return the place of the newest row of each of these deliveries."""
        found: dict[str, Place] = {}
        for part in _parts(rows):
            parameters: Parameters = {
                "store_id": self._query.store_id,
                "keys": ",".join(f"{row['webhook_id']}/{row['delivery_id']}" for row in part),
                "since_us": min(row["attempted_at_us"] for row in part),
                "until_us": self._as_of_us,
            }
            answers = self._log.run("deliveries_newest", parameters)
            found |= {row["delivery_id"]: place_of(row) for row in answers}
        return found


def place_of(row: dict[str, Any]) -> Place:
    """Return the place of a row."""
    return Place(row["attempted_at_us"], row["attempt_id"])


def _parts(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + _KEYS] for start in range(0, len(rows), _KEYS))

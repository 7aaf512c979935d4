"""How fast the console answers over HTTP with five million attempts in its own ClickHouse; `python -m benchmarks.console [--json FILE]`.

One store with 1,000 webhooks, a month of attempts, half of them one webhook's. A dispatcher and a receiver run too, so that `explain` is
asked about an event that was delivered. Each figure is the median of several requests over one connection; memory is the largest seen.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.many import write_many
from benchmarks.panel import Visitor, pages
from benchmarks.stack import STORE, Process, Stack, largest, receiver, stack, wait
from benchmarks.statistics import RUNS, fill
from hookline.analytics import migrate
from hookline.analytics.client import open_client
from hookline.console.panel.services import first_run_token
from hookline.kernel.config import load
from hookline.local.kafka_broker import free_port
from hookline.producers.api_keys import ApiKeyConfig
from hookline.schemas.catalogue import EVENT_TYPES

ROWS: Final = 5_000_000
WEBHOOKS: Final = 1_000
_OPERATOR: Final = "operator-of-the-benchmark-0123456789"  # of a process that lives for a minute on loopback
_OK: Final = 200


class Asker:
    """Asks one console over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        headers = {"Authorization": f"Bearer {_OPERATOR}", "Hookline-Store": STORE, "Content-Type": "application/json"}
        try:
            self._connection.request(method, f"/api/v1{path}", json.dumps(body) if body is not None else None, headers)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, None

    def found(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return the JSON of a GET that succeeds."""
        status, value = self.ask("GET", path)
        if status != _OK:
            raise SystemExit(f"GET {path} answered {status}: {value}")
        return value

    def ms(self, path: str) -> list[float]:
        """Return the times of several GETs in milliseconds, the first one left out."""
        self.found(path)
        times: list[float] = []
        for _ in range(RUNS):
            began = time.perf_counter()
            self.found(path)
            times.append((time.perf_counter() - began) * 1e3)
        return times


def measure(rows: int = ROWS, webhooks: int = WEBHOOKS) -> dict[str, Any]:
    """Return milliseconds of each question, and the console's resident megabytes, over `rows` attempts of a store."""
    with stack() as on:
        to = receiver(on)
        (busy,) = write_many(on, [(STORE, to.url("busy"))])
        others = write_many(on, [(STORE, to.url(f"hook{n}")) for n in range(webhooks - 1)], ("customer.created",))
        _fill(on, [one.webhook.id for one in (busy, *others)], rows)
        process, port = _console(on)
        on.hookline("dispatch")
        asker = Asker(port)
        wait(lambda: asker.ask("GET", "/statistics?days=1")[0] == _OK, 90, "the console")
        event = _delivered(asker, busy.webhook.id)
        with largest(process) as seen:
            found = {name: _cost(process, asker, path) for name, path in _questions(busy.webhook.id, others[0].webhook.id, event).items()}
            visitor = _visitor(on, port)
            found |= {name: _cost(process, visitor, path) for name, path in pages(STORE, busy.webhook.id).items()}
        times = {f"{name}_{unit}": value for name, costs in found.items() for unit, value in costs.items()}
        return {"rows": rows, "webhooks": webhooks, **times, "rss_mb": max(seen)}


def _cost(process: Process, asker: Asker | Visitor, path: str) -> dict[str, float]:
    """Return what a question takes: median and least milliseconds, and milliseconds of the console's CPU, which moves least."""
    cpu_s = process.cpu_s
    times = asker.ms(path)
    return {"ms": statistics.median(times), "least_ms": min(times), "cpu_ms": (process.cpu_s - cpu_s) / (RUNS + 1) * 1e3}


def _visitor(on: Stack, port: int) -> Visitor:
    found = Visitor(port)
    found.settle_in(first_run_token(load(ApiKeyConfig, on.environ).pepper))
    return found


def _fill(on: Stack, webhooks: list[str], rows: int) -> None:
    client = open_client(on.environ)
    try:
        migrate.up(client, retention_days=30)
        fill(client, STORE, webhooks, rows)
    finally:
        client.close()


def _console(on: Stack) -> tuple[Process, int]:
    port = free_port()
    settings = {"HOOKLINE_CONSOLE_PORT": str(port), "HOOKLINE_OPERATOR_TOKEN": _OPERATOR, "HOOKLINE_QUERY_TOKEN": "bench"}
    return on.hookline("console", HOOKLINE_METRICS_PORT=str(free_port()), HOOKLINE_QUERY_PORT=str(free_port()), **settings), port


def _delivered(asker: Asker, webhook: str) -> str:
    """Publish an event, wait until the log tells of its delivery, and return its id."""
    status, made = asker.ask("POST", "/events", {"type": "order.created", "data": dict(EVENT_TYPES["order.created"].example)})
    if status // 100 != 2:  # success
        raise SystemExit(f"POST /events answered {status}: {made}")
    event = str(made["id"])
    path = f"/webhooks/{webhook}/explain?event={event}"
    wait(lambda: (asker.ask("GET", path)[1] or {}).get("verdict") == "delivered", 60, "a delivery in the log")
    return event


def _questions(busy: str, other: str, event: str) -> dict[str, str]:
    return {
        "log_page": "/deliveries?outcome=dead&limit=50",
        "log_unfiltered_page": "/deliveries?limit=50",
        "log_webhook_page": f"/deliveries?webhook={busy}&outcome=dead&limit=50",
        "log_nothing_found": "/deliveries?status=404",
        "statistics_webhook": f"/webhooks/{busy}/statistics?days=30",
        "statistics_store": "/statistics?days=30",
        "statistics_webhook_hourly": f"/webhooks/{busy}/statistics?days=31&points=hour",
        "statistics_store_hourly": "/statistics?days=31&points=hour",
        "webhook_list": "/webhooks?limit=1000",
        "event_fates": f"/events/{event}",
        "explain_delivered": f"/webhooks/{busy}/explain?event={event}",
        "explain_not_its_type": f"/webhooks/{other}/explain?event={event}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    found = measure()
    for name, value in found.items():
        print(f"{name:<30} {value:>14,.1f}")
    print(f"targets: pages ≤ 200, statistics ≤ 100, list ≤ 100, explain ≤ 300 ms, rss_mb ≤ 1,000; on {os.cpu_count()} cores")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

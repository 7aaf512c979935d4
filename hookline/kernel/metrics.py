"""The process's own port: `/metrics` for Prometheus, `/healthz` (alive) and `/readyz` (fit for work)."""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, TypeAlias

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.samples import Sample

from hookline.kernel.config import integer, setting
from hookline.kernel.errors import ConfigError
from hookline.kernel.log import logger

_log = logger("metrics")
Probe: TypeAlias = Callable[[], str]
"""Returns an empty text when all is well, else one sentence that says what is not."""

_PATIENCE_S: Final = 10.0
"""With a client that sends no request, or does not read its answer."""
LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where the metrics port listens."""

    host: str = setting("HOOKLINE_METRICS_HOST", "127.0.0.1", "address of the metrics and health port")
    port: int = setting("HOOKLINE_METRICS_PORT", "0", "metrics and health port; 0 takes a free one", integer(0, 65_535))


class LoopCounter(Counter):
    """A counter that one thread alone counts, for hot paths: no lock, a quarter of the library's time.

    The library's own value is brought up to date when somebody reads it.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._count = 0.0

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002  # the library's signature
        """Count one, or an amount that is not negative."""
        self._count += amount

    def _child_samples(self) -> Iterable[Sample]:
        self._value.set(self._count)
        return super()._child_samples()


class LoopHistogram(Histogram):
    """A histogram that one thread alone observes, for hot paths: no lock, a fifth of the library's time.

    The library's own values are brought up to date when somebody reads them.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._counts = [0] * len(self._upper_bounds)
        self._total = 0.0

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002  # the library's signature
        """Count an amount."""
        self._counts[bisect_left(self._upper_bounds, amount)] += 1
        self._total += amount

    def _child_samples(self) -> Iterable[Sample]:
        for bucket, count in zip(self._buckets, self._counts, strict=True):
            bucket.set(count)
        self._sum.set(self._total)
        return super()._child_samples()


class Health:
    """Named probes: `alive` ones fail when the process must be restarted, `ready` ones when it cannot work now."""

    def __init__(self) -> None:
        self._alive: dict[str, Probe] = {}
        self._ready: dict[str, Probe] = {}

    def alive(self, name: str, probe: Probe) -> None:
        """Add a probe to `/healthz`."""
        self._alive[name] = probe

    def ready(self, name: str, probe: Probe) -> None:
        """Add a probe to `/readyz`."""
        self._ready[name] = probe

    def check(self, path: str) -> tuple[bool, dict[str, str]]:
        """Return (all well, probe → complaint or `ok`) for `/healthz` or `/readyz`; readiness includes liveness."""
        probes = self._alive if path == "/healthz" else {**self._alive, **self._ready}
        found = {name: probe() or "ok" for name, probe in probes.items()}
        return all(text == "ok" for text in found.values()), found


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  # the name and form socketserver calls
        """Log what a request's thread died of: written to a terminal that takes nothing it would end the process."""
        _log.exception("metrics.failed")


class MetricsServer:
    """Serves the three pages from a daemon thread; `port` is the bound one after `start`."""

    def __init__(self, config: MetricsConfig, health: Health, registry: CollectorRegistry = REGISTRY) -> None:
        self._config = config
        self._health = health
        self._registry = registry
        self._server: ThreadingHTTPServer | None = None
        self.port = config.port

    def start(self) -> None:
        """Bind and serve; raise `ConfigError` when the port is taken."""
        try:
            self._server = _Server((self._config.host, self._config.port), self._handler())
        except OSError as error:
            message = f"HOOKLINE_METRICS_PORT={self._config.port} cannot be opened: {error.strerror}"
            raise ConfigError(message, remedy="Stop what uses it, or set another port (0 takes a free one).") from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        health, registry = self._health, self._registry

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_S

            def handle(self) -> None:
                """Answer one request; a client that goes away or stalls is its own affair, and keeps no thread."""
                with suppress(ConnectionError, TimeoutError):
                    super().handle()

            def do_GET(self) -> None:  # the name http.server calls
                if self.path == "/metrics":
                    self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path in {"/healthz", "/readyz"}:
                    well, found = health.check(self.path)
                    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
                    self._answer(status, "application/json", json.dumps(found).encode())
                else:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"try /metrics, /healthz or /readyz\n")

            def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Stay silent: scrapes are not news."""

        return Handler

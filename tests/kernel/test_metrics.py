"""The metrics port answers metrics and health, and says clearly when it cannot open."""

from __future__ import annotations

import http.client
import json

import pytest
from prometheus_client import CollectorRegistry, Counter

from hookline.kernel.errors import ConfigError
from hookline.kernel.metrics import Health, MetricsConfig, MetricsServer

pytestmark = pytest.mark.process


def get(port: int, path: str) -> tuple[int, bytes]:
    """Return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_three_pages_and_what_makes_them_fail() -> None:
    """Metrics are served; a failing ready probe fails only readiness, a failing alive probe both."""
    registry, health, complaint = CollectorRegistry(), Health(), {"alive": "", "ready": ""}
    Counter("example_total", "An example.", registry=registry).inc()
    health.alive("loop", lambda: complaint["alive"])
    health.ready("broker", lambda: complaint["ready"])
    server = MetricsServer(MetricsConfig(host="127.0.0.1", port=0), health, registry)
    server.start()
    try:
        assert b"example_total 1.0" in get(server.port, "/metrics")[1]
        assert get(server.port, "/readyz")[0] == 200
        complaint["ready"] = "the broker is away"
        assert get(server.port, "/healthz")[0] == 200
        status, body = get(server.port, "/readyz")
        assert (status, json.loads(body)) == (503, {"loop": "ok", "broker": "the broker is away"})
        complaint["alive"] = "the loop hangs"
        assert get(server.port, "/healthz")[0] == 503
        assert get(server.port, "/nothing")[0] == 404
    finally:
        server.stop()


def test_a_port_in_use_is_named() -> None:
    """The error names the variable and the port."""
    first = MetricsServer(MetricsConfig(host="127.0.0.1", port=0), Health(), CollectorRegistry())
    first.start()
    try:
        with pytest.raises(ConfigError, match=rf"HOOKLINE_METRICS_PORT={first.port} cannot be opened.*Address already in use"):
            MetricsServer(MetricsConfig(host="127.0.0.1", port=first.port), Health(), CollectorRegistry()).start()
    finally:
        first.stop()

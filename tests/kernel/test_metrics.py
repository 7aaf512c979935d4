"""The metrics port answers metrics and health, and says clearly when it cannot open."""

from __future__ import annotations

import errno
import http.client
import io
import json
import os
import socket
import sys
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from hookline.kernel import metrics
from hookline.kernel.errors import ConfigError
from hookline.kernel.metrics import LATENCY_BUCKETS_S, Health, LoopCounter, LoopHistogram, MetricsConfig, MetricsServer

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


def test_a_request_that_fails_costs_its_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a terminal takes no word of it (a full disk): a thread that dies of that would end the process."""
    died, health = list[object](), Health()
    health.ready("broken", lambda: str(1 / 0))

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(threading, "excepthook", died.append)
    monkeypatch.setattr(sys, "stderr", Full())
    server = MetricsServer(MetricsConfig(host="127.0.0.1", port=0), health, CollectorRegistry())
    server.start()
    try:
        with pytest.raises(http.client.HTTPException):
            get(server.port, "/readyz")
        assert get(server.port, "/healthz")[0] == 200
    finally:
        server.stop()
    assert died == []


def test_a_client_that_asks_nothing_keeps_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a request, or none, is waited for so long and no longer; others are answered meanwhile."""
    monkeypatch.setattr(metrics, "_PATIENCE_S", 0.3)
    server = MetricsServer(MetricsConfig(host="127.0.0.1", port=0), Health(), CollectorRegistry())
    server.start()
    try:
        with (
            socket.create_connection(("127.0.0.1", server.port), 10) as silent,
            socket.create_connection(("127.0.0.1", server.port), 10) as half,
        ):
            half.sendall(b"GET /metrics HT")
            assert get(server.port, "/metrics")[0] == 200
            assert (silent.recv(1), half.recv(1)) == (b"", b"")
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


def test_a_histogram_of_one_thread_tells_what_the_librarys_tells() -> None:
    """Amounts at, between, below and beyond the bounds fall into the same buckets, also when read in between."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = LoopHistogram("waited_seconds", "Waited.", buckets=LATENCY_BUCKETS_S, registry=ours)
    plain = Histogram("waited_seconds", "Waited.", buckets=LATENCY_BUCKETS_S, registry=theirs)
    for amount in (0.0, 0.001, 0.0010001, 0.02, 30.0, 30.1, 1e9):
        quick.observe(amount)
        plain.observe(amount)
        assert told(ours) == told(theirs)


def test_a_counter_of_one_thread_tells_what_the_librarys_tells() -> None:
    """With and without labels, by ones and by amounts, also when read in between; a label that was never counted is not there."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    quick = [LoopCounter("taken", "Taken.", registry=ours), LoopCounter("left", "Left.", ["why", "how"], registry=ours)]
    plain = [Counter("taken", "Taken.", registry=theirs), Counter("left", "Left.", ["why", "how"], registry=theirs)]
    assert told(ours) == told(theirs)
    for amount in (1, 0, 2.5, 40):
        for bare, labelled in (quick, plain):
            bare.inc()
            bare.inc(amount)
            labelled.labels("late", "x").inc(amount)
            labelled.labels(why="late", how="y").inc()
        assert told(ours) == told(theirs)
    assert quick[1].labels("late", "x") is quick[1].labels("late", "x")


def told(registry: CollectorRegistry) -> list[tuple[str, dict[str, str], float]]:
    """Return the samples but for the time of making."""
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return [(sample.name, sample.labels, sample.value) for sample in samples if not sample.name.endswith("_created")]

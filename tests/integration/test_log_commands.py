"""From a publish to the log and back: a dispatcher, a sink, and the commands beside them, each its own process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from hookline.local.kafka_broker import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.process]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


@pytest.fixture
def hookline(pipeline: Pipeline) -> Iterator[Callable[..., Any]]:
    """Yield `hookline(*arguments)`, which returns its JSON, beside a running sink."""
    port = free_port()
    pipeline.environ |= {
        "HOOKLINE_QUERY_TOKEN": "secret",
        "HOOKLINE_QUERY_PORT": str(port),
        "HOOKLINE_QUERY_URL": f"http://127.0.0.1:{port}",
        "HOOKLINE_SINK_BATCH_WAIT_S": "0.1",
        "HOOKLINE_STORE": "shop",
    }
    main = [sys.executable, "-m", "hookline.cli.main"]
    with (pipeline.folder / "sink.log").open("wb") as log:
        sink = subprocess.Popen([*main, "sink"], env=pipeline.environ, stdout=log, stderr=log)

    def run(*arguments: str) -> Any:
        done = subprocess.run([*main, *arguments, "--json"], env=pipeline.environ, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    yield run
    sink.send_signal(signal.SIGTERM)
    sink.wait(40)


def test_what_happened_is_told_and_made_again(pipeline: Pipeline, hookline: Callable[..., Any], until: Until) -> None:
    """Retried twice, delivered, logged with request, answer and payload, counted, resent with the same id, counted beside."""
    pipeline.create("flaky")
    pipeline.receiver.scripts["flaky"] = lambda call: web.Response(status=200 if call.number >= 3 else 503, text=f"call {call.number}")
    pipeline.start_dispatcher()
    [event] = pipeline.publish()

    def rows() -> list[dict[str, Any]]:
        found = hookline("log")
        return list(found["data"]) if isinstance(found, dict) else []

    until(lambda: len(rows()) == 3, 90, what="three attempts in the log")
    assert [(r["attempt"], r["outcome"], r["http_status"]) for r in rows()] == [
        (3, "delivered", 200),
        (2, "retrying", 503),
        (1, "retrying", 503),
    ]
    delivery_id = rows()[0]["delivery_id"]
    assert delivery_id == pipeline.receiver.of("flaky")[0].id
    shown = hookline("log", "show", delivery_id)
    assert [row["response_body"] for row in shown["attempts"]] == ["call 1", "call 2", "call 3"]
    assert all("webhook-id" in row["request_headers"].lower() for row in shown["attempts"])
    assert shown["payload"] == json.loads(pipeline.receiver.of("flaky")[0].body)
    assert shown["payload"]["id"] == event.id

    assert hookline("deliveries", "resend", delivery_id)["resent"] is True
    until(lambda: len(pipeline.receiver.of("flaky")) == 4, what="the resent call")
    assert {call.id for call in pipeline.receiver.of("flaky")} == {delivery_id}
    until(lambda: len(rows()) == 4, what="the fourth attempt in the log")
    assert [row["trigger"] for row in hookline("log", "--trigger", "resend")["data"]] == ["resend"]

    found = hookline("stats")
    assert (found["deliveries"], found["delivered"], found["made_again"], found["again_delivered"]) == (1, 1, 1, 1)
    assert (found["success_rate"], found["first_try_rate"], found["by_status"]) == (1.0, 0.0, {"200": 2, "503": 2})
    assert hookline("log", "audit")["adds_up"] is True


def test_a_webhook_that_there_is_not_is_no_quiet_webhook(pipeline: Pipeline, hookline: Callable[..., Any], until: Until) -> None:
    """An id that the store never had is refused, and no file made; one without a call so far has an empty log. Without Kafka none is."""
    quiet = pipeline.create("quiet").id
    file = pipeline.folder / "log.csv"
    until(lambda: hookline("log", "--webhook", quiet) == {"data": [], "next_cursor": ""}, 60, what="an empty log")
    assert hookline("export", str(file), "--webhook", quiet)["rows"] == 0
    file.unlink()
    assert hookline("stats", "--webhook", quiet)["deliveries"] == 0
    for words in (("log",), ("export", str(file)), ("stats",)):
        assert "There is no such webhook in this store" in hookline(*words, "--webhook", "wh_nope")
        assert "There is no such webhook in this store" in hookline(*words, "--webhook", quiet, "--store", "other")
    assert not file.exists()
    pipeline.environ["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{free_port()}"
    assert hookline("log", "--webhook", "wh_nope") == {"data": [], "next_cursor": ""}
    assert hookline("stats", "--webhook", "wh_nope")["deliveries"] == 0

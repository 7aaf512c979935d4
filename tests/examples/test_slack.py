"""The Slack example: a template whose messages Slack takes, whatever the order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from examples.slack import TEMPLATE, tried, webhook
from examples.slack_stand_in import fault
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.templates import compile_template, example, template_text

ROOT = Path(__file__).parents[2]
ORDER = EVENT_TYPES["order.created"].example["order"]
HEADER = {"type": "header", "text": {"type": "plain_text", "text": "x"}}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"text": "hello"}, ""),
        ({"blocks": [HEADER, {"type": "divider"}]}, ""),
        ({"text": "x", "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 10}]}, ""),
        ([], "invalid_payload"),
        (None, "invalid_payload"),
        ({"text": 5}, "invalid_payload"),
        ({"text": "x" * 40_001}, "invalid_payload"),
        ({}, "no_text"),
        ({"text": "", "blocks": []}, "no_text"),
        ({"blocks": [HEADER] * 51}, "invalid_blocks"),
        ({"blocks": {"type": "divider"}}, "invalid_blocks"),
        ({"blocks": [{"type": "headline", "text": "x"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
    ],
)
def test_the_stand_in_refuses_in_slacks_words(payload: object, words: str) -> None:
    """What Slack's format allows passes; each thing that it does not allow is named as Slack names it."""
    assert fault(payload) == words


def message(order: dict[str, Any]) -> dict[str, Any]:
    """Return what Slack gets of an order."""
    made = compile_template(template_text(TEMPLATE)).fill({**example("order.created"), "data": {"order": order}}, 0)
    found: dict[str, Any] = json.loads(made.body)
    return found


@pytest.mark.unit
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"lines": []},
        {"lines": [{**ORDER["lines"][0], "title": "&" * 5_000, "quantity": 10**9}] * 300},
        {"number": "9" * 500},
        {"customer": {**ORDER["customer"], "first_name": None}},
        {"customer": {**ORDER["customer"], "first_name": "<" * 5_000}},
        {"shipping_address": {**ORDER["shipping_address"], "city": ">" * 5_000}},
        {"shipping_address": None},
    ],
)
def test_any_order_makes_a_message_that_slack_takes(changed: dict[str, Any]) -> None:
    """Long names, hundreds of lines, no lines, a guest, no address: the message stays within Slack's limits."""
    assert fault(message({**ORDER, **changed})) == ""


@pytest.mark.unit
def test_names_cannot_write_markup() -> None:
    """A product called `<!channel>` alarms nobody."""
    made = message({**ORDER, "lines": [{**ORDER["lines"][0], "title": "<!channel> &\n*co*"}]})
    assert made["blocks"][1]["text"] == {
        "type": "mrkdwn",
        "verbatim": True,
        "text": "*Lines: 1*\n2 x &lt;!channel\u203a &amp; \u2217co\u2217",
    }
    assert made["text"] == "Order 10042: 111.10 EUR"
    assert made["blocks"][2]["elements"][0]["text"] == "for Ada, to Berlin"
    guest = message({**ORDER, "customer": {**ORDER["customer"], "first_name": None}, "shipping_address": None})
    assert guest["blocks"][2]["elements"][0]["text"] == "for a guest, to no address"


@pytest.mark.unit
def test_it_is_tried_before_it_is_made() -> None:
    """What would be told of the last orders is returned; a template that fails on one of them is not saved."""
    shown = [{"body": '{"text": "Order 1"}', "error": None}]
    answer: dict[str, Any] = {"problem": "", "types": [{"shown": shown}]}
    assert tried(lambda *_: answer) == ["Order 1"]
    for wrong in ({**answer, "problem": "no such field"}, {**answer, "types": [{"shown": [{"body": None, "error": "no such field"}]}]}):
        with pytest.raises(ValueError, match="no such field"):
            tried(lambda *_, said=wrong: said)


@pytest.mark.process
def test_the_program_makes_the_webhook() -> None:
    """It tries, makes, and says so; what the console refuses it says too."""
    asked: list[tuple[str, dict[str, Any]]] = []

    class Console(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            refused = self.headers["Authorization"] != "Bearer hlk_right"
            trying = self.path.endswith("/try")
            answer = {"problem": "", "types": [{"shown": [{"body": '{"text": "Order 1"}', "error": None}]}]} if trying else {"id": "wh_1"}
            body = b'{"detail": "No valid API key"}' if refused else json.dumps(answer).encode()
            self.send_response(401 if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Console) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environ = {
            **os.environ,
            "HOOKLINE_CONSOLE_URL": f"http://127.0.0.1:{server.server_port}",
            "SLACK_WEBHOOK_URL": "https://s.example.com/x",
        }

        def run(key: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "examples.slack"]
            more = {"HOOKLINE_API_KEY": key}
            return subprocess.run(command, env=environ | more, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

        done, refused = run("hlk_right"), run("hlk_wrong")
        server.shutdown()
    assert (done.returncode, done.stdout) == (0, "Order 1\nwh_1 posts each order to Slack\n")
    assert [path for path, _ in asked] == ["/api/v1/templates/try", "/api/v1/webhooks", "/api/v1/templates/try"]
    assert asked[1][1] == webhook("https://s.example.com/x")
    assert refused.returncode == 1
    assert "No valid API key" in refused.stderr

"""A stand-in for Slack's incoming webhooks: it takes what Slack takes, and answers in Slack's words what Slack refuses.

Checked are the rules of Slack's message payload and of the blocks that messages of shops need (header, section, context,
divider), with Slack's limits on their lengths and numbers.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

_MOST_BLOCKS: Final = 50
_MOST_FIELDS: Final = 10
_MOST_ELEMENTS: Final = 10
_LENGTHS: Final = {"message": 40_000, "header": 150, "section": 3_000, "field": 2_000, "context": 3_000}


def fault(payload: Any) -> str:  # noqa: ANN401  # JSON of anybody
    """Return the word with which Slack refuses a payload, or an empty text."""
    if not isinstance(payload, dict):
        return "invalid_payload"
    text, blocks = payload.get("text", ""), payload.get("blocks", [])
    if not isinstance(text, str) or len(text) > _LENGTHS["message"]:
        return "invalid_payload"
    if not text and not blocks:
        return "no_text"
    good = isinstance(blocks, list) and len(blocks) <= _MOST_BLOCKS and all(_is_block(block) for block in blocks)
    return "" if good else "invalid_blocks"


def _is_block(block: Any) -> bool:  # noqa: ANN401
    match block:
        case {"type": "divider"}:
            return True
        case {"type": "header", "text": text}:
            return _is_text(text, "header", ("plain_text",))
        case {"type": "section", "text": text}:
            return _is_text(text, "section", ("plain_text", "mrkdwn"))
        case {"type": "section", "fields": [_, *_] as fields}:
            return len(fields) <= _MOST_FIELDS and all(_is_text(text, "field", ("plain_text", "mrkdwn")) for text in fields)
        case {"type": "context", "elements": [_, *_] as elements}:
            return len(elements) <= _MOST_ELEMENTS and all(_is_text(text, "context", ("plain_text", "mrkdwn")) for text in elements)
    return False


def _is_text(text: Any, place: str, kinds: tuple[str, ...]) -> bool:  # noqa: ANN401
    match text:
        case {"type": kind, "text": str(words)}:
            return kind in kinds and 0 < len(words) <= _LENGTHS[place]
    return False


def _parsed(content_type: str, body: bytes) -> Any:  # noqa: ANN401
    try:
        return json.loads(body) if content_type.startswith("application/json") else None
    except ValueError:
        return None


class SlackStandIn:
    """Listens on a free port while it is entered; keeps what it took in `messages`, what it refused in `refused`.

    It answers 429 with Retry-After to every `busy_every`th post; 0: never.
    """

    def __init__(self, busy_every: int = 0) -> None:
        self.messages: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.asked_to_wait = 0
        self._busy_every = busy_every
        self._posts = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T000/B000/XXXX"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, content_type: str, body: bytes) -> tuple[int, str]:
        """Return the status and the words that a post gets."""
        with self._lock:
            self._posts += 1
            if self._busy_every and self._posts % self._busy_every == 0:
                self.asked_to_wait += 1
                return 429, "rate_limited"
            payload = _parsed(content_type, body)
            wrong = fault(payload)
            if wrong:
                self.refused.append(wrong)
                return 400, wrong
            self.messages.append(payload)
            return 200, "ok"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, words = stand_in.take(self.headers.get("Content-Type", ""), body)
                self.send_response(status)
                if status == 429:  # noqa: PLR2004
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(words)))
                self.end_headers()
                self.wfile.write(words.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

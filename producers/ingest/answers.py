"""HTTP answers: 202 with ids, results per item, problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson

from hookline.producers.ingest import metrics
from hookline.producers.ingest.acceptance import Verdict
from hookline.producers.ingest.errors import BATCH_REFUSED, CODES, Problem
from hookline.producers.ingest.messages import Answer

_JSON: Final = b"Server: hookline\r\nContent-Type: application/json\r\n"
_PROBLEM: Final = b"Server: hookline\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\n"
_MORE: Final[Mapping[int, bytes]] = {401: b"WWW-Authenticate: Bearer\r\n", 405: b"Allow: POST\r\n"}
_GIVEN: Final = sorted({202, 207, *(code.status for code in CODES.values())})
_STATUSES: Final = {status: metrics.REQUESTS.labels(str(status)) for status in _GIVEN}
_LINES: Final = {status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() for status in _GIVEN}


def one(verdict: Verdict) -> Answer:
    """Return the answer to a single event."""
    if isinstance(verdict, Problem):
        return problem(verdict)
    return _answer(202, b'{"id":"%b"}' % verdict.encode(), _JSON)  # an id holds nothing that JSON escapes


def batch(verdicts: Sequence[Verdict]) -> Answer:
    """Return the answer to a batch: the status that all items share, 207 when they differ, and each item's result in order."""
    for verdict in verdicts:
        if isinstance(verdict, Problem):
            metrics.REFUSED.labels(verdict.code).inc()
    statuses = {verdict.status if isinstance(verdict, Problem) else 202 for verdict in verdicts}
    results = [v.members() if isinstance(v, Problem) else {"status": 202, "id": v} for v in verdicts]
    status = statuses.pop() if len(statuses) == 1 else 207
    if status in {202, 207}:
        return _answer(status, orjson.dumps({"results": results}), _JSON)
    whole: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": BATCH_REFUSED,
        "detail": "No event of the batch was taken: see results",
        "results": results,
    }
    wait_s = max(v.retry_after_s for v in verdicts if isinstance(v, Problem))
    return _answer(status, orjson.dumps(whole), _with_more(status, wait_s))


def problem(found: Problem) -> Answer:
    """Return a problem as `application/problem+json`."""
    metrics.REFUSED.labels(found.code).inc()
    return _answer(found.status, orjson.dumps(found.body()), _with_more(found.status, found.retry_after_s))


def _with_more(status: int, retry_after_s: int) -> bytes:
    again = b"Retry-After: %d\r\n" % retry_after_s if retry_after_s else b""
    return _PROBLEM + _MORE.get(status, b"") + again


def _answer(status: int, body: bytes, headers: bytes) -> Answer:
    _STATUSES[status].inc()
    return Answer(status, _LINES[status] + headers, body)

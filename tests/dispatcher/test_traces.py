"""Attempts as spans: each under the event's trace parent, its own one on the call, and nothing secret on it."""

from __future__ import annotations

import dataclasses

import pytest

from hookline.dispatcher.transport.contract import Failure
from hookline.schemas.records import ErrorKind
from hookline.webhooks.secrets import MasterKey, Vault
from tests.dispatcher.fakes import reply, webhook
from tests.dispatcher.rig import Rig
from tests.kernel.traced import KEPT, TRACE_ID, Traced, facts, ids

pytestmark = pytest.mark.unit


def sent(rig: Rig) -> str:
    """Return the trace parent of the last call, empty for none."""
    return dict(rig.transport.sent[-1].headers).get("traceparent", "")


def test_off_a_trace_parent_goes_through() -> None:
    """Without tracing the receiver gets what the publisher gave, and nothing where it gave nothing."""
    rig = Rig()
    rig.submit(traceparent=KEPT)
    assert sent(rig) == KEPT
    rig.submit()
    assert sent(rig) == ""


def test_an_attempt_is_a_span() -> None:
    """The receiver goes on from the attempt's span, which is under the publisher's; a retry is its sister, not its child."""
    tracing = Traced(share=0.0)
    rig = Rig(tracing=tracing)
    rig.submit(traceparent=KEPT)
    first = sent(rig)
    rig.transport.answer(reply(503))
    [again] = [entry for entry in rig.ledger.entries if "retry" in entry.topic]
    assert again.headers["traceparent"] == KEPT.encode()
    rig.submit(traceparent=KEPT, attempt=1)
    second = sent(rig)
    rig.transport.answer(reply(200))
    failed, delivered = tracing.spans
    for span, header in ((failed, first), (delivered, second)):
        assert span.context is not None
        assert header == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
        assert ids(span) == (TRACE_ID, "00f067aa0ba902b7")
    assert (facts(failed)["http.response.status_code"], facts(failed)["error.type"]) == (503, "503")
    assert facts(delivered)["hookline.attempt"] == 2
    assert "error.type" not in facts(delivered)


def test_what_has_no_answer_ends_too() -> None:
    """A call that fails, and one that cannot be made because a key is missing, end as errors of their kind."""
    tracing = Traced()
    rig = Rig(tracing=tracing)
    rig.submit()
    rig.transport.answer(Failure(ErrorKind.TIMEOUT, "no answer", 10.0))
    assert facts(tracing.only)["error.type"] == "timeout"
    tracing = Traced()
    Rig(tracing=tracing, vault=Vault((MasterKey("k2", bytes(32)),))).submit()
    assert facts(tracing.only)["error.type"] == "internal_error"


def test_nothing_secret_is_on_a_span() -> None:
    """Of the URL only the host: paths and queries hold tokens."""
    tracing = Traced()
    rig = Rig(tracing=tracing)
    rig.directory.add(dataclasses.replace(webhook(1), url="https://hooks.example.com/T0PSECRET?key=T0PSECRET"))
    rig.submit()
    rig.transport.answer(reply(200))
    found = facts(tracing.only)
    assert found["server.address"] == "hooks.example.com"
    assert "T0PSECRET" not in str(found)
    assert {name for name in found if not name.startswith("hookline.")} == {
        "http.request.method",
        "server.address",
        "http.response.status_code",
    }

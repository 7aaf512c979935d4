"""`hookline stats`: what became of deliveries, for people and for scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.analytics.client import open_client
from hookline.cli.stats import milliseconds, percent
from hookline.schemas.records import ErrorKind, Outcome, Trigger
from tests.analytics.conftest import Rig

Hookline = Callable[..., Any]
WEBHOOK = "wh_" + "0123456789abcdefghjkmnpqrs"


@pytest.fixture
def filled(tmp_path: Path) -> None:
    """Leave 20 deliveries in the log: 17 at once, one at the second try, one dead, one waiting; a replay, a skip, a test."""
    rig = Rig()
    failed = {"http_status": 503, "error_kind": ErrorKind.HTTP_STATUS, "webhook_id": WEBHOOK}
    attempts = [
        *(rig.attempt(response_time_us=10_000 + index) for index in range(17)),
        rig.attempt(**failed, outcome=Outcome.RETRYING),
        rig.attempt(attempt=2, webhook_id=WEBHOOK),
        rig.attempt(**failed, outcome=Outcome.RETRYING),
        rig.attempt(attempt=2, outcome=Outcome.DEAD, http_status=0, error_kind=ErrorKind.TIMEOUT, webhook_id=WEBHOOK),
        rig.attempt(**failed, outcome=Outcome.RETRYING),
        rig.attempt(trigger=Trigger.REPLAY, webhook_id=WEBHOOK),
        rig.attempt(attempt=0, outcome=Outcome.SKIPPED, error_kind=ErrorKind.PAUSED, http_status=0),
        rig.attempt(trigger=Trigger.TEST),
    ]
    client = open_client({"HOOKLINE_STATE_DIR": str(tmp_path)})
    migrate.up(client, retention_days=30)
    client.insert("attempts", rig.table(attempts), {"async_insert": 0})
    client.close()


@pytest.mark.clickhouse
@pytest.mark.usefixtures("filled")
def test_a_person_sees_the_sums_and_each_webhook(hookline: Hookline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 100 columns: counts, rates, errors by kind and status, percentiles, and a line per webhook."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    said = hookline("stats", "--store", "shop")
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.out)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    for expected in (
        r"deliveries\s+20", r"delivered\s+18, 17 of them at once", r"dead letters\s+1\b", r"success rate\s+94\.74 %",
        r"first-try rate\s+85\.00 %", r"made again\s+1, delivered 1, dead again 0", r"attempts\s+23, 3 of them failed",
        r"response time\s+p50 1\d\.\d ms, p95", r"by HTTP status\s+200: 19, 503: 3, no answer: 1",
        r"errors by kind\s+http_status: 3, timeout: 1", r"skipped\s+paused: 1", r"by event type\s+order\.created: 20",
        rf"{WEBHOOK}\s+3\s+1\s+50\.00 %\s+0\.00 %\s+12\.0",
    ):  # fmt: skip
        assert re.search(expected, text), expected


@pytest.mark.clickhouse
@pytest.mark.usefixtures("filled")
def test_a_script_gets_every_number(hookline: Hookline) -> None:
    """JSON with the same sums, percentiles in seconds, rates as shares; of one webhook when one is named."""
    found = hookline("stats", "--store", "shop", "--json").json
    assert {name: found[name] for name in ("deliveries", "delivered", "dead", "made_again", "skipped", "attempts")} == {
        "deliveries": 20, "delivered": 18, "dead": 1, "made_again": 1, "skipped": 1, "attempts": 23,
    }  # fmt: skip
    assert found["success_rate"] == pytest.approx(18 / 19)
    assert found["by_status"] == {"200": 19, "503": 3, "0": 1}
    assert found["response_time_s"][0] == pytest.approx(0.01, rel=0.3)
    assert [row["webhook_id"] for row in found["webhooks"]] == [WEBHOOK, "wh_1"]
    one = hookline("stats", "--store", "shop", "--webhook", WEBHOOK, "--json").json
    assert (one["deliveries"], one["delivered"], one["dead"], one["webhooks"]) == (3, 1, 1, [])


@pytest.mark.clickhouse
@pytest.mark.usefixtures("filled")
def test_a_store_without_deliveries_has_dashes(hookline: Hookline) -> None:
    """Nothing happened: zeros and dashes, no error."""
    said = hookline("stats", "--store", "nobody")
    assert said.status == 0
    assert re.search(r"success rate\s+-", said.out)
    assert hookline("stats", "--store", "nobody", "--json").json["response_time_s"] is None


@pytest.mark.clickhouse
@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("days", ["0", "401", "-3"])
def test_a_span_that_cannot_be_answered_is_refused(hookline: Hookline, days: str) -> None:
    """The error tells the limits."""
    said = hookline("stats", "--days", days)
    assert said.status == 2
    assert "from 1 to 400" in said.err
    assert "what to do: " in said.err


@pytest.mark.unit
def test_the_help_defines_the_rates(hookline: Hookline) -> None:
    """What success rate and first-try rate mean stands where they are asked for."""
    text = " ".join(hookline("stats", "--help").out.split())
    assert "delivered ÷ (delivered + dead letters)" in text
    assert "delivered at attempt 1 ÷ deliveries" in text
    assert "resends and replays are counted apart" in text


@pytest.mark.unit
@pytest.mark.parametrize(
    ("share", "shown"), [(None, "-"), (0.0, "0.00 %"), (1.0, "100.00 %"), (0.99999, "> 99.99 %"), (0.9999, "99.99 %"), (0.5, "50.00 %")]
)
def test_a_rate_below_one_never_reads_as_all(share: float | None, shown: str) -> None:
    """A single failure among a million stays visible."""
    assert percent(share) == shown


@pytest.mark.unit
def test_times_are_milliseconds() -> None:
    """With thousands set apart, and a dash for what was not measured."""
    assert [milliseconds(value) for value in (0.0123, 12.3456, None, float("nan"))] == ["12.3 ms", "12,345.6 ms", "-", "-"]

"""`hookline log`: pages, filters, one delivery, the audit; as tables that fit and as JSON."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.analytics.client import open_client
from hookline.cli.log import instant_us
from hookline.kernel.clock import from_us, rfc3339
from hookline.kernel.errors import InputError
from hookline.local.kafka_broker import free_port
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger
from tests.analytics.conftest import Rig

pytestmark = pytest.mark.clickhouse

Hookline = Callable[..., Any]
Keep = Callable[[Sequence[Attempt]], None]
WEBHOOK = "wh_" + "0123456789abcdefghjkmnpqrs"


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Give a function that leaves attempts in the log of the test's state folder."""
    rig = Rig()

    def kept(attempts: Sequence[Attempt]) -> None:
        client = open_client({"HOOKLINE_STATE_DIR": str(tmp_path)})
        migrate.up(client, retention_days=30)
        client.insert("attempts", rig.table(attempts, first=time.time_ns() % 2**40), {"async_insert": 0})
        client.close()

    return kept


def _three(rig: Rig) -> list[Attempt]:
    """Return a delivery of three attempts: an error, a timeout, success."""
    ids = {"delivery_id": "msg_" + "a" * 32, "event_id": "evt_1", "webhook_id": WEBHOOK, "source_topic": ""}
    return [
        rig.attempt(
            **ids, outcome=Outcome.RETRYING, http_status=503, error_kind=ErrorKind.HTTP_STATUS, error_detail="answered 503",
            response_headers="HTTP/1.1 503\r\nretry-after: 5\r\n", response_body=b"\x1b[31mred\x1b[0m [bold]not markup[/bold]",
            request_headers="webhook-id: msg\nwebhook-signature: [redacted]\n", next_retry_at_us=time.time_ns() // 1_000,
        ),
        rig.attempt(**ids, attempt=2, outcome=Outcome.RETRYING, http_status=0, error_kind=ErrorKind.TIMEOUT),
        rig.attempt(**ids, attempt=3),
    ]  # fmt: skip


def test_a_page_fits_a_window_of_100_columns(hookline: Hookline, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are whole, no line is longer, each attempt tells when, which, what and how long."""
    rig = Rig()
    wide = {"event_type": "checkout.thank_you_viewed", "trigger": Trigger.RESEND, "response_time_us": 29_999_900}
    attempts = [*_three(rig), rig.attempt(delivery_id="msg_" + "b" * 32, webhook_id=WEBHOOK, **wide)]
    keep(attempts)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    said = hookline("log", "--store", "shop")
    assert said.status == 0
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", said.out).splitlines()]
    assert max(map(len, lines)) <= 100
    for one in attempts:
        assert one.delivery_id in said.out
        assert rfc3339(from_us(one.attempted_at_us)) in said.out
    for text in (WEBHOOK, "checkout.thank_you_viewed", "1 retrying", "503", "2 retrying", "timeout", "3 delivered", "12.0 ms", "resend"):
        assert text in said.out


def test_a_pipe_gets_one_page_of_whole_lines_or_json(hookline: Hookline, keep: Keep) -> None:
    """JSON has every field and the next cursor, which leads to the next page until there is none."""
    now_us = time.time_ns() // 1_000
    keep([Rig().attempt(attempt_id=f"att_{index}", attempted_at_us=now_us - index) for index in range(5)])
    seen, cursor = list[str](), ""
    for _ in range(3):
        found = hookline("log", "--store", "shop", "--limit", "2", "--json", "--cursor", cursor).json
        seen += [row["attempt_id"] for row in found["data"]]
        cursor = found["next_cursor"]
    assert seen == [f"att_{index}" for index in range(5)]
    assert cursor == ""
    human = hookline("log", "--store", "shop", "--limit", "2").out
    assert "next page: --cursor " in human


def test_every_filter_reaches_the_query(hookline: Hookline, keep: Keep) -> None:
    """Each option keeps what it names."""
    rig = Rig()
    odd = rig.attempt(
        webhook_id=WEBHOOK, event_type="order.paid", trigger=Trigger.REPLAY, outcome=Outcome.DEAD, http_status=404,
        error_kind=ErrorKind.HTTP_STATUS, event_id="evt_x", delivery_id="msg_x", attempted_at_us=time.time_ns() // 1_000 - 7_200_000_000,
    )  # fmt: skip
    keep([odd, rig.attempt(), rig.attempt()])
    for option, value in {
        "--webhook": WEBHOOK, "--type": "order.paid", "--trigger": "replay", "--outcome": "dead", "--status": "4xx",
        "--error": "http_status", "--event": "evt_x", "--delivery": "msg_x", "--until": "1h",
    }.items():  # fmt: skip
        found = hookline("log", "--store", "shop", option, value, "--json").json["data"]
        assert [row["attempt_id"] for row in found] == [odd.attempt_id], option
    assert len(hookline("log", "--store", "shop", "--since", "1h", "--json").json["data"]) == 2
    assert "No attempt of store shop fits." in hookline("log", "--store", "shop", "--status", "599").out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--until", "2026-11-23T14:00:00"], "has no time zone"),
        (["--since", "999999999999d"], "is no time"),
        (["--since", "1h", "--until", "2h"], "ends before it begins"),
        (["--cursor", "nonsense"], "cursor is not one that a page gave"),
        (["--status", "abc"], "no HTTP status"),
        (["--outcome", "lost"], "'lost' is not known"),
        (["--limit", "0"], "from 1 to 1000"),
        (["--webhook", "a b"], "cannot be an id"),
        (["--event", "../.."], "cannot be an id"),
    ],
)
def test_a_wrong_option_is_named_with_what_to_give(hookline: Hookline, keep: Keep, arguments: list[str], complaint: str) -> None:
    """Status 2, what is wrong, no stack."""
    keep([Rig().attempt()])
    said = hookline("log", "--store", "shop", *arguments)
    assert said.status == 2
    assert complaint in said.err
    assert "what to do: " in said.err
    assert said.out == ""


def test_a_delivery_is_shown_whole(hookline: Hookline, keep: Keep) -> None:
    """All attempts with request and answer; what a receiver sent cannot drive the terminal."""
    attempts = _three(Rig())
    keep(attempts)
    said = hookline("log", "show", attempts[0].delivery_id, "--store", "shop")
    assert said.status == 0
    for text in ("Attempt 1", "Attempt 2", "Attempt 3", "webhook-signature: [redacted]", "retry-after: 5", "answered 503", "no answer"):
        assert text in said.out
    assert "\\x1b[31mred" in said.out
    assert "\x1b[31mred" not in said.out
    assert "[bold]not markup[/bold]" in said.out
    assert "A test call is made from no event" in said.out
    again = hookline("deliveries", "show", attempts[0].delivery_id, "--store", "shop", "--json").json
    assert [row["attempt"] for row in again["attempts"]] == [1, 2, 3]
    assert again["payload"] is None
    assert again["payload_missing"]


def test_an_unknown_delivery_is_not_found(hookline: Hookline, keep: Keep) -> None:
    """Another store's is not either."""
    attempts = _three(Rig())
    keep(attempts)
    for arguments in (["msg_none", "--store", "shop"], [attempts[0].delivery_id, "--store", "other"], [attempts[0].delivery_id]):
        said = hookline("log", "show", *arguments)
        assert said.status == 2
        assert f"No attempt of delivery {arguments[0]} is in the log of store" in said.err
        assert "what to do: " in said.err


def test_the_audit_tells_whether_the_log_adds_up(hookline: Hookline, keep: Keep, tmp_path: Path) -> None:
    """Status 0 and the counts; status 1 once a record is there twice."""
    attempts = [Rig().attempt() for _ in range(3)]
    keep(attempts)
    good = hookline("log", "--store", "shop", "audit", "--json")
    assert (good.status, good.json) == (0, {"rows": 3, "distinct": 3, "counted": 3, "summed": 3, "summed_whole": 3, "adds_up": True})
    client = open_client({"HOOKLINE_STATE_DIR": str(tmp_path)})
    client.execute("INSERT INTO attempts SELECT * FROM attempts LIMIT 1 SETTINGS async_insert = 0, insert_deduplicate = 0")
    client.close()
    bad = hookline("log", "audit", "--store", "shop")
    assert bad.status == 1
    assert re.search(r"adds up\s+no", bad.out)


def test_without_a_sink_or_a_folder_it_says_what_to_start(hookline: Hookline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is made by asking; a sink that is gone is named by its address."""
    said = hookline("log")
    assert said.status == 1
    assert "There is no log" in said.err
    assert "hookline up" in said.err
    assert not (tmp_path / "clickhouse").exists()
    monkeypatch.setenv("HOOKLINE_QUERY_URL", f"http://127.0.0.1:{free_port()}")
    for arguments in (["log"], ["stats"], ["log", "show", "msg_x"], ["deliveries", "resend", "msg_x"]):
        said = hookline(*arguments)
        assert said.status == 1
        assert "do not answer" in said.err
        assert "hookline up" in said.err


def test_a_folder_without_tables_names_the_command(hookline: Hookline, tmp_path: Path) -> None:
    """An empty ClickHouse: `hookline migrate up`."""
    open_client({"HOOKLINE_STATE_DIR": str(tmp_path)}).close()
    said = hookline("log")
    assert said.status == 1
    assert "hookline migrate up" in said.err


@pytest.mark.parametrize(
    ("text", "ago_s"), [("90s", 90), ("2h", 7_200), ("1d", 86_400), ("250ms", 0.25), ("", None)], ids=["s", "h", "d", "ms", "open"]
)
def test_a_time_may_be_so_long_ago(text: str, ago_s: float | None) -> None:
    """Durations count back from now; an empty text leaves the end open."""
    now_us = time.time_ns() // 1_000
    found = instant_us(text, "since")
    assert found == 0 if ago_s is None else abs(found - (now_us - ago_s * 1e6)) < 60_000_000


@pytest.mark.parametrize(
    ("text", "us"),
    [("1970-01-01T00:00:00Z", 1), ("2026-11-23T15:00:00+01:00", 1_795_442_400_000_000), ("2026-11-23T14:00:00.5Z", 1_795_442_400_500_000)],
)
def test_a_time_may_be_rfc_3339(text: str, us: int) -> None:
    """With a zone; the epoch itself is not taken for an open end."""
    assert instant_us(text, "since") == us


@pytest.mark.parametrize(
    "text", ["0h", "-1h", "1w", "h", "2026-13-01T00:00:00Z", "2026-11-23", "1e9999d", base64.b64encode(b"x" * 99).decode()]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Zero, negative and unknown durations, dates without time or zone."""
    with pytest.raises(InputError) as caught:
        instant_us(text, "until")
    assert caught.value.field == "until"

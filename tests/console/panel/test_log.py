"""The delivery log: rows that open, filters in the address, one delivery, resend, live tail, export, the event behind it."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

HOSTILE: Final = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{7*7}}javascript:alert(3)'


def log_of(panel: Any, shop: Any, **filters: str) -> Any:
    """Open the log of a test's store."""
    query = urllib.parse.urlencode(filters)
    return panel.open(f"/s/{shop.store}/log{query and '?'}{query}")


def rows(panel: Any) -> Any:
    """Return the rows of the log."""
    return panel.page.locator("#log-rows tr[data-key]")


def choose(panel: Any, name: str, value: str) -> None:
    """Set a filter and show what fits."""
    panel.page.select_option(f"#{name}", value)
    panel.page.click("button.first:has-text('Show')")
    panel.page.wait_for_load_state()


def test_an_empty_log_teaches(panel: Any, shop: Any) -> None:
    """A store without deliveries is told what will be here, and how to begin."""
    shop.webhook("empty")
    log_of(panel, shop)
    assert "No deliveries yet" in panel.page.locator(".empty").inner_text()
    panel.accessible()
    panel.shoot("log-empty")


def test_a_row_opens_its_attempts_and_is_sent_again(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Log → delivery → resend with a confirmation → the new attempt, without reloading by hand."""
    shop.webhook("opens", name="Warehouse")
    shop.publish()
    shop.logged(1)
    log_of(panel, shop)
    row = rows(panel).first
    told = row.inner_text()
    assert all(text in told for text in ("order.created", "Warehouse", "Delivered", "200"))
    row.locator("[data-unfold]").click()
    panel.page.wait_for_selector("tr.unfolded table")
    assert "200 OK" in panel.page.locator("tr.unfolded").inner_text()
    panel.accessible()
    panel.shoot("log")
    row.locator("th a").click()
    panel.page.wait_for_selector("h1:has-text('Delivery of order.created')")
    attempt = panel.page.locator("details.attempt").first.inner_text()
    assert all(text in attempt for text in ("Attempt 1", "webhook-id", "said opens", "Waited before"))
    body = panel.page.locator("section:has(h2:text-is('Body')) code").inner_text()
    assert body.startswith('{\n  "id": ')
    panel.accessible()
    panel.shoot("delivery")
    panel.page.click("summary:has-text('Send again')")
    panel.page.click("button:has-text('Yes, send it again')")
    assert "sent again" in panel.page.locator(".notice.good").inner_text()
    until(lambda: len([path for path, _, _ in shop.stack.receiver.calls if path == "/opens"]) == 2, what="the second call")
    panel.page.click("text=Show it")
    panel.page.wait_for_selector("details.attempt:has-text('resend')")
    assert panel.page.locator("details.attempt").count() == 2


def test_filters_stand_in_the_address(panel: Any, shop: Any) -> None:
    """Each filter narrows the list, is in the address and is still chosen on the page that follows; empty ones are not there."""
    good = shop.webhook("good")
    shop.webhook("broken", status=500)
    shop.publish()
    shop.logged(1, f"webhook={good}&outcome=delivered")
    shop.logged(1, "outcome=dead&each=attempt")
    log_of(panel, shop)
    assert rows(panel).count() == 2
    choose(panel, "outcome", "delivered")
    assert panel.page.url.endswith("/log?outcome=delivered&each=delivery")
    assert rows(panel).count() == 1
    choose(panel, "outcome", "dead")
    assert "500" in rows(panel).first.inner_text()
    panel.page.fill("#status", "2xx")
    choose(panel, "outcome", "")
    assert rows(panel).count() == 1
    assert panel.page.input_value("#status") == "2xx"
    log_of(panel, shop, each="attempt", error="http_status")
    assert rows(panel).count() == 3
    log_of(panel, shop, event_type="order.paid")
    assert "Nothing fits" in panel.page.locator(".empty").inner_text()
    log_of(panel, shop, webhook=good)
    assert panel.page.locator("#webhook").input_value() == good


def test_times_are_the_viewers_and_the_address_is_in_utc(panel: Any, shop: Any) -> None:
    """A time that is typed in the viewer's zone (Berlin) is UTC in the address, and comes back as it was typed."""
    shop.webhook("times")
    log_of(panel, shop, trigger="event")
    assert re.search("GMT|CE", panel.page.locator("label[for=from]").inner_text())
    panel.page.fill("#from", "2026-01-15T12:00:00")
    panel.page.fill("#to", "2026-01-16T12:00:00")
    panel.page.click("button.first:has-text('Show')")
    panel.page.wait_for_url("**from=2026-01-15T11%3A00%3A00Z**")
    assert panel.page.input_value("#from") in {"2026-01-15T12:00:00", "2026-01-15T12:00"}


def test_a_wrong_filter_is_told_beside_it(panel: Any, shop: Any) -> None:
    """What was typed stays, the field is marked, and the page says what is wrong."""
    shop.webhook("wrong")
    for name, value in (("status", HOSTILE), ("event", HOSTILE), ("event", "a b")):
        log_of(panel, shop, **{name: value})
        assert panel.page.locator("[role=alert]").count() == 1
        assert panel.page.input_value(f"#{name}") == value
        assert panel.page.locator(f"#{name}").get_attribute("aria-invalid") == "true"
    panel.accessible()


def test_older_pages_follow(panel: Any, shop: Any) -> None:
    """Fifty rows a page; the next page has the rest and leads back."""
    shop.webhook("many")
    for _ in range(52):
        shop.publish()
    shop.logged(52)
    log_of(panel, shop)
    assert rows(panel).count() == 50
    panel.page.click("a[rel=next]")
    assert rows(panel).count() == 2
    assert panel.page.locator("[data-tail]").count() == 0
    panel.page.click("text=Back to the first")
    assert rows(panel).count() == 50


def test_the_live_tail_shows_what_comes(panel: Any, shop: Any) -> None:
    """New deliveries come on top and are marked, an opened row stays open, columns keep their places, and it can be stopped."""
    shop.webhook("tail")
    log_of(panel, shop)
    panel.page.click("text=Live tail")
    shop.publish()
    panel.page.wait_for_selector("#log-rows tr.fresh")
    assert panel.page.locator(".empty").count() == 0
    rows(panel).first.locator("[data-unfold]").click()
    panel.page.wait_for_selector("tr.unfolded table")
    edges = "[...document.querySelectorAll('table.log thead th')].map((cell) => cell.getBoundingClientRect().left)"
    before = panel.page.evaluate(edges)
    shop.publish()
    rows(panel).nth(1).wait_for()
    assert panel.page.evaluate(edges) == before
    assert panel.page.locator("tr.unfolded").count() == 1
    assert panel.page.locator("#log-rows tr").nth(1).get_attribute("class") != "unfolded"
    panel.page.click("text=Stop the tail")
    shop.publish()
    shop.logged(3)
    panel.page.wait_for_timeout(2_500)
    assert rows(panel).count() == 2


def test_the_filtered_log_is_exported(panel: Any, shop: Any, tmp_path: Path) -> None:
    """The file has what the filters let through, in each of the formats."""
    good = shop.webhook("export")
    shop.webhook("export-broken", status=404)
    shop.publish()
    shop.logged(1, "outcome=delivered")
    shop.logged(1, "outcome=dead")
    log_of(panel, shop, outcome="delivered")
    for name, begins in (("CSV", b""), ("NDJSON", b"{"), ("Parquet", b"PAR1")):
        panel.page.click("summary:has-text('Export')")
        with panel.page.expect_download() as told:
            panel.page.locator(".sheet a", has_text=re.compile(f"^{name}$")).click()
        file = tmp_path / name
        told.value.save_as(file)
        assert told.value.suggested_filename.startswith(f"hookline-{shop.store}-")
        assert file.read_bytes().startswith(begins)
        panel.page.keyboard.press("Escape")
    lines = (tmp_path / "NDJSON").read_text().splitlines()
    assert [json.loads(line)["webhook_id"] for line in lines] == [good]
    assert len((tmp_path / "CSV").read_text().splitlines()) == 2


def test_hostile_texts_are_texts(panel: Any, shop: Any) -> None:
    """What a tenant or a receiver chose is shown as it is, wherever it shows: names, addresses, answers, payloads."""
    name = f"{HOSTILE} {os.urandom(2).hex()}"[:100]
    made = shop.webhook("xss", status=500, name=name)
    shop.stack.receiver.answers["/xss"] = (500, HOSTILE.encode())
    data = shop.admin.get("/event-types/order.created").json["example"]
    data["order"] = {**data["order"], "number": HOSTILE[:60]} if "number" in data["order"] else data["order"]
    sent = shop.admin.post("/events", {"type": "order.created", "data": data, "id": "evt_odd-_1"})
    assert sent.status == 202, sent
    shop.logged(3)
    log_of(panel, shop)
    assert name in rows(panel).first.inner_text()
    rows(panel).first.locator("[data-unfold]").click()
    panel.page.wait_for_selector("tr.unfolded table")
    rows(panel).first.locator("th a").click()
    panel.page.wait_for_selector("details.attempt")
    assert HOSTILE in panel.page.locator("details.attempt").first.inner_text()
    panel.shoot("delivery-failed")
    panel.open(f"/s/{shop.store}/events/evt_odd-_1?webhook={made}")
    assert name in panel.page.locator("main").inner_text()
    assert panel.page.locator("img[src=x], main script").count() == 0


def test_nothing_turns_a_line_round(panel: Any, shop: Any) -> None:
    """Directions and controls that a receiver answered, or a publisher sent, are spelled out on every page that shows them."""
    made = shop.webhook("turned", status=500)
    shop.stack.receiver.answers["/turned"] = (500, "invoice\u202egnp.exe \x1b[2J".encode())
    data = shop.admin.get("/event-types/order.created").json["example"]
    data["order"] = {**data["order"], "number": "1\u202e2"}
    event = shop.admin.post("/events", {"type": "order.created", "data": data}).json["id"]
    delivery = shop.logged(3)[0]["id"]
    panel.open(f"/s/{shop.store}/webhooks/{made}/test")
    panel.page.click("text=Send the test")
    assert "invoice\\u202egnp.exe \\u001b[2J" in panel.page.locator(".answer").inner_text()
    told = [panel.page.content()]
    for path, words in ((f"log/{delivery}", "invoice\\u202egnp.exe"), (f"events/{event}", "1\\u202e2"), (f"webhooks/{made}", "")):
        panel.open(f"/s/{shop.store}/{path}")
        assert words in panel.page.locator("main").inner_text()
        told.append(panel.page.content())
    assert [content for content in told if "\u202e" in content or "\x1b" in content] == []


def test_old_attempts_wait_for_nothing(panel: Any, shop: Any) -> None:
    """With a row for each attempt, those that were followed by another failed; they do not wait."""
    shop.webhook("tried", status=500)
    shop.publish()
    shop.logged(3)
    panel.open(f"/s/{shop.store}/log?each=attempt")
    assert panel.page.locator("#log-rows .badge").all_inner_texts() == ["Given up", "Failed", "Failed"]
    panel.accessible()
    panel.shoot("log-attempts")


def test_an_event_and_its_fates(panel: Any, shop: Any) -> None:
    """The search leads to the event; each webhook's fate is told in words, also why one did not get it."""
    shop.webhook("fate", name="Gets it")
    shop.webhook("choosy", name="Choosy", filter="data.order.id == 'another'")
    other = shop.webhook("other-type", name="Other type", event_types=["order.paid"])
    event = shop.publish()
    shop.logged(1)
    log_of(panel, shop)
    panel.page.click("text=Find an event")
    panel.accessible()
    panel.page.fill("#event", event)
    panel.page.click("button:has-text('Find')")
    panel.page.wait_for_url(f"**/events/{event}")
    told = panel.page.locator("section[aria-label='What became of it']").inner_text()
    assert all(text in told for text in ("Gets it", "Delivered with attempt 1: HTTP 200", "Choosy", "The filter said no"))
    assert "data.order.id" in told
    panel.page.select_option("#webhook", other)
    panel.page.click("button:has-text('Explain')")
    panel.page.wait_for_url("**webhook=**")
    assert "and the webhook gets order.paid" in panel.page.locator("main").inner_text()
    panel.accessible()
    panel.shoot("event")


@pytest.mark.parametrize("typed", [HOSTILE, "a b", "msg.with.dots"])
def test_what_is_no_event_id_is_said(panel: Any, shop: Any, typed: str) -> None:
    """The search says what an id looks like, and keeps what was typed."""
    shop.webhook("no-event")
    panel.open(f"/s/{shop.store}/events")
    panel.page.fill("#event", typed)
    panel.page.click("button:has-text('Find')")
    panel.page.wait_for_selector("[role=alert]")
    assert panel.page.input_value("#event") == typed


def test_unknown_events_and_deliveries(panel: Any, shop: Any) -> None:
    """An event that there is not is asked for again, with the time that helps; a delivery that there is not is a page."""
    shop.webhook("unknown")
    panel.open(f"/s/{shop.store}/events/evt_nowhere")
    assert panel.page.input_value("#event") == "evt_nowhere"
    panel.shoot("event-unknown")
    panel.open(f"/s/{shop.store}/log/msg_nowhere")
    assert "no such delivery" in panel.page.locator("[role=alert]").inner_text()

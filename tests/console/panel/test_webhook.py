"""The page of one webhook: its states, its secret, its end, its test, its statistics, and the doctor from broken to all green."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from playwright.sync_api import expect

HOSTILE: Final = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{7*7}}javascript:alert(3)'


def new(shop: Any, status: int = 200, **more: Any) -> tuple[str, str]:
    """Return the id of a new webhook and the path of its receiver."""
    path = f"w{os.urandom(4).hex()}"
    return shop.webhook(path, status, **more), path


def open_page(panel: Any, shop: Any, webhook: str, more: str = "") -> Any:
    """Open a webhook's page."""
    return panel.open(f"/s/{shop.store}/webhooks/{webhook}{more}")


def ailments(panel: Any, shop: Any, webhook: str) -> list[str]:
    """Return what the doctor says now, the gravest first."""
    page = open_page(panel, shop, webhook)
    return [str(one.get_attribute("data-ailment")) for one in page.locator(".doctor article").all()]


def told(panel: Any, ailment: str) -> str:
    """Return the words of a diagnosis on the page."""
    text: str = panel.page.locator(f"[data-ailment={ailment}]").inner_text()
    return text


def notice(panel: Any) -> str:
    """Return what is said to have been done."""
    text: str = panel.page.locator(".notice.good[role=status]").first.inner_text()
    return text


def press(panel: Any, text: str) -> None:
    """Press a button that asks first, and its second one."""
    panel.page.click(f"summary:has-text('{text}')")
    panel.page.locator("details.ask[open] button").click()


# ---- from broken to all green ----


def test_the_doctor_sees_a_receiver_break_and_mend(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Nothing yet → a test → all well → 401 since when, and what was given up → mended and replayed → all green."""
    webhook, path = new(shop, name="Order desk")
    assert ailments(panel, shop, webhook) == ["quiet"]
    assert "3 attempts in 1.3 seconds" in panel.page.locator("dl.facts").inner_text()  # the tests' own schedule
    panel.accessible()
    panel.shoot("webhook-new")
    panel.page.click(".doctor a:text-is('Send a test')")
    panel.page.click("button:has-text('Send the test')")
    assert "The receiver took it: 200 OK" in panel.page.locator(".answer").inner_text()
    shop.publish()
    shop.logged(2)
    assert ailments(panel, shop, webhook) == ["well"]
    assert "2 calls of 2 in the last 24 hours succeeded, the last one too; test calls count." in told(panel, "well")
    assert "1 attempt" in panel.page.locator(".tile", has_text="Deliveries, 30 days").inner_text()

    shop.stack.receiver.answers[f"/{path}"] = (401, HOSTILE.encode())
    shop.publish()
    until(lambda: shop.lines("each=attempt&outcome=dead&status=401"), what="the delivery to be given up")
    until(lambda: ailments(panel, shop, webhook) == ["unauthorized", "letters"], what="the doctor to know the dead letter")
    words = told(panel, "unauthorized")
    assert "401 Unauthorized" in words
    assert "3 calls failed like this since then, without a success between" in words
    assert panel.page.locator("[data-ailment=unauthorized] time").get_attribute("datetime")
    panel.accessible()
    panel.shoot("webhook-broken")
    panel.page.click("[data-ailment=unauthorized] >> text=See them in the log")
    assert panel.page.locator("#log-rows tr[data-key]").count() == 3

    shop.stack.receiver.answers[f"/{path}"] = (200, b"thanks")
    assert shop.admin.post("/replays", {"source": "dead_letters"}).status == 201
    until(lambda: shop.lines(f"webhook={webhook}&outcome=delivered&trigger=replay"), what="the replay to be delivered")
    until(lambda: ailments(panel, shop, webhook) == ["well"], what="the doctor to be content")
    assert "It works again" in told(panel, "well")
    assert "1 dead letter of these 24 hours was replayed" in told(panel, "well")
    panel.shoot("webhook-mended")


def test_what_cannot_be_reached_is_told_as_that(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """A port on which nobody listens: refused, with the network's own words; another kind of failure before it is told with its end."""
    webhook, path = new(shop, 503)
    shop.publish()
    until(lambda: shop.lines(f"webhook={webhook}&each=attempt&outcome=dead"), what="the first to be given up")
    reply = shop.admin.get(f"/webhooks/{webhook}")
    changed = shop.admin.call("PATCH", f"/webhooks/{webhook}", {"url": f"http://127.0.0.1:1/{path}"}, {"If-Match": reply.headers["etag"]})
    assert changed.status == 200
    until(lambda: ailments(panel, shop, webhook) == ["moved", "letters"], what="the doctor to know the dead letter")
    shop.publish()
    until(lambda: shop.lines(f"webhook={webhook}&outcome=dead&error=connect_error"), what="the second to be given up")
    assert ailments(panel, shop, webhook)[0] == "nobody_listens"
    assert "no connection: Connection refused" in told(panel, "nobody_listens")
    titles = panel.page.locator(".doctor h3").all_inner_texts()
    assert not [title for title in titles if re.search(r"since (.+) until \1", title)]


# ---- states ----


def test_a_pause_holds_and_a_resumption_delivers(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Pause → what comes is held, and the doctor counts it → resume → it is delivered."""
    webhook, path = new(shop)
    page = open_page(panel, shop, webhook)
    page.click("button:text-is('Pause')")
    assert "held until you resume it" in notice(panel)
    shop.publish()
    shop.logged(1, f"webhook={webhook}&error=paused")
    assert ailments(panel, shop, webhook) == ["paused"]
    assert "1 delivery is held" in told(panel, "paused")
    panel.accessible()
    panel.shoot("webhook-paused")
    page.click("[data-ailment=paused] button")
    assert "delivered within minutes" in notice(panel)
    until(lambda: [call for call in shop.stack.receiver.calls if call[0] == f"/{path}"], what="the held delivery")
    until(lambda: ailments(panel, shop, webhook) == ["well"], what="the doctor to be content")


def test_disabling_takes_a_reason_and_enabling_ends_it(panel: Any, shop: Any) -> None:
    """The reason is shown as it was typed; one that is too long is told beside the field and not lost."""
    webhook, _ = new(shop)
    page = open_page(panel, shop, webhook)
    page.click("summary:has-text('Disable')")
    page.evaluate("document.getElementById('reason').removeAttribute('maxlength')")
    page.fill("#reason", "x" * 300)
    page.click("button:has-text('Disable it')")
    assert page.locator("#reason").input_value() == "x" * 300
    assert page.locator("#reason").get_attribute("aria-invalid") == "true"
    page.fill("#reason", HOSTILE)
    page.click("button:has-text('Disable it')")
    assert "gets no events" in notice(panel)
    assert HOSTILE in told(panel, "disabled")
    panel.accessible()
    panel.shoot("webhook-disabled")
    page.click(".head >> button:text-is('Enable')")
    assert "gets events again" in notice(panel)
    assert page.locator("text=Enabled").count() >= 1


def test_a_410_disables_and_says_so(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """In the words of the doctor, once."""
    webhook, _ = new(shop, 410)
    shop.publish()
    until(lambda: shop.admin.get(f"/webhooks/{webhook}").json["state"] == "disabled", what="the webhook to be disabled")
    until(lambda: ailments(panel, shop, webhook) == ["gone", "letters"], what="the doctor to have read the log")
    assert "410 Gone" in told(panel, "gone")


# ---- secret and end ----


def test_a_rotated_secret_signs_and_is_shown_once(panel: Any, shop: Any) -> None:
    """Without an overlap, as after a leak: the next call is signed by the new secret alone; loading the page again rotates nothing."""
    webhook, path = new(shop)
    page = open_page(panel, shop, webhook)
    page.click("text=Rotate the secret")
    panel.accessible()
    panel.shoot("webhook-rotate")
    page.select_option("#overlap", "0")
    page.click("button:has-text('Make a new secret')")
    secret = page.locator(".code code").inner_text()
    assert secret.startswith("whsec_")
    assert "signs nothing any more" in page.locator("main").inner_text()
    panel.accessible()
    panel.shoot("webhook-secret")
    version = shop.admin.get(f"/webhooks/{webhook}").json["version"]
    page.reload()
    assert page.url.endswith(f"/webhooks/{webhook}")
    assert "changed since" in panel.post(f"/s/{shop.store}/webhooks/{webhook}/rotate", version=str(version - 1), overlap="0").text()
    assert shop.admin.get(f"/webhooks/{webhook}").json["version"] == version
    assert secret not in page.content()
    assert secret not in open_page(panel, shop, webhook).content()

    assert shop.admin.post(f"/webhooks/{webhook}/test", {}).json["outcome"] == "delivered"
    _, headers, body = next(call for call in shop.stack.receiver.calls if call[0] == f"/{path}")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_a_rotation_with_an_overlap_says_until_when(panel: Any, shop: Any) -> None:
    """On the page of the secret, and among the facts."""
    webhook, _ = new(shop)
    page = open_page(panel, shop, webhook, "/rotate")
    page.click("button:has-text('Make a new secret')")
    assert "two signatures" in page.locator("main").inner_text()
    page.click("text=Back to the webhook")
    assert "signs too until" in page.locator(".facts").inner_text()


def test_deleting_asks_first(panel: Any, shop: Any) -> None:
    """Nothing is gone before the second button; a change by somebody else in between is told, and deletes nothing."""
    webhook, _ = new(shop)
    page = open_page(panel, shop, webhook)
    page.click("summary:has-text('Delete')")
    expect(page.locator("button:has-text('Delete it for good')")).to_be_in_viewport(ratio=1)
    panel.accessible()
    assert shop.admin.get(f"/webhooks/{webhook}").status == 200
    page.keyboard.press("Escape")
    assert shop.admin.post(f"/webhooks/{webhook}/pause").status == 200
    press(panel, "Delete")
    assert "by now" in page.locator("[role=alert]").first.inner_text()
    press(panel, "Delete")
    assert "deleted" in notice(panel)
    assert shop.admin.get(f"/webhooks/{webhook}").status == 404
    with page.expect_response(f"**/{webhook}") as answer:
        open_page(panel, shop, webhook)
    assert answer.value.status == 404


# ---- tests ----


def test_a_test_sends_what_was_typed(panel: Any, shop: Any) -> None:
    """The example of any type is put in, changed and sent; the answer is escaped, whatever the receiver says."""
    webhook, path = new(shop, 500, name=HOSTILE)
    shop.stack.receiver.answers[f"/{path}"] = (500, json.dumps({"said": HOSTILE}).encode())
    page = open_page(panel, shop, webhook, "/test")
    page.select_option("#event_type", "customer.created")
    page.click("button:has-text('Put its example in')")
    assert page.locator("#event_type").input_value() == "customer.created"
    data = json.loads(page.locator("#data").input_value())
    page.fill("#data", json.dumps(data))
    page.click("button:has-text('Send the test')")
    answer = page.locator(".answer").inner_text()
    assert "The receiver fails: 500 Internal Server Error" in answer
    assert "onerror=alert(1)" in answer
    assert page.locator(".answer img, .answer script").count() == 0
    panel.accessible()
    panel.shoot("webhook-test")
    sent = next(json.loads(call[2]) for call in shop.stack.receiver.calls if call[0] == f"/{path}")
    assert (sent["type"], sent["data"]) == ("customer.created", data)
    assert page.locator("#data").input_value() == json.dumps(data)
    shop.logged(1, "trigger=test")
    page.click(".answer .facts a")
    assert "customer.created" in panel.heading()


@pytest.mark.parametrize(
    ("data", "words"),
    [("{", "The data is no JSON"), ("[1]", "must be a JSON object"), ('{"order": 7}', "order"), ("{}", ""), ('{"a":"\\ud800"}', "")],
    ids=["cut off", "a list", "a wrong type", "empty", "half a surrogate"],
)
def test_data_that_cannot_be_sent_is_told_and_kept(panel: Any, shop: Any, data: str, words: str) -> None:
    """The receiver is not called, the field is marked, the text stays."""
    webhook, path = new(shop)
    page = open_page(panel, shop, webhook, "/test")
    page.fill("#data", data)
    page.click("button:has-text('Send the test')")
    assert words in page.locator("[role=alert]").inner_text()
    assert page.locator("#data").input_value() == data
    assert page.locator("#data").get_attribute("aria-invalid") == "true"
    assert not [call for call in shop.stack.receiver.calls if call[0] == f"/{path}"]


def test_a_test_that_gets_no_answer_says_why(panel: Any, shop: Any) -> None:
    """In plain words, with the network's own."""
    made = shop.admin.post("/webhooks", {"url": "http://127.0.0.1:1/closed", "event_types": ["order.created"]})
    page = open_page(panel, shop, made.json["id"], "/test")
    page.click("button:has-text('Send the test')")
    answer = page.locator(".answer").inner_text()
    assert "Nobody listens at 127.0.0.1" in answer
    assert "no answer" in answer
    shop.logged(1, "trigger=test")
    for path in ("log", "log?each=attempt"):
        panel.open(f"/s/{shop.store}/{path}")
        assert page.locator("#log-rows .badge").all_inner_texts() == ["Failed"]
    page.click("#log-rows th a")
    assert set(page.locator("main .badge").all_inner_texts()) == {"Failed"}
    open_page(panel, shop, made.json["id"])
    assert page.locator("section:has-text('Last deliveries') td .badge").all_inner_texts() == ["Failed"]


# ---- what is shown ----


def test_statistics_of_three_spans(panel: Any, shop: Any) -> None:
    """Days for the month, hours for less; errors lead into the log."""
    webhook, _ = new(shop, 503)
    shop.publish()
    shop.logged(3, f"webhook={webhook}&each=attempt")
    page = open_page(panel, shop, webhook)
    for key, text, rows, each in (("30d", "30 days", 30, "day"), ("7d", "7 days", 168, "hour"), ("24h", "24 hours", 24, "hour")):
        page.click(f".spans >> text={text}")
        page.wait_for_url(f"**?span={key}")
        assert f"Deliveries, {text}" in page.locator(".tiles").inner_text()
        chart = page.locator(f"section:has(h2:text-is('Attempts by {each}')) table")
        assert chart.locator("tbody tr").count() == rows
    panel.accessible()
    panel.shoot("webhook-24h")
    page.click(".shares >> text=503 Service Unavailable")
    assert page.locator("#log-rows tr[data-key]").count() == 3


def test_nothing_that_was_typed_becomes_markup(panel: Any, shop: Any) -> None:
    """Names, URLs, header names, filters, and what a receiver says."""
    webhook, _ = new(shop, name=HOSTILE, filter="data.order.number != '<script>alert(4)</script>{{7*7}}'", headers={"x-b": "<i>"})
    shop.publish()
    shop.logged(1)
    page = open_page(panel, shop, webhook)
    assert panel.heading() == HOSTILE
    assert "<script>alert(4)</script>{{7*7}}" in page.locator(".facts").inner_text()
    assert page.locator("main img, main script, main i").count() == 0
    assert "<i>" not in page.content()
    panel.shoot("webhook-hostile")


def test_a_viewer_sees_all_and_may_change_nothing(panel: Any, shop: Any, another: Callable[[], Any]) -> None:
    """No button that would be refused; a form that is sent all the same is refused."""
    webhook, _ = new(shop)
    page = panel.open(f"/s/{shop.store}/users")
    page.fill("#login", f"{shop.store}@example.com")
    page.fill("#name", "Vera Viewer")
    page.select_option("[name=role]", "viewer")
    page.click("form:has(#login) button")
    link = page.locator("code:has-text('/welcome/')").first.inner_text()
    viewer = another()
    viewer.page.goto(link)
    viewer.page.fill("#password", "seven wet otters sing 48")
    viewer.page.fill("#again", "seven wet otters sing 48")
    viewer.page.click("button.first")
    viewer.page.wait_for_url(f"**/s/{shop.store}")
    seen = open_page(viewer, shop, webhook)
    assert seen.locator("main form, main .button, main summary.button").count() == 0
    assert seen.locator(".doctor article").count() == 1
    token = seen.locator("input[name=token]").first.get_attribute("value")
    refused = viewer.page.request.post(f"{viewer.base}/s/{shop.store}/webhooks/{webhook}/pause", form={"token": token})
    assert refused.status == 403
    assert shop.admin.get(f"/webhooks/{webhook}").json["state"] == "enabled"


def test_another_stores_webhook_is_not_there(panel: Any, shop: Any) -> None:
    """Under this store's address it is as if it were not."""
    webhook, _ = new(shop)
    for more in ("", "/test", "/rotate"):
        with panel.page.expect_response(f"**/webhooks/{webhook}{more}") as answer:
            panel.open(f"/s/other-store/webhooks/{webhook}{more}")
        assert answer.value.status == 404

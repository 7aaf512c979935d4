"""Webhooks in the panel: the list, a new one with its secret, a change that meets another, the filter lab, hostile texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from hookline.console.panel.wording import DASH

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Panel = Any  # the fixtures' classes stand in conftest.py
Shop = Any
AMOUNT: Final = "data.order.totals.grand_total.amount_minor"
HOSTILE: Final = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "{{7*7}}",
    "javascript:alert(1)",
    "' onmouseover='alert(1)",
)
SAVE: Final = "form.hook .actions button.first"


def new(panel: Panel, shop: Shop, path: str = "", *types: str, **address: str) -> Any:
    """Open the form of a new webhook, with URL and ticks filled in."""
    query = "&".join(f"{name}={value}" for name, value in address.items())
    page = panel.open(f"/s/{shop.store}/webhooks/new{query and '?'}{query}")
    if path:
        page.fill("#url", shop.stack.receiver.url(path))
    for name in types:
        page.check(f"input[value='{name}']")
    return page


# ---- the list ----


def test_a_store_without_webhooks_is_told_what_they_are(panel: Panel, shop: Shop) -> None:
    """The empty list teaches, and leads to the form."""
    page = panel.open(f"/s/{shop.store}/webhooks")
    assert "No webhooks yet" in page.inner_text("main")
    panel.accessible()
    panel.shoot("webhooks-empty")
    page.click("text=Make the first one")
    assert panel.heading() == "New webhook"


def test_the_list_shows_health_and_is_narrowed_by_its_address(panel: Panel, shop: Shop, until: Callable[..., None]) -> None:
    """A webhook that works, one that fails, one that is paused: words and numbers; each filter lets the right ones through."""
    good = shop.webhook(f"{shop.store}/good", name="Order desk")
    shop.webhook(f"{shop.store}/bad", status=500, name="Broken shop")
    paused = shop.webhook(f"{shop.store}/quiet", name="Holiday", event_types=["return.created"])
    assert shop.admin.post(f"/webhooks/{paused}/pause").status == 200
    shop.publish()
    until(lambda: shop.lines("outcome=delivered") and shop.lines("outcome=dead"), what="a delivery and a dead letter")
    page = panel.open(f"/s/{shop.store}/webhooks")
    rows = {row.locator("th a").inner_text(): row.inner_text() for row in page.locator("table.hooks tbody tr").all()}
    assert list(rows) == ["Order desk", "Broken shop", "Holiday"]
    assert "Well" in rows["Order desk"]
    assert "100" in rows["Order desk"]
    assert "Failing" in rows["Broken shop"]
    assert "Paused" in rows["Holiday"]
    panel.accessible()
    panel.shoot("webhooks")
    page.click(".chips >> text=Failing")
    assert "health=failing" in page.url
    assert page.locator("table.hooks tbody tr").count() == 1
    page.select_option("#health", "")
    page.fill("#text", "HOLI")
    page.select_option("#state", "paused")
    page.select_option("#event_type", "return.created")
    page.click("form.filters button")
    assert [row.inner_text() for row in page.locator("table.hooks th a").all()] == ["Holiday"]
    page.fill("#text", "nothing like it")
    page.click("form.filters button")
    assert "No webhook fits" in page.inner_text("main")
    page.click("text=Show all of them")
    page.click("text=Order desk")
    assert good in page.url


def test_a_long_list_has_pages(panel: Panel, shop: Shop) -> None:
    """51 webhooks are two pages; the filters go along."""
    types = sorted(one["name"] for one in shop.admin.get("/event-types").json["data"])
    for number in range(51):
        shop.webhook(f"{shop.store}/{number}", name=f"Number {number}", event_types=[types[number % len(types)]])
    page = panel.open(f"/s/{shop.store}/webhooks?text=number")
    assert page.locator("table.hooks tbody tr").count() == 50
    page.click("text=Next →")
    assert [row.inner_text() for row in page.locator("table.hooks th a").all()] == ["Number 50"]
    assert "text=number" in page.url
    page.click("text=← Back")
    assert page.locator("table.hooks tbody tr").count() == 50


# ---- a new one ----


def test_from_the_form_to_the_secret_to_the_list(panel: Panel, shop: Shop) -> None:
    """The URL is checked while one types; the secret shows once, verifies nothing less than the next call, and is gone after that."""
    page = new(panel, shop, f"{shop.store}/made", "order.created", "order.paid")
    page.wait_for_selector("#url-said >> text=Allowed")
    page.fill("#name", "Made by hand")
    page.fill("#headers", "X-Token: s3cret\nX-Shop: eins")
    page.fill("#timeout_s", "7")
    page.select_option("#schedule", "long")
    panel.accessible()
    panel.shoot("webhook-new")
    page.click(SAVE)
    page.wait_for_selector("text=shown this once")
    secret = page.locator(".secret code").inner_text()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    for name in ("Node", "PHP", "Python"):  # Python is open at first, and closes with the next
        page.click(f"summary >> text={name}")
        assert "WEBHOOK_SECRET" in page.locator(f"details.snippet[open]:has-text('{name}') pre").first.inner_text()
    panel.accessible()
    panel.shoot("webhook-made")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click(".secret [data-copy]")
    page.wait_for_selector(".secret >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.reload()  # goes to the webhook, and makes no second one
    assert "Made by hand" in panel.heading()
    assert secret not in page.content()
    page = panel.open(f"/s/{shop.store}/webhooks")
    assert [row.inner_text() for row in page.locator("table.hooks th a").all()] == ["Made by hand"]
    [made] = shop.admin.get("/webhooks").json["data"]
    assert (made["event_types"], made["timeout_s"], made["schedule"]) == (["order.created", "order.paid"], 7.0, "long")
    assert made["headers"] == {"x-token": "********", "x-shop": "********"}


def test_what_was_typed_is_never_lost(panel: Panel, shop: Shop) -> None:
    """A form that is refused comes back as it was, with the fault and its field; the URL is told why while one types."""
    page = new(panel, shop, "", "order.created")
    page.fill("#url", "http://10.0.0.1/hooks")
    page.wait_for_selector("#url-said >> text=Not allowed")
    page.fill("#name", "Kept")
    page.fill("#headers", "X-One: 1")
    page.click(SAVE)
    assert "The URL is not allowed" in page.inner_text("#problem")
    assert page.get_attribute("#url", "aria-invalid") == "true"
    kept = [page.input_value(field) for field in ("#url", "#name", "#headers")]
    assert kept == ["http://10.0.0.1/hooks", "Kept", "X-One: 1"]
    assert page.is_checked("input[value='order.created']")
    page.uncheck("input[value='order.created']")
    page.fill("#url", shop.stack.receiver.url(f"{shop.store}/kept"))
    page.click(SAVE)
    assert "Tick at least one event type" in page.inner_text("#problem")
    assert "Tick at least one event type" in page.inner_text("section:has(#types-title) .wrong")
    panel.accessible()
    for headers, said in (("no colon", "Line 1 of the headers"), ("Host: x", "set by Hookline"), ("X-One: ********", "Give the value")):
        page.check("input[value='order.created']")
        page.fill("#headers", headers)
        page.click(SAVE)
        assert said in page.inner_text("#problem")
        assert page.get_attribute("#headers", "aria-invalid") == "true"


def test_what_is_wrong_is_said_beside_its_field_and_stays_there(panel: Panel, shop: Shop) -> None:
    """The field has the focus and is in view with what is wrong with it; the filter lab stands above from the start and pushes nothing."""
    page = new(panel, shop, f"{shop.store}/wrong", "order.created")
    page.fill("#filter", f"{AMOUNT} > 0")
    page.fill("#headers", "X-Bad")
    page.add_init_script(
        "const add = (list) => list.getEntries().forEach((one) => { window.moved = (window.moved || 0) + one.value; });"
        "new PerformanceObserver(add).observe({type: 'layout-shift', buffered: true});"
    )
    page.click(SAVE)
    page.wait_for_selector(".wrong")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    assert page.evaluate("document.activeElement.id") == "headers"
    assert page.locator(".field:has(#headers) .wrong").inner_text().startswith("Line 1 of the headers")
    assert "Line 1 of the headers" in page.inner_text("#problem")
    assert "no real event" in page.inner_text("#lab")
    for part in ("#headers", ".field:has(#headers) .wrong"):
        box = page.locator(part).bounding_box()
        assert 0 <= box["y"] <= 900 - box["height"], part
    assert page.evaluate("window.moved || 0") == 0


def test_a_second_webhook_for_the_same_url_is_told_before_it_is_made(panel: Panel, shop: Shop) -> None:
    """While one types, and again by the answer to the form."""
    first = shop.webhook(f"{shop.store}/twice", name="The first")
    page = new(panel, shop, f"{shop.store}/twice", "order.created")
    page.wait_for_selector("#url-said >> text=The first")
    assert page.get_attribute("#url-said a", "href") == f"/s/{shop.store}/webhooks/{first}"
    page.click(SAVE)
    assert "Another webhook already sends order.created to this URL" in page.inner_text("#problem")
    assert page.get_attribute("#problem a", "href") == f"/s/{shop.store}/webhooks/{first}"
    page.uncheck("input[value='order.created']")
    page.check("input[value='order.paid']")
    page.wait_for_selector("#url-said >> text=Allowed")


# ---- a change ----


def test_a_change_keeps_what_is_hidden(panel: Panel, shop: Shop) -> None:
    """The value of a header that stays masked goes on being sent; one that is removed is not; nothing else changes."""
    hook = shop.webhook(f"{shop.store}/edit", name="Before", headers={"X-Token": "s3cret", "X-Old": "old"})
    page = panel.open(f"/s/{shop.store}/webhooks/{hook}/edit")
    panel.accessible()
    panel.shoot("webhook-edit")
    page.fill("#name", "After")
    page.fill("#headers", "x-token: ********\nX-New: new")
    page.click(SAVE)
    page.wait_for_url("**done=webhook-saved")
    shop.publish()
    shop.logged(1)
    [headers] = [headers for path, headers, _ in shop.stack.receiver.calls if path == f"/{shop.store}/edit"]
    assert (headers["x-token"], headers["x-new"], "x-old" in headers) == ("s3cret", "new", False)
    found = shop.admin.get(f"/webhooks/{hook}").json
    assert (found["name"], found["version"]) == ("After", 2)
    page = panel.open(f"/s/{shop.store}/webhooks/{hook}/edit")
    page.click(SAVE)
    page.wait_for_url("**done=webhook-unchanged")
    assert shop.admin.get(f"/webhooks/{hook}").json["version"] == 2


def test_two_changes_at_once_lose_nothing(panel: Panel, shop: Shop, another: Callable[[], Panel]) -> None:
    """Who comes second sees both versions and what differs, keeps what was typed, and may save over the first, knowingly."""
    hook = shop.webhook(f"{shop.store}/both", name="Before")
    page = panel.open(f"/s/{shop.store}/webhooks/{hook}/edit")
    other = another()
    other.sign_in()
    other.page.wait_for_url("**/stores")
    other.open(f"/s/{shop.store}/webhooks/{hook}/edit")
    other.page.fill("#name", HOSTILE[0])
    other.page.click(SAVE)
    other.page.wait_for_url("**done=webhook-saved")
    page.fill("#name", "Mine")
    page.fill("#filter", f"{AMOUNT} > 1")
    page.click(SAVE)
    assert "Somebody else changed this webhook" in page.inner_text("#problem")
    differing = [row.inner_text().split("\t") for row in page.locator("table tbody tr:has(td.differing)").all()]
    assert differing == [["Name", HOSTILE[0], "Mine"], ["Filter", DASH, f"{AMOUNT} > 1"]]
    assert (page.input_value("#name"), page.input_value("#filter")) == ("Mine", f"{AMOUNT} > 1")
    panel.accessible()
    panel.shoot("webhook-edit-stale")
    assert shop.admin.get(f"/webhooks/{hook}").json["name"] == HOSTILE[0]
    page.click("text=Save mine over it")
    page.wait_for_url("**done=webhook-saved")
    found = shop.admin.get(f"/webhooks/{hook}").json
    assert (found["name"], found["filter"], found["version"]) == ("Mine", f"{AMOUNT} > 1", 3)


def test_a_deleted_webhook_cannot_be_edited(panel: Panel, shop: Shop) -> None:
    """Its form is gone; another store's webhook is not there either."""
    hook = shop.webhook(f"{shop.store}/gone")
    with panel.page.expect_response("**/edit") as told:
        panel.open(f"/s/{shop.store}x/webhooks/{hook}/edit")
    assert told.value.status == 404
    page = panel.open(f"/s/{shop.store}/webhooks/{hook}/edit")
    assert shop.admin.call("DELETE", f"/webhooks/{hook}", None, {"If-Match": "*"}).status == 204
    page.click(SAVE)
    page.wait_for_selector("text=There is no such webhook")


# ---- the lab ----


def test_the_filter_lab_tries_real_events_while_one_types(panel: Panel, shop: Shop) -> None:
    """Which of the last events would be sent, by what value; a fault with its place; nothing is saved by it."""
    events = [shop.publish() for _ in range(3)]
    page = new(panel, shop, f"{shop.store}/lab", "order.created")
    page.wait_for_selector("#lab >> text=every event is sent")
    page.fill("#filter", f"{AMOUNT} > 1")
    page.wait_for_selector("#lab >> text=3 of 3 real events")
    assert [page.locator(f"#lab >> text={event}").count() for event in events] == [1, 1, 1]
    assert page.locator(f".looked >> text={AMOUNT}").count() == 3
    page.fill("#filter", f"{AMOUNT} > 99999999")
    page.wait_for_selector("#lab >> text=0 of 3 real events")
    page.fill("#filter", f"{AMOUNT} = 1")
    page.wait_for_selector("#lab >> text=no CEL at position")
    assert page.inner_text("#lab mark") == "="
    panel.accessible()
    page.check("input[value='return.created']")
    page.fill("#filter", "data.nonsense == 1")
    page.wait_for_selector("#lab >> text=the catalogue's example")
    assert page.locator("#lab td .badge.bad").all_inner_texts() == ["Fails"] * 4
    assert "at position 6" in page.locator("#lab .looked").first.inner_text()
    assert page.inner_text("#lab mark") == "n"
    panel.shoot("webhook-lab")
    assert shop.admin.get("/webhooks").json["data"] == []


def test_a_store_without_events_tries_the_examples(panel: Panel, shop: Shop) -> None:
    """Before the first event the catalogue's examples stand in, and that is said."""
    page = new(panel, shop, "", "customer.created")
    page.fill("#filter", "data.customer.email.endsWith('example.com')")
    page.wait_for_selector("#lab >> text=examples stand in")
    assert page.locator("#lab .badge").count() == 1


def test_the_form_works_without_a_script(panel: Panel, shop: Shop) -> None:
    """The button tries the filter, what was typed stays, and the webhook is made."""
    shop.publish()
    context = panel.page.context.browser.new_context(java_script_enabled=False, storage_state=panel.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{panel.base}/s/{shop.store}/webhooks/new")
    page.fill("#url", shop.stack.receiver.url(f"{shop.store}/plain"))
    page.check("input[value='order.created']")
    page.fill("#filter", f"{AMOUNT} > 1")
    page.click("button[name=try]")
    assert "1 of 1 real event" in page.inner_text("#lab")
    assert (page.input_value("#filter"), page.is_checked("input[value='order.created']")) == (f"{AMOUNT} > 1", True)
    page.press("#url", "Enter")
    assert page.locator(".secret code").inner_text().startswith("whsec_")
    [made] = shop.admin.get("/webhooks").json["data"]
    page.goto(f"{panel.base}/s/{shop.store}/webhooks/{made['id']}/edit")
    page.fill("#filter", "nothing")
    page.click("button[name=try]")
    assert "which is not there" in page.inner_text("#lab")
    context.close()


# ---- hostile texts, and who may what ----


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_texts(panel: Panel, shop: Shop, text: str) -> None:
    """In name, URL, filter, headers and the data of events: shown as they are, run by nobody."""
    data = shop.admin.get("/event-types/order.created").json["example"]
    data["order"]["number"] = text
    assert shop.admin.post("/events", {"type": "order.created", "data": data}).status == 202
    path = f"{shop.store}/?a={''.join(c for c in text if c.isalnum())}"
    shop.webhook(path, name=text, filter="data.order.number != 'x'")
    page = panel.open(f"/s/{shop.store}/webhooks")
    assert page.locator("table.hooks th a").inner_text() == text
    page.fill("#text", text)
    page.click("form.filters button")
    assert page.input_value("#text") == text
    assert page.locator("table.hooks th a").inner_text() == text
    page = new(panel, shop, path, "order.created")
    page.wait_for_selector("#url-said a")
    assert page.inner_text("#url-said a") == text
    page.fill("#filter", "data.order.number != 'x'")
    page.wait_for_selector("#lab .looked code")
    assert text[:4] in page.locator("#lab .looked code").last.inner_text()
    page.fill("#filter", text)
    page.wait_for_selector("#lab .notice.bad")
    page.fill("#url", text)
    page.wait_for_selector("#url-said >> text=Not allowed")
    page.fill("#headers", text)
    page.click(SAVE)
    assert [page.input_value(field) for field in ("#url", "#filter", "#headers")] == [text, text, text]
    assert page.locator("main img, main script").count() == 0

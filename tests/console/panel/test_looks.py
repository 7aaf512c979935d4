"""How pages look: nothing is cut, at 1280 px or on a phone; the tab one is on is in sight; light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

PHONE: Final = {"width": 390, "height": 844}
DESK: Final = {"width": 1280, "height": 900}
LONG: Final = "a" * 40 + "/" + "b" * 60
OPERATORS: Final = ("/stores", "/users", "/audit", "/account")
STORES: Final = ("", "/webhooks", "/log", "/dead-letters", "/dead-letters?replayed=all", "/replays", "/keys", "/users", "/audit")


@pytest.fixture
def phone(panel: Any) -> Iterator[Any]:
    """Yield the operator's browser, as wide as a phone."""
    panel.page.set_viewport_size(PHONE)
    yield panel
    panel.page.set_viewport_size(DESK)


def cut(panel: Any) -> list[str]:
    """Return the regions of a page of which a part is reached by scrolling sideways alone; charts and code may be so."""
    found: list[str] = panel.page.locator(".scroll:not(.chart *)").evaluate_all(
        "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.getAttribute('aria-label'))"
    )
    return found


def test_a_phone_shows_every_list_whole(phone: Any, shop: Any, until: Callable[..., None]) -> None:
    """With a webhook known by a long URL alone, its dead letter and a replay: lists become cards, and nobody scrolls sideways."""
    webhook = shop.webhook(LONG, status=500)
    shop.webhook("choosy", filter="data.order.totals.grand_total.amount_minor > 99999999 && data.order.customer.email != ''")
    event = shop.publish()
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={webhook}").json["total"] == 1, what="the dead letter")
    shop.logged(1, "outcome=dead")
    made = shop.admin.post("/replays", {"source": "dead_letters"}).json["id"]
    until(lambda: shop.admin.get(f"/replays/{made}").json["finished_at"], what="the end of the replay")
    mine = (*STORES, f"/webhooks/{webhook}", f"/replays/{made}", f"/events/{event}")
    addresses = (*OPERATORS, *(f"/s/{shop.store}{path}" for path in mine))
    for address in addresses:
        phone.open(address)
        assert cut(phone) == [], address
        phone.accessible()


def test_the_attempts_of_a_row_are_whole_on_a_phone(phone: Any, shop: Any) -> None:
    """Opened within the log, where there is no room for their seven columns beside each other."""
    shop.webhook("folded", status=500)
    shop.publish()
    shop.logged(1, "outcome=dead")
    phone.open(f"/s/{shop.store}/log")
    phone.page.locator("#log-rows [data-unfold]").first.click()
    phone.page.wait_for_selector("tr.unfolded table")
    assert phone.page.locator("tr.unfolded tbody tr").count() == 3
    assert phone.page.locator("tr.unfolded > td").evaluate("cell => cell.scrollWidth <= cell.clientWidth")
    phone.accessible()
    phone.page.screenshot(path=phone.screens / "log-folded-phone.png")


def test_a_key_is_revoked_on_a_phone(phone: Any, shop: Any) -> None:
    """The button is on the screen, without scrolling sideways."""
    phone.open(f"/s/{shop.store}/keys")
    button = phone.page.locator("tbody summary:has-text('Revoke')").first
    box = button.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_the_tab_one_is_on_is_in_sight(phone: Any, browser: Any, shop: Any) -> None:
    """A script scrolls the menu of a phone there; without one all tabs are in sight."""
    for section in ("", "/log", "/audit"):
        phone.open(f"/s/{shop.store}{section}")
        box = phone.page.locator("nav a[aria-current]").bounding_box()
        assert box["x"] >= 0, section
        assert box["x"] + box["width"] <= PHONE["width"], section
    context = browser.new_context(java_script_enabled=False, viewport=PHONE, storage_state=phone.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{phone.base}/s/{shop.store}/audit")
    boxes = [tab.bounding_box() for tab in page.locator("nav[aria-label=Pages] a").all()]
    context.close()
    assert len(boxes) == 9
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"] for box in boxes)


def test_a_long_url_cuts_no_table_of_the_overview(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """A webhook without a name, and one with an endless name: their rows are as wide as the others."""
    webhooks = [shop.webhook(LONG, status=500), shop.webhook("named", status=500, name="n" * 90)]
    shop.publish()
    until(lambda: shop.admin.get("/dead-letters/count").json["total"] == 2, what="the dead letters")
    shop.logged(2, "outcome=dead")
    until(lambda: panel.open(f"/s/{shop.store}").locator("tbody tr", has_text=LONG).count() == 2, what="both tables of the overview")
    assert cut(panel) == []
    assert len(webhooks) == panel.page.locator("table", has_text="Success, 24 h").locator("tbody tr").count()


def test_dead_letters_of_a_long_name_are_whole(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """At 1280 px all columns are on the screen, those of replayed ones too."""
    shop.webhook("long", status=500, name="Warehouse of the north " * 5, event_types=["checkout.shipping_viewed"])
    shop.publish("checkout.shipping_viewed")
    until(lambda: shop.admin.get("/dead-letters/count").json["total"] == 1, what="the dead letter")
    for query in ("", "?replayed=all"):
        panel.open(f"/s/{shop.store}/dead-letters{query}")
        assert panel.page.locator("tbody tr").count() == 1
        assert cut(panel) == [], query


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_copy_button_lies_on_no_code(panel: Any, shop: Any, size: dict[str, int]) -> None:
    """Lines that are longer than their box scroll in it, beside the button or above it."""
    panel.page.set_viewport_size(size)
    panel.open(f"/s/{shop.store}/catalogue/order.created")
    boxes = panel.page.locator("div.code")
    assert boxes.count() == 3
    for box in boxes.all():
        code, button = box.locator("pre").bounding_box(), box.locator("[data-copy]").bounding_box()
        beside = button["x"] >= code["x"] + code["width"]
        assert beside or button["y"] >= code["y"] + code["height"]
        assert button["x"] + button["width"] <= size["width"]
    panel.page.set_viewport_size(DESK)


def test_choices_of_the_webhooks_are_readable(panel: Any, shop: Any) -> None:
    """At 1280 px every choice of the filters is as wide as its longest text."""
    shop.webhook("chosen")
    panel.open(f"/s/{shop.store}/webhooks")
    narrow = """boxes => boxes.filter(box => {
        const free = box.cloneNode(true);
        free.style.width = "max-content";
        box.after(free);
        const missing = free.offsetWidth > box.offsetWidth;
        free.remove();
        return missing;
    }).map(box => box.name)"""
    selects = panel.page.locator("form.filters select")
    assert selects.count() == 4
    assert selects.evaluate_all(narrow) == []


def test_a_test_call_is_one_line_of_the_log(panel: Any, shop: Any) -> None:
    """The number of the attempt and what made it stand beside each other, and the time is whole."""
    webhook = shop.webhook("tested")
    assert shop.admin.post(f"/webhooks/{webhook}/test", {}).status in {200, 201, 202}
    shop.logged(1, "trigger=test")
    panel.open(f"/s/{shop.store}/log")
    cell = panel.page.locator("#log-rows td.tries")
    assert cell.inner_text() == "1 test call"
    assert cell.bounding_box()["height"] <= panel.page.locator("#log-rows th").bounding_box()["height"]
    lines = "cell => { const all = document.createRange(); all.selectNodeContents(cell); return all.getClientRects().length && "
    lines += "new Set([...all.getClientRects()].map(one => Math.round(one.bottom / 8))).size; }"
    assert cell.evaluate(lines) == 1
    assert panel.page.locator("#log-rows th").evaluate("cell => cell.scrollWidth <= cell.clientWidth")


def test_the_button_offers_the_other_colours(panel: Any, shop: Any) -> None:
    """It says Dark in the light and Light in the dark, whoever chose: the browser, or the person."""

    def offered() -> str:
        panel.open(f"/s/{shop.store}")
        text: str = panel.page.locator(".person button[name=theme]:visible").inner_text()
        return text

    assert offered() == "Dark"
    panel.page.emulate_media(color_scheme="dark")
    assert offered() == "Light"
    panel.page.locator(".person button[name=theme]:visible").click()
    assert offered() == "Dark"
    panel.page.emulate_media(color_scheme="light")
    panel.page.locator(".person button[name=theme]:visible").click()
    assert offered() == "Light"
    panel.open("/account").locator("section button[value='']").click()


def test_what_is_left_of_a_replay_is_light_in_the_light(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """The track of the progress has the colours of the page: pale in the light, dark in the dark."""
    webhook = shop.webhook("track", status=500)
    shop.publish()
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={webhook}").json["total"] == 1, what="the dead letter")
    made = shop.admin.post("/replays", {"source": "dead_letters"}).json["id"]
    panel.open(f"/s/{shop.store}/replays/{made}")
    brightness = "getComputedStyle(document.querySelector('progress'), '::-webkit-progress-bar').backgroundColor.match(/\\d+/g)[0]"
    assert int(panel.page.evaluate(brightness)) > 200
    panel.page.emulate_media(color_scheme="dark")
    assert int(panel.page.evaluate(brightness)) < 60
    panel.page.emulate_media(color_scheme="light")

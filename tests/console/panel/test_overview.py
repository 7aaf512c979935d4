"""The overview: an empty store, one with data, charts that are also tables, what a viewer does not see; the page of all stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

HOSTILE: Final = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{7*7}}'


def tile(panel: Any, label: str) -> str:
    """Return what a tile says."""
    return str(panel.page.locator(".tile", has_text=label).inner_text())


def test_an_empty_store_teaches(panel: Any, shop: Any) -> None:
    """No webhooks: what they are, and the way to the first one; every number is a dash or zero."""
    panel.open(f"/s/{shop.store}")
    assert "No webhooks yet" in panel.page.locator(".empty").inner_text()
    assert "none waits" in tile(panel, "Waiting for retry")
    assert "none to decide on" in tile(panel, "Dead letters")
    assert "\N{EN DASH}" in tile(panel, "Success rate")
    panel.accessible()
    panel.shoot("overview-empty")
    panel.page.click("text=Make the first one")
    panel.page.wait_for_url(f"**/s/{shop.store}/webhooks/new")


def test_what_happened_is_summed_up(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Deliveries, rate, errors by kind with their way into the log, who needs somebody, who is slowest; names are text."""
    good, bad = shop.webhook("fine", name="Warehouse"), shop.webhook("bad", status=500, name=HOSTILE)
    for _ in range(3):
        shop.publish()
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={bad}").json["total"] == 3, what="3 dead letters")
    shop.logged(3, f"webhook={bad}&outcome=dead")
    shop.logged(3, f"webhook={good}&outcome=delivered")
    panel.open(f"/s/{shop.store}")
    assert tile(panel, "Deliveries, 30 days").split("\n")[1] == "6"
    assert "50\u202f%" in tile(panel, "Success rate")
    assert "waiting for a decision" in tile(panel, "Dead letters")
    troubled = panel.page.locator("section", has_text="Webhooks that need somebody")
    assert HOSTILE in troubled.inner_text()
    assert "Failing" in troubled.inner_text()
    assert "Warehouse" not in troubled.inner_text()
    assert "Warehouse" in panel.page.locator("section", has_text="Slowest webhooks").inner_text()
    panel.accessible()
    panel.shoot("overview")
    errors = panel.page.locator("table.shares tbody tr")
    assert errors.count() == 1
    assert "500 Internal Server Error" in errors.inner_text()
    assert "9" in errors.locator(".num").inner_text()
    errors.locator("a").click()
    panel.page.wait_for_url(f"**/s/{shop.store}/log?**")
    assert "status=500" in panel.page.url


def test_the_rate_is_the_same_everywhere(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Overview, list and page of the webhook agree, before and after a replay mended what failed; each says what is counted."""
    bad = shop.webhook("rated", status=410)
    good = shop.webhook("rated-too")
    shop.publish()
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={bad}").json["total"] == 1, what="a dead letter")
    shop.logged(1, f"webhook={bad}&outcome=dead")
    shop.logged(1, f"webhook={good}&outcome=delivered")
    until(lambda: rates(panel, shop, bad) == ("50\u202f%", "0\u202f%", "0\u202f%"), what="one delivered, one given up")
    until(lambda: shop.admin.get(f"/webhooks/{bad}").json["state"] == "disabled", what="the 410 to disable it")
    shop.stack.receiver.answers["/rated"] = (200, b"mended")
    assert shop.admin.post(f"/webhooks/{bad}/enable").status == 200
    assert shop.admin.post("/replays", {"source": "dead_letters"}).status == 201
    shop.logged(1, f"webhook={bad}&outcome=delivered")
    until(lambda: rates(panel, shop, bad) == ("100\u202f%",) * 3, what="the same rate on all three pages")
    panel.open(f"/s/{shop.store}")
    assert "All webhooks are well" in panel.page.locator("section", has_text="Webhooks that need somebody").inner_text()
    panel.open(f"/s/{shop.store}/webhooks/{bad}")
    panel.page.click("figure:has-text('Given up') summary")
    last = panel.page.locator("figure:has-text('Given up') tbody tr").last
    assert last.locator("td").all_inner_texts() == ["1", "0", "1"]


def test_what_a_pause_holds_is_in_sight(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """On the overview, in the list and on its own page: a forgotten pause makes dead letters. One that holds nothing is left out."""
    webhook, idle = shop.webhook("held", name="Till"), shop.webhook("idle", name="Idle", event_types=["order.paid"])
    for one in (webhook, idle):
        assert shop.admin.post(f"/webhooks/{one}/pause").status == 200
    shop.publish()
    shop.publish()
    shop.logged(2, f"webhook={webhook}&error=paused")
    until(lambda: "2 held by a pause" in opened(panel, f"/s/{shop.store}", "main"), what="what is held")
    assert tile(panel, "Waiting for retry").split("\n")[1:] == ["0", "2 held by a pause"]
    troubled = panel.page.locator("section", has_text="Webhooks that need somebody").locator("tbody").inner_text()
    assert "Till" in troubled
    assert "Idle" not in troubled
    panel.open(f"/s/{shop.store}/webhooks")
    assert "2 held" in panel.page.locator("tbody tr", has_text="Till").inner_text()
    assert "held" not in panel.page.locator("tbody tr", has_text="Idle").inner_text()
    panel.open(f"/s/{shop.store}/webhooks/{webhook}")
    assert tile(panel, "Waiting for retry").split("\n")[1:] == ["0", "2 held by a pause"]


def opened(panel: Any, path: str, what: str) -> str:
    """Return the text of a part of a page that is opened anew."""
    panel.open(path)
    return str(panel.page.locator(what).inner_text())


def test_what_was_delivered_already_mends_no_rate(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Sent again, it counts once, by how that ended: it makes up for none that was given up, fails, and is mended in its turn."""

    def all_three(rate: str, given_up: str) -> None:
        until(lambda: rates(panel, shop, webhook) == (rate,) * 3, what=f"{rate} on all three pages")
        assert tile(panel, "Success rate").split("\n")[2] == given_up

    webhook = shop.webhook("again")
    shop.publish()
    [good] = shop.logged(1, "outcome=delivered")
    shop.stack.receiver.answers["/again"] = (500, b"down")
    shop.publish()
    [bad] = shop.logged(1, "outcome=dead")
    all_three("50\u202f%", "1 given up")

    def resend(delivery: str, status: int, resends: int) -> None:
        shop.stack.receiver.answers["/again"] = (status, b"said")
        assert shop.admin.post(f"/deliveries/{delivery}/resend").status == 202
        ended = "dead" if status == 500 else "delivered"
        until(lambda: len(endings(delivery, "resend", ended)) == resends, what=f"{resends} resends {ended}")

    def endings(delivery: str, trigger: str, outcome: str) -> list[Any]:
        attempts = shop.admin.get(f"/deliveries/{delivery}").json["attempts"]
        return [one for one in attempts if (one["trigger"], one["outcome"]) == (trigger, outcome)]

    resend(good["id"], 200, 1)
    all_three("50\u202f%", "1 given up")
    assert shop.admin.get("/statistics").json["total"]["success_rate"] == 0.5
    assert shop.admin.post("/replays", {"source": "log", "filter": {"outcome": "delivered"}}).status == 201
    until(lambda: endings(good["id"], "replay", "delivered"), what="a replay of what was delivered")
    all_three("50\u202f%", "1 given up")
    resend(bad["id"], 200, 1)
    all_three("100\u202f%", "none given up")
    resend(good["id"], 500, 1)
    all_three("50\u202f%", "1 given up")
    resend(good["id"], 200, 2)
    all_three("100\u202f%", "none given up")


def rates(panel: Any, shop: Any, webhook: str) -> tuple[str, str, str]:
    """Return the success rate of the store on the overview, of a webhook in the list, and on its own page."""
    counted = "One that was sent again counts by how that ended."
    panel.open(f"/s/{shop.store}")
    assert counted in panel.page.locator("main").inner_text()
    overview = tile(panel, "Success rate").split("\n")[1]
    panel.open(f"/s/{shop.store}/webhooks?text={webhook}")
    assert counted in panel.page.locator("main").inner_text()
    listed = panel.page.locator("tbody td.num").nth(1).inner_text()
    panel.open(f"/s/{shop.store}/webhooks/{webhook}")
    assert counted in panel.page.locator("main").inner_text()
    return overview, listed, tile(panel, "Success rate").split("\n")[1]


def test_charts_are_also_tables(panel: Any, shop: Any) -> None:
    """What the picture shows stands in a table beside it, opened by the keyboard, and adds up to the tiles."""
    shop.webhook("charted")
    shop.publish()
    shop.logged(1)
    panel.open(f"/s/{shop.store}")
    card = panel.page.locator("section", has_text="Attempts by day").first
    assert card.locator("svg rect.fill").count() >= 1
    card.locator("summary").focus()
    panel.page.keyboard.press("Enter")
    numbers = [int(text) for text in card.locator("tbody td.num").all_inner_texts()]
    assert sum(numbers) == 1
    assert card.locator("thead th").all_inner_texts() == ["Day", "Delivered", "Failed, tried again", "Given up"]


def test_on_a_phone_a_chart_begins_with_today_and_its_numbers_stay(panel: Any, shop: Any) -> None:
    """Thirty days do not fit: the bars are scrolled, the axis is not."""
    shop.webhook("small")
    shop.publish()
    shop.logged(1)
    panel.page.set_viewport_size({"width": 390, "height": 844})
    panel.open(f"/s/{shop.store}")
    card = panel.page.locator("section", has_text="Attempts by day").first
    box, axis, bar = card.locator(".pan"), card.locator("svg.up"), card.locator("svg.plot rect.fill").first
    assert bar.bounding_box()["x"] < box.bounding_box()["x"] + box.bounding_box()["width"]
    assert box.evaluate("it => { it.scrollLeft = -it.scrollWidth; return it.scrollLeft }") < 0
    assert axis.bounding_box()["x"] == box.bounding_box()["x"]
    assert bar.bounding_box()["x"] > box.bounding_box()["x"] + box.bounding_box()["width"]
    box.evaluate("it => { it.scrollLeft = 0 }")
    assert axis.bounding_box()["x"] == box.bounding_box()["x"]


def test_a_viewer_sees_the_same_without_buttons(shop: Any, person: Any) -> None:
    """Numbers and lists, no way to make anything."""
    shop.webhook("seen", name="Warehouse")
    shop.publish()
    shop.logged(1)
    viewer = person("viewer", of=shop.store)
    assert viewer.heading() == "Overview"
    assert tile(viewer, "Deliveries, 30 days").split("\n")[1] == "1"
    assert viewer.page.locator("main form").count() == 0
    assert viewer.page.locator("text=New webhook").count() == 0
    assert viewer.page.locator("text=change").count() == 0
    viewer.accessible()
    viewer.shoot("overview-viewer")


def test_an_empty_store_has_no_button_for_a_viewer(person: Any) -> None:
    """They are told what a webhook is, not to make one."""
    viewer = person("viewer")
    assert "No webhooks yet" in viewer.page.locator(".empty").inner_text()
    assert viewer.page.locator("text=Make the first one").count() == 0


def test_the_stores(panel: Any, shop: Any) -> None:
    """Every store with its counts; one that is typed is opened, also before it has anything; a bad id is told."""
    shop.webhook("counted")
    panel.open("/stores")
    panel.page.fill("#store", "a b")
    panel.page.click("text=Open")
    assert "store" in panel.page.locator("[role=alert]").inner_text()
    assert panel.page.locator("#store").input_value() == "a b"
    panel.accessible()
    panel.page.fill("#store", shop.store)
    panel.page.click("text=Open")
    panel.page.wait_for_url(f"**/s/{shop.store}")
    panel.open("/stores")
    panel.shoot("stores")
    panel.page.locator(f"a[href='/s/{shop.store}']").click()
    assert panel.heading() == "Overview"

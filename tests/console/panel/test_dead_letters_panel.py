"""Dead letters and replays: a broken receiver, its letters, mending, preview, replay with progress, cancel."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any, Final

HOSTILE: Final = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{7*7}}'


def dead(shop: Any, path: str, count: int, until: Callable[..., None], **more: Any) -> str:
    """Return a webhook for which so many deliveries were given up."""
    webhook = shop.webhook(path, status=500, **more)
    for _ in range(count):
        shop.publish()
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={webhook}").json["total"] == count, what=f"{count} dead letters")
    shop.logged(count, f"webhook={webhook}&outcome=dead")
    return str(webhook)


def mend(shop: Any, path: str) -> None:
    """Let a receiver answer well again."""
    shop.stack.receiver.answers[f"/{path}"] = (200, b"well again")


def test_no_letters_teach(panel: Any, shop: Any) -> None:
    """A store without dead letters, or replays, is told what they are."""
    shop.webhook("none")
    panel.open(f"/s/{shop.store}/dead-letters")
    assert "No dead letters" in panel.page.locator(".empty").inner_text()
    panel.accessible()
    panel.open(f"/s/{shop.store}/replays")
    assert "No replays yet" in panel.page.locator(".empty").inner_text()
    panel.accessible()


def test_break_mend_replay_all_green(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """A receiver breaks → its letters by reason → it is mended → preview → replay with progress → every delivery is delivered."""
    webhook = dead(shop, "mended", 3, until, name="Billing")
    panel.open(f"/s/{shop.store}/dead-letters")
    told = panel.page.locator("main").inner_text()
    assert "Every attempt failed" in told
    assert "Billing" in told
    panel.accessible()
    panel.shoot("dead-letters")
    mend(shop, "mended")
    panel.page.click("text=Replay all 3")
    assert panel.page.locator(".tile", has_text="Would be made again").locator("dd").first.inner_text() == "3"
    panel.accessible()
    panel.shoot("replay-new")
    panel.page.fill("#rate", "100")
    panel.page.wait_for_selector(".tile:has-text('100 a second')")
    panel.page.click("button:has-text('Replay now')")
    panel.page.wait_for_url("**/replays/job_**")
    panel.page.wait_for_selector("#progress[data-over] .badge:has-text('Finished')")
    panel.page.wait_for_selector("#progress .tile.good:has-text('Delivered') >> text='3'")
    assert panel.page.locator("text=Yes, stop it").count() == 0
    panel.accessible()
    panel.shoot("replay-done")
    panel.page.click("#progress .tile.good a")
    panel.page.wait_for_url("**/log?job=**")
    assert panel.page.locator("#log-rows tr[data-key]").count() == 3
    assert panel.page.locator("#log-rows .badge.good").count() == 3
    panel.open(f"/s/{shop.store}/dead-letters")
    assert "No dead letters" in panel.page.locator(".empty").inner_text()
    panel.open(f"/s/{shop.store}/dead-letters?replayed=true&webhook={webhook}")
    assert panel.page.locator("tbody tr").count() == 3
    panel.page.click("tbody td:last-child a >> nth=0")
    panel.page.wait_for_url("**/replays/job_**")
    panel.open(f"/s/{shop.store}/replays")
    assert "3 of 3" in panel.page.locator("tbody").inner_text()
    panel.accessible()
    panel.shoot("replays")


def test_a_finished_replay_of_letters_of_the_same_deliveries_ends(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Four letters of two deliveries: once both are delivered nothing is on its way, and the page stops asking."""
    webhook = dead(shop, "twice", 2, until)
    letters = {"source": "dead_letters", "filter": {"webhook": webhook, "again": True}}
    shop.admin.post("/replays", letters)
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={webhook}").json["total"] == 4, what="the letters of the replay")
    mend(shop, "twice")
    panel.open(f"/s/{shop.store}/replays/{shop.admin.post('/replays', letters).json['id']}")
    panel.page.wait_for_selector("#progress[data-over]:not([data-refresh]) .tile.good:has-text('Delivered') >> text='2'")
    told = panel.page.locator("#progress").inner_text()
    assert "4 of 4 dead letters" in told
    assert "The 4 dead letters made again are of 2 deliveries" in told
    assert panel.page.locator(".tile", has_text="On their way").locator("dd").all_inner_texts() == ["0"]
    panel.accessible()
    panel.shoot("replay-of-letters")


def test_ticked_letters_alone_are_replayed(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """One of three is ticked: one is counted, one is sent."""
    dead(shop, "ticked", 3, until)
    mend(shop, "ticked")
    panel.open(f"/s/{shop.store}/dead-letters")
    panel.page.locator("tbody input[name=id]").nth(1).check()
    panel.page.click("button:has-text('Replay the ticked ones')")
    panel.page.wait_for_url("**/replays/new?**")
    assert panel.page.locator(".tile", has_text="Would be made again").locator("dd").first.inner_text() == "1"
    panel.page.click("button:has-text('Replay now')")
    panel.page.wait_for_selector("#progress .tile.good:has-text('Delivered') >> text='1'")
    panel.open(f"/s/{shop.store}/dead-letters")
    assert panel.page.locator("tbody tr").count() == 2


def test_nothing_ticked_is_nothing_replayed(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """Without a tick one is told so, in the list as it was narrowed; without this all letters of the store would be wanted."""
    webhook = dead(shop, "unticked", 2, until)
    panel.open(f"/s/{shop.store}/dead-letters?webhook={webhook}")
    panel.page.click("button:has-text('Replay the ticked ones')")
    panel.page.wait_for_url(f"**/dead-letters?webhook={webhook}&done=none-ticked")
    assert "Nothing is ticked" in panel.page.locator(".notice.warn").inner_text()
    assert panel.page.locator("tbody tr").count() == 2


def test_letters_are_narrowed_by_tiles_and_filters(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """A tile narrows the list to what it counts, and widens it again; a filter that nothing fits says so; all boxes are ticked at once."""
    dead(shop, "tiles", 2, until)
    panel.open(f"/s/{shop.store}/dead-letters")
    panel.page.click(".tile:has-text('Orders') a")
    panel.page.wait_for_url("**category=orders")
    panel.page.check("[data-tick-all]")
    assert panel.page.locator("tbody input[name=id]:checked").count() == 2
    panel.page.click(".tile.chosen a")
    panel.page.wait_for_url(f"**/{shop.store}/dead-letters")
    panel.open(f"/s/{shop.store}/dead-letters?reason=gone")
    assert "Nothing fits" in panel.page.locator(".empty").inner_text()
    for name, value in (("event", HOSTILE), ("reason", "nonsense")):
        panel.open(f"/s/{shop.store}/dead-letters?{name}={urllib.parse.quote(value)}")
        assert panel.page.locator("[role=alert]").count() == 1
        assert panel.page.locator(f"#{name}").get_attribute("aria-invalid") == "true"


def test_one_letter_with_its_body(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """A letter says why it lies there, shows its body, and leads to its delivery and to its own replay; hostile texts stay texts."""
    shop.stack.receiver.answers["/letter"] = (500, HOSTILE.encode())
    dead(shop, "letter", 1, until, name=HOSTILE[:90])
    shop.stack.receiver.answers["/letter"] = (500, HOSTILE.encode())
    panel.open(f"/s/{shop.store}/dead-letters")
    panel.page.click("tbody th a")
    panel.page.wait_for_selector("h1:has-text('Dead letter')")
    told = panel.page.locator("main").inner_text()
    assert "Every attempt failed" in told
    assert HOSTILE[:90] in told
    assert '"type": "order.created"' in told
    panel.accessible()
    panel.shoot("dead-letter")
    panel.page.click("text=Replay this one")
    assert panel.page.locator(".tile", has_text="Would be made again").locator("dd").first.inner_text() == "1"
    panel.page.go_back()
    panel.page.click("text=Its delivery")
    panel.page.wait_for_selector("details.attempt")
    assert panel.page.locator("details.attempt").count() == 3
    assert panel.page.locator("img[src=x], main script").count() == 0


def test_a_replay_is_cancelled(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """A slow replay shows its progress, is stopped with a confirmation, and the button is gone then."""
    dead(shop, "slow", 4, until)
    mend(shop, "slow")
    panel.open(f"/s/{shop.store}/replays/new?source=dead_letters&rate=0.1")
    panel.page.click("button:has-text('Replay now')")
    panel.page.wait_for_url("**/replays/job_**")
    panel.page.wait_for_selector("#progress .badge:has-text('Running')")
    panel.page.click("summary:has-text('Cancel')")
    panel.page.wait_for_timeout(1_500)
    panel.page.click("button:has-text('Yes, stop it')")
    panel.page.wait_for_selector("#progress[data-over] .badge:has-text('Cancelled')")
    assert panel.page.locator("summary:has-text('Cancel')").count() == 0
    panel.accessible()
    panel.shoot("replay-cancelled")
    panel.open(f"/s/{shop.store}/replays?state=cancelled")
    assert panel.page.locator("tbody tr").count() == 1


def test_the_filtered_log_is_replayed(panel: Any, shop: Any) -> None:
    """From the log by filter: what is shown there is counted and made again."""
    webhook = shop.webhook("lost")
    shop.publish()
    shop.publish()
    shop.logged(2)
    panel.open(f"/s/{shop.store}/log?webhook={webhook}&outcome=delivered")
    panel.page.click("text=Replay these")
    panel.page.wait_for_selector("h1:has-text('Replay from the log')")
    assert panel.page.locator(".tile", has_text="Would be made again").locator("dd").first.inner_text() == "2"
    panel.page.click("button:has-text('Replay now')")
    panel.page.wait_for_selector("#progress .tile.good:has-text('Delivered') >> text='2'")


def test_a_wrong_pace_keeps_what_was_typed(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """The server says what a pace may be, and what was typed stays; counting again works without a script's help."""
    dead(shop, "pace", 1, until)
    panel.open(f"/s/{shop.store}/replays/new?source=dead_letters&rate=5000&max=7")
    assert panel.page.locator("[role=alert]").count() == 1
    assert panel.page.input_value("#rate") == "5000"
    assert panel.page.locator("#rate").get_attribute("aria-invalid") == "true"
    panel.page.fill("#rate", "2")
    panel.page.click("button:has-text('Count again')")
    panel.page.wait_for_url("**rate=2&max=7")
    assert panel.page.locator(".tile", has_text="Would be made again").locator("dd").first.inner_text() == "1"


def test_a_time_that_is_none_is_refused_and_not_offered(panel: Any, shop: Any) -> None:
    """A mistyped time in an address is told, also on the page of a replay; the log does not offer to replay what it refused."""
    shop.webhook("times")
    for source, name in (("log", "from"), ("log", "to"), ("dead_letters", "from")):
        answer = panel.get(f"/s/{shop.store}/replays/new?source={source}&{name}=x")
        assert answer.status == 422, (source, name)
        assert "Hookline failed" not in answer.text()
    refused = panel.get(f"/s/{shop.store}/log?from=x")
    assert refused.status == 422
    assert "Replay these" not in refused.text()
    assert "Replay these" in panel.get(f"/s/{shop.store}/log?from=2026-01-15T12:00:00Z&to=2026-01-15T13:00:00Z").text()


def test_a_replay_of_nobody(panel: Any, shop: Any) -> None:
    """A replay or a letter that there is not is a page that says so; an empty filter of the log is refused with what to do."""
    shop.webhook("nobody")
    for path in ("replays/job_nowhere", "dead-letters/nowhere:0:1"):
        panel.open(f"/s/{shop.store}/{path}")
        assert "no such" in panel.page.locator("[role=alert]").inner_text()
    panel.open(f"/s/{shop.store}/replays/new?source=log")
    assert "Choose at least one filter of the log" in panel.page.locator("[role=alert]").inner_text()


def test_a_viewer_looks_and_sends_nothing(panel: Any, shop: Any, another: Callable[[], Any], until: Callable[..., None]) -> None:
    """Who may only look sees letters, deliveries and replays without a button that would be refused; the address itself is refused."""
    dead(shop, "viewed", 1, until)
    panel.open(f"/s/{shop.store}/users")
    login = f"viewer@{shop.store}.example"
    panel.page.fill("#login", login)
    panel.page.click("#invite button.first")
    link = panel.page.locator(".code code").inner_text()
    viewer = another()
    viewer.page.goto(viewer.base + urllib.parse.urlsplit(link).path)
    viewer.page.fill("#password", "four quiet herons nap 31")
    viewer.page.fill("#again", "four quiet herons nap 31")
    viewer.page.click("button.first")
    viewer.page.wait_for_url(f"**/s/{shop.store}")
    viewer.open(f"/s/{shop.store}/dead-letters")
    assert viewer.page.locator("tbody tr").count() == 1
    assert viewer.page.locator("main :is(a, button):has-text('Replay'), main input[type=checkbox]").count() == 0
    viewer.page.click("tbody th a")
    viewer.page.click("text=Its delivery")
    viewer.page.wait_for_selector("details.attempt")
    assert viewer.page.locator("text=Send again").count() == 0
    viewer.open(f"/s/{shop.store}/replays/new?source=dead_letters")
    assert viewer.page.locator("[role=alert]").count() == 1
    assert viewer.page.locator("button:has-text('Replay now')").count() == 0


def test_without_a_script(panel: Any, browser: Any, shop: Any, until: Callable[..., None]) -> None:
    """Ticking, counting again, replaying and looking at the progress need no script."""
    dead(shop, "plain", 2, until)
    mend(shop, "plain")
    context = browser.new_context(java_script_enabled=False, storage_state=panel.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{panel.base}/s/{shop.store}/log?outcome=dead")
    assert page.locator("#log-rows tr").count() == 2
    page.goto(f"{panel.base}/s/{shop.store}/dead-letters")
    page.locator("tbody input[name=id]").first.check()
    page.click("button:has-text('Replay the ticked ones')")
    page.fill("#rate", "7")
    page.click("button:has-text('Count again')")
    page.wait_for_url("**rate=7&max=10000")
    assert page.locator(".tile", has_text="Takes about").inner_text().endswith("7 a second")
    page.click("button:has-text('Replay now')")
    page.wait_for_url("**/replays/job_**")

    def delivered() -> bool:
        page.reload()
        return bool(page.locator("#progress .tile.good:has-text('Delivered')").count())

    until(delivered, what="the replay on a page without a script")
    context.close()

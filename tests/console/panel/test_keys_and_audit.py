"""API keys, the event catalogue, the audit trail."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

HOSTILE: Final = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{7*7}}'


def row(panel: Any, text: str) -> Any:
    """Return a line of a list."""
    return panel.page.locator("tbody tr", has_text=text)


def test_a_key_is_made_shown_once_used_and_revoked(person: Any, shop: Any, stack: Any, until: Callable[..., None]) -> None:
    """By an admin of the store: the curl example publishes, the key is seen nowhere again, revoked it is refused at once."""
    admin = person("admin", of=shop.store)
    admin.open(f"/s/{shop.store}/keys")
    assert admin.page.locator("ol li").count() == 4
    admin.page.fill("#name", HOSTILE)
    admin.page.select_option("#expires", "30")
    admin.page.check("input[value='events:write']")
    admin.page.click("text=Make the key")
    key = admin.page.locator(".code code").first.inner_text()
    assert key.startswith("hlk_")
    assert HOSTILE in admin.page.locator("main").inner_text()
    admin.accessible()
    admin.shoot("key-made")
    words = shlex.split(admin.page.locator(".code code").nth(1).inner_text().replace("\\\n", " "))
    assert words[0] == f"KEY={key}"
    assert words[2] == f"{admin.base}/api/v1/events"
    told = stack.client(key).post("/events", json.loads(words[words.index("-d") + 1]))
    assert told.status == 202
    assert stack.client(key).get("/webhooks").status == 403
    admin.page.click("text=I have kept it")
    assert key not in admin.page.content()
    mine = row(admin, HOSTILE)
    assert "Publish events" in mine.inner_text()
    until(lambda: "within the hour of" in used(admin, shop, HOSTILE), 60, "the key shown as used")
    assert re.fullmatch(r"[\w, ]+ 20\d\d, within the hour of \d\d:\d\d", used(admin, shop, HOSTILE))
    mine = row(admin, HOSTILE)
    assert "Up to 50 keys" in admin.page.locator("main").inner_text()
    admin.accessible()
    admin.shoot("keys")
    mine.locator("summary:has-text('Revoke')").click()
    mine.locator("button:has-text('Revoke it for good')").click()
    assert "The key is revoked" in admin.page.locator("[role=status]").inner_text()
    assert "Revoked" in row(admin, HOSTILE).inner_text()
    assert row(admin, HOSTILE).locator("summary").count() == 0
    until(lambda: stack.client(key).post("/events", {}).status == 401, 30, "the key refused")
    admin.page.select_option("#state", "live")
    admin.page.click("text=Show")
    assert row(admin, HOSTILE).count() == 0


def used(panel: Any, shop: Any, name: str) -> str:
    """Return when a key was last used, as its list says it."""
    panel.open(f"/s/{shop.store}/keys")
    return str(row(panel, name).locator("td").nth(2).inner_text())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expires": "365"}, "choose at least one"),
        ({"scopes": "everything", "expires": "365"}, "must be one of the list"),
        ({"scopes": "admin", "expires": "0"}, "Choose when the key expires"),
        ({"scopes": "admin", "expires": "²"}, "Choose when the key expires"),
        ({"scopes": "admin", "expires": "never", "name": "x" * 129}, "has more than 128 characters"),
        ({"scopes": "admin", "expires": "never", "name": "a\u202eb"}, "characters that cannot be seen"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(panel: Any, shop: Any, fields: dict[str, str], words: str) -> None:
    """The reason is told, what was typed stays, no key is made."""
    panel.open(f"/s/{shop.store}/keys")
    before = len(shop.admin.get("/api-keys").json["data"])
    answer = panel.post(f"/s/{shop.store}/keys", **fields)
    assert answer.status in {400, 422}
    assert words in answer.text()
    assert fields.get("name", "") in answer.text()
    assert len(shop.admin.get("/api-keys").json["data"]) == before


def test_a_key_for_readers_gets_an_example_that_reads(panel: Any, shop: Any) -> None:
    """What is tried is what the key may do."""
    panel.open(f"/s/{shop.store}/keys")
    assert panel.page.locator("input[name=scopes]:checked").count() == 0
    panel.page.click("text=Make the key")
    assert "choose at least one" in panel.page.locator("fieldset .wrong").inner_text()
    panel.page.check("input[value='results:read']")
    panel.page.select_option("#expires", "never")
    panel.page.click("text=Make the key")
    assert "/api/v1/deliveries" in panel.page.locator(".code code").nth(1).inner_text()
    assert "never" in panel.page.locator(".facts").inner_text()
    panel.page.click("text=I have kept it")
    assert panel.page.locator("tbody tr").last.locator("td").nth(2).inner_text() == "not used yet"


def test_another_stores_key_is_not_there(person: Any, shop: Any) -> None:
    """An admin cannot revoke what is not the own store's."""
    other = person("admin", of=f"{shop.store}x")
    [key] = shop.admin.get("/api-keys").json["data"]
    assert other.post(f"/s/{shop.store}x/keys/{key['id']}/revoke").status == 404
    assert shop.admin.get("/webhooks").status == 200


def test_the_catalogue(panel: Any, shop: Any) -> None:
    """All types by category; one with its fields, an example, how it is published, and the webhooks that get it, named as text."""
    shop.webhook("catalogued", name=HOSTILE, filter="data.order.totals.grand_total.amount_minor > 0")
    panel.open(f"/s/{shop.store}/catalogue")
    assert panel.page.locator("h2").all_inner_texts() == ["Orders", "Products", "Checkout", "Customers"]
    assert panel.page.locator("tbody tr").count() == 17
    assert row(panel, "order.created").locator(".num").inner_text() == "1"
    panel.accessible()
    panel.shoot("catalogue")
    panel.page.click("text=order.created")
    panel.page.wait_for_url("**/catalogue/order.created")
    assert HOSTILE in panel.page.locator("main").inner_text()
    assert panel.page.evaluate("document.documentElement.scrollHeight") < 3_000
    panel.page.click("summary:has-text('fields')")
    field = panel.page.locator("tbody tr", has=panel.page.locator("code", has_text="data.order.customer.email")).first
    assert "string" in field.inner_text()
    examples = panel.page.locator(".code code").all_inner_texts()
    assert json.loads(examples[0]) == shop.admin.get("/event-types/order.created").json["example"]
    panel.accessible()
    panel.shoot("event-type")
    panel.open(f"/s/{shop.store}/catalogue/order.none")
    assert "no such event type" in panel.page.locator("[role=alert]").inner_text()


def test_the_examples_of_publishing_run(panel: Any, shop: Any) -> None:
    """What stands on the page, run as it stands, publishes an event that the webhook gets."""
    shop.webhook("run", event_types=["return.created"])
    panel.open(f"/s/{shop.store}/catalogue/return.created")
    program = panel.page.locator(".code code").last.inner_text()
    environ = {**os.environ, "KEY": shop.stack.key(shop.store, "events:write")}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60, check=True)
    [line] = shop.logged(1)
    assert line["event_id"] == done.stdout.strip()


def test_a_viewer_reads_the_catalogue(person: Any) -> None:
    """Without ways to make anything, and without the pages for admins."""
    viewer = person("viewer")
    viewer.page.click("nav >> text=Event catalogue")
    viewer.page.click("text=newsletter.signed_up")
    assert viewer.page.locator("main form").count() == 0
    assert viewer.page.locator("text=Make a webhook").count() == 0
    assert viewer.page.locator("main a", has_text="API keys").count() == 0


def test_the_audit_tells_who_did_what(panel: Any, person: Any, shop: Any) -> None:
    """People, keys and the token by name; in plain words; narrowed and linked; operators stay unnamed to the store's people."""
    admin = person("admin", of=shop.store, name=HOSTILE)
    admin.post(f"/s/{shop.store}/keys", name="made by hand", scopes="hooks:read", expires="30")
    webhook = shop.webhook("audited", name="Audited")
    panel.open(f"/s/{shop.store}/audit")
    told = panel.page.locator("main").inner_text()
    assert "Olga Operator" in told
    assert HOSTILE in told
    panel.accessible()
    panel.shoot("audit")
    assert {"Let somebody in", "Made an API key", "Made a webhook", "Set their own password"} <= set(
        panel.page.locator("tbody td:nth-child(3)").all_inner_texts()
    )
    row(panel, "Made a webhook").locator("a").first.click()
    panel.page.wait_for_url(f"**/webhooks/{webhook}")
    admin.open(f"/s/{shop.store}/audit")
    seen = admin.page.content()
    assert "Olga" not in seen
    assert "operator@example.com" not in seen
    assert "An operator" in row(admin, "Let somebody in").inner_text()
    assert "The operator's token" in admin.page.locator("main").inner_text()
    admin.page.select_option("#action", "api-key.create")
    admin.page.select_option("#actor", label=HOSTILE)
    admin.page.click("text=Show")
    assert admin.page.locator("tbody tr").count() == 1
    assert "made by hand" in admin.page.locator("tbody").inner_text()
    admin.page.fill("#target", "nothing_of_this")
    admin.page.click("button:has-text('Show')")
    assert "Nothing of this kind" in admin.page.locator(".empty").inner_text()
    admin.page.fill("#target", "wh_ x")
    admin.page.click("button:has-text('Show')")
    assert admin.page.input_value("#target") == "wh_ x"
    assert "Audit trail" in admin.heading()
    assert admin.page.locator("[role=alert]").count() == 1
    refused = admin.get(f"/s/{shop.store}/audit?action=%3Cscript%3E")
    assert refused.status in {400, 422}
    assert "<script>alert" not in refused.text()


def test_the_audit_has_pages(panel: Any, shop: Any) -> None:
    """A hundred lines each, the newest first, and back; the operators' list has the store's lines too."""
    webhook = shop.webhook("paged")
    for _ in range(51):
        for move in ("pause", "resume"):
            assert shop.admin.post(f"/webhooks/{webhook}/{move}").status == 200
    panel.open(f"/s/{shop.store}/audit")
    assert panel.page.locator("tbody tr").count() == 100
    assert "Resumed a webhook" in panel.page.locator("tbody tr").first.inner_text()
    panel.page.click("a[rel=next]")
    assert "Made an API key" in panel.page.locator("tbody tr").last.inner_text()
    panel.page.click("text=Back to the first")
    assert panel.page.locator("tbody tr").count() == 100
    panel.open(f"/audit?target={webhook}")
    assert panel.page.locator("tbody tr").count() == 100
    assert shop.store in panel.page.locator("tbody").inner_text()
    panel.accessible()
    panel.shoot("audit-of-all")


def test_no_keys_and_no_changes_teach(panel: Any, store: str) -> None:
    """A store that has nothing yet."""
    panel.open(f"/s/{store}/keys")
    assert "No keys yet" in panel.page.locator(".empty").inner_text()
    panel.accessible()
    panel.open(f"/s/{store}/audit")
    assert "Nothing changed yet" in panel.page.locator(".empty").inner_text()
    panel.accessible()

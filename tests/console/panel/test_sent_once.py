"""A form that is sent again (loaded again, pressed twice, sent twice by a script) makes nothing twice."""

from __future__ import annotations

import http.client
import os
import re
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from hookline.console.panel.forms import Form

_PASSWORD: Final = "seven wet otters sing 48"  # of the tests


def filled(panel: Any, action: str) -> dict[str, str]:
    """Return the hidden fields of the form that goes to an address."""
    fields = panel.page.locator(f"form[action='{action}'] input[type=hidden]").all()
    return {field.get_attribute("name"): field.get_attribute("value") for field in fields}


def twice_at_once(panel: Any, path: str, fields: dict[str, str]) -> list[tuple[int, str]]:
    """Return what two requests get that send the same form at the same moment, as a double click does without a script."""
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in panel.page.context.cookies())
    headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded", "Origin": panel.base}

    def send(_: int) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(panel.base.removeprefix("http://"), timeout=60)) as connection:
            connection.request("POST", path, urllib.parse.urlencode(fields), headers)
            answer = connection.getresponse()
            body = answer.read().decode()
            return answer.status, answer.headers.get("Location") or body

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(send, range(2)))


def names(shop: Any) -> list[str]:
    """Return what the store's keys are called, without the tests' own."""
    return [key["name"] for key in shop.admin.get("/api-keys").json["data"] if key["name"]]


def test_a_key_is_made_once(panel: Any, shop: Any) -> None:
    """Loaded again there is the list; sent a second time it is the same key; with another name one is asked first."""
    panel.open(f"/s/{shop.store}/keys")
    panel.page.fill("#name", "till 3")
    panel.page.check("input[value='events:write']")
    panel.page.click("text=Make the key")
    key = panel.page.locator(".code code").first.inner_text()
    panel.page.reload()
    assert panel.heading() == "API keys"
    assert key not in panel.page.content()
    assert names(shop) == ["till 3"]
    sent = filled(panel, f"/s/{shop.store}/keys") | {"name": "till 4", "scopes": "hooks:read", "expires": "30"}
    first, again = (panel.page.request.post(f"{panel.base}/s/{shop.store}/keys", form=sent) for _ in range(2))
    assert first.status == again.status == 200
    assert first.text().count("hlk_") == again.text().count("hlk_") > 0
    assert names(shop) == ["till 3", "till 4"]
    other = panel.page.request.post(f"{panel.base}/s/{shop.store}/keys", form={**sent, "name": "till 5"})
    assert other.status == 409
    assert "sent already, with other values" in other.text()
    assert 'value="till 5"' in other.text()
    assert names(shop) == ["till 3", "till 4"]


def test_a_key_is_made_once_by_a_double_click(panel: Any, shop: Any) -> None:
    """Both get the same page."""
    panel.open(f"/s/{shop.store}/keys")
    path = f"/s/{shop.store}/keys"
    sent = filled(panel, path) | {"name": "double", "scopes": "hooks:read", "expires": "30"}
    (one, shown), (two, shown_too) = twice_at_once(panel, path, sent)
    assert (one, two) == (200, 200)
    assert "hlk_" in shown
    assert [line for line in shown.splitlines() if "hlk_" in line] == [line for line in shown_too.splitlines() if "hlk_" in line]
    assert names(shop) == ["double"]


def test_a_test_is_sent_once(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """The same form shows the same answer; the form beside the answer sends another."""
    webhook = shop.webhook("trial-once")
    path = f"/s/{shop.store}/webhooks/{webhook}/test"

    def calls() -> int:
        return sum(called == "/trial-once" for called, _, _ in shop.stack.receiver.calls)

    panel.open(path)
    sent = filled(panel, path) | {"event_type": "order.created", "data": ""}
    statuses = [status for status, _ in twice_at_once(panel, path, sent)]
    assert statuses == [200, 200]
    assert calls() == 1
    panel.page.click("text=Send the test")
    panel.page.wait_for_selector("#answer")
    assert calls() == 1
    panel.page.click("text=Send the test")
    panel.page.wait_for_selector("#answer >> visible=true")
    until(lambda: calls() == 2, what="the second call")
    panel.page.reload()
    panel.page.wait_for_selector("#answer")
    assert calls() == 2


def test_a_webhook_is_made_once(panel: Any, shop: Any) -> None:
    """Both get its page with the same secret."""
    path = f"/s/{shop.store}/webhooks/new"
    panel.open(path)
    form = panel.page.locator("form.hook input[type=hidden]").all()
    sent = {field.get_attribute("name"): field.get_attribute("value") for field in form}
    sent |= {"url": shop.stack.receiver.url("made-once"), "event_types": "order.paid"}
    (one, shown), (two, shown_too) = twice_at_once(panel, path, sent)
    assert (one, two) == (201, 201)
    assert [line for line in shown.splitlines() if "whsec_" in line] == [line for line in shown_too.splitlines() if "whsec_" in line] != []
    assert len(shop.admin.get("/webhooks").json["data"]) == 1


def test_a_delivery_is_sent_again_once(panel: Any, shop: Any) -> None:
    """However often its button is pressed on one showing of the page."""
    shop.webhook("resend-once")
    shop.publish()
    [line] = shop.logged(1)
    path = f"/s/{shop.store}/log/{line['id']}"
    panel.open(path)
    answers = twice_at_once(panel, f"{path}/resend", filled(panel, f"{path}/resend"))
    assert answers == [(303, f"{path}?done=resent")] * 2
    shop.logged(2)
    assert len(shop.admin.get("/audit?action=delivery.resend").json["data"]) == 1


def test_a_link_is_made_once(panel: Any, shop: Any) -> None:
    """Letting somebody in, and a new link, show the same link again; loaded again there is the list."""
    path = f"/s/{shop.store}/users"
    panel.open(path)
    sent = filled(panel, path) | {"login": f"{shop.store}@example.com", "name": "", "role": "viewer"}
    links = [answer[1].split("/welcome/")[1][:40] for answer in twice_at_once(panel, path, sent)]
    assert links[0] == links[1]
    panel.open(path)
    panel.page.click("summary:has-text('New link')")
    panel.page.click("text=Void the password, show a link")
    assert "/welcome/" in panel.page.locator(".code code").inner_text()
    panel.page.reload()
    assert panel.heading() == "Users"
    actions = [entry["action"] for entry in shop.admin.get("/audit").json["data"]]
    assert (actions.count("user.invite"), actions.count("user.reset")) == (1, 1)


def test_looking_at_a_replay_is_no_act(panel: Any, shop: Any, until: Callable[..., None]) -> None:
    """The page that counts leaves nothing on the audit, nor does counting again; the replay is made once."""
    webhook = shop.webhook("looked-at", status=410)
    shop.publish()
    until(lambda: shop.admin.get(f"/dead-letters/count?webhook={webhook}").json["total"] == 1, what="a dead letter")
    assert shop.admin.post(f"/webhooks/{webhook}/enable").status == 200
    panel.open(f"/s/{shop.store}/replays/new?source=dead_letters")
    panel.page.fill("#rate", "20")
    panel.page.wait_for_selector(".tile:has-text('20 a second')")
    assert shop.admin.get("/audit?action=replay.create").json["data"] == []
    sent = filled(panel, f"/s/{shop.store}/replays/new?source=dead_letters&rate=50&max=10000") | {"rate": "20", "max": "10"}
    (_, one), (_, two) = twice_at_once(panel, f"/s/{shop.store}/replays/new", sent)
    assert one == two
    assert "/replays/job_" in one
    assert len(shop.admin.get("/audit?action=replay.create").json["data"]) == 1
    assert len(shop.admin.get("/replays").json["data"]) == 1


def test_what_is_filled_in_makes_the_digest() -> None:
    """Neither the token nor the mark of the showing, nor the order of the fields; every value, also of boxes, does."""
    form = Form([("token", "a"), ("once", "b"), ("x", "1"), ("x", "2"), ("y", "3")])
    assert form.digest() == Form([("y", "3"), ("x", "1"), ("x", "2"), ("once", "c")]).digest()
    assert form.digest() != Form([("x", "1"), ("y", "3")]).digest()
    assert Form([("x", "a"), ("y", "")]).digest() != Form([("x", ""), ("y", "a")]).digest()


def test_a_form_opened_before_a_restart_is_taken_after_it(
    browser: Any, console_alone: Any, kafka_environ: dict[str, str], tmp_path: Path
) -> None:
    """Once, as any; what was sent before the restart is known no more, but a replay, whose mark makes its id."""
    settings = {"HOOKLINE_TOPIC_PREFIX": f"r{os.urandom(4).hex()}"}
    page = browser.new_context().new_page()
    with console_alone(kafka_environ, tmp_path, **settings) as (port, _):
        base = f"http://127.0.0.1:{port}"
        found = re.search(r"/welcome/[0-9a-f]+", (tmp_path / "console.log").read_text())
        assert found is not None
        page.goto(base + found[0])
        for field, text in (("#login", "olga@example.com"), ("#password", _PASSWORD), ("#again", _PASSWORD)):
            page.fill(field, text)
        page.click("button.first")
        page.wait_for_url("**/stores")
        page.goto(f"{base}/s/shop/keys")
        page.fill("#name", "opened before")
        page.check("input[value='events:write']")
        token = page.locator("input[name=token]").first.get_attribute("value")
        sent = {
            "keys": {"token": token, "once": "mark-1", "name": "twice", "scopes": "hooks:read", "expires": "30"},
            "replays/new?source=dead_letters": {"token": token, "once": "mark-2", "source": "dead_letters", "rate": "5", "max": "9"},
        }

        def send(path: str) -> Any:
            return page.request.post(f"{base}/s/shop/{path}", form=sent[path], max_redirects=0)

        key, replay = (send(path) for path in sent)
        assert (key.status, replay.status) == (200, 303)
        assert send("keys").text().count("hlk_") == key.text().count("hlk_") > 0
    with console_alone(kafka_environ, tmp_path, **settings, HOOKLINE_CONSOLE_PORT=str(port)):
        page.click("text=Make the key")
        assert page.locator(".code code").first.inner_text().startswith("hlk_")
        assert send("replays/new?source=dead_letters").headers["location"] == replay.headers["location"]
        assert send("keys").status == 200
        page.goto(f"{base}/s/shop/keys")
        assert sorted(page.locator("tbody th .cut-lines").all_inner_texts()) == ["opened before", "twice", "twice"]
    page.context.close()

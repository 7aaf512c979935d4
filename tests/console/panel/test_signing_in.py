"""Coming in: the first operator, the sign-in and its pace, forms of other sites, signing out."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest


def test_the_first_link_works_once(panel: Any, stack: Any) -> None:
    """After the first operator the link makes nobody, and says what to do."""
    link = next(line for line in stack.log.read_text().splitlines() if "panel.first_run" in line).split("/welcome/")[1].split('"')[0]
    panel.open(f"/welcome/{link}")
    assert panel.page.locator("[role=alert]").inner_text().startswith("This link was used already")


def test_a_page_asks_for_the_sign_in_and_comes_back(visitor: Any) -> None:
    """Whoever is not signed in is led to the form, and from there to where they wanted to go."""
    visitor.open("/s/shop-a/keys")
    assert visitor.heading() == "Sign in"
    visitor.page.fill("#login", "Operator@Example.com")
    visitor.page.fill("#password", "seven wet otters sing 48")
    visitor.page.click("button.first")
    visitor.page.wait_for_url("**/s/shop-a/keys")
    assert visitor.heading() == "API keys"


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_the_sign_in_leads_nowhere_else(visitor: Any, target: str) -> None:
    """An address of another site in `next` is not followed."""
    visitor.open(f"/sign-in?next={urllib.parse.quote(target)}")
    visitor.page.fill("#login", "operator@example.com")
    visitor.page.fill("#password", "seven wet otters sing 48")
    visitor.page.click("button.first")
    visitor.page.wait_for_url("**/stores")


def test_a_wrong_password_says_so_and_slows_down(visitor: Any) -> None:
    """Wrong passwords get the same words, then a wait."""
    visitor.open("/sign-in")
    for _ in range(6):
        visitor.page.fill("#login", "nobody@example.com")
        visitor.page.fill("#password", "wrong horse battery")
        with visitor.page.expect_response("**/sign-in") as told:
            visitor.page.click("button.first")
        status = told.value.status
    assert status == 429
    assert int(told.value.headers["retry-after"]) >= 1
    assert "Too many wrong passwords" in visitor.page.locator("[role=alert]").inner_text()


def test_the_form_of_another_site_does_nothing(panel: Any, stack: Any) -> None:
    """A form without its token, with a token of another session, or sent by another site is refused, and the session lives on."""
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in panel.page.context.cookies())
    token = panel.page.locator("input[name=token]").first.get_attribute("value")

    def post(body: str, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
        connection.request("POST", "/sign-out", body, {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded", **headers})
        status = connection.getresponse().status
        connection.close()
        return status

    assert post("") == 403
    assert post("token=AAAA") == 403
    assert post(f"token={token}", Origin="https://evil.example") == 403
    assert post(f"token={token}", Origin=f"http://127.0.0.1:{stack.port - 1}") == 403  # another server of this host
    for site in ("cross-site", "same-site", "none"):  # same-site: another host of our domain, which may be another's
        assert post(f"token={token}", **{"Sec-Fetch-Site": site}) == 403, site
    panel.open("/stores")
    assert panel.heading() == "Stores"
    assert post(f"token={token}", **{"Sec-Fetch-Site": "same-origin"}) == 303
    panel.open("/stores")
    assert panel.heading() == "Sign in"


def test_signing_out_ends_this_session_only(panel: Any, another: Callable[[], Any]) -> None:
    """Another browser stays signed in."""
    other = another()
    other.sign_in()
    other.page.wait_for_url("**/stores")
    panel.page.click("text=Sign out")
    assert panel.heading() == "Sign in"
    other.open("/stores")
    assert other.heading() == "Stores"


def test_light_and_dark_are_remembered(panel: Any) -> None:
    """The choice holds on the next page."""
    panel.page.click("button[name=theme]")
    panel.open("/s/shop-a/keys")
    assert panel.page.locator("html").get_attribute("data-theme") == "dark"
    panel.accessible()


def test_what_there_is_not_is_a_page(panel: Any) -> None:
    """An unknown address, or one that is no address, gets a page with the way back."""
    for path in ("/nowhere", "/s/a%00b", "/s/bad%20store/webhooks"):
        # Not just any answer: a picture or style of the page before may still be on its way.
        with panel.page.expect_response(lambda answer: answer.request.is_navigation_request()) as told:
            panel.open(path)
        assert told.value.status in {400, 404}
        assert panel.page.get_by_text("To the start").count() == 1


def test_a_store_that_there_is_not_is_told_so(panel: Any, shop: Any) -> None:
    """Every page of it is a 404 with the way to the stores, but for those where a store begins; one that has a key is there."""
    for place in ("", "/log", "/webhooks", "/dead-letters?reason=gone", "/webhooks/wh_x"):
        with panel.page.expect_response(lambda answer: answer.request.is_navigation_request()) as told:
            panel.open(f"/s/nope-{shop.store}{place}")
        assert (told.value.status, panel.heading()) == (404, "No such store")
    assert f"There is no store called nope-{shop.store}" in panel.page.locator("#problem").inner_text()
    panel.accessible()
    panel.shoot("store-missing")
    panel.page.click("text=make its first key")
    panel.page.wait_for_selector("h1:has-text('API keys')")
    for place in ("users", "webhooks/new"):
        panel.open(f"/s/nope-{shop.store}/{place}")
        assert panel.heading() != "No such store"
    panel.open(f"/s/{shop.store}")
    assert panel.heading() == "Overview"
    panel.open(f"/s/nope-{shop.store}")
    panel.page.click("text=All stores")
    panel.page.wait_for_url("**/stores")


def test_the_doors_look_right(visitor: Any) -> None:
    """The sign-in has no fault that axe finds."""
    visitor.open("/sign-in")
    visitor.accessible()
    visitor.shoot("sign-in")

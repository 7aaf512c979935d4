"""People: let in, given a link, disabled, enabled; what an admin sees of others; one's own account."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

PASSWORD: Final = "seven wet otters sing 48"
OTHER: Final = "eleven dry badgers hum 93"
HOSTILE: Final = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{7*7}}'


def row(panel: Any, login: str) -> Any:
    """Return somebody's line of the list."""
    return panel.page.locator("tbody tr", has_text=login)


def test_an_admin_lets_a_viewer_in(person: Any, store: str, another: Callable[[], Any]) -> None:
    """The link is shown once, works once, and leads to a session that may look and not change."""
    admin = person("admin")
    admin.open(f"/s/{store}/users")
    assert admin.page.locator("#role option").all_inner_texts() == ["Admin: everything in one store", "Viewer: looks, changes nothing"]
    admin.page.fill("#login", "Vic@Example.com")
    admin.page.fill("#name", HOSTILE)
    admin.page.click("#invite button")
    link = admin.page.locator(".code code").inner_text()
    assert HOSTILE in admin.page.locator("main").inner_text()
    admin.accessible()
    admin.shoot("user-link")
    admin.page.click("text=Done")
    assert "Has a link" in row(admin, "vic@example.com").inner_text()
    assert link.rpartition("/")[2] not in admin.page.content()
    viewer = another()
    viewer.claim(link)
    viewer.page.wait_for_url(f"**/s/{store}")
    menu = viewer.page.locator("nav[aria-label=Pages] a").all_inner_texts()
    assert menu == ["Overview", "Webhooks", "Delivery log", "Dead letters", "Replays", "Event catalogue"]
    admin.open(f"/s/{store}/users")
    told = row(admin, "vic@example.com").inner_text()
    assert "May sign in" in told
    assert "20" in row(admin, "vic@example.com").locator("time").inner_text()
    admin.accessible()
    admin.shoot("users")
    late = another()
    late.open(link.removeprefix(late.base))
    assert late.heading() == "This link is over"
    late.accessible()
    late.shoot("link-over")
    assert "used already" in late.page.locator("[role=alert]").inner_text()


@pytest.mark.parametrize(("field", "value", "words"), [("login", "a b", "The login must be"), ("login", "", "The login must be")])
def test_a_login_that_is_none_is_marked(panel: Any, store: str, field: str, value: str, words: str) -> None:
    """What was typed stays, the field is marked, nobody is let in."""
    panel.open(f"/s/{store}/users")
    panel.page.evaluate("document.querySelector('#login').required = false")
    panel.page.fill("#name", "Kept & <b>safe</b>")
    panel.page.fill(f"#{field}", value)
    panel.page.click("#invite button")
    assert words in panel.page.locator("#problem").inner_text()
    assert panel.page.locator("#name").input_value() == "Kept & <b>safe</b>"
    assert panel.page.locator(f"#{field}").get_attribute("aria-invalid") == "true"
    assert "Nobody of this store yet" in panel.page.locator(".empty").inner_text()
    panel.accessible()


def test_a_new_link_voids_the_password_at_once(panel: Any, person: Any, store: str, another: Callable[[], Any]) -> None:
    """The sessions end, the old password is refused, the link sets another, the list says so in between."""
    viewer = person("viewer")
    panel.open(f"/s/{store}/users")
    row(panel, viewer.login).locator("summary:has-text('New link')").click()
    row(panel, viewer.login).locator("text=Void the password").click()
    link = panel.page.locator(".code code").inner_text()
    viewer.open(f"/s/{store}")
    assert viewer.heading() == "Sign in"
    viewer.sign_in(viewer.login)
    assert "do not belong together" in viewer.page.locator("#problem").inner_text()
    panel.open(f"/s/{store}/users")
    assert "Has a link" in row(panel, viewer.login).inner_text()
    fresh = another()
    fresh.claim(link, OTHER)
    fresh.page.wait_for_url(f"**/s/{store}")
    viewer.sign_in(viewer.login, OTHER)
    viewer.page.wait_for_url(f"**/s/{store}")


def test_somebody_is_disabled_and_enabled(panel: Any, person: Any, store: str) -> None:
    """Asked first; out everywhere at once; in again with the same password."""
    viewer = person("viewer")
    panel.open(f"/s/{store}/users")
    row(panel, viewer.login).locator("summary:has-text('Disable')").click()
    panel.shoot("user-disable")
    row(panel, viewer.login).locator("button:has-text('Disable')").click()
    assert "cannot sign in any more" in panel.page.locator("[role=status]").inner_text()
    viewer.open(f"/s/{store}")
    assert viewer.heading() == "Sign in"
    viewer.sign_in(viewer.login)
    assert "do not belong together" in viewer.page.locator("#problem").inner_text()
    panel.page.locator("button:has-text('Enable')").click()
    assert "may sign in again" in panel.page.locator("[role=status]").inner_text()
    viewer.sign_in(viewer.login)
    viewer.page.wait_for_url(f"**/s/{store}")


def test_an_admin_reaches_only_the_own_people(panel: Any, person: Any, store: str) -> None:
    """Operators and other stores' users are neither shown nor there; nobody makes an operator, or shuts themselves out."""
    admin, other = person("admin"), person("viewer", of=f"{store}x")
    panel.open("/users")
    assert "Olga Operator" in panel.page.locator("main").inner_text()
    panel.page.fill("#q", store)
    panel.page.click("button:has-text('Find')")
    assert {admin.login, other.login} <= set(
        panel.page.locator("tbody .label").all_inner_texts() + panel.page.locator("tbody th span").all_inner_texts()
    )
    panel.accessible()
    panel.shoot("all-users")
    ids = {one: user_id(panel, one) for one in (admin.login, other.login)}
    panel.open("/users?q=operator@example.com")
    operator = "usr_of_the_operator" if panel.page.locator("form[action*='/reset']").count() == 0 else user_id(panel, "operator@")
    admin.open(f"/s/{store}/users")
    told = admin.page.locator("main").inner_text()
    assert admin.login in told
    assert other.login not in told
    assert "Olga" not in told
    for deed in ("reset", "disable", "enable"):
        assert admin.post(f"/s/{store}/users/{ids[other.login]}/{deed}").status == 404
        assert admin.post(f"/s/{store}/users/{operator}/{deed}").status == 404
        assert admin.post(f"/users/{ids[other.login]}/{deed}").status == 404
        assert admin.post(f"/s/{store}x/users/{ids[other.login]}/{deed}").status == 404
        assert admin.post(f"/s/{store}/users/{ids[admin.login]}/{deed}").status == 409
    for path, status in ((f"/s/{store}/users", 422), ("/users", 404), (f"/s/{store}x/users", 404)):
        refused = admin.post(path, login=f"eve-{store}@example.com", role="operator")
        assert refused.status == status, path
    made = admin.post(f"/s/{store}/users", login=f"bob-{store}@example.com", role="viewer", store=f"{store}x")
    assert made.status == 200
    assert f"of the store {store})" in made.text()
    other.open(f"/s/{store}x")
    assert other.heading() == "Overview"


def user_id(panel: Any, login: str) -> str:
    """Return a user's id, from the forms of their line."""
    action = row(panel, login).locator("form[action*='/disable']").get_attribute("action")
    return str(re.findall(r"usr_\w+", action or "")[0])


def test_operators_let_in_whom_they_like(panel: Any, store: str, another: Callable[[], Any]) -> None:
    """An operator needs no store and everybody else one; the new operator sees every store."""
    panel.open("/users")
    panel.page.fill("#login", f"op-{store}@example.com")
    panel.page.select_option("#role", "admin")
    panel.page.click("#invite button")
    assert "needs a store" in panel.page.locator("#problem").inner_text()
    assert panel.page.locator("#store").get_attribute("aria-invalid") == "true"
    panel.page.select_option("#role", "operator")
    panel.page.click("#invite button")
    second = another()
    second.claim(panel.page.locator(".code code").inner_text())
    second.page.wait_for_url("**/stores")
    panel.open(f"/users?q=op-{store}")
    panel.page.click("summary:has-text('Disable')")
    panel.page.click("button:has-text('Disable')")
    second.open("/stores")
    assert second.heading() == "Sign in"


def test_nobody_found_and_escape(panel: Any, store: str) -> None:
    """A search without a result says what it looked for, as text; a sheet that asks closes on Escape."""
    panel.open("/users")
    panel.page.fill("#q", f"{store}{HOSTILE}".lower())
    panel.page.keyboard.press("Enter")
    assert f"{store}{HOSTILE}".lower() in panel.page.locator(".empty").inner_text()
    panel.post(f"/s/{store}/users", login=f"vic-{store}@example.com", role="viewer")
    panel.open(f"/s/{store}/users")
    panel.page.locator("summary:has-text('Disable')").focus()
    panel.page.keyboard.press("Enter")
    assert panel.page.locator("details.ask[open]").count() == 1
    panel.page.keyboard.press("Escape")
    assert panel.page.locator("details.ask[open]").count() == 0


# ---- one's own account ----


def test_the_own_name(person: Any) -> None:
    """Changed, shown as text in the frame; a bad one is marked and kept."""
    me = person("viewer")
    me.open("/account")
    me.page.fill("#name", HOSTILE)
    me.page.click("text=Save the name")
    assert "name is changed" in me.page.locator("[role=status]").inner_text()
    assert HOSTILE in me.page.locator(".person").inner_text()
    me.accessible()
    me.shoot("account")
    refused = me.post("/account/name", name="x" * 81)
    assert refused.status == 422
    assert "at most 80" in refused.text()


def test_the_own_password_needs_the_present_one(person: Any, another: Callable[[], Any]) -> None:
    """A wrong one changes nothing; then the new one is good, the old one is not, and all other sessions have ended."""
    me, elsewhere = person("viewer"), another()
    elsewhere.sign_in(me.login)
    elsewhere.page.wait_for_url("**/s/*")

    def change(current: str, new: str, again: str) -> None:
        me.open("/account")
        for field, text in (("#current", current), ("#password", new), ("#again", again)):
            me.page.fill(field, text)
        me.page.click("text=Change the password")

    for current, new, again, field in (
        ("wrong horse battery", OTHER, OTHER, "current"),
        (PASSWORD, OTHER, OTHER + "x", "again"),
        (PASSWORD, "aaaaaaaaaaaa", "aaaaaaaaaaaa", "password"),
    ):
        change(current, new, again)
        assert me.page.locator(f"#{field}").get_attribute("aria-invalid") == "true"
        assert me.page.locator("#current").input_value() == ""
    elsewhere.open("/account")
    assert elsewhere.heading() == "Your account"
    change(PASSWORD, OTHER, OTHER)
    assert "new password is set" in me.page.locator("[role=status]").inner_text()
    assert me.page.locator("tbody tr").count() == 1
    elsewhere.open("/account")
    assert elsewhere.heading() == "Sign in"
    elsewhere.sign_in(me.login)
    assert "do not belong together" in elsewhere.page.locator("#problem").inner_text()
    elsewhere.sign_in(me.login, OTHER)
    elsewhere.page.wait_for_url("**/s/*")


def test_the_own_sessions(person: Any, another: Callable[[], Any]) -> None:
    """Each with its browser and address; one is ended, then all others; nobody ends another's."""
    me = person("viewer")
    others = [another(), another(), another()]
    for one in others:
        one.sign_in(me.login)
        one.page.wait_for_url("**/s/*")
    stranger = person("viewer")
    me.open("/account")
    lines = me.page.locator("tbody tr")
    assert lines.count() == 4
    assert "on Linux" in lines.last.inner_text()
    assert "127.0.0.1" in lines.last.inner_text()
    session = str(lines.first.locator("input[name=session]").get_attribute("value"))
    assert stranger.post("/account/sessions", session=session).status == 404
    lines.first.locator("button").click()
    assert "That session has ended" in me.page.locator("[role=status]").inner_text()
    assert me.page.locator("tbody tr").count() == 3
    me.page.click("text=End all others")
    assert me.page.locator("tbody tr").count() == 1
    for one in others:
        one.open("/account")
        assert one.heading() == "Sign in"


def test_light_dark_and_as_the_browser_has_it(panel: Any) -> None:
    """Chosen on the account page, and taken back."""
    panel.open("/account")
    panel.page.click("section button[value=light]")
    assert panel.page.locator("html").get_attribute("data-theme") == "light"
    panel.page.click("section button[value='']")
    assert panel.page.locator("html").get_attribute("data-theme") is None


def test_grave_acts_ask_for_the_password_again(browser: Any, console_alone: Any, kafka_environ: dict[str, str], tmp_path: Path) -> None:
    """When it was typed long ago: nothing is done, a wrong one is refused, the right one leads back to the page with what was typed."""
    with console_alone(kafka_environ, tmp_path, HOOKLINE_PANEL_CONFIRM_MIN="0.1") as (port, _):
        found = re.search(r"/welcome/[0-9a-f]+", (tmp_path / "console.log").read_text())
        assert found is not None
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}{found[0]}")
        for field, text in (("#login", "olga@example.com"), ("#password", PASSWORD), ("#again", PASSWORD)):
            page.fill(field, text)
        page.click("button.first")
        page.wait_for_url("**/stores")
        page.goto(f"http://127.0.0.1:{port}/s/shop/users")
        page.wait_for_timeout(6_100)
        token = page.locator("input[name=token]").first.get_attribute("value") or ""
        asked = f"http://127.0.0.1:{port}/s/shop/replays/new?source=dead_letters&rate=50&max=10000"
        sent = page.request.post(asked, form={"token": token, "rate": "7", "max": "90"}, max_redirects=0)
        following = urllib.parse.parse_qs(urllib.parse.urlsplit(sent.headers["location"]).query)["next"]
        assert following == ["/s/shop/replays/new?source=dead_letters&rate=7&max=90"]
        page.fill("#login", "vic@example.com")
        page.select_option("#role", "admin")
        page.click("#invite button")
        page.wait_for_url("**/confirm**")
        page.fill("#password", "wrong horse battery")
        page.click("button.first")
        assert "do not belong together" in page.locator("#problem").inner_text()
        page.fill("#password", PASSWORD)
        page.click("button.first")
        page.wait_for_url("**/s/shop/users**")
        assert "Nobody of this store yet" in page.locator(".empty").inner_text()
        assert (page.locator("#login").input_value(), page.locator("#role").input_value()) == ("vic@example.com", "admin")
        page.click("#invite button")
        page.wait_for_selector(".code code")
        context.close()

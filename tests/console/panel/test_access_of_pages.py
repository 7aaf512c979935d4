"""Every page of the table against everybody: nobody, a viewer, an admin of another store, the operator. A page without a case fails."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import Any, Final

import pytest

from hookline.console.panel.page import Access, Page
from hookline.console.panel.table import PAGES


@dataclass(frozen=True, slots=True)
class Case:
    """What a page answers: to a viewer who looks (`seen`) or sends its form (`acted`), to the operator who looks (`operated`).

    0: the page has no such side. `path` is the page's with ids of things that there are, where the webhook's will not do.
    """

    seen: int = 0
    acted: int = 0
    operated: int = 0
    path: str = ""


READ: Final = Case(seen=200, operated=200)
ADMINS: Final = Case(seen=403, operated=200)
CHANGES: Final = Case(acted=403)
CASES: Final[dict[str, Case]] = {
    "home": Case(seen=303, operated=303),
    "sign_in": Case(seen=303, acted=401, operated=303),
    "sign_out": Case(acted=303),
    "welcome": Case(seen=404, acted=404, operated=404, path="/welcome/of-nobody"),
    "confirm": Case(seen=200, acted=401, operated=200),
    "theme": Case(acted=303),
    "account": READ,
    "account.name": Case(acted=303),
    "account.password": Case(acted=422),
    "account.sessions": Case(acted=404),
    "stores": Case(seen=404, operated=200),
    "users": Case(seen=404, acted=404, operated=200),
    "users.reset": Case(acted=404),
    "users.disable": Case(acted=404),
    "users.enable": Case(acted=404),
    "store_users": Case(seen=403, acted=403, operated=200),
    "store_users.reset": CHANGES,
    "store_users.disable": CHANGES,
    "store_users.enable": CHANGES,
    "audit": Case(seen=404, operated=200),
    "store_audit": ADMINS,
    "overview": READ,
    "log": READ,
    "log_fresh": READ,
    "log_export": READ,
    "delivery": Case(seen=200, operated=200, path="/s/{store}/log/{delivery}"),
    "delivery_attempts": Case(seen=200, operated=200, path="/s/{store}/log/{delivery}/attempts"),
    "delivery_news": Case(seen=200, operated=200, path="/s/{store}/log/{delivery}/news"),
    "delivery_resend": Case(acted=403, path="/s/{store}/log/{delivery}/resend"),
    "events": READ,
    "event": Case(seen=200, operated=200, path="/s/{store}/events/{event}"),
    "webhooks": READ,
    "webhook_new": Case(seen=403, acted=403, operated=200),
    "webhook_url": CHANGES,
    "webhook_lab": CHANGES,
    "webhook_template": CHANGES,
    "webhook_edit": Case(seen=403, acted=403, operated=200),
    "webhook": READ,
    "webhook_move": Case(acted=403, path="/s/{store}/webhooks/{webhook}/pause"),
    "webhook_disable": CHANGES,
    "webhook_delete": CHANGES,
    "webhook_rotate": Case(seen=403, acted=403, operated=200),
    "webhook_test": Case(seen=403, acted=403, operated=200),
    "dead_letters": READ,
    "dead_letter": Case(seen=404, operated=404, path="/s/{store}/dead-letters/dl_unknown"),
    "replays": READ,
    "replay_new": Case(seen=403, acted=403, operated=200),
    "replay_recount": CHANGES,
    "replay": Case(seen=404, operated=404, path="/s/{store}/replays/job_unknown"),
    "replay_progress": Case(seen=404, operated=404, path="/s/{store}/replays/job_unknown/progress"),
    "replay_cancel": Case(acted=403, path="/s/{store}/replays/job_unknown/cancel"),
    "catalogue": READ,
    "event_type": Case(seen=200, operated=200, path="/s/{store}/catalogue/order.created"),
    "keys": Case(seen=403, acted=403, operated=200),
    "key_revoke": Case(acted=403, path="/s/{store}/keys/unknown/revoke"),
}

GRAVE: Final = {
    *("webhook_delete", "webhook_rotate", "replay_new", "keys", "key_revoke"),
    *(f"{people}{deed}" for people in ("users", "store_users") for deed in ("", ".reset", ".disable", ".enable")),
}
SCOPES: Final = {
    "admin": {"store_audit", *(GRAVE - {"webhook_delete", "webhook_rotate", "replay_new"})},
    "hooks:write": {"webhook_new", "webhook_url", "webhook_lab", "webhook_edit", "webhook_template", "webhook_rotate", "webhook_test"},
    "dlq:replay": {"replay_new", "replay_recount"},
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A store with a webhook, an event and its delivery, and people who come to its pages."""

    ids: dict[str, str]
    viewer: Any
    stranger: Any
    operator: Any
    port: int

    def path(self, page: Page) -> str:
        """Return where a page is, in this store."""
        return (CASES[page.name].path or page.path.replace(":wh_[^/]+", "")).format(**self.ids)


@pytest.fixture
def scene(panel: Any, person: Any, shop: Any, stack: Any) -> Scene:
    """Return it; made once for the whole walk, which therefore is one test."""
    webhook, event = shop.webhook("walked"), shop.publish()
    [line] = shop.logged(1)
    viewer, stranger = person("viewer", of=shop.store), person("admin", of=f"{shop.store}x")
    ids = {"store": shop.store, "webhook": webhook, "event": event, "delivery": line["id"], "id": webhook}
    return Scene(ids, viewer, stranger, panel, stack.port)


def test_every_page_has_a_case() -> None:
    """A page that is new stands here before it is let out, and what is gone leaves."""
    assert {page.name for page in PAGES} == set(CASES)
    wrong = [
        page.name
        for page in PAGES
        if (page.show is not None) != bool(CASES[page.name].seen) or (page.act is not None) != bool(CASES[page.name].acted)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_asks_for_the_password_again() -> None:
    """Deleting, rotating secrets, keys, users, replays; where such a page cannot be looked at, it says where to go on."""
    assert {page.name for page in PAGES if page.grave} == GRAVE
    assert [page.name for page in PAGES if page.grave and page.show is None and page.back == "/"] == []


def test_every_page_needs_the_scope_that_was_meant() -> None:
    """Those without one ask the API's routes, which need theirs."""
    told: dict[str, set[str]] = {}
    for page in PAGES:
        if page.scope:
            told.setdefault(page.scope, set()).add(page.name)
    assert told == SCOPES


def test_everybody_gets_what_is_theirs(scene: Scene) -> None:
    """Nobody is led to the sign-in, a viewer sees and does not act, another store's admin finds nothing, the operator sees all."""
    wrong: list[str] = []
    for page in PAGES:
        for check in (of_nobody, of_a_viewer, of_a_stranger, of_the_operator):
            wrong += [f"{page.name}: {check.__name__}: {told}" for told in check(scene, page)]
    assert not wrong, "\n".join(wrong)


def of_nobody(scene: Scene, page: Page) -> list[str]:
    """Try it without a session: the sign-in, with the way back for what can be looked at, for every page that is not for everybody."""
    found = []
    for method in methods(page):
        connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=30)
        body = "" if method == "POST" else None
        connection.request(method, scene.path(page), body, {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"})
        answer = connection.getresponse()
        place, status = answer.headers.get("Location") or "", answer.status
        connection.close()
        if page.access is Access.PUBLIC:
            found += [] if method == "GET" or status == 403 else [f"{method} {status} without a token"]
        elif status != 303 or not place.startswith("/sign-in"):
            found.append(f"{method} {status} {place}")
    return found


def of_a_viewer(scene: Scene, page: Page) -> list[str]:
    """Try it as a viewer of the store, whose forms have a right token."""
    case, ends_session = CASES[page.name], page.name == "sign_out"
    found = []
    if page.show is not None:
        found += compared(scene.viewer.get(scene.path(page)).status, case.seen, "GET")
    if page.act is not None and not ends_session:
        answer = scene.viewer.post(scene.path(page))
        found += compared(answer.status, case.acted, "POST")
        if "another session" in answer.text():
            found.append("the test's token was not taken")
    return found


def of_a_stranger(scene: Scene, page: Page) -> list[str]:
    """Try it as an admin of another store: nothing of this one is there, whatever it is, nor anything of operators."""
    if page.access not in {Access.STORE, Access.OPERATOR}:
        return []
    found = []
    if page.show is not None:
        found += compared(scene.stranger.get(scene.path(page)).status, 404, "GET")
    if page.act is not None:
        found += compared(scene.stranger.post(scene.path(page)).status, 404, "POST")
    return found


def of_the_operator(scene: Scene, page: Page) -> list[str]:
    """Try it as the operator, who looks at everything; a form without its token does nothing for them either."""
    case, found = CASES[page.name], []
    if page.show is not None:
        found += compared(scene.operator.get(scene.path(page)).status, case.operated, "GET")
    if page.act is not None:
        url = scene.operator.base + scene.path(page)
        found += compared(scene.operator.page.request.post(url, form={"token": "x"}, max_redirects=0).status, 403, "POST without a token")
    return found


def methods(page: Page) -> list[str]:
    """Return how a page is asked."""
    return [*(["GET"] if page.show is not None else []), *(["POST"] if page.act is not None else [])]


def compared(status: int, wanted: int, method: str) -> list[str]:
    """Return what is wrong about a status."""
    return [] if status == wanted else [f"{method} {status}, not {wanted}"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/s/demo/webhooks/?state=paused", "/s/demo/webhooks?state=paused"),
        ("/s/demo/", "/s/demo"),
        ("//evil.example.com/", None),
        ("/%5Cevil.example.com/", None),
        ("/s//evil/", None),
        ("/nothing", None),
    ],
)
def test_a_slash_too_many_leads_to_the_page(stack: Any, path: str, place: str | None) -> None:
    """And never to another host; what is not there is not there."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers.get("Location")) == ((404, None) if place is None else (303, place))
    connection.close()

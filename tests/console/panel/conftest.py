"""A browser for the panel's tests: Debian's Chromium, one operator, and an eye on everything that the browser complains about."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

PASSWORD: Final = "seven wet otters sing 48"
LOGIN: Final = "operator@example.com"
_CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_EXPECTED: Final = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
SIZES: Final = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Yield a headless Chromium; skip, and say so, where there is none. Not for the session: its event loop would hinder other tests."""
    if _CHROMIUM is None:
        pytest.skip("no Chromium here: the panel's browser tests need one (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for screenshots: HOOKLINE_SCREENSHOTS, else a temporary one."""
    given = os.environ.get("HOOKLINE_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screens")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Panel:
    """The panel in a browser; `complaints` are errors of scripts and broken policies, which no test may leave behind."""

    page: Page
    base: str
    screens: Path
    complaints: list[str] = field(default_factory=list)
    login: str = LOGIN

    def open(self, path: str) -> Page:
        """Go to a page of the panel."""
        self.page.goto(self.base + path)
        return self.page

    def heading(self) -> str:
        """Return the page's heading."""
        return self.page.locator("h1").inner_text()

    def shoot(self, name: str) -> None:
        """Keep a picture of the page at desktop and at phone width; on neither may it be wider than the window."""
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.screenshot(path=self.screens / f"{name}-{size}.png", full_page=True)
            beyond = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert beyond <= 0, f"{name} is {beyond} px wider than a {size}"
        if "HOOKLINE_SCREENSHOTS" in os.environ:
            self.page.emulate_media(color_scheme="dark")
            self.page.screenshot(path=self.screens / f"{name}-phone-dark.png", full_page=True)
        width, height = SIZES["desktop"]
        self.page.set_viewport_size({"width": width, "height": height})
        if "HOOKLINE_SCREENSHOTS" in os.environ:
            self.page.screenshot(path=self.screens / f"{name}-desktop-dark.png", full_page=True)
            self.page.emulate_media(color_scheme="light")

    def accessible(self) -> None:
        """Fail for what axe finds on the page."""
        found = Axe().run(self.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
        told = [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in found.response["violations"]]
        assert told == [], self.page.url

    def sign_in(self, login: str = LOGIN, password: str = PASSWORD) -> None:
        """Sign in by the form."""
        self.open("/sign-in")
        self.page.fill("#login", login)
        self.page.fill("#password", password)
        self.page.click("button.first")

    def claim(self, link: str, password: str = PASSWORD) -> None:
        """Choose a password by a one-time link."""
        self.page.goto(link)
        self.page.fill("#password", password)
        self.page.fill("#again", password)
        self.page.click("button.first")

    def get(self, path: str) -> APIResponse:
        """Return what whoever is signed in here gets at an address, redirects not followed."""
        return self.page.request.get(self.base + path, max_redirects=0)

    def post(self, path: str, **fields: str) -> APIResponse:
        """Return what a form with this page's token gets, as somebody sends it who writes forms by hand."""
        token = self.page.locator("input[name=token]").first.get_attribute("value") or ""
        return self.page.request.post(self.base + path, form={"token": token, **fields}, max_redirects=0)


def watched(context: BrowserContext, base: str, screens: Path) -> Panel:
    """Return a new page whose complaints are collected."""
    panel = Panel(context.new_page(), base, screens)
    panel.page.set_default_timeout(15_000)

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not _EXPECTED.search(message.text):
            panel.complaints.append(message.text)

    panel.page.on("console", heard)
    panel.page.on("pageerror", lambda error: panel.complaints.append(str(error)))
    return panel


@pytest.fixture(scope="package")
def operator(browser: Browser, stack: Any) -> str:
    """Make the first operator of the session's console by its one-time link, as a person would; return the panel's address."""
    found = re.search(rb'"url": "([^"]+)/welcome/([0-9a-f]+)"', stack.log.read_bytes())
    assert found is not None, "the console did not print the link that makes the first operator"
    base = f"http://127.0.0.1:{stack.port}"
    page = browser.new_page()
    page.goto(f"{base}/welcome/{found[2].decode()}")
    page.fill("#login", LOGIN)
    page.fill("#name", "Olga Operator")
    page.fill("#password", PASSWORD)
    page.fill("#again", PASSWORD)
    page.click("button.first")
    page.wait_for_url("**/stores")
    page.close()
    return base


@pytest.fixture
def visitor(browser: Browser, operator: str, screens: Path) -> Iterator[Panel]:
    """Yield the panel in a browser in which nobody is signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id="Europe/Berlin", locale="en-GB")
    panel = watched(context, operator, screens)
    yield panel
    context.close()
    assert panel.complaints == []


@pytest.fixture
def panel(visitor: Panel) -> Panel:
    """Return the panel in a browser in which the operator is signed in."""
    visitor.sign_in()
    visitor.page.wait_for_url("**/stores")
    return visitor


@pytest.fixture
def another(browser: Browser, operator: str, screens: Path) -> Iterator[Callable[[], Panel]]:
    """Give tests further browsers, each with cookies of its own."""
    contexts: list[BrowserContext] = []
    panels: list[Panel] = []

    def make() -> Panel:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        panels.append(watched(contexts[-1], operator, screens))
        return panels[-1]

    yield make
    for context in contexts:
        context.close()
    assert [panel.complaints for panel in panels if panel.complaints] == []


@pytest.fixture
def person(panel: Panel, another: Callable[[], Panel], store: str) -> Callable[..., Panel]:
    """Give tests people: `person("viewer")` is a browser in which somebody new of the test's store is signed in, let in by the operator."""

    def make(role: str, of: str = "", name: str = "") -> Panel:
        panel.open(f"/s/{of or store}/users")
        login = f"{role}-{os.urandom(4).hex()}@example.com"
        panel.page.fill("#login", login)
        panel.page.fill("#name", name)
        panel.page.select_option("#role", role)
        panel.page.click("#invite button")
        found = another()
        found.login = login
        found.claim(panel.page.locator(".code code").inner_text())
        found.page.wait_for_url(f"**/s/{of or store}")
        return found

    return make

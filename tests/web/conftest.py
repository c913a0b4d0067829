"""A real Chromium for the page: one per package, a fresh profile per test, and nothing unnoticed.

Skips, saying why, where Playwright or a Chromium is not installed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Server

from .stub import Stub, create_stub_app
from .world import World, open_world

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

from .serving import serve_app

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
INSTALL = ".venv/bin/python -m pip install -r tests/web/requirements.lock installs it"
WATCH = """
window.__violations = [];
addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


@dataclass
class Witness:
    """What a page did beside what was asked of it."""

    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note errors, dialogs and every address that is asked for."""
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.addresses.append(request.url))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"no Playwright; {INSTALL}")
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed; Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def witness() -> Witness:
    """What the page did."""
    return Witness()


@contextlib.contextmanager
def open_page(browser: Browser, witness: Witness, url: str, **options: Any) -> Iterator[Page]:
    """A tab with an empty profile; fails if a script of the page failed or hit its policy."""
    look: dict[str, Any] = {"viewport": {"width": 1200, "height": 820}, "locale": "en-GB"}
    context = browser.new_context(**(look | options))
    context.set_default_timeout(30_000)  # machines are shared
    context.add_init_script(WATCH)
    tab = context.new_page()
    witness.watch(tab)
    try:
        tab.goto(url)
        tab.locator("main > *").first.wait_for()
        yield tab
        violations = tab.evaluate("window.__violations")
    finally:
        context.close()
    assert witness.errors == []
    assert violations == []


@pytest.fixture
def page(browser: Browser, witness: Witness, stub_url: str) -> Iterator[Page]:
    """The page on the stub."""
    with open_page(browser, witness, stub_url) as tab:
        yield tab


@pytest.fixture
def real_page(browser: Browser, witness: Witness, real_url: str) -> Iterator[Page]:
    """The page on the real server."""
    with open_page(browser, witness, real_url) as tab:
        yield tab


@pytest.fixture(scope="package")
def stub_server() -> Iterator[tuple[Stub, str]]:
    """One stub with the page beside it, for all tests, and its address."""
    stub = Stub()
    with serve_app(create_stub_app(stub)) as url:
        yield stub, url


@pytest.fixture
def stub(stub_server: tuple[Stub, str]) -> Stub:
    """The API with written answers; as new for every test."""
    stub_server[0].reset()
    return stub_server[0]


@pytest.fixture
def stub_url(stub: Stub, stub_server: tuple[Stub, str]) -> str:
    """Where the stub and the page are served."""
    return stub_server[1]


@pytest.fixture(scope="package")
def real_url(shared_server: Server) -> str:
    """The real server with the page on it."""
    return shared_server.origin


@pytest.fixture(scope="package")
def world(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The real server between a fake Hub and a fake OpenRouter; none where nothing would look."""
    with open_world(tmp_path_factory.mktemp("world")) as opened:
        yield opened


@pytest.fixture
def world_page(browser: Browser, witness: Witness, world: World) -> Iterator[Page]:
    """The page on that server."""
    with open_page(browser, witness, world.origin) as tab:
        yield tab


def change_requests(page: Page, **fields: Any) -> None:
    """Send these fields too with every question from now on."""

    def forward(route: Route) -> None:
        body = route.request.post_data_json | fields
        route.continue_(post_data=json.dumps(body))

    page.route("**/v1/chat/completions", forward)


def ask(page: Page, question: str) -> Any:
    """Send a question; the turn of its answer."""
    count = page.locator(".turn.assistant").count()
    page.fill("#composer", question)
    page.keyboard.press("Enter")
    turn = page.locator(".turn.assistant").nth(count)
    turn.wait_for()
    return turn


def wait_done(turn: Any, state: str = "done") -> None:
    """Wait until an answer has ended so."""
    turn.and_(turn.page.locator(f"[data-state={state}]")).wait_for(timeout=60_000)

"""Every view, in both themes and on a phone: axe finds nothing serious, and keys alone suffice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import INSTALL, Witness, ask, open_page, wait_done
from .stub import HOSTED, Stub, call, closing, delta, finish

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TEXT = (
    "# Title\n\nSome **text** with `code`, a [link](https://a.example).\n\n"
    "```py\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] task\n"
)
WIDE = "x" * 300 + "\n\n" + "| wide " * 30 + "|\n" + "|---" * 30 + "|\n"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
GRAVE = ("serious", "critical")


@pytest.fixture(scope="package")
def axe() -> str:
    """The source of axe-core."""
    package = pytest.importorskip("axe_playwright_python", reason=f"no axe; {INSTALL}")
    return (Path(package.__file__).parent / "axe.min.js").read_text()


def faults(page: Page, axe: str) -> list[str]:
    """What axe finds that is serious or worse."""
    page.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished))")
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{fault['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:200]}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_axe_finds_no_serious_fault_in_any_view(
    browser: Browser, witness: Witness, stub: Stub, stub_url: str, axe: str, look: str
) -> None:
    stub.play(
        "go", delta(reasoning_content="Hm."), delta(content=TEXT), finish("stop"), closing(HOSTED)
    )
    stub.play("call", call("get_weather", "{}"), finish("tool_calls"), closing(HOSTED))
    options = PHONE if look == "phone" else {"color_scheme": look}
    found = {}
    with open_page(browser, witness, stub_url, **options) as page:
        found["start"] = faults(page, axe)
        turn = ask(page, "go")
        wait_done(turn)
        turn.get_by_text("Thoughts").click()
        turn.locator(".route > summary").click()
        wait_done(ask(page, "call"))
        wait_done(ask(page, "no route"), "failed")
        found["chat"] = faults(page, axe)
        page.get_by_label("Settings").click()
        found["drawer"] = faults(page, axe)
        page.keyboard.press("Escape")
        for view, sign in (("models", ".model-row"), ("now", ".card"), ("money", ".tile")):
            page.evaluate(f"location.hash = '#/{view}'")
            page.locator(sign).first.wait_for()
            if view == "models":
                page.locator(".more > summary").first.click()
            found[view] = faults(page, axe)
    assert {view: one for view, one in found.items() if one} == {}


def test_a_conversation_can_be_had_with_keys_alone(page: Page, stub: Stub) -> None:
    stub.say("hello", "Good day.")
    assert page.evaluate("document.activeElement.id") == "composer"
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    page.get_by_text("Good day.").wait_for()
    assert page.locator("#announcer").inner_text() == "Hermes has answered."
    page.keyboard.press("Alt+s")
    page.get_by_role("dialog", name="Settings of this conversation").wait_for()
    assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.keyboard.press("Alt+2")
    page.get_by_role("heading", name="Models", exact=True).wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()


def test_a_phone_sees_everything_without_scrolling_sideways(
    browser: Browser, witness: Witness, stub: Stub, stub_url: str
) -> None:
    stub.say("go", TEXT + "\n\n" + WIDE)
    with open_page(browser, witness, stub_url, **PHONE) as page:
        wait_done(ask(page, "go"))
        width = "document.documentElement.scrollWidth + document.querySelector('main').scrollWidth"
        assert page.evaluate(width) <= 2 * 390
        page.get_by_role("button", name="Conversations", exact=True).click()
        page.locator("#history a").wait_for()
        page.locator("#history a").click()
        page.locator("#sidebar").wait_for(state="hidden")
        for view, sign in (("Models", ".model-row"), ("Now", ".card"), ("Money", ".tile")):
            page.get_by_role("link", name=view).click()
            page.locator(sign).first.wait_for()
            assert page.evaluate(width) <= 2 * 390, view

"""The page on the real server with the bundled model: what people do first, and what may break."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx

from .conftest import ask, change_requests, wait_done

if TYPE_CHECKING:
    from playwright.sync_api import Page

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "parameters": CITY}
NUM_TOKENS = 400


def length(turn: Any) -> int:
    """How much text an answer has."""
    count: int = turn.locator(".markdown").evaluate("(one) => one.textContent.length")
    return count


def wait_text(turn: Any) -> None:
    """Wait for the first text of an answer."""
    turn.locator(".markdown .rich > *").first.wait_for()


def engine(url: str) -> dict[str, Any]:
    """The one engine, as `/health` tells it."""
    found: dict[str, Any] = httpx.get(f"{url}/health").json()["engines"][0]
    return found


def test_the_bundled_model_answers_and_says_so(real_page: Page) -> None:
    turn = ask(real_page, "Hello!")
    wait_done(turn)
    assert length(turn) > 0
    line = turn.locator(".route > summary").inner_text()
    for part in ("This machine", "tok/s", "first token", "free"):
        assert part in line
    turn.locator(".route > summary").click()
    turn.locator(".raw summary").click()
    route = json.loads(turn.locator(".raw pre").inner_text())
    assert (route["served_by"], route["model"]) == ("local", "hermes-tiny")


def test_a_long_answer_is_stopped_in_its_engine_too(real_page: Page, real_url: str) -> None:
    change_requests(real_page, ignore_eos=True, max_tokens=1500)
    turn = ask(real_page, "Tell me a long story.")
    wait_text(turn)
    real_page.get_by_label("Stop", exact=True).click()
    wait_done(turn, "stopped")
    stopped = length(turn)
    for _ in range(50):
        if engine(real_url)["running"] == 0:
            break
        real_page.wait_for_timeout(100)
    assert engine(real_url)["running"] == 0
    assert length(turn) == stopped


def test_a_tool_is_called_and_answered(real_page: Page) -> None:
    change_requests(real_page, tool_choice="required")
    real_page.get_by_label("Settings").click()
    real_page.get_by_label("Your own, as JSON").fill(json.dumps(TOOL))
    real_page.keyboard.press("Escape")
    turn = ask(real_page, "What is the weather in Oslo?")
    wait_done(turn)
    assert turn.locator(".tool .name").inner_text() == "get_weather"
    assert "city" in json.loads(turn.locator(".tool pre").first.inner_text())
    real_page.unroute("**/v1/chat/completions")
    change_requests(real_page, tool_choice="none")
    real_page.get_by_label("Result of get_weather").fill('{"sky": "clear"}')
    real_page.get_by_role("button", name="Send result").click()
    last = real_page.locator(".turn.assistant").nth(1)
    wait_done(last)
    assert length(last) > 0


def test_a_stream_goes_on_when_the_engine_is_killed(real_page: Page, real_url: str) -> None:
    wait_done(ask(real_page, "Hello!"))
    before = engine(real_url)
    change_requests(real_page, ignore_eos=True, max_tokens=NUM_TOKENS)
    turn = ask(real_page, "Tell me a long story.")
    wait_text(turn)
    os.kill(before["pid"], signal.SIGKILL)
    wait_done(turn)
    after = engine(real_url)
    assert after["pid"] != before["pid"]
    assert after["crashes"] == before["crashes"] + 1
    turn.locator(".route > summary").click()
    assert f"{NUM_TOKENS} tokens" in turn.locator(".panel").inner_text()
    real_page.keyboard.press("Alt+3")
    real_page.get_by_text("restarted by themselves").wait_for()


def test_every_view_opens_on_the_real_server(real_page: Page) -> None:
    for view, sign in (("models", ".model-row"), ("now", ".tile"), ("money", ".tile, .hint")):
        real_page.evaluate(f"location.hash = '#/{view}'")
        real_page.locator(f"main {sign}").first.wait_for()
    assert real_page.locator("main .failure").count() == 0

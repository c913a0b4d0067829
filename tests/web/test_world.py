"""The page on the real server, with a fake Hub to pull from and a fake OpenRouter to ask."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fakes.openrouter.scenario import Scenario

from .conftest import Witness, ask, change_requests, open_page, wait_done
from .test_accessibility import PHONE, axe, faults
from .test_views import go, row
from .world import CONTEXT, DAILY_USD, HOSTED, LOCAL, MONTHLY_USD, SMALL, TITLE, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["axe"]
VIEWS = (("models", ".model-row"), ("now", ".card"), ("money", ".tile"))


def ask_hosted(page: Page, question: str) -> Any:
    """An answer of the model that no test machine holds."""
    page.get_by_label("Model", exact=True).select_option(HOSTED)
    turn = ask(page, question)
    wait_done(turn)
    return turn


def get(world: World, path: str) -> Any:
    """What an endpoint says, for comparison."""
    return httpx.get(f"{world.origin}{path}", timeout=60).json()


def test_a_model_is_pulled_cancelled_pulled_on_loaded_and_answers(
    world_page: Page, world: World
) -> None:
    go(world_page, "Models")
    model = row(world_page, SMALL)
    model.wait_for()
    for part in (TITLE, "fits here", "3 pages", f"{CONTEXT:,} tokens", "predicted"):
        assert part in model.inner_text()
    world.hub.bytes_per_s = world.size_bytes / 6
    model.get_by_role("button", name="Pull").click()
    bar = world_page.get_by_role("progressbar", name=f"Pulling {SMALL}")
    seen = _watch(world_page, bar, 3)
    assert seen == sorted(seen)
    assert re.search(r"of 6\.6 MB · [\d.]+ [kM]B/s", model.inner_text())
    model.get_by_role("button", name="Cancel").click()
    model.get_by_text("Cancelled; what was fetched is kept.").wait_for()
    assert world.hub.num_body_bytes < world.size_bytes
    assert row(world_page, SMALL).get_by_role("button", name="Load").count() == 0
    world.hub.bytes_per_s = None
    model.get_by_role("button", name="Pull").click()
    model.get_by_role("button", name="Load").wait_for(timeout=60_000)
    assert world.hub.num_body_bytes < 1.5 * world.size_bytes, "it began again from nothing"
    model.get_by_role("button", name="Load").click()
    model.get_by_role("button", name="Unload").wait_for(timeout=60_000)
    model.get_by_role("button", name="Chat").click()
    change_requests(world_page, ignore_eos=True, max_tokens=40, seed=1)
    turn = ask(world_page, "Say something.")
    wait_done(turn)
    assert turn.locator(".markdown").inner_text().strip()
    assert _route(turn)["model"] == SMALL
    go(world_page, "Models")
    model.get_by_text(re.compile(r"^measured, [\d,]+ predicted$")).wait_for()


def _watch(page: Page, bar: Any, num_places: int) -> list[int]:
    """The places a bar goes through."""
    seen: list[int] = []
    until_s = time.monotonic() + 60
    while len(seen) < num_places:
        assert time.monotonic() < until_s, f"the bar stood still at {seen}"
        place = int(bar.get_attribute("aria-valuenow") or 0)
        if place and place not in seen:
            seen.append(place)
        page.wait_for_timeout(50)
    return seen


def _route(turn: Any) -> Any:
    """The whole x_route, as a click shows it."""
    turn.locator(".route > summary").click()
    turn.locator(".raw summary").click()
    return json.loads(turn.locator(".raw pre").inner_text())


def test_a_pull_that_fails_says_why_and_can_be_tried_again(world: World, world_page: Page) -> None:
    httpx.post(f"{world.origin}/v1/models/remove", json={"model": SMALL}, timeout=60)
    world.hub.bytes_per_s = None
    world.hub.inject("api", "status", status=403, value="GatedRepo")
    go(world_page, "Models")
    model = row(world_page, SMALL)
    model.get_by_role("button", name="Pull").click()
    model.locator(".pull-text").get_by_text("gated").wait_for()
    model.get_by_role("button", name="Pull").click()
    model.get_by_role("button", name="Load").wait_for(timeout=60_000)


def test_a_hosted_answer_shows_its_price_and_its_whole_route(
    world_page: Page, world: World
) -> None:
    before = get(world, "/v1/usage")["totals"]["cost_usd"]
    turn = ask_hosted(world_page, "Who are you?")
    line = turn.locator(".route > summary")
    cost = get(world, "/v1/usage")["totals"]["cost_usd"] - before
    shown = float(line.get_by_text("$").inner_text().removeprefix("$"))
    assert shown == pytest.approx(cost, rel=0.05)
    for part in ("openrouter", "first token", "does not fit"):
        assert part in line.inner_text()
    assert "GiB" not in line.inner_text(), "the line is not quiet"
    route = _route(turn)
    assert (route["served_by"], route["cost_usd"]) == ("openrouter", pytest.approx(cost))
    assert [one["backend"] for one in route["attempts"]][-1] == "openrouter"
    assert any("GiB are missing" in reason for reason in route["reasons"])
    panel = turn.locator(".panel").inner_text()
    for reason in route["reasons"]:
        assert reason in panel
    assert "stream" in world.fake.posts[-1].json


def test_a_hosted_answer_is_stopped_at_the_provider_too(world_page: Page, world: World) -> None:
    world.fake.play(Scenario("slow", text="word " * 400, stall_after=20))
    world_page.get_by_label("Model", exact=True).select_option(HOSTED)
    turn = ask(world_page, "Tell me a long story.")
    turn.locator(".markdown .rich > *").first.wait_for()
    world_page.get_by_label("Stop", exact=True).click()
    wait_done(turn, "stopped")
    for _ in range(100):
        if world.fake.posts[-1].gone_at_s is not None:
            break
        world_page.wait_for_timeout(50)
    assert world.fake.posts[-1].gone_at_s is not None
    assert not world.fake.posts[-1].is_complete


def test_money_shows_the_ledger_and_the_budgets_as_lines(world_page: Page, world: World) -> None:
    ask_hosted(world_page, "Who are you?")
    go(world_page, "Money")
    world_page.locator(".tile").first.wait_for()
    spent = get(world, "/v1/usage")["totals"]["cost_usd"]
    text = world_page.locator("main").inner_text()
    for part in (f"daily budget ${DAILY_USD:.2f}", f"monthly budget ${MONTHLY_USD:.2f}"):
        assert part in text
    tile = world_page.locator(".tile b").first.inner_text()
    assert float(tile.removeprefix("$")) == pytest.approx(spent, rel=0.05)
    assert world_page.locator(".chart .limit").count() == 2
    assert world_page.locator(".chart .first").count() >= 1
    for table, name in (("Models", HOSTED), ("Providers", "openrouter"), ("Keys", "no key")):
        region = world_page.get_by_role("region", name=table)
        assert name in region.inner_text()


def test_now_shows_the_engines_and_the_providers_as_they_are(
    world_page: Page, world: World
) -> None:
    ask_hosted(world_page, "Who are you?")
    world_page.get_by_label("Model", exact=True).select_option(LOCAL)
    change_requests(world_page, ignore_eos=True, max_tokens=1500, route="local")
    turn = ask(world_page, "Tell me a long story.")
    turn.locator(".markdown .rich > *").first.wait_for()
    go(world_page, "Now")
    card = world_page.locator(".card").filter(has_text=LOCAL)
    card.get_by_text("in use").wait_for()
    health = get(world, "/health")
    engine = next(one for one in health["engines"] if one["model"] == LOCAL)
    assert f"process {engine['pid']}" in card.inner_text()
    assert f"of {engine['cells']['total']:,} KV cells" in card.inner_text()
    world_page.locator(".chart .line").wait_for()
    tick = world_page.locator(".chart .tick").last
    tick.wait_for()
    tiles = world_page.locator(".tiles").inner_text()
    for part in ("running", "waiting", " ms", "95 % within", "hosted", " %"):
        assert part in tiles
    known = world_page.get_by_role("region", name="Providers").inner_text()
    for part in ("openrouter", "ready", "written", "Speed", "First token"):
        assert part in known
    more = world_page.get_by_text("more could be set up")
    more.click()
    world_page.get_by_text("set NOUS_API_KEY").wait_for()


def test_models_show_the_missing_part_the_licence_and_two_side_by_side(
    world_page: Page, world: World
) -> None:
    go(world_page, "Models")
    big = row(world_page, HOSTED)
    big.wait_for()
    plan = next(one for one in get(world, "/v1/plan")["models"] if one["id"] == HOSTED)
    assert f"{plan['missing_bytes'] / 1e9:.0f} GB missing" in big.inner_text()
    assert big.locator(".bar-track .missing").count() == 1
    assert "per million" in big.inner_text()
    for model in (HOSTED, LOCAL):
        row(world_page, model).get_by_text("Details").click()
        row(world_page, model).get_by_label("Compare").check()
    world_page.get_by_role("button", name="Compare", exact=True).click()
    table = world_page.get_by_role("region", name="Two models")
    assert table.locator("thead th").count() == 2
    for name in ("Memory", "Licence", "Context", "Speed", "Goes to", "Hosted, per million"):
        cells = table.get_by_role("row").filter(has=world_page.get_by_text(name, exact=True))
        assert cells.first.get_by_role("cell").count() == 2, name


def test_no_images_are_offered_where_the_server_takes_none(world_page: Page) -> None:
    choice = world_page.get_by_label("Model", exact=True)
    choice.locator("option").nth(3).wait_for(state="attached")
    seeing = "nous-hermes-2-vision-alpha"
    choice.select_option(seeing)
    assert not world_page.get_by_label("Attach images").is_visible()
    go(world_page, "Models")
    row(world_page, seeing).wait_for()
    assert "vision" not in row(world_page, seeing).locator(".tag").all_inner_texts()


@pytest.mark.parametrize("look", ["desk", "phone"])
def test_real_figures_break_no_view(
    browser: Browser, witness: Witness, world: World, axe: str, look: str
) -> None:
    options = PHONE if look == "phone" else {}
    found = {}
    with open_page(browser, witness, world.origin, **options) as page:
        turn = ask_hosted(page, "Who are you?")
        turn.locator(".route > summary").click()
        found["chat"] = _look_at(page, axe)
        for view, sign in VIEWS:
            page.evaluate(f"location.hash = '#/{view}'")
            page.locator(sign).first.wait_for()
            found[view] = _look_at(page, axe)
    assert {view: one for view, one in found.items() if one} == {}


def _look_at(page: Page, axe: str) -> list[str]:
    """What axe finds, and what reaches over the edge of the page."""
    wide = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter((one) =>
          one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".table-scroll, pre"))
          .map((one) => `too wide: ${one.className || one.localName}`)"""
    )
    return [*wide, *faults(page, axe)]

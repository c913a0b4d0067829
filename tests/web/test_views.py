"""Models, Now and Money on a stub of the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from .figures import GPU_BYTES, RAM_BYTES, plans, usage
from .stub import Stub

if TYPE_CHECKING:
    from playwright.sync_api import Page


def row(page: Page, model: str) -> Any:
    """The row of a model."""
    return page.locator(f'.model-row[data-model="{model}"]')


def go(page: Page, view: str) -> None:
    """Open a view from the navigation."""
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()


def test_the_family_shows_what_fits_and_what_it_costs(page: Page) -> None:
    go(page, "Models")
    tiny = row(page, "hermes-tiny")
    tiny.wait_for()
    assert "loaded" in tiny.inner_text()
    big = row(page, "hermes-4-405b")
    text = big.inner_text()
    assert "missing" in text
    assert "hosted only" in text
    assert "per million" in text
    assert big.locator(".bar-track .missing").count() == 1
    small = row(page, "hermes-4-14b").inner_text()
    for part in ("fits here", "tok/s", "predicted", "63 pages", "40,960 tokens"):
        assert part in small
    page.get_by_label("Find a model").fill("405b tools")
    assert page.locator(".model-row").count() >= 1
    assert row(page, "hermes-4-14b").count() == 0


def test_a_pull_moves_its_bar_and_ends_installed(page: Page, stub: Stub) -> None:
    stub.pauses_s["pull"] = 0.1
    go(page, "Models")
    row(page, "hermes-4-14b").get_by_role("button", name="Pull").click()
    bar = page.get_by_role("progressbar", name="Pulling hermes-4-14b")
    seen = set()
    while len(seen) < 4:
        seen.add(int(bar.get_attribute("aria-valuenow") or 0))
        page.wait_for_timeout(50)
    assert max(seen) > min(seen)
    assert "MB/s" in row(page, "hermes-4-14b").inner_text()
    go(page, "Now")
    go(page, "Models")
    row(page, "hermes-4-14b").get_by_role("button", name="Load").wait_for()
    assert stub.requests == [{"pull": "hermes-4-14b"}]


def test_a_pull_can_be_cancelled(page: Page, stub: Stub) -> None:
    stub.pauses_s["pull"] = 0.3
    go(page, "Models")
    model = row(page, "hermes-4-14b")
    model.get_by_role("button", name="Pull").click()
    model.get_by_role("button", name="Cancel").click()
    model.get_by_text("Cancelled; what was fetched is kept.").wait_for()
    assert stub.cancelled.wait(5)
    model.get_by_role("button", name="Pull").wait_for()


def test_models_are_loaded_unloaded_and_removed(page: Page, stub: Stub) -> None:
    stub.installed.add("hermes-4-14b")
    go(page, "Models")
    model = row(page, "hermes-4-14b")
    model.get_by_role("button", name="Load").click()
    model.get_by_role("button", name="Unload").click()
    model.get_by_role("button", name="Load").wait_for()
    model.get_by_text("Details").click()
    model.get_by_role("button", name="Remove from this machine").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    model.get_by_role("button", name="Pull").wait_for()
    assert stub.requests == [{verb: "hermes-4-14b"} for verb in ("load", "unload", "remove")]


def test_two_models_stand_side_by_side(page: Page) -> None:
    go(page, "Models")
    for model in ("hermes-4-14b", "hermes-4-405b"):
        row(page, model).get_by_text("Details").click()
        row(page, model).get_by_label("Compare").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    table = page.get_by_role("region", name="Two models")
    assert table.locator("thead th").count() == 2
    assert table.locator(".bar-track").count() == 2
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in table.inner_text().splitlines()}
    for name in ("Licence", "Context", "Speed", "Hosted, per million"):
        assert len(rows[name]) == 2, name


def test_now_shows_engines_cells_speed_and_providers(page: Page, stub: Stub) -> None:
    stub.crashes = 2
    go(page, "Now")
    page.locator(".tile").first.wait_for()
    tiles = page.locator(".tiles").inner_text()
    for part in ("2 running", "1 waiting", "138 ms", "75 %", "restarted by themselves"):
        assert part in tiles
    engine = page.locator(".card").inner_text()
    for part in ("hermes-tiny", "1,192 in use", "1,980 kept", "2 crashes", "process 4711"):
        assert part in engine
    assert "shared" not in engine
    page.locator(".chart .line").wait_for()
    stub.more_cells = {"shared": 640}
    page.get_by_text("1,192 in use, 640 of them shared").wait_for()


def test_now_says_how_the_providers_fare_and_what_they_cost(page: Page) -> None:
    go(page, "Now")
    rows = page.get_by_role("region", name="Providers").locator("tbody tr")
    rows.first.wait_for()
    shown = [row.inner_text() for row in rows.all()]
    for part in ("openrouter", "ready", "100 %", "640 ms", "61 tok/s", "written"):
        assert part in shown[0]
    assert "too few yet (3)" in shown[1]
    for part in ("nebius", "resting", "71 %", "2.4 s", "5 times in a row"):
        assert part in shown[2]
    assert len(shown) == 3
    page.get_by_text("2 more could be set up").click()
    page.get_by_text("together: no key; set TOGETHER_API_KEY").wait_for()
    page.wait_for_timeout(2500)
    assert page.get_by_text("together: no key").is_visible(), "a new figure closed what was open"


def test_money_adds_up_by_day_model_provider_and_key(page: Page) -> None:
    go(page, "Money")
    page.locator(".tile").first.wait_for()
    text = page.locator("main").inner_text()
    parts = ["$0.32", "$0.24", "$0.0042", "daily budget $0.06", "monthly budget $1.50"]
    today = datetime.now(UTC).date().isoformat()
    this_month = [row for row in usage()["by_day"] if row["day"].startswith(today[:7])]
    parts.append(f"${sum(row['cost_usd'] for row in this_month):.2f} of $1.50 so far")
    parts.append(f"${this_month[-1]['cost_usd']:.2f} of $0.06 today")
    for part in parts:
        assert part in text
    for table in ("Models", "Providers", "Keys"):
        assert page.get_by_role("region", name=table).locator("tbody tr").count() == 2
    assert page.locator(".chart .reach").count() == 30
    assert page.locator(".chart .first").count() == 11
    assert page.locator(".chart .limit").count() == 2
    with page.expect_request(lambda request: "/v1/usage?since=0" in request.url):
        page.get_by_role("button", name="Everything").click()
    page.locator(".chart .reach").nth(12).wait_for(state="detached")


def test_a_view_whose_endpoint_is_missing_explains_itself(page: Page, stub: Stub) -> None:
    stub.missing = {"/v1/plan", "/v1/usage", "/v1/providers", "/metrics", "/v1/models/load"}
    stub.installed.add("hermes-4-14b")
    go(page, "Models")
    page.get_by_text("This server makes no plans yet").wait_for()
    row(page, "hermes-4-14b").get_by_role("button", name="Load").click()
    page.get_by_text("This server cannot load models from the page yet.").wait_for()
    go(page, "Now")
    page.get_by_text("This server has no hosted providers").wait_for()
    go(page, "Money")
    page.get_by_text("This server keeps no ledger yet").wait_for()


def test_a_bar_stands_for_the_whole_machine(page: Page) -> None:
    go(page, "Models")
    bar = row(page, "hermes-4-14b").locator(".bar-track")
    bar.wait_for()
    widths = bar.locator("i").evaluate_all("(all) => all.map((one) => parseFloat(one.style.width))")
    plan = next(plan for plan in plans() if plan["id"] == "hermes-4-14b")
    room = RAM_BYTES + GPU_BYTES
    shares = [100 * plan[f"total_{kind}_bytes"] / room for kind in ("gpu", "ram")]
    assert widths == pytest.approx(shares, abs=0.1)


def test_the_focus_stays_where_it_was_when_the_list_is_drawn_anew(page: Page) -> None:
    go(page, "Models")
    model = row(page, "hermes-4-14b")
    focused = "document.activeElement.textContent"
    page.get_by_role("button", name="Fits here").press("Enter")
    assert "Fits here" in page.evaluate(focused)
    model.get_by_text("Details").click()
    model.get_by_label("Compare").press("Space")
    assert model.get_by_label("Compare").is_checked()
    assert page.evaluate("document.activeElement.type") == "checkbox"
    page.get_by_role("button", name="Unload").press("Enter")
    page.get_by_role("button", name="Load", exact=True).wait_for()
    assert page.evaluate(focused) == "Load"


def test_many_days_are_drawn_as_months(page: Page) -> None:
    months: Any = page.evaluate(
        """async () => {
          const { barsOf } = await import("/static/money.js");
          const rows = [{ day: "2026-01-31", cost_usd: 1 }, { day: "2026-06-01", cost_usd: 2 }];
          return [barsOf(rows, null, "2026-06-03"), barsOf([], "2026-06-01", "2026-06-03")];
        }"""
    )
    assert [bar["short"] for bar in months[0]][::5] == ["Jan 2026", "Jun 2026"]
    assert [bar["value"] for bar in months[0]] == [1, 0, 0, 0, 0, 2]
    assert [bar["short"] for bar in months[1]] == ["1 Jun", "2 Jun", "3 Jun"]

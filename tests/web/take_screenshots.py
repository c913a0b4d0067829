"""Pictures of every view for the documentation: `python -m tests.web.take_screenshots`.

The figures on them come from the stub. Needs Playwright, a Chromium, and Pillow to make the files
small; Inter and JetBrains Mono are used where they are installed.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from playwright.sync_api import sync_playwright

from .conftest import FLAGS, NAMES, ask, wait_done
from .serving import serve_app
from .stub import ROUTE, TIMINGS, Stub, call, closing, create_stub_app, delta, finish

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "device_scale_factor": 2,
}
ANSWER = """The **KV cache** keeps what the model has already worked out about earlier tokens,
so that each new token costs one step instead of the whole conversation.

1. Without it, every step would read *everything* again.
2. With it, a step reads `keys` and `values` from memory.
3. A prefix that many requests share is computed **once**.

```python
def step(tokens, cache):
    keys, values = cache.extend(tokens[cache.length :])
    return attend(tokens[-1], keys, values)
```
"""


def prepare(stub: Stub) -> None:
    """What is said on the pictures."""
    stub.play(
        "What is a KV cache?",
        delta(reasoning_content="A short explanation, then the numbers."),
        delta(content=ANSWER),
        finish("stop"),
        closing(ROUTE, timings=TIMINGS),
    )
    stub.play(
        "What is 6 × 7?",
        call("calculate", '{"expression": "6 * 7"}'),
        finish("tool_calls"),
        closing(ROUTE, timings=TIMINGS),
    )
    stub.say('{"result":42}', "Six times seven is **42**.", hosted=True)


def save(page: Page, name: str) -> None:
    """One picture, reduced to a palette."""
    page.wait_for_timeout(350)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    FOLDER.mkdir(parents=True, exist_ok=True)
    small = picture.quantize(
        256,
        method=Image.Quantize.MAXCOVERAGE,  # keeps the few red pixels red,
        kmeans=4,  # and moves every colour to where most of its pixels are
        dither=Image.Dither.NONE,
    )
    small.save(FOLDER / f"{name}.png", optimize=True)


def show_view(page: Page, view: str, sign: str) -> None:
    """Open a view and wait until it is drawn."""
    page.evaluate(f"location.hash = '#/{view}'")
    page.locator(sign).first.wait_for()


def compare(page: Page) -> None:
    """Two models side by side."""
    for model in ("hermes-4-14b", "hermes-4-70b"):
        row = page.locator(f'.model-row[data-model="{model}"]')
        row.get_by_text("Details").click()
        row.get_by_label("Compare").check()
    page.get_by_role("button", name="Compare", exact=True).click()


def take(browser: Browser, url: str, theme: str, size: str) -> None:
    """Every view in one theme and size."""
    options = WIDE if size == "wide" else PHONE
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce", **options)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.locator("optgroup").first.wait_for(state="attached")
    name = f"{{}}-{theme}" if size == "wide" else f"phone-{{}}-{theme}"
    save(page, name.format("start"))
    page.get_by_label("Settings").click()
    page.get_by_label("Calculator").check()
    page.locator(".dialog.side").evaluate("(one) => { one.scrollTop = 0; }")
    save(page, name.format("settings"))
    page.keyboard.press("Escape")
    wait_done(ask(page, "What is a KV cache?"))
    save(page, name.format("chat"))
    ask(page, "What is 6 × 7?")
    last = page.locator(".turn.assistant").nth(2)
    last.locator(".route > summary").wait_for()
    save(page, name.format("tool"))
    last.locator(".route > summary").click()
    last.locator(".route").scroll_into_view_if_needed()
    page.locator(".scroller").evaluate("(one) => { one.scrollTop = one.scrollHeight; }")
    save(page, name.format("route"))
    show_view(page, "models", ".model-row")
    save(page, name.format("models"))
    if size == "wide":
        compare(page)
        save(page, name.format("compare"))
        page.keyboard.press("Escape")
    show_view(page, "now", ".tile")
    if size == "wide":
        page.set_viewport_size({**WIDE["viewport"], "height": 1080})
    page.wait_for_timeout(16_000 if size == "wide" else 7_000)
    save(page, name.format("now"))
    page.set_viewport_size(options["viewport"])
    show_view(page, "money", ".tile")
    save(page, name.format("money"))
    context.close()


def main() -> None:
    """Take them all."""
    stub = Stub()
    prepare(stub)
    program = next(path for name in NAMES if (path := shutil.which(name)))
    with serve_app(create_stub_app(stub)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for theme in ("light", "dark"):
            for size in ("wide", "phone"):
                take(browser, url, theme, size)
        browser.close()


if __name__ == "__main__":
    main()

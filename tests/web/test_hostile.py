"""What a model may say to attack the page; nothing of it may run, load or break."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Witness, ask, wait_done
from .stub import ROUTE, Stub, call, closing, delta, finish

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

ATTACKS = (
    "<script>window.__ran = 1; alert(1)</script>",
    "<img src=x onerror='window.__ran = 1; alert(1)'>",
    "<svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<iframe srcdoc='<script>parent.__ran = 1</script>'></iframe>",
    "<style>@import 'https://evil.example/a.css'; body { display: none }</style>",
    "<link rel=stylesheet href=https://evil.example/b.css><base href=https://evil.example/>",
    "<form action=https://evil.example/><input name=q autofocus onfocus=alert(1)></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "[click](javascript:window.__ran=1) [click](JAVASCRIPT:alert(1)) <javascript:alert(1)>",
    "[click](data:text/html,<script>alert(1)</script>) ![p](https://evil.example/p.png)",
    '[a](https://ok.example/" onmouseover="alert(1))',
    '```"><script>alert(1)</script>\n</code></pre><script>alert(1)</script>\n```',
    "| <img src=x onerror=alert(1)> | b |\n| --- | --- |\n| [x](javascript:alert(1)) | `</td>` |",
    "# <script>alert(1)</script>\n> - <img src=x onerror=alert(1)>",
    "\u202e\u0000\ufeff<scr\u0000ipt>alert(1)</scr\u0000ipt>",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)} <%= alert(1) %>",
)
BROKEN = (
    "**a *b `c [d](e ~~f\n```x\n| a\n|---|---\n> - 1. # ***" + "[" * 400 + "*" * 400 + ">" * 400
)
INSPECT = """() => {
  const log = document.querySelector(".log");
  const all = [...document.querySelectorAll("*")];
  return {
    ran: window.__ran ?? null,
    foreign: [...log.querySelectorAll("script, iframe, style, link, base, form, meta, object, img")]
      .map((one) => one.localName),
    handlers: all.flatMap((one) => one.getAttributeNames()).filter((name) => name.startsWith("on")),
    addresses: [...log.querySelectorAll("a")].map((one) => one.protocol),
    base: document.baseURI,
  };
}"""


def inspect(page: Page, witness: Witness) -> None:
    """Nothing ran, nothing was loaded from elsewhere, nothing foreign is in the page."""
    for link in page.locator(".log .dead-link").all():
        link.click()
    found: Any = page.evaluate(INSPECT)
    origin = page.evaluate("location.origin")
    assert found["ran"] is None
    assert found["foreign"] == []
    assert found["handlers"] == []
    assert set(found["addresses"]) <= {"http:", "https:", "mailto:"}
    assert found["base"].startswith(origin)
    assert witness.dialogs == []
    assert [one for one in witness.addresses if not one.startswith((origin, "blob:"))] == []


def test_hostile_text_runs_nothing(page: Page, stub: Stub, witness: Witness) -> None:
    text = "\n\n".join(ATTACKS)
    pieces = [text[at : at + 5] for at in range(0, len(text), 5)]
    stub.say("attack", *pieces)
    turn = ask(page, "attack")
    wait_done(turn)
    assert "<script>window.__ran = 1; alert(1)</script>" in turn.locator(".markdown").inner_text()
    inspect(page, witness)
    page.reload()
    page.locator(".turn.assistant .markdown").wait_for()
    inspect(page, witness)


def test_hostile_thoughts_calls_and_routes_run_nothing(
    page: Page, stub: Stub, witness: Witness
) -> None:
    bad = "<img src=x onerror=alert(1)><script>window.__ran = 1</script>"
    route = {
        **ROUTE,
        "served_by": bad,
        "quantization": bad,
        "reasons": [bad],
        "attempts": [{"backend": bad, "outcome": bad, "error": bad, "ms": 1.0}],
        "emulated": [bad],
        "ignored": [bad],
    }
    stub.play(
        "attack",
        delta(reasoning_content=bad),
        call(bad, '{"x": "' + bad + '"}'),
        finish("tool_calls"),
        closing(route),
    )
    turn = ask(page, "attack")
    wait_done(turn)
    turn.get_by_text("Thoughts").click()
    turn.locator(".route > summary").click()
    turn.locator(".raw summary").click()
    assert "<script>" in turn.locator(".tool").inner_text()
    inspect(page, witness)


def test_a_hostile_question_is_only_text(page: Page, stub: Stub, witness: Witness) -> None:
    stub.say("", "ok")
    bad = "<img src=x onerror=alert(1)> [x](javascript:alert(1))"
    wait_done(ask(page, bad))
    assert page.locator(".bubble").inner_text() == bad
    assert page.locator("#history a").inner_text().startswith("<img src=x")
    inspect(page, witness)


def test_broken_markdown_is_shown_whole(page: Page, stub: Stub, witness: Witness) -> None:
    stub.say("broken", *[BROKEN[at : at + 40] for at in range(0, len(BROKEN), 40)])
    turn = ask(page, "broken")
    wait_done(turn)
    assert "[" * 400 in turn.locator(".markdown").inner_text()
    inspect(page, witness)


def test_a_megabyte_of_text_leaves_the_page_usable(
    page: Page, stub: Stub, witness: Witness
) -> None:
    line = "**bold** and *more* <b>text</b> [x](javascript:alert(1)) "
    text = (line * 12 + "\n\n") * (1_000_000 // (12 * len(line)) + 1)
    assert len(text) > 1_000_000
    stub.say("much", *[text[at : at + 4096] for at in range(0, len(text), 4096)])
    begun_s = time.monotonic()
    turn = ask(page, "much")
    wait_done(turn)
    assert time.monotonic() - begun_s < 30
    shown = turn.locator(".markdown").evaluate("(one) => one.textContent.length")
    assert shown > 700_000
    begun_s = time.monotonic()
    stub.say("then", "Still here.")
    wait_done(ask(page, "then"))
    assert time.monotonic() - begun_s < 15


def test_one_line_of_a_megabyte_is_shown(page: Page, stub: Stub) -> None:
    stub.say("line", "x" * 1_000_000)
    turn = ask(page, "line")
    wait_done(turn)
    assert turn.locator(".markdown").evaluate("(one) => one.textContent.length") == 1_000_000


def test_an_imported_file_cannot_attack(page: Page, witness: Witness, tmp_path: Any) -> None:
    file = tmp_path / "bad.json"
    file.write_text(
        '{"format": "hermes-conversations/1", "conversations": ['
        '{"title": "<script>alert(1)</script>", "id": "../x",'
        ' "messages": [{"role": "user", "content": "hi",'
        ' "images": ["https://evil.example/x.png", "javascript:alert(1)"]},'
        ' {"role": "assistant", "content": "<img src=x onerror=alert(1)>", "state": "running"},'
        ' {"role": "robot"}, 7]}]}'
    )
    with page.expect_file_chooser() as choosing:
        page.get_by_label("Import conversations").click()
    choosing.value.set_files(file)
    page.get_by_text("1 conversation imported").wait_for()
    page.locator("#history a").click()
    page.locator(".turn.assistant").wait_for()
    inspect(page, witness)


BAD = "<img src=x onerror=alert(1)><script>window.__ran=1</script>[x](javascript:alert(1))"
KEPT = {"id", "object", "runs", "state", "day", "as_of", "model", "event"}


def poisoned(value: Any, name: str = "") -> Any:
    """The same JSON with an attack in every text that is not a name the page acts on."""
    if isinstance(value, dict):
        return {key: poisoned(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, name) for inner in value]
    return BAD if isinstance(value, str) and name not in KEPT else value


@pytest.mark.parametrize("view", ["models", "now", "money"])
def test_hostile_figures_run_nothing_in_any_view(
    page: Page, stub: Stub, witness: Witness, view: str
) -> None:
    def poison(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=poisoned(answer.json()))

    for path in ("models", "plan", "providers", "usage*"):
        page.route(f"**/v1/{path}", poison)
    page.route("**/health", poison)
    page.evaluate(f"location.hash = '#/{view}'")
    page.locator("main").get_by_text("<script>").first.wait_for()
    for details in page.locator("details > summary").all()[:8]:
        details.click()
    found: Any = page.evaluate(INSPECT.replace('".log"', '"main"'))
    assert (found["ran"], found["foreign"], found["handlers"]) == (None, [], [])
    assert found["addresses"] == []
    assert witness.dialogs == []

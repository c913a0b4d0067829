"""Markdown in a real browser: what it draws, and that hostile text stays text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .conftest import Witness

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROUNDS = 300

DRAW = """async ([text, size]) => {
  const { MarkdownView } = await import("/static/markdown.js");
  const box = document.createElement("div");
  document.body.append(box);
  const view = new MarkdownView(box);
  for (let end = size; end < text.length + size; end += size) view.update(text.slice(0, end));
  const rich = [...box.children].map((one) => one.innerHTML).join("");
  const names = new Set([...box.querySelectorAll("*")].map((one) => one.localName));
  const attributes = new Set(
    [...box.querySelectorAll("*")].flatMap((one) => one.getAttributeNames()));
  const addresses = [...box.querySelectorAll("[href], [src]")].map(
    (one) => one.getAttribute("href") ?? one.getAttribute("src"));
  const shown = box.textContent;
  box.remove();
  return { rich, shown, names: [...names], attributes: [...attributes], addresses };
}"""
FUZZ = r"""async ([rounds, seed]) => {
  const { MarkdownView } = await import("/static/markdown.js");
  const pieces = ["*", "**", "_", "~~", "`", "```", "\n", "\n\n", "# ", "- ", "1. ", "> ", "|",
    "---", "[", "](", ")", "!", "<", ">", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "javascript:alert(1)",
    "https://a.example/", "\\", "  ", "    ", "a", "word ", "\u0000", "é",
    "😀", "\t",
    "[x](javascript:alert(1))", "| a | b |\n| - | - |\n", "- [ ] ", "&lt;", "\r"];
  let state = seed;
  const next = (below) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % below;
  };
  const draw = (text, size) => {
    const box = document.createElement("div");
    const view = new MarkdownView(box);
    for (let end = size; end < text.length + size; end += size) view.update(text.slice(0, end));
    return box;
  };
  const faults = [];
  for (let round = 0; round < rounds; round += 1) {
    let text = "";
    for (let count = next(60); count >= 0; count -= 1) text += pieces[next(pieces.length)];
    const whole = draw(text, text.length || 1);
    if (draw(text, 1 + next(7)).innerHTML !== whole.innerHTML) faults.push(["chunks", text]);
    const foreign = whole.querySelector("script, img, iframe, style, object, form");
    if (foreign) faults.push(["markup", text]);
    for (const one of whole.querySelectorAll("*")) {
      const names = one.getAttributeNames();
      if (names.some((name) => name.startsWith("on"))) faults.push(["handler", text]);
      const address = one.getAttribute("href");
      const isIcon = one.localName === "use";
      if (address && !isIcon && !/^(https?:|mailto:)/.test(address)) faults.push(["address", text]);
    }
  }
  return faults;
}"""


CASES = {
    "a **b** _c_ ~~d~~ `e`": "<strong>b</strong> <em>c</em> <del>d</del> <code>e</code>",
    "***both***": "<strong><em>both</em></strong>",
    "**bold *and more***": "<strong>bold <em>and more</em></strong>",
    "snake_case_name": "snake_case_name",
    "# One\n\ntext": '<h3 class="level-1">One</h3>',
    "## Two ##": '<h4 class="level-2">Two</h4>',
    "- a\n- b\n  - c": "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>",
    "3. x\n4. y": '<ol start="3"><li>x</li><li>y</li></ol>',
    "> quoted": "<blockquote><p>quoted</p></blockquote>",
    "a\n\n---\n\nb": "<hr>",
    "```js\nlet a = '<b>';\n```": "let a = '&lt;b&gt;';</code>",
    "```\nnever closed": "never closed</code>",
    "- [x] done": 'type="checkbox" disabled="" checked=""',
    "line  \nbreak": "line<br>break",
    "<b>not bold</b>": "&lt;b&gt;not bold&lt;/b&gt;",
    r"\*plain\*": "*plain*",
}
DANGEROUS = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript&colon;alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "//evil.example",
    "/v1/models",
    "https://evil.example/ onclick=alert(1)",
    'https://evil.example/"onmouseover="alert(1)',
)
LONG = (
    *("[", "*a ", "**", "_", "`", "``", "> ", "- ", "|", "<", "![](", "](", "# ", "1. ", "\\"),
    *("~~~\n", "| a ", "a|b\n-|-\n", "(", "http://", "*_", "[a](", " ", "#", "- - ", "\n"),
)
TIME = """async (piece) => {
  const { MarkdownView } = await import("/static/markdown.js");
  const text = piece.repeat(30000 / piece.length);
  const begun = performance.now();
  new MarkdownView(document.createElement("div")).update(text + "x");
  new MarkdownView(document.createElement("div")).update("# " + text + "x");
  return performance.now() - begun;
}"""


def draw(page: Page, text: str, size: int = 10**9) -> Any:
    """Draw Markdown on the page in pieces of `size`; what came of it."""
    return page.evaluate(DRAW, [text, min(size, max(1, len(text)))])


def test_markdown_is_drawn_as_people_expect(page: Page) -> None:
    for text, markup in CASES.items():
        assert markup in draw(page, text)["rich"]


def test_a_table_keeps_its_columns(page: Page) -> None:
    rich = draw(page, "| a | b |\n| :-- | --: |\n| 1 | 2 \\| 3 |\n| 4 |")["rich"]
    assert rich.count("<td") == 4
    assert '<td class="to-end">2 | 3</td>' in rich


def test_links_are_kept_only_with_a_harmless_scheme(page: Page) -> None:
    kept = draw(page, "[a](https://a.example/x_(y)) <mailto:b@c.example> https://d.example/e.")
    assert kept["addresses"] == [
        "https://a.example/x_(y)",
        "mailto:b@c.example",
        "https://d.example/e",
    ]


def test_a_dangerous_address_is_left_out(page: Page) -> None:
    for address in DANGEROUS:
        drawn = draw(page, f"[x]({address}) ![y]({address}) <{address}>")
        left = [one for one in drawn["addresses"] if not one.startswith("https://evil.example/")]
        assert left == []
        assert not any(name.startswith("on") for name in drawn["attributes"])
        assert "script" not in drawn["names"]


def test_an_image_is_never_fetched(page: Page, witness: Witness, stub_url: str) -> None:
    drawn = draw(page, "![secret](https://evil.example/steal?q=1)")
    assert "img" not in drawn["names"]
    assert all(address.startswith(stub_url) for address in witness.addresses)


def test_any_chunking_draws_the_same_and_nothing_hostile(page: Page) -> None:
    faults = page.evaluate(FUZZ, [ROUNDS, 7])
    assert faults == [], json.dumps(faults[:3])


def test_no_text_takes_long(page: Page) -> None:
    took_ms = {piece: page.evaluate(TIME, piece) for piece in LONG}
    assert {piece: ms for piece, ms in took_ms.items() if ms > 3000} == {}


def test_nothing_of_a_long_text_is_lost(page: Page) -> None:
    words = " ".join(f"word{index}" for index in range(60_000))
    assert draw(page, words)["shown"] == words

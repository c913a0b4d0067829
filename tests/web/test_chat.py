"""Chat on a stub of the API: streaming, stopping, tools, keys, keeping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .conftest import Witness, ask, open_page, wait_done
from .serving import serve_app
from .stub import HOSTED, ROUTE, Stub, call, closing, create_stub_app, delta, error_chunk, finish

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LINE = ".route > summary"


def test_an_answer_streams_and_says_who_gave_it(page: Page, stub: Stub) -> None:
    stub.say("hi", "It ", "is ", "**fine", "**.", pause_s=0.02)
    turn = ask(page, "hi")
    wait_done(turn)
    assert turn.locator(".markdown").inner_text() == "It is fine."
    assert turn.locator("strong").inner_text() == "fine"
    line = turn.locator(LINE).inner_text()
    for part in ("This machine", "79 tok/s", "first token", "$0.00021 avoided", "weights are on"):
        assert part in line
    turn.locator(LINE).click()
    panel = turn.locator(".route .panel").inner_text()
    assert "F16" in panel
    assert "59 tokens, 18 from the cache" in panel
    sent = stub.requests[0]
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
    assert "temperature" not in sent


def test_a_hosted_answer_shows_its_provider_and_price(page: Page, stub: Stub) -> None:
    stub.say("hi", "From elsewhere.", hosted=True)
    turn = ask(page, "hi")
    wait_done(turn)
    line = turn.locator(LINE).inner_text()
    assert "openrouter" in line
    assert "$0.0018" in line
    turn.locator(LINE).click()
    panel = turn.locator(".route .panel").inner_text()
    for part in ("does_not_fit", "226 GB missing", "json_schema", "min_p"):
        assert part in panel
    turn.locator(".raw summary").click()
    assert json.loads(turn.locator(".raw pre").inner_text()) == HOSTED


def test_escape_and_the_button_stop_an_answer(page: Page, stub: Stub) -> None:
    stub.say("long", *["word "] * 400, pause_s=0.05)
    turn = ask(page, "long")
    turn.get_by_text("word word").wait_for()
    page.get_by_label("Stop", exact=True).click()
    wait_done(turn, "stopped")
    assert "Stopped after" in turn.inner_text()
    again = ask(page, "long")
    again.get_by_text("word word").wait_for()
    page.keyboard.press("Escape")
    wait_done(again, "stopped")
    assert stub.cancelled.wait(5), "the server was not told"


def test_retry_and_edit_replace_what_came_after(page: Page, stub: Stub) -> None:
    stub.say("one", "first")
    stub.say("two", "second")
    wait_done(ask(page, "one"))
    stub.say("one", "first again")
    page.get_by_label("Retry").click()
    page.get_by_text("first again").wait_for()
    assert page.locator(".turn").count() == 2
    page.locator(".turn.user").hover()
    page.get_by_label("Edit", exact=True).click()
    page.get_by_label("Your question").fill("two")
    page.get_by_role("button", name="Ask again").click()
    page.get_by_text("second").wait_for()
    assert page.locator(".turn").count() == 2
    assert [request["messages"][-1]["content"] for request in stub.requests] == [
        "one",
        "one",
        "two",
    ]


def test_thoughts_are_folded_and_can_be_read(page: Page, stub: Stub) -> None:
    thought = delta(reasoning_content="I *wonder*.", reasoning="I *wonder*.")
    stub.play("think", thought, delta(content="Yes."), finish("stop"), closing(ROUTE))
    turn = ask(page, "think")
    wait_done(turn)
    assert not turn.get_by_text("I wonder.").is_visible()
    turn.get_by_text("Thoughts").click()
    assert turn.locator(".thought").inner_text() == "I wonder."
    assert turn.locator(".markdown").inner_text() == "Yes."


def test_the_pages_own_tool_is_run_and_the_answer_goes_on(page: Page, stub: Stub) -> None:
    sums = call("calculate", '{"expression": "6*7"}')
    stub.play("sum", sums, finish("tool_calls"), closing(ROUTE))
    stub.say('{"result":42}', "It is 42.")
    page.keyboard.press("Alt+s")
    page.get_by_label("Calculator").check()
    page.keyboard.press("Escape")
    turn = ask(page, "sum")
    page.get_by_text("It is 42.").wait_for()
    card = turn.locator(".tool").inner_text()
    for part in ("calculate", "6*7", "answered", '"result": 42'):
        assert part in card
    assert [tool["function"]["name"] for tool in stub.requests[0]["tools"]] == ["calculate"]
    roles = [message["role"] for message in stub.requests[1]["messages"]]
    assert roles == ["user", "assistant", "tool"]
    assert stub.requests[1]["messages"][2]["tool_call_id"] == "call_1"


def test_a_tool_of_the_users_own_is_answered_by_hand(page: Page, stub: Stub) -> None:
    stub.play(
        "weather", call("get_weather", '{"city": "Oslo"}'), finish("tool_calls"), closing(ROUTE)
    )
    stub.say("rain", "Take an umbrella.")
    page.get_by_label("Settings").click()
    page.get_by_label("Your own, as JSON").fill("[{")
    page.get_by_text("The tools are not JSON").wait_for()
    page.get_by_label("Your own, as JSON").fill('{"name": "get_weather"}')
    page.keyboard.press("Escape")
    ask(page, "weather")
    page.get_by_label("Result of get_weather").fill("rain")
    page.get_by_role("button", name="Send result").click()
    page.get_by_text("Take an umbrella.").wait_for()


def test_settings_reach_the_server_and_stay_with_the_conversation(page: Page, stub: Stub) -> None:
    stub.say("", "ok")
    page.get_by_label("Settings").click()
    page.get_by_label("What the model should be and do").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_label("Longest answer").fill("64")
    page.get_by_label("Who may answer").select_option("local")
    page.get_by_label("Thinking", exact=True).select_option("off")
    page.keyboard.press("Escape")
    wait_done(ask(page, "hello"))
    page.reload()
    page.get_by_text("hello").nth(1).wait_for()
    wait_done(ask(page, "again"))
    for sent in stub.requests:
        assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (sent["temperature"], sent["max_tokens"], sent["route"]) == (0.3, 64, "local")
        assert sent["reasoning"] == {"enabled": False}


def test_a_failure_says_why_and_can_be_retried(page: Page, stub: Stub) -> None:
    turn = ask(page, "no route")
    wait_done(turn, "failed")
    for part in ("nothing may serve it", "226 GB are missing", "no key is set"):
        assert part in turn.locator(".failure").inner_text()
    stub.play("breaks", delta(content="Half an"), error_chunk("the engine was lost"))
    broken = ask(page, "breaks")
    wait_done(broken, "failed")
    assert "Half an" in broken.locator(".markdown").inner_text()
    assert "the engine was lost" in broken.locator(".failure").inner_text()
    stub.say("breaks", "Whole.")
    page.get_by_label("Retry").last.click()
    page.get_by_text("Whole.").wait_for()


def test_conversations_are_kept_exported_and_imported(
    page: Page, stub: Stub, tmp_path: Path
) -> None:
    stub.say("", "ok")
    wait_done(ask(page, "first talk"))
    page.keyboard.press("Alt+n")
    wait_done(ask(page, "second talk"))
    assert page.locator("#history a").all_inner_texts() == ["second talk", "first talk"]
    with page.expect_download() as waiting:
        page.get_by_label("Export conversations").click()
    kept = tmp_path / "kept.json"
    waiting.value.save_as(kept)
    assert len(json.loads(kept.read_text())["conversations"]) == 2
    page.locator("#history li.current").hover()
    page.get_by_label("Delete second talk").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("What would you like to know?").wait_for()
    with page.expect_file_chooser() as choosing:
        page.get_by_label("Import conversations").click()
    choosing.value.set_files(kept)
    page.get_by_text("2 conversations imported").wait_for()
    assert page.locator("#history a").count() == 3
    page.locator("#history a", has_text="second talk").click()
    page.locator(".turn.assistant .markdown").get_by_text("ok").wait_for()


def test_an_answer_goes_on_while_another_view_is_open(page: Page, stub: Stub) -> None:
    stub.say("slow", *["tick "] * 30, "end", pause_s=0.05)
    ask(page, "slow").get_by_text("tick").wait_for()
    page.keyboard.press("Alt+3")
    page.get_by_role("heading", name="Now", exact=True).wait_for()
    page.keyboard.press("Alt+1")
    page.get_by_text("tick end").wait_for()


def test_the_key_is_asked_for_and_travels_in_a_header_only(
    browser: Browser, witness: Witness
) -> None:
    stub = Stub(key="sk-secret")
    stub.say("", "let in")
    with serve_app(create_stub_app(stub)) as url, open_page(browser, witness, url) as page:
        page.get_by_label("API key", exact=True).last.fill("sk-wrong")
        page.get_by_role("button", name="Use this key").click()
        page.get_by_role("button", name="Forget the key").wait_for()
        page.locator("#key-field").fill("sk-secret")
        page.get_by_role("button", name="Use this key").click()
        page.locator("dialog").wait_for(state="detached")
        wait_done(ask(page, "hi"))
        assert not any("secret" in address for address in witness.addresses)
        assert "secret" not in page.url
        assert page.evaluate("localStorage.getItem('hermes.key')") is None
        assert page.evaluate("document.cookie") == ""


def test_images_are_sent_when_the_model_sees(page: Page, stub: Stub, tmp_path: Path) -> None:
    stub.say("what is this?", "A pixel.")
    assert not page.get_by_label("Attach images").is_visible()
    page.get_by_label("Model", exact=True).select_option("nous-hermes-2-vision-alpha")
    picture = tmp_path / "pixel.gif"
    picture.write_bytes(
        b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x00;"
    )
    page.get_by_label("Images", exact=True).set_input_files(picture)
    page.get_by_alt_text("Image 1 to send").wait_for()
    turn = ask(page, "what is this?")
    wait_done(turn)
    text, image = stub.requests[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "what is this?"}
    assert image["image_url"]["url"].startswith("data:image/gif;base64,")
    page.get_by_alt_text("Attached image 1").wait_for()
    page.get_by_label("Images", exact=True).set_input_files(picture)
    page.get_by_alt_text("Image 1 to send").wait_for()
    page.get_by_label("Model", exact=True).select_option("hermes-tiny")
    page.get_by_alt_text("Image 1 to send").wait_for(state="detached")
    assert not page.get_by_label("Attach images").is_visible()


def test_back_and_forward_lead_through_what_was_seen(page: Page, stub: Stub) -> None:
    stub.say("", "ok")
    wait_done(ask(page, "first talk"))
    page.keyboard.press("Alt+2")
    page.keyboard.press("Alt+4")
    page.get_by_role("heading", name="Money", exact=True).wait_for()
    page.go_back()
    page.get_by_role("heading", name="Models", exact=True).wait_for()
    page.go_back()
    page.locator(".turn.user").get_by_text("first talk").wait_for()
    page.go_forward()
    page.get_by_role("heading", name="Models", exact=True).wait_for()
    assert page.title() == "Models · Hermes"


def test_a_chosen_theme_is_there_before_the_first_paint(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_label("Theme: as the system").click()
    page.get_by_label("Theme: light").click()
    page.get_by_label("Theme: dark").wait_for()
    dark = page.evaluate(paper)
    assert dark != light
    page.add_init_script(f"requestAnimationFrame(() => {{ window.__first = {paper}; }});")
    page.reload()
    page.locator(".chat").wait_for()
    assert page.evaluate("window.__first") == dark

"""Our chat formats, letter by letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.chat.format import FORMATS, find_format
from runner.chat.wording import THINKING
from runner.errors import CatalogError
from runner.types import Message, ReasoningWish, Tool

from .prompts import ADD, ASK, NOW, call_message, prepare_chat, text_of, to_message, to_tool

PUBLISHED = json.loads((Path(__file__).parent / "golden/hermes_tool_use.json").read_text("utf-8"))
SYSTEM = Message("system", "Be brief.")
ANSWER = Message("assistant", "Fine.")
AGAIN = Message("user", "Sure?")
CHATML_TALK = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow are you?<|im_end|>\n"
    "<|im_start|>assistant\nFine.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
LLAMA3_TALK = (
    "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHow are you?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nFine.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nSure?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
TALKS = {
    "alpaca": (
        "Be brief.\n\n### Instruction:\nHow are you?\n\n### Response:\nFine.\n\n"
        "### Instruction:\nSure?\n\n### Response:\n"
    ),
    "capybara": ("Be brief. USER: How are you? ASSISTANT:\nFine.</s>USER: Sure? ASSISTANT:\n"),
    "chatml": CHATML_TALK,
    "deephermes": LLAMA3_TALK,
    "hermes3": CHATML_TALK,
    "hermes4_llama3": LLAMA3_TALK,
    "hermes_chatml": CHATML_TALK,
    "hermes_tool_use": CHATML_TALK,
    "vicuna": "Be brief. USER: How are you? ASSISTANT: Fine.</s>USER: Sure? ASSISTANT:",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_plain_talk_is_written_as_the_format_says(name: str) -> None:
    turn = prepare_chat(SYSTEM, ASK, ANSWER, AGAIN, chat_format=name)
    assert text_of(turn) == TALKS[name]
    assert len(turn.pieces) == 1 and not turn.pieces[0].literal


def test_an_unknown_format_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(CatalogError, match=r"chatml.*hermes4_llama3.*vicuna"):
        find_format("nope")


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case["name"])
@pytest.mark.parametrize("name", ["hermes_tool_use", "hermes3"])
def test_tool_prompts_equal_the_published_template(case: dict, name: str) -> None:
    messages = [to_message(message) for message in case["messages"]]
    tools = tuple(to_tool(tool) for tool in case["tools"])
    assert text_of(prepare_chat(*messages, chat_format=name, tools=tools)) == case["rendered"]


def test_schemas_that_break_the_published_template_are_filled_in() -> None:
    tool = Tool("f", "F", {"properties": {"x": {"type": "null"}, "y": True, "z": {}}})
    text = text_of(prepare_chat(chat_format="hermes_tool_use", tools=(tool, NOW)))
    assert '"description": "f(x: None, y: Union[], z: Union[]) - F\n\n    Args:\n' in text
    assert '"description": "now() - \n\n", "parameters": {}}' in text


def test_text_before_a_call_is_kept_which_the_published_template_drops() -> None:
    history = (ASK, call_message(("now", "{}"), content="Let me look."))
    text = text_of(prepare_chat(*history, chat_format="hermes_tool_use", tools=(NOW,)))
    assert "assistant\nLet me look.\n<tool_call>\n" in text


def test_hermes_3_gets_its_default_system_text_only_when_there_is_none() -> None:
    default = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    assert text_of(prepare_chat(ASK, chat_format="hermes3")).startswith(default)
    assert default not in text_of(prepare_chat(SYSTEM, ASK, chat_format="hermes3"))
    assert default not in text_of(prepare_chat(ASK, chat_format="hermes3", tools=(NOW,)))
    assert default not in text_of(prepare_chat(ASK, chat_format="hermes_tool_use"))


@pytest.mark.parametrize("name", ["hermes_chatml", "hermes4_llama3", "deephermes"])
def test_one_system_block_holds_thinking_own_text_and_tools(name: str) -> None:
    request = {"reasoning": ReasoningWish(enabled=True)}
    text = text_of(prepare_chat(SYSTEM, ASK, chat_format=name, tools=(ADD,), request=request))
    positions = [text.index(part) for part in (THINKING, "\n\nBe brief.\n\n", "<tools>\n{")]
    assert positions == sorted(positions)
    assert text.count("system") == 2  # the header, and once in the thinking prompt
    assert text.endswith("<think>\n")


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("hermes_chatml", "<|im_start|>tool\n", "<|im_end|>\n"),
        ("hermes4_llama3", "<|start_header_id|>tool<|end_header_id|>\n\n", "<|eot_id|>"),
    ],
)
def test_results_of_one_round_share_a_block(name: str, start: str, end: str) -> None:
    history = (
        ASK,
        call_message(("add", '{"a": 1}'), ("now", "{}")),
        Message("tool", "two", tool_call_id="c1"),
        Message("tool", "", tool_call_id="c0"),
    )
    text = text_of(prepare_chat(*history, chat_format=name, tools=(ADD, NOW)))
    first, second = (f"<tool_response>\n{part}\n</tool_response>" for part in ("two", ""))
    assert f"{start}{first}\n{second}{end}" in text
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n<tool_call>\n'
    assert call in text


THOUGHTFUL = Message("assistant", "Fine.", reasoning="Hm.")


@pytest.mark.parametrize(
    ("name", "is_on", "written"),
    [
        ("hermes_chatml", True, "assistant\nFine.<|im_end|>"),
        ("hermes_chatml", False, "assistant\nFine.<|im_end|>"),
        ("hermes4_llama3", True, "\n\n<think> </think>\nFine.<|eot_id|>"),
        ("hermes4_llama3", False, "\n\nFine.<|eot_id|>"),
        ("deephermes", True, "\n\nFine.<|eot_id|>"),
        ("chatml", True, "assistant\nFine.<|im_end|>"),
    ],
)
def test_old_thoughts_are_cut_from_the_history(name: str, is_on: bool, written: str) -> None:
    request = {"reasoning": ReasoningWish(enabled=is_on)}
    text = text_of(prepare_chat(ASK, THOUGHTFUL, AGAIN, chat_format=name, request=request))
    assert written in text


@pytest.mark.parametrize("name", ["hermes_chatml", "hermes4_llama3", "deephermes"])
def test_old_thoughts_are_kept_on_request(name: str) -> None:
    kwargs = {"keep_cots": True, "thinking": True}
    text = text_of(prepare_chat(ASK, THOUGHTFUL, AGAIN, chat_format=name, template_kwargs=kwargs))
    assert "<think>\nHm.\n</think>\nFine." in text


@pytest.mark.parametrize("name", ["hermes_chatml", "hermes4_llama3", "deephermes"])
@pytest.mark.parametrize("content", ["Fine.", "", "a </thinking b", "<think>unclosed"])
def test_plain_earlier_answers_survive_thinking(name: str, content: str) -> None:
    """The published Hermes 4 template cuts at `</think>` without looking: it lost or refused
    every earlier answer that had no thought in it."""
    request = {"reasoning": ReasoningWish(enabled=True)}
    history = (ASK, Message("assistant", content), AGAIN)
    text = text_of(prepare_chat(*history, chat_format=name, request=request))
    assert f"\n{content}<|" in text


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_tools_results_and_any_text(name: str) -> None:
    history = (
        Message("system", ""),
        Message("user", "½ 🙂 {{ 7 * 7 }} {% raw %} \\n"),
        call_message(("add", '{"a": "ü"}'), content="Hm."),
        Message("tool", "é", name="add", tool_call_id="c0"),
        Message("assistant", ""),
        Message("user", ""),
    )
    turn = prepare_chat(*history, chat_format=name, tools=(ADD,))
    text = text_of(turn)
    for part in ("½ 🙂 {{ 7 * 7 }} {% raw %} \\n", '{"a": "ü"}', "Hm.", "é", '"name": "add"'):
        assert part in text
    assert turn.rules.has_tools

"""Driving a place without tools, JSON mode or thinking by plain messages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.chat.emulation import with_hermes_prompts, write_call
from runner.chat.parser import OutputRules
from runner.chat.wording import JSON_MODE, THINKING
from runner.types import (
    ChatPrompt,
    Message,
    ResponseFormat,
    ToolCall,
    ToolChoice,
)

from .answers import read
from .prompts import ADD, ASK, NOW, call_message

HISTORY = (
    Message("system", "Be brief."),
    ASK,
    call_message(("add", '{"a": 1, "b": 2}'), ("now", ""), content="Let me see."),
    Message("tool", "noon", tool_call_id="c1"),
    Message("tool", "3", tool_call_id="c0"),
    Message("assistant", "Noon and 3."),
    Message("user", "½ <tool_call> 🙂"),
)
PROMPT = ChatPrompt(HISTORY, tools=(ADD, NOW))
JSON = ResponseFormat("json_object")


def test_everything_is_said_in_one_system_message() -> None:
    messages = with_hermes_prompts(PROMPT, tools=True, response_format=JSON, thinking=True)
    system = messages[0].content
    parts = (THINKING, "\n\nBe brief.\n\n", JSON_MODE, "\n\nYou are a function calling AI model.")
    places = [system.index(part) for part in parts]
    assert places == sorted(places)
    assert '"name": "add"' in system and '"name": "now"' in system
    assert [message.role for message in messages].count("system") == 1


def test_a_system_message_is_made_where_there_is_none() -> None:
    messages = with_hermes_prompts(ChatPrompt((ASK,)), tools=False, response_format=JSON)
    assert messages == (Message("system", JSON_MODE), ASK)
    assert with_hermes_prompts(ChatPrompt((ASK,)), tools=True) == (ASK,)


def test_tool_history_becomes_plain_turns() -> None:
    messages = with_hermes_prompts(PROMPT, tools=True)
    assert [message.role for message in messages] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert not any(message.tool_calls for message in messages)
    assert messages[2].content == (
        'Let me see.\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>\n'
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    )
    assert messages[3].content == (
        "<tool_response>\nnoon\n</tool_response>\n<tool_response>\n3\n</tool_response>"
    )
    assert messages[5] == HISTORY[-1]


def test_tool_history_is_left_to_a_place_that_knows_tools() -> None:
    messages = with_hermes_prompts(PROMPT, tools=False, thinking=True)
    assert messages[1:] == HISTORY[1:]
    assert messages[0].content == f"{THINKING}\n\nBe brief."


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (ToolChoice("required"), "You must answer with at least one function call."),
        (ToolChoice("named", "add"), "You must answer with a call of the function add."),
    ],
)
def test_a_forced_call_is_asked_for(choice: ToolChoice, sentence: str) -> None:
    prompt = replace(PROMPT, tool_choice=choice)
    assert with_hermes_prompts(prompt, tools=True)[0].content.endswith(sentence)


def test_tools_that_may_not_be_called_are_not_mentioned() -> None:
    prompt = replace(PROMPT, tool_choice=ToolChoice("none"))
    assert with_hermes_prompts(prompt, tools=True)[0] == HISTORY[0]


def test_calls_as_they_are_written_are_read_again() -> None:
    calls = [ToolCall("x", "add", '{"a": 1, "b": 2}'), ToolCall("y", 'q"ü', '{"c": "</b>"}')]
    text = "I add.\n" + "\n".join(map(write_call, calls))
    answer = read(text, OutputRules(has_tools=True))
    assert answer.text == "I add."
    assert answer.calls == [(call.name, call.arguments) for call in calls]

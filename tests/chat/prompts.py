"""Shared words of the chat tests: requests, and the text of a prepared turn."""

from __future__ import annotations

from typing import Any

from runner.chat.format import ChatFormat, find_format
from runner.chat.turn import Turn, prepare
from runner.types import ChatPrompt, GenerateRequest, Message, Tool, ToolCall

ADD = Tool(
    "add",
    "Adds two numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
)
NOW = Tool("now")
ASK = Message("user", "How are you?")


def prepare_chat(
    *messages: Message,
    chat_format: ChatFormat | str = "hermes_chatml",
    request: dict[str, Any] | None = None,
    **chat: Any,
) -> Turn:
    """The turn for these messages; `request` and `chat` are fields of the two dataclasses."""
    if isinstance(chat_format, str):
        chat_format = find_format(chat_format)
    prompt = ChatPrompt(messages or (ASK,), **chat)
    return prepare(
        GenerateRequest(id="r", model="m", prompt=prompt, **(request or {})), chat_format
    )


def text_of(turn: Turn) -> str:
    """The whole prompt as text."""
    return "".join(piece.text for piece in turn.pieces)


def call_message(*calls: tuple[str, str], content: str = "") -> Message:
    """An assistant's message that makes calls."""
    made = [ToolCall(f"c{index}", name, text) for index, (name, text) in enumerate(calls)]
    return Message("assistant", content, tool_calls=tuple(made))


def to_message(described: dict[str, Any]) -> Message:
    """A message from OpenAI's shape."""
    calls = [
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in described.get("tool_calls", ())
    ]
    return Message(
        described["role"],
        described["content"],
        tool_calls=tuple(calls),
        tool_call_id=described.get("tool_call_id"),
    )


def to_tool(described: dict[str, Any]) -> Tool:
    """A tool from OpenAI's shape."""
    function = described["function"]
    return Tool(function["name"], function["description"], function["parameters"])

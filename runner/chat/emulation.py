"""Hermes' prompts and plain-text turns, for places that know no tools, JSON mode or thinking.

Owns the translation of a chat into plain messages whose answer the output parser understands;
knows no provider and no template. Invariant: with tools emulated, what comes out holds no tool
role and no tool calls.
"""

from __future__ import annotations

import json
from dataclasses import replace

from runner.types import (
    ChatPrompt,
    Message,
    ResponseFormat,
    ToolCall,
    ToolChoice,
)

from .conversation import describe_tool
from .wording import THINKING, describe_json_mode, describe_tools, with_system_text


def with_hermes_prompts(
    prompt: ChatPrompt,
    *,
    tools: bool,
    response_format: ResponseFormat | None = None,
    thinking: bool = False,
) -> tuple[Message, ...]:
    """The messages, with what is to be emulated said in the system message.

    The thinking prompt comes first, then the caller's own text, JSON mode and the tools. With
    `tools` the tool history becomes plain text too: calls in `<tool_call>` tags, results as user
    turns in `<tool_response>` tags.
    """
    messages = _flatten(prompt.messages) if tools else prompt.messages
    if thinking:
        messages = with_system_text(messages, THINKING, at_start=True)
    if response_format is not None:
        messages = with_system_text(messages, describe_json_mode(response_format))
    if tools and prompt.tools and prompt.tool_choice.mode != "none":
        text = describe_tools([describe_tool(tool) for tool in prompt.tools])
        messages = with_system_text(messages, text + _insist(prompt.tool_choice))
    return messages


def write_call(call: ToolCall) -> str:
    """The call as a Hermes model writes it."""
    name = json.dumps(call.name, ensure_ascii=False)
    arguments = call.arguments.strip() or "{}"
    return f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'


def _insist(choice: ToolChoice) -> str:
    """What no grammar can ensure from afar must be asked for."""
    match choice.mode:
        case "required":
            return "\nYou must answer with at least one function call."
        case "named":
            return f"\nYou must answer with a call of the function {choice.name}."
        case _:
            return ""


def _flatten(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Calls written out in their message; results that follow each other share a user turn."""
    plain: list[Message] = []
    was_result = False
    for message in messages:
        is_result = message.role == "tool"
        text = f"<tool_response>\n{message.content}\n</tool_response>" if is_result else ""
        if is_result and was_result:
            plain[-1] = replace(plain[-1], content=f"{plain[-1].content}\n{text}")
        else:
            plain.append(Message("user", text) if is_result else _write_calls(message))
        was_result = is_result
    return tuple(plain)


def _write_calls(message: Message) -> Message:
    if not message.tool_calls:
        return message
    parts = [message.content] if message.content else []
    parts += [write_call(call) for call in message.tool_calls]
    return replace(message, content="\n".join(parts), tool_calls=())

"""The texts Hermes models were taught: thinking, JSON mode and tools.

Owns wording only. Invariant: every text is the published one, letter by letter, since a model
answers best to what it was trained on (model cards of Hermes 2 Pro to 4, DeepHermes 3).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from runner.types import JsonObject, Message, ResponseFormat

THINKING = (
    "You are a deep thinking AI, you may use extremely long chains of thought to deeply consider "
    "the problem and deliberate with yourself via systematic reasoning processes to help come to "
    "a correct solution prior to answering. You should enclose your thoughts and internal "
    "monologue inside <think> </think> tags, and then provide your solution or response to the "
    "problem."
)
JSON_MODE = "You are a helpful assistant that answers in JSON."
JSON_SCHEMA_MODE = JSON_MODE + (
    " Here's the json schema you must adhere to:\n<schema>\n{schema}\n</schema>"
)


def describe_json_mode(response_format: ResponseFormat) -> str:
    """The system text that asks for JSON, or "" when no JSON is wanted."""
    match response_format.kind:
        case "json_object":
            return JSON_MODE
        case "json_schema":
            schema = json.dumps(response_format.schema, ensure_ascii=False)
            return JSON_SCHEMA_MODE.replace("{schema}", schema)
        case _:
            return ""


def describe_tools(tools: Sequence[JsonObject]) -> str:
    """The tool prompt of Hermes 4, with one tool per line."""
    listing = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
    return (
        "You are a function calling AI model. You are provided with function signatures within "
        "<tools></tools> XML tags. You may call one or more functions to assist with the user "
        "query. Don't make assumptions about what values to plug into functions. Here are the "
        f"available tools:\n<tools>{listing}\n</tools>\nFor each function call return a json "
        "object with function name and arguments within <tool_call></tool_call> XML tags as "
        'follows:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
    )


def with_system_text(
    messages: tuple[Message, ...], text: str, *, at_start: bool = False
) -> tuple[Message, ...]:
    """The messages with `text` in the system message, after a blank line; a new one if needed."""
    if not text:
        return messages
    if not messages or messages[0].role != "system":
        return (Message("system", text), *messages)
    own = messages[0].content
    parts = [part for part in ([text, own] if at_start else [own, text]) if part]
    return (replace(messages[0], content="\n\n".join(parts)), *messages[1:])

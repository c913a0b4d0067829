"""A conversation as templates see it, and how the caller's text is kept from posing as markers.

Owns the template variables' shapes and the shield around control-token-like text; knows no
single format. Invariant: text that a caller wrote is never read as a control token.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from runner.types import JsonObject, Message, PromptPiece, Tool, ToolCall

CONTROL = re.compile(
    r"<[|｜][^<>|｜\s]{1,64}[|｜]>"
    r"|</?s>|<(?:unk|pad|bos|eos|mask|start_of_turn|end_of_turn|dummy\d{1,6}|seed:\w{1,16})>"
    r"|\[/?INST\]|<</?SYS>>"
)
FIRST_STAND_IN = 0xF0000  # a private-use plane: no text in any language uses it


def describe_message(message: Message, *, for_foreign: bool = False) -> JsonObject:
    """The message as a template's variable; a foreign template wants arguments as objects."""
    described: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        described["tool_calls"] = [_describe_call(call, for_foreign) for call in message.tool_calls]
    if message.name is not None:
        described["name"] = message.name
    if message.tool_call_id is not None:
        described["tool_call_id"] = message.tool_call_id
    if message.reasoning is not None:
        described["reasoning_content"] = message.reasoning
    return described


def with_thought(message: Message) -> Message:
    """The message with its reasoning written out before its text."""
    if not message.reasoning or message.role != "assistant":
        return message
    return replace(message, content=f"<think>\n{message.reasoning}\n</think>\n{message.content}")


def _describe_call(call: ToolCall, is_parsed: bool) -> JsonObject:
    arguments: Any = call.arguments.strip() or "{}"
    if is_parsed:
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def describe_tool(tool: Tool, *, for_foreign: bool = False) -> JsonObject:
    """The tool in OpenAI's shape; a foreign template may need even what the caller left out."""
    function: JsonObject = {"name": tool.name}
    if tool.description or for_foreign:
        function["description"] = tool.description
    if tool.parameters:
        function["parameters"] = tool.parameters
    elif for_foreign:
        function["parameters"] = {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


class Shield:
    """Swaps control-token-like text for stand-ins before rendering, and back after it.

    Each such text gets one private-use character that occurs nowhere in the conversation, so it
    passes a template unharmed; `pieces` makes literal pieces of them.
    """

    def __init__(self, *values: Any) -> None:
        texts = list(_walk(values))
        found = sorted({match for text in texts for match in CONTROL.findall(text)})
        free = _find_free_letters(texts) if found else iter(())
        self._stand_ins = dict(zip(found, free, strict=False))
        self._originals = {letter: text for text, letter in self._stand_ins.items()}

    def hide(self, value: Any) -> Any:
        """The value with every such text replaced, in keys too."""
        if not self._stand_ins:
            return value
        if isinstance(value, str):
            return CONTROL.sub(lambda match: self._stand_ins.get(match[0], match[0]), value)
        if isinstance(value, dict):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(item) for item in value]
        return value

    def pieces(self, rendered: str) -> tuple[PromptPiece, ...]:
        """Rendered text as pieces: one when there was nothing to hide."""
        if not self._originals:
            return (PromptPiece(rendered),) if rendered else ()
        pattern = f"([{''.join(self._originals)}]+)"
        parts = enumerate(re.split(pattern, rendered))
        return tuple(
            PromptPiece(self.reveal(part), literal=index % 2 == 1) for index, part in parts if part
        )

    def reveal(self, text: str) -> str:
        """Text with the stand-ins turned back."""
        return "".join(self._originals.get(letter, letter) for letter in text)


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(key)
            yield from _walk(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _walk(item)


def _find_free_letters(texts: Iterable[str]) -> Iterator[str]:
    used = {letter for text in texts for letter in text if ord(letter) >= FIRST_STAND_IN}
    return (chr(code) for code in range(FIRST_STAND_IN, 0x10FFFE) if chr(code) not in used)

"""What a skill produces: scenes made of steps, and the checks an answer must pass.

A `Step` is one assistant turn with the messages that lead to it; a `Scene` is a row of steps
that share a system text, tools or a JSON schema. Skills make scenes, `conversation` makes
training text of them and `held_out` makes cases.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Check = Callable[[Message], bool]


@dataclass(frozen=True)
class Call:
    """One tool call the assistant should make."""

    name: str
    arguments: dict[str, Any]

    def text(self) -> str:
        """The call as the model writes it."""
        body = json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)
        return f"<tool_call>\n{body}\n</tool_call>"

    def message_part(self, index: int) -> Message:
        """The call as an OpenAI-shaped `tool_calls` entry."""
        arguments = json.dumps(self.arguments, ensure_ascii=False)
        function = {"name": self.name, "arguments": arguments}
        return {"id": f"call_{index}", "type": "function", "function": function}


@dataclass(frozen=True)
class Step:
    """One assistant turn: what is asked, what is answered, and how to judge another answer."""

    asks: tuple[Message, ...]
    content: str
    thought: str
    check: Check
    calls: tuple[Call, ...] = ()
    taught: bool = True

    def answer_text(self, thinking: bool) -> str:
        """What the model should write after the assistant header."""
        said = "\n".join(call.text() for call in self.calls) or self.content
        return f"<think>\n{self.thought}\n</think>\n{said}" if thinking else said

    def message(self) -> Message:
        """The answer as a message of the history."""
        message: Message = {"role": "assistant", "content": self.content}
        if self.calls:
            message["tool_calls"] = [call.message_part(i) for i, call in enumerate(self.calls)]
        return message


@dataclass(frozen=True)
class Scene:
    """Steps in a row and what they need around them."""

    steps: tuple[Step, ...]
    system: str = ""
    tools: tuple[Message, ...] = ()
    schema: Message | None = None
    json_only: bool = False
    gaps: bool = field(default=True)  # other scenes may come between its steps


def user(text: str) -> Message:
    """A user message."""
    return {"role": "user", "content": text}


def says(text: str) -> Check:
    """The answer is exactly `text`, and calls nothing."""
    return lambda answer: _content(answer) == text and not answer.get("tool_calls")


def states(values: Sequence[str], not_these: Sequence[str] = ()) -> Check:
    """The answer holds every value as a whole word, and none of the others."""

    def check(answer: Message) -> bool:
        content = _content(answer)
        if answer.get("tool_calls") or "tool_call>" in content:
            return False
        wrong = [other for other in not_these if not any(other in value for value in values)]
        return all(_has(content, value) for value in values) and not any(
            _has(content, other) for other in wrong
        )

    return check


def calls(expected: Sequence[Call]) -> Check:
    """The answer makes exactly these calls, in this order, and says nothing else."""

    def check(answer: Message) -> bool:
        if _content(answer):
            return False
        try:
            made = [
                (part["function"]["name"], json.loads(part["function"]["arguments"]))
                for part in answer.get("tool_calls") or []
            ]
        except (ValueError, KeyError, TypeError):
            return False
        return same_json(made, [(call.name, call.arguments) for call in expected])

    return check


def json_object(expected: Message) -> Check:
    """The answer is one JSON object equal to `expected`, types included."""

    def check(answer: Message) -> bool:
        try:
            return same_json(json.loads(_content(answer)), expected)
        except ValueError:
            return False

    return check


def same_json(left: Any, right: Any) -> bool:
    """Equality that tells true from 1 and "1" from 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _content(answer: Message) -> str:
    return answer.get("content") or ""


def _has(content: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", content) is not None

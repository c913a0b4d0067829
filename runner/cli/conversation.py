"""A conversation in the terminal: what was said, how the next answer is asked for, what it cost.

Owns the state of `runner chat`. Knows no terminal and no backend. Invariant: the messages always
form a conversation that can be sent as it is; a question without an answer is taken back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from runner.router import RouteSnapshot
from runner.types import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    JsonObject,
    Message,
    ReasoningDelta,
    ReasoningWish,
    RouteWish,
    SamplingParams,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer as it came; without `usage` it was stopped."""

    model: str
    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage | None
    route: RouteSnapshot
    elapsed_s: float


@dataclass(slots=True)
class Gathering:
    """An answer on its way."""

    usage: Usage | None = None
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: dict[int, list[str]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case TextDelta(text=text):
                self._text.append(text)
            case ReasoningDelta(text=text):
                self._reasoning.append(text)
            case ToolCallDelta():
                call = self._calls.setdefault(event.index, ["", "", ""])
                call[0] += event.id or ""
                call[1] += event.name or ""
                call[2] += event.arguments
            case Finished(usage=usage):
                self.usage = usage

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return tuple(ToolCall(*parts) for _, parts in sorted(self._calls.items()))

    def reply(self, model: str, route: RouteSnapshot, elapsed_s: float) -> Reply:
        """All of it; calls only where they are complete."""
        calls = self.tool_calls if self.usage is not None else ()
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        return Reply(model, text, reasoning, calls, self.usage, route, elapsed_s)


@dataclass(slots=True)
class Conversation:
    """Everything said so far and how to go on. `think` None leaves it to the model."""

    model: str
    system: str | None = None
    think: bool | None = None
    route: RouteWish = "auto"
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    messages: list[Message] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    saved_to: Path | None = None

    def ask(self, text: str) -> None:
        """The user's turn."""
        self.messages.append(Message("user", text))

    def give(self, call: ToolCall, result: str) -> None:
        """What a tool answered."""
        self.messages.append(Message("tool", result, name=call.name, tool_call_id=call.id))

    def take(self, reply: Reply) -> None:
        """The model's turn; one that was stopped before it said anything is no turn."""
        self.replies.append(reply)
        if not reply.text and not reply.tool_calls:
            self.take_back()
            return
        self.messages.append(
            Message(
                "assistant",
                reply.text,
                tool_calls=reply.tool_calls,
                reasoning=reply.reasoning or None,
            )
        )

    def take_back(self) -> None:
        """Forget the last question, since it was not answered."""
        while self.messages and self.messages.pop().role != "user":
            pass

    def clear(self) -> None:
        """Begin anew with the same settings."""
        self.messages.clear()

    def request(self, request_id: str, sampling: SamplingParams) -> GenerateRequest:
        """What is asked for next; where it grows too long, the oldest turns are left out."""
        head = (Message("system", self.system),) if self.system else ()
        is_long = sum(message.role == "user" for message in self.messages) > 1
        return GenerateRequest(
            id=request_id,
            model=self.model,
            prompt=ChatPrompt((*head, *self.messages), tools=self.tools),
            sampling=sampling,
            max_tokens=self.max_tokens,
            reasoning=ReasoningWish(enabled=self.think),
            route=self.route,
            overflow="truncate_oldest" if is_long else "error",
            given=frozenset() if self.think is None else frozenset({"reasoning"}),
        )

    def cost(self) -> str:
        """Tokens and money so far."""
        usages = [reply.usage for reply in self.replies if reply.usage is not None]
        prompt = sum(usage.prompt_tokens for usage in usages)
        completion = sum(usage.completion_tokens for usage in usages)
        paid = [reply.route.cost_usd for reply in self.replies]
        spent = sum(cost or 0.0 for cost in paid)
        avoided = sum(reply.route.cost_avoided_usd or 0.0 for reply in self.replies)
        unsure = ", and some answers whose price is not known" if None in paid else ""
        return (
            f"{len(self.replies)} answers, {prompt} + {completion} tokens: "
            f"${spent:.6f} spent{unsure}, ${avoided:.6f} avoided"
        )

    def as_json(self) -> str:
        """The messages as OpenAI has them, ready to be sent again."""
        head = [Message("system", self.system)] if self.system else []
        messages = [message_json(message) for message in [*head, *self.messages]]
        return json.dumps({"model": self.model, "messages": messages}, indent=2, ensure_ascii=False)

    def as_markdown(self) -> str:
        """The conversation to be read."""
        parts = [f"# Conversation with {self.model}"]
        if self.system:
            parts.append(f"**system**\n\n{self.system}")
        for message in self.messages:
            calls = [f"`{call.name}({call.arguments})`" for call in message.tool_calls]
            body = [text for text in (message.content, *calls) if text]
            parts.append("\n\n".join((f"**{message.role}**", *body)))
        return "\n\n".join(parts) + "\n"


def message_json(message: Message) -> JsonObject:
    """A message on OpenAI's wire."""
    body: JsonObject = {"role": message.role, "content": message.content}
    if message.reasoning:
        body["reasoning"] = message.reasoning
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    return body

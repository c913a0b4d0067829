"""Going on with a stream that was cut: where that is safe, with what request, without a stutter.

Pure. Knows no backend. Invariant: text that has reached the client is never changed, repeated or
contradicted in kind; where that cannot be promised the seam is called unsafe, with words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from runner.types import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    Message,
    ReasoningDelta,
    TextDelta,
    TextPrompt,
    ToolCallDelta,
    Usage,
)

CHARS_PER_TOKEN = 4
MIN_OVERLAP = 12  # shorter repetitions may well be meant
MAX_OVERLAP = 400


@dataclass(slots=True)
class Spoken:
    """What has reached the client so far."""

    has_tool_call: bool = False
    num_deltas: int = 0
    num_chars: int = 0
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Remember one event that is about to be sent."""
        match event:
            case TextDelta(text=text):
                self._text.append(text)
                self.num_chars += len(text)
            case ReasoningDelta(text=text):
                self._reasoning.append(text)
                self.num_chars += len(text)
            case ToolCallDelta():
                self.has_tool_call = True
            case Finished():
                return
        self.num_deltas += 1

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """The thinking before it."""
        return "".join(self._reasoning)

    @property
    def num_tokens(self) -> int:
        """How many tokens that was, about: one per piece, or by length if that is more."""
        return max(self.num_deltas, -(-self.num_chars // CHARS_PER_TOKEN))


def seam_fault(request: GenerateRequest, spoken: Spoken) -> str | None:
    """Why the answer cannot go on elsewhere; None when the seam is plain text."""
    if spoken.has_tool_call:
        return "it was cut in or after a tool call"
    if not spoken.text:
        return "it was cut while thinking"
    if request.response_format.kind != "text":
        return "it was cut inside structured output"
    if request.max_tokens is not None and spoken.num_tokens >= request.max_tokens:
        return "it was cut at its last token"
    match request.prompt:
        case ChatPrompt(tool_choice=choice) if choice.mode in ("required", "named"):
            return "a tool call was required"
        case ChatPrompt() | TextPrompt():
            return None
    return "its prompt was given as token ids"


def continued(request: GenerateRequest, spoken: Spoken) -> GenerateRequest:
    """The request that asks for the rest: what was said becomes the beginning of the answer."""
    left = None if request.max_tokens is None else request.max_tokens - spoken.num_tokens
    match request.prompt:
        case ChatPrompt() as chat:
            prompt: ChatPrompt | TextPrompt = _with_opening(chat, spoken)
        case TextPrompt() as text:
            prompt = TextPrompt(text.text + spoken.text)
        case _:
            raise TypeError("a prompt of token ids has no seam")
    return replace(request, prompt=prompt, max_tokens=left)


def _with_opening(chat: ChatPrompt, spoken: Spoken) -> ChatPrompt:
    messages = chat.messages
    opening = Message("assistant", spoken.text, reasoning=spoken.reasoning or None)
    if chat.continue_final_message and messages and messages[-1].role == "assistant":
        opening = replace(messages[-1], content=messages[-1].content + spoken.text)
        messages = messages[:-1]
    return replace(chat, messages=(*messages, opening), continue_final_message=True)


def merge_usage(num_spoken: int, rest: Usage, *, is_first_paid: bool) -> Usage:
    """One usage for both halves; the cut half was never counted by anyone, so it is estimated."""
    return replace(
        rest,
        prompt_tokens=max(0, rest.prompt_tokens - num_spoken),
        completion_tokens=rest.completion_tokens + num_spoken,
        cost_usd=None if is_first_paid else rest.cost_usd,
    )


class OverlapFilter:
    """Drops what the second half repeats of the first: its last words, or all of it."""

    def __init__(self, spoken_text: str) -> None:
        self._spoken = spoken_text
        self._held: str | None = ""
        self._repeated = 0

    def feed(self, event: Event) -> Iterator[Event]:
        """Pass an event on, held back for as long as it may still be a repetition."""
        if self._held is None:
            yield event
            return
        if isinstance(event, TextDelta):
            self._held += event.text
            if self._may_repeat():
                return
            yield from self._release()
            return
        if isinstance(event, ReasoningDelta):
            return  # thinking again would come after text that was already shown
        yield from self._release()
        yield event

    def _may_repeat(self) -> bool:
        """Whether more text could still make this a longer repetition; notes complete ones."""
        held, spoken = self._held or "", self._spoken
        if len(held) < MIN_OVERLAP and held in spoken[-MAX_OVERLAP:]:
            return True
        may_grow = False
        for length in (*range(MIN_OVERLAP, min(MAX_OVERLAP, len(spoken))), len(spoken)):
            tail = spoken[len(spoken) - length :]
            if length > len(held):
                may_grow = may_grow or tail.startswith(held)
            elif held.startswith(tail) and length >= MIN_OVERLAP:
                self._repeated = max(self._repeated, length)
        return may_grow

    def _release(self) -> Iterator[Event]:
        text = (self._held or "")[self._repeated :]
        self._held = None
        if text:
            yield TextDelta(text)

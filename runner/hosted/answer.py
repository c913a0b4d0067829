"""Chunks of one upstream answer as events, read by the very parser that local text goes through.

Owns the channels of one answer: text, reasoning, native and written tool calls. Knows no HTTP.
Invariant: reasoning reaches the client once however often it was sent, and a tool call that is
not whole never ends in `tool_calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runner.chat.parser import OutputParser
from runner.types import Event, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta

from .chunk import Chunk, UpstreamUsage
from .emulation import Upstream
from .tool_assembly import ToolAssembly

FINISHES: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class AnswerReader:
    """Reads the chunks of one answer. Feed it, then `finish`."""

    def __init__(self, upstream: Upstream, new_call_id: Callable[[], str]) -> None:
        self._parser = OutputParser(upstream.rules, new_call_id)
        self._tools = ToolAssembly(new_call_id)
        self._is_one_call = upstream.is_one_call
        self._text: list[str] = []
        self._raw: list[str] = []
        self._is_over = False
        self._finish = "stop"
        self._num_calls = 0
        self.num_pieces = 0
        self.usage: UpstreamUsage | None = None

    @property
    def is_over(self) -> bool:
        """Nothing after this counts: a stop string was met, or the one call allowed is done."""
        return self._is_over or self._parser.is_stopped

    @property
    def is_stopped(self) -> bool:
        """A stop string of the caller's was met."""
        return self._parser.is_stopped

    @property
    def text(self) -> str:
        """The visible text so far."""
        return "".join(self._text)

    @property
    def raw_text(self) -> str:
        """The content as it was sent, tags and all."""
        return "".join(self._raw)

    @property
    def num_calls(self) -> int:
        """How many tool calls were made."""
        return self._num_calls

    @property
    def is_broken(self) -> bool:
        """Whether a tool call was begun that never became whole or could not be read."""
        return not self._is_over and (not self._tools.is_whole or self._parser.num_faults > 0)

    def feed(self, chunk: Chunk) -> Iterator[Event]:
        """The events of one chunk."""
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.finish is not None:
            self._finish = chunk.finish
        if chunk.is_progress:
            self.num_pieces += 1
        if chunk.reasoning:
            yield ReasoningDelta(chunk.reasoning)
        if chunk.text:
            self._raw.append(chunk.text)
            yield from self._pass(self._parser.feed(chunk.text))
        for piece in chunk.tools:
            yield from self._pass(list(self._tools.feed(piece)))

    def finish(self) -> Iterator[Event]:
        """What the parser still held back."""
        yield from self._pass(self._parser.finish())

    def reason(self) -> FinishReason:
        """Why the answer ended, in the contract's words."""
        if self._parser.is_stopped:
            return "stop"
        reason = FINISHES.get(self._finish, "stop")
        if reason in ("stop", "tool_calls"):
            return "tool_calls" if self._num_calls else "stop"
        return reason

    def _pass(self, events: list[Event] | list[ToolCallDelta]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, ToolCallDelta):
                if self._is_one_call and event.index > 0:
                    self._is_over = True
                    return
                self._num_calls = max(self._num_calls, event.index + 1)
            elif isinstance(event, TextDelta):
                self._text.append(event.text)
            yield event

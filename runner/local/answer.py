"""One answer on its way from the engine's words to events.

Owns what was said so far: the tokens, the parser, the counts. Knows no engine and no queue.
Invariant: what it submits again after a death is exactly what was passed on.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from runner.chat.parser import OutputParser
from runner.chat.turn import Turn
from runner.engine.messages import Done, Output, Started, Submit
from runner.types import (
    Event,
    Finished,
    FinishReason,
    GenerateRequest,
    ReasoningDelta,
    Timings,
    TokenPrompt,
    Usage,
)


class LocalAnswer:
    """One answer on its way from the engine's words to events."""

    def __init__(self, request: GenerateRequest, turn: Turn, clock: Callable[[], float]) -> None:
        self._request = request
        self._turn = turn
        self._tokens: list[int] = []
        self._parser: OutputParser = turn.parser(new_call_id)
        self._clock = clock
        self._begun_s = clock()
        self._first_s: float | None = None
        self._num_prompt = 0
        self._num_cached = 0
        self._num_reasoning = 0
        self._in_reasoning = turn.starts_in == "reasoning"
        self.is_finished = False

    def submit(self, stream_id: int) -> Submit:
        """The order to an engine, from where the answer is by now."""
        request, turn = self._request, self._turn
        tokens = list(request.prompt.tokens) if isinstance(request.prompt, TokenPrompt) else []
        return Submit(
            id=stream_id,
            pieces=list(turn.pieces),
            tokens=tokens,
            sampling=request.sampling,
            max_tokens=request.max_tokens,
            tenant=request.tenant,
            cache_prompt=request.cache_prompt,
            overflow=request.overflow,
            constraint=turn.constraint,
            interjection=turn.interjection,
            resume=self._tokens,
        )

    def take(self, word: Started | Output | Done) -> list[Event]:
        """The events that one word of the engine completes."""
        match word:
            case Started(num_prompt=num_prompt, num_cached=num_cached):
                if not self._num_prompt:
                    self._num_prompt, self._num_cached = num_prompt, num_cached
                return []
            case Output():
                return self._take_output(word)
            case Done():
                events = self._parser.finish()
                self._count_reasoning(events, 0)
                return [*events, self._finish(word.reason, word.timings)]

    def _take_output(self, output: Output) -> list[Event]:
        if self._first_s is None and output.tokens:
            self._first_s = self._clock()
        self._tokens += output.tokens
        events = self._parser.feed(output.text, tuple(output.logprobs))
        self._count_reasoning(events, len(output.tokens))
        if self._parser.is_stopped:
            events = [*events, *self._parser.finish(), self._finish("stop", self._own_timings())]
        return events

    def _count_reasoning(self, events: list[Event], num_tokens: int) -> None:
        """Tokens count as reasoning as long as reasoning was the last thing seen."""
        if events:
            self._in_reasoning = isinstance(events[-1], ReasoningDelta)
        if self._in_reasoning:
            self._num_reasoning += num_tokens

    def _own_timings(self) -> Timings:
        now = self._clock()
        first = self._first_s if self._first_s is not None else now
        return Timings(
            prompt_n=self._num_prompt - self._num_cached,
            prompt_ms=(first - self._begun_s) * 1e3,
            cache_n=self._num_cached,
            predicted_n=len(self._tokens),
            predicted_ms=(now - first) * 1e3,
        )

    def _finish(self, reason: str, timings: Timings) -> Finished:
        self.is_finished = True
        finish: FinishReason = "length" if reason == "length" else "stop"
        if self._parser.num_tool_calls and finish == "stop":
            finish = "tool_calls"
        usage = Usage(
            prompt_tokens=self._num_prompt,
            completion_tokens=len(self._tokens),
            cached_tokens=self._num_cached,
            reasoning_tokens=self._num_reasoning,
        )
        return Finished(finish, usage, timings)


def new_call_id() -> str:
    """A fresh id for a tool call, as OpenAI shapes them."""
    return f"call_{uuid.uuid4().hex[:24]}"

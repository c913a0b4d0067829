"""From a model's text to the events of an answer, as far as they are certain.

Owns the channels (text, reasoning, tool calls), stop strings and the markers between them; knows
no tokens and no source, so local and hosted text go the same way. Invariant: however the text is
cut into pieces, the events joined together are the same.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from runner.types import Event, ReasoningDelta, TextDelta, TokenLogprob

from .stop import SpaceRule, TextRun, count_held
from .tool_call import CLOSING_TAG, CallReader

THINK, THINK_END = "<think>", "</think>"
TOOL_CALL = "<tool_call>"
KEPT_HALVES = ("<", "</")  # at the end of a text these are more likely text than half a marker

Channel = Literal["text", "reasoning", "call"]


@dataclass(frozen=True, slots=True)
class OutputRules:
    """How a text is to be read.

    `stop` ends the answer within visible text, `ends` (control markers) anywhere. Raw text
    (`has_tags` False) has no channels at all. With `is_document` nothing inside the document is a
    marker. Without `has_tools` call tags are dropped and what they hold is ordinary text.
    """

    stop: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    starts_in: Literal["text", "reasoning"] = "text"
    has_tags: bool = True
    has_tools: bool = False
    is_document: bool = False

    def markers(self, channel: Channel) -> tuple[str, ...]:
        """What ends or interrupts a stretch of that channel."""
        if not self.has_tags:
            return self.ends
        if channel == "reasoning":
            return (THINK, THINK_END, *self.ends)
        return (THINK, THINK_END, TOOL_CALL, CLOSING_TAG, *self.ends)


class OutputParser:
    """Reads one answer. Feed it text as it comes, then `finish`."""

    def __init__(self, rules: OutputRules, new_call_id: Callable[[], str]) -> None:
        self._rules = rules
        self._new_call_id = new_call_id
        self._buffer = ""
        self._consumed = 0  # how much of the stream stands before the buffer
        self._received = 0
        self._logprobs: deque[tuple[int, tuple[TokenLogprob, ...]]] = deque()
        self._events: list[Event] = []
        self._channel: Channel = rules.starts_in
        self._run = self._new_run(skips_space=rules.starts_in == "reasoning")
        self._call: CallReader | None = None
        self._is_literal = False  # nothing that follows is a marker
        self._is_stopped = False
        self._is_ended = False
        self._num_calls = 0
        self._num_faults = 0

    @property
    def is_stopped(self) -> bool:
        """A stop string or control marker was completed: nothing after it counts."""
        return self._is_stopped

    @property
    def num_tool_calls(self) -> int:
        """How many calls were announced so far."""
        return self._num_calls + (self._call.num_calls if self._call else 0)

    @property
    def num_faults(self) -> int:
        """How many tool calls could not be read, in full or in part."""
        return self._num_faults

    def feed(self, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Event]:
        """Take more text, with its tokens' log probabilities; returns the events now certain."""
        if self._is_ended:
            return []
        self._received += len(text)
        if logprobs:
            end = self._received if text else self._received + 1  # its text comes with the next
            self._logprobs.append((end, logprobs))
        self._buffer += text
        while not self._is_ended and self._advance():
            pass
        return self._drain()

    def finish(self) -> list[Event]:
        """The text has ended: returns what was still held back."""
        while not self._is_ended and self._call is not None:
            rest = self._call.finish()
            self._leave_call(self._call, rest)
            while not self._is_ended and rest and self._advance():
                pass
        if not self._is_ended:
            self._is_ended = True
            half, self._buffer = self._buffer, ""
            is_text = self._is_literal or not self._rules.has_tags or half in KEPT_HALVES
            self._say(half if is_text else "")
            self._end_run(at_marker=self._drops_last_space)
        return self._drain()

    @property
    def _drops_last_space(self) -> bool:
        return self._channel == "reasoning" or self._num_calls > 0

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _advance(self) -> bool:
        """Read on to the next marker; False when that needs more text."""
        if self._call is not None:
            return self._advance_call(self._call)
        if self._rules.is_document and self._channel == "text" and not self._is_literal:
            self._find_document()
        markers = () if self._is_literal else self._rules.markers(self._channel)
        found = _find_first(self._buffer, markers)
        if found is None:
            self._say(self._take(len(self._buffer) - count_held(self._buffer, markers)))
            return False
        self._say(self._take(found.start()))
        if not self._is_ended:
            self._pass_marker(self._take(len(found[0])))
        return True

    def _find_document(self) -> None:
        """A JSON answer begins at the first letter that cannot begin a marker."""
        start = self._buffer.lstrip(TextRun.SPACE)
        markers = self._rules.markers("text")
        may_be_marker = any(start.startswith(m) or m.startswith(start) for m in markers)
        self._is_literal = bool(start) and not may_be_marker

    def _pass_marker(self, marker: str) -> None:
        if marker in self._rules.ends:
            self._end_run(at_marker=self._drops_last_space)
            self._is_stopped = self._is_ended = True
        elif self._channel == "reasoning":
            if marker == THINK_END:
                self._enter("text")
        elif marker == THINK:
            self._enter("reasoning")
        elif marker == TOOL_CALL and self._rules.has_tools:
            self._end_run(at_marker=True)
            if not self._is_ended:
                self._channel = "call"
                tags = (CLOSING_TAG, TOOL_CALL, *self._rules.ends)
                self._call = CallReader(tags, self._num_calls, self._new_call_id)
        else:
            self._run.position += len(marker)

    def _advance_call(self, call: CallReader) -> bool:
        rest = call.feed(self._take(len(self._buffer)))
        if rest is None:
            self._events += call.drain()
            return False
        self._leave_call(call, rest)
        return True

    def _leave_call(self, call: CallReader, rest: str) -> None:
        self._events += call.drain()
        self._num_calls += call.num_calls
        self._num_faults += call.num_faults
        self._call = None
        self._consumed -= len(rest)
        self._buffer = rest
        if rest.startswith(CLOSING_TAG):
            self._take(len(CLOSING_TAG))
        self._channel = "text"
        self._run = self._new_run(skips_space=True)

    def _enter(self, channel: Literal["text", "reasoning"]) -> None:
        self._end_run(at_marker=True)
        self._channel = channel
        self._run = self._new_run(skips_space=True)

    def _take(self, num_chars: int) -> str:
        text, self._buffer = self._buffer[:num_chars], self._buffer[num_chars:]
        self._consumed += num_chars
        return text

    def _new_run(self, *, skips_space: bool) -> TextRun:
        is_reasoning = self._channel == "reasoning"
        holds_space: SpaceRule = "at_start" if self._rules.has_tags else "never"
        if is_reasoning or self._rules.has_tools:
            holds_space = "always"
        stop = () if is_reasoning else self._rules.stop
        return TextRun(stop, self._consumed, skips_space=skips_space, holds_space=holds_space)

    def _say(self, text: str) -> None:
        if text:
            self._write(self._run.feed(text))

    def _end_run(self, *, at_marker: bool) -> None:
        self._write(self._run.end(at_marker=at_marker))

    def _write(self, text: str) -> None:
        if text:
            start = self._run.position
            self._run.position += len(text)
            if self._channel == "reasoning":
                self._events.append(ReasoningDelta(text))
            else:
                self._events.append(TextDelta(text, self._take_logprobs(start)))
        if self._run.is_stopped:
            self._is_stopped = self._is_ended = True

    def _take_logprobs(self, start: int) -> tuple[TokenLogprob, ...]:
        """Those of the tokens that end within the text just written; earlier ones are dropped."""
        taken: list[TokenLogprob] = []
        while self._logprobs and self._logprobs[0][0] <= self._run.position:
            end, logprobs = self._logprobs.popleft()
            if end > start:
                taken += logprobs
        return tuple(taken)


def _find_first(text: str, markers: tuple[str, ...]) -> re.Match[str] | None:
    return _pattern(markers).search(text) if markers else None


@lru_cache(maxsize=64)
def _pattern(markers: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(marker) for marker in markers))

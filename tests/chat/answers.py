"""Shared words of the chat tests: reading a text in pieces, and joining events again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from runner.chat.parser import OutputParser, OutputRules
from runner.types import Event, ReasoningDelta, TextDelta, ToolCallDelta


@dataclass
class Answer:
    """The events of one answer, joined."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    num_faults: int = 0
    is_stopped: bool = False
    ids: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Join one event to what came before."""
        match event:
            case TextDelta(text):
                assert text
                self.text += text
            case ReasoningDelta(text):
                assert text
                self.reasoning += text
            case ToolCallDelta(index, call_id, name, arguments):
                if name is not None:
                    assert index == len(self.calls) and call_id and not arguments
                    self.calls.append((name, ""))
                    self.ids.append(call_id)
                else:
                    assert index == len(self.calls) - 1 and arguments
                    self.calls[index] = (self.calls[index][0], self.calls[index][1] + arguments)
            case _:
                raise AssertionError(event)


def read(pieces: Iterable[str], rules: OutputRules) -> Answer:
    """What a parser makes of the pieces."""
    numbers = itertools.count()
    parser = OutputParser(rules, lambda: f"call_{next(numbers)}")
    answer = Answer()
    for piece in pieces:
        for event in parser.feed(piece):
            answer.add(event)
        assert parser.num_tool_calls == len(answer.calls)
    for event in parser.finish():
        answer.add(event)
    assert parser.num_tool_calls == len(answer.calls)
    answer.num_faults = parser.num_faults
    answer.is_stopped = parser.is_stopped
    return answer


def cut_everywhere(text: str) -> Iterable[list[str]]:
    """The text whole, letter by letter, and cut in two at every place."""
    yield [text]
    yield list(text)
    for place in range(1, len(text)):
        yield [text[:place], text[place:]]

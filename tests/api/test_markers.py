"""No marker of the chat format, nor half of one, ever shows up in what a client reads.

`RUNNER_TEST_MARKER_CASES` sets how many answers are looked at (60; the full run is 1000).
"""

from __future__ import annotations

import os
import random
import re
from typing import Any

from .caller import MODEL, Caller, Json, chat_body, tool

NUM_CASES = int(os.environ.get("RUNNER_TEST_MARKER_CASES", "60"))
MARKERS = ("<tool_call>", "</tool_call>", "<think>", "</think>", "<|im_start|>", "<|im_end|>")
LEAK = re.compile(r"</?tool_call|</?think|<\|im_|<\|end|im_end\|>|im_start\|>|tool_call>|think>")
TEXTS = (
    "Hello, who are you?",
    "What is the weather in Rome?",
    "What is the weather in Rome and in Oslo?",
    "Add 3 and 4, then 5 and 6.",
    "What is 12 + 30?",
    "Write a JSON object about a cat.",
    "Tell me a story.",
    "Say nothing.",
)
FIELDS: tuple[dict[str, Any], ...] = (
    {},
    {"tools": [tool(), tool("add", a={"enum": [3, 5]}, b={"enum": [4, 6]})]},
    {"tools": [tool()], "tool_choice": "required"},
    {"tools": [tool()], "parallel_tool_calls": False},
    {"reasoning": {"enabled": True}},
    {"reasoning": {"max_tokens": 5}},
    {"reasoning": {"enabled": True}, "tools": [tool()]},
    {"reasoning": {"enabled": True, "exclude": True}, "tools": [tool()]},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_object"}, "reasoning": {"enabled": True}},
    {"stop": ["a", "<"]},
    {"ignore_eos": True},
)


def draw_case(chance: random.Random) -> Json:
    """A request as a client might send it; short limits cut markers in half."""
    fields = {
        **chance.choice(FIELDS),
        "temperature": chance.choice([0, 0.7, 1.0, 1.5]),
        "seed": chance.randrange(2**32),
        "max_tokens": chance.choice([3, 8, 20, 60, 200]),
        "model": MODEL,
    }
    return chat_body(chance.choice(TEXTS), **fields)


def end_of_marker(text: str) -> str | None:
    """The beginning of a marker that the text ends in, when it is more than a lone bracket."""
    for marker in MARKERS:
        for length in range(2, len(marker)):
            if text.endswith(marker[:length]):
                return marker[:length]
    return None


def test_no_answer_leaks_a_marker_streamed_or_not(caller: Caller) -> None:
    chance = random.Random(5)
    for number in range(NUM_CASES):
        body = draw_case(chance)
        if number % 2:
            stream = caller.stream("/v1/chat/completions", body)
            shown = [stream.text(), stream.text(field="reasoning")]
            (finish,) = stream.finishes()
        else:
            choice = caller.json("/v1/chat/completions", body)["choices"][0]
            message = choice["message"]
            shown = [message["content"] or "", message.get("reasoning") or ""]
            finish = choice["finish_reason"]
        for text in shown:
            assert not LEAK.search(text), (body, text)
        if finish != "length":
            assert end_of_marker(shown[0]) is None, (body, shown[0])

"""Whether a turn begins with thinking."""

from __future__ import annotations

from typing import Any

import pytest

from runner.chat.thinking import has_thinking_prompt, is_thinking_asked
from runner.chat.wording import THINKING
from runner.types import Message, ReasoningWish


@pytest.mark.parametrize(
    ("wish", "kwargs", "asked"),
    [
        (ReasoningWish(), {}, None),
        (ReasoningWish(enabled=True), {"thinking": False}, True),
        (ReasoningWish(enabled=False, effort="high", max_tokens=9), {"thinking": True}, False),
        (ReasoningWish(effort="none"), {"thinking": True}, False),
        (ReasoningWish(effort="minimal"), {}, False),
        (ReasoningWish(effort="low"), {"thinking": False}, True),
        (ReasoningWish(effort="xhigh"), {}, True),
        (ReasoningWish(max_tokens=1), {}, True),
        (ReasoningWish(max_tokens=1), {"thinking": False}, False),
        (ReasoningWish(enabled=True, max_tokens=0), {}, False),
        (ReasoningWish(), {"thinking": True}, True),
        (ReasoningWish(), {"enable_thinking": False}, False),
        (ReasoningWish(), {"thinking": "yes"}, None),
        (ReasoningWish(exclude=True), {}, None),
    ],
)
def test_the_clearest_word_counts(
    wish: ReasoningWish, kwargs: dict[str, Any], asked: bool | None
) -> None:
    assert is_thinking_asked(wish, kwargs) is asked


def test_only_the_system_message_holds_the_thinking_prompt() -> None:
    assert has_thinking_prompt((Message("system", f"A.\n{THINKING}"), Message("user", "x")))
    assert not has_thinking_prompt((Message("system", "A."), Message("user", THINKING)))

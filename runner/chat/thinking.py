"""Whether a turn begins with thinking.

Owns how the several ways to ask for it weigh against each other; pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.types import JsonObject, Message, ReasoningWish

from .wording import THINKING

OFF_EFFORTS = frozenset({"none", "minimal"})
SWITCHES = ("thinking", "enable_thinking")


def is_thinking_asked(wish: ReasoningWish, template_kwargs: JsonObject) -> bool | None:
    """What the caller asked for: `enabled`, then effort, then the template's switch, then budget.

    None when nothing was said. A budget of 0 is a no, whatever else was said.
    """
    if wish.max_tokens == 0:
        return False
    if wish.enabled is not None:
        return wish.enabled
    if wish.effort is not None:
        return wish.effort not in OFF_EFFORTS
    for switch in SWITCHES:
        if isinstance(template_kwargs.get(switch), bool):
            return bool(template_kwargs[switch])
    return True if wish.max_tokens is not None else None


def has_thinking_prompt(messages: Sequence[Message]) -> bool:
    """Whether the caller put the thinking prompt in the system message, as the cards suggest."""
    return any(message.role == "system" and THINKING in message.content for message in messages)

"""A conversation that is too long: which of its oldest turns to leave out.

Owns the cut. Pure: counts tokens by the function it is given. Invariant: the system prompt and the
last message stay, and what stays never begins in the middle of a tool exchange.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from runner.types import ChatPrompt, Message


def cut_points(messages: tuple[Message, ...]) -> list[int]:
    """Where the kept part may begin: at user turns, so that no exchange is torn apart."""
    first = 1 if messages and messages[0].role == "system" else 0
    starts = [at for at in range(first, len(messages)) if messages[at].role == "user"]
    return [at for at in starts if at > first] or [len(messages) - 1]


def without_oldest(prompt: ChatPrompt, start: int) -> ChatPrompt:
    """The conversation from message `start` on, behind its system prompt."""
    messages = prompt.messages
    head = messages[:1] if messages and messages[0].role == "system" else ()
    return replace(prompt, messages=(*head, *messages[start:]))


async def shorten(
    prompt: ChatPrompt, room: int, count: Callable[[ChatPrompt], Awaitable[int]]
) -> tuple[ChatPrompt, int]:
    """As much of the conversation as fits `room` tokens, and how many messages were left out.

    Where even the last turn is too long it is returned alone; the engine will refuse it.
    """
    if await count(prompt) <= room:
        return prompt, 0
    points = cut_points(prompt.messages)
    low, high = 0, len(points) - 1
    while low < high:
        middle = (low + high) // 2
        if await count(without_oldest(prompt, points[middle])) <= room:
            high = middle
        else:
            low = middle + 1
    kept = without_oldest(prompt, points[low])
    return kept, len(prompt.messages) - len(kept.messages)

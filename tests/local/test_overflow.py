"""What is left out of a conversation that is too long."""

from __future__ import annotations

import random

from runner.local.overflow import shorten
from runner.types import ChatPrompt, Message, Role


async def words(prompt: ChatPrompt) -> int:
    return sum(len(message.content.split()) for message in prompt.messages)


def conversation(*turns: tuple[Role, str]) -> ChatPrompt:
    return ChatPrompt(tuple(Message(role, text) for role, text in turns))


async def test_conversation_that_fits_is_left_alone() -> None:
    prompt = conversation(("system", "s"), ("user", "a b"), ("assistant", "c"), ("user", "d"))
    assert await shorten(prompt, 5, words) == (prompt, 0)


async def test_oldest_turns_go_and_the_system_prompt_stays() -> None:
    prompt = conversation(
        ("system", "s"), ("user", "a a a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"),
        ("user", "e"),
    )  # fmt: skip
    kept, num_dropped = await shorten(prompt, 4, words)
    assert [message.content for message in kept.messages] == ["s", "c", "d", "e"]
    assert num_dropped == 2


async def test_tool_exchange_is_never_torn_apart() -> None:
    prompt = conversation(
        ("user", "a"), ("assistant", "call"), ("tool", "r r r r r"), ("assistant", "b"),
        ("user", "c"),
    )  # fmt: skip
    kept, _ = await shorten(prompt, 7, words)
    assert [message.role for message in kept.messages] == ["user"]


async def test_as_much_as_fits_is_kept() -> None:
    chance = random.Random(1)
    for _ in range(200):
        turns: list[tuple[Role, str]] = [("system", "s")] if chance.random() < 0.5 else []
        for _ in range(chance.randint(1, 8)):
            turns.append(("user", "w " * chance.randint(1, 5)))
            turns.append(("assistant", "w " * chance.randint(1, 5)))
        prompt = conversation(*turns, ("user", "last"))
        room = chance.randint(2, 40)
        kept, num_dropped = await shorten(prompt, room, words)
        assert kept.messages[-1].content == "last"
        assert await words(kept) <= room or len(kept.messages) <= 2
        if num_dropped:
            earlier = [at for at, message in enumerate(prompt.messages) if message.role == "user"]
            start = len(prompt.messages) - len([m for m in kept.messages if m.role != "system"])
            before = [at for at in earlier if at < start]
            head = prompt.messages[:1] if prompt.messages[0].role == "system" else ()
            if before:
                longer = ChatPrompt((*head, *prompt.messages[max(before) :]))
                assert await words(longer) > room

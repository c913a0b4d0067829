"""Greedy output is the same token for token, however the engine came to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.types import Constraint, SamplingParams

from .asking import ask, chat_prompt

SYSTEM = "You are a helpful assistant. " + " ".join(
    f"The number of room {room} is {room * 37 % 100}." for room in range(1, 30)
)
QUESTIONS = [
    "Hello",
    "Who are you?",
    "Repeat: green lamps hum over the quiet harbour",
    "Repeat: velm ordi tassu brak",
    "count from 1 to 20",
    "count from 7 to 31",
    "What is the number of room 4?",
    "What is the number of room 9?",
]


@pytest.fixture
async def alone(start_engine: Callable[..., Any]) -> dict[str, tuple[int, ...]]:
    """Each answer by an engine that does nothing else and remembers nothing."""
    engine = await start_engine()
    answers = {}
    for prompt in prompts():
        answers[prompt] = (await ask(engine, prompt, cache_prompt=False)).tokens
    return answers


def prompts() -> list[str]:
    return [chat_prompt(question, SYSTEM) for question in QUESTIONS]


async def test_batched_answers_equal_those_alone(
    start_engine: Callable[..., Any], alone: dict[str, tuple[int, ...]]
) -> None:
    engine = await start_engine()
    replies = await asyncio.gather(*(ask(engine, prompt) for prompt in prompts()))
    assert [reply.tokens for reply in replies] == [alone[prompt] for prompt in prompts()]


async def test_answers_over_a_shared_prefix_equal_those_alone(
    start_engine: Callable[..., Any], alone: dict[str, tuple[int, ...]]
) -> None:
    engine = await start_engine()
    replies = [await ask(engine, prompt) for prompt in prompts()]
    assert [reply.tokens for reply in replies] == [alone[prompt] for prompt in prompts()]
    assert all(reply.num_cached > 100 for reply in replies[1:])


async def test_answers_after_eviction_equal_those_alone(
    start_engine: Callable[..., Any], alone: dict[str, tuple[int, ...]]
) -> None:
    engine = await start_engine(num_cells=1024, context=1024, parallel=2)
    for _ in range(2):
        replies = await asyncio.gather(
            *(ask(engine, prompt) for prompt in prompts()),
            *(ask(engine, chat_prompt("Hello", f"{n} " * 300)) for n in range(3)),
        )
        answers = [reply.tokens for reply in replies[: len(QUESTIONS)]]
        assert answers == [alone[prompt] for prompt in prompts()]


async def test_answers_after_a_restart_are_warm_and_equal_those_alone(
    start_engine: Callable[..., Any], alone: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    folder = tmp_path / "prefixes"
    store = {"prefix_folder": str(folder), "prefix_bytes": 1 << 26}
    first = await start_engine(**store)
    await ask(first, prompts()[0])
    await first.stop()
    assert list(folder.glob("*.prefix"))
    second = await start_engine(**store)
    replies = [await ask(second, prompt) for prompt in prompts()]
    assert replies[0].num_cached > 250
    assert [reply.tokens for reply in replies] == [alone[prompt] for prompt in prompts()]


async def test_answers_under_a_permissive_grammar_equal_those_alone(
    start_engine: Callable[..., Any], alone: dict[str, tuple[int, ...]]
) -> None:
    engine = await start_engine()
    anything = Constraint("regex", r"(?s:.*)", ends_answer=True)
    for prompt in prompts():
        assert (await ask(engine, prompt, constraint=anything)).tokens == alone[prompt]


async def test_resumed_answer_goes_on_where_it_stopped(
    start_engine: Callable[..., Any], alone: dict[str, tuple[int, ...]]
) -> None:
    engine = await start_engine()
    for prompt, tokens in alone.items():
        for cut in {1, len(tokens) // 2, len(tokens) - 1} - {0}:
            reply = await ask(engine, prompt, resume=list(tokens[:cut]))
            assert tokens[:cut] + reply.tokens == tokens


async def test_same_seed_gives_the_same_text(start_engine: Callable[..., Any]) -> None:
    engine = await start_engine()
    prompt = chat_prompt("Tell me a joke")
    seeds = (11, 11, 12, 13, 14)
    hot = [SamplingParams(temperature=5.0, seed=seed) for seed in seeds]
    first, again, *others = [
        await ask(engine, prompt, sampling=params, max_tokens=24) for params in hot
    ]
    assert first.tokens == again.tokens
    assert any(other.tokens != first.tokens for other in others)

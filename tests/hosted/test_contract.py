"""The contract, kept by every host alike: the same requests, the same shape of answer.

`here` is the reference: the chat room's own turn and parser over the same words, as an engine
on this machine would write them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from runner.chat.emulation import with_hermes_prompts
from runner.chat.format import find_format
from runner.chat.turn import prepare
from runner.errors import UnsupportedParameterError
from runner.ledger import Call
from runner.types import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    Message,
    ReasoningWish,
    ResponseFormat,
    SamplingParams,
    TextPrompt,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
)
from tests.fakes.openrouter import PROFILES, TALE, THOUGHT, Scenario
from tests.fakes.openrouter.brain import think
from tests.fakes.openrouter.chunks import cut
from tests.hosted.house import LOOK, Setup, Told, ask, house, tell
from tests.router.scripted import ScriptedBackend

HEAR = Tool("hear", "Listen", {"type": "object", "properties": {"to": {"type": "string"}}})
SCHEMA = {
    "type": "object",
    "properties": {"at": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["at", "size"],
    "additionalProperties": False,
}
HOSTS = tuple(PROFILES)
EVERYWHERE = ("here", *HOSTS)


class ReferenceBackend(ScriptedBackend):
    """This machine, with the fake's brain for a model and the real chat room around it."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        turn = prepare(request, find_format("hermes4_llama3"))
        numbers = count()
        parser = turn.parser(lambda: f"call_{next(numbers)}")
        written = cut(self._write(request))[: request.max_tokens]
        num_tokens = 0
        for token in written:
            num_tokens += 1
            for event in parser.feed(token):
                yield event
            if parser.is_stopped:
                break
        for event in parser.finish():
            yield event
        is_cut = num_tokens == request.max_tokens
        reason = "tool_calls" if parser.num_tool_calls else "length" if is_cut else "stop"
        yield Finished(reason, Usage(10, num_tokens))  # type: ignore[arg-type]

    def _write(self, request: GenerateRequest) -> str:
        body: dict[str, Any] = {"prompt": getattr(request.prompt, "text", "")}
        is_thinking = request.reasoning.enabled is True
        if isinstance(request.prompt, ChatPrompt):
            messages = with_hermes_prompts(
                request.prompt,
                tools=request.prompt.tool_choice.mode != "none",
                response_format=request.response_format,
                thinking=is_thinking,
            )
            body["messages"] = [{"role": m.role, "content": m.content} for m in messages]
        said = think(body, PROFILES["nous"], Scenario())
        thought = f"{said.reasoning}\n</think>\n" if is_thinking and said.reasoning else ""
        return thought + said.text


@asynccontextmanager
async def opened(where: str, default: Scenario = Scenario()) -> AsyncIterator[Setup]:  # noqa: B008
    if where == "here":
        async with house("chutes", local=ReferenceBackend([])) as setup:
            yield setup
    else:
        async with house(where, default=default) as setup:
            yield setup


async def told_by(where: str, request: GenerateRequest) -> Told:
    async with opened(where) as setup:
        told = await tell(setup, request)
        assert told.error is None, told.error
        assert told.finished is not None
        assert told.answer and told.answer.served_by == ("local" if where == "here" else where)
        for text in (told.text, told.reasoning):
            assert "<think>" not in text and "<tool_call>" not in text
        return told


@pytest.mark.parametrize("where", EVERYWHERE)
class TestEverywhere:
    """One test per promise, the same for every place that can answer."""

    async def test_text_streams_and_ends_in_stop(self, where: str) -> None:
        told = await told_by(where, ask())
        assert told.text == TALE
        assert told.finished and told.finished.reason == "stop"
        assert told.finished.usage.completion_tokens == len(cut(TALE))

    async def test_max_tokens_ends_in_length(self, where: str) -> None:
        told = await told_by(where, ask(max_tokens=5))
        assert told.text == "Once upon a time a"
        assert told.finished and told.finished.reason == "length"

    async def test_a_stop_string_cuts_the_answer_and_is_not_shown(self, where: str) -> None:
        told = await told_by(where, ask(stop=("dog by", "never")))
        assert told.text.rstrip() == "Once upon a time a quick brown fox met a lazy"
        assert told.finished and told.finished.reason == "stop"

    async def test_a_tool_is_called_with_its_arguments(self, where: str) -> None:
        told = await told_by(where, ask(tools=(LOOK, HEAR)))
        assert [(name, json.loads(text)) for name, text in told.calls] == [("look", {"at": "sky"})]
        assert told.text == ""
        assert told.finished and told.finished.reason == "tool_calls"

    async def test_the_named_tool_is_the_one_that_is_called(self, where: str) -> None:
        choice = ToolChoice("named", "hear")
        request = ask(tools=(HEAR, LOOK), tool_choice=choice)
        told = await told_by(where, request)
        assert [name for name, _ in told.calls] == ["hear"]

    async def test_a_required_call_is_made(self, where: str) -> None:
        told = await told_by(where, ask(tools=(LOOK,), tool_choice=ToolChoice("required")))
        assert [name for name, _ in told.calls] == ["look"]

    async def test_no_tool_is_called_when_none_may(self, where: str) -> None:
        told = await told_by(where, ask(tools=(LOOK,), tool_choice=ToolChoice("none")))
        assert (told.calls, told.text) == ((), TALE)

    async def test_after_a_tools_result_the_answer_is_text(self, where: str) -> None:
        messages = (
            Message("user", "What is in the sky?"),
            Message("assistant", "", tool_calls=(ToolCall("c1", "look", '{"at": "sky"}'),)),
            Message("tool", "a bird", tool_call_id="c1"),
        )
        told = await told_by(where, ask(messages=messages, tools=(LOOK,)))
        assert (told.calls, told.text) == ((), TALE)

    async def test_an_answer_satisfies_its_schema(self, where: str) -> None:
        wish = ResponseFormat("json_schema", schema=SCHEMA, strict=True)
        told = await told_by(where, ask(response_format=wish))
        assert json.loads(told.text) == {"at": "sky", "size": 4}

    async def test_json_mode_gives_an_object(self, where: str) -> None:
        told = await told_by(where, ask(response_format=ResponseFormat("json_object")))
        assert json.loads(told.text) == {}

    async def test_thinking_comes_in_its_own_channel(self, where: str) -> None:
        told = await told_by(where, ask(reasoning=ReasoningWish(enabled=True)))
        assert told.reasoning.strip() == THOUGHT
        assert told.text == TALE

    async def test_without_thinking_there_is_none(self, where: str) -> None:
        told = await told_by(where, ask(reasoning=ReasoningWish(enabled=False)))
        assert (told.reasoning, told.text) == ("", TALE)

    async def test_a_begun_answer_is_continued(self, where: str) -> None:
        begun = TALE[:40]
        messages = (Message("user", "A tale."), Message("assistant", begun))
        request = ask(messages=messages, continue_final_message=True)
        assert begun + (await told_by(where, request)).text == TALE


@pytest.mark.parametrize("where", HOSTS)
async def test_raw_text_is_continued_and_echoed_where_asked(where: str) -> None:
    request = ask(prompt=TextPrompt("Once: ", echo=True))
    assert (await told_by(where, request)).text == "Once: " + TALE


@pytest.mark.parametrize("where", HOSTS)
async def test_what_is_done_here_is_named_and_strict_refuses_it(where: str) -> None:
    lacks_tools = where != "nebius"
    async with opened(where) as setup:
        told = await tell(setup, ask(tools=(LOOK,)))
        assert told.answer
        assert told.answer.route.emulated == (("tools",) if lacks_tools else ())
        strict = await tell(setup, ask(tools=(LOOK,), strict=True))
        assert isinstance(strict.error, UnsupportedParameterError) is lacks_tools
        if lacks_tools:
            assert strict.error.param == "tools"  # type: ignore[union-attr]
            assert len(setup.fake.posts) == 1


async def test_parameters_nobody_honours_are_named_in_the_route() -> None:
    request = ask(
        sampling=SamplingParams(seed=7, min_p=0.1, dry_multiplier=0.8, top_k=5),
        given=frozenset({"seed", "min_p", "dry_multiplier", "top_k"}),
        reasoning=ReasoningWish(enabled=True, max_tokens=50),
    )
    async with opened("openrouter") as setup:
        told = await tell(setup, request)
        assert told.answer
        ignored = {"min_p", "seed", "dry_multiplier", "reasoning.max_tokens"}
        assert set(told.answer.route.ignored) == ignored
        body = setup.fake.posts[0].json
        assert body["top_k"] == 5
        assert not {"seed", "min_p"} & set(body)


async def test_a_bad_document_gets_one_try_at_repair() -> None:
    wish = ResponseFormat("json_schema", schema=SCHEMA)
    good = '{"at": "sea", "size": 2}'
    async with opened("openrouter") as setup:
        setup.fake.play(Scenario(text="The sea, I think."), Scenario(text=f"```json\n{good}\n```"))
        told = await tell(setup, ask(response_format=wish))
        assert json.loads(told.text) == json.loads(good)
        assert told.answer
        assert [a.outcome for a in told.answer.route.attempts] == ["failed", "ok"]
        assert "repair" in told.answer.route.emulated
        assert "not JSON" in setup.fake.posts[1].json["messages"][-1]["content"]
    async with opened("openrouter", Scenario(text='{"at": 3}')) as setup:
        told = await tell(setup, ask(response_format=wish))
        assert told.error is not None and told.text == ""
        assert len(setup.fake.posts) == 2


async def test_a_promised_schema_that_is_broken_is_an_error_not_an_answer() -> None:
    wish = ResponseFormat("json_schema", schema=SCHEMA)
    async with opened("nebius", Scenario(text='{"at": 3}')) as setup:
        told = await tell(setup, ask(response_format=wish))
        assert told.error is not None and "broke it" in str(told.error)


async def test_only_one_call_comes_out_when_they_may_not_be_parallel() -> None:
    two = '<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>\n' * 2
    async with opened("nous", Scenario(text=two)) as setup:
        told = await tell(setup, ask(tools=(LOOK,), parallel_tool_calls=False))
        assert len(told.calls) == 1
        assert told.finished and told.finished.reason == "tool_calls"


async def test_generate_answers_without_a_router_too() -> None:
    async with opened("openrouter") as setup:
        backend = setup.backends["openrouter"]
        events = [event async for event in backend.generate(ask(tools=(LOOK,)))]
        assert any(isinstance(event, ToolCallDelta) for event in events)
        call = Call("r", 0, backend._house.clock)
        with pytest.raises(Exception, match="no upstream attempt is left"):
            _ = [event async for event in backend.attempt(ask(), call)]

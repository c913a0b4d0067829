"""The `openai` package for Python: sync, async, streamed, parsed, tools, embeddings, models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel, Field

from tests.api.caller import MODEL
from tests.serving import Server

MESSAGES: Any = [{"role": "user", "content": "Hello, who are you?"}]
WEATHER: Any = [{"role": "user", "content": "What is the weather in Rome?"}]


class Pet(BaseModel):
    """A structured answer."""

    kind: Literal["cat", "dog"]
    age: Annotated[int, Field(ge=0, le=30)]


class GetWeather(BaseModel):
    """Get the weather in a city."""

    city: str


@pytest.fixture
def client(shared_server: Server) -> Iterator[OpenAI]:
    """The sync client."""
    with OpenAI(base_url=shared_server.url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(shared_server: Server) -> AsyncIterator[AsyncOpenAI]:
    """The async client."""
    url = shared_server.url
    async with AsyncOpenAI(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


def test_a_chat_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=24)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_chat_is_streamed(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert chunks[-1].usage is not None


async def test_a_chat_is_answered_asynchronously(async_client: AsyncOpenAI) -> None:
    create = async_client.chat.completions.create
    answer = await create(model=MODEL, messages=MESSAGES, max_tokens=24)
    assert answer.choices[0].message.content


async def test_a_chat_is_streamed_asynchronously(async_client: AsyncOpenAI) -> None:
    create = async_client.chat.completions.create
    stream = await create(model=MODEL, messages=MESSAGES, max_tokens=24, stream=True)
    finishes = [chunk.choices[0].finish_reason async for chunk in stream]
    assert [reason for reason in finishes if reason] in (["stop"], ["length"])


@pytest.mark.parametrize("beta", [False, True])
def test_an_answer_is_parsed_into_a_pydantic_model(client: OpenAI, beta: bool) -> None:
    completions: Any = client.beta.chat.completions if beta else client.chat.completions
    answer = completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe a pet as JSON."}],
        response_format=Pet,
        max_tokens=120,
    )
    assert isinstance(answer.choices[0].message.parsed, Pet)


async def test_an_answer_is_parsed_asynchronously(async_client: AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=Pet, max_tokens=120
    )
    assert isinstance(answer.choices[0].message.parsed, Pet)


def test_a_tool_call_is_parsed_and_its_result_goes_back(client: OpenAI) -> None:
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    answer = client.chat.completions.parse(
        model=MODEL, messages=WEATHER, tools=tools, tool_choice="required", max_tokens=200
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    call = message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, GetWeather)
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": 21}'}
    follow: Any = [*WEATHER, message.to_dict(), result]
    final = client.chat.completions.create(
        model=MODEL, messages=follow, tools=tools, max_tokens=60, tool_choice="none"
    )
    assert final.choices[0].message.content


def test_the_stream_helper_follows_content_and_tool_calls(client: OpenAI) -> None:
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    with client.chat.completions.stream(
        model=MODEL, messages=WEATHER, tools=tools, tool_choice="required", max_tokens=200
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    assert "tool_calls.function.arguments.done" in kinds
    calls = final.choices[0].message.tool_calls
    assert calls
    assert isinstance(calls[0].function.parsed_arguments, GetWeather)


def test_the_stream_helper_parses_a_pydantic_model(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, response_format=Pet, max_tokens=120
    ) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Pet)


def test_reasoning_is_a_field_of_the_message(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is 3 + 4?"}],
        reasoning_effort="low",
        max_tokens=200,
    )
    extra = answer.choices[0].message.model_extra or {}
    assert extra["reasoning_content"] == extra["reasoning"]


def test_fields_beyond_openai_go_in_the_extra_body(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=8, extra_body={"top_k": 1, "route": "local"}
    )
    assert (answer.model_extra or {})["x_route"]["served_by"] == "local"


def test_a_text_is_completed(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["One", "Two"], max_tokens=4, logprobs=1)
    assert [choice.index for choice in answer.choices] == [0, 1]
    chunks = list(client.completions.create(model=MODEL, prompt="One", max_tokens=4, stream=True))
    assert chunks[-1].choices[0].finish_reason


def test_texts_are_embedded(client: OpenAI) -> None:
    """The client asks for base64 by itself and decodes it."""
    answer = client.embeddings.create(model=MODEL, input=["One", "Two"])
    first, second = (item.embedding for item in answer.data)
    assert len(first) == len(second) > 10
    assert all(isinstance(value, float) for value in first)


def test_models_are_listed_and_found(client: OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by


def test_errors_are_the_clients_own_classes(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=9)
    assert wrong.value.param == "temperature"


def test_a_whole_loop_of_tools_ends_in_an_answer(client: OpenAI) -> None:
    """What a tool runner does, by hand: call, answer, and again, until there is text."""
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    messages = list(WEATHER)
    for turn in range(3):
        answer = client.chat.completions.create(
            model=MODEL,
            messages=messages,
            tools=tools,
            tool_choice="required" if turn == 0 else "none",
            max_tokens=120,
        )
        message: Any = answer.choices[0].message
        if not message.tool_calls:
            break
        messages.append(message)
        for call in message.tool_calls:
            assert "city" in json.loads(call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "21 degrees"})
    assert message.content

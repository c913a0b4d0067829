"""Every body and every chunk of a stream is what OpenAI's published schema says."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from .caller import MODEL, Caller, tool
from .published_schema import check, check_completion, check_embeddings

TEXT = "What is the weather in Rome?"
TOOLS = [tool(), tool("add", a={"enum": [3, 5]}, b={"enum": [4, 6]})]
ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "cut off": {"max_tokens": 2},
    "stopped": {"stop": ["a"]},
    "several": {"n": 2},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "tools if it likes": {"tools": TOOLS, "max_tokens": 200},
    "a tool": {"tools": TOOLS, "tool_choice": "required", "max_tokens": 200},
    "reasoning": {"reasoning": {"enabled": True}, "max_tokens": 200},
    "reasoning and a tool": {
        "reasoning": {"enabled": True},
        "tools": TOOLS,
        "tool_choice": "required",
        "max_tokens": 300,
    },
    "json": {"response_format": {"type": "json_object"}, "max_tokens": 40},
    "something ignored": {"store": True},
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_chat_completion_is_as_published(caller: Caller, asked: str) -> None:
    check(caller.chat(TEXT, **ASKED[asked]), ChatCompletion)


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("asked", ASKED)
def test_every_chunk_of_a_chat_is_as_published(caller: Caller, asked: str, usage: bool) -> None:
    stream = caller.stream_chat(TEXT, **ASKED[asked], stream_options={"include_usage": usage})
    assert stream.is_done
    for chunk in stream.chunks:
        check(chunk, ChatCompletionChunk)


@pytest.mark.parametrize("fields", [{}, {"n": 2, "logprobs": 2}, {"echo": True}, {"max_tokens": 1}])
def test_a_text_completion_is_as_published(caller: Caller, fields: dict[str, Any]) -> None:
    check_completion(caller.complete(**fields))
    body = {"model": MODEL, "prompt": "One", "max_tokens": 8, **fields}
    for usage in (False, True):
        options = {"include_usage": usage}
        for chunk in caller.stream("/v1/completions", {**body, "stream_options": options}).chunks:
            check_completion(chunk)


@pytest.mark.parametrize("given", ["One", ["One", "Two"]])
def test_embeddings_are_as_published(caller: Caller, given: Any) -> None:
    check_embeddings(caller.json("/v1/embeddings", {"model": MODEL, "input": given}))


def test_every_model_is_as_published(caller: Caller) -> None:
    listed = caller.http.get("/v1/models").json()
    assert set(listed) == {"object", "data"}
    for model in listed["data"]:
        check(model, Model)

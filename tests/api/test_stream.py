"""The framing of streams: one id, the role first, one finish reason, a `[DONE]` after success."""

from __future__ import annotations

from typing import Any

import pytest

from .caller import Caller, chat_body, tool, wait_idle

CHAT = "/v1/chat/completions"
KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "several choices": {"n": 3, "temperature": 1.0, "seed": 1},
    "reasoning": {"reasoning": {"enabled": True}, "max_tokens": 120},
    "a tool call": {"tools": [tool()], "tool_choice": "required", "max_tokens": 120},
    "json": {"response_format": {"type": "json_object"}, "max_tokens": 40},
    "log probabilities": {"logprobs": True, "top_logprobs": 2},
    "one token": {"max_tokens": 1},
}


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_stream_has_the_same_frame(caller: Caller, kind: str, usage: bool) -> None:
    fields = dict(KINDS[kind])
    if usage:
        fields["stream_options"] = {"include_usage": True}
    stream = caller.stream_chat("What is the weather in Rome?", **fields)
    chunks = stream.chunks
    assert stream.is_done
    assert stream.frames.count("[DONE]") == 1
    for key in ("id", "created", "model", "object"):
        assert len({chunk[key] for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    for index in range(fields.get("n", 1)):
        deltas = stream.deltas(index)
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert not any("role" in delta for delta in deltas[1:])
        assert len(stream.finishes(index)) == 1
    last = chunks[-1]
    assert last["x_route"]["served_by"] == "local"
    assert last["timings"]["predicted_n"] >= 1
    assert not any("x_route" in chunk for chunk in chunks[:-1])
    check_usage(chunks, asked=usage)


def check_usage(chunks: list[dict[str, Any]], *, asked: bool) -> None:
    """Usage stands on one last chunk without choices when asked for, else nowhere."""
    if not asked:
        assert not any("usage" in chunk for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"]
        return
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_a_finish_reason_comes_with_nothing_else(caller: Caller) -> None:
    for chunk in caller.stream_chat().chunks:
        for choice in chunk["choices"]:
            if choice["finish_reason"]:
                assert choice["delta"] == {}


def test_tool_calls_stream_id_and_name_first_and_arguments_in_pieces(caller: Caller) -> None:
    fields = {"tools": [tool()], "tool_choice": "required", "max_tokens": 120}
    stream = caller.stream_chat("What is the weather in Rome?", **fields)
    pieces = [call for delta in stream.deltas() for call in delta.get("tool_calls", [])]
    first = pieces[0]
    assert first["id"].startswith("call_")
    assert first["type"] == "function"
    assert first["function"] == {"name": "get_weather", "arguments": ""}
    rest = [piece for piece in pieces[1:] if piece["index"] == first["index"]]
    assert len(rest) > 2
    assert all(set(piece) == {"index", "function"} for piece in rest)
    assert all(set(piece["function"]) == {"arguments"} for piece in rest)
    assert stream.finishes() == ["tool_calls"]


def test_reasoning_comes_before_the_content(caller: Caller) -> None:
    fields = {"reasoning": {"enabled": True}, "max_tokens": 200}
    deltas = caller.stream_chat("What is 3 + 4?", **fields).deltas()[1:]
    kinds = ["reasoning" if "reasoning" in delta else "content" for delta in deltas if delta]
    assert kinds == sorted(kinds, reverse=True)
    assert {"reasoning", "content"} == set(kinds)
    for delta in deltas:
        assert delta.get("reasoning") == delta.get("reasoning_content")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_says_what_the_whole_body_says(caller: Caller, kind: str) -> None:
    fields = {**KINDS[kind], "cache_prompt": False}
    whole = caller.chat("What is the weather in Rome?", **fields)
    stream = caller.stream_chat("What is the weather in Rome?", **fields)
    if fields.get("n"):  # draws of a batch depend on who else is in it
        return
    message = whole["choices"][0]["message"]
    assert stream.text() == (message["content"] or "")
    assert stream.text(field="reasoning") == message.get("reasoning", "")
    assert stream.finishes() == [whole["choices"][0]["finish_reason"]]


def test_an_error_before_the_first_token_is_a_plain_response(caller: Caller) -> None:
    response = caller.post(CHAT, chat_body("hello " * 9000, stream=True))
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_nothing_between_buffers_a_stream(caller: Caller) -> None:
    headers = caller.stream_chat().response.headers
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"


def test_leaving_a_stream_ends_the_work(caller: Caller) -> None:
    body = chat_body(stream=True, ignore_eos=True, max_tokens=4000)
    with caller.http.stream("POST", CHAT, json=body) as response:
        next(response.iter_lines())
    wait_idle(caller.server, within_s=10)

"""One endpoint, two places that answer: the same tests for this machine and a hosted provider."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.hosting import (
    FORMAT,
    HOSTED,
    LOCAL,
    LOOK,
    QUESTION,
    THINK,
    USAGE,
    Stage,
    body,
    finishes,
    joined,
    keys_of,
    stage,
    wire,
)

CHAT = "/v1/chat/completions"
BOTH = pytest.mark.parametrize("model", [LOCAL, HOSTED])
CALL: Any = {"tools": [LOOK], "tool_choice": "required"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("hosted"), LOCAL) as opened:
        yield opened


def place(model: str) -> str:
    return "local" if model == LOCAL else "openrouter"


@BOTH
def test_a_whole_answer_says_who_served_it_and_what_it_cost(there: Stage, model: str) -> None:
    raw = there.api.chat.completions.with_raw_response.create(
        **body(model), extra_headers={"X-Request-Id": "mine-1"}
    )
    answer = raw.parse().model_dump(exclude_unset=True)
    assert raw.headers["x-runner-served-by"] == place(model)
    assert raw.headers["x-request-id"] == "mine-1"
    assert answer["object"] == "chat.completion"
    assert answer["provider"] == place(model)
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")
    usage, route = answer["usage"], answer["x_route"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 1
    assert (usage["cost"] > 0) is (model == HOSTED)
    assert route["cost_usd"] == usage["cost"]
    assert (route["served_by"], route["emulated"], route["ignored"]) == (place(model), [], [])
    assert [(a["backend"], a["outcome"]) for a in route["attempts"]] == [(place(model), "ok")]


@BOTH
def test_a_stream_has_one_order_wherever_it_comes_from(there: Stage, model: str) -> None:
    chunks = there.chunks(model)
    assert len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert not any("role" in c["choices"][0]["delta"] for c in chunks[1:])
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert len(finishes(chunks)) == 1 and finishes(chunks[-1:]) == finishes(chunks)
    assert not any("usage" in chunk for chunk in chunks)
    assert [chunk for chunk in chunks if "x_route" in chunk] == chunks[-1:]
    assert chunks[-1]["x_route"]["served_by"] == place(model)
    assert joined(chunks) == there.whole(model)["choices"][0]["message"]["content"]


@BOTH
def test_usage_comes_on_one_chunk_of_its_own_when_asked_for(there: Stage, model: str) -> None:
    chunks = there.chunks(model, **USAGE)
    assert chunks[-1]["choices"] == [] and "x_route" in chunks[-1]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    whole = there.whole(model)["usage"]
    assert chunks[-1]["usage"]["completion_tokens"] == whole["completion_tokens"]
    assert chunks[-1]["usage"]["cost"] == whole["cost"]


@BOTH
def test_the_stream_ends_in_done_and_its_headers_name_the_server(there: Stage, model: str) -> None:
    reply = there.post(CHAT, wire(model, stream=True))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-runner-served-by"] == place(model)
    assert reply.text.endswith("\n\ndata: [DONE]\n\n") and reply.text.count("[DONE]") == 1
    events = [event for event in reply.text.split("\n\n") if event]
    assert all(event.startswith("data: ") for event in events)


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_a_required_tool_is_called_with_arguments_that_fit(
    there: Stage, model: str, stream: bool
) -> None:
    if stream:
        chunks = there.chunks(model, **CALL)
        assert joined(chunks) == "" and finishes(chunks) == ["tool_calls"]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
        assert {piece["index"] for piece in pieces} == {0}
        assert [piece["type"] for piece in pieces if "id" in piece] == ["function"]
        functions = [piece["function"] for piece in pieces]
        name = "".join(function.get("name") or "" for function in functions)
        arguments = "".join(function.get("arguments") or "" for function in functions)
        route = chunks[-1]["x_route"]
    else:
        answer = there.whole(model, **CALL)
        [choice] = answer["choices"]
        assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
        [call] = choice["message"]["tool_calls"]
        assert call["id"] and call["type"] == "function"
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        route = answer["x_route"]
    assert name == "look" and json.loads(arguments)["at"] in ("sky", "sea")
    assert route["emulated"] == ([] if model == LOCAL else ["tools", "tool_choice"])


@BOTH
def test_after_a_tools_result_the_answer_is_text(there: Stage, model: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What is in the sky?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a bird"},
    ]
    answer = there.whole(model, messages=messages, tools=[LOOK])
    message = answer["choices"][0]["message"]
    assert message["content"] and "<tool_" not in message["content"]


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_answer_and_is_not_shown(
    there: Stage, model: str, stream: bool
) -> None:
    text = there.whole(model)["choices"][0]["message"]["content"]
    stop = re.findall(r"\s\S+", text)[4]
    if stream:
        chunks = there.chunks(model, stop=[stop])
        shown, [reason], route = joined(chunks), finishes(chunks), chunks[-1]["x_route"]
    else:
        answer = there.whole(model, stop=[stop])
        [choice], route = answer["choices"], answer["x_route"]
        shown, reason = choice["message"]["content"], choice["finish_reason"]
    assert shown == text[: text.index(stop)]
    assert reason == "stop"
    assert route["emulated"] == ([] if model == LOCAL else ["stop"])


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_satisfies_the_schema_that_was_asked_for(
    there: Stage, model: str, stream: bool
) -> None:
    if stream:
        text = joined(there.chunks(model, response_format=FORMAT))
    else:
        text = there.whole(model, response_format=FORMAT)["choices"][0]["message"]["content"]
    value = json.loads(text)
    assert set(value) == {"colour", "count"}
    assert value["colour"] in ("red", "green") and value["count"] in range(10)


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_thinking_has_its_own_channel_under_both_names(
    there: Stage, model: str, stream: bool
) -> None:
    if stream:
        chunks = there.chunks(model, "What is 3 + 4?", **THINK)
        thoughts = joined(chunks, "reasoning_content"), joined(chunks, "reasoning")
        content = joined(chunks)
    else:
        message = there.whole(model, "What is 3 + 4?", **THINK)["choices"][0]["message"]
        thoughts, content = (message["reasoning_content"], message["reasoning"]), message["content"]
    assert thoughts[0] == thoughts[1] and thoughts[0].strip()
    assert "think>" not in content + thoughts[0]


@BOTH
def test_without_asking_nothing_is_thought_aloud(there: Stage, model: str) -> None:
    assert not {"reasoning", "reasoning_content"} & set(there.whole(model)["choices"][0]["message"])


MISTAKES: Any = {
    "tool_choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "a tool that is not offered": (
        {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "hear"}}},
        "tool_choice",
    ),
    "nothing to continue": (
        {"extra_body": {"continue_final_message": True}},
        "continue_final_message",
    ),
}


@BOTH
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_400_that_names_the_parameter_and_costs_nothing(
    there: Stage, model: str, name: str
) -> None:
    fields, param = MISTAKES[name]
    num_posts = len(there.fake.posts)
    error = there.refused(model, **fields)
    assert error.status_code == 400 and str(error.param).startswith(param)
    assert len(there.fake.posts) == num_posts


@BOTH
def test_a_document_may_end_at_a_stop_string(there: Stage, model: str) -> None:
    answer = there.whole(model, response_format=FORMAT, stop=[","])
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"].startswith("{") and "," not in choice["message"]["content"]


@BOTH
def test_a_begun_message_is_continued(there: Stage, model: str) -> None:
    text = there.whole(model)["choices"][0]["message"]["content"]
    begun = text[: text.index(" ", 8)]
    asked = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": begun}]
    more = {"messages": asked, "extra_body": {"continue_final_message": True}}
    assert begun + there.whole(model, **more)["choices"][0]["message"]["content"] == text


@BOTH
def test_max_tokens_end_in_length(there: Stage, model: str) -> None:
    answer = there.whole(model, max_tokens=4)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4


@BOTH
def test_raw_text_is_completed_too(there: Stage, model: str) -> None:
    answer = there.api.completions.create(model=model, prompt="Once", max_tokens=8, temperature=0)
    shown = answer.model_dump(exclude_unset=True)
    assert shown["object"] == "text_completion" and shown["choices"][0]["text"]
    assert shown["x_route"]["served_by"] == place(model)


@pytest.mark.parametrize("fields", [{}, CALL, THINK, {"response_format": FORMAT}])
def test_bodies_and_last_chunks_have_the_same_names_all_the_way_down(
    there: Stage, fields: Any
) -> None:
    here, away = (there.whole(model, **fields) for model in (LOCAL, HOSTED))
    assert keys_of(here) == keys_of(away)
    here_last, away_last = (there.chunks(model, **USAGE, **fields)[-1] for model in (LOCAL, HOSTED))
    assert keys_of(here_last) == keys_of(away_last)


def test_both_are_listed_with_where_they_would_run(there: Stage) -> None:
    listed = {model.id: model.model_dump() for model in there.api.models.list()}
    assert (listed[LOCAL]["runs"], listed[HOSTED]["runs"]) == ("local", "hosted")
    prices = {offer["provider"]: offer for offer in listed[HOSTED]["pricing"]}
    assert prices["openrouter"]["completion_usd_per_mtok"] > 0 and prices["openrouter"]["as_of"]


def test_an_answer_from_elsewhere_says_why_this_machine_did_not_give_it(there: Stage) -> None:
    reasons = there.whole(HOSTED)["x_route"]["reasons"]
    assert "does not fit" in reasons[0] and reasons[0].startswith("local: ")
    assert any("passed it to Nebius" in reason for reason in reasons)

"""One endpoint, two places that answer: the same tests for this machine and a hosted provider."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.openrouter import TALE, THOUGHT, Scenario
from tests.integration.hosting import (
    HOSTED,
    LOCAL,
    QUESTION,
    STRICT,
    Stage,
    body,
    finishes,
    joined,
    keys_of,
    stage,
    until,
    wire,
)

CHAT = "/v1/chat/completions"
BOTH = pytest.mark.parametrize("model", [LOCAL, HOSTED])
USAGE: Any = {"stream_options": {"include_usage": True}}
THINK: Any = {"extra_body": {"reasoning": {"enabled": True}}, "max_tokens": 200}
LOOK: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string", "enum": ["sky", "sea"]}},
            "required": ["at"],
            "additionalProperties": False,
        },
    },
}
CALL: Any = {"tools": [LOOK], "tool_choice": "required"}
SCHEMA: Any = {
    "type": "object",
    "properties": {
        "colour": {"type": "string", "enum": ["red", "green"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "pick", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server with a key, for every test that leaves no lasting mark on a provider's health."""
    with stage(tmp_path_factory.mktemp("hosted"), LOCAL) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_is_left_to_play(request: pytest.FixtureRequest) -> Iterator[None]:
    """A misbehaviour that was queued is used up by the test that queued it."""
    yield
    if "there" in request.fixturenames:
        assert not request.getfixturevalue("there").fake.queue


def place(model: str) -> str:
    return "local" if model == LOCAL else "openrouter"


# the same for both


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


# what a provider lacks or does wrong


def test_thinking_that_comes_as_tags_is_moved_to_its_channel(there: Stage) -> None:
    for form in ("tags", "both"):
        there.fake.play(Scenario(reasoning=THOUGHT, reasoning_form=form))  # type: ignore[arg-type]
        message = there.whole(HOSTED, **THINK)["choices"][0]["message"]
        assert message["reasoning"].strip() == THOUGHT and message["content"] == TALE


def test_what_nobody_honours_is_named_and_strict_refuses_it(there: Stage) -> None:
    answer = there.whole(HOSTED, seed=7, extra_body={"min_p": 0.1})
    assert answer["x_route"]["ignored"] == ["min_p", "seed"]
    num_posts = len(there.fake.posts)
    for name, value in (("seed", 7), ("stop", ["x"]), ("tools", [LOOK])):
        error = there.refused(**{name: value}, extra_headers=STRICT)
        assert (error.status_code, error.param) == (400, name)
    assert there.whole(HOSTED, extra_headers=STRICT)["provider"] == "openrouter"
    assert len(there.fake.posts) == num_posts + 1


def test_an_answer_that_breaks_its_schema_is_asked_for_once_more(there: Stage) -> None:
    there.fake.play(Scenario(text="Red, I think."))
    answer = there.whole(HOSTED, response_format=FORMAT)
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"colour": "red", "count": 4}
    assert answer["x_route"]["emulated"] == ["response_format", "repair"]
    assert [a["outcome"] for a in answer["x_route"]["attempts"]] == ["failed", "ok"]


@pytest.mark.parametrize("how", ["F15-rst", "F15-fin", "F15-clean"])
def test_a_stream_that_is_cut_in_plain_text_goes_on_and_names_the_seam(
    there: Stage, how: str
) -> None:
    there.fake.play(how)
    chunks = there.chunks(HOSTED, **USAGE)
    assert joined(chunks) == TALE
    assert len({chunk["id"] for chunk in chunks}) == 1 and finishes(chunks) == ["stop"]
    route = chunks[-1]["x_route"]
    [seam] = [reason for reason in route["reasons"] if reason.startswith("seam:")]
    assert "openrouter was cut after" in seam and "continued by openrouter" in seam
    assert [a["outcome"] for a in route["attempts"]] == ["cut", "ok"]
    assert chunks[-1]["usage"]["cost"] is None  # what the cut half cost is not known yet
    again = there.fake.posts[-1].json["messages"]
    assert again[-1]["role"] == "assistant" and TALE.startswith(again[-1]["content"])


def test_a_stream_cut_in_structured_output_ends_in_an_error_and_not_in_done(there: Stage) -> None:
    there.fake.play(Scenario(text='{"a": 1, "b": 2}', cut_after=2, cut_how="rst"))
    reply = there.post(CHAT, wire(stream=True, response_format={"type": "json_object"}))
    events = [json.loads(part[6:]) for part in reply.text.split("\n\n") if part]
    assert events[-1]["error"]["code"] == "upstream_error" and "[DONE]" not in reply.text
    assert not any(finishes([event]) for event in events[:-1])


def test_an_error_after_content_is_one_error_event(there: Stage) -> None:
    there.fake.play("F16-with-choice")
    with pytest.raises(openai.APIError, match="Provider disconnected"):
        there.chunks(HOSTED)
    there.fake.play("F16-with-choice")
    assert there.refused().status_code == 502
    assert there.whole(HOSTED)["x_route"]["served_by"] == "openrouter"


FAILURES = {
    "F08-500": (502, "upstream_error", 3, "Internal Server Error"),
    "F07-429-zero": (429, "upstream_rate_limited", 3, "rate limited"),
    "F05-privacy": (502, "upstream_error", 1, "[hosted] data_collection"),
    "F03-moderation": (502, "upstream_error", 1, "violence"),
    "F09-context": (400, "context_length_exceeded", 1, "shorten the prompt"),
    "F09-422": (400, None, 1, "Unprocessable"),
    "F26-redirect": (502, "upstream_error", 1, "302"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_have_their_status_and_no_more_tries_than_allowed(there: Stage, name: str) -> None:
    status, code, num_tries, words = FAILURES[name]
    before = len(there.fake.posts)
    there.fake.play(*[name] * num_tries)
    error = there.refused()
    assert (error.status_code, error.code) == (status, code)
    assert len(there.fake.posts) - before == num_tries
    assert words in error.message and isinstance(error.body, dict)
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert ("retry-after" in error.response.headers) is (status == 429)
    assert there.whole(HOSTED)["x_route"]["attempts"][0]["outcome"] == "ok"


def test_a_passing_failure_is_tried_again_and_both_attempts_are_shown(there: Stage) -> None:
    there.fake.play("F08-502")
    route = there.whole(HOSTED)["x_route"]
    assert [a["outcome"] for a in route["attempts"]] == ["failed", "ok"]
    assert "upstream reset" in route["attempts"][0]["error"]


def test_an_answer_is_not_made_shorter_than_it_was_asked_for(there: Stage) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        there.fake.play("F02-402")  # there is money for twenty tokens
        lengths = {"max_tokens": openai.omit, name: 60}
        error = there.refused(**lengths)
        assert error.status_code == 502 and "can only afford 20" in error.message
    there.fake.play("F02-402")
    shorter = there.whole(HOSTED, max_tokens=openai.omit)
    assert shorter["usage"]["completion_tokens"] == 20
    assert shorter["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("upstream", ["F14-stall", Scenario(text="word " * 20_000)])
def test_a_client_that_leaves_closes_the_upstream_connection(there: Stage, upstream: Any) -> None:
    there.fake.play(upstream)
    asked = body(HOSTED, max_tokens=20_000)
    with there.api.chat.completions.create(**asked, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        [entry] = there.fake.posts[-1:]
    until(lambda: entry.gone_at_s is not None, within_s=5)
    assert not entry.is_complete


# money, and who is told what


def test_explaining_a_route_sends_nothing(there: Stage) -> None:
    num_seen = there.fake.num_connections, len(there.fake.journal)
    decision = there.explain(tools=[LOOK], route="auto", max_cost_usd=0.5)
    assert decision["served_by"] == "openrouter"
    [choice] = decision["choices"]
    assert choice["emulated"] == ["tools"] and 0 < choice["cost_at_most_usd"] < 0.01
    rejected = {entry["backend"]: " ".join(entry["reasons"]) for entry in decision["rejected"]}
    assert "does not fit" in rejected["local"] and "NOUS_API_KEY" in rejected["nous"]
    assert there.explain(model=LOCAL)["served_by"] == "local"
    assert (there.fake.num_connections, len(there.fake.journal)) == num_seen


def test_a_request_may_cap_its_own_cost_and_choose_its_place(there: Stage) -> None:
    num_posts = len(there.fake.posts)
    error = there.refused(extra_body={"max_cost_usd": 0.000001})
    assert (error.status_code, error.code) == (503, "no_route")
    assert "max_cost_usd" in error.message
    error = there.refused(extra_body={"route": "local"})
    assert error.code == "no_route" and "asks for local" in error.message
    assert there.refused(LOCAL, extra_body={"route": "hosted"}).code == "no_route"
    assert len(there.fake.posts) == num_posts


def test_what_leaves_is_bounded_private_and_anonymous(there: Stage) -> None:
    there.whole(HOSTED)
    for post in there.fake.posts:
        assert post.json["max_tokens"] > 0
        assert post.json["provider"]["data_collection"] == "deny"
        assert set(post.json["provider"]["max_price"]) == {"prompt", "completion"}
        assert not {"referer", "http-referer", "x-title"} & set(post.headers)


def test_the_ledger_ends_up_equal_to_the_providers_bill(there: Stage) -> None:
    there.whole(HOSTED)
    there.fake.play("F15-rst")  # half an answer that nobody counted: looked up afterwards
    there.chunks(HOSTED)

    def is_settled() -> bool:
        used = there.usage()
        return used["cost_uncertain_usd"] == used["cost_reserved_usd"] == 0

    until(is_settled)
    usage = there.http.get("/v1/usage").json()
    assert usage["totals"]["cost_usd"] == pytest.approx(there.fake.billed_nusd / 1e9, abs=1e-12)
    rows = {row["provider"]: row["cost_usd"] for row in usage["by_provider"]}
    assert rows.get("local", 0) == 0 and rows["openrouter"] == usage["totals"]["cost_usd"]
    for part in ("model", "key", "day"):
        total = sum(row["cost_usd"] for row in usage[f"by_{part}"])
        assert total == pytest.approx(usage["totals"]["cost_usd"])

"""Every field of a chat completion beside sampling has an effect, or is reported as ignored."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from .caller import MODEL, STRICT, Caller, chat_body, tool

CHAT = "/v1/chat/completions"
SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}
UNKNOWN_AT_OPENAI: dict[str, Any] = {
    "store": True,
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "modalities": ["text"],
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
    "prompt_cache_key": "k",
    "safety_identifier": "k",
    "web_search_options": {},
    "min_tokens": 3,
    "mirostat": 1,
    "top_a": 0.5,
    "dry_sequence_breakers": ["a"],
}


def test_model_may_be_an_alias_and_the_answer_names_the_model(caller: Caller) -> None:
    assert caller.chat(model="tiny")["model"] == MODEL


def test_messages_of_every_role_and_shape_are_read(caller: Caller) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Very."}]},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": "bob"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "4", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "It is 4.", "reasoning_content": "Easy."},
        {"role": "user", "content": "Thanks."},
    ]
    assert caller.chat(messages=messages)["x_route"]["ignored"] == []
    prompt = caller.json("/apply-template", {"model": MODEL, "messages": messages})["prompt"]
    assert all(text in prompt for text in ("Be brief.", "Very.", "Hello", "It is 4.", "Thanks."))


def test_developer_is_the_system_role(caller: Caller) -> None:
    prompts = {
        caller.json(
            "/apply-template",
            {"model": MODEL, "messages": [{"role": role, "content": "Be brief."}]},
        )["prompt"]
        for role in ("system", "developer")
    }
    assert len(prompts) == 1


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_token_limits_end_the_answer(caller: Caller, field: str) -> None:
    answer = caller.chat(**{"max_tokens": None, field: 5}, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_max_completion_tokens_wins_over_max_tokens(caller: Caller) -> None:
    answer = caller.chat(max_tokens=9, max_completion_tokens=4, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 4


def test_n_gives_that_many_choices_each_with_its_own_seed(caller: Caller) -> None:
    answer = caller.chat(n=3, temperature=2, seed=5, ignore_eos=True)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in answer["choices"]}) > 1
    assert answer["usage"]["completion_tokens"] == 3 * 24


def test_stream_switches_between_a_body_and_events(caller: Caller) -> None:
    whole = caller.post(CHAT, chat_body(stream=False))
    assert whole.headers["content-type"] == "application/json"
    stream = caller.stream_chat()
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert stream.text() == whole.json()["choices"][0]["message"]["content"]


def test_stop_is_cut_out_wherever_the_tokens_break(caller: Caller) -> None:
    full = caller.say(temperature=0)
    for begin in range(1, len(full) - 4):
        stop = full[begin : begin + 4]
        expected = full[: full.find(stop)]
        assert caller.stream_chat(temperature=0, stop=stop).text() == expected
        if begin % 5 == 0:
            answer = caller.chat(temperature=0, stop=[stop, "never"])
            assert answer["choices"][0]["message"]["content"] == expected
            assert answer["choices"][0]["finish_reason"] == "stop"


def test_user_is_accepted_as_a_label(caller: Caller) -> None:
    assert caller.chat(user="someone")["x_route"]["ignored"] == []


def test_logprobs_cover_the_text(caller: Caller) -> None:
    choice = caller.chat(temperature=0, logprobs=True)["choices"][0]
    entries = choice["logprobs"]["content"]
    data = b"".join(bytes(entry["bytes"]) for entry in entries)
    assert data.decode(errors="ignore").startswith(choice["message"]["content"])
    assert all(entry["logprob"] <= 0 and entry["top_logprobs"] == [] for entry in entries)
    assert caller.chat()["choices"][0]["logprobs"] is None


def test_top_logprobs_are_that_many_and_in_order(caller: Caller) -> None:
    choice = caller.chat(temperature=0, logprobs=True, top_logprobs=4)["choices"][0]
    for entry in choice["logprobs"]["content"]:
        values = [other["logprob"] for other in entry["top_logprobs"]]
        assert len(values) == 4
        assert values == sorted(values, reverse=True)
        assert entry["logprob"] == pytest.approx(values[0])
    assert caller.refused(CHAT, chat_body(top_logprobs=4))["param"] == "top_logprobs"


def test_streamed_logprobs_are_the_same(caller: Caller) -> None:
    fields: dict[str, Any] = {"temperature": 0, "logprobs": True, "cache_prompt": False}
    whole = caller.chat(**fields)["choices"][0]["logprobs"]["content"]
    streamed = [
        entry
        for chunk in caller.stream_chat(**fields).chunks
        for choice in chunk["choices"]
        for entry in (choice["logprobs"] or {"content": []})["content"]
    ]
    assert [entry["token"] for entry in streamed] == [entry["token"] for entry in whole]


def test_tools_are_described_to_the_model(caller: Caller) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "tools": [tool()]}
    prompt = caller.json("/apply-template", body)["prompt"]
    assert "get_weather" in prompt
    plain = caller.json("/apply-template", {**body, "tool_choice": "none"})["prompt"]
    assert "get_weather" not in plain


def called(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions of an answer's calls."""
    message = answer["choices"][0]["message"]
    return [call["function"] for call in message.get("tool_calls", [])]


def test_tool_choice_required_gives_a_call_that_fits_its_schema(caller: Caller) -> None:
    tools = [tool(), tool("add", a={"enum": [3, 5]}, b={"enum": [4, 6]})]
    for text in ("Hello.", "What is the weather in Rome?", "Add 3 and 4."):
        fields = {"tools": tools, "tool_choice": "required", "max_tokens": 200}
        answer = caller.chat(text, **fields)
        assert answer["choices"][0]["finish_reason"] == "tool_calls"
        schemas = {item["function"]["name"]: item["function"]["parameters"] for item in tools}
        for function in called(answer):
            jsonschema.validate(json.loads(function["arguments"]), schemas[function["name"]])
        assert called(answer)


def test_tool_choice_by_name_calls_that_function_once(caller: Caller) -> None:
    choice = {"type": "function", "function": {"name": "add"}}
    tools = [tool(), tool("add", a={"enum": [1, 2]})]
    for seed in range(4):
        fields = {"tool_choice": choice, "max_tokens": 100, "temperature": 1, "seed": seed}
        answer = caller.chat("Hello.", tools=tools, **fields)
        assert [function["name"] for function in called(answer)] == ["add"]


def test_tool_choice_none_never_calls(caller: Caller) -> None:
    answer = caller.chat("What is the weather in Rome?", tools=[tool()], tool_choice="none")
    assert not called(answer)


def test_tool_choice_without_tools_is_refused(caller: Caller) -> None:
    assert caller.refused(CHAT, chat_body(tool_choice="required"))["param"] == "tool_choice"


def test_parallel_tool_calls_off_gives_one_call_only(caller: Caller) -> None:
    fields = {"tools": [tool()], "tool_choice": "required", "max_tokens": 200}
    for seed in range(4):
        answer = caller.chat(
            "What is the weather in Rome and in Oslo?",
            **fields,
            parallel_tool_calls=False,
            temperature=1,
            seed=seed,
        )
        assert len(called(answer)) == 1


def test_response_format_json_object_is_an_object(caller: Caller) -> None:
    fields = {"response_format": {"type": "json_object"}, "max_tokens": 300}
    answer = caller.chat("Give me a JSON object.", temperature=1.5, seed=2, **fields)
    choice = answer["choices"][0]
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)
    assert choice["message"]["content"].startswith("{")


@pytest.mark.parametrize("strict", [True, False])
def test_response_format_json_schema_is_satisfied(caller: Caller, strict: bool) -> None:
    named = {"name": "answer", "schema": SCHEMA, "strict": strict}
    wish = {"type": "json_schema", "json_schema": named}
    for seed in range(3):
        text = caller.say("Which?", response_format=wish, max_tokens=80, temperature=1.5, seed=seed)
        jsonschema.validate(json.loads(text), SCHEMA)


def test_response_format_text_is_free(caller: Caller) -> None:
    assert caller.say(response_format={"type": "text"}) == caller.say()


def test_response_format_without_a_schema_is_refused(caller: Caller) -> None:
    error = caller.refused(CHAT, chat_body(response_format={"type": "json_schema"}))
    assert error["param"] == "response_format.json_schema"


@pytest.mark.parametrize("grammar", ['root ::= "yes" | "no"', 'start: "yes" | "no"'])
def test_grammar_of_either_kind_rules_the_answer(caller: Caller, grammar: str) -> None:
    assert caller.say("Hello", grammar=grammar) in ("yes", "no")


@pytest.mark.parametrize("grammar", ["root ::= (", "start: (", "root ::= missing", ""])
def test_a_grammar_that_cannot_be_read_is_refused(caller: Caller, grammar: str) -> None:
    assert caller.refused(CHAT, chat_body(grammar=grammar))["param"] == "grammar"


def thought(answer: dict[str, Any]) -> str | None:
    """The reasoning of an answer, the same under both names."""
    message = answer["choices"][0]["message"]
    assert message.get("reasoning") == message.get("reasoning_content")
    text: str | None = message.get("reasoning")
    return text


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"enabled": True}},
        {"reasoning": {"effort": "high"}},
        {"reasoning": {"max_tokens": 64}},
        {"reasoning_effort": "low"},
        {"chat_template_kwargs": {"thinking": True}},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ],
)
def test_reasoning_can_be_asked_for_in_every_way(caller: Caller, fields: Any) -> None:
    answer = caller.chat("What is 3 + 4?", max_tokens=200, **fields)
    assert thought(answer)
    assert "<think>" not in (answer["choices"][0]["message"]["content"] or "")
    details = answer["usage"]["completion_tokens_details"]
    assert 0 < details["reasoning_tokens"] < answer["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    "fields", [{}, {"reasoning": {"enabled": False}}, {"reasoning_effort": "none"}]
)
def test_without_asking_nothing_is_thought_aloud(caller: Caller, fields: Any) -> None:
    answer = caller.chat("What is 3 + 4?", **fields)
    assert thought(answer) is None
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"enabled": True, "exclude": True}},
        {"reasoning": {"enabled": True}, "include_reasoning": False},
    ],
)
def test_excluded_reasoning_is_counted_but_not_shown(caller: Caller, fields: Any) -> None:
    answer = caller.chat("What is 3 + 4?", max_tokens=200, **fields)
    assert thought(answer) is None
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    stream = caller.stream_chat("What is 3 + 4?", max_tokens=200, **fields)
    assert stream.text(field="reasoning") == stream.text(field="reasoning_content") == ""
    assert stream.text() == answer["choices"][0]["message"]["content"]


def test_include_reasoning_true_shows_it(caller: Caller) -> None:
    fields = {"reasoning": {"enabled": True}, "include_reasoning": True, "max_tokens": 200}
    assert thought(caller.chat("What is 3 + 4?", **fields))


def test_reasoning_max_tokens_closes_the_thought_and_goes_on(caller: Caller) -> None:
    fields = {"reasoning": {"max_tokens": 4}, "max_tokens": 60, "ignore_eos": True}
    answer = caller.chat("What is 3 + 4?", **fields)
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] <= 12


def test_chat_template_kwargs_nobody_knows_are_reported(caller: Caller) -> None:
    answer = caller.chat(chat_template_kwargs={"dance": True})
    assert answer["x_route"]["ignored"] == ["chat_template_kwargs.dance"]


def test_continue_final_message_goes_on_with_the_given_text(caller: Caller) -> None:
    text = caller.say(temperature=0, max_tokens=12)
    messages = [
        {"role": "user", "content": "Hello, who are you?"},
        {"role": "assistant", "content": text[:6]},
    ]
    body = {"model": MODEL, "messages": messages}
    prompt = caller.json("/apply-template", {**body, "continue_final_message": True})["prompt"]
    assert prompt.endswith(text[:6])
    answer = caller.chat(messages=messages, continue_final_message=True, temperature=0)
    assert not answer["choices"][0]["message"]["content"].startswith(text[:6])


def test_add_generation_prompt_is_honoured_only_in_a_continuation(caller: Caller) -> None:
    answer = caller.chat(add_generation_prompt=False)
    assert answer["x_route"]["ignored"] == ["add_generation_prompt"]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel"}]
    fields = {"continue_final_message": True, "add_generation_prompt": False}
    assert caller.chat(messages=messages, **fields)["x_route"]["ignored"] == []
    assert caller.chat(add_generation_prompt=True)["x_route"]["ignored"] == []


def test_cache_prompt_decides_whether_the_prefix_is_shared(caller: Caller) -> None:
    text = "Tell me about a quiet morning by the sea, and about what you would do there."
    caller.chat(text)
    again = caller.chat(text)
    fresh = caller.chat(text, cache_prompt=False)
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 20
    assert again["timings"]["cache_n"] == again["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert fresh["timings"]["prompt_n"] == fresh["usage"]["prompt_tokens"]


@pytest.mark.parametrize("value", [30, 0.5, -1, "30s", "5m", "1h", "-1"])
def test_keep_alive_takes_seconds_and_times(caller: Caller, value: Any) -> None:
    assert caller.chat(keep_alive=value)["x_route"]["ignored"] == []


def test_keep_alive_that_is_no_time_is_refused(caller: Caller) -> None:
    assert caller.refused(CHAT, chat_body(keep_alive="soon"))["param"] == "keep_alive"


def test_route_local_answers_here_and_hosted_does_not(caller: Caller) -> None:
    for route in ("auto", "local"):
        assert caller.chat(route=route)["x_route"]["served_by"] == "local"
    response = caller.post(CHAT, chat_body(route="hosted"))
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "no_route"


def test_max_cost_usd_of_nothing_still_answers_here(caller: Caller) -> None:
    assert caller.chat(max_cost_usd=0)["usage"]["cost"] == 0
    assert caller.refused(CHAT, chat_body(max_cost_usd=-1))["param"] == "max_cost_usd"


LONG = [
    {"role": "user", "content": "hello there " * 3000},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Who are you?"},
]


def test_overflow_error_and_hosted_do_not_answer_a_long_prompt_here(caller: Caller) -> None:
    refused = caller.refused(CHAT, chat_body(messages=LONG, overflow="error"))
    assert refused["code"] == "context_length_exceeded"
    hosted = caller.post(CHAT, chat_body(messages=LONG, overflow="hosted"))
    assert hosted.status_code in (400, 503)


@pytest.mark.parametrize("way", ["truncate_oldest", "truncate_middle"])
def test_overflow_truncates_a_long_prompt_to_fit(caller: Caller, way: str) -> None:
    num_context = caller.refused(CHAT, chat_body(messages=LONG))["n_ctx"]
    answer = caller.chat(messages=LONG, overflow=way, max_tokens=4)
    assert answer["usage"]["prompt_tokens"] <= num_context


def test_provider_preferences_are_an_object(caller: Caller) -> None:
    assert caller.chat(provider={"zdr": True})["provider"] == "local"
    assert caller.refused(CHAT, chat_body(provider=[]))["param"] == "provider"


@pytest.mark.parametrize("name", UNKNOWN_AT_OPENAI)
def test_an_unknown_parameter_is_reported_and_refused_when_strict(
    caller: Caller, name: str
) -> None:
    body = chat_body(**{name: UNKNOWN_AT_OPENAI[name]})
    assert caller.json(CHAT, body)["x_route"]["ignored"] == [name]
    error = caller.refused(CHAT, body, STRICT)
    assert error["param"] == name
    assert name in error["message"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [{"role": "user", "content": "Hi", "mood": "sad"}]}, "messages.0.mood"),
        ({"reasoning": {"enabled": False, "summary": "auto"}}, "reasoning.summary"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"response_format": {"type": "text", "mood": 1}}, "response_format.mood"),
        ({"tools": [{**tool(), "mood": 1}], "tool_choice": "none"}, "tools.0.mood"),
    ],
)
def test_an_unknown_part_of_a_parameter_is_not_ignored_in_silence(
    caller: Caller, fields: dict[str, Any], path: str
) -> None:
    assert caller.json(CHAT, chat_body(**fields))["x_route"]["ignored"] == [path]
    assert caller.refused(CHAT, chat_body(**fields), STRICT)["param"] == path


def test_null_asks_for_nothing(caller: Caller) -> None:
    names = ["temperature", "tools", "stop", "n", "store", "audio", "response_format"]
    answer = caller.json(CHAT, chat_body(**dict.fromkeys(names)), STRICT)
    assert answer["x_route"]["ignored"] == []

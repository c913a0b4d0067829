"""Gaps: whatever the caller sent is honoured there, done here, or named as ignored."""

from __future__ import annotations

import json
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from runner.hosted.emulation import SENT_AS_THEY_ARE, Abilities, compose, find_gaps
from runner.types import (
    Message,
    ReasoningWish,
    ResponseFormat,
    SamplingParams,
    ToolCall,
    ToolChoice,
)
from tests.hosted.house import LOOK, ask

CHANGED: dict[str, object] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.1,
    "typical_p": 0.9,
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "penalty_last_n": 32,
    "dry_multiplier": 0.8,
    "dry_base": 2.0,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": 64,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.2,
    "seed": 7,
    "logit_bias": (("42", 3.0),),
    "logprobs": 2,
    "ignore_eos": True,
}
PARAMETERS = st.frozensets(
    st.sampled_from([*SENT_AS_THEY_ARE, "stop", "tools", "response_format", "logit_bias"])
)


def test_every_sampling_parameter_is_covered_here() -> None:
    assert set(CHANGED) == {field.name for field in fields(SamplingParams)}


@given(PARAMETERS, st.sets(st.sampled_from(sorted(CHANGED))))
def test_each_parameter_is_sent_or_named_as_ignored(known: frozenset[str], names: set[str]) -> None:
    sampling = SamplingParams(**{name: CHANGED[name] for name in names})  # type: ignore[arg-type]
    request = ask(sampling=sampling, given=frozenset(names))
    able = Abilities(known)
    body = compose(request, able, 10).body
    ignored = set(find_gaps(request, able).ignored)
    for name in names:
        assert (name in body) is not (name in ignored)
    assert set(body) - {"stream", "max_tokens", "messages"} <= names
    json.dumps(body)


def test_a_default_of_the_catalogue_is_dropped_without_a_word() -> None:
    request = ask(sampling=SamplingParams(min_p=0.05), given=frozenset())
    assert find_gaps(request, Abilities(frozenset())).ignored == ()


def test_a_bias_by_text_cannot_be_sent() -> None:
    request = ask(
        sampling=SamplingParams(logit_bias=(("the", float("-inf")),)),
        given=frozenset({"logit_bias"}),
    )
    able = Abilities(frozenset({"logit_bias"}))
    assert find_gaps(request, able).ignored == ("logit_bias",)
    assert "logit_bias" not in compose(request, able, 10).body


def test_more_stop_strings_than_hosts_take_are_cut_here() -> None:
    request = ask(stop=tuple("abcdef"))
    able = Abilities(frozenset({"stop"}))
    assert find_gaps(request, able).emulated == ("stop",)
    upstream = compose(request, able, 10)
    assert len(upstream.body["stop"]) == 4
    assert upstream.rules.stop == tuple("abcdef")


def test_without_tools_no_trace_of_them_is_left_in_the_messages() -> None:
    messages = (
        Message("user", "look"),
        Message("assistant", "", tool_calls=(ToolCall("c", "look", '{"at": "sky"}'),)),
        Message("tool", "a bird", tool_call_id="c"),
    )
    request = ask(messages=messages, tools=(LOOK,), tool_choice=ToolChoice("required"))
    body = compose(request, Abilities(frozenset()), 10).body
    assert "tools" not in body and "tool_choice" not in body
    assert {message["role"] for message in body["messages"]} <= {"system", "user", "assistant"}
    assert all("tool_calls" not in message for message in body["messages"])
    native = compose(request, Abilities(frozenset({"tools"})), 10).body
    assert native["tool_choice"] == "required"
    assert native["messages"][1]["content"] is None  # a call alone has no text


def test_thinking_is_switched_natively_prompted_or_ignored() -> None:
    request = ask(reasoning=ReasoningWish(enabled=True))
    native = compose(request, Abilities(frozenset({"reasoning"})), 10).body
    assert native["reasoning"] == {"enabled": True}
    able = Abilities(frozenset(), can_think=True)
    assert find_gaps(request, able).emulated == ("reasoning",)
    assert "<think>" in compose(request, able, 10).body["messages"][0]["content"]
    assert find_gaps(request, Abilities(frozenset())).ignored == ("reasoning",)


def test_grammars_cannot_be_kept_elsewhere_and_that_is_said() -> None:
    request = ask(response_format=ResponseFormat("grammar", grammar='root ::= "a"'))
    assert find_gaps(request, Abilities(frozenset({"structured_outputs"}))).ignored == ("grammar",)

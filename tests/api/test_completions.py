"""`POST /v1/completions`: prompts in every form, echo, log probabilities, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from .caller import MODEL, STRICT, Caller

PATH = "/v1/completions"


def body(**fields: Any) -> dict[str, Any]:
    """A small completion request."""
    return {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 8, **fields}


def tokens_of(caller: Caller, text: str) -> list[int]:
    """The token ids of a text."""
    tokens: list[int] = caller.json("/tokenize", {"model": MODEL, "content": text})["tokens"]
    return tokens


def texts(answer: dict[str, Any]) -> list[str]:
    """The texts of all choices."""
    return [choice["text"] for choice in answer["choices"]]


def test_text_and_its_token_ids_are_continued_alike(caller: Caller) -> None:
    text = "The capital of"
    as_text = caller.complete(text, temperature=0, cache_prompt=False)
    as_tokens = caller.complete(tokens_of(caller, text), temperature=0, cache_prompt=False)
    assert texts(as_text) == texts(as_tokens)
    assert as_text["usage"]["prompt_tokens"] == len(tokens_of(caller, text))


def test_a_list_of_prompts_gives_n_choices_for_each_in_order(caller: Caller) -> None:
    prompts = ["One", "Two", "Three"]
    answer = caller.complete(prompts, n=2, echo=True)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    starts = [next(p for p in prompts if text.startswith(p)) for text in texts(answer)]
    assert starts == ["One", "One", "Two", "Two", "Three", "Three"]
    assert answer["usage"]["prompt_tokens"] == sum(len(tokens_of(caller, p)) for p in prompts)


def test_lists_of_token_ids_are_several_prompts(caller: Caller) -> None:
    prompts = [tokens_of(caller, "One"), tokens_of(caller, "Two")]
    assert len(caller.complete(prompts)["choices"]) == 2


@pytest.mark.parametrize("prompt", ["", [], [[]], ["a", ""], ["x"] * 65, [10**9], [-1]])
def test_a_prompt_of_nothing_or_of_unknown_tokens_is_refused(caller: Caller, prompt: Any) -> None:
    assert caller.refused(PATH, body(prompt=prompt))["param"] == "prompt"


def test_max_tokens_is_16_where_none_is_given(caller: Caller) -> None:
    answer = caller.json(PATH, body(max_tokens=None, ignore_eos=True))
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("prompt", ["Once upon", [72, 105]])
def test_echo_puts_the_prompt_before_the_answer(caller: Caller, prompt: Any) -> None:
    plain = caller.complete(prompt, temperature=0, cache_prompt=False)
    echoed = caller.complete(prompt, temperature=0, cache_prompt=False, echo=True)
    shown = prompt
    if isinstance(prompt, list):
        shown = caller.json("/detokenize", {"model": MODEL, "tokens": prompt})["content"]
    assert texts(echoed) == [shown + texts(plain)[0]]
    stream = caller.stream(
        PATH, body(prompt=prompt, temperature=0, echo=True, max_tokens=16, cache_prompt=False)
    )
    pieces = [choice["text"] for chunk in stream.chunks for choice in chunk["choices"]]
    assert "".join(pieces) == texts(echoed)[0]
    assert pieces[0] == shown


@pytest.mark.parametrize("count", [0, 1, 3])
def test_logprobs_have_the_legacy_shape(caller: Caller, count: int) -> None:
    choice = caller.complete(temperature=0, logprobs=count, ignore_eos=True)["choices"][0]
    shown = choice["logprobs"]
    lists = [shown[key] for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")]
    assert {len(items) for items in lists} == {16}
    assert "".join(shown["tokens"]) == choice["text"]
    for token, offset in zip(shown["tokens"], shown["text_offset"], strict=True):
        assert choice["text"][offset:].startswith(token)
    assert all(len(top or {}) <= count for top in shown["top_logprobs"])
    assert caller.complete()["choices"][0]["logprobs"] is None


def test_stop_seed_and_bias_work_as_in_chat(caller: Caller) -> None:
    loop = {"logit_bias": {"a": 60}, "temperature": 0}
    assert texts(caller.complete(**loop)) == ["a" * 16]
    stopped = caller.complete(**loop, stop="aa")
    assert texts(stopped) == [""]
    assert stopped["choices"][0]["finish_reason"] == "stop"
    hot = {"temperature": 2, "seed": 3, "cache_prompt": False}
    assert texts(caller.complete(**hot)) == texts(caller.complete(**hot))


def test_grammar_rules_a_raw_completion(caller: Caller) -> None:
    assert texts(caller.complete(grammar='root ::= "yes" | "no"'))[0] in ("yes", "no")


def test_no_template_is_applied_and_no_tag_is_read(caller: Caller) -> None:
    answer = caller.complete("<think>\nThe user wants", max_tokens=30)
    assert set(answer["choices"][0]) == {"index", "text", "logprobs", "finish_reason"}


def test_streamed_text_is_the_whole_text(caller: Caller) -> None:
    fields = {"temperature": 0, "n": 2, "max_tokens": 20, "ignore_eos": True, "cache_prompt": False}
    stream = caller.stream(PATH, body(**fields, stream_options={"include_usage": True}))
    assert stream.is_done
    whole = texts(caller.complete(**fields))
    for index in range(2):
        choices = [choice for chunk in stream.chunks for choice in chunk["choices"]]
        mine = [choice for choice in choices if choice["index"] == index]
        assert "".join(choice["text"] for choice in mine) == whole[index]
        assert [choice["finish_reason"] for choice in mine if choice["finish_reason"]] == ["length"]
    assert stream.chunks[-1]["choices"] == []
    assert stream.chunks[-1]["usage"]["completion_tokens"] == 40
    assert {chunk["usage"] is None for chunk in stream.chunks[:-1]} == {True}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_what_cannot_be_done_is_refused_clearly(
    caller: Caller, fields: dict[str, Any], param: str
) -> None:
    assert caller.refused(PATH, body(**fields))["param"] == param


def test_best_of_equal_to_n_is_no_wish(caller: Caller) -> None:
    assert len(caller.json(PATH, body(best_of=2, n=2))["choices"]) == 2


def test_unknown_parameters_are_reported_or_refused(caller: Caller) -> None:
    asked = body(messages=[], stream_options={"shout": True})
    answer = caller.json(PATH, asked)
    assert answer["x_route"]["ignored"] == ["messages", "stream_options.shout"]
    assert caller.refused(PATH, asked, STRICT)["param"] == "messages"


def test_too_long_a_prompt_names_the_numbers(caller: Caller) -> None:
    error = caller.refused(PATH, body(prompt="hello " * 9000))
    assert error["code"] == "context_length_exceeded"
    assert error["n_prompt_tokens"] > error["n_ctx"]

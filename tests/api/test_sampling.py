"""Every sampling parameter of the contract has an effect, seen from outside.

Most tests do not depend on what the model has learned: a strong logit bias makes one token the
obvious one, and the parameter under test is seen to change that, or a draw at high temperature.
"""

from __future__ import annotations

from typing import Any

import pytest

from .caller import MODEL, Caller

HOT = {"temperature": 2.0, "max_tokens": 12, "cache_prompt": False, "ignore_eos": True}
ONE_LETTER = {"temperature": 0, "max_tokens": 60, "logit_bias": {"a": 60}, "ignore_eos": True}
SEEDS = range(1, 5)


def draws(caller: Caller, **fields: Any) -> list[str]:
    """The same request with several seeds."""
    return [
        caller.complete(**{**HOT, "seed": seed, **fields})["choices"][0]["text"] for seed in SEEDS
    ]


def text_of(caller: Caller, **fields: Any) -> str:
    """One text completion."""
    text: str = caller.complete(**fields)["choices"][0]["text"]
    return text


def test_temperature_zero_is_greedy_and_a_high_one_is_not(caller: Caller) -> None:
    assert len(set(draws(caller, temperature=0))) == 1
    assert len(set(draws(caller))) > 1


def test_seed_repeats_a_draw(caller: Caller) -> None:
    assert draws(caller) == draws(caller)


def test_seed_minus_one_is_a_fresh_draw(caller: Caller) -> None:
    assert len({text_of(caller, **HOT, seed=-1) for _ in SEEDS}) > 1


@pytest.mark.parametrize(("field", "value"), [("top_k", 1), ("top_p", 1e-6), ("min_p", 1.0)])
def test_a_filter_at_its_extreme_leaves_only_the_likeliest_token(
    caller: Caller, field: str, value: float
) -> None:
    greedy = text_of(caller, **HOT | {"temperature": 0})
    assert set(draws(caller, **{field: value})) == {greedy}


def test_typical_p_changes_the_draw(caller: Caller) -> None:
    assert draws(caller, typical_p=0.2) != draws(caller)


@pytest.mark.parametrize(
    ("field", "value"),
    [("repetition_penalty", 10.0), ("repeat_penalty", 10.0), ("frequency_penalty", 2.0)],
)
def test_a_penalty_breaks_a_loop(caller: Caller, field: str, value: float) -> None:
    assert text_of(caller, **ONE_LETTER) == "a" * 60
    assert text_of(caller, **ONE_LETTER, **{field: value}) != "a" * 60


def test_repetition_penalty_wins_over_its_alias(caller: Caller) -> None:
    text = text_of(caller, **ONE_LETTER, repetition_penalty=1.0, repeat_penalty=10.0)
    assert text == "a" * 60


def test_presence_penalty_changes_the_draw(caller: Caller) -> None:
    fields = {"temperature": 1.0, "max_tokens": 40}
    assert draws(caller, **fields, presence_penalty=2.0) != draws(caller, **fields)


DRY = {"dry_multiplier": 10.0, "dry_base": 1.5, "dry_penalty_last_n": 256}


def loop_length(caller: Caller, **fields: Any) -> int:
    """How often the biased letter is repeated before something else comes."""
    text = text_of(caller, **ONE_LETTER, **fields)
    return len(text) - len(text.lstrip("a"))


def test_dry_multiplier_breaks_a_loop(caller: Caller) -> None:
    assert loop_length(caller) == 60
    assert loop_length(caller, **DRY) < 60


def test_dry_looks_at_the_whole_context_by_default(caller: Caller) -> None:
    assert loop_length(caller, dry_multiplier=10.0, dry_base=1.5) < 60


def test_dry_allowed_length_sets_from_when(caller: Caller) -> None:
    assert loop_length(caller, **DRY) < loop_length(caller, **DRY, dry_allowed_length=12)


def test_dry_base_sets_how_steeply(caller: Caller) -> None:
    assert loop_length(caller, **DRY) < loop_length(caller, **DRY | {"dry_base": 1.0})


def test_dry_penalty_last_n_of_zero_is_off(caller: Caller) -> None:
    assert loop_length(caller, **DRY | {"dry_penalty_last_n": 0}) == 60


def test_xtc_removes_the_likeliest_tokens(caller: Caller) -> None:
    greedy = {"temperature": 0.2, "top_k": 5}
    without = draws(caller, **greedy)
    assert draws(caller, **greedy, xtc_probability=1.0, xtc_threshold=0.001) != without
    assert draws(caller, **greedy, xtc_probability=1.0, xtc_threshold=0.9) == without


def test_logit_bias_takes_ids_and_strings(caller: Caller) -> None:
    tokens = caller.json("/tokenize", {"model": MODEL, "content": "a"})["tokens"]
    assert len(tokens) == 1
    by_id = text_of(caller, **ONE_LETTER | {"logit_bias": {str(tokens[0]): 60}})
    assert by_id == text_of(caller, **ONE_LETTER) == "a" * 60


def test_logit_bias_of_minus_100_bans_a_token(caller: Caller) -> None:
    first = caller.chat(temperature=0, max_tokens=1, logprobs=True)
    token = first["choices"][0]["logprobs"]["content"][0]["token"]
    ids = caller.json("/tokenize", {"model": MODEL, "content": token})["tokens"]
    bias = {str(ids[0]): -100}
    banned = caller.chat(temperature=0, max_tokens=1, logprobs=True, logit_bias=bias)
    assert banned["choices"][0]["logprobs"]["content"][0]["token"] != token


def test_ignore_eos_goes_on_to_max_tokens(caller: Caller) -> None:
    text = "What is the capital of France?"
    ended = caller.chat(text, temperature=0, max_tokens=200)
    went_on = caller.chat(text, temperature=0, max_tokens=200, ignore_eos=True)
    assert ended["choices"][0]["finish_reason"] == "stop"
    assert ended["usage"]["completion_tokens"] < 200
    assert went_on["choices"][0]["finish_reason"] == "length"
    assert went_on["usage"]["completion_tokens"] == 200

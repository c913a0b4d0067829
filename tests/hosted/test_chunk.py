"""Chunks of every dialect: nothing raises, and null is not zero."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.hosted.chunk import chunk_of, read_chunk, read_usd

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
KEYS = ("choices", "usage", "error", "model", "id", "provider")


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_no_shape_of_chunk_raises(value: dict[str, Any]) -> None:
    chunk_of(value)


@given(st.dictionaries(st.sampled_from(("delta", "message", "finish_reason", "text")), JSON))
def test_no_shape_of_choice_raises(choice: dict[str, Any]) -> None:
    chunk_of({"choices": [choice]})


@given(st.dictionaries(st.sampled_from(("content", "reasoning", "tool_calls")), JSON))
def test_no_shape_of_delta_raises(delta: dict[str, Any]) -> None:
    chunk_of({"choices": [{"delta": delta}]})


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '"x"', "[" * 100_000])
def test_what_is_no_object_is_no_chunk(text: str) -> None:
    assert read_chunk(text) is None


def test_reasoning_sent_in_two_fields_is_read_once() -> None:
    delta = {"reasoning": "hm", "reasoning_content": "hm"}
    assert chunk_of({"choices": [{"delta": delta}]}).reasoning == "hm"


@pytest.mark.parametrize(
    ("value", "usd"),
    [
        (None, None),
        (0, 0.0),
        ("0.000123", 0.000123),
        (1e-7, 1e-7),
        ("x", None),
        (-1, None),
        (True, None),
        (float("inf"), None),
        ([], None),
    ],
)
def test_a_cost_that_is_not_named_is_not_zero(value: Any, usd: float | None) -> None:
    assert read_usd(value) == usd

"""`POST /v1/embeddings`: inputs in every form, both encodings, and what is refused."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest

from .caller import MODEL, STRICT, Caller

PATH = "/v1/embeddings"


def embed(caller: Caller, given: Any, **fields: Any) -> list[Any]:
    """The vectors of an input."""
    answer = caller.json(PATH, {"model": MODEL, "input": given, **fields})
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [item["embedding"] for item in answer["data"]]


def cosine(one: list[float], other: list[float]) -> float:
    """How alike two normalised vectors are."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_vector_is_normalised_and_the_same_each_time(caller: Caller) -> None:
    (vector,) = embed(caller, "A cat sat on the mat.")
    assert math.isclose(math.sqrt(cosine(vector, vector)), 1, rel_tol=1e-4)
    assert cosine(vector, embed(caller, "A cat sat on the mat.")[0]) > 0.999
    assert cosine(vector, embed(caller, "9 x 7 = ?")[0]) < 0.999


def test_a_list_gives_one_vector_each_in_order(caller: Caller) -> None:
    texts = ["One", "Two", "Three"]
    together = embed(caller, texts)
    for text, vector in zip(texts, together, strict=True):
        assert cosine(vector, embed(caller, text)[0]) > 0.999


def test_token_ids_are_embedded_as_their_text(caller: Caller) -> None:
    tokens = caller.json("/tokenize", {"model": MODEL, "content": "Hello"})["tokens"]
    (as_text,) = embed(caller, "Hello")
    assert cosine(embed(caller, tokens)[0], as_text) > 0.999
    assert cosine(embed(caller, [tokens, tokens])[1], as_text) > 0.999


def test_base64_holds_the_same_numbers_as_float32(caller: Caller) -> None:
    (numbers,) = embed(caller, "Hello", encoding_format="float")
    (text,) = embed(caller, "Hello", encoding_format="base64")
    data = base64.b64decode(text)
    assert list(struct.unpack(f"<{len(data) // 4}f", data)) == pytest.approx(numbers, abs=1e-5)


def test_dimensions_are_the_models_own_or_refused(caller: Caller) -> None:
    (vector,) = embed(caller, "Hello")
    assert len(embed(caller, "Hello", dimensions=len(vector))[0]) == len(vector)
    asked = {"model": MODEL, "input": "Hello", "dimensions": 3}
    assert caller.refused(PATH, asked)["param"] == "dimensions"


def test_usage_counts_the_tokens_of_every_input(caller: Caller) -> None:
    one = caller.json(PATH, {"model": MODEL, "input": "Hello"})["usage"]
    three = caller.json(PATH, {"model": MODEL, "input": ["Hello"] * 3})["usage"]
    assert one["prompt_tokens"] == one["total_tokens"] > 0
    assert three["prompt_tokens"] == 3 * one["prompt_tokens"]


@pytest.mark.parametrize("given", ["", [], [""], [[]], [10**9], 5, [1.5], None])
def test_nothing_to_embed_is_refused(caller: Caller, given: Any) -> None:
    assert caller.refused(PATH, {"model": MODEL, "input": given})["param"] == "input"


def test_an_unknown_encoding_is_refused(caller: Caller) -> None:
    asked = {"model": MODEL, "input": "Hello", "encoding_format": "hex"}
    assert caller.refused(PATH, asked)["param"] == "encoding_format"


def test_user_is_accepted_and_unknown_parameters_are_reported_or_refused(caller: Caller) -> None:
    asked = {"model": MODEL, "input": "Hello", "user": "me", "truncate": True}
    assert caller.json(PATH, asked)["x_route"]["ignored"] == ["truncate"]
    assert caller.refused(PATH, asked, STRICT)["param"] == "truncate"


def test_model_may_be_an_alias(caller: Caller) -> None:
    assert caller.json(PATH, {"model": "tiny", "input": "Hello"})["model"] == MODEL
